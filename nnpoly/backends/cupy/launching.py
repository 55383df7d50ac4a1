"""Compile and launch the kernels of kernels.cu."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import cupy

from ...primitives import Scalar

Array: TypeAlias = "cupy.ndarray"
Shape: TypeAlias = tuple[int, ...]

TILE, WARP, THREADS, LARGEST = 16, 32, 256, 1024  # but for THREADS, also in kernels.cu
BLOCKS = 2048  # more than any device runs at once; each then takes several entries
REALS = {"f": "float", "d": "double"}  # by the dtype's character
NULL = 0


@cache
def _module(kind: str) -> Any:
    code = files(__package__).joinpath("kernels.cu").read_text()
    return cupy.RawModule(code=code, options=(f"-DREAL={REALS[kind]}", "--std=c++17"))


@cache
def _kernel(name: str, kind: str) -> Any:
    return _module(kind).get_function(name)


def launch(name: str, dtype: Any, grid: Shape, block: Shape, *args: Any) -> None:
    """Launch a kernel of kernels.cu on the current stream."""
    _kernel(name, dtype.char)(grid, block, args)


def launch_flat(name: str, array: Array, *args: Any) -> None:
    """Launch a kernel with a thread for each entry of an array, up to BLOCKS blocks."""
    blocks = min(-(-array.size // THREADS), BLOCKS)
    launch(name, array.dtype, (blocks,), (THREADS,), *args)


def rows_and_columns(n: int, m: int) -> tuple[Shape, Shape]:
    """Return the grid and block of kernels whose threads are columns times rows."""
    columns = min(power_of_two(m), THREADS)
    rows = THREADS // columns
    return (min(-(-n // rows), BLOCKS), -(-m // columns)), (columns, rows)


def tiles(rows: int, columns: int) -> tuple[Shape, Shape]:
    """Return the grid and block of products: TILE x TILE entries a block."""
    return (-(-rows // TILE), -(-columns // TILE)), (TILE, TILE)


def power_of_two(n: int) -> int:
    """Return the smallest power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def scalar(value: Scalar) -> tuple[float, Any]:
    """Return a number as kernels take it: (value, NULL), or (0, an array on the device)."""
    return (0.0, value) if isinstance(value, cupy.ndarray) else (float(value), NULL)


def at(array: Array | None) -> Any:
    """Return an array as kernels take it: NULL for None."""
    return NULL if array is None else array


def targets(y: Array) -> tuple[Any, Any]:
    """Return y as kernels take it: (class indices, NULL) or (NULL, rows)."""
    return (y, NULL) if y.ndim == 1 else (NULL, y)


def recorded(stream: Any) -> Any:
    """Return an event after all work that is on the stream now."""
    return stream.record(cupy.cuda.Event(disable_timing=True))
