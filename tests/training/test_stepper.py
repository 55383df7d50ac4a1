"""The stepper: who owns the counts, what a new optimiser takes over, and whole epochs."""

from __future__ import annotations

import itertools
import pickle
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.data import batches
from nnpoly.training import epochs as loop
from nnpoly.training.stepper import Stepper

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 3)).astype("f4")
y = (X[:, 0] > 0).astype(int)


def trainer(optimizer: Any = None, **options: Any) -> nn.Trainer:
    return nn.Trainer(nn.MLP([3, 5, 2], "tanh", **options), optimizer or nn.Adam(0.01))


def host(array: Any) -> np.ndarray:
    return registry.to_host(array)


# The counts belong to the moments


def test_an_average_that_begins_late_is_one_of_the_parameters(backend_variant):
    t = trainer(nn.SGD(0.01), **backend_variant.place)
    t.fit(X, y, 5, 4)
    t.optimizer = nn.SGD(0.01, ema=0.9)
    assert host(t.averaged().w).tobytes() == host(t.network.w).tobytes()  # before its first step
    t.step(X, y)
    np.testing.assert_allclose(host(t.averaged().w), host(t.network.w), rtol=1e-5, atol=1e-7)


def test_moments_that_begin_late_are_corrected_by_their_own_age(backend_variant):
    """Adam's first step has the length of its learning rate, whatever came before."""
    t = trainer(nn.SGD(0.01), dtype="float64", **backend_variant.place)
    t.fit(X, y, 50, 4)
    t.optimizer = nn.Adam(1e-3, eps=1e-12)
    before = host(t.network.w).copy()
    t.step(X, y)
    np.testing.assert_allclose(np.abs(host(t.network.w) - before), 1e-3, rtol=1e-4)


def test_several_steps_after_a_change_are_those_of_a_new_trainer(backend_variant):
    """Nothing is left of the optimiser before, in epochs and in single steps."""
    t = trainer(nn.SGD(0.01), dtype="float64", **backend_variant.place)
    t.fit(X, y, 3, 4)
    fresh = nn.Trainer(t.network.copy(), nn.Adam(0.02))
    t.optimizer = nn.Adam(0.02)
    for each in (t, fresh):
        each.step(X, y)
        each.fit(X, y, 2, 8, shuffle=False)
    np.testing.assert_allclose(host(t.network.w), host(fresh.network.w), rtol=1e-12)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (nn.Adam(), nn.Adam(0.5, eps=1e-3), {"m", "s"}),
        (nn.Adam(), nn.AMSGrad(), {"m", "s"}),
        (nn.Adam(beta2=0.99), nn.Adam(), {"m"}),
        (nn.RMSProp(0.1, beta=0.999), nn.Adam(), {"s"}),
        (nn.AdaGrad(0.1), nn.RMSProp(0.1), set()),  # a sum is no average
        (nn.Adam(ema=0.9), nn.Adam(ema=0.99), {"m", "s"}),
    ],
    ids=lambda part: type(part).__name__,
)
def test_moments_of_one_name_and_decay_are_taken_over(before, after, kept):
    t = trainer(before)
    t.fit(X, y, 2, 4)
    old = {name: moment.tobytes() for name, moment in t.stepper.moments.items()}
    t.optimizer = after
    new = t.stepper.moments
    assert {name for name in new if old.get(name) == new[name].tobytes()} == kept
    assert all(not new[name].any() for name in new if name not in kept)
    assert t.stepper.births == {name: t.t for name in new if name not in kept}


def test_births_are_pickled_and_saved(tmp_path):
    t = trainer(nn.SGD(0.01))
    t.fit(X, y, 2, 4)
    t.optimizer = nn.Adam(0.02, ema=0.9)
    t.step(X, y)
    t.save(tmp_path / "trainer.safetensors")
    again = [pickle.loads(pickle.dumps(t)), nn.Trainer.load(tmp_path / "trainer.safetensors")]
    for each in (t, *again):
        each.fit(X, y, 3, 4)
    for each in again:
        assert each.network.w.tobytes() == t.network.w.tobytes()
        assert each.averaged().w.tobytes() == t.averaged().w.tobytes()


# An epoch is taken whole or not at all


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("count", [1, 5])
def test_an_error_after_the_steps_takes_them_back(monkeypatch, error, count):
    """Also between the call that took them and the fetching of their losses."""
    t = trainer(nn.Adam(0.01, ema=0.9))
    t.fit(X, y, count, 4)
    before = [t.network.w.tobytes(), t.t, t.averaged().w.tobytes(), len(t.history)]
    run = Stepper.run

    def interrupted(self: Stepper, *request: Any) -> Any:
        run(self, *request)
        raise error

    monkeypatch.setattr(Stepper, "run", interrupted)
    with pytest.raises(error):
        t.fit(X, y, 9, 4)
    assert [t.network.w.tobytes(), t.t, t.averaged().w.tobytes(), len(t.history)] == before


def test_an_error_while_an_epoch_is_recorded_takes_it_back(monkeypatch):
    t = trainer()
    t.fit(X, y, 2, 4, validation=(X, y))
    before, history = t.network.w.tobytes(), t.history.copy()
    append, count = nn.History.append, []

    def interrupted(self: nn.History, record: Any) -> None:
        append(self, record)
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(nn.History, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, y, 9, 4, validation=(X, y))
    assert len(t.history) == 3
    assert t.history.loss[:2] == history.loss
    monkeypatch.undo()
    other = trainer()
    other.fit(X, y, 3, 4, validation=(X, y))
    assert (t.network.w.tobytes(), t.history) == (other.network.w.tobytes(), other.history)
    assert t.network.w.tobytes() != before


def test_a_transaction_takes_back_an_optimiser_too():
    t = trainer(nn.SGD(0.01))
    t.fit(X, y, 1, 4)
    before = [t.network.w.tobytes(), t.t, t.optimizer, t.rate_factor, t.stepper.steps]

    def change() -> None:
        with t.transaction():
            t.optimizer, t.rate_factor = nn.Adam(), 0.5
            t.fit(X, y, 2, 4)
            raise RuntimeError("over")

    with pytest.raises(RuntimeError, match="over"):
        change()
    assert [t.network.w.tobytes(), t.t, t.optimizer, t.rate_factor, t.stepper.steps] == before
    assert len(t.history) == 1


def test_warnings_as_errors_cost_no_member_its_history():
    wild = nn.Trainer(nn.MLP([3, 5, 2], "relu"), nn.SGD(1e38))
    members = [wild, trainer(), trainer()]
    ensemble = nn.Ensemble(members)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="member 0"):
            ensemble.fit(X, y, 3, 4)
    alone = trainer()
    alone.fit(X, y, 1, 4)
    for member in members[1:]:
        assert member.history == alone.history
        assert member.network.w.tobytes() == alone.network.w.tobytes()


def test_a_weight_that_is_assigned_is_trained_on(backend_variant):
    """The stepper sees that w became another array."""
    t, other = (trainer(nn.SGD(0.1), **backend_variant.place) for _ in range(2))
    t.fit(X, y, 2, 8)
    t.network.w = other.network.w
    t.step(X, y)
    other.step(X, y)
    np.testing.assert_allclose(host(t.network.w), host(other.network.w), rtol=1e-6)


def test_the_loop_can_be_read_in_a_minute():
    """Trainer.fit -> Loop.run -> Stepper.run -> the backend: one direction, few calls."""
    import sys
    from collections import Counter
    from pathlib import Path

    t, seen, root = trainer(), Counter[str](), str(Path(nn.__file__).parent)
    t.fit(X, y, 1, 4)

    def count(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(root):
            seen[frame.f_code.co_filename] += 1

    sys.setprofile(count)
    try:
        t.fit(X, y, 1, 12)
    finally:
        sys.setprofile(None)
    if t.stepper.steps.takes_epochs:  # the C core
        assert sum(seen.values()) < 80
        assert len(seen) <= 10
    assert loop.__file__ in seen


# Ctrl-C at any moment


def interrupted_at(place: int, run: Callable[[], Any]) -> int:
    """Run, with Ctrl-C at a line of the loop over epochs. Returns how many lines there were."""
    count = itertools.count(1)
    reached = 0

    def line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal reached
        if event == "line":
            reached = next(count)
            if reached == place:
                raise KeyboardInterrupt
        return line

    def call(frame: Any, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename in (loop.__file__, batches.__file__) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return reached


@pytest.mark.parametrize("options", [{}, {"validation": (X, y)}], ids=["several", "validation"])
def test_whole_epochs_remain_wherever_a_fit_is_interrupted(options, monkeypatch):
    """Also while the losses of several epochs, which one call took, are recorded."""
    monkeypatch.setattr(loop, "SECONDS", 1e9)
    epochs = 6
    after = []
    for count in range(epochs + 1):
        t = trainer()
        if count:
            t.fit(X, y, count, 8, **options)
        after.append((t.network.w.tobytes(), t.t, t.history))
    lines = interrupted_at(0, lambda: trainer().fit(X, y, epochs, 8, **options))
    for place in range(1, lines + 1):
        t = trainer()
        interrupted_at(place, lambda: t.fit(X, y, epochs, 8, **options))  # noqa: B023
        assert (t.network.w.tobytes(), t.t, t.history) == after[len(t.history)], place


def free(stepper: Stepper) -> bool:
    """Whether another thread could take steps."""
    found: list[bool] = []

    def take() -> None:
        found.append(stepper.lock.acquire(timeout=1.0))

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("method", ["snapshot", "lengths"])
def test_an_interrupted_transaction_holds_no_lock(method, monkeypatch):
    def interrupted(self: Any) -> Any:
        raise KeyboardInterrupt

    t = trainer()
    monkeypatch.setattr(Stepper if method == "snapshot" else nn.History, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, y, 2, 4)
    assert free(t.stepper)


def test_ensembles_take_their_members_locks_in_one_order():
    """Two ensembles of the same trainers, each in a thread, would wait for one another."""
    taken: list[int] = []

    class Lock:
        def __init__(self, number: int) -> None:
            self.number, self.lock = number, threading.RLock()

        def __enter__(self) -> None:
            taken.append(self.number)
            self.lock.acquire()

        def __exit__(self, *error: object) -> None:
            self.lock.release()

        acquire = __enter__
        release = __exit__

    members = [trainer(seed=seed) for seed in range(3)]
    for number, member in enumerate(members):
        member.stepper.lock = Lock(number)  # type: ignore[assignment]
    orders = []
    for each in (members, members[::-1]):
        taken.clear()
        nn.Ensemble(each).fit(X, y, 1)
        orders.append(list(dict.fromkeys(taken)))
    assert orders[0] == orders[1]


def test_a_change_that_fails_changes_nothing(monkeypatch):
    t = trainer(nn.SGD(0.1, momentum=0.9))
    t.fit(X, y, 2, 4)
    before = [t.optimizer, t.stepper.moments["v"].tobytes(), dict(t.stepper.births)]

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(t.network.place.backend), "steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        t.optimizer = nn.Adam(0.01)
    monkeypatch.undo()
    assert [t.optimizer, t.stepper.moments["v"].tobytes(), dict(t.stepper.births)] == before
    t.fit(X, y, 1, 4)
