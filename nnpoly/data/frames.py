"""Frames: columns with names, each of a type of its own (pandas, polars, Arrow), as one array.

Only a frame's type is asked what it has: its own attributes may be columns of that name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..backends import host

REAL = "biuf"  # the kinds of NumPy dtypes that hold real numbers
_TEXTS = ("string", "large_string", "dictionary")  # types of Arrow
_AS_THEY_ARE = (
    "nn.tables.fit and the RealMLP and TabM of nn.estimators take columns of texts as they are."
)
_ENCODE = "Encode categories first (nn.one_hot)"
_REMEDIES = {  # by the kind of the NumPy dtype, or by a method that data without numbers have
    "M": "Turn dates into numbers first, such as the days since one of them.",
    "m": "Turn durations into numbers first, such as seconds.",
    "c": "Take the parts of complex numbers: .real, .imag.",
    "O": f"{_ENCODE}, or make objects numbers: .astype(float).",
    "collect": "Run its query first: .collect().",
}


def is_frame(data: Any) -> bool:
    """Whether `data` is a frame."""
    kind = type(data)
    return hasattr(kind, "columns") and (hasattr(kind, "to_numpy") or hasattr(kind, "itercolumns"))


def is_column(data: Any) -> bool:
    """Whether `data` is a frame's column, or an array of Arrow's."""
    kind = type(data)
    arrow = hasattr(kind, "null_count") and hasattr(kind, "type")
    return hasattr(kind, "to_numpy") and (hasattr(kind, "to_frame") or arrow)


def to_host(where: str, name: str, data: Any, dtype: str | None = None) -> host.HostArray:
    """A frame of real numbers, or a column of anything, as an array.

    dtype: the floating type that a frame's numbers are wanted in; they may come in another one.
    """
    if is_column(data):
        return _values(where, name, data) if _kind(data) in REAL else host.asarray(data)
    if (array := _at_once(data, dtype)) is not None:
        return array
    columns = [_values(where, f"{name}[{label!r}]", column) for label, column in columns_of(data)]
    return host.columns(columns)


def _at_once(frame: Any, wanted: str | None) -> host.HostArray | None:
    """A frame as an array; None where a column may be at fault, or must be looked at alone."""
    array: host.HostArray
    if hasattr(type(frame), "iter_columns"):  # polars, which would make dates numbers
        if any(c.null_count() or c.dtype.is_temporal() for c in frame.iter_columns()):
            return None
        array = frame.to_numpy(order="c")
        return array if array.dtype.kind in REAL else None
    if hasattr(type(frame), "itercolumns"):  # Arrow
        if any(column.null_count for column in frame.itercolumns()):
            return None
        parts = [host.asarray(column) for column in frame.itercolumns()]
        return host.columns(parts) if all(part.dtype.kind in REAL for part in parts) else None
    dtypes = set(frame.dtypes)
    types = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    if not all(host.is_dtype(dtype) and dtype.kind in REAL for dtype in types):
        return None
    dtype = host.common_type(types)
    if all(map(host.is_dtype, dtypes)):
        array = frame.to_numpy(dtype)
        return array
    if any(kind.kind != "f" for kind in types):
        return None if frame.isna().to_numpy().any() else frame.to_numpy(dtype)
    with host.without_overflow():  # and a missing value is NaN
        array = frame.to_numpy(wanted or dtype, na_value=math.nan)
    return array if host.all_finite(array) else None


def columns_of(frame: Any) -> Iterable[tuple[Any, Any]]:
    """A frame's columns with their names."""
    if hasattr(type(frame), "items"):
        items: Iterable[tuple[Any, Any]] = frame.items()
        return items
    if hasattr(type(frame), "itercolumns"):
        return zip(frame.schema.names, frame.itercolumns(), strict=True)
    return ((column.name, column) for column in frame.iter_columns())


def cells_of(column: Any) -> tuple[host.HostArray, list[Any] | None]:
    """A column's cells, of any dtype; or as numbers of its categories or texts, and these.

    Numbers count from 0, and -1 is missing. They come where the column's library has them without
    looking at each cell in Python.
    """
    kind, dtype = type(column), _dtype(column)
    if host.is_dtype(dtype):
        return host.asarray(column), None
    if hasattr(kind, "to_physical"):  # polars, whose texts come faster as a list
        texts = str(dtype).startswith(("String", "Categorical", "Enum"))
        return host.asarray(column.to_list(), "object") if texts else host.asarray(column), None
    if hasattr(kind, "dictionary_encode"):
        return _of_arrow(column) if str(dtype).startswith(_TEXTS) else (host.asarray(column), None)
    if str(dtype) == "category":
        return column.array.codes, column.array.categories.tolist()
    if str(dtype).startswith("str"):
        numbers, texts = column.factorize()
        return numbers, texts.tolist()
    wanted = getattr(dtype, "numpy_dtype", None)  # of pandas' own types
    if wanted is None or wanted.kind not in "iuf":
        return host.asarray(column), None
    missing = column.isna().any()
    return column.to_numpy("float64" if missing else wanted, na_value=math.nan), None


def _of_arrow(column: Any) -> tuple[host.HostArray, list[Any]]:
    encoded = column.dictionary_encode()
    chunks = encoded.unify_dictionaries().chunks if hasattr(encoded, "chunks") else [encoded]
    parts = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in chunks]
    values = chunks[0].dictionary.to_pylist() if chunks else []
    return host.numbers_or(host.concatenate(parts), -1), values


def _values(where: str, name: str, column: Any) -> host.HostArray:
    """A column's values, none of which may be missing; NaN is a number."""
    kind, dtype = _kind(column), _dtype(column)
    if kind not in REAL:
        remedy = "" if kind in _REMEDIES and kind != "O" else f" {_AS_THEY_ARE}"
        raise ValueError(not_real(where, name, f"dtype {dtype}", kind) + remedy)
    if not host.is_dtype(dtype):
        absent = column.isna() if hasattr(type(column), "isna") else column.is_null()
        missing = host.asarray(absent, "bool")
        if missing.any():
            raise ValueError(
                f"{where}: `{name}` must have no missing values, got {missing.sum()} in "
                f"{missing.size} rows, the first in row {missing.argmax()}. Fill or drop them "
                "first."
            )
    wanted = "float64" if _is_decimal(dtype) else getattr(dtype, "numpy_dtype", None)
    array = host.asarray(column, wanted)
    if array.ndim != 1:  # each of whose cells is an array
        raise ValueError(not_real(where, name, f"dtype {dtype}"))
    return array


def _dtype(column: Any) -> Any:
    return column.dtype if hasattr(type(column), "dtype") else column.type


def _kind(column: Any) -> str:
    """The kind of the NumPy dtype of a column's values."""
    dtype = _dtype(column)
    if _is_decimal(dtype):  # objects, each of which float() takes
        return "f"
    kind = getattr(dtype, "kind", None) or host.asarray(column[:0]).dtype.kind
    return str(host.asarray(column).dtype.kind if kind == "O" else kind)  # categories' own


def _is_decimal(dtype: Any) -> bool:
    return str(dtype).lower().startswith("decimal")


def not_real(where: str, name: str, came: Any, kind: str = "") -> str:
    """The message about data that are not real numbers; kind: a key of the remedies, if known."""
    remedy = _REMEDIES.get(kind, f"{_ENCODE}.")
    return f"{where}: `{name}` must hold real numbers, got {came}. {remedy}"
