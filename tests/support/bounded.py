"""Networks that go to other libraries, and how far those are from the definition."""

from __future__ import annotations

from typing import Any

import numpy as np

import nnpoly as nn
from nnpoly.exchange.bounds import outputs_and_bounds
from nnpoly.exchange.certificate import largest_units
from nnpoly.exchange.describing import describe_model

ROWS = 10_000
BLOCK = [nn.Dense(6, 9, "gelu"), nn.LayerNorm(9), nn.Residual([nn.Dense(9, 9)]), nn.Dense(9, 6)]


def trained(net: nn.Network, seed: int = 0) -> nn.Network:
    """The network with parameters and buffers that are all different, as training leaves them."""
    rng = np.random.default_rng(seed)
    net.w = np.asarray(net.w) + 0.1 * rng.normal(size=net.w.shape)
    net.buffers = [
        {name: rng.uniform(0.5, 1.5, np.shape(value)) for name, value in part.items()}
        for part in net.buffers
    ]
    return net


def rows(net: nn.Network, n: int = ROWS) -> Any:
    """Inputs of a network, from small to large."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, net.inputs)) * 10.0 ** rng.uniform(-3, 1, (n, 1))
    return X.astype("float32").astype(net.dtype)


def units(net: nn.Network, X: Any, found: Any) -> float:
    """The largest error of a network's outputs, in units of the bound, or of 1000 roundings."""
    columns = list(X.astype("float64").T)
    outputs, bounds = outputs_and_bounds(describe_model(net), net.dtype, columns)
    # Beside the rigorous bound, which grows with every layer, what errors really are.
    near = 1000 * np.finfo(net.dtype).eps * np.maximum(abs(outputs), 1.0)
    return largest_units(found, outputs, np.minimum(bounds, near))


def equal(a: nn.Network, b: nn.Network) -> bool:
    """Whether two networks have the same arrays, bit for bit, and the same predictions."""
    pairs = zip(a.arrays().items(), b.arrays().items(), strict=True)
    same = all(k == l and x.dtype == y.dtype and bits(x) == bits(y) for (k, x), (l, y) in pairs)
    X = rows(a, 20)
    return same and a.output == b.output and bits(a(X)) == bits(b(X))


def bits(array: Any) -> bytes:
    return np.asarray(array).tobytes()
