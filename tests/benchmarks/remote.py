"""The parent's side: contestants in processes of their own, which take turns."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
CHOICES_OF_OPENBLAS = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"  # slower than its own where set


@dataclass
class Row:
    """What one contestant did with one case.

    Attributes
    ----------
    facts : dict
        What it said when it was prepared.
    samples : dict of str to list of float
        By name, a round an entry.
    fault : str
        Why there is no result, or why it does not count.
    """

    contestant: str
    case: str
    facts: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    fault: str = ""

    @property
    def us(self) -> list[float]:
        """Microseconds a step, a round an entry."""
        return self.samples.get("us", [])

    @property
    def failed(self) -> bool:
        """Whether something is wrong: a library that is not installed is no failure."""
        return bool(self.fault) and not self.fault.startswith("unavailable")


class Remote:
    """A contestant's process, stopped (SIGSTOP) except while it has a request to answer.

    Stopping it, and not only leaving it idle, makes sure that no thread pool of its own keeps
    spinning while another contestant is timed.

    Parameters
    ----------
    module, name : str
        The contestant, and the module that knows it; see worker.py.
    threads : int
        How many it may use.
    variables : Mapping of str to str
        More of its environment.
    """

    def __init__(
        self, module: str, name: str, threads: int, variables: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, WORKER, module, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=inherited() | environment(threads) | dict(variables or {}),
        )
        greeting = self._reply()
        self.versions: dict[str, str] = greeting.get("versions", {})
        self.fault: str = greeting.get("fault", "")

    def prepare(self, cases: Sequence[str], **options: Any) -> list[Row]:
        """Have cases built; return a row for each, with a fault where that did not succeed."""
        reply = {"fault": self.fault}
        if not self.fault:
            reply = self.ask("prepare", cases=list(cases), **options)
        facts = reply.get("facts") or [{} for _ in cases]
        fault = reply.get("fault", "")
        return [
            Row(self.name, case, told, fault=fault) for case, told in zip(cases, facts, strict=True)
        ]

    def sample(self, row: Row, number: int) -> None:
        """Have a row's case timed, for the round of that number, if it is without fault so far."""
        if row.fault:
            return
        reply = self.ask("sample", case=row.case, number=number)
        row.fault = reply.pop("fault", "")
        for name, value in reply.items():
            row.samples.setdefault(name, []).append(value)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Wake the process, ask, and stop it again; a `worker.Worker` has what may be asked."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            return {"fault": f"failed: the worker ended with status {self.process.wait()}"}
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()


def measure(
    remotes: Sequence[Remote], cases: Sequence[str], rounds: int, **options: Any
) -> list[Row]:
    """Have every contestant prepare the cases, then time them in turns.

    Parameters
    ----------
    remotes : sequence of Remote
        The contestants.
    cases : sequence of str
        As the contestants' module reads them.
    rounds : int
        A round asks every contestant for a sample of each case, in random order.
    **options
        Of the cases.

    Returns
    -------
    list of Row
        In the contestants' order, and the cases'.
    """
    rows = {remote: remote.prepare(cases, **options) for remote in remotes}
    for number in range(rounds):
        for remote in random.sample(list(remotes), len(remotes)):
            for row in rows[remote]:
                remote.sample(row, number)
    return [row for found in rows.values() for row in found]


def inherited() -> dict[str, str]:
    """Return this process's environment, without what would choose OpenBLAS's kernels for it."""
    return {k: v for k, v in os.environ.items() if k not in CHOICES_OF_OPENBLAS}


def environment(threads: int) -> dict[str, str]:
    """Return variables that limit every library's threads.

    XLA sizes its pool by NPROC. Inductor compiles in the worker itself, so that it leaves no
    processes of its own behind.
    """
    pools = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NNPOLY_NUM_THREADS"
    return dict.fromkeys((*pools, "NPROC"), str(threads)) | {
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
