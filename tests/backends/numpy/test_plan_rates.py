"""Factors of the rates, and schedules of decay and dropout, in plans: the bits of op by op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import CLASSES, WEIGHTS, X, by_threads_and_isas, in_one_call, op_by_op, run, trainer

import nnpoly as nn

core = built_core()
pytestmark = pytest.mark.usefixtures("restored_core")

STEPS = 20  # of about 30: the schedules are at 0 in the last ones
FALLING = nn.schedules.FlatCosine(0.3, STEPS)
DECAY = nn.schedules.FlatCosine(0.5, STEPS)
ETA = nn.schedules.CosineLog(0.05, STEPS)

OPTIMIZERS = [
    nn.SGD(0.1),
    nn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    nn.AdaGrad(0.1),
    nn.RMSProp(0.01, eps_inside_sqrt=False),
    nn.Adam(ETA, weight_decay=DECAY),
    nn.Adam(0.01, clip_norm=0.1, ema=0.9),
    nn.AdamW(ETA, beta2=0.95, weight_decay=DECAY, eps_inside_sqrt=False),
    nn.AdamW(0.01, weight_decay=DECAY, clip_norm=0.1, ema=0.99),
    nn.NAdam(0.01, weight_decay=DECAY),
    nn.AMSGrad(0.01),
    nn.Lion(1e-3, weight_decay=0.1),
]


def dense(inputs: int, outputs: int, activation: Any = "identity") -> nn.Dense:
    rates = {"W": (1.0, 0.5), "b": (0.1, 0.0)}
    return nn.Dense(inputs, outputs, activation, rates=rates)


PLAIN = [dense(6, 17, "tanh"), nn.Dense(17, 8, "relu", rates={"b": (6.0, 6.0)}), nn.Dense(8, 3)]
CHAINS = {
    "dropout": [nn.Dropout(FALLING), dense(6, 17, "tanh"), nn.Dropout(FALLING), dense(17, 3)],
    "two schedules": [
        *(dense(6, 17, "gelu"), nn.Dropout(FALLING), dense(17, 5, "sigmoid")),
        *(nn.Dropout(nn.schedules.Exponential(0.9, 3)), nn.Dropout(0.2), nn.Dense(5, 3)),
        nn.Dropout(FALLING),
    ],
    "norms": [
        nn.LayerNorm(6, rates={"gain": (0.5, 0.0)}),
        *(dense(6, 17), nn.BatchNorm(17, activation="relu", rates={"shift": (2.0, 1.0)})),
        *(nn.Dropout(FALLING), dense(17, 3)),
    ],
    "short cuts": [
        nn.Residual([dense(6, 9, "relu"), nn.Dropout(FALLING), nn.Dense(9, 6)]),
        dense(6, 3),
    ],
    "for tables": [
        nn.Periodic(
            6, frequencies=5, features=3, rates=dict.fromkeys(("w", "b", "W", "c"), (0.1, 1.0))
        ),
        nn.Scale(18, rates={"s": (6.0, 1.0)}),
        nn.Dense(18, 16, factor=18**-0.5, init="normal", rates={"b": (0.1, 0.0)}),
        nn.Blend(16, "selu", rates={"a": (0.1, 1.0)}),
        nn.Dropout(FALLING),
        nn.Dense(16, 3, factor=0.25, init="normal", rates={"b": (0.1, 0.0)}),
    ],
    "all alike": [nn.Dense(6, 3, rates={"W": (0.1, 2.0), "b": (0.1, 2.0)})],
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda rule: repr(rule)[:60])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimiser_has_the_same_bits(optimizer, dtype):
    planned = run(in_one_call(trainer(PLAIN, dtype, optimizer)), dtype=dtype)
    assert planned == run(op_by_op(trainer(PLAIN, dtype, optimizer)), dtype=dtype)


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_every_layer_has_the_same_bits(layers, weights):
    optimizer = nn.AdamW(ETA, weight_decay=DECAY)
    planned = run(in_one_call(trainer(layers, optimizer=optimizer)), weights)
    assert planned == run(op_by_op(trainer(layers, optimizer=optimizer)), weights)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("chain", ["norms", "for tables"])
def test_threads_and_isas_have_the_same_bits(chain, clip_norm):
    optimizer = nn.AdamW(ETA, weight_decay=DECAY, clip_norm=clip_norm)
    by_threads_and_isas(lambda: run(in_one_call(trainer(CHAINS[chain], optimizer=optimizer))))


@pytest.mark.parametrize("threads", [1, 2])
def test_large_layers_have_the_same_bits(threads):
    """They take the second way of a step, product by product."""
    nn.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 700)).astype("f4"), rng.integers(0, 3, 64)
    layers = [dense(700, 800, "tanh"), nn.Dropout(nn.schedules.FlatCosine(0.4, 3)), dense(800, 3)]
    found = []
    for form in (in_one_call, op_by_op):
        made = form(trainer(layers, optimizer=nn.AdamW(1e-3, weight_decay=DECAY)))
        found.append([float(made.step(x, y)) for _ in range(5)] + [made.network.w.tobytes()])
    assert found[0] == found[1]


def test_members_of_an_ensemble_have_the_bits_of_trainers():
    def members() -> list[nn.Trainer]:
        rules = [nn.AdamW(ETA, weight_decay=DECAY), nn.SGD(0.1)]
        chains = [CHAINS["norms"], PLAIN]
        return [trainer(c, optimizer=o) for c, o in zip(chains, rules, strict=True)]

    together, alone = nn.Ensemble(members()), members()
    together.fit(X, CLASSES, 4, 25)
    for one, member in zip(alone, together, strict=True):
        one.fit(X, CLASSES, 4, 25)
        assert one.network.w.tobytes() == member.network.w.tobytes()


def test_factors_of_1_are_no_segments():
    ones = [nn.Dense(6, 3, rates={"W": (1.0, 1.0), "b": (1.0, 1.0)})]
    assert trainer(ones).network.layout.segments == ()
    segments = trainer(PLAIN).network.layout.segments
    assert [(s.stop, s.rate, s.decay) for s in segments] == [
        *((102, 1.0, 0.5), (119, 0.1, 0.0), (255, 1.0, 1.0), (263, 6.0, 6.0), (290, 1.0, 1.0))
    ]


def test_more_schedules_than_c_has_room_for_run_op_by_op():
    drops = [nn.Dropout(nn.schedules.Exponential(0.1, k)) for k in range(1, 6)]
    assert not trainer([*drops, dense(6, 3)]).stepper.steps.takes_epochs
    assert "5 schedules" in trainer([*drops, dense(6, 3)]).summary()
    assert trainer([*drops[:4], dense(6, 3)]).stepper.steps.takes_epochs
