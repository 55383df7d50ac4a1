"""Checks of files: each by the consumer that it is for."""

from __future__ import annotations

from typing import Any

from ..data.container import as_path
from . import c_running, keras_models, onnx_running, sklearn_models, torch_files
from .proof import Consumer, Report, prove

CONSUMERS: dict[str, Consumer] = {
    ".onnx": onnx_running.CONSUMER,
    ".h": c_running.CONSUMER,
    ".safetensors": torch_files.CONSUMER,
    ".keras": keras_models.CONSUMER,
    ".skops": sklearn_models.CONSUMER,
}


def check(path: Any) -> Report:
    """Have a file's consumer compute its certificate, and report the largest error.

    A file of `to_onnx` is computed by onnxruntime, one of `to_c` by a C compiler ($CC, cc, gcc or
    clang) and the program that it makes, one of `to_torch` by torch, of `to_keras` by Keras, of
    `to_sklearn` by scikit-learn. The errors are those against the definition in float64, in units
    of a rigorous bound, which each file carries.

    Parameters
    ----------
    path
        The file, by whose ending the consumer is told: .onnx, .h, .safetensors, .keras or .skops.

    Raises
    ------
    ValueError
        For another ending, and a file that is damaged, or has no certificate.
    ImportError
        If the consumer is missing; the message says how to install it.

    Warnings
    --------
    A header in C is compiled and run: check one only where you would run it. Files of the other
    formats are read without running anything in them.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange import check, to_onnx
    >>> to_onnx(nn.MLP([4, 8, 3]), "model.onnx")  # doctest: +SKIP
    >>> check("model.onnx").holds  # doctest: +SKIP
    True
    """
    where, file = "check", as_path("check", path)
    suffix = file.suffix.lower()
    if suffix not in CONSUMERS:
        raise ValueError(
            f"{where}: `path` must end in {', '.join(CONSUMERS)}, by which its consumer is told, "
            f"got {path}."
        )
    if not file.is_file():
        raise FileNotFoundError(f"{where}: {path} is no file.")
    return prove(where, file, CONSUMERS[suffix])
