"""A training run that uses everything a file must keep, for tests that interrupt and resume it.

``python runs.py FOLDER EPOCHS SECONDS`` trains in FOLDER, resuming from its file if there is one,
and writes the results to facts.json. An epoch takes at least SECONDS.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.callbacks import Checkpoint, CSVLog, EarlyStopping, JSONLog, ReduceOnPlateau

MODEL, TABLE, LINES, FACTS = "run.safetensors", "run.csv", "run.jsonl", "facts.json"


def data(n: int = 30, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype("f4")
    noisy = X[:, 0] + rng.normal(size=n) > 0
    return X, noisy.astype("i8")


def trainer(optimizer: Any = None, seed: int = 0, **place: Any) -> nn.Trainer:
    layers = [nn.Dense(3, 16, "tanh"), nn.BatchNorm(16), nn.Dropout(0.2), nn.Dense(16, 2)]
    net = nn.Network(layers, "softmax", seed=seed, **place)
    return nn.Trainer(net, optimizer or nn.AMSGrad(nn.schedules.Cosine(0.02, 90)))


class Pause:
    """A callback that sleeps, then calls a function."""

    def __init__(self, seconds: float = 0.0, function: Any = None) -> None:
        self.seconds, self.function = seconds, function

    def __call__(self, trainer: nn.Trainer, history: nn.History) -> None:
        time.sleep(self.seconds)
        if self.function is not None:
            self.function(trainer, history)


def callbacks(folder: Path, pauses: Sequence[Pause], every: int = 1, patience: int = 6) -> list:
    """One callback of each kind, before and after the checkpoint, with pauses in between."""
    return [
        pauses[0],
        EarlyStopping(patience),
        CSVLog(folder / TABLE),
        ReduceOnPlateau(0.5, patience=2),
        pauses[1],
        Checkpoint(folder / MODEL, every, keep_best=True),
        pauses[2],
        JSONLog(folder / LINES),
        ReduceOnPlateau(0.9, patience=1, monitor="loss"),
        EarlyStopping(99, restore_best=False),
        pauses[3],
    ]


def train(folder: Path, epochs: int, pauses: Sequence[Pause], **options: Any) -> list[Any]:
    """Train a new trainer, resumed from the folder's file if there is one.

    Returns the trainer's state, the history, the callbacks' states and the logs.
    """
    place = {name: options.pop(name) for name in ("backend", "device") if name in options}
    progress = options.pop("progress", False)
    t, used = trainer(**place), callbacks(folder, pauses, **options)
    history = t.fit(
        *data(),
        epochs=epochs,
        batch_size=8,
        validation=data(20, 6),
        callbacks=used,
        progress=progress,
        resume=folder / MODEL,
    )
    return [*state(t), vars(history), [c.state() for c in used if hasattr(c, "state")], log(folder)]


def state(t: nn.Trainer) -> list[Any]:
    """A trainer's complete state, with SHA-256 in place of the arrays."""
    arrays = {**t.network.arrays(), **t.stepper.moments}
    hashed = {
        name: hashlib.sha256(registry.to_host(array).tobytes()).hexdigest()
        for name, array in arrays.items()
    }
    return [hashed, t.t, t.seed, t.network.seed, t.rate_factor, vars(t.history)]


def log(folder: Path) -> list[Any]:
    """The lines of both logs, without their times."""
    with open(folder / TABLE, newline="") as file:
        table = [row[:-1] for row in csv.reader(file)]
    lines = [json.loads(line) for line in (folder / LINES).read_text().splitlines()]
    return [table, [{k: v for k, v in line.items() if k != "seconds"} for line in lines]]


if __name__ == "__main__":
    folder, epochs, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    pauses = [Pause(seconds / 4) for _ in range(4)]
    pauses[3].function = lambda trainer, history: print(len(history), flush=True)
    facts = train(folder, epochs, pauses, every=2, patience=20)
    (folder / FACTS).write_text(json.dumps(facts))
