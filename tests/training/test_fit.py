"""What fit offers beside arrays: weights, metrics, batches from sources, accumulation, averages."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn import metrics as skm

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.data import rows as data_rows

N, BATCH = 10, 4
host = registry.to_host


def data(n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((n, 3))
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def trainer(optimizer: Any = None, **options: Any) -> nn.Trainer:
    net = nn.MLP([3, 5, 2], "tanh", dtype=options.pop("dtype", "float64"), seed=3, **options)
    return nn.Trainer(net, optimizer or nn.Adam(0.05))


def weights_of(t: nn.Trainer) -> bytes:
    return host(t.network.w).tobytes()


# Sample weights


def test_whole_weights_are_repeated_samples(backend_variant):
    """In batches of everything, so that the order plays no part."""
    X, y = data()
    counts = np.arange(N) % 3
    weighted, repeated = (trainer(**backend_variant.place) for _ in range(2))
    rows = np.repeat(np.arange(N), counts)
    a = weighted.fit(X, y, 5, batch_size=99, sample_weight=counts, shuffle=False)
    b = repeated.fit(X[rows], y[rows], 5, batch_size=99, shuffle=False)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)
    np.testing.assert_allclose(host(weighted.network.w), host(repeated.network.w), rtol=1e-9)


def test_only_the_ratio_of_weights_counts():
    X, y = data()
    s = np.random.default_rng(0).exponential(size=N)
    one, other = trainer(), trainer()
    one.fit(X, y, 3, BATCH, sample_weight=s)
    other.fit(X, y, 3, BATCH, sample_weight=8.0 * s)  # a power of two: the same bits
    assert weights_of(one) == weights_of(other)


def test_weights_of_one_change_nothing_but_roundings():
    X, y = data()
    one, other = trainer(), trainer()
    a, b = one.fit(X, y, 3, BATCH), other.fit(X, y, 3, BATCH, sample_weight=np.ones(N))
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-13)


def test_evaluate_is_the_weighted_mean():
    (X, y), t = data(), trainer()
    s = np.random.default_rng(0).exponential(size=N)
    each = [t.evaluate(X[i : i + 1], y[i : i + 1]) for i in range(N)]
    assert t.evaluate(X, y, s) == pytest.approx(np.average(each, weights=s), rel=1e-13)
    history = t.fit(X, y, 1, validation=(X, y, s))
    assert history.validation_loss == [t.evaluate(X, y, s)]


def test_a_step_takes_weights_as_they_are():
    (X, y), t = data(), trainer()
    each = [t.evaluate(X[i : i + 1], y[i : i + 1]) for i in range(N)]
    s = np.random.default_rng(0).exponential(size=N)
    assert float(t.step(X, y, s)) == pytest.approx(np.mean(s * each), rel=1e-13)


def test_gradients_take_weights_and_losses():
    (X, y), net = data(), trainer().network
    s = np.random.default_rng(0).exponential(size=N)
    loss, grads = net.gradients(X, y, loss="focal", sample_weight=s)
    assert float(loss) == pytest.approx(float(net.loss(X, y, loss="focal", sample_weight=s)))
    w, at = net.w.copy(), 4
    values = []
    for step in (1e-6, -1e-6):
        net.w = w + step * (np.arange(w.size) == at)
        values.append(float(net.loss(X, y, loss="focal", sample_weight=s)))
    assert grads.flat[at] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(N - 1), r"`sample_weight` must have shape \(10,\) .*, got \(9,\)"),
        (-np.ones(N), "`sample_weight` must be >= 0, and not all 0, got values from -1"),
        (np.zeros(N), "`sample_weight` must be >= 0, and not all 0"),
        (np.full(N, np.nan), "`sample_weight` must be finite"),
        (["a"] * N, "`sample_weight` must hold real numbers"),
    ],
)
def test_bad_weights_are_refused_before_any_work(weights, message):
    t = trainer()
    before = weights_of(t)
    for attempt in (
        lambda: t.fit(*data(), sample_weight=weights),
        lambda: t.step(*data(), weights),
        lambda: t.evaluate(*data(), weights),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()
    assert (weights_of(t), len(t.history)) == (before, 0)


# Metrics


def test_metrics_are_scikit_learns(rng):
    X, y = data(60)
    names = [*nn.metrics.OF_LABELS, *nn.metrics.OF_PROBABILITIES]
    t = trainer()
    history = t.fit(X[:40], y[:40], 3, metrics=names, validation=(X[40:], y[40:]))
    f, true = t.network(X[40:]), y[40:]
    guess = f.argmax(axis=1)
    want = {
        "accuracy": skm.accuracy_score(true, guess),
        "balanced_accuracy": skm.balanced_accuracy_score(true, guess),
        "f1": skm.f1_score(true, guess, average="macro"),
        "precision": skm.precision_score(true, guess, average="macro"),
        "recall": skm.recall_score(true, guess, average="macro"),
        "matthews": skm.matthews_corrcoef(true, guess),
        "roc_auc": skm.roc_auc_score(true, f[:, 1]),
        "average_precision": skm.average_precision_score(np.eye(2)[true], f),
        "log_loss": skm.log_loss(true, f),
    }
    assert {name: values[-1] for name, values in history.metrics.items()} == pytest.approx(want)
    assert all(len(values) == 3 for values in history.metrics.values())
    assert history.metrics["log_loss"] == pytest.approx(history.validation_loss)


@pytest.mark.parametrize("K", [1, 3])
def test_metrics_of_sigmoids(K, rng):
    y, f = rng.integers(0, 2, (40, K)), rng.random((40, K))
    named = {name: name for name in ("accuracy", "f1", "roc_auc", "average_precision")}
    got = nn.metrics.compute(named, "sigmoid", y.astype(float), f)
    guess = (f >= 0.5).astype(int)
    average = "binary" if K == 1 else "macro"
    want = {
        "accuracy": np.mean(np.all(guess == y, axis=1)),
        "f1": skm.f1_score(y.squeeze(), guess.squeeze(), average=average),
        "roc_auc": np.mean([skm.roc_auc_score(y[:, k], f[:, k]) for k in range(K)]),
        "average_precision": np.mean(
            [skm.average_precision_score(y[:, k], f[:, k]) for k in range(K)]
        ),
    }
    assert got == pytest.approx(want)


def test_metrics_of_regression(rng):
    X, y = rng.standard_normal((30, 2)), rng.exponential(size=(30, 2))
    t = nn.Trainer(nn.MLP([2, 8, 2], output="exp"))
    history = t.fit(X, y, 2, metrics=list(nn.metrics.OF_REALS))  # without validation: of X
    f = t.network(X)
    assert history.metrics["r2"][-1] == pytest.approx(skm.r2_score(y, f), rel=1e-5)
    assert history.metrics["mae"][-1] == pytest.approx(np.mean(np.abs(y - f)), rel=1e-5)
    rmse = np.mean(np.sqrt(np.mean((y - f) ** 2, axis=0)))
    assert history.metrics["rmse"][-1] == pytest.approx(rmse, rel=1e-5)


def test_a_function_is_a_metric():
    def errors(y: Any, f: Any) -> int:
        return int(np.sum(f.argmax(axis=1) != y))

    (X, y), t = data(), trainer()
    history = t.fit(X, y, 2, metrics=[errors])
    assert len(history.metrics["errors"]) == 2
    assert history.metrics["errors"][-1] == errors(y, t.network(X)) > 0


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (np.ones((40, 3)), r"an array of shape \(40, 3\)"),
        (np.ones(2), r"an array of shape \(2,\)"),
        (None, "None"),
        ("0.5", "'0.5'"),
        ({"a": 1}, "{'a': 1}"),
        (1j, "1j"),
    ],
)
def test_a_metric_that_gives_no_number_is_named(value, came):
    def profit(y: Any, f: Any) -> Any:
        return value

    (X, y), t = data(), trainer()
    before = t.network.w.copy()
    message = f"metrics: `profit` must return a number, got {came}"
    with pytest.raises(ValueError, match=message):
        t.fit(X, y, 2, metrics=[profit])
    with pytest.raises(ValueError, match=message):
        nn.metrics.score(t.network, X, y, [profit])
    assert np.array_equal(t.network.w, before)
    assert len(t.history) == 0


def test_a_missing_class_has_no_roc_auc():
    X, y = data(30)
    zeros = y == 0
    history = trainer().fit(X, y, 1, metrics=["roc_auc"], validation=(X[zeros], y[zeros]))
    assert np.isnan(history.metrics["roc_auc"][0])


@pytest.mark.parametrize("metrics", ["r2", ["r2"], ["speed"], 3])
def test_bad_metrics_are_refused(metrics):
    with pytest.raises(ValueError, match="`metrics"):
        trainer().fit(*data(), metrics=metrics)


# Batches from sources


def batches(size: int = BATCH) -> Any:
    X, y = data()
    return [(X[i : i + size], y[i : i + size]) for i in range(0, N, size)]


def test_batches_are_the_arrays_they_are_cut_from(backend_variant):
    stream, arrays = (trainer(**backend_variant.place) for _ in range(2))
    a = stream.fit(batches(), epochs=3, validation=data())
    b = arrays.fit(*data(), 3, BATCH, shuffle=False, validation=data())
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)
    np.testing.assert_allclose(host(stream.network.w), host(arrays.network.w), rtol=1e-9)


def test_a_function_gives_the_batches_of_an_epoch():
    seen = []

    def source(epoch: int) -> Any:
        seen.append(epoch)
        yield from batches()

    t, twin = trainer(), trainer()
    t.fit(source, epochs=2)
    t.fit(source, epochs=1)
    assert seen == [0, 1, 2]
    twin.fit(batches(), epochs=3)
    assert weights_of(t) == weights_of(twin)


SLOW = 0.02  # seconds, with which few epochs fit into a call


def by_list(epoch: int, seconds: float) -> Any:
    time.sleep(seconds)
    return batches()


def by_generator(epoch: int, seconds: float) -> Any:
    for batch in batches():
        time.sleep(seconds / 3)
        yield batch


@pytest.mark.parametrize("seconds", [0.0, SLOW])
@pytest.mark.parametrize("give", [by_list, by_generator])
@pytest.mark.parametrize("fits", [[1], [2], [7], [3, 1, 4], [25]])
def test_a_function_is_called_once_an_epoch_in_order(fits, give, seconds):
    seen = []

    def source(epoch: int) -> Any:
        seen.append(epoch)
        return give(epoch, seconds)

    t = trainer()
    for epochs in fits:
        t.fit(source, epochs=epochs)
    assert seen == list(range(sum(fits)))
    assert len(t.history) == sum(fits)


def test_a_function_is_not_called_for_an_epoch_that_is_not_trained():
    seen = []

    def source(epoch: int) -> Any:
        seen.append(epoch)
        return batches()

    trainer().fit(source, epochs=9, callbacks=[lambda trainer, history: len(history) == 4])
    assert seen == [0, 1, 2, 3]


def test_an_endless_source_has_epochs_of_steps():
    t, twin = trainer(), trainer()
    history = t.fit(itertools.cycle(batches()), epochs=2, steps_per_epoch=3)
    assert len(history) == 2
    assert t.t == 6
    twin.fit(batches(), epochs=2)
    assert weights_of(t) == weights_of(twin)


def test_batches_may_have_weights():
    s = np.arange(1.0, N + 1) / 5.5  # mean 1
    t, twin = trainer(), trainer()
    weighted = [(X, y, s[4 * i : 4 * i + 4]) for i, (X, y) in enumerate(batches())]
    a = t.fit(weighted, epochs=2)
    b = twin.fit(*data(), 2, BATCH, sample_weight=s, shuffle=False)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)


X, Y = data()
BAD_SOURCES = {
    "used up": ((iter(batches()),), {"epochs": 2}, ValueError, "is an iterator, which one epoch"),
    "no iterable": ((3,), {}, TypeError, "must be an iterable of batches"),
    "no number": ((lambda: batches(),), {}, TypeError, "must take the epoch's number"),
    "no pair": (([X[:4]],), {}, ValueError, "but batch 1 is a ndarray of 4"),
    "wrong width": (([(X[:, :2], Y)],), {}, ValueError, r"`batch 1's X` must have shape \(n, 3\)"),
    "NaN": (([(X, Y), (X * np.nan, Y)],), {}, ValueError, "`batch 2's X` must be finite"),
    "labels": (([(X, Y + 1)],), {}, ValueError, "`batch 1's y` must hold class indices"),
    "none": (([],), {}, ValueError, "at least one batch"),
    "steps": ((X, Y), {"steps_per_epoch": 3}, ValueError, "`steps_per_epoch` is for batches"),
    "metrics": ((batches(),), {"metrics": ["f1"]}, ValueError, "need validation"),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_bad_batches_leave_no_trace(name):
    arguments, options, error, message = BAD_SOURCES[name]
    t = trainer()
    before = weights_of(t)
    with pytest.raises(error, match=message):
        t.fit(*arguments, **options)
    assert (weights_of(t), t.t, len(t.history)) == (before, 0, 0)


def test_a_long_stream_trains_in_flat_memory():
    def source(epoch: int) -> Any:
        rng = np.random.default_rng(epoch)
        for _ in range(400):  # 80 MB in all
            X = rng.standard_normal((2048, 12), dtype="f4")
            yield X, (X[:, 0] > 0).astype(int)

    t = nn.Trainer(nn.MLP([12, 8, 2]))
    t.fit(itertools.islice(source(0), 5), epochs=1)
    tracemalloc.start()
    t.fit(source, epochs=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6


# Arrays that are larger than memory


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_memory_map_trains_like_the_array(tmp_path, backend_variant, dtype):
    X, y = data()
    mapped = np.memmap(tmp_path / "X", dtype, "w+", shape=X.shape)
    mapped[:] = X
    one, other = (trainer(dtype="float32", **backend_variant.place) for _ in range(2))
    a = one.fit(mapped, y, 3, BATCH, validation=(mapped, y))
    b = other.fit(np.array(mapped), y, 3, BATCH, validation=(mapped, y))
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-5)
    np.testing.assert_allclose(a.validation_loss, b.validation_loss, rtol=1e-5)
    assert one.evaluate(mapped, y) == pytest.approx(other.evaluate(X, y), rel=1e-5)


class File:
    """Like an HDF5 data set: rows by a slice, or by indices that rise."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

    def __getitem__(self, rows: Any) -> np.ndarray:
        if not isinstance(rows, slice) and np.any(np.diff(rows) <= 0):
            raise TypeError("Indexing elements must be in increasing order")
        part = self._array[rows]
        self.most = max(self.most, len(part))
        return part


def test_files_are_read_a_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(data_rows, "WHOLE", 0)
    X, y = data(30)
    one, other, rows = trainer(), trainer(), File(X)
    a = one.fit(rows, y, 3, BATCH)
    b = other.fit(X, y, 3, BATCH)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)
    assert rows.most == BATCH


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix"])
def test_sparse_rows_become_dense_a_batch_at_a_time(kind, monkeypatch):
    made: list[int] = []
    monkeypatch.setattr(data_rows, "WHOLE", 0)
    for rows in (scipy.sparse.csr_array, scipy.sparse.csr_matrix):

        def toarray(self: Any, dense: Any = rows.toarray, **options: Any) -> np.ndarray:
            made.append(self.shape[0])
            return dense(self, **options)

        monkeypatch.setattr(rows, "toarray", toarray)
    X, y = data(30)
    one, other = trainer(), trainer()
    a = one.fit(getattr(scipy.sparse, kind)(X), y, 3, BATCH)
    b = other.fit(X, y, 3, BATCH)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)
    assert max(made) == BATCH
    assert sum(made) >= 3 * 30  # nothing became dense elsewhere


def test_an_iterator_that_ends_early_is_named():
    X, y = data()
    batches = iter([(X, y)] * 5)
    t = trainer()
    with pytest.raises(ValueError, match=r"`X` is an iterator, which earlier epochs have used up"):
        t.fit(batches, epochs=4, steps_per_epoch=2)
    assert (t.t, len(t.history)) == (5, 3)  # the whole epochs that there were


def test_weights_of_a_source_are_its_batches():
    X, y = data()
    with pytest.raises(ValueError, match=r"`sample_weight` is for arrays\. Batches without `y`"):
        trainer().fit([(X, y)], epochs=1, sample_weight=np.ones(len(y)))


def test_sources_are_looked_at_as_they_are_read():
    X, y = data()
    X[7, 1] = np.inf
    t = trainer()
    before = weights_of(t)
    with pytest.raises(ValueError, match="`X` must be finite"):
        t.fit(File(X), y, 1, BATCH)
    assert (weights_of(t), len(t.history)) == (before, 0)


# Accumulated gradients


def test_accumulated_batches_are_one_large_batch(backend_variant):
    one, other = (trainer(**backend_variant.place) for _ in range(2))
    a = one.fit(*data(), 3, batch_size=2, accumulate=2)
    b = other.fit(*data(), 3, batch_size=4)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)
    np.testing.assert_allclose(host(one.network.w), host(other.network.w), rtol=1e-9)
    assert one.t == other.t == 9


def test_accumulated_batches_of_a_stream():
    one, other = trainer(), trainer()
    one.fit(batches(3), epochs=2, accumulate=5)  # fewer than five are left at the end
    other.fit(*data(), 2, batch_size=N, shuffle=False)
    np.testing.assert_allclose(one.network.w, other.network.w, rtol=1e-12)


def test_accumulated_batches_have_masks_of_their_own():
    net = nn.Network([nn.Dense(3, 40, "tanh"), nn.Dropout(0.5), nn.Dense(40, 2)], "softmax")
    t = nn.Trainer(net, nn.SGD(1e-9))
    X, y = data(1)
    history: list[float] = []
    together = t.stepper.step_together
    t.stepper.step_together = lambda batches: history.extend(together(batches)) or history[-4:]
    t.fit([(X, y)] * 4, epochs=1, accumulate=4)
    assert len(set(map(float, history))) == 4


# The average of the parameters


def test_the_average_is_that_of_the_parameters_so_far(backend_variant):
    t = trainer(nn.SGD(0.1, momentum=0.9, ema=0.8), **backend_variant.place)
    path, (X, y) = [], data()
    for _ in range(7):
        t.step(X, y)
        path.append(np.array(host(t.network.w)))
    weights = 0.8 ** np.arange(6, -1, -1)
    want = np.average(path, axis=0, weights=weights)
    np.testing.assert_allclose(host(t.averaged().w), want, rtol=1e-12)


def test_the_average_changes_nothing_in_training_and_is_what_is_validated():
    averaging, plain = trainer(nn.Adam(0.05, ema=0.9)), trainer()
    history = averaging.fit(*data(), 4, BATCH, validation=data(), metrics=["accuracy"])
    plain.fit(*data(), 4, BATCH)
    np.testing.assert_allclose(averaging.network.w, plain.network.w, rtol=1e-12)
    judged = nn.Trainer(averaging.averaged()).evaluate(*data())
    assert history.validation_loss[-1] == judged != averaging.evaluate(*data())


def test_the_average_is_kept_in_files(tmp_path):
    t = trainer(nn.Adam(0.05, ema=0.9))
    t.fit(*data(), 2, BATCH)
    t.save(tmp_path / "t")
    again = nn.Trainer.load(tmp_path / "t")
    assert np.array_equal(t.averaged().w, again.averaged().w)


def test_without_an_average_there_is_none():
    with pytest.raises(ValueError, match=r"ema=0\.999"):
        trainer().averaged()
    with pytest.raises(ValueError, match="`ema` must be below 1"):
        nn.Adam(ema=1.0)


def test_all_of_it_is_resumed(tmp_path, backend_variant):
    """With weights, metrics, an average and accumulated gradients, bit for bit."""
    X, y = data(20)
    options = {
        "batch_size": 3,
        "accumulate": 2,
        "sample_weight": np.arange(20) % 3,
        "metrics": ["accuracy", "log_loss"],
        "validation": (X, 1 - y),
    }

    def run(path: Any, epochs: int) -> tuple[Any, bytes, bytes]:
        t = trainer(nn.Adam(0.05, ema=0.9), **backend_variant.place)
        saves = [nn.callbacks.Checkpoint(path), nn.callbacks.ReduceOnPlateau(0.5, 1)]
        history = t.fit(X, y, epochs, callbacks=saves, resume=path, **options)
        return history, weights_of(t), host(t.averaged().w).tobytes()

    whole = run(tmp_path / "whole", 7)
    run(tmp_path / "parts", 3)
    assert run(tmp_path / "parts", 7) == whole


def test_a_batch_size_that_no_machine_counts_is_all_rows():
    X, y = data()
    fitted = []
    for size in (N, 10**30):
        made = trainer()
        made.fit(X, y, 2, size)
        fitted.append(weights_of(made))
    assert fitted[0] == fitted[1]
