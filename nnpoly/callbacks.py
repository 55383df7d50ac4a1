"""Callbacks of `Trainer.fit`.

A callback is anything called as `callback(trainer, history)` after every epoch; returning True ends
the training. It may have more methods:

- `begin(trainer)` is called before the first epoch, and `end(trainer, history)` once training is
  over, whether by its epochs, by a callback, by Ctrl-C or by an error.
- `blind()` returns how many epochs may pass before it must be called; it is then called for each of
  them, with the network of the last one. Without this it is called after every epoch.
- `state()` returns what it remembers, a dict of JSON values and NumPy arrays, and `restore(state)`
  takes that up again after `begin`, so that it lives on in a file (see `Checkpoint`).

The logs (`CSVLog`, `JSONLog`, `TensorBoard`) are callbacks too.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from . import _checks
from .logs import CSVLog, JSONLog, TensorBoard

if TYPE_CHECKING:
    from .training import History, Trainer

__all__ = ["CSVLog", "Checkpoint", "EarlyStopping", "JSONLog", "ReduceOnPlateau", "TensorBoard"]


class _Best:
    """The best value so far of one record of a history, and its epoch; 0 while there is none.

    Parameters
    ----------
    monitor
        "loss", "validation_loss", or the name of a metric in `history.metrics`; None for the
        validation loss where there is one, else the loss.
    mode
        "min" or "max"; None for "max" where a metric is named, unless its name has "loss" or
        "error" in it.
    min_delta
        How much better a value must be to count.
    """

    def __init__(self, where: str, monitor: Any, mode: Any, min_delta: Any = 0.0) -> None:
        if monitor is not None and not isinstance(monitor, str):
            raise ValueError(f"{where}: `monitor` must be a name or None, got {monitor!r}.")
        if mode is None:
            falls = monitor is None or "loss" in monitor or "error" in monitor
            mode = "min" if falls else "max"
        self._where, self._monitor = where, monitor
        self._sign = -1.0 if _checks.choice(where, "mode", mode, ("min", "max")) == "max" else 1.0
        self.min_delta = _checks.number(where, "min_delta", min_delta, low=0.0)
        self.clear()

    def clear(self) -> None:
        self.value, self.epoch = self._sign * math.inf, 0

    def look(self, history: History) -> bool:
        """Look at the newest epoch, once or again: is it the best? NaN and infinity never are."""
        value = self._newest(history)
        better = self._sign * value < self._sign * self.value - self.min_delta
        if better and math.isfinite(value):
            self.value, self.epoch = value, len(history)
        return self.epoch == len(history)

    def _newest(self, history: History) -> float:
        records = {"loss": history.loss, "validation_loss": history.validation_loss}
        records |= getattr(history, "metrics", {})
        recorded = [name for name, values in records.items() if values]
        name = self._monitor or ("validation_loss" if history.validation_loss else "loss")
        if name not in recorded:
            raise ValueError(
                f"{self._where}: `monitor` must be one of what this fit records, "
                f"{', '.join(recorded)}, got {name!r}."
            )
        return float(records[name][-1])

    def state(self) -> dict[str, Any]:
        return {"best": self.value, "best_epoch": self.epoch}

    def restore(self, state: dict[str, Any]) -> None:
        self.value, self.epoch = state["best"], state["best_epoch"]


class EarlyStopping:
    """End training when it has not got better for `patience` epochs, keeping the best weights.

    Parameters
    ----------
    patience
        Epochs without improvement before training ends.
    min_delta
        How much better a value must be to count as an improvement. NaN and infinity never do.
    restore_best
        Give the network back the parameters (and BatchNorm statistics) of its best epoch once
        training is over, however it ended. The optimiser's moments stay as they are.
    monitor
        "loss", "validation_loss", or the name of a metric in `history.metrics`; None for the
        validation loss where there is validation data, else the training loss.
    mode
        "min" or "max", what better is. None: "max" for metrics, unless the name says loss or error.

    Attributes
    ----------
    best, best_epoch
        The best value so far, and its epoch: 1 is the first of the fit, 0 is none.

    Examples
    --------
    >>> import nnpoly as nn
    >>> stop = nn.callbacks.EarlyStopping(patience=3)
    """

    def __init__(
        self,
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
        monitor: str | None = None,
        mode: str | None = None,
    ) -> None:
        self.patience = _checks.integer("EarlyStopping", "patience", patience)
        self.restore_best = restore_best
        self._best = _Best("EarlyStopping", monitor, mode, min_delta)
        self._arrays: dict[str, Any] = {}

    @property
    def best(self) -> float:
        return self._best.value

    @property
    def best_epoch(self) -> int:
        return self._best.epoch

    def begin(self, trainer: Trainer) -> None:
        """Forget the fit before."""
        self._best.clear()
        self._arrays = {}

    def __call__(self, trainer: Trainer, history: History) -> bool:
        """Look at the newest epoch; True once patience has run out."""
        if self._best.look(history) and self.restore_best:
            self._arrays = trainer.network.copy()._arrays()
        return len(history) - self.best_epoch >= self.patience

    def end(self, trainer: Trainer, history: History) -> None:
        """Give the network its best weights."""
        if self._arrays:
            trainer.network._take(self._arrays)
            self._arrays = {}

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch, and the weights."""
        from .backends import registry

        hosted = {name: registry.to_host(array) for name, array in self._arrays.items()}
        return {**self._best.state(), **hosted}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._best.restore(state)
        self._arrays = {k: v for k, v in state.items() if k not in self._best.state()}


class ReduceOnPlateau:
    """Lower the learning rate when training has not got better for `patience` epochs.

    `trainer.rate_factor`, which multiplies the optimiser's learning rate or schedule, becomes
    max(minimum, factor * rate_factor); then the epochs are counted anew.

    Parameters
    ----------
    factor
        Below 1.
    patience
        Epochs without improvement, or since the rate was lowered, before it is lowered.
    min_delta, monitor, mode
        What an improvement is, as for `EarlyStopping`.
    minimum
        The lowest `rate_factor`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> halve = nn.callbacks.ReduceOnPlateau(factor=0.5, patience=3, minimum=1e-3)
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 5,
        min_delta: float = 0.0,
        minimum: float = 0.0,
        monitor: str | None = None,
        mode: str | None = None,
    ) -> None:
        where = "ReduceOnPlateau"
        self.factor = _checks.positive(where, "factor", factor)
        if self.factor >= 1.0:
            raise ValueError(f"{where}: `factor` must be below 1, got {factor!r}.")
        self.patience = _checks.integer(where, "patience", patience)
        self.minimum = _checks.number(where, "minimum", minimum, low=0.0, high=1.0)
        self._best = _Best(where, monitor, mode, min_delta)
        self._reduced = 0  # the epoch in which the rate was lowered last

    def begin(self, trainer: Trainer) -> None:
        """Forget the fit before; the trainer's `rate_factor` stays."""
        self._best.clear()
        self._reduced = 0

    def __call__(self, trainer: Trainer, history: History) -> None:
        """Look at the newest epoch, and lower the rate once patience has run out."""
        self._best.look(history)
        if len(history) - max(self._best.epoch, self._reduced) >= self.patience:
            self._reduced = len(history)
            lowered = max(self.minimum, self.factor * trainer.rate_factor)
            trainer.rate_factor = min(trainer.rate_factor, lowered)

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch, and the epoch of the last reduction."""
        return {**self._best.state(), "reduced": self._reduced}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._best.restore(state)
        self._reduced = state["reduced"]


class Checkpoint:
    """Save the trainer, with the states of all callbacks of the fit, as training goes.

    `trainer.fit(..., callbacks=[..., Checkpoint(path)], resume=path)` goes on where an interrupted
    run was saved; `nn.load` and `Trainer.load` read the file too. The newest epoch is also saved
    when training is over, however it ended, before other callbacks restore anything.

    Parameters
    ----------
    path
        The file, which is replaced as a whole: it is never half written.
    every
        Save after every so many epochs.
    minutes
        Save only if so many minutes have passed since the last time; None for no such limit.
    keep_best
        Also keep the trainer of the best epoch, in a file beside: "model.best.safetensors" beside
        "model.safetensors" (the attribute `best_path`).
    monitor, mode
        What is best, as for `EarlyStopping`.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnpoly as nn
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
    >>> def run(epochs):
    ...     trainer = nn.Trainer(nn.MLP([3, 4, 2]))
    ...     saved = [nn.callbacks.Checkpoint(path)]
    ...     return trainer.fit(X, y, epochs, callbacks=saved, resume=path)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.safetensors")
    ...     first, both = run(epochs=2), run(epochs=5)  # the second trains three epochs
    >>> len(both), both.loss[:2] == first.loss
    (5, True)
    """

    ends_first = True

    def __init__(
        self,
        path: Any,
        every: int = 1,
        minutes: float | None = None,
        keep_best: bool = False,
        monitor: str | None = None,
        mode: str | None = None,
    ) -> None:
        from .data.container import as_path

        where = "Checkpoint"
        self.path = as_path(where, path)
        self.every = _checks.integer(where, "every", every)
        self.minutes = 0.0 if minutes is None else _checks.positive(where, "minutes", minutes)
        suffix = f".best{self.path.suffix}"
        self.best_path = self.path.with_suffix(suffix) if keep_best else None
        self._best = _Best(where, monitor, mode)
        self._saved = 0  # epochs of the trainer that are in the file
        self._time = -math.inf

    def begin(self, trainer: Trainer) -> None:
        """Refuse a path that cannot be written to."""
        from .data.container import target_path

        target_path(self.path)
        self._best.clear()
        self._saved, self._time = len(trainer.history), time.monotonic()

    def __call__(self, trainer: Trainer, history: History) -> None:
        """Save the trainer if it is time."""
        if self.best_path is not None and self._best.look(history):
            trainer.save(self.best_path)
        waited = time.monotonic() - self._time >= 60.0 * self.minutes
        if waited and len(trainer.history) % self.every == 0:
            self._save(trainer)

    def end(self, trainer: Trainer, history: History) -> None:
        """Save the newest epoch."""
        if len(trainer.history) != self._saved:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save(self.path)
        self._saved, self._time = len(trainer.history), time.monotonic()

    def state(self) -> dict[str, Any]:
        """Return the best value and its epoch."""
        return self._best.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._best.restore(state)
