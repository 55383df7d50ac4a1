"""Time the kernels of a training step, one by one: nnpoly beside NumPy and torch, in float32.

Products are given in GFLOP/s and as a share of the processor's peak, which is measured here;
activations in nanoseconds an element. With --bf16, products whose factors are rounded to bfloat16,
and their peak. Each contestant has a process of its own; they take turns,
and one that is not being timed is stopped. See README.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

import processor
from command import parsed, parser, setting, show, started, status, write
from remote import Row, measure
from table import rate

CONTESTANTS = ["nnpoly", "numpy", "torch"]
SHAPES = [
    "32x64x64",
    "64x128x128",
    "200x64x100",
    "128x784x512",
    "128x512x512",
    "256x1024x1024",
    "512x1024x1024",
    "1024x4096x1024",
]
PRODUCTS = ["dense", "delta", "gradients"]
SIGMAS = ["relu", "sigmoid", "tanh", "elu", "softplus", "silu", "gelu"]
ELEMENTS = ["65536", "1000000"]
KERNELS = (
    [f"{name}:{shape}" for name in PRODUCTS for shape in SHAPES]
    + [f"sigma:{count}:{sigma}" for count in ELEMENTS for sigma in SIGMAS]
    + [f"slope:{count}:{sigma}" for count in ELEMENTS for sigma in ("tanh", "gelu")]
)
BF16_KERNELS = [f"{name}-bf16:{shape}" for name in PRODUCTS for shape in SHAPES]
# Of the largest value: float32's rounding; and bfloat16's, of the factors and of torch's results.
TOLERANCE, BF16_TOLERANCE = 1e-4, 2e-2


def compare(rows: list[Row]) -> None:
    """Mark the rows of one kernel whose results differ from NumPy's."""
    right = next(row for row in rows if row.contestant == "numpy").facts.get("values")
    for row in rows:
        values = row.facts.pop("values", None)
        tolerance = BF16_TOLERANCE if "-bf16:" in row.case else TOLERANCE
        if not row.fault and (right is None or not agree(values, right, tolerance)):
            row.fault = "MISMATCH" if right else "UNCHECKED: no numpy to compare with"


def agree(values: list[float], right: list[float], tolerance: float) -> bool:
    """Whether results are those of NumPy, to rounding; the last is their sum."""
    *values, total = values
    *right, right_total = right
    close = all(
        abs(value - want) <= tolerance * max(map(abs, right))
        for value, want in zip(values, right, strict=True)
    )
    return close and abs(total - right_total) <= tolerance * right_total


def entry(row: Row) -> dict[str, Any]:
    """Return what the evidence has of a row."""
    named = {"kernel": row.case, "contestant": row.contestant}
    return named | {"us": row.us, "fault": row.fault} | row.facts


def line(rows: list[Row], best: float | None) -> str:
    """Return a kernel's line: each contestant's rate, and how much faster nnpoly is."""
    cells = [rate(entry(row), best) if row.us else row.fault.split(":")[0] for row in rows]
    ours, *others = (median(row.us) if row.us else math.nan for row in rows)
    ratios = [f"{other / ours:.2f}x" for other in others]
    faults = [f"{row.contestant}: {row.fault}" for row in rows if row.fault]
    columns = [rows[0].case.ljust(26), *(cell.rjust(13) for cell in cells)]
    return " ".join([*columns, *(ratio.rjust(8) for ratio in ratios), *faults])


def run(
    arguments: argparse.Namespace,
    module: str,
    contestants: Sequence[str],
    kernels: Sequence[str],
    best: float | None = None,
) -> int:
    """Time and print every kernel; return 1 if a contestant failed or computed something else.

    Parameters
    ----------
    arguments : argparse.Namespace
        The command line's.
    module : str
        Knows the contestants.
    contestants, kernels : sequence of str
        The table has the others' times over the first contestant's.
    best : float or None
        The processor's GFLOP/s, where they were measured.
    """
    heads = [*(f"{name:>13}" for name in contestants), *(f"{n[:8]:>8}" for n in contestants[1:])]
    found: list[Row] = []
    with started(module, contestants, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        print("", f"{'':26} " + " ".join(heads), sep="\n", flush=True)
        for kernel in kernels:
            rows = measure(remotes, [kernel], arguments.rounds)
            compare(rows)
            print(line(rows, best), flush=True)
            found += rows
    entries = [entry(row) for row in found]
    write(arguments.json, {"setting": properties, "peak": best, "rows": entries})
    return status(found)


def main() -> int:
    """Run the benchmark; return 1 if a contestant failed or computed something else."""
    made = parser(__doc__, rounds=7)
    told = "such as dense:32x64x64 sigma:65536:tanh"
    made.add_argument("--kernels", nargs="+", help=told)
    made.add_argument("--bf16", action="store_true", help="products with factors of bfloat16")
    arguments = parsed(made)
    best = processor.peak(arguments.threads, arguments.bf16)
    kernels = arguments.kernels or (BF16_KERNELS if arguments.bf16 else KERNELS)
    return run(arguments, "kernel_cases", CONTESTANTS, kernels, best)


if __name__ == "__main__":
    sys.exit(main())
