"""Rows read when a batch wants them: memory maps, HDF5 and zarr arrays, sparse matrices."""

from __future__ import annotations

from typing import Any

from .backends import host, registry


class Rows:
    """A two-dimensional source outside of memory, read a few rows at a time.

    Parameters
    ----------
    source
        Anything with `shape`, `dtype` and rows by index, or a SciPy sparse matrix.
    """

    ndim = 2

    def __init__(self, source: Any) -> None:
        self._source = source.tocsr() if hasattr(source, "tocsr") else source
        self.shape = tuple(source.shape)
        self.dtype = source.dtype

    @staticmethod
    def wants(array: Any, takes: bool) -> bool:
        """Whether `array` should not be brought into memory as a whole.

        takes: whether the network computes with arrays of its library and dtype as they are.
        """
        if host.is_host(array):
            return host.is_memory_map(array) and not takes
        has = all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__"))
        return has and len(array.shape) == 2 and registry.of(array).name == "numpy"

    def __getitem__(self, rows: Any) -> host.HostArray:
        """Return rows, chosen by a slice or by indices, as an array in memory."""
        if isinstance(rows, slice):
            return self._dense(self._source[rows])
        order, back = host.sorted_with_inverse(rows)  # HDF5 wants indices that rise
        return self._dense(self._source[order])[back]

    @staticmethod
    def _dense(part: Any) -> host.HostArray:
        return host.asarray(part.toarray() if hasattr(part, "toarray") else part)
