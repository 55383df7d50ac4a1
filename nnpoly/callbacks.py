"""Callbacks of `Trainer.fit`, and its progress line.

A callback is anything called as `callback(trainer, history)` after every epoch; returning True ends
the training.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _checks

if TYPE_CHECKING:
    from .training import History, Trainer


class EarlyStopping:
    """End training when the loss has not improved for `patience` epochs, keeping the best weights.

    Watches the validation loss where there is validation data, else the training loss.

    Parameters
    ----------
    patience
        Epochs without improvement before training ends.
    min_delta
        How much lower a loss must be to count as an improvement.
    restore_best
        Give the network back the parameters (and BatchNorm statistics) of its best epoch. The
        optimiser's moments stay as they are.

    Examples
    --------
    >>> import nnpoly as nn
    >>> stop = nn.callbacks.EarlyStopping(patience=3)
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, restore_best: bool = True):
        self.patience = _checks.integer("EarlyStopping", "patience", patience)
        self.min_delta = _checks.number("EarlyStopping", "min_delta", min_delta, low=0.0)
        self.restore_best = restore_best
        self.best = float("inf")
        self.best_epoch = 0
        self._best_network: Any = None

    def __call__(self, trainer: Trainer, history: History) -> bool:
        """Look at the newest epoch; True once patience has run out."""
        if len(history) == 1:
            self.best, self.best_epoch, self._best_network = float("inf"), 0, None
        current = (history.validation_loss or history.loss)[-1]
        if current < self.best - self.min_delta:
            self.best, self.best_epoch = current, len(history)
            self._best_network = trainer.network.copy() if self.restore_best else None
        if len(history) - self.best_epoch < self.patience:
            return False
        if self._best_network is not None:
            trainer.network._adopt(self._best_network._w, self._best_network._buffers)
            self._best_network = None
        return True


class Progress:
    """One line of progress: tqdm's where it is installed, else a plain line an epoch on stderr."""

    def __init__(self, epochs: int, enabled: bool = True) -> None:
        self._epochs = epochs
        self._enabled = enabled
        self._bar: Any = None
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        if self._enabled:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return self
            self._bar = tqdm(total=self._epochs, unit="epoch", dynamic_ncols=True)
        return self

    def advance(self, history: History) -> None:
        """Show the newest epoch of `history`."""
        if not self._enabled:
            return
        shown = {"loss": f"{history.loss[-1]:.4g}"}
        if history.validation_loss:
            shown["validation"] = f"{history.validation_loss[-1]:.4g}"
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
            return
        seconds = time.monotonic() - self._start
        losses = "  ".join(f"{name} {value}" for name, value in shown.items())
        print(f"epoch {len(history)}/{self._epochs}  {losses}  {seconds:.1f} s", file=sys.stderr)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
