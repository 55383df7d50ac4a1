"""Preparing a table for training: the split of its rows, the encoded data, and baselines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .columns import Preprocessing, Schema, require_near, require_sklearn
from .table import Table
from .targets import Classes, Quantity, Target

FEWEST_ROWS = 10


class Split(NamedTuple):
    """The indices of the rows to train on, to stop early with, and held out."""

    fit: NDArray[np.int64]
    validation: NDArray[np.int64]
    holdout: NDArray[np.int64]


def split(
    n: int,
    labels: NDArray[np.int64] | None = None,
    holdout: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """Split n rows at random into those to train on, to stop early with, and held out.

    Parameters
    ----------
    n
        The number of rows.
    labels
        Class indices (n,): every part has each class in the same proportion. None for numbers.
    holdout
        The share of the rows to hold out.
    validation
        The share of the other rows to stop early with.
    seed
        An integer >= 0 that determines the split.

    Examples
    --------
    >>> from nnpoly import tables
    >>> [len(part) for part in tables.split(100)]
    [72, 8, 20]
    """
    require_sklearn()
    training, held_out = _in_two("holdout", np.arange(n), labels, holdout, seed)
    fit, stop = _in_two("validation", training, labels, validation, seed)
    return Split(fit, stop, held_out)


def _in_two(
    name: str, rows: NDArray[np.int64], labels: NDArray[np.int64] | None, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows in two, the second with `share` of them; `name` is that option's name."""
    from sklearn.model_selection import train_test_split

    classes = None if labels is None else labels[rows]
    fewest = 1 if classes is None else len(np.unique(classes))
    size = round(share * len(rows))
    if not fewest <= size <= len(rows) - fewest:
        raise ValueError(
            f"split: `{name}` {share:g} of {len(rows)} rows is {size}, but each part needs at "
            f"least {fewest}{'' if classes is None else ', a row a class'}. Change --{name}."
        )
    parts = train_test_split(rows, test_size=size, stratify=classes, random_state=seed % 2**32)
    first, second = (np.sort(part) for part in parts)
    return first, second


@dataclass(frozen=True)
class Prepared:
    """A table prepared for training.

    Attributes
    ----------
    schema, inputs, target
        The columns' roles, the preprocessing and the target, fitted to the rows to train on.
    parts
        The split of the rows.
    X
        The inputs of all rows: (n, m_0). Large and of many categories: sparse, in CSR format.
    y
        The class indices, or the numbers in the column's unit: (n,).
    unknown
        The number of rows with a category that no row to train on has.
    """

    schema: Schema
    inputs: Preprocessing
    target: Target
    parts: Split
    X: Any
    y: NDArray[Any]
    unknown: int

    def training(self, rows: NDArray[np.int64]) -> tuple[Any, NDArray[Any]]:
        """Return X and y of some rows as training takes them: numbers are standardised."""
        y = self.y[rows]
        return self.X[rows], y if isinstance(self.target, Classes) else self.target.standardised(y)


def prepare(
    table: Table,
    target: str,
    task: str,
    *,
    categorical: Any = (),
    drop: Any = (),
    holdout: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
) -> Prepared:
    """Split a table, and fit the preprocessing to the rows to train on alone.

    Parameters
    ----------
    table
        A table whose rows all have a target.
    target
        The column to predict.
    task
        "classification" or "regression".
    categorical, drop
        As for `Schema.of`.
    holdout, validation, seed
        As for `split`.
    """
    n = len(table)
    if n < FEWEST_ROWS:
        raise ValueError(
            f"prepare: {table.source}: at least {FEWEST_ROWS} rows with a target are needed, got "
            f"{n}."
        )
    classes = Classes.fit(table, target) if task == "classification" else None
    labels = None if classes is None else classes.encode(table)
    parts = split(n, labels, holdout, validation, seed)
    training = table.take(parts.fit)
    predicted = classes or Quantity.fit(training, target)
    y: NDArray[Any] = predicted.encode(table) if labels is None else labels
    if isinstance(predicted, Quantity):
        require_near(table, target, predicted.standardised(y), predicted.mean, predicted.scale)
    schema = Schema.of(table, target, parts.fit, categorical, drop)
    inputs = Preprocessing.fit(training, schema)
    unknown = np.zeros(n, np.bool_)
    for category in inputs.categories:
        unknown |= category.unknown(table)
    return Prepared(
        schema=schema,
        inputs=inputs,
        target=predicted,
        parts=parts,
        X=inputs.encode(table, "ignore"),
        y=y,
        unknown=int(unknown.sum()),
    )


def baselines(prepared: Prepared) -> dict[str, metrics.Metrics]:
    """Measure a linear model and a constant on the rows held out, by name.

    Both are fitted to the rows to train on and to stop early with, on the network's inputs.
    """
    fit, validation, holdout = prepared.parts
    rows = np.sort(np.concatenate([fit, validation]))
    X, y, X_test = prepared.X[rows], prepared.y[rows], prepared.X[holdout]
    y_test: NDArray[Any] = prepared.y[holdout]
    measured = {}
    for name, estimator in _estimators(prepared.target).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LogisticRegression's, where it has not converged
            estimator.fit(X, y)
        if isinstance(prepared.target, Classes):
            measured[name] = metrics.classification(y_test, estimator.predict_proba(X_test))
        else:
            measured[name] = metrics.regression(y_test, estimator.predict(X_test))
    return measured


def _estimators(target: Target) -> dict[str, Any]:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if isinstance(target, Classes):
        return {"linear": LogisticRegression(max_iter=1000), "majority": DummyClassifier()}
    return {"linear": Ridge(), "mean": DummyRegressor()}
