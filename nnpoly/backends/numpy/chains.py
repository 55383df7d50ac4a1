"""Chains of dense layers as the C core reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._core import ffi
from ...layers import Dense, Layer
from ..codes import CODES, known, parameter
from .core import REALS


def reason_against(chain: Sequence[Layer], dtype: np.dtype[Any]) -> str:
    """Why C cannot take these layers; empty if it can."""
    if dtype not in REALS:
        return f"{dtype} is not float32 or float64"
    for layer in chain:
        if type(layer) is not Dense:
            return f"{type(layer).__name__} layers run op by op"
        if not known(layer.activation):
            return f"{layer.activation} is not an activation of the C core"
    return ""


def table_of(chain: Sequence[Layer]) -> Any:
    """C's table of Dense layers."""
    layers = ffi.new("struct nnpoly_layer[]", len(chain))
    for place, layer in zip(layers, chain, strict=True):
        assert isinstance(layer, Dense)
        place.inputs, place.outputs = layer.inputs, layer.outputs
        place.activation, place.a = CODES[type(layer.activation)], parameter(layer.activation)
    return layers
