"""Targets: a column to predict as class indices, or as standardised numbers."""

from __future__ import annotations

import math
from collections import Counter
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._described import Described
from .columns import NUMERIC, require_sklearn
from .reading import Table, listed

TASKS = ("classification", "regression")
MOST_INTEGER_CLASSES = 20  # distinct integers of a column of classes, at most
FEWEST_ROWS_A_CLASS = 3  # one to train on, one to stop early with and one to hold out
MOST_CLASSES = 1000

Label = str | bool | int | float


class Classes(Described):
    """A target of classes.

    Attributes
    ----------
    name
        The column's name.
    classes
        The labels in order: class k has the k-th.
    """

    name: str
    classes: tuple[Label, ...]

    def __post_init__(self) -> None:
        classes = _checks.several("Classes", "classes", self.classes)
        kinds = {_kind(label) for label in classes}
        if len(kinds) != 1 or None in kinds or len(set(classes)) != len(classes):
            raise ValueError(
                "Classes: `classes` must be different texts, different numbers, or True and False, "
                f"got {classes!r}."
            )
        self._set(name=_checks.text("Classes", "name", self.name), classes=classes)

    task = "classification"

    @classmethod
    def fit(cls, table: Table, name: str) -> Classes:
        """Collect the classes of a column, sorted; missing cells are none.

        Raises
        ------
        ValueError
            For fewer than two classes, more classes than half the rows, and a class with fewer
            than three rows.
        """
        labels = _labels(table, name)
        counts = Counter(labels)
        classes = sorted(counts)
        if len(classes) < 2:
            raise table.refuse(name, f" has one class ({classes[0]!r}), so nothing is to be learnt")
        if len(classes) > min(MOST_CLASSES, len(labels) // 2):
            raise table.refuse(
                name,
                f" has {len(classes)} different values in {len(labels)} rows: too many to be "
                "classes. Numbers are predicted by --task regression",
            )
        rare = min(classes, key=counts.__getitem__)
        if counts[rare] < FEWEST_ROWS_A_CLASS:
            raise table.refuse(
                name,
                f" has the class {rare!r} in {counts[rare]} of its rows; {FEWEST_ROWS_A_CLASS} are "
                "needed (to train on, to stop early with, to hold out). Remove or merge the class",
            )
        return cls(name, tuple(classes))

    def encode(self, table: Table) -> NDArray[np.int64]:
        """Return the class index of each row: (n,)."""
        places = {label: k for k, label in enumerate(self.classes)}
        is_text = isinstance(self.classes[0], str)
        column = table.texts(self.name) if is_text else table.numbers(self.name).tolist()
        labels: list[Any] = column
        found = np.fromiter((places.get(label, -1) for label in labels), np.int64, len(labels))
        if (found < 0).any():
            what = f", which is none of the model's classes ({listed(self.classes)})"
            raise table.refuse(self.name, what, int(found.argmin()))
        return found

    def __str__(self) -> str:
        return f"{len(self.classes)} classes of {self.name!r}: {listed(self.classes)}"


def _kind(label: Any) -> type | None:
    """Return the kind of a label, which is the same for all of a column; None if it is no label."""
    if isinstance(label, Real) and not isinstance(label, bool):
        return float if math.isfinite(label) else None
    return next((kind for kind in (str, bool) if isinstance(label, kind)), None)


def _labels(table: Table, name: str) -> list[Any]:
    """Return the labels of a column as texts, booleans, integers or floats."""
    kind = table.kind(name)
    if kind not in NUMERIC:
        return [text for text in table.texts(name) if text is not None]
    make: type = {"boolean": bool, "integer": int, "number": float}[kind]
    return [make(value) for value in table.numbers(name).tolist()]


class Quantity(Described):
    """A target of numbers: the network predicts (y - mean) / scale.

    Attributes
    ----------
    name
        The column's name.
    mean, scale
        The mean and the standard deviation over the rows to train on, in the column's unit.
    """

    name: str
    mean: float
    scale: float

    def __post_init__(self) -> None:
        where = "Quantity"
        self._set(
            name=_checks.text(where, "name", self.name),
            mean=_checks.number(where, "mean", self.mean),
            scale=_checks.positive(where, "scale", self.scale),
        )

    task = "regression"

    @classmethod
    def fit(cls, table: Table, name: str) -> Quantity:
        """Compute mean and deviation of a column of a table with the rows to train on alone."""
        require_sklearn()
        from sklearn.preprocessing import StandardScaler

        y = table.numbers(name)
        if (y == y[0]).all():
            raise table.refuse(name, f" is always {y[0]:g}, so nothing is to be learnt")
        scaler = StandardScaler().fit(y[:, None])
        return cls(name, scaler.mean_.item(), scaler.scale_.item())

    def encode(self, table: Table) -> NDArray[np.float64]:
        """Return the column as numbers, in its unit: (n,)."""
        return table.numbers(self.name)

    def standardised(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (y - mean) / scale."""
        return (y - self.mean) / self.scale

    def in_unit(self, f: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised predictions f in the column's unit."""
        return f * self.scale + self.mean

    def __str__(self) -> str:
        return f"{self.name!r} in its own unit: mean {self.mean:g}, deviation {self.scale:g}"


Target = Classes | Quantity


def known_rows(table: Table, name: str) -> NDArray[np.bool_]:
    """Return True for the rows that have a target: (n,).

    Raises
    ------
    ValueError
        If the column is missing or empty.
    """
    known: NDArray[np.bool_] = table.column(name).is_not_null().to_numpy()
    if not known.any():
        raise table.refuse(name, " is the target, but it is empty")
    return known


def told_task(table: Table, name: str) -> str:
    """Tell "classification" or "regression" from the values of a target.

    Texts, booleans and at most 20 distinct integers, at most half as many as rows, are classes;
    other numbers are quantities.
    """
    kind = table.kind(name)
    if kind == "date":
        raise table.refuse(name, " holds dates, which cannot be predicted. Write it as a number")
    row = table.slip(name) if kind == "text" else None
    if row is not None:
        what = ", but most of its cells are numbers. Correct it, or leave it empty if it is unknown"
        raise table.refuse(name, what, row)
    if kind in ("integer", "number"):
        distinct = len(np.unique(table.numbers(name)))
        few = distinct <= min(MOST_INTEGER_CLASSES, len(table) // 2)
        return "classification" if kind == "integer" and few else "regression"
    return "classification"
