"""Stopping early, and lowering the learning rate, when training gets no better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _checks
from ..network.arrays import checked_array
from .best import Best
from .shown import Shown

if TYPE_CHECKING:
    from ..training import History, Trainer


class EarlyStopping(Shown):
    """End training when it has not got better for `patience` epochs, keeping the best weights.

    Parameters
    ----------
    patience
        Epochs without improvement before training ends.
    min_delta
        How much better a value must be to count as an improvement. NaN and infinity never do.
    restore_best
        Give the network back the parameters (and BatchNorm statistics) of its best epoch once
        training is over, however it ended; so is `trainer.averaged()`, where the optimiser keeps an
        average. Its other moments stay as they are.
    monitor
        "loss", "validation_loss", or the name of a metric in `history.metrics`; None for the
        validation loss where there is validation data, else the training loss.
    mode
        "min" or "max", which is better. None: as `nnpoly.metrics.direction` says, which knows the
        losses, the metrics of nnpoly and those of scikit-learn; any other needs it.
    ties
        Which of several epochs with the best value is the best one: the "first", or the "last",
        which has trained longer. Patience is counted from the first in any case.

    Attributes
    ----------
    best, best_epoch
        The best value so far, and its epoch: 1 is the first of the fit, 0 is none.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.callbacks.EarlyStopping(patience=3)
    EarlyStopping(patience=3)
    """

    def __init__(
        self,
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
        monitor: str | None = None,
        mode: str | None = None,
        ties: str = "first",
    ) -> None:
        self.patience = _checks.integer("EarlyStopping", "patience", patience)
        self.restore_best = restore_best
        self._best = Best("EarlyStopping", monitor, mode, min_delta, ties)
        self._arrays: dict[str, Any] = {}

    @property
    def best(self) -> float:
        """The best value so far."""
        return self._best.value

    @property
    def best_epoch(self) -> int:
        """The epoch of the best value, 0 for none."""
        return self._best.epoch

    def begin(self, trainer: Trainer) -> None:
        """Forget the fit before."""
        net = trainer.network
        self._best.clear()
        self._arrays, self._dtype, self._shapes = {}, net.dtype, net.array_shapes()

    def __call__(self, trainer: Trainer, history: History) -> bool:
        """Look at the newest epoch; True once patience has run out."""
        if self._best.look(history) and self.restore_best:
            self._arrays = trainer.network.copy().arrays()
            if trainer.optimizer.ema is not None:
                self._arrays["average"] = trainer.averaged().w
        return len(history) - self._best.improved >= self.patience

    def end(self, trainer: Trainer, history: History) -> None:
        """Give the network its best weights."""
        if self._arrays:
            trainer.network.restore(self._arrays)
            if trainer.optimizer.ema is not None and "average" in self._arrays:
                trainer.restore_average(self._arrays["average"])
            self._arrays = {}

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch, and the weights."""
        from ..backends import registry

        hosted = {name: registry.to_host(array) for name, array in self._arrays.items()}
        return {**self._best.state(), **hosted}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._best.restore(state)
        arrays = {k: v for k, v in state.items() if k not in self._best.state()}
        shapes = dict(self._shapes) if arrays else {}
        if "average" in arrays:
            shapes["average"] = shapes["w"]
        for name, shape in shapes.items():
            checked_array(arrays, name, shape, self._dtype)
        self._arrays = arrays


class ReduceOnPlateau(Shown):
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
        Which record is watched, and when it is better, as for `EarlyStopping`.
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
        self._best = Best(where, monitor, mode, min_delta)
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
        self._reduced = _checks.integer("ReduceOnPlateau", "reduced", state["reduced"], 0)
