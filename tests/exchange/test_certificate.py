"""A certificate goes through JSON whole, tells labels apart, and refuses what is none."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest

import nnpoly as nn
from nnpoly.estimators import MLPClassifier, RealMLPClassifier
from nnpoly.exchange.certificate import Certificate, typical
from nnpoly.exchange.describing import describe_model


def classifier(labels: Any) -> RealMLPClassifier:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=60), "kind": rng.choice(["a", "b", ""], 60)})
    frame = frame.with_columns(pl.when(pl.int_range(60) % 7 > 0).then("x").alias("x"))
    model = RealMLPClassifier(n_epochs=1, hidden_layer_sizes=(4,), random_state=0)
    return model.fit(frame, np.array(labels)[np.arange(60) % len(labels)])


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 5, 9], [1.0, 2.0], [False, True]])
def test_json_loses_nothing(labels: list[Any]) -> None:
    made = Certificate.of(describe_model(classifier(labels)))
    read = Certificate.from_json("f", made.to_json())
    assert made.labels == read.labels == tuple(labels)
    assert [type(label) for label in read.labels] == [type(label) for label in labels]
    assert (read.outputs == made.outputs).all()
    assert (read.bounds == made.bounds).all()
    assert read.columns == made.columns
    assert repr(read.inputs) == repr(made.inputs)
    assert math.isnan(read.inputs[0][len(read.inputs[0]) // 2])


def test_rows_are_float32_s_and_cover_what_is_missing_and_unknown() -> None:
    found = describe_model(classifier(["no", "yes"]))
    numbers, texts = typical(found)
    assert (numbers.astype("float32") == numbers)[~np.isnan(numbers)].all()
    assert np.isnan(numbers).any()
    assert {"a", "b", ""} < set(texts)
    categories = nn.Network([nn.Embedding(3, [4, 9]), nn.Dense(17, 1)])
    x = np.stack(typical(describe_model(categories)), axis=1)
    assert set(x[:, 1]) == set(range(4))
    scaled = nn.Network([nn.BatchNorm(2), nn.Dense(2, 1)])
    scaled.buffers = [{"mean": np.array([1e6, -5.0]), "variance": np.array([4e8, 1e-4])}, {}]
    x = np.stack(typical(describe_model(scaled), 1000), axis=1)
    np.testing.assert_allclose(np.median(x, axis=0), [1e6, -5.0], rtol=0.01)


def test_a_label_is_wrong_where_the_bounds_tell_classes_apart() -> None:
    base = Certificate.of(describe_model(classifier(["no", "yes"])))
    rows = {"outputs": np.array([[0.5, 0.5], [0.9, 0.1]]), "bounds": np.full((2, 2), 1e-6)}
    made = Certificate(**{**vars(base), **rows})
    assert made.wrong_labels(["yes", "no"]) == []
    assert made.wrong_labels(["no", "yes"]) == [1]
    assert made.wrong_labels(["no", "other"]) == [1]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_several_labels() -> None:
    X = np.random.default_rng(0).normal(size=(50, 3))
    model = MLPClassifier(max_iter=2, random_state=0).fit(X, (X > 0).astype(int))
    made = Certificate.of(describe_model(model))
    assert made.several
    labels = model.predict(made.x)
    assert made.wrong_labels(labels) == []
    assert made.wrong_labels(1 - labels) == list(range(len(labels)))


def test_outputs_of_another_shape_and_nan() -> None:
    net = nn.MLP([2, 3, 2])
    made = Certificate.of(describe_model(net))
    with pytest.raises(ValueError, match=r"`outputs` must have shape \(32, 2\), got \(32, 1\)"):
        made.units(made.outputs[:, :1])
    assert made.units(made.outputs * math.nan) == math.inf
    net.w = net.w * math.nan
    with pytest.raises(ValueError, match="must give finite numbers for some rows"):
        Certificate.of(describe_model(net))


class Own(nn.layers.Layer):
    """A layer of a user's."""

    def forward(self, ops: Any, params: Any, buffers: Any, x: Any, mode: Any) -> Any:
        return nn.layers.Stage(x, x, x, self.activation)


def test_layers_of_users_have_no_bound() -> None:
    with pytest.raises(ValueError, match="the layers must be nnpoly's own, got Own"):
        Certificate.of(describe_model(nn.Network([nn.Dense(2, 2), Own()])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "format 9, not 1"),
        ({"outputs": [[1.0]]}, "do not fit each other"),
        ({"outputs": [[1.0], [1.0, 2.0]]}, "inhomogeneous"),
        ({"columns": [["X_0"], ["X_1", "number"]]}, "no name and kind"),
        ({"columns": [["X_0", "text"], ["X_1", "number"]]}, "in a column of texts"),
        ({"columns": [["X_0", "number"]]}, "not inputs for each column"),
        ({"labels": ["a", "b", "c"]}, "do not fit each other"),
        ({"dtype": "float8"}, "no float type"),
        ({"outputs": "none"}, "Expected `array`"),
        ({"bounds": None}, "Expected `array`"),
    ],
)
def test_other_json_is_refused(change: dict[str, Any], message: str) -> None:
    made = json.loads(Certificate.of(describe_model(nn.MLP([2, 3, 2]))).to_json())
    with pytest.raises(ValueError, match=message) as error:
        Certificate.from_json("model.onnx", json.dumps({**made, **change}))
    assert "model.onnx" in str(error.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, b"\xff\xfe\x00", '{"format": 1}'])
def test_other_text_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"model\.onnx"):
        Certificate.from_json("model.onnx", text)
