"""Checks of arguments: each returns the value it accepts, or says what came and what may come."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any


def integer(where: str, name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`."""
    try:
        result = minimum - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        result = minimum - 1
    if result < minimum:
        raise ValueError(f"{where}: `{name}` must be an integer >= {minimum}, got {value!r}.")
    return result


def number(
    where: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return `value` as a Python float in [low, high].

    A Python float, since a NumPy scalar would promote the arrays that it meets.
    """
    try:
        result = math.nan if _is_text_or_flag(value) else float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not (low <= result <= high) or math.isinf(result):
        must = f"a number in [{low:g}, {high:g}{')' if math.isinf(high) else ']'}"
        if math.isinf(low) and math.isinf(high):
            must = "a finite number"
        raise ValueError(f"{where}: `{name}` must be {must}, got {value!r}.")
    return result


def _is_text_or_flag(value: Any) -> bool:
    """Whether a value is a text or a truth value, NumPy's too, which float() takes."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return isinstance(value, str | bytes | bool) or kind == "b"


def positive(where: str, name: str, value: Any) -> float:
    """Return `value` as a Python float above zero."""
    result = number(where, name, value, low=0.0)
    if result == 0.0:
        raise ValueError(f"{where}: `{name}` must be greater than 0, got {value!r}.")
    return result


def rates(
    where: str, value: Any, parameters: Iterable[str]
) -> tuple[tuple[str, tuple[float, float]], ...]:
    """Return a layer's argument `rates`, by parameter's name, as pairs, which have a hash."""
    try:
        given = {name: tuple(pair) for name, pair in dict(value).items()}
    except (TypeError, ValueError):
        given = {"": ()}
    known = list(parameters)
    if not given.keys() <= set(known) or any(len(pair) != 2 for pair in given.values()):
        raise ValueError(
            f"{where}: `rates` must map parameters' names ({', '.join(known)}) to two numbers, the "
            "factors of the learning rate and of the weight decay, such as "
            f"{{{known[-1]!r}: (0.1, 0.0)}}, got {value!r}."
        )
    checked = []
    for name in known:
        if name in given:
            rate, decay = (not_negative(where, f"rates[{name!r}]", f) for f in given[name])
            checked.append((name, (rate, decay)))
    return tuple(checked)


def not_negative(where: str, name: str, value: Any) -> float:
    """Return `value` as a Python float of at least zero."""
    return number(where, name, value, low=0.0)


def below_one(where: str, name: str, value: Any) -> float:
    """Return `value` as a Python float in [0, 1)."""
    result = number(where, name, value, 0.0, 1.0)
    if result == 1.0:
        raise ValueError(f"{where}: `{name}` must be below 1, got {value!r}.")
    return result


def flag(where: str, name: str, value: Any) -> bool:
    """Return True or False, or 1 or 0, as a bool."""
    try:
        known = value in (True, False)
    except ValueError:  # of an array, which is many
        known = False
    if not known:
        raise ValueError(f"{where}: `{name}` must be True or False, got {value!r}.")
    return bool(value)


def several(where: str, name: str, value: Any, count: int | None = None) -> tuple[Any, ...]:
    """Return a list or tuple, of so many entries, as a tuple."""
    if not isinstance(value, list | tuple) or count not in (None, len(value)):
        many = "" if count is None else f" of {count} entries"
        raise ValueError(f"{where}: `{name}` must be a list{many}, got {value!r}.")
    return tuple(value)


def text(where: str, name: str, value: Any) -> str:
    """Return `value` if it is a text."""
    if not isinstance(value, str):
        raise ValueError(f"{where}: `{name}` must be a text, got {value!r}.")
    return value


def distinct(where: str, name: str, value: Any, kinds: type | tuple[type, ...]) -> tuple[Any, ...]:
    """Return a list or tuple of different entries of some types as a tuple."""
    entries = several(where, name, value)
    alike = all(isinstance(entry, kinds) for entry in entries)
    if not alike or len(set(entries)) != len(entries):
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(
            f"{where}: `{name}` must be a list of different entries of type {names}, got {value!r}."
        )
    return entries


def choice(where: str, name: str, value: Any, options: Iterable[str]) -> str:
    """Return `value` if it is one of `options`."""
    known = sorted(options)
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"{where}: `{name}` must be one of {', '.join(known)}, got {value!r}."
            f"{nearest(value, known)}"
        )
    return str(value)


def nearest(word: Any, known: Iterable[str]) -> str:
    """Return the question whether the known word nearest to a misspelt one was meant, or "".

    Words cut short are near, too: "lr" and "val_loss" to "learning_rate" and "validation_loss".
    """
    if not isinstance(word, str):
        return ""
    from difflib import get_close_matches  # here, since only errors need it

    words = {_bare(other): other for other in known if isinstance(other, str)}
    near = [other for other in words.values() if _is_short_for(word, other)]
    near += [words[bare] for bare in get_close_matches(_bare(word), words, 1)]
    return f" Did you mean {near[0]!r}?" if near else ""


def _is_short_for(word: str, other: str) -> bool:
    """Whether a word is another's initials, or has each of its parts cut short."""
    parts, whole = word.split("_"), other.split("_")
    if len(word) < 2 or len(parts) != len(whole):
        return 1 < len(word) == len(whole) and word == "".join(part[:1] for part in whole)
    return all(len(a) > 2 and b.startswith(a) for a, b in zip(parts, whole, strict=True))


def _bare(word: str) -> str:
    """A word without what people write in several ways."""
    return word.lower().replace("-", "").replace("_", "").replace(" ", "")


def assignable(owner: object, name: str, remedy: str) -> None:
    """Refuse an attribute that an object's class does not have; classes of users may have more."""
    kind = type(owner)
    own = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    if not own or name.startswith("_") or hasattr(kind, name):
        return
    where = kind.__name__
    raise AttributeError(
        f"{where}: `{name}` cannot be assigned, since {where} has no such attribute."
        f"{nearest(name, dir(kind))} {remedy}."
    )
