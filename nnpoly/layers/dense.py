"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _checks, activations, initializers
from ..backends import host, registry
from ..initializers import OfData
from ..primitives import Array, Ops
from .base import INPUT, FromHost, Layer, Mode, Out, Parameters, Stage, require_width


class Dense(Layer):
    """Fully connected layer: h = sigma(x (factor W)^T + b).

    Parameters
    ----------
    inputs, outputs
        Widths m_in and m. W has shape (m, m_in) and b has shape (m,).
    activation
        Name or `nn.activations` object.
    init, bias
        Names or `nn.initializers` objects, for W and for b, which starts at 0. One for b must draw
        each entry alone, since b has no fan; it is asked for the shape (m, 1).
    factor
        Multiplies W in every pass. With 1 / sqrt(m_in) and W drawn from N(0, 1) it is the neural
        tangent parametrisation (Jacot et al. 2018, arXiv:1806.07572): steps of equal size change
        the outputs of narrow and wide layers alike.
    rates
        Factors of the learning rate and the weight decay of "W" and "b", such as
        ``{"b": (0.1, 0.0)}``: see `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.Network([nn.Dense(2, 3, "tanh"), nn.Dense(3, 1)]).widths
    [2, 3, 1]
    """

    inputs: int
    outputs: int
    activation: Any = activations.identity  # a name becomes its Activation, below
    init: Any = initializers.kaiming_normal
    bias: Any = initializers.zeros
    factor: float = 1.0
    rates: Any = ()

    def __post_init__(self) -> None:
        self._set(
            inputs=_checks.integer("Dense", "inputs", self.inputs),
            outputs=_checks.integer("Dense", "outputs", self.outputs),
            activation=activations.get(self.activation, "Dense"),
            init=initializers.get(self.init, "Dense"),
            bias=initializers.get(self.bias, "Dense", "bias"),
            factor=_checks.positive("Dense", "factor", self.factor),
        )
        self._check_rates()

    @property
    def input_width(self) -> int:
        return self.inputs

    def width(self, inputs: int) -> int:
        require_width(self, self.inputs, inputs)
        return self.outputs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"W": (self.outputs, self.inputs), "b": (self.outputs,)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        params = {name: host.full(shape, 0.0) for name, shape in self.shapes().items()}
        self._draw(rng, params)
        return params

    def fill(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        if type(self).initial is not Dense.initial:  # a subclass begins otherwise
            super().fill(rng, params)
        else:
            self._draw(rng, params)

    def _draw(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        self.init.fill(rng, params["W"])
        self.bias.fill(rng, params["b"][:, None], "Dense: `bias`")

    def adapt(
        self,
        ops: Ops,
        place: FromHost,
        rng: host.Generator,
        params: Mapping[str, host.HostArray],
        x: Array,
    ) -> None:
        for rule, name in ((self.init, "W"), (self.bias, "b")):
            if isinstance(rule, OfData):
                W, zeros = place(params["W"]), place(host.full((self.outputs,), 0.0))
                pre, _ = ops.dense(x, self._scaled(W), zeros, activations.identity)
                rule.adapt(rng, params[name], registry.to_host(pre))

    def _scaled(self, W: Array) -> Array:
        return W if self.factor == 1.0 else W * self.factor

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        W = self._scaled(params["W"])
        pre, post = ops.dense(x, W, params["b"], self.activation, mode.keep_pre)
        return Stage(x, pre, post, self.activation, W)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        dW, db = ops.dense_gradients(delta, stage.x, out)
        d_below = None
        if below is not INPUT:
            d_below = ops.dense_delta(delta, stage.extra, below.pre, below.post, below.activation)
        return {"W": self._scaled(dW), "b": db}, d_below

    def delta_below(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage
    ) -> Array | None:
        of_below = below.pre, below.post, below.activation
        found: Array = ops.dense_delta(delta, stage.extra, *of_below)
        return found

    def row_gradients(
        self, ops: Ops, params: Parameters, buffers: Parameters, stage: Stage, delta: Array
    ) -> dict[str, Array]:
        return {"W": self._scaled(ops.dense_row_gradients(delta, stage.x)), "b": delta}
