"""Predictions in one call of the C core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._core import lib
from ...layers import Layer
from ..host import HostArray as Array
from ..steps import Views
from .chains import Buffers, reason_against, table_of
from .core import check, dtype_code, pointer

OUTPUTS = {
    None: lib.NNPOLY_IDENTITY,
    "exp": lib.NNPOLY_EXP,
    "identity": lib.NNPOLY_IDENTITY,
    "sigmoid": lib.NNPOLY_SIGMOID,
    "step": lib.NNPOLY_STEP,
    "softmax": lib.NNPOLY_ACTIVATIONS,
}


def prediction(
    chain: Sequence[Layer], dtype: np.dtype[Any], precision: str | None
) -> Callable[..., Array | None] | None:
    """The forward pass of these layers as one call of the C core, or None."""
    return None if reason_against(chain, dtype) else ForwardPass(chain, dtype, precision)


class ForwardPass:
    """A forward pass in one call; its bits are those of the layers one by one."""

    def __init__(self, chain: Sequence[Layer], dtype: np.dtype[Any], precision: str | None) -> None:
        table = table_of(chain, training=False)
        self._dtype = dtype
        self._inputs, self._outputs = table.inputs, table.outputs
        self._members = chain[-1].members
        self._buffers = Buffers(chain)
        self._table = table  # which owns what C reads
        self._head = dtype_code(dtype, precision), table.layers, table.depth

    def __call__(self, w: Array, buffers: Views, x: Any, output: str | None) -> Array | None:
        """Compute f: (n, K), or for None the scores; None for an x that C cannot read as it is."""
        if type(x) is not np.ndarray or x.dtype != self._dtype or len(shape := x.shape) != 2:
            return None
        n, inputs = shape
        if inputs != self._inputs or n == 0:
            return None
        if (running := self._buffers.places(buffers, self._dtype)) is None:
            return None
        members = 1 if output is None else self._members
        f = np.empty((n, self._outputs // members), self._dtype)
        try:  # an array that is not contiguous has no buffer; C refuses a misaligned one
            places = pointer(w), running, pointer(x), pointer(f)
        except (ValueError, BufferError):
            return None
        status = lib.nnpoly_predict(*self._head, *places, n, members, OUTPUTS[output])
        if status == lib.NNPOLY_MISALIGNED:
            return None
        if status != 0:
            check(status)
        return f
