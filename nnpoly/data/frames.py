"""Frames: columns with names, each of a type of its own (pandas, polars, ...), as one array.

Only a frame's type is asked what it has: its own attributes may be columns of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backends import host

REAL = "biuf"  # the kinds of NumPy dtypes that hold real numbers
_ENCODE = "Encode categories first (nn.one_hot)"
_REMEDIES = {  # by the kind of the NumPy dtype
    "M": "Turn dates into numbers first, such as the days since one of them.",
    "m": "Turn durations into numbers first, such as seconds.",
    "c": "Take the parts of complex numbers: .real, .imag.",
    "O": f"{_ENCODE}, or make objects numbers: .astype(float).",
}


def is_frame(data: Any) -> bool:
    """Whether `data` is a frame."""
    return hasattr(type(data), "columns") and hasattr(type(data), "to_numpy")


def is_column(data: Any) -> bool:
    """Whether `data` is a frame's column."""
    return hasattr(type(data), "to_frame") and hasattr(type(data), "to_numpy")


def to_host(where: str, name: str, data: Any) -> host.HostArray:
    """A frame of real numbers, or a column of anything, as an array."""
    if is_column(data):
        return _values(where, name, data) if _kind(data) in REAL else host.asarray(data)
    if (array := _at_once(data)) is not None:
        return array
    columns = [_values(where, f"{name}[{label!r}]", column) for label, column in _columns(data)]
    return host.columns(columns)


def _at_once(frame: Any) -> host.HostArray | None:
    """A frame as an array; None where a column may be at fault, or must be looked at alone."""
    array: host.HostArray
    if hasattr(type(frame), "iter_columns"):  # polars, which would make dates numbers
        if any(c.null_count() or c.dtype.is_temporal() for c in frame.iter_columns()):
            return None
        array = frame.to_numpy(order="c")
        return array if array.dtype.kind in REAL else None
    dtypes = set(frame.dtypes)
    types = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    if not all(host.is_dtype(dtype) and dtype.kind in REAL for dtype in types):
        return None
    if not all(map(host.is_dtype, dtypes)) and frame.isna().to_numpy().any():
        return None
    array = frame.to_numpy(host.common_type(types))
    return array


def _columns(frame: Any) -> Iterable[tuple[Any, Any]]:
    """A frame's columns with their names."""
    if hasattr(type(frame), "items"):
        items: Iterable[tuple[Any, Any]] = frame.items()
        return items
    return ((column.name, column) for column in frame.iter_columns())


def _values(where: str, name: str, column: Any) -> host.HostArray:
    """A column's values, none of which may be missing; NaN is a number."""
    kind = _kind(column)
    if kind not in REAL:
        raise ValueError(not_real(where, name, f"dtype {column.dtype}", kind))
    if not host.is_dtype(column.dtype):
        absent = column.isna() if hasattr(type(column), "isna") else column.is_null()
        missing = host.asarray(absent, "bool")
        if missing.any():
            raise ValueError(
                f"{where}: `{name}` must have no missing values, got {missing.sum()} in "
                f"{missing.size} rows, the first in row {missing.argmax()}. Fill or drop them "
                "first."
            )
    return host.asarray(column, getattr(column.dtype, "numpy_dtype", None))


def _kind(column: Any) -> str:
    """The kind of the NumPy dtype of a column's values."""
    kind = getattr(column.dtype, "kind", None) or host.asarray(column.head(0)).dtype.kind
    return str(host.asarray(column).dtype.kind if kind == "O" else kind)  # categories' own


def not_real(where: str, name: str, came: Any, kind: str = "") -> str:
    """The message about data that are not real numbers; kind: of their NumPy dtype."""
    remedy = _REMEDIES.get(kind, f"{_ENCODE}.")
    return f"{where}: `{name}` must hold real numbers, got {came}. {remedy}"
