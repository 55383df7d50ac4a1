"""How exactly others compute what nnpoly.exchange writes, and how fast C is beside onnxruntime.

Eleven trained models, 10,000 rows each: the largest error of onnxruntime, compiled C, torch and
Keras against the definition in float64, in units of the certificate's bound. Then 17-64-64-6, one
thread: a call for one row and for 1,000 of the C header and of onnxruntime, in turns.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from command import parsed, parser, setting, show, write
from exchange_cases import MODELS, Header, consumers, with_rows

import nnpoly as nn
from nnpoly.exchange.bounds import outputs_and_bounds
from nnpoly.exchange.certificate import Certificate, typical
from nnpoly.exchange.describing import describe_model
from nnpoly.exchange.onnx_running import CONSUMER

ROWS = 10_000


def errors_of(name: str, folder: Path) -> dict[str, Any]:
    """The largest error of each consumer, in units of the bound; None where it is refused."""
    model = MODELS[name]()
    described = describe_model(model)
    given = typical(described, ROWS)
    outputs, bounds = outputs_and_bounds(described, described.dtype, given)
    certificate = with_rows(Certificate.of(described), given, outputs, bounds)
    found: dict[str, Any] = {"model": name, "refused": {}, "units": {}}
    found["relative"] = float(np.median(bounds) / np.abs(outputs).max())
    for consumer, compute in consumers().items():
        try:
            values = compute(model, certificate, folder)
        except (ValueError, TypeError) as error:
            found["refused"][consumer] = str(error)
        else:
            found["units"][consumer] = certificate.units(values)
    return found


def times(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Microseconds of a call, by rows and consumer."""
    import onnxruntime

    net = nn.MLP([17, 64, 64, 6], activation="tanh", output="softmax", backend="numpy")
    header = Header(net, folder)
    nn.exchange.to_onnx(net, folder / "speed.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "speed.onnx"), options, providers=["CPUExecutionProvider"]
    )
    found = []
    for n, in_c, in_onnx in ((1, 50_000, 2_000), (1000, 60, 60)):
        x = np.random.default_rng(0).normal(size=(n, 17)).astype("float32")
        out = np.empty((n, 6), "float32")
        samples: dict[str, list[float]] = {"C": [], "onnxruntime": []}
        for _ in range(rounds + 1):  # the first warms up
            start = perf_counter()
            if n == 1:
                header.call("repeat", x, out, ctypes.c_int(in_c))
            else:
                for _ in range(in_c):
                    header.call("predict_batch", x, out, ctypes.c_size_t(n))
            samples["C"].append((perf_counter() - start) / in_c * 1e6)
            start = perf_counter()
            for _ in range(in_onnx):
                session.run(None, {"X": x})
            samples["onnxruntime"].append((perf_counter() - start) / in_onnx * 1e6)
        found.append({"rows": n, "us": {name: part[1:] for name, part in samples.items()}})
    return found


def main() -> int:
    """Measure both; return 1 where an error is beyond its bound."""
    os.environ.setdefault("KERAS_BACKEND", "torch")  # which is imported with Keras
    made = parser(__doc__, rounds=9, threads=False)
    made.add_argument("--only", choices=("errors", "times"), help="leave out the other half")
    arguments = parsed(made)
    properties = setting(arguments, [])
    properties["onnxruntime"] = str(CONSUMER.version())
    show(properties)
    document: dict[str, Any] = {"setting": properties, "errors": [], "times": []}
    if arguments.json and arguments.json.exists():
        document |= {k: v for k, v in json.loads(arguments.json.read_text()).items() if v}
        document["setting"] = properties
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only != "errors":
            document["times"] = times(folder, arguments.rounds)
            for row in document["times"]:
                print(
                    row["rows"], {k: round(median(v), 3) for k, v in row["us"].items()}, flush=True
                )
        if arguments.only != "times":
            document["errors"] = []
            for model in MODELS:
                document["errors"].append(errors_of(model, folder))
                found = document["errors"][-1]
                print(
                    model,
                    {k: f"{v:.2g}" for k, v in found["units"].items()},
                    *found["refused"].items(),
                    flush=True,
                )
    write(arguments.json, document)
    return int(any(u > 1.0 for row in document["errors"] for u in row["units"].values()))


if __name__ == "__main__":
    sys.exit(main())
