"""What each kind of model computes, as a `Described`."""

from __future__ import annotations

import math
from typing import Any

from ..backends.ensembles import Averaged, Input
from ..network import Network
from ..tables.columns import Category
from ..tables.estimated import EstimatorModel
from ..tables.model import TableModel
from ..tables.targets import Quantity
from ..training import Trainer
from ..training.ensemble import Ensemble
from .described import (
    Cell,
    CodeCell,
    Column,
    Described,
    NumberCell,
    Numbers,
    Probabilities,
    QuantileCell,
)

MODELS = "an nn.Network, Trainer or Ensemble, a fitted estimator of nnpoly, or a model of a table"


def describe_model(model: Any, where: str = "describe_model") -> Described:
    """What a model computes.

    Parameters
    ----------
    model
        A Network, Trainer, Ensemble, a fitted estimator of `nnpoly.estimators`, or a model of
        `nnpoly.tables`.
    where
        What errors name.

    Raises
    ------
    TypeError
        For another object.
    ValueError
        For an estimator before its fit.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange.describing import describe_model
    >>> found = describe_model(nn.MLP([2, 3, 1], output="identity"))
    >>> [column.name for column in found.columns], found.result
    (['X_0', 'X_1'], Numbers(width=1, flat=False))
    """
    if isinstance(model, Trainer):
        model = model.network
    if isinstance(model, Network):
        return _of_networks(type(model).__name__, [model], None, Numbers(model.outputs))
    if isinstance(model, Ensemble):
        nets = [trainer.network for trainer in model.trainers]
        K = nets[0].outputs
        mean = Averaged(nets[0].output, (1.0,) * K, (0.0,) * K)
        return _of_networks("Ensemble", nets, mean, Numbers(K))
    if isinstance(model, TableModel):
        return _of_table_model(model)
    if isinstance(model, EstimatorModel):
        return _of_estimator_model(where, model)
    if any(kind.__module__.startswith("nnpoly.estimators") for kind in type(model).__mro__):
        return _of_estimator(where, model)
    raise TypeError(f"{where}: `model` must be {MODELS}, got {model!r}.")


def _on_host(networks: list[Network]) -> tuple[Network, ...]:
    return tuple(net.to("numpy") for net in networks)


def _of_networks(
    kind: str, networks: list[Network], averaged: Averaged | None, result: Numbers | Probabilities
) -> Described:
    """A model whose networks read X itself."""
    columns = tuple(Column(f"X_{i}") for i in range(networks[0].inputs))
    return Described(kind, columns, True, (), (), _on_host(networks), averaged, result)


# Estimators


def _of_estimator(where: str, model: Any) -> Described:
    from ..estimators import MLPClassifier, MLPRegressor

    name = type(model).__name__
    if not hasattr(
        model, "trainer_" if isinstance(model, MLPRegressor | MLPClassifier) else "networks_"
    ):
        raise ValueError(f"{where}: `model` must be fitted, got {name}(). Call its fit first.")
    if isinstance(model, MLPRegressor):
        net = model.network_
        return _of_networks(name, [net], None, Numbers(net.outputs, net.outputs == 1))
    if isinstance(model, MLPClassifier):
        net, labels = model.network_, tuple(model.classes_.tolist())
        sigmoid = net.output == "sigmoid"
        single, several = sigmoid and net.outputs == 1, sigmoid and net.outputs > 1
        return _of_networks(name, [net], None, Probabilities(labels, single, several))
    return _of_tabular(name, model, model.classes_.tolist() if hasattr(model, "classes_") else None)


def _of_tabular(name: str, model: Any, labels: list[Any] | None) -> Described:
    """An estimator for tables; labels: of its classes, None where it predicts numbers."""
    encoding, averaged = model.encoding_, model.averaged
    texts = {category.column: category for category in encoding.categories}
    names = getattr(model, "feature_names_in_", None)
    matrix = names is None and not texts
    used = sorted([*encoding.numbers, *texts])
    positions = list(range(model.n_features_in_)) if matrix else used
    columns = tuple(
        Column(f"X_{j}" if names is None else names[j], "text" if j in texts else "number")
        for j in positions
    )
    place = {j: i for i, j in enumerate(positions)}
    cells: list[Cell] = []
    quantiles = getattr(encoding, "quantiles", None)
    for i, j in enumerate(encoding.numbers):
        if quantiles is None:
            cells.append(NumberCell(place[j]))
        else:
            scale = encoding.centers[i], encoding.factors[i]
            cells.append(QuantileCell(place[j], *scale, quantiles[i]))
    for category in encoding.categories:
        codes = category.codes
        none = float(codes[None])
        given = tuple(float(codes[value]) for value in category.values)
        cells.append(CodeCell(place[category.column], category.values, given, none, none))
    if labels is not None:
        result: Numbers | Probabilities = Probabilities(tuple(labels))
    else:
        result = Numbers(model.n_outputs_, model.scaling_.flat)
    networks = _on_host(model.networks_)
    return Described(
        name, columns, matrix, tuple(cells), encoding.inputs, networks, averaged, result
    )


# Models of tables


def _of_estimator_model(where: str, model: EstimatorModel) -> Described:
    name = type(model.estimator).__name__
    target = model.target
    if isinstance(target, Quantity):
        return _of_tabular(name, model.estimator, None)
    return _of_tabular(name, model.estimator, list(target.classes))


def _of_table_model(model: TableModel) -> Described:
    given, target = model.inputs, model.target
    names = [*given.numbers, *(category.name for category in given.categories)]
    count = len(given.numbers)
    columns = tuple(Column(name, "number" if i < count else "text") for i, name in enumerate(names))
    cells: list[Cell] = []
    inputs: list[Input] = []
    for i, median in enumerate(given.medians):
        fill = math.nan if median is None else median
        cells.append(NumberCell(i, fill, given.means[i], given.scales[i]))
        inputs.append(Input("cell", i))
    for k, name in enumerate(given.indicated, count):
        inputs.append(
            Input("missing", len(cells), center=given.means[k], factor=1.0 / given.scales[k])
        )
        cells.append(NumberCell(given.numbers.index(name)))
    for i, category in enumerate(given.categories, count):
        inputs += _one_hot(category, len(cells))
        cells.append(_code(category, i))
    networks = _on_host([model.network])
    made = "TableModel", columns, False, tuple(cells), tuple(inputs), networks
    if isinstance(target, Quantity):
        averaged = Averaged("identity", (target.scale,), (target.mean,))
        return Described(*made, averaged, Numbers(1, True))
    return Described(*made, None, Probabilities(target.classes))


def _code(category: Category, column: int) -> CodeCell:
    """The place of a text among the categories, from 1; 0 for none."""
    places = {value: float(i) for i, value in enumerate(category.values, 1) if value is not None}
    missing = float(category.values.index(None) + 1) if None in category.values else 0.0
    return CodeCell(column, tuple(places), tuple(places.values()), missing, 0.0)


def _one_hot(category: Category, cell: int) -> list[Input]:
    return [Input("value", cell, value=float(i)) for i in range(1, len(category.values) + 1)]
