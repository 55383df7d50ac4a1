"""Models in and out: ONNX, C, torch, Keras and scikit-learn, each with its proof."""

from .onnx_reading import from_onnx

__all__ = ["from_onnx"]
