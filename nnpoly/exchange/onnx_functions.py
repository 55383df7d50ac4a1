"""What element-wise ONNX operators compute, as formulas, and which activation a formula is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from .. import activations
from ..activations import Activation
from .onnx_algebra import Formula, TooComplex, X, apply, maximum, minimum, number, same, where
from .onnx_parsing import FLOATS, Node

Given: TypeAlias = Sequence[Formula | None]
# A number that a file of a dtype has for one that is not a float of it.
TOLERANCE = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-9}
_ROOT, _SLOPE = math.sqrt(0.5), math.sqrt(2.0 / math.pi)


def as_written(value: float, dtype: str) -> float:
    """A number of a file as a Python float: in float32 the shortest that means the same float32.

    ONNX's attributes are float32 in every graph. A float64 network computes with just that.
    """
    return float(value) if dtype == "float64" else float(str(np.float32(value)))


# Operators


def _softplus(z: Formula) -> Formula:
    return apply("softplus", z)


def _exp(z: Formula) -> Formula:
    return apply("exp", z)


def _relu(z: Formula) -> Formula:
    return where(z > 0.0, z, 0.0)


def _gelu(z: Formula) -> Formula:
    return 0.5 * z * (1.0 + apply("erf", z * _ROOT))


def _gelu_tanh(z: Formula) -> Formula:
    return 0.5 * z * (1.0 + apply("tanh", _SLOPE * (z + 0.044715 * z * z * z)))


def _elu(z: Formula, a: float) -> Formula:
    return where(z > 0.0, z, a * (_exp(z) - 1.0))


def _selu(z: Formula) -> Formula:
    above, below = 1.0507009873554805, 1.7580993408473766
    return where(z > 0.0, above * z, below * (_exp(z) - 1.0))


def _mish(z: Formula) -> Formula:
    return z * apply("tanh", _softplus(z))


def _of_row(function: str) -> Callable[[Node, list[Formula]], Formula]:
    """A mean, sum or maximum along each row."""

    def formula(node: Node, given: list[Formula]) -> Formula:
        axes: Any = node.attributes.get("axes", [g.number for g in given[1:]])
        kept = node.attributes.get("keepdims", 1) == 1
        if not kept or list(axes) not in ([-1], [1]):
            raise TooComplex("it goes along more than the rows")
        return apply(function, given[0])

    return formula


def _cast(node: Node, given: list[Formula]) -> Formula:
    if node.attributes.get("to") not in (*FLOATS, 9):
        raise TooComplex("it makes integers")
    return given[0]


def _clip(node: Node, given: Given) -> Formula:
    """Clip from 0 to infinity, or to the largest number, is ReLU."""
    low, high = (
        given[i] if i < len(given) else _formula_or_none(node.attributes.get(name))
        for i, name in ((1, "min"), (2, "max"))
    )
    z = given[0]
    unbounded = high is None or (high.number or 0.0) > 3.4e38
    if z is None or low is None or low.number != 0.0 or not unbounded:
        raise TooComplex("it bounds values, where only a lower bound of 0 is an activation")
    return _relu(z)


def _formula_or_none(value: float | None) -> Formula | None:
    return None if value is None or math.isinf(value) else number(value)


def _elu_of(node: Node, given: list[Formula]) -> Formula:
    return _elu(given[0], node.attributes.get("alpha", 1.0))


def _celu_of(node: Node, given: list[Formula]) -> Formula:
    a = node.attributes.get("alpha", 1.0)
    return where(given[0] > 0.0, given[0], a * (_exp(given[0] / number(a)) - 1.0))


def _selu_of(node: Node, given: list[Formula]) -> Formula:
    a = node.attributes.get("alpha", 1.6732631921768188)
    g = node.attributes.get("gamma", 1.0507010221481323)
    if not (
        math.isclose(a, 1.6732632423543772, rel_tol=1e-7)
        and math.isclose(g, 1.0507009873554805, rel_tol=1e-7)
    ):
        raise TooComplex("its numbers are not those of SELU")
    return _selu(given[0])


def _gelu_of(node: Node, given: list[Formula]) -> Formula:
    form = node.attributes.get("approximate", "none")
    return _gelu_tanh(given[0]) if form == "tanh" else _gelu(given[0])


def _swish_of(node: Node, given: list[Formula]) -> Formula:
    return given[0] * apply("sigmoid", given[0] * node.attributes.get("alpha", 1.0))


def _leaky_of(node: Node, given: list[Formula]) -> Formula:
    return where(given[0] > 0.0, given[0], given[0] * node.attributes.get("alpha", 0.01))


def _power(node: Node, given: list[Formula]) -> Formula:
    base, power = given
    if power.number is None:
        raise TooComplex("its power is no number")
    return base.to(power.number)


def _plain(function: Callable[..., Formula], count: int = 1) -> Callable[..., Formula]:
    def formula(node: Node, given: list[Formula]) -> Formula:
        if len(given) != count:
            raise TooComplex(f"it takes {len(given)} values")
        return function(*given)

    return formula


def _named(function: str) -> Callable[..., Formula]:
    return _plain(lambda z: apply(function, z))


_OPERATORS: dict[str, Callable[[Node, list[Formula]], Formula]] = {
    "Abs": _plain(abs),
    "Add": _plain(lambda a, b: a + b, 2),
    "Cast": _cast,
    "Celu": _celu_of,
    "Div": _plain(lambda a, b: a / b, 2),
    "Elu": _elu_of,
    "Erf": _named("erf"),
    "Exp": _plain(_exp),
    "Gelu": _gelu_of,
    "Greater": _plain(lambda a, b: a > b, 2),
    "GreaterOrEqual": _plain(lambda a, b: a >= b, 2),
    "Identity": _plain(lambda a: a),
    "LeakyRelu": _leaky_of,
    "Less": _plain(lambda a, b: a < b, 2),
    "LessOrEqual": _plain(lambda a, b: a <= b, 2),
    "Log": _named("log"),
    "Max": _plain(maximum, 2),
    "Min": _plain(minimum, 2),
    "Mish": _plain(_mish),
    "Mul": _plain(lambda a, b: a * b, 2),
    "Neg": _plain(lambda a: -a),
    "Not": _plain(lambda a: 1.0 - a),
    "PRelu": _plain(lambda z, a: where(z > 0.0, z, a * z), 2),
    "Pow": _power,
    "Reciprocal": _plain(lambda a: a.to(-1.0)),
    "ReduceMax": _of_row("max"),
    "ReduceMean": _of_row("mean"),
    "ReduceSum": _of_row("sum"),
    "Relu": _plain(_relu),
    "Selu": _selu_of,
    "Sigmoid": _named("sigmoid"),
    "Softplus": _plain(_softplus),
    "Sqrt": _plain(lambda a: a.to(0.5)),
    "Sub": _plain(lambda a, b: a - b, 2),
    "Sum": _plain(lambda a, b: a + b, 2),
    "Swish": _swish_of,
    "Tanh": _named("tanh"),
    "Where": _plain(where, 3),
}
KNOWN = {*_OPERATORS, "Clip"}


def formula_of(node: Node, given: Given) -> Formula:
    """Return the formula of a node of the operators `KNOWN`, given those of its operands.

    given: None for one that is left out, and for an infinite number.
    """
    if node.op == "Clip":
        return _clip(node, given)
    there = [formula for formula in given if formula is not None]
    if not there or len(there) < len(given):
        raise TooComplex("it has an operand that is infinite, or none")
    return _OPERATORS[node.op](node, there)


# Activations


class _Symbols:
    """The array namespace that nnpoly's own text is run with to become a formula."""

    abs = staticmethod(abs)
    where = staticmethod(where)
    tanh = staticmethod(lambda z: apply("tanh", z))
    exp = staticmethod(_exp)
    expm1 = staticmethod(lambda z: _exp(z) - 1.0)
    log1p = staticmethod(lambda z: apply("log", 1.0 + z))
    zeros_like = staticmethod(lambda z: number(0.0))
    ones_like = staticmethod(lambda z: number(1.0))
    full_like = staticmethod(lambda z, value: number(value))
    astype = staticmethod(lambda z, dtype: z)


class _Ops:
    """The table of primitives, as far as activations ask it."""

    xp = _Symbols

    @staticmethod
    def normal_cdf(z: Formula) -> Formula:
        return 0.5 * (1.0 + apply("erf", z * _ROOT))


def own_formula(activation: Activation) -> Formula:
    """The formula that nnpoly itself computes."""
    compute: Any = activation.value
    made: Formula = compute(_Ops, X)
    return made


def _sigmoids() -> Sequence[Formula]:
    return apply("sigmoid", X), 1.0 / (1.0 + _exp(-X))


def _softplusses(dtype: str) -> Iterator[Formula]:
    yield from (_softplus(X), apply("log", 1.0 + _exp(X)))
    if dtype != "float64":  # torch's, linear above 20: the same float32
        yield where(X > 20.0, X, _softplus(X))


@cache
def _forms(dtype: str) -> dict[int, list[tuple[Activation, Formula]]]:
    """The activations without a number of their own, in every way that they are written, by size.

    Only formulas of equal size may be the same.
    """
    found: dict[int, list[tuple[Activation, Formula]]] = {}
    for activation, form in _written(dtype):
        found.setdefault(form.size, []).append((activation, form))
    return found


def _written(dtype: str) -> Iterator[tuple[Activation, Formula]]:
    """Yield each activation that has no number of its own, in every way that it is written."""
    yield activations.step, X >= 0.0
    for activation in (*activations.BY_NAME.values(), activations.Exp()):
        if not activation.accepted and activation.differentiable:
            yield activation, own_formula(activation)
    for s in _sigmoids():
        yield activations.sigmoid, s
        yield activations.silu, X * s
    for s in _softplusses(dtype):
        yield activations.softplus, s
        yield activations.mish, X * apply("tanh", s)
    yield activations.gelu, _gelu(X)
    yield activations.gelu_tanh, _gelu_tanh(X)


def _families(a: float) -> Iterator[tuple[Activation, Formula]]:
    """Yield the activations that have a number."""
    yield activations.Linear(a), a * X
    yield activations.LeakyReLU(a), where(X > 0.0, X, a * X)
    yield activations.ELU(a), _elu(X, a)


def activation_of(formula: Formula, dtype: str) -> Activation | None:
    """Return the activation that a formula of the variable is, if it is one."""
    tolerance = TOLERANCE[dtype]
    for activation, form in _forms(dtype).get(formula.size, ()):
        if same(formula, form, tolerance):
            return activation
    if formula.size > _LARGEST_FAMILY:
        return None
    for a in dict.fromkeys(formula.numbers()):
        for value in (a, -a):
            for activation, form in _families(value):
                if same(formula, form, tolerance):
                    return activation.replace(a=as_written(value, dtype))
    return None


def _softmax() -> Formula:
    raised = _exp(X - apply("max", X))
    return raised / apply("sum", raised)


def _norm(eps: float) -> Formula:
    centred = X - apply("mean", X)
    return centred * (apply("mean", centred * centred) + eps).to(-0.5)


_LARGEST_FAMILY = max(form.size for _, form in _families(2.0))
_SOFTMAX = _softmax()
_NORM_SIZE = _norm(1.0).size


def is_softmax(formula: Formula) -> bool:
    """Whether a formula is that of softmax."""
    return same(formula, _SOFTMAX, 0.0)


def norm_eps(formula: Formula, dtype: str) -> float | None:
    """Return the eps of the layer normalisation, without gain and shift, that a formula is."""
    if formula.size != _NORM_SIZE:
        return None
    for eps in dict.fromkeys(formula.numbers()):
        if eps > 0.0 and same(formula, _norm(eps), TOLERANCE[dtype]):
            return as_written(eps, dtype)
    return None
