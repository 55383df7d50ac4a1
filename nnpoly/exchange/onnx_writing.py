"""Models as ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _checks, layers, losses
from ..backends import registry
from ..backends.info import __version__
from ..network import Network
from . import onnx_own, onnx_running
from .certificate import Certificate
from .described import (
    Array,
    Cell,
    CodeCell,
    Described,
    NumberCell,
    Numbers,
    Probabilities,
    QuantileCell,
    combined,
    encoded,
    number,
)
from .describing import describe_model
from .onnx_graph import ML, MOST, NEWEST, ROWS, TEXT, Graph, finished, xp
from .onnx_own import LABELS, array_name
from .onnx_table import GraphOps, OutputOps
from .proof import proven
from .quantiles import of_probabilities, probabilities

OPSET = 18


def to_onnx(
    model: Any, path: Any, *, dtype: str | None = None, opset: int = OPSET, check: bool = True
) -> None:
    """Write a model to an ONNX file, preprocessing and labels included.

    It needs the package onnx, and no torch. The file holds a certificate, which onnxruntime, if it
    is there, computes before anything is replaced: see `nnpoly.exchange.check`.

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
        The version of ONNX's operators. onnxruntime 1.20, of 2024, loads the default and those up
        to 21.
    check
        Whether to have the certificate computed.

    Raises
    ------
    ImportError
        If onnx is missing.
    TypeError
        If `model` is none of these.
    ValueError
        For layers and activations of your own, more than 2 GiB of weights, and an opset that onnx
        does not have.

    Notes
    -----
    The inputs are one matrix "X" (n, m), or for a table a vector (n,) for each column, by its name:
    numbers as float64, NaN where they are missing, or texts, of which the empty one is missing.
    Categories that are numbers or truth values are texts too: "3", "2.5", "True". A text that was
    not there in training is none of the categories. Any number of rows will do, also none.

    The outputs are tensors: "prediction" for numbers, shaped as the model's own; for classes
    "label" (n,), which are texts if the model's are, and "probabilities" (n, K). An output whose
    name a column has already ends in "_".

    W and b of layer l are the constants "layers.l.W" and "layers.l.b", bit for bit; of several
    networks "networks.i." stands before.

    Examples
    --------
    >>> import tempfile, numpy as np, onnxruntime, nnpoly as nn
    >>> net = nn.MLP([4, 16, 3], activation="gelu", output="softmax")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/net.onnx"
    ...     nn.exchange.to_onnx(net, file)
    ...     session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    >>> X = np.float32([[0.5, -1.0, 2.0, 0.0]])
    >>> (prediction,) = session.run(None, {"X": X})
    >>> bool(np.allclose(prediction, net(X), rtol=1e-6))
    True
    """
    where = "to_onnx"
    with proven(where, path, onnx_running.CONSUMER, check) as file:
        made = onnx_model(describe_model(model, where), where, dtype, opset)
        file.write_bytes(made.SerializeToString())


def onnx_model(
    described: Described, where: str, dtype: str | None = None, opset: int = OPSET
) -> Any:
    """The model as onnx has it, with its certificate; see `to_onnx`."""
    if not OPSET <= _checks.integer(where, "opset", opset) <= NEWEST:
        raise ValueError(
            f"{where}: `opset` must be {OPSET} to {NEWEST}, of the installed onnx, got {opset}."
        )
    certificate = Certificate.of(described, dtype)
    _require_room(where, described.networks, certificate.dtype)
    graph = Graph()
    x = _network_inputs(where, graph, described, certificate.dtype)
    networks = described.networks
    prefixes = [""] if len(networks) == 1 else [f"networks.{i}." for i in range(len(networks))]
    outputs = [
        _predicted(graph, net.to(dtype=certificate.dtype), prefix, x)
        for net, prefix in zip(networks, prefixes, strict=True)
    ]
    prediction = combined(xp, described, outputs)
    named = _outputs(graph, described.result, prediction)
    made = graph.model(named, described.kind, opset)
    told = {"nnpoly.version": __version__, onnx_running.KEY: certificate.to_json()}
    if described.plain and len(networks) == 1:
        told[onnx_own.KEY] = onnx_own.told(networks[0].to(dtype=certificate.dtype), made.graph)
    return finished(made, told)


def _require_room(where: str, networks: Sequence[Network], dtype: str) -> None:
    """Refuse more weights than a file can hold, before they are copied."""
    size = sum(net.w.size for net in networks) * (4 if dtype == "float32" else 8)
    if size > MOST:
        raise ValueError(
            f"{where}: `model` must have at most {MOST / 2**30:.2f} GiB of weights, which an ONNX "
            f"file can hold, got {size / 2**30:.2f} GiB."
        )


def _network_inputs(where: str, graph: Graph, described: Described, dtype: str) -> Array:
    """What the networks read, traced from the graph's inputs."""
    columns = described.columns
    if described.matrix:
        X = graph.input("X", (ROWS, len(columns)), dtype if described.plain else "float64")
        if described.plain:
            return X
        given = [X[:, i] for i in range(len(columns))]
    else:
        if not all(column.name for column in columns):
            raise ValueError(
                f"{where}: `model` must read columns that have names, got one without. Rename it, "
                "and fit the model again."
            )
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

    def constants(parts: Sequence[Any]) -> list[dict[str, Array]]:
        return [
            {
                name: graph.constant(prefix + array_name(l, name), registry.to_host(array))
                for name, array in part.items()
            }
            for l, part in enumerate(parts)
        ]

    given = constants(net.views(net.w)), constants(net.buffers)
    stages = layers.forward(GraphOps(), net.chain, *given, x, layers.INFERENCE)
    return losses.apply_output(OutputOps(), net.output, stages[-1].post, net.members)


def _outputs(graph: Graph, result: Numbers | Probabilities, prediction: Array) -> dict[str, Array]:
    """The graph's outputs by name, of a prediction (n, outputs)."""
    if isinstance(result, Numbers):
        return {"prediction": prediction[:, 0] if result.flat else prediction}
    return {"label": _label(graph, result, prediction), "probabilities": prediction}


def _label(graph: Graph, classes: Probabilities, probabilities: Array) -> Array:
    """The likeliest label of each row (n,); where there may be several, 0 and 1 for each."""
    labels = classes.labels
    if classes.several:
        return xp.astype(probabilities > 0.5, xp.int64)
    place = graph.node("ArgMax", [probabilities], (ROWS,), "int64", axis=1, keepdims=0)
    dtype = object if isinstance(labels[0], str) else None
    return xp.take(graph.constant(LABELS, xp.asarray(labels, dtype=dtype)), place, axis=0)
