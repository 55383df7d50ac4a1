"""Layers that work on each feature alone, with a parameter for each."""

from __future__ import annotations

from typing import Any

from .. import _checks, activations
from ..backends import host
from ..primitives import Array, Ops
from .base import INPUT, Mode, OfFeatures, Out, Parameters, Stage


class Scale(OfFeatures):
    """Multiply each feature by a factor that is learnt: x * s.

    Before the first Dense layer of RealMLP (Holzmueller et al. 2024, arXiv:2407.04491) it selects
    features softly, with six times the learning rate of the other layers.

    Parameters
    ----------
    features
        The width m. s has shape (m,), starting at 1.
    rates
        Factors of the learning rate and the weight decay of "s": see `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.Network([nn.Scale(3, rates={"s": (6.0, 1.0)}), nn.Dense(3, 1)])
    >>> net.layers[0].s
    array([1., 1., 1.], dtype=float32)
    """

    rates: Any = ()

    def __post_init__(self) -> None:
        self._set(features=_checks.integer("Scale", "features", self.features))
        self._check_rates()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"s": (self.features,)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        return {"s": host.full((self.features,), 1.0)}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        post = x * params["s"]
        return Stage(x, post, post, self.activation)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        gradients = {"s": ops.scale_gradient(delta, stage.x, out)}
        if below is INPUT:
            return gradients, None
        return gradients, below.delta(ops, delta * params["s"])

    def row_gradients(
        self, ops: Ops, params: Parameters, buffers: Parameters, stage: Stage, delta: Array
    ) -> dict[str, Array]:
        return {"s": delta * stage.x}


class Blend(OfFeatures):
    """Parametric activation: (1 - a) x + a sigma(x), with an a for each feature that is learnt.

    It is linear where a is 0 and sigma where it is 1, and may become more than either. Holzmueller
    et al. 2024, arXiv:2407.04491, have it after every hidden layer.

    Parameters
    ----------
    features
        The width m. a has shape (m,), starting at 1.
    activation
        sigma, a name or an `nn.activations` object.
    rates
        Factors of the learning rate and the weight decay of "a": see `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> chain = [nn.Dense(2, 8), nn.Blend(8, "silu", {"a": (0.1, 1.0)}), nn.Dense(8, 1)]
    >>> nn.Network(chain).layers[1].a.shape
    (8,)
    """

    activation: Any  # the layer's own part: none comes after it, and delta is that of its result
    rates: Any = ()

    def __post_init__(self) -> None:
        self._set(
            features=_checks.integer("Blend", "features", self.features),
            activation=activations.get(self.activation, "Blend"),
        )
        self._check_rates()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"a": (self.features,)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        return {"a": host.full((self.features,), 1.0)}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        post = ops.blend(x, params["a"], self.activation)
        return Stage(x, post, post, activations.identity)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        gradients = {"a": ops.blend_gradient(delta, stage.x, self.activation, out)}
        if below is INPUT:
            return gradients, None
        dx = ops.blend_delta(delta, stage.x, params["a"], self.activation)
        return gradients, below.delta(ops, dx)
