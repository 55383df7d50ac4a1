"""Reading tables: CSV, Parquet and NPZ files.

What is damaged in a file is one ValueError that names it, whatever the libraries raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ..data.container import as_path
from ..data.frames import is_frame
from . import _csv, _frames, _npz, _parquet
from .table import Table, polars

# Texts of missing cells: pandas' list, and ?.
MISSING = (
    *("", "?", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)


def read(path: Any) -> Table:
    r"""Read a table from a .csv (or .tsv), .parquet or .npz file.

    A CSV is UTF-8 text whose first line names the columns. The separator (comma, semicolon, tab or
    bar) is told from that line, or from Excel's line sep=; before it; with semicolons 3,14 is a
    number. In an NPZ every array (n,) is a column of its name, every array X (n, m) is the columns
    X_0, X_1, ..., and a single number or text is the same in every row.

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
    path = as_path("read", path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"read: {path} must end in {', '.join(READERS)} to be read as a table.")
    polars()
    if not path.is_file():
        raise FileNotFoundError(f"read: {path} is {'a folder' if path.is_dir() else 'no file'}.")
    try:
        if reader is _csv.read:
            _require_text(path)
        table = reader(path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    if not len(table):
        raise ValueError(f"read: {path} has no rows.")
    return _cleaned(table)


def as_table(data: Any, where: str = "as_table", name: str = "data") -> Table:
    """Return a table of a frame of pandas, polars or Arrow, or of a file.

    Parameters
    ----------
    data
        A frame, whose columns of a categorical type are categories though they hold numbers; the
        path of a file that `read` reads; or a `Table`, which is returned.
    where, name
        The function and its argument, for messages.

    Raises
    ------
    TypeError
        For anything else.
    ValueError, OSError, ImportError
        As of `read`.

    Examples
    --------
    >>> import polars
    >>> from nnpoly import tables
    >>> tables.as_table(polars.DataFrame({"size": ["S", "?"]})).texts("size")
    ['S', None]
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, str | PathLike):
        return read(data)
    if not is_frame(data):
        raise TypeError(
            f"{where}: `{name}` must be a frame of pandas, polars or Arrow, a file's path, or a "
            f"Table, as nnpoly.tables.read(path) makes it of a file, got {type(data).__name__}."
        )
    table = Table("the frame", _frames.as_polars(where, name, data))
    if not len(table):
        raise ValueError(f"{where}: `{name}` has no rows.")
    return _cleaned(table)


def _cleaned(table: Table) -> Table:
    """Return the table with plain numbers and texts, and null for missing cells."""
    pl, stripped = polars(), _stripped(table.frame)
    pairs = zip(table.names, table.frame.dtypes, strict=True)
    kinds = [name for name, dtype in pairs if dtype in (pl.Categorical, pl.Enum)]
    return replace(table, frame=_cleared(stripped), blanks=_blanks(stripped), categorical=kinds)


def _require_text(path: Path) -> None:
    """Refuse a file that begins as one of another format than UTF-8 text."""
    with open(path, "rb") as file:
        start = file.read(10)
    for first, (what, remedy) in BEGINNINGS.items():
        if start.startswith(first):
            raise ValueError(f"read: {path} is {what}. {remedy}.")


def _stripped(frame: Any) -> Any:
    """Return the frame with stripped texts and plain numbers."""
    pl = polars()
    decimals = {t for t in frame.dtypes if isinstance(t, pl.Decimal)}
    numbers = [pl.col(t).cast(pl.Float64 if t.scale else pl.Int128) for t in decimals]
    return (
        frame.with_columns(numbers)
        .with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
        .with_columns(pl.col(pl.String).str.strip_chars())
    )


def _blanks(frame: Any) -> dict[str, list[str]]:
    """Return the texts of missing cells that columns hold, but the empty one, by column."""
    texts = polars().col(polars().String)
    found = frame.select(texts.filter(texts.is_in(MISSING[1:])).unique().sort().implode())
    lists = zip(found.columns, (column[0].to_list() for column in found), strict=True)
    return {name: words for name, words in lists if words}


def _cleared(frame: Any) -> Any:
    """Return the frame with null for missing cells."""
    pl = polars()
    texts = pl.col(pl.String)
    return frame.with_columns(pl.when(~texts.is_in(MISSING)).then(texts)).with_columns(
        pl.col(pl.Float32, pl.Float64).fill_nan(None)
    )


# How files begin that are no text (PAR1 alone may name a column), what they are, and the remedy.
WORKBOOK = "Save the sheet as CSV UTF-8"
UNPACK = "Unpack it first"
AS_UTF8 = "Save it as UTF-8 (in Excel: CSV UTF-8)"
BEGINNINGS: dict[bytes, tuple[str, str]] = {
    b"PAR1\x15": ("a Parquet file", "Rename it to end in .parquet"),
    b"PK\x03\x04": (
        "a ZIP archive, such as .npz and .xlsx files are",
        f"Rename an NPZ to end in .npz. {WORKBOOK} if it is a workbook",
    ),
    b"\xd0\xcf\x11\xe0": ("an .xls workbook", WORKBOOK),
    b"\x1f\x8b": ("packed by gzip", UNPACK),
    b"BZh91AY&SY": ("packed by bzip2", UNPACK),
    b"\xfd7zXZ": ("packed by xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", UNPACK),
    b"\xff\xfe": ("text in UTF-16", AS_UTF8),
    b"\xfe\xff": ("text in UTF-16", AS_UTF8),
    b"\x89HDF": ("an HDF5 file", "Save its table as CSV, Parquet or NPZ"),
    b"ARROW1\0\0": ("an Arrow or Feather file", "Save its table as Parquet"),
}
READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _csv.read,
    ".tsv": _csv.read,
    ".parquet": _parquet.read,
    ".npz": _npz.read,
}
