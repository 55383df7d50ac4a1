"""Chains of dense layers as the C core reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..._core import ffi
from ...layers import INFERENCE, Dense, Dropout, Layer
from ..codes import CODES, known, parameter
from .core import REALS


def reason_against(chain: Sequence[Layer], dtype: np.dtype[Any]) -> str:
    """Why C cannot take these layers; empty if it can."""
    if dtype not in REALS:
        return f"{dtype} is not float32 or float64"
    for layer in chain:
        if type(layer) not in (Dense, Dropout):
            return f"{type(layer).__name__} layers run op by op"
        if not known(layer.activation):
            return f"{layer.activation} is not an activation of the C core"
    return ""


def reason_against_training(chain: Sequence[Layer], dtype: np.dtype[Any]) -> str:
    """Why C cannot train these layers; empty if it can."""
    if reason := reason_against(chain, dtype):
        return reason
    kinds = [type(layer) for layer in chain if not _passes(layer)]
    if kinds[-1] is Dropout:
        return "Dropout after the last Dense layer runs op by op"
    if (Dropout, Dropout) in pairwise(kinds):
        return "Dropout after Dropout runs op by op"
    return ""


def _passes(layer: Layer) -> bool:
    """Whether a layer never changes its input."""
    return isinstance(layer, Dropout) and layer.rate == 0.0


class Rate(NamedTuple):
    """Dropout as C has it: its rate, 0 for none, and its path in the network."""

    dropout: float = 0.0
    path: int = 0


class Table(NamedTuple):
    """C's table of Dense layers, each with the dropout that follows it, and that of the inputs."""

    layers: Any
    depth: int
    inputs: Rate


def table_of(chain: Sequence[Layer]) -> Table:
    """The layers of a chain that C takes."""
    dense = [layer for layer in chain if isinstance(layer, Dense)]
    rates = [Rate()] * (len(dense) + 1)  # of the inputs, then of each layer's results
    passed = 0
    for position, layer in enumerate(chain):
        if isinstance(layer, Dense):
            passed += 1
        elif isinstance(layer, Dropout) and not _passes(layer):
            rates[passed] = Rate(layer.rate, INFERENCE.at(position).path)
    layers = ffi.new("struct nnpoly_layer[]", len(dense))
    for place, layer, rate in zip(layers, dense, rates[1:], strict=True):
        place.inputs, place.outputs = layer.inputs, layer.outputs
        place.activation, place.a = CODES[type(layer.activation)], parameter(layer.activation)
        place.dropout, place.path = rate
    return Table(layers, len(dense), rates[0])
