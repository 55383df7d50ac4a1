"""Baselines: what a network is measured beside, so that one sees whether it is worth it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .fitting import HeldOut, Prepared
from .table import Table
from .targets import Classes

MOST_CLASSES = 100  # of the trees, of which there is a forest for each class
FEWEST_SHARED = 100_000  # rows; OpenMP's threads wait for each other, and on a busy machine long
MOST_CODES = 255  # categories of a column, which histograms have bins for


class Baseline(NamedTuple):
    """A baseline's name, its metrics on the rows held out, and the seconds of its fit."""

    name: str
    metrics: metrics.Metrics
    seconds: float


def baselines(prepared: Prepared) -> dict[str, metrics.Metrics]:
    """Measure a linear model, boosted trees and a constant on the rows held out, by name.

    All are fitted to the rows to train on and to stop early with: the linear model on the inputs of
    `Preprocessing`, the trees (scikit-learn's HistGradientBoosting) on numbers and categories as
    they are. Over 100 classes there are no trees, which would take long.
    """
    held_out = prepared.held_out
    if held_out is None:
        return {}
    return {found.name: found.metrics for found in measured(prepared, held_out)}


def measured(prepared: Prepared, held_out: HeldOut) -> Iterator[Baseline]:
    """Yield the baselines; see `baselines`."""
    fit, validation, _ = prepared.parts
    rows = np.sort(np.concatenate([fit, validation]))
    X, y = prepared.X[rows], prepared.y[rows]
    linear, trees, constant = _estimators(prepared)
    yield _measured("linear", linear, (X, y), held_out.X, held_out.y)
    if trees is not None:
        columns = _plain(prepared, prepared.table)[rows]
        X_test = _plain(prepared, held_out.table)
        yield _measured("trees", trees, (columns, y), X_test, held_out.y)
    name = "majority" if isinstance(prepared.target, Classes) else "mean"
    yield _measured(name, constant, (X, y), held_out.X, held_out.y)


def _measured(name: str, estimator: Any, data: Any, X: Any, y: NDArray[Any]) -> Baseline:
    from threadpoolctl import threadpool_limits

    start, threads = perf_counter(), 1 if len(data[1]) < FEWEST_SHARED else None
    with warnings.catch_warnings(), threadpool_limits(threads, "openmp"):
        warnings.simplefilter("ignore")  # LogisticRegression's, where it has not converged
        estimator.fit(*data)
    seconds = perf_counter() - start
    if hasattr(estimator, "predict_proba"):
        return Baseline(name, metrics.classification(y, estimator.predict_proba(X)), seconds)
    return Baseline(name, metrics.regression(y, estimator.predict(X)), seconds)


def _estimators(prepared: Prepared) -> tuple[Any, Any, Any]:
    """Return the linear model, the trees and the constant."""
    from sklearn import ensemble
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    numbers, categories = len(prepared.inputs.numbers), prepared.inputs.categories
    coded = [len(category.values) <= MOST_CODES for category in categories]
    options = {"categorical_features": [False] * numbers + coded, "random_state": 0}
    target = prepared.target
    if not isinstance(target, Classes):
        return Ridge(), ensemble.HistGradientBoostingRegressor(**options), DummyRegressor()
    many = len(target.classes) > MOST_CLASSES
    trees = None if many else ensemble.HistGradientBoostingClassifier(**options)
    return LogisticRegression(max_iter=1000), trees, DummyClassifier()


def _plain(prepared: Prepared, table: Table) -> NDArray[np.float64]:
    """Return numbers and the places of categories: (n, m); NaN is missing, or unknown."""
    inputs = prepared.inputs
    X = np.empty((len(table), len(inputs.columns)))
    for j, name in enumerate(inputs.numbers):
        X[:, j] = table.numbers(name)
    for j, category in enumerate(inputs.categories, len(inputs.numbers)):
        places = category.places(table, "ignore")
        X[:, j] = np.where(places < 0, np.nan, places)
    return X
