"""Rows read when a batch needs them: data that memory, or the device, does not hold as a whole."""

from __future__ import annotations

from typing import Any

from ..backends import host, registry
from .place import Place


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

    def __getitem__(self, rows: Any) -> host.HostArray:
        """Return rows, chosen by a slice or by indices, as an array in memory."""
        if isinstance(rows, slice) or host.in_memory(self._source):
            return self._dense(self._source[rows])
        order, back = host.sorted_with_inverse(rows)  # HDF5 wants indices that rise
        return self._dense(self._source[order])[back]

    @staticmethod
    def _dense(part: Any) -> host.HostArray:
        return host.asarray(part.toarray() if hasattr(part, "toarray") else part)


def reads_by_rows(X: Any, place: Place) -> bool:
    """Whether X is read a few rows at a time, since as a whole it would not fit the device."""
    if host.is_host(X):
        room = place.backend.room(place.device)
        too_large = room is not None and X.size * place.itemsize > room
        return X.ndim == 2 and (too_large or (host.is_memory_map(X) and not place.takes(X)))
    has = all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__"))
    return has and len(X.shape) == 2 and registry.of(X).name == "numpy"
