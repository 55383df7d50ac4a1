"""How a case is timed: in blocks of about 50 ms, after a warm-up."""

from __future__ import annotations

from math import ceil
from time import perf_counter
from typing import Any, Protocol

BLOCK_S = 0.05


class Runner(Protocol):
    """What can be run again and again."""

    def steps(self, count: int) -> None:
        """Run it so many times."""

    def wait(self) -> None:
        """Wait until all of them are done."""


class Case:
    """What a contestant made of a case.

    Attributes
    ----------
    facts : dict
        What there is to say of it: the size of a block, results to be compared, ...
    """

    def __init__(self, **facts: Any) -> None:
        self.facts = facts

    def sample(self, number: int) -> dict[str, float]:
        """Return what was measured, for the round of that number: nothing of facts alone."""
        return {}


class Blocks(Case):
    """A runner, timed by blocks of its steps.

    Parameters
    ----------
    runner : Runner
        May compile during its first steps.
    least, multiple : int
        A block has at least so many steps, and a multiple of so many.
    **facts
        Of the case.
    """

    def __init__(self, runner: Runner, least: int = 1, multiple: int = 1, **facts: Any) -> None:
        steps = max(least, calibrate(runner))
        self.runner, self.steps = runner, ceil(steps / multiple) * multiple
        super().__init__(**facts, steps=self.steps)

    def sample(self, number: int) -> dict[str, float]:
        """Time a block, after a tenth as many untimed steps that warm the caches."""
        seconds(self.runner, self.steps // 10)
        return self.block()

    def block(self) -> dict[str, float]:
        """Return microseconds a step."""
        return {"us": seconds(self.runner, self.steps) / self.steps * 1e6}


def seconds(runner: Runner, steps: int) -> float:
    """Return the seconds until the last of the steps was done."""
    start = perf_counter()
    runner.steps(steps)
    runner.wait()
    return perf_counter() - start


def calibrate(runner: Runner) -> int:
    """Warm everything up; return how many steps make a block.

    The most of three trials, of which a busy machine may slow one.
    """
    seconds(runner, 3)
    return max(steps_in_block(runner) for _ in range(3))


def steps_in_block(runner: Runner) -> int:
    """Double the steps until they take half a block or longer, then extrapolate."""
    steps = 1
    while (taken := seconds(runner, steps)) < BLOCK_S / 2:
        steps *= 2
    return max(1, round(steps * BLOCK_S / taken))
