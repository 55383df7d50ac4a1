"""Networks of JAX inside functions that JAX transforms."""

from __future__ import annotations

import numpy as np
import pytest

import nnpoly as nn

jax = pytest.importorskip("jax")

X = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")


@pytest.fixture
def net() -> nn.Network:
    return nn.MLP([3, 4, 2], "tanh", backend="jax")


def test_predictions_are_compiled(net):
    """The first call of a new network is traced: nothing of the trace stays in it."""
    x = jax.numpy.asarray(X)
    for _ in range(2):
        np.testing.assert_allclose(jax.jit(net)(x), net(x), rtol=1e-6)
        np.testing.assert_allclose(jax.jit(net.scores)(x), net.scores(x), rtol=1e-5)
    assert nn.Trainer(net).fit(X, [0, 1, 0, 1, 1], 1).loss[0] > 0.0


def test_rows_are_mapped(net):
    mapped = jax.vmap(lambda row: net(row[None, :])[0])(jax.numpy.asarray(X))
    np.testing.assert_allclose(mapped, net(X), rtol=1e-6)


def test_derivatives_by_the_inputs_and_by_the_parameters(net):
    x, y = jax.numpy.asarray(X), jax.numpy.asarray([0, 1, 0, 1, 1])
    by_input = jax.grad(lambda x: net.loss(x, y))(x)
    step, h = np.zeros_like(X), 1e-2
    step[2, 1] = h
    difference = (float(net.loss(X + step, y)) - float(net.loss(X - step, y))) / (2 * h)
    assert float(by_input[2, 1]) == pytest.approx(difference, rel=1e-2)

    def loss(w):
        other = net.copy()
        other.w = w
        return other.loss(x, y)

    np.testing.assert_allclose(
        jax.grad(loss)(net.w), net.gradients(x, y)[1].flat, rtol=1e-4, atol=1e-6
    )
