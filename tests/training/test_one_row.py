"""BatchNorm and batches of one row, which have no variance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import registry

RNG = np.random.default_rng(3)
X = RNG.normal(size=(33, 4)).astype("f4")
y = (X[:, 0] > 0).astype(int)


def trainer(place: dict[str, Any], seed: int = 0) -> nn.Trainer:
    block = nn.Residual([nn.BatchNorm(4), nn.Dense(4, 4)])
    chain = [nn.BatchNorm(4), block, nn.Dense(4, 2)]
    return nn.Trainer(nn.Network(chain, "softmax", seed=seed, **place), nn.SGD(0.1))


def statistics(t: nn.Trainer) -> list[np.ndarray]:
    buffers = [registry.to_host(a) for part in t.network.buffers for a in part.values()]
    assert len(buffers) == 4
    return [np.array(a) for a in buffers]


FITS = {
    "fit": lambda t, n: t.fit(X[:n], y[:n], 1, 16, shuffle=False),
    "accumulate": lambda t, n: t.fit(X[:n], y[:n], 1, 16, shuffle=False, accumulate=3),
    "batches": lambda t, n: t.fit(
        [(X[i : i + 16], y[i : i + 16]) for i in range(0, n, 16)], epochs=1
    ),
    "ensemble": lambda t, n: nn.Ensemble([t]).fit(X[:n], y[:n], 1, 16, shuffle=False),
}


@pytest.mark.parametrize("way", FITS)
def test_a_last_batch_of_one_row_leaves_the_running_statistics(backend_variant, way):
    with_it, without = trainer(backend_variant.place), trainer(backend_variant.place)
    FITS[way](with_it, 33)
    FITS[way](without, 32)
    first = slice(0, 2)  # the outer layer's, which do not depend on the parameters
    for a, b in zip(statistics(with_it)[first], statistics(without)[first], strict=True):
        np.testing.assert_array_equal(a, b)
    assert with_it.t == without.t + (way != "accumulate")


def test_a_row_too_many_spoils_nothing():
    for n in (128, 129):
        rows = np.random.default_rng(0).normal(size=(n, 4)).astype("f4")
        rows = (rows - rows.mean(0)) / rows.std(0)
        t = nn.Trainer(nn.Network([nn.BatchNorm(4), nn.Dense(4, 2)], "softmax"))
        t.fit(rows, (rows[:, 0] > 0).astype(int), 60, 128)
        assert abs(t.network.layers[0].variance - 1.0).max() < 0.01


REFUSED = {
    "batch_size": (lambda t: t.fit(X, y, 1, 1), "Trainer.fit"),
    "accumulate": (lambda t: t.fit(X, y, 1, 1, accumulate=4), "Trainer.fit"),
    "one row": (lambda t: t.fit(X[:1], y[:1], 1), "Trainer.fit"),
    "step": (lambda t: t.step(X[:1], y[:1]), "Trainer.step"),
    "batches": (lambda t: t.fit([(X[:1], y[:1])] * 3, epochs=1), "Trainer.fit"),
    "ensemble": (lambda t: nn.Ensemble([t]).fit(X, y, 1, 1), "Ensemble.fit"),
    "rates": (lambda t: nn.find_learning_rate(t, X, y, batch_size=1), "find_learning_rate"),
}


@pytest.mark.parametrize("way", REFUSED)
def test_training_on_nothing_but_single_rows_is_refused(backend_variant, way):
    t = trainer(backend_variant.place)
    before = [registry.to_host(t.network.w).tobytes(), *map(bytes, statistics(t))]
    call, where = REFUSED[way]
    with pytest.raises(ValueError, match=rf"^{where}: .* at least 2 rows for BatchNorm, got 1\."):
        call(t)
    after = [registry.to_host(t.network.w).tobytes(), *map(bytes, statistics(t))]
    assert (after, t.t, len(t.history)) == (before, 0, 0)


def test_layers_that_look_at_each_row_alone_take_single_rows():
    t = nn.Trainer(nn.Network([nn.LayerNorm(4), nn.Dense(4, 2)], "softmax"))
    t.step(X[:1], y[:1])
    t.fit(X, y, 1, 1)
    assert t.t == 34


def test_single_rows_are_predicted():
    t = trainer({})
    t.fit(X, y, 1)
    np.testing.assert_allclose(t.network(X[:1]), t.network(X)[:1], rtol=1e-6)
