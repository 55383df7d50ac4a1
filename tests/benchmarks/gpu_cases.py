"""The contestants of gpu.py; a case is a network, or `speeds`: what the device can do."""

from __future__ import annotations

from importlib import import_module
from time import perf_counter

from gpu_contestant import DeviceContestant
from problem import CHECK_STEPS, LEARNING_RATE, Problem, check_rate
from timing import Blocks, Case

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
SPEEDS = "speeds"
LEAST_STEPS = 20  # in a block


class DeviceBlocks(Blocks):
    """Blocks between two events in the device's stream.

    Parameters
    ----------
    contestant : DeviceContestant
        Whose steps.
    losses : list of float
        Of the checked steps.
    """

    def __init__(self, contestant: DeviceContestant, losses: list[float]) -> None:
        super().__init__(
            contestant, LEAST_STEPS, contestant.multiple, losses=losses, path=contestant.path
        )

    def block(self) -> dict[str, float]:
        """Return microseconds a step: "us" between the events, "wall_us" on the host."""
        contestant, clock = self.runner, self.runner.clock
        began, start = perf_counter(), clock.event()
        contestant.steps(self.steps)
        end = clock.event()
        clock.wait()
        wall = perf_counter() - began
        us = clock.elapsed(start, end)
        return {"us": us / self.steps * 1e6, "wall_us": wall / self.steps * 1e6}


def versions(contestant: str) -> dict[str, str]:
    """Import the contestant's libraries, and name what is measured."""
    return import_module(CONTESTANTS[contestant][0]).versions()


def prepare(contestant: str, case: str, precision: str) -> Case:
    """Build a contestant for a network, or measure the device by its library."""
    name, kind, _ = CONTESTANTS[contestant]
    module = import_module(name)
    if case == SPEEDS:
        return Case(**module.speeds(precision))
    return checked(getattr(module, kind), case, precision)


def checked(build: type[DeviceContestant], network: str, precision: str) -> DeviceBlocks:
    """Check a contestant's first steps, and build it anew for those that are timed."""
    problem = Problem.parse(network)
    losses = build(problem, check_rate(problem), precision).losses(CHECK_STEPS + 1)
    return DeviceBlocks(build(problem, LEARNING_RATE, precision), losses)
