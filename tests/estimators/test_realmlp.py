"""RealMLP's estimators: scikit-learn's protocol, tables of any kind, members, files, bad input."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnpoly.estimators import MLPClassifier, RealMLPClassifier, RealMLPRegressor
from nnpoly.estimators.monitor import Monitor
from nnpoly.estimators.tabular.folds import in_many, in_two
from nnpoly.training import History

RNG = np.random.default_rng(0)
N = 120
SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (16,),
    "n_epochs": 30,
    "batch_size": 32,
    "random_state": 0,
}


def classifier(preset: str = "TD", **options: Any) -> RealMLPClassifier:
    return RealMLPClassifier(preset, **SMALL | options)


def regressor(preset: str = "TD", **options: Any) -> RealMLPRegressor:
    return RealMLPRegressor(preset, **SMALL | options)


def table() -> dict[str, list[Any]]:
    """Return columns of every kind, and cells that are missing."""
    size = RNG.normal(size=N)
    return {
        "size": [None if i % 9 == 0 else float(x) for i, x in enumerate(size)],
        "count": RNG.integers(0, 5, N).tolist(),
        "flag": [i % 7 < 3 for i in range(N)],
        "kind": [
            None if i % 11 == 0 else "abc"[int(x > 0) + int(x > 1)] for i, x in enumerate(size)
        ],
        "city": [f"c{i}" for i in RNG.integers(0, 15, N)],
    }


TABLE = table()
SIGNS = np.array(["no", "yes"])[np.array(TABLE["flag"], int)]
NUMBERS = np.array(TABLE["count"]) + 2.0 * np.array(TABLE["flag"])
X = RNG.normal(size=(N, 3))
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])
REALS = X[:, 0] - X[:, 1]
FRAMES = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "pandas' own types": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "categories": lambda columns: pd.DataFrame(columns).astype({"kind": "category"}),
    "polars": lambda columns: pl.DataFrame(columns),
    "polars' categories": lambda columns: pl.DataFrame(columns).cast({"city": pl.Categorical}),
    "arrow": lambda columns: pa.table(columns),
    "objects": lambda columns: np.array(list(zip(*columns.values(), strict=True)), dtype=object),
    "rows": lambda columns: [list(row) for row in zip(*columns.values(), strict=True)],
}


# The protocol


WEIGHTS = (
    "the rows held out, the batches, dropout and the start are drawn, and a row that stands twice "
    "is drawn otherwise than one of weight 2"
)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [classifier(), regressor()],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS
    },
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_parameters_are_cloned_and_shown():
    model = clone(classifier("TD-S", n_ens=3))
    assert model.get_params()["n_ens"] == 3
    assert repr(model).startswith("RealMLPClassifier(")


@pytest.mark.parametrize("frame", FRAMES)
def test_tables_of_every_kind_are_the_same(frame):
    given = FRAMES[frame](TABLE)
    model, wanted = classifier(n_epochs=5), classifier(n_epochs=5)
    model.fit(given, SIGNS)
    wanted.fit(pl.DataFrame(TABLE), SIGNS)
    np.testing.assert_array_equal(
        model.predict_proba(given), wanted.predict_proba(pl.DataFrame(TABLE))
    )
    assert model.encoding_ == wanted.encoding_
    assert [c.embedded for c in model.encoding_.categories] == [False, False, True]
    if frame not in ("objects", "rows"):
        assert list(model.feature_names_in_) == list(TABLE)


def test_it_learns_from_tables():
    assert classifier().fit(pl.DataFrame(TABLE), SIGNS).score(pl.DataFrame(TABLE), SIGNS) > 0.95
    model = regressor(n_epochs=100).fit(pl.DataFrame(TABLE), NUMBERS)
    assert model.score(pl.DataFrame(TABLE), NUMBERS) > 0.8


@pytest.mark.parametrize("preset", ["TD", "TD-S"])
def test_defaults_are_good_without_tuning(preset):
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = RealMLPClassifier(preset, n_epochs=40, batch_size=64, random_state=0).fit(
        X[:400], y[:400]
    )
    assert model.score(X[400:], y[400:]) > 0.95
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    number = RealMLPRegressor(preset, n_epochs=20, batch_size=64, random_state=0)
    assert number.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.35


def test_importance_is_measured_by_scikit_learns_permutations():
    model, frame = classifier(), pd.DataFrame(TABLE)
    found = permutation_importance(model.fit(frame, SIGNS), frame, SIGNS, random_state=0)
    assert found.importances_mean.argmax() == list(TABLE).index("flag")


def test_numbers_are_categories_where_it_is_said():
    frame, y = pd.DataFrame({"code": np.arange(N) % 12, "x": X[:, 0]}), (np.arange(N) % 12) % 5 == 0
    for given in (["code"], [0], [True, False], "code"):
        model = classifier(n_epochs=60, categorical_features=given).fit(frame, y)
        assert [c.column for c in model.encoding_.categories] == [0]
        assert model.score(frame.astype({"code": float}), y) == 1.0  # 3 and 3.0 are one


def test_several_targets_and_their_shapes():
    y = np.stack([REALS, X[:, 2]], axis=1)
    assert regressor().fit(X, y).predict(X).shape == (N, 2)
    assert regressor().fit(X, REALS).predict(X).shape == (N,)
    with pytest.warns(match="column-vector"):
        assert regressor().fit(X, REALS[:, None]).predict(X).shape == (N,)


def test_td_keeps_to_the_range_in_training():
    far = np.vstack([X, 100.0 * X])
    found = regressor().fit(X, REALS).predict(far)
    assert REALS.min() <= found.min()
    assert found.max() <= REALS.max()


# The best epoch


def test_the_last_of_equally_good_epochs_is_kept():
    scores = iter([0.5, 0.9, 0.7, 0.9, 0.8])
    monitor = Monitor(0.0, np.inf, lambda: next(scores), by_score=True, last=True)
    model = classifier(n_epochs=1).fit(X, CLASSES)
    trainer = type("Trainer", (), {"network": model.networks_[0]})()
    for _ in range(5):
        assert not monitor(trainer, History([0.1]))
    assert monitor.best_epoch == 4


@pytest.mark.parametrize("metric", [None, "error", "log_loss", "roc_auc", "balanced_accuracy"])
def test_the_epoch_kept_is_the_best_by_the_metric_on_rows_held_out(metric):
    model = classifier(metric=metric).fit(X[:80], CLASSES[:80], X_val=X[80:], y_val=CLASSES[80:])
    scores = model.validation_scores_[0]
    best = min(scores) if metric == "log_loss" else max(scores)
    last = max(i for i, score in enumerate(scores, 1) if score == best)
    assert (len(scores), model.best_epochs_) == (30, [last])
    if metric == "log_loss":
        assert log_loss(CLASSES[80:], model.predict_proba(X[80:])) == pytest.approx(best, rel=1e-5)
    if metric in (None, "error"):
        assert model.score(X[80:], CLASSES[80:]) == best


def test_rmse_is_in_the_targets_unit_and_of_clipped_predictions():
    y = 1000.0 * REALS
    model = regressor().fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    wanted = root_mean_squared_error(y[80:], model.predict(X[80:]))
    assert min(model.validation_scores_[0]) == pytest.approx(wanted, rel=1e-5)


def test_without_rows_held_out_the_last_epoch_is_kept():
    model = classifier(validation_fraction=0).fit(X, CLASSES)
    assert (model.best_epochs_, model.validation_scores_) == ([30], [[]])


def test_labels_are_not_smoothed_where_probabilities_count():
    smooth, sharp = (
        classifier(metric=m).fit(X, CLASSES).loss_curves_[0] for m in (None, "log_loss")
    )
    assert sharp[-1] < smooth[-1]
    own = classifier(metric="log_loss", label_smoothing=0.1).fit(X, CLASSES).loss_curves_[0]
    assert own == smooth


def test_decay_goes_by_the_factors_once_or_twice():
    once, twice = (classifier(twice_decayed=t).fit(X, CLASSES).networks_[0] for t in (False, True))
    for net, decays in ((once, (1.0, 1.0)), (twice, (0.1, 6.0))):
        waves, scale = net.chain[:2]
        assert waves.parameter_rates() == dict.fromkeys("wbWc", (0.1, decays[0]))
        assert scale.parameter_rates() == {"s": (6.0, decays[1])}


# Members


def test_members_differ_and_are_averaged():
    model = classifier(n_ens=3).fit(X, CLASSES)
    alone = []
    for net in model.networks_:
        model.networks_ = [net]
        alone.append(model.predict_proba(X))
    model = classifier(n_ens=3).fit(X, CLASSES)
    assert not np.allclose(alone[0], alone[1])
    np.testing.assert_allclose(model.predict_proba(X), np.mean(alone, axis=0), rtol=1e-12)
    first = classifier().fit(X, CLASSES)
    np.testing.assert_array_equal(first.predict_proba(X), alone[0])


def test_each_fold_is_held_out_once_and_has_members_of_its_own():
    model = classifier(n_cv=4, n_ens=2).fit(X, CLASSES)
    assert len(model.networks_) == 8
    assert model.score(X, CLASSES) > 0.85
    folds = in_many("", np.arange(N), CLASSES, 4, 0)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(N))
    assert all(np.intersect1d(*fold).size == 0 for fold in folds)


def test_a_share_of_each_class_is_held_out_where_that_can_be():
    rows, held = in_two(np.arange(N), CLASSES, 0.25, 0)
    assert (len(rows), len(held)) == (90, 30)
    shares = [np.bincount(CLASSES[part]) / len(part) for part in (rows, held)]
    np.testing.assert_allclose(*shares, atol=0.03)
    rows, held = in_two(np.arange(5), np.array([0, 1, 2, 3, 3]), 0.25, 0)
    assert (len(rows), len(held)) == (3, 2)


def test_the_same_seed_gives_the_same_bits():
    one, two, other = (classifier(random_state=s).fit(X, CLASSES) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert (one.predict_proba(X) != other.predict_proba(X)).any()


# Weights


def test_rows_of_weight_0_are_none():
    weights = (np.arange(N) % 3 > 0).astype(float)
    kept = weights > 0
    noise = np.where(kept, CLASSES, 0)
    one = classifier(validation_fraction=0).fit(X, CLASSES, weights)
    two = classifier(validation_fraction=0).fit(X, noise, weights)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_weights_and_weights_of_classes_matter():
    y = (X[:, 0] + RNG.normal(size=N) > 1.2).astype(int)
    shares = []
    for weight in (None, "balanced", {0: 0.01, 1: 1.0}):
        model = classifier(class_weight=weight, validation_fraction=0, n_epochs=10).fit(X, y)
        shares.append(model.predict_proba(X)[:, 1].mean())
    by_rows = classifier(validation_fraction=0, n_epochs=10).fit(X, y, np.where(y, 1.0, 0.01))
    assert shares[0] < shares[1] < shares[2]
    assert by_rows.predict_proba(X)[:, 1].mean() == pytest.approx(shares[2])


# Ends


def test_a_time_limit_keeps_the_best_so_far_and_says_so():
    model = classifier(n_epochs=100_000, time_limit=0.3)
    with pytest.warns(
        ConvergenceWarning, match=r"time limit of 0.3 s was over after \d+ of 100000"
    ):
        model.fit(X, CLASSES)
    assert 0 < len(model.loss_curves_[0]) < 100_000
    assert model.best_epochs_[0] <= len(model.loss_curves_[0])


def test_an_interrupted_fit_keeps_the_best_so_far_and_says_so(monkeypatch):
    calls = iter(range(100))

    def interrupted(self: Any, trainer: Any, history: Any) -> bool:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr("nnpoly.estimators.tabular.scoring.Deadline.__call__", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted after 5 of 30 epochs"):
        model = classifier().fit(X, CLASSES)
    assert len(model.validation_scores_[0]) == 5
    assert model.predict(X).shape == (N,)


def test_a_fit_that_fails_leaves_all_as_it_was():
    model = classifier().fit(X, CLASSES)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="y"):
        model.fit(X, np.full(N, np.nan))
    assert vars(model) == before


# Files


@pytest.mark.parametrize("preset", ["TD", "TD-S"])
def test_files_give_the_same_predictions(preset, tmp_path):
    path, frame = tmp_path / "model.safetensors", pl.DataFrame(TABLE)
    for model, y in (
        (classifier(preset, n_ens=2, n_epochs=3), SIGNS),
        (regressor(preset), NUMBERS),
    ):
        model.fit(frame, y).save(path)
        loaded = type(model).load(path)
        np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
        assert loaded.get_params() == model.get_params()
        for name in ("encoding_", "best_epochs_", "validation_scores_", "loss_curves_"):
            assert getattr(loaded, name) == getattr(model, name)
        assert [net.seed for net in loaded.networks_] == [net.seed for net in model.networks_]


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    classifier(n_epochs=1).fit(X, CLASSES).save(path)
    for other in (RealMLPRegressor, MLPClassifier):
        with pytest.raises(ValueError, match="got a 'RealMLPClassifier'"):
            other.load(path)


# Places


@pytest.mark.parametrize(("backend", "preset"), [("torch", "TD"), ("jax", "TD-S")])
def test_other_backends_agree(backend, preset):
    options: dict[str, Any] = {"n_epochs": 1, "batch_size": 96, "dtype": "float64"}
    wanted = classifier(preset, **options).fit(X, CLASSES)
    found = classifier(preset, **options, backend=backend).fit(X, CLASSES)
    np.testing.assert_allclose(found.predict_proba(X), wanted.predict_proba(X), rtol=1e-6)


def test_arrays_of_other_libraries_are_taken():
    torch = pytest.importorskip("torch")
    model = classifier(n_epochs=3).fit(torch.from_numpy(X), torch.from_numpy(CLASSES))
    np.testing.assert_array_equal(model.predict(torch.from_numpy(X)), model.predict(X))


def test_products_in_bfloat16():
    model = classifier(precision="bf16").fit(X, CLASSES)
    assert model.score(X, CLASSES) > 0.8


# Cells that are missing, unknown or odd


def test_unknown_categories_and_missing_cells_are_taken_at_prediction():
    model = classifier().fit(pd.DataFrame(TABLE), SIGNS)
    frame = pd.DataFrame(TABLE).head(3).astype({"count": float})
    frame.loc[0, ["kind", "city", "size"]] = ["new", "elsewhere", np.nan]
    frame = frame.astype({"flag": object})
    frame.loc[1] = [None] * frame.shape[1]
    found = model.predict_proba(frame)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_columns_that_say_nothing_do_no_harm():
    frame = pd.DataFrame({"x": X[:, 0], "none": [np.nan] * N, "same": [3.0] * N, "one": ["a"] * N})
    model = classifier().fit(frame, CLASSES)
    assert model.score(frame, CLASSES) > 0.85
    assert np.isfinite(model.predict_proba(frame.assign(same=7.0, none=1.0))).all()


def test_a_column_of_names_is_left_out():
    frame = pd.DataFrame({"x": X[:, 0], "name": [f"n{i}" for i in range(N)]})
    with pytest.warns(UserWarning, match=r"`X\['name'\]` has a text of its own in every row"):
        model = classifier().fit(frame, CLASSES)
    assert model.encoding_.categories == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = classifier(n_epochs=1, categorical_features=["name"]).fit(frame, CLASSES)
    assert kept.encoding_.sizes == (N + 1,)
    with pytest.raises(ValueError, match="must have a column to learn from"), pytest.warns():
        classifier().fit(frame[["name"]], CLASSES)


def test_ten_thousand_categories():
    codes = RNG.integers(0, 10_000, 30_000)
    frame = pd.DataFrame({"code": [f"t{i}" for i in codes]})
    model = classifier(n_epochs=1).fit(frame, codes % 2)
    assert model.encoding_.sizes == (len(set(codes.tolist())) + 1,)
    with pytest.raises(ValueError, match=r"X\['code'\].*preset='TD'"):
        classifier("TD-S").fit(frame, codes % 2)


def test_numbers_of_any_size():
    y, wide = CLASSES, np.stack([X[:, 0] * 1e-300, X[:, 0] * 1e300, X[:, 0]], axis=1)
    for model in (classifier(), classifier("TD-S")):
        assert model.fit(wide, y).score(wide, y) > 0.85
        far = np.vstack([wide, np.full((1, 3), 1.7e308), np.full((1, 3), -1.7e308)])
        assert np.isfinite(model.predict_proba(far)).all()


def test_two_rows_are_enough():
    for model in (classifier(), classifier(batch_size=1), regressor(), classifier("TD-S")):
        found = model.fit([[0.0], [1.0]], [0, 1]).predict([[0.5]])
        assert found.shape == (1,)


def test_targets_that_are_all_the_same():
    np.testing.assert_allclose(regressor().fit(X, np.full(N, 3.0)).predict(X), 3.0)


# Refusals


BAD: dict[str, tuple[Any, Any, str]] = {
    "one class": (X, np.zeros(N, int), "`y` must have at least two classes, got one class: 0"),
    "a target that is missing": (X, np.where(np.arange(N) < 1, np.nan, 1.0), "y"),
    "infinity": (np.where(X > 2, np.inf, X), CLASSES, r"`X\[:, \d\]` must have no infinity"),
    "dates": (
        pd.DataFrame({"day": pd.date_range("2020-01-01", periods=N)}),
        CLASSES,
        r"`X\['day'\]` must hold real numbers.*Turn dates into numbers first",
    ),
    "objects": (np.array([[{}]] * N), CLASSES, r"`X\[:, 0\]` must hold numbers, texts or booleans"),
    "another number of rows": (X[:-1], CLASSES, "inconsistent numbers of samples"),
    "several labels": (X, np.stack([CLASSES > 0, CLASSES > 1], 1).astype(int), "a label a row"),
    "one row": (X[:1], CLASSES[:1], "n_samples = 1"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_data_are_refused(bad):
    data, y, message = BAD[bad]
    with pytest.raises((ValueError, TypeError), match=f"^RealMLPClassifier.fit: .*{message}"):
        classifier().fit(data, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[["count", "size", "flag", "kind", "city"]], "same order"),
        (lambda frame: frame.drop(columns="kind"), "kind"),
        (lambda frame: frame.assign(size="large"), r"`X\['size'\]` must hold numbers.*got 'large'"),
        (lambda frame: frame.assign(size=np.inf), r"`X\['size'\]` must have no infinity"),
    ],
)
def test_other_columns_than_in_fit_are_refused(change, message):
    frame = pd.DataFrame(TABLE)
    model = classifier(n_epochs=1).fit(frame, SIGNS)
    with pytest.raises(ValueError, match=f"^RealMLPClassifier.predict: (?s:.*){message}"):
        model.predict(change(frame))


PARAMETERS: dict[str, Any] = {
    "preset": "best",
    "hidden_layer_sizes": (0,),
    "activation": "none such",
    "learning_rate": 0.0,
    "dropout": 1.0,
    "weight_decay": -1.0,
    "twice_decayed": "yes",
    "label_smoothing": 1.0,
    "class_weight": "equal",
    "metric": "r2",
    "n_epochs": 0,
    "batch_size": 0,
    "n_ens": 0,
    "n_cv": 0,
    "validation_fraction": 1.0,
    "categorical_features": ["none such"],
    "time_limit": 0.0,
    "random_state": -1,
    "verbose": "much",
    "dtype": "int8",
    "precision": "bf8",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_bad_parameters_are_refused(name):
    with pytest.raises(ValueError, match=f"^RealMLPClassifier.fit: `{name}`"):
        classifier(**{name: PARAMETERS[name]}).fit(X, CLASSES)


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({}, {"X_val": X}, "belong together"),
        ({}, {"sample_weight_val": np.ones(N)}, "needs `X_val` and `y_val`"),
        ({"n_cv": 2}, {"X_val": X, "y_val": CLASSES}, "must be None with n_cv=2"),
        ({"n_cv": N + 1}, {}, f"`n_cv` must be at most the number of rows, {N}"),
        ({}, {"X_val": X, "y_val": CLASSES + 9}, "`y_val` must be among classes_"),
    ],
)
def test_what_does_not_go_together_is_refused(options, given, message):
    with pytest.raises(ValueError, match=f"^RealMLPClassifier.fit: .*{message}"):
        classifier(**options).fit(X, CLASSES, **given)
