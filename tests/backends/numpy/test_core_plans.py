"""Plans and predictions of the C core: every activation, the arrays it reads, targets it refuses.

Their bits are those of the primitives, called one by one; `test_plan` has the rest.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import built_core

import nnpoly as nn
from nnpoly.activations import Activation
from nnpoly.backends import codes, get

core = built_core()
lib, ffi = core.lib, core.ffi

pytestmark = pytest.mark.usefixtures("restored_core")

ACTIVATIONS = [kind() for kind in codes.ACTIVATIONS]

every_isa = pytest.mark.parametrize("isa", core.isas())
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def data(n: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 6)).astype(dtype), rng.integers(0, 3, n)


# Every activation


def network(activation: Activation, dtype: str, output: str = "softmax") -> nn.Network:
    layers = [nn.Dense(6, 17, activation), nn.Dense(17, 8, activation), nn.Dense(8, 3)]
    return nn.Network(layers, output, dtype=dtype, seed=1)


@every_isa
@every_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_a_prediction_with_every_activation_has_the_bits_of_its_layers(isa, activation, dtype):
    assert lib.nnpoly_set_isa(isa.encode()) == lib.NNPOLY_OK
    net, (X, _) = network(activation, dtype), data(150, dtype)
    trace = net.trace(X)
    assert net(X).tobytes() == trace.output.tobytes()
    assert net.scores(X).tobytes() == trace.scores.tobytes()


@every_isa
@every_dtype
@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a.differentiable], ids=repr)
def test_a_step_with_every_activation_has_the_bits_of_its_primitives(isa, activation, dtype):
    assert lib.nnpoly_set_isa(isa.encode()) == lib.NNPOLY_OK
    net, (X, y) = network(activation, dtype), data(40, dtype)
    trainer = nn.Trainer(net, nn.SGD(0.1))
    assert trainer.summary().endswith(
        "one call of the C core a step, and for many steps of an epoch"
    )
    w, (_, gradients) = net.w.copy(), net.gradients(X, y)
    trainer.step(X, y)
    assert net.w.tobytes() == get("numpy").ops.sgd(w, gradients.flat, 0.1).tobytes()


# Arrays whose dtype is equal to C's, but another object


def travelled(array: np.ndarray) -> np.ndarray:
    """Return the array as another process gets it."""
    again = pickle.loads(pickle.dumps(array))
    assert again.dtype is not array.dtype
    return again


def described(array: np.ndarray) -> np.ndarray:
    return array.view(np.dtype(array.dtype.str, metadata={"unit": "m"}))


@pytest.mark.parametrize("form", [travelled, described])
@every_dtype
def test_an_equal_dtype_is_read_whichever_object_it_is(form, dtype):
    X = np.ones((4, 3), dtype)
    assert core.floats(X, form(X))
    assert core.floats(form(X), X)
    assert core.readable(core.INT64, form(np.arange(3)))
    ops, limit = get("numpy").ops, 0.1
    assert ops.clip_norm(form(X), limit).tobytes() == ops.clip_norm(X, limit).tobytes()


@pytest.mark.parametrize("kind", ["float16", "longdouble", ">f4", ">f8", "int32", "complex64"])
def test_other_dtypes_are_not_read(kind):
    assert not core.floats(np.ones(3, kind))
    assert not core.floats([1.0, 2.0])


# Targets that `fit` refuses are refused by a step, which changes nothing then


def rows(n: int, K: int, dtype: str) -> np.ndarray:
    return np.full((n, K), 1.0 / K, dtype)


def changed(y: np.ndarray, value: float, row: int = -1, column: int = -1) -> np.ndarray:
    y = y.copy()
    y[row, column] = value
    return y


BAD = [np.nan, np.inf, -np.inf, -0.5, 1.5, -1.0, 5.0]


def refused(output: str, K: int, dtype: str) -> Iterator[np.ndarray]:
    """Yield targets that a loss of this output cannot have."""
    good = rows(9, K, dtype)
    for value in BAD:
        for place in ((0, 0), (4, K - 1), (8, 0)):
            yield changed(good, value, *place)
    if output == "softmax":
        yield changed(good, 0.0)
        yield np.full_like(good, 5.0)
        yield good * 1.02
        yield good * 0.98


@every_dtype
@pytest.mark.parametrize(("output", "K"), [("softmax", 3), ("sigmoid", 1), ("sigmoid", 3)])
def test_a_step_refuses_targets_that_fit_refuses(output, K, dtype):
    net = nn.MLP([6, 5, K], output=output, dtype=dtype, seed=0)
    trainer, (X, _) = nn.Trainer(net, nn.Adam(0.1, ema=0.9)), data(9, dtype)
    before = net.w.tobytes()
    for y in refused(output, K, dtype):
        for form in [y, y[:, 0].copy()] if K == 1 else [y]:
            with pytest.raises(ValueError, match="yb"):
                trainer.step(X, form)
            with pytest.raises(ValueError, match="y"):
                trainer.fit(X, form, epochs=1)
        assert (trainer.t, net.w.tobytes()) == (0, before)
    trainer.step(X, rows(9, K, dtype) * (1.009 if output == "softmax" else 1.0))
    assert trainer.t == 1


@every_dtype
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_labels_of_another_convention_are_refused(output, dtype):
    X, y = data(9, dtype)
    K = 3 if output == "softmax" else 1
    net = nn.MLP([6, 5, K], output=output, dtype=dtype, seed=0)
    trainer, before = nn.Trainer(net), net.w.tobytes()
    signs = np.where(y[:, None] > 1, 1.0, -1.0).astype(dtype)
    with pytest.raises(ValueError, match="yb"):
        trainer.step(X, np.repeat(signs, K, axis=1))
    assert (trainer.t, net.w.tobytes()) == (0, before)


def step_of_one_layer(loss: int, dtype: str, y: np.ndarray) -> tuple[int, bool]:
    """Return the status of a step on one layer, and whether an array changed."""
    (n, K), real = y.shape, np.dtype(dtype)
    layer = {"inputs": 2, "outputs": K, "activation": 1, "factor": 1.0}
    layers = ffi.new("struct nnpoly_layer[]", [layer])
    training: dict[str, Any] = {"depth": 1, "layers": layers, "loss": loss, "rule": lib.NNPOLY_SGD}
    training["dtype"] = lib.NNPOLY_FLOAT32 if real.itemsize == 4 else lib.NNPOLY_FLOAT64
    plan = ffi.gc(
        lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training)), lib.nnpoly_plan_free
    )
    w, g, x, mean = (np.ones(size, real) for size in (3 * K, 3 * K, (n, 2), 1))
    place = ffi.from_buffer
    state = ffi.new("struct nnpoly_state *", {"w": place(w), "g": place(g)})
    rates = ffi.new("struct nnpoly_rates *", {"learning_rate": 0.5, "unbias_s": 1.0})
    y = np.ascontiguousarray(y, real)
    batch = place(x), ffi.NULL, place(y), ffi.NULL, n
    status = lib.nnpoly_plan_step(plan, state, *batch, rates, place(mean))
    return status, not all((array == 1.0).all() for array in (w, g, mean))


@every_dtype
@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("K", [1, 2, 9, 33])
def test_a_plans_step_refuses_rows_out_of_range(K, n, dtype):
    good = rows(n, K, dtype)
    for value in BAD:
        y = changed(good, value)
        both = lib.NNPOLY_CROSS_ENTROPY, lib.NNPOLY_LOGISTIC
        for loss in (*both, *([] if np.isfinite(value) else [lib.NNPOLY_SQUARED_ERROR])):
            assert step_of_one_layer(loss, dtype, y) == (lib.NNPOLY_RANGE, False)
    for y in (good * 1.011, good * 0.989):
        assert step_of_one_layer(lib.NNPOLY_CROSS_ENTROPY, dtype, y) == (lib.NNPOLY_RANGE, False)


@every_dtype
def test_a_plans_step_takes_rows_in_range(dtype):
    good, zeros = rows(5, 4, dtype), np.zeros((5, 4))
    taken = lib.NNPOLY_OK, True
    for y in (good, good * 1.009, good * 0.991, np.eye(4)[[0, 1, 2, 3, 0]]):
        assert step_of_one_layer(lib.NNPOLY_CROSS_ENTROPY, dtype, y) == taken
    for y in (good, zeros, zeros + 1.0, np.eye(5, 4)):
        assert step_of_one_layer(lib.NNPOLY_LOGISTIC, dtype, y) == taken
    for y in (good, zeros - 5.0, zeros + 1e3):
        assert step_of_one_layer(lib.NNPOLY_SQUARED_ERROR, dtype, y) == taken
