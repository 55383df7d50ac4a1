"""Files: a network or a trainer in one safetensors file, which can hold no code.

Arrays are tensors, all else is JSON. Files are portable between backends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..network import Network
from ..network.files import load, load_extra, load_with_extra
from ..training import Trainer

__all__ = [
    "load",
    "load_extra",
    "load_trainer",
    "load_with_extra",
    "save_network",
    "save_trainer",
]

load_trainer = Trainer.load


def save_network(net: Network, path: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Write a network: `Network.save`.

    Examples
    --------
    >>> import os, tempfile, nnpoly as nn
    >>> from nnpoly import checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     checkpoint.save_network(nn.MLP([2, 3, 2]), path, {"classes": ["cat", "dog"]})
    ...     nn.load(path).widths, checkpoint.load_extra(path)
    ([2, 3, 2], {'classes': ['cat', 'dog']})
    """
    net.save(path, extra)


def save_trainer(trainer: Trainer, path: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Write a trainer with all that continuing needs: `Trainer.save`."""
    trainer.save(path, extra)
