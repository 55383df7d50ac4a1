"""The lecture's pages run, with warnings as errors, and assert their own claims."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import pytest
from paths import ROOT

LECTURE = ROOT / "docs" / "lecture"
PAGES = sorted(LECTURE.glob("plot_*.py"))

# Where each of the lecture's formulas stands: its section, the page's number, and the library's
# code for it, which the page must run.
FORMULAS = [
    ("notation", "01", ["net.depth", "net.widths", "net.layers", "net.w"]),
    ("forward pass", "01", ["net.scores", "net.trace", "nn.theory.broadcasting"]),
    ("neurons and gates", "02", ["nn.theory.single_neuron", "nn.theory.gate"]),
    ("the perceptron rule", "02", ["nn.theory.perceptron", "nn.theory.decision_line"]),
    ("XOR is not separable", "02", ["nn.theory.common_point"]),
    ("XOR with two layers", "03", ["nn.theory.xor_network", "nn.theory.truth_table"]),
    ("activations", "04", ["nn.activations", "sigma.derivative"]),
    ("linear collapse", "04", ["nn.theory.collapse_linear"]),
    ("universal approximation", "05", ["nn.theory.approximate"]),
    ("depth", "06", ["nn.theory.tent_network", "nn.theory.tent", "nn.theory.shallow_fails"]),
    ("pieces", "06", ["nn.theory.count_linear_pieces", "nn.theory.shallow_width_bound"]),
    ("outputs and losses", "07", ["nn.losses.MSE", "nn.losses.Logistic", "net.loss"]),
    ("softmax is sigmoid", "07", ["nn.theory.softmax_as_sigmoid", "nn.theory.to_sigmoid"]),
    ("labels", "07", ["nn.OneHot.fit"]),
    ("backpropagation", "08", ["net.gradients", "nn.testing.check_gradients"]),
    ("initialisation", "09", ["nn.theory.variance_profile", "nn.theory.symmetry"]),
    ("optimisers", "10", ["nn.theory.optimizer_paths", "nn.theory.divergence_limit"]),
]


def test_pages_are_numbered_without_a_gap():
    numbers = [path.name.split("_")[1] for path in PAGES]
    assert numbers == [f"{k:02}" for k in range(1, len(PAGES) + 1)]


def test_every_page_has_a_section():
    assert {path.name.split("_")[1] for path in PAGES} == {number for _, number, _ in FORMULAS}


@pytest.mark.parametrize(("section", "number", "code"), FORMULAS, ids=[f[0] for f in FORMULAS])
def test_every_formula_has_a_page_that_runs_its_code(section, number, code):
    [page] = LECTURE.glob(f"plot_{number}_*.py")
    text = page.read_text()
    assert ":math:" in text
    assert ".. math::" in text
    used = {ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.expr)}
    assert set(code) <= used, section


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_to_pages(page):
    linked = re.findall(r":doc:`(?:[^`<]*<)?(plot_\w+)>?`", page.read_text())
    assert set(linked) <= {path.stem for path in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page(page, tmp_path):
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, "-W", "error", page],
        cwd=tmp_path,
        env=os.environ | alone,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
    assert not list(tmp_path.iterdir())  # a page leaves nothing behind
