"""Time one training step of nnpoly beside hand-written NumPy, torch and JAX.

Each contestant runs in a process of its own; they take turns, in short blocks, and a contestant
that is not being timed is stopped. See README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from command import parsed, parser, setting, show, started, status, write
from problem import NETWORKS, parse_network
from remote import Remote, Row, measure
from step_cases import CONTESTANTS

REFERENCE = "numpy"  # always runs
DEFAULTS = ["nnpoly", "nnpoly-fit", "torch", "torch-compile", "jax"]
TOLERANCE = 1e-4
ROUNDED = 2e-2  # of contestants in bfloat16, whose factors are off by up to 2^-8


def compare(rows: Sequence[Row]) -> dict[str, float]:
    """Mark the rows of one network whose losses differ from the reference's.

    Returns
    -------
    dict of str to float
        By contestant: its median over the reference's.
    """
    reference = next(row for row in rows if row.contestant == REFERENCE)
    ratios = {}
    for row in (row for row in rows if not row.fault):
        if reference.fault:
            row.fault = f"UNCHECKED: no {REFERENCE} to compare with"
            continue
        ratios[row.contestant] = median(row.us) / median(reference.us)
        tolerance = ROUNDED if row.contestant.endswith("-bf16") else TOLERANCE
        if not agree(row.facts["losses"], reference.facts["losses"], tolerance):
            row.fault = "MISMATCH"
    return ratios


def agree(losses: list[float], expected: list[float], tolerance: float = TOLERANCE) -> bool:
    """Whether each loss is within the relative tolerance; NaN agrees with nothing."""
    pairs = zip(losses, expected, strict=True)
    return all(abs(loss - right) <= tolerance * abs(right) for loss, right in pairs)


def line(row: Row, ratio: float | None) -> str:
    """Return a contestant's line of a network's table."""
    if not row.us:
        return f"{row.contestant:14}  {row.fault}"
    first, *_, last = row.facts["losses"]
    times = f"{min(row.us):12.2f} {median(row.us):12.2f}"
    over = f"{ratio:8.2f}" if ratio else f"{'-':>8}"
    return f"{row.contestant:14} {times} {over}   {first:.7f} -> {last:.7f}  {row.fault}".rstrip()


def entry(row: Row, ratio: float | None) -> dict[str, Any]:
    """Return what the evidence has of a row."""
    return {
        "network": row.case,
        "contestant": row.contestant,
        "losses": row.facts.get("losses", []),
        "steps": row.facts.get("steps", 0),
        "us": row.us,
        "ratio": ratio,
        "fault": row.fault,
    }


def report(network: str, remotes: list[Remote], rounds: int) -> tuple[list[Row], list[Any]]:
    """Measure one network and print its table; return its rows, also as the evidence has them."""
    columns = f"{'min us':>12} {'median us':>12} {'x ' + REFERENCE:>8}   loss"
    print(f"\n{network}\n{'':14} {columns}", flush=True)
    rows = measure(remotes, [network], rounds)
    ratios = compare(rows)
    print(*(line(row, ratios.get(row.contestant)) for row in rows), sep="\n", flush=True)
    return rows, [entry(row, ratios.get(row.contestant)) for row in rows]


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would only fail later."""
    if unknown := set(arguments.contestants) - set(CONTESTANTS):
        raise ValueError(f"--contestants: {unknown} are not of {list(CONTESTANTS)}")
    for network in arguments.networks:
        parse_network(network)


def main() -> int:
    """Run the benchmark; return 1 if a contestant failed or computed something else."""
    made = parser(__doc__, rounds=11)
    add = made.add_argument
    add("--networks", nargs="+", default=NETWORKS, help=f"default: {' '.join(NETWORKS)}")
    add("--contestants", nargs="+", default=DEFAULTS, help=f"of {', '.join(CONTESTANTS)}")
    arguments = parsed(made, check=check)
    names = dict.fromkeys([REFERENCE, *arguments.contestants])
    found, entries = [], []
    with started("step_cases", names, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        for network in arguments.networks:
            rows, of_network = report(network, remotes, arguments.rounds)
            found += rows
            entries += of_network
    write(arguments.json, {"setting": properties, "rows": entries})
    return status(found)


if __name__ == "__main__":
    sys.exit(main())
