"""Targets: a column to predict as class indices, or as standardised numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._described import Described
from .columns import CLOSEST, NUMERIC, TEMPORAL, require_computable, require_sklearn
from .table import INTEGER, PADDED, TRUTHS, Table, shortest
from .wording import listed

TASKS = ("classification", "regression")
MOST_INTEGER_CLASSES = 20  # distinct integers of a column of classes, at most
PARTS = ("to train on", "to stop early with", "to hold out")  # each has a row of each class
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
    def fit(cls, table: Table, name: str, parts: Sequence[str] = PARTS) -> Classes:
        """Collect the classes of a column, sorted; missing cells are none.

        parts: what a class must have a row for, each in words.

        Raises
        ------
        ValueError
            For fewer than two classes, more classes than half the rows, and a class with fewer
            rows than parts.
        """
        table = table.take(known_rows(table, name))
        _require_one_kind(table, name)
        labels = _labels(table, name)
        counts = Counter(labels)
        classes = _in_order(table, name, labels)
        if len(classes) < 2:
            raise table.refuse(name, f" has one class ({classes[0]!r}), so nothing is to be learnt")
        if len(classes) > min(MOST_CLASSES, len(labels) // 2):
            why = table.why_texts(name)
            raise table.refuse(
                name,
                f" has {len(classes)} different values in {len(labels)} rows: too many to be "
                f"classes. Numbers are predicted by --task regression{why and f', but {why}'}",
            )
        rare = min(classes, key=counts.__getitem__)
        if counts[rare] < len(parts):
            raise table.refuse(
                name,
                f" has the class {rare!r} in {counts[rare]} of its rows; {len(parts)} are needed "
                f"({', '.join(parts)}). Remove or merge the class",
            )
        return cls(name, tuple(classes))

    def encode(self, table: Table) -> NDArray[np.int64]:
        """Return the class index of each row: (n,)."""
        alike = _truths(self.classes) or _numbers(self.classes)
        is_text = not alike and isinstance(self.classes[0], str)
        texts = alike.values() if alike else map(_text, self.classes)
        found = table.found(self.name, texts, numeric=not is_text)
        what = f", which is none of the model's classes ({listed(self.classes)})"
        table.require(self.name, found >= 0, what)
        return found

    def __str__(self) -> str:
        return f"{len(self.classes)} classes of {self.name!r}: {listed(self.classes)}"


def _kind(label: Any) -> type | None:
    """Return the kind of a label, which is the same for all of a column; None if it is no label."""
    if isinstance(label, Real) and not isinstance(label, bool):
        return float if math.isfinite(label) else None
    return next((kind for kind in (str, bool) if isinstance(label, kind)), None)


def _labels(table: Table, name: str) -> list[Any]:
    """Return the labels of a column without missing cells as texts, booleans, integers or floats.

    Those of a CSV are as they stand in the file: 1.0 and 1.10, also +1 and TRUE, are texts. But
    True and TRUE in one column are the boolean, 1 and 1.0 the integer; 1.1 and 1.10 are versions.
    """
    kind, texts = table.kind(name), table.texts(name)
    if kind not in NUMERIC or _truths(texts):
        return texts
    if kind == "boolean":
        return [value == 1.0 for value in table.numbers(name).tolist()]
    numbers = table.texts(name, numeric=True)
    if texts == numbers:
        make: type = int if kind == "integer" else float
        return [make(text) for text in texts]
    whole = [int(text) for text in numbers if text is not None and re.match(INTEGER, text)]
    if len(whole) == len(texts) and len(set(whole)) < len(set(texts)):
        return whole
    return texts


def _truths(labels: Iterable[Any]) -> dict[str, str]:
    """Return the texts of the numbers that labels such as TRUE and FALSE stand for, or nothing.

    Nothing too where one of both is written in several ways.
    """
    different = dict.fromkeys(labels)
    if not all(isinstance(label, str) and label.lower() in TRUTHS for label in different):
        return {}
    truths = {label: shortest(TRUTHS[label.lower()]) for label in different}
    return truths if len(set(truths.values())) == len(truths) else {}


def _numbers(labels: Iterable[Any]) -> dict[str, str]:
    """Return the shortest texts of the numbers that labels such as 1.0 and +2 are, or nothing."""
    try:
        numbers = {
            label: str(int(label)) if re.match(INTEGER, label) else shortest(float(label))
            for label in labels
            if not re.match(PADDED, label)
        }
    except (TypeError, ValueError, OverflowError):
        return {}
    different = set(labels)
    return numbers if len(set(numbers.values())) == len(numbers) == len(different) else {}


def _in_order(table: Table, name: str, labels: Sequence[Any]) -> list[Any]:
    """Return the different labels of a column in order: texts of numbers by their numbers.

    So 9.5 is before 10.0.
    """
    if table.kind(name) not in NUMERIC:
        return sorted(set(labels))
    numbers = dict(zip(labels, table.numbers(name).tolist(), strict=True))
    return sorted(numbers, key=lambda label: (numbers[label], label))


def _text(label: Label) -> str:
    """Return the text by which a table's cells are compared with a label."""
    if isinstance(label, str):
        return label
    return shortest(float(label)) if isinstance(label, float) else str(int(label))


def as_array(labels: Sequence[Label]) -> NDArray[Any]:
    """Return labels as an array; of objects where NumPy would change them, as integers over 2^63.

    Examples
    --------
    >>> from nnpoly.tables.targets import as_array
    >>> as_array([1, 2]).dtype, as_array([-1, 2**63]).dtype
    (dtype('int64'), dtype('O'))
    """
    array = np.array(labels)
    is_same = list(map(repr, array.tolist())) == list(map(repr, labels))
    return array if is_same else np.array(labels, object)


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

        _require_one_kind(table, name)
        y = table.numbers(name)
        require_computable(table, name, y)
        if (y == y[0]).all():
            raise table.refuse(name, f" {table.constant(name)}, so nothing is to be learnt")
        if y.max() - y.min() < CLOSEST:
            what = f" holds numbers that differ by less than {CLOSEST:g}. Write it in another unit"
            raise table.refuse(name, what)
        scaler = StandardScaler().fit(y[:, None])
        return cls(name, scaler.mean_.item(), scaler.scale_.item())

    def encode(self, table: Table) -> NDArray[np.float64]:
        """Return the column as numbers, in its unit: (n,)."""
        y = table.numbers(self.name)
        require_computable(table, self.name, y)
        return y

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


def rows_with_target(table: Table, name: str) -> tuple[Table, str]:
    """Return the rows that have a target, and their number in words."""
    rows = table.take(known_rows(table, name))
    missing = len(table) - len(rows)
    blanks = ", ".join(map(repr, table.blanks.get(name, ())))
    means = f"; {blanks} means missing" if blanks else ""
    left_out = f" ({missing} more have no {name!r} and are left out{means})" if missing else ""
    return rows, f"{table.source}: {len(rows)} rows{left_out}"


def _require_one_kind(table: Table, name: str) -> None:
    """Refuse a target that mixes numbers with true and false, which inputs may."""
    if table.kind(name) == "number" and (truths := table.truths(name)):
        what = f" is the target, but it holds numbers and {truths[0]!r}. Write it in one way"
        raise table.refuse(name, what)


def told_task(table: Table, name: str) -> str:
    """Tell "classification" or "regression" from the values of a target.

    Texts, booleans and at most 20 distinct integers, at most half as many as rows, are classes;
    other numbers are quantities.
    """
    _require_one_kind(table, name)
    kind = table.kind(name)
    if kind in TEMPORAL:
        what = f" holds {kind}s, which cannot be predicted. Write it as a number"
        raise table.refuse(name, what)
    row = table.slip(name) if kind == "text" else None
    if row is not None:
        what = ", but most of its cells are numbers. Correct it, or leave it empty if it is unknown"
        raise table.refuse(name, what, row)
    if kind in ("integer", "number"):
        distinct = len(set(table.texts(name, numeric=True)))
        few = distinct <= min(MOST_INTEGER_CLASSES, len(table) // 2)
        return "classification" if kind == "integer" and few else "regression"
    return "classification"
