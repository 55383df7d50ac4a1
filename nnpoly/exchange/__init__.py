"""Models in and out: ONNX, C, torch, Keras and scikit-learn, each with its proof.

Each name is imported, and with it a format's own library, when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .c_writing import to_c
    from .checking import check
    from .onnx_reading import from_onnx
    from .onnx_writing import to_onnx

__all__ = [
    "check",
    "from_onnx",
    "to_c",
    "to_onnx",
]

_HOMES = {
    "check": "checking",
    "from_onnx": "onnx_reading",
    "to_c": "c_writing",
    "to_onnx": "onnx_writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
