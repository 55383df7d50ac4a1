"""The table of primitives as it writes graphs of ONNX.

The definitions write themselves, but for what one node of ONNX computes as they do, and for
activations. These are written without `where`, which takes onnxruntime twenty times as long as
other element-wise nodes. Its own nodes for most of them would be faster still, but give other
numbers: Gelu and Mish make NaN of -infinity, Elu and Selu lose what is near 0, Sigmoid is 0 below
-18, and most of them float64 does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from .. import activations
from ..activations import FAR, Activation
from ..primitives import TABLE, TAIL_CENTRE, TAIL_END, Ops, tail_series
from .onnx_graph import xp

Array: TypeAlias = Any  # of a graph

SINGLE = "float32"
NODES = {activations.ReLU: "Relu", activations.Tanh: "Tanh", activations.Sigmoid: "Sigmoid"}


class GraphOps(Ops):
    """The table, whose results are of a graph."""

    def __init__(self) -> None:
        super().__init__(xp)
        self._rows: dict[str, tuple[Array, float]] = {}  # by their mean: the rows, and eps

    def dense(
        self, x: Any, W: Any, b: Any, activation: Any, keep_pre: bool = True
    ) -> tuple[Any, Any]:
        """`dense` by one node, which reads W as it is."""
        given = [x, W] if b is None else [x, W, b]
        pre = x.graph.node("Gemm", given, (x.shape[0], W.shape[0]), x.kind, transB=1)
        return pre, self.activate(pre, activation)

    def activate(self, pre: Any, activation: Any) -> Any:
        """`activate`, by a node or by a form of its own."""
        kind = type(activation)
        if kind in NODES:
            return pre.graph.node(NODES[kind], [pre], pre.shape, pre.kind)
        if kind is activations.LeakyReLU and pre.kind == SINGLE:
            return pre.graph.node("LeakyRelu", [pre], pre.shape, pre.kind, alpha=activation.a)
        if kind in FORMS:
            return FORMS[kind](pre, activation)
        return activation.value(self, pre)

    def softmax(self, scores: Any) -> Any:
        """`softmax` by one node."""
        return scores.graph.node("Softmax", [scores], scores.shape, scores.kind, axis=1)

    def moments(self, x: Any, axis: int, eps: float) -> Any:
        """`moments`, of which `normalise` knows whose they are."""
        found = TABLE["moments"].definition(self, x, axis, eps)
        self._rows[found[0].name] = x, eps
        return found

    def normalise(self, x: Any, mean: Any, scale: Any, gain: Any, shift: Any) -> Any:
        """`normalise`, of rows by one node if its eps, which is a float32, is the same number."""
        of, eps = self._rows.get(getattr(mean, "name", ""), (None, 0.0))
        if of is not x or (x.kind != SINGLE and eps != float(xp.float32(eps))):
            return TABLE["normalise"].definition(self, x, mean, scale, gain, shift)
        options = {"axis": 1, "epsilon": eps}
        return x.graph.node("LayerNormalization", [x, gain, shift], x.shape, x.kind, **options)


class OutputOps(GraphOps):
    """The same for predictions, whose small probabilities count."""

    def activate(self, pre: Any, activation: Any) -> Any:
        if type(activation) is activations.Sigmoid:
            return _sigmoid(pre)
        return super().activate(pre, activation)


# Activations


def _relu(z: Array) -> Array:
    return z.graph.node("Relu", [z], z.shape, z.kind)


def _below(z: Array) -> Array:
    return xp.minimum(z, 0.0)


def _floored(z: Array) -> Array:
    """max(z, -FAR), a factor that may meet 0."""
    return xp.maximum(z, -FAR)


def _sigmoid(z: Array) -> Array:
    # Where exp overflows, which makes no NaN, it is less than the least normal number.
    return 1.0 / (1.0 + xp.exp(-z))


def _softplus(z: Array) -> Array:
    return _relu(z) + xp.log1p(xp.exp(-xp.abs(z)))


def _mish(z: Array) -> Array:
    # With e = exp(z), (e^2 + 2 e) / (e^2 + 2 e + 2), which from 20 on is 1.
    e = xp.exp(xp.minimum(z, 20.0))
    above = e * (e + 2.0)
    return _floored(z) * (above / (above + 2.0))


def _gelu(z: Array) -> Array:
    """max(z, 0) - u T(u), T being the upper tail and u = |z|."""
    u = xp.minimum(xp.abs(z), TAIL_END)
    if z.kind == SINGLE:
        erf = z.graph.node("Erf", [u * math.sqrt(0.5)], z.shape, z.kind)
        return _relu(z) - u * (0.5 - 0.5 * erf)
    t = 1.0 - 2.0 * TAIL_CENTRE / (u + TAIL_CENTRE)
    highest, *rest = tail_series(2.0**-52)
    q = highest * t + rest[0]
    for c in rest[1:]:
        q = q * t + c
    return _relu(z) - u * (xp.exp(-0.5 * (u * u)) * q)


def _gelu_tanh(z: Array) -> Array:
    near = xp.minimum(xp.maximum(z, -30.0), 30.0)  # beyond, tanh is exactly +-1
    inner = math.sqrt(2.0 / math.pi) * near * (1.0 + 0.044715 * (near * near))
    return 0.5 * _floored(z) * (1.0 + xp.tanh(inner))


FORMS: dict[type[Activation], Callable[[Array, Any], Array]] = {
    activations.LeakyReLU: lambda z, sigma: _relu(z) + sigma.a * _below(z),
    activations.ELU: lambda z, sigma: _relu(z) + sigma.a * xp.expm1(_below(z)),
    activations.SELU: lambda z, sigma: sigma._ABOVE * _relu(z) + sigma._BELOW * xp.expm1(_below(z)),
    activations.Softplus: lambda z, _: _softplus(z),
    activations.SiLU: lambda z, _: _floored(z) * _sigmoid(z),
    activations.Mish: lambda z, _: _mish(z),
    activations.GELU: lambda z, _: _gelu(z),
    activations.GELUTanh: lambda z, _: _gelu_tanh(z),
}
