"""Schedules: learning rates that depend on the step. Use one in place of a number::

    >>> import nnpoly as nn
    >>> nn.Adam(nn.schedules.Cosine(1e-3, steps=1000)).learning_rate_at(1001)
    0.0

A schedule is called with the step t = 1, 2, ... on the host and returns a Python float.
"""

from __future__ import annotations

import math

from . import _checks
from ._config import Described, described


class Schedule(Described):
    """A learning rate for every step."""

    def __call__(self, t: int) -> float:
        """Return the learning rate of step t, counted from 1."""
        raise NotImplementedError


@described
class StepDecay(Schedule):
    """eta * factor^floor((t - 1) / every)."""

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._set(
            learning_rate=_checks.positive("StepDecay", "learning_rate", self.learning_rate),
            every=_checks.integer("StepDecay", "every", self.every),
            factor=_checks.positive("StepDecay", "factor", self.factor),
        )

    def __call__(self, t: int) -> float:
        return self.learning_rate * float(self.factor ** ((t - 1) // self.every))


@described
class Cosine(Schedule):
    """From eta to `final` along half a cosine in `steps` steps, then constant.

    eta_t = final + (eta - final) (1 + cos(pi min(t-1, steps) / steps)) / 2, after Loshchilov and
    Hutter 2017, arXiv:1608.03983. With `warmup`, the first steps rise linearly to eta.
    """

    learning_rate: float
    steps: int
    final: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        self._set(
            learning_rate=_checks.positive("Cosine", "learning_rate", self.learning_rate),
            steps=_checks.integer("Cosine", "steps", self.steps),
            final=_checks.number("Cosine", "final", self.final, low=0.0),
            warmup=_checks.integer("Cosine", "warmup", self.warmup, minimum=0),
        )

    def __call__(self, t: int) -> float:
        if t <= self.warmup:
            return self.learning_rate * t / self.warmup
        done = min(t - 1 - self.warmup, self.steps) / self.steps
        return self.final + (self.learning_rate - self.final) * (1 + math.cos(math.pi * done)) / 2
