"""Initialisation: the variance of the pre-activations, and the symmetry between neurons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks, initializers
from ..backends import Backend, host, registry
from ..initializers import Constant, Initializer, Normal, Orthogonal, Scaled, Uniform
from ..layers import Dense
from ..network import MLP, Network
from ..optimizers import SGD, Optimizer
from ..training import Trainer
from . import _inputs
from ._inputs import HostArray

NODES = 128  # of the Gauss-Hermite rule; an even number, so that it is exact for relu too


@dataclass(frozen=True)
class VarianceProfile:
    """The variance of the pre-activations h~^(l), an entry for each layer.

    Attributes
    ----------
    measured
        The mean of h~^2 over samples and neurons: the variance, since the mean of h~ over the draw
        of the weights is 0 (except for constant weights). inf or NaN on overflow.
    predicted
        The variances by the initialisers' laws; None without a law (see `variance_profile`).
    """

    measured: tuple[float, ...]
    predicted: tuple[float, ...] | None

    @property
    def factor(self) -> float:
        """The factor by which a layer multiplies the variance, measured: the geometric mean."""
        return _growth(self.measured)

    @property
    def predicted_factor(self) -> float | None:
        """The same factor, predicted; None without a prediction."""
        return None if self.predicted is None else _growth(self.predicted)

    def __str__(self) -> str:
        predicted: Sequence[Any] = self.predicted or ["-"] * len(self.measured)
        rows = [
            (l + 1, v, p) for l, (v, p) in enumerate(zip(self.measured, predicted, strict=True))
        ]
        factors = ("factor", self.factor, "-" if self.predicted is None else self.predicted_factor)
        return _inputs.table(("layer", "measured", "predicted"), [*rows, factors])


def _growth(variances: Sequence[float]) -> float:
    """Return the geometric mean of the factors from layer to layer."""
    first, last = variances[0], variances[-1]
    if first == 0.0 or last == 0.0:
        return 0.0
    return math.exp((math.log(last) - math.log(first)) / max(1, len(variances) - 1))


def variance_profile(
    subject: Any,
    X: Any = None,
    *,
    depth: int = 50,
    width: int = 256,
    activation: Any = "relu",
    seed: int = 0,
    backend: str | Backend | None = None,
    device: Any = None,
) -> VarianceProfile:
    """Measure and predict the variance of the pre-activations of each layer.

    With i.i.d. weights of mean 0 and variance s^2, and b = 0, in the limit of wide layers,
    Var h~^(l) = m_(l-1) s^2 E[sigma(h~^(l-1))^2] with h~^(l-1) ~ N(0, Var h~^(l-1)). For ReLU the
    expectation is half the variance, so a layer multiplies the variance by m s^2 / 2:

    ==========  ===========  ======================
    init        s^2          factor a layer (ReLU)
    ==========  ===========  ======================
    zeros       0            0
    constant c  none         (c m)^2
    N(0, 1)     1            m / 2
    Kaiming     2 / m        1
    Xavier      1 / m        1/2
    ==========  ===========  ======================

    (Constant weights add up coherently: h~^(l) = c m sigma(h~^(l-1)) in every neuron; the factor
    holds from the second layer on, and the first ReLU drops half of the variance.) Other
    activations have no constant factor; the expectation is computed by the Gauss-Hermite rule.

    Parameters
    ----------
    subject
        An initialiser, name or object, for a network of `depth` layers of `width` neurons, with 64
        samples from N(0, 1) as its input; or a network of Dense layers.
    X
        With a network: its input (n, m_0), of independent features with mean 0. The prediction is
        for the network as it was drawn, and requires one initialiser for all layers.
    depth, width, activation, seed, backend, device
        The parameters of the network that is made for an initialiser, in float64.

    Notes
    -----
    Glorot and Bengio 2010; He et al. 2015, arXiv:1502.01852.

    Examples
    --------
    >>> import nnpoly as nn
    >>> for init in ("normal", "kaiming_normal", "xavier_normal"):
    ...     profile = nn.theory.variance_profile(init, depth=20, width=128)
    ...     print(f"{init:<14} {profile.factor:5.2f} {profile.predicted_factor:5.2f}")
    normal         64.44 64.00
    kaiming_normal  1.01  1.00
    xavier_normal   0.50  0.50
    """
    where = "variance_profile"
    if isinstance(subject, Network):
        net, samples = subject, X
        if X is None:
            raise ValueError(f"{where}: `X` must be given with a network: its input (n, m_0).")
    else:
        if X is not None:
            raise ValueError(
                f"{where}: `X` must be None with an initialiser, which draws its own. "
                "Pass depth and width by name."
            )
        net = _deep(where, subject, depth, width, activation, seed, backend, device)
        samples = host.generator(net.seed, depth).standard_normal((64, width))
    chain = _dense_layers(where, net)
    with np.errstate(over="ignore", invalid="ignore"):
        pre = [registry.to_host(h).astype("float64") for h in net.trace(samples).pre]
        measured = tuple(float(np.mean(h * h)) for h in pre)
        square = float(np.mean(_inputs.array(where, "X", samples) ** 2))
        return VarianceProfile(measured, _predicted(chain, square))


def _deep(
    where: str, init: Any, depth: int, width: int, activation: Any, seed: int, *place: Any
) -> MLP:
    """Make a network of `depth` layers of `width` neurons."""
    rule = initializers.get(init, where)
    depth = _checks.integer(where, "depth", depth)
    width = _checks.integer(where, "width", width)
    widths = [width] * (depth + 1)
    return MLP(widths, activation, "identity", rule, "float64", seed, *place)


def _dense_layers(where: str, net: Network) -> list[Dense]:
    _inputs.dense_chain(where, net)
    return [bound.layer for bound in net.layers]  # type: ignore[misc]


def _predicted(chain: list[Dense], square: float) -> tuple[float, ...] | None:
    """Return each layer's variance by the laws, for inputs of the mean square `square`."""
    init = chain[0].init
    if any((layer.init, layer.bias) != (init, initializers.zeros) for layer in chain):
        return None
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    variances, post = [], math.sqrt(square) * nodes
    for l, layer in enumerate(chain):
        m, s2 = layer.inputs, _variance(init, (layer.outputs, layer.inputs))
        if isinstance(init, Constant):  # equal neurons add up; the inputs are independent
            pre = layer.factor * init.value * (m if l else math.sqrt(m)) * post
        elif s2 is not None:
            pre = layer.factor * math.sqrt(m * s2 * float(weights @ (post * post))) * nodes
        else:
            return None
        variances.append(float(weights @ (pre * pre)))
        post = layer.activation(pre)
    return tuple(variances)


def _variance(init: Initializer, shape: tuple[int, int]) -> float | None:
    """Return the variance of a weight of mean 0, or None for another or unknown law."""
    fan_out, fan_in = shape
    if isinstance(init, Uniform):
        return init.a**2 / 3.0
    if isinstance(init, Normal):
        return init.s**2 if init.mu == 0.0 else None
    if isinstance(init, Scaled):
        return init.gain / (fan_in if init.fan == "in" else fan_in + fan_out)
    if isinstance(init, Orthogonal):
        return init.gain**2 / max(shape)
    return None


@dataclass(frozen=True, eq=False)
class SymmetryRun:
    """The differences between the neurons of each hidden layer during training.

    Attributes
    ----------
    spread
        The largest absolute difference between a neuron's weights and bias and those of the
        layer's first neuron: (steps + 1, hidden layers), the start first. 0: identical neurons.
    gradient
        The largest `|dL/dW|` of each hidden layer: (steps + 1, hidden layers).
    scores
        The largest `|f~|`: (steps + 1,).
    loss
        The loss before each step and after the last: (steps + 1,).
    network
        The trained copy.
    """

    spread: HostArray
    gradient: HostArray
    scores: HostArray
    loss: HostArray
    network: Network

    def __str__(self) -> str:
        rows = [
            (t, float(self.loss[t]), float(self.spread[t].max()), float(self.gradient[t].max()))
            for t in range(len(self.loss))
        ]
        return _inputs.table(("step", "loss", "spread", "hidden gradient"), rows)


def symmetry(
    net: Network, X: Any, y: Any, steps: int = 20, optimizer: Optimizer | None = None
) -> SymmetryRun:
    """Train a copy of a network, and record the differences between its hidden neurons.

    Neurons of a layer that start with equal incoming and outgoing weights have equal gradients and
    stay equal: with constant weights a layer of any width acts as one neuron. With zeros, scores
    and hidden gradients are 0: delta^(l) = (delta^(l+1) W^(l+1)) * sigma'(h~) = 0.

    Parameters
    ----------
    net
        A network of Dense layers with at least one hidden layer. It is not changed.
    X, y
        Data as for `Trainer.step`; each step uses all of it.
    steps, optimizer
        The number of steps, and the optimiser; SGD(0.1) by default.

    Notes
    -----
    Glorot and Bengio 2010 on why initialisation must break the symmetry.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X, y = np.eye(4), np.array([0, 1, 1, 1])
    >>> constant = nn.MLP([4, 8, 2], "tanh", init=nn.initializers.Constant(0.5), dtype="float64")
    >>> run = nn.theory.symmetry(constant, X, y, steps=10)
    >>> bool(run.spread.max() < 1e-14), bool(run.loss[-1] < run.loss[0])
    (True, True)
    >>> drawn = nn.theory.symmetry(nn.MLP([4, 8, 2], "tanh"), X, y, steps=10)
    >>> bool(drawn.spread.min() > 0.1)
    True
    """
    where = "symmetry"
    if len(_inputs.dense_chain(where, net)) < 2:
        raise ValueError(f"{where}: `net` must have a hidden layer, got widths {net.widths}.")
    steps = _checks.integer(where, "steps", steps)
    trainer = Trainer(net.copy(), SGD(0.1) if optimizer is None else optimizer)
    rows = [_measured(trainer.network, X, y)]
    for _ in range(steps):
        trainer.step(X, y)
        rows.append(_measured(trainer.network, X, y))
    spread, gradient, scores, loss = (np.array(column) for column in zip(*rows, strict=True))
    return SymmetryRun(spread, gradient, scores, loss, trainer.network)


def _measured(net: Network, X: Any, y: Any) -> tuple[list[float], list[float], float, float]:
    """Return each hidden layer's spread and largest gradient, the largest score and the loss."""
    loss, grads = net.gradients(X, y)
    chain = _inputs.dense_chain("symmetry", net)[:-1]
    neurons = [np.column_stack([W, b]) for _, W, b in chain]
    spread = [_largest(rows - rows[:1]) for rows in neurons]
    return spread, [_largest(W) for W in grads.W[:-1]], _largest(net.scores(X)), float(loss)


def _largest(values: Any) -> float:
    return float(np.abs(registry.to_host(values)).max())
