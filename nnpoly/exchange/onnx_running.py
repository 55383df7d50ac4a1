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
        values = x if x is not None else columns.get(given.name)
        if values is None or given.type not in kinds:
            raise ValueError(f"it reads {given.name!r}, {given.type}, which no certificate has")
        found[given.name] = np.asarray(values, kinds[given.type])
    return found


def run(path: Path, certificate: Certificate) -> Outputs:
    """What onnxruntime computes for a certificate's inputs."""
    session = _session(path)
    names = [column.name for column in certificate.columns]
    columns = dict(zip(names, certificate.inputs, strict=True))
    x = certificate.x if certificate.matrix else None
    with named(path):
        try:
            found = session.run(None, feeds(session, columns, x))
        except Exception as error:
            raise ValueError(f"onnxruntime can't compute it: {error}") from error
        if len(found) != (1 if certificate.labels is None else 2):
            raise ValueError(f"it has {len(found)} outputs, and not those of its certificate")
    return Outputs(found[0]) if len(found) == 1 else Outputs(found[1], found[0].tolist())


CONSUMER = Consumer(
    "onnxruntime", "Install it: pip install nnpoly[onnx].", version, certificate, run
)
