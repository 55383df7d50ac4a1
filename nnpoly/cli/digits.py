"""`nnpoly train digits`: scikit-learn's handwritten digits, which need no file."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..backends import Backend, registry
from ..network import MLP, Network
from ..optimizers import Adam
from ..schedules import Cosine
from ..tables.results import published
from ..training import History, Trainer
from .common import refused, require, require_writable, say

PACKAGES = ("matplotlib", "safetensors", "sklearn")
MODEL, LOSSES, PICTURE = FILES = "model.safetensors", "history.json", "loss.png"
# Matrices this small are multiplied on one thread, which a busy machine does not slow down. Every
# seed from 0 to 9 gets more than 97 % of the test images right, on every backend.
DEFAULTS: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 16,
    "widths": (256,),
    "learning_rate": 3e-3,
    "output": Path("nnpoly-digits"),
}


def train(options: argparse.Namespace) -> int:
    """Train on the digits; write the network, its losses and a picture of them."""
    require(*PACKAGES)
    with refused(ValueError, ImportError):
        backend, device = registry.resolve(options.backend, options.device)
    require_writable(options.output, FILES)
    with backend.widened(options.dtype):
        trainer = _trainer(options, backend, device)
        say(trainer.network)
        report = _train_digits(trainer, options)
        with published(options.output, FILES) as files:
            _write(trainer.network, report, *files)
    _print(report)
    say(f"{options.output} now holds {MODEL}, {LOSSES} and {PICTURE}")
    return 0


def _trainer(options: argparse.Namespace, backend: Backend, device: Any) -> Trainer:
    widths, where = [64, *options.widths, 10], {"backend": backend, "device": device}
    with refused(ValueError, MemoryError):
        net = MLP(widths, dtype=options.dtype, seed=options.seed, **where)
        return Trainer(net, precision=options.precision)


def _train_digits(trainer: Trainer, options: argparse.Namespace) -> dict[str, Any]:
    """Train the network, and return the report that is written as JSON."""
    X, X_test, y, y_test = split_digits()
    steps = options.epochs * math.ceil(len(y) / options.batch_size)
    trainer.optimizer = Adam(Cosine(options.learning_rate, steps))
    seconds = _fit(trainer, X, y, (X_test, y_test), options)
    return {
        "network": repr(trainer.network),
        "precision": trainer.precision,
        "optimizer": repr(trainer.optimizer),
        "batch_size": options.batch_size,
        "seed": options.seed,
        "seconds": seconds,
        "train_accuracy": _accuracy(trainer, X, y),
        "test_accuracy": _accuracy(trainer, X_test, y_test),
        "train_loss": trainer.history.loss,
        "test_loss": trainer.history.validation_loss,
    }


def _fit(trainer: Trainer, X: Any, y: Any, test: Any, options: argparse.Namespace) -> float:
    """Train, and return the seconds that it took."""
    epochs, batch_size, progress = options.epochs, options.batch_size, not options.quiet
    start = perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the trainer reports them
        trainer.fit(X, y, epochs, batch_size, validation=test, progress=progress)
    return perf_counter() - start


def split_digits() -> Any:
    """Return X: (1437, 64), X_test: (360, 64), y, y_test: pixels in [0, 1] and the digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16.0, y, test_size=0.2, stratify=y, random_state=0)


def _accuracy(trainer: Trainer, X: Any, y: Any) -> float:
    return float(np.mean(registry.to_host(trainer.predict(X)).argmax(axis=1) == y))


def _write(net: Network, report: dict[str, Any], model: Path, losses: Path, picture: Path) -> None:
    from ..plotting import loss_figure

    net.save(model)
    losses.write_text(json.dumps(report, indent=1) + "\n")
    shape = "-".join(map(str, net.widths))
    percent = f"{100 * report['test_accuracy']:.1f} %"
    title = f"Handwritten digits, {shape}: {percent} of the test images right"
    history = History(report["train_loss"], report["test_loss"])
    figure = loss_figure(history, title, "cross-entropy (nats per image)")
    figure.savefig(picture, format="png")


def _print(report: dict[str, Any]) -> None:
    say(f"train accuracy  {100 * report['train_accuracy']:6.2f} %")
    say(f"test accuracy   {100 * report['test_accuracy']:6.2f} %")
    say(f"training time   {report['seconds']:6.2f} s")
