"""Files: a network or a trainer in one safetensors file, which can hold no code."""

from .files import (
    load,
    load_extra,
    load_trainer,
    load_with_extra,
    resume,
    save_network,
    save_trainer,
)

__all__ = [
    "load",
    "load_extra",
    "load_trainer",
    "load_with_extra",
    "resume",
    "save_network",
    "save_trainer",
]
