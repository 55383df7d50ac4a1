"""Losses and outputs: their derivatives, signs, means, extremes and pairings."""

from __future__ import annotations

import array_api_compat.numpy as xp
import differences
import numpy as np
import pytest

import nnpoly as nn
from nnpoly import losses
from nnpoly.losses import MSE, CrossEntropy, Logistic, apply_output
from nnpoly.primitives import Ops

OPS = Ops(xp)
PAIRS = {"identity": MSE(), "sigmoid": Logistic(), "softmax": CrossEntropy()}

every_pair = pytest.mark.parametrize(("output", "loss"), list(PAIRS.items()), ids=list(PAIRS))


def targets(loss: losses.Loss, rng: np.random.Generator, n: int, K: int) -> np.ndarray:
    """Return rows of targets of the kind that the loss takes, not only 0 and 1."""
    if loss.labels == "classes":
        return rng.dirichlet(np.ones(K), n)
    return rng.random((n, K)) if loss.labels == "probabilities" else rng.standard_normal((n, K))


@pytest.fixture(params=[(1, 1), (1, 3), (5, 1), (7, 3)], ids=str)
def shape(request) -> tuple[int, int]:
    """The scores' n and K."""
    return request.param


# The laws


@every_pair
def test_delta_is_the_derivative_of_the_loss(output, loss, shape, rng):
    scores, y = 2.0 * rng.standard_normal(shape), targets(loss, rng, *shape)
    expected = differences.gradient(lambda z: loss.value_and_delta(OPS, z, y)[0], scores)
    _, delta = loss.value_and_delta(OPS, scores, y)
    np.testing.assert_allclose(delta, expected, rtol=0, atol=differences.ACCURACY)


@every_pair
def test_delta_is_output_minus_target_over_n(output, loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    _, delta = loss.value_and_delta(OPS, scores, y)
    f = apply_output(OPS, output, scores)
    np.testing.assert_allclose(delta, (f - y) / shape[0], rtol=0, atol=1e-15)


@every_pair
def test_loss_is_a_mean_over_the_batch(output, loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    value, delta = loss.value_and_delta(OPS, scores, y)
    alone = [loss.value_and_delta(OPS, scores[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    np.testing.assert_allclose(value, np.mean([v for v, _ in alone]), rtol=1e-14)
    np.testing.assert_allclose(delta, np.concatenate([d for _, d in alone]) / len(y), rtol=1e-13)


def test_mse_is_half_the_squared_error():
    scores, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 2.0]])
    value, delta = MSE().value_and_delta(OPS, scores, y)
    assert value == (1 + 4 + 0 + 4) / (2 * 2)
    assert delta.tolist() == [[0.5, 1.0], [0.0, 1.0]]


@every_pair
def test_loss_is_the_formula_of_the_output(output, loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    f = apply_output(OPS, output, scores)
    n = len(y)
    formula = {
        "identity": lambda: np.sum((y - f) ** 2) / (2 * n),
        "sigmoid": lambda: -np.sum(y * np.log(f) + (1 - y) * np.log(1 - f)) / n,
        "softmax": lambda: -np.sum(y * np.log(f)) / n,
    }
    value, _ = loss.value_and_delta(OPS, scores, y)
    np.testing.assert_allclose(value, formula[output](), rtol=1e-13, atol=1e-15)


# Two classes


def test_softmax_of_two_is_a_sigmoid(rng):
    scores = 5.0 * rng.standard_normal((50, 2))
    s = nn.activations.sigmoid(scores[:, 0] - scores[:, 1])
    np.testing.assert_allclose(OPS.softmax(scores), np.stack([s, 1 - s], axis=1), atol=1e-15)


def test_cross_entropy_of_two_is_the_logistic_loss(rng):
    scores, labels = 5.0 * rng.standard_normal((50, 2)), rng.integers(0, 2, 50)
    value, delta = CrossEntropy().value_and_delta(OPS, scores, labels)
    difference, first = (scores[:, 0] - scores[:, 1])[:, None], 1.0 * (labels[:, None] == 0)
    expected, d = Logistic().value_and_delta(OPS, difference, first)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(delta, np.concatenate([d, -d], axis=1), rtol=0, atol=1e-16)


# Every backend: extremes and kinds of labels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_scores_give_exact_cross_entropy(backend_variant, dtype):
    """One sample right and one wrong, each by 2e4: losses 0 and 2e4."""
    array, host = backend_variant.array, backend_variant.host
    scores = array([[1e4, -1e4], [1e4, -1e4]], dtype)
    labels = array([0, 1], backend_variant.backend.index_dtype)
    value, delta = CrossEntropy().value_and_delta(backend_variant.backend.ops, scores, labels)
    assert float(value) == 1e4
    assert host(delta).tolist() == [[0.0, 0.0], [0.5, -0.5]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_scores_give_exact_logistic_loss(backend_variant, dtype):
    array, host = backend_variant.array, backend_variant.host
    scores, y = array([[1e4, -1e4, 1e4, -1e4]], dtype), array([[1.0, 0.0, 0.0, 1.0]], dtype)
    value, delta = Logistic().value_and_delta(backend_variant.backend.ops, scores, y)
    assert float(value) == 2e4
    assert host(delta).tolist() == [[0.0, 0.0, 1.0, -1.0]]


def test_far_scores_give_exact_outputs(backend_variant):
    scores, ops = backend_variant.array([[1e4, -1e4, 0.0]], "float32"), backend_variant.backend.ops
    expected = {"softmax": [1.0, 0.0, 0.0], "sigmoid": [1.0, 0.0, 0.5], "step": [1.0, 0.0, 1.0]}
    for output, row in expected.items():
        assert backend_variant.host(apply_output(ops, output, scores)).tolist() == [row]


def test_indices_and_one_hot_rows_agree(backend_variant, rng):
    net = nn.MLP([4, 6, 3], dtype="float64", **backend_variant.place)
    X, labels = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
    by_index, from_indices = net.gradients(X, labels)
    by_row, from_rows = net.gradients(X, nn.one_hot(labels, 3, "float64"))
    host = backend_variant.host
    np.testing.assert_allclose(host(by_index), host(by_row), rtol=1e-15)
    np.testing.assert_allclose(host(from_indices.flat), host(from_rows.flat), rtol=0, atol=1e-15)


def test_losses_are_0_dimensional(backend_variant):
    for output in PAIRS:
        net = nn.MLP([2, 1], output=output, **backend_variant.place)
        value = net.loss([[0.5, 1.0]], [[1.0]])
        assert value.shape == ()
        assert value.dtype == net.w.dtype


# Pairing


@every_pair
def test_each_output_has_its_own_loss(output, loss):
    assert losses.get(None, output) == loss
    assert losses.get(loss, output) is loss


WRONG = [(o, n) for o in PAIRS for n, loss in losses.BY_NAME.items() if loss.output != o]


@pytest.mark.parametrize(("output", "name"), WRONG)
def test_wrong_pairs_are_refused(output, name):
    loss = losses.BY_NAME[name]
    kinds = f"{type(loss).__name__} needs output='{loss.output}'.*output='{output}'"
    for given in (name, loss):
        with pytest.raises(ValueError, match=f"Trainer: `loss` {kinds}"):
            nn.Trainer(nn.MLP([2, 2], output=output), loss=given)


def test_step_output_has_no_loss():
    net = nn.MLP([2, 1], output="step")
    for attempt in (lambda: nn.Trainer(net), lambda: net.loss([[0.0, 1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="derivative 0 almost everywhere"):
            attempt()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="`loss` must be one of cross_entropy, logistic, mse"):
        losses.get("hinge", "identity")
