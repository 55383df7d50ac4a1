"""Preparing a table for training: the split of its rows, and the encoded data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import MOST_CATEGORIES, Preprocessing, Schema, require_near
from .splitting import HOLDOUT, Split, split, split_as_told, told_roles
from .table import Table
from .targets import PARTS, Classes, Quantity, Target

FEWEST_ROWS = 10


class HeldOut(NamedTuple):
    """Rows that metrics are measured on: their table, the inputs X of it, and the targets y."""

    table: Table
    X: Any
    y: NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """A table prepared for training.

    Attributes
    ----------
    table
        The table.
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
    held_out
        The rows held out, which may be of another table; None if there are none.
    """

    table: Table
    schema: Schema
    inputs: Preprocessing
    target: Target
    parts: Split
    X: Any
    y: NDArray[Any]
    unknown: int
    held_out: HeldOut | None

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
    test: Table | None = None,
    test_column: str | None = None,
    most_categories: float = MOST_CATEGORIES,
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
    categorical, drop, most_categories
        As for `Schema.of`.
    holdout, validation, seed
        As for `split`. With `test` or `test_column` no share is held out.
    test
        Rows to hold out, which all have a target, in a table of their own.
    test_column
        The column that says which rows are held out; it is no input. Its cells are true or false,
        1 or 0, or test or train; those of validation decide when training ends.
    """
    n = len(table)
    if n < FEWEST_ROWS:
        raise ValueError(
            f"prepare: {table.source}: at least {FEWEST_ROWS} rows with a target are needed, got "
            f"{n}."
        )
    roles = None if test_column is None else told_roles(table, test_column)
    if roles is not None or test is not None:
        holdout = 0.0
    predicted: Target | None = None
    labels = None
    if task == "classification":
        known = table if roles is None else table.take(roles != HOLDOUT)
        predicted = Classes.fit(known, target, _parts(holdout, validation))
        labels = predicted.encode(table)
    if roles is None:
        parts = split(n, labels, holdout, validation, seed)
    else:
        parts = split_as_told(roles, labels, validation, seed)
    if labels is not None:
        _require_all(table, predicted, labels[parts.fit])
    training = table.take(parts.fit)
    predicted = predicted or Quantity.fit(training, target)
    y = _encoded(predicted, table) if labels is None else labels
    dropped = dict.fromkeys(drop, "as asked")
    if test_column is not None:
        dropped[test_column] = "it says which rows are for the test"
    schema = Schema.of(table, target, parts.fit, categorical, dropped, most_categories)
    inputs = Preprocessing.fit(training, schema)
    X = inputs.encode(table, "ignore")
    unknown = _unknown(inputs, table)
    held_out = None
    if test is not None:
        held_out = HeldOut(test, inputs.encode(test, "ignore"), _encoded(predicted, test))
        unknown += _unknown(inputs, test)
    elif len(parts.holdout):
        held_out = HeldOut(table.take(parts.holdout), X[parts.holdout], y[parts.holdout])
    return Prepared(table, schema, inputs, predicted, parts, X, y, unknown, held_out)


def _parts(holdout: float, validation: float) -> tuple[str, ...]:
    """The parts of the rows that each class must be in, in words."""
    there = (1.0, validation, holdout)
    return tuple(part for part, share in zip(PARTS, there, strict=True) if share)


def _require_all(table: Table, target: Any, labels: NDArray[np.int64]) -> None:
    """Refuse classes without a row to train on, which a column that says the parts may leave."""
    known = set(labels.tolist())
    for k, label in enumerate(target.classes):
        if k not in known:
            raise table.refuse(target.name, f" has the class {label!r} in no row to train on")


def _encoded(target: Target, table: Table) -> NDArray[Any]:
    """The targets of a table's rows."""
    y: NDArray[Any] = target.encode(table)
    if isinstance(target, Quantity):
        require_near(table, target.name, target.standardised(y), target.mean, target.scale)
    return y


def _unknown(inputs: Preprocessing, table: Table) -> int:
    """Count the rows with a category that no row to train on has."""
    unknown = np.zeros(len(table), np.bool_)
    for category in inputs.categories:
        unknown |= category.unknown(table)
    return int(unknown.sum())
