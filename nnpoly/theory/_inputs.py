"""Parts of all theory functions: arguments and networks on the host in float64, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from ..backends import host, registry
from ..data.place import on_host
from ..layers import Dense
from ..network import Network

HostArray = host.HostArray


def array(
    where: str, name: str, values: Any, shape: tuple[int | None, ...] | None = None
) -> HostArray:
    """Return a copy of finite values as float64 on the host.

    A None in `shape` allows any length >= 1, and None for `shape` any shape.
    """
    copied = on_host(where, name, values).astype("float64")
    if shape is not None and not _fits(copied.shape, shape):
        raise ValueError(f"{where}: `{name}` must have shape {_text(shape)}, got {copied.shape}.")
    if not np.isfinite(copied).all():
        raise ValueError(f"{where}: `{name}` must be finite, got NaN or infinity.")
    return copied


def _fits(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    if len(sizes) != len(shape):
        return False
    pairs = zip(sizes, shape, strict=True)
    return all(size >= 1 if expected is None else size == expected for size, expected in pairs)


def _text(shape: Sequence[int | None]) -> str:
    letters = iter("nm")
    sizes = [next(letters) if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def binary_labels(where: str, y: Any, n: int) -> HostArray:
    """Return the labels y, 0 or 1, as integers: (n,)."""
    labels = array(where, "y", y, (n,))
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError(
            f"{where}: `y` must hold the labels 0 and 1, got {np.unique(labels)[:5].tolist()}. "
            "Name the two classes 0 and 1 first."
        )
    return labels.astype("int64")


def interval(where: str, name: str, low: Any, high: Any) -> tuple[float, float]:
    """Return the ends of an interval, low < high."""
    a, b = _checks.number(where, name, low), _checks.number(where, name, high)
    if not a < b:
        raise ValueError(f"{where}: `{name}` must run from low to high, got {low!r} to {high!r}.")
    return a, b


def network(where: str, net: Any) -> Network:
    """Return `net`, or raise an error if it is no network."""
    if not isinstance(net, Network):
        raise ValueError(f"{where}: `net` must be a network, got {type(net).__name__}.")
    return net


def dense_chain(where: str, net: Any) -> list[tuple[Any, HostArray, HostArray]]:
    """Return (activation, factor W, b) of each layer of a Dense chain, in float64 on the host."""
    layers = network(where, net).layers
    for bound in layers:
        if not isinstance(bound.layer, Dense):
            raise ValueError(f"{where}: `net` must be a chain of Dense layers, got {bound}.")
    return [(each.activation, each.factor * _float64(each.W), _float64(each.b)) for each in layers]


def _float64(values: Any) -> HostArray:
    return np.array(registry.to_host(values), dtype="float64")


def scipy_optimize(where: str) -> Any:
    """Return `scipy.optimize`, or raise an error with the remedy."""
    try:
        import scipy.optimize
    except ImportError as error:
        raise ImportError(f"{where}: needs SciPy: pip install nnpoly[theory]") from error
    return scipy.optimize


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as text, with right-aligned columns and floats to 4 digits."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    sizes = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(c.rjust(s) for c, s in zip(row, sizes, strict=True)) for row in cells)
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
