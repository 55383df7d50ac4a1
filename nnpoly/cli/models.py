"""`nnpoly predict`, `nnpoly evaluate` and `nnpoly summary`, which use a trained model."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import tables
from ..backends import registry
from ..backends.base import PRECISIONS
from ..data.container import disk_errors, write_atomically
from ..tables import Model, metrics
from ..tables.columns import UNKNOWN
from ..tables.loading import load_any
from ..tables.results import MODEL
from ..tables.targets import rows_with_target
from .common import (
    PRECISION,
    Mistake,
    fail,
    path,
    print_data,
    refused,
    require,
    require_table,
    say,
)
from .process import is_stdout, stdout_is_closed


def _add_model(add: Callable[..., Any]) -> None:
    add("model", type=path, metavar="MODEL", help=f"the file, or the folder that holds {MODEL}")


def _add_table(add: Callable[..., Any]) -> None:
    _add_model(add)
    add("table", type=path, metavar="TABLE", help="with the model's columns, in any order")
    text = "categories that were not in training: refused (error, the default), or zeros (ignore)"
    add("--unknown", choices=UNKNOWN, default="error", help=text)
    add("--backend", help="numpy, cupy, torch or jax ($NNPOLY_BACKEND, or numpy)")
    add("--device", help="in the backend's terms, such as cuda:1 (its own default)")
    add("--precision", choices=PRECISIONS, help=PRECISION)


def add_predict(add: Callable[..., Any]) -> None:
    """Add the arguments of `predict`."""
    _add_table(add)
    text = "the CSV, .tsv or .parquet to write (-: standard output)"
    add("--output", type=path, metavar="FILE", help=text)


add_evaluate = _add_table
add_summary = _add_model


def predict(options: argparse.Namespace) -> int:
    """Predict the rows of a table with a trained model; write CSV or Parquet."""
    to_stdout = options.output is None or is_stdout(options.output)
    if not to_stdout:
        require_table(options.output, [options.table, model_file(options.model)])
    elif stdout_is_closed():
        raise Mistake("standard output is closed: name the file to write, --output FILE")
    model, table = _read(options, "polars", "safetensors")
    with refused(ValueError):
        X = model.inputs.encode(table, options.unknown)
    frame = model.predict_encoded(X, precision=options.precision).frame()
    if to_stdout:
        print_data(frame.write_csv())
        return 0
    try:
        with disk_errors(options.output):
            write_atomically(options.output, _content(frame, options.output.suffix.lower()))
    except BrokenPipeError:
        return fail(options, f"--output: whoever read {options.output} has left", 1)
    say(f"{options.output} now holds {len(table)} predictions")
    return 0


def _content(frame: Any, suffix: str) -> bytes:
    """Return a frame as the bytes of a file with that ending."""
    file = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(file)
    else:
        frame.write_csv(file, separator="\t" if suffix == ".tsv" else ",")
    return file.getvalue()


def evaluate(options: argparse.Namespace) -> int:
    """Measure a trained model on the rows of a table that has the target too."""
    model, table = _read(options, "polars", "safetensors", "sklearn")
    with refused(ValueError):
        rows, note = rows_with_target(table, model.target.name)
        y, X = model.target.encode(rows), model.inputs.encode(rows, options.unknown)
    predictions = model.predict_encoded(X, precision=options.precision)
    say(note, metrics.text({"network": model.measure(predictions, y)}))
    return 0


def summary(options: argparse.Namespace) -> int:
    """Print a trained model's layers, the columns that it reads and what it predicts."""
    require("safetensors")
    with refused(ValueError, ImportError, OSError):
        model = load_any(model_file(options.model), "numpy")
    say(model.summary())
    return 0


def _read(options: argparse.Namespace, *packages: str) -> tuple[Model, tables.Table]:
    """Load the model and the table of a command."""
    require(*packages)
    with refused(ValueError, ImportError, OSError):
        backend, device = registry.resolve(options.backend, options.device)
        model = tables.load(model_file(options.model), backend, device)
        for net in model.networks:
            net.check_precision("predict", options.precision)
        return model, tables.read(options.table)


def model_file(model: Path) -> Path:
    """Return the model's file, given its folder or itself."""
    file = model / MODEL if model.is_dir() else model
    if not file.is_file():
        raise Mistake(f"{file} is no file: name a model, or the folder that holds {MODEL}")
    return file
