"""`tables.fit`: a table in, a trained and measured model out, whatever the kind of model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from made_tables import table_of
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning

import nnpoly as nn
from nnpoly import checkpoint, tables
from nnpoly.estimators import MLPClassifier, RealMLPClassifier, RealMLPRegressor, TabMClassifier
from nnpoly.estimators.tabular.scoring import Deadline
from nnpoly.tables.planning import plan
from nnpoly.tables.results import FILES, LOG, METRICS

N = 120
SMALL: dict[str, Any] = {"epochs": 3, "widths": (8,), "backend": "numpy"}
MODELS: dict[str, dict[str, Any]] = {
    "realmlp": SMALL,
    "tabm": {**SMALL, "n_members": 3},
    "mlp": {**SMALL, "learning_rate": 0.01},
}
TASKS = {"yes": "classification", "rent": "regression"}


def frame(n: int = N, seed: int = 0) -> pl.DataFrame:
    """Return columns of every kind, with missing cells, and a target of each task."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    town = rng.choice(["Aton", "Beeham", "Ceeford"], n)
    return pl.DataFrame(
        {
            "a": [None if i % 19 == 5 else x for i, x in enumerate(a.tolist())],
            "b": b,
            "count": rng.integers(0, 50, n),
            "old": rng.random(n) < 0.3,
            "town": [None if i % 31 == 7 else x for i, x in enumerate(town.tolist())],
            "yes": np.where((a * b > 0) ^ (town == "Aton"), "yes", "no"),
            "rent": 5.0 * b + (town == "Aton"),
        }
    )


def fitted(model: str, target: str = "yes", data: Any = None, **options: Any) -> tables.Fitted:
    data = frame() if data is None else data
    drop = [name for name in TASKS if name != target and name in data.columns]
    return tables.fit(data, target, model=model, drop=drop, **{**MODELS[model], **options})


def outputs(predictions: tables.Predictions) -> np.ndarray:
    return predictions.values if predictions.probabilities is None else predictions.probabilities


# The laws of all models


@pytest.mark.parametrize("target", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_measured_on_rows_that_it_has_not_seen(model, target):
    found = fitted(model, target)
    held_out = found.prepared.held_out
    constant = "majority" if target == "yes" else "mean"
    assert list(found.metrics) == ["network", "linear", "trees", constant]
    assert list(found.seconds) == list(found.metrics)
    assert len(held_out.y) == 24
    assert found.metrics["network"] == found.model.evaluate(held_out.table, "ignore")
    assert found.report["model"] == model
    assert found.report["task"] == TASKS[target]
    assert found.report["holdout"] == found.metrics
    assert sum(found.report["rows"].values()) == N
    assert len(found.history) == len(found.log) == found.report["epochs"] == 3
    assert 1 <= found.report["best_epoch"] <= 3
    by = "RMSE" if target == "rent" else "accuracy"
    panel = next(ax for ax in found.figure().axes if ax.get_title() == "Comparison")
    drawn = dict(zip(found.metrics, (bar.get_width() for bar in panel.patches), strict=True))
    assert drawn == {name: measured[by] for name, measured in found.metrics.items()}
    assert panel.get_xlabel() == by


@pytest.mark.parametrize("model", MODELS)
def test_the_rows_held_out_do_not_show_in_the_model(model):
    before = fitted(model, "rent")
    parts = before.prepared.parts

    def after(row: int) -> np.ndarray:
        row_numbers = pl.int_range(N)
        changed = frame().with_columns(
            pl.when(row_numbers == row).then(50.0).otherwise(pl.col(name)).alias(name)
            for name in ("a", "rent")
        )
        found = fitted(model, "rent", changed)
        np.testing.assert_array_equal(found.prepared.parts.fit, parts.fit)
        return np.concatenate([net.w for net in found.model.networks])

    w = np.concatenate([net.w for net in before.model.networks])
    np.testing.assert_array_equal(after(int(parts.holdout[0])), w)
    assert not np.array_equal(after(int(parts.fit[0])), w)


@pytest.mark.parametrize("target", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_survives_its_file(model, target, tmp_path):
    found = fitted(model, target, n_ens=2) if model != "mlp" else fitted(model, target)
    found.model.save(tmp_path / "m")
    expected = outputs(found.model.predict(frame()))
    for backend in ("numpy", "torch"):
        loaded = tables.load(tmp_path / "m", backend)
        assert (loaded.inputs, loaded.target) == (found.model.inputs, found.model.target)
        assert {net.backend for net in loaded.networks} == {backend}
        bound = 0.0 if backend == "numpy" else 1e-5
        np.testing.assert_allclose(outputs(loaded.predict(frame())), expected, bound, bound)
    text = found.model.summary()
    assert f"predicts {found.model.target}" in text
    assert ("and 1 more like it" in text) == (model != "mlp")
    if model == "mlp":
        assert "  a      number, or missing\n" in text
    else:
        assert "  old    one of 2 categories\n  town   one of 3 categories\n" in text


def test_one_seed_gives_one_model_whatever_the_data_come_in(tmp_path):
    data = frame().drop("rent")
    data.write_csv(tmp_path / "t.csv")
    data.write_parquet(tmp_path / "t.parquet")
    as_pandas = pd.DataFrame(data.to_dict(as_series=False))
    path = tmp_path / "t.csv"
    given = [path, str(path), tmp_path / "t.parquet", as_pandas, data.to_arrow(), tables.read(path)]
    expected = outputs(tables.fit(data, "yes", **SMALL).model.predict(data))
    for other in given:
        found = tables.fit(other, "yes", **SMALL).model
        np.testing.assert_array_equal(outputs(found.predict(other)), expected)
    other = tables.fit(data, "yes", **SMALL, seed=1).model
    assert not np.array_equal(outputs(other.predict(data)), expected)


def test_a_model_is_the_estimator_of_its_rows_and_columns():
    for target, kind in {"yes": RealMLPClassifier, "rent": RealMLPRegressor}.items():
        found = fitted("realmlp", target, epochs=5, dropout=0.3, seed=4)
        fit, validation, _ = found.prepared.parts
        X = frame().select("a", "b", "count", pl.col("old").cast(pl.Int8).cast(pl.String), "town")
        y = frame()[target].to_numpy()
        if target == "yes":
            y = (y == "yes").astype(int)
        options = {"n_epochs": 5, "hidden_layer_sizes": (8,), "dropout": 0.3, "random_state": 4}
        model = kind(**options, backend="numpy")
        model.fit(X[fit], y[fit], X_val=X[validation], y_val=y[validation])
        predict = model.predict_proba if target == "yes" else model.predict
        np.testing.assert_array_equal(outputs(found.model.predict(frame())), predict(X))


def test_the_default_is_realmlp():
    assert tables.fit(frame().drop("rent"), "yes", **SMALL).report["model"] == "realmlp"


# Which rows are measured on


@pytest.mark.parametrize("model", MODELS)
def test_a_table_to_measure_on(model, tmp_path):
    test = frame(40, seed=9).with_columns(pl.lit("more").alias("extra"))
    test.write_csv(tmp_path / "test.csv")
    for given in (test, tmp_path / "test.csv"):
        found = fitted(model, test=given)
        assert found.report["rows"]["holdout"] == 40
        assert found.report["rows"]["fit"] + found.report["rows"]["validation"] == N
        assert found.metrics["network"] == found.model.evaluate(given)
    made = plan(frame().drop("rent"), "yes", model=model, test=given, **MODELS[model])
    assert "of test.csv to measure on" in made.text


def test_rows_to_measure_on_without_a_target_are_left_out_and_counted():
    test = frame(40).with_columns(yes=pl.when(pl.int_range(40) < 5).then(None).otherwise("yes"))
    made = plan(frame().drop("rent"), "yes", test=test, **SMALL)
    assert "35 rows (5 more have no 'yes' and are left out)" in made.text
    assert len(made.prepared.held_out.y) == 35


COLUMNS = {
    "booleans": (lambda r: (r == "test").tolist(), False),
    "integers": (lambda r: (r == "test").astype(int).tolist(), False),
    "words": (lambda r: np.char.capitalize(r).tolist(), True),
}


@pytest.mark.parametrize(("cells", "validates"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_that_says_which_rows_to_measure_on(cells, validates, tmp_path):
    roles = np.random.default_rng(1).choice(["train", "validation", "test"], N)
    data = frame().drop("rent").with_columns(part=pl.Series(cells(roles)))
    data.write_csv(tmp_path / "t.csv")
    for given in (data, tmp_path / "t.csv"):
        found = tables.fit(given, "yes", test_column="part", **SMALL)
        parts, prepared = found.prepared.parts, found.prepared
        np.testing.assert_array_equal(parts.holdout, np.flatnonzero(roles == "test"))
        assert prepared.schema.left_out == {"part": "it says which rows are for the test"}
        if validates:
            np.testing.assert_array_equal(parts.validation, np.flatnonzero(roles == "validation"))
        others = np.sort(np.concatenate([parts.fit, parts.validation]))
        np.testing.assert_array_equal(others, np.flatnonzero(roles != "test"))


def parted(*cells: Any) -> pl.DataFrame:
    """Return a frame whose last rows have these cells in the column part, the others "train"."""
    part = [*["train"] * (N - len(cells)), *cells]
    return frame().drop("rent").with_columns(part=pl.Series(part))


REFUSED_PARTS = {
    "no test": (parted("train"), "column 'part' says that no row is for the test"),
    "no training": (parted(*["test"] * N), "column 'part' says that no row is to train on"),
    "a word": (parted("test", "later"), "'part' has 'later' in row 119 (from 0), but must say whi"),
    "a gap": (parted("test", None), "'part' is empty in row 119 (from 0), but must say which"),
    "a label": (
        parted("test").with_columns(
            yes=pl.when(pl.int_range(N) == N - 1).then(pl.lit("maybe")).otherwise("yes")
        ),
        "column 'yes' has 'maybe' in row 119 (from 0), which is none of the model's classes",
    ),
    "a class": (
        parted(*["validation"] * 3, "test").with_columns(
            yes=pl.when(pl.int_range(N).is_between(N - 4, N - 2))
            .then(pl.lit("maybe"))
            .otherwise("yes")
        ),
        "column 'yes' has the class 'maybe' in no row to train on",
    ),
}


@pytest.mark.parametrize(("data", "message"), REFUSED_PARTS.values(), ids=REFUSED_PARTS)
def test_columns_of_parts_that_are_refused(data, message, forbid):
    forbid(nn.Ensemble, "fit")
    with pytest.raises(ValueError, match=re.escape(message)):
        tables.fit(data, "yes", test_column="part", **SMALL)


@pytest.mark.parametrize("model", MODELS)
def test_no_rows_held_out(model, tmp_path):
    found = fitted(model, holdout=0)
    assert (found.metrics, found.predictions) == ({}, None)
    assert found.report["rows"]["holdout"] == 0
    assert str(found).endswith("no rows are held out, so nothing is measured")
    assert tables.baselines(found.prepared) == {}
    found.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    assert json.loads((tmp_path / "out" / METRICS).read_text())["holdout"] == {}


@pytest.mark.parametrize("model", ["realmlp", "tabm"])
def test_folds_train_on_all_rows_that_are_not_held_out(model):
    found = fitted(model, n_cv=3)
    assert found.report["rows"] == {"fit": 96, "validation": 0, "holdout": 24}
    assert found.report["networks"] == len(found.model.networks) == 3
    assert len(found.report["best_epoch"]) == 3
    assert len(found.history) == 3
    assert [(line["network"], line["epoch"]) for line in found.log] == [
        (k, i) for k in range(3) for i in (1, 2, 3)
    ]
    scores = [line["validation_score"] for line in found.log]
    assert [scores[:3], scores[3:6], scores[6:]] == found.model.estimator.validation_scores_


def test_without_rows_of_validation_the_last_epoch_is_kept():
    found = fitted("realmlp", validation=0)
    assert found.report["rows"] == {"fit": 96, "validation": 0, "holdout": 24}
    assert found.report["best_epoch"] == 3
    assert found.text == "3 epochs, of which the last is kept"


# What it is measured beside


@pytest.mark.parametrize(
    ("target", "kind"),
    [("yes", HistGradientBoostingClassifier), ("rent", HistGradientBoostingRegressor)],
)
def test_trees_are_scikit_learns_on_plain_columns(target, kind):
    table = tables.as_table(frame())
    drop = [name for name in TASKS if name != target]
    ready = tables.prepare(table, target, TASKS[target], drop=drop)
    towns = ready.inputs.categories[0].values
    codes = [towns.index(town) for town in frame()["town"].to_list()]
    X = np.column_stack([frame().select("a", "b", "count", "old").cast(pl.Float64), codes])
    fit, validation, holdout = ready.parts
    rows = np.sort(np.concatenate([fit, validation]))
    model = kind(categorical_features=[4], random_state=0).fit(X[rows], ready.y[rows])
    if target == "yes":
        predicted = model.predict_proba(X[holdout])
        expected = tables.metrics.classification(ready.y[holdout], predicted)
    else:
        expected = tables.metrics.regression(ready.y[holdout], model.predict(X[holdout]))
    assert tables.baselines(ready)["trees"] == expected


def test_many_classes_have_no_trees():
    data = pl.DataFrame(
        {"x": [i / 4 for i in range(404)], "y": [f"c{i % 101}" for i in range(404)]}
    )
    found = tables.fit(data, "y", model="mlp", holdout=0.26, validation=0.34, epochs=1)
    assert list(found.metrics) == ["network", "linear", "majority"]


def test_the_best_is_told():
    found = fitted("mlp", "rent")
    rmse = {name: measured["RMSE"] for name, measured in found.metrics.items()}
    assert f"\nbest: by RMSE {min(rmse, key=rmse.__getitem__)}\n" in str(found)


# Columns


@pytest.mark.parametrize("model", MODELS)
def test_categories_that_were_not_in_training(model):
    found = fitted(model).model
    new = frame(3).with_columns(town=pl.Series(["Aton", "Deeburg", None]))
    with pytest.raises(ValueError, match=r"'town' has 'Deeburg' in row 1 .* none of the categorie"):
        found.predict(new)
    assert len(found.predict(new, "ignore").values) == 3
    known = found.predict(new[[0, 2]])
    np.testing.assert_allclose(
        outputs(known), outputs(found.predict(new, "ignore"))[[0, 2]], rtol=1e-6
    )


def test_many_categories_are_embedded_or_refused_with_the_remedy():
    towns = [f"t{i % 1500}" for i in range(3000)]
    data = pl.DataFrame({"town": towns, "x": range(3000), "y": [i % 3 == 0 for i in range(3000)]})
    found = tables.fit(data, "y", epochs=1, widths=(4,))
    assert len(found.model.inputs.categories[0].values) > 1001
    for model in ("mlp", "tabm"):
        with pytest.raises(ValueError, match=r"categories, more than 1000\. .*--model realmlp\)"):
            plan(data, "y", model=model)


def test_columns_of_a_categorical_type_are_categories():
    codes = [i % 4 for i in range(N)]
    as_pandas = pd.DataFrame({"code": pd.Categorical(codes), "x": range(N), "y": codes})
    as_polars = pl.DataFrame({"code": [str(code) for code in codes], "x": range(N), "y": codes})
    as_polars = as_polars.with_columns(pl.col("code").cast(pl.Categorical))
    for data in (as_pandas, as_polars, as_polars.to_arrow()):
        made = plan(data, "y", **SMALL)
        assert made.prepared.schema.categories == {"code": True}
        assert [c.values for c in made.prepared.inputs.categories] == [("0", "1", "2", "3")]


PANDAS = {
    "integer": (pd.array([1, None, 3], dtype="Int64"), ["1", None, "3"]),
    "large": (pd.Series([2**70, 1, None], dtype=object), [str(2**70), "1", None]),
    "float": (np.array([1.5, np.nan, 3]), ["1.5", None, "3"]),
    "half": (np.array([1.5, np.nan, 3], np.float16), ["1.5", None, "3"]),
    "objects": (pd.Series([1, 2.5, None], dtype=object), ["1", "2.5", None]),
    "truths": (pd.array([True, None, False], dtype="boolean"), ["True", None, "False"]),
    "texts": (pd.array([" a", None, "NA"], dtype="string"), ["a", None, None]),
    "mixed": (pd.Series(["a", 1, None], dtype=object), ["a", "1", None]),
    "Arrow's": (pd.array([1, None, 3], dtype="int64[pyarrow]"), ["1", None, "3"]),
}


@pytest.mark.parametrize(("column", "expected"), PANDAS.values(), ids=PANDAS)
def test_columns_of_pandas(column, expected):
    table = tables.as_table(pd.DataFrame({"x": column}))
    if table.kind("x") == "boolean":
        assert table.frame["x"].to_list() == [True, None, False]
    else:
        assert table.texts("x", numeric=True) == expected


def test_dates_of_pandas_are_dates():
    days = pd.to_datetime(["2024-01-01", None, "2024-03-01"])
    for column in (days, days.tz_localize("UTC")):
        assert tables.as_table(pd.DataFrame({"x": column})).kind("x") == "date"


def test_frames_that_are_none():
    for given in (np.zeros((3, 2)), 5, pl.LazyFrame({"x": [1]})):
        with pytest.raises(TypeError, match="fit: `data` must be a frame of pandas, polars or Arr"):
            tables.fit(given, "y")
    with pytest.raises(ValueError, match="fit: `data` has no rows"):
        tables.fit(pl.DataFrame({"y": []}), "y")
    twice = pd.DataFrame(np.zeros((3, 2)), columns=["x", "x"])
    with pytest.raises(ValueError, match="fit: `data` has two columns 'x': rename one"):
        tables.fit(twice, "x")
    assert tables.as_table(pa.table({"x": [1, 2]})).names == ["x"]


# Options


def test_options_are_the_estimators_parameters():
    found = fitted(
        "realmlp",
        preset="TD-S",
        activation="tanh",
        learning_rate=0.01,
        metric="log_loss",
        batch_size=16,
        class_weight="balanced",
        dtype="float64",
    )
    parameters = found.model.estimator.get_params()
    expected = {
        "preset": "TD-S",
        "activation": "tanh",
        "learning_rate": 0.01,
        "metric": "log_loss",
        "batch_size": 16,
        "class_weight": "balanced",
        "dtype": "float64",
        "n_epochs": 3,
        "hidden_layer_sizes": (8,),
    }
    assert {name: parameters[name] for name in expected} == expected
    assert found.model.networks[0].dtype == "float64"
    assert found.report["class_weight"] == "balanced"
    assert "the log_loss on rows not trained on was best after epoch" in found.text
    mini = fitted("tabm", arch="tabm-mini", num_embeddings="piecewise", patience=2)
    parameters = mini.model.estimator.get_params()
    assert isinstance(mini.model.estimator, TabMClassifier)
    assert (parameters["arch"], parameters["patience"]) == ("tabm-mini", 2)


WRONG: list[tuple[type[Exception], str, dict[str, Any], str]] = [
    (TypeError, "realmlp", {"patience": 3}, "`patience` (--patience) is no option of 'realmlp', w"),
    (TypeError, "mlp", {"n_ens": 3}, "`n_ens` (--n-ens) is no option of 'mlp', which has activati"),
    (TypeError, "tabm", {"preset": "TD"}, "`preset` (--preset) is no option of 'tabm', which has"),
    (ValueError, "tree", {}, "fit: `model` must be one of mlp, realmlp, tabm, got 'tree'"),
    (ValueError, "mlp", {"task": "guess"}, "`task` must be one of classification, regression"),
    (ValueError, "mlp", {"holdout": 1.0}, "`holdout` must be below 1, got 1.0"),
    (ValueError, "mlp", {"holdout": 0.001}, "`holdout` 0.001 of 120 rows is 0, but each part"),
    (ValueError, "mlp", {"validation": 0}, "`validation` must be > 0 for 'mlp', whose training"),
    (ValueError, "realmlp", {"holdout": 0.1, "test": "t.csv"}, "`holdout` must be None with `test"),
    (ValueError, "realmlp", {"test": "t", "test_column": "a"}, "`test_column` must be None with `"),
    (ValueError, "realmlp", {"test_column": "part"}, "has no column 'part'"),
    (ValueError, "realmlp", {"metric": "mass"}, "`metric` must be one of accuracy,"),
    (ValueError, "realmlp", {"epochs": 0}, "`n_epochs` must be an integer >= 1, got 0"),
    (ValueError, "realmlp", {"class_weight": "rare"}, "`class_weight` must be one of balanced"),
    (ValueError, "realmlp", {"seed": -1}, "`seed` must be an integer >= 0, got -1"),
    (ValueError, "realmlp", {"backend": "abacus"}, "`backend` must be one of"),
    (ValueError, "realmlp", {"precision": "tf32"}, "`precision` must be None or 'bf16' on numpy"),
    (FileNotFoundError, "realmlp", {"test": "none.csv"}, "none.csv is no file"),
]


@pytest.mark.parametrize(("kind", "model", "options", "message"), WRONG)
def test_mistakes_before_any_work(kind, model, options, message, forbid):
    forbid(nn.Ensemble, "fit")
    forbid(nn.Trainer, "fit")
    given = {"model": model, "backend": "numpy", **options}
    with pytest.raises(kind) as caught:
        tables.fit(frame().drop("rent"), "yes", **given)
    assert message in str(caught.value)


def test_class_weights_are_for_classes():
    with pytest.raises(ValueError, match="is for classes, but 'rent' holds numbers"):
        tables.fit(frame(), "rent", class_weight="balanced")


def test_precision_is_the_models_too():
    data = frame().drop("rent")
    options = {**SMALL, "widths": (32, 32)}
    rounded, exact = (tables.fit(data, "yes", **options, precision=p) for p in ("bf16", None))
    assert (rounded.report["precision"], exact.report["precision"]) == ("bf16", None)
    first, second = (found.model.networks[0].w for found in (rounded, exact))
    assert not np.array_equal(first, second)
    held_out, model = rounded.prepared.held_out.table, rounded.model
    predicted = outputs(model.predict(held_out, "ignore", precision="bf16"))
    np.testing.assert_array_equal(outputs(rounded.predictions), predicted)
    assert not np.array_equal(outputs(model.predict(held_out, "ignore")), predicted)


# Ends


def test_a_time_limit_keeps_the_best_so_far_and_warns():
    with pytest.warns(ConvergenceWarning, match="the time limit .* the best so far is kept"):
        found = fitted("realmlp", epochs=10_000, time_limit=1e-3)
    assert found.report["epochs"] == len(found.history) < 10_000


def test_an_interrupted_fit_keeps_the_best_so_far_and_warns(monkeypatch):
    def interrupt(self: Any, trainer: Any, history: Any) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Deadline, "__call__", interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted after . of 50 epochs; the best so fa"):
        found = fitted("realmlp", epochs=50)
    assert set(found.metrics) == {"network", "linear", "trees", "majority"}


def test_a_training_that_diverges_says_what_became_so():
    message = r"RealMLPClassifier.fit: .* became .* in epoch \d+, step \d+\. The estimator is"
    with pytest.raises(nn.NonFiniteLossError, match=message):
        fitted("realmlp", epochs=20, learning_rate=1e30)


# Files


def test_the_files_of_a_fit(tmp_path):
    found = fitted("tabm", n_ens=2)
    found.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    assert json.loads((tmp_path / "out" / METRICS).read_text()) == found.report
    *lines, last = map(json.loads, (tmp_path / "out" / LOG).read_text().splitlines())
    assert lines == found.log
    assert last["final"]["holdout"] == found.metrics
    with pytest.raises(FileNotFoundError):
        found.save(tmp_path / "none" / "out")


@pytest.fixture
def saved(tmp_path) -> Path:
    """The file of a RealMLP of a table."""
    fitted("realmlp").model.save(tmp_path / "m")
    return tmp_path / "m"


def test_a_models_file_is_its_estimators_too(saved):
    model = tables.load(saved)
    X = model.inputs.encode(tables.as_table(frame()))
    estimator = RealMLPClassifier.load(saved)
    expected = outputs(model.predict(frame()))
    np.testing.assert_array_equal(estimator.predict_proba(X), expected)
    with pytest.raises(ValueError, match=r"got a table's model\. Use nnpoly\.tables\.load"):
        MLPClassifier.load(saved)
    assert set(checkpoint.load_extra(saved)) == {"table", "estimator"}


def test_extra_data_of_an_estimator(tmp_path):
    model = fitted("realmlp").model.estimator
    model.save(tmp_path / "m", {"note": [1, "two"]})
    assert checkpoint.load_extra(tmp_path / "m")["note"] == [1, "two"]
    with pytest.raises(TypeError, match="`extra` must be a mapping"):
        model.save(tmp_path / "m", 5)


def test_an_estimator_of_another_table_is_refused():
    model = fitted("realmlp").model
    other = tables.TableColumns(("a",), ())
    with pytest.raises(ValueError, match=r"`estimator` must read \['a'\] and predict 2 classes"):
        tables.EstimatorModel(model.estimator, other, model.target)
    with pytest.raises(ValueError, match=r"must read .* and predict 'rent'"):
        tables.EstimatorModel(model.estimator, model.inputs, tables.Quantity("rent", 0.0, 1.0))
    three = tables.Classes("yes", ("a", "b", "c"))
    with pytest.raises(ValueError, match="must predict the indices of 3 classes, got"):
        tables.EstimatorModel(model.estimator, model.inputs, three)
    with pytest.raises(ValueError, match="`inputs` must be a TableColumns"):
        tables.EstimatorModel(model.estimator, None, model.target)


def test_a_table_needs_ten_rows_with_a_target():
    with pytest.raises(ValueError, match="at least 10 rows with a target are needed, got 2"):
        tables.fit(table_of(x=[1, 2], y=["a", "b"]), "y")
