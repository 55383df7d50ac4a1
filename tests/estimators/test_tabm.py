"""TabM's estimators: scikit-learn's protocol, their architectures, early ends, files, bad input.

What is the base's is tested with RealMLP's, in test_realmlp.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnpoly as nn
from nnpoly.estimators import RealMLPClassifier, TabMClassifier, TabMRegressor
from nnpoly.layers import MemberDense, MemberScale, PiecewiseLinear, SharedDense

RNG = np.random.default_rng(0)
N = 120
SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (16,),
    "n_members": 4,
    "learning_rate": 0.01,
    "n_epochs": 40,
    "batch_size": 32,
    "random_state": 0,
}
KINDS: dict[str, dict[str, Any]] = {
    "tabm": {},
    "mini": {"arch": "tabm-mini"},
    "embedded": {"num_embeddings": "piecewise", "n_bins": 8, "d_embedding": 4},
    "mini, embedded": {"arch": "tabm-mini", "num_embeddings": "piecewise", "d_embedding": 4},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def classifier(**options: Any) -> TabMClassifier:
    return TabMClassifier(**SMALL | options)


def regressor(**options: Any) -> TabMRegressor:
    return TabMRegressor(**SMALL | options)


SIZE = RNG.normal(size=N)
FLAG = np.arange(N) % 7 < 3
TABLE: dict[str, list[Any]] = {
    "size": [None if i % 9 == 0 else float(x) for i, x in enumerate(SIZE)],
    "count": RNG.integers(0, 5, N).tolist(),
    "flag": FLAG.tolist(),
    "kind": [None if i % 11 == 0 else "abc"[int(x > 0) + int(x > 1)] for i, x in enumerate(SIZE)],
    "city": [f"c{i}" for i in RNG.integers(0, 15, N)],
}
SIGNS = np.array(["no", "yes"])[FLAG.astype(int)]
NUMBERS = np.array(TABLE["count"]) + 2.0 * FLAG
X = RNG.normal(size=(N, 3))
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])
REALS = X[:, 0] - X[:, 1]


# The protocol


WEIGHTS = (
    "the rows held out, the batches, dropout and the start are drawn, and a row that stands twice "
    "is drawn otherwise than one of weight 2"
)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [classifier(n_epochs=25), regressor(n_epochs=25)],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS
    },
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_parameters_are_cloned_and_shown():
    model = clone(TabMClassifier("tabm-mini", n_members=3))
    assert model.get_params()["n_members"] == 3
    assert repr(model).startswith("TabMClassifier(")


@every_kind
def test_tables_are_taken_as_they_are(kind):
    frame = pl.DataFrame(TABLE)
    model = classifier(**KINDS[kind]).fit(frame, SIGNS)
    assert model.score(frame, SIGNS) > 0.95
    np.testing.assert_allclose(model.predict_proba(frame).sum(axis=1), 1.0)
    same = classifier(**KINDS[kind]).fit(pd.DataFrame(TABLE), SIGNS)
    np.testing.assert_array_equal(same.predict_proba(frame), model.predict_proba(frame))
    numbers = regressor(**KINDS[kind]).fit(frame, NUMBERS)
    assert numbers.score(frame, NUMBERS) > 0.7


def test_defaults_are_good_without_tuning():
    small = {"hidden_layer_sizes": (64, 64), "batch_size": 64, "random_state": 0}
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    assert TabMClassifier(**small).fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.93
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    assert TabMRegressor(**small).fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.4


# The networks


@every_kind
def test_its_layers_are_those_of_the_kind(kind):
    given = KINDS[kind] | {"n_epochs": 1, "hidden_layer_sizes": None, "dropout": 0.0}
    net = classifier(**given).fit(pd.DataFrame(TABLE), SIGNS).networks_[0]
    kinds = [type(layer) for layer in net.chain]
    hidden = 2 if "embedded" in kind else 3
    lines = [PiecewiseLinear] if "embedded" in kind else []
    assert kinds == [*lines, MemberScale, *[SharedDense] * hidden, MemberDense]
    dense = [layer for layer in net.chain if isinstance(layer, SharedDense)]
    assert {layer.outputs for layer in dense} == {512}
    scaled = [False] * hidden if "mini" in kind else ["after", *[True] * (hidden - 1)]
    assert [layer.scaled for layer in dense] == scaled
    assert (net.members, net.outputs) == (4, 2)


def test_biases_do_not_decay():
    chain = classifier(**KINDS["embedded"], n_epochs=1).fit(X, CLASSES).networks_[0].chain
    rates = [layer.parameter_rates() for layer in chain]
    still = (1.0, 0.0)
    assert rates == [{"w": still, "c": still}, {}, {"b": still}, {}, {"b": still}]


def test_a_table_without_numbers_has_no_embeddings():
    frame = pd.DataFrame({"kind": TABLE["kind"], "flag": TABLE["flag"]})
    model = classifier(**KINDS["embedded"] | {"hidden_layer_sizes": None, "n_epochs": 1})
    chain = model.fit(frame, SIGNS).networks_[0].chain
    assert [type(layer) for layer in chain[:2]] == [MemberScale, SharedDense]
    assert sum(isinstance(layer, SharedDense) for layer in chain) == 3


def test_a_prediction_is_the_mean_of_the_members():
    model = classifier().fit(X, CLASSES)
    net = model.networks_[0]
    scores = np.reshape(net.scores(model.encoding_.encode("", _columns(model))), (N, 4, 3))
    e = np.exp(scores - scores.max(axis=2, keepdims=True))
    each = e / e.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), each.mean(axis=1), rtol=1e-5)
    assert each.std(axis=1).max() > 0.01


def _columns(model: Any) -> Any:
    from nnpoly.estimators.tabular.columns import columns

    return columns(model, "test", X)


# The best epoch, and ends


@pytest.mark.parametrize("metric", [None, "log_loss", "roc_auc"])
def test_training_ends_when_the_score_has_not_risen_for_so_long(metric):
    model = classifier(metric=metric, patience=5, n_epochs=500)
    model.fit(X[:80], CLASSES[:80], X_val=X[80:], y_val=CLASSES[80:])
    sign = -1.0 if metric == "log_loss" else 1.0
    scores = sign * np.array(model.validation_scores_[0])
    assert model.best_epochs_ == [scores.argmax() + 1]  # the first of equals
    assert len(scores) == model.best_epochs_[0] + 6
    if metric == "log_loss":
        found = log_loss(CLASSES[80:], model.predict_proba(X[80:]))
        assert -scores.max() == pytest.approx(found, rel=1e-5)


def test_without_patience_or_rows_held_out_all_epochs_are_trained():
    for options in ({"patience": math.inf}, {"validation_fraction": 0}):
        model = classifier(**options, n_epochs=30).fit(X, CLASSES)
        assert len(model.loss_curves_[0]) == 30
    assert (model.best_epochs_, model.validation_scores_) == ([30], [[]])


def test_each_fold_ends_by_itself():
    model = classifier(n_cv=3, n_ens=2, patience=3, n_epochs=200).fit(X, CLASSES)
    assert len(model.networks_) == 6
    assert len({len(curve) for curve in model.loss_curves_}) > 1
    assert model.score(X, CLASSES) > 0.85


def test_a_time_limit_keeps_the_best_so_far_and_says_so():
    model = classifier(n_epochs=100_000, patience=math.inf, time_limit=0.3)
    with pytest.warns(ConvergenceWarning, match=r"time limit of 0.3 s was over after \d+ of"):
        model.fit(X, CLASSES)
    assert model.best_epochs_[0] <= len(model.loss_curves_[0])


def test_an_end_by_patience_is_no_warning(recwarn):
    classifier(patience=1, n_epochs=500).fit(X, CLASSES)
    assert not recwarn.list


def test_no_label_is_smoothed_unless_it_is_asked_for():
    plain, smooth = (classifier(label_smoothing=s, n_epochs=3) for s in (None, 0.2))
    assert smooth.fit(X, CLASSES).loss_curves_[0][-1] > plain.fit(X, CLASSES).loss_curves_[0][-1]


def test_predictions_of_numbers_are_not_clipped():
    model = regressor().fit(X, REALS)
    assert model.predict(np.vstack([X, 100.0 * X])).max() > REALS.max() - 1.0
    assert not model._clips


# Files


@every_kind
def test_files_give_the_same_predictions(kind, tmp_path):
    path, frame = tmp_path / "model.safetensors", pl.DataFrame(TABLE)
    made = (classifier(**KINDS[kind], n_ens=2), SIGNS), (regressor(**KINDS[kind]), NUMBERS)
    for model, y in made:
        model.set_params(n_epochs=3).fit(frame, y).save(path)
        loaded = type(model).load(path)
        np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
        assert loaded.get_params() == model.get_params()
        for name in ("encoding_", "best_epochs_", "validation_scores_", "loss_curves_"):
            assert getattr(loaded, name) == getattr(model, name)


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    classifier(n_epochs=1).fit(X, CLASSES).save(path)
    for other in (TabMRegressor, RealMLPClassifier):
        with pytest.raises(ValueError, match="got a 'TabMClassifier'"):
            other.load(path)


# Places


@pytest.mark.parametrize(("backend", "kind"), [("torch", "embedded"), ("jax", "mini")])
def test_other_backends_agree(backend, kind):
    options: dict[str, Any] = {"n_epochs": 1, "dtype": "float64", **KINDS[kind]}
    wanted = classifier(**options).fit(X, CLASSES)
    found = classifier(**options, backend=backend).fit(X, CLASSES)
    np.testing.assert_allclose(found.predict_proba(X), wanted.predict_proba(X), rtol=1e-6)


def test_products_in_bfloat16():
    assert "bf16" in nn.backends.get("numpy").precisions or pytest.skip("no C core")
    assert classifier(precision="bf16").fit(X, CLASSES).score(X, CLASSES) > 0.8


# Weights, odd cells and refusals


def test_rows_of_weight_0_are_none():
    weights = (np.arange(N) % 3 > 0).astype(float)
    noise = np.where(weights > 0, CLASSES, 0)
    one, two = (
        classifier(validation_fraction=0, n_epochs=5).fit(X, y, weights) for y in (CLASSES, noise)
    )
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


@every_kind
def test_odd_columns_and_cells_do_no_harm(kind):
    frame = pd.DataFrame({"x": X[:, 0], "none": [np.nan] * N, "same": [3.0] * N, "one": ["a"] * N})
    model = classifier(**KINDS[kind]).fit(frame, CLASSES)
    assert model.score(frame, CLASSES) > 0.85
    other = frame.assign(same=7.0, none=1.0, one="b", x=np.where(X[:, 1] > 0, np.nan, 1e308))
    assert np.isfinite(model.predict_proba(other)).all()


@every_kind
def test_numbers_of_any_size(kind):
    wide = np.stack([X[:, 0] * 1e-300, X[:, 0] * 1e300, X[:, 0]], axis=1)
    model = classifier(**KINDS[kind]).fit(wide, CLASSES)
    assert model.score(wide, CLASSES) > 0.85
    far = np.vstack([wide, np.full((1, 3), 1.7e308), np.full((1, 3), -1.7e308)])
    assert np.isfinite(model.predict_proba(far)).all()


@every_kind
def test_two_rows_are_enough(kind):
    for model in (classifier(**KINDS[kind]), regressor(**KINDS[kind], batch_size=1)):
        assert model.fit([[0.0], [1.0]], [0, 1]).predict([[0.5]]).shape == (1,)


def test_too_many_categories_are_refused_with_what_to_take():
    codes = RNG.integers(0, 2_000, 5_000)
    frame = pd.DataFrame({"code": [f"t{i}" for i in codes]})
    with pytest.raises(ValueError, match=r"X\['code'\].*Use RealMLPClassifier, which embeds them"):
        classifier().fit(frame, codes % 2)


PARAMETERS: dict[str, Any] = {
    "arch": "best",
    "num_embeddings": "plr",
    "n_members": 0,
    "hidden_layer_sizes": (0,),
    "activation": "none such",
    "learning_rate": 0.0,
    "dropout": 1.0,
    "weight_decay": -1.0,
    "clip_norm": 0.0,
    "patience": 0,
    "n_bins": 0,
    "d_embedding": 0,
    "label_smoothing": 1.0,
    "n_epochs": 0,
    "metric": "r2",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_bad_parameters_are_refused(name):
    with pytest.raises(ValueError, match=f"^TabMClassifier.fit: `{name}`"):
        classifier(**{name: PARAMETERS[name]}).fit(X, CLASSES)
