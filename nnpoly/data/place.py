"""Places: the backend, device and floating type that a network's arrays live in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..backends import Backend, host, registry
from ..primitives import Array

REAL = "biuf"  # the kinds of NumPy dtypes that hold real numbers


@dataclass(frozen=True)
class Place:
    """Where a network's arrays live: its backend, device and floating type."""

    backend: Backend
    device: Any
    dtype: str

    @cached_property
    def _float(self) -> Any:
        return self.backend.xp.zeros(0, dtype=self.backend.dtype(self.dtype)).dtype

    @cached_property
    def _index(self) -> Any:
        return self.backend.xp.zeros(0, dtype=self.backend.dtype(self.backend.index_dtype)).dtype

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which this place's arrays are computed with."""
        return self.backend.scope(self.device)

    @property
    def itemsize(self) -> int:
        """The bytes of a number."""
        return int(self.dtype[5:]) // 8

    def takes(self, data: Any) -> bool:
        """Whether `data` is an array of the place's library and floating type."""
        return self.backend.owns(data) and bool(data.dtype == self._float)

    def real(self, where: str, name: str, data: Any) -> Array:
        """Return real data in the place's floating type: the same array where it fits already."""
        data = plain(where, name, data)
        if self.takes(data):
            return self.backend.move(data, self.device)
        return self._enter(where, name, data, self.dtype)

    def integers(self, where: str, name: str, data: Any) -> Array:
        """Return integers in the backend's index type: the same array where it fits already."""
        if self.backend.owns(data) and data.dtype == self._index:
            return self.backend.move(data, self.device)
        return self._enter(where, name, data, self.backend.index_dtype)

    def _enter(self, where: str, name: str, data: Any, dtype: str) -> Array:
        if self.backend.owns(data) and not host.is_host(data):
            if is_kind(self.backend.xp, data.dtype, "complex floating"):
                raise ValueError(not_real(where, name, data.dtype))
            return self.backend.convert(data, dtype, self.device)
        array = host_array(where, name, data, self.backend)
        require_real(where, name, array)
        return self.backend.from_host(host.asarray(array, dtype), self.device)


def plain(where: str, name: str, data: Any) -> Any:
    """Return NumPy's matrices and masked arrays as plain arrays; refuse masked values."""
    if host.is_masked(data):
        raise ValueError(
            f"{where}: `{name}` must have no masked values. Fill them first: {name}.filled(0.0)."
        )
    return host.asarray(data) if host.is_host(data) else data


def not_real(where: str, name: str, came: Any) -> str:
    """Return the message about data that are not real numbers."""
    return (
        f"{where}: `{name}` must hold real numbers, got {came}. Encode categories first "
        "(nn.one_hot), and take the parts of complex numbers."
    )


def require_real(where: str, name: str, array: host.HostArray) -> None:
    """Refuse arrays of texts, objects, dates and complex numbers."""
    if array.dtype.kind not in REAL:
        came = f"dtype {array.dtype}" if array.ndim else type(array.item()).__name__
        raise ValueError(not_real(where, name, came))


def host_array(where: str, name: str, data: Any, backend: Backend) -> host.HostArray:
    """Return array-like data of the host as a NumPy array; refuse another backend's arrays."""
    owner = registry.of(data)
    if owner.name != "numpy":
        raise ValueError(
            f"{where}: `{name}` is an array of {owner.name}, but the network lives on "
            f"{backend.name}. Move one of them: net.to({owner.name!r}), or pass a NumPy array."
        )
    return _rectangular(where, name, data)


def _rectangular(where: str, name: str, data: Any) -> host.HostArray:
    try:
        return registry.to_host(data)
    except (TypeError, ValueError) as error:  # ragged lists, types that NumPy lacks
        reason = str(error).rstrip(".")
        raise ValueError(f"{where}: `{name}` is no rectangular array: {reason}.") from error


def on_host(where: str, name: str, data: Any) -> host.HostArray:
    """Return real data of any backend as a NumPy array."""
    array = _rectangular(where, name, plain(where, name, data))
    require_real(where, name, array)
    return array


@cache
def is_kind(xp: Any, dtype: Any, kind: str) -> bool:
    """Whether a dtype is of a kind of the array API, such as "integral"."""
    return bool(xp.isdtype(dtype, kind))
