"""Training: where the steps, the epochs and the fits of networks happen."""

from .epochs import NonFiniteLossError
from .trainer import History, Trainer

__all__ = ["History", "NonFiniteLossError", "Trainer"]
