"""Time predictions of a whole network: nnpoly beside NumPy, torch, JAX and onnxruntime, in float32.

Each contestant has a process of its own; they take turns, and one that is not being timed is
stopped. See README.md.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kernels import run
from step import cpu

CONTESTANTS = ["nnpoly", "numpy", "torch", "jax", "onnxruntime"]
PREDICTIONS = [f"predict:{rows}:17-64-64-6" for rows in (1, 64, 8192)]


def versions() -> dict[str, str]:
    """Return those of the contestants that are installed."""
    found = {}
    for name in CONTESTANTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> int:
    """Run the benchmark; return 1 if a contestant failed or predicted something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--predictions", nargs="+", default=PREDICTIONS, help="such as predict:64:17-64-64-6")
    add("--threads", type=int, default=2, help="of each contestant, default: %(default)s")
    add("--rounds", type=int, default=9, help="blocks of 50 ms each, default: %(default)s")
    add("--json", type=Path, help="also write every sample to this file")
    arguments = parser.parse_args()
    setting = {"cpu": cpu(), "threads": str(arguments.threads), "rounds": str(arguments.rounds)}
    setting |= versions()
    script, path = "predict_worker.py", arguments.json
    return run(arguments.predictions, CONTESTANTS, script, setting, None, path)


if __name__ == "__main__":
    sys.exit(main())
