"""Checkpoints: the trainer in a file, as training goes."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from .. import _checks
from .best import Best
from .shown import Shown

if TYPE_CHECKING:
    from ..training import History, Trainer


class Checkpoint(Shown):
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
        Which record is watched, and whether lower or higher is better, as for `EarlyStopping`.

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
        from ..data.container import as_path

        where = "Checkpoint"
        self.path = as_path(where, path)
        self.every = _checks.integer(where, "every", every)
        self.minutes = 0.0 if minutes is None else _checks.positive(where, "minutes", minutes)
        suffix = f".best{self.path.suffix}"
        self.best_path = self.path.with_suffix(suffix) if keep_best else None
        self._best = Best(where, monitor, mode)
        self._saved = 0  # epochs of the trainer that are in the file
        self._time = -math.inf

    def begin(self, trainer: Trainer) -> None:
        """Refuse a path that cannot be written to."""
        from ..data.container import safetensors, target_path

        safetensors()
        target_path("Checkpoint", self.path)
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
