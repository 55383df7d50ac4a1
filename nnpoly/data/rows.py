"""Rows read when a batch needs them: data that memory, or the device, does not hold as a whole."""

from __future__ import annotations

import math
from typing import Any

from ..backends import host, registry
from .frames import is_column, is_frame
from .place import Place, is_sparse

WHOLE = 1 << 26  # bytes: a source that takes no more as an array is read as a whole


class Rows:
    """A two-dimensional source that is read a few rows at a time.

    Parameters
    ----------
    source
        Anything with `shape`, `dtype` and rows by index, or a SciPy sparse matrix.
    name
        The argument that it is, for errors.
    """

    ndim = 2

    def __init__(self, source: Any, name: str = "X") -> None:
        self.name = name
        self.categories: tuple[int, ...] = ()  # of each of the last columns
        self._sparse = hasattr(type(source), "tocsr")
        self._source = _canonical(source.tocsr()) if self._sparse else source
        self.shape = tuple(source.shape)
        self.dtype = source.dtype
        self._numbers: host.HostArray | None = None  # of the rows, in the source; None for all

    def among(self, numbers: host.HostArray) -> Rows:
        """Those rows alone."""
        part = object.__new__(Rows)
        part.__dict__.update(self.__dict__)
        part._numbers, part.shape = self.numbers(numbers), (len(numbers), *self.shape[1:])
        return part

    def numbers(self, rows: Any) -> host.HostArray:
        """The numbers, in the source, of rows that are chosen by a slice or by indices."""
        chosen: host.HostArray
        chosen = (host.arange(self.shape[0]) if self._numbers is None else self._numbers)[rows]
        return chosen

    def __getitem__(self, rows: Any) -> host.HostArray:
        """Return rows, chosen by a slice or by indices, as an array in memory."""
        part, back = self._chosen(rows)
        dense = host.asarray(part.toarray() if self._sparse else part)
        return dense if back is None else dense[back]

    def read(self, rows: Any, block: host.HostArray) -> None:
        """Write rows, chosen by a slice or by indices, into an array of a type of its own."""
        part, back = self._chosen(rows)
        if self._sparse:  # no dense array of the source's type
            host.cast(part, block.dtype).toarray(out=block)
        else:
            host.fill(block, part if back is None else part[back])

    def _chosen(self, rows: Any) -> tuple[Any, host.HostArray | None]:
        """Rows of the source, and the places of the wanted ones among them; None for in order."""
        if self._numbers is not None:
            rows = self._numbers[rows]
        if isinstance(rows, slice) or self._sparse or host.in_memory(self._source):
            return self._source[rows], None
        order, back = host.sorted_with_inverse(rows)  # HDF5 wants indices that rise
        return host.asarray(self._source[order]), back


def _canonical(matrix: Any) -> Any:
    """A sparse matrix none of whose entries is a sum of several."""
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def is_source(where: str, name: str, X: Any) -> bool:
    """Whether X gives rows by index that are not in memory as they are."""
    if host.is_host(X):
        return host.is_memory_map(X)
    if is_frame(X) or is_column(X):
        return False
    if is_sparse(where, name, X):
        return True
    has = all(hasattr(X, attribute) for attribute in ("shape", "dtype", "__getitem__"))
    return has and registry.of(X).name == "numpy"


def reads_by_rows(X: Any, place: Place, source: bool) -> bool:
    """Whether X, a host array or a source of two axes, is read a few rows at a time.

    A source is, unless it is small or a memory map that can be taken as it is; and so is what would
    not fit the device.
    """
    size, room = math.prod(X.shape) * place.itemsize, place.backend.room(place.device)
    if room is not None and size > room:
        return True
    as_it_is = place.takes(X) and host.is_host(X) and host.is_in_order(X)
    return source and size > WHOLE and not as_it_is
