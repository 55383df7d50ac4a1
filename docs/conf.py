"""Sphinx's configuration: python -m sphinx -W --keep-going -n -b html docs build/docs.

Everything that is shown was executed: the lecture's scripts and the examples by sphinx-gallery, the
Python blocks of the Markdown pages by `_ext/executed.py` (and by tests/docs/test_docs.py).
References between pages, and to names of the library, are checked by Sphinx itself (-n). Addresses
outside are not fetched: the build has no network, so there is neither linkcheck nor intersphinx.
"""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent

# Before NumPy is imported, here and in what this process starts: on few cores, least squares and
# L-BFGS are many times slower when OpenBLAS uses threads.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
sys.path.insert(0, str(HERE / "_ext"))

import nnpoly  # noqa: E402

project = "nnpoly"
author = copyright = "The nnpoly developers"
version = release = nnpoly.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx-mathjax-offline",  # formulas are drawn without a network, too
    "sphinx_gallery.gen_gallery",
    "executed",
    "generated",
    "references",
]
exclude_patterns = [
    "lecture",
    "auto/scripts",
    "benchmarks/*.json",
    "sg_execution_times.rst",
    "auto/*/sg_*",
]
templates_path = ["_templates"]
html_static_path = ["_static"]
nitpicky = True

# Markdown

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Names of the library

default_role = "name"  # a link where the name is documented, else code: see _ext/references.py
autosummary_generate = True
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # an overriding method is documented where it is introduced
python_maximum_signature_line_length = 72
python_use_unqualified_type_names = True
autosummary_filename_map = {
    # Not told apart from functions of these names where file names have no case.
    "nnpoly.primitives.Primitive": "nnpoly.primitives.Primitive-class",
    "nnpoly.theory.Broadcasting": "nnpoly.theory.Broadcasting-class",
}
numpydoc_show_class_members = False  # the class template lists them, each with its text
numpydoc_attributes_as_param_list = True
nitpick_ignore_regex = [
    # Other libraries' types in signatures: their documentation is not here to link to.
    (r"py:.*", r"(np|numpy|collections|contextlib)\.[\w.]+|NDArray|Figure"),
    # Aliases, which have no page of their own.
    (r"py:.*", r"Label|Views|FromHost"),
    # What networks and trainers hold, of which users need no page: internals/house.md has them.
    (r"py:.*", r"nnpoly\.(data\.place\.Place|training\.stepper\.Stepper)"),
    # Types of arrays and numbers, which have no pages of their own.
    (r"py:.*", r"(nnpoly\.primitives\.arrays\.)?(Array|Namespace|Scalar)"),
    (r"py:.*", r"Parameters|host\.(HostArray|Generator)"),
]

# The galleries: run from copies, since what a script writes lands in its folder.

SCRIPTS = {"lecture": HERE / "lecture", "examples": HERE.parent / "examples"}
for gallery, folder in SCRIPTS.items():
    copy = HERE / "auto" / "scripts" / gallery
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))

sphinx_gallery_conf = {
    "examples_dirs": [f"auto/scripts/{gallery}" for gallery in SCRIPTS],
    "gallery_dirs": [f"auto/{gallery}" for gallery in SCRIPTS],
    "filename_pattern": r"\.py$",  # all are executed
    "copyfile_regex": r"index\.rst",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib", "executed.scrape_last_value"),
    "ignore_repr_types": r"matplotlib\.|numpy\.ndarray",
    "abort_on_example_error": False,  # -W makes it an error, after all others were run
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
}

# The site

html_theme = "pydata_sphinx_theme"
html_title = "nnpoly"
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "pygments_light_style": "a11y-light",
    "pygments_dark_style": "a11y-dark",
}
html_sidebars = {
    "index": [],
    "changelog": [],
    "**": ["sidebar-nav-bs"],
}
