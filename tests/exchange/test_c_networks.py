"""Networks as C: the library's own bits, for every layer, activation and output."""

from __future__ import annotations

import numpy as np
import pytest
from support.c_programs import Library, needs_gcc

import nnpoly as nn
from nnpoly import activations
from nnpoly._core import lib
from nnpoly.exchange.c_writing import to_c

pytestmark = needs_gcc

SIGMAS = {**activations.BY_NAME, "leaky": activations.LeakyReLU(0.2), "elu2": activations.ELU(0.3)}


def of_layer(*middle: nn.layers.Layer, wide: int = 7) -> list[nn.layers.Layer]:
    return [nn.Dense(5, 6, "tanh"), *middle, nn.Dense(wide, 3)]
