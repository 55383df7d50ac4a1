"""Checks of gradients by central differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from ..backends import registry
from ..network import Network
from .parity import place_of


def check_gradients(
    net: Network, X: Any, y: Any, *, training: bool = False, limit: int = 200, seed: int = 0
) -> None:
    """Assert that `net.gradients` is the derivative of `net.loss`, by central differences.

    The check runs on a copy, in float64 on the network's backend. For each parameter the gradient
    must equal (L(w+h) - L(w-h)) / 2h up to rounding and the difference between the two one-sided
    slopes, which admits the kinks of relu.

    Parameters
    ----------
    net, X, y
        Any network and data; neither is changed.
    training
        Check the training pass: dropout (its mask fixed) and BatchNorm of the batch.
    limit
        The number of parameters of each array to check, drawn at random.
    seed
        Seed of the draw.

    Raises
    ------
    AssertionError
        For a wrong gradient; the message names layer, array and element.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X = np.random.default_rng(0).normal(size=(5, 3))
    >>> nn.testing.check_gradients(nn.MLP([3, 4, 2], "gelu"), X, [0, 1, 1, 0, 1])
    """
    limit = _checks.integer("check_gradients", "limit", limit)
    rng = np.random.default_rng(seed)
    with net.place.backend.widened("float64"):
        wide = net.to(dtype="float64")
        loss, grads = wide.gradients(X, y, training=training)
        g, w = registry.to_host(grads.flat), registry.to_host(wide.w).copy()
        for slot in wide.layout.slots:
            size = slot.stop - slot.start
            for i in rng.permutation(size)[:limit] + slot.start:
                fault = _difference_fault(wide, X, y, training, w, int(i), float(loss), g[i])
                if fault:
                    index = np.unravel_index(int(i) - slot.start, slot.shape)
                    place = ", ".join(str(int(k)) for k in index)
                    layer = place_of(slot.layer, wide.chain[slot.layer])
                    raise AssertionError(f"check_gradients: {layer}, {slot.name}[{place}] {fault}.")


def _difference_fault(
    net: Network, X: Any, y: Any, training: bool, w: Any, i: int, loss: float, g: float
) -> str:
    """Describe the error of dL/dw_i = g; "" for none."""
    h = 1e-6 * max(1.0, abs(w[i]))
    values = []
    for sign in (1.0, -1.0):
        moved = w.copy()
        moved[i] += sign * h
        net.w = moved
        values.append(float(net.loss(X, y, training=training)))
    net.w = w
    slope = (values[0] - values[1]) / (2 * h)
    kink = abs(values[0] - 2 * loss + values[1]) / h
    rounding = 64 * 2.0**-52 * (abs(loss) + 1.0) / h
    if abs(slope - g) <= kink + rounding + 1e-7 * abs(g):
        return ""
    return f"is {g:.9g}, but the loss's central difference is {slope:.9g}"
