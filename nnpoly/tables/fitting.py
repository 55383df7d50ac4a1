"""Fitting a network to a table: the rows' parts, the training data, and baselines to beat."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .columns import Preprocessing, Schema, require_sklearn
from .reading import Table
from .targets import Classes, Quantity, Target

FEWEST_ROWS = 10


class Split(NamedTuple):
    """Indices of rows: to train on, to stop early with, and held out."""

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
    """Return the parts of n rows, at random but decided by the seed.

    Parameters
    ----------
    n
        Number of rows.
    labels
        Class indices (n,), whose shares are the same in every part; None for numbers.
    holdout
        Share of the rows that nothing is fitted to.
    validation
        Share of the others that decides when training ends.
    seed
        Any integer >= 0.

    Examples
    --------
    >>> from nnpoly import tables
    >>> [len(part) for part in tables.split(100)]
    [72, 8, 20]
    """
    require_sklearn()
    training, held_out = _halves("holdout", np.arange(n), labels, holdout, seed)
    fit, decides = _halves("validation", training, labels, validation, seed)
    return Split(fit, decides, held_out)


def _halves(
    name: str, rows: NDArray[np.int64], labels: NDArray[np.int64] | None, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    """A table made ready for training.

    Attributes
    ----------
    schema, inputs, target
        What the columns are; fitted on the rows to train on alone.
    parts
        The `Split`.
    X
        Inputs of all rows: (n, m_0).
    y
        Class indices, or numbers in their own unit: (n,).
    unknown
        How many rows of the other parts have a category that is not in the rows to train on.
    """

    schema: Schema
    inputs: Preprocessing
    target: Target
    parts: Split
    X: NDArray[np.float64]
    y: NDArray[Any]
    unknown: int

    def training(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return some rows as a network is trained on them: numbers are standardised."""
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
    """Split a table and fit the preprocessing to the rows to train on, and to no others.

    Parameters
    ----------
    table
        All of whose rows have a target.
    target
        The column to predict.
    task
        "classification" or "regression".
    categorical, drop
        As for `Schema.of`.
    holdout, validation, seed
        As for `split`.
    """
    if (n := len(table)) < FEWEST_ROWS:
        raise ValueError(
            f"prepare: {table.source}: at least {FEWEST_ROWS} rows with a target are needed, got "
            f"{n}."
        )
    classes = Classes.fit(table, target) if task == "classification" else None
    y: NDArray[Any] = table.numbers(target) if classes is None else classes.encode(table)
    parts = split(n, None if classes is None else y, holdout, validation, seed)
    schema = Schema.of(table, target, parts.fit, categorical, drop)
    training = table.take(parts.fit)
    inputs = Preprocessing.fit(training, schema)
    found = [category.unknown(table) for category in inputs.categories]
    return Prepared(
        schema=schema,
        inputs=inputs,
        target=classes or Quantity.fit(training, target),
        parts=parts,
        X=inputs.encode(table, "ignore"),
        y=y,
        unknown=int(np.any(found, axis=0).sum()) if found else 0,
    )


def baselines(prepared: Prepared) -> dict[str, metrics.Metrics]:
    """Return the held-out metrics of a linear model and of a constant, on the network's inputs.

    They are fitted to the rows that the network was trained on or stopped early with.
    """
    fit, validation, holdout = prepared.parts
    rows = np.sort(np.concatenate([fit, validation]))
    X, y, X_test = prepared.X[rows], prepared.y[rows], prepared.X[holdout]
    y_test: NDArray[Any] = prepared.y[holdout]
    found = {}
    for name, estimator in _estimators(prepared.target).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LogisticRegression's, where it has not converged
            estimator.fit(X, y)
        if isinstance(prepared.target, Classes):
            found[name] = metrics.classification(y_test, estimator.predict_proba(X_test))
        else:
            found[name] = metrics.regression(y_test, estimator.predict(X_test))
    return found


def _estimators(target: Target) -> dict[str, Any]:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if isinstance(target, Classes):
        return {"linear": LogisticRegression(max_iter=1000), "majority": DummyClassifier()}
    return {"linear": Ridge(), "mean": DummyRegressor()}
