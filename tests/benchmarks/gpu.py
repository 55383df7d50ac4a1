"""Time one training step of nnpoly on a GPU beside torch, eager, compiled and in CUDA graphs.

Each contestant runs in a process of its own; they take turns, in short blocks, and a contestant
that is not being timed is stopped. Needs an NVIDIA GPU. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import numpy as np
from by_numpy import Numpy
from command import parsed, parser, setting, show, status, write
from gpu_cases import CONTESTANTS, SPEEDS
from gpu_contestant import PRECISIONS
from problem import Problem, check_rate, checked_losses, parse_network
from remote import Remote, Row, measure
from roofline import work
from step import agree

NETWORKS = (
    "2-8-2:tanh:b4",
    "16-64-64-10:tanh:b32",
    "64-100-10:relu:b200",
    "784-512-512-10:relu:b128",
    "1024-1024-1024-1024-1024:relu:b1024",
    "4096-4096-4096-4096-4096:relu:b8192",
)
DEFAULTS = [name for name in CONTESTANTS if name != "torch-graph-8"]
TOLERANCE = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 2e-2}
NO_GPU = 2  # the exit status
SMI = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"


@dataclass
class Speeds:
    """What the device was measured to do.

    Parameters
    ----------
    peaks : dict of str to float
        FLOP/s of a large product, by precision.
    bandwidth : float
        Bytes/s of a copy, read and written; 0 if it was not measured.
    """

    peaks: dict[str, float] = field(default_factory=dict)
    bandwidth: float = 0.0

    def share(self, row: Row, precision: str) -> float | None:
        """Return the roofline's time over a row's median; None without the precision's peak."""
        if precision not in self.peaks:
            return None
        widths, _, n = parse_network(row.case)
        least = work(widths, n).seconds(self.peaks[precision], self.bandwidth)
        return 1e6 * least / median(row.us)


def measure_speeds(remotes: list[Remote], precisions: list[str]) -> Speeds:
    """Ask the contestants for the device's speeds, torch before CuPy, until one knows.

    Parameters
    ----------
    remotes : list of Remote
        The contestants that run.
    precisions : list of str
        Of the products.

    Returns
    -------
    Speeds
        Without the peaks that none could measure.
    """
    found = Speeds()
    for precision in precisions:
        for remote in sorted(remotes, key=lambda remote: "torch" not in remote.versions):
            [row] = remote.prepare([SPEEDS], precision=precision)
            found.bandwidth = max(found.bandwidth, row.facts.get("bandwidth") or 0.0)
            if peak := row.facts.get("peak"):
                found.peaks[precision] = peak
                break
    return found


@cache
def reference(network: str) -> list[float]:
    """Take the checked steps in float64.

    Parameters
    ----------
    network : str
        As `problem.parse_network` reads it.

    Returns
    -------
    list of float
        The losses before the first step and after each.
    """
    problem = Problem.parse(network)
    wide = replace(
        problem,
        weights=[W.astype(np.float64) for W in problem.weights],
        biases=[b.astype(np.float64) for b in problem.biases],
        x=problem.x.astype(np.float64),
    )
    return checked_losses(Numpy(wide, check_rate(problem)))


def compared(network: str, precision: str, remotes: list[Remote], rounds: int) -> list[Row]:
    """Time every contestant on one network, and mark those whose losses are not the reference's."""
    rows = measure(remotes, [network], rounds, precision=precision)
    for row in rows:
        right = row.fault or agree(row.facts["losses"], reference(network), TOLERANCE[precision])
        row.fault = row.fault if right else "MISMATCH"
    return rows


def line(row: Row, share: float | None) -> str:
    """Return a contestant's line of a network's table."""
    if not row.us:
        return f"{row.contestant:20} {row.fault}"
    first, *_, last = row.facts["losses"]
    times = f"{min(row.us):11.2f} {median(row.us):11.2f} {median(row.samples['wall_us']):11.2f}"
    over = f"{100 * share:6.1f} %" if share else f"{'-':>8}"
    return f"{row.contestant:20} {times} {over}   {first:.6f} -> {last:.6f}  {row.fault}".rstrip()


def entry(row: Row, precision: str, share: float | None) -> dict[str, Any]:
    """Return what the evidence has of a row."""
    return {
        "network": row.case,
        "contestant": row.contestant,
        "precision": precision,
        "losses": row.facts.get("losses", []),
        "steps": row.facts.get("steps", 0),
        "us": row.us,
        "wall_us": row.samples.get("wall_us", []),
        "path": row.facts.get("path", ""),
        "share": share,
        "fault": row.fault,
    }


def report(
    network: str, precision: str, remotes: list[Remote], rounds: int, speeds: Speeds
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Measure one network and print its table; return its rows, also as the evidence has them."""
    columns = f"{'min us':>11} {'median us':>11} {'wall us':>11} {'roofline':>8}   loss"
    print(f"\n{network} {precision}\n{'':20} {columns}", flush=True)
    rows = compared(network, precision, remotes, rounds)
    shares = [speeds.share(row, precision) if row.us else None for row in rows]
    print(*map(line, rows, shares), sep="\n", flush=True)
    entries = [entry(row, precision, share) for row, share in zip(rows, shares, strict=True)]
    return rows, entries


def told(*command: str) -> str:
    """Return what a program prints, or "" where it cannot be run.

    Parameters
    ----------
    *command : str
        The program and its arguments; run in this folder.

    Returns
    -------
    str
        Its output.
    """
    try:
        ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def gpu() -> dict[str, str]:
    """Ask nvidia-smi about the first GPU.

    Returns
    -------
    dict of str to str
        Property to value; empty where nvidia-smi cannot be run.
    """
    lines = told("nvidia-smi", "-i", "0", f"--query-gpu={SMI}", "--format=csv,noheader")
    values = [value.strip() for value in lines.splitlines()[0].split(",")] if lines else []
    names = ["gpu", "driver", "clock", "highest clock", "memory clock", "power limit"]
    return dict(zip(names, values, strict=False))


def commit() -> str:
    """Name the commit that is measured.

    Returns
    -------
    str
        Its hash, and whether the working tree differs from it.
    """
    name = told("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = told("git", "status", "--porcelain", "--untracked-files=no")
    return f"{name}, with changes" if changed else name


def describe(
    arguments: argparse.Namespace, remotes: list[Remote], speeds: Speeds
) -> dict[str, str]:
    """Return what is measured on which machine: property to value.

    The clocks are those after the device's speeds were measured.
    """
    properties = gpu() | setting(arguments, remotes)
    for precision, peak in speeds.peaks.items():
        properties[f"largest product, {precision}"] = f"{peak / 1e12:.1f} TFLOP/s"
    properties["copy, read and written"] = f"{speeds.bandwidth / 1e9:.0f} GB/s"
    return properties | {"commit": commit(), "date": datetime.now(UTC).date().isoformat()}


def merged(document: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Add a run to the evidence; what it measured again replaces what was there.

    Parameters
    ----------
    document : dict
        "status", and "runs" with "setting" and "rows" each.
    run : dict
        One more.

    Returns
    -------
    dict
        A new document.
    """

    def group(row: dict[str, Any]) -> tuple[str, str]:
        return row["network"], row["precision"]

    again = {group(row) for row in run["rows"]}
    kept = [
        old | {"rows": [row for row in old["rows"] if group(row) not in again]}
        for old in document["runs"]
    ]
    return {"status": "measured", "runs": [*(old for old in kept if old["rows"]), run]}


def keep(path: Path | None, properties: dict[str, str], entries: list[dict[str, Any]]) -> None:
    """Write the evidence so far, so that an interrupted run leaves what it measured.

    Parameters
    ----------
    path : Path or None
        A JSON file that may hold earlier runs; None for nowhere.
    properties : dict of str to str
        Of this run.
    entries : list of dict
        Of this run.
    """
    if path is None:
        return
    document = json.loads(path.read_text()) if path.exists() else {"runs": []}
    write(path, merged(document, {"setting": properties, "rows": entries}))


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would only fail later."""
    if unknown := set(arguments.contestants) - set(CONTESTANTS):
        raise ValueError(f"--contestants: {sorted(unknown)} are not of {list(CONTESTANTS)}")
    for network in arguments.networks:
        parse_network(network)


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments; words: the command line, or None for the process's own."""
    made = parser(__doc__, rounds=7, threads=False)
    add = made.add_argument
    add("--networks", nargs="+", default=list(NETWORKS), help=f"default: {' '.join(NETWORKS)}")
    add("--contestants", nargs="+", default=DEFAULTS, help=f"of {', '.join(CONTESTANTS)}")
    add("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    add("--minutes", type=float, default=8, help="start nothing later, default: %(default)s")
    return parsed(made, words, check)


def start(name: str) -> Remote:
    """Start a contestant in a process that may compile with all CPUs."""
    threads = {"TORCHINDUCTOR_COMPILE_THREADS": str(os.cpu_count())}
    return Remote("gpu_cases", name, 1, threads | CONTESTANTS[name][2])


def main(words: list[str] | None = None, start: Callable[[str], Remote] = start) -> int:
    """Run the benchmark.

    Parameters
    ----------
    words : list of str or None
        The command line; None for the process's own.
    start : callable
        Starts a contestant.

    Returns
    -------
    int
        2 if no contestant finds a GPU; 1 if one failed or computed something else; else 0: one
        that is not installed is no failure.
    """
    arguments = parse_arguments(words)
    began, found, entries = monotonic(), [], []
    with ExitStack() as stack:
        remotes = [stack.enter_context(start(name)) for name in arguments.contestants]
        ready = [remote for remote in remotes if not remote.fault]
        if not ready:
            print("This benchmark needs an NVIDIA GPU and CuPy or torch with CUDA:")
            print(*(f"  {remote.name:20} {remote.fault}" for remote in remotes), sep="\n")
            return NO_GPU
        speeds = measure_speeds(ready, arguments.precisions)
        properties = describe(arguments, ready, speeds)
        show(properties)
        for precision in arguments.precisions:
            for network in arguments.networks:
                if monotonic() - began > 60 * arguments.minutes:
                    print(f"\n{network} {precision}: left out, --minutes are over")
                    continue
                rows, more = report(network, precision, remotes, arguments.rounds, speeds)
                found += rows
                entries += more
                keep(arguments.json, properties, entries)
    return status(found)


if __name__ == "__main__":
    sys.exit(main())
