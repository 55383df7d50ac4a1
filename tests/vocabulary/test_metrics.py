"""Metrics: which way each is better, what they are of, and what is refused or not defined."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as skm

import nnpoly as nn
from nnpoly import metrics

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
CLASSES = RNG.integers(0, 3, 30)


def softmax() -> nn.MLP:
    return nn.MLP([4, 5, 3])


def regression(K: int = 1) -> nn.MLP:
    return nn.MLP([4, 5, K], output="identity")


# Directions

FUNCTION_ENDS = ("_score", "_loss", "_error", "_errors", "_deviance", "_corrcoef", "_ratio")


def test_scikit_learns_scorers_are_maximised_and_their_functions_known():
    for name in skm.get_scorer_names():
        scorer = skm.get_scorer(name)
        assert metrics.direction(name) == "max", name
        way = "max" if scorer._sign > 0 else "min"
        assert metrics.direction(scorer._score_func.__name__) == way, name


def test_every_function_of_scikit_learn_that_is_a_number_has_a_direction():
    names = [name for name in dir(skm) if name.endswith(FUNCTION_ENDS)]
    assert len(names) > 40
    assert [name for name in names if metrics.direction(name) is None] == []


def test_the_librarys_metrics_go_the_way_of_their_functions():
    for name, function in metrics.FUNCTIONS.items():
        assert metrics.direction(name) == metrics.direction(function) is not None


@pytest.mark.parametrize(
    ("function", "way"),
    [
        (skm.mean_absolute_error, "min"),
        (skm.max_error, "min"),
        (skm.hamming_loss, "min"),
        (skm.brier_score_loss, "min"),
        (skm.zero_one_loss, "min"),
        (skm.log_loss, "min"),
        (skm.davies_bouldin_score, "min"),
        (skm.coverage_error, "min"),
        (skm.roc_auc_score, "max"),
        (skm.explained_variance_score, "max"),
        (skm.d2_log_loss_score, "max"),
        (skm.d2_absolute_error_score, "max"),
        (skm.cohen_kappa_score, "max"),
    ],
)
def test_functions_of_scikit_learn(function, way):
    assert metrics.direction(function.__name__) == way


def test_every_name_has_one_direction():
    named = " ".join(metrics.BETTER.values()).split()
    assert sorted(named) == sorted(metrics.DIRECTIONS)
    assert metrics.direction("my_loss") is None


# Those that are computed without scikit-learn


@pytest.mark.parametrize("weights", [None, RNG.uniform(size=30)], ids=["", "weighted"])
@pytest.mark.parametrize("K", [1, 3])
def test_those_computed_here_are_scikit_learns(K, weights):
    f, y = RNG.normal(size=(2, 30, K))
    found = metrics.compute({"mse": "mse", "rmse": "rmse"}, "identity", y, f, weights)
    assert found == {
        "mse": pytest.approx(skm.mean_squared_error(y, f, sample_weight=weights)),
        "rmse": pytest.approx(skm.root_mean_squared_error(y, f, sample_weight=weights)),
    }
    targets, guesses = RNG.integers(0, 2, (2, 30, K))
    for output, rows in (("softmax", targets[:, 0]), ("sigmoid", targets)):
        shares = np.eye(2)[guesses[:, 0]] if output == "softmax" else guesses.astype("f8")
        labels = shares.argmax(axis=1) if output == "softmax" else guesses
        right = skm.accuracy_score(rows, labels, sample_weight=weights)
        found = metrics.compute({"accuracy": "accuracy"}, output, rows, shares, weights)
        assert found == {"accuracy": pytest.approx(right)}


def test_they_need_no_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    assert 0.0 <= metrics.score(softmax(), X, CLASSES, ["accuracy"])["accuracy"] <= 1.0
    assert metrics.score(regression(), X, X[:, 0], ["rmse"])["rmse"] > 0.0
    with pytest.raises(ImportError, match=r"other than accuracy, mse and rmse need scikit-learn"):
        metrics.score(softmax(), X, CLASSES, ["f1"])


# What is refused


@pytest.mark.parametrize(
    ("net", "y", "names", "message"),
    [
        (softmax(), CLASSES[:10], ["accuracy"], r"`y` must have shape \(30,\)"),
        (regression(), X[:-1, 0], ["mae"], r"`y` must have shape \(30, 1\)"),
        (regression(2), X[:, :3], ["r2"], r"`y` must have shape \(30, 2\)"),
        (softmax(), np.array(["a", "b", "c"])[CLASSES], ["accuracy"], "Encode other labels"),
        (softmax(), CLASSES[:9, None], ["accuracy"], r"`y` must have shape \(30,\)"),
        (softmax(), CLASSES + 1, ["log_loss"], r"class indices 0\.\.2, got values from 1 to 3"),
        (softmax(), CLASSES - 0.5, ["accuracy"], "must hold integer class indices"),
        (regression(), np.full(30, np.nan), ["mae"], "`y` must be finite"),
        (nn.MLP([4, 1], output="sigmoid"), CLASSES, ["f1"], r"probabilities in \[0, 1\]"),
        (nn.MLP([4, 1], output="step"), CLASSES, ["f1"], r"probabilities in \[0, 1\]"),
        (nn.MLP([4, 1], output="exp"), -np.ones(30), ["mae"], "counts or rates >= 0"),
    ],
)
def test_targets_are_checked_as_for_training(net, y, names, message):
    with pytest.raises(ValueError, match=f"^metrics.score: .*{message}"):
        metrics.score(net, X, y, names)
    if net.output != "step":
        with pytest.raises(ValueError, match=f"^Trainer.fit: .*{message}"):
            nn.Trainer(net).fit(X, y, metrics=names)


def test_inputs_are_checked_as_for_training():
    for wrong, message in ((X[:, :3], "must have shape"), (np.full((30, 4), np.nan), "be finite")):
        with pytest.raises(ValueError, match=f"^metrics.score: `X` .*{message}"):
            metrics.score(softmax(), wrong, CLASSES, ["accuracy"])


def named(name: str) -> Any:
    def metric(y: Any, f: Any) -> float:
        return 0.0

    metric.__name__ = name
    return metric


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([lambda y, f: 0.0, lambda y, f: 1.0], "must have different names, got '<lambda>' twice"),
        (["accuracy", "accuracy"], "must have different names, got 'accuracy' twice"),
        (["log_loss", skm.log_loss], "must have different names, got 'log_loss' twice"),
        ([named("loss")], r"`metrics\[0\]` must not be called 'loss', which a fit records"),
        (["f1", named("validation_loss")], r"`metrics\[1\]` must not be called 'validation_loss'"),
        ([named("epoch")], "must not be called 'epoch'"),
        ([named("learning_rate")], "must not be called 'learning_rate'"),
        ([named("seconds")], "must not be called 'seconds'"),
    ],
)
def test_names_must_differ(given, message):
    for where, attempt in (
        ("metrics.score", lambda: metrics.score(softmax(), X, CLASSES, given)),
        ("Trainer.fit", lambda: nn.Trainer(softmax()).fit(X, CLASSES, metrics=given)),
    ):
        with pytest.raises(ValueError, match=f"^{where}: .*{message}"):
            attempt()


# What is not defined


def test_targets_may_have_every_form_that_training_takes():
    net = softmax()
    want = metrics.score(net, X, CLASSES, list(metrics.OF_LABELS))
    for y in (CLASSES.tolist(), CLASSES.astype(">i4"), nn.one_hot(CLASSES, 3)):
        assert metrics.score(net, X, y, list(metrics.OF_LABELS)) == want
    assert want["accuracy"] == np.mean(net(X).argmax(axis=1) == CLASSES)


@pytest.mark.parametrize("soft", [False, True])
def test_a_class_without_rows(soft):
    """Its own curve is not defined, so their mean over the classes is not."""
    y = nn.one_hot(CLASSES % 2, 3)
    y = 0.45 * y + 0.55 / 3 if soft else y  # the likeliest class has less than a half
    found = metrics.score(softmax(), X, y, metrics.NAMES[:9])
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {"roc_auc", "average_precision"}
    whole = metrics.score(softmax(), X, CLASSES, metrics.NAMES[:9])
    assert all(map(np.isfinite, whole.values()))


@pytest.mark.parametrize("label", [0, 1])
def test_a_sigmoid_whose_rows_are_of_one_class(label):
    net = nn.MLP([4, 5, 1], output="sigmoid")
    found = metrics.score(net, X, np.full(30, label), metrics.NAMES[:9])
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == ({"roc_auc"} if label else {"roc_auc", "average_precision"})
    assert found["log_loss"] == pytest.approx(float(net.loss(X, np.full(30, label))), rel=1e-5)


def test_rows_without_weight_are_no_rows():
    f, y = np.array([[0.2], [0.6], [0.7]]), np.array([0, 0, 1])
    names = {name: name for name in ("roc_auc", "average_precision")}
    for weights in ([1.0, 1.0, 0.0], [0.0, 0.0, 0.1]):
        found = metrics.compute(names, "sigmoid", y, f, np.array(weights))
        assert np.isnan(found["roc_auc"])
        assert np.isnan(found["average_precision"]) == (weights[2] == 0.0)


def test_r2_of_one_row():
    found = metrics.score(regression(), X[:1], [1.0], ["r2", "mae"])
    assert np.isnan(found["r2"])
    assert np.isfinite(found["mae"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite(value):
    f = np.array([[1.0], [value]])
    names = {name: name for name in metrics.OF_REALS}
    assert all(map(np.isnan, metrics.compute(names, "identity", [1.0, 2.0], f).values()))


def test_a_mistake_in_a_function_is_not_hidden():
    def broken(y: Any, f: Any) -> float:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        metrics.score(softmax(), X, CLASSES, [broken])


# Several sigmoids


def test_log_loss_of_several_labels_counts_both_kinds():
    """A network that says yes to every label: 2 of 3 labels cost 20 each."""
    net = nn.MLP.from_weights([np.zeros((3, 2))], [[20.0, 20.0, 20.0]], output="sigmoid")
    Y = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    found = metrics.score(net, np.zeros((4, 2)), Y, ["log_loss"])
    assert found["log_loss"] == pytest.approx(40 / 3, rel=1e-6)
    assert found["log_loss"] == pytest.approx(float(net.loss(np.zeros((4, 2)), Y)) / 3, rel=1e-6)


def test_every_metric_of_several_labels_is_a_mean_over_them():
    net = nn.MLP([4, 6, 3], "tanh", output="sigmoid", seed=3)
    Y = RNG.integers(0, 2, (30, 3))
    names = metrics.NAMES[:9]
    found = metrics.score(net, X, Y, names)
    columns = [
        metrics.compute({n: n for n in names}, "sigmoid", Y[:, k], net(X)[:, k : k + 1])
        for k in range(3)
    ]
    for name in names[1:]:
        assert found[name] == pytest.approx(np.mean([c[name] for c in columns])), name
    assert found["accuracy"] == np.mean(((net(X) >= 0.5) == Y).all(axis=1))


def test_the_log_loss_of_labels_is_the_validation_loss():
    """So monitoring either keeps the same epoch."""
    Y = RNG.integers(0, 2, (30, 3))
    t = nn.Trainer(nn.MLP([4, 6, 3], output="sigmoid", dtype="float64"))
    history = t.fit(X, Y, 3, metrics=["log_loss"], validation=(X, Y))
    assert np.multiply(3, history.metrics["log_loss"]) == pytest.approx(history.validation_loss)


def test_scores_on_every_backend(backend_variant):
    nets = softmax(), nn.MLP([4, 5, 3], **backend_variant.place)
    names = ["accuracy", "log_loss"]
    y = backend_variant.array(CLASSES.astype("int32"))
    want, found = metrics.score(nets[0], X, CLASSES, names), metrics.score(nets[1], X, y, names)
    assert found == pytest.approx(want, rel=1e-4)
