"""Tables that tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nnpoly import tables
from nnpoly.tables import Preprocessing, Schema, Table

GOOD = "x,size,y\n" + "".join(f"{i / 8},{'SML'[i % 3]},{i % 2}\n" for i in range(24))


def csv_of(folder: Path, content: str, name: str = "data.csv", encoding: str = "utf-8") -> Table:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return tables.read(path)


def table_of(**columns: Any) -> Table:
    return Table("made.parquet", pl.DataFrame(columns))


def mixed(n: int = 60, seed: int = 0) -> Table:
    """A table of every kind of column, with missing cells in most."""
    rng = np.random.default_rng(seed)
    columns = {
        "real": np.where(rng.uniform(size=n) < 0.2, None, rng.normal(3e3, 1e-2, size=n)),
        "whole": rng.integers(-5, 5, n),
        "truth": rng.uniform(size=n) < 0.3,
        "colour": np.where(rng.uniform(size=n) < 0.2, None, rng.choice(["red", "blue", "é,"], n)),
        "code": rng.integers(0, 4, n),
        "y": rng.normal(size=n),
    }
    return table_of(**{name: column.tolist() for name, column in columns.items()})


def fitted(table: Table, rows: Any = None, **options: Any) -> Preprocessing:
    rows = np.arange(len(table)) if rows is None else rows
    schema = Schema.of(table, "y", rows, **options)
    return Preprocessing.fit(table.take(rows), schema)
