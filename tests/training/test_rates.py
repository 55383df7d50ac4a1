"""The learning-rate finder: its rates, its rule, and that the trainer stays as it is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import runs

import nnpoly as nn
from nnpoly.backends import host


def facts(t: nn.Trainer) -> list[Any]:
    return [runs.state(t), t.optimizer, t.loss, t.calls]


def least_squares(seed: int = 0) -> tuple[nn.Trainer, np.ndarray, np.ndarray, float]:
    """Return plain descent on a quadratic, and the rate above which it diverges, 2 / lambda."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(64, 3)), rng.normal(size=(64, 1))
    t = nn.Trainer(nn.MLP([3, 1], output="identity", dtype="float64"), nn.SGD(123.0))
    inputs = np.c_[X, np.ones(64)]
    return t, X, y, 2 / float(np.linalg.eigvalsh(inputs.T @ inputs / 64)[-1])


def test_rates_are_a_geometric_sequence():
    t, X, y, _ = least_squares()
    sweep = nn.find_learning_rate(t, X, y, low=1e-5, high=1e-3, steps=5)
    assert sweep.rates == pytest.approx([1e-5, 10**-4.5, 1e-4, 10**-3.5, 1e-3], rel=1e-14)
    assert len(sweep.losses) == 5


def test_losses_are_those_of_steps_with_those_rates():
    """Batches are shuffled as in fit; the trainer's own schedule and rate factor play no part."""
    t = runs.trainer()
    t.rate_factor = 0.3
    X, y = runs.data()
    sweep = nn.find_learning_rate(t, X, y, 1e-4, 1e-2, steps=9, batch_size=8)
    other = nn.Trainer(t.network.copy(), nn.AMSGrad(1.0), seed=t.seed)
    order = np.concatenate([host.permutation(30, t.seed, epoch) for epoch in (0, 1, 2)])
    starts = [*range(0, 30, 8), *range(30, 60, 8), 60]
    for k, start in enumerate(starts):
        rows = order[start : min(start + 8, (start // 30 + 1) * 30)]
        other.rate_factor = sweep.rates[k]
        assert float(other.step(X[rows], y[rows])) == sweep.losses[k]


def test_a_batch_whose_weights_are_all_zero():
    """It is taken as `fit` takes it: its loss is 0, and its gradient."""
    X, y = runs.data()
    weights = np.zeros(30)
    weights[host.permutation(30, 0, 0)[8:]] = 1.0  # the first batch has none
    sweep = nn.find_learning_rate(
        nn.Trainer(nn.MLP([3, 2]), nn.SGD(0.1)), X, y, steps=6, batch_size=8, sample_weight=weights
    )
    assert len(sweep.losses) == 6
    assert sweep.losses[0] == 0.0
    assert min(sweep.losses[1:4]) > 0.0
    whole = nn.Trainer(nn.MLP([3, 2]), nn.SGD(0.1))
    whole.fit(X, y, 1, 8, sample_weight=weights)


def by_hand(losses: list[float]) -> list[float]:
    """Return the means of the losses so far with weights 0.9^age."""
    weights = [0.9**age for age in range(len(losses))]
    return [
        float(np.average(losses[: k + 1][::-1], weights=weights[: k + 1]))
        for k in range(len(losses))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_smoothed_loss(seed):
    t, X, y, diverges = least_squares(seed)
    sweep = nn.find_learning_rate(t, X, y, 1e-4, 1e3, steps=120, batch_size=64)
    finite = [loss for loss in sweep.losses if np.isfinite(loss)]
    lowest = int(np.argmin(by_hand(finite)))
    assert sweep.suggestion == sweep.rates[lowest] / 10
    assert diverges / 100 < sweep.suggestion < diverges


def test_the_suggestion_trains():
    t, X, y, _ = least_squares()
    rate = nn.find_learning_rate(t, X, y, 1e-5, 1e2, batch_size=64).suggestion
    t = nn.Trainer(t.network, nn.SGD(rate))
    lowest = np.linalg.lstsq(np.c_[X, np.ones(64)], y)[1][0] / 128
    assert t.fit(X, y, epochs=100, batch_size=64).loss[0] > 1.5 * lowest
    assert t.evaluate(X, y) < 1.01 * lowest


def test_the_sweep_ends_where_the_loss_diverges():
    t, X, y, diverges = least_squares()
    sweep = nn.find_learning_rate(t, X, y, 1e-4, 1e6, steps=200, batch_size=64)
    smoothed = by_hand(sweep.losses)
    assert len(sweep.rates) == len(sweep.losses) < 200
    assert sweep.rates[-1] > diverges
    assert smoothed[-1] > 4 * min(smoothed) >= smoothed[-2]


def test_the_sweep_ends_where_the_loss_is_not_finite():
    t, X, y, _ = least_squares()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep = nn.find_learning_rate(t, X, y, 1e160, 1e170, steps=9, batch_size=64)
    assert np.isfinite(sweep.losses).tolist() == [True, False]
    assert sweep.suggestion is None


def test_no_suggestion_where_the_loss_only_rises():
    t, X, y, diverges = least_squares()
    sweep = nn.find_learning_rate(t, X, y, 2 * diverges, 3 * diverges, steps=9, batch_size=64)
    assert sweep.suggestion is None


def test_the_trainer_stays_as_it_is(backend_variant):
    t = runs.trainer(**backend_variant.place)
    X, y = runs.data()
    t.fit(X, y, epochs=2)
    t.rate_factor = 0.5
    before = facts(t)
    nn.find_learning_rate(t, X, y, steps=7)
    assert facts(t) == before


def test_the_trainer_stays_as_it_is_after_an_error(monkeypatch):
    t = runs.trainer()
    X, y = runs.data()
    t.fit(X, y, epochs=2)
    before, original = facts(t), host.permutation

    def failing(n: int, seed: int, epoch: int) -> Any:
        if epoch == 1:  # after some steps
            raise KeyboardInterrupt
        return original(n, seed, epoch)

    monkeypatch.setattr(host, "permutation", failing)
    with pytest.raises(KeyboardInterrupt):
        nn.find_learning_rate(t, X, y, batch_size=8)
    assert facts(t) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0}, "`low` must be greater than 0"),
        ({"low": 1.0, "high": 1.0}, "`high` must be greater than low=1, got 1"),
        ({"high": float("inf")}, "`high` must be a number"),
        ({"steps": 1}, "`steps` must be an integer >= 2, got 1"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"X": np.ones((30, 2))}, r"`X` must have shape \(n, 3\)"),
        ({"y": np.full(30, 7)}, "`y`"),
        ({"X": np.full((30, 3), np.nan)}, "`X`"),
        ({"trainer": runs.trainer().network}, "`trainer` must be an nn.Trainer, got MLP|Network"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    X, y = runs.data()
    with pytest.raises((ValueError, TypeError), match=f"^find_learning_rate: .*{message}"):
        nn.find_learning_rate(**{"trainer": runs.trainer(), "X": X, "y": y, **options})
