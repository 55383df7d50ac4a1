"""The contestants of tables.py: networks for tables and boosted trees, each with its defaults.

A case is a name of `table_sets.SETS`. Contestants get frames with categories and missing cells
where they take them; where they don't, what they lack comes before them: scikit-learn's scaling,
one-hot encoding and imputation.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from table_sets import TableSet, parts, table
from timing import Case

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
REPEATS = 3  # of a prediction, of which the median counts
FEW = 1_000  # rows of the predictions that are timed

Maker = Callable[[bool, int], Any]  # of whether for classes, and the seed


def encoded(model: Any) -> Any:
    """Return a pipeline: numbers are imputed and standardised, categories have an input each."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    is_word = make_column_selector(dtype_include="category")
    is_number = make_column_selector(dtype_exclude="category")
    return make_pipeline(make_column_transformer((numbers, is_number), (words, is_word)), model)


def imputed(model: Any) -> Any:
    """Return a pipeline before which missing numbers become the mean; categories stay."""
    is_word = make_column_selector(dtype_include="category")
    is_number = make_column_selector(dtype_exclude="category")
    filled = make_column_transformer(
        (SimpleImputer(), is_number), ("passthrough", is_word), verbose_feature_names_out=False
    ).set_output(transform="pandas")
    return make_pipeline(filled, model)


class WithTexts:
    """CatBoost, which wants categories as texts, the missing ones too."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def _texts(self, X: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        words = [name for name in X if X[name].dtype == "category"]
        return X.assign(
            **{name: X[name].astype(object).fillna("-").astype(str) for name in words}
        ), words

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> WithTexts:
        """Fit it."""
        X, words = self._texts(X)
        self.model.fit(X, y, cat_features=words)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict."""
        return self.model.predict(self._texts(X)[0])

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Predict probabilities."""
        return self.model.predict_proba(self._texts(X)[0])


def nnpoly(name: str, *given: Any, **options: Any) -> Maker:
    """One of nnpoly's networks for tables, RealMLP or TabM, on frames as they are."""

    def make(classes: bool, seed: int) -> Any:
        from nnpoly import estimators

        kind = getattr(estimators, f"{name}{'Classifier' if classes else 'Regressor'}")
        return kind(*given, random_state=seed, **options)

    return make


def mlp_of(library: str) -> Maker:
    """A plain MLP with its defaults, of nnpoly or scikit-learn."""

    def make(classes: bool, seed: int) -> Any:
        if library == "nnpoly":
            from nnpoly import estimators as module
        else:
            from sklearn import neural_network as module
        kind = module.MLPClassifier if classes else module.MLPRegressor
        return encoded(kind(random_state=seed))

    return make


def pytabkit(name: str) -> Maker:
    """One of pytabkit's networks on the CPU, RealMLP_TD, RealMLP_TD_S or TabM_D."""

    def make(classes: bool, seed: int) -> Any:
        import pytabkit

        kind = getattr(pytabkit, f"{name}_{'Classifier' if classes else 'Regressor'}")
        return imputed(kind(device="cpu", random_state=seed, n_threads=THREADS, verbosity=0))

    return make


def histograms(classes: bool, seed: int) -> Any:
    """scikit-learn's boosted trees."""
    from sklearn import ensemble

    kind = (
        ensemble.HistGradientBoostingClassifier
        if classes
        else ensemble.HistGradientBoostingRegressor
    )
    return kind(categorical_features="from_dtype", random_state=seed)


def lightgbm(classes: bool, seed: int) -> Any:
    """LightGBM's boosted trees."""
    import lightgbm

    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    return kind(random_state=seed, n_jobs=THREADS, verbose=-1)


def xgboost(classes: bool, seed: int) -> Any:
    """XGBoost's boosted trees."""
    import xgboost

    kind = xgboost.XGBClassifier if classes else xgboost.XGBRegressor
    return kind(random_state=seed, n_jobs=THREADS, enable_categorical=True)


def catboost(classes: bool, seed: int) -> Any:
    """CatBoost's boosted trees."""
    import catboost

    kind = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    options = {"verbose": False, "allow_writing_files": False, "thread_count": THREADS}
    return WithTexts(kind(random_seed=seed, **options))


CONTESTANTS: dict[str, Maker] = {
    "nnpoly RealMLP": nnpoly("RealMLP"),
    "nnpoly RealMLP, 5": nnpoly("RealMLP", n_ens=5),
    "nnpoly RealMLP-S": nnpoly("RealMLP", "TD-S"),
    "nnpoly TabM": nnpoly("TabM"),
    "nnpoly MLP": mlp_of("nnpoly"),
    "pytabkit RealMLP-TD": pytabkit("RealMLP_TD"),
    "pytabkit RealMLP-TD-S": pytabkit("RealMLP_TD_S"),
    "pytabkit TabM": pytabkit("TabM_D"),
    "scikit-learn MLP": mlp_of("scikit-learn"),
    "scikit-learn HistGB": histograms,
    "lightgbm": lightgbm,
    "xgboost": xgboost,
    "catboost": catboost,
}


def versions(contestant: str) -> dict[str, str]:
    """Return the versions of the contestant's libraries."""
    library = contestant.split()[0]
    others = ["torch"] if library == "pytabkit" else ["numpy"]
    return {name: metadata.version(name) for name in (library, *others)}


def prepare(contestant: str, case: str) -> Case:
    """Return fits on a set."""
    warnings.simplefilter("ignore")
    return Fits(CONTESTANTS[contestant], case)


class Fits(Case):
    """Fits on a set, a seed a round, which decides the split too."""

    def __init__(self, make: Maker, name: str) -> None:
        found: TableSet = table(name)
        super().__init__(shape=list(found.X.shape), classes=found.classes)
        self.make, self.name, self.classes = make, name, found.classes

    def sample(self, number: int) -> dict[str, float]:
        """Return errors on the rows held out, seconds, and the process's highest memory."""
        X, X_test, y, y_test = parts(self.name, number)
        forget_peak()
        model = self.make(self.classes, number)
        found = {"fit": seconds(lambda: model.fit(X, y))}
        if self.classes:
            f = np.asarray(model.predict_proba(X_test), float)
            found["error"] = float(np.mean(f.argmax(axis=1) != y_test))
            found["log_loss"] = float(log_loss(y_test, f, labels=range(f.shape[1])))
        else:
            f = np.asarray(model.predict(X_test), float).reshape(-1)
            found["error"] = float(np.sqrt(np.mean((f - y_test) ** 2)))
        few = pd.concat([X] * -(-FEW // len(X)))[:FEW]
        times = [seconds(lambda: model.predict(few)) for _ in range(REPEATS)]
        return found | {"predict": sorted(times)[REPEATS // 2], "megabytes": peak_megabytes()}


def seconds(function: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = perf_counter()
    function()
    return perf_counter() - start


STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Begin the process's highest memory anew, where Linux can."""
    if FORGET.exists():
        FORGET.write_text("5")


def peak_megabytes() -> float:
    """Return the highest memory of the process since then; NaN where it isn't told."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return int(found[1]) / 1024 if found else float("nan")
