"""Layers: small frozen objects, forward and backward side by side, pure in arrays.

A layer owns no arrays. It says which parameters it has (`shapes`), draws their start (`initial`)
and computes. `forward` keeps in a `Stage` what `backward` needs. Each layer ends in an element-wise
activation (the identity, unless it says otherwise), and delta is always the derivative with respect
to the pre-activations, so `backward` carries a delta from one layer's pre to the pre of the layer
below in one go: for a Dense layer that is the fused primitive `dense_delta`.
"""

from .base import INFERENCE, INPUT, Layer, Mode, Out, Parameters, Stage, start
from .chain import (
    adapt,
    backward,
    chain_widths,
    check_layers,
    deltas,
    forward,
    row_gradients,
    schedules_of,
)
from .dense import Dense
from .dropout import Dropout
from .elementwise import Blend, Scale
from .embeddings import Embedding, Periodic, PiecewiseLinear
from .inside import (
    every,
    input_categories,
    require_differentiable,
    require_dtype,
    weight_layers,
)
from .members import MemberDense, MemberScale, OfMembers, SharedDense
from .norms import BatchNorm, LayerNorm
from .residual import Residual

__all__ = [
    "INFERENCE",
    "INPUT",
    "BatchNorm",
    "Blend",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "LayerNorm",
    "MemberDense",
    "MemberScale",
    "Mode",
    "OfMembers",
    "Out",
    "Parameters",
    "Periodic",
    "PiecewiseLinear",
    "Residual",
    "Scale",
    "SharedDense",
    "Stage",
    "adapt",
    "backward",
    "chain_widths",
    "check_layers",
    "deltas",
    "every",
    "forward",
    "input_categories",
    "require_differentiable",
    "require_dtype",
    "row_gradients",
    "schedules_of",
    "start",
    "weight_layers",
]
