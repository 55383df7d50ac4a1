"""Descriptions: the frozen objects that say what a network, a loss or an optimiser is.

Layers, activations, initialisers, losses, optimisers and schedules are all small frozen dataclasses
without arrays. One pair of functions turns any of them into JSON and back, which is how they are
saved; nothing read from a file is ever executed.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def described(cls: type[T]) -> type[T]:
    """Make a subclass of `Described` a frozen dataclass.

    Equality, hash and text are `Described`'s own, not generated anew for each class, since
    generating them took half of the time of `import nnpoly`.
    """
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


class Described:
    """A frozen dataclass that can be written to JSON; a subclass is known by its name."""

    known: ClassVar[dict[str, type[Described]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Described.known[cls.__name__] = cls

    def _values(self) -> dict[str, Any]:
        """Return what the object was made of, by name."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {f.name: getattr(self, f.name) for f in fields if f.init}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values().values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self._values().items())
        return f"{type(self).__name__}({inner})"

    def _set(self, **values: Any) -> None:
        """Store checked values in `__post_init__`, the one moment when a description may change."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def describe(value: Any) -> Any:
    """Return `value` as JSON's own types."""
    if isinstance(value, Described):
        inner = {name: describe(field) for name, field in value._values().items()}
        return {"type": type(value).__name__, **inner}
    if isinstance(value, tuple | list):
        return [describe(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"save: {value!r} cannot be written to a file; use nnpoly's own objects.")


def construct(description: Any) -> Any:
    """Return the object that `describe` described."""
    if isinstance(description, list):
        return [construct(item) for item in description]
    if not isinstance(description, dict):
        return description
    fields = {name: construct(value) for name, value in description.items() if name != "type"}
    kind = description.get("type")
    if kind not in Described.known:
        raise ValueError(f"load: this version of nnpoly knows no {kind!r}.")
    return Described.known[kind](**fields)
