"""The table of primitives, and the table bound to one backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from .arrays import Array, Namespace


class Elementwise(Protocol):
    """An activation: sigma and sigma', and the array that sigma' is computed from."""

    @property
    def reads(self) -> str:
        """The array that `slope` looks at: "pre", "post" or "none"."""

    def value(self, ops: Ops, pre: Array) -> Array:
        """sigma(pre)."""

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        """sigma'(pre)."""


class ElementLoss(Protocol):
    """A loss that is a sum over the outputs."""

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """l(z, y) and its derivative by z, element by element."""


class RowLoss(Protocol):
    """A loss of whole rows of scores."""

    def rows(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """Every row's loss: (n,), and its derivative by the scores: (n, K)."""


class Implementation(NamedTuple):
    """A backend's faster way to compute a primitive; `guard` sees the same arguments."""

    function: Callable[..., Any]
    guard: Callable[..., bool] | None


class Primitive(NamedTuple):
    """One row of the table."""

    name: str
    definition: Callable[..., Any]
    donates: tuple[str, ...]

    def bind(self, ops: Ops, implementations: Sequence[Implementation]) -> Callable[..., Any]:
        """The primitive without its `ops`: `implementations` in order, then the definition."""
        call: Callable[..., Any] = partial(self.definition, ops)
        for implementation in reversed(implementations):
            call = _prefer(ops, implementation, call)
        return call


def _prefer(ops: Ops, fast: Implementation, fallback: Callable[..., Any]) -> Callable[..., Any]:
    function, guard = fast
    if guard is None:
        return partial(function, ops)

    def dispatch(*args: Any, **options: Any) -> Any:
        if guard(*args, **options):
            return function(ops, *args, **options)
        return fallback(*args, **options)

    return dispatch


TABLE: dict[str, Primitive] = {}
IMPLEMENTATIONS: dict[tuple[str | None, str], list[Implementation]] = {}


def primitive(
    *, donates: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a definition into the table."""

    def enter(definition: Callable[..., Any]) -> Callable[..., Any]:
        name = definition.__name__
        TABLE[name] = Primitive(name, definition, donates)
        return definition

    return enter


def implements(
    name: str, backend: str, guard: Callable[..., bool] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an implementation of primitive `name`; the last one registered is tried first.

    It must stand in the backend's module, which is imported before the backend's table is bound.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        rows = IMPLEMENTATIONS.setdefault((backend, TABLE[name].name), [])
        rows.insert(0, Implementation(function, guard))
        return function

    return register


class Ops:
    """The table bound to one backend: its attributes are the primitives, without their `ops`.

    Each is bound when it is first used, once.

    Parameters
    ----------
    xp
        The backend's array namespace.
    backend
        Whose implementations to prefer; None for the definitions alone.
    """

    def __init__(self, xp: Namespace, backend: str | None = None) -> None:
        self.xp = xp
        self.backend = backend

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in TABLE:
            raise AttributeError(f"Ops: no primitive is called {name!r}.")
        call = TABLE[name].bind(self, IMPLEMENTATIONS.get((self.backend, name), []))
        setattr(self, name, call)
        return call

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """The library's array to write a result of this step into, or None for a new one."""
        return None
