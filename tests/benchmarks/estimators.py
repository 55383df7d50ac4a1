"""Estimators beside scikit-learn's MLP: test scores, seconds of fit, and the memory of a stream.

The same architecture, optimiser and stopping rule: scikit-learn's defaults (a hidden layer of 100,
relu, Adam, batches of 200, at most 200 epochs), inputs standardised, a quarter held out. A process
for each contestant, the others stopped meanwhile; data sets and seeds in turn. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from remote import Remote
from step import cpu

SETS = ["digits", "breast cancer", "wine", "diabetes", "synthetic"]
CONTESTANTS = [
    "scikit-learn",
    "nnpoly",
    "nnpoly, NumPy alone",
    "scikit-learn, float32",
    "nnpoly, float32",
]


def measure(remotes: list[Remote], name: str, seeds: int) -> dict[str, Any]:
    """Return a data set's row: scores, seconds and epochs of every contestant, a seed an entry."""
    row: dict[str, Any] = {"set": name}
    for remote in remotes:
        row |= {"shape": remote.ask("warm_up", name=name)["shape"]}
    for seed in range(seeds):
        for remote in remotes:
            reply = remote.ask("fit", name=name, seed=seed)
            if "fault" in reply:
                raise SystemExit(f"{remote.name}, {name}: {reply['fault']}")
            for key, value in reply.items():
                row.setdefault(remote.name, {}).setdefault(key, []).append(value)
    return row


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


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET", help=", ".join(SETS))
    add("--seeds", type=int, default=10, help="default: %(default)s")
    add("--threads", type=int, default=2, help="of each contestant, default: %(default)s")
    add("--json", type=Path, help="also write every sample to this file")
    arguments = parser.parse_args()
    setting = {"cpu": cpu(), "threads": str(arguments.threads), "seeds": str(arguments.seeds)}
    setting |= {name: version(name) for name in ("numpy", "scikit-learn", "nnpoly")}
    setting["load"] = f"{os.getloadavg()[0]:.2f}"
    print(*(f"{key}: {value}" for key, value in setting.items()), sep="\n")
    print(
        "set, scores of scikit-learn and nnpoly, seconds of scikit-learn, which are so many times"
    )
    print("those of nnpoly, of nnpoly without its C core, and both in float32")
    rows = []
    with ExitStack() as stack:
        remotes = [
            stack.enter_context(Remote(name, arguments.threads, "estimators_worker.py"))
            for name in CONTESTANTS
        ]
        for name in arguments.sets:
            rows.append(measure(remotes, name, arguments.seeds))
            print(line(rows[-1]), flush=True)
    with Remote("nnpoly", arguments.threads, "estimators_worker.py") as remote:
        stream = remote.ask("stream", rows=2_000_000)
    print("a stream of {rows:,} rows: {seconds:.1f} s, {megabytes:.1f} MB more".format(**stream))
    if arguments.json:
        document = {"setting": setting, "rows": rows, "stream": stream}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
