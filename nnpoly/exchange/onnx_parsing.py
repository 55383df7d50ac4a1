"""ONNX files as plain values: nothing in a file is run, followed or allocated before it is checked.

An ONNX file is a protobuf message. It is parsed from its own bytes alone, and what it says is then
checked: tensors' sizes before arrays are made of them, the order of the nodes, names that are given
twice. What depends on no input is computed here, by a short list of operators, within a budget of
memory that follows the file's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..backends import host
from ..data.container import as_path
from .onnx_own import told_of

Constants = dict[str, host.HostArray]
OLDEST_OPSET = 7  # before, broadcasting was an attribute
LARGEST = 1 << 31  # bytes: protobuf's own limit
MOST_DIMENSIONS = 8
_DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}
# Dtypes and typed fields of tensors by ONNX's numbers.
FLOATS = {1: "float32", 10: "float16", 11: "float64"}
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)  # ONNX's types that a Cast makes floats of
_STRING = 8
_DTYPES = {**FLOATS, 6: "int32", 7: "int64", 9: "bool"}
_FIELDS = {
    1: ("float_data", "float32"),
    6: ("int32_data", "int32"),
    7: ("int64_data", "int64"),
    9: ("int32_data", "bool"),
    10: ("int32_data", "uint16"),  # float16 by its bits
    11: ("double_data", "float64"),
}
# Entries of shapes that a file computes from its input's shape.
ROWS, COLUMNS = -(1 << 40), -(1 << 41)


class Unreadable(ValueError):
    """What is wrong with a file, without its name."""


class Node(NamedTuple):
    """An operator's call."""

    op: str
    name: str
    inputs: Sequence[str]  # "" for one that is left out
    outputs: Sequence[str]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        called = f"node {shown(self.name)}" if self.name else f"the node of {shown(self.output)}"
        return f"{called} ({self.op[:40]})"

    @property
    def output(self) -> str:
        """The name of its first output."""
        return self.outputs[0]

    def error(self, reason: str) -> Unreadable:
        """The error that the node cannot be read."""
        return Unreadable(f"{self} {reason}")

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that the node cannot be read."""
        raise self.error(reason)


class Value(NamedTuple):
    """An input or output of a graph: its ONNX type, None where it is no tensor, and its shape."""

    name: str
    kind: int | None
    shape: tuple[int | None, ...] | None  # None: not stated


class Graph(NamedTuple):
    """A file's content.

    Attributes
    ----------
    nodes
        Those that depend on the input, each after those whose outputs it takes.
    constants
        All values that depend on no input, by name.
    input, outputs
        What the graph takes and gives.
    opset
        The version of ONNX's operators.
    size
        The file's bytes.
    own
        What a file of `to_onnx` says of its network: see `onnx_own`.
    """

    nodes: list[Node]
    constants: Constants
    input: Value
    outputs: list[Value]
    opset: int
    size: int
    own: str | None = None


def shown(name: str) -> str:
    """A name of a file, in quotes and short."""
    return repr(name if len(name) <= 60 else f"{name[:60]}...")


def library() -> Any:
    """Return onnx, or say how to install it."""
    try:
        return import_module("onnx")
    except ImportError as error:
        raise ImportError("from_onnx needs onnx: pip install nnpoly[onnx]") from error


def parse(where: str, path: Any) -> Graph:
    """Return the graph of an ONNX file; `where` begins the errors of a path that is no file."""
    onnx, file = library(), as_path(where, path)
    if file.is_dir():
        raise IsADirectoryError(f"{where}: `path` {path} is a folder. Name the file in it.")
    if not file.is_file():
        raise FileNotFoundError(f"{where}: `path` {path} is no file.")
    return _Parser(onnx, file).graph()


class _Parser:
    """Makes a graph of a file's message."""

    def __init__(self, onnx: Any, file: Path) -> None:
        self.size = file.stat().st_size
        if self.size >= LARGEST:
            raise Unreadable(f"it has {self.size} bytes, and an ONNX file has at most {LARGEST}")
        self.newest = onnx.defs.onnx_opset_version()
        try:
            self.model = onnx.ModelProto.FromString(file.read_bytes())
        except Exception as error:  # protobuf's errors have no public base of their own
            raise Unreadable(
                "it is no ONNX file, is damaged, or the end of it is missing"
            ) from error
        self.constants: Constants = {}
        self.left = 4 * self.size + (1 << 20)  # bytes of constants that may be computed
        self.known: set[str] = set()

    def graph(self) -> Graph:
        if not self.model.HasField("graph") or not self.model.graph.node:
            raise Unreadable("it has no graph: it is no ONNX file, or the end of it is missing")
        graph, opset = self.model.graph, self.opset()
        if graph.sparse_initializer:
            raise Unreadable("it has sparse constants, which no network has. Store them densely")
        for tensor in graph.initializer:
            self.define(tensor.name)
            self.constants[tensor.name] = self.array(tensor, f"constant {shown(tensor.name)}")
        inputs = [self.value(item) for item in graph.input if item.name not in self.known]
        if len(inputs) != 1:
            names = ", ".join(shown(item.name) for item in inputs[:5])
            raise Unreadable(
                f"it takes {len(inputs)} inputs ({names}), and a network takes one matrix of rows"
            )
        self.define(inputs[0].name)
        nodes = [node for node in map(self.node, graph.node) if not self.folded(node, opset)]
        outputs = [self.value(item) for item in graph.output]
        for item in outputs:
            self.require_known(item.name, "the graph's output")
        own = told_of(self.model)
        return Graph(nodes, self.constants, inputs[0], outputs, opset, self.size, own)

    def opset(self) -> int:
        """The version of ONNX's own operators."""
        versions = {item.domain: item.version for item in self.model.opset_import}
        opset = versions.get("", versions.get("ai.onnx", 0))
        if not OLDEST_OPSET <= opset <= self.newest:
            raise Unreadable(
                f"its operators are of opset {opset}, and those of {OLDEST_OPSET} to {self.newest} "
                "are known. Export it with one of them, or install a newer onnx"
            )
        return int(opset)

    def define(self, name: str) -> None:
        """Note that a value is there from now on."""
        if not name or name in self.known:
            raise Unreadable(f"the name {shown(name)} is given to two values, or to none")
        self.known.add(name)

    def require_known(self, name: str, where: str) -> None:
        if name not in self.known:
            raise Unreadable(
                f"{where} uses {shown(name)} before it is computed: the nodes are not in order, "
                "go round in a circle, or some are missing"
            )

    @staticmethod
    def value(item: Any) -> Value:
        if not item.type.HasField("tensor_type"):
            return Value(item.name, None, None)
        tensor, shape = item.type.tensor_type, None
        if tensor.HasField("shape"):
            dims = tensor.shape.dim
            shape = tuple(d.dim_value if d.dim_value > 0 else None for d in dims)
        return Value(item.name, tensor.elem_type, shape)

    def node(self, item: Any) -> Node:
        domain = _DOMAINS.get(item.domain)
        op = f"{domain}.{item.op_type}" if domain else f"{item.op_type}"
        op = op if op.isprintable() else ascii(op)
        node = Node(op, item.name, list(item.input), list(item.output), {})
        if not node.outputs:
            raise Unreadable(f"{op[:40]} {shown(item.name)} has no output")
        if domain is None:
            node.refuse(f"is of the operators {shown(item.domain)}, which are not ONNX's own")
        if any((f.domain, f.name) == (item.domain, item.op_type) for f in self.model.functions):
            node.refuse("is a function of the file. Inline it: onnx.inliner.inline_local_functions")
        for name in filter(None, node.inputs):
            self.require_known(name, str(node))
        for name in filter(None, node.outputs):
            self.define(name)
        return node._replace(attributes={a.name: self.attribute(node, a) for a in item.attribute})

    def attribute(self, node: Node, item: Any) -> Any:
        if item.type == item.TENSOR:
            return self.array(item.t, f"attribute {shown(item.name)} of {node}")
        if item.type == item.STRING:
            return _text(item.s)
        if item.type == item.STRINGS:
            return [_text(text) for text in item.strings]
        fields = {item.FLOAT: "f", item.INT: "i", item.FLOATS: "floats", item.INTS: "ints"}
        if item.type not in fields:
            node.refuse(f"has an attribute {shown(item.name)} of a kind that no layer has")
        value = getattr(item, fields[item.type])
        return list(value) if item.type in (item.FLOATS, item.INTS) else value

    # Constants

    def array(self, tensor: Any, what: str) -> host.HostArray:
        """The array of a tensor, if it is whole, and in the file itself."""
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            raise Unreadable(
                f"{what} is in another file, which is not opened. Save the model in one file: "
                "onnx.save(onnx.load(path), new_path)"
            )
        dims = tuple(tensor.dims)
        if len(dims) > MOST_DIMENSIONS or any(d < 0 for d in dims) or tensor.HasField("segment"):
            raise Unreadable(
                f"{what} has the shape {dims[:MOST_DIMENSIONS]}, which no weights have"
            )
        if tensor.data_type == _STRING:
            _require_count(what, dims, len(tensor.string_data))
            return np.asarray([_text(t) for t in tensor.string_data], dtype=str).reshape(dims)
        if tensor.data_type not in _DTYPES:
            raise Unreadable(f"{what} is of ONNX's type {tensor.data_type}, which no weights have")
        dtype = np.dtype(_DTYPES[tensor.data_type])
        field, stored = _FIELDS[tensor.data_type]
        if tensor.HasField("raw_data"):
            raw = tensor.raw_data
            _require_count(what, dims, len(raw) / dtype.itemsize)
            if dtype.kind == "b":
                found = np.frombuffer(raw, np.uint8) != 0
            else:
                found = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)
        else:
            numbers = getattr(tensor, field)
            _require_count(what, dims, len(numbers))
            found = _converted(what, numbers, stored).view(dtype)
        whole: host.HostArray = found.reshape(dims)
        return whole

    def folded(self, node: Node, opset: int) -> bool:
        """Compute a node that depends on no input, and say whether it was one."""
        if node.op == "Shape" and not node.attributes:
            known = self.constants.get(node.inputs[0])
            shape = (ROWS, COLUMNS) if known is None else known.shape
            self.constants[node.output] = np.asarray(shape, dtype=np.int64)
            return True
        given = [self.constants.get(name) for name in node.inputs if name]
        if node.op not in FOLDED or any(array is None for array in given):
            return False
        arrays = [array for array in given if array is not None]
        of_shape = any(_from_shape(array) for array in arrays)
        if of_shape and node.op not in _MOVING:
            return False
        try:
            made = FOLDED[node.op](_Call(node, arrays, opset, self.left))
        except Unreadable:
            raise
        except Exception as error:
            raise Unreadable(f"{node} cannot be computed: {error}") from error
        if not any(np.may_share_memory(made, array) for array in arrays):
            self.left -= made.nbytes
        self.constants[node.output] = made
        return True


def _require_count(what: str, dims: Sequence[int], count: float) -> None:
    if prod(dims) != count:
        raise Unreadable(f"{what} has shape {tuple(dims)} but {count:g} numbers: it is damaged")


def _converted(what: str, numbers: Any, dtype: str) -> host.HostArray:
    """The entries of a typed field, which is wider than some dtypes that it is for."""
    found = np.asarray(numbers)
    made = found.astype(dtype)
    if found.dtype.kind == "i" and found.size and not np.array_equal(made, found):
        raise Unreadable(f"{what} has numbers that its type cannot hold")
    return made


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"the text {data[:40]!r} is not UTF-8") from error


def _from_shape(array: host.HostArray) -> bool:
    return array.dtype == np.int64 and bool(np.any((array == ROWS) | (array == COLUMNS)))


class _Call(NamedTuple):
    """A node with its arrays, and the bytes that its result may have."""

    node: Node
    arrays: list[host.HostArray]
    opset: int
    left: int

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attributes.get(name, default)

    def require_room(self, shape: Sequence[int], itemsize: int) -> None:
        if prod(shape) * itemsize > self.left:
            self.node.refuse(
                f"makes a constant of shape {tuple(shape)}, more than a file of this size needs"
            )

    def axes(self) -> tuple[int, ...] | None:
        """Axes, an attribute until opset 12 and the second input since."""
        if len(self.arrays) > 1:
            return tuple(int(axis) for axis in self.arrays[1].ravel())
        axes = self.attribute("axes")
        return None if axes is None else tuple(axes)


def _elementwise(function: Callable[..., Any]) -> Callable[[_Call], host.HostArray]:
    def fold(call: _Call) -> host.HostArray:
        shape = np.broadcast_shapes(*(array.shape for array in call.arrays))
        call.require_room(shape, call.arrays[0].itemsize)
        if len({array.dtype for array in call.arrays}) != 1:
            call.node.refuse("takes arrays of two types")
        with np.errstate(all="ignore"):
            return np.asarray(function(*call.arrays)).astype(call.arrays[0].dtype)

    return fold


def _constant(call: _Call) -> host.HostArray:
    for name, dtype in (("value_float", "float32"), ("value_int", "int64")):
        if name in call.node.attributes:
            return np.asarray(call.attribute(name), dtype=dtype)
    for name, dtype in (("value_floats", "float32"), ("value_ints", "int64")):
        if name in call.node.attributes:
            return np.asarray(call.attribute(name), dtype=dtype)
    value = call.attribute("value")
    if value is None:
        call.node.refuse("has no value that a network has")
    return np.asarray(value)


def _cast(call: _Call) -> host.HostArray:
    to = call.attribute("to")
    if to not in _DTYPES:
        call.node.refuse(f"makes ONNX's type {to}, which no weights have")
    if _from_shape(call.arrays[0]) and _DTYPES[to] != "int64":
        call.node.refuse("computes with the input's shape")
    return call.arrays[0].astype(_DTYPES[to])


def _transpose(call: _Call) -> host.HostArray:
    return np.transpose(call.arrays[0], call.attribute("perm"))


def _reshape(call: _Call) -> host.HostArray:
    array, shape = call.arrays
    sizes = [array.shape[i] if d == 0 else int(d) for i, d in enumerate(shape.ravel().tolist())]
    return array.reshape(sizes)


def _unsqueeze(call: _Call) -> host.HostArray:
    axes = call.axes() or ()
    if len(axes) > MOST_DIMENSIONS:
        call.node.refuse("makes more dimensions than weights have")
    return np.expand_dims(call.arrays[0], axes)


def _concat(call: _Call) -> host.HostArray:
    call.require_room([sum(array.size for array in call.arrays)], call.arrays[0].itemsize)
    return np.concatenate(call.arrays, axis=call.attribute("axis", 0))


def _gather(call: _Call) -> host.HostArray:
    array, index = call.arrays
    axis = call.attribute("axis", 0)
    call.require_room([index.size, array.size // max(array.shape[axis], 1)], array.itemsize)
    return np.take(array, index, axis=axis)


def _expand(call: _Call) -> host.HostArray:
    array, sizes = call.arrays
    shape = np.broadcast_shapes(array.shape, tuple(sizes.ravel().tolist()))
    call.require_room(shape, array.itemsize)
    return np.broadcast_to(array, shape).copy()


def _filled(call: _Call) -> host.HostArray:
    value = np.asarray(call.attribute("value", np.zeros(1, "float32"))).ravel()
    shape = tuple(call.arrays[0].ravel().tolist())
    call.require_room(shape, value.itemsize)
    return np.full(shape, value[0])


_MOVING = {
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Identity": lambda call: call.arrays[0],
    "Reshape": _reshape,
    "Squeeze": lambda call: np.squeeze(call.arrays[0], call.axes()),
    "Unsqueeze": _unsqueeze,
}
FOLDED: dict[str, Callable[[_Call], host.HostArray]] = {
    **_MOVING,
    "Add": _elementwise(np.add),
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "CastLike": lambda call: call.arrays[0].astype(call.arrays[1].dtype),
    "Div": _elementwise(np.divide),
    "Expand": _expand,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Reciprocal": _elementwise(np.reciprocal),
    "Sqrt": _elementwise(np.sqrt),
    "Sub": _elementwise(np.subtract),
    "Transpose": _transpose,
}
