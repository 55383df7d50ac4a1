"""Dropout."""

from __future__ import annotations

from .. import _checks
from ..primitives import Array, Ops
from .base import Layer, Mode, Out, Parameters, Stage


class Dropout(Layer):
    """Inverted dropout: in training each input is 0 with probability rate, else times 1/(1-rate).

    Srivastava et al. 2014. Outside training it passes its input on. The masks depend on the seed,
    the step and the layer's place alone, and are bit-equal on every backend.
    """

    rate: float
    random = True

    def __post_init__(self) -> None:
        rate = _checks.number("Dropout", "rate", self.rate, 0.0, 1.0)
        if rate == 1.0:
            raise ValueError("Dropout: `rate` must be below 1, got 1.0: nothing would pass.")
        self._set(rate=rate)

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        if not mode.training or self.rate == 0.0:
            return Stage(x, x, x, self.activation)
        scale = ops.dropout_scale(x, self.rate, mode.key, mode.path)
        post = x * scale
        return Stage(x, post, post, self.activation, extra=scale)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        # Always a new array: `activation_delta` may overwrite it, and this layer's delta is kept.
        dx = delta * (1.0 if stage.extra is None else stage.extra)
        return {}, below.delta(ops, dx)
