"""Parting: a share of the rows that training does not see, drawn by a seed."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _checks
from ..backends import host
from ..backends.steps import Batch
from ..primitives import Array
from .place import Place
from .rows import Rows


class Parted(NamedTuple):
    """Data in two parts.

    Attributes
    ----------
    data
        All rows; the weights' mean is 1 over those to train on.
    rows
        The numbers of the rows to train on, in order.
    held_out
        The others; the weights' mean is 1 over these.
    """

    data: Batch
    rows: host.HostArray
    held_out: Batch


def share_of(where: str, name: str, value: Any, n: int | None) -> float | None:
    """Return the share of n rows that an argument holds out; None where it is no number.

    n: None for batches that come one by one.
    """
    if isinstance(value, bool) or not (isinstance(value, int | float) or host.is_scalar(value)):
        return None
    if n is None:
        raise ValueError(
            f"{where}: `{name}` can be a share of arrays' rows, but not of batches, got {value!r}. "
            "Pass (X, y)."
        )
    share = _checks.number(where, name, value)
    if not 0.0 < share < 1.0:
        raise ValueError(
            f"{where}: `{name}` as a number must be a share of the rows between 0 and 1, such as "
            f"0.2, got {value!r}. Rows of your own are held out as (X, y)."
        )
    if not 0 < count(share, n) < n:
        which = "to train on" if count(share, n) else "held out"
        raise ValueError(
            f"{where}: `{name}` must leave rows on both sides, got {share:g} of {n} rows, none of "
            f"which would be {which}."
        )
    return share


def count(share: float, n: int) -> int:
    """The number of rows, of n, that a share holds out."""
    return round(share * n)


def parted(where: str, place: Place, data: Batch, share: float, seed: int) -> Parted:
    """Part checked data. Which rows are held out depends on their number, the share and the seed.

    Raises
    ------
    ValueError
        If all weights of a part are 0.
    """
    n = int(data.x.shape[0])
    rows, drawn = host.parted(n, count(share, n), seed)
    weights, held_out = data.sample_weight, _taken(where, place, data, drawn)
    if weights is not None:
        others = _take(where, place, weights, rows)
        weights = _scaled(where, place, weights, others, "the rows to train on")
        own = held_out.sample_weight
        assert own is not None
        own = _scaled(where, place, own, own, f"the share {share:g} of rows that is held out")
        held_out = held_out._replace(sample_weight=own)
    return Parted(data._replace(sample_weight=weights), rows, held_out)


def _taken(where: str, place: Place, data: Batch, rows: host.HostArray) -> Batch:
    x: Any = data.x
    x = x.among(rows) if isinstance(x, Rows) else _take(where, place, x, rows)
    weights = data.sample_weight
    return Batch(
        x,
        _take(where, place, data.y, rows),
        None if weights is None else _take(where, place, weights, rows),
    )


def _take(where: str, place: Place, array: Array, rows: host.HostArray) -> Array:
    with place.scope():
        taken: Array = place.backend.ops.gather(array, place.integers(where, "rows", rows))
        return taken


def _scaled(where: str, place: Place, weights: Array, part: Array, what: str) -> Array:
    """Weights that have a mean of 1 over a part."""
    with place.scope():
        mean = place.backend.xp.mean(part)
        if float(mean) == 0.0:
            raise ValueError(
                f"{where}: `sample_weight` must not be 0 in all of {what}. Hold rows out yourself: "
                "validation=(X, y, sample_weight)."
            )
        return weights / mean
