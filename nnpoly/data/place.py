"""Places: the backend, device and floating type that a network's arrays live in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeGuard

from .. import _checks
from ..backends import Backend, host, registry
from ..backends.base import FLOATS
from ..primitives import Array, Namespace
from . import frames
from .frames import REAL, not_real


class Kind(NamedTuple):
    """The type, dtype and device of an array: a place takes arrays of its own kinds as they are."""

    type: Any
    dtype: Any
    device: Any

    @classmethod
    def of(cls, data: Any) -> Kind:
        """The kind of an array; anything else has a kind that no place has."""
        return cls(type(data), getattr(data, "dtype", None), getattr(data, "device", None))


class Place:
    """The backend, device and floating type of a network's arrays.

    Attributes
    ----------
    reals, indices
        The kinds of this place's arrays of real numbers, and of row numbers and class indices:
        such arrays are taken as they are.
    """

    def __init__(self, backend: Backend, device: Any, dtype: str) -> None:
        self.backend, self.device, self.dtype = backend, device, dtype

    @cached_property
    def reals(self) -> Kind:
        return self._kind(self.dtype)

    @cached_property
    def indices(self) -> Kind:
        return self._kind(self.backend.index_dtype)

    def _kind(self, dtype: str) -> Kind:
        with self.scope(), self.backend.eager():
            array = self.backend.xp.zeros(0, dtype=self.backend.dtype(dtype))
            return Kind.of(self.backend.move(array, self.device))

    def scope(self) -> AbstractContextManager[Any]:
        """The context in which this place's arrays are computed with."""
        return self.backend.scope(self.device)

    @property
    def itemsize(self) -> int:
        """The bytes of a number."""
        return {"float16": 2, "float32": 4, "float64": 8}[self.dtype]

    def takes(self, data: Any) -> TypeGuard[Array]:
        """Whether `data` is an array of the place's library and floating type."""
        return self.backend.owns(data) and bool(data.dtype == self.reals.dtype)

    def real(self, where: str, name: str, data: Any) -> Array:
        """Real data in the place's floating type: the same array where it fits already."""
        if Kind.of(data) == self.reals:
            own: Array = data
            return own
        data = plain(where, name, data)
        if self.takes(data):
            return self.backend.move(data, self.device)
        return self._enter(where, name, data, self.dtype)

    def integers(self, where: str, name: str, data: Any) -> Array:
        """Integers in the backend's index type: the same array where it fits already."""
        if Kind.of(data) == self.indices:
            own: Array = data
            return own
        if self.backend.owns(data) and data.dtype == self.indices.dtype:
            return self.backend.move(data, self.device)
        return self._enter(where, name, data, self.backend.index_dtype)

    def _enter(self, where: str, name: str, data: Any, dtype: str) -> Array:
        if self.backend.owns(data) and not host.is_host(data):
            if is_kind(self.backend.xp, data.dtype, "complex floating"):
                raise ValueError(not_real(where, name, data.dtype, "c"))
            return self.backend.convert(data, dtype, self.device)
        array = host_array(where, name, data, self.backend)
        require_real(where, name, array)
        converted, fits = host.converted(array, dtype)
        if not fits:
            raise ValueError(not_finite(where, name, self.dtype, host.finite_rows(converted)))
        return self.backend.from_host(converted, self.device)


def plain(where: str, name: str, data: Any, dtype: str | None = None) -> Any:
    """The host's data of other kinds as plain arrays; anything else as it is.

    Those are NumPy's matrices and masked arrays, frames and their columns, and SciPy's sparse ones.
    dtype: as in `frames.to_host`.
    """
    if host.is_host(data):
        if host.is_masked(data):
            raise ValueError(
                f"{where}: `{name}` must have no masked values. Fill them first: "
                f"{name}.filled(0.0)."
            )
        return host.asarray(data)
    if frames.is_frame(data) or frames.is_column(data):
        return frames.to_host(where, name, data, dtype)
    return data.toarray() if is_sparse(where, name, data) else data


def is_sparse(where: str, name: str, data: Any) -> bool:
    """Whether `data` are a sparse matrix of SciPy's; those of other libraries are refused."""
    if not hasattr(type(data), "todense"):
        return False
    if not any(kind.__module__.startswith("scipy.sparse.") for kind in type(data).__mro__):
        raise ValueError(
            f"{where}: `{name}` must be dense, or one of SciPy's sparse matrices, got "
            f"{type(data).__name__} of {type(data).__module__.partition('.')[0]}. Pass "
            f"{name}.todense()."
        )
    return True


def not_finite(
    where: str, name: str, dtype: str, finite: host.HostArray, numbers: host.HostArray | None = None
) -> str:
    """The message about rows that are not `finite`: (n,), whose numbers are 0..n-1 or given."""
    bad = (host.arange(finite.size) if numbers is None else numbers)[~finite]
    return (
        f"{where}: `{name}` must be finite in {dtype}, got NaN or infinity in {bad.size} of "
        f"{finite.size} rows, the first in row {bad.min()}. Remove or fill them first."
    )


def require_real(where: str, name: str, array: host.HostArray) -> None:
    """Refuse arrays of texts, objects, dates and complex numbers."""
    if array.dtype.kind not in REAL:
        if array.ndim:
            raise ValueError(not_real(where, name, f"dtype {array.dtype}", array.dtype.kind))
        kind = type(array.item())
        is_query = hasattr(kind, "collect")
        raise ValueError(not_real(where, name, kind.__name__, "collect" if is_query else ""))


def host_array(where: str, name: str, data: Any, backend: Backend) -> host.HostArray:
    """Array-like data of the host as a NumPy array; another backend's arrays are refused."""
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
    """Real data of any backend as a NumPy array."""
    array = _rectangular(where, name, plain(where, name, data))
    require_real(where, name, array)
    return array


@cache
def is_kind(xp: Namespace, dtype: Any, kind: str) -> bool:
    """Whether a dtype is of a kind of the array API, such as "integral"."""
    return bool(xp.isdtype(dtype, kind))


def place_of(where: str, backend: str | Backend | None, device: Any, dtype: Any) -> Place:
    """The place of a network's arguments, which are checked."""
    found, device = registry.resolve(backend, device, where)
    name = _checks.choice(where, "dtype", _dtype_name(dtype), FLOATS)
    found.check_dtype(where, name)
    return Place(found, device, name)


def _dtype_name(dtype: Any) -> Any:
    """Return the name of a dtype object of any library."""
    if isinstance(dtype, str):
        return dtype
    return getattr(dtype, "__name__", str(dtype)).rpartition(".")[2]
