"""The examples run, with warnings as errors, and assert their own claims."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest
from paths import ROOT

EXAMPLES = ROOT / "examples"
ALONE = (
    *("approximate", "compiled", "deltas", "gpu", "parity", "policy"),
    *("race", "resume", "surrogate", "tabular", "torch_and_back", "uncertainty"),
)
RUNS = [[f"{name}.py"] for name in ALONE] + [
    ["digits.py", backend] for backend in ("numpy", "torch", "jax")
]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# What `show` warns of without a window, where there could be one.
WARNINGS = ["-W", "error", "-W", "ignore:FigureCanvasAgg is non-interactive"]


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {name for name, *_ in RUNS}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_has_a_title_and_an_introduction(path):
    blank, title, line, gap, introduction, *_ = ast.get_docstring(
        ast.parse(path.read_text(encoding="utf-8")), clean=False
    ).splitlines()
    assert (blank, gap) == ("", "")
    assert line == len(title) * "="
    assert introduction


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
def test_example(arguments, tmp_path):
    name, *rest = arguments
    result = subprocess.run(
        [sys.executable, *WARNINGS, EXAMPLES / name, *rest],
        cwd=tmp_path,
        env=os.environ | ONE_THREAD | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
