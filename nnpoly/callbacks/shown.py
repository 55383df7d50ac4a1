"""How callbacks are printed: as they were made."""

from __future__ import annotations

from typing import Any, Self


class Shown:
    """An object that is printed as the call that made it."""

    _given: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *given: Any, **named: Any) -> Self:
        made = super().__new__(cls)
        made._given = given, named
        return made

    def __repr__(self) -> str:
        given, named = self._given
        inner = [*map(repr, given), *(f"{name}={value!r}" for name, value in named.items())]
        return f"{type(self).__name__}({', '.join(inner)})"
