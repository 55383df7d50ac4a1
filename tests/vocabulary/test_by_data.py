"""Initialisers that look at data: `Network.initialise`."""

from __future__ import annotations

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.initializers import HullBias, UnitVariance

UNIT, HULL = UnitVariance(), HullBias(5)


def dense(inputs: int, outputs: int, sigma: str = "identity", **more) -> nn.Dense:
    return nn.Dense(inputs, outputs, sigma, UNIT, HULL, **more)


BLOCK = nn.Residual([dense(8, 12, "gelu"), nn.Dropout(0.5), dense(12, 8)], "tanh")
CHAINS = {
    "plain": [dense(6, 9, "relu"), dense(9, 2)],
    "factor": [dense(6, 9, "relu", factor=6**-0.5), dense(9, 2, factor=0.01)],
    "realmlp": [
        nn.Periodic(6, 4, sigma=0.5),
        nn.Embedding(18, [5, 3], 2),
        nn.Scale(20),
        dense(20, 8, factor=20**-0.5),
        nn.Blend(8, "silu"),
        nn.Dropout(0.3),
        dense(8, 2, factor=8**-0.5),
    ],
    "residual": [dense(6, 8, "relu"), BLOCK, dense(8, 2)],
}


def inputs(rng: np.random.Generator, n: int = 500) -> np.ndarray:
    sizes = 3.0 ** np.arange(4)
    return np.column_stack(
        [1.0 + sizes * rng.standard_normal((n, 4)), rng.integers(0, [5, 3], (n, 2))]
    )


def dense_pairs(net: nn.Network, X: np.ndarray):
    """Yield (layer, W, b, input) of every Dense layer, by a pass of its own."""

    def run(chain, parameters, x):
        for layer, p in zip(chain, parameters, strict=True):
            if isinstance(layer, nn.Dense):
                yield layer, p["W"], p["b"], x
            if isinstance(layer, nn.Residual):
                yield from run(layer.layers, layer.parts(p), x)
            alone = nn.Network([layer, nn.Scale(layer.width(x.shape[1]))], dtype="float64")
            alone.w = np.concatenate([*map(np.ravel, p.values()), np.ones(layer.width(x.shape[1]))])
            x = alone.scores(x)

    yield from run(net.chain, [layer.parameters for layer in net.layers], X)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=list(CHAINS))
def test_every_neuron_has_variance_1_and_bends_among_the_data(chain, rng):
    X = inputs(rng)
    net = nn.Network(chain, dtype="float64", seed=4)
    net.initialise(X)
    found = list(dense_pairs(net, X))
    assert len(found) >= 2
    for layer, W, b, x in found:
        pre = layer.factor * x @ W.T
        np.testing.assert_allclose(pre.var(axis=0), 1.0, rtol=1e-12)
        assert np.all((pre.min(axis=0) < -b) & (-b < pre.max(axis=0)))
        assert np.unique(b).size == b.size


def test_directions_are_those_of_the_seed(rng):
    """Only the length of each neuron's weights looks at data."""
    net, X = nn.Network(CHAINS["plain"], dtype="float64", seed=4), inputs(rng)
    start = [np.array(layer.W) for layer in net.layers]
    net.initialise(X)
    for W, layer in zip(start, net.layers, strict=True):
        ratio = layer.W / W
        np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones_like(W), rtol=1e-13)


def test_biases_are_convex_combinations_of_pre_activations(rng):
    """Of one sample there is one combination, and of count=1 it is a sample's own."""
    X = inputs(rng)
    net = nn.Network([dense(6, 300)], dtype="float64")
    net.initialise(X[:1])
    np.testing.assert_allclose(net.scores(X[:1]), 0.0, rtol=0, atol=1e-13)
    net = nn.Network([nn.Dense(6, 40, init=UNIT, bias=HullBias(1))], dtype="float64")
    net.initialise(X)
    np.testing.assert_allclose(np.abs(net.scores(X)).min(axis=0), 0.0, rtol=0, atol=1e-13)


def test_biases_are_distributed_as_the_reference_draws_them(rng):
    """The mean of Exp(1) weights, normalised, over five samples has variance 1/3 of theirs.

    For Dirichlet(1, ..., 1) of k, E sum p_i^2 = 2 / (k + 1).
    """
    X = rng.standard_normal((2000, 3))
    net = nn.Network([nn.Dense(3, 20000, init=UNIT, bias=HULL)], dtype="float64")
    net.initialise(X)
    b = net.layers[0].b
    assert abs(b.var() / (2.0 / 6.0) - 1.0) < 0.05
    assert abs(b.mean()) < 0.02


def test_it_draws_anew_and_alike(rng):
    X = inputs(rng)
    net = nn.Network(CHAINS["realmlp"], seed=4)
    net.initialise(X)
    first = np.array(net.w)
    net.w = np.zeros_like(first)
    net.initialise(X)
    assert np.array_equal(net.w, first)
    other = nn.Network(CHAINS["realmlp"], seed=5)
    other.initialise(X)
    assert not np.array_equal(other.w, first)


def test_without_such_rules_it_begins_as_the_seed_says(rng):
    chain = [nn.Dense(6, 5), nn.BatchNorm(5, activation="relu"), nn.Dense(5, 2)]
    net = nn.Network(chain, "softmax", seed=3)
    start = np.array(net.w)
    nn.Trainer(net).fit(inputs(rng), rng.integers(0, 2, 500), epochs=1)
    net.initialise(inputs(rng))
    assert np.array_equal(net.w, start)
    assert np.array_equal(net.buffers[1]["mean"], np.zeros(5))


def test_without_data_they_are_normal_and_zero():
    layer = nn.Network([dense(50, 400)], dtype="float64").layers[0]
    assert abs(layer.W.std() - 1.0) < 0.02
    assert np.all(layer.b == 0.0)


def test_constant_pre_activations_keep_their_weights():
    net = nn.Network([dense(2, 3)], dtype="float32", seed=2)
    W = np.array(net.layers[0].W)
    net.initialise(np.full((50, 2), 0.1))
    assert np.array_equal(net.layers[0].W, W)


def test_rows_are_a_sample_of_the_data(rng, tmp_path):
    """Of sorted data the first rows would mislead; large arrays on disk are read by rows."""
    X = np.sort(rng.standard_normal((4000, 1)), axis=0)
    net = nn.Network([nn.Dense(1, 2, init=UNIT)], dtype="float64")
    net.initialise(X, rows=1000)
    pre = net.scores(X)
    assert np.all(np.abs(pre.std(axis=0) - 1.0) < 0.1)
    np.save(tmp_path / "X.npy", X)
    first = np.array(net.w)
    net.initialise(np.load(tmp_path / "X.npy", mmap_mode="r"), rows=1000)
    assert np.array_equal(net.w, first)


def test_on_every_backend(backend_variant, rng):
    X = inputs(rng)
    want, net = (nn.Network(CHAINS["realmlp"], dtype="float64", seed=4) for _ in range(2))
    net = net.to(**backend_variant.place)
    want.initialise(X)
    net.initialise(X)
    np.testing.assert_allclose(backend_variant.host(net.w), want.w, rtol=0, atol=1e-10)


def test_a_trainer_goes_on_from_the_new_start(rng):
    X, y = inputs(rng), rng.integers(0, 2, 500)
    late, early = (nn.Network(CHAINS["realmlp"], "softmax", seed=4) for _ in range(2))
    trainer = nn.Trainer(late)
    late.initialise(X)
    trainer.fit(X, y, epochs=1)
    early.initialise(X)
    nn.Trainer(early).fit(X, y, epochs=1)
    assert np.array_equal(late.w, early.w)


MISTAKES = {
    "Network.initialise: `X` must have shape": lambda net: net.initialise(np.zeros((3, 2))),
    "Network.initialise: `X` must be finite": lambda net: net.initialise(np.full((3, 6), np.nan)),
    "Network.initialise: `rows` must be an integer": lambda net: net.initialise(
        [[0.0] * 6], rows=0
    ),
    "Network.initialise: `X` must hold categories 0 to 4": lambda net: net.initialise(
        [[0, 0, 0, 0, 5, 0]]
    ),
    "Dense: `init` must draw weights": lambda net: nn.Dense(3, 2, init=HULL),
    "Dense: `bias` must draw each entry alone": lambda net: nn.Dense(3, 2, bias=UNIT),
    "HullBias: `count` must be an integer": lambda net: HullBias(0),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_refused_and_change_nothing(message):
    net = nn.Network(CHAINS["realmlp"])
    before = np.array(net.w)
    with pytest.raises(ValueError, match=message):
        MISTAKES[message](net)
    assert np.array_equal(net.w, before)
