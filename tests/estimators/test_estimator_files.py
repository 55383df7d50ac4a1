"""Estimators in files: what comes back, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import nnpoly as nn
from nnpoly.data import container
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


REPORTED = (
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "n_iter_",
    "t_",
)
FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "early stopping": {"early_stopping": True},
    "X_val": {"X_val": True},
    "lbfgs": {"solver": "lbfgs"},
    "lbfgs with X_val": {"solver": "lbfgs", "X_val": True},
}


@pytest.mark.parametrize("way", FITS)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_what_a_fit_reports_comes_back(kind, way, tmp_path):
    """Every public attribute that the fit has set, None too, and none that it has not."""
    options = {**FITS[way]}
    held_out = {"X_val": X, "y_val": Y} if options.pop("X_val", False) else {}
    model = kind(max_iter=4, random_state=0, **options).fit(X, Y, **held_out)
    model.save(tmp_path / "m")
    again = kind.load(tmp_path / "m")
    public = {name for name in vars(model) if name.endswith("_")}
    assert public == {name for name in vars(again) if name.endswith("_")}
    for name in REPORTED:
        assert hasattr(again, name) == hasattr(model, name), name
        assert getattr(again, name, ...) == getattr(model, name, ...), name


def damaged(tmp_path: Path, change: Any) -> Path:
    """Return a file of an estimator whose learnt attributes a function has changed."""
    model = MLPClassifier(max_iter=2, early_stopping=True, random_state=0).fit(X, Y)
    model.save(tmp_path / "m")
    header, arrays = container.read(tmp_path / "m")
    change(header["extra"]["estimator"]["learnt"])
    header = {key: value for key, value in header.items() if key not in ("format", "version")}
    container.write(tmp_path / "d", arrays, header)
    return tmp_path / "d"


def test_earlier_files_are_read(tmp_path):
    """They have no reports of scores, and None for attributes that there were not."""

    def change(learnt: dict[str, Any]) -> None:
        for name in ("loss_", "validation_scores_", "best_validation_score_"):
            del learnt[name]
        learnt["feature_names_in_"] = None

    model = MLPClassifier.load(damaged(tmp_path, change))
    assert model.n_iter_ == 2
    assert model.best_loss_ is None
    for name in ("loss_", "validation_scores_", "feature_names_in_"):
        assert not hasattr(model, name)
    model.set_params(warm_start=True).fit(X, Y)
    assert len(model.validation_scores_) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"loss_": "low"},
        {"loss_": None},
        {"validation_scores_": 3.0},
        {"validation_scores_": ["a"]},
        {"best_validation_score_": [1.0]},
    ],
    ids=str,
)
def test_reports_of_another_type_are_refused(changed, tmp_path):
    path = damaged(tmp_path, lambda learnt: learnt.update(changed))
    with pytest.raises(
        ValueError, match=f"{path} cannot be read: Expected .*{next(iter(changed))}"
    ):
        MLPClassifier.load(path)


def test_labels_that_no_file_holds_are_named(tmp_path):
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[D]")[Y]
    model = MLPClassifier((4,), max_iter=1).fit(X, days)
    message = r"^MLPClassifier\.save: `classes_` must hold texts.*datetime64\[D\]. Fit with texts"
    with pytest.raises(TypeError, match=message):
        model.save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
