"""Reading Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from .table import Table, polars


def read(path: Path) -> Table:
    """Read a Parquet file."""
    pl = polars()
    try:
        with _silenced(pl.exceptions.PanicException):
            frame = pl.read_parquet(path, glob=False)
            return Table(path.name, frame, indexed=_index_of(pl.read_parquet_metadata(path)))
    except OSError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(f"read: {path} is no readable Parquet file: {reason}.") from error


def _index_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the columns that pandas wrote as the index; a damaged list names none."""
    try:
        found = json.loads(metadata.get("pandas", "{}")).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):
        return ()
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()


@contextmanager
def _silenced(panic: type[BaseException]) -> Iterator[None]:
    """Keep what Rust writes to standard error about a panic from the terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    with TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except panic:
            file.truncate(0)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            if text := file.read():
                os.write(2, text)
