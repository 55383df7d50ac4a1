"""Chains of layers, those inside residual blocks among them."""

from __future__ import annotations

from collections.abc import Sequence

from ..backends import host
from .base import Layer
from .dense import Dense
from .norms import Normalised
from .residual import Residual


def require_dtype(where: str, layers: Sequence[Layer], dtype: str) -> None:
    """Refuse an eps that is 0 in the dtype."""
    for layer in layers:
        if isinstance(layer, Residual):
            require_dtype(where, layer.layers, dtype)
        elif isinstance(layer, Normalised) and host.vanishes(layer.eps, dtype):
            raise ValueError(
                f"{where}: `eps` of {type(layer).__name__} must not be 0 in {dtype}, got "
                f"{layer.eps:g}: a constant feature would be divided by 0. Use eps=1e-5, or "
                "dtype='float64'."
            )


def dense_layers(layers: Sequence[Layer]) -> list[Dense]:
    """Return the Dense layers in order, those inside residual blocks among them."""
    found: list[Dense] = []
    for layer in layers:
        if isinstance(layer, Dense):
            found.append(layer)
        elif isinstance(layer, Residual):
            found += dense_layers(layer.layers)
    return found
