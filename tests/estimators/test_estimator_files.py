"""Estimators in files: what comes back, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import nnpoly as nn
from nnpoly.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
LABELS = {
    "numbers": Y + 5,
    "texts": np.array(["a", "b", "c"])[Y],
    "objects": np.array(["a", "b", "c"], object)[Y],
    "booleans": Y == 1,
    "floats": 2.0 * Y,
    "several": np.stack([Y == 0, Y != 2], axis=1).astype(int),
}


@pytest.mark.parametrize("labels", LABELS)
def test_what_was_saved_comes_back(labels, tmp_path):
    options = {"hidden_layer_sizes": (9, 4), "dropout": 0.1, "solver": nn.AdamW(0.01)}
    model = MLPClassifier(**options, max_iter=6, random_state=2).fit(X, LABELS[labels])
    model.save(tmp_path / "m")
    again = MLPClassifier.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    predicted = again.predict(X)
    assert np.array_equal(predicted, model.predict(X))
    assert predicted.dtype == model.predict(X).dtype
    for name in ("n_iter_", "t_", "loss_curve_", "n_layers_", "out_activation_", "n_features_in_"):
        assert getattr(again, name) == getattr(model, name)


def test_training_goes_on_from_a_file(tmp_path):
    options = {"tol": 0.0, "random_state": 0, "batch_size": 32, "warm_start": True}
    model = MLPRegressor(max_iter=3, **options).fit(X[:, :3], X[:, 3])
    model.save(tmp_path / "m")
    again = MLPRegressor.load(tmp_path / "m")
    for each in (model, again):
        each.fit(X[:, :3], X[:, 3])
    assert again.loss_curve_ == model.loss_curve_
    assert all(map(np.array_equal, again.coefs_, model.coefs_))


def test_frames_and_weights_of_classes(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = MLPClassifier(class_weight={0: 1.0, 1: 2.0, 2: 0.5}, max_iter=2).fit(frame, Y)
    model.save(tmp_path / "m")
    again = MLPClassifier.load(tmp_path / "m", backend="torch")
    assert again.network_.backend == "torch"
    assert again.class_weight == model.class_weight
    assert again.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_allclose(again.predict_proba(frame), model.predict_proba(frame), atol=1e-12)


def test_the_wrong_file_is_refused(tmp_path):
    MLPRegressor(max_iter=1).fit(X, Y).save(tmp_path / "r")
    nn.MLP([4, 3]).save(tmp_path / "n")
    MLPRegressor(max_iter=1).fit(X, Y).trainer_.save(tmp_path / "t")
    came = {
        "r": "a 'MLPRegressor'. Use the `load` of that class",
        "n": "a network. Use nn.load",
        "t": "a trainer. Use nn.Trainer.load",
    }
    for name, text in came.items():
        with pytest.raises(ValueError, match=f"must hold a MLPClassifier, got {text}"):
            MLPClassifier.load(tmp_path / name)


def test_what_cannot_be_written_is_named(tmp_path):
    def attempt(model: Any) -> None:
        model.save(tmp_path / "m")

    with pytest.raises(NotFittedError):
        attempt(MLPClassifier())
    with pytest.raises(TypeError, match="`random_state` must be a number, a text"):
        attempt(MLPClassifier(random_state=np.random.RandomState(0), max_iter=1).fit(X, Y))
    assert not list(tmp_path.iterdir())
