"""The parent's side of a worker process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Remote:
    """A worker process, stopped (SIGSTOP) except while it has a request to answer.

    Stopping it, and not only leaving it idle, makes sure that no thread pool of its own keeps
    spinning while another contestant is timed.

    Parameters
    ----------
    name : str
        The contestant.
    threads : int
        How many it may use.
    script : str
        The program that answers.
    variables : Mapping of str to str
        More of its environment.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        script: str = "worker.py",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name(script), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment(threads) | dict(variables or {}),
        )
        greeting = self._reply()
        self.versions: dict[str, str] = greeting.get("versions", {})
        self.fault: str = greeting.get("fault", "")

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Wake the worker, ask, and stop it again.

        Parameters
        ----------
        do : str
            A method of `worker.Worker`.
        **arguments
            Its arguments.

        Returns
        -------
        dict
            The method's reply, or "fault": what went wrong.
        """
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


def environment(threads: int) -> dict[str, str]:
    """Limit every library's threads.

    Parameters
    ----------
    threads : int
        The limit.

    Returns
    -------
    dict of str to str
        Variables for a worker. XLA sizes its pool by NPROC. Inductor compiles in the worker
        itself, so that it leaves no processes of its own behind.
    """
    pools = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NNPOLY_NUM_THREADS"
    return dict.fromkeys((*pools, "NPROC"), str(threads)) | {
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
