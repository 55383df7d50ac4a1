"""nnpoly: multi-layer perceptrons on the Python array API.

One codebase trains on NumPy (CPU) and CuPy (GPU) and runs on torch and JAX arrays.
"""

from . import activations, callbacks, initializers, losses, schedules, testing
from ._info import show_config
from .backends.registry import backends, use_backend
from .checkpoint import load
from .data import OneHot, one_hot
from .layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from .network import MLP, Network
from .optimizers import SGD, AdaGrad, Adam, AdamW, AMSGrad, Lion, NAdam, RMSProp
from .training import History, NonFiniteLossError, Trainer

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "SGD",
    "AMSGrad",
    "AdaGrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "Dense",
    "Dropout",
    "History",
    "LayerNorm",
    "Lion",
    "NAdam",
    "Network",
    "NonFiniteLossError",
    "OneHot",
    "RMSProp",
    "Residual",
    "Trainer",
    "activations",
    "backends",
    "callbacks",
    "initializers",
    "load",
    "losses",
    "one_hot",
    "schedules",
    "show_config",
    "testing",
    "use_backend",
]
