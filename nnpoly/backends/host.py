"""The host's part, the same for every backend: random numbers, shuffles and conversions.

All random numbers come from here, keyed by a seed and a path of integers, so that every backend is
given bit-equal numbers and none depends on what was drawn before.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, TypeAlias, TypeGuard

import numpy as np

HostArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Generator: TypeAlias = "np.random.Generator"  # quoted: numpy.random is slow to import

MASK = 0xFFFFFFFF
READABLE = 0x101  # NumPy's flags of arrays that are C-contiguous and aligned
# Of an array's entries in a file, by the array's kind.
_TYPES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (float, int),
    "U": (str,),
    "O": (str, bool, int, float, type(None)),
}
AHEAD = 128  # steps
_SHORT_TEXT = 256  # bytes
_LOOK = 1 << 20  # entries that are looked at in one go
# Keep shuffles and samples apart from the weights of (seed, layer).
_SHUFFLES = 0x73687566
_SAMPLES = 0x73616D70
_HELD_OUT = 0x68656C64


def namespace() -> Any:
    """NumPy as the array API standard has it.

    NumPy follows the standard since 2.1, which brought `astype`. Before, array-api-compat adds what
    is missing, at the price of an import that takes longer than NumPy's own.
    """
    return np if hasattr(np, "astype") else importlib.import_module("array_api_compat.numpy")


def entropy() -> int:
    """A fresh seed from the operating system."""
    return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])


def generator(seed: int, *path: int) -> Generator:
    """The random generator of a seed and a place (a layer, an epoch, ...)."""
    # NumPy makes the same words of [seed, *path], but takes twice the time for it.
    words = []
    for number in (seed, *path):
        words.append(number & MASK)
        while number := number >> 32:
            words.append(number & MASK)
    sequence = np.random.SeedSequence(np.array(words, np.uint32))
    return np.random.Generator(np.random.PCG64(sequence))


def permutation(n: int, seed: int, epoch: int) -> HostArray:
    """The numbers 0..n-1 in an order that depends on seed and epoch alone."""
    return generator(seed, _SHUFFLES, epoch).permutation(n)


def bootstrap(n: int, seed: int) -> HostArray:
    """A sample of n of the numbers 0..n-1 with replacement, which depends on the seed alone."""
    return generator(seed, _SAMPLES).integers(0, n, n)


def parted(n: int, count: int, seed: int) -> tuple[HostArray, HostArray]:
    """The numbers 0..n-1 in two parts, each in order: others, and `count` that the seed draws."""
    drawn = generator(seed, _HELD_OUT).permutation(n)
    return np.sort(drawn[count:]), np.sort(drawn[:count])


def arange(n: int, times: int = 1) -> HostArray:
    """The numbers 0..n-1 in order, so many times."""
    numbers = np.arange(n)
    return numbers if times == 1 else np.tile(numbers, times)


def _key(seed: int, t: Any) -> Any:
    """The key of an integer t, or those of an array of int64."""
    h: Any = 0x9E3779B9
    for word in (seed & MASK, (seed >> 32) & MASK, t & MASK, (t >> 32) & MASK):
        h = ((h ^ word) * 0x7FEB352D) & MASK
        h = ((h ^ (h >> 15)) * 0x846CA68B) & MASK
        h = h ^ (h >> 16)
    return (h ^ 0x80000000) - 0x80000000


def key(seed: int, t: int) -> int:
    """The signed 32-bit key of step t's random masks, hashed from seed and t."""
    return int(_key(seed, t))


def keys(seed: int, steps: Iterable[int]) -> list[int]:
    """The keys of many steps, which cost less together."""
    found: list[int] = _key(seed, np.fromiter(steps, np.int64)).tolist()
    return found


@lru_cache(maxsize=64)
def keys_ahead(seed: int, block: int) -> list[int]:
    """The keys of steps AHEAD * block, ..., which are remembered."""
    return keys(seed, range(AHEAD * block, AHEAD * (block + 1)))


def vector(pieces: Iterable[Any], dtype: str) -> HostArray:
    """All pieces as one vector of `dtype`."""
    flat = [np.ravel(np.asarray(piece, dtype=dtype)) for piece in pieces]
    return np.concatenate([np.zeros(0, dtype=dtype), *flat])


def orthonormal(matrix: HostArray) -> HostArray:
    """Orthonormal columns that span `matrix`'s: Q of its QR factorisation with diagonal R >= 0."""
    q, r = np.linalg.qr(matrix)
    signs: HostArray = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return signs


def deviations(columns: HostArray) -> HostArray:
    """The standard deviation of each column of (n, m), in float64; 1 for one that is constant.

    A constant column that was computed varies by its rounding, which counts for nothing.
    """
    wide = columns.astype(np.float64)
    found = wide.std(axis=0)
    rounding = 64.0 * np.finfo(columns.dtype).eps * np.abs(wide).max(axis=0)
    return np.where(found > rounding, found, 1.0)


def quantiles(columns: HostArray, count: int) -> list[list[float]]:
    """So many quantiles of each column of (n, m), its least and largest too; equal ones once."""
    found = np.quantile(columns.astype(np.float64), even_steps(count), axis=0)
    return [np.unique(column).tolist() for column in found.T]


def even_steps(count: int) -> HostArray:
    """So many numbers at equal steps from 0 to 1: (count,)."""
    return np.linspace(0.0, 1.0, count)


def even_quantiles(columns: HostArray, count: int) -> list[tuple[float, ...]]:
    """So many quantiles of each column of (n, m), its least and largest too; NaN is none.

    A column must have a number.
    """
    return [tuple(q.tolist()) for q in np.nanquantile(columns, even_steps(count), axis=0).T]


def interpolated(x: HostArray, points: HostArray, values: HostArray) -> HostArray:
    """What x is by straight lines between the values at rising points; outside, the nearest's."""
    return np.interp(x, points, values)


def five_numbers(columns: HostArray) -> list[tuple[float, ...]]:
    """Of each column of (n, m): the least, the quartiles with the median, the largest; NaN is none.

    A column must have a number.
    """
    found = np.nanquantile(columns, (0.0, 0.25, 0.5, 0.75, 1.0), axis=0)
    return [tuple(column.tolist()) for column in found.T]


def weighted_mean(columns: HostArray, weights: HostArray) -> HostArray:
    """The mean of each column of (n, m), weighted by the same column of the weights, in float64."""
    mean: HostArray = np.average(columns.astype(np.float64), axis=0, weights=weights)
    return mean


def is_host(data: Any) -> TypeGuard[HostArray]:
    """Whether `data` is a NumPy array or scalar."""
    return isinstance(data, np.ndarray | np.generic)


def is_scalar(data: Any) -> bool:
    """Whether `data` is a NumPy scalar."""
    return isinstance(data, np.generic)


def is_memory_map(array: HostArray) -> bool:
    """Whether the array's memory is a file."""
    return isinstance(array, np.memmap)


def in_memory(data: Any) -> bool:
    """Whether `data` is a NumPy array whose memory is no file."""
    return isinstance(data, np.ndarray) and not is_memory_map(data)


def copy(array: HostArray) -> HostArray:
    """A copy of an array, in C order."""
    return np.array(array, order="C")


def ascending(array: HostArray) -> HostArray:
    """The array, or a copy of one that runs backwards in memory, which torch refuses."""
    return array if min(array.strides, default=0) >= 0 else copy(array)


def in_order(data: Any) -> Any:
    """An array in C order and aligned, as kernels read it: a copy of one that is not.

    Anything but NumPy's arrays in memory stays as it is.
    """
    if type(data) is np.ndarray and not is_in_order(data):
        return np.array(data, order="C")
    return data


def is_in_order(array: HostArray) -> bool:
    """Whether an array is in C order and aligned."""
    return array.flags.num & READABLE == READABLE


def is_array(data: Any) -> bool:
    """Whether `data` is a NumPy array, and no scalar."""
    return isinstance(data, np.ndarray)


def is_dtype(data: Any) -> bool:
    """Whether `data` is a dtype of NumPy's."""
    return isinstance(data, np.dtype)


def python_value(data: Any) -> Any:
    """NumPy's scalars as Python's; anything else stays as it is."""
    return data.item() if isinstance(data, np.generic) else data


def empty(shape: tuple[int, ...], dtype: str) -> HostArray:
    """An array whose entries have yet to be written."""
    return np.empty(shape, dtype)


def full(shape: tuple[int, ...], value: float) -> HostArray:
    """A float64 array all of whose entries are `value`."""
    return np.full(shape, value, np.float64)


def repeated(columns: HostArray, times: Sequence[int]) -> HostArray:
    """The columns of (n, m), each so many times."""
    return np.repeat(columns, times, axis=1)


def sorted_with_inverse(indices: HostArray) -> tuple[HostArray, HostArray]:
    """The distinct indices, rising, and the places in them of the given ones."""
    return np.unique(indices, return_inverse=True)


def is_masked(data: Any) -> bool:
    """Whether `data` is a masked array with masked values."""
    subclassed = isinstance(data, np.ndarray) and type(data) is not np.ndarray
    return subclassed and bool(np.ma.is_masked(data))


def within(labels: HostArray, K: int) -> bool:
    """Whether `labels` are class indices 0..K-1: a quick test, False for anything else."""
    if labels.ndim != 1 or labels.dtype != np.int64:
        return False
    # Read as unsigned, a negative number is huge: one pass instead of two.
    return bool(np.maximum.reduce(labels.view(np.uint64)) < K)


def asarray(data: Any, dtype: str | None = None) -> HostArray:
    """`data` (an array-like of the host: lists, tuples, frames) as a NumPy array."""
    return np.asarray(data, dtype=dtype)


def vanishes(value: float, dtype: str) -> bool:
    """Whether a positive number is 0 in the dtype, or so small that the C core takes it for 0."""
    least = 0.0 if dtype == "float16" else float(np.finfo(dtype).smallest_normal)
    return float(np.asarray(value, dtype)) <= 0.0 or value < least


def rise(rows: Iterable[Sequence[float]], dtype: str) -> bool:
    """Whether each row's numbers rise in the dtype, by steps whose inverse is finite."""
    for row in rows:
        steps = np.diff(cast(np.asarray(row), dtype))
        if not np.all(steps > 1.0 / np.finfo(dtype).max):
            return False
    return True


def converted(array: HostArray, dtype: str) -> tuple[HostArray, bool]:
    """The array in `dtype` and C order; and whether all its numbers have a place in it."""
    with np.errstate(over="raise"):
        try:
            return np.asarray(array, dtype, order="C"), True
        except FloatingPointError:
            pass
    return np.ascontiguousarray(cast(array, dtype)), False


def without_overflow() -> AbstractContextManager[Any]:
    """The context in which numbers that are too large for a dtype become infinite silently."""
    return np.errstate(over="ignore")


def cast(data: Any, dtype: Any) -> Any:
    """The array, or SciPy's sparse matrix, in `dtype`; numbers too large for it are infinite."""
    with without_overflow():
        return data.astype(dtype, copy=False)


def fill(block: HostArray, data: HostArray) -> None:
    """Write data into an array of another type; numbers too large for it are infinite."""
    with without_overflow():
        block[...] = data


def common_type(dtypes: Sequence[Any]) -> Any:
    """The dtype that takes the numbers of all these; of none it is float64."""
    return np.result_type(*dtypes) if dtypes else np.dtype(np.float64)


def columns(parts: Sequence[HostArray]) -> HostArray:
    """Columns as a table of a type that takes all of them: (n, len(parts))."""
    return np.stack(parts).T


def of_values(values: list[Any], dtype: str) -> HostArray:
    """The array (n,) of a file's numbers, texts and the like, of the dtype that it had.

    Texts take no more room than they need, whatever the dtype says, unless that is little.
    """
    kind = np.dtype(dtype)
    types = _TYPES.get(kind.kind, ())
    if not all(type(value) in types for value in values):
        raise ValueError(f"an array of dtype {dtype!r} must have such values, got {values!r}")
    if kind.kind == "U" and kind.itemsize > _SHORT_TEXT:
        return np.asarray(values, "U")
    return np.asarray(values, kind)


def has_infinity(array: HostArray) -> bool:
    """Whether an entry is infinite; NaN is none."""
    return bool(np.isinf(array).any())


def all_finite(array: HostArray) -> bool:
    """Whether no entry is NaN or infinite, looking at a few rows at a time."""
    if array.size <= _LOOK:
        return bool(np.isfinite(array).all())
    return all(bool(np.isfinite(rows).all()) for rows in row_blocks(array, _LOOK))


def row_blocks(array: HostArray, entries: int) -> Iterator[HostArray]:
    """Yield views of an array's rows in order, as many at a time as have about so many entries."""
    rows = max(1, entries // max(1, array[:1].size))
    for i in range(0, len(array), rows):
        yield array[i : i + rows]


def finite_rows(array: HostArray) -> HostArray:
    """For each row whether all its entries are finite: (n,)."""
    flat = np.isfinite(array).reshape(len(array), -1)
    finite: HostArray = np.logical_and.reduce(flat, axis=1)
    return finite


def concatenate(parts: Iterable[HostArray]) -> HostArray:
    """All parts' rows as one array."""
    return np.concatenate(list(parts))


def unique(labels: HostArray) -> HostArray:
    """The distinct labels, sorted."""
    return np.unique(labels)


def numbered(cells: list[Any]) -> tuple[HostArray, list[Any]]:
    """The cells (n,) as numbers of the distinct ones, from 0; and those, in order.

    Equal cells of different types are different. What does not equal itself is as often there as it
    comes.
    """
    if len(set(map(type, cells))) == 1:
        known = _Numbers()
        return np.fromiter(map(known.__getitem__, cells), np.int64, len(cells)), list(known)
    of_pairs = _Numbers()
    pairs = zip(map(type, cells), cells, strict=True)
    numbers = np.fromiter(map(of_pairs.__getitem__, pairs), np.int64, len(cells))
    return numbers, [cell for _, cell in of_pairs]


class _Numbers(dict[Any, int]):
    """The numbers of things, which are given as they are asked for."""

    def __missing__(self, key: Any) -> int:
        number = self[key] = len(self)
        return number


def numbers_or(array: HostArray, other: int) -> HostArray:
    """An array of whole numbers as int64, and NaN as another one."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), other, array)
    return array.astype(np.int64, copy=False)


def counts(places: HostArray, length: int) -> list[int]:
    """How often each place in a list of that length occurs; -1 is its last one's."""
    found: list[int] = np.bincount(places % length, minlength=length).tolist()
    return found


def row_sums(rows: HostArray) -> HostArray:
    """The sum of each row of (n, m), added up from left to right: (n, 1)."""
    return np.add.accumulate(rows, axis=1)[:, -1:]


def index_of(labels: HostArray, classes: HostArray) -> HostArray:
    """The place in `classes` of every label, or -1 where it is not among them."""
    order = np.argsort(classes, kind="stable")
    found = np.searchsorted(classes, labels, sorter=order)
    place = order[np.minimum(found, len(classes) - 1)]
    return np.where(classes[place] == labels, place, -1)
