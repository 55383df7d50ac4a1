"""Estimators and models of tables as ONNX: cells go in, labels and numbers come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest

import nnpoly as nn
from nnpoly import tables
from nnpoly.estimators import (
    MLPClassifier,
    MLPRegressor,
    RealMLPClassifier,
    RealMLPRegressor,
    TabMClassifier,
    TabMRegressor,
)
from nnpoly.exchange.bounds import outputs_and_bounds
from nnpoly.exchange.certificate import largest_units
from nnpoly.exchange.describing import describe_model
from nnpoly.exchange.onnx_writing import onnx_model, to_onnx

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
K3 = RNG.integers(0, 3, N)
COUNTS = [f"c{i}" for i in range(12)]
FRAME = pl.DataFrame(
    {
        "size": [None if i % 7 == 0 else 3e3 + float(x) for i, x in enumerate(X[:, 0])],
        "kind": RNG.choice(["x", "y", "é, z", None], N).tolist(),
        "pair": RNG.choice(["p", "q"], N).tolist(),
        "many": (COUNTS + RNG.choice(COUNTS, N - 12).tolist()),
        "age": RNG.exponential(size=N),
        "prediction": X[:, 3],  # an output's own name
    }
)
UNSEEN = FRAME.with_columns(
    kind=pl.lit("never seen"),
    age=pl.lit(None, pl.Float64),
    size=pl.Series([1e300, -1e300] * (N // 2)),
)
SMALL: dict[str, Any] = {"n_epochs": 2, "hidden_layer_sizes": (8,), "random_state": 0}
TABM = {**SMALL, "n_members": 3, "n_bins": 5}


def columns_of(model: Any, frame: pl.DataFrame) -> dict[str, Any]:
    """The columns that a model reads, as its graph takes them."""
    return {
        name: frame[name].fill_null("").to_numpy().astype(object)
        if kind == "text"
        else frame[name].to_numpy().astype(float)
        for name, kind in describe_model(model).columns
    }


def computed(model: Any, feed: dict[str, Any], path: Path, **options: Any) -> list[Any]:
    """The outputs of a file, which are within their bounds."""
    to_onnx(model, path, **options)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feed)
    described = describe_model(model)
    given = [*feed["X"].T.astype(float)] if described.matrix else [*feed.values()]
    dtype = options.get("dtype") or described.dtype
    wanted, bounds = outputs_and_bounds(described, dtype, given)
    assert largest_units(outputs[-1].reshape(wanted.shape), wanted, bounds) <= 1.0
    for n in (0, 1):
        some = session.run(None, {name: values[:n] for name, values in feed.items()})
        assert [a.shape for a in some] == [a[:n].shape for a in outputs]
    return outputs


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (K3, "int64"),
        (K3 * 2.0, "float64"),
        (K3 > 0, "bool"),
        (np.array(["no", "yes"])[K3 % 2], "object"),
        (np.array(["é", "u", ""])[K3], "object"),
        ((X[:, :3] > 0).astype(int), "int64"),
    ],
    ids=lambda value: getattr(getattr(value, "dtype", None), "name", value),
)
def test_classes_come_as_labels_and_probabilities(y: Any, kind: str, tmp_path: Path) -> None:
    model = MLPClassifier(max_iter=2, random_state=0).fit(X, y)
    label, probabilities = computed(model, {"X": X}, tmp_path / "a.onnx")
    assert label.dtype == kind
    assert np.array_equal(label, model.predict(X))
    assert np.allclose(probabilities, model.predict_proba(X), rtol=1e-12)


def test_the_first_of_equal_classes_is_the_label(tmp_path: Path) -> None:
    for labels, widths in ((["b", "c", "a"], [2, 3]), (["b", "a"], [2, 1])):
        net = nn.MLP(widths, output="softmax" if widths[1] > 1 else "sigmoid")
        net.w = np.zeros(net.w.shape)
        model = MLPClassifier.from_network(net, classes=labels)
        label, _ = computed(model, {"X": np.zeros((2, 2), "float32")}, tmp_path / "a.onnx")
        assert label.tolist() == model.predict(np.zeros((2, 2), "float32")).tolist()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("width", [None, 2])
def test_numbers_are_shaped_as_the_models(loss: str, width: int | None, tmp_path: Path) -> None:
    y = np.abs(X[:, 0] if width is None else X[:, :width])
    model = MLPRegressor(loss, max_iter=2, random_state=0).fit(X, y)
    (prediction,) = computed(model, {"X": X}, tmp_path / "a.onnx")
    assert prediction.shape == y.shape
    assert np.allclose(prediction, model.predict(X), rtol=1e-12)


def test_an_ensemble_is_one_graph(tmp_path: Path) -> None:
    trainers = [nn.Trainer(nn.MLP([4, 8, 3], seed=seed), nn.Adam(1e-3)) for seed in range(3)]
    model, x = nn.Ensemble(trainers), X.astype("float32")
    (prediction,) = computed(model, {"X": x}, tmp_path / "a.onnx")
    assert np.allclose(prediction, model(x), atol=1e-6)
    made = onnx_model(describe_model(model), "to_onnx")
    assert "networks.2.layers.1.W" in {given.name for given in made.graph.initializer}


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (RealMLPClassifier(**SMALL, n_ens=2), K3),
        (RealMLPRegressor(**SMALL), X[:, :2]),
        (TabMClassifier(**TABM, num_embeddings="piecewise"), K3.astype(str)),
        (TabMRegressor(**TABM), 10 * X[:, 0]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:.*has a text of its own")
def test_estimators_read_columns(model: Any, y: Any, tmp_path: Path) -> None:
    model.fit(FRAME, y)
    for frame in (FRAME, UNSEEN):
        found = computed(model, columns_of(model, frame), tmp_path / "a.onnx")
        if hasattr(model, "classes_"):
            assert np.array_equal(found[0], model.predict(frame))
            assert np.allclose(found[1], model.predict_proba(frame), atol=1e-5)
        else:
            assert found[0].shape == np.shape(y)
            assert np.allclose(found[0], model.predict(frame), rtol=1e-4, atol=1e-4)


def test_a_matrix_stays_one(tmp_path: Path) -> None:
    x = np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)
    for model in (RealMLPRegressor(**SMALL), TabMRegressor(**TABM)):
        model.fit(x, X[:, 0])
        (prediction,) = computed(model, {"X": x}, tmp_path / "a.onnx")
        assert np.allclose(prediction, model.predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["class", "number"])
def test_a_tables_model_reads_cells(target: str, dtype: str, tmp_path: Path) -> None:
    y = pl.Series(target, np.array(["u", "v", "w"])[K3] if target == "class" else 9 * X[:, 1] + 3)
    model = tables.fit(FRAME.with_columns(y), target, epochs=2).model
    for frame in (FRAME, UNSEEN.with_columns(FRAME["age"])):
        feed = columns_of(model, frame)
        found = computed(model, feed, tmp_path / "a.onnx", dtype=dtype)
        prediction = model.predict(frame, unknown="ignore")
        if target == "class":
            assert np.allclose(found[1], prediction.probabilities, atol=1e-5)
            assert found[0].tolist() == list(prediction.values)
        else:
            assert np.allclose(found[0], prediction.values, atol=2e-4)


def test_an_output_makes_way_for_a_column(tmp_path: Path) -> None:
    model = RealMLPRegressor(**SMALL).fit(FRAME.select("prediction", "age"), X[:, 0])
    to_onnx(model, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["prediction", "age"]
    assert [made.name for made in session.get_outputs()] == ["prediction_"]


def test_numbers_that_float32_has_not_are_kept(tmp_path: Path) -> None:
    # Of 1e9 + 0, 1, 2, ... float32 knows every 64th.
    x = 1e9 + np.arange(64.0)[:, None]
    model = RealMLPRegressor(**SMALL).fit(x, x[:, 0] - 1e9)
    (prediction,) = computed(model, {"X": x}, tmp_path / "a.onnx")
    assert len(np.unique(prediction)) > 32
    assert np.allclose(prediction, model.predict(x), rtol=1e-4, atol=1e-4)
