"""Ensembles: members have the bits of networks trained alone, and fail alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
import nnpoly.backends.numpy.steps
import nnpoly.training.ensemble
from nnpoly.backends import host, registry

rng = np.random.default_rng(3)
X = rng.normal(size=(50, 4)).astype("f4")
CLASSES = rng.integers(0, 3, 50)
REALS = rng.normal(size=(50, 2)).astype("f4")


def member(seed: int, rate: float = 0.01, width: int = 6, **place: Any) -> nn.Trainer:
    return nn.Trainer(nn.MLP([4, width, 3], "tanh", seed=seed, **place), nn.Adam(rate))


def sweep(**place: Any) -> list[nn.Trainer]:
    """Return members that differ in seed, rate and width."""
    choices = [(0, 0.01, 6), (1, 0.1, 6), (2, 0.01, 9)]
    return [member(*chosen, **place) for chosen in choices]


def weights(trainers: Any) -> list[np.ndarray]:
    return [registry.to_host(trainer.network.w).copy() for trainer in trainers]


def same(found: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("shuffle", [True, False])
def test_members_have_the_bits_of_networks_trained_alone(backend_variant, shuffle):
    together, alone = nn.Ensemble(sweep(**backend_variant.place)), sweep(**backend_variant.place)
    options = {
        "epochs": 3,
        "batch_size": 16,
        "shuffle": shuffle,
        "validation": (X[:9], CLASSES[:9]),
    }
    histories = together.fit(X, CLASSES, **options)
    assert histories == [trainer.fit(X, CLASSES, **options) for trainer in alone]
    assert same(weights(together), weights(alone))
    assert [t.t for t in together] == [t.t for t in alone] == [12, 12, 12]
    assert [t.history for t in together] == histories


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [True, False])
def test_members_on_rows_of_their_own_have_the_bits_of_fits_to_these(
    backend_variant, shuffle, drop_last
):
    """Also where the last 3 rows of 23 are left out, as other ones are each epoch if shuffled."""
    rows = [np.random.default_rng(seed).permutation(50)[:23] for seed in range(3)]
    together, alone = nn.Ensemble(sweep(**backend_variant.place)), sweep(**backend_variant.place)
    options = {"epochs": 3, "batch_size": 10, "shuffle": shuffle, "drop_last": drop_last}
    histories = together.fit(X, CLASSES, rows=rows, **options)
    parts = zip(alone, rows, strict=True)
    assert histories == [trainer.fit(X[own], CLASSES[own], **options) for trainer, own in parts]
    assert same(weights(together), weights(alone))
    assert [t.t for t in together] == [6 if drop_last else 9] * 3


def test_a_batch_that_all_rows_do_not_fill_is_not_left_out():
    alone = member(0)
    alone.fit(X[:7], CLASSES[:7], 2, batch_size=10, drop_last=True)
    assert alone.t == 2


@pytest.mark.parametrize(
    "rows", [[np.arange(3)], [np.arange(3), [50]], [np.arange(3), [-1]], [[0], []], [[0.5], [1]], 7]
)
def test_rows_that_are_none_of_x_are_refused(rows):
    ensemble = nn.Ensemble([member(0), member(1)])
    with pytest.raises(ValueError, match=r"^Ensemble\.fit: `rows"):
        ensemble.fit(X, CLASSES, 1, 10, rows=rows)
    assert ensemble[0].t == 0


@pytest.mark.parametrize("validation", [None, (X[:9], CLASSES[:9])], ids=["", "validation"])
def test_metrics_are_each_members_own(validation, backend_variant):
    together, alone = nn.Ensemble(sweep(**backend_variant.place)), sweep(**backend_variant.place)

    def largest(y: np.ndarray, f: np.ndarray) -> float:
        return float(f.max())

    options = {"epochs": 2, "validation": validation, "metrics": ["accuracy", largest]}
    histories = together.fit(X, CLASSES, **options)
    assert histories == [trainer.fit(X, CLASSES, **options) for trainer in alone]
    assert list(histories[0].metrics) == ["accuracy", "largest"]
    assert [len(values) for values in histories[0].metrics.values()] == [2, 2]
    stop = nn.callbacks.EarlyStopping(9, monitor="accuracy")
    together.fit(X, CLASSES, metrics=["accuracy"], callbacks=lambda trainer: [stop])
    assert 0.0 < stop.best <= 1.0


def test_a_second_fit_goes_on():
    twice, once = nn.Ensemble(sweep()), nn.Ensemble(sweep())
    first, second = (twice.fit(X, CLASSES, epochs=2) for _ in range(2))
    whole = once.fit(X, CLASSES, epochs=4)
    assert same(weights(twice), weights(once))
    assert [a.loss + b.loss for a, b in zip(first, second, strict=True)] == [h.loss for h in whole]


def test_bootstrap_trains_each_member_on_its_own_sample():
    together, alone = nn.Ensemble(sweep(), bootstrap=True), sweep()
    together.fit(X, CLASSES, epochs=3, batch_size=16)
    samples = [host.bootstrap(len(X), trainer.seed) for trainer in alone]
    for trainer, rows in zip(alone, samples, strict=True):
        trainer.fit(X[rows], CLASSES[rows], epochs=3, batch_size=16)
    assert same(weights(together), weights(alone))
    assert len({tuple(rows) for rows in samples}) == 3
    share = np.mean([len(set(host.bootstrap(1000, seed))) / 1000 for seed in range(20)])
    assert share == pytest.approx(1 - np.exp(-1), abs=0.01)  # of the rows are in a sample


def test_threads_do_not_change_a_bit(monkeypatch):
    found = []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        ensemble = nn.Ensemble([member(seed, width=40) for seed in range(7)])
        ensemble.fit(X, CLASSES, epochs=3, batch_size=7)
        found.append(weights(ensemble))
    nn.set_num_threads(2)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


LARGE: dict[str, Callable[[], list[nn.layers.Layer]]] = {
    "dense": lambda: [nn.Dense(300, 150, "relu"), nn.Dense(150, 5)],
    "normalised": lambda: [
        *(nn.Dense(300, 150), nn.BatchNorm(150, activation="relu"), nn.Dropout(0.2)),
        *(nn.Residual([nn.Dense(150, 150, "tanh")]), nn.LayerNorm(150), nn.Dense(150, 5)),
    ],
    "members": lambda: [
        *(nn.SharedDense(300, 60, 1, "relu"), nn.MemberScale(60, 4)),
        *(nn.SharedDense(60, 90, 4, "relu"), nn.MemberDense(90, 5, 4)),
    ],
}


@pytest.mark.parametrize("slice_ns", [1, 50_000_000], ids=["a step at a time", ""])
@pytest.mark.parametrize("precision", [None, "bf16"])
@pytest.mark.parametrize("layers", LARGE.values(), ids=LARGE)
def test_large_members_have_the_bits_of_networks_trained_alone(
    layers, precision, slice_ns, monkeypatch
):
    # Of three, two threads take one each, and share the steps of the third.
    monkeypatch.setattr(nnpoly.backends.numpy.steps, "SLICE_NS", slice_ns)
    wide = np.random.default_rng(0).normal(size=(200, 300)).astype("f4")
    labels = np.arange(200) % 5

    def made() -> list[nn.Trainer]:
        nets = [nn.Network(layers(), output="softmax", seed=seed) for seed in range(3)]
        adam = nn.Adam(1e-3, clip_norm=0.5)
        return [nn.Trainer(net, adam, precision=precision) for net in nets]

    together, alone = made(), made()
    nn.Ensemble(together).fit(wide, labels, epochs=2, batch_size=150)
    for trainer in alone:
        trainer.fit(wide, labels, epochs=2, batch_size=150)
    assert same(weights(together), weights(alone))


# Prediction


@pytest.mark.parametrize("count", [1, 3])
def test_prediction_is_the_members_mean_and_deviation(backend_variant, count):
    ensemble = nn.Ensemble(sweep(**backend_variant.place)[:count])
    x = backend_variant.array(X)
    members = np.stack([registry.to_host(trainer.network(x)) for trainer in ensemble])
    mean, std = (registry.to_host(part) for part in ensemble.predict(x))
    np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, members.std(axis=0), atol=1e-6)
    assert np.array_equal(registry.to_host(ensemble(x)), mean)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)


def test_evaluate_is_each_members_loss():
    ensemble = nn.Ensemble(sweep())
    losses = ensemble.evaluate(X, CLASSES)
    assert losses == [trainer.evaluate(X, CLASSES) for trainer in ensemble.trainers]


def test_members_disagree_where_there_was_no_data():
    inside = np.linspace(-1, 1, 200, dtype="f4")[:, None]
    trainers = [
        nn.Trainer(nn.MLP([1, 20, 1], "tanh", "identity", seed=seed), nn.Adam(0.02))
        for seed in range(6)
    ]
    ensemble = nn.Ensemble(trainers)
    ensemble.fit(inside, np.sin(3 * inside), epochs=300, batch_size=20)
    near = ensemble.predict(inside)
    assert np.abs(near.mean - np.sin(3 * inside)).max() < 0.1
    far = ensemble.predict(np.array([[-4.0], [4.0]], "f4"))
    assert far.std.min() > 5 * near.std.max()


# Members that stop


@np.errstate(all="ignore")
def test_the_failures_of_all_members_are_kept():
    made = [nn.Trainer(nn.MLP([4, 6, 3], seed=seed), nn.SGD(1e30)) for seed in range(2)]
    ensemble = nn.Ensemble(made)
    before = weights(ensemble)
    message = r"^Ensemble\.fit: all members that still trained have failed, the first one so: "
    with pytest.raises(nn.NonFiniteLossError, match=message):
        ensemble.fit(X, CLASSES, epochs=3)
    assert list(ensemble.failures) == [0, 1]
    assert all(map(np.array_equal, weights(ensemble), before))


@np.errstate(all="ignore")
def test_a_member_that_fails_stops_alone():
    made = [member(0), nn.Trainer(nn.MLP([4, 6, 3], seed=1), nn.SGD(1e30)), member(2)]
    alone = copy.deepcopy(made)
    ensemble = nn.Ensemble(made)
    before = weights(ensemble)[1]
    with pytest.warns(RuntimeWarning, match="member 1 has stopped, the others go on"):
        histories = ensemble.fit(X, CLASSES, epochs=3)
    assert [len(history) for history in histories] == [3, 0, 3]
    assert list(ensemble.failures) == [1]
    assert isinstance(ensemble.failures[1], nn.NonFiniteLossError)
    assert np.array_equal(weights(ensemble)[1], before)
    assert ensemble[1].t == 0
    for i in (0, 2):
        alone[i].fit(X, CLASSES, epochs=3)
        assert np.array_equal(weights(ensemble)[i], weights(alone)[i])


@np.errstate(all="ignore")
def test_if_all_fail_that_is_an_error_and_nothing_has_changed():
    made = [nn.Trainer(nn.MLP([4, 6, 3], seed=seed), nn.SGD(1e30)) for seed in range(2)]
    ensemble = nn.Ensemble(made)
    before = weights(ensemble)
    with pytest.raises(nn.NonFiniteLossError, match="epoch 1"):
        ensemble.fit(X, CLASSES, epochs=3)
    assert same(weights(ensemble), before)
    assert [len(trainer.history) for trainer in made] == [0, 0]


@pytest.mark.parametrize("stage", ["batches", "transaction", "finish"])
def test_an_interrupted_epoch_leaves_no_trace_in_any_member(stage, monkeypatch):
    ensemble = nn.Ensemble(sweep())
    ensemble.fit(X, CLASSES, epochs=1)
    before, histories = weights(ensemble), copy.deepcopy([t.history for t in ensemble])
    member = nnpoly.training.ensemble._Member
    original: Callable[..., Any] = getattr(member, stage)

    def interrupted(self: Any, *arguments: Any) -> Any:
        if self.trainer is ensemble[2]:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(member, stage, interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensemble.fit(X, CLASSES, epochs=1)
    assert same(weights(ensemble), before)
    assert [t.history for t in ensemble] == histories
    assert [t.t for t in ensemble] == [2, 2, 2]


def test_callbacks_are_each_members_own():
    seen: list[nn.Trainer] = []

    def stop_after_its_number(trainer: nn.Trainer) -> list[Any]:
        seen.append(trainer)
        return [lambda trainer, history: len(history) > trainer.seed]

    ensemble = nn.Ensemble(sweep())
    histories = ensemble.fit(X, CLASSES, epochs=9, callbacks=stop_after_its_number)
    assert seen == ensemble.trainers
    assert [len(history) for history in histories] == [1, 2, 3]


def test_progress_shows_the_members_mean(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    ensemble = nn.Ensemble(sweep())
    histories = ensemble.fit(X, CLASSES, epochs=2, progress=True)
    mean = np.mean([history.loss[1] for history in histories])
    assert f"epoch 2/2  loss {mean:.4g}" in capsys.readouterr().err


def test_an_ensemble_can_be_pickled():
    ensemble = nn.Ensemble(sweep(), bootstrap=True)
    ensemble.fit(X, CLASSES, epochs=1)
    again = pickle.loads(pickle.dumps(ensemble))
    for each in (ensemble, again):
        each.fit(X, CLASSES, epochs=1)
    assert same(weights(ensemble), weights(again))
    assert repr(again) == "<Ensemble of 3 trainers, bootstrap=True>"


# Wrong arguments


def shared() -> list[nn.Trainer]:
    net = nn.MLP([4, 6, 3])
    return [nn.Trainer(net), nn.Trainer(net)]


def reals() -> nn.Trainer:
    return nn.Trainer(nn.MLP([4, 6, 3], output="identity"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (list, "`trainers` must be a list of at least one nn.Trainer, got []"),
        (lambda: member(0), "`trainers` must be a list of at least one nn.Trainer"),
        (lambda: [member(0), nn.MLP([4, 3])], "`trainers[1]` must be an nn.Trainer"),
        (shared, "`trainers[1]` has the network of another member"),
        (lambda: [member(0), member(1, dtype="float64")], "dtype 'float64' and not 'float32'"),
        (lambda: [member(0), member(1, backend="strict")], "backend 'strict' and not 'numpy'"),
        (lambda: [member(0), nn.Trainer(nn.MLP([5, 3]))], "inputs 5 and not 4"),
        (lambda: [member(0), reals()], "output 'identity' and not 'softmax'"),
    ],
)
def test_members_that_cannot_be_trained_together(make, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        nn.Ensemble(make())
    assert str(caught.value).startswith("Ensemble: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X[:, :3], CLASSES), {}, "`X` must have shape (n, 4)"),
        ((X, CLASSES + 1), {}, "`y`"),
        ((X * np.nan, CLASSES), {}, "`X`"),
        ((X, CLASSES), {"epochs": 0}, "`epochs`"),
        ((X, CLASSES), {"batch_size": 0}, "`batch_size`"),
        ((X, CLASSES), {"validation": X}, "`validation` must be a pair"),
        ((X, CLASSES), {"metrics": ["f3"]}, "`metrics[0]` must be one of"),
        ((X, CLASSES), {"callbacks": lambda trainer: 3}, "`callbacks` must be a list"),
        ((X, CLASSES), {"callbacks": [print]}, "`callbacks` must be a function"),
        (
            (X, CLASSES),
            {"callbacks": lambda trainer: [nn.callbacks.EarlyStopping]},
            "`callbacks[0]` must be an object, got the class EarlyStopping",
        ),
        ((X,), {}, "`y` is missing. Pass the targets, one for each row of X"),
        ((lambda epoch: [(X, CLASSES)],), {}, "sources of batches are for Trainer.fit"),
    ],
)
def test_wrong_arguments_of_fit_are_refused_before_any_work(arguments, options, message):
    ensemble = nn.Ensemble(sweep())
    before = weights(ensemble)
    with pytest.raises(ValueError, match=r"Ensemble\.fit: ") as caught:
        ensemble.fit(*arguments, **options)
    assert message in str(caught.value)
    assert same(weights(ensemble), before)
