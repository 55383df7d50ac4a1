"""Frames of pandas, polars and Arrow as polars' frames."""

from __future__ import annotations

from numbers import Real
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
    pairs = zip(column.astype(object), column.isna(), strict=True)
    cells = [None if absent else cell for cell, absent in pairs]
    if str(dtype) == "category":
        return pl.Series(list(map(_text, cells)), dtype=pl.Categorical)
    kinds = {_kind(cell) for cell in cells if cell is not None}
    if len(kinds) > 1:
        return pl.Series(list(map(_text, cells)), dtype=pl.String)
    if kinds == {Real} and not all(isinstance(cell, int) for cell in cells if cell is not None):
        return pl.Series(
            [None if cell is None else float(cell) for cell in cells], dtype=pl.Float64
        )
    return pl.Series(cells)


def _kind(cell: Any) -> type:
    """Return what cells must have in common to be a column of one type."""
    return Real if isinstance(cell, Real) and not isinstance(cell, bool) else type(cell)


def _text(cell: Any) -> str | None:
    return None if cell is None else str(cell)
