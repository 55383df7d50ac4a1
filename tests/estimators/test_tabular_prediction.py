"""Predictions of the estimators for tables: one call of the C core, and the same bits without."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import nnpoly as nn
from nnpoly.backends import registry, threads
from nnpoly.backends.base import Backend
from nnpoly.backends.ensembles import Input
from nnpoly.backends.numpy import NumPy
from nnpoly.estimators import (
    RealMLPClassifier,
    RealMLPRegressor,
    TabMClassifier,
    TabMRegressor,
)
from nnpoly.estimators.tabular import prediction
from nnpoly.estimators.tabular.columns import columns
from nnpoly.estimators.tabular.encoding import CategoryColumn, ColumnEncoding

RNG = np.random.default_rng(0)
N = 150
SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (24, 24),
    "n_epochs": 3,
    "batch_size": 32,
    "random_state": 0,
}
has_core = pytest.mark.skipif(
    registry.get("numpy").prediction([nn.Dense(1, 1)], "float32") is None, reason="no C core"
)

TABM = SMALL | {"n_members": 5}


def table(n: int = N) -> dict[str, Any]:
    """Return columns of every kind of input: scaled numbers, indicators, codes, and tables."""
    size = RNG.normal(size=n)
    size[::9] = np.nan
    return {
        "size": size,
        "constant": np.ones(n),
        "flag": RNG.integers(0, 2, n).astype(bool),
        "kind": RNG.choice(["a", "b", "c"], n).astype(object),
        "alone": np.array(["only", None], object)[(RNG.random(n) < 0.2).astype(int)],
        "city": np.array([f"c{i}" for i in range(15)])[RNG.integers(0, 15, n)].astype(object),
    }


TRAINED = pd.DataFrame(table())
CLASSES = np.digitize(RNG.normal(size=N), [-0.5, 0.5])
MANY_CLASSES = np.arange(N) % 12  # more than NumPy adds up one by one
REALS = RNG.normal(size=N)
SIGNS = (REALS > 0).astype(int)


@pytest.fixture
def op_by_op(monkeypatch):
    """Return a function that predicts without the C core's one call."""

    def predict(model: Any, X: Any) -> np.ndarray:
        with monkeypatch.context() as patch:
            patch.setattr(NumPy, "ensemble_prediction", Backend.ensemble_prediction)
            return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)

    return predict


@pytest.fixture
def in_one_call(monkeypatch):
    """Return a function that predicts by the C core's one call, which must have been made."""

    def predict(model: Any, X: Any) -> np.ndarray:
        with monkeypatch.context() as patch:
            patch.setattr(prediction, "predictions", None)
            return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)

    return predict


@pytest.fixture(autouse=True)
def _threads():
    yield
    nn.set_num_threads(threads.default())


def extremes() -> pd.DataFrame:
    frame = pd.DataFrame(table(12))
    frame["size"] = [1e300, -1e300, 5e-324, -1e-310, 0.0, -0.0, np.nan, 1e30, 3e38, 1e-45, 1.0, 7.0]
    return frame


MODELS: dict[str, Any] = {
    "TD": lambda: RealMLPClassifier(**SMALL).fit(TRAINED, CLASSES),
    "TD-S": lambda: RealMLPClassifier("TD-S", **SMALL).fit(TRAINED, CLASSES),
    "two classes": lambda: RealMLPClassifier(n_ens=3, **SMALL).fit(TRAINED, SIGNS),
    "many classes": lambda: RealMLPClassifier(n_cv=3, **SMALL).fit(TRAINED, MANY_CLASSES),
    "float64": lambda: RealMLPClassifier(n_ens=2, dtype="float64", **SMALL).fit(TRAINED, CLASSES),
    "regression": lambda: RealMLPRegressor(n_ens=2, **SMALL).fit(TRAINED, REALS),
    "without a range": lambda: RealMLPRegressor("TD-S", **SMALL).fit(
        TRAINED, np.stack([REALS, REALS**2], axis=1)
    ),
    "TabM": lambda: TabMClassifier(n_ens=2, **TABM).fit(TRAINED, CLASSES),
    "TabM-mini": lambda: TabMClassifier("tabm-mini", **TABM).fit(TRAINED, MANY_CLASSES),
    "TabM regression": lambda: TabMRegressor(**TABM).fit(TRAINED, REALS),
    "bf16": lambda: RealMLPClassifier(precision="bf16", **SMALL).fit(TRAINED, CLASSES),
}


@has_core
@pytest.mark.parametrize("name", MODELS)
def test_one_call_has_the_bits_of_the_definition(name, op_by_op, in_one_call):
    model = MODELS[name]()
    frames = [pd.DataFrame(table(n)) for n in (1, 2, 63, 65, 127, 700)]
    for frame in [*frames, extremes()]:
        want = op_by_op(model, frame)
        for count in (1, 2, 3):
            nn.set_num_threads(count)
            found = in_one_call(model, frame)
            assert found.dtype == np.float64
            assert found.tobytes() == want.tobytes()


@has_core
def test_few_rows_of_wide_networks_share_their_products(op_by_op, in_one_call):
    options = SMALL | {"hidden_layer_sizes": (1200, 800), "n_epochs": 1}
    model = RealMLPClassifier(n_ens=2, **options).fit(TRAINED, CLASSES)
    for n in (1, 40, 127):
        frame = pd.DataFrame(table(n))
        nn.set_num_threads(3)
        assert in_one_call(model, frame).tobytes() == op_by_op(model, frame).tobytes()


@has_core
def test_embeddings_by_pieces_have_the_same_bits(op_by_op, in_one_call):
    model = TabMClassifier(num_embeddings="piecewise", n_bins=6, d_embedding=4, **TABM)
    model.fit(TRAINED, CLASSES)
    for n in (1, 130):
        frame = pd.DataFrame(table(n))
        assert in_one_call(model, frame).tobytes() == op_by_op(model, frame).tobytes()


def test_many_rows_are_taken_in_blocks_of_bounded_size(monkeypatch):
    model, frame = MODELS["TD"](), pd.DataFrame(table(700))
    want, seen = model.predict_proba(frame), []
    cells = ColumnEncoding.cells

    def watched(self: Any, where: str, columns: Any) -> Any:
        seen.append(len(columns[0].cells))
        return cells(self, where, columns)

    monkeypatch.setattr(ColumnEncoding, "cells", watched)
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 100)
    for given in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        assert model.predict_proba(given).tobytes() == want.tobytes()
    assert seen == [100] * 7 * 3
    frame.loc[345, "size"] = np.inf
    with pytest.raises(ValueError, match=r"X\['size'\]` must have no infinity, got inf in row 345"):
        model.predict(frame)


def test_what_c_cannot_take_goes_through_the_definition():
    model, frame = MODELS["two classes"](), pd.DataFrame(table(50))
    want = model.predict_proba(frame)
    first, *others = model.networks_
    w = np.empty(first.w.nbytes + 1, np.uint8)[1:].view("f4")  # misaligned
    w[:] = first.w
    first.adopt(w, first.buffers)
    np.testing.assert_allclose(model.predict_proba(frame), want, rtol=1e-5)
    one = RealMLPClassifier(**SMALL | {"hidden_layer_sizes": (7,)}).fit(TRAINED, SIGNS)
    model.networks_ = [*others, *one.networks_]  # of other layers
    assert model.predict_proba(frame).shape == (50, 2)


def test_networks_that_are_exchanged_or_changed_are_those_that_predict():
    model, frame = MODELS["two classes"](), pd.DataFrame(table(20))
    every = [model.predict_proba(frame)]
    alone = []
    networks = model.networks_
    for net in networks:
        model.networks_ = [net]
        alone.append(model.predict_proba(frame))
    np.testing.assert_array_equal(sum(alone) / 3, every[0])
    networks[2].w = np.zeros_like(networks[2].w)
    np.testing.assert_array_equal(model.predict_proba(frame), 0.5)
    assert pickle.loads(pickle.dumps(model)).predict_proba(frame).tolist() == [[0.5, 0.5]] * 20


@has_core
def test_threads_may_predict_at_once():
    model, frame = MODELS["TD"](), pd.DataFrame(table(400))
    want = model.predict_proba(frame)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict_proba(frame), range(16)))
    assert all(f.tobytes() == want.tobytes() for f in found)


def test_an_interrupt_ends_a_long_prediction(monkeypatch):
    model, calls = MODELS["TD"](), []
    cells = ColumnEncoding.cells

    def interrupted(self: Any, where: str, columns: Any) -> Any:
        calls.append(time.monotonic())
        if len(calls) == 3:
            raise KeyboardInterrupt
        return cells(self, where, columns)

    monkeypatch.setattr(ColumnEncoding, "cells", interrupted)
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 100)
    with pytest.raises(KeyboardInterrupt):
        model.predict(pd.DataFrame(table(700)))
    assert len(calls) == 3


# Cells as categories


def texts(given: Any) -> list[str | None]:
    """Return the only column's texts, cell by cell."""
    estimator = RealMLPClassifier()
    (column,) = columns(estimator, "test", given, first=True)
    assert column.kind("test") == "category"
    places, keys = column.texts()
    return [keys[place] for place in places.tolist()]


MIXED = ["a", None, 1, 1.0, True, "1", 2.5, Decimal("1.0"), float("nan"), pd.NA, "a"]
KEYS = ["a", None, "1", "1", "True", "1", "2.5", "1.0", None, None, "a"]
WORDS = ["b", None, "a", "b", "c", None, "a"]
CHUNKS = [pa.array(["x", "y", None]).dictionary_encode(), pa.array(["y", "z"]).dictionary_encode()]
TWICE = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), pa.array(["a", "b", "a"]))
CELLS: dict[str, tuple[Any, list[str | None]]] = {
    "objects": (np.array(MIXED, object)[:, None], KEYS),
    "texts": (np.array(["b", "a", "b"])[:, None], ["b", "a", "b"]),
    "pandas' objects": (pd.DataFrame({"x": pd.Series(MIXED, dtype=object)}), KEYS),
    "pandas' texts": (pd.DataFrame({"x": pd.Series(WORDS)}), WORDS),
    "pandas' strings": (pd.DataFrame({"x": pd.Series(WORDS, dtype="string")}), WORDS),
    "pandas' categories": (
        pd.DataFrame({"x": pd.Categorical(WORDS, ["unused", "c", "b", "a"])}),
        WORDS,
    ),
    "pandas' categories of numbers": (
        pd.DataFrame({"x": pd.Categorical([1.0, 2.5, None, 1.0])}),
        ["1", "2.5", None, "1"],
    ),
    "pandas' booleans": (
        pd.DataFrame({"x": pd.Series([True, None, False], dtype="boolean")}),
        ["True", None, "False"],
    ),
    "polars' texts": (pl.DataFrame({"x": WORDS}), WORDS),
    "polars' categories": (pl.DataFrame({"x": pl.Series(WORDS, dtype=pl.Categorical)}), WORDS),
    "polars' enumeration": (
        pl.DataFrame({"x": pl.Series(WORDS, dtype=pl.Enum(["unused", "a", "b", "c"]))}),
        WORDS,
    ),
    "polars' booleans": (pl.DataFrame({"x": [True, None, False]}), ["True", None, "False"]),
    "arrow's texts": (pa.table({"x": WORDS}), WORDS),
    "arrow's batch": (pa.record_batch({"x": WORDS}), WORDS),
    "arrow's chunks": (pa.table({"x": pa.chunked_array(CHUNKS)}), ["x", "y", None, "y", "z"]),
    "arrow's equal values": (pa.table({"x": TWICE}), ["a", "b", None, "a"]),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_numbered_as_their_texts_say(name):
    given, wanted = CELLS[name]
    assert texts(given) == wanted


def test_numbers_may_come_as_categories_and_as_types_of_pandas():
    model = RealMLPRegressor("TD-S", **SMALL).fit(pd.DataFrame({"x": REALS.round(1)}), REALS)
    x = [0.5, None, -1.5, 0.5]
    want = model.predict(pd.DataFrame({"x": x}))
    for dtype in ("category", "Float64", "object"):
        np.testing.assert_array_equal(model.predict(pd.DataFrame({"x": x}, dtype=dtype)), want)
    unused = pd.DataFrame({"x": pd.Categorical(x, [-1.5, 0.5, "none"])})
    np.testing.assert_array_equal(model.predict(unused), want)
    with pytest.raises(ValueError, match=r"`X\['x'\]` must hold numbers.*got 'none'"):
        model.predict(pd.DataFrame({"x": pd.Categorical([*x, "none"])}))


def test_many_categories_cost_little_in_few_rows():
    values = [f"v{i}" for i in range(2000)]
    frame = pd.DataFrame({"x": pd.Categorical(values)})
    model = RealMLPClassifier(categorical_features=["x"], **SMALL).fit(frame, np.arange(2000) % 2)
    (column,) = columns(model, "test", frame[7:9])
    places, keys = column.texts()
    assert [keys[i] for i in places] == ["v7", "v8"]
    assert len(keys) == 2


def test_inputs_are_what_their_kinds_say():
    categories = (
        CategoryColumn(1, ("a", "b"), False),
        CategoryColumn(2, ("a",), False),
        CategoryColumn(3, ("a", "b", "c"), False),
        CategoryColumn(4, ("a", "b"), True),
    )
    encoding = ColumnEncoding((0,), (0,), categories, (1.0,) * 7, (2.0,) * 7)
    scales = {"smooth": True, "center": 1.0, "factor": 2.0}
    assert encoding.inputs == (
        Input("number", 0, **scales),
        Input("missing", 0, **scales),
        Input("number", 1, **scales),
        Input("number", 2, **scales),
        *(Input("value", 3, value=code, **scales) for code in (1.0, 2.0, 3.0)),
        Input("cell", 4),
    )
    rows = [[1.5, "b", "a", "c", "b"], [None, None, "new", None, None]]
    found = columns(RealMLPClassifier(), "test", np.array(rows, object), first=True)
    np.testing.assert_array_equal(
        encoding.cells("test", found), [[1.5, -1, 1, 3, 2], [np.nan, 0, -1, 0, 0]]
    )
    clip = lambda z: z / np.sqrt(1 + (z / 3) ** 2)  # noqa: E731
    want = [[1, -2, -4, 0, -2, -2, 0, 2], [0, 0, -2, -4, -2, -2, -2, 0]]
    np.testing.assert_allclose(
        encoding.encode("test", found)[:, :7], clip(np.array(want, float)[:, :7]), rtol=1e-15
    )
    assert encoding.encode("test", found)[:, 7].tolist() == [2.0, 0.0]
