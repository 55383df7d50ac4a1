"""Models: what reads a table's columns and predicts one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checkpoint
from .._described import describe
from ..backends import host, registry
from ..network import Network
from ..network.files import TABLE
from ..training.evaluation import forward
from . import metrics
from .columns import Preprocessing
from .reading import as_table
from .table import polars
from .targets import Classes, Quantity, Target, as_array
from .wording import printable

EXTRA = TABLE  # the key of the columns and the target in a file's extra data
MOST_COLUMNS = 40  # in a summary


@dataclass(frozen=True)
class Predictions:
    """The predictions for the rows of a table.

    Attributes
    ----------
    values
        The predicted labels, or numbers in the target's unit: (n,).
    probabilities
        The probabilities of the classes: (n, K). None for numbers.
    classes
        The labels in order. Empty for numbers.
    """

    values: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    classes: tuple[Any, ...] = ()

    def frame(self) -> Any:
        """Return a polars DataFrame: prediction, and "probability of ..." for each class."""
        values = self.values
        columns = {"prediction": values if values.dtype != object else list(map(str, values))}
        if self.probabilities is not None:
            pairs = zip(self.classes, self.probabilities.T, strict=True)
            columns |= {f"probability of {c}": np.ascontiguousarray(p) for c, p in pairs}
        return polars().DataFrame(columns)


class Model(ABC):
    """What reads a table's columns and predicts one of them; the base of both kinds of models.

    Attributes
    ----------
    inputs
        What encodes a table's columns.
    target
        `Classes` or `Quantity`.
    """

    inputs: Any
    target: Target

    @property
    @abstractmethod
    def networks(self) -> list[Network]:
        """The networks, whose predictions are averaged."""

    @abstractmethod
    def outputs(self, X: Any, precision: str | None) -> NDArray[Any]:
        """Return probabilities (n, K), or numbers in the target's unit (n,), of encoded rows."""

    @abstractmethod
    def save(self, path: Any) -> None:
        """Write the model to one file, which holds no code; `load` reads it."""

    def predict(
        self, table: Any, unknown: str = "error", *, precision: str | None = None
    ) -> Predictions:
        """Predict the rows of a table: a frame, a file's path, or a `Table`.

        unknown: "error" refuses categories that were not in training, "ignore" has them count as
        none. precision: of matrix products, as of a call of a network.
        """
        X = self.inputs.encode(self._table("predict", table), unknown)
        return self.predict_encoded(X, precision=precision)

    def predict_encoded(self, X: Any, *, precision: str | None = None) -> Predictions:
        """Predict rows that `inputs.encode` has encoded."""
        f = self.outputs(X, precision)
        if not host.all_finite(f):
            row = int(host.finite_rows(f[:, None] if f.ndim == 1 else f).argmin())
            raise ValueError(
                f"{type(self).__name__}.predict: the predictions must be finite, got NaN or "
                f"infinity in row {row} (from 0). Its numbers may be far from all in training."
            )
        if isinstance(self.target, Quantity):
            return Predictions(f)
        classes = self.target.classes
        return Predictions(as_array(classes)[f.argmax(axis=1)], f, classes)

    def evaluate(
        self, table: Any, unknown: str = "error", *, precision: str | None = None
    ) -> metrics.Metrics:
        """Measure the predictions for a table whose rows all have a target, as of `predict`."""
        table = self._table("evaluate", table)
        predictions = self.predict(table, unknown, precision=precision)
        return self.measure(predictions, self.target.encode(table))

    def measure(self, predictions: Predictions, y: NDArray[Any]) -> metrics.Metrics:
        """Measure predictions of y: class indices, or numbers in the column's unit."""
        if predictions.probabilities is None:
            return metrics.regression(y, predictions.values)
        return metrics.classification(y, predictions.probabilities)

    def summary(self) -> str:
        """Return the network's layers, the columns that it reads and its target, as text."""
        kinds = self.inputs.kinds
        rows = [(printable(name), kind) for name, kind in kinds.items()]
        width = max(len(name) for name, _ in rows)
        columns = [f"  {name:<{width}}  {kind}" for name, kind in rows]
        if len(columns) > MOST_COLUMNS:
            columns[MOST_COLUMNS - 1 : -1] = ["  ..."]
        first, *others = self.networks
        alike = [f"and {len(others)} more like it"] if others else []
        lines = [first.summary(), *alike, f"reads {len(kinds)} columns", *columns]
        return "\n".join([*lines, f"predicts {self.target}"])

    def _table(self, method: str, data: Any) -> Any:
        return as_table(data, f"{type(self).__name__}.{method}", "table")


@dataclass(frozen=True)
class TableModel(Model):
    """A network that reads tables.

    Attributes
    ----------
    network
        The network.
    inputs
        The `Preprocessing` that encodes the network's inputs.
    target
        `Classes` for a softmax output, or `Quantity` for an identity output of one number.

    Examples
    --------
    >>> import numpy as np, polars, nnpoly as nn
    >>> from nnpoly import tables
    >>> inputs = tables.Preprocessing(("x",), (0.0,), (), (0.0,), (1.0,), ())
    >>> net = nn.MLP.from_weights([[[-2.0], [2.0]]], [[0.0, 0.0]])
    >>> model = tables.TableModel(net, inputs, tables.Classes("side", ("left", "right")))
    >>> model.predict(tables.Table("t", polars.DataFrame({"x": [-1.0, 3.0]}))).values.tolist()
    ['left', 'right']
    """

    network: Network
    inputs: Preprocessing
    target: Target

    def __post_init__(self) -> None:
        net, target = self.network, self.target
        if not isinstance(self.inputs, Preprocessing) or not isinstance(target, Classes | Quantity):
            raise ValueError(
                "TableModel: `inputs` must be a Preprocessing and `target` a Classes or Quantity, "
                f"got {self.inputs!r} and {target!r}."
            )
        outputs = len(target.classes) if isinstance(target, Classes) else 1
        output = "softmax" if isinstance(target, Classes) else "identity"
        inputs = len(self.inputs.names)
        if (net.widths[0], net.widths[-1], net.output) != (inputs, outputs, output):
            raise ValueError(
                f"TableModel: `network` must have {inputs} inputs and {outputs} outputs by "
                f"{output}, got {net!r}."
            )

    @property
    def networks(self) -> list[Network]:
        return [self.network]

    def outputs(self, X: Any, precision: str | None) -> NDArray[Any]:
        f: NDArray[Any] = registry.to_host(
            forward(self.network, X, "TableModel.predict", precision)
        )
        if isinstance(self.target, Quantity):
            return self.target.in_unit(f[:, 0].astype(np.float64))
        return f

    def save(self, path: Any) -> None:
        extra = {EXTRA: {"inputs": describe(self.inputs), "target": describe(self.target)}}
        checkpoint.save_network(self.network, path, extra=extra)
