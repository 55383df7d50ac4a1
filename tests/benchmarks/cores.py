"""Time a training step with 1, 2, 4, ... threads, and what it costs to share work among them.

Each number of threads has a process of its own; they take turns. Losses must have the same bits.
The last column is what scaling.py predicts from the step with one thread. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import processor
from command import parsed, parser, setting, show, status, write
from problem import NETWORKS, parse_network
from remote import Remote, Row, measure
from scaling import Times, counts, shares, wake_up

COSTS = ("awake", "asleep", "waking", "line")
MODELLED = counts(64)
SMALLEST = NETWORKS[0]  # almost all of its step is the call


def compare(rows: Sequence[Row]) -> None:
    """Mark the rows of one network whose losses have other bits than those of one thread."""
    first, *others = rows
    for row in (row for row in others if not row.fault):
        if first.fault:
            row.fault = "UNCHECKED: no thread alone to compare with"
        elif row.facts["losses"] != first.facts["losses"]:
            row.fault = "MISMATCH"


def entry(row: Row) -> dict[str, Any]:
    """Return what the evidence has of a row, once it is measured."""
    return {
        "network": row.case,
        "threads": int(row.contestant),
        "shared_by": row.samples.get("shared_by", []),
        "us": row.us,
        "load": round(os.getloadavg()[0], 2),
        "fault": row.fault,
    }


def merged(before: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with the rows of networks that it does not have itself from one before."""
    measured = {row["network"] for row in document["rows"]}
    kept = [row for row in before.get("rows", []) if row["network"] not in measured]
    return document | {"rows": kept + document["rows"]}


def times(document: dict[str, Any], network: str) -> Times | None:
    """Return what the model needs of a network; None where it was not measured.

    Parameters
    ----------
    document : dict
        The evidence.
    network : str
        One of its.
    """
    rows = [row for row in document["rows"] if row["threads"] == 1 and row["us"]]
    alone = {row["network"]: 1e3 * median(row["us"]) for row in rows}
    if len(document["barriers"]) < 2 or not {network, SMALLEST} <= alone.keys():
        return None
    one, two = document["barriers"][:2]
    hop, line = (median(two[name]) - median(one[name]) for name in ("awake", "line"))
    return Times(alone[network], min(alone[network], alone[SMALLEST]), hop / 2, line)


def predicted(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the model makes of the evidence, for up to 64 threads.

    Parameters
    ----------
    document : dict
        The evidence.

    Returns
    -------
    dict
        Of each network the shares of its step with one thread, and the speed-up and the number of
        threads that take it, by the number that there are; the ns of a barrier, and of one of
        threads that sleep.
    """
    networks: list[dict[str, Any]] = []
    barrier: dict[str, float] = {}
    wake: dict[str, float] = {}
    for network in dict.fromkeys(row["network"] for row in document["rows"]):
        if model := times(document, network):
            speedups = {str(count): model.speedup(network, count) for count in MODELLED}
            networks.append(
                {"network": network, "speedups": speedups, "shares": shares(network, model)}
            )
            waking, asleep = (median(document["barriers"][1][n]) for n in ("waking", "asleep"))
            barrier = {str(count): model.barrier(count) for count in MODELLED}
            wake = {str(count): wake_up(count, waking, asleep) for count in MODELLED}
    return {"networks": networks, "barrier": barrier, "wake": wake}


def line(row: dict[str, Any], first: dict[str, Any], model: Times | None) -> str:
    """Return a line of a network's table: a number of threads."""
    if not row["us"]:
        return f"{row['threads']:7} {row['fault']}"
    us, alone = median(row["us"]), median(first["us"]) if first["us"] else float("nan")
    told = f"{row['threads']:7} {min(row['us']):12.2f} {us:12.2f} {alone / us:8.2f}"
    predicted = f"{model.speedup(row['network'], row['threads'])[0]:9.2f}" if model else f"{'-':>9}"
    return f"{told} {median(row['shared_by']):9.0f} {predicted}  {row['fault']}".rstrip()


def report(document: dict[str, Any], network: str) -> None:
    """Print the table of a network."""
    print(f"\n{network}\nthreads       min us    median us speed-up shared by predicted")
    rows, model = [r for r in document["rows"] if r["network"] == network], times(document, network)
    print(*(line(row, rows[0], model) for row in rows), sep="\n", flush=True)


def barriers(threads: Sequence[int]) -> list[dict[str, Any]]:
    """Measure and print what it costs to share nothing; nothing without a C compiler."""
    found = [{"threads": count} | (processor.barrier(count) or {}) for count in threads]
    found = [row for row in found if "awake" in row]
    told = "with threads that look for work, that sleep, to wake those; to fetch a cache line"
    print(f"\nto share nothing, ns: {told}")
    for row in found:
        told = " ".join(f"{median(row[name]):9.1f}" for name in COSTS)
        print(f"{row['threads']:7} {told}", flush=True)
    return found


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would only fail later."""
    if min(arguments.counts) < 1 or max(arguments.counts) > 256:
        raise ValueError(f"--threads must be from 1 to 256, got {arguments.counts}")
    for network in arguments.networks:
        parse_network(network)


def processors() -> int:
    """Return how many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def remote(threads: int) -> Remote:
    """Start the contestant of so many threads."""
    return Remote("cores_cases", str(threads), threads)


def main(words: Sequence[str] | None = None, start: Callable[[int], Remote] = remote) -> int:
    """Run the benchmark; return 1 if a contestant failed or has other bits.

    Parameters
    ----------
    words : sequence of str or None
        The command line; None for the process's own.
    start : callable
        Starts the contestant of a number of threads.
    """
    made = parser(__doc__, rounds=9, threads=False)
    add = made.add_argument
    told = "1 is always among them; default: 1, 2, 4, ... and the processors"
    add("--threads", dest="counts", nargs="+", type=int, default=counts(processors()), help=told)
    add("--networks", nargs="+", default=NETWORKS, help=f"default: {' '.join(NETWORKS)}")
    arguments = parsed(made, words, check)
    threads = sorted({1, *arguments.counts})
    arguments.threads = threads[-1]  # whose peak is measured
    path: Path | None = arguments.json
    before = json.loads(path.read_text()) if path is not None and path.exists() else {}
    found: list[Row] = []
    with ExitStack() as stack:
        remotes = [stack.enter_context(start(count)) for count in threads]
        properties = setting(arguments, remotes)
        show(properties)
        document = {"setting": properties, "barriers": barriers(threads), "rows": []}
        document = merged(before, document)
        for network in arguments.networks:
            rows = measure(remotes, [network], arguments.rounds)
            compare(rows)
            document = merged(document, document | {"rows": [entry(row) for row in rows]})
            report(document, network)
            found += rows
    write(path, document | {"predicted": predicted(document)})
    return status(found)


if __name__ == "__main__":
    sys.exit(main())
