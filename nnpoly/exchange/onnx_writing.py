"""Models as ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _checks, layers, losses
from ..backends import registry
from ..backends.info import __version__
from ..data import container
from ..network import Network
from .described import (
    Array,
    Cell,
    Classes,
    CodeCell,
    Described,
    NumberCell,
    Numbers,
    QuantileCell,
    combined,
    encoded,
    number,
)
from .describing import describe_model
from .onnx_graph import ML, ROWS, TEXT, Graph, checked, xp
from .onnx_table import GraphOps, OutputOps
from .quantiles import of_probabilities, probabilities

OPSET = 18
DTYPES = ("float32", "float64")


def to_onnx(model: Any, path: Any, *, dtype: str | None = None, opset: int = OPSET) -> None:
    """Write a model to an ONNX file, preprocessing and labels included.

    It needs the package onnx, and no torch; where onnxruntime is there too, the file is checked
    with it.

    Parameters
    ----------
    model
        A Network, Trainer, Ensemble, a fitted estimator of `nnpoly.estimators`, or a model of
        `nnpoly.tables`.
    path
        The file, which is replaced as a whole.
    dtype
        "float32" or "float64", in which the file computes the networks; None: their own, and for
        float16 "float32". What is around them (scales, means of several networks) is float64.
    opset
        The version of ONNX's operators, 18 or later. onnxruntime 1.20, of 2024, loads 18 to 21.

    Notes
    -----
    The inputs are one matrix "X" (n, m), or a vector (n,) for each column of a table, by its name:
    numbers as float64, NaN where they are missing, and texts, of which the empty one is missing.
    The number of rows is free, and may be 0.

    The outputs are plain tensors: "prediction" for numbers, shaped as the model's own predictions
    are; "label" (n,) and "probabilities" (n, K) for classes.

    Raises
    ------
    TypeError
        If `model` is none of these.
    ValueError
        If a layer or an activation is not nnpoly's own, or the file would have more than 2 GB.
    """
    where = "to_onnx"
    file = container.target_path(where, path)
    content = onnx_model(describe_model(model, where), where, dtype, opset).SerializeToString()
    with container.disk_errors(file):
        container.write_atomically(file, content)


def onnx_model(
    described: Described, where: str, dtype: str | None = None, opset: int = OPSET
) -> Any:
    """The model as onnx has it, checked; see `to_onnx`."""
    opset = _checks.integer(where, "opset", opset, OPSET)
    if dtype is None:
        dtype = described.dtype if described.dtype in DTYPES else "float32"
    dtype = _checks.choice(where, "dtype", dtype, DTYPES)
    graph = Graph()
    x = _network_inputs(graph, described, dtype)
    networks = described.networks
    prefixes = [""] if len(networks) == 1 else [f"networks.{i}." for i in range(len(networks))]
    outputs = [
        _predicted(graph, net.to(dtype=dtype), prefix, x)
        for net, prefix in zip(networks, prefixes, strict=True)
    ]
    prediction = combined(xp, described, outputs)
    made = graph.model(_outputs(graph, described.result, prediction), described.kind, opset)
    made.producer_name, made.producer_version = "nnpoly", __version__
    return checked(where, made)


def _network_inputs(graph: Graph, described: Described, dtype: str) -> Array:
    """What the networks read, traced from the graph's inputs."""
    columns = described.columns
    if described.matrix:
        X = graph.input("X", (ROWS, len(columns)), dtype if described.plain else "float64")
        if described.plain:
            return X
        given = [X[:, i] for i in range(len(columns))]
    else:
        kinds = {"number": "float64", "text": TEXT}
        given = [graph.input(column.name, (ROWS,), kinds[column.kind]) for column in columns]
    cells = _cells(described.cells, given) or given
    return xp.astype(encoded(xp, described, cells), dtype)


def _cells(cells: Sequence[Cell], columns: Sequence[Array]) -> list[Array]:
    """The cells (n,) of columns; those by quantiles end in one computation for all."""
    found, given = [], [columns[cell.column] for cell in cells]
    for cell, x in zip(cells, given, strict=True):
        if isinstance(cell, CodeCell):
            found.append(_code(cell, x))
        elif isinstance(cell, QuantileCell):
            scale = cell.center, cell.factor, cell.quantiles
            found.append(probabilities(xp, x, *scale))
        else:
            found.append(x if cell == NumberCell(cell.column) else number(xp, x, cell))
    places = [i for i, cell in enumerate(cells) if isinstance(cell, QuantileCell)]
    if places:
        x, p = (xp.stack([of[i] for i in places], axis=1) for of in (given, found))
        normal = of_probabilities(xp, x, p)
        for j, i in enumerate(places):
            found[i] = normal[:, j]
    return found


def _code(cell: CodeCell, x: Array) -> Array:
    """The code of each text: its position among those that are known, then the code there."""
    texts, codes = list(cell.texts), [*cell.codes, cell.other]
    if "" not in texts:
        texts, codes = [*texts, ""], [*cell.codes, cell.missing, cell.other]
    options = {"keys_strings": texts, "values_int64s": range(len(texts))}
    place = x.graph.node(
        "LabelEncoder", [x], x.shape, "int64", domain=ML, default_int64=len(texts), **options
    )
    return xp.take(xp.asarray(codes, dtype=xp.float64), place, axis=0)


def _predicted(graph: Graph, net: Network, prefix: str, x: Array) -> Array:
    """A network's output of what it reads, all of one dtype."""

    def named(parts: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            {
                k: graph.named(f"{prefix}layers.{l}.{k}", registry.to_host(v))
                for k, v in part.items()
            }
            for l, part in enumerate(parts)
        ]

    given = named(net.views(net.w)), named(net.buffers)
    stages = layers.forward(GraphOps(), net.chain, *given, x, layers.INFERENCE)
    return losses.apply_output(OutputOps(), net.output, stages[-1].post, net.members)


def _outputs(graph: Graph, result: Numbers | Classes, prediction: Array) -> dict[str, Array]:
    """The graph's outputs by name, of a prediction (n, outputs)."""
    if isinstance(result, Numbers):
        return {"prediction": prediction[:, 0] if result.flat else prediction}
    return {"label": _label(graph, result, prediction), "probabilities": prediction}


def _label(graph: Graph, classes: Classes, probabilities: Array) -> Array:
    """The likeliest label of each row (n,); where there may be several, 0 and 1 for each."""
    labels = classes.labels
    if classes.several:
        return xp.astype(probabilities > 0.5, xp.int64)
    place = graph.node("ArgMax", [probabilities], (ROWS,), "int64", axis=1, keepdims=0)
    texts = [label for label in labels if isinstance(label, str)]
    return xp.take(graph.texts(texts) if texts else xp.asarray(labels), place, axis=0)
