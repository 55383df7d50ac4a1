"""Data are finite in the network's own type: also what is only infinite there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.training.evaluation import forward

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # a backend's own

N = 6
X = np.random.default_rng(2).normal(size=(N, 2))
Y = X[:, :1].copy()


def spoilt(array: np.ndarray, value: float, dtype: str = "float64") -> np.ndarray:
    """The array with a value in its row 4."""
    array = array.astype(dtype)
    array[4] = value
    return array


def trainer(place: dict[str, Any]) -> nn.Trainer:
    return nn.Trainer(nn.MLP([2, 1], output="identity", **place))


TARGET_ENTRIES = {
    "loss": lambda t, y: t.network.loss(X, y),
    "gradients": lambda t, y: t.network.gradients(X, y),
    "step": lambda t, y: t.step(X, y),
    "fit": lambda t, y: t.fit(X, y, 1),
    "validation": lambda t, y: t.fit(X, Y, 1, validation=(X, y)),
    "batches": lambda t, y: t.fit([(X, y)], epochs=1),
    "evaluate": lambda t, y: t.evaluate(X, y),
    "score": lambda t, y: nn.metrics.score(t.network, X, y, ["mae"]),
    "ensemble": lambda t, y: nn.Ensemble([t]).fit(X, y, 1),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("entry", TARGET_ENTRIES)
def test_targets_are_finite(backend_variant, entry, value):
    t = trainer(backend_variant.place)
    before = registry.to_host(t.network.w).tobytes()
    with pytest.raises(ValueError, match=r"must be finite in float32, .* 1 of 6 .* in row 4"):
        TARGET_ENTRIES[entry](t, spoilt(Y, value))
    assert (registry.to_host(t.network.w).tobytes(), t.t) == (before, 0)


@pytest.mark.parametrize("entry", ["loss", "gradients", "fit", "evaluate"])
def test_targets_of_the_backend_are_finite(backend_variant, entry):
    t = trainer(backend_variant.place)
    for value, dtype in ((np.nan, "float32"), (1e39, "float64")):
        with pytest.raises(ValueError, match=r"must be finite in float32, .* in row 4"):
            TARGET_ENTRIES[entry](t, backend_variant.array(spoilt(Y, value, dtype)))


INPUT_ENTRIES = {
    "fit": lambda t, x: t.fit(x, Y, 1),
    "validation": lambda t, x: t.fit(X, Y, 1, validation=(x, Y)),
    "batches": lambda t, x: t.fit([(x, Y)], epochs=1),
    "evaluate": lambda t, x: t.evaluate(x, Y),
    "score": lambda t, x: nn.metrics.score(t.network, x, Y, ["mae"]),
    "forward": lambda t, x: forward(t.network, x, "forward"),  # what estimators predict with
}


@pytest.mark.parametrize("value", [np.nan, 1e39])
@pytest.mark.parametrize("entry", INPUT_ENTRIES)
def test_inputs_are_finite(backend_variant, entry, value):
    t, bad = trainer(backend_variant.place), spoilt(X, value)
    for given in (bad, backend_variant.array(bad), bad.tolist(), scipy.sparse.csr_array(bad)):
        with pytest.raises(ValueError, match=r"must be finite in float32, .* in row 4"):
            INPUT_ENTRIES[entry](t, given)


def test_numbers_that_are_too_large_are_no_predictions(backend_variant):
    """NaN shows in what comes out; what overflows on the way in may not."""
    net = nn.MLP([2, 3, 2], "tanh", **backend_variant.place)
    assert np.isnan(registry.to_host(net(spoilt(X, np.nan))[4, ...])).all()
    for call in (net, net.scores, net.trace):
        with pytest.raises(ValueError, match=r"must be finite in float32, .* in row 4"):
            call(spoilt(X, 1e39))


@pytest.mark.parametrize("scale", [1.0, 1e38])
def test_large_weights_weigh_as_small_ones_do(backend_variant, scale):
    weights = np.array([1.0, 2.0, 3.0, 1.0, 0.0, 3.0])
    runs = []
    for s in (weights, weights * scale):
        t = trainer(backend_variant.place)
        history = t.fit(X, Y, 2, 4, sample_weight=s, validation=(X, Y, s))
        runs.append([*history.loss, *history.validation_loss, t.evaluate(X, Y, s)])
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-5)


def test_weights_that_no_number_can_hold_are_refused():
    with pytest.raises(ValueError, match=r"`sample_weight` must be finite in float32, .* row 4"):
        trainer({}).fit(X, Y, 1, sample_weight=spoilt(np.ones(N), 1e39))
