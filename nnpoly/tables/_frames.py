"""Frames of pandas, polars and Arrow as polars' frames."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from ..data.frames import columns_of
from .table import polars


def as_polars(where: str, name: str, frame: Any) -> Any:
    """Return a frame as one of polars, without pandas' index.

    Raises
    ------
    ValueError
        If two columns have one name.
    """
    pl = polars()
    if isinstance(frame, pl.DataFrame):
        return frame
    columns: dict[str, Any] = {}
    for label, column in columns_of(frame):
        if str(label) in columns:
            raise ValueError(f"{where}: `{name}` has two columns {str(label)!r}: rename one.")
        columns[str(label)] = _series(column)
    return pl.DataFrame(columns)


def _series(column: Any) -> Any:
    """Return a column as polars has it; cells of several kinds become texts, as in a CSV."""
    pl, kind = polars(), type(column)
    if not hasattr(kind, "isna"):
        return pl.from_arrow(column)
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return pl.Series(column.to_numpy().astype("f4" if dtype == np.float16 else dtype))
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":  # whose cells polars would infer
        return pl.Series(column.to_numpy().astype(f"{dtype.kind}8[us]"))
    if str(dtype) == "category":
        texts = pl.Series([*map(str, column.cat.categories), None], dtype=pl.String)
        codes = column.cat.codes.to_numpy()  # -1 where it is missing
        return texts.gather(np.where(codes < 0, len(texts) - 1, codes)).cast(pl.Categorical)
    cells = column.astype(object).where(column.notna(), None).tolist()
    kinds = set(map(type, cells)) - {type(None)}
    if kinds and all(issubclass(kind, Real) and not issubclass(kind, bool) for kind in kinds):
        whole = all(issubclass(kind, Integral) for kind in kinds)
        make: Any = int if whole else float
        numbers = [None if cell is None else make(cell) for cell in cells]
        return pl.Series(numbers, dtype=pl.Int128 if whole else pl.Float64)
    if len(kinds) > 1:
        cells = [None if cell is None else str(cell) for cell in cells]
    return pl.Series(cells)
