"""`nnpoly train`: the arguments, and their defaults for a table and for the digits."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..backends.base import PRECISIONS
from ..tables import perceptron
from ..tables.planning import DEFAULT, HOLDOUT, MODELS
from ..tables.reading import READERS
from ..tables.targets import TASKS
from . import digits, tables
from .common import DTYPES, PRECISION, Mistake, floating, list_of, path, positive, real, whole

SHARE = real(">= 0 and < 1", lambda value: 0.0 <= value < 1.0)
DECAY = real(">= 0", lambda value: value >= 0.0)


def names(text: str) -> list[str]:
    """Convert text to names between commas; one with a comma is in double quotes, as in a CSV."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def add_train(add: Callable[..., Any]) -> None:
    """Add the arguments of `train`; options are None until the defaults of the data are known."""

    def option(name: str, kind: Any, metavar: str, text: str) -> None:
        add(name, type=kind, metavar=metavar, help=text + _default_text(name))

    files = ", ".join(READERS)
    add("data", help=f"a table ({files}), or digits: scikit-learn's 1797 images of 8 x 8 pixels")
    add("--target", metavar="NAME", help="the column to predict")
    text = f"what is trained ({DEFAULT}); mlp is the plain network"
    add("--model", choices=list(MODELS), help=text)
    add("--task", choices=TASKS, help="told from the target, which it is printed with")
    option("--categorical", names, "A,B", "columns that are categories, though they hold numbers")
    option("--drop", names, "A,B", "columns to leave out")
    text = f"share of the rows that the metrics are measured on, or 0: none are ({HOLDOUT})"
    option("--holdout", SHARE, "X", text)
    add("--test", type=path, metavar="FILE", help="a table to measure on, in place of a share")
    text = "the column that says which rows to measure on: true, 1 or test; not false, 0 or train"
    add("--test-column", metavar="NAME", help=text)
    text = "share of the other rows that finds the best epoch, or decides when training ends"
    shares = ", ".join(f"{name} {recipe.validation}" for name, recipe in MODELS.items())
    option("--validation", SHARE, "X", f"{text} ({shares})")
    option("--epochs", whole(1), "N", "passes over the data, at most")
    option("--patience", whole(1), "N", "epochs without improvement before training ends")
    option("--batch-size", whole(1, 1e18), "N", "rows a step")
    option("--widths", list_of(whole(1)), "N,N", "neurons of the hidden layers")
    option("--activation", str, "NAME", "of the hidden layers")
    option("--n-ens", whole(1), "N", "networks of different seeds, whose predictions are averaged")
    option("--n-cv", whole(1), "N", "folds, with networks for each that are all trained together")
    add("--metric", metavar="NAME", help="what the best epoch is found by, as log_loss or mae")
    option("--time-limit", positive, "S", "seconds after which the best so far is kept")
    add("--preset", metavar="NAME", help="of realmlp: TD, or TD-S, which is faster")
    add("--arch", metavar="NAME", help="of tabm: tabm, or tabm-mini, which shares more")
    text = "of tabm: piecewise, which is often better and slower; none if it is not given"
    add("--num-embeddings", metavar="NAME", help=text)
    option("--n-members", whole(1), "N", "of tabm: networks that share most of their weights")
    add("--class-weight", choices=["balanced"], help="rare classes count as much as frequent ones")
    option("--dropout", SHARE, "X", "share of the hidden neurons that a training step leaves out")
    option("--learning-rate", positive, "X", "Adam's; for digits it falls to 0")
    option("--weight-decay", DECAY, "X", "AdamW's")
    add("--backend", help="numpy, cupy, torch or jax ($NNPOLY_BACKEND, or numpy)")
    add("--device", help="in the backend's terms, such as cuda:1 (its own default)")
    seed = "decides the parts of the rows, the first weights and the shuffles (0)"
    add("--seed", type=whole(0), default=0, metavar="N", help=seed)
    text = f"{' or '.join(DTYPES)} (float32)"
    add("--dtype", type=floating, default="float32", metavar="T", help=text)
    add("--precision", choices=PRECISIONS, help=PRECISION)
    option("--output", path, "DIR", "folder for the files; made if missing")
    add("--quiet", action="store_true", help="show no progress bar")


def _default_text(name: str) -> str:
    """Return the end of a help text: the defaults of the plain network and of the digits."""
    key = name.removeprefix("--").replace("-", "_")
    defaults = {"mlp": perceptron.DEFAULTS.get(key), "digits": digits.DEFAULTS.get(key)}
    told = [f"{model}: {_text(default)}" for model, default in defaults.items() if default]
    return f" ({'; '.join(told)})" if told else ""


def _text(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def train(options: argparse.Namespace) -> int:
    """Train on a table, or on handwritten digits; write the network and a report."""
    if options.data == "digits":
        _refuse_table_options(options)
        return digits.train(_with_defaults(options, digits.DEFAULTS))
    data = Path(options.data)
    if data.suffix.lower() not in READERS:
        raise Mistake(f"{data} must be digits, or a file that ends in {', '.join(READERS)}")
    if options.output is None:
        options.output = Path(f"nnpoly-{data.stem}")
    return tables.train(options)


def _with_defaults(options: argparse.Namespace, defaults: dict[str, Any]) -> argparse.Namespace:
    """Return the options, with defaults in place of None."""
    complete = {
        name: defaults.get(name) if value is None else value
        for name, value in vars(options).items()
    }
    return argparse.Namespace(**complete)


def _refuse_table_options(options: argparse.Namespace) -> None:
    of_tables = {"target", "model", "class_weight", *tables.OF_DATA, *tables.OF_MODEL}
    only = of_tables - digits.DEFAULTS.keys()
    for name in sorted(only):
        if getattr(options, name) is not None:
            raise Mistake(f"--{name.replace('_', '-')} is for tables: digits has none")
