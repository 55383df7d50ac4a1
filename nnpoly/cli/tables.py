"""`nnpoly train TABLE`: train a network, measure it beside baselines, and write the results."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .. import tables
from ..backends import Backend, registry
from ..callbacks import EarlyStopping
from ..network import Network, regularised
from ..optimizers import AdamW
from ..tables import Classes, Predictions, Prepared, Table, TableModel, metrics
from ..tables.metrics import Metrics
from ..tables.wording import printable
from ..training import History, Trainer
from .common import Mistake, published, refused, require, require_writable, say

PACKAGES = ("matplotlib", "polars", "safetensors", "sklearn")
FILES = ("model.safetensors", "log.jsonl", "report.png", "metrics.json")
MODEL, LOG, PICTURE, METRICS = FILES
DEFAULTS: dict[str, Any] = {
    "categorical": (),
    "drop": (),
    "holdout": 0.2,
    "validation": 0.1,
    "epochs": 200,
    "patience": 20,
    "batch_size": 32,
    "widths": (64, 64),
    "activation": "relu",
    "class_weight": None,
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "output": None,
}


def train(options: argparse.Namespace) -> int:
    """Train on a table's rows; write the model, its metrics, its losses and a picture of them."""
    require(*PACKAGES)
    with refused(ValueError, ImportError, OSError):
        backend, device = registry.resolve(options.backend, options.device)
        table, note = _table(options)
        prepared = _prepared(options, table)
    require_writable(options.output, FILES)
    with backend.widened(options.dtype):
        _refuse_weights(options, prepared)
        trainer = _trainer(options, prepared, backend, device)
        model = TableModel(trainer.network, prepared.inputs, prepared.target)
        say(note, _overview(prepared, options.task is None), trainer.network)
        course = _fit(trainer, prepared, options)
        held_out = prepared.X[prepared.parts.holdout]
        predictions = model.predict_encoded(held_out, precision=options.precision)
        measured = _measured(model, prepared, predictions)
        report = _report(options, prepared, trainer, course, measured)
        title = _title(table, trainer.network, measured["network"], len(predictions.values))
        with published(options.output, FILES) as (model_file, log_file, picture, metrics_file):
            model.save(model_file)
            _write_text(metrics_file, _json(report, indent=1) + "\n")
            _write_text(log_file, _log(course, measured))
            _write_picture(picture, prepared, course.history, predictions, title)
    say(
        f"{course.epochs} epochs; the validation loss was lowest after epoch {course.best_epoch}",
        metrics.text(measured),
        f"{options.output} now holds {MODEL}, {METRICS}, {LOG} and {PICTURE}",
    )
    return 0


def _table(options: argparse.Namespace) -> tuple[Table, str]:
    """Read the rows that have a target, and count them in words."""
    table = tables.read(options.data)
    if options.target is None:
        columns = ", ".join(map(printable, table.names))
        raise Mistake(f"--target NAME is missing; the columns are {columns}")
    return rows_with_target(table, options.target)


def _prepared(options: argparse.Namespace, table: Table) -> Prepared:
    """Split the table and fit its preprocessing, as the options say."""
    return tables.prepare(
        table,
        options.target,
        options.task or tables.told_task(table, options.target),
        categorical=options.categorical,
        drop=options.drop,
        holdout=options.holdout,
        validation=options.validation,
        seed=options.seed,
    )


def rows_with_target(table: Table, target: str) -> tuple[Table, str]:
    """Return the rows that have a target, and their number in words."""
    rows = table.take(tables.known_rows(table, target))
    missing = len(table) - len(rows)
    blanks = ", ".join(map(repr, table.blanks.get(target, ())))
    means = f"; {blanks} means missing" if blanks else ""
    left_out = f" ({missing} more have no {target!r} and are left out{means})" if missing else ""
    return rows, f"{table.source}: {len(rows)} rows{left_out}"


def _overview(prepared: Prepared, is_guess: bool) -> str:
    """Describe the split, the task, which may be a guess, and the inputs, before training."""
    schema, (fit, validation, holdout) = prepared.schema, prepared.parts
    task = prepared.target.task
    other_task = next(other for other in tables.TASKS if other != task)
    hint = f" (if not: --task {other_task})" if is_guess else ""
    lines = [
        f"{len(fit)} to train on, {len(validation)} to stop early with, {len(holdout)} held out",
        f"{task}: {prepared.target}{hint}",
        f"inputs: {len(prepared.inputs.names)}, made of {len(schema.numbers)} numbers and "
        f"{len(schema.categories)} categories",
        *(f"left out: column {name!r}, {why}" for name, why in schema.left_out.items()),
        *(f"categories: column {name!r}, since {why}" for name, why in schema.notes.items()),
    ]
    if prepared.unknown:
        lines.append(
            f"{prepared.unknown} rows have categories that no row to train on has: they are "
            "encoded as zeros"
        )
    return "\n".join(lines)


# Training


def _trainer(
    options: argparse.Namespace, prepared: Prepared, backend: Backend, device: Any
) -> Trainer:
    with refused(ValueError, MemoryError):
        net = _network(options, prepared, backend, device)
        rule = AdamW(options.learning_rate, weight_decay=options.weight_decay)
        return Trainer(net, rule, precision=options.precision)


def _network(
    options: argparse.Namespace, prepared: Prepared, backend: Backend, device: Any
) -> Network:
    target, m = prepared.target, [len(prepared.inputs.names), *options.widths]
    outputs, output = (
        (len(target.classes), "softmax") if isinstance(target, Classes) else (1, "identity")
    )
    place = {"dtype": options.dtype, "seed": options.seed, "backend": backend, "device": device}
    widths, dropout = [*m, outputs], options.dropout
    return regularised(widths, options.activation, output, dropout=dropout, **place)


def _refuse_weights(options: argparse.Namespace, prepared: Prepared) -> None:
    if options.class_weight and not isinstance(prepared.target, Classes):
        raise Mistake(f"--class-weight is for classes, but {options.target!r} holds numbers")


def _weights(y: Any, class_weight: str | None) -> Any:
    """Return sample weights by which every class counts alike, or None for equal weights."""
    from sklearn.utils.class_weight import compute_sample_weight

    return None if class_weight is None else compute_sample_weight(class_weight, y)


class _Clock:
    """A callback that records the seconds after which each epoch ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = perf_counter()

    def __call__(self, trainer: Trainer, history: History) -> None:
        self.seconds.append(round(perf_counter() - self._start, 4))


class _Course(NamedTuple):
    """The course of a training: the losses and the times of its epochs, and the best of them."""

    history: History
    seconds: list[float]
    best_epoch: int

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(self.history)


def _fit(trainer: Trainer, prepared: Prepared, options: argparse.Namespace) -> _Course:
    """Train the network until the validation loss no longer improves."""
    stop, clock = EarlyStopping(options.patience), _Clock()
    X, y = prepared.training(prepared.parts.fit)
    X_val, y_val = prepared.training(prepared.parts.validation)
    with np.errstate(over="ignore", invalid="ignore"):  # the trainer reports them
        history = trainer.fit(
            X,
            y,
            options.epochs,
            options.batch_size,
            validation=(X_val, y_val, _weights(y_val, options.class_weight)),
            callbacks=[stop, clock],
            progress=not options.quiet,
            sample_weight=_weights(y, options.class_weight),
        )
    return _Course(history, clock.seconds, stop.best_epoch)


def _measured(
    model: TableModel, prepared: Prepared, predictions: Predictions
) -> dict[str, Metrics]:
    """Return the metrics of the network and of the baselines on the rows held out."""
    y = prepared.y[prepared.parts.holdout]
    return {"network": model.measure(predictions, y), **tables.baselines(prepared)}


# Files


def _report(
    options: argparse.Namespace,
    prepared: Prepared,
    trainer: Trainer,
    course: _Course,
    measured: dict[str, Metrics],
) -> dict[str, Any]:
    """Return the content of metrics.json."""
    fit, validation, holdout = prepared.parts
    return {
        "target": options.target,
        "task": prepared.target.task,
        "rows": {"fit": len(fit), "validation": len(validation), "holdout": len(holdout)},
        "inputs": list(prepared.inputs.names),
        "left_out": prepared.schema.left_out,
        "network": repr(trainer.network),
        "precision": trainer.precision,
        "optimizer": repr(trainer.optimizer),
        "batch_size": options.batch_size,
        "class_weight": options.class_weight,
        "seed": options.seed,
        "epochs": course.epochs,
        "best_epoch": course.best_epoch,
        "holdout": measured,
    }


def _log(course: _Course, measured: dict[str, Metrics]) -> str:
    """Return the content of log.jsonl: a line an epoch, and a final one."""
    history = course.history
    epochs = zip(history.loss, history.validation_loss, course.seconds, strict=True)
    lines: list[dict[str, Any]] = [
        {"epoch": i, "loss": loss, "validation_loss": validation, "seconds": seconds}
        for i, (loss, validation, seconds) in enumerate(epochs, 1)
    ]
    final = {"epochs": course.epochs, "best_epoch": course.best_epoch, "holdout": measured}
    return "".join(_json(line) + "\n" for line in [*lines, {"final": final}])


def _title(table: Table, net: Network, measured: Metrics, rows: int) -> str:
    """Return the title of the picture: the first metric of the rows held out."""
    shape = "-".join(map(str, net.widths))
    name, value = next(iter(measured.items()))
    return f"{table.source}, {shape}: {name} {metrics.number(value)} on {rows} rows"


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _write_picture(
    file: Path, prepared: Prepared, history: History, predictions: Predictions, title: str
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that matplotlib's font lacks
        _picture(prepared, history, predictions, _literal(title)).savefig(file, format="png")


def _picture(prepared: Prepared, history: History, predictions: Predictions, title: str) -> Any:
    """Draw the losses, and the predictions of the rows held out against the truth."""
    from ..plotting import classification_report, regression_report

    target, y = prepared.target, prepared.y[prepared.parts.holdout]
    if isinstance(target, Classes):
        classes = [_literal(label) for label in target.classes]
        return classification_report(history, y, predictions.probabilities, classes, title)
    return regression_report(history, y, predictions.values, _literal(target.name), title)


def _literal(text: Any) -> str:
    """Return text in which matplotlib reads a $ as a $, and not as the start of a formula."""
    return str(text).replace("$", r"\$")
