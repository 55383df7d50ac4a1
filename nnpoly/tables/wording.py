"""Users' names and values as text: escaped, shortened, listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def printable(text: object) -> str:
    r"""Return text with its control characters escaped, as \x1b: a terminal would obey them.

    Examples
    --------
    >>> from nnpoly.tables.wording import printable
    >>> print(printable("größe \x1b[31m"))
    größe \x1b[31m
    """
    found = str(text)
    if found.isprintable():
        return found
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in found)


def listed(values: Sequence[Any], most: int = 8) -> str:
    """Return the first `most` values as text, for messages."""
    more = len(values) - most
    return ", ".join(map(repr, values[:most])) + (f" and {more} more" if more > 0 else "")


def shortened(value: Any) -> str:
    """Return a value as text of at most 40 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
