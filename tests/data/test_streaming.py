"""Data that the device does not hold as a whole: the numbers are those of data that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import nnpoly as nn
from nnpoly.backends import host, registry
from nnpoly.backends.steps import Batch
from nnpoly.data.batches import Batches
from nnpoly.data.rows import Rows
from nnpoly.estimators import MLPClassifier

N, BATCH, WIDTH = 29, 3, 3
ROOM = "NNPOLY_DEVICE_BYTES"


def data(n: int = N, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).standard_normal((n, WIDTH))
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def trainer(place: dict[str, Any], dtype: str = "float32") -> nn.Trainer:
    return nn.Trainer(nn.MLP([WIDTH, 5, 2], "tanh", dtype=dtype, seed=3, **place), nn.Adam(0.05))


class Streaming:
    """Makes a backend stream all host data, in blocks of four batches, and looks on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, backend: Any, itemsize: int = 4) -> None:
        self.blocks: list[np.ndarray] = []
        self.open = 0
        self._upload = backend.upload
        kind = type(backend)
        monkeypatch.setattr(kind, "room", lambda self, device: 0)
        monkeypatch.setattr(kind, "block_bytes", 5 * BATCH * WIDTH * itemsize)
        monkeypatch.setattr(kind, "upload", lambda _, *given: self._watched(*given))

    def _watched(self, blocks: Any, device: Any) -> Iterator[Any]:
        self.open += 1
        try:
            yield from self._upload(map(self._kept, blocks), device)
        finally:
            self.open -= 1

    def _kept(self, block: np.ndarray) -> np.ndarray:
        self.blocks.append(block.copy())
        return block

    @property
    def lengths(self) -> list[int]:
        return [len(block) for block in self.blocks]


@pytest.fixture
def streaming(monkeypatch, backend_variant) -> Streaming:
    return Streaming(monkeypatch, backend_variant.backend)


def run(place: dict[str, Any], X: Any, y: Any, **options: Any) -> list[Any]:
    """Return all that comes of a fit, bit for bit."""
    t = trainer(place)
    X_val, y_val = data(11, seed=8)
    history = t.fit(X, y, 3, BATCH, validation=(X_val, y_val), **options)
    weights = options.get("sample_weight")
    state = registry.to_host(t.network.w).tobytes()
    return [vars(history), state, t.evaluate(X, y, weights)]


OPTIONS = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "weighted": {"sample_weight": np.arange(N) % 3},
    "metrics": {"metrics": ["accuracy", "log_loss"]},
    "accumulated": {"accumulate": 5},  # more batches than a block has
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIONS)
def test_streamed_data_give_the_bits_of_whole_data(monkeypatch, backend_variant, name, dtype):
    X, y = data()
    X, options = X.astype(dtype), OPTIONS[name]
    whole = run(backend_variant.place, X, y, **options)
    streaming = Streaming(monkeypatch, backend_variant.backend)
    assert run(backend_variant.place, X, y, **options) == whole
    if dtype == "float32" and backend_variant.backend.owns(X):
        assert set(streaming.lengths) <= {11}  # X is where it is computed with
        return
    assert streaming.lengths[:3] == [4 * BATCH, 4 * BATCH, N - 8 * BATCH]
    assert {block.dtype for block in streaming.blocks} == {np.dtype("float32")}
    assert streaming.open == 0


class File:
    """Like an HDF5 data set: rows by a slice, or by indices that rise."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, rows: Any) -> np.ndarray:
        if not isinstance(rows, slice) and np.any(np.diff(rows) <= 0):
            raise TypeError("Indexing elements must be in increasing order")
        return self._array[rows]


@pytest.mark.parametrize("kind", ["map", "file", "sparse"])
def test_sources_give_the_bits_of_arrays(tmp_path, monkeypatch, backend_variant, kind):
    X, y = data()
    whole = run(backend_variant.place, X, y)
    if kind == "map":
        source = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
        source[:] = X
    else:
        source = {"file": File, "sparse": scipy.sparse.csc_matrix}[kind](X)
    Streaming(monkeypatch, backend_variant.backend)
    assert run(backend_variant.place, source, y) == whole


@pytest.mark.parametrize("order", [None, host.permutation(N, 0, 0), host.bootstrap(N, 0)])
@pytest.mark.parametrize("size", [1, BATCH, N, 99])
def test_batches_have_the_rows_of_their_order(backend_variant, streaming, order, size):
    (X, y), net = data(), trainer(backend_variant.place).network
    given = net.place.integers("test", "y", y)
    batches = Batches(Batch(Rows(X), given), order, size)
    came = [
        [registry.to_host(part) for part in batch[:2]]
        for batch in batches.arrays(net.place, "test")
    ]
    rows = np.arange(N) if order is None else order
    starts = range(0, len(rows), size)
    assert [len(x) for x, _ in came] == [min(size, len(rows) - start) for start in starts]
    assert np.array_equal(np.concatenate([x for x, _ in came]), X[rows].astype("f4"))
    assert np.array_equal(np.concatenate([labels for _, labels in came]), y[rows])
    parts = max(1, 5 * BATCH // size)
    assert streaming.lengths[0] == min(len(rows), size * 2 ** int(np.log2(parts)))


def test_rows_that_are_not_finite_are_named_before_they_go_up(backend_variant, streaming):
    X, y = data()
    X[-1, 1] = 1e39  # infinite in float32
    t = trainer(backend_variant.place)
    before = registry.to_host(t.network.w).tobytes()
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match=rf"`X` must be finite .* first in row {N - 1}\.") as caught,
    ):
        t.fit(X, y, 3, BATCH)
    assert all(np.isfinite(block).all() for block in streaming.blocks)
    assert (registry.to_host(t.network.w).tobytes(), t.t, len(t.history)) == (before, 0, 0)
    assert streaming.open == 0, caught.value  # though the traceback is still there
    X, validation = data()[0], (X, y)
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match=rf"`validation\[0\]` must be finite .* row {N - 1}\."),
    ):
        t.fit(X, y, 1, BATCH, validation=validation)


def test_after_an_error_in_the_middle_all_is_as_it_was(backend_variant, streaming, monkeypatch):
    X, y = data()
    want = run(backend_variant.place, X, y)
    t, steps = trainer(backend_variant.place), []

    step = t.stepper.step

    def interrupted(batch: Any) -> Any:
        steps.append(streaming.open)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return step(batch)

    monkeypatch.setattr(t.stepper, "step", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        t.fit(X, y, 3, BATCH)
    assert (streaming.open, set(steps)) == (0, {1}), caught.value
    monkeypatch.undo()
    t.fit(X, y, 3, BATCH, validation=data(11, seed=8))
    assert [vars(t.history), registry.to_host(t.network.w).tobytes()] == want[:2]


def test_words_are_refused_before_any_row_is_read(backend_variant, streaming):
    X, y = data()
    for bad, message in (
        (X.astype(str), "`X` must hold real numbers"),
        (X * 1j, "`X` must hold real numbers"),
        (X[:, :2], r"`X` must have shape \(n, 3\)"),
        (X[0], r"`X` must have shape \(n, 3\)"),
        (np.ma.masked_greater(X, 0.0), "no masked values"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer(backend_variant.place).fit(bad, y, 1)
    assert streaming.blocks == []


def test_estimators_predict_in_blocks(backend_variant, monkeypatch):
    X, y = data()
    options = {"max_iter": 3, "random_state": 0, "backend": backend_variant.backend_name}
    whole = MLPClassifier((5,), device=backend_variant.device, **options)
    streamed = MLPClassifier((5,), device=backend_variant.device, **options)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        want = whole.fit(X, y).predict_proba(X)
    streaming = Streaming(monkeypatch, backend_variant.backend)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        streamed.fit(X, y)
    streaming.blocks.clear()
    assert np.array_equal(streamed.predict_proba(X), want)
    assert streaming.lengths == ([] if backend_variant.backend.owns(X) else [N])


@pytest.mark.skipif(not nn.backends()["cupy"], reason="CuPy cannot be used here")
@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize")
def test_no_batch_is_waited_for(monkeypatch):
    import cupyx

    (X, y), place = data(), {"backend": "cupy"}
    Streaming(monkeypatch, registry.get("cupy"))
    t = trainer(place)
    t.fit(X, y, 2, BATCH)  # what is compiled is compiled now
    batches = Batches(t.checked("test", X, y), host.permutation(N, 0, 0), BATCH)
    with cupyx.allow_synchronize(False):
        losses = [t.stepper.step(batch) for batch in batches.arrays(t.network.place, "test")]
    assert len(losses) == batches.steps


@pytest.mark.skipif(not nn.backends()["cupy"], reason="CuPy cannot be used here")
def test_a_device_that_works_late_gives_the_same_bits(monkeypatch):
    """Late: what does not wait for a copy, or for the device, finds NaN."""
    standin = pytest.importorskip("standin")
    (X, y), place = data(), {"backend": "cupy"}
    whole = run(place, X, y)
    Streaming(monkeypatch, registry.get("cupy"))
    with standin.late():
        assert run(place, X, y) == whole


# How much a device takes


def test_the_room_is_the_variables(monkeypatch):
    X, y = data()
    seen = []
    kind = type(registry.get("strict"))
    upload = kind.upload
    monkeypatch.setattr(kind, "upload", lambda *given: seen.append(1) or upload(*given))
    for room, streams in (("", False), (str(X.size * 4), False), (str(X.size * 4 - 1), True)):
        monkeypatch.setenv(ROOM, room)
        seen.clear()
        trainer({"backend": "strict"}).fit(X, y, 1)
        assert bool(seen) == streams
    monkeypatch.setenv(ROOM, "16 GB")
    with pytest.raises(ValueError, match=rf"^{ROOM}: must be an integer >= 0, got '16 GB'\.$"):
        trainer({"backend": "strict"}).fit(X, y, 1)


def test_numpy_has_no_device_to_fill(monkeypatch):
    monkeypatch.setenv(ROOM, "0")
    assert registry.get("numpy").room("cpu") is None


def test_mapped_batches_of_a_generator_are_taken_whole(tmp_path):
    X, y = data()
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    one, other = trainer({}), trainer({})
    parts = [slice(i, i + BATCH) for i in range(0, N, BATCH)]
    a = one.fit([(mapped[rows], y[rows]) for rows in parts], epochs=2)
    b = other.fit([(X[rows], y[rows]) for rows in parts], epochs=2)
    assert a.loss == b.loss
