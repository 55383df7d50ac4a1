"""Dropout in the C core's plans: the bits of the same steps op by op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import (
    CLASSES,
    WEIGHTS,
    X,
    by_threads_and_isas,
    in_one_call,
    op_by_op,
    run,
    state,
    trainer,
)

import nnpoly as nn
from nnpoly import activations

core = built_core()
pytestmark = pytest.mark.usefixtures("restored_core")


def chain(activation: Any = "tanh", width: int = 17) -> list[nn.layers.Layer]:
    return [
        nn.Dense(6, width, activation),
        nn.Dropout(0.3),
        nn.Dense(width, 8, activation),
        nn.Dropout(0.5),
        nn.Dense(8, 3),
    ]


CHAINS = {
    "between": chain(),
    "inputs": [nn.Dropout(0.2), nn.Dense(6, 17, "relu"), nn.Dense(17, 3)],
    "both": [nn.Dropout(0.2), *chain("gelu")],
    "rates of 0": [
        *(nn.Dropout(0.0), nn.Dropout(0.2), nn.Dense(6, 5, "relu")),
        *(nn.Dropout(0.0), nn.Dropout(0.1), nn.Dense(5, 3), nn.Dropout(0.0)),
    ],
    "alone": [nn.Dropout(0.5), nn.Dense(6, 3)],
}


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_op_by_op(layers, weights, dtype):
    planned = run(in_one_call(trainer(layers, dtype)), weights, dtype)
    assert planned == run(op_by_op(trainer(layers, dtype)), weights, dtype)


@pytest.mark.parametrize("sigma", [a for n, a in activations.BY_NAME.items() if n != "step"])
def test_every_activation_has_the_same_bits(sigma):
    layers = chain(sigma)
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize("width", [1, 255, 600])
def test_every_width_has_the_same_bits(width):
    layers = [nn.Dropout(0.1), *chain("sigmoid", width)]
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize("threads", [1, 2])
def test_large_layers_have_the_same_bits(threads):
    """They take the second way of a step, product by product."""
    nn.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 700)).astype("f4"), rng.integers(0, 3, 64)
    layers = [nn.Dropout(0.2), nn.Dense(700, 800, "tanh"), nn.Dropout(0.4), nn.Dense(800, 3)]
    found = []
    for form in (in_one_call, op_by_op):
        made = form(trainer(layers))
        found.append([float(made.step(x, y)) for _ in range(2)] + state(made))
    assert found[0] == found[1]


def test_threads_and_isas_change_no_bit():
    layers = [nn.Dropout(0.1), *chain("gelu", 40)]
    by_threads_and_isas(lambda: run(in_one_call(trainer(layers))))


def test_an_ensemble_drops_as_its_members_do():
    members = [trainer(chain()), trainer(CHAINS["inputs"])]
    alone = [trainer(chain()), trainer(CHAINS["inputs"])]
    nn.Ensemble(members).fit(X, CLASSES, 2, 16)
    for made in alone:
        made.fit(X, CLASSES, 2, 16)
    assert [state(made) for made in members] == [state(made) for made in alone]


def test_predictions_pass_dropout_by_in_one_call():
    net = nn.Network([nn.Dropout(0.2), *chain("relu")], "softmax", seed=1)
    plain = nn.Network([layer for layer in chain("relu") if isinstance(layer, nn.Dense)], "softmax")
    plain.w = net.w
    assert net._predicted(X, "softmax", None) is not None
    assert np.array_equal(net(X), plain(X))
    assert net.scores(X).tobytes() == plain.scores(X).tobytes()


def test_plans_refuse_rates_that_are_none():
    ffi, lib = core.ffi, core.lib
    for rate in (-0.1, 1.0, np.nan):
        layer = {"inputs": 2, "outputs": 3, "activation": 1, "factor": 1.0, "dropout": rate}
        layers = ffi.new("struct nnpoly_layer[]", [layer])
        good = {"dtype": 0, "depth": 1, "layers": layers, "loss": 0, "rule": 0}
        assert lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", good)) == ffi.NULL
