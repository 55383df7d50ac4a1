"""What a model computes is described as the model computes it, whatever its kind."""

from __future__ import annotations

from typing import Any

import numpy as np
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
from nnpoly.exchange.described import Described, Numbers, Probabilities
from nnpoly.exchange.describing import describe_model

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
K3 = RNG.integers(0, 3, N)
COUNTS = [f"c{i}" for i in range(12)]
FRAME = pl.DataFrame(
    {
        "left out": [f"name {i}" for i in range(N)],
        "size": [None if i % 7 == 0 else float(x) for i, x in enumerate(X[:, 0])],
        "kind": RNG.choice(["x", "y", "z", None], N).tolist(),
        "pair": RNG.choice(["p", "q"], N).tolist(),
        "many": (COUNTS + RNG.choice(COUNTS, N - 12).tolist()),
        "age": RNG.exponential(size=N),
    }
)


def columns(found: Described, frame: pl.DataFrame) -> list[Any]:
    """The columns of a frame as a `Described` takes them."""
    return [
        frame[name].to_list() if kind == "text" else frame[name].to_numpy().astype(float)
        for name, kind in found.columns
    ]


def agrees(found: Described, given: list[Any], prediction: Any, tolerance: float = 5e-6) -> None:
    prediction = np.asarray(prediction, float)
    prediction = prediction[:, None] if prediction.ndim == 1 else prediction
    unit = max(1.0, np.abs(prediction).max())
    assert np.abs(found.evaluate(given) - prediction).max() < tolerance * unit


def trainer(seed: int) -> nn.Trainer:
    return nn.Trainer(nn.MLP([4, 8, 3], seed=seed), nn.Adam(1e-3))


@pytest.mark.parametrize(
    "model",
    [nn.MLP([4, 8, 3]), trainer(1), nn.Ensemble([trainer(0), trainer(1), trainer(2)])],
    ids=lambda model: type(model).__name__,
)
def test_networks_read_x_itself(model: Any) -> None:
    found, x = describe_model(model), X.astype("float32")
    call = model.network if isinstance(model, nn.Trainer) else model
    agrees(found, list(x.T), call(x), 1e-6)
    assert (found.plain, found.matrix, found.result) == (True, True, Numbers(3))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("y", "result"),
    [
        (K3, Probabilities((0, 1, 2))),
        (np.array(["no", "yes"])[K3 % 2], Probabilities(("no", "yes"), single=True)),
        ((X[:, :3] > 0).astype(int), Probabilities((0, 1, 2), several=True)),
    ],
)
def test_classifiers_of_arrays(y: Any, result: Probabilities) -> None:
    model = MLPClassifier(max_iter=2, random_state=0).fit(X, y)
    found = describe_model(model)
    agrees(found, list(X.T), model.predict_proba(X), 1e-12)
    assert found.result == result


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_regressors_of_arrays() -> None:
    model = MLPRegressor(max_iter=2, random_state=0)
    found = describe_model(model.fit(X, X[:, 0]))
    agrees(found, list(X.T), model.predict(X), 1e-12)
    assert found.result == Numbers(1, flat=True)


SMALL: dict[str, Any] = {"n_epochs": 2, "hidden_layer_sizes": (8,), "random_state": 0}
TABM = {**SMALL, "n_members": 3, "n_bins": 5}


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
def test_estimators_of_frames(model: Any, y: Any) -> None:
    found = describe_model(model.fit(FRAME, y))
    unseen = FRAME.with_columns(kind=pl.lit("never seen"), age=pl.lit(None, pl.Float64))
    assert [name for name, _ in found.columns] == FRAME.columns[1:]
    for frame in (FRAME, unseen):
        classes = isinstance(found.result, Probabilities)
        prediction = model.predict_proba(frame) if classes else model.predict(frame)
        agrees(found, columns(found, frame), prediction)


def test_a_matrix_of_numbers_stays_one() -> None:
    model = RealMLPRegressor(**SMALL).fit(X, X[:, 0])
    found = describe_model(model)
    assert (found.matrix, len(found.columns)) == (True, 4)
    agrees(found, list(X.T), model.predict(X))


@pytest.mark.parametrize("kind", ["mlp", "realmlp"])
@pytest.mark.parametrize("target", ["class", "number"])
def test_models_of_tables(kind: str, target: str) -> None:
    y = pl.Series(target, np.array(["u", "v", "w"])[K3] if target == "class" else 9 * X[:, 1] + 3)
    frame = FRAME.drop("left out").with_columns(y)
    fitted = tables.fit(frame, target, model=kind, epochs=2)
    found = describe_model(fitted.model)
    prediction = fitted.model.predict(frame)
    values = prediction.values if target == "number" else prediction.probabilities
    agrees(found, columns(found, frame), values, 2e-5)


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match=r"to_c: `model` must be an nn\.Network, Trainer"):
        describe_model(3, "to_c")
    with pytest.raises(ValueError, match=r"to_c: `model` must be fitted, got MLPClassifier\(\)"):
        describe_model(MLPClassifier(), "to_c")
