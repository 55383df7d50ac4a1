"""Normalisation and residual blocks in the C core's plans: the bits of the same steps op by op."""

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

NORMS = {"layer": nn.LayerNorm, "batch": nn.BatchNorm}


def chain(norm: Any = nn.LayerNorm, sigma: Any = "tanh", width: int = 17) -> list[nn.layers.Layer]:
    """Return layers with a normalisation before, and one after, an activation."""
    return [
        nn.Dense(6, width),
        norm(width, activation=sigma),
        nn.Dense(width, 8, sigma),
        norm(8, 1e-3),
        nn.Dense(8, 3),
    ]


def block(*layers: nn.layers.Layer, sigma: Any = "identity") -> nn.Residual:
    return nn.Residual(layers, activation=sigma)


CHAINS = {
    "layer": chain(),
    "batch": chain(nn.BatchNorm),
    "first": [nn.LayerNorm(6), nn.Dense(6, 3)],
    "batch first": [nn.BatchNorm(6), nn.Dense(6, 3)],
    "last": [nn.Dense(6, 5, "relu"), nn.Dense(5, 3), nn.LayerNorm(3)],
    "batch last": [nn.Dense(6, 3), nn.BatchNorm(3), nn.Dropout(0.1)],
    "after each other": [nn.Dense(6, 5), nn.BatchNorm(5), nn.LayerNorm(5), nn.Dense(5, 3)],
    "with dropout": [
        *(nn.Dropout(0.1), nn.BatchNorm(6), nn.Dropout(0.2), nn.Dense(6, 9, "relu")),
        *(nn.LayerNorm(9, activation="gelu"), nn.Dropout(0.3), nn.Dense(9, 3)),
    ],
    "dropout last": [nn.Dense(6, 5, "tanh"), nn.Dense(5, 3), nn.Dropout(0.4)],
    "activation last but for dropout": [nn.Dense(6, 3, "relu"), nn.Dropout(0.2)],
    "block last but for dropout": [
        *(nn.Dense(6, 3, "relu"), block(nn.LayerNorm(3), sigma="tanh")),
        *(nn.Dropout(0.2), nn.Dropout(0.0), nn.Dropout(0.1)),
    ],
    "activation last but for none": [nn.LayerNorm(6), nn.Dense(6, 3, "relu"), nn.Dropout(0.0)],
    "dropout twice": [
        *(nn.Dropout(0.1), nn.Dropout(0.0), nn.Dropout(0.2), nn.Dense(6, 5, "silu")),
        *(nn.Dropout(0.3), nn.Dropout(0.2), nn.Dense(5, 3), nn.Dropout(0.2), nn.Dropout(0.1)),
    ],
    "residual": [
        *(nn.Dense(6, 8, "relu"), block(nn.Dense(8, 11, "gelu"), nn.Dense(11, 8), sigma="tanh")),
        nn.Dense(8, 3),
    ],
    "residual first": [block(nn.Dense(6, 6, "tanh")), nn.Dense(6, 3)],
    "residual last": [nn.Dense(6, 3, "tanh"), block(nn.Dense(3, 3, "relu"))],
    "residual of blocks": [
        nn.Dense(6, 8, "silu"),
        block(
            block(nn.LayerNorm(8), nn.Dense(8, 8, "tanh"), sigma="relu"),
            block(nn.Dropout(0.2), nn.Dense(8, 5, "gelu"), nn.Dropout(0.1), nn.Dense(5, 8)),
            nn.Dropout(0.3),
            block(nn.BatchNorm(8, activation="softplus"), block(nn.Dense(8, 8, "elu"))),
        ),
        nn.Dropout(0.1),
        block(nn.Dropout(0.3), nn.BatchNorm(8), sigma="gelu"),
        nn.Dense(8, 3),
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


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("sigma", [a for n, a in activations.BY_NAME.items() if n != "step"])
def test_every_activation_has_the_same_bits(norm, sigma):
    layers = [*chain(norm, sigma)[:-1], block(nn.Dense(8, 8), sigma=sigma), nn.Dense(8, 3)]
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("width", [1, 64, 255, 600])
def test_every_width_has_the_same_bits(norm, width):
    layers = chain(norm, "sigmoid", width)
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.SGD(0.1, weight_decay=0.1, clip_norm=0.5),
        nn.AdamW(0.01, clip_norm=0.1, ema=0.99),
        nn.Lion(1e-3, weight_decay=0.1),
    ],
    ids=["clip", "average", "lion"],
)
@pytest.mark.parametrize("layers", ["batch", "residual of blocks"])
def test_optimisers_have_the_same_bits(optimizer, layers):
    made = [trainer(CHAINS[layers], optimizer=optimizer) for _ in range(2)]
    assert run(in_one_call(made[0])) == run(op_by_op(made[1]))


LARGE = {
    "by rows": (320, 60, 200, 8),
    "by products": (128, 60, 300, 2),
}


@pytest.mark.parametrize(("n", "inputs", "width", "steps"), LARGE.values(), ids=LARGE)
def test_neither_threads_nor_the_way_of_a_step_change_a_bit(n, inputs, width, steps):
    x, y = np.random.default_rng(0).normal(size=(n, inputs)).astype("f4"), np.arange(n) % 10
    layers = [
        *(nn.Dense(inputs, width), nn.BatchNorm(width, activation="relu"), nn.Dropout(0.2)),
        block(nn.LayerNorm(width), nn.Dense(width, width, "gelu"), nn.Dense(width, width)),
        *(nn.LayerNorm(width, activation="tanh"), nn.Dense(width, 10), nn.Dropout(0.1)),
    ]
    found = []
    for form, threads in ((op_by_op, 2), (in_one_call, 1), (in_one_call, 2), (in_one_call, 3)):
        nn.set_num_threads(threads)
        made = form(trainer(layers))
        found.append([[float(made.step(x, y)) for _ in range(steps)], *state(made)])
    assert found == [found[0]] * 4


def test_threads_and_isas_change_no_bit():
    layers = [*chain(nn.BatchNorm, "gelu", 40)[:-1], *CHAINS["residual of blocks"][1:]]
    by_threads_and_isas(lambda: [run(in_one_call(trainer(c))) for c in (CHAINS["layer"], layers)])


def test_an_ensemble_learns_as_its_members_do():
    names = ["batch", "residual of blocks", "layer"]
    members, alone = ([trainer(CHAINS[name]) for name in names] for _ in range(2))
    nn.Ensemble(members).fit(X, CLASSES, 2, 16)
    for made in alone:
        made.fit(X, CLASSES, 2, 16)
    assert [state(made) for made in members] == [state(made) for made in alone]


def test_running_statistics_stay_what_a_copy_of_them_was():
    """Steps change them in place: neither a snapshot nor a copied network may see that."""
    made = trainer(CHAINS["batch"])
    made.step(X, CLASSES)
    copied, before = made.network.copy(), state(made)
    snapshot = made.stepper.snapshot()
    made.fit(X, CLASSES, 2)
    assert state(made) != before
    made.stepper.restore(snapshot)
    assert state(made) == before
    made.step(X, CLASSES)
    assert state(made) != before
    assert [(a + 0).tobytes() for part in copied.buffers for a in part.values()] == before[3:]


def test_a_batch_of_one_row_is_refused_as_ever():
    made = trainer(CHAINS["batch"])
    with pytest.raises(ValueError, match="at least 2 rows for BatchNorm"):
        made.step(X[:1], CLASSES[:1])


# Predictions


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_prediction_has_the_bits_of_its_layers(layers, dtype):
    made = trainer(layers, dtype)
    x = np.resize(X, (700, 6)).astype(dtype)
    made.fit(x, np.resize(CLASSES, 700), 1)  # running statistics that are not the first
    net = made.network
    for n in (1, 2, 17, 129, 700):
        trace = net.trace(x[:n])
        for threads in (1, 2):
            nn.set_num_threads(threads)
            assert net._predicted(x[:n], "softmax", None) is not None
            assert net.scores(x[:n]).tobytes() == trace.scores.tobytes()
            assert net(x[:n]).tobytes() == trace.output.tobytes()


# What C refuses

LAYERS: dict[str, Any] = {
    "unknown": {"kind": 99},
    "negative": {"kind": -1},
    "norm of another width": {"kind": 1, "outputs": 4, "eps": 1e-5},
    "eps of 0": {"kind": 1, "eps": 0.0},
    "eps that is NaN": {"kind": 2, "eps": np.nan},
    "ADD of itself": {"kind": 3, "from": 1},
    "ADD of nothing": {"kind": 3, "from": -1},
    "ADD of another width": {"kind": 3, "from": 0, "inputs": 4, "outputs": 4},
}


@pytest.mark.parametrize("change", LAYERS.values(), ids=LAYERS)
def test_plans_refuse_layers_that_are_unsound(change):
    ffi, lib = core.ffi, core.lib
    dense = {"inputs": 2, "outputs": 3, "activation": 1, "factor": 1.0}
    good = {"kind": 1, "inputs": 3, "outputs": 3, "activation": 1, "eps": 1e-5}
    for second, sound in ((good, True), (good | change, False)):
        layers = ffi.new("struct nnpoly_layer[]", [dense, second])
        training = {"dtype": 0, "depth": 2, "layers": layers, "loss": 0, "rule": 0}
        plan = lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training))
        assert (plan != ffi.NULL) == sound
        lib.nnpoly_plan_free(plan)


def test_plans_refuse_a_normalisation_of_what_is_gathered_and_a_result_that_two_take():
    ffi, lib = core.ffi, core.lib
    norm = {"kind": 1, "inputs": 3, "outputs": 3, "activation": 1, "eps": 1e-5}
    copy, add = norm | {"kind": 4}, norm | {"kind": 3, "from": 0}
    for rows in ([norm], [copy], [copy, norm, add, norm, add]):
        layers = ffi.new("struct nnpoly_layer[]", rows)
        training = {"dtype": 0, "depth": len(rows), "layers": layers, "loss": 0, "rule": 0}
        assert lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training)) == ffi.NULL


def test_running_statistics_that_are_absent_are_refused():
    ffi, lib = core.ffi, core.lib
    net = trainer(CHAINS["batch"]).network
    running = net._predicted(X, "softmax", None)
    dtype, layers, depth = net._predictions[None]._head
    f = np.empty((101, 3), "f4")
    places = [ffi.from_buffer(a) for a in (net.w, X, f)]
    assert running is not None
    for buffers in (ffi.NULL, ffi.new("void *[4]")):
        arguments = dtype, layers, depth, places[0], buffers, *places[1:], 101, 1, 1
        assert lib.nnpoly_predict(*arguments) == lib.NNPOLY_NULL


def test_buffers_may_be_replaced_between_steps():
    """One by one, all, or by those of another network; and none is written into that was freed."""

    def twin(dense: Any) -> nn.Trainer:
        layers = [dense(6, 8, "relu"), nn.BatchNorm(8), dense(8, 3)]
        return nn.Trainer(nn.Network(layers, "softmax"), nn.Adam(0.01))

    class Own(nn.Dense):
        """Takes its steps op by op."""

    found = []
    for t in (twin(nn.Dense), twin(Own)):
        t.step(X, CLASSES)
        t.network.buffers[1]["mean"] = np.full(8, 5.0, "f4")
        others = [np.zeros(8, "f4") for _ in range(50)]
        t.step(X, CLASSES)
        assert not any(array.any() for array in others)
        t.network.buffers = [{}, {"mean": np.ones(8), "variance": np.full(8, 2.0)}, {}]
        t.fit(X, CLASSES, 2, 32)
        found.append([array.tobytes() for array in t.network.arrays().values()])
        found[-1].append(t.network(X).tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("form", [in_one_call, op_by_op])
def test_arrays_of_buffers_are_live(form):
    """As `net.w` is: steps write into them, whichever way they are taken."""
    made = form(trainer(CHAINS["batch"]))
    held = [array for part in made.network.buffers for array in part.values()]
    for take in (lambda: made.step(X, CLASSES), lambda: made.fit(X, CLASSES, 2, 25, accumulate=2)):
        before = [array.copy() for array in held]
        take()
        now = [array for part in made.network.buffers for array in part.values()]
        assert all(a is b for a, b in zip(held, now, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(held, before, strict=True))


@pytest.mark.parametrize("form", [in_one_call, op_by_op])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_running_variance_that_overflows_ends_the_epoch(form, accumulate):
    """No loss of training shows it: the batch's own variance is infinite, and normalises to 0."""
    made = form(trainer([nn.BatchNorm(6), nn.Dense(6, 3)]))
    made.fit(X, CLASSES, 1)
    before = state(made)
    large = np.where(X > 0, np.float32(1e20), np.float32(-1e20))
    with pytest.raises(nn.NonFiniteLossError, match="a running mean or variance of BatchNorm"):
        made.fit(large, CLASSES, 1, 101, accumulate=accumulate)
    assert (state(made), len(made.history)) == (before, 1)


def test_buffers_of_another_shape_stay_out_of_c():
    t = nn.Trainer(nn.Network([nn.Dense(6, 8), nn.BatchNorm(8), nn.Dense(8, 3)], "softmax"))
    t.network.buffers[1]["variance"] = np.ones(2, "f4")
    for call in (t.network, lambda X: t.step(X, CLASSES)):
        with pytest.raises(ValueError, match="broadcast"):
            call(X)
