"""What every contestant on a device is: steps of a precision, timed by the device's own clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from problem import Contestant, Problem

PRECISIONS = ("fp32", "tf32", "bf16")
SIDE = 8192  # of the matrices whose product is the peak


class Clock(ABC):
    """Events in the order of the stream that the contestant's work goes to."""

    @abstractmethod
    def event(self) -> Any:
        """Return an event that is recorded when all work so far is done."""

    @abstractmethod
    def elapsed(self, start: Any, end: Any) -> float:
        """Return the seconds between two events, after `wait`."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until all work so far is done."""


class DeviceContestant(Contestant):
    """Built from a problem, a learning rate and a precision.

    Attributes
    ----------
    clock : Clock
        Of its library.
    multiple : int
        Steps are taken so many at a time.
    path : str
        What runs.
    """

    clock: Clock
    multiple = 1
    path = ""

    @abstractmethod
    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None: ...

    def losses(self, count: int) -> list[float]:
        """Take `count` steps and return the loss before each.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        list of float
            As long; by the code that `steps` runs.
        """
        return [float(self.step()) for _ in range(count)]

    def wait(self) -> None:
        self.clock.wait()


def fastest(clock: Clock, run: Callable[[], Any], times: int = 10) -> float:
    """Time a piece of work.

    Parameters
    ----------
    clock : Clock
        Of the library that runs it.
    run : callable
        Issues the work.
    times : int
        How often it is timed, after one time that is not.

    Returns
    -------
    float
        Seconds of the fastest.
    """
    run()
    events = [clock.event()]
    for _ in range(times):
        run()
        events.append(clock.event())
    clock.wait()
    return min(clock.elapsed(*pair) for pair in pairwise(events))
