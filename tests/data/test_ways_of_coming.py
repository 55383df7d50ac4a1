"""How arrays come: the same numbers give the same bits, by the same path, whatever holds them.

A *way* makes an array come as users' arrays do: from a pickle, a file, a frame, a transposition. An
*entry* is a function of the library that takes arrays. Every way into every entry gives the bits of
a plain array in C order, takes the C core's path where that does, and leaves the array as it was.
"""

from __future__ import annotations

import array
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from arrivals import ARRAYS, FRAMES, SPARSE, WAYS

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.data import rows as data_rows
from nnpoly.estimators import MLPClassifier, MLPRegressor

N, WIDTH, BATCH = 40, 6, 16
RNG = np.random.default_rng(11)
# Numbers that every type here holds: multiples of 1/8, and most of them 0.
X = np.round(RNG.normal(size=(N, WIDTH)) * 8) / 8 * (RNG.random((N, WIDTH)) < 0.6)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int)
TARGETS = np.round(X @ RNG.normal(size=(WIDTH, 1)) * 8) / 8
WEIGHTS = RNG.integers(1, 5, N).astype(float)


def come_by(way: str, a: np.ndarray, path: Path) -> Any:
    try:
        return WAYS[way](a, path)
    except ImportError as error:
        pytest.skip(str(error))


# Entries


def trainer(**place: Any) -> nn.Trainer:
    return nn.Trainer(nn.MLP([WIDTH, 5, 2], "tanh", seed=3, **place), nn.Adam(0.02))


def bits(array: Any) -> bytes:
    return registry.to_host(array).tobytes()


def fit(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    t = trainer(**place)
    history = t.fit(X, y, 2, BATCH, validation=(X, y, s), sample_weight=s)
    assert t.stepper.steps.path == trainer(**place).stepper.steps.path
    return [vars(history), bits(t.network.w)]


def fit_unweighted(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    t = trainer(**place)
    return [vars(t.fit(X, y, 2, BATCH, metrics=["accuracy"])), bits(t.network.w)]


def step(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    t = trainer(**place)
    return [bits(t.step(X, y)), bits(t.step(X, y, s)), bits(t.network.w)]


def batches(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    t = trainer(**place)
    return [t.fit([(X, y), (X, y, s)], epochs=2).loss, bits(t.network.w)]


def evaluate(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    t = trainer(**place)
    return [t.evaluate(X, y), t.evaluate(X, y, s)]


def predict(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    net = trainer(**place).network
    return [bits(net(X)), bits(net.scores(X)), *map(bits, net.trace(X).post)]


def gradients(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    net = trainer(**place).network
    loss, grads = net.gradients(X, y, sample_weight=s)
    return [bits(loss), bits(grads.flat), bits(net.loss(X, y, sample_weight=s))]


def score(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    return [nn.metrics.score(trainer(**place).network, X, y, ["accuracy", "log_loss"])]


def ensemble(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    members = nn.Ensemble([trainer(**place), trainer(**place)])
    losses = [h.loss for h in members.fit(X, y, 2, BATCH, sample_weight=s, validation=(X, y))]
    f = members.predict(X)
    return [losses, bits(f.mean), bits(f.std), members.evaluate(X, y, s)]


def rates(X: Any, y: Any, s: Any, **place: Any) -> list[Any]:
    return [nn.find_learning_rate(trainer(**place), X, y, steps=3, sample_weight=s).losses]


ENTRIES: dict[str, Callable[..., list[Any]]] = {
    "fit": fit,
    "fit, unweighted": fit_unweighted,
    "step": step,
    "batches": batches,
    "evaluate": evaluate,
    "predict": predict,
    "gradients": gradients,
    "score": score,
    "ensemble": ensemble,
    "find_learning_rate": rates,
}


def classifier(X: Any, y: Any) -> list[Any]:
    model = MLPClassifier(hidden_layer_sizes=(5,), max_iter=2, random_state=0, dtype="float32").fit(
        X, y
    )
    return [bits(model.network_.w), model.loss_, bits(model.predict_proba(X)), model.score(X, y)]


def regressor(X: Any, y: Any) -> list[Any]:
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0).fit(X, y)
    return [bits(model.network_.w), model.loss_, bits(model.predict(X))]


class Expected:
    """The results of plain arrays, computed once."""

    def __init__(self) -> None:
        self._known: dict[Any, list[Any]] = {}

    def of(self, entry: Callable[..., list[Any]], *arrays: np.ndarray, **place: Any) -> list[Any]:
        key = (entry.__name__, *(a.dtype.str for a in arrays), *place.values())
        if key not in self._known:
            self._known[key] = entry(*arrays, **place)
        return self._known[key]


EXPECTED = Expected()


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
        yield


def untouched(come: Any, original: np.ndarray) -> bool:
    """Whether what came still holds the numbers that it held."""
    dense = come.toarray() if scipy.sparse.issparse(come) else come
    return np.array_equal(np.asarray(dense, original.dtype).reshape(original.shape), original)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def test_inputs_come_every_way_into_every_entry(tmp_path, way, dtype):
    given = X.astype(dtype)
    come = come_by(way, given, tmp_path)
    s = WEIGHTS.astype("float32")
    for name, entry in ENTRIES.items():
        assert entry(come, LABELS, s) == EXPECTED.of(entry, given, LABELS, s), name
    assert untouched(come, given)


@pytest.mark.parametrize("way", {**ARRAYS, **FRAMES})
def test_labels_and_weights_come_every_way(tmp_path, way):
    x, s = X.astype("float32"), WEIGHTS
    labels = come_by(way, LABELS, tmp_path)
    (tmp_path / "weights").mkdir()
    weights = come_by(way, s, tmp_path / "weights")
    for name, entry in ENTRIES.items():
        assert entry(x, labels, weights) == EXPECTED.of(entry, x, LABELS, s), name
    assert untouched(labels, LABELS)
    assert untouched(weights, s)


@pytest.mark.parametrize("way", WAYS)
def test_targets_come_every_way(tmp_path, way):
    def trained(y: Any) -> list[Any]:
        t = nn.Trainer(nn.MLP([WIDTH, 4, 1], output="identity", seed=1))
        losses = [bits(t.step(X, y)), t.evaluate(X, y), t.fit(X, y, 2, BATCH).loss]
        return [*losses, bits(t.network.w), nn.metrics.score(t.network, X, y, ["r2"])]

    come = come_by(way, TARGETS, tmp_path)
    assert trained(come) == trained(TARGETS)
    assert untouched(come, TARGETS)


@pytest.mark.parametrize("way", WAYS)
def test_estimators_take_every_way(tmp_path, way):
    come = come_by(way, X, tmp_path)
    assert classifier(come, LABELS) == EXPECTED.of(classifier, X, LABELS)
    assert regressor(come, TARGETS[:, 0]) == EXPECTED.of(regressor, X, TARGETS[:, 0])
    assert untouched(come, X)


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("way", [*WAYS, "own"])
def test_every_way_into_other_backends(tmp_path, way, backend):
    own, place = registry.get(backend), {"backend": backend}
    given = X.astype("float64")
    come = own.from_host(given, own.device(None)) if way == "own" else come_by(way, given, tmp_path)
    # JAX compiles the steps of every trainer anew, which takes seconds.
    trains = backend == "torch" or way in ("own", "Fortran order", "pandas, nullable", "csr_array")
    for entry in (predict, gradients, evaluate, *([fit, step] if trains else [])):
        plain = EXPECTED.of(entry, given, LABELS, WEIGHTS, **place)
        assert entry(come, LABELS, WEIGHTS, **place) == plain


def test_python_arrays_come_too():
    x, y, s = X[:, :1].astype("float32"), LABELS, WEIGHTS
    labels, weights = array.array("q", y.tolist()), array.array("d", s.tolist())
    net = nn.MLP([1, 3, 2])
    assert bits(net.loss(x, labels, sample_weight=weights)) == bits(net.loss(x, y, sample_weight=s))


# The path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_takes_the_c_core_s_path(tmp_path, monkeypatch, way, dtype):
    """Epochs are one call of the core, predictions are too: no step is taken op by op."""
    t = trainer()
    if not t.stepper.steps.takes_epochs:
        pytest.skip("the C core is not in use")
    monkeypatch.setattr(t.stepper.steps, "_functions", None)  # what would take steps op by op
    monkeypatch.setattr(t.stepper, "one_by_one", None)  # what would take them in turn
    monkeypatch.setattr(t.network, "_stages", None)
    come = come_by(way, X.astype(dtype), tmp_path)
    t.step(come, LABELS)
    t.fit(come, LABELS, 2, BATCH, sample_weight=WEIGHTS)
    t.evaluate(come, LABELS)
    t.network(come)


# Sources that are too large to be read as a whole


@pytest.mark.parametrize("way", ["npy, mapped in Fortran order", "part of a map", *SPARSE])
def test_large_sources_are_read_by_rows_with_the_same_bits(tmp_path, monkeypatch, way):
    monkeypatch.setattr(data_rows, "WHOLE", 0)
    given = X.astype("float32")
    come, s = come_by(way, given, tmp_path), WEIGHTS.astype("float32")
    for name, entry in ENTRIES.items():
        assert entry(come, LABELS, s) == EXPECTED.of(entry, given, LABELS, s), name


# Sparse arrays of other libraries


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_tensors_are_refused():
    torch = pytest.importorskip("torch")
    t = trainer(backend="torch")
    x, y = torch.tensor(X.astype("f4")), torch.tensor(LABELS)
    for sparse in (x.to_sparse(), x.to_sparse_csr()):
        for entry in (t.network, t.network.scores, lambda x: t.step(x, y), lambda x: t.fit(x, y)):
            with pytest.raises(
                ValueError, match=r"must be dense on torch, .*\.to_dense\(\)"
            ) as caught:
                entry(sparse)
            assert "SciPy's sparse" in str(caught.value)
    for entry in (t.network, lambda x: t.step(x, y), lambda x: t.fit(x, y)):
        with pytest.raises(ValueError, match=r"`(X|xb)` must be dense on torch, got a meta array"):
            entry(x.to("meta"))


def test_sparse_arrays_of_jax_are_refused():
    sparse = pytest.importorskip("jax.experimental.sparse")
    given = sparse.BCOO.fromdense(registry.get("jax").from_host(X, None))
    with pytest.raises(ValueError, match=r"must be dense, .* BCOO of jax\. Pass X\.todense\(\)"):
        trainer(backend="jax").network(given)
