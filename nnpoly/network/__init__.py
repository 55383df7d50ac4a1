"""Networks: layers with their parameters, which are one flat vector and its views."""

from .layout import Layout, Slot
from .mlp import MLP, regularised
from .network import Network
from .results import BoundLayer, Gradients, Trace

__all__ = [
    "MLP",
    "BoundLayer",
    "Gradients",
    "Layout",
    "Network",
    "Slot",
    "Trace",
    "regularised",
]
