"""Trainers whose products have factors rounded to bfloat16."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.testing.comparison import REFERENCE, ROUNDOFF

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(96, 17)).astype("f4"), RNG.integers(0, 5, 96)
BF16 = {"precision": "bf16"}
CHAINS = {
    "dense": lambda: [nn.Dense(17, 40, "tanh"), nn.Dense(40, 24, "gelu"), nn.Dense(24, 5)],
    "every layer": lambda: [
        nn.Dropout(0.1),
        nn.Dense(17, 24, "softplus"),
        nn.Residual([nn.LayerNorm(24, activation="tanh"), nn.Dense(24, 24, "silu")]),
        nn.BatchNorm(24, activation="tanh"),
        nn.Dense(24, 5),
    ],
}
chains = pytest.mark.parametrize("chain", CHAINS)


def trainer(chain: str = "dense", place: Any = None, **options: Any) -> nn.Trainer:
    net = nn.Network(CHAINS[chain](), "softmax", seed=5, **(place or {}))
    return nn.Trainer(net, nn.SGD(0.5), **options)


def moved(t: nn.Trainer, take: Any) -> np.ndarray:
    before = np.array(registry.to_host(t.network.w), "f8")
    take(t)
    return np.array(registry.to_host(t.network.w), "f8") - before


def by_definition(chain: str, **options: Any) -> nn.Trainer:
    net = trainer(chain).network.to(REFERENCE, dtype="float64")
    return nn.Trainer(net, nn.SGD(0.5), **options)


WAYS = {
    "step": lambda t: t.step(X, Y),
    "fit": lambda t: t.fit(X, Y, epochs=1, batch_size=96, shuffle=False),
    "accumulated": lambda t: t.fit(X, Y, epochs=1, batch_size=32, shuffle=False, accumulate=3),
    "ensemble": lambda t: nn.Ensemble([t]).fit(X, Y, epochs=1, batch_size=96, shuffle=False),
}


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize(
    ("chain", "way"),
    # Batches that are accumulated are not one to BatchNorm and Dropout.
    [(c, w) for c in CHAINS for w in WAYS if (c, w) != ("every layer", "accumulated")],
)
def test_a_step_is_that_of_the_definition(backend_variant, chain, way):
    """It moves w as the definition with rounded factors does, and not as that without.

    A factor that is computed may lie so near to half way that two backends round it apart: one in
    2^16 does, and they are then 2^-7 of it apart. All are 2^-8 of them away from unrounded ones.
    """
    take = WAYS[way]
    rounded, exact = (moved(by_definition(chain, **options), take) for options in (BF16, {}))
    got = moved(trainer(chain, backend_variant.place, **BF16), take)
    away = apart(exact, rounded)
    assert ROUNDOFF["bf16"] / 16 < away < 4 * ROUNDOFF["bf16"]
    if backend_variant.backend.rounds_all:
        assert apart(got, rounded) < away / 8
    else:
        assert apart(got, rounded) < 2 * away


def test_nothing_else_is_rounded(backend_variant):
    """Parameters and moments keep the bits that bfloat16 lacks."""
    t = trainer(place=backend_variant.place, **BF16)
    t.optimizer = nn.Adam(1e-3)
    t.fit(X, Y, epochs=2)
    for array in (t.network.w, *t.stepper.moments.values()):
        bits = np.ascontiguousarray(registry.to_host(array)).view(np.uint32)
        assert np.mean(bits & 0xFFFF != 0) > 0.9


@chains
def test_predictions_losses_and_metrics_have_the_trainers_products(backend_variant, chain):
    t = trainer(chain, backend_variant.place, **BF16)
    net = t.network
    history = t.fit(X, Y, epochs=2, validation=(X, Y), metrics=["log_loss"])
    f, exact = (registry.to_host(found) for found in (t.predict(X), net(X)))
    if backend_variant.backend.rounds_all:
        assert 0.0 < np.max(np.abs(f - exact)) < 0.05
    assert np.array_equal(f, registry.to_host(net(X, **BF16)))
    of_scores = registry.to_host(net.scores(X, **BF16))
    np.testing.assert_allclose(np.exp(of_scores) / np.exp(of_scores).sum(1)[:, None], f, rtol=1e-5)
    loss = -np.mean(np.log(f[np.arange(96), Y]))
    for found in (t.evaluate(X, Y), float(net.loss(X, Y, **BF16)), history.validation_loss[-1]):
        np.testing.assert_allclose(found, loss, rtol=1e-5)
    np.testing.assert_allclose(history.metrics["log_loss"][-1], loss, rtol=1e-5)
    np.testing.assert_allclose(registry.to_host(nn.Ensemble([t])(X)), f, rtol=1e-6, atol=1e-7)


def test_predictions_are_those_of_the_definition(backend_variant):
    net = trainer(place=backend_variant.place).network
    want = REFERENCE.to_host(net.to(REFERENCE, dtype="float64")(X, **BF16))
    got = registry.to_host(net(X, **BF16))
    exact = registry.to_host(net(X))
    limit = 1 / 8 if backend_variant.backend.rounds_all else 2
    assert apart(got, want) < limit * apart(exact, want)


def test_gradients_are_those_of_a_step(backend_variant):
    t = trainer(place=backend_variant.place, **BF16)
    loss, grads = t.network.gradients(X, Y, **BF16)
    g = np.array(registry.to_host(grads.flat), "f8")
    step = moved(t, lambda t: np.testing.assert_allclose(float(t.step(X, Y)), float(loss), 1e-5))
    np.testing.assert_allclose(step, -0.5 * g, atol=2e-6)


def test_runs_have_equal_bits_and_other_ones_than_float32(backend_variant):
    first, second, exact = (trainer(place=backend_variant.place, **o) for o in (BF16, BF16, {}))
    for t in (first, second, exact):
        t.fit(X, Y, epochs=2)
    w, again, other = (registry.to_host(t.network.w) for t in (first, second, exact))
    assert np.array_equal(w, again)
    assert not np.array_equal(w, other) or not backend_variant.backend.rounds_all


def test_a_trainer_goes_on_in_its_precision(backend_variant, tmp_path):
    """After a file, which is one of float32 and does not keep it; a pickle and a copy do."""
    t = trainer(place=backend_variant.place, **BF16)
    t.fit(X, Y, epochs=1)
    t.save(tmp_path / "t")
    loaded = nn.Trainer.load(tmp_path / "t", **backend_variant.place, **BF16)
    others = [loaded, pickle.loads(pickle.dumps(t)), copy.deepcopy(t)]
    assert [other.precision for other in others] == ["bf16"] * 3
    assert nn.Trainer.load(tmp_path / "t").precision is None
    t.fit(X, Y, epochs=1)
    for other in others:
        other.fit(X, Y, epochs=1)
        assert np.array_equal(registry.to_host(other.network.w), registry.to_host(t.network.w))


def test_a_file_is_that_of_a_float32_trainer(tmp_path):
    for name, options in (("rounded", BF16), ("exact", {})):
        trainer(**options).save(tmp_path / name)
    rounded, exact = ((tmp_path / name).read_bytes() for name in ("rounded", "exact"))
    assert rounded == exact


def test_finding_a_rate_has_the_trainers_products():
    rates = [
        nn.find_learning_rate(trainer(**options), X, Y, steps=20).losses for options in (BF16, {})
    ]
    assert rates[0] != rates[1]


def test_the_summary_and_the_repr_name_it():
    t = trainer(**BF16)
    lines = dict(line.split("  ", 1) for line in t.summary().splitlines()[-5:])
    assert lines["precision"] == "bf16: the factors of Dense layers' products are rounded"
    assert "precision='bf16'" in repr(t)
    assert "precision" not in trainer().summary() + repr(trainer())


REFUSED = {
    "tf32": ("tf32", "float32", "None or 'bf16' on numpy, got 'tf32'. 'tf32' is CuPy's"),
    "a slip": ("bfloat16", "float32", "None or 'bf16' on numpy, got 'bfloat16'. None leaves"),
    "no text": (["bf16"], "float32", r"None or 'bf16' on numpy, got \['bf16'\]"),
    "float64": ("bf16", "float64", "'bf16' rounds the factors of float32 products, but the netw"),
    "float16": ("bf16", "float16", "the network is float16. Use dtype='float32'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_be_is_refused(case):
    precision, dtype, message = REFUSED[case]
    net, given = nn.MLP([17, 5], dtype=dtype, backend="numpy"), {"precision": precision}
    before = net.w.tobytes()
    calls = {
        "Trainer": lambda: nn.Trainer(net, nn.SGD(0.1), **given),
        "MLP": lambda: net(X, **given),
        "Network.loss": lambda: net.loss(X, Y, **given),
        "Network.gradients": lambda: net.gradients(X, Y, **given),
    }
    for where, call in calls.items():
        with pytest.raises(ValueError, match=f"{where}: `precision` .*{message}"):
            call()
    assert net.w.tobytes() == before
