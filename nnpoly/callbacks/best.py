"""The best epoch so far, by one record of a history."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import _checks, metrics

if TYPE_CHECKING:
    from ..training import History


class Best:
    """The best value so far of one record of a history, and its epoch; 0 while there is none.

    `improved` is the epoch in which the value got better last.

    Parameters
    ----------
    monitor
        "loss", "validation_loss", or the name of a metric in `history.metrics`; None for the
        validation loss where there is one, else the loss.
    mode
        "min" or "max", which is better; None for the way that `nnpoly.metrics.direction` knows.
    min_delta
        How much better a value must be to count.
    ties
        Of epochs with the best value, the "first" is the best one, or the "last".

    Raises
    ------
    ValueError
        For a metric of another name without a mode.
    """

    def __init__(
        self, where: str, monitor: Any, mode: Any, min_delta: Any = 0.0, ties: Any = "first"
    ) -> None:
        if monitor is not None and not isinstance(monitor, str):
            raise ValueError(f"{where}: `monitor` must be a name or None, got {monitor!r}.")
        if mode is None:
            mode = _direction(where, monitor or "loss")
        if isinstance(min_delta, str):
            raise ValueError(
                f"{where}: `min_delta` must be a number >= 0, got {min_delta!r}. The record to "
                f"watch is given by name: monitor={min_delta!r}."
            )
        self._where, self._monitor = where, monitor
        self._sign = -1.0 if _checks.choice(where, "mode", mode, ("min", "max")) == "max" else 1.0
        self.min_delta = _checks.number(where, "min_delta", min_delta, low=0.0)
        self._takes_ties = _checks.choice(where, "ties", ties, ("first", "last")) == "last"
        self.clear()

    def clear(self) -> None:
        """Forget all epochs."""
        self.value, self.epoch, self.improved = self._sign * math.inf, 0, 0

    def look(self, history: History) -> bool:
        """Look at the newest epoch, once or again: is it the best? NaN and infinity never are."""
        value = self._newest(history)
        better = self._sign * value < self._sign * self.value - self.min_delta
        if better and math.isfinite(value):
            self.value, self.epoch, self.improved = value, len(history), len(history)
        elif self._takes_ties and self.epoch and value == self.value:
            self.epoch = len(history)
        return self.epoch == len(history)

    def _newest(self, history: History) -> float:
        records = {"loss": history.loss, "validation_loss": history.validation_loss}
        records |= history.metrics
        recorded = [name for name, values in records.items() if values]
        name = self._monitor or ("validation_loss" if history.validation_loss else "loss")
        if name not in recorded:
            raise ValueError(
                f"{self._where}: `monitor` must be one of what this fit records, "
                f"{', '.join(recorded)}, got {name!r}.{_checks.nearest(name, recorded)}"
            )
        return float(records[name][-1])

    def state(self) -> dict[str, Any]:
        return {
            "best": self.value,
            "best_epoch": self.epoch,
            "improved_epoch": self.improved,
        }

    def restore(self, state: dict[str, Any]) -> None:
        value, epoch = state["best"], state["best_epoch"]
        if not isinstance(value, float) or math.isnan(value):
            raise ValueError(f"{self._where}: `best` must be a number, got {value!r}.")
        self.epoch = _checks.integer(self._where, "best_epoch", epoch, 0)
        improved = state.get("improved_epoch", epoch)
        self.improved = _checks.integer(self._where, "improved_epoch", improved, 0)
        self.value = value


def _direction(where: str, monitor: str) -> str:
    known = metrics.direction(monitor)
    if known is None:
        raise ValueError(
            f"{where}: `monitor` {monitor!r} is no metric of nnpoly's or scikit-learn's, so "
            'whether lower or higher is better must be said. Give mode="min" or mode="max".'
            f"{_checks.nearest(monitor, ('loss', 'validation_loss', *metrics.NAMES))}"
        )
    return known
