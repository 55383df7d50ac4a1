"""Networks for tables beside boosted trees: errors on rows held out, seconds and memory.

RealMLP here and in pytabkit, TabM, plain MLPs, and four libraries of boosted trees, all with their
defaults, on real tables that come inside packages. A round is a seed: it decides the split and the
start. Each contestant has a process of its own; they take turns, and the others are stopped
meanwhile. See README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from command import parsed, parser, setting, show, started, status, write
from remote import Row, measure
from scipy.stats import rankdata
from table_sets import SETS
from tables_cases import CONTESTANTS

OURS, THEIRS = "nnpoly RealMLP", "pytabkit RealMLP-TD"


def entry(row: Row) -> dict[str, Any]:
    """Return what the evidence has of a contestant on a set: a seed an entry."""
    named = {"set": row.case, "contestant": row.contestant, "fault": row.fault}
    return named | row.facts | row.samples


def line(row: dict[str, Any]) -> str:
    """Return a contestant's line: its mean error, and medians of seconds and memory."""
    head = f"  {row['contestant']:22}"
    if row["fault"]:
        return f"{head} {row['fault']}"
    return (
        f"{head} {fmean(row['error']):8.4f}  fit {median(row['fit']):8.2f} s  "
        f"{1e3 * median(row['predict']):8.1f} ms  {median(row['megabytes']):6.0f} MB"
    )


def errors(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each set's mean errors by contestant, of sets on which all ran and none failed.

    The means are over the seeds that all contestants had on the set.
    """
    found: dict[str, dict[str, list[float]]] = {}
    names = set()
    for row in rows:
        names.add(row["contestant"])
        found.setdefault(row["set"], {})
        if not row["fault"]:
            found[row["set"]][row["contestant"]] = row["error"]
    means = {}
    for name, of in found.items():
        if of.keys() == names:
            seeds = min(map(len, of.values()))
            means[name] = {contestant: fmean(error[:seeds]) for contestant, error in of.items()}
    return means


def mean_ranks(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return each contestant's mean rank over the sets; equal errors share theirs."""
    ranks: dict[str, list[float]] = {}
    for of in found.values():
        for name, rank in zip(of, rankdata(list(of.values())), strict=True):
            ranks.setdefault(name, []).append(float(rank))
    return {name: fmean(values) for name, values in ranks.items()}


def above_best(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return how far each contestant's error is above the least one, in the mean over the sets."""
    names = next(iter(found.values()))
    ratios = {n: [of[n] / max(min(of.values()), 1e-12) for of in found.values()] for n in names}
    return {name: fmean(values) - 1.0 for name, values in ratios.items()}


def wins(
    found: dict[str, dict[str, float]], first: str, second: str, draws: int = 10_000
) -> tuple[float, float, float]:
    """Return the share of sets on which `first` has the smaller error, and its 95 % interval.

    Equal errors count half; the interval is a bootstrap's over the sets.
    """
    points = [
        1.0 if of[first] < of[second] else 0.5 * (of[first] == of[second]) for of in found.values()
    ]
    rng = np.random.default_rng(0)
    drawn = rng.choice(points, (draws, len(points))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return fmean(points), float(low), float(high)


def rows_of(path: Path | None) -> list[dict[str, Any]]:
    """Return the rows of a file of evidence, if there is one already."""
    if path is None or not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def joined(before: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a file and new ones, which take the place of those measured again."""
    kept = {(row["set"], row["contestant"]): row for row in before}
    return list((kept | {(row["set"], row["contestant"]): row for row in new}).values())


def told(rows: list[dict[str, Any]]) -> str:
    """Return the whole: ranks, errors above the best, and wins over pytabkit's RealMLP."""
    found = errors(rows)
    if not found:
        return "no set on which all contestants ran"
    ranks, above = mean_ranks(found), above_best(found)
    lines = [f"{len(found)} sets: mean rank, and error above the best"]
    lines += [f"  {n:22} {ranks[n]:5.2f}  {above[n]:7.1%}" for n in sorted(ranks, key=ranks.get)]
    if {OURS, THEIRS} <= ranks.keys():
        share, low, high = wins(found, OURS, THEIRS)
        ratio = fmean(of[OURS] / max(of[THEIRS], 1e-12) for of in found.values())
        lines.append(f"{OURS} over {THEIRS}: wins {share:.0%} ({low:.0%} to {high:.0%}), ")
        lines[-1] += f"errors {ratio:.3f} times as large in the mean"
    return "\n".join(lines)


def run(
    module: str,
    names: list[str],
    arguments: argparse.Namespace,
    told: Callable[[list[dict[str, Any]]], str],
) -> int:
    """Have a module's contestants fit each set; print and keep what they did, and the whole of it.

    Returns the exit status.
    """
    before, found = rows_of(arguments.json), list[Row]()
    with started(module, names, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        for name in arguments.sets:
            rows = measure(remotes, [name], arguments.rounds)
            print(name, *(line(entry(row)) for row in rows), sep="\n", flush=True)
            found += rows
            entries = joined(before, [entry(row) for row in found])
            write(arguments.json, {"setting": properties, "rows": entries})
    print(told(entries))
    return status(found)


def main() -> int:
    """Run it all; the status is 1 where a contestant failed."""
    made = parser(__doc__, rounds=5)
    add = made.add_argument
    add("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET", help=", ".join(SETS))
    names = list(CONTESTANTS)
    told_names = ", ".join(names)
    add("--contestants", nargs="+", choices=names, default=names, metavar="NAME", help=told_names)
    arguments = parsed(made)
    return run("tables_cases", arguments.contestants, arguments, told)


if __name__ == "__main__":
    sys.exit(main())
