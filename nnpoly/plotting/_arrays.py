"""Checks of the data to draw: each returns host arrays, or raises an error with the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import host, registry
from ..data.frames import REAL
from ..data.place import on_host
from ._style import shortened

ROUNDING = 1e-6  # distance from [0, 1] of a mean of float32 probabilities, at most


def reals(where: str, name: str, values: Any) -> host.HostArray:
    """Return one or more finite real numbers of any backend in float64."""
    array = on_host(where, name, values).astype(np.float64)
    if array.size == 0:
        raise ValueError(f"{where}: `{name}` must hold at least one value, got none.")
    finite = np.isfinite(array)
    if not finite.all():
        first = np.unravel_index(int(np.argmin(finite)), array.shape)
        place = ", ".join(str(i) for i in first)
        raise ValueError(
            f"{where}: `{name}` must be finite, got NaN or infinity {np.sum(~finite)} times, first "
            f"at [{place}]. Remove or fill them first."
        )
    return array


def vector(where: str, name: str, values: Any) -> host.HostArray:
    """Return finite real numbers, (n,) or (n, 1), as (n,)."""
    array = reals(where, name, values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{where}: `{name}` must have shape (n,) or (n, 1), got {array.shape}. Of several "
            f"outputs draw one at a time: {name}[:, 0]."
        )
    return array


def class_labels(where: str, name: str, values: Any) -> host.HostArray:
    """Return class labels of any kind, (n,) or (n, 1), as (n,)."""
    array = host.asarray(registry.to_host(values))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{where}: `{name}` must have shape (n,), n >= 1, a class a sample, got {array.shape}. "
            f"Of one-hot rows or probabilities pass {name}.argmax(axis=1)."
        )
    if any(label is None or label != label for label in array.tolist()):
        raise ValueError(f"{where}: `{name}` must have no missing labels. Remove them first.")
    return array


def same_length(where: str, **arrays: Any) -> None:
    """Raise an error if the arrays differ in length."""
    if len({len(array) for array in arrays.values()}) > 1:
        names = " and ".join(f"`{name}`" for name in arrays)
        lengths = " and ".join(str(len(array)) for array in arrays.values())
        raise ValueError(f"{where}: {names} must be equally long, got {lengths} samples.")


def alike(a: host.HostArray, b: host.HostArray) -> bool:
    """Return True if both hold numbers or neither does, so that they can be compared."""
    return (a.dtype.kind in REAL) == (b.dtype.kind in REAL)


def indices(
    where: str, name: str, values: host.HostArray, classes: host.HostArray
) -> host.HostArray:
    """Return the class index of each label: (n,)."""
    is_known = alike(values, classes)
    found = host.index_of(values, classes) if is_known else np.full(len(values), -1)
    if (found < 0).any():
        row = int(np.argmin(found))
        known = ", ".join(shortened(classes.tolist()[:8])) + (", ..." if len(classes) > 8 else "")
        raise ValueError(
            f"{where}: `{name}` must hold labels among {known}, got {values.tolist()[row]!r} "
            f"(row {row})."
        )
    return found


def class_names(where: str, classes: Any, count: int) -> list[str]:
    """Return the names of `count` classes: 0, 1, ... for None."""
    names = list(range(count)) if classes is None else list(classes)
    if len(names) != count:
        raise ValueError(
            f"{where}: `classes` must name each of the {count} classes, got {len(names)} names."
        )
    return [str(name) for name in names]


def probability_rows(where: str, probabilities: Any) -> host.HostArray:
    """Return probabilities of all classes: (n, K), K >= 2."""
    rows = reals(where, "probabilities", probabilities)
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.ndim != 2:
        raise ValueError(
            f"{where}: `probabilities` must have shape (n,) or (n, K), got {rows.shape}."
        )
    if rows.min() < -ROUNDING or rows.max() > 1.0 + ROUNDING:
        raise ValueError(
            f"{where}: `probabilities` must lie in [0, 1], got values from {rows.min():g} to "
            f"{rows.max():g}. Of a network pass net(X), not net.scores(X)."
        )
    rows = np.clip(rows, 0.0, 1.0)
    if rows.shape[1] == 1:
        return np.concatenate([1.0 - rows, rows], axis=1)
    error = float(np.abs(rows.sum(axis=1) - 1.0).max())
    if error > 1e-2:
        raise ValueError(
            f"{where}: the rows of `probabilities` must sum to 1, one is off by {error:g}."
        )
    return rows
