"""`nnpoly export`, `nnpoly import` and `nnpoly check`: models for others, and of others."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import exchange
from ..exchange.checking import CONSUMERS
from ..exchange.opening import open_model
from ..tables.results import MODEL
from .common import DTYPES, Mistake, fail, path, refused, require, require_output, say
from .models import model_file

ENDINGS = {
    "onnx": ".onnx",
    "c": ".h",
    "torch": ".torch.safetensors",
    "keras": ".keras",
    "sklearn": ".skops",
}
SOURCES = {
    ".onnx": "from_onnx",
    ".safetensors": "from_torch",
    ".keras": "from_keras",
    ".skops": "from_sklearn",
}
_ERRORS = ValueError, TypeError, ImportError, OSError


def add_export(add: Callable[..., Any]) -> None:
    """Add the arguments of `export`."""
    add("model", type=path, metavar="MODEL", help=f"the file, or the folder that holds {MODEL}")
    add("--to", choices=ENDINGS, required=True, help="what the file is for")
    add("--output", type=path, metavar="FILE", help="to write (beside the model, by its name)")
    text = f"of onnx, to compute in: {' or '.join(DTYPES)} (the model's own)"
    add("--dtype", choices=DTYPES, help=text)
    add("--name", metavar="NAME", help="of c, the function's (predict)")


def export(options: argparse.Namespace) -> int:
    """Write a trained model for another program: ONNX, C, torch, Keras or scikit-learn."""
    require("safetensors")
    file = model_file(options.model)
    output = options.output or file.with_suffix(ENDINGS[options.to])
    suffix = Path(f"model{ENDINGS[options.to]}").suffix
    if output.suffix.lower() != suffix:
        raise Mistake(f"--output: a file for {options.to} ends in {suffix}, got {output}")
    require_output(output, [file])
    asked = {"dtype": ("onnx", options.dtype), "name": ("c", options.name)}
    given = {name: value for name, (_, value) in asked.items() if value is not None}
    for name in given:
        if asked[name][0] != options.to:
            raise Mistake(f"--{name} is of --to {asked[name][0]}, got --to {options.to}")
    with refused(*_ERRORS):
        model = open_model(file)
        getattr(exchange, f"to_{options.to}")(model, output, **given)
    consumer = CONSUMERS[suffix]
    version = consumer.version()
    if version is None:
        say(f"{output} is written, unchecked: {consumer.name} is missing. {consumer.remedy}")
    else:
        say(f"{output} is written; {consumer.name} {version} computes it within its bounds")
    return 0


def add_import(add: Callable[..., Any]) -> None:
    """Add the arguments of `import`."""
    kinds = ", ".join(SOURCES)
    add("file", type=path, metavar="FILE", help=f"by its ending: {kinds} (torch's)")
    add("--output", type=path, metavar="FILE", help="to write (beside FILE, as .safetensors)")
    text = "of torch's weights alone: that of the hidden layers, such as relu"
    add("--activation", metavar="NAME", help=text)
    text = "of torch's: what makes a prediction of the scores: softmax, sigmoid, exp or identity"
    add("--final", metavar="NAME", help=text)


def import_(options: argparse.Namespace) -> int:
    """Make a network of another program's file: ONNX, torch, Keras or scikit-learn."""
    require("safetensors")
    file, suffix = options.file, options.file.suffix.lower()
    if suffix not in SOURCES:
        raise Mistake(f"{file} must end in {', '.join(SOURCES)}, by which its kind is told")
    output = options.output or file.with_suffix(".safetensors")
    if not file.is_file():
        raise Mistake(f"{file} is no file")
    require_output(output, [file])
    given = {"activation": options.activation, "output": options.final}
    given = {name: value for name, value in given.items() if value is not None}
    if given and suffix != ".safetensors":
        raise Mistake(f"--activation and --final are of torch's files, got {file}")
    with refused(*_ERRORS):
        model = getattr(exchange, SOURCES[suffix])(file, **given)
        if not hasattr(model, "save"):
            raise Mistake(f"{file} holds a Pipeline, whose other steps no file of nnpoly's holds")
        model.save(output)
    say(f"{output} holds {model}")
    return 0


def add_check(add: Callable[..., Any]) -> None:
    """Add the arguments of `check`."""
    text = f"that export wrote, by its ending: {', '.join(CONSUMERS)}; a header in C is run"
    add("file", type=path, metavar="FILE", help=text)


def check(options: argparse.Namespace) -> int:
    """Have an exported file computed by its consumer, and compare with its certificate."""
    with refused(*_ERRORS):
        report = exchange.check(options.file)
    if not report.holds:
        return fail(options, str(report), 1)
    say(report)
    return 0
