"""Models of the estimators for tables, which encode numbers and categories themselves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .. import _checks
from .._described import Described, describe
from ..network import Network
from .columns import UNKNOWN, Category, Schema
from .model import EXTRA, Model
from .table import Table, polars
from .targets import Classes, Quantity, Target


class TableColumns(Described):
    """The columns of a table as an estimator's frame: numbers, and categories as texts.

    Attributes
    ----------
    numbers
        The names of the columns of numbers; a cell may be missing.
    categories
        The columns of categories, a `Category` each, with those of the rows to train on.
    """

    numbers: tuple[str, ...]
    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        where = "TableColumns"
        numbers = _checks.distinct(where, "numbers", self.numbers, str)
        categories = _checks.distinct(where, "categories", self.categories, Category)
        self._set(numbers=numbers, categories=categories)
        _checks.distinct(where, "numbers and categories", self.columns, str)

    @classmethod
    def of(cls, table: Table, schema: Schema, training: Table) -> TableColumns:
        """The columns of a schema; those of truth values are categories.

        table: all rows, whose cells tell the columns' types. training: the rows to train on.
        """
        truths = [name for name in schema.numbers if table.kind(name) == "boolean"]
        numeric = {**dict.fromkeys(truths, True), **schema.categories}
        categories = []
        for name, is_numeric in numeric.items():
            values = sorted({text for text in training.texts(name, is_numeric) if text is not None})
            categories.append(Category(name, is_numeric, (*values, None)))
        numbers = tuple(name for name in schema.numbers if name not in truths)
        return cls(numbers, tuple(categories))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that a table must have."""
        return (*self.numbers, *(category.name for category in self.categories))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the estimator's inputs, which are the columns."""
        return self.columns

    @property
    def kinds(self) -> Mapping[str, str]:
        """What each of them holds, in words."""
        counts = {c.name: f"one of {len(c.values) - 1} categories" for c in self.categories}
        return {**dict.fromkeys(self.numbers, "number"), **counts}

    def encode(self, table: Table, unknown: str = "error") -> Any:
        """Return the columns as a polars DataFrame of float64 and texts; see `Preprocessing`."""
        _checks.choice("TableColumns", "unknown", unknown, UNKNOWN)
        pl = polars()
        columns = {name: pl.Series(table.numbers(name)) for name in self.numbers}
        for category in self.categories:
            if unknown == "error":
                category.places(table, unknown)
            cells = table.column(category.name)
            if category.numeric or cells.dtype != pl.String:
                cells = pl.Series(table.texts(category.name, category.numeric), dtype=pl.String)
            columns[category.name] = cells
        return pl.DataFrame(columns)


@dataclass(frozen=True)
class EstimatorModel(Model):
    """An estimator that reads tables.

    Attributes
    ----------
    estimator
        A fitted estimator of `nnpoly.estimators` for tables, of class indices or numbers.
    inputs
        The `TableColumns` that it reads.
    target
        `Classes` for a classifier, or `Quantity` for a regressor.
    """

    estimator: Any
    inputs: TableColumns
    target: Target

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, TableColumns) or not isinstance(
            self.target, Classes | Quantity
        ):
            raise ValueError(
                "EstimatorModel: `inputs` must be a TableColumns and `target` a Classes or "
                f"Quantity, got {self.inputs!r} and {self.target!r}."
            )
        names = list(getattr(self.estimator, "feature_names_in_", ()))
        classes = getattr(self.estimator, "classes_", None)
        of_target = len(self.target.classes) if isinstance(self.target, Classes) else None
        if names != list(self.inputs.columns) or (classes is None) != (of_target is None):
            raise ValueError(
                f"EstimatorModel: `estimator` must read {list(self.inputs.columns)} and predict "
                f"{self.target}, got one of {names}."
            )
        if classes is not None and classes.tolist() != list(range(of_target or 0)):
            raise ValueError(
                f"EstimatorModel: `estimator` must predict the indices of {of_target} classes, got "
                f"{classes.tolist()}."
            )

    @property
    def networks(self) -> list[Network]:
        return list(self.estimator.networks_)

    def outputs(self, X: Any, precision: str | None) -> NDArray[Any]:
        estimator = copy.copy(self.estimator).set_params(precision=precision)
        predict = estimator.predict_proba if isinstance(self.target, Classes) else estimator.predict
        f: NDArray[Any] = predict(X)
        return f

    def save(self, path: Any) -> None:
        extra = {EXTRA: {"inputs": describe(self.inputs), "target": describe(self.target)}}
        self.estimator.save(path, extra)
