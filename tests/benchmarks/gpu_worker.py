"""One contestant of gpu.py in a process of its own; see worker.py for how it is asked.

Usage: python gpu_worker.py CONTESTANT.
"""

from __future__ import annotations

import sys
from importlib import import_module
from math import ceil
from time import perf_counter
from typing import Any

from problem import Problem
from worker import CHECK_STEPS, LEARNING_RATE, Worker, calibrate, check_rate, serve

CONTESTANTS = {
    "nnpoly-eager": ("by_cupy", "Nnpoly", {"NNPOLY_CUPY": "kernels"}),
    "nnpoly-graph": ("by_cupy", "Nnpoly", {"NNPOLY_CUPY": "graph"}),
    "nnpoly-fit": ("by_cupy", "NnpolyFit", {"NNPOLY_CUPY": "graph"}),
    "torch": ("by_torch_gpu", "Torch", {}),
    "torch-compile": ("by_torch_gpu", "TorchCompile", {}),
    "torch-graph": ("by_torch_gpu", "TorchGraph", {}),
    "torch-graph-8": ("by_torch_gpu", "TorchGraph8", {}),
    "torch-compile-graph": ("by_torch_gpu", "TorchCompileGraph", {}),
}
LEAST_STEPS = 20  # in a block


class GpuWorker(Worker):
    """Answers requests about one contestant.

    Parameters
    ----------
    name : str
        A key of CONTESTANTS.
    """

    def __init__(self, name: str) -> None:
        self.module, self.kind, _ = CONTESTANTS[name]
        self.contestant = None

    def speeds(self, precision: str) -> dict[str, Any]:
        """Measure the device by the contestant's library.

        Parameters
        ----------
        precision : str
            Of the products.

        Returns
        -------
        dict
            "peak" in FLOP/s or None, "bandwidth" in bytes/s.
        """
        return import_module(self.module).speeds(precision)

    def prepare(self, network: str, precision: str) -> dict[str, Any]:
        """Build the contestant for a network, check its steps and warm it up.

        Parameters
        ----------
        network : str
            As `problem.parse_network` reads it.
        precision : str
            Of the products.

        Returns
        -------
        dict
            "losses": before the first step and after each of the checked ones; "steps": how many
            make a block; "path": what runs.
        """
        build = getattr(import_module(self.module), self.kind)
        problem = Problem.parse(network)
        self.contestant = None  # the network before this one makes room
        self.contestant = build(problem, check_rate(problem), precision)
        losses = self.contestant.losses(CHECK_STEPS + 1)
        self.contestant = None
        self.contestant = build(problem, LEARNING_RATE, precision)
        steps = max(LEAST_STEPS, calibrate(self.contestant))
        multiple = self.contestant.multiple
        steps = ceil(steps / multiple) * multiple
        return {"losses": losses, "steps": steps, "path": self.contestant.path}

    def block(self, steps: int) -> dict[str, Any]:
        """Time a block, after a tenth as many untimed steps that warm the clocks.

        Parameters
        ----------
        steps : int
            In the block.

        Returns
        -------
        dict
            Microseconds a step: "us" between two events in the stream, "wall_us" on the host.
        """
        contestant, clock = self.contestant, self.contestant.clock
        contestant.steps(steps // 10)
        clock.wait()
        began, start = perf_counter(), clock.event()
        contestant.steps(steps)
        end = clock.event()
        clock.wait()
        wall = perf_counter() - began
        return {"us": clock.elapsed(start, end) / steps * 1e6, "wall_us": wall / steps * 1e6}


if __name__ == "__main__":
    serve(lambda: GpuWorker(sys.argv[1]))
