"""Reading CSV files.

Python's reader and not polars', which fills up short rows, renames columns of one name and has no
line numbers, which the messages name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from .table import Table, polars
from .wording import shortened

SEPARATORS = ",;\t|"
TOLD = re.compile(rf'"?sep=([{SEPARATORS}])"?\s*', re.IGNORECASE)  # Excel's first line
ROWS_AT_ONCE = 50_000  # so that few cells are Python objects at a time


def read(path: Path) -> Table:
    """Read a CSV file; all cells are texts."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            told = TOLD.fullmatch(first)
            if told:
                return _parsed(path, file, told[1], 1)
            return _parsed(path, chain([first], file), _separator(first), 0)
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


def _parsed(path: Path, lines: Iterable[str], separator: str, before: int) -> Table:
    """Parse the lines of a file, of which some `before` were read already."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise ValueError(_unclosed(path, before + 1, error)) from error
    if not any(names):
        raise ValueError(f"read: {path} is empty: its first line must name the columns.")
    named = max(i for i, name in enumerate(names) if name) + 1
    _require_different(path, names[:named])
    blocks = list(_blocks(_rows(path, reader, names[:named], len(names), before)))
    frame = polars().concat([_frame([()] * len(names)), *(block for block, _ in blocks)])
    places = np.array([line for _, some in blocks for line in some], np.int64)
    kept = [i for i in range(len(names)) if i < named or _has_text(frame.to_series(i))]
    _require_different(path, [names[i] for i in kept])
    frame = frame[:, kept].rename(lambda i: names[int(i)])
    return Table(path.name, frame, places, separator == ";")


def _require_different(path: Path, names: Sequence[str]) -> None:
    places: dict[str, int] = {}
    for i, name in enumerate(names, 1):
        first = places.setdefault(name, i)
        if first != i:
            remedy = "rename one" if name else "name them"
            if not any(names[:i]):
                remedy += ", or write the file without its index: df.to_csv(path, index=False)"
            raise ValueError(
                f"read: {path} has two columns {name!r} (columns {first} and {i}): {remedy}."
            )


def _has_text(column: Any) -> bool:
    return bool((column.str.strip_chars() != "").any())


def _frame(columns: Sequence[Sequence[str]]) -> Any:
    """Return a frame of texts, whose columns are called 0, 1, ...."""
    pl = polars()
    return pl.DataFrame(
        [pl.Series(str(i), column, dtype=pl.String) for i, column in enumerate(columns)]
    )


def _blocks(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[Any, list[int]]]:
    """Yield frames of up to ROWS_AT_ONCE rows, each with the lines of its rows."""
    while block := list(islice(rows, ROWS_AT_ONCE)):
        lines, cells = zip(*block, strict=True)
        yield _frame(list(zip(*cells, strict=True))), list(lines)


def _rows(
    path: Path, reader: Any, names: Sequence[str], width: int, before: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line on which it begins; empty lines are skipped.

    Columns without a name at the end of the first line are often none: some programs end each line
    with a separator. Empty cells there may be missing, and there may be more of them.
    """
    line, named = before + reader.line_num + 1, len(names)
    remedy = "Put cells that hold the separator in double quotes"
    if named == 1 or names[0].startswith("#"):
        remedy = f"Its first line is {shortened(names[0])}: remove what stands above the names"
    try:
        for row in reader:
            if row and (len(row) < named or any(row[width:])):
                raise ValueError(
                    f"read: {path}, line {line} has {len(row)} cells, but the first line names "
                    f"{named} column{'s' * (named > 1)}. {remedy}."
                )
            if row:
                yield line, (row + [""] * (width - len(row)))[:width]
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise ValueError(_unclosed(path, line, error)) from error


def _unclosed(path: Path, line: int, error: csv.Error) -> str:
    return f"read: {path}: the row of line {line} has no end ({error}): check its double quotes."
