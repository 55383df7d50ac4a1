"""Chains of layers, those inside residual blocks among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..backends import host
from .base import Layer
from .dense import Dense
from .embeddings import Embedding, OfColumns, PiecewiseLinear
from .members import OfMembers
from .norms import Normalised
from .residual import Residual

_WHOLE_HALVES = 2048  # as far half precision counts


def every(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layers in order; those inside a residual block follow it."""
    for layer in layers:
        yield layer
        if isinstance(layer, Residual):
            yield from every(layer.layers)


def weight_layers(layers: Sequence[Layer]) -> list[Dense | OfMembers]:
    """Return the layers with matrices of weights in order, also those inside residual blocks."""
    return [layer for layer in every(layers) if isinstance(layer, Dense | OfMembers)]


def require_dtype(where: str, layers: Sequence[Layer], dtype: str) -> None:
    """Refuse an eps that is 0 in the dtype, edges that are equal, categories beyond its numbers."""
    for layer in every(layers):
        if isinstance(layer, Normalised) and host.vanishes(layer.eps, dtype):
            raise ValueError(
                f"{where}: `eps` of {type(layer).__name__} must not be 0 in {dtype}, got "
                f"{layer.eps:g}: a constant feature would be divided by 0. Use eps=1e-5, or "
                "dtype='float64'."
            )
        if isinstance(layer, PiecewiseLinear) and not host.rise(layer.bins, dtype):
            raise ValueError(
                f"{where}: `bins` of PiecewiseLinear must have edges that differ in {dtype}. Leave "
                "out edges that are too close to others, or use dtype='float64'."
            )
        if isinstance(layer, Embedding) and dtype == "float16" and max(layer.sizes) > _WHOLE_HALVES:
            raise ValueError(
                f"{where}: `sizes` of Embedding must be at most {_WHOLE_HALVES} in float16, which "
                f"has not all whole numbers above, got {max(layer.sizes)}. Use dtype='float32'."
            )


def require_differentiable(where: str, layers: Sequence[Layer]) -> None:
    """Refuse activations whose derivative is 0 almost everywhere."""
    for layer in every(layers):
        if not layer.activation.differentiable:
            raise ValueError(
                f"{where}: {layer} has an activation whose derivative is 0 almost everywhere, so "
                "no gradient passes. Train with a smooth one (sigmoid, tanh) or relu instead."
            )


def input_categories(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return how many categories each of the last inputs has, which an `Embedding` reads.

    It is a chain's first layer, or comes after others that embed the columns before.
    """
    passed = layers[0].input_width or 0
    for layer in layers:
        if isinstance(layer, Embedding):
            return layer.sizes if layer.spread[0] <= passed else ()
        if not isinstance(layer, OfColumns):
            break
        passed = min(passed, layer.inputs - layer.spread[0])
    return ()
