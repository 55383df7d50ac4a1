"""Estimators: scikit-learn's protocol, its trajectories from the same weights, and what is new."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from beside import started
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnpoly as nn
from nnpoly.estimators import MLPClassifier, MLPRegressor, base

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_regression(120, 5, noise=1.0, random_state=0)
    return X, (y - y.mean()) / y.std()


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(150, 6, weights=[0.85], random_state=1)


def weights(model: Any) -> np.ndarray:
    return np.concatenate([w.ravel() for w in (*model.coefs_, *model.intercepts_)])


# The protocol


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_a_changed_import_is_enough(kind, iris, numbers):
    """Every parameter with its default and place, and every attribute."""
    ours, other = globals()[kind], getattr(theirs, kind)
    mine, wanted = ours().get_params(), other().get_params()
    assert {name: mine[name] for name in wanted} == wanted
    X, y = iris if kind == "MLPClassifier" else numbers
    for options in ({}, {"early_stopping": True}):
        a, b = (cls(max_iter=3, random_state=0, **options).fit(X, y) for cls in (ours, other))
        names = [n for n in vars(b) if n.endswith("_") and not n.startswith("_")]
        for name in [*names, "coefs_", "intercepts_"]:
            mine, wanted = getattr(a, name), getattr(b, name)
            assert type(mine) is type(wanted) or isinstance(mine, float), name
        assert [W.shape for W in a.coefs_] == [W.shape for W in b.coefs_]
        same = ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_")
        for name in same:
            assert getattr(a, name) == getattr(b, name), name
        assert len(a.loss_curve_) == len(b.loss_curve_)


def test_it_works_in_scikit_learns_tools(iris):
    X, y = iris
    model = MLPClassifier((8,), max_iter=40, learning_rate_init=0.02, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    grid = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 10.0]}, cv=2, n_jobs=2)
    grid.fit(X, y)
    assert grid.best_params_ == {"mlpclassifier__alpha": 1e-4}
    again = pickle.loads(pickle.dumps(grid))
    assert np.array_equal(again.predict_proba(X), grid.predict_proba(X))
    assert not hasattr(clone(grid.best_estimator_[-1]), "trainer_")


def test_optimisers_and_callbacks_survive_clone(iris):
    stop = nn.callbacks.EarlyStopping(2)
    model = MLPClassifier(solver=nn.AdamW(1e-3), callbacks=[stop], loss=nn.losses.Focal())
    copy = clone(model)
    assert copy.solver == model.solver
    assert copy.loss == model.loss
    assert copy.fit(*iris).n_iter_ <= 200
    assert stop.best == float("inf")  # the clone had its own


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_have_feature_names(frame, iris):
    X, y = iris
    names = ["a", "b", "c", "d"]
    table = frame(dict(zip(names, X.T, strict=True)))
    model = MLPClassifier(max_iter=3, random_state=0).fit(table, y)
    assert model.feature_names_in_.tolist() == names
    plain = MLPClassifier(max_iter=3, random_state=0).fit(X, y)
    assert np.array_equal(model.predict_proba(table), plain.predict_proba(X))
    assert model.trainer_.summary().endswith("for many steps of an epoch")
    swapped = frame({name: table[name] for name in reversed(names)})
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(swapped)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_of_a_pipeline(library, iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=3, random_state=0))
    pipeline.set_output(transform=library).fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert pipeline[-1].feature_names_in_.tolist() == list("abcd")


def test_predictions_need_a_fit(iris):
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(iris[0])
    assert not hasattr(MLPClassifier(), "coefs_")


# Scikit-learn's mathematics


@pytest.mark.parametrize("activation", ["logistic", "relu"])
def test_the_start_is_drawn_like_scikit_learns(activation, iris):
    """The same bounds and moments, of weights and of biases."""
    X, y = iris
    options = {"hidden_layer_sizes": (400, 300), "activation": activation, "max_iter": 1}
    options |= {"solver": "sgd", "learning_rate_init": 1e-300, "random_state": 1}
    ours, other = (kind(**options).fit(X, y) for kind in (MLPClassifier, theirs.MLPClassifier))
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name)[:2], getattr(other, name)[:2], strict=True):
            assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.02)
            assert np.std(a) == pytest.approx(np.std(b), rel=0.1)
    given = MLPClassifier(init="kaiming_normal", **options).fit(X, y)
    assert max(np.abs(b).max() for b in given.intercepts_) < 1e-200


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("data", ["iris", "two", "numbers"])
def test_the_same_weights_predict_the_same(activation, data, iris, numbers):
    X, y = {"iris": iris, "two": two_classes(), "numbers": numbers}[data]
    kind = theirs.MLPRegressor if data == "numbers" else theirs.MLPClassifier
    other, ours = started(kind, X, y, activation=activation)
    assert np.array_equal(ours.predict(X), other.predict(X)) or data == "numbers"
    name = "predict" if data == "numbers" else "predict_proba"
    np.testing.assert_allclose(getattr(ours, name)(X), getattr(other, name)(X), atol=1e-14)
    assert ours.score(X, y) == pytest.approx(other.score(X, y), rel=1e-12)


SGD = [{"momentum": 0.0}, {"momentum": 0.9, "nesterovs_momentum": False}, {"momentum": 0.9}]


@pytest.mark.parametrize("options", SGD, ids=["plain", "momentum", "nesterov"])
@pytest.mark.parametrize("data", ["iris", "two", "numbers"])
def test_sgd_takes_scikit_learns_path(options, data, iris, numbers):
    X, y = {"iris": iris, "two": two_classes(), "numbers": numbers}[data]
    kind = theirs.MLPRegressor if data == "numbers" else theirs.MLPClassifier
    shared = {"activation": "tanh", "alpha": 0.0, "shuffle": False, "batch_size": 40}
    other, ours = started(kind, X, y, **shared)
    path = {"solver": "sgd", "learning_rate_init": 0.05, "max_iter": 8, "tol": 0.0, **shared}
    other.set_params(**path, **options, warm_start=True).fit(X, y)
    ours.set_params(**path, **options, warm_start=True).fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-11)
    np.testing.assert_allclose(weights(ours), weights(other), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("data", ["iris", "numbers"])
def test_adam_takes_scikit_learns_path_where_gradients_are_large(data, iris, numbers):
    """Its epsilon has another place, which shows as epsilon over the gradients' size."""
    X, y = iris if data == "iris" else numbers
    kind = theirs.MLPClassifier if data == "iris" else theirs.MLPRegressor
    shared = {"activation": "tanh", "alpha": 0.0, "shuffle": False, "epsilon": 1e-14}
    other, ours = started(kind, X, y, **shared)
    path = {"solver": "adam", "learning_rate_init": 0.01, "max_iter": 10, "tol": 0.0, **shared}
    other.set_params(**path, warm_start=True).fit(X, y)
    ours.set_params(**path, warm_start=True).fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-8)


def test_lbfgs_takes_scikit_learns_path(iris):
    X, y = iris
    path = {"solver": "lbfgs", "max_iter": 15, "alpha": 0.0, "tol": 1e-12, "warm_start": True}
    other, ours = started(theirs.MLPClassifier, X, y, hidden_layer_sizes=(4,), activation="tanh")
    other.set_params(**path).fit(X, y)
    ours.set_params(**path).fit(X, y)
    assert ours.n_iter_ == other.n_iter_ == 15
    assert ours.loss_ == pytest.approx(other.loss_, rel=1e-7)
    np.testing.assert_allclose(ours.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_lbfgs_takes_the_penalty_and_weights_into_account(iris):
    """At the minimum of 1/sum(s) (sum_i s_i l_i + alpha/2 ||w||^2) the gradient is 0."""
    X, y = iris
    s = np.random.default_rng(0).exponential(size=len(y))
    options = {"solver": "lbfgs", "alpha": 0.5, "max_iter": 2000, "tol": 1e-8}
    model = MLPClassifier((3,), "tanh", random_state=0, **options).fit(X, y, s)
    net, labels = model.network_, np.unique(y, return_inverse=True)[1]
    _, grads = net.gradients(X, labels, sample_weight=s * len(s) / s.sum())
    decay = 0.5 / s.sum() * net.w
    # SciPy ends where the loss falls by less than 2e-9 of itself: the gradient by its root or so.
    assert np.linalg.norm(grads.flat + decay) < 5e-3 * np.linalg.norm(decay)


def test_weights_of_samples_are_scikit_learns(numbers):
    X, y = numbers
    s = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    shared = {"activation": "tanh", "alpha": 0.0, "shuffle": False}
    other, ours = started(theirs.MLPRegressor, X, y, **shared)
    path = {"solver": "sgd", "learning_rate_init": 0.05, "max_iter": 8, "tol": 0.0, **shared}
    other.set_params(**path, warm_start=True).fit(X, y, s)
    ours.set_params(**path, warm_start=True).fit(X, y, s)
    np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-11)


def test_alpha_shrinks_the_weights(iris):
    norms = [
        np.linalg.norm(weights(MLPClassifier(alpha=a, max_iter=50, random_state=0).fit(*iris)))
        for a in (0.0, 10.0, 1000.0)
    ]
    assert norms[0] > norms[1] > norms[2]


# When training ends


def test_training_ends_when_nothing_is_gained(iris):
    X, y = iris
    model = MLPClassifier(tol=0.05, n_iter_no_change=3, max_iter=500, random_state=0).fit(X, y)
    losses = np.array(model.loss_curve_)
    assert model.n_iter_ == len(losses) < 500
    gains = np.minimum.accumulate(losses)[:-1] - losses[1:]
    assert np.all(gains[-4:] < 0.05)
    assert not any(np.all(gains[i : i + 4] < 0.05) for i in range(len(gains) - 4))
    assert model.best_loss_ == losses.min()
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)"):
        MLPClassifier(max_iter=2).fit(X, y)


def test_early_stopping_keeps_the_best_weights():
    X, y = two_classes()
    model = MLPClassifier(
        early_stopping=True,
        max_iter=200,
        n_iter_no_change=4,
        random_state=3,
        learning_rate_init=0.1,
    ).fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == model.n_iter_ < 200
    assert model.best_loss_ is None
    share = {"test_size": 0.1, "random_state": model.network_.seed, "stratify": y}
    held = train_test_split(np.arange(len(y)), **share)[1]
    assert model.score(X[held], y[held]) == model.best_validation_score_


def test_validation_data_of_ones_own(iris):
    X, y = iris
    train, test = np.arange(0, 150, 2), np.arange(1, 150, 2)
    model = MLPClassifier(early_stopping=True, max_iter=80, random_state=0)
    model.fit(X[train], y[train], X_val=X[test], y_val=y[test])
    assert model.score(X[test], y[test]) == model.best_validation_score_
    assert model.t_ == len(train) * model.n_iter_  # none were set aside
    watched = MLPClassifier(max_iter=20, random_state=0)
    watched.fit(X[train], y[train], X_val=X[test], y_val=y[test])
    assert watched.validation_scores_[-1] == watched.score(X[test], y[test])
    with pytest.raises(ValueError, match="`X_val` and `y_val` belong together"):
        model.fit(X, y, X_val=X)


def test_the_adaptive_rate_falls(numbers):
    options = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.2}
    model = MLPRegressor(**options, max_iter=400, n_iter_no_change=2, random_state=0)
    model.fit(*numbers)
    assert model.n_iter_ < 400
    assert 0.2 * model.trainer_.rate_factor <= 1e-6


def test_five_and_five_are_ten(iris):
    X, y = iris
    options = {"tol": 0.0, "random_state": 0, "batch_size": 32, "dropout": 0.2}
    twice = MLPClassifier(max_iter=5, warm_start=True, **options).fit(X, y)
    twice.fit(X, y)
    once = MLPClassifier(max_iter=10, **options).fit(X, y)
    assert np.array_equal(weights(twice), weights(once))
    assert twice.loss_curve_ == once.loss_curve_
    assert (twice.n_iter_, once.n_iter_, twice.t_) == (5, 10, once.t_)


def test_a_warm_start_holds_out_the_same_rows(iris, monkeypatch):
    shares: list[Any] = []
    monkeypatch.setattr(
        base,
        "train_test_split",
        lambda *a, **b: shares.append(train_test_split(*a, **b)) or shares[-1],
    )
    model = MLPClassifier(early_stopping=True, warm_start=True, max_iter=2)  # of no given seed
    model.fit(*iris).fit(*iris)
    assert np.array_equal(shares[0][1], shares[1][1])


def test_partial_fits_are_epochs(iris):
    X, y = iris
    options = {"tol": 0.0, "random_state": 0, "batch_size": 32}
    parts = MLPClassifier(**options)
    for _ in range(4):
        parts.partial_fit(X, y)
    whole = MLPClassifier(max_iter=4, **options).fit(X, y)
    assert np.array_equal(weights(parts), weights(whole))


def test_partial_fit_knows_classes_to_come(iris):
    X, y = iris
    model = MLPClassifier(random_state=0, learning_rate_init=0.02)
    for _ in range(60):
        for rows in (slice(0, 100), slice(50, 150)):
            model.partial_fit(X[rows], y[rows], classes=np.unique(y))
    assert model.score(X, y) > 0.9
    fresh = MLPClassifier().partial_fit(X[:100], y[:100])
    with pytest.raises(ValueError, match=r"must be among classes_ .*, got 'virginica'"):
        fresh.partial_fit(X, y)


def test_an_interrupted_fit_keeps_its_epochs(iris):
    def interrupt(trainer: nn.Trainer, history: nn.History) -> bool:
        if len(history) == 3:
            raise KeyboardInterrupt
        return False

    model = MLPClassifier(callbacks=[interrupt], random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(*iris)
    assert model.n_iter_ == 3
    assert np.array_equal(
        weights(model), weights(MLPClassifier(max_iter=3, random_state=0).fit(*iris))
    )


# Beyond scikit-learn


def test_class_weights_are_weights_of_samples():
    X, y = two_classes()
    options = {"max_iter": 20, "random_state": 0, "alpha": 0.0}
    by_class = {0: 0.5, 1: 3.0}
    s = np.where(y == 1, 3.0, 0.5)
    a = MLPClassifier(class_weight=by_class, **options).fit(X, y)
    b = MLPClassifier(**options).fit(X, y, s)
    assert np.array_equal(weights(a), weights(b))
    balanced = MLPClassifier(class_weight="balanced", **options).fit(X, y)
    even = MLPClassifier(**options).fit(X, y, len(y) / (2 * np.bincount(y))[y])
    assert np.array_equal(weights(balanced), weights(even))
    plain = MLPClassifier(**options).fit(X, y)
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()


def test_several_labels_at_once(iris):
    X, y = iris
    Y = np.stack([y == "setosa", y != "virginica"], axis=1).astype(int)
    model = MLPClassifier(max_iter=300, random_state=0, learning_rate_init=0.01).fit(X, Y)
    assert model.score(X, Y) > 0.95
    assert model.predict(X).shape == model.predict_proba(X).shape == Y.shape
    assert model.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="`class_weight` must be None"):
        MLPClassifier(class_weight="balanced").fit(X, Y)


def test_several_numbers_at_once(numbers):
    X, y = numbers
    Y = np.stack([y, -2 * y], axis=1)
    model = MLPRegressor(max_iter=500, random_state=0, learning_rate_init=0.01).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.score(X, Y) > 0.95


@pytest.mark.parametrize("q", [0.1, 0.9])
def test_quantiles_cover_their_share(q, rng):
    X = rng.uniform(-1, 1, (2000, 1))
    y = X[:, 0] + (1.5 + X[:, 0]) * rng.standard_normal(2000)
    model = MLPRegressor(nn.losses.Quantile(q), (32,), max_iter=200, random_state=0)
    model.fit(X, y)
    assert np.mean(y <= model.predict(X)) == pytest.approx(q, abs=0.03)
    assert model.loss_ == pytest.approx(mean_pinball_loss(y, model.predict(X), alpha=q), rel=0.05)


def test_poisson_regression_predicts_rates(rng):
    X = rng.uniform(-1, 1, (2000, 2))
    y = rng.poisson(np.exp(1.0 + X[:, 0] - X[:, 1] ** 2))
    model = MLPRegressor("poisson", (32,), max_iter=150, random_state=0).fit(X, y)
    assert np.all(model.predict(X) > 0)
    assert model.predict(X).mean() == pytest.approx(y.mean(), rel=0.03)
    with pytest.raises(ValueError, match="counts or rates >= 0"):
        model.fit(X, y - 1)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_outliers_pull_less(loss, rng):
    X = rng.uniform(-1, 1, (300, 1))
    y = 2.0 * X[:, 0]
    y[::10] += 30.0
    options = {"hidden_layer_sizes": (16,), "max_iter": 300, "random_state": 0}
    robust, squared = (
        np.median(np.abs(MLPRegressor(l, **options).fit(X, y).predict(X) - 2.0 * X[:, 0]))
        for l in (loss, "squared_error")
    )
    assert robust < 0.5 < squared


def test_networks_with_dropout_and_normalisation(iris):
    X, y = iris
    options = {"max_iter": 60, "learning_rate_init": 0.01, "random_state": 0}
    model = MLPClassifier((16, 8), dropout=0.1, layer_norm=True, **options)
    kinds = [type(l.layer).__name__ for l in model.fit(X, y).network_.layers]
    assert kinds == ["Dense", "LayerNorm", "Dropout"] * 2 + ["Dense"]
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("loss", ["focal", nn.losses.CrossEntropy(0.1), nn.losses.Focal(1.0)])
def test_losses_of_two_classes(loss):
    X, y = two_classes()
    model = MLPClassifier(loss=loss, max_iter=100, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)
    assert np.array_equal(model.predict(X), model.predict_proba(X).argmax(axis=1))


def test_label_smoothing_makes_less_sure():
    X, y = two_classes()
    sure, less = (
        MLPClassifier(label_smoothing=a, max_iter=300, random_state=0).fit(X, y).predict_proba(X)
        for a in (0.0, 0.3)
    )
    assert less.max() < sure.max()


@pytest.mark.parametrize("solver", ["adamw", "lion", nn.SGD(nn.schedules.Cosine(0.1, 200))])
def test_optimisers_by_name_and_as_objects(solver, iris):
    model = MLPClassifier(solver=solver, max_iter=100, random_state=0, batch_size=16).fit(*iris)
    assert model.score(*iris) > 0.9


def test_weights_without_a_fit(iris):
    X, y = iris
    net = nn.MLP([4, 5, 3], dtype="float64")
    model = MLPClassifier.from_network(net, np.unique(y))
    assert np.array_equal(model.predict_proba(X), net(X))
    assert set(model.predict(X)) <= set(y)
    model.set_params(warm_start=True, max_iter=200, learning_rate_init=0.05).fit(X, y)
    assert model.network_ is net
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="`classes` must be 3 labels"):
        MLPClassifier.from_network(net, ["a"])
    with pytest.raises(ValueError, match="must have an identity or exp output"):
        MLPRegressor.from_network(net)


# Arrays of other libraries


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_arrays_stay_torch(dtype, iris):
    X, y = iris[0].astype(dtype), np.unique(iris[1], return_inverse=True)[1]
    options = {"max_iter": 20, "random_state": 0, "early_stopping": True}
    device = torch.as_tensor(X)
    model = MLPClassifier(**options).fit(device, torch.as_tensor(y))
    assert (model.network_.backend, model.network_.dtype) == ("torch", dtype)
    plain = MLPClassifier(**options).fit(X, y)
    probabilities, labels = model.predict_proba(device), model.predict(device)
    assert isinstance(probabilities, torch.Tensor)
    assert isinstance(labels, torch.Tensor)
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(probabilities.numpy(), plain.predict_proba(X), atol=tolerance)
    regressor = MLPRegressor(max_iter=5, random_state=0).fit(device, torch.as_tensor(X[:, :2]))
    assert isinstance(regressor.predict(device), torch.Tensor)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        model.predict(device[:, :3])


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_backend_by_name(backend, iris):
    X, y = iris
    model = MLPClassifier(backend=backend, max_iter=30, random_state=0, dtype="float64").fit(X, y)
    assert model.network_.backend == backend
    assert isinstance(model.predict_proba(X), np.ndarray)
    plain = MLPClassifier(max_iter=30, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-9)


def test_the_dtype_is_that_of_the_data(iris):
    X, y = iris
    for dtype in ("float32", "float64"):
        model = MLPClassifier(max_iter=2).fit(X.astype(dtype), y)
        assert model.predict_proba(X.astype(dtype)).dtype == dtype == model.coefs_[0].dtype
    assert MLPClassifier(max_iter=2, dtype="float32").fit(X, y).network_.dtype == "float32"


@pytest.mark.parametrize("form", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_sparse_matrices_train_like_dense_ones(form, iris):
    X, y = iris
    options = {"max_iter": 10, "random_state": 0, "batch_size": 32}
    dense, sparse = (MLPClassifier(**options).fit(x, y) for x in (X, form(X)))
    np.testing.assert_allclose(weights(dense), weights(sparse), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(dense.predict_proba(X), sparse.predict_proba(form(X)), atol=1e-12)


# Mistakes

BAD = {
    "solver": "`solver` must be one of",
    "learning_rate": "`learning_rate` must be one of",
    "learning_rate_init": "`learning_rate_init` must be a number",
    "activation": "`activation` must be one of",
    "hidden_layer_sizes": "`hidden_layer_sizes` must be an integer >= 1",
    "batch_size": "`batch_size` must be an integer >= 1",
    "max_iter": "`max_iter` must be an integer >= 1",
    "alpha": "`alpha` must be a number",
    "tol": "`tol` must be a number",
    "n_iter_no_change": "`n_iter_no_change` must be an integer >= 1",
    "callbacks": "`callbacks` must be a list of callables",
    "loss": "`loss` must be one of",
    "init": "`init` must be one of",
    "dropout": "`dropout` must be a number",
    "dtype": "`dtype` must be one of",
    "backend": "`backend` must be one of",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_bad_parameters_are_named(kind, name, iris, numbers):
    X, y = iris if kind is MLPClassifier else numbers
    value = -1 if "number" in BAD[name] or "integer" in BAD[name] else "nonsense"
    with pytest.raises(ValueError, match=BAD[name]):
        kind(**{name: value}).fit(X, y)


def test_parameters_that_do_not_go_together(iris):
    X, y = iris
    with pytest.raises(ValueError, match="`dropout` must be 0 with 'lbfgs'"):
        MLPClassifier(solver="lbfgs", dropout=0.1).fit(X, y)
    with pytest.raises(AttributeError, match="'lbfgs' takes all data at once"):
        MLPClassifier(solver="lbfgs").partial_fit(X, y)
    with pytest.raises(ValueError, match="`early_stopping` must be False"):
        MLPClassifier(early_stopping=True).partial_fit(X, y)
    with pytest.raises(ValueError, match="'balanced' needs all data"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y)
    with pytest.raises(ValueError, match=r"validation set is too small"):
        MLPRegressor(early_stopping=True, validation_fraction=0.1).fit(X[:10], np.arange(10.0))


@pytest.mark.parametrize("s", [-np.ones(150), np.zeros(150), np.ones(149), np.full(150, np.nan)])
def test_bad_weights_are_named(s, iris):
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        MLPClassifier().fit(*iris, s)


def test_a_failed_fit_leaves_the_model_as_it_was(iris):
    X, y = iris
    model = MLPClassifier(max_iter=3, random_state=0).fit(X, y)
    before = weights(model)
    for bad in (X * np.nan, X[:, :2]):
        with warnings.catch_warnings(), pytest.raises(ValueError, match=r"NaN|features"):
            model.set_params(warm_start=True).fit(bad, y)
    assert np.array_equal(before, weights(model))
    kept = dict(vars(model.set_params(warm_start=False)))
    for changed, data in (
        ({"activation": "nonsense"}, X[:, :2]),
        ({"activation": "relu", "callbacks": [print, "nonsense"]}, X[:, :2]),
    ):
        with pytest.raises(ValueError, match="must be"):
            model.set_params(**changed).fit(data, y == "setosa")
        assert vars(model) == {**kept, **changed}
