"""Initialisers: how weights are drawn before training. Each entry is independent of the others.

An initialiser is a frozen object, called with a host random generator and the shape (m, m_in) of
W^(l); it returns float64 on the host, so every backend starts from the same numbers. Biases start
at 0. fan_in is m_in = m_{l-1} and fan_out is m = m_l.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from . import _checks
from ._described import Described
from .backends import host

INIT = "Dense: `init`"
_AT_ONCE = 1 << 16  # entries that are drawn in one go


class Initializer(Described):
    """A rule that draws a weight matrix."""

    @abstractmethod
    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        """Return float64 weights of `shape` = (m, m_in)."""
        raise NotImplementedError

    def fill(self, rng: host.Generator, W: host.HostArray, argument: str = INIT) -> None:
        """Write weights, rounded to its dtype, into W: (m, m_in); biases into a column, (m, 1).

        argument: whose the rule is, for errors.

        Raises
        ------
        ValueError
            If what is drawn has another shape, or is no real or finite number.
        """
        drawn = host.asarray(self(rng, W.shape))
        if drawn.shape != W.shape:
            raise ValueError(
                f"{argument} must draw numbers of the shape that it is given, {W.shape}, got "
                f"{drawn.shape} from {self!r}."
            )
        if drawn.dtype.kind not in "biuf":
            raise ValueError(
                f"{argument} must draw real numbers, got dtype {drawn.dtype} from {self!r}."
            )
        host.fill(W, drawn)
        if not host.all_finite(W):
            raise ValueError(
                f"{argument} must draw numbers that are finite in {W.dtype}, got NaN or "
                f"infinity from {self!r}."
            )


def _is_ours(rule: Initializer) -> bool:
    """Whether a rule draws as this module says: a subclass of it may draw otherwise."""
    return type(rule).__module__ == __name__


class _OfEachEntry(Initializer):
    """A rule for each entry alone: a few rows after another are drawn as all at once."""

    def fill(self, rng: host.Generator, W: host.HostArray, argument: str = INIT) -> None:
        blocks = host.row_blocks(W, _AT_ONCE) if _is_ours(self) else [W]
        for rows in blocks:
            super().fill(rng, rows, argument)


class Constant(_OfEachEntry):
    """Every weight equal: hidden neurons then stay identical through training."""

    value: float = 0.0

    def __post_init__(self) -> None:
        self._set(value=_checks.number("Constant", "value", self.value))

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return host.full(shape, self.value)


class Uniform(_OfEachEntry):
    """U[-a, a]."""

    a: float = 0.05

    def __post_init__(self) -> None:
        self._set(a=_checks.positive("Uniform", "a", self.a))

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return rng.uniform(-self.a, self.a, shape)


class Normal(_OfEachEntry):
    """N(mu, s^2)."""

    mu: float = 0.0
    s: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            mu=_checks.number("Normal", "mu", self.mu),
            s=_checks.positive("Normal", "s", self.s),
        )

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return rng.normal(self.mu, self.s, shape)


class Signs(_OfEachEntry):
    """1 or -1, each with probability 1/2."""

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return 2.0 * rng.integers(0, 2, shape) - 1.0


class Scaled(Initializer):
    """Zero mean and variance gain / fan, normal or uniform: U[-a, a] has variance a^2 / 3.

    =================  ====  ================  =====================================
    name               gain  fan               source
    =================  ====  ================  =====================================
    kaiming_normal     2     fan_in            He et al. 2015, arXiv:1502.01852
    kaiming_uniform    2     fan_in            the same
    xavier_normal      2     fan_in + fan_out  Glorot and Bengio 2010
    xavier_uniform     2     fan_in + fan_out  the same
    lecun_normal       1     fan_in            LeCun et al. 1998
    =================  ====  ================  =====================================
    """

    gain: float = 2.0
    fan: str = "in"
    uniform: bool = False

    def __post_init__(self) -> None:
        self._set(
            gain=_checks.positive("Scaled", "gain", self.gain),
            fan=_checks.choice("Scaled", "fan", self.fan, ("in", "in+out")),
            uniform=_checks.flag("Scaled", "uniform", self.uniform),
        )

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return self._rule(shape)(rng, shape)

    def fill(self, rng: host.Generator, W: host.HostArray, argument: str = INIT) -> None:
        if _is_ours(self):
            self._rule(W.shape).fill(rng, W, argument)
        else:
            super().fill(rng, W, argument)

    def _rule(self, shape: tuple[int, ...]) -> Uniform | Normal:
        fan_out, fan_in = shape
        variance = self.gain / (fan_in if self.fan == "in" else fan_in + fan_out)
        if self.uniform:
            return Uniform(math.sqrt(3.0 * variance))
        return Normal(0.0, math.sqrt(variance))


class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times gain. Saxe et al. 1312.6120."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        self._set(gain=_checks.positive("Orthogonal", "gain", self.gain))

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        tall = rng.standard_normal((max(shape), min(shape)))
        q = host.orthonormal(tall)
        return self.gain * (q if shape[0] >= shape[1] else q.T)


class OfData(Initializer):
    """A rule that looks at data: `nn.Network.initialise` draws by it, layer by layer."""

    @abstractmethod
    def adapt(self, rng: host.Generator, values: host.HostArray, pre: host.HostArray) -> None:
        """Change what was drawn, in place, by a layer's pre-activations without biases: (n, m)."""
        raise NotImplementedError


class UnitVariance(OfData):
    """N(0, 1), then each neuron's weights divided so that its pre-activation has variance 1.

    The variance is that of `nn.Network.initialise`'s data; without them the weights stay as they
    are drawn, and so do those of a neuron whose pre-activation is constant. For W; Mishkin and
    Matas 2015, arXiv:1511.06422, divide a whole layer's by one number.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X = np.random.default_rng(0).uniform(size=(100, 3))
    >>> net = nn.Network([nn.Dense(3, 4, init=nn.initializers.UnitVariance())])
    >>> net.initialise(X)
    >>> net.scores(X).var(axis=0).round(4)
    array([1., 1., 1., 1.], dtype=float32)
    """

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return rng.standard_normal(shape)

    def adapt(self, rng: host.Generator, values: host.HostArray, pre: host.HostArray) -> None:
        deviations = host.deviations(pre)
        values /= deviations[:, None]


class HullBias(OfData):
    """Minus a random mean of some of the neuron's pre-activations, so that it bends among the data.

    A neuron's pre-activations of `count` samples are averaged with weights from Exp(1), divided by
    their sum: a random point of their convex hull ("he+5" of Steinwart 2019, arXiv:1903.11482).
    The samples are of `nn.Network.initialise`'s data; without them biases are 0. For b alone.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.Network([nn.Dense(1, 3, bias=nn.initializers.HullBias(5))], seed=1)
    >>> net.initialise([[1.0]])
    >>> bool(abs(net([[1.0]])).max() < 1e-6)
    True
    """

    count: int = 5

    def __post_init__(self) -> None:
        self._set(count=_checks.integer("HullBias", "count", self.count))

    def __call__(self, rng: host.Generator, shape: tuple[int, int]) -> host.HostArray:
        return host.full(shape, 0.0)

    def adapt(self, rng: host.Generator, values: host.HostArray, pre: host.HostArray) -> None:
        n, m = pre.shape
        rows = rng.integers(0, n, (self.count, m))
        weights = rng.standard_exponential((self.count, m))
        values[...] = -host.weighted_mean(pre[rows, host.arange(m)], weights)


zeros = Constant(0.0)
ones = Constant(1.0)
signs = Signs()
uniform = Uniform()
normal = Normal()
kaiming_normal = Scaled(2.0)
kaiming_uniform = Scaled(2.0, uniform=True)
xavier_normal = Scaled(2.0, "in+out")
xavier_uniform = Scaled(2.0, "in+out", uniform=True)
lecun_normal = Scaled(1.0)
orthogonal = Orthogonal()

BY_NAME: dict[str, Initializer] = {
    "zeros": zeros,
    "ones": ones,
    "signs": signs,
    "uniform": uniform,
    "normal": normal,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
}


def get(
    init: Any, where: str = "initializers.get", argument: str = "init", *, matrix: bool = True
) -> Initializer:
    """Return the initialiser of a name, or the object itself.

    argument: "init" for weights, or "bias" for biases b: (m,). matrix: whether the weights are a
    matrix W: (m, m_in), which has a fan.
    """
    rule: Initializer = init
    if not isinstance(init, Initializer):
        rule = BY_NAME[_checks.choice(where, argument, init, BY_NAME)]
    has_fan = matrix and argument != "bias"
    if not has_fan and isinstance(rule, Scaled | Orthogonal | UnitVariance):
        what = "biases have" if argument == "bias" else "what is no matrix has"
        raise ValueError(
            f"{where}: `{argument}` must draw each entry alone, got {rule!r}: {what} no fan. Use "
            "nn.initializers.Uniform(a) or Normal(0.0, s)."
        )
    if argument == "init" and isinstance(rule, HullBias):
        raise ValueError(
            f"{where}: `init` must draw weights, got {rule!r}, which is for biases: "
            f"nn.Dense(..., bias={rule!r})."
        )
    return rule
