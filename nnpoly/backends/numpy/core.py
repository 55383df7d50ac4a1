"""The door to the C core: its settings, the arrays that it reads, and the errors that it returns.

C takes float32 and float64 in C-contiguous, aligned arrays. cext/nnpoly.h is its contract.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from ..._core import ffi, lib
from ...primitives import Ops
from .. import threads
from ..host import READABLE
from ..host import HostArray as Array

VARIABLE, PAIRS_VARIABLE = "NNPOLY_ISA", "NNPOLY_BF16"


def start() -> None:
    """Choose the ISA and the threads by the environment."""
    isa, way = os.environ.get(VARIABLE), os.environ.get(PAIRS_VARIABLE)
    if isa and lib.nnpoly_set_isa(isa.encode()) != lib.NNPOLY_OK:
        runs = ", ".join(isas())
        raise ValueError(f"{VARIABLE}: must be none or one that runs here: {runs}; got {isa!r}.")
    if way and lib.nnpoly_set_pairs(way.encode()) != lib.NNPOLY_OK:
        runs = ", ".join(pairs())
        raise ValueError(f"{PAIRS_VARIABLE}: must be one that runs here: {runs}; got {way!r}.")
    set_num_threads(threads.default())


def isas() -> list[str]:
    """Return the instruction sets that this build has and this processor runs, best first."""
    return _names(lib.nnpoly_isa_name, lib.nnpoly_isa_runs)


def pairs() -> list[str]:
    """Return the ways to multiply pairs of bfloat16 that run here, best first."""
    return _names(lib.nnpoly_pairs_name, lib.nnpoly_pairs_run)


def _names(name_of: Callable[[int], Any], runs: Callable[[bytes], int]) -> list[str]:
    names: list[str] = []
    while (name := name_of(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return [name for name in names if runs(name.encode())]


def set_num_threads(count: int) -> None:
    """Use `count` threads, which has been checked."""
    lib.nnpoly_set_num_threads(count)


def describe() -> str:
    """Return the ISA, the threads, the compiler, and how bfloat16 is multiplied."""
    names = lib.nnpoly_isa(), lib.nnpoly_compiler(), lib.nnpoly_pairs()
    isa, compiler, way = (ffi.string(name).decode() for name in names)
    count = lib.nnpoly_num_threads()
    plural = "s" * (count > 1)
    return f"{isa}, {count} thread{plural}, compiled by {compiler}, bfloat16 by {way}"


# Arrays that C reads

FLOAT32, FLOAT64, INT64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
REALS = (FLOAT32, FLOAT64)  # compared with ==: an array from a pickle has a dtype object of its own
WRITABLE = 0x501  # of NumPy: C-contiguous, aligned and writable

pointer = ffi.from_buffer


def readable(dtype: np.dtype[Any], *arrays: Array) -> bool:
    """Whether all are arrays that C can read as `dtype`."""
    for array in arrays:
        if type(array) is not np.ndarray or array.dtype != dtype:
            return False
        if array.flags.num & READABLE != READABLE:
            return False
    return True


def floats(*arrays: Array) -> bool:
    """Whether all are arrays of one dtype that C can compute with."""
    first = arrays[0]
    return type(first) is np.ndarray and first.dtype in REALS and readable(first.dtype, *arrays)


def writable(*arrays: Array) -> bool:
    """Whether C can write into all the arrays, which it can read."""
    return all(array.flags.num & WRITABLE == WRITABLE for array in arrays)


def fits(array: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether C can read the array as one of this shape and dtype; or there is none."""
    return array is None or (readable(dtype, array) and array.shape == shape)


def place(array: Array | None) -> Any:
    """Return the array as C takes it; it takes NULL for what there is none of."""
    return ffi.NULL if array is None else pointer(array)


def new(ops: Ops, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array for a result: the step's own, or else a new one."""
    array: Array | None = ops.scratch(shape, dtype)
    return np.empty(shape, dtype) if array is None else array


Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Out: TypeAlias = Mapping[str, Array] | None  # where gradients shall be written, by name


def takes(shapes: Shapes, like: Array, out: Out) -> bool:
    """Whether C can write gradients of these shapes, and of the type of `like`, into `out`."""
    if out is None:
        return True
    arrays = [out[name] for name in shapes]
    fit = [array.shape for array in arrays] == list(shapes.values())
    return fit and readable(like.dtype, *arrays) and writable(*arrays)


def results(shapes: Shapes, like: Array, out: Out) -> dict[str, Array]:
    """Return the arrays that gradients are written into: those of `out`, or new ones."""
    if out is None:
        return {name: np.empty(shape, like.dtype) for name, shape in shapes.items()}
    return {name: out[name] for name in shapes}


def dtype_code(dtype: np.dtype[Any], precision: str | None = None) -> int:
    """Return C's code of float32, of float64, or of float32 with factors in bfloat16."""
    if precision is not None:
        return int(lib.NNPOLY_BFLOAT16)
    return int(lib.NNPOLY_FLOAT64 if dtype == FLOAT64 else lib.NNPOLY_FLOAT32)


# What C answers

REASONS = {
    lib.NNPOLY_NO_MEMORY: "memory for its workspace could not be allocated",
    lib.NNPOLY_NULL: "an array is missing",
    lib.NNPOLY_MISALIGNED: "an array is misaligned",
    lib.NNPOLY_SHAPE: "an array is too large, or empty where it must not be",
    lib.NNPOLY_OVERLAP: "a result would overlap another array in memory: pass copies",
    lib.NNPOLY_RANGE: "an index or a rate is out of its range",
}


def check(status: int) -> None:
    """Raise the error that a function's status stands for; NNPOLY_OK stands for none.

    Raises
    ------
    MemoryError
        If the workspace could not be allocated.
    ValueError
        For any other status: it names what the arguments lack.
    """
    if status != lib.NNPOLY_OK:
        kind = MemoryError if status == lib.NNPOLY_NO_MEMORY else ValueError
        raise kind(f"C core: {REASONS[status]}.")
