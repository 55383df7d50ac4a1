"""Callbacks, early stopping and the progress line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnpoly as nn

N = 10


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(N, 3)), rng.integers(0, 2, N)


def trainer() -> nn.Trainer:
    layers = [nn.Dense(3, 4, "tanh"), nn.BatchNorm(4), nn.Dense(4, 2)]
    return nn.Trainer(nn.Network(layers, "softmax"), nn.Adam(0.05))


def fit(t: nn.Trainer, epochs: int, **options: Any) -> nn.History:
    return t.fit(*data(), epochs=epochs, batch_size=4, **options)


def test_callbacks_are_called_every_epoch_and_true_ends_training():
    calls: list[tuple[str, int]] = []

    def record(name: str, stop_after: int) -> Callable[..., bool]:
        def callback(t: nn.Trainer, history: nn.History) -> bool:
            calls.append((name, len(history)))
            return len(history) >= stop_after

        return callback

    assert len(fit(trainer(), 9, callbacks=[record("a", 3), record("b", 99)])) == 3
    assert calls == [(name, epoch) for epoch in (1, 2, 3) for name in "ab"]


def parameters(t: nn.Trainer) -> list[list[float]]:
    norm = t.network.layers[1]
    return [array.tolist() for array in (t.network.w, norm.mean, norm.variance)]


def stopped(stop: Any) -> tuple[nn.Trainer, nn.History, list[Any]]:
    """Train against validation labels that are all wrong; keep the parameters of every epoch."""
    t, (X, y), weights = trainer(), data(), []
    callbacks = [lambda t, history: weights.append(parameters(t)), stop]
    return t, fit(t, 30, callbacks=callbacks, validation=(X, 1 - y)), weights


def test_early_stopping_restores_the_best_weights():
    t, history, weights = stopped(nn.callbacks.EarlyStopping(patience=3))
    best = int(np.argmin(history.validation_loss))
    assert len(history) == best + 1 + 3 < 30
    assert parameters(t) == weights[best] != weights[-1]
    assert t.evaluate(data()[0], 1 - data()[1]) == history.validation_loss[best]


def test_early_stopping_can_keep_the_last_weights():
    t, _, weights = stopped(nn.callbacks.EarlyStopping(patience=3, restore_best=False))
    assert parameters(t) == weights[-1]


def test_early_stopping_asks_for_an_improvement_of_min_delta():
    stop = nn.callbacks.EarlyStopping(patience=2, min_delta=1e9)
    assert len(fit(trainer(), 9, callbacks=[stop])) == 3  # the first epoch beats infinity


def answers(stop: nn.callbacks.EarlyStopping, losses: list[float]) -> list[bool]:
    """Return what `stop` says after each epoch of a fit with these losses."""
    t = trainer()
    return [stop(t, nn.History(losses[:epoch])) for epoch in range(1, len(losses) + 1)]


def test_early_stopping_starts_anew_with_every_fit():
    stop = nn.callbacks.EarlyStopping(patience=2)
    assert answers(stop, [0.1, 0.3, 0.2]) == [False, False, True]
    assert answers(stop, [5.0, 4.0, 3.0, 3.0, 3.0]) == [False] * 4 + [True]
    assert answers(stop, [float("nan")] * 2) == [False, True]


# Progress


def test_training_is_silent(capsys):
    fit(trainer(), 2)
    assert capsys.readouterr() == ("", "")


def test_progress_is_tqdms_line(capsys):
    pytest.importorskip("tqdm")
    fit(trainer(), 2, progress=True, validation=data())
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "epoch/s" in err
    assert "loss=" in err
    assert "validation=" in err


def test_progress_without_tqdm_is_a_line_an_epoch(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    history = fit(trainer(), 2, progress=True, validation=data())
    out, err = capsys.readouterr()
    assert out == ""
    for epoch, line in enumerate(err.splitlines()):
        loss, validation = history.loss[epoch], history.validation_loss[epoch]
        assert line.startswith(f"epoch {epoch + 1}/2  loss {loss:.4g}  validation {validation:.4g}")
    assert err.count("\n") == 2
