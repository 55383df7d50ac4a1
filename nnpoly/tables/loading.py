"""Models from files."""

from __future__ import annotations

from typing import Any, TypedDict

from .._described import construct
from ..data.container import named, read, typed
from ..network import Network
from ..network.files import ExtraFile, estimator_in, network_in, require_finite
from .columns import Preprocessing
from .estimated import EstimatorModel
from .model import EXTRA, Model, TableModel
from .targets import Classes, Quantity


class TableEntry(TypedDict):
    """The columns and the target in a file's extra data."""

    inputs: dict[str, Any]
    target: dict[str, Any]


def load(path: Any, backend: Any = None, device: Any = None) -> Model:
    """Load a model that `Model.save` or `nnpoly train` wrote.

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
    ImportError
        If scikit-learn is missing, and the model is an estimator's.
    """
    content = read(path)
    if (model := _model_of(path, content, backend, device)) is not None:
        return model
    net, extra = network_in(path, content, backend, device)
    require_finite(path, net)
    if name := estimator_in(extra):
        raise ValueError(
            f"load: {path} holds a {name!r}, which reads arrays and no tables' columns: load it by "
            f"nnpoly.estimators.{name}.load, and predict in Python."
        )
    with named(path):
        return _without_columns(net)


def load_any(path: Any, backend: Any = None, device: Any = None) -> Network | Model:
    """Load a model, or the network of a file that describes no table's columns; see `load`."""
    content = read(path)
    model = _model_of(path, content, backend, device)
    return network_in(path, content, backend, device)[0] if model is None else model


def _model_of(path: Any, content: Any, backend: Any, device: Any) -> Model | None:
    """Make the model of a file's content, if its extra data describe a table's columns."""
    extra = typed(path, content[0], ExtraFile).get("extra", {})
    if EXTRA not in extra:
        return None
    table = typed(path, extra[EXTRA], TableEntry)
    if name := estimator_in(extra):
        from .. import estimators

        kind: Any = getattr(estimators, name, None)
        with named(path):
            if not hasattr(kind, "of_content"):
                raise ValueError(f"it holds a {name!r}, which reads no tables' columns")
        estimator = kind.of_content(path, content, backend, device)
        with named(path):
            inputs, target = construct(table["inputs"]), construct(table["target"])
            return EstimatorModel(estimator, inputs, target)
    net, _ = network_in(path, content, backend, device)
    require_finite(path, net)
    with named(path):
        return TableModel(net, construct(table["inputs"]), construct(table["target"]))


def _without_columns(net: Network) -> TableModel:
    """Make a model of a network that was saved without columns."""
    m, K = net.widths[0], net.widths[-1]
    numbers = tuple(f"X_{i}" for i in range(m))
    inputs = Preprocessing(numbers, (None,) * m, (), (0.0,) * m, (1.0,) * m, ())
    target = Classes("y", tuple(range(K))) if net.output == "softmax" else Quantity("y", 0.0, 1.0)
    return TableModel(net, inputs, target)
