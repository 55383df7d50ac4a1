"""Ways in which users' arrays come: from pickles, files, frames, transpositions, sparse formats.

A way is a function of a plain array and a folder for its files; it returns the same numbers as they
come. It raises ImportError where its library is missing.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import scipy.io
import scipy.sparse

Way = Callable[[np.ndarray, Path], Any]


def unpickled(a: np.ndarray, path: Path) -> Any:
    return pickle.loads(pickle.dumps(a))


def loaded_by_joblib(a: np.ndarray, path: Path) -> Any:
    joblib.dump(a, path / "a.joblib")
    return joblib.load(path / "a.joblib")


def mapped_by_joblib(a: np.ndarray, path: Path) -> Any:
    joblib.dump(a, path / "a.joblib")
    return joblib.load(path / "a.joblib", mmap_mode="r")


def mapped(a: np.ndarray, path: Path) -> Any:
    found = np.memmap(path / "a", a.dtype, "w+", shape=a.shape)
    found[...] = a
    return found


def mapped_npy(a: np.ndarray, path: Path) -> Any:
    np.save(path / "a.npy", a)
    return np.load(path / "a.npy", mmap_mode="r")


def mapped_in_fortran_order(a: np.ndarray, path: Path) -> Any:
    np.save(path / "a.npy", np.asfortranarray(a))
    return np.load(path / "a.npy", mmap_mode="r")


def part_of_a_map(a: np.ndarray, path: Path) -> Any:
    return mapped(np.repeat(a, 2, axis=0), path)[::2]


def of_two_axes(a: np.ndarray) -> np.ndarray:
    return a if a.ndim == 2 else a[:, None]


def every_second_column(a: np.ndarray, path: Path) -> Any:
    strided = np.repeat(of_two_axes(a), 2, axis=1)[:, ::2]
    return strided if a.ndim == 2 else strided[:, 0]


def unaligned(a: np.ndarray, path: Path) -> Any:
    memory = np.empty(a.nbytes + 1, "u1")[1:]
    found = memory.view(a.dtype).reshape(a.shape)
    found[...] = a
    assert not found.flags.aligned
    return found


def read_only(a: np.ndarray, path: Path) -> Any:
    found = a.copy()
    found.flags.writeable = False
    return found


def from_matlab(a: np.ndarray, path: Path) -> Any:
    scipy.io.savemat(path / "a.mat", {"a": a})
    found = scipy.io.loadmat(path / "a.mat")["a"]
    return found if a.ndim == 2 else found[0]


def from_bytes(a: np.ndarray, path: Path) -> Any:
    buffer = io.BytesIO()
    np.save(buffer, a)
    buffer.seek(0)
    return np.load(buffer)


ARRAYS: dict[str, Way] = {
    "pickled": unpickled,
    "joblib": loaded_by_joblib,
    "joblib, mapped": mapped_by_joblib,
    "memmap": mapped,
    "npy, mapped": mapped_npy,
    "npy, mapped in Fortran order": mapped_in_fortran_order,
    "part of a map": part_of_a_map,
    "npy from bytes": from_bytes,
    "Fortran order": lambda a, path: np.asfortranarray(a),
    "every second row": lambda a, path: np.repeat(a, 2, axis=0)[::2],
    "every second column": every_second_column,
    "reversed": lambda a, path: a[::-1].copy()[::-1],
    "reversed both ways": lambda a, path: np.flip(np.flip(a).copy()),
    "big-endian": lambda a, path: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "unaligned": unaligned,
    "dtype with metadata": lambda a, path: a.astype(np.dtype(a.dtype.str, metadata={"unit": "m"})),
    "MATLAB": from_matlab,
    "matrix": lambda a, path: a.view(np.ma.MaskedArray),
    "list": lambda a, path: a.tolist(),
}


def by_polars(a: np.ndarray, path: Path) -> Any:
    if a.ndim == 1:
        return pl.Series("y", a)
    return pl.DataFrame({f"x{j}": a[:, j] for j in range(a.shape[1])})


def frame(a: np.ndarray) -> Any:
    """A frame with columns that are named as attributes of arrays are, or a column."""
    if a.ndim == 1:
        return pd.Series(a)
    names = ["dtype", "shape", "ndim", "device", "columns", "tocsr"]
    return pd.DataFrame(a, columns=[*names, *range(6, a.shape[1])][: a.shape[1]])


def of_several_types(a: np.ndarray, path: Path) -> Any:
    """NumPy's floats beside pandas' own."""
    if a.ndim == 1:
        return pd.Series(a, index=np.arange(len(a))[::-1])
    types = dict(zip(frame(a).columns[:3], ["float64", "Float64", "Float32"], strict=False))
    return frame(a).astype(types)


def by_arrow(a: np.ndarray, path: Path) -> Any:
    return frame(a).convert_dtypes(dtype_backend="pyarrow")


def arrow_table(a: np.ndarray, path: Path) -> Any:
    import pyarrow

    if a.ndim == 1:
        return pyarrow.chunked_array([a[:7], a[7:]])
    return pyarrow.table({f"x{j}": a[:, j] for j in range(a.shape[1])})


FRAMES: dict[str, Way] = {
    "pandas": lambda a, path: frame(a),
    "pandas, nullable": lambda a, path: frame(a).convert_dtypes(),
    "pandas, of several types": of_several_types,
    "pandas, by Arrow": by_arrow,
    "Arrow": arrow_table,
    "polars": by_polars,
}
FORMATS = ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"]
SPARSE: dict[str, Way] = {
    f"{form}_{kind}": lambda a, path, name=f"{form}_{kind}": getattr(scipy.sparse, name)(a)
    for form in FORMATS
    for kind in ("array", "matrix")
}
WAYS = {**ARRAYS, **FRAMES, **SPARSE}
