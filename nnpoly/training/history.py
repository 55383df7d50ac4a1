"""The history: what training recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

# Called after every epoch with the trainer and the fit's history; see `nnpoly.callbacks`.
Callback: TypeAlias = Callable[[Any, "History"], bool | None]
# Of loss, validation_loss and each metric.
Lengths: TypeAlias = tuple[int, int, dict[str, int]]


class EpochRecord(NamedTuple):
    """The loss, validation loss and metrics of one epoch."""

    loss: float
    validation_loss: float | None = None
    metrics: Mapping[str, float] = {}


class History:
    """The record of a training, an entry an epoch.

    Attributes
    ----------
    loss
        Mean of the batches' losses, each before its step, weighted by their sizes.
    validation_loss
        Loss on the validation data after the epoch; empty without such data.
    metrics
        By name: the values of `fit(metrics=...)` after the epoch, on the validation data where
        there is some.
    """

    def __init__(
        self,
        loss: list[float] | None = None,
        validation_loss: list[float] | None = None,
        metrics: dict[str, list[float]] | None = None,
    ) -> None:
        self.loss = [] if loss is None else loss
        self.validation_loss = [] if validation_loss is None else validation_loss
        self.metrics = {} if metrics is None else metrics

    def __len__(self) -> int:
        return len(self.loss)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"History({inner})"

    def append(self, record: EpochRecord) -> None:
        """Add an epoch."""
        self.loss.append(record.loss)
        if record.validation_loss is not None:
            self.validation_loss.append(record.validation_loss)
        for name, value in record.metrics.items():
            self.metrics.setdefault(name, []).append(value)

    def copy(self) -> History:
        """A history with the same entries, in lists of its own."""
        metrics = {name: list(values) for name, values in self.metrics.items()}
        return History(list(self.loss), list(self.validation_loss), metrics)

    def lengths(self) -> Lengths:
        """The lengths of the records, for `shorten`."""
        names, records = self.metrics.keys(), self.metrics.values()
        lengths = dict(zip(names, map(len, records), strict=True))
        return len(self.loss), len(self.validation_loss), lengths

    def shorten(self, lengths: Lengths) -> None:
        """Drop what came after the history had these lengths."""
        loss, validation_loss, metrics = lengths
        del self.loss[loss:], self.validation_loss[validation_loss:]
        for name in list(self.metrics):
            del self.metrics[name][metrics.get(name, 0) :]
            if name not in metrics:
                del self.metrics[name]
