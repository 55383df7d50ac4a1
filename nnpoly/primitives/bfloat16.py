"""Products whose factors are rounded to bfloat16: their definitions, and a table that has them.

bfloat16 has float32's exponents and 8 significant bits, so the nearest one is off by at most 2^-8
of a number. The product of two is exact in float32, which has 24 bits: what is left to round there
is the sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .arrays import Array
from .definitions import narrowed, widened
from .table import TABLE, Elementwise, Ops, primitive

SMALLEST = 2.0**-126  # positive; processors take and give zeros for the denormals below it
OVERFLOW = 2.0**128 - 2.0**119  # half a unit above the largest: it and what is larger is infinite


@primitive()
def bfloat16(ops: Ops, x: Array) -> Array:
    """The nearest number in bfloat16, of two as near the one whose last bit is 0, element-wise.

    A number below 2^-126 in magnitude becomes a zero of its sign, one of 2^128 - 2^119 or more
    becomes infinite, and NaN stays NaN. The dtype stays.
    """
    xp = ops.xp
    (wide,) = widened(ops, x)
    over = xp.abs(wide) >= OVERFLOW
    finite = xp.where(over, xp.zeros_like(wide), wide)
    size = xp.abs(finite)
    # The largest power of two that is not above a size of 2^-126 or more: 2^e or 2^(e - 126), the
    # bits of e from the highest.
    power = xp.where(size < 1.0, xp.full_like(size, SMALLEST), xp.ones_like(size))
    for bit in (64, 32, 16, 8, 4, 2, 1):
        higher = power * 2.0**bit
        power = xp.where(size >= higher, higher, power)
    # Exact but for `round`, which goes to even: a quotient in [1, 2), in units of 2^-7.
    nearest = xp.round(finite / power * 128.0) / 128.0 * power
    nearest = xp.where(size < SMALLEST, finite * 0.0, nearest)
    infinite = xp.full_like(wide, math.inf)
    nearest = xp.where(over, xp.where(wide > 0.0, infinite, -infinite), nearest)
    (nearest,) = narrowed(ops, x, nearest)
    return nearest


@primitive()
def dense_bf16(
    ops: Ops, x: Array, W: Array, b: Array | None, activation: Elementwise, keep_pre: bool = True
) -> tuple[Array, Array]:
    """`dense` of rounded factors: pre = r(x) r(W)^T + b and post = sigma(pre)."""
    pre_post: tuple[Array, Array] = ops.dense(
        ops.bfloat16(x), ops.bfloat16(W), b, activation, keep_pre
    )
    return pre_post


@primitive()
def dense_delta_bf16(
    ops: Ops, delta: Array, W: Array, pre: Array | None, post: Array, activation: Elementwise
) -> Array:
    """`dense_delta` of rounded factors: (r(delta) r(W)) * sigma'(pre)."""
    below: Array = ops.dense_delta(ops.bfloat16(delta), ops.bfloat16(W), pre, post, activation)
    return below


@primitive(donates=("out",))
def dense_gradients_bf16(
    ops: Ops,
    delta: Array,
    x: Array,
    out: Mapping[str, Array] | None = None,
    biased: bool = True,
) -> tuple[Array, Array | None]:
    """`dense_gradients` of rounded factors: dW = r(delta)^T r(x), db = column sums of delta."""
    dW, _ = ops.dense_gradients(ops.bfloat16(delta), ops.bfloat16(x), out, biased)
    return dW, ops.xp.sum(delta, axis=0) if biased else None


ROUNDED = {name: f"{name}_bf16" for name in ("dense", "dense_delta", "dense_gradients")}


class RoundedFactors(Ops):
    """A table in which `dense` is another table's `dense_bf16`, and so on; all else is as there.

    Parameters
    ----------
    table
        The other table.

    Examples
    --------
    >>> import nnpoly as nn, numpy as np
    >>> ops = RoundedFactors(nn.backends.get("numpy").ops)
    >>> x, W, b = np.float32([[1.0, 1.0]]), np.float32([[4.0, 0.3]]), np.float32([0.0])
    >>> _, post = ops.dense(x, W, b, nn.activations.identity)
    >>> float(post[0, 0]) == 4.0 + 154 / 512  # of 8 bits, the nearest to 0.3 is 154 / 512
    True
    """

    def __init__(self, table: Ops) -> None:
        super().__init__(table.xp, table.backend)
        self.table = table

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in TABLE:
            return super().__getattr__(name)
        call: Callable[..., Any] = getattr(self.table, ROUNDED.get(name, name))
        setattr(self, name, call)
        return call

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.table.scratch(shape, dtype)
