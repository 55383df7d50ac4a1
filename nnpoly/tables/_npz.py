"""Reading NPZ files: every array is looked at before memory is taken for it."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .table import Table, polars

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # NumPy writes no others
MOST_COMPRESSED = 1100  # times smaller is what Deflate makes of anything, at most
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
KINDS = "biufUM"  # numbers, booleans, texts, dates
MOST_COLUMNS = 1_000_000


def read(path: Path) -> Table:
    """Read an NPZ file: its arrays are columns."""
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as of a header that Python 2 wrote
                arrays = dict(_arrays(file))
        except OSError:
            raise
        except Exception as error:  # zipfile and NumPy raise a dozen kinds about damaged bytes
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise ValueError(
                f"read: {path} is no readable NPZ of plain arrays: {reason}."
            ) from error
    columns: dict[str, NDArray[Any]] = {}
    for name, array in _repeated(arrays).items():
        _require_column(path, name, array)
        for key, values in _columns_of(name, array).items():
            if key in columns:
                raise ValueError(f"read: {path} has two columns {key!r}: rename an array.")
            columns[key] = values
    _require_equal_lengths(path, columns)
    return Table(path.name, polars().DataFrame(columns))


def _arrays(file: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of an archive, and their names."""
    with zipfile.ZipFile(file) as archive:
        names = [info.filename for info in archive.infolist()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"it has {name!r} twice")
        for info in archive.infolist():
            try:
                yield info.filename.removesuffix(".npy"), _array(archive, info)
            except ValueError as error:
                raise ValueError(f"{info.filename!r}: {error}") from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Read an array, which must have as many bytes as it and the archive say."""
    if info.compress_type not in METHODS:
        raise ValueError("it is compressed in a way that NumPy does not write")
    if info.file_size > MOST_COMPRESSED * (info.compress_size + 1):
        raise ValueError(f"it claims {info.file_size} bytes, made of {info.compress_size}")
    content = archive.read(info)
    file = io.BytesIO(content)
    if not content.startswith(npy.MAGIC_PREFIX):
        raise ValueError("it is no array that NumPy wrote")
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"it has version {version} of NumPy's format. Save numbers or texts")
    try:
        shape, is_fortran, dtype = HEADERS[version](file)
    except Exception as error:  # of Python's parser, and those that NumPy's have the whole header
        raise ValueError("its header is damaged") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded. Save numbers or texts")
    claimed, there = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if claimed != there:
        raise ValueError(f"it claims {claimed} bytes of {dtype}, but has {there}")
    flat = np.frombuffer(content, dtype, offset=file.tell()) if there else np.empty(0, dtype)
    if dtype.kind == "U":
        _require_characters(flat.view(np.dtype("u4").newbyteorder(dtype.byteorder)))
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _require_characters(codes: NDArray[np.uint32]) -> None:
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError("it holds texts with characters that there are not")


def _repeated(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays, with a single number or text in every row that the others have."""
    n = next((len(array) for array in arrays.values() if array.ndim), None)
    if n is None:
        return arrays
    return {name: a if a.ndim else np.full(n, a) for name, a in arrays.items()}


def _require_column(path: Path, name: str, array: NDArray[Any]) -> None:
    if array.ndim not in (1, 2) or array.dtype.kind not in KINDS:
        raise ValueError(
            f"read: {path}: array {name} must have shape (n,) or (n, m) and hold numbers, booleans "
            f"or texts, got {array.shape} of {array.dtype}."
        )
    if not len(array):
        raise ValueError(f"read: {path} has no rows: array {name} has shape {array.shape}.")
    if array.ndim == 2 and array.shape[1] > MOST_COLUMNS:
        raise ValueError(
            f"read: {path}: array {name} has {array.shape[1]} columns, more than {MOST_COLUMNS}."
        )


def _columns_of(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the columns of an array (n,) or (n, m) by name, of types that polars takes."""
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    if array.dtype.kind == "M":
        array = array.astype("datetime64[us]")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.ndim == 1:
        return {name: array}
    return {f"{name}_{i}": column for i, column in enumerate(np.ascontiguousarray(array.T))}


def _require_equal_lengths(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    first = next(iter(lengths), "")
    for name, length in lengths.items():
        if length != lengths[first]:
            raise ValueError(
                f"read: {path}: arrays must have equal lengths, {first} has {lengths[first]}, "
                f"{name} has {length}."
            )
