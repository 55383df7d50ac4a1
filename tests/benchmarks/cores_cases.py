"""The contestants of cores.py: nnpoly with as many threads as a contestant's name says.

A case is a network, as `problem.parse_network` reads it.
"""

from __future__ import annotations

import by_nnpoly
from problem import LEARNING_RATE, Problem, check_rate, checked_losses
from timing import Blocks

from nnpoly._core import lib


class Shared(Blocks):
    """Steps, with the number of threads that the core has found to be the fastest for them."""

    runner: by_nnpoly.Nnpoly

    def sample(self, number: int) -> dict[str, float]:
        us = super().sample(number)
        plan = self.runner.trainer.stepper.steps.plan
        return us | {"shared_by": lib.nnpoly_plan_threads(plan, len(self.runner.x))}


def versions(contestant: str) -> dict[str, str]:
    """Name what is measured."""
    return by_nnpoly.versions()


def prepare(contestant: str, network: str) -> Shared:
    """Take the first steps on a network, and build it anew for those that are timed."""
    problem = Problem.parse(network)
    losses = checked_losses(by_nnpoly.Nnpoly(problem, check_rate(problem)))
    return Shared(by_nnpoly.Nnpoly(problem, LEARNING_RATE), losses=losses)
