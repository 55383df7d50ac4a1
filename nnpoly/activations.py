"""Activations: element-wise functions, each beside its derivative.

An activation is a frozen object. Call it on an array of any backend, or ask its derivative::

    >>> import numpy as np
    >>> from nnpoly import activations
    >>> activations.relu(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    >>> activations.LeakyReLU(0.1).derivative(np.asarray([-1.0, 2.0]))
    array([0.1, 1. ])

Inside a network `value` and `slope` are used, which are given the table of primitives and so need
not look for it. `reads` says what the derivative is computed from, so that a layer need not keep
the rest.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

from . import _checks
from ._described import Described
from .backends import registry
from .primitives import Array, Ops


class Activation(Described):
    """An element-wise function sigma with its derivative sigma'."""

    reads: ClassVar[Literal["pre", "post", "none"]] = "pre"
    differentiable: ClassVar[bool] = True

    @abstractmethod
    def value(self, ops: Ops, pre: Array) -> Array:
        """sigma(pre)."""
        raise NotImplementedError

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        """sigma'(pre); only the array that `reads` names is looked at."""
        raise NotImplementedError

    def __call__(self, pre: Any) -> Any:
        """sigma(pre), for an array of any backend."""
        return self.value(registry.of(pre).ops, pre)

    def derivative(self, pre: Any, post: Any = None) -> Any:
        """sigma'(pre), for an array of any backend; `post` = sigma(pre) saves computing it."""
        ops = registry.of(pre).ops
        if post is None:
            post = self.value(ops, pre)
        return self.slope(ops, pre, post)


def _sigmoid(ops: Ops, z: Array) -> Array:
    """Logistic function; exp sees only -|z|, so it cannot overflow."""
    xp = ops.xp
    small = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, xp.ones_like(small), small) / (1.0 + small)


FAR = 1e4  # where every sigma and sigma' has long reached its limit; it fits half precision


def _floored(ops: Ops, z: Array) -> Array:
    """max(z, -FAR): a factor that may meet 0 without making NaN of -inf. NaN passes."""
    return ops.xp.where(z < -FAR, ops.xp.full_like(z, -FAR), z)


def _within(ops: Ops, z: Array, limit: float) -> Array:
    """Clamp z to [-limit, limit]. NaN passes."""
    xp = ops.xp
    high = xp.full_like(z, limit)
    return xp.where(z > limit, high, xp.where(z < -limit, -high, z))


class Step(Activation):
    """The threshold neuron: 1 if z >= 0, else 0. Its derivative is 0, so it cannot be trained."""

    differentiable = False
    reads = "none"

    def value(self, ops: Ops, pre: Array) -> Array:
        return ops.xp.astype(pre >= 0, pre.dtype)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return ops.xp.zeros_like(pre)


class Identity(Activation):
    """z."""

    reads = "none"

    def value(self, ops: Ops, pre: Array) -> Array:
        return pre

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return ops.xp.ones_like(pre)


class Linear(Activation):
    """a z."""

    a: float = 1.0
    reads = "none"

    def __post_init__(self) -> None:
        self._set(a=_checks.number("Linear", "a", self.a))

    def value(self, ops: Ops, pre: Array) -> Array:
        return self.a * pre

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return ops.xp.full_like(pre, self.a)


class Sigmoid(Activation):
    """1 / (1 + exp(-z)); sigma' = sigma (1 - sigma)."""

    reads = "post"

    def value(self, ops: Ops, pre: Array) -> Array:
        return _sigmoid(ops, pre)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return post * (1.0 - post)


class Tanh(Activation):
    """tanh(z); sigma' = 1 - sigma^2."""

    reads = "post"

    def value(self, ops: Ops, pre: Array) -> Array:
        return ops.xp.tanh(pre)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return 1.0 - post * post


class ReLU(Activation):
    """max(z, 0); sigma'(0) = 0."""

    reads = "post"

    def value(self, ops: Ops, pre: Array) -> Array:
        # `<=`, so that NaN passes through instead of becoming 0.
        return ops.xp.where(pre <= 0, ops.xp.zeros_like(pre), pre)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return ops.xp.astype(post > 0, post.dtype)


class LeakyReLU(Activation):
    """z if z > 0, else a z."""

    a: float = 0.01

    def __post_init__(self) -> None:
        self._set(a=_checks.number("LeakyReLU", "a", self.a))

    def value(self, ops: Ops, pre: Array) -> Array:
        return ops.xp.where(pre > 0, pre, self.a * pre)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        ones = ops.xp.ones_like(pre)
        return ops.xp.where(pre > 0, ones, self.a * ones)


class ELU(Activation):
    """z if z > 0, else a (exp(z) - 1). Clevert et al. 2015, arXiv:1511.07289."""

    a: float = 1.0

    def __post_init__(self) -> None:
        self._set(a=_checks.number("ELU", "a", self.a))

    def value(self, ops: Ops, pre: Array) -> Array:
        # The branch that `where` drops must not overflow either.
        negative = ops.xp.where(pre > 0, ops.xp.zeros_like(pre), pre)
        return ops.xp.where(pre > 0, pre, self.a * ops.xp.expm1(negative))

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        negative = ops.xp.where(pre > 0, ops.xp.zeros_like(pre), pre)
        return ops.xp.where(pre > 0, ops.xp.ones_like(pre), self.a * ops.xp.exp(negative))


class SELU(Activation):
    """1.0507 z if z > 0, else 1.7581 (exp(z) - 1). Klambauer et al. 2017, arXiv:1706.02515.

    With these two numbers a mean of 0 and a variance of 1 are kept from layer to layer.
    """

    _ABOVE = 1.0507009873554804934193349852946
    _BELOW = 1.7580993408473768599402175208123

    def value(self, ops: Ops, pre: Array) -> Array:
        negative = ops.xp.where(pre > 0, ops.xp.zeros_like(pre), pre)  # as in ELU
        return ops.xp.where(pre > 0, self._ABOVE * pre, self._BELOW * ops.xp.expm1(negative))

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        negative = ops.xp.where(pre > 0, ops.xp.zeros_like(pre), pre)
        above = ops.xp.full_like(pre, self._ABOVE)
        return ops.xp.where(pre > 0, above, self._BELOW * ops.xp.exp(negative))


class Softplus(Activation):
    """log(1 + exp(z)); sigma' is the logistic function."""

    def value(self, ops: Ops, pre: Array) -> Array:
        xp = ops.xp
        positive = xp.where(pre <= 0, xp.zeros_like(pre), pre)
        return positive + xp.log1p(xp.exp(-xp.abs(pre)))

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return _sigmoid(ops, pre)


class SiLU(Activation):
    """z sigmoid(z), also called swish."""

    def value(self, ops: Ops, pre: Array) -> Array:
        return _floored(ops, pre) * _sigmoid(ops, pre)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        s = _sigmoid(ops, pre)
        return s * (1.0 + _within(ops, pre, FAR) * (1.0 - s))


class Mish(Activation):
    """z tanh(log(1 + exp(z))). Misra 2019, arXiv:1908.08681.

    With e = exp(z) the factor is (e^2 + 2 e) / (e^2 + 2 e + 2).
    """

    def value(self, ops: Ops, pre: Array) -> Array:
        _, above, below = self._fraction(ops, pre)
        return _floored(ops, pre) * (above / below)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        small, above, below = self._fraction(ops, pre)
        # The derivative of the factor is 4 e (1 + e) / (e^2 + 2 e + 2)^2.
        rise = 4.0 * ops.xp.where(pre >= 0, small * small, small) * (1.0 + small)
        return above / below + _within(ops, pre, FAR) * (rise / (below * below))

    @staticmethod
    def _fraction(ops: Ops, z: Array) -> tuple[Array, Array, Array]:
        """Return exp(-|z|), and the factor's two parts; where z >= 0 they are divided by e^2."""
        xp = ops.xp
        small = xp.exp(-xp.abs(z))
        above = xp.where(z >= 0, 1.0 + 2.0 * small, small * (small + 2.0))
        rest = xp.where(z >= 0, 2.0 * small * small, xp.full_like(small, 2.0))
        return small, above, above + rest


class Exp(Activation):
    """exp(z): the output of Poisson regression. It has no short name, since it overflows soon."""

    reads = "post"

    def value(self, ops: Ops, pre: Array) -> Array:
        return ops.xp.exp(pre)

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        return post


class GELU(Activation):
    """z Phi(z), Phi the normal distribution function: the erf form.

    Hendrycks and Gimpel 2016, arXiv:1606.08415. Some libraries mean the tanh form: see `GELUTanh`.
    """

    def value(self, ops: Ops, pre: Array) -> Array:
        cdf: Array = ops.normal_cdf(pre)
        return _floored(ops, pre) * cdf

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        # Far out z^2 would overflow half precision; the density is 0 there in every float type.
        near = _within(ops, pre, 40.0)
        density = (1.0 / math.sqrt(2.0 * math.pi)) * ops.xp.exp(-0.5 * (near * near))
        cdf: Array = ops.normal_cdf(pre)
        return cdf + near * density


class GELUTanh(Activation):
    """z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2: the tanh approximation of GELU."""

    def value(self, ops: Ops, pre: Array) -> Array:
        inner, _ = self._inner(_within(ops, pre, 30.0))
        return 0.5 * _floored(ops, pre) * (1.0 + ops.xp.tanh(inner))

    def slope(self, ops: Ops, pre: Array, post: Array) -> Array:
        near = _within(ops, pre, 30.0)  # beyond, tanh is exactly +-1
        inner, inner_slope = self._inner(near)
        t = ops.xp.tanh(inner)
        return 0.5 * (1.0 + t) + 0.5 * near * (1.0 - t * t) * inner_slope

    @staticmethod
    def _inner(z: Array) -> tuple[Array, Array]:
        """Return the cubic and its derivative."""
        scale, square = math.sqrt(2.0 / math.pi), z * z
        return scale * z * (1.0 + 0.044715 * square), scale * (1.0 + 3.0 * 0.044715 * square)


step = Step()
identity: Activation = Identity()
linear = Linear()
sigmoid = Sigmoid()
tanh = Tanh()
relu = ReLU()
leaky_relu = LeakyReLU()
elu = ELU()
selu = SELU()
softplus = Softplus()
silu = SiLU()
mish = Mish()
gelu = GELU()
gelu_tanh = GELUTanh()

BY_NAME: dict[str, Activation] = {
    "step": step,
    "identity": identity,
    "linear": linear,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "softplus": softplus,
    "silu": silu,
    "mish": mish,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
}


def get(activation: Any, where: str = "activations.get") -> Activation:
    """Return the activation of a name, or the object itself."""
    if isinstance(activation, Activation):
        return activation
    return BY_NAME[_checks.choice(where, "activation", activation, BY_NAME)]
