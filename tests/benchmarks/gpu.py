"""Time one training step of nnpoly on a GPU beside torch, eager, compiled and in CUDA graphs.

Each contestant runs in a process of its own; they take turns, in short blocks, and a contestant
that is not being timed is stopped. Needs an NVIDIA GPU. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import numpy as np
from by_numpy import Numpy
from gpu_contestant import PRECISIONS
from gpu_worker import CONTESTANTS
from problem import Problem, parse_network
from remote import Remote
from roofline import work
from step import agree, cpu
from worker import CHECK_STEPS, check_rate

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
class Row:
    """One contestant's result for one network and precision.

    Parameters
    ----------
    network, contestant, precision : str
        Which.
    losses : list of float
        Before the first checked step and after each.
    steps : int
        In a block.
    us, wall_us : list of float
        Microseconds a step, by the device's events and by the host's clock, a round an entry.
    path : str
        What ran.
    share : float or None
        The roofline's time over the median.
    fault : str
        Why there is no result, or why it does not count.
    """

    network: str
    contestant: str
    precision: str
    losses: list[float] = field(default_factory=list)
    steps: int = 0
    us: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)
    path: str = ""
    share: float | None = None
    fault: str = ""

    def __str__(self) -> str:
        if not self.us:
            return f"{self.contestant:20} {self.fault}"
        times = f"{min(self.us):11.2f} {median(self.us):11.2f} {median(self.wall_us):11.2f}"
        share = f"{100 * self.share:6.1f} %" if self.share else f"{'-':>8}"
        losses = f"{self.losses[0]:.6f} -> {self.losses[-1]:.6f}"
        return f"{self.contestant:20} {times} {share}   {losses}  {self.fault}".rstrip()


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

    def share(self, row: Row) -> float | None:
        """Return the roofline's time over a row's median.

        Parameters
        ----------
        row : Row
            With at least one sample.

        Returns
        -------
        float or None
            None without a peak of the row's precision.
        """
        if row.precision not in self.peaks:
            return None
        widths, _, n = parse_network(row.network)
        least = work(widths, n).seconds(self.peaks[row.precision], self.bandwidth)
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
            reply = remote.ask("speeds", precision=precision)
            found.bandwidth = max(found.bandwidth, reply.get("bandwidth") or 0.0)
            if peak := reply.get("peak"):
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
    rate = check_rate(problem)
    wide = replace(
        problem,
        weights=[W.astype(np.float64) for W in problem.weights],
        biases=[b.astype(np.float64) for b in problem.biases],
        x=problem.x.astype(np.float64),
    )
    numpy = Numpy(wide, rate)
    return [float(numpy.step()) for _ in range(CHECK_STEPS + 1)]


def measure(network: str, precision: str, remotes: list[Remote], rounds: int) -> list[Row]:
    """Check and time every contestant on one network.

    Parameters
    ----------
    network, precision : str
        Which.
    remotes : list of Remote
        The contestants.
    rounds : int
        Blocks each; a round asks every contestant for one, in random order.

    Returns
    -------
    list of Row
        In the contestants' order.
    """
    rows = {remote: prepare(network, precision, remote) for remote in remotes}
    for _ in range(rounds):
        for remote in random.sample(remotes, len(remotes)):
            time_block(remote, rows[remote])
    for row in rows.values():
        if not row.fault and not agree(row.losses, reference(network), TOLERANCE[precision]):
            row.fault = "MISMATCH"
    return list(rows.values())


def prepare(network: str, precision: str, remote: Remote) -> Row:
    """Build a contestant and check its steps.

    Parameters
    ----------
    network, precision : str
        Which.
    remote : Remote
        The contestant; one that cannot run is not asked.

    Returns
    -------
    Row
        Without times.
    """
    reply = {"fault": remote.fault}
    if not remote.fault:
        reply = remote.ask("prepare", network=network, precision=precision)
    return Row(network, remote.name, precision, **reply)


def time_block(remote: Remote, row: Row) -> None:
    """Add one sample to a row that is without fault so far.

    Parameters
    ----------
    remote : Remote
        The contestant.
    row : Row
        Its row; changed.
    """
    if row.fault:
        return
    reply = remote.ask("block", steps=row.steps)
    row.fault = reply.get("fault", "")
    if not row.fault:
        row.us.append(reply["us"])
        row.wall_us.append(reply["wall_us"])


def report(
    network: str, precision: str, remotes: list[Remote], rounds: int, speeds: Speeds
) -> list[Row]:
    """Measure one network and print its part of the table.

    Parameters
    ----------
    network, precision, remotes, rounds
        As for `measure`.
    speeds : Speeds
        Of the device.

    Returns
    -------
    list of Row
        What was printed.
    """
    columns = f"{'min us':>11} {'median us':>11} {'wall us':>11} {'roofline':>8}   loss"
    print(f"\n{network} {precision}\n{'':20} {columns}", flush=True)
    rows = measure(network, precision, remotes, rounds)
    for row in rows:
        row.share = speeds.share(row) if row.us else None
    print(*rows, sep="\n", flush=True)
    return rows


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


def describe(rounds: int, remotes: list[Remote], speeds: Speeds) -> dict[str, str]:
    """Say what is measured on which machine.

    Parameters
    ----------
    rounds : int
        The setting.
    remotes : list of Remote
        The contestants, with the versions they reported.
    speeds : Speeds
        Of the device.

    Returns
    -------
    dict of str to str
        Property to value; the clocks are those after the device's speeds were measured.
    """
    setting = gpu() | {"cpu": cpu(), "python": platform.python_version(), "rounds": str(rounds)}
    for remote in remotes:
        setting |= remote.versions
    for precision, peak in speeds.peaks.items():
        setting[f"largest product, {precision}"] = f"{peak / 1e12:.1f} TFLOP/s"
    setting["copy, read and written"] = f"{speeds.bandwidth / 1e9:.0f} GB/s"
    return setting | {"commit": commit(), "date": datetime.now(UTC).date().isoformat()}


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


def keep(path: Path | None, setting: dict[str, str], rows: list[Row]) -> None:
    """Write the evidence so far, so that an interrupted run leaves what it measured.

    Parameters
    ----------
    path : Path or None
        A JSON file that may hold earlier runs; None for nowhere.
    setting : dict of str to str
        Of this run.
    rows : list of Row
        Of this run.
    """
    if path is None:
        return
    document = json.loads(path.read_text()) if path.exists() else {"runs": []}
    run = {"setting": setting, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(merged(document, run), indent=1) + "\n")


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would only fail later.

    Parameters
    ----------
    arguments : argparse.Namespace
        From the command line.
    """
    if arguments.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {arguments.rounds}")
    if unknown := set(arguments.contestants) - set(CONTESTANTS):
        raise ValueError(f"--contestants: {sorted(unknown)} are not of {list(CONTESTANTS)}")
    for network in arguments.networks:
        parse_network(network)


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    words : list of str or None
        None for the process's own.

    Returns
    -------
    argparse.Namespace
        Checked.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=list(NETWORKS), help=f"default: {' '.join(NETWORKS)}")
    add("--contestants", nargs="+", default=DEFAULTS, help=f"of {', '.join(CONTESTANTS)}")
    add("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    add("--rounds", type=int, default=7, help="blocks of 50 ms each, default: %(default)s")
    add("--minutes", type=float, default=8, help="start nothing later, default: %(default)s")
    add("--json", type=Path, help="also add every sample to this file's")
    arguments = parser.parse_args(words)
    try:
        check(arguments)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def start(name: str) -> Remote:
    """Start a contestant.

    Parameters
    ----------
    name : str
        A key of `gpu_worker.CONTESTANTS`.

    Returns
    -------
    Remote
        In a process that may compile with all CPUs.
    """
    threads = {"TORCHINDUCTOR_COMPILE_THREADS": str(os.cpu_count())}
    return Remote(name, 1, "gpu_worker.py", threads | CONTESTANTS[name][2])


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
    began, rows = monotonic(), []
    with ExitStack() as stack:
        remotes = [stack.enter_context(start(name)) for name in arguments.contestants]
        ready = [remote for remote in remotes if not remote.fault]
        if not ready:
            print("This benchmark needs an NVIDIA GPU and CuPy or torch with CUDA:")
            print(*(f"  {remote.name:20} {remote.fault}" for remote in remotes), sep="\n")
            return NO_GPU
        speeds = measure_speeds(ready, arguments.precisions)
        setting = describe(arguments.rounds, ready, speeds)
        print(*(f"{key}: {value}" for key, value in setting.items()), sep="\n")
        for precision in arguments.precisions:
            for network in arguments.networks:
                if monotonic() - began > 60 * arguments.minutes:
                    print(f"\n{network} {precision}: left out, --minutes are over")
                    continue
                rows += report(network, precision, remotes, arguments.rounds, speeds)
                keep(arguments.json, setting, rows)
    return int(any(row.fault and not row.fault.startswith("unavailable") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
