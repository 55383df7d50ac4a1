"""Time predictions of a whole network: nnpoly beside NumPy, torch, JAX and onnxruntime, in float32.

Each contestant has a process of its own; they take turns, and one that is not being timed is
stopped. See README.md.
"""

from __future__ import annotations

import sys

from command import parsed, parser
from kernels import run

CONTESTANTS = ["nnpoly", "numpy", "torch", "jax", "onnxruntime"]
PREDICTIONS = [f"predict:{rows}:17-64-64-6" for rows in (1, 64, 8192)]


def main() -> int:
    """Run the benchmark; return 1 if a contestant failed or predicted something else."""
    made, told = parser(__doc__, rounds=9), "such as predict:64:17-64-64-6"
    made.add_argument("--predictions", nargs="+", default=PREDICTIONS, help=told)
    arguments = parsed(made)
    return run(arguments, "predict_cases", CONTESTANTS, arguments.predictions)


if __name__ == "__main__":
    sys.exit(main())
