"""Estimators of data on a device that NumPy cannot read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from nnpoly.backends import registry
from nnpoly.estimators import MLPClassifier, MLPRegressor

X, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype("float32")
WEIGHTS = np.arange(len(X)) % 3 / 2.0
TARGETS = {"classes": CLASSES, "labels": np.eye(3, dtype=int)[CLASSES], "numbers": X[:, :2]}
OPTIONS: dict[str, Any] = {"max_iter": 4, "random_state": 0, "early_stopping": True}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def on_device(array: np.ndarray) -> Any:
    backend = registry.get("strict")
    return backend.from_host(array, backend.device("device1"))


def weights_of(model: Any) -> bytes:
    return registry.to_host(model.network_.w).tobytes()


@pytest.mark.parametrize("kind", TARGETS)
def test_data_on_a_device_are_those_on_the_host(kind):
    y, made = TARGETS[kind], MLPRegressor if kind == "numbers" else MLPClassifier
    plain = made(**OPTIONS, backend="strict", device="device1")
    plain.fit(X, y, WEIGHTS, X_val=X, y_val=y, sample_weight_val=WEIGHTS)
    there, labels, weights = map(on_device, (X, y, WEIGHTS))
    model = made(**OPTIONS)
    model.fit(there, labels, weights, X_val=there, y_val=labels, sample_weight_val=weights)
    assert weights_of(model) == weights_of(plain)
    assert model.validation_scores_ == plain.validation_scores_
    assert model.score(there, labels, weights) == plain.score(X, y, WEIGHTS)
    assert model.score(there, y) == model.score(X, labels) == plain.score(X, y)
    assert np.array_equal(registry.to_host(model.predict(there)), plain.predict(X))


@pytest.mark.parametrize("backend", [None, "strict"])
def test_data_of_another_device_are_brought_to_the_named_one(backend):
    model = MLPClassifier(**OPTIONS, backend=backend, device="device2")
    model.fit(on_device(X), on_device(CLASSES))
    assert model.network_.place.device == registry.get("strict").device("device2")
    plain = MLPClassifier(**OPTIONS, backend="strict").fit(X, CLASSES)
    assert weights_of(model) == weights_of(plain)


def test_lbfgs_brings_data_to_the_device_once(monkeypatch):
    kind, sizes = type(registry.get("strict")), []
    enter = kind.from_host
    monkeypatch.setattr(kind, "from_host", lambda b, a, d: sizes.append(a.size) or enter(b, a, d))
    MLPClassifier((5,), solver="lbfgs", max_iter=5, random_state=0, backend="strict").fit(
        X, CLASSES
    )
    assert sizes.count(X.size) == 1
