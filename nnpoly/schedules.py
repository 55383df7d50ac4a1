"""Schedules: numbers that depend on the step, such as a learning rate. Use one in its place::

    >>> import nnpoly as nn
    >>> nn.Adam(nn.schedules.Cosine(1e-3, steps=1000)).learning_rate_at(1001)
    0.0

It may be the learning rate or the weight decay of an optimiser, or the rate of `nn.Dropout`. A
schedule is called with the step t = 1, 2, ... on the host and returns a Python float.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left
from itertools import pairwise

from . import _checks
from ._described import Described


class Schedule(Described):
    """A number for every step."""

    @abstractmethod
    def __call__(self, t: int) -> float:
        """Return the number of step t, counted from 1."""
        raise NotImplementedError


class StepDecay(Schedule):
    """eta * factor^floor((t - 1) / every)."""

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        where = type(self).__name__
        self._set(
            learning_rate=_checks.positive(where, "learning_rate", self.learning_rate),
            every=_checks.integer(where, "every", self.every),
            factor=_checks.positive(where, "factor", self.factor),
        )

    def __call__(self, t: int) -> float:
        return self.learning_rate * float(self.factor ** ((t - 1) // self.every))


class Exponential(StepDecay):
    """eta * factor^((t - 1) / every): `StepDecay` without its steps."""

    def __call__(self, t: int) -> float:
        return self.learning_rate * float(self.factor ** ((t - 1) / self.every))


class InverseScaling(Schedule):
    """eta / t^power, which scikit-learn calls invscaling."""

    learning_rate: float
    power: float = 0.5

    def __post_init__(self) -> None:
        where = "InverseScaling"
        self._set(
            learning_rate=_checks.positive(where, "learning_rate", self.learning_rate),
            power=_checks.number(where, "power", self.power, low=0.0),
        )

    def __call__(self, t: int) -> float:
        return self.learning_rate / float(t**self.power)


class Piecewise(Schedule):
    """Constant between milestones: rate i is that of the steps milestone_i < t <= milestone_(i+1).

    Parameters
    ----------
    learning_rates
        One more than milestones.
    milestones
        Steps in increasing order, each the last one of its rate.

    Examples
    --------
    >>> import nnpoly as nn
    >>> schedule = nn.schedules.Piecewise([0.1, 0.01], milestones=[1000])
    >>> schedule(1), schedule(1000), schedule(1001)
    (0.1, 0.1, 0.01)
    """

    learning_rates: tuple[float, ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        rates, milestones = _listed(self.learning_rates), _listed(self.milestones)
        if len(rates) != len(milestones) + 1:
            raise ValueError(
                "Piecewise: `learning_rates` must be a list with one entry more than `milestones`, "
                f"got {self.learning_rates!r} and {self.milestones!r}."
            )
        self._set(
            learning_rates=tuple(
                _checks.positive("Piecewise", f"learning_rates[{i}]", rate)
                for i, rate in enumerate(rates)
            ),
            milestones=tuple(
                _checks.integer("Piecewise", f"milestones[{i}]", step)
                for i, step in enumerate(milestones)
            ),
        )
        if any(step >= later for step, later in pairwise(self.milestones)):
            raise ValueError(f"Piecewise: `milestones` must increase, got {self.milestones}.")

    def __call__(self, t: int) -> float:
        return self.learning_rates[bisect_left(self.milestones, t)]


def _listed(value: object) -> list[object]:
    """Return the entries of a list; a lone value is one of its own."""
    return list(value) if isinstance(value, list | tuple) else [value]


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
        return _cosine(self.learning_rate, self.final, (t - 1 - self.warmup) / self.steps)


def _cosine(start: float, stop: float, done: float) -> float:
    """Return the point of half a cosine from `start` to `stop`, where `done` of it is behind."""
    return stop + (start - stop) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


class OneCycle(Schedule):
    """Up to eta and down again, in `steps` steps; then constant.

    With x = (t - 1) / (steps - 1), low = eta / divisor and final = low / final_divisor:

    - low + (eta - low) x / rise for x < rise,
    - final + (eta - final) (1 + cos(pi (x - rise) / (1 - rise))) / 2 for rise <= x <= 1.

    Smith and Topin 2019, "Super-convergence", arXiv:1708.07120, with a cosine on the way down, as
    is usual since.

    Parameters
    ----------
    learning_rate
        eta, the highest rate; `nn.find_learning_rate` helps to choose it.
    steps
        The number of steps in all: epochs times batches an epoch.
    rise
        The share of the steps in which the rate rises, in [0, 1).
    divisor, final_divisor
        How much lower the first rate is than eta, and the last one than the first.

    Examples
    --------
    >>> import nnpoly as nn
    >>> schedule = nn.schedules.OneCycle(0.1, steps=11)
    >>> schedule(1), schedule(4), schedule(11)
    (0.004, 0.1, 4e-07)
    """

    learning_rate: float
    steps: int
    rise: float = 0.3
    divisor: float = 25.0
    final_divisor: float = 1e4

    def __post_init__(self) -> None:
        where = "OneCycle"
        self._set(
            learning_rate=_checks.positive(where, "learning_rate", self.learning_rate),
            steps=_checks.integer(where, "steps", self.steps, minimum=2),
            rise=_checks.number(where, "rise", self.rise, low=0.0, high=1.0),
            divisor=_checks.positive(where, "divisor", self.divisor),
            final_divisor=_checks.positive(where, "final_divisor", self.final_divisor),
        )
        if self.rise == 1.0:
            raise ValueError("OneCycle: `rise` must be below 1, got 1.0.")

    def __call__(self, t: int) -> float:
        x, low = (t - 1) / (self.steps - 1), self.learning_rate / self.divisor
        if x < self.rise:
            return low + (self.learning_rate - low) * (x / self.rise)
        done = (x - self.rise) / (1.0 - self.rise)
        return _cosine(self.learning_rate, low / self.final_divisor, done)


class _Falling(Schedule):
    """A rate, and the steps in which the share that is done rises from 0 to 1."""

    rate: float
    steps: int

    def __post_init__(self) -> None:
        where = type(self).__name__
        self._set(
            rate=_checks.not_negative(where, "rate", self.rate),
            steps=_checks.integer(where, "steps", self.steps),
        )

    def _done(self, t: int) -> float:
        """Return the share of the steps that are behind step t."""
        return min((t - 1) / self.steps, 1.0)


class CosineLog(_Falling):
    """Cycles from 0 up to the rate and back, each twice as long as the one before; then 0.

    With x = (t - 1) / steps: rate (1 - cos(2 pi log2(1 + (2^cycles - 1) x))) / 2. RealMLP's
    learning rate, called coslog4 there: Holzmüller, Grinsztajn, Steinwart 2024, arXiv:2407.04491.

    Examples
    --------
    >>> import nnpoly as nn
    >>> schedule = nn.schedules.CosineLog(0.04, steps=15)
    >>> [round(schedule(t), 3) for t in (1, 2, 4, 8, 16)]  # cycles of 1, 2, 4 and 8 steps
    [0.0, 0.0, 0.0, 0.0, 0.0]
    >>> [round(schedule(t), 3) for t in (3, 5, 6, 7)]
    [0.037, 0.029, 0.037, 0.013]
    """

    cycles: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(cycles=_checks.integer("CosineLog", "cycles", self.cycles))

    def __call__(self, t: int) -> float:
        turns = math.log2(1 + (2**self.cycles - 1) * self._done(t))
        return self.rate * (1 - math.cos(2 * math.pi * turns)) / 2


class FlatCosine(_Falling):
    """The rate in the first half of the steps, then half a cosine down to 0; then 0.

    With x = (t - 1) / steps: rate (1 + cos(pi (max(1, 2 x) - 1))) / 2. RealMLP's dropout and weight
    decay, called flat_cos there: Holzmüller, Grinsztajn, Steinwart 2024, arXiv:2407.04491.

    Examples
    --------
    >>> import nnpoly as nn
    >>> schedule = nn.schedules.FlatCosine(0.15, steps=8)
    >>> [round(schedule(t), 3) for t in (1, 5, 7, 9)]
    [0.15, 0.15, 0.075, 0.0]
    """

    def __call__(self, t: int) -> float:
        return self.rate * (1 + math.cos(math.pi * (max(1.0, 2 * self._done(t)) - 1))) / 2


class Warmup(Schedule):
    """Rise linearly to a rate in `steps` steps, then follow it.

    With s the wrapped rate or schedule: s(1) t / steps for t <= steps, then s(t - steps).

    Examples
    --------
    >>> import nnpoly as nn
    >>> schedule = nn.schedules.Warmup(0.1, steps=4)
    >>> [schedule(t) for t in (1, 2, 4, 9)]
    [0.025, 0.05, 0.1, 0.1]
    """

    learning_rate: float | Schedule
    steps: int

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            rate = _checks.positive("Warmup", "learning_rate", self.learning_rate)
            self._set(learning_rate=rate)
        self._set(steps=_checks.integer("Warmup", "steps", self.steps))

    def __call__(self, t: int) -> float:
        rising = t <= self.steps
        eta, after = self.learning_rate, 1 if rising else t - self.steps
        rate = eta(after) if isinstance(eta, Schedule) else eta
        return rate * t / self.steps if rising else rate
