"""One contestant in a process of its own: answers one line of JSON for each on its stdin.

Usage: python worker.py CONTESTANT. The first line it writes names the versions it runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any, TextIO

from problem import Contestant, Problem

CONTESTANTS = {
    "numpy": ("by_numpy", "Numpy"),
    "nnpoly": ("by_nnpoly", "Nnpoly"),
    "nnpoly-fit": ("by_nnpoly", "NnpolyFit"),
    "nnpoly-torch": ("by_nnpoly", "NnpolyTorch"),
    "nnpoly-jax": ("by_nnpoly", "NnpolyJax"),
    "torch": ("by_torch", "Torch"),
    "torch-compile": ("by_torch", "TorchCompile"),
    "jax": ("by_jax", "Jax"),
}
BLOCK_S = 0.05
LEARNING_RATE = 1e-6  # timed: so small that the network never learns, so no denormals appear
CHECK_STEPS = 4


class Worker:
    """Answers requests about one contestant.

    Parameters
    ----------
    name : str
        A key of CONTESTANTS.
    """

    def __init__(self, name: str) -> None:
        self.module, self.kind = CONTESTANTS[name]
        self.contestant: Contestant | None = None

    def versions(self) -> dict[str, Any]:
        """Import the contestant's libraries.

        Returns
        -------
        dict
            "versions": library to version.
        """
        return {"versions": import_module(self.module).versions()}

    def prepare(self, network: str) -> dict[str, Any]:
        """Build the contestant for a network, check its steps and warm it up.

        Parameters
        ----------
        network : str
            As `problem.parse_network` reads it.

        Returns
        -------
        dict
            "losses": before the first step and after each of the checked ones;
            "steps": how many make a block.
        """
        build: type[Contestant] = getattr(import_module(self.module), self.kind)
        problem = Problem.parse(network)
        self.contestant = None  # the network before this one makes room
        self.contestant = build(problem, check_rate(problem))
        losses = [float(self.contestant.step()) for _ in range(CHECK_STEPS + 1)]
        self.contestant = None
        self.contestant = build(problem, LEARNING_RATE)
        return {"losses": losses, "steps": calibrate(self.contestant)}

    def block(self, steps: int) -> dict[str, Any]:
        """Time a block, after a tenth as many untimed steps that warm the caches.

        Parameters
        ----------
        steps : int
            In the block.

        Returns
        -------
        dict
            "us": microseconds a step.
        """
        timed(self.contestant, steps // 10)
        return {"us": timed(self.contestant, steps) / steps * 1e6}


def check_rate(problem: Problem) -> float:
    """Choose the learning rate of the steps whose losses are compared.

    Adam's first steps move every weight by about the rate, so a pre-activation by up to rate
    times width. This is enough for a wrong step to show in the loss, and little enough for
    float32's rounding errors not to grow past the comparison's tolerance.

    Parameters
    ----------
    problem : Problem
        Whose layers are to move.

    Returns
    -------
    float
        Smaller, the wider the network.
    """
    width = max(max(W.shape) for W in problem.weights)
    return min(0.01, 0.25 / width)


def timed(contestant: Contestant, steps: int) -> float:
    """Take steps.

    Parameters
    ----------
    contestant : Contestant
        Whose steps.
    steps : int
        How many.

    Returns
    -------
    float
        Seconds until the last of them was done.
    """
    start = perf_counter()
    contestant.steps(steps)
    contestant.wait()
    return perf_counter() - start


def calibrate(contestant: Contestant) -> int:
    """Warm everything up and find how many steps make a block.

    Parameters
    ----------
    contestant : Contestant
        May compile during its first steps.

    Returns
    -------
    int
        At least 1; the most of three trials, of which a busy machine may slow one.
    """
    timed(contestant, 3)
    return max(steps_in_block(contestant) for _ in range(3))


def steps_in_block(contestant: Contestant) -> int:
    """Double the steps until they take half a block or longer, then extrapolate.

    Parameters
    ----------
    contestant : Contestant
        Whose steps.

    Returns
    -------
    int
        At least 1.
    """
    steps = 1
    while (seconds := timed(contestant, steps)) < BLOCK_S / 2:
        steps *= 2
    return max(1, round(steps * BLOCK_S / seconds))


def answer(request: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
    """Carry out a request; what goes wrong becomes the reply.

    Parameters
    ----------
    request : callable
        A method of the worker.
    **arguments
        Its arguments.

    Returns
    -------
    dict
        What the request returns, or "fault": the reason.
    """
    try:
        return request(**arguments)
    except ImportError as error:
        return {"fault": f"unavailable: {error}"}
    except Exception as error:  # whatever a contestant raises, the others go on
        return {"fault": f"failed: {type(error).__name__}: {error}"}


def private_stdout() -> TextIO:
    """Keep the pipe to the parent for replies: what libraries print goes to stderr.

    Returns
    -------
    TextIO
        The pipe, line-buffered.
    """
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return pipe


def serve(build: Callable[[], Any]) -> None:
    """Reply with the versions, then to each line of stdin until it ends.

    Parameters
    ----------
    build : callable
        Makes the worker that answers: "do" names the method, what else a line has its arguments.
    """
    pipe, worker = private_stdout(), build()
    print(json.dumps(answer(worker.versions)), file=pipe)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answer(getattr(worker, request.pop("do")), **request)), file=pipe)


if __name__ == "__main__":
    serve(lambda: Worker(sys.argv[1]))
