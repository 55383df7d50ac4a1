"""nnpoly: multi-layer perceptrons on the Python array API.

One codebase trains on NumPy (CPU) and CuPy (GPU) and runs on torch and JAX arrays.
"""

from typing import TYPE_CHECKING, Any

# First, and from here: deeper in the stack NumPy's own import was measured to take 75 ms, not 50
# (Python 3.11; likely the edge of one of the blocks that the interpreter keeps its frames in).
from .backends import host as _host  # noqa: F401  # isort: skip

from . import activations, initializers, losses, metrics, schedules
from .backends.info import __version__ as __version__
from .backends.info import show_config
from .backends.registry import use_backend
from .backends.threads import set_num_threads
from .data import OneHot, one_hot
from .layers import (
    BatchNorm,
    Blend,
    Dense,
    Dropout,
    Embedding,
    LayerNorm,
    MemberDense,
    MemberScale,
    Periodic,
    PiecewiseLinear,
    Residual,
    Scale,
    SharedDense,
)
from .network import MLP, Network
from .optimizers import SGD, AdaGrad, Adam, AdamW, AMSGrad, Lion, NAdam, RMSProp
from .training import History, NonFiniteLossError, Trainer
from .training.ensemble import Ensemble

if TYPE_CHECKING:
    from . import callbacks, checkpoint, exchange, plotting, testing, theory
    from . import estimators as estimators
    from . import tables as tables
    from .backends.registry import backends  # what calling the package does
    from .checkpoint import load
    from .training.rates import RateSweep, find_learning_rate


__all__ = [
    "MLP",
    "SGD",
    "AMSGrad",
    "AdaGrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "Blend",
    "Dense",
    "Dropout",
    "Embedding",
    "Ensemble",
    "History",
    "LayerNorm",
    "Lion",
    "MemberDense",
    "MemberScale",
    "NAdam",
    "Network",
    "NonFiniteLossError",
    "OneHot",
    "Periodic",
    "PiecewiseLinear",
    "RMSProp",
    "RateSweep",
    "Residual",
    "Scale",
    "SharedDense",
    "Trainer",
    "activations",
    "backends",
    "callbacks",
    "checkpoint",
    "exchange",
    "find_learning_rate",
    "initializers",
    "load",
    "losses",
    "metrics",
    "one_hot",
    "plotting",
    "schedules",
    "set_num_threads",
    "show_config",
    "testing",
    "theory",
    "use_backend",
]


# Modules that are imported when they are first used. `from nnpoly import *` leaves those out that
# need other libraries at once.
_ROOMS = (
    *("callbacks", "checkpoint", "exchange", "plotting", "testing", "theory"),
    *("estimators", "tables"),
)
_LAZY = {"checkpoint": ("load",), "training.rates": ("RateSweep", "find_learning_rate")}


def __getattr__(name: str) -> Any:
    """Import what not every program uses when it is first used."""
    import importlib

    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    for module, names in _LAZY.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    from ._checks import nearest

    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}.{nearest(name, __dir__())}"
    )


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS, *(name for name in globals() if name.startswith("__"))})
