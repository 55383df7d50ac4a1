"""Tables: named columns, whose errors name file and line.

The cells of a CSV stay texts until numbers are asked for: a table to predict is read by the types
of the model's columns, whatever its own cells look like. Integers stay exact wherever they are told
apart, as labels and categories: float64, which numbers become, rounds those over 2^53.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .wording import listed, shortened

DATE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]+\d{1,2}:\d{2}.*)?$"
TRUTHS = {"true": 1.0, "false": 0.0}
DECIMAL_COMMA = r"^([+-]?\d*),(\d+)$"
INTEGER = r"^[+-]?[0-9]+$"
PADDED = r"^[+-]?0[0-9]"  # 007 names something: as a number it would lose its zeros
MARK = r"^[^\pL\pN]+$"
# With thousands, a currency or %, or plain.
NUMBER_LIKE = r"^[+-]?[$€£¥]?\s?[+-]?[0-9]+([,.'\s][0-9]{3})*([.,][0-9]+)?\s?[%$€£¥]?$"
# pandas' names of a nameless index, and of its levels: as a CSV, in Parquet and by reset_index().
INDEX = re.compile(r"Unnamed: 0(\.\d+)*|__index_level_\d+__|index|level_\d+")
LEVEL = re.compile(r"__index_level_\d+__")


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
    blanks
        Texts of the file that were read as missing cells, such as NA, by column.
    indexed
        Names of columns that the file itself calls the index.
    categorical
        Names of columns that are categories by their own type, whatever their cells.

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
    blanks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    indexed: Sequence[str] = ()
    categorical: Sequence[str] = ()
    _index: tuple[str, ...] | None = field(default=None, repr=False)
    _rows: NDArray[np.int64] | None = field(default=None, repr=False)  # in the file, after `take`
    _kinds: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return int(self.frame.height)

    @cached_property
    def names(self) -> list[str]:
        """The columns' names in the file's order."""
        return list(self.frame.columns)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def take(self, rows: Any) -> Table:
        """Return a table of some rows, given as indices or booleans: (n,)."""
        rows = np.arange(len(self))[rows]
        lines = None if self.lines is None else self.lines[rows]
        frame = self.frame[rows]
        in_file = rows if self._rows is None else self._rows[rows]
        return replace(self, frame=frame, lines=lines, _index=self.index, _rows=in_file)

    def where(self, row: int) -> str:
        """Return the place of a row as text: its line in a CSV, else its index from 0."""
        if self.lines is not None:
            return f"line {self.lines[row]}"
        return f"row {row if self._rows is None else self._rows[row]} (from 0)"

    def refuse(self, name: str, fault: str, row: int | None = None) -> ValueError:
        """Make the error of a fault in a column, or in its cell in a row."""
        cell = ""
        if row is not None:
            value = self.column(name)[row]
            content = "is empty" if value is None else f"has {shortened(value)}"
            cell = f" {content} in {self.where(row)}"
        return ValueError(f"Table: {self.source}: column {name!r}{cell}{fault}.")

    def require(self, name: str, good: NDArray[np.bool_], fault: str) -> None:
        """Raise the error of a fault in the first cell of a column that is not good."""
        if not good.all():
            raise self.refuse(name, fault, int(good.argmin()))

    def column(self, name: str) -> Any:
        """Return a column as a polars Series without a name.

        Raises
        ------
        ValueError
            For an unknown name; the closest names are suggested.
        """
        if name not in self._places:
            raise ValueError(f"Table: {self.source} has no column {name!r}{self._closest(name)}.")
        return self.frame.to_series(self._places[name]).alias("")  # a name may be read as a pattern

    def _closest(self, name: str) -> str:
        names = {column.lower(): column for column in self.names}
        close = difflib.get_close_matches(name.lower(), names, n=3)
        if close:
            return f": the closest is {' or '.join(repr(names[c]) for c in close)}"
        return f": it has {listed(self.names)}"

    def kind(self, name: str) -> str:
        """Return the type of a column's cells.

        It is boolean, integer, number, text, date, time (of the day), duration or empty. The cells
        of a CSV are numbers if all of them read as such, and none has leading zeros: 01234 and 007
        are names.
        """
        if name not in self._kinds:
            self._kinds[name] = self._kind(name)
        return self._kinds[name]

    def tell_kinds(self) -> None:
        """Tell the kinds of all columns of texts at once: one by one takes many times as long."""
        self._tell([name for name in self.names if self.column(name).dtype == polars().String])

    def _kind(self, name: str) -> str:
        pl, column = polars(), self.column(name)
        kinds = {pl.Null: "empty", pl.Boolean: "boolean", pl.Time: "time", pl.Duration: "duration"}
        if column.null_count() == len(column):
            return "empty"
        if column.dtype == pl.String:
            self._tell([name])
            return self._kinds[name]
        if column.dtype.base_type() in kinds:
            return kinds[column.dtype.base_type()]
        if column.dtype.is_temporal():
            return "date"
        if column.dtype.is_numeric():
            return "integer" if column.dtype.is_integer() else "number"
        what = f" holds {column.dtype}, not numbers, booleans or texts. Leave it out (--drop)"
        raise self.refuse(name, what)

    def _tell(self, names: Sequence[str]) -> None:
        """Tell the kinds of columns of texts."""
        pl = polars()
        cells = pl.all()
        numbers = self._plain(cells).cast(pl.Float64, strict=False).is_not_null()
        truths = cells.str.to_lowercase().is_in(list(TRUTHS))
        others = []
        for name, (is_empty, is_padded, is_integer, is_number) in self._passed(
            names,
            cells.is_null().all(),
            cells.str.contains(PADDED).any(),
            cells.str.contains(INTEGER).all(),
            (numbers | cells.is_null()).all(),
        ):
            if is_number and not is_padded:
                self._kinds[name] = "empty" if is_empty else "integer" if is_integer else "number"
            else:
                others.append((name, is_padded))
        found = self._passed(
            [name for name, _ in others],
            cells.str.contains(DATE).all(),
            truths.all(),
            (truths | numbers | cells.is_null()).all(),
        )
        for (name, is_padded), (_, (is_date, is_truth, is_either)) in zip(
            others, found, strict=True
        ):
            if is_either and not is_padded:
                self._kinds[name] = "boolean" if is_truth else "number"
            else:
                self._kinds[name] = "date" if is_date else "text"

    def _passed(self, names: Sequence[str], *tests: Any) -> Iterator[tuple[str, tuple[bool, ...]]]:
        """Yield names and which tests, expressions of one boolean a column, their columns pass."""
        frame = polars().DataFrame({str(i): self.column(name) for i, name in enumerate(names)})
        if names:
            passed = zip(*(frame.select(test).row(0) for test in tests), strict=True)
            yield from zip(names, passed, strict=True)

    def _plain(self, texts: Any) -> Any:
        """Return texts, or an expression of them, with points for decimal commas."""
        return texts.str.replace(DECIMAL_COMMA, "${1}.${2}") if self.decimal_comma else texts

    def _parsed(self, texts: Any) -> Any:
        """Convert texts to numbers, and to null where they are none. true is 1, false 0."""
        pl = polars()
        numbers = self._plain(texts).cast(pl.Float64, strict=False)
        if numbers.null_count() == texts.null_count():
            return numbers
        truths = texts.str.to_lowercase().replace_strict(
            TRUTHS, default=None, return_dtype=pl.Float64
        )
        return numbers.fill_null(truths)

    def truths(self, name: str) -> list[str]:
        """Return the different texts of a column that are true or false, in any case of letters."""
        column = self.column(name)
        if column.dtype != polars().String:
            return []
        found = column.filter(column.str.to_lowercase().is_in(list(TRUTHS)))
        return list(found.unique().sort())

    def _no_numbers(self, texts: Any) -> Any:
        """Return True for the texts that are no numbers."""
        return self._parsed(texts).is_null() & texts.is_not_null()

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as float64: (n,). A missing cell is NaN, True 1 and False 0.

        Raises
        ------
        ValueError
            For a cell that is no number or is infinite. The message names the cell and its row.
        """
        column, values = self.column(name), self._values(name)
        if values.null_count() > column.null_count():
            good = (values.is_not_null() | column.is_null()).to_numpy()
            self.require(name, good, ", which is no number")
        array: NDArray[np.float64] = values.to_numpy().astype(np.float64)
        what = ", which is no finite number. Correct it, or leave it empty if it is unknown"
        self.require(name, ~np.isinf(array), what)
        return array

    def _values(self, name: str) -> Any:
        """Return a column as a Series of float64, which is null for cells that are no numbers."""
        pl, column = polars(), self.column(name)
        if column.dtype == pl.String:
            return self._parsed(column)
        if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
            return column.cast(pl.Float64)
        raise self.refuse(name, f" must hold numbers, got {column.dtype}")

    def texts(self, name: str, numeric: bool = False) -> list[str | None]:
        """Return a column as texts: (n,). A missing cell is None, a number its shortest text.

        Parameters
        ----------
        name
            The column's name.
        numeric
            Convert cells that are numbers to them first, so that 1, 1.0 and "1" become one text.
        """
        column = self.column(name)
        is_text = column.dtype == polars().String
        if is_text and not numeric:
            return list(column)
        integers, numbers = _integers(column), self._values(name)
        texts = column if is_text else [None] * len(column)
        return [
            text if number is None else integer if integer is not None else shortest(number)
            for text, integer, number in zip(texts, integers, numbers, strict=True)
        ]

    def constant(self, name: str) -> str:
        """Return why a column of numbers tells nothing, all of which are one float64."""
        first, *others = dict.fromkeys(self.texts(name, numeric=True))
        if not others:
            return f"is always {first}"
        return (
            f"holds integers, such as {first} and {others[0]}, that are all one number in float64 "
            "(subtract one of them from all)"
        )

    def found(
        self, name: str, texts: Iterable[str | None], numeric: bool = False
    ) -> NDArray[np.int64]:
        """Return the place of each row's text among `texts`: (n,); -1 where it is none of them."""
        places = {text: k for k, text in enumerate(texts)}
        cells = self.texts(name, numeric)
        return np.fromiter((places.get(cell, -1) for cell in cells), np.int64, len(cells))

    def slip(self, name: str) -> int | None:
        """Return the first row with a text in a column that is mostly numbers, or None.

        A text without letters or digits, such as -, is one in any column that has numbers.
        """
        column = self.column(name)
        if column.str.contains(PADDED).any():
            return None
        is_wrong = self._no_numbers(column)
        wrong, known = is_wrong.arg_true(), len(column) - column.null_count()
        if not len(wrong) or len(wrong) == known:
            return None
        is_mark = bool(column.filter(is_wrong).str.contains(MARK).all())
        return int(wrong[0]) if is_mark or 2 * len(wrong) <= known else None

    def why_texts(self, name: str) -> str:
        """Return why the cells of a column of texts are no numbers though they look so, or ""."""
        column = self.column(name)
        if column.dtype != polars().String or not column.str.contains(NUMBER_LIKE).all():
            return ""
        padded = column.str.contains(PADDED).fill_null(False)
        odd = self._no_numbers(column)
        row = int((odd if odd.any() else padded).arg_max())
        fault = "is no plain number" if odd.any() else "has leading zeros"
        return f"{shortened(column[row])} in {self.where(row)} {fault}"

    @cached_property
    def index(self) -> tuple[str, ...]:
        """Names of the columns that only number the rows, as pandas and R write them.

        Such a column holds different integers, in any order and with gaps, and has no name and
        stands first, has a name that pandas gives to a nameless index (`Unnamed: 0`,
        `__index_level_0__`, `index`, `level_0`, `level_1`), or is what a Parquet file calls its
        index. The levels of a nameless index of several (`Unnamed: 0`, `Unnamed: 1`, ...;
        `__index_level_0__`, ...) number the rows together. The rows that `take` returns have the
        index of the whole table.
        """
        if self._index is not None:
            return self._index
        candidates = [name for name in self.names if INDEX.fullmatch(name) or name in self.indexed]
        if self.names[:1] == [""]:
            candidates.insert(0, "")
        found = [name for name in candidates if self._holds_different_integers(name)]
        of_csv = takewhile(self._places.__contains__, (f"Unnamed: {k}" for k in count()))
        for levels in (list(of_csv), [name for name in self.names if LEVEL.fullmatch(name)]):
            if len(levels) > 1 and not {*levels} & {*found}:
                found += self._whole_levels(levels)
        return tuple(found)

    def why_index(self, name: str) -> str:
        """Return why a column of the index is no input."""
        if not name or INDEX.fullmatch(name) or name not in self.indexed:
            return "row numbers"
        return "the index, of different integers (an input after df.reset_index())"

    def _whole_levels(self, levels: list[str]) -> list[str]:
        """Return the levels that hold integers, if all levels together differ in every row."""
        columns = [self.column(name) for name in levels]
        frame = polars().DataFrame({str(i): column for i, column in enumerate(columns)})
        if not frame.is_unique().all():
            return []
        whole = [not _integers(column).null_count() for column in columns]
        return [name for name, is_whole in zip(levels, whole, strict=True) if is_whole]

    def _holds_different_integers(self, name: str) -> bool:
        column = self.column(name)
        integers = _integers(column)
        return not integers.null_count() and integers.n_unique() == len(self)


def _integers(column: Any) -> Any:
    """Return the shortest text of each integer, exactly, and null for all other cells."""
    pl = polars()
    if column.dtype.is_integer():
        return column.cast(pl.String)
    if column.dtype != pl.String:
        return pl.Series([None] * len(column), dtype=pl.String)
    texts = pl.when(pl.col("").str.contains(INTEGER)).then(pl.col(""))
    shortest = (
        texts.str.strip_prefix("+")
        .str.replace("^(-?)0+([0-9])", "${1}${2}")
        .str.replace("^-0$", "0")
    )
    return column.to_frame().select(shortest).to_series()


def shortest(value: float) -> str:
    """Return the shortest text of a number: 1 for 1.0."""
    return str(int(value)) if value.is_integer() else repr(value)
