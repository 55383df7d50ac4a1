"""Training: where the steps, the epochs and the fits of networks happen."""

from .epochs import NonFiniteLossError
from .history import History
from .trainer import Trainer

__all__ = ["History", "NonFiniteLossError", "Trainer"]
