"""Layers of several members in the C core's plans: the bits of the same steps op by op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import (
    CLASSES,
    ONE_CALL,
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


def tabm(k: int = 4, width: int = 17, sigma: Any = "relu", inputs: int = 6) -> list[Any]:
    """Return TabM's layers."""
    shared = nn.SharedDense
    return [
        nn.MemberScale(inputs, k, "signs"),
        *(shared(inputs, width, k, sigma, scaled="after"), nn.Dropout(0.1)),
        *(shared(width, 9, k, sigma), nn.Dropout(0.2)),
        nn.MemberDense(9, 3, k),
    ]


def mini(k: int = 4, width: int = 17, sigma: Any = "relu") -> list[Any]:
    """Return TabM-mini's."""
    shared = nn.SharedDense
    return [
        nn.MemberScale(6, k, "normal"),
        *(shared(6, width, k, sigma, scaled=False), nn.Dropout(0.1)),
        *(shared(width, 9, k, sigma, scaled=False), nn.Dropout(0.2)),
        nn.MemberDense(9, 3, k),
    ]


CHAINS = {
    "tabm": tabm(),
    "mini": mini(),
    "one member": tabm(1),
    "an odd number": tabm(5, 33),
    "many": tabm(32, 8),
    "above embeddings": [nn.Periodic(6, 4), *tabm(inputs=18)],
    "above lines": [nn.PiecewiseLinear(6, [[-1, 0, 1]] * 4, features=3), *tabm(inputs=14)],
    "above dense layers": [nn.Dense(6, 8, "tanh"), *tabm(3, inputs=8)],
    "alone": [nn.SharedDense(2, 3, 3)],
    "alone and mini": [nn.SharedDense(3, 3, 2, scaled=False)],
    "each alone": [nn.MemberDense(2, 5, 3, "tanh"), nn.Dropout(0.1), nn.MemberDense(5, 3, 3)],
    "a head of scales": [nn.Dense(6, 3), nn.MemberScale(3, 4, "normal")],
    "no members last": [*tabm(3)[:-1], nn.Dense(27, 3)],
    "after each other": [
        *(nn.MemberScale(6, 2, "normal"), nn.Dropout(0.1), nn.MemberScale(12, 3, "normal")),
        *(nn.LayerNorm(36), nn.SharedDense(9, 5, 4, "gelu"), nn.Blend(20, "silu")),
        nn.Residual([nn.SharedDense(4, 4, 5, "tanh"), nn.MemberDense(10, 10, 2)]),
        *(nn.BatchNorm(20), nn.SharedDense(10, 3, 2, scaled="after")),
    ],
}


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_op_by_op(layers, weights, dtype):
    planned = trainer(layers, dtype)
    assert planned.summary().endswith(ONE_CALL)
    planned = run(in_one_call(planned), weights, dtype)
    assert planned == run(op_by_op(trainer(layers, dtype)), weights, dtype)
    assert np.isfinite(planned[1]).all()


@pytest.mark.parametrize("sigma", [a for n, a in activations.BY_NAME.items() if n != "step"])
@pytest.mark.parametrize("made", [tabm, mini])
def test_every_activation_has_the_same_bits(made, sigma):
    layers = made(sigma=sigma)
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize(("k", "width"), [(2, 1), (32, 64), (3, 300), (7, 600)])
@pytest.mark.parametrize("made", [tabm, mini])
def test_every_width_has_the_same_bits(made, k, width):
    layers = made(k, width)
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize(("k", "width"), [(5, 17), (6, 300)])
@pytest.mark.parametrize("made", [tabm, mini])
def test_neither_threads_nor_isa_change_a_bit(made, k, width):
    by_threads_and_isas(lambda: run(trainer(made(k, width))))


@pytest.mark.parametrize("width", [17, 300])
@pytest.mark.parametrize("made", [tabm, mini])
def test_bits_with_products_in_bfloat16(made, width):
    def one() -> nn.Trainer:
        net = nn.Network(made(3, width), "softmax", seed=1)
        return nn.Trainer(net, nn.Adam(0.01), seed=7, precision="bf16")

    assert run(in_one_call(one())) == run(op_by_op(one()))


LOSSES: list[tuple[str, Any, int]] = [
    ("softmax", nn.losses.CrossEntropy(label_smoothing=0.1), 3),
    ("softmax", nn.losses.Focal(2.0), 3),
    *(("sigmoid", nn.losses.Logistic(label_smoothing=0.1), K) for K in (1, 3)),
    *(("identity", nn.losses.MSE(), K) for K in (1, 3)),
    ("identity", nn.losses.Huber(0.5), 3),
    *(("exp", nn.losses.Poisson(), K) for K in (1, 3)),
]


@pytest.mark.parametrize(("output", "loss", "outputs"), LOSSES)
def test_every_loss_has_the_same_bits(output, loss, outputs):
    y = np.eye(3, dtype="f4")[CLASSES][:, :outputs]

    def trained(change: Any) -> list[Any]:
        layers = [*tabm(4)[:-1], nn.MemberDense(9, outputs, 4)]
        made = change(nn.Trainer(nn.Network(layers, output, seed=1), nn.Adam(0.01), loss, seed=7))
        losses = [float(made.step(X[:32], y[:32], WEIGHTS[:32]))]
        return losses + made.fit(X, y, 2, 25, sample_weight=WEIGHTS).loss + state(made)

    assert trained(in_one_call) == trained(op_by_op)


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.SGD(0.1, weight_decay=0.1, clip_norm=0.5),
        nn.AdamW(0.002, weight_decay=3e-4, clip_norm=1.0, ema=0.99),
    ],
)
def test_every_update_has_the_same_bits(optimizer):
    layers = tabm(5)
    planned = run(in_one_call(trainer(layers, optimizer=optimizer)))
    assert planned == run(op_by_op(trainer(layers, optimizer=optimizer)))


def test_factors_of_rates_have_the_same_bits():
    rates = {"r": (0.1, 1.0), "s": (2.0, 0.0), "b": (0.5, 0.5)}
    layers = [nn.SharedDense(3, 5, 2, "relu", rates=rates), nn.MemberDense(5, 3, 2)]
    optimizer = nn.AdamW(0.01, weight_decay=0.1)
    planned = run(in_one_call(trainer(layers, optimizer=optimizer)))
    assert planned == run(op_by_op(trainer(layers, optimizer=optimizer)))


def test_networks_of_an_ensemble_have_the_bits_of_each_alone():
    chains = tabm(), mini(3)
    alone = [trainer(layers) for layers in chains]
    for one in alone:
        one.fit(X, CLASSES, 2, 16)
    together = [trainer(layers) for layers in chains]
    nn.Ensemble(together).fit(X, CLASSES, 2, 16)
    assert [state(one) for one in together] == [state(one) for one in alone]


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "exp"])
def test_a_prediction_is_one_call_with_the_bits_of_a_trace(layers, dtype, output):
    net = nn.Network(layers, output, dtype=dtype, seed=1)
    x = np.tile(X.astype(dtype), (12, 1))  # more rows than one block has
    trace = net.trace(x)
    for what, want in ((output, trace.output), (None, trace.scores)):
        one_call = net._predicted(x, what, None)
        assert one_call is not None
        assert (one_call + 0).tobytes() == (want + 0).tobytes()


GOOD: dict[str, dict[str, Any]] = {
    "DENSE": {"members": 2, "factor": 1.0, "outputs": 6},
    "SCALE": {"shifted": 1},
    "MEMBER_SCALE": {"members": 3, "outputs": 12},
    "MEMBER_DENSE": {"members": 2, "factor": 1.0, "outputs": 6},
}
UNSOUND: list[tuple[str, dict[str, Any]]] = [
    *(("DENSE", {"members": k}) for k in (-1, 3, 4)),
    ("DENSE", {"outputs": 5}),
    ("MEMBER_SCALE", {"outputs": 8}),
    ("MEMBER_SCALE", {"members": -3}),
    *(("MEMBER_DENSE", {"members": k}) for k in (-1, 3, 4)),
    ("MEMBER_DENSE", {"outputs": 5}),
    ("MEMBER_DENSE", {"factor": 0.0}),
    ("MEMBER_DENSE", {"unbiased": 1}),
]


def plan(layers: list[dict[str, Any]], **more: Any) -> bool:
    """Whether C makes a plan of the layers."""
    ffi, lib = core.ffi, core.lib
    rows = ffi.new("struct nnpoly_layer[]", [{"activation": 1, **layer} for layer in layers])
    training = {"dtype": 0, "depth": len(layers), "layers": rows, "loss": 2, "rule": 0, **more}
    made = lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training))
    lib.nnpoly_plan_free(made)
    return bool(made != ffi.NULL)


@pytest.mark.parametrize(("kind", "change"), UNSOUND)
def test_plans_refuse_layers_that_are_unsound(kind, change):
    first = {"inputs": 2, "outputs": 4, "factor": 1.0}
    good = {"kind": getattr(core.lib, f"NNPOLY_{kind}"), "inputs": 4, "outputs": 4, **GOOD[kind]}
    assert plan([first, good])
    assert not plan([first, good | change])


@pytest.mark.parametrize(("members", "taken"), [(0, True), (2, True), (4, False), (-2, False)])
def test_plans_refuse_members_that_do_not_share_the_scores(members, taken):
    first = {"inputs": 2, "outputs": 6, "factor": 1.0}
    assert plan([first], members=members) == taken


def test_plans_refuse_members_of_a_first_layer():
    first = {"inputs": 2, "outputs": 6, "factor": 1.0}
    assert plan([first])
    assert not plan([{**first, "members": 2}])
