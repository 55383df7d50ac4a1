"""Graphs of ONNX by tracing: arrays whose operations become nodes, and their namespace.

What the library computes is text in the array API (`nnpoly.primitives`, `described`). Given these
arrays, the text writes the graph. Host arrays, and numbers, stand for constants: operations of them
alone are computed, and not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from math import prod
from typing import Any, TypeAlias

from ..backends import host

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise ImportError("to_onnx: onnx is not installed: pip install nnpoly[onnx]") from error

ROWS = -1  # the length of an axis that is known when the graph runs; as is every negative one
TEXT = "str"  # the dtype of texts
ML = "ai.onnx.ml"
_TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "float64": onnx.TensorProto.DOUBLE,
    "int32": onnx.TensorProto.INT32,
    "int64": onnx.TensorProto.INT64,
    "bool": onnx.TensorProto.BOOL,
    TEXT: onnx.TensorProto.STRING,
}
Shape: TypeAlias = tuple[int, ...]
host_xp = host.namespace()
NEWEST = onnx.defs.onnx_opset_version()
MOST = 2**31 - 2**24  # bytes of weights: a protocol buffer ends at 2^31


class Graph:
    """Nodes and constants as they are traced. Equal ones are one."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._made: dict[Any, Any] = {}  # nodes' results and constants' names, by what they are
        # What values are, by their names: columns of a matrix; and comparisons of a value with a
        # number, where Max or Min makes the number of what they are true for.
        self.columns: dict[str, tuple[Traced, int]] = {}
        self.bounds: dict[str, tuple[str, Traced, Any]] = {}

    def input(self, name: str, shape: Shape, dtype: str) -> Traced:
        """An input of the graph."""
        made = Traced(self, name, shape, dtype)
        self._inputs.append(_information(made))
        return made

    def constant(self, name: str, array: host.HostArray) -> Traced:
        """A constant under a name of its own, such as a parameter."""
        name = self._free(name)
        self._constants[name] = numpy_helper.from_array(array, name)
        kind = TEXT if array.dtype.kind == "O" else array.dtype.name
        return Traced(self, name, array.shape, kind)

    def node(
        self, kind: str, inputs: Sequence[Any], shape: Shape, dtype: str, **attributes: Any
    ) -> Traced:
        """The result of a node of traced and host arrays."""
        names = [x.name if isinstance(x, Traced) else self._constant(x) for x in inputs]
        key = kind, tuple(names), repr(attributes)
        if key not in self._made:
            name = self._free(f"{kind}_{len(self._nodes)}")
            self._nodes.append(helper.make_node(kind, names, [name], name, **attributes))
            self._made[key] = Traced(self, name, shape, dtype)
        made: Traced = self._made[key]
        return made

    def model(self, outputs: Mapping[str, Traced], name: str, opset: int) -> Any:
        """The model of these outputs by name, without what none of them needs.

        An output whose name an input has is given another one.
        """
        named = [self._renamed(value, self._free(key)) for key, value in outputs.items()]
        needed, nodes = {value.name for value in named}, []
        for node in reversed(self._nodes):
            if node.output[0] in needed:
                needed.update(node.input)
                nodes.append(node)
        nodes.reverse()
        constants = [tensor for key, tensor in self._constants.items() if key in needed]
        given = [_information(value) for value in named]
        graph = helper.make_graph(nodes, name, self._inputs, given, constants)
        sets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
        sets = sets if any(node.domain for node in nodes) else sets[:1]
        version = helper.find_min_ir_version_for(sets)
        options = {"opset_imports": sets, "ir_version": version, "producer_name": "nnpoly"}
        return helper.make_model(graph, **options)

    def _free(self, name: str) -> str:
        """The name, or a longer one where an input has it: these are a user's."""
        taken = {given.name for given in self._inputs}
        while name in taken:
            name += "_"
        return name

    def _renamed(self, value: Traced, name: str) -> Traced:
        """The value under another name; an input, which keeps its own, by a node."""
        if not any(node.output[0] == value.name for node in self._nodes):
            value = self.node("Identity", [value], value.shape, value.kind)
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if given == value.name else given for given in names]
        return Traced(self, name, value.shape, value.kind)

    def _constant(self, value: host.HostArray) -> str:
        """The name of a constant that has none: a number, or a few."""
        key = value.dtype.name, value.shape, value.tobytes()
        if key not in self._made:
            self._made[key] = self.constant(f"constant_{len(self._constants)}", value).name
        name: str = self._made[key]
        return name


def finished(model: Any, told: Mapping[str, str]) -> Any:
    """The model with metadata, if it is one by onnx's own check."""
    helper.set_model_props(model, dict(told))
    onnx.checker.check_model(model, full_check=True)
    return model


def _information(value: Traced) -> Any:
    sizes = ["n" if size < 0 else size for size in value.shape]
    return helper.make_tensor_value_info(value.name, _TYPES[value.kind], sizes)


_BOUNDS = {"Less": "Max", "LessOrEqual": "Max", "Greater": "Min", "GreaterOrEqual": "Min"}


def _number(value: Any, like: Traced) -> Any:
    """An array, or a number as a host array of this one's dtype."""
    return value if hasattr(value, "dtype") else host_xp.asarray(value, dtype=like.dtype)


def _binary(kind: str, found: str = "", swapped: bool = False) -> Callable[[Traced, Any], Traced]:
    """The method of an operation of two arrays; found: the result's dtype where it is its own."""

    def operation(self: Traced, other: Any) -> Traced:
        other = _number(other, self)
        pair = [other, self] if swapped else [self, other]
        shape = _together(self.shape, other.shape)
        made = self.graph.node(kind, pair, shape, found or self.kind)
        if kind in _BOUNDS and _is_number(other):
            self.graph.bounds[made.name] = _BOUNDS[kind], self, other
        return made

    return operation


class Traced:
    """An array of a graph.

    Attributes
    ----------
    name, shape
        Its own; a negative length is that of the rows.
    kind
        Its dtype's name.
    """

    __array_ufunc__ = None  # host arrays leave operations with these to this class
    __hash__ = None  # type: ignore[assignment]  # == gives an array
    device = None

    def __init__(self, graph: Graph, name: str, shape: Shape, kind: str) -> None:
        self.graph, self.name, self.kind = graph, name, kind
        self.shape = tuple(max(size, ROWS) for size in shape)

    @property
    def dtype(self) -> Any:
        """The host's dtype of that name."""
        return host_xp.dtype(self.kind)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def T(self) -> Traced:
        """The axes in reverse."""
        return _permute_dims(self, tuple(range(self.ndim))[::-1])

    def __getitem__(self, key: Any) -> Any:
        return _item(self, key if isinstance(key, tuple) else (key,))

    __add__, __radd__ = _binary("Add"), _binary("Add", swapped=True)
    __sub__, __rsub__ = _binary("Sub"), _binary("Sub", swapped=True)
    __mul__, __rmul__ = _binary("Mul"), _binary("Mul", swapped=True)
    __truediv__, __rtruediv__ = _binary("Div"), _binary("Div", swapped=True)
    __lt__, __gt__ = _binary("Less", "bool"), _binary("Greater", "bool")
    __le__, __ge__ = _binary("LessOrEqual", "bool"), _binary("GreaterOrEqual", "bool")
    __eq__ = _binary("Equal", "bool")  # type: ignore[assignment]
    __and__ = _binary("And", "bool")

    def __neg__(self) -> Traced:
        return self.graph.node("Neg", [self], self.shape, self.kind)

    def __matmul__(self, other: Any) -> Traced:
        shape = (*_together(self.shape[:-2], other.shape[:-2]), self.shape[-2], other.shape[-1])
        if self.ndim == 2 or self.kind == "float32":
            return self.graph.node("MatMul", [self, other], shape, self.kind)
        # onnxruntime 1.20 joins MatMul with a transposition to what it has in float32 alone.
        options = {"equation": "bij,bjk->bik"}
        return self.graph.node("Einsum", [self, other], shape, self.kind, **options)


def _kind(x: Any) -> str:
    """The dtype's name of a traced or host array."""
    return x.kind if isinstance(x, Traced) else str(x.dtype)


def _together(first: Shape, second: Shape) -> Shape:
    """The shape of two that are broadcast to each other."""
    pairs = zip_longest(first[::-1], second[::-1], fillvalue=1)
    return tuple(b if a == 1 else a for a, b in pairs)[::-1]


def _axes(*axes: int) -> host.HostArray:
    return host.asarray(axes, "int64")


def _item(x: Traced, key: tuple[Any, ...]) -> Traced:
    """Entries of x, by slices of steps of 1, numbers, and None for a new axis."""
    graph, shape, cuts = x.graph, list(x.shape), []
    given = [part for part in key if part is not None]
    for axis, part in enumerate(given):
        if isinstance(part, slice) and part != slice(None):
            start, stop, _ = part.indices(shape[axis])
            cuts.append((start, stop, axis))
            shape[axis] = stop - start
    if cuts:
        bounds = [_axes(*each) for each in zip(*cuts, strict=True)]
        x = graph.node("Slice", [x, *bounds], tuple(shape), x.kind)
    for axis in reversed(range(len(given))):
        if isinstance(given[axis], int):
            del shape[axis]
            index = host.asarray(given[axis], "int64")
            of, x = x, graph.node("Gather", [x, index], tuple(shape), x.kind, axis=axis)
            if axis == 1 and of.ndim == 2:
                graph.columns[x.name] = of, given[axis]
    kept = [part for part in key if not isinstance(part, int)]
    new = [axis for axis, part in enumerate(kept) if part is None]
    return _unsqueezed(x, *new) if new else x


def _unsqueezed(x: Traced, *new: int) -> Traced:
    shape = list(x.shape)
    for axis in new:
        shape.insert(axis, 1)
    return x.graph.node("Unsqueeze", [x, _axes(*new)], tuple(shape), x.kind)


# The functions of the namespace


def _unary(kind: str, found: str = "") -> Callable[[Traced], Traced]:
    def function(x: Traced) -> Traced:
        return x.graph.node(kind, [x], x.shape, found or x.kind)

    return function


def _reduction(kind: str) -> Callable[..., Traced]:
    def function(x: Traced, *, axis: int, keepdims: bool = False) -> Traced:
        shape = [*x.shape[:axis], *([1] if keepdims else []), *x.shape[axis + 1 :]]
        return x.graph.node(kind, [x, _axes(axis)], tuple(shape), x.kind, keepdims=int(keepdims))

    return function


def _expm1(x: Traced) -> Traced:
    # exp(x) - 1 has no digit left near 0. (ONNX has no Expm1.)
    return _tanh(0.5 * x) * (_exp(x) + 1.0)


def _log1p(x: Traced) -> Traced:
    # What 1 + x was rounded by is put in again, to first order.
    u = 1.0 + x
    return _log(u) + (x - (u - 1.0)) / u


def _cos(x: Traced) -> Traced:
    if x.kind == "float32":
        return x.graph.node("Cos", [x], x.shape, x.kind)
    half = _sin(0.5 * x)  # since onnxruntime 1.20 lacks Cos of float64
    return 1.0 - 2.0 * (half * half)


def _where(condition: Any, x1: Any, x2: Any) -> Any:
    """`where`, by a faster node where there is one: Where takes onnxruntime 20 times as long."""
    if not isinstance(condition, Traced) and condition.all() == condition.any():
        chosen = x1 if condition.all() else x2
        if chosen.shape == _together(condition.shape, _together(x1.shape, x2.shape)):
            return chosen
    traced = next(x for x in (condition, x1, x2) if isinstance(x, Traced))
    graph, kind = traced.graph, _kind(x1)
    if _is_number(x1) and _is_number(x2) and (x1, x2) == (1.0, 0.0):
        return _astype(traced, x1.dtype)
    bound = graph.bounds.get(traced.name)
    if bound and bound[1] is x2 and _is_number(x1) and x1 == bound[2]:
        return _binary(bound[0])(x2, x1)
    shape = _together(_together(condition.shape, x1.shape), x2.shape)
    return graph.node("Where", [condition, x1, x2], shape, kind)


def _is_number(x: Any) -> bool:
    return host.is_host(x) and x.ndim == 0


def _astype(x: Traced, dtype: Any) -> Traced:
    kind = host_xp.dtype(dtype).name
    return x if kind == x.kind else x.graph.node("Cast", [x], x.shape, kind, to=_TYPES[kind])


def _filled(value: float) -> Callable[[Traced], host.HostArray]:
    """The function of a constant shaped like an array, which is a number: it is broadcast."""
    return lambda x: host_xp.asarray(value, dtype=x.dtype)


def _full_like(x: Traced, value: float) -> host.HostArray:
    return _filled(value)(x)


def _concat(arrays: Sequence[Any], *, axis: int = 0) -> Traced:
    first = next(x for x in arrays if isinstance(x, Traced))
    shape = list(first.shape)
    shape[axis] = sum(x.shape[axis] for x in arrays)
    return first.graph.node("Concat", arrays, tuple(shape), first.kind, axis=axis)


def _stack(arrays: Sequence[Traced], *, axis: int = 0) -> Traced:
    graph, none = arrays[0].graph, (arrays[0], -1)
    matrix, places = zip(*(graph.columns.get(x.name, none) for x in arrays), strict=True)
    if axis == 1 and all(of is matrix[0] for of in matrix) and min(places) >= 0:
        return _take(matrix[0], _axes(*places), axis=1)
    return _concat([_unsqueezed(x, axis) for x in arrays], axis=axis)


def _reshape(x: Traced, shape: Shape, *, copy: bool | None = None) -> Traced:
    wanted = tuple(max(size, ROWS) for size in shape)
    if ROWS in wanted and ROWS not in x.shape:  # of a constant nothing is left open
        wanted = tuple(prod(x.shape) // -prod(wanted) if k < 0 else k for k in wanted)
    if wanted == x.shape and wanted.count(ROWS) < 2:
        return x
    return x.graph.node("Reshape", [x, _axes(*wanted)], wanted, x.kind)


def _permute_dims(x: Traced, axes: Shape) -> Traced:
    shape = tuple(x.shape[axis] for axis in axes)
    return x.graph.node("Transpose", [x], shape, x.kind, perm=axes)


def _take(x: Any, indices: Any, *, axis: int) -> Traced:
    if host.is_host(indices) and indices.tolist() == list(range(x.shape[axis])):
        whole: Traced = x
        return whole
    traced: Traced = x if isinstance(x, Traced) else indices
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return traced.graph.node("Gather", [x, indices], shape, _kind(x), axis=axis)


def _searchsorted(points: host.HostArray, x: Traced, *, side: str = "left") -> Traced:
    """The number of points before x: (n,)."""
    x = x[:, None]
    before = x >= points if side == "right" else x > points
    return _reduction("ReduceSum")(_astype(before, host_xp.int64), axis=1)


_exp, _log, _sin, _tanh = (_unary(kind) for kind in ("Exp", "Log", "Sin", "Tanh"))
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": _unary("Abs"),
    "astype": _astype,
    "concat": _concat,
    "cos": _cos,
    "exp": _exp,
    "expm1": _expm1,
    "floor": _unary("Floor"),
    "full_like": _full_like,
    "isnan": _unary("IsNaN", "bool"),
    "log": _log,
    "log1p": _log1p,
    "matrix_transpose": lambda x: _permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)),
    "max": _reduction("ReduceMax"),
    "maximum": _binary("Max"),
    "mean": _reduction("ReduceMean"),
    "minimum": _binary("Min"),
    "ones_like": _filled(1.0),
    "permute_dims": _permute_dims,
    "reshape": _reshape,
    "sin": _sin,
    "sqrt": _unary("Sqrt"),
    "searchsorted": _searchsorted,
    "stack": _stack,
    "sum": _reduction("ReduceSum"),
    "take": _take,
    "tanh": _tanh,
    "where": _where,
    "zeros_like": _filled(0.0),
}


class TracedNamespace:
    """The namespace of traced arrays, as far as predictions need it; else the host's."""

    def __getattr__(self, name: str) -> Any:
        of_host, of_traced = getattr(host_xp, name), FUNCTIONS.get(name)
        if isinstance(of_host, type) or not callable(of_host):
            return of_host

        def call(*given: Any, **options: Any) -> Any:
            arrays = given[0] if given and isinstance(given[0], list) else given
            if not any(isinstance(x, Traced) for x in arrays):
                return of_host(*given, **options)
            if of_traced is None:
                raise NotImplementedError(f"ONNX has no node for `{name}`")
            return of_traced(*given, **options)

        setattr(self, name, call)
        return call


xp = TracedNamespace()
