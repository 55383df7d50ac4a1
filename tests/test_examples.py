"""The examples run, with warnings as errors, and assert their own claims."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
RUNS = [["parity.py"], ["surrogate.py"], ["deltas.py"]] + [
    ["digits.py", backend] for backend in ("numpy", "torch", "jax")
]


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {name for name, *_ in RUNS}


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
def test_example(arguments, tmp_path):
    name, *rest = arguments
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *rest],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
