"""Networks with the columns that they read and the column that they predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .. import checkpoint
from .._described import construct, describe
from ..backends import host, registry
from ..data.container import named, typed
from ..network import Network
from ..network.files import TABLE, estimator_in, require_finite
from ..training.evaluation import forward
from . import metrics
from .columns import Preprocessing
from .table import Table, polars
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


class TableEntry(TypedDict):
    """The columns and the target in a file's extra data."""

    inputs: dict[str, Any]
    target: dict[str, Any]


@dataclass(frozen=True)
class TableModel:
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

    def predict(
        self, table: Table, unknown: str = "error", *, precision: str | None = None
    ) -> Predictions:
        """Predict the rows of a table.

        unknown: as of `Preprocessing.encode`. precision: of matrix products, as of a call of the
        network.
        """
        return self.predict_encoded(self.inputs.encode(table, unknown), precision=precision)

    def predict_encoded(self, X: Any, *, precision: str | None = None) -> Predictions:
        """Predict encoded rows X: (n, m_0), which may be sparse."""
        f = registry.to_host(forward(self.network, X, "TableModel.predict", precision))
        if not host.all_finite(f):
            row = int(host.finite_rows(f).argmin())
            raise ValueError(
                f"TableModel.predict: the predictions must be finite, got NaN or infinity in row "
                f"{row} (from 0). Its numbers may be far from all in training."
            )
        if isinstance(self.target, Quantity):
            return Predictions(self.target.in_unit(f[:, 0].astype(np.float64)))
        classes = self.target.classes
        return Predictions(as_array(classes)[f.argmax(axis=1)], f, classes)

    def evaluate(
        self, table: Table, unknown: str = "error", *, precision: str | None = None
    ) -> metrics.Metrics:
        """Measure the predictions for a table whose rows all have a target, as of `predict`."""
        predictions = self.predict(table, unknown, precision=precision)
        return self.measure(predictions, self.target.encode(table))

    def measure(self, predictions: Predictions, y: NDArray[Any]) -> metrics.Metrics:
        """Measure predictions of y: class indices, or numbers in the column's unit."""
        if predictions.probabilities is None:
            return metrics.regression(y, predictions.values)
        return metrics.classification(y, predictions.probabilities)

    def save(self, path: Any) -> None:
        """Write the network, its preprocessing and its target to one file, which holds no code."""
        extra = {EXTRA: {"inputs": describe(self.inputs), "target": describe(self.target)}}
        checkpoint.save_network(self.network, path, extra=extra)

    def summary(self) -> str:
        """Return the network's layers, the columns that it reads and its target, as text."""
        inputs = self.inputs
        kinds = dict.fromkeys(inputs.numbers, "number")
        kinds |= dict.fromkeys(inputs.indicated, "number, or missing")
        kinds |= {c.name: f"one of {len(c.values)} categories" for c in inputs.categories}
        rows = [(printable(name), kind) for name, kind in kinds.items()]
        width = max(len(name) for name, _ in rows)
        columns = [f"  {name:<{width}}  {kind}" for name, kind in rows]
        if len(columns) > MOST_COLUMNS:
            columns[MOST_COLUMNS - 1 : -1] = ["  ..."]
        lines = [self.network.summary(), f"reads {len(kinds)} columns", *columns]
        return "\n".join([*lines, f"predicts {self.target}"])


def load(path: Any, backend: Any = None, device: Any = None) -> TableModel:
    """Load a model that `TableModel.save` or `nnpoly train` wrote.

    A network alone, such as that of `nnpoly train digits`, reads the columns X_0, X_1, ... as they
    are, and predicts class indices 0, 1, ... by softmax, or the number of its only output.

    Parameters
    ----------
    path
        The file.
    backend, device
        Where the network lives; None for the default. It need not be where it was trained.

    Raises
    ------
    ValueError, OSError
        For a file that cannot be read, an estimator's file, or a network that does not predict a
        column.
    """
    net, extra = checkpoint.load_with_extra(path, backend, device)
    require_finite(path, net)
    if (model := _model_of(path, net, extra)) is not None:
        return model
    if name := estimator_in(extra):
        raise ValueError(
            f"load: {path} holds a {name!r}, which reads arrays and no tables' columns: load it by "
            f"nnpoly.estimators.{name}.load, and predict in Python."
        )
    with named(path):
        return _without_columns(net)


def load_network(path: Any, backend: Any, device: Any) -> tuple[Network, TableModel | None]:
    """Load a network, and the model of it if the file describes a table's columns.

    Parameters and errors are those of `load`.
    """
    net, extra = checkpoint.load_with_extra(path, backend, device)
    return net, _model_of(path, net, extra)


def _model_of(path: Any, net: Network, extra: dict[str, Any]) -> TableModel | None:
    """Make a model of a network and a file's extra data, if these describe a table's columns."""
    if EXTRA not in extra:
        return None
    table = typed(path, extra[EXTRA], TableEntry)
    with named(path):
        return TableModel(net, construct(table["inputs"]), construct(table["target"]))


def _without_columns(net: Network) -> TableModel:
    """Make a model of a network that was saved without columns."""
    m, K = net.widths[0], net.widths[-1]
    numbers = tuple(f"X_{i}" for i in range(m))
    inputs = Preprocessing(numbers, (None,) * m, (), (0.0,) * m, (1.0,) * m, ())
    target = Classes("y", tuple(range(K))) if net.output == "softmax" else Quantity("y", 0.0, 1.0)
    return TableModel(net, inputs, target)
