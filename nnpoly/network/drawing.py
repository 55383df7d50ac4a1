"""The start of a network's parameters: drawn by its seed, and by data where rules look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _checks
from ..backends import host
from ..backends.steps import Batch
from ..data import entering
from ..data.batches import Batches
from ..data.entering import Ends
from ..data.place import Place
from ..data.rows import Rows
from ..layers import Layer
from ..primitives import Array
from .layout import Layout

# Keep samples, and what rules draw by data, apart from the weights of (seed, layer).
_ROWS, _BY_DATA = 0x726F7773, 0x64617461


def drawn(
    chain: Sequence[Layer], layout: Layout, dtype: str, seed: int
) -> tuple[host.HostArray, list[dict[str, host.HostArray]]]:
    """Return the start of w: (P,), by the seed alone, and its views by layer, on the host."""
    w: Any = host.empty((layout.size,), dtype)
    views: list[dict[str, Any]] = layout.views(host.namespace(), w)
    for l, params in enumerate(views):
        chain[l].fill(host.generator(seed, l), params)
    return w, views


def sample(where: str, place: Place, ends: Ends, X: Any, rows: int, seed: int) -> Array:
    """Return a user's X, or so many rows of it, drawn by the seed, as the network's array."""
    rows = _checks.integer(where, "rows", rows)
    x = entering.features(where, place, X, ends.inputs, whole=False)
    entering.require_numbers(where, place, x, ends, "X")
    n, order = int(x.shape[0]), None
    if n > rows:
        order = host.generator(seed, _ROWS).permutation(n)[:rows]
    if order is None and not isinstance(x, Rows):
        return x
    return next(Batches(Batch(x, x), order, min(n, rows)).inputs(place, where))


def by_data(seed: int) -> host.Generator:
    """The generator of what rules draw when they look at data."""
    return host.generator(seed, _BY_DATA)
