"""Columns: what a user's X has in each column, numbers or categories, each looked at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ...backends import host, registry
from ...data import entering
from ...data.frames import cells_of, columns_of, is_frame, not_real
from ...data.place import plain
from ..arrays import hosted, is_missing, named

Key = str | None  # of a cell of a category: a text; None where it is missing

_CATEGORICAL = ("category", "categorical", "enum", "dictionary", "bool")


class Column(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    name
        What errors call it: "X['age']", "X[:, 3]".
    cells
        An array (n,) of any dtype.
    categorical
        Whether its own type says that its cells are categories.
    values
        None, or what the cells are numbers of, from 0; -1 is missing.
    start
        The number of the first cell's row.
    """

    name: str
    cells: host.HostArray
    categorical: bool
    values: list[Any] | None = None
    start: int = 0

    def rows(self, start: int, stop: int) -> Column:
        """Some of the rows."""
        return self._replace(cells=self.cells[start:stop], start=self.start + start)

    def kind(self, where: str) -> str:
        """Tell "number" or "category" by the cells."""
        kind = self.cells.dtype.kind
        if self.categorical or self.values or kind in "bUST":
            return "category"
        if self.values is not None:
            return "number"
        if kind != "O":
            _require(where, self.name, f"dtype {self.cells.dtype}", kind in "iuf", kind)
            return "number"
        cells = self.cells.tolist()
        wrong = [cell for cell in cells if not (_is_cell(cell) or is_missing(cell))]
        _require(where, self.name, repr(wrong[0]) if wrong else "", not wrong, "")
        texts = (isinstance(cell, str | bool) for cell in cells)
        return "category" if any(texts) else "number"

    def numbers(self, where: str) -> host.HostArray:
        """The cells as float64, NaN where they are missing.

        Raises
        ------
        ValueError
            For texts, and for infinity.
        """
        array = self.reals(where).astype("float64")
        self.require_finite(where, array)
        return array

    def reals(self, where: str) -> host.HostArray:
        """The cells as real numbers of any type, NaN where they are missing.

        Raises
        ------
        ValueError
            For texts.
        """
        array, values = self.cells, self.values
        if values is None and array.dtype.kind in "biuf":
            return array
        if values is not None:
            array = host.asarray([*values, None], "object")[array]
        _require(where, self.name, f"dtype {array.dtype}", array.dtype.kind == "O", "U")
        places, cells = host.numbered(array.tolist())
        return host.asarray([self._number(where, cell) for cell in cells], "float64")[places]

    def require_finite(self, where: str, array: host.HostArray) -> None:
        """Refuse infinity among the column's numbers."""
        if (abs(array) == math.inf).any():
            row = int((abs(array) == math.inf).argmax())
            raise ValueError(
                f"{where}: `{self.name}` must have no infinity, got {array[row]} in row "
                f"{self.start + row}. Correct it, or leave it missing (NaN)."
            )

    def _number(self, where: str, cell: Any) -> float:
        if isinstance(cell, str) or not (_is_cell(cell) or is_missing(cell)):
            raise ValueError(
                f"{where}: `{self.name}` must hold numbers, as it does in fit, got {cell!r}."
            )
        return math.nan if is_missing(cell) else float(cell)

    def texts(self) -> tuple[host.HostArray, list[Key]]:
        """The cells as places (n,) in a list of texts, and this; -1 is the last one's place.

        Categories are compared by their texts: 1 and 1.0 are one category.
        """
        if self.values is not None:
            places, cells = self.cells, [*self.values, None]
            if len(places) < len(cells):
                used, places = host.sorted_with_inverse(places)
                cells = [cells[i] for i in used.tolist()]
            return places, list(map(_key, cells))
        places, cells = host.numbered(self.cells.tolist())
        return places, list(map(_key, cells))

    def counts(self) -> dict[str, int]:
        """How often each text occurs."""
        places, keys = self.texts()
        found: dict[str, int] = {}
        for key, count in zip(keys, host.counts(places, len(keys)), strict=True):
            if key is not None and count:
                found[key] = found.get(key, 0) + count
        return found


def _is_cell(cell: Any) -> bool:
    return isinstance(cell, str | bool | Real) or type(cell).__name__ == "Decimal"


def _key(cell: Any) -> Key:
    if is_missing(cell):
        return None
    whole = isinstance(cell, Real) and not isinstance(cell, bool) and cell == cell // 1
    return str(int(cell)) if whole else str(cell)


def _require(where: str, name: str, came: str, fits: bool, kind: str) -> None:
    """Refuse dates, durations, complex numbers, and objects that are no cells."""
    if fits:
        return
    if kind and kind in "mMc":
        known = " Complex data not supported." if kind == "c" else ""  # what its checks look for
        raise ValueError(not_real(where, name, came, kind) + known)
    raise TypeError(
        f"{where}: `{name}` must hold numbers, texts or booleans, got {came}. Each argument must "
        "be a string or a number."
    )


def columns(
    estimator: Any, where: str, X: Any, name: str = "X", *, first: bool = False
) -> list[Column]:
    """The columns of a user's X: an array of any library, a list of rows, or a frame.

    Parameters
    ----------
    first
        Whether the estimator shall remember the columns' names and number, or else compare them.

    Raises
    ------
    ValueError, TypeError
        For a sparse X, one that is not of rows and columns, or has none, and for other columns
        than the first X had.
    """
    entering.require_whole(where, registry.of(X), name, X)
    X = hosted(where, name, X)
    if issparse(X):
        raise TypeError(
            f"{where}: `{name}` must be dense, got a sparse matrix. Pass {name}.toarray()."
        )
    if is_frame(X):
        found = [_column(where, f"{name}[{label!r}]", column) for label, column in columns_of(X)]
        if not found or not len(found[0].cells):
            with named(where, name):
                check_array(host.empty((len(X), len(found)), "float64"), input_name=name)
    else:
        array = host.asarray(plain(where, name, X), None if hasattr(X, "dtype") else "object")
        if array.dtype.kind == "c":
            _require(where, name, f"dtype {array.dtype}", False, "c")
        options = {"dtype": None, "ensure_all_finite": False, "input_name": name}
        with named(where, name):
            array = check_array(array, estimator=estimator, **options)
        found = [Column(f"{name}[:, {j}]", cells, False) for j, cells in enumerate(array.T)]
    with named(where, name):
        validate_data(estimator, X, reset=first, skip_check_array=True)
    return found


def _column(where: str, name: str, column: Any) -> Column:
    """A frame's column."""
    cells, values = cells_of(column)
    if cells.ndim != 1:
        raise ValueError(not_real(where, name, f"cells of shape {cells.shape[1:]}"))
    return Column(name, cells, _says(column), values)


def _says(column: Any) -> bool:
    """Whether a frame's column is one of categories or of booleans by its type."""
    dtype = column.dtype if hasattr(type(column), "dtype") else column.type
    if host.is_dtype(dtype):
        return bool(dtype.kind == "b")
    return str(dtype).lower().startswith(_CATEGORICAL)


def positions(where: str, given: Any, columns: Sequence[Column], names: Any) -> set[int]:
    """The positions of columns that are given by name, by number, or by a flag for each.

    names: of the columns; None where they have none.
    """
    if given is None:
        return set()
    listed = registry.to_host(given).tolist() if hasattr(given, "dtype") else given
    known = [] if names is None else list(names)
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        listed = [listed]
    if listed and all(isinstance(flag, bool) for flag in listed) and len(listed) == len(columns):
        return {j for j, flag in enumerate(listed) if flag}
    found = set()
    for column in listed:
        j = known.index(column) if column in known else column
        inside = isinstance(j, int) and not isinstance(j, bool) and 0 <= j < len(columns)
        if not inside:
            raise ValueError(
                f"{where}: `categorical_features` must name columns, or number them from 0 to "
                f"{len(columns) - 1}, or be a flag for each, got {column!r}."
            )
        found.add(j)
    return found
