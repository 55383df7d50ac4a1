"""The registry of backends: by name, by an array of theirs, and the default for new networks."""

from __future__ import annotations

import copyreg
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _checks
from . import host
from .base import Backend

if TYPE_CHECKING:
    from types import TracebackType

VARIABLE = "NNPOLY_BACKEND"


class Availability(NamedTuple):
    """Whether a backend can be used here (its truth value), and if not, the reason."""

    available: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.available

    def __str__(self) -> str:
        return "available" if self.available else f"not available: {self.reason}"


class UnavailableError(ImportError):
    """The library is missing, or finds no device."""


def _module(name: str) -> Callable[[], Backend]:
    def load() -> Backend:
        backend: Backend = importlib.import_module(f".{name}", __package__).load()
        return backend

    return load


_FACTORIES: dict[str, Callable[[], Backend]] = {
    name: _module(name) for name in ("numpy", "cupy", "torch", "jax")
}
_LOADED: dict[str, Backend] = {}


def register(name: str, factory: Callable[[], Backend]) -> None:
    """Add a backend: `factory()` returns it, or raises ImportError with the remedy."""
    _FACTORIES[name] = factory
    _LOADED.pop(name, None)


def get(backend: str | Backend, where: str = "use_backend") -> Backend:
    """The backend of that name, importing its library; a Backend is returned as it is.

    `where` names the entry in errors.

    Raises
    ------
    ValueError
        If no backend has that name.
    ImportError
        If its library is not installed or finds no device; the message says what to install.
    """
    if isinstance(backend, Backend):
        return backend
    name = _checks.choice(where, "backend", backend, _FACTORIES)
    if name not in _LOADED:
        try:
            _LOADED[name] = _FACTORIES[name]()
        except Exception as error:  # a broken installation raises whatever it likes
            reason = f"backend {name!r} is not available: {error}"
            raise UnavailableError(f"{where}: {reason}") from error
        copyreg.pickle(type(_LOADED[name]), _reduced)
    return _LOADED[name]


def _reduced(backend: Backend) -> Any:
    """Pickle a backend that is registered by its name, and another one as any object."""
    if _LOADED.get(backend.name) is backend:
        return _unpickled, (backend.name,)
    return backend.__reduce_ex__(2)


def _unpickled(name: str) -> Backend:
    return get(name, "pickle")


def backends() -> dict[str, Availability]:
    """Every backend by name: whether it is available here, and if not, the reason.

    Examples
    --------
    >>> import nnpoly as nn
    >>> bool(nn.backends()["numpy"])
    True
    """
    return {name: _availability(name) for name in _FACTORIES}


def _availability(name: str) -> Availability:
    try:
        get(name)
    except UnavailableError as error:
        return Availability(False, str(error.__cause__))
    return Availability(True)


def available() -> list[str]:
    """The names of the backends that can be used here."""
    return [name for name, state in backends().items() if state]


def of(array: Any) -> Backend:
    """The backend whose array this is; lists and scalars are the host's, so NumPy's."""
    for backend in _LOADED.values():
        if backend.owns(array):
            return backend
    library = type(array).__module__.partition(".")[0]
    name = {"jaxlib": "jax"}.get(library, library)
    return get(name if name in _FACTORIES else "numpy")


class Selection:
    """The default that `use_backend` set; leaving its `with` block restores the one before."""

    def __init__(self, before: tuple[Backend | None, Any]) -> None:
        self._before = before

    def __enter__(self) -> Backend:
        return current()[0]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _selected
        _selected = self._before


_selected: tuple[Backend | None, Any] = (None, None)


def use_backend(backend: str | Backend, device: Any = None) -> Selection:
    """Make `backend` (and `device`) the default of networks made from now on.

    Parameters
    ----------
    backend
        "numpy", "cupy", "torch", "jax", or a `Backend`.
    device
        In the library's own terms: "cuda:1" for torch, 1 for CuPy, "gpu:1" for JAX.

    Returns
    -------
    Selection
        For use in a `with` block, which restores the former default at its end.

    Examples
    --------
    >>> import nnpoly as nn
    >>> with nn.use_backend("numpy"):
    ...     net = nn.MLP([2, 3, 1], output="identity")
    >>> net.backend
    'numpy'
    """
    global _selected
    chosen, before = get(backend), _selected
    _selected = (chosen, chosen.device(device))
    return Selection(before)


def current() -> tuple[Backend, Any]:
    """The default backend and device: `use_backend`'s, or NNPOLY_BACKEND's, or NumPy."""
    chosen, device = _selected
    if chosen is None:
        name = os.environ.get(VARIABLE) or "numpy"
        if name not in _FACTORIES:
            known = ", ".join(sorted(_FACTORIES))
            raise ValueError(f"{VARIABLE}: must be one of {known}, got {name!r}.")
        chosen = get(name)
        device = chosen.device(None)
    return chosen, device


def resolve(
    backend: str | Backend | None, device: Any = None, where: str = "use_backend"
) -> tuple[Backend, Any]:
    """The backend and device of a network's arguments; None stands for the default."""
    if backend is None:
        chosen, default = current()
        return chosen, default if device is None else chosen.device(device)
    chosen = get(backend, where)
    return chosen, chosen.device(device)


def to_host(array: Any) -> host.HostArray:
    """Any backend's array, or an array-like, as a NumPy array."""
    if host.is_host(array):
        return host.asarray(array)
    return of(array).to_host(array)
