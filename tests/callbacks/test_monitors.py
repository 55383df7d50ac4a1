"""Monitors: which epoch is the best, and which way a record is better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_fits import fit, trainer

import nnpoly as nn
from nnpoly.callbacks import Checkpoint, EarlyStopping, ReduceOnPlateau

INFINITY, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([3.0, NAN, 2.0, INFINITY, NAN], (2.0, 3)),
        ([NAN, INFINITY, 5.0], (5.0, 3)),
        ([3.0, -INFINITY, 2.9], (2.9, 3)),
        ([NAN, NAN], (INFINITY, 0)),
    ],
)
def test_what_is_not_finite_is_never_an_improvement(losses, best):
    stop = EarlyStopping(patience=99)
    for epoch in range(1, len(losses) + 1):
        stop(trainer(), nn.History([1.0] * epoch, losses[:epoch]))
    assert (stop.best, stop.best_epoch) == best


@pytest.mark.parametrize(
    ("ties", "patience", "epochs", "best"),
    [
        ("first", 99, 7, 2),
        ("last", 99, 7, 6),
        ("first", 3, 5, 2),
        ("last", 3, 5, 4),  # patience is counted from the first of equals
    ],
)
def test_the_first_or_the_last_of_equally_good_epochs_is_the_best(ties, patience, epochs, best):
    """On the way back from a file too, and the weights are those of that epoch."""
    losses = [3.0, 1.0, 2.0, 1.0, 1.5, 1.0, 1.2]
    stop, made = EarlyStopping(patience, ties=ties), trainer()
    stop.begin(made)
    for epoch in range(1, len(losses) + 1):
        made.network.w = np.full(made.network.w.shape, epoch)
        ended = stop(made, nn.History([1.0] * epoch, losses[:epoch]))
        again = EarlyStopping(patience, ties=ties)
        again.begin(made)
        again.restore(stop.state())
        stop = again
        if ended:
            break
    assert (epoch, stop.best, stop.best_epoch) == (epochs, 1.0, best)
    stop.end(made, nn.History())
    assert set(made.network.w.tolist()) == {best}


def test_a_state_of_before_ties_comes_back():
    stop = EarlyStopping(2)
    stop.begin(trainer())
    stop.restore({"best": 1.0, "best_epoch": 3})
    assert not stop(trainer(), nn.History([2.0] * 4))
    assert stop(trainer(), nn.History([2.0] * 5))


def history_with(metrics: dict[str, list[float]], loss: list[float]) -> nn.History:
    history = nn.History(loss)
    history.metrics = metrics
    return history


@pytest.mark.parametrize(
    ("options", "best"),
    [
        ({"monitor": "accuracy"}, (0.8, 2)),
        ({"monitor": "accuracy", "mode": "min"}, (0.5, 1)),
        ({"monitor": "max_error"}, (0.1, 3)),
        ({"monitor": "max_error", "mode": "max"}, (0.9, 1)),
        ({"monitor": "hinge_loss"}, (1.0, 2)),
        ({"monitor": "d2_log_loss_score"}, (0.9, 3)),
        ({"monitor": "mae"}, (0.25, 2)),
        ({"monitor": "mse"}, (0.25, 2)),
        ({"monitor": "rmse"}, (0.25, 2)),
        ({"monitor": "mape"}, (0.25, 2)),
        ({"monitor": "mae", "mode": "max"}, (0.75, 3)),
        ({"monitor": "errors", "mode": "min"}, (0.2, 1)),
        ({"monitor": "errors", "mode": "max"}, (0.9, 3)),
        ({"monitor": "loss"}, (1.0, 3)),
        ({"monitor": "accuracy", "min_delta": 0.4}, (0.5, 1)),
        ({}, (1.0, 3)),
    ],
)
def test_every_metric_knows_which_way_is_better(options, best):
    stop = EarlyStopping(patience=99, **options)
    metrics = {
        "accuracy": [0.5, 0.8, 0.6],
        "max_error": [0.9, 0.2, 0.1],
        "hinge_loss": [2.0, 1.0, 3.0],
        "d2_log_loss_score": [0.1, 0.5, 0.9],
        "errors": [0.2, 0.5, 0.9],
        **{name: [0.5, 0.25, 0.75] for name in ("mae", "mse", "rmse", "mape")},
    }
    for epoch in (1, 2, 3):
        now = {name: values[:epoch] for name, values in metrics.items()}
        stop(trainer(), history_with(now, [3.0, 2.0, 1.0][:epoch]))
    assert (stop.best, stop.best_epoch) == best


@pytest.mark.parametrize("monitor", ["mae", "mse", "rmse", "mape"])
def test_a_falling_error_does_not_end_training(monitor):
    """It keeps the weights of the lowest error, not of the highest."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    t = nn.Trainer(nn.MLP([3, 8, 1], output="identity"), nn.Adam(0.01))
    stop = EarlyStopping(patience=5, monitor=monitor)
    history = t.fit(X, X[:, 0] + 2.0, 40, metrics=[monitor], callbacks=[stop])
    assert len(history) > 20
    assert stop.best == min(history.metrics[monitor]) < 0.5 * history.metrics[monitor][0]


def test_a_plateau_of_an_error_is_where_it_does_not_fall():
    history = history_with({"mae": [3.0]}, [1.0])
    t, reduce = trainer(), ReduceOnPlateau(0.5, patience=1, monitor="mae")
    for value in (2.0, 1.0, 1.5):
        reduce(t, history)
        history.loss.append(1.0)
        history.metrics["mae"].append(value)
    assert t.rate_factor == 1.0
    reduce(t, history)
    assert t.rate_factor == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: EarlyStopping(**options),
        lambda **options: ReduceOnPlateau(**options),
        lambda **options: Checkpoint("a", keep_best=True, **options),
    ],
)
def test_a_function_that_is_not_known_must_say_which_way_is_better(make):
    for name in ("errors", "my_loss", "<lambda>", "metric_0"):
        with pytest.raises(ValueError, match=f"`monitor` '{name}' .* Give mode=\"min\" or mode="):
            make(monitor=name)
        assert make(monitor=name, mode="max") is not None
    for name in ("loss", "validation_loss", "mae", "roc_auc", "mean_absolute_error"):
        assert make(monitor=name) is not None


def test_what_is_not_recorded_cannot_be_monitored():
    for monitor in ("validation_loss", "accuracy"):
        with pytest.raises(
            ValueError, match=f"one of what this fit records, loss, got '{monitor}'"
        ):
            fit(trainer(), 2, callbacks=[EarlyStopping(monitor=monitor)])
