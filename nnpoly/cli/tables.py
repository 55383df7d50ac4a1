"""`nnpoly train TABLE`: train a model, measure it beside baselines, and write the results."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from .. import tables
from ..tables.planning import Plan, plan
from ..tables.results import FILES, LOG, METRICS, MODEL, PICTURE
from ..tables.wording import printable
from .common import Mistake, one_line, refused, require, require_writable, say

PACKAGES = ("matplotlib", "polars", "safetensors", "sklearn")
OF_DATA = ("task", "test", "test_column", "categorical", "drop", "holdout", "validation")
OF_MODEL = (
    *("epochs", "patience", "batch_size", "widths", "activation", "dropout", "learning_rate"),
    *("weight_decay", "n_ens", "n_cv", "metric", "time_limit"),
    *("preset", "arch", "num_embeddings", "n_members"),
)
SETTINGS = ("class_weight", "seed", "backend", "device", "dtype", "precision")


def train(options: argparse.Namespace) -> int:
    """Train on a table's rows; write the model, its metrics, its losses and a picture of them."""
    require(*PACKAGES)
    with refused(ValueError, TypeError, ImportError, OSError, MemoryError):
        made = _plan(options)
    require_writable(options.output, FILES)
    say(made.text)
    with refused(ValueError), warnings.catch_warnings(record=True) as caught:
        _let_pass()
        found = made.run(progress=not options.quiet)
    say(*(one_line(Warning(warning.message)) for warning in caught), found)
    found.save(options.output)
    say(f"{options.output} now holds {MODEL}, {METRICS}, {LOG} and {PICTURE}")
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    """Read the table and make the model, as the options say."""
    table = tables.read(options.data)
    if options.target is None:
        columns = ", ".join(map(printable, table.names))
        raise Mistake(f"--target NAME is missing; the columns are {columns}")
    given: dict[str, Any] = {name: getattr(options, name) for name in OF_DATA + OF_MODEL}
    told = {name: value for name, value in given.items() if value is not None}
    settings = {name: getattr(options, name) for name in SETTINGS}
    model = {} if options.model is None else {"model": options.model}
    return plan(table, options.target, **model, **told, **settings)


def _let_pass() -> None:
    """Have the warnings of trainings that end before their last epoch recorded."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("always", ConvergenceWarning)
