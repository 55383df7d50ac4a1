"""Models in and out: ONNX, C, torch, Keras and scikit-learn, each with its proof.

Each name is imported, and with it a format's own library, when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .c_writing import to_c
    from .checking import check
    from .keras_models import from_keras, to_keras
    from .onnx_reading import from_onnx
    from .onnx_writing import to_onnx
    from .sklearn_models import from_sklearn, to_sklearn
    from .torch_files import from_torch, to_torch

__all__ = [
    "check",
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "to_c",
    "to_keras",
    "to_onnx",
    "to_sklearn",
    "to_torch",
]

_HOMES = {
    "check": "checking",
    "from_keras": "keras_models",
    "from_onnx": "onnx_reading",
    "from_sklearn": "sklearn_models",
    "from_torch": "torch_files",
    "to_c": "c_writing",
    "to_keras": "keras_models",
    "to_onnx": "onnx_writing",
    "to_sklearn": "sklearn_models",
    "to_torch": "torch_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
