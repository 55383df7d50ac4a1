"""ONNX files, computed by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data.container import named
from .certificate import Certificate
from .proof import Consumer, Outputs

KEY = "nnpoly.certificate"  # of a model's metadata


def version() -> str | None:
    """Onnxruntime's version, or None where it is missing."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return str(onnxruntime.__version__)


def _session(path: Path) -> Any:
    """A session of one thread; of a file's bytes, so that none beside it is opened."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised too
    with named(path):
        try:
            return onnxruntime.InferenceSession(
                path.read_bytes(), options, ["CPUExecutionProvider"]
            )
        except OSError:
            raise
        except Exception as error:  # its own kinds, none of which is public
            raise ValueError(f"onnxruntime can't load it: {error}") from error


def certificate(path: Path) -> str | None:
    """The text of the certificate in a model's metadata."""
    found: str | None = _session(path).get_modelmeta().custom_metadata_map.get(KEY)
    return found


def feeds(session: Any, columns: dict[str, Any], x: Any) -> dict[str, Any]:
    """The inputs of a session: X, or columns by their names."""
    kinds = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(string)": "object"}
    found = {}
    for given in session.get_inputs():
        values = x if x is not None else columns[given.name]
        found[given.name] = np.asarray(values, kinds[given.type])
    return found


def run(path: Path, certificate: Certificate) -> Outputs:
    """What onnxruntime computes for a certificate's inputs."""
    session = _session(path)
    names = [column.name for column in certificate.columns]
    columns = dict(zip(names, certificate.inputs, strict=True))
    x = certificate.x if certificate.matrix else None
    outputs = [output.name for output in session.get_outputs()]
    with named(path):
        try:
            found = session.run(None, feeds(session, columns, x))
        except Exception as error:
            raise ValueError(f"onnxruntime can't compute it: {error}") from error
        by_name = dict(zip(outputs, found, strict=True))
        if certificate.labels is None:
            values = by_name.get("prediction")
        else:
            values = by_name.get("probabilities")
        if values is None:
            raise ValueError(f"its outputs are {outputs}, and not those of its certificate")
    return Outputs(values, by_name.get("label"))


CONSUMER = Consumer(
    "onnxruntime", "Install it: pip install nnpoly[onnx].", version, certificate, run
)
