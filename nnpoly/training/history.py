"""The history: what training recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from .. import _checks

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

    A record is found by its name, too: history["loss"], history["accuracy"]. So dict(history) is
    what pandas makes a frame of; `frame` makes one of polars, and `nn.plotting.history` a picture.

    Attributes
    ----------
    loss
        Mean of the batches' losses, each before its step, weighted by their sizes.
    validation_loss
        Loss on the validation data after the epoch; empty without such data.
    metrics
        By name: the values of `fit(metrics=...)` after the epoch, on the validation data where
        there is some.

    Examples
    --------
    >>> import nnpoly as nn
    >>> history = nn.History([0.7, 0.5], [0.8, 0.6], {"accuracy": [0.5, 0.75]})
    >>> history["accuracy"][-1], list(dict(history))
    (0.75, ['loss', 'validation_loss', 'accuracy'])
    >>> history
    <History of 2 epochs: loss 0.5, validation_loss 0.6, accuracy 0.75>
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
        count = f"{len(self)} epoch{'' if len(self) == 1 else 's'}"
        newest = ", ".join(f"{name} {self[name][-1]:.4g}" for name in self.keys())
        return f"<History of {count}: {newest}>" if newest else f"<History of {count}>"

    def _repr_html_(self) -> str:
        from .. import notebooks  # here, since `import nnpoly` does without it

        rows = [
            (name, self[name][0], min(self[name]), max(self[name]), self[name][-1]) for name in self
        ]
        heads = ["record", "first", "lowest", "highest", "last"]
        losses = {name: self[name] for name in self if name not in self.metrics}
        return notebooks.table(repr(self)[1:-1], heads, rows) + notebooks.curves(losses)

    def keys(self) -> list[str]:
        """The names of the records: "loss", "validation_loss" where there is one, the metrics."""
        named = {"loss": self.loss, "validation_loss": self.validation_loss, **self.metrics}
        return [name for name, values in named.items() if values]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.keys():
            raise KeyError(
                f"History: has no record {name!r}, but {', '.join(self.keys()) or 'none at all'}."
                f"{_checks.nearest(name, self.keys())}"
            )
        if name in self.metrics:
            return self.metrics[name]
        return self.validation_loss if name == "validation_loss" else self.loss

    def frame(self) -> Any:
        """Return the records as a frame of polars, a row an epoch, counted from 1.

        Polars is what `nnpoly.tables` reads with; `pandas.DataFrame(dict(history))` is pandas'.

        Raises
        ------
        ValueError
            If the records are not equally long, as in `trainer.history` after fits with other data
            or metrics. Take the history that one fit returned.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.History([0.7, 0.5], [0.8, 0.6]).frame().rows()
        [(1, 0.7, 0.8), (2, 0.5, 0.6)]
        """
        lengths = {name: len(self[name]) for name in self.keys()}
        if any(length != len(self) for length in lengths.values()):
            raise ValueError(
                f"History.frame: all records must have an entry for each of {len(self)} epochs, "
                f"got {lengths}. Take the history that one fit returned."
            )
        try:
            import polars
        except ImportError as error:
            raise ImportError(
                "History.frame: polars is not installed: pip install nnpoly[tables]. For pandas "
                "pandas.DataFrame(dict(history)) will do."
            ) from error
        return polars.DataFrame({"epoch": range(1, len(self) + 1), **dict(self)})

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
