"""Time one training step of nnpoly beside hand-written NumPy, torch and JAX.

Each contestant runs in a process of its own; they take turns, in short blocks, and a contestant
that is not being timed is stopped. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from problem import NETWORKS, parse_network
from remote import Remote
from worker import CONTESTANTS

REFERENCE = "numpy"  # always runs
DEFAULTS = ["nnpoly", "nnpoly-fit", "torch", "torch-compile", "jax"]
TOLERANCE = 1e-4


@dataclass
class Row:
    """One contestant's result for one network.

    Parameters
    ----------
    network, contestant : str
        Which.
    losses : list of float
        Before the first checked step and after each.
    steps : int
        In a block.
    us : list of float
        Microseconds a step, a round an entry.
    ratio : float or None
        Median over the reference's median.
    fault : str
        Why there is no result, or why it does not count.
    """

    network: str
    contestant: str
    losses: list[float] = field(default_factory=list)
    steps: int = 0
    us: list[float] = field(default_factory=list)
    ratio: float | None = None
    fault: str = ""

    def __str__(self) -> str:
        if not self.us:
            return f"{self.contestant:14}  {self.fault}"
        times = f"{min(self.us):12.2f} {median(self.us):12.2f}"
        ratio = f"{self.ratio:8.2f}" if self.ratio else f"{'-':>8}"
        losses = f"{self.losses[0]:.7f} -> {self.losses[-1]:.7f}"
        return f"{self.contestant:14} {times} {ratio}   {losses}  {self.fault}".rstrip()


def measure(network: str, remotes: list[Remote], rounds: int) -> list[Row]:
    """Check and time every contestant on one network.

    Parameters
    ----------
    network : str
        As `problem.parse_network` reads it.
    remotes : list of Remote
        The contestants.
    rounds : int
        Blocks each; a round asks every contestant for one, in random order.

    Returns
    -------
    list of Row
        In the contestants' order.
    """
    rows = {
        remote: Row(network, remote.name, **remote.ask("prepare", network=network))
        for remote in remotes
    }
    for _ in range(rounds):
        for remote in random.sample(remotes, len(remotes)):
            time_block(remote, rows[remote])
    compare(list(rows.values()))
    return list(rows.values())


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


def compare(rows: list[Row]) -> None:
    """Set each row's ratio to the reference, and mark those whose losses differ from its.

    Parameters
    ----------
    rows : list of Row
        One network's; changed.
    """
    reference = next(row for row in rows if row.contestant == REFERENCE)
    for row in (row for row in rows if not row.fault):
        if reference.fault:
            row.fault = f"UNCHECKED: no {REFERENCE} to compare with"
        else:
            row.ratio = median(row.us) / median(reference.us)
            row.fault = "" if agree(row.losses, reference.losses) else "MISMATCH"


def agree(losses: list[float], expected: list[float], tolerance: float = TOLERANCE) -> bool:
    """Compare losses; NaN agrees with nothing.

    Parameters
    ----------
    losses, expected : list of float
        Equally long.
    tolerance : float
        Relative.

    Returns
    -------
    bool
        Whether each is within the tolerance.
    """
    pairs = zip(losses, expected, strict=True)
    return all(abs(loss - right) <= tolerance * abs(right) for loss, right in pairs)


def report(network: str, remotes: list[Remote], rounds: int) -> list[Row]:
    """Measure one network and print its part of the table.

    Parameters
    ----------
    network, remotes, rounds
        As for `measure`.

    Returns
    -------
    list of Row
        What was printed.
    """
    columns = f"{'min us':>12} {'median us':>12} {'x ' + REFERENCE:>8}   loss"
    print(f"\n{network}\n{'':14} {columns}", flush=True)
    rows = measure(network, remotes, rounds)
    print(*rows, sep="\n", flush=True)
    return rows


def describe(threads: int, rounds: int, remotes: list[Remote]) -> dict[str, str]:
    """Say what is measured on which machine.

    Parameters
    ----------
    threads, rounds : int
        The settings.
    remotes : list of Remote
        The contestants, with the versions they reported.

    Returns
    -------
    dict of str to str
        Property to value; "load" is the machine's average over the last minute.
    """
    setting = {"cpu": cpu(), "threads": str(threads), "rounds": str(rounds)}
    setting |= {"load": f"{os.getloadavg()[0]:.2f}", "python": platform.python_version()}
    for remote in remotes:
        setting |= remote.versions
    return setting


def cpu() -> str:
    """Name the processor.

    Returns
    -------
    str
        Its model and how many CPUs this process may use.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.machine()}, {count} CPUs"


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would only fail later.

    Parameters
    ----------
    arguments : argparse.Namespace
        From the command line.
    """
    if min(arguments.threads, arguments.rounds) < 1:
        raise ValueError("--threads and --rounds must be at least 1")
    if unknown := set(arguments.contestants) - set(CONTESTANTS):
        raise ValueError(f"--contestants: {unknown} are not of {list(CONTESTANTS)}")
    for network in arguments.networks:
        parse_network(network)


def parse_arguments() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The reference is always among the contestants.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=NETWORKS, help=f"default: {' '.join(NETWORKS)}")
    add("--contestants", nargs="+", default=DEFAULTS, help=f"of {', '.join(CONTESTANTS)}")
    add("--threads", type=int, default=2, help="of each contestant, default: %(default)s")
    add("--rounds", type=int, default=11, help="blocks of 50 ms each, default: %(default)s")
    add("--json", type=Path, help="also write every sample to this file")
    arguments = parser.parse_args()
    try:
        check(arguments)
    except ValueError as error:
        parser.error(str(error))
    arguments.contestants = list(dict.fromkeys([REFERENCE, *arguments.contestants]))
    return arguments


def main() -> int:
    """Run the benchmark.

    Returns
    -------
    int
        1 if a contestant failed or computed something else, else 0: one that is not installed
        is no failure.
    """
    arguments = parse_arguments()
    threads, rounds = arguments.threads, arguments.rounds
    with ExitStack() as stack:
        remotes = [stack.enter_context(Remote(name, threads)) for name in arguments.contestants]
        setting = describe(threads, rounds, remotes)
        print(*(f"{key}: {value}" for key, value in setting.items()), sep="\n")
        rows = [row for name in arguments.networks for row in report(name, remotes, rounds)]
    if arguments.json:
        document = {"setting": setting, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(any(row.fault and not row.fault.startswith("unavailable") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
