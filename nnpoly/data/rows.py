"""Rows read when a batch wants them: data that memory, or the device, does not hold as a whole."""

from __future__ import annotations

from typing import Any

from ..backends import host, registry


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
        self._source = source.tocsr() if hasattr(source, "tocsr") else source
        self.shape = tuple(source.shape)
        self.dtype = source.dtype

    @staticmethod
    def wants(array: Any, takes: bool, itemsize: int, room: int | None) -> bool:
        """Whether `array` should not be brought to where the network lives as a whole.

        takes: whether the network computes with arrays of its library and dtype as they are.
        itemsize: the bytes of a number there. room: the bytes that there are, or None for plenty.
        """
        if host.is_host(array):
            too_large = room is not None and array.size * itemsize > room
            return array.ndim == 2 and (too_large or (host.is_memory_map(array) and not takes))
        has = all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__"))
        return has and len(array.shape) == 2 and registry.of(array).name == "numpy"

    def __getitem__(self, rows: Any) -> host.HostArray:
        """Return rows, chosen by a slice or by indices, as an array in memory."""
        if isinstance(rows, slice) or host.in_memory(self._source):
            return self._dense(self._source[rows])
        order, back = host.sorted_with_inverse(rows)  # HDF5 wants indices that rise
        return self._dense(self._source[order])[back]

    @staticmethod
    def _dense(part: Any) -> host.HostArray:
        return host.asarray(part.toarray() if hasattr(part, "toarray") else part)
