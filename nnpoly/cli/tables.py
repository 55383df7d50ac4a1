"""`nnpoly train TABLE`: a network and baselines on the rows held out, and files that say so."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from .. import tables
from ..backends import Backend, registry
from ..callbacks import EarlyStopping
from ..network import Network, regularised
from ..optimizers import AdamW
from ..tables import Classes, Prepared, Table, TableModel, metrics
from ..training import History, Trainer
from .common import Mistake, published, refused, require

PACKAGES = ("matplotlib", "polars", "safetensors", "sklearn")
MODEL, LOG, PICTURE, METRICS = "model.safetensors", "log.jsonl", "report.png", "metrics.json"
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
    """Train on a table's rows; write the model, its metrics, its losses and their picture."""
    require(*PACKAGES)
    with refused(ValueError, ImportError, OSError):
        backend, device = registry.resolve(options.backend, options.device)
        table, note = _table(options)
        task = options.task or tables.told_task(table, options.target)
        shares = {name: getattr(options, name) for name in ("holdout", "validation", "seed")}
        columns = {name: getattr(options, name) for name in ("categorical", "drop")}
        prepared = tables.prepare(table, options.target, task, **columns, **shares)
    with backend.widened(options.dtype):
        _refuse_weights(options, prepared)
        trainer = _trainer(options, prepared, backend, device)
        model = TableModel(trainer.network, prepared.inputs, prepared.target)
        with published(options.output) as folder:
            print(note)
            print(_overview(prepared, options.task is None))
            print(trainer.network)
            report = _trained(trainer, model, prepared, options)
            _write(folder, table, model, prepared, report, trainer.history)
    best, epochs = report["best_epoch"], report["epochs"]
    print(f"{epochs} epochs; the validation loss was lowest after epoch {best}")
    print(metrics.text(report["holdout"]))
    print(f"{options.output} now holds {MODEL}, {METRICS}, {LOG} and {PICTURE}")
    return 0


def _table(options: argparse.Namespace) -> tuple[Table, str]:
    """Return the rows that have a target, and what is to be said about the others."""
    table = tables.read(options.data)
    if options.target is None:
        raise Mistake(f"--target NAME is missing; the columns are {', '.join(table.names)}")
    return known(table, options.target)


def known(table: Table, target: str) -> tuple[Table, str]:
    """Return the rows that have a target, and their number in words."""
    rows = table.take(tables.known_rows(table, target))
    missing = len(table) - len(rows)
    left_out = f" ({missing} more have no {target!r} and are left out)" if missing else ""
    return rows, f"{table.source}: {len(rows)} rows{left_out}"


def _overview(prepared: Prepared, told: bool) -> str:
    """Return what is going to be done, for the user to object."""
    schema, (fit, validation, holdout) = prepared.schema, prepared.parts
    task = prepared.target.task
    override = next(other for other in tables.TASKS if other != task)
    lines = [
        f"{len(fit)} to train on, {len(validation)} to stop early with, {len(holdout)} held out",
        f"{task}: {prepared.target}" + (f" (if not: --task {override})" if told else ""),
        f"inputs: {len(prepared.inputs.names)}, made of {len(schema.numbers)} numbers and "
        f"{len(schema.categories)} categories",
        *(f"left out: column {name!r}, {why}" for name, why in schema.left_out.items()),
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
        return Trainer(net, AdamW(options.learning_rate, weight_decay=options.weight_decay))


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


def _even(y: Any) -> None:
    """Return no weights: every row counts alike."""


def _balanced(y: Any) -> Any:
    """Return weights by which every class counts alike."""
    from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight("balanced", y)


class _Clock:
    """A callback: the seconds at which every epoch ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = perf_counter()

    def __call__(self, trainer: Trainer, history: History) -> None:
        self.seconds.append(round(perf_counter() - self._start, 4))


def _trained(
    trainer: Trainer, model: TableModel, prepared: Prepared, options: argparse.Namespace
) -> dict[str, Any]:
    """Train the network and return what is worth knowing about it, in JSON's types."""
    parts, stop, clock = prepared.parts, EarlyStopping(options.patience), _Clock()
    weight = _balanced if options.class_weight else _even
    X, y, validation = *prepared.training(parts.fit), prepared.training(parts.validation)
    with np.errstate(over="ignore", invalid="ignore"):  # the trainer says it better
        history = trainer.fit(
            X,
            y,
            options.epochs,
            options.batch_size,
            validation=(*validation, weight(validation[1])),
            callbacks=[stop, clock],
            progress=not options.quiet,
            sample_weight=weight(y),
        )
    found = model.predict_encoded(prepared.X[parts.holdout])
    network = model.measure(found, prepared.y[parts.holdout])
    return {
        "target": options.target,
        "task": prepared.target.task,
        "rows": {name: len(rows) for name, rows in parts._asdict().items()},
        "inputs": list(prepared.inputs.names),
        "left_out": prepared.schema.left_out,
        "network": repr(trainer.network),
        "optimizer": repr(trainer.optimizer),
        "batch_size": options.batch_size,
        "class_weight": options.class_weight,
        "seed": options.seed,
        "epochs": len(history),
        "best_epoch": stop.best_epoch,
        "seconds": clock.seconds,
        "holdout": {"network": network, **tables.baselines(prepared)},
    }


# Files


def _write(
    folder: Path,
    table: Table,
    model: TableModel,
    prepared: Prepared,
    report: dict[str, Any],
    history: History,
) -> None:
    model.save(folder / MODEL)
    seconds = report.pop("seconds")
    (folder / METRICS).write_text(_json(report, indent=1) + "\n", encoding="utf-8")
    epochs = zip(history.loss, history.validation_loss, seconds, strict=True)
    lines = [
        {"epoch": i, "loss": loss, "validation_loss": validation, "seconds": when}
        for i, (loss, validation, when) in enumerate(epochs, 1)
    ]
    final = {name: report[name] for name in ("epochs", "best_epoch", "holdout")}
    text = "".join(_json(line) + "\n" for line in [*lines, {"final": final}])
    (folder / LOG).write_text(text, encoding="utf-8")
    shape = "-".join(map(str, model.network.widths))
    name, value = next(iter(report["holdout"]["network"].items()))
    title = f"{table.source}, {shape}: {name} {value:.3g} on {len(prepared.parts.holdout)} rows"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that matplotlib's font lacks
        _picture(model, prepared, history, title).savefig(folder / PICTURE)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _picture(model: TableModel, prepared: Prepared, history: History, title: str) -> Any:
    """Return the report's figure. Names are the user's: a $ in them begins no formula."""
    from ..plotting import classification_report, regression_report

    rows, target, title = prepared.parts.holdout, model.target, _literal(title)
    y, found = prepared.y[rows], model.predict_encoded(prepared.X[rows])
    if isinstance(target, Classes):
        classes = [_literal(c) for c in target.classes]
        return classification_report(history, y, found.probabilities, classes, title)
    return regression_report(history, y, found.values, _literal(target.name), title)


def _literal(text: Any) -> str:
    return str(text).replace("$", r"\$")
