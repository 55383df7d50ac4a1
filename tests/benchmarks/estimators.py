"""Estimators beside scikit-learn's MLP: test scores, seconds of fit; a grid search; a stream.

The same architecture, optimiser and stopping rule: scikit-learn's defaults (a hidden layer of 100,
relu, Adam, batches of 200, at most 200 epochs), inputs standardised, a quarter held out. A process
for each contestant, the others stopped meanwhile; data sets and seeds in turn. See README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, median, stdev
from typing import Any

from command import parsed, parser, setting, show, started, write
from remote import Row, measure

SETS = ["digits", "breast cancer", "wine", "diabetes", "synthetic"]
CONTESTANTS = [
    "scikit-learn",
    "nnpoly",
    "nnpoly, NumPy alone",
    "scikit-learn, float32",
    "nnpoly, float32",
]


STREAM = 2_000_000  # rows
GRID = 20_000  # rows
JOBS = ["nnpoly, n_jobs=1", "nnpoly, n_jobs=2"]


def entry(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the evidence has of a data set: every contestant's samples, a seed an entry."""
    for row in rows:
        if row.fault:
            raise SystemExit(f"{row.contestant}, {row.case}: {row.fault}")
    named = {"set": rows[0].case, "shape": rows[0].facts["shape"]}
    return named | {row.contestant: row.samples for row in rows}


def line(row: dict[str, Any]) -> str:
    """Return a row as text: scores, scikit-learn's seconds, and how many times those of ours."""
    theirs, ours, plain, theirs_32, ours_32 = (row[name] for name in CONTESTANTS)
    return (
        f"{row['set']:14} {mean_and_error(theirs['score'])}  {mean_and_error(ours['score'])}"
        f"  {median(theirs['seconds']):8.3f} s  {ratio(theirs, ours):6.1f}x"
        f"  {ratio(theirs, plain):6.1f}x  {ratio(theirs_32, ours_32):6.1f}x"
    )


def mean_and_error(scores: list[float]) -> str:
    """Return the mean and its standard error."""
    return f"{fmean(scores):.4f} +- {stdev(scores) / sqrt(len(scores)):.4f}"


def ratio(theirs: dict[str, Any], ours: dict[str, Any]) -> float:
    """Return how many times as long the others took, by medians."""
    return median(theirs["seconds"]) / median(ours["seconds"])


def search(row: Row) -> dict[str, Any]:
    """Return what the evidence has of a grid search: every round's mean seconds of a fit."""
    if row.fault:
        raise SystemExit(f"{row.contestant}, {row.case}: {row.fault}")
    return {"contestant": row.contestant, **row.facts, **row.samples}


def check(arguments: argparse.Namespace) -> None:
    """Refuse what has no standard error."""
    if arguments.rounds < 2:
        raise ValueError(f"--rounds must be at least 2, got {arguments.rounds}")


def main() -> int:
    """Run it all."""
    made = parser(__doc__, rounds=10)
    add = made.add_argument
    add("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET", help=", ".join(SETS))
    add("--stream", type=int, default=STREAM, help="rows of the stream, default: %(default)s")
    arguments = parsed(made, check=check)
    rows = []
    with started("estimator_cases", CONTESTANTS, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        print("set, scores of scikit-learn and nnpoly, seconds of scikit-learn, which are so many")
        print("times those of nnpoly, of nnpoly without its C core, and both in float32")
        for name in arguments.sets:
            rows.append(entry(measure(remotes, [name], arguments.rounds)))
            print(line(rows[-1]), flush=True)
    with started("estimator_cases", JOBS, arguments.threads) as remotes:
        grid = [search(row) for row in measure(remotes, [f"grid:{GRID}"], arguments.rounds)]
    for row in grid:
        seconds, whole = median(row["seconds"]), median(row["whole"])
        print(f"a grid search, {row['contestant']}: {seconds:.3f} s a fit, {whole:.2f} s in all")
    with started("estimator_cases", ["nnpoly"], arguments.threads) as remotes:
        [row] = measure(remotes, [f"stream:{arguments.stream}"], 1)
    if row.fault:
        raise SystemExit(f"stream: {row.fault}")
    stream = row.facts | {name: values[0] for name, values in row.samples.items()}
    print("a stream of {rows:,} rows: {seconds:.1f} s, {megabytes:.1f} MB more".format(**stream))
    write(arguments.json, {"setting": properties, "rows": rows, "grid": grid, "stream": stream})
    return 0


if __name__ == "__main__":
    sys.exit(main())
