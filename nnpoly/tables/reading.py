"""Reading tables: CSV, Parquet and NPZ files as named columns, whose errors name file and line.

The cells of a CSV stay texts until numbers are asked for: a table to predict is read by the types
of the model's columns, whatever its own cells look like.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

SEPARATORS = ",;\t|"
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "?")  # texts of missing cells
DATE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]+\d{1,2}:\d{2}.*)?$"
DECIMAL_COMMA = r"^([+-]?\d*),(\d+)$"
INDEX = re.compile(r"Unnamed: 0(\.\d+)*|__index_level_0__")  # pandas' names of a nameless index
ROWS_AT_ONCE = 50_000  # of a CSV, so that few cells are Python objects at a time


def polars() -> Any:
    """Return the polars module, or raise an ImportError with the remedy."""
    try:
        import polars
    except ImportError as error:
        raise ImportError("Reading tables needs polars: pip install nnpoly[tables]") from error
    return polars


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    source
        The file's name, for messages.
    frame
        A polars DataFrame. Texts have no spaces around them; missing cells are null.
    lines
        The line of the file on which each row begins: (n,). None for a file without lines.
    decimal_comma
        True if 3,14 is a number, as in files whose separator is a semicolon.

    Examples
    --------
    >>> import polars
    >>> from nnpoly.tables import Table
    >>> table = Table("shop.parquet", polars.DataFrame({"price": [1.5, None], "size": ["S", "M"]}))
    >>> table.numbers("price"), table.kind("size")
    (array([1.5, nan]), 'text')
    """

    source: str
    frame: Any
    lines: NDArray[np.int64] | None = None
    decimal_comma: bool = False
    _index: tuple[str, ...] | None = field(default=None, repr=False)
    _kinds: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return int(self.frame.height)

    @property
    def names(self) -> list[str]:
        """The columns' names in the file's order."""
        return list(self.frame.columns)

    def take(self, rows: Any) -> Table:
        """Return a table of some rows, given as indices or booleans: (n,)."""
        rows = np.arange(len(self))[rows]
        lines = None if self.lines is None else self.lines[rows]
        return Table(self.source, self.frame[rows], lines, self.decimal_comma, self.index)

    def where(self, row: int) -> str:
        """Return the place of a row as text: its line in a CSV, else its index from 0."""
        return f"row {row} (from 0)" if self.lines is None else f"line {self.lines[row]}"

    def refuse(self, name: str, fault: str, row: int | None = None) -> ValueError:
        """Make the error of a fault in a column, or in its cell in a row."""
        cell = ""
        if row is not None:
            value = self.frame[name][row]
            content = "is empty" if value is None else f"has {_shortened(value)}"
            cell = f" {content} in {self.where(row)}"
        return ValueError(f"Table: {self.source}: column {name!r}{cell}{fault}.")

    def column(self, name: str) -> Any:
        """Return a column as a polars Series.

        Raises
        ------
        ValueError
            For an unknown name; the closest names are suggested.
        """
        if name not in self.frame.columns:
            raise ValueError(f"Table: {self.source} has no column {name!r}{self._closest(name)}.")
        return self.frame[name]

    def _closest(self, name: str) -> str:
        names = {column.lower(): column for column in self.names}
        close = difflib.get_close_matches(name.lower(), names, n=3)
        if close:
            return f": the closest is {' or '.join(repr(names[c]) for c in close)}"
        return f": it has {listed(self.names)}"

    def kind(self, name: str) -> str:
        """Return the type of a column's cells: boolean, integer, number, text, date or empty."""
        if name not in self._kinds:
            self._kinds[name] = self._kind(name)
        return self._kinds[name]

    def _kind(self, name: str) -> str:
        pl, column = polars(), self.column(name)
        if column.null_count() == len(column):
            return "empty"
        if column.dtype == pl.String:
            return self._kind_of_texts(column)
        if column.dtype == pl.Boolean:
            return "boolean"
        if column.dtype.is_temporal():
            return "date"
        if column.dtype.is_numeric():
            return "integer" if column.dtype.is_integer() else "number"
        raise self.refuse(name, f" holds {column.dtype}, not numbers, booleans or texts")

    def _kind_of_texts(self, column: Any) -> str:
        pl, cells = polars(), column.drop_nulls().unique()
        if cells.str.to_lowercase().is_in(["true", "false"]).all():
            return "boolean"
        if cells.cast(pl.Int64, strict=False).null_count() == 0:
            return "integer"
        if self._parsed(cells).null_count() == 0:
            return "number"
        return "date" if cells.str.contains(DATE).all() else "text"

    def _parsed(self, texts: Any) -> Any:
        """Convert texts to numbers, and to null where they are none. true is 1, false 0."""
        pl = polars()
        if self.decimal_comma:
            texts = texts.str.replace(DECIMAL_COMMA, "${1}.${2}")
        numbers = texts.cast(pl.Float64, strict=False)
        if numbers.null_count() == texts.null_count():
            return numbers
        truths = texts.str.to_lowercase().replace_strict(
            {"true": 1.0, "false": 0.0}, default=None, return_dtype=pl.Float64
        )
        return numbers.fill_null(truths)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as float64: (n,). A missing cell is NaN, True 1 and False 0.

        Raises
        ------
        ValueError
            For a cell that is no number or is infinite. The message names the cell and its row.
        """
        pl, column = polars(), self.column(name)
        if column.dtype == pl.String:
            values = self._parsed(column)
        elif column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
            values = column.cast(pl.Float64)
        else:
            raise self.refuse(name, f" must hold numbers, got {column.dtype}")
        wrong = (values.is_null() & column.is_not_null()).arg_true()
        if len(wrong):
            raise self.refuse(name, ", which is no number", int(wrong[0]))
        array: NDArray[np.float64] = values.to_numpy().astype(np.float64)
        if np.isinf(array).any():
            text = ", which is no finite number. Correct it, or leave it empty if it is unknown"
            raise self.refuse(name, text, int(np.isinf(array).argmax()))
        return array

    def texts(self, name: str, numeric: bool = False) -> list[str | None]:
        """Return a column as texts: (n,). A missing cell is None, a number its shortest text.

        Parameters
        ----------
        name
            The column's name.
        numeric
            Convert the cells to numbers first, so that 1, 1.0 and "1" become one text.
        """
        column = self.column(name)
        if column.dtype == polars().String and not numeric:
            return list(column)
        return [None if math.isnan(v) else _decimal(v) for v in self.numbers(name).tolist()]

    def slip(self, name: str) -> int | None:
        """Return the first row with a text in a column that is mostly numbers, or None."""
        column = self.column(name)
        wrong = (self._parsed(column).is_null() & column.is_not_null()).arg_true()
        known = len(column) - column.null_count()
        return int(wrong[0]) if len(wrong) and 2 * len(wrong) <= known else None

    @cached_property
    def index(self) -> tuple[str, ...]:
        """Names of the columns that only number the rows, as pandas and R write them.

        Such a column holds different integers, in any order and with gaps, and has no name and
        stands first, or has a name that pandas gives to a nameless index (`Unnamed: 0`,
        `__index_level_0__`). The rows that `take` returns have the index of the whole table.
        """
        if self._index is not None:
            return self._index
        candidates = [name for name in self.names if INDEX.fullmatch(name)]
        if self.names[:1] == [""]:
            candidates.insert(0, "")
        return tuple(name for name in candidates if self._holds_different_integers(name))

    def _holds_different_integers(self, name: str) -> bool:
        column = self.column(name)
        if column.null_count() or self.kind(name) != "integer":
            return False
        is_text = column.dtype == polars().String
        integers = column.cast(polars().Int64) if is_text else column  # 1 and 01 are one
        return bool(integers.n_unique() == len(self))


def listed(values: Sequence[Any], most: int = 8) -> str:
    """Return the first `most` values as text, for messages."""
    more = len(values) - most
    return ", ".join(map(repr, values[:most])) + (f" and {more} more" if more > 0 else "")


def _decimal(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read(path: Any) -> Table:
    r"""Read a table from a .csv (or .tsv), .parquet or .npz file.

    A CSV is UTF-8 text whose first line names the columns. The separator (comma, semicolon, tab or
    bar) is told from that line; with semicolons 3,14 is a number. In an NPZ every array (n,) is a
    column of its name, and every array X (n, m) is the columns X_0, X_1, ....

    Parameters
    ----------
    path
        The file. Its suffix tells the format.

    Raises
    ------
    ValueError, OSError
        For another suffix, a file that cannot be read, no rows, rows of different lengths and
        columns of the same name.
    ImportError
        If polars is missing.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nnpoly import tables
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "shop.csv")
    ...     _ = file.write_text("price;size\n1,5;S\n;M\n")
    ...     table = tables.read(file)
    >>> table.names, table.numbers("price"), table.where(1)
    (['price', 'size'], array([1.5, nan]), 'line 3')
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"read: {path} must end in {', '.join(READERS)} to be read as a table.")
    polars()
    if not path.is_file():
        raise FileNotFoundError(f"read: {path} is {'a folder' if path.is_dir() else 'no file'}.")
    table = reader(path)
    if not len(table):
        raise ValueError(f"read: {path} has no rows.")
    return Table(table.source, _cleaned(table.frame), table.lines, table.decimal_comma)


def _cleaned(frame: Any) -> Any:
    """Return the frame with stripped texts, float numbers, and null for missing cells."""
    pl = polars()
    texts = pl.col(pl.String)
    return (
        frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
        .with_columns(pl.col(pl.Decimal).cast(pl.Float64))
        .with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
        .with_columns(texts.str.strip_chars())
        .with_columns(pl.when(~texts.is_in(MISSING)).then(texts))
    )


# CSV. Python's reader and not polars', which fills up short rows, renames columns of one name and
# has no line numbers, which the messages name.


def _read_csv(path: Path) -> Table:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            separator = _separator(file.readline())
            file.seek(0)
            return _parsed_csv(path, file, separator)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read: {path} is not UTF-8 text ({error.reason}): save it as UTF-8."
        ) from error


def _separator(header: str) -> str:
    """Return the separator that splits the first line into the most columns."""

    def columns(separator: str) -> int:
        try:
            return len(next(csv.reader([header], delimiter=separator, strict=True), []))
        except csv.Error:
            return 0

    return max(SEPARATORS, key=columns)


def _parsed_csv(path: Path, file: TextIO, separator: str) -> Table:
    reader = csv.reader(file, delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise ValueError(_unclosed(path, 1, error)) from error
    _require_names(path, names)
    blocks = list(_blocks(path, reader, names))
    pl = polars()
    empty = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    frame = pl.concat([empty, *(block for block, _ in blocks)])
    lines = np.array([line for _, some in blocks for line in some], np.int64)
    return Table(path.name, frame, lines, separator == ";")


def _require_names(path: Path, names: Sequence[str]) -> None:
    if not any(names):
        raise ValueError(f"read: {path} is empty: its first line must name the columns.")
    for i, name in enumerate(names):
        if name in names[:i]:
            both = f"columns {names.index(name) + 1} and {i + 1}"
            raise ValueError(f"read: {path} has two columns {name!r} ({both}): rename one.")


def _blocks(path: Path, reader: Any, names: Sequence[str]) -> Iterator[tuple[Any, list[int]]]:
    """Yield frames of up to ROWS_AT_ONCE rows, each with the lines of its rows."""
    pl = polars()
    rows = _rows(path, reader, len(names))
    while block := list(islice(rows, ROWS_AT_ONCE)):
        lines, cells = zip(*block, strict=True)
        columns = dict(zip(names, zip(*cells, strict=True), strict=True))
        yield pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)), list(lines)


def _rows(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line on which it begins; empty lines are skipped."""
    line = reader.line_num + 1
    try:
        for row in reader:
            if row and len(row) != width:
                raise ValueError(
                    f"read: {path}, line {line} has {len(row)} cells, but the first line names "
                    f"{width} columns. Put cells that hold the separator in double quotes."
                )
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(_unclosed(path, line, error)) from error


def _unclosed(path: Path, line: int, error: csv.Error) -> str:
    return f"read: {path}: the row of line {line} has no end ({error}): check its double quotes."


# Parquet and NPZ


def _read_parquet(path: Path) -> Table:
    pl = polars()
    try:
        return Table(path.name, pl.read_parquet(path, glob=False))
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"read: {path} is no readable Parquet file: {reason}.") from error


def _read_npz(path: Path) -> Table:
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no archive")
            file.seek(0)
            arrays = dict(np.load(file, allow_pickle=False).items())
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"read: {path} is no readable NPZ of plain arrays: {reason}.") from error
    columns: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        for key, values in _columns_of(path, name, array).items():
            if key in columns:
                raise ValueError(f"read: {path} has two columns {key!r}: rename an array.")
            columns[key] = values
    _require_equal_lengths(path, columns)
    return Table(path.name, polars().DataFrame(columns))


def _require_equal_lengths(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    first = next(iter(lengths), "")
    for name, length in lengths.items():
        if length != lengths[first]:
            raise ValueError(
                f"read: {path}: arrays must have equal lengths, {first} has {lengths[first]}, "
                f"{name} has {length}."
            )


def _columns_of(path: Path, name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the columns of an array (n,) or (n, m) by name."""
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufUM":
        raise ValueError(
            f"read: {path}: array {name} must have shape (n,) or (n, m) and hold numbers, booleans "
            f"or texts, got {array.shape} of {array.dtype}."
        )
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.ndim == 1:
        return {name: array}
    return {f"{name}_{i}": column for i, column in enumerate(np.ascontiguousarray(array.T))}


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}
