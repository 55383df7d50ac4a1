"""Networks: layers with their parameters, which are one flat vector and its views."""

from .layout import Layout, Slot, Views
from .mlp import MLP, regularised
from .network import BoundLayer, Gradients, Network, Trace, check_differentiable

__all__ = [
    "MLP",
    "BoundLayer",
    "Gradients",
    "Layout",
    "Network",
    "Slot",
    "Trace",
    "Views",
    "check_differentiable",
    "regularised",
]
