"""What newcomers reach for: classes, names, a share held out, records by name, a settable rate."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.backends.host import parted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def trainer(optimizer: Any = None, **place: Any) -> nn.Trainer:
    return nn.Trainer(nn.MLP([2, 8, 2], seed=3, **place), optimizer or nn.Adam(0.01))


def host(array: Any) -> np.ndarray:
    return registry.to_host(array)


# Classes


def test_the_class_of_a_softmax_is_the_likeliest(backend_variant):
    net = nn.MLP([2, 8, 3], **backend_variant.place)
    x = X.astype("float32")
    assert host(net.classify(x)).tolist() == host(net(x)).argmax(axis=1).tolist()


@pytest.mark.parametrize(("outputs", "shape"), [(1, (50,)), (3, (50, 3))])
def test_the_class_of_a_sigmoid_is_1_from_a_half_on(backend_variant, outputs, shape):
    net = nn.MLP([2, 8, outputs], output="sigmoid", **backend_variant.place)
    found = host(net.classify(X.astype("float32")))
    assert found.shape == shape
    assert found.dtype.kind == "i"
    rows = host(net(X.astype("float32"))) >= 0.5
    assert np.array_equal(found.reshape(rows.shape), rows)


def test_trainers_and_ensembles_have_the_classes_of_their_predictions():
    net = nn.MLP([2, 64, 3], seed=1)
    rounded = nn.Trainer(net, precision="bf16")
    assert np.array_equal(rounded.classify(X), net(X, precision="bf16").argmax(axis=1))
    ensemble = nn.Ensemble([nn.Trainer(nn.MLP([2, 4, 3], seed=s)) for s in range(3)])
    assert np.array_equal(ensemble.classify(X), ensemble(X).argmax(axis=1))


def test_nothing_without_classes_is_classified():
    with pytest.raises(ValueError, match=r"^MLP\.classify: the output 'identity' has no classes"):
        nn.MLP([2, 1], output="identity").classify(X)
    broken = X.copy()
    broken[7, 0] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 of 50 rows, the first in row 7"):
        nn.MLP([2, 2]).classify(broken)


def test_a_softmax_of_one_output_is_refused_but_read(tmp_path):
    for make in (nn.MLP, lambda w: nn.Network([nn.Dense(*w)], "softmax")):
        with pytest.raises(ValueError, match="output='sigmoid'; for a number output='identity'"):
            make([2, 1])
    old = nn.MLP([2, 1], output="identity")
    old.output = "softmax"  # as a file of before has it
    old.save(tmp_path / "old")
    read = nn.load(tmp_path / "old")
    assert np.array_equal(read.copy()(X), np.ones((50, 1)))


# Labels


@pytest.mark.parametrize(
    "labels",
    [Y.astype(bool), Y.astype("f4"), Y.astype("f8"), Y[:, None], Y[:, None] == 1, Y[:, None] + 0.0],
    ids=["bool", "float32", "float64", "column", "column of bools", "column of floats"],
)
def test_labels_of_any_type_train_like_integers(labels):
    mine, other = trainer(), trainer()
    assert mine.fit(X, labels, 2, 16).loss == other.fit(X, Y, 2, 16).loss
    assert float(mine.step(X, labels)) == float(other.step(X, Y))
    assert nn.metrics.score(mine.network, X, labels, "accuracy") == nn.metrics.score(
        mine.network, X, Y, "accuracy"
    )


def test_labels_of_any_type_on_a_backend(backend_variant):
    net, x = nn.MLP([2, 8, 2], **backend_variant.place), X.astype("f4")
    backend, device = net.place.backend, net.place.device
    for labels in (Y.astype(bool), Y.astype("f4"), Y[:, None], Y[:, None] + 0.0):
        own = backend.from_host(
            labels.astype("f4" if labels.dtype == "f8" else labels.dtype), device
        )
        for given in (labels, own):
            assert float(net.loss(x, given)) == float(net.loss(x, Y))
    with pytest.raises(ValueError, match=r"got 0\.5 in row 0\. For targets that are numbers"):
        net.loss(x, backend.from_host(Y.astype("f4") + 0.5, device))


# Names


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "amsgrad", "lion"])
def test_an_optimiser_by_name_has_all_defaults(name):
    kind = nn.optimizers.BY_NAME[name]
    assert nn.Trainer(nn.MLP([2, 2]), name).optimizer == kind()
    mine = trainer()
    mine.optimizer = name
    assert mine.optimizer == kind()


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop"])
def test_an_optimiser_without_a_rate_of_its_own_is_asked_for_one(name):
    kind = nn.optimizers.BY_NAME[name].__name__
    with pytest.raises(ValueError, match=re.escape(f"such as nn.{kind}(0.01).")):
        trainer(name)


def test_one_metric_and_one_callback_need_no_list():
    seen = []
    history = trainer().fit(
        X, Y, 2, metrics="accuracy", callbacks=lambda trainer, history: seen.append(len(history))
    )
    assert (list(history.metrics), seen) == (["accuracy"], [1, 2])
    ensemble = nn.Ensemble([trainer()])
    stop = ensemble.fit(X, Y, 3, metrics="accuracy", callbacks=lambda t: lambda t, h: len(h) == 2)
    assert len(stop[0]["accuracy"]) == 2


# A share held out


def rows_seen(count: int, share: float, seed: int) -> tuple[set[int], set[int]]:
    """The rows that are trained on, and the held out ones, as a fit shows them."""
    judged: list[float] = []
    data = np.arange(count, dtype="f8")[:, None]

    def keep(y: Any, f: Any) -> float:
        judged.extend(np.ravel(y))
        return 0.0

    t = nn.Trainer(nn.MLP([1, 1], output="identity", seed=seed), nn.SGD(1e-9))
    t.fit(data, data[:, 0], 1, 4, validation=share, metrics=keep)
    held = {int(v) for v in judged}
    return set(range(count)) - held, held


def test_a_share_is_drawn_by_the_seed_and_stays():
    train, held = rows_seen(50, 0.2, 0)
    assert (len(held), train & held) == (10, set())
    assert rows_seen(50, 0.2, 0) == (train, held)
    assert rows_seen(50, 0.2, 1)[1] != held


@pytest.mark.parametrize("weighted", [False, True])
def test_a_share_is_the_fit_on_the_other_rows(weighted, backend_variant):
    """The steps, the validation loss and the metrics are those of the parts."""
    data, weights = X.astype("f4"), RNG.uniform(0.5, 2.0, 50) if weighted else None
    train, held = parted(50, 10, 3)
    part = None if weights is None else weights[train]
    pair = (data[held], Y[held]) + (() if weights is None else (weights[held],))
    options = {"epochs": 3, "batch_size": 50, "metrics": "accuracy", "shuffle": False}
    mine, other = trainer(**backend_variant.place), trainer(**backend_variant.place)
    a = mine.fit(data, Y, validation=0.2, sample_weight=weights, **options)
    b = other.fit(data[train], Y[train], validation=pair, sample_weight=part, **options)
    for name in ("loss", "validation_loss", "accuracy"):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5)
    np.testing.assert_allclose(host(mine.network.w), host(other.network.w), rtol=1e-4, atol=1e-6)


def test_held_out_rows_do_not_teach():
    held = parted(50, 10, 3)[1]
    wrong, x = Y.copy(), X.copy()
    wrong[held], x[held] = 1 - wrong[held], 0.0
    first, second = trainer(), trainer()
    first.fit(X, Y, 3, 8, validation=0.2)
    second.fit(x, wrong, 3, 8, validation=0.2)
    assert np.array_equal(first.network.w, second.network.w)


def test_a_share_of_rows_that_are_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("nnpoly.data.rows.WHOLE", 0)
    np.save(tmp_path / "x.npy", X)  # float64: read by rows
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    first, second = trainer(), trainer()
    a = first.fit(X, Y, 3, 8, validation=0.2)
    assert second.fit(mapped, Y, 3, 8, validation=0.2) == a
    held = parted(50, 10, 3)[1]
    broken = X.copy()
    broken[held[4], 1] = np.inf
    np.save(tmp_path / "x.npy", broken)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=f"the first in row {held[4]}"):
        trainer().fit(mapped, Y, 1, 8, validation=0.2)


def test_an_ensemble_holds_the_same_rows_out_of_all():
    members = [trainer(), nn.Trainer(nn.MLP([2, 8, 2], seed=9), nn.Adam(0.01))]
    alone = trainer()
    histories = nn.Ensemble(members).fit(X, Y, 3, 8, validation=0.2, metrics="accuracy")
    assert histories[0] == alone.fit(X, Y, 3, 8, validation=0.2, metrics="accuracy")
    train, held = parted(50, 10, 3)
    other = nn.Trainer(nn.MLP([2, 8, 2], seed=9), nn.Adam(0.01))
    pair = X[held], Y[held]
    assert (
        histories[1]
        == nn.Ensemble([other]).fit(X, Y, 3, 8, validation=pair, metrics="accuracy", rows=[train])[
            0
        ]
    )


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0.001, "got 0.001 of 50 rows, none of which would be held out"),
        (0.999, "got 0.999 of 50 rows, none of which would be to train on"),
        (1.0, "a share of the rows between 0 and 1"),
        (20, "a share of the rows between 0 and 1, such as 0.2, got 20"),
        (float("nan"), "must be a finite number, got nan"),
        (True, "the share of rows to hold out, such as 0.2, got bool"),
    ],
)
def test_shares_that_cannot_be(share, message):
    t = trainer()
    before = t.network.w.copy()
    with pytest.raises(ValueError, match=re.escape(message)):
        t.fit(X, Y, validation=share)
    assert np.array_equal(t.network.w, before)


def test_a_share_of_batches_or_beside_rows_is_refused():
    with pytest.raises(ValueError, match="a share of arrays' rows, but not of batches"):
        trainer().fit(lambda epoch: [(X, Y)], validation=0.2)
    with pytest.raises(ValueError, match=r"must be \(X, y\) where `rows` says"):
        nn.Ensemble([trainer()]).fit(X, Y, validation=0.2, rows=[[0, 1]])
    weights = np.zeros(50)
    weights[parted(50, 10, 3)[0]] = 1.0
    with pytest.raises(ValueError, match=r"must not be 0 in all of the share 0\.2"):
        trainer().fit(X, Y, validation=0.2, sample_weight=weights)


def test_an_interrupted_fit_holds_the_same_rows_out(tmp_path):
    def run(epochs: int, path: Path, share: float = 0.2) -> nn.Trainer:
        t = trainer()
        save = nn.callbacks.Checkpoint(path)
        t.fit(X, Y, epochs, 8, validation=share, callbacks=save, resume=path)
        return t

    run(2, tmp_path / "two")
    both, whole = run(4, tmp_path / "two"), run(4, tmp_path / "one")
    assert both.history == whole.history
    assert np.array_equal(both.network.w, whole.network.w)
    with pytest.raises(ValueError, match=r"its validation is 0\.2, and not 0\.3"):
        run(6, tmp_path / "two", 0.3)


# Records by name


def test_a_history_by_name():
    history = trainer().fit(X, Y, 2, validation=0.2, metrics="accuracy")
    assert list(history) == ["loss", "validation_loss", "accuracy"]
    assert "accuracy" in history
    assert "r2" not in history
    assert dict(history) == {
        "loss": history.loss,
        "validation_loss": history.validation_loss,
        "accuracy": history.metrics["accuracy"],
    }
    with pytest.raises(KeyError, match="Did you mean 'accuracy'"):
        history["acuracy"]
    assert history.frame().to_dict(as_series=False) == {"epoch": [1, 2], **dict(history)}
    with pytest.raises(ValueError, match="Take the history that one fit returned"):
        nn.History([1.0, 2.0], [3.0]).frame()
    assert repr(nn.History()) == "<History of 0 epochs>"
    assert repr(history).startswith("<History of 2 epochs: loss 0.")


def test_callbacks_are_printed_as_they_were_made():
    stop = nn.callbacks.EarlyStopping(3, monitor="accuracy")
    for same in (stop, copy.deepcopy(stop), pickle.loads(pickle.dumps(stop))):
        assert repr(same) == "EarlyStopping(3, monitor='accuracy')"
    assert repr(nn.callbacks.ReduceOnPlateau()) == "ReduceOnPlateau()"
    assert repr(nn.callbacks.CSVLog("a.csv")) == "CSVLog('a.csv')"


# The rate


def test_the_learning_rate_is_set():
    mine, other = trainer(nn.SGD(0.1)), trainer(nn.SGD(0.025))
    assert mine.learning_rate == 0.1
    mine.learning_rate = 0.025
    assert (mine.learning_rate, mine.rate_factor) == (0.025, 0.25)
    assert mine.fit(X, Y, 2) == other.fit(X, Y, 2)
    assert np.array_equal(mine.network.w, other.network.w)


def test_a_schedule_goes_on_from_the_rate_that_is_set():
    t = trainer(nn.SGD(nn.schedules.Exponential(0.1, every=1, factor=0.5)))
    for _ in range(2):
        t.step(X, Y)
    assert t.learning_rate == pytest.approx(0.05, rel=1e-15)
    t.learning_rate = 0.2
    assert t.learning_rate == pytest.approx(0.2, rel=1e-15)
    t.step(X, Y)
    assert t.learning_rate == pytest.approx(0.1, rel=1e-15)


def test_a_rate_set_in_a_callback_is_saved_and_resumed(tmp_path):
    def lower(trainer: nn.Trainer, history: nn.History) -> None:
        if len(trainer.history) == 2:
            trainer.learning_rate = 3e-4

    def run(epochs: int, path: Path) -> nn.Trainer:
        t, save = trainer(), nn.callbacks.Checkpoint(path)
        t.fit(X, Y, epochs, 8, callbacks=[lower, save], resume=path)
        return t

    run(3, tmp_path / "a")
    both, whole = run(5, tmp_path / "a"), run(5, tmp_path / "b")
    assert both.learning_rate == whole.learning_rate == pytest.approx(3e-4, rel=1e-15)
    assert np.array_equal(both.network.w, whole.network.w)


def test_rates_that_cannot_be_set():
    t = trainer(nn.SGD(nn.schedules.Cosine(0.1, steps=1)))
    t.step(X, Y)
    t.step(X, Y)
    with pytest.raises(ValueError, match=r"schedule is 0, as after step 2\. Assign the optimiser"):
        t.learning_rate = 0.1
    for rate in (-1.0, float("nan"), "fast"):
        with pytest.raises(ValueError, match=r"`learning_rate` must be a number in \[0, inf\)"):
            trainer().learning_rate = rate


def test_attributes_that_do_not_exist_are_refused():
    t = trainer()
    for owner, name, near in (
        (t, "lr", "learning_rate"),
        (t, "optimiser", "optimizer"),
        (t.network, "W", "w"),
        (t.network, "buffer", "buffers"),
    ):
        with pytest.raises(AttributeError, match=f"no such attribute. Did you mean '{near}'"):
            setattr(owner, name, 1.0)
        assert not hasattr(owner, name)


def test_classes_of_users_may_have_attributes_of_their_own():
    class Named(nn.Trainer):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            self.title = "mine"

    assert Named(nn.MLP([2, 2])).title == "mine"


def test_the_number_of_parameters():
    for net in (nn.MLP([2, 8, 3]), nn.Network([nn.Dense(2, 4), nn.LayerNorm(4), nn.Dense(4, 2)])):
        assert net.parameter_count == net.w.size


# Rooms


def test_rooms_are_at_hand():
    for name in ("tables", "estimators", "plotting", "checkpoint"):
        assert getattr(nn, name).__name__ == f"nnpoly.{name}"
        assert name in dir(nn)
    with pytest.raises(AttributeError, match="Did you mean 'Adam'"):
        nn.Adma  # noqa: B018


# Ensembles in files


def test_a_saved_ensemble_goes_on_with_the_same_bits(tmp_path):
    def made() -> nn.Ensemble:
        rates = (0.003, 0.03)
        nets = [nn.MLP([2, 4 + s, 2], seed=s) for s in range(2)]
        return nn.Ensemble(
            [nn.Trainer(n, nn.Adam(r)) for n, r in zip(nets, rates, strict=True)], bootstrap=True
        )

    whole, first = made(), made()
    whole.fit(X, Y, 4, 8)
    first.fit(X, Y, 2, 8)
    first.failures[1] = nn.NonFiniteLossError("it failed", "the loss became nan")
    first.save(tmp_path / "e", {"note": "two"})
    read = nn.Ensemble.load(tmp_path / "e")
    assert read.bootstrap
    assert {i: (str(e), e.found) for i, e in read.failures.items()} == {
        1: ("it failed", "the loss became nan")
    }
    assert nn.checkpoint.load_extra(tmp_path / "e") == {"note": "two"}
    read.fit(X, Y, 2, 8)
    for mine, other in zip(read, whole, strict=True):
        assert np.array_equal(mine.network.w, other.network.w)
        assert mine.history == other.history


def test_each_file_names_what_loads_it(tmp_path):
    nn.Ensemble([trainer()]).save(tmp_path / "e")
    trainer().save(tmp_path / "t")
    for load in (nn.load, nn.Trainer.load, nn.tables.load, nn.estimators.MLPClassifier.load):
        with pytest.raises(ValueError, match=r"an ensemble.*nn\.Ensemble\.load"):
            load(tmp_path / "e")
    with pytest.raises(ValueError, match=r"holds a trainer\. Use nn\.Trainer\.load"):
        nn.Ensemble.load(tmp_path / "t")
