"""Callbacks: when they are called, and what early stopping, plateaus and checkpoints do."""

from __future__ import annotations

import copy
import math
import os
import pickle
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_fits import N, data, fit, parameters, trainer

import nnpoly as nn
from nnpoly.callbacks import Checkpoint, EarlyStopping, ReduceOnPlateau
from nnpoly.training import epochs


def test_callbacks_are_called_every_epoch_and_true_ends_training():
    calls: list[tuple[str, int]] = []

    def record(name: str, stop_after: int) -> Callable[..., bool]:
        def callback(t: nn.Trainer, history: nn.History) -> bool:
            calls.append((name, len(history)))
            return len(history) >= stop_after

        return callback

    assert len(fit(trainer(), 9, callbacks=[record("a", 3), record("b", 99)])) == 3
    assert calls == [(name, epoch) for epoch in (1, 2, 3) for name in "ab"]


class Hooks:
    """A callback that writes down how it is called."""

    def __init__(self, name: str, calls: list[Any], fail_in: str = "") -> None:
        self.name, self.calls, self.fail_in = name, calls, fail_in

    def _note(self, what: str, epoch: int) -> None:
        self.calls.append((what, self.name, epoch))
        if what == self.fail_in:
            raise KeyboardInterrupt(self.name)

    def begin(self, t: nn.Trainer) -> None:
        self._note("begin", len(t.history))

    def __call__(self, t: nn.Trainer, history: nn.History) -> None:
        self._note("call", len(history))

    def end(self, t: nn.Trainer, history: nn.History) -> None:
        self._note("end", len(history))


ENDS = [("end", "a", 2), ("end", "b", 2)]


def test_hooks_are_called_at_the_beginning_and_the_end():
    calls: list[Any] = []
    fit(trainer(), 2, callbacks=[Hooks("a", calls), Hooks("b", calls)])
    epochs = [("call", name, epoch) for epoch in (1, 2) for name in "ab"]
    assert calls == [("begin", "a", 0), ("begin", "b", 0), *epochs, *ENDS]


def test_the_end_comes_after_a_callback_stops_training():
    calls: list[Any] = []
    used = [Hooks("a", calls), Hooks("b", calls), lambda t, history: len(history) == 2]
    fit(trainer(), 9, callbacks=used)
    assert calls[-2:] == ENDS


@pytest.mark.parametrize("stage", ["Transaction", "require_finite"])
def test_the_end_comes_after_an_interruption(stage, monkeypatch):
    calls: list[Any] = []
    t, original = trainer(), getattr(epochs, stage)

    def interrupted(*arguments: Any) -> Any:
        if len(t.history) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(epochs, stage, interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(t, 9, callbacks=[Hooks("a", calls), Hooks("b", calls)])
    assert calls[-2:] == ENDS


def test_the_end_comes_after_another_callback_fails():
    calls: list[Any] = []
    with pytest.raises(KeyboardInterrupt, match="b"):
        fit(trainer(), 2, callbacks=[Hooks("a", calls, "end"), Hooks("b", calls, "end")])
    assert calls[-2:] == ENDS


def test_only_what_has_begun_ends():
    calls: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), 2, callbacks=[Hooks("a", calls), Hooks("b", calls, "begin")])
    assert calls == [("begin", "a", 0), ("begin", "b", 0), ("end", "a", 0)]


def test_callbacks_of_a_fit_are_forgotten_after_it():
    t = trainer()
    fit(t, 1, callbacks=[lambda t, history: None])
    assert t.calls is None


def test_a_trainer_can_be_copied_in_a_callback():
    copies: list[nn.Trainer] = []

    def keep(t: nn.Trainer, history: nn.History) -> None:
        copies.append(pickle.loads(pickle.dumps(t)))
        copies.append(copy.deepcopy(t))

    t = trainer()
    fit(t, 2, callbacks=[keep, lambda t, history: None])
    for each in copies[:2]:
        assert each.calls is None
        fit(each, 1)
        assert parameters(each) == parameters(t)


def stopped(stop: Any) -> tuple[nn.Trainer, nn.History, list[Any]]:
    """Train against validation labels that are all wrong; keep the parameters of every epoch."""
    t, (X, y), weights = trainer(), data(), []
    callbacks = [lambda t, history: weights.append(parameters(t)), stop]
    return t, fit(t, 30, callbacks=callbacks, validation=(X, 1 - y)), weights


def test_early_stopping_restores_the_best_weights():
    t, history, weights = stopped(EarlyStopping(patience=3))
    best = int(np.argmin(history.validation_loss))
    assert len(history) == best + 1 + 3 < 30
    assert parameters(t) == weights[best] != weights[-1]
    assert t.evaluate(data()[0], 1 - data()[1]) == history.validation_loss[best]


def test_early_stopping_can_keep_the_last_weights():
    t, _, weights = stopped(EarlyStopping(patience=3, restore_best=False))
    assert parameters(t) == weights[-1]


def test_early_stopping_asks_for_an_improvement_of_min_delta():
    stop = EarlyStopping(patience=2, min_delta=1e9)
    assert len(fit(trainer(), 9, callbacks=[stop])) == 3  # the first epoch beats infinity


def answers(stop: EarlyStopping, losses: list[float]) -> list[bool]:
    """Return what `stop` says after each epoch of a fit with these losses."""
    t = trainer()
    stop.begin(t)
    return [stop(t, nn.History(losses[:epoch])) for epoch in range(1, len(losses) + 1)]


def test_early_stopping_starts_anew_with_every_fit():
    stop = EarlyStopping(patience=2)
    assert answers(stop, [0.1, 0.3, 0.2]) == [False, False, True]
    assert answers(stop, [5.0, 4.0, 3.0, 3.0, 3.0]) == [False] * 4 + [True]
    assert answers(stop, [float("nan")] * 2) == [False, True]


INTERRUPTIONS = [KeyboardInterrupt, nn.NonFiniteLossError, MemoryError]


@pytest.mark.parametrize("error", [None, *INTERRUPTIONS])
def test_early_stopping_restores_however_training_ends(error, monkeypatch):
    """By its epochs, or by an error in the next one."""
    t, (X, y), weights = trainer(), data(), []
    original = epochs.require_finite

    def failing(*arguments: Any) -> Any:
        if len(t.history) == 6 and error is not None:
            raise error
        return original(*arguments)

    monkeypatch.setattr(epochs, "require_finite", failing)
    stop = EarlyStopping(patience=99)
    used = [lambda t, history: weights.append(parameters(t)), stop]
    options = {"callbacks": used, "validation": (X, 1 - y)}
    if error is None:
        fit(t, 6, **options)
    else:
        with pytest.raises(error):
            fit(t, 9, **options)
    best = int(np.argmin(t.history.validation_loss))
    assert len(weights) == 6
    assert stop.best_epoch == best + 1
    assert parameters(t) == weights[best] != weights[-1]


def test_early_stopping_restores_on_every_backend(backend_variant):
    layers = [nn.Dense(3, 4, "tanh"), nn.BatchNorm(4), nn.Dense(4, 2)]
    t = nn.Trainer(nn.Network(layers, "softmax", **backend_variant.place), nn.Adam(0.05))
    X, y = data()
    history = fit(t, 8, callbacks=[EarlyStopping(2)], validation=(X, 1 - y))
    assert len(history) < 8
    assert t.network.device == backend_variant.backend.device(backend_variant.device)
    assert t.evaluate(X, 1 - y) == min(history.validation_loss)


@pytest.mark.parametrize("resumed", [False, True])
def test_early_stopping_restores_the_average_that_was_judged(resumed, tmp_path, backend_variant):
    """With an optimiser that keeps one: `averaged()` is the network that was judged best."""
    layers = [nn.Dense(3, 4, "tanh"), nn.BatchNorm(4), nn.Dense(4, 2)]
    (X, y), path = data(), tmp_path / "run"
    for most in (5, 30) if resumed else (30,):
        net = nn.Network(layers, "softmax", dtype="float64", **backend_variant.place)
        t, stop = nn.Trainer(net, nn.Adam(0.05, ema=0.7)), EarlyStopping(4)
        used = [stop, Checkpoint(path)]
        history = fit(t, most, callbacks=used, validation=(X, 1 - y), resume=path)
    assert stop.best_epoch < len(history) < 30
    judged = nn.Trainer(t.averaged()).evaluate(X, 1 - y)
    assert judged == pytest.approx(min(history.validation_loss), rel=1e-9)
    saved = nn.Trainer.load(path).averaged().w
    assert np.abs(saved - backend_variant.host(t.averaged().w)).max() > 1e-3  # it went on


def test_an_average_is_restored_where_one_is_kept():
    t = nn.Trainer(nn.MLP([2, 2]), nn.Adam(ema=0.9))
    for _ in range(3):
        t.step([[1.0, 2.0]], [0])
    w = np.arange(6.0)
    t.restore_average(w)
    np.testing.assert_allclose(t.averaged().w, w, rtol=1e-6)
    with pytest.raises(ValueError, match=r"^Trainer.restore_average: `optimizer` must keep an av"):
        trainer().restore_average(w)
    with pytest.raises(ValueError, match=r"`w` must have shape \(6,\), got \(5,\)"):
        t.restore_average(w[:5])


def test_an_ensembles_members_are_restored():
    (X, y), members = data(), [trainer(), trainer()]
    ensemble = nn.Ensemble(
        [nn.Trainer(t.network, t.optimizer, seed=i) for i, t in enumerate(members)]
    )
    histories = ensemble.fit(
        X, y, 9, 4, validation=(X, 1 - y), callbacks=lambda t: [EarlyStopping(3 + 9 * t.seed)]
    )
    assert [len(history) for history in histories][1] == 9 > len(histories[0])
    for t, history in zip(ensemble, histories, strict=True):
        assert t.evaluate(X, 1 - y) == min(history.validation_loss)


@np.errstate(all="ignore")
def test_an_ensembles_failed_member_ends_too():
    calls: list[Any] = []
    made = [trainer(), nn.Trainer(trainer().network, nn.SGD(1e30), seed=1)]
    ensemble = nn.Ensemble(made)
    with pytest.warns(RuntimeWarning, match="member 1 has stopped"):
        ensemble.fit(*data(), 2, 4, callbacks=lambda t: [Hooks(str(t.seed), calls)])
    assert [call for call in calls if call[1] == "1"] == [("begin", "1", 0), ("end", "1", 0)]
    assert ("end", "0", 2) in calls


def test_an_ensembles_members_have_their_own_checkpoints(tmp_path):
    """Each goes on alone where it was, with the bits of the ensemble's member."""
    (X, y), options = data(), {"batch_size": 4, "validation": data()}

    def used(t: nn.Trainer) -> list[Any]:
        return [ReduceOnPlateau(0.5, 1, min_delta=1e9), Checkpoint(tmp_path / str(t.seed))]

    whole, parts = ([nn.Trainer(trainer().network, seed=i) for i in (0, 1)] for _ in range(2))
    nn.Ensemble(whole).fit(X, y, 5, callbacks=used, **options)
    nn.Ensemble(parts).fit(X, y, 2, callbacks=used, **options)
    for member in whole:
        alone = nn.Trainer(trainer().network, seed=99)
        path = tmp_path / str(member.seed)
        alone.fit(X, y, 5, callbacks=used(member), resume=path, **options)
        assert alone.history == member.history
        assert (alone.seed, alone.rate_factor) == (member.seed, 0.5**4)
        assert parameters(alone) == parameters(member)


# Plateaus


def factors(reduce: ReduceOnPlateau, losses: list[float]) -> list[float]:
    """Return the rate factor after each epoch of a fit with these losses."""
    t, found = trainer(), []
    reduce.begin(t)
    for epoch in range(1, len(losses) + 1):
        reduce(t, nn.History(losses[:epoch]))
        found.append(t.rate_factor)
    return found


def test_plateaus_lower_the_rate_factor():
    losses = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    assert factors(ReduceOnPlateau(0.5, patience=2), losses) == [
        *(1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125)
    ]
    assert factors(ReduceOnPlateau(0.5, 2, minimum=0.3), losses)[-4:] == [0.3] * 4
    assert factors(ReduceOnPlateau(0.1, 1, min_delta=1.5), [3.0, 2.0, 1.0]) == [1.0, 0.1, 0.1]


def test_a_factor_below_the_minimum_stays():
    t = trainer()
    t.rate_factor = 0.01
    ReduceOnPlateau(0.5, 1, minimum=0.1)(t, nn.History([math.nan]))
    assert t.rate_factor == 0.01


def test_plateaus_take_their_part_in_a_fit():
    """With plain descent, an epoch of one step moves the rate's factor times the gradient."""
    t = nn.Trainer(nn.MLP([3, 2], dtype="float64"), nn.SGD(0.1))
    moves: list[Any] = []

    def note(t: nn.Trainer, history: nn.History) -> None:
        moves.append((t.network.w.copy(), t.network.gradients(*data())[1].flat, t.rate_factor))

    used = [ReduceOnPlateau(0.5, 1, min_delta=1e9), note]
    t.fit(*data(), epochs=4, batch_size=N, callbacks=used)
    assert [factor for *_, factor in moves] == [1.0, 0.5, 0.25, 0.125]
    for (w, g, factor), (after, _, _) in pairwise(moves):
        np.testing.assert_allclose(after, w - 0.1 * factor * g, rtol=1e-12)


@pytest.mark.parametrize("optimizer", [nn.AdamW(0.01), nn.Lion(0.01), nn.SGD(0.1, momentum=0.9)])
def test_the_rate_factor_multiplies_every_optimisers_rate(optimizer, backend_variant):
    """In epochs as in steps: half the rate, or a factor of a half, are the same bits."""
    made = []
    for rate, factor in ((0.5, 1.0), (1.0, 0.5)):
        net = nn.MLP([3, 4, 2], "tanh", **backend_variant.place)
        rule = optimizer.replace(learning_rate=rate * optimizer.learning_rate)
        t = nn.Trainer(net, rule)
        t.rate_factor = factor
        fit(t, 2)
        t.step(*data())
        made.append(backend_variant.host(net.w).tobytes())
    assert made[0] == made[1]


def test_training_follows_a_schedule_and_the_rate_factor():
    """With plain descent, what a step moves is the rate times the gradient."""
    schedule = nn.schedules.Warmup(nn.schedules.Exponential(0.4, 3, 0.5), steps=2)
    t = nn.Trainer(nn.MLP([2, 1], output="identity", dtype="float64"), nn.SGD(schedule))
    X, y = np.array([[0.5, -1.0], [1.0, 2.0]]), np.array([1.0, -1.0])
    for step in range(1, 8):
        t.rate_factor = 0.5 if step > 4 else 1.0
        w, g = t.network.w.copy(), t.network.gradients(X, y)[1].flat
        t.step(X, y)
        want = w - t.rate_factor * schedule(step) * g
        np.testing.assert_allclose(t.network.w, want, rtol=1e-13, atol=1e-15)


# Checkpoints


def saves(path: Path, **options: Any) -> list[int]:
    """Return the epochs in the file, after every epoch of a fit and at its end."""
    found: list[int] = []

    def note(t: nn.Trainer, history: nn.History) -> None:
        found.append(len(nn.Trainer.load(path).history) if path.exists() else 0)

    t = trainer()
    fit(t, 5, callbacks=[Checkpoint(path, **options), note])
    note(t, t.history)
    return found


def test_checkpoints_are_saved_every_so_many_epochs_and_at_the_end(tmp_path):
    assert saves(tmp_path / "a") == [1, 2, 3, 4, 5, 5]
    assert saves(tmp_path / "b", every=2) == [0, 2, 2, 4, 4, 5]
    assert saves(tmp_path / "c", every=9) == [0, 0, 0, 0, 0, 5]
    assert saves(tmp_path / "d", minutes=60) == [0, 0, 0, 0, 0, 5]


def test_checkpoints_are_saved_when_minutes_have_passed(tmp_path, monkeypatch):
    now = iter(range(0, 10**6, 25))  # the clock is looked at when an epoch is over, and on saving
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    assert saves(tmp_path / "a", minutes=1) == [0, 0, 3, 3, 3, 5]


def test_the_best_epoch_is_kept_beside(tmp_path):
    X, y = data()
    t, checkpoint = trainer(), Checkpoint(tmp_path / "run.safetensors", every=3, keep_best=True)
    history = fit(t, 9, callbacks=[checkpoint], validation=(X, 1 - y))
    assert set(os.listdir(tmp_path)) == {"run.safetensors", "run.best.safetensors"}
    assert checkpoint.best_path == tmp_path / "run.best.safetensors"
    best = int(np.argmin(history.validation_loss))
    assert best < 8
    kept = nn.Trainer.load(checkpoint.best_path)
    assert len(kept.history) == best + 1
    assert kept.evaluate(X, 1 - y) == history.validation_loss[best]


def test_a_checkpoint_is_of_the_state_before_anything_is_restored(tmp_path):
    X, y = data()
    for i, used in enumerate(([EarlyStopping(3)], [])):
        path = tmp_path / str(i)
        places = [Checkpoint(path, every=99), *used] if i else [*used, Checkpoint(path, every=99)]
        weights: list[Any] = []
        places.append(lambda t, history, kept=weights: kept.append(parameters(t)))
        fit(trainer(), 8, callbacks=places, validation=(X, 1 - y))
        assert parameters(nn.Trainer.load(path)) == weights[-1]


def test_an_interrupted_fit_is_saved(tmp_path):
    def interrupt(t: nn.Trainer, history: nn.History) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), 9, callbacks=[Checkpoint(tmp_path / "a", every=5), interrupt])
    assert len(nn.Trainer.load(tmp_path / "a").history) == 2


def test_a_path_that_cannot_be_written_to_is_refused_before_any_work(tmp_path):
    t = trainer()
    for path, error in (
        (tmp_path / "none" / "a", FileNotFoundError),
        (tmp_path, IsADirectoryError),
    ):
        with pytest.raises(error, match="Checkpoint: `path`"):
            fit(t, 1, callbacks=[Checkpoint(path)])
    assert len(t.history) == 0
    assert os.listdir(tmp_path) == []


def test_states_that_cannot_be_saved_are_named(tmp_path):
    class Odd:
        def __init__(self, value: Any) -> None:
            self.value = value

        def __call__(self, t: nn.Trainer, history: nn.History) -> None:
            pass

        def state(self) -> dict[str, Any]:
            return {"set": self.value}

    for value, message in (
        ({1}, r"`Odd\.state\(\)\['set'\]` must be JSON's own"),
        (np.array([{}]), "the array 'callback/0/set' must hold numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            fit(trainer(), 1, callbacks=[Odd(value), Checkpoint(tmp_path / "a")])
    assert os.listdir(tmp_path) == []


class Remembers:
    """A callback that remembers what it was given."""

    def __init__(self, memory: dict[str, Any]) -> None:
        self.memory = memory

    def __call__(self, t: nn.Trainer, history: nn.History) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return self.memory

    def restore(self, state: dict[str, Any]) -> None:
        self.memory = state


def test_what_a_callback_remembers_comes_back_as_it_was(tmp_path):
    """NumPy's scalars come back as Python's numbers, and arrays as arrays."""
    scalars = {
        "half": np.float16(0.5),
        "best": np.float32(0.25),
        "double": np.float64(0.1),
        "count": np.int64(3),
        "byte": np.uint8(255),
        "flag": np.bool_(True),
        "infinity": np.float32(np.inf),
    }
    plain = {"python": 0.1, "integer": 2**70, "text": "a", "nothing": None, "list": [1, {"a": 2.5}]}
    arrays = {"array": np.arange(6.0).reshape(2, 3), "zero_dimensional": np.array(4, "i2")}
    fit(
        trainer(),
        1,
        callbacks=[Remembers({**scalars, **plain, **arrays}), Checkpoint(tmp_path / "a")],
    )
    again = Remembers({})
    fit(trainer(), 2, callbacks=[again, Checkpoint(tmp_path / "a")], resume=tmp_path / "a")
    assert set(again.memory) == {*scalars, *plain, *arrays}
    for name, value in scalars.items():
        assert again.memory[name] == value
        assert type(again.memory[name]) is type(value.item())
    assert {name: again.memory[name] for name in plain} == plain
    for name, array in arrays.items():
        np.testing.assert_array_equal(again.memory[name], array, strict=True)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (
            lambda: EarlyStopping(monitor=3),
            "EarlyStopping: `monitor` must be a name or None, got 3",
        ),
        (
            lambda: EarlyStopping(mode="up"),
            "EarlyStopping: `mode` must be one of max, min, got 'up'",
        ),
        (lambda: ReduceOnPlateau(1.0), "ReduceOnPlateau: `factor` must be below 1"),
        (lambda: ReduceOnPlateau(0.0), "ReduceOnPlateau: `factor` must be greater than 0"),
        (lambda: ReduceOnPlateau(patience=0), "ReduceOnPlateau: `patience` must be an integer"),
        (lambda: ReduceOnPlateau(minimum=-1), "ReduceOnPlateau: `minimum` must be"),
        (lambda: ReduceOnPlateau(min_delta=math.nan), "ReduceOnPlateau: `min_delta` must be"),
        (lambda: Checkpoint("a", every=0), "Checkpoint: `every` must be an integer >= 1"),
        (lambda: Checkpoint("a", minutes=0), "Checkpoint: `minutes` must be greater than 0"),
        (lambda: Checkpoint("a", keep_best=True, mode=1), "Checkpoint: `mode` must be one of"),
        (lambda: Checkpoint(3), "Checkpoint: `path` must be a path, got 3"),
    ],
)
def test_wrong_arguments_are_refused(attempt: Callable[[], Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        attempt()
