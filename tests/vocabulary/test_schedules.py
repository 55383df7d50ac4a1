"""Schedules: each is its formula, a Python float at every step, and comes back from JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from nnpoly._described import construct, describe
from nnpoly.schedules import (
    Cosine,
    CosineLog,
    Exponential,
    FlatCosine,
    InverseScaling,
    OneCycle,
    Piecewise,
    Schedule,
    StepDecay,
    Warmup,
)

STEPS = range(1, 60)


def one_cycle(t: int) -> float:
    """OneCycle(0.2, steps=41, rise=0.25, divisor=10, final_divisor=100) by hand: 10 steps up."""
    if t <= 11:
        return 0.02 + 0.18 * (t - 1) / 10
    return 2e-4 + (0.2 - 2e-4) * (1 + math.cos(math.pi * (min(t, 41) - 11) / 30)) / 2


def coslog(rate: float, cycles: int, x: float) -> float:
    """pytabkit's coslog by a sine; cycles begin at x = (2^k - 1) / (2^cycles - 1)."""
    return rate * math.sin(math.pi * math.log2(1 + (2**cycles - 1) * x)) ** 2


def half_cosine(rate: float, x: float) -> float:
    return rate * math.cos(math.pi / 2 * x) ** 2


FORMULAS: list[tuple[Schedule, Callable[[int], float]]] = [
    (Exponential(0.5, every=7, factor=0.3), lambda t: 0.5 * math.exp(math.log(0.3) * (t - 1) / 7)),
    (Exponential(1e-6, every=10, factor=1e6), lambda t: 10 ** (-6 + 6 * (t - 1) / 10)),
    (InverseScaling(0.5), lambda t: 0.5 / math.sqrt(t)),
    (InverseScaling(0.5, power=0.0), lambda t: 0.5),
    (InverseScaling(0.5, power=2), lambda t: 0.5 / (t * t)),
    (Piecewise([0.3, 0.1, 0.2], [5, 9]), lambda t: 0.3 if t <= 5 else 0.1 if t <= 9 else 0.2),
    (Piecewise((0.3,), ()), lambda t: 0.3),
    (OneCycle(0.2, 41, rise=0.25, divisor=10, final_divisor=100), one_cycle),
    (OneCycle(0.2, 11, rise=0.0), lambda t: Cosine(0.2, 10, final=0.2 / 25e4)(t)),
    (CosineLog(0.4, 50), lambda t: coslog(0.4, 4, min((t - 1) / 50, 1.0))),
    (CosineLog(0.4, 50, cycles=2), lambda t: coslog(0.4, 2, min((t - 1) / 50, 1.0))),
    (FlatCosine(0.4, 50), lambda t: 0.4 if t <= 26 else half_cosine(0.4, min(t - 26, 25) / 25)),
    (FlatCosine(0.4, 1), lambda t: 0.4 if t == 1 else 0.0),
    (Warmup(0.4, steps=8), lambda t: 0.4 * min(t, 8) / 8),
    (Warmup(Cosine(0.4, 20, 0.1), steps=8), Cosine(0.4, 20, 0.1, warmup=8)),
    (
        Warmup(StepDecay(0.4, 3, 0.5), steps=8),
        lambda t: 0.05 * t if t <= 8 else 0.4 * 0.5 ** ((t - 9) // 3),
    ),
]
every_schedule = pytest.mark.parametrize(
    ("schedule", "formula"), FORMULAS, ids=[repr(schedule) for schedule, _ in FORMULAS]
)


@every_schedule
def test_schedules_are_their_formulas(schedule, formula):
    assert [schedule(t) for t in STEPS] == pytest.approx([formula(t) for t in STEPS], rel=1e-13)


@every_schedule
def test_rates_are_python_floats(schedule, formula):
    assert {type(schedule(t)) for t in (*STEPS, 400)} == {float}


@every_schedule
def test_schedules_come_back_from_json(schedule, formula):
    again = construct(json.loads(json.dumps(describe(schedule))))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert repr(again) == repr(schedule)
    assert [again(t) for t in STEPS] == [schedule(t) for t in STEPS]


@every_schedule
def test_schedules_are_frozen(schedule, formula):
    with pytest.raises(FrozenInstanceError):
        schedule.learning_rate = 1.0


def test_numpys_numbers_become_pythons():
    rate, step = np.float32(0.5), np.int64(3)
    made: list[Schedule] = [
        Exponential(rate, step, rate),
        InverseScaling(rate, rate),
        Piecewise([rate, rate], [step]),
        OneCycle(rate, step, rate, rate, rate),
        Warmup(rate, step),
        CosineLog(rate, step, step),
        FlatCosine(rate, step),
    ]
    for schedule in made:
        json.dumps(describe(schedule))
        assert {type(schedule(t)) for t in STEPS} == {float}


def test_exponential_is_step_decay_at_its_steps():
    smooth, steps = Exponential(0.5, 4, 0.5), StepDecay(0.5, 4, 0.5)
    assert [smooth(t) for t in range(1, 40, 4)] == [steps(t) for t in range(1, 40, 4)]
    assert smooth != steps
    assert smooth(3) < steps(3)


def test_one_cycle_agrees_with_torch_on_the_way_down():
    """torch's cycle has its peak at step rise * steps; from there both are half a cosine."""
    torch = pytest.importorskip("torch")
    steps, rise = 41, 10 / 41
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, steps, pct_start=rise)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            theirs.step()
    ours = OneCycle(0.2, steps, rise=9 / 40)
    assert rates[9:] == pytest.approx([ours(t) for t in range(10, steps + 1)], rel=1e-12)
    assert rates[0] == pytest.approx(ours(1), rel=1e-12)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: Exponential(0.0, 1), "Exponential: `learning_rate` must be"),
        (lambda: Exponential(1.0, 0), "Exponential: `every` must be"),
        (lambda: Exponential(1.0, 1, -1.0), "Exponential: `factor` must be"),
        (lambda: InverseScaling(-1.0), "InverseScaling: `learning_rate` must be"),
        (lambda: InverseScaling(1.0, -0.5), "InverseScaling: `power` must be"),
        (lambda: Piecewise([0.1], [3]), r"Piecewise: `learning_rates` must be .* got \[0.1\] and"),
        (lambda: Piecewise(0.1, 3), r"one entry more than `milestones`, got 0.1 and 3"),
        (lambda: Piecewise([0.1, 0], [3]), r"Piecewise: `learning_rates\[1\]` must be greater"),
        (lambda: Piecewise([0.1, 1], [0]), r"Piecewise: `milestones\[0\]` must be an integer >= 1"),
        (lambda: Piecewise([1, 1, 1], [4, 4]), r"Piecewise: `milestones` must increase, got \(4,"),
        (lambda: OneCycle(0.1, 1), "OneCycle: `steps` must be an integer >= 2, got 1"),
        (lambda: OneCycle(0.1, 9, rise=1.0), "OneCycle: `rise` must be below 1"),
        (lambda: OneCycle(0.1, 9, rise=-0.1), "OneCycle: `rise` must be"),
        (lambda: OneCycle(0.1, 9, divisor=0), "OneCycle: `divisor` must be"),
        (lambda: OneCycle(0.1, 9, final_divisor="x"), "OneCycle: `final_divisor` must be"),
        (lambda: CosineLog(-0.1, 9), r"CosineLog: `rate` must be a number in \[0, inf\)"),
        (lambda: CosineLog(0.1, 9, 0), "CosineLog: `cycles` must be an integer >= 1, got 0"),
        (lambda: FlatCosine(0.1, 0), "FlatCosine: `steps` must be an integer >= 1, got 0"),
        (lambda: Warmup(0.0, 3), "Warmup: `learning_rate` must be"),
        (lambda: Warmup("cosine", 3), "Warmup: `learning_rate` must be"),
        (lambda: Warmup(0.1, 0), "Warmup: `steps` must be an integer >= 1, got 0"),
    ],
)
def test_wrong_schedules_are_refused(attempt: Callable[[], Any], message: str):
    with pytest.raises(ValueError, match=message):
        attempt()
