"""The part of the build that pyproject.toml cannot say: the C core, where a compiler works."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "cext"))
import build  # cext/build.py

if build.wanted():
    setup(
        cffi_modules=["cext/build.py:builder"],
        options={"bdist_wheel": {"py_limited_api": "cp311"}},  # the oldest Python that abi3 serves
    )
else:
    setup()
