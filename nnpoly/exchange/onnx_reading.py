"""Networks from ONNX files: the graph is cut where all of it goes through one value.

Between two such values lies a layer: a node of its own kind, an activation or normalisation in as
many nodes as its exporter wrote it (see `onnx_algebra`), or a short cut, in which it is alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np

from .. import layers
from ..backends import Backend, host
from ..network import Network
from .onnx_algebra import Formula, TooComplex, X, number
from .onnx_chain import Chain, Stage
from .onnx_functions import KNOWN, activation_of, as_written, formula_of, is_softmax, norm_eps
from .onnx_outputs import ends_of
from .onnx_own import LABELS, own_network
from .onnx_parsing import COLUMNS, FLOATS, ROWS, Graph, Node, Unreadable, parse, shown

MOST_NESTED = 30  # short cuts in short cuts
LONGEST = 64  # nodes of one activation or normalisation
AHEAD = 6  # steps of one, at most, that are no activation yet: exporters have up to three


@overload
def from_onnx(
    path: Any,
    *,
    output: str | None = None,
    labels: Literal[False] = False,
    backend: str | Backend | None = None,
    device: Any = None,
) -> Network: ...


@overload
def from_onnx(
    path: Any,
    *,
    output: str | None = None,
    labels: Literal[True],
    backend: str | Backend | None = None,
    device: Any = None,
) -> tuple[Network, host.HostArray | None]: ...


def from_onnx(
    path: Any,
    *,
    output: str | None = None,
    labels: bool = False,
    backend: str | Backend | None = None,
    device: Any = None,
) -> Any:
    """Return the network of an ONNX file, its weights bit for bit.

    Read is what torch's two exporters, Keras, skl2onnx and `to_onnx` write of multi-layer
    perceptrons: dense layers, every activation of nnpoly however it is spelt out, layer and batch
    normalisation, dropout, short cuts, scalers before them, and softmax, sigmoid or exp at the end.

    Parameters
    ----------
    path
        The file. What it says is checked before it is used; nothing in it is run, and no other file
        is opened.
    output
        The name of the value that the network shall compute: an output of the graph, or what a
        node gives. None: the only output that is no label.
    labels
        Whether to return the classes' labels too.
    backend, device
        Where the network shall live; None for the default.

    Returns
    -------
    Network
        An `nn.MLP` where it has Dense layers alone. Its rows are vectors where the file's are
        images that it flattens. Of two classes with one score it gives the probability of the
        second, (n, 1), where skl2onnx's graphs give both.
    labels : array or None
        With `labels=True`: the labels in the order of the classes; None where the file has none.

    Raises
    ------
    ValueError
        If the file is damaged, or computes what no network does: the first such node is named.

    Notes
    -----
    A scaler's subtraction is a Dense layer whose W is the unit matrix and whose rates are 0, so
    that training leaves it; its factors are a `Scale`. That is exact but for a division, which
    becomes the product with the rounded reciprocal. Attributes of ONNX, such as epsilon and alpha,
    are float32 in every graph: a float64 network computes with these.

    A file of `to_onnx` of one network without preprocessing, whose graph nobody has changed since,
    gives that network back, whatever its layers.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.exchange.from_onnx("model.onnx")  # doctest: +SKIP
    """
    try:
        graph = parse("from_onnx", path)
        if graph.own is not None and output is None:
            net = own_network(path, graph.own, graph.constants, backend, device)
            return (net, graph.constants.get(LABELS)) if labels else net
        ends = ends_of(graph, output)
        chain = _Reader(graph).read(graph.input.name, ends.value, Chain.of(graph))
        net = chain.network(backend, device)
        _require_declared(graph, ends.value, net.outputs)
    except Unreadable as error:
        raise ValueError(f"from_onnx: {path} cannot be read: {error}.") from error
    return (net, ends.labels_of(net.outputs)) if labels else net


def _require_declared(graph: Graph, name: str, width: int) -> None:
    """Refuse a graph that declares another number of columns than it computes."""
    for item in graph.outputs:
        if item.name == name and item.shape is not None and len(item.shape) == 2:
            declared = item.shape[1]
            if declared and declared != width:
                raise Unreadable(
                    f"its output {shown(name)} is declared with {declared} columns and has {width}"
                )


class _Reader:
    """Reads the nodes between two values of a graph into a chain of layers."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.constants = graph, graph.constants
        self.made_by = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
        self.layers: dict[str, Callable[[Chain, Node], None]] = {
            "BatchNormalization": self._batch_norm,
            "Cast": self._cast,
            "Dropout": self._dropout,
            "Flatten": self._flatten,
            "Gemm": self._gemm,
            "Identity": lambda chain, node: None,
            "LayerNormalization": self._layer_norm,
            "MatMul": self._matmul,
            "Reshape": self._reshape,
            "Softmax": self._softmax,
            "Squeeze": self._squeeze,
            "ai.onnx.ml.Scaler": self._scaler,
        }
        self.terms = {"Add": 1, "Sub": -1, "Mul": 1, "Div": -1}

    def read(self, start: str, end: str, chain: Chain, nested: int = 0) -> Chain:
        """Read what lies between two values."""
        parts, i = self._parts(start, end), 0
        while i < len(parts):
            begin, node = start if i == 0 else parts[i - 1][-1].output, parts[i][0]
            try:
                i = self._take(parts, i, begin, chain, nested)
            except Unreadable as error:
                if str(error).startswith(("node ", "the node ")):  # one further in
                    raise
                node.refuse(f"is no layer of a network: {error}")
        return chain

    # The graph's shape

    def _parts(self, start: str, end: str) -> list[list[Node]]:
        """The nodes between two values, in the parts that all ways go through one by one."""
        nodes, uses = self._between(start, end)
        parts: list[list[Node]] = [[]]
        live = {start}
        for node in nodes:
            for name in self._values(node):
                uses[name] -= 1
                if not uses[name]:
                    live.discard(name)
            live.add(node.output)
            parts[-1].append(node)
            if len(live) == 1:
                parts.append([])
        return parts[:-1]

    def _between(self, start: str, end: str) -> tuple[list[Node], dict[str, int]]:
        """The nodes between two values in order, and how often each value is used by them."""
        uses, found, todo = {end: 1}, set(), [end]
        while todo:
            name = todo.pop()
            i = self.made_by.get(name)
            if name == start or i in found:
                continue
            if i is None:
                raise Unreadable(f"{shown(end)} depends on more than {shown(start)}")
            found.add(i)
            node = self.graph.nodes[i]
            if name != node.output:
                node.refuse(f"gives {shown(name)}, its second output, which no layer has")
            values = self._values(node)
            if not values:
                node.refuse("computes a constant in a way that is not known")
            for value in values:
                uses[value] = uses.get(value, 0) + 1
                todo.append(value)
        return [self.graph.nodes[i] for i in sorted(found)], uses

    def _values(self, node: Node) -> list[str]:
        """What a node is given that is no constant."""
        return [name for name in node.inputs if name and name not in self.constants]

    # Parts

    def _take(self, parts: list[list[Node]], i: int, begin: str, chain: Chain, nested: int) -> int:
        """Read the part i, and what belongs to it; return the number of the next one."""
        part = parts[i]
        first, last = part[0], part[-1]
        if len(part) == 1 and first.op in self.layers:
            self.layers[first.op](chain, first)
            return i + 1
        found, reason = self._formula(parts, i, begin, chain)
        if found > i:
            return found
        if len(part) == 1 and first.op in self.terms and len(first.inputs) == 2:
            self._affine(chain, first)
            return i + 1
        if last.op == "Add" or (last.op == "Sum" and len(last.inputs) == 2):
            others = [name for name in last.inputs if not self._is(name, begin, chain)]
            if len(others) == 1 and others[0] not in self.constants:
                if nested == MOST_NESTED:
                    last.refuse(f"is a short cut in {nested} others")
                chain.residual(self.read(begin, others[0], chain.inner(), nested + 1))
                return i + 1
        error = self._unread(part, reason)
        if nested or begin not in self.made_by:
            raise error
        raise Unreadable(f"{error}. What comes before it can be read: output={begin!r}")

    def _is(self, name: str, value: str, chain: Chain) -> bool:
        """Whether a name is one value, or another name of it."""
        while name != value and name in self.made_by:
            node = self.graph.nodes[self.made_by[name]]
            same_type = FLOATS.get(node.attributes.get("to", 0)) == chain.dtype
            if node.op != "Identity" and not (node.op == "Cast" and same_type):
                return False
            name = node.inputs[0]
        return name == value

    def _unread(self, part: list[Node], reason: str) -> Unreadable:
        """The error that names the first node of a part that no layer has."""
        for node in part:
            if node.op not in KNOWN and node.op not in self.layers:
                return node.error("is of an operator that no layer has")
        if len(part) == 1:
            return part[0].error(f"is no layer of a network{reason}")
        return part[-1].error(
            f"and the {len(part) - 1} nodes before it compute no activation, normalisation or "
            f"short cut that nnpoly has{reason}"
        )

    def _formula(
        self, parts: list[list[Node]], i: int, begin: str, chain: Chain
    ) -> tuple[int, str]:
        """Read the longest run of parts that computes an activation, a norm or a softmax.

        Returns the number of the part after it (i where there is none), and why it is no longer.
        """
        known, best, count, steps = {begin: X}, i, 0, 0
        effect: Callable[[], None] = lambda: None  # noqa: E731
        reason, before = "", X
        for j in range(i, len(parts)):
            count += len(parts[j])
            try:
                if count > LONGEST:
                    raise TooComplex("it has too many nodes")
                for node in parts[j]:
                    known[node.output] = self._of_node(node, known, chain)
            except TooComplex as error:
                reason = f": {error}" if j == i else ""
                break
            formula = known[parts[j][-1].output]
            steps += formula != before
            if steps > AHEAD:
                break
            before, found = formula, self._effect(formula, chain)
            if found is not None:
                best, effect, steps = j + 1, found, 0
        effect()
        return best, reason

    def _effect(self, formula: Formula, chain: Chain) -> Callable[[], None] | None:
        """What a formula does to a chain; None where it is no layer's."""
        dtype = chain.floating()
        sigma = activation_of(formula, dtype)
        if sigma is not None:
            return lambda: chain.activate(sigma)
        eps = norm_eps(formula, dtype)
        if eps is not None:
            return lambda: chain.norm(layers.LayerNorm, {"eps": eps}, {}, {})
        return (lambda: self._end(chain)) if is_softmax(formula) else None

    def _of_node(self, node: Node, known: dict[str, Formula], chain: Chain) -> Formula:
        """The formula of an element-wise node whose operands' are known."""
        if node.op not in KNOWN:
            raise TooComplex(f"it ends with {node}")
        if node.op == "Cast" and FLOATS.get(node.attributes.get("to", 0)) != chain.dtype:
            raise TooComplex("it changes the type")
        given: list[Formula | None] = []
        for name in node.inputs:
            constant = self.constants.get(name)
            given.append(known.get(name) if constant is None else self._number(constant, chain))
        return formula_of(node, given)

    @staticmethod
    def _number(constant: host.HostArray, chain: Chain) -> Formula | None:
        """A constant of one number; None where it is infinite, as bounds may be."""
        if constant.size != 1 or constant.dtype.kind not in "fi":
            raise TooComplex("it has a number for each column")
        if constant.dtype.kind == "f" and constant.dtype.name != chain.dtype:
            raise Unreadable(f"a number is of {constant.dtype}, and what it meets is {chain.dtype}")
        value = float(constant.item())
        return None if np.isinf(value) else number(value)

    def _affine(self, chain: Chain, node: Node) -> None:
        """A sum, difference, product or quotient with a constant for each column."""
        constants = [self.constants.get(name) for name in node.inputs]
        constant = constants[1] if constants[0] is None else constants[0]
        if constant is None:
            node.refuse("combines values in a way that no layer does")
        if constants[0] is not None and node.op in ("Sub", "Div"):
            node.refuse("takes values from a constant, or divides it by them, which no layer does")
        values = chain.vector(constant)
        if node.op == "Div":
            if not np.all(values):
                node.refuse("divides by 0")
            values = (1.0 / values).astype(values.dtype)
        if node.op in ("Mul", "Div"):
            chain.scale(values)
        else:
            chain.shift(-values if node.op == "Sub" else values)

    # Nodes that are layers

    def _constant(self, node: Node, i: int) -> host.HostArray | None:
        """The constant that a node is given as its input i; None where it is left out."""
        if i >= len(node.inputs) or not node.inputs[i]:
            return None
        if node.inputs[i] not in self.constants:
            node.refuse(f"has no constant as input {i + 1}, which a layer's weights are")
        return self.constants[node.inputs[i]]

    def _required(self, node: Node, i: int) -> host.HostArray:
        array = self._constant(node, i)
        if array is None:
            node.refuse(f"lacks its input {i + 1}")
        return array

    def _matrix(self, node: Node) -> host.HostArray:
        if node.inputs[0] in self.constants:
            node.refuse("multiplies a constant by the rows, not the rows by a constant")
        array = self._required(node, 1)
        if array.ndim != 2:
            node.refuse(f"multiplies by an array of shape {array.shape}, not a matrix")
        return array

    def _matmul(self, chain: Chain, node: Node) -> None:
        chain.dense(self._matrix(node).T, None)

    def _gemm(self, chain: Chain, node: Node) -> None:
        of = node.attributes.get
        if of("transA", 0) or of("alpha", 1.0) != 1.0 or of("beta", 1.0) != 1.0:
            node.refuse("has transA, or an alpha or beta that is not 1, which no layer has")
        B = self._matrix(node)
        chain.dense(B if of("transB", 0) else B.T, self._constant(node, 2))

    def _batch_norm(self, chain: Chain, node: Node) -> None:
        if node.attributes.get("training_mode", 0) or node.attributes.get("spatial", 1) != 1:
            node.refuse("normalises as in training. Export the model as it predicts")
        gain, shift, mean, variance = (chain.vector(self._required(node, i)) for i in range(1, 5))
        keep = as_written(node.attributes.get("momentum", 0.9), "float32")
        eps = as_written(node.attributes.get("epsilon", 1e-5), chain.floating())
        momentum = round(1.0 - keep, 7)
        if not eps > 0.0 or not 0.0 <= momentum <= 1.0 or not np.all(variance >= 0.0):
            node.refuse("has an epsilon, momentum or variance that no layer has")
        arguments = {"eps": eps, "momentum": momentum}
        arrays, buffers = {"gain": gain, "shift": shift}, {"mean": mean, "variance": variance}
        chain.norm(layers.BatchNorm, arguments, arrays, buffers)

    def _layer_norm(self, chain: Chain, node: Node) -> None:
        if node.attributes.get("axis", -1) not in (-1, 1):
            node.refuse("normalises more than each row")
        eps = as_written(node.attributes.get("epsilon", 1e-5), chain.floating())
        if not eps > 0.0:
            node.refuse(f"has the epsilon {eps}")
        arrays = {"gain": chain.vector(self._required(node, 1))}
        shift = self._constant(node, 2)
        arrays["shift"] = np.zeros_like(arrays["gain"]) if shift is None else chain.vector(shift)
        chain.norm(layers.LayerNorm, {"eps": eps}, arrays, {})

    def _dropout(self, chain: Chain, node: Node) -> None:
        given = self._constant(node, 1)
        rate = node.attributes.get("ratio", 0.5) if given is None else float(given.item())
        training = self._constant(node, 2)
        if (training is not None and training.any()) or not 0.0 <= rate < 1.0:
            node.refuse("drops as in training, or all. Export the model as it predicts")
        if rate:
            chain.append(Stage(layers.Dropout, {"rate": as_written(rate, "float32")}))

    def _scaler(self, chain: Chain, node: Node) -> None:
        if chain.dtype != "float32":
            node.refuse(f"makes float32 of {chain.dtype or 'integers'}")
        parts = [np.asarray(node.attributes.get(n, []), "float32") for n in ("offset", "scale")]
        if not all(part.size for part in parts):
            node.refuse("lacks an offset or a scale")
        offset, factors = map(chain.vector, parts)
        chain.shift(-offset)
        chain.scale(factors)

    def _softmax(self, chain: Chain, node: Node) -> None:
        if node.attributes.get("axis", -1) not in (-1, 1):
            node.refuse("goes along more than the rows")
        self._end(chain)

    @staticmethod
    def _end(chain: Chain) -> None:
        chain.require_matrix()
        if not chain.stages:
            raise Unreadable("it has no weights before its softmax")
        chain.output = "softmax"

    # Nodes that compute nothing

    @staticmethod
    def _cast(chain: Chain, node: Node) -> None:
        to = FLOATS.get(node.attributes.get("to", 0))
        if to == chain.dtype and to is not None:
            return
        if to is None or chain.stages:
            node.refuse("changes the type within the network")
        chain.dtype = to

    @staticmethod
    def _flatten(chain: Chain, node: Node) -> None:
        if node.attributes.get("axis", 1) != 1:
            node.refuse("makes rows of more than one")
        chain.dimensions = 2

    def _reshape(self, chain: Chain, node: Node) -> None:
        shape = self._required(node, 1).ravel().tolist()
        width = chain.known_width()
        declared = (self.graph.input.shape or (None,))[0]
        rows = [-1, ROWS, *([declared] if declared else [])]
        columns = [width, -1]
        if not node.attributes.get("allowzero", 0):
            rows.append(0)
            if chain.dimensions == 2:
                columns.append(0)
        if chain.dimensions == 2:
            columns.append(COLUMNS)
        if len(shape) == 2 and shape[0] in rows and shape[1] in columns and shape != [-1, -1]:
            chain.dimensions = 2
        elif len(shape) == 1 and shape[0] in rows and width == 1:
            chain.dimensions = 1
        else:
            said = [{ROWS: "n", COLUMNS: "m"}.get(d, d) for d in shape]
            node.refuse(f"makes shape {said} of rows of {width} columns, which mixes the rows")

    def _squeeze(self, chain: Chain, node: Node) -> None:
        given = self._constant(node, 1)
        axes = node.attributes.get("axes") if given is None else given.ravel().tolist()
        if axes not in ([1], [-1]) or chain.dimensions != 2 or chain.known_width() != 1:
            node.refuse("removes what is not a single column")
        chain.dimensions = 1
