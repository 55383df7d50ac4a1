"""Dropout."""

from __future__ import annotations

from typing import Any

from .. import _checks
from ..primitives import Array, Ops
from ..schedules import Schedule
from .base import Layer, Mode, Out, Parameters, Stage


class Dropout(Layer):
    """Inverted dropout: in training each input is 0 with probability rate, else times 1/(1-rate).

    Srivastava et al. 2014. Outside training it passes its input on. The masks depend on the seed,
    the step and the layer's place alone, and are bit-equal on every backend.

    Parameters
    ----------
    rate
        In [0, 1): a number, or a `nn.schedules` object, whose values are cut to multiples of 2^-24.

    Examples
    --------
    >>> import nnpoly as nn
    >>> falling = nn.schedules.FlatCosine(0.15, steps=1000)
    >>> net = nn.Network([nn.Dense(4, 64, "relu"), nn.Dropout(falling), nn.Dense(64, 1)])
    """

    rate: float | Schedule
    random = True
    _law: Any = 0.0  # the rate as it is checked

    def __post_init__(self) -> None:
        if isinstance(self.rate, Schedule):
            self._set(_law=_Share(self.rate))
        else:
            rate = _share("rate", self.rate)
            self._set(rate=rate, _law=rate)

    def schedules(self) -> tuple[Schedule, ...]:
        return (self._law,) if isinstance(self.rate, Schedule) else ()

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        if not mode.training or self.rate == 0.0:
            return Stage(x, x, x, self.activation)
        scale = ops.dropout_scale(x, mode.number(self._law), mode.key, mode.path)
        post = x * scale
        return Stage(x, post, post, self.activation, extra=scale)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        # Always a new array: `activation_delta` may overwrite it, and this layer's delta is kept.
        dx = delta * (1.0 if stage.extra is None else stage.extra)
        return {}, below.delta(ops, dx)


class _Share(Schedule):
    """A schedule whose values are rates of dropout.

    As multiples of 2^-24 they are the same numbers in every float type of 24 bits: a mask, which is
    drawn by comparing 24 bits with its rate, is then the same where the rate lies on a device.
    """

    schedule: Schedule

    def __call__(self, t: int) -> float:
        return int(_share(f"rate({t})", self.schedule(t)) * 0x1000000) / 0x1000000


def _share(name: str, value: object) -> float:
    rate = _checks.number("Dropout", name, value, 0.0, 1.0)
    if rate == 1.0:
        raise ValueError(f"Dropout: `{name}` must be below 1, got 1.0: nothing would pass.")
    return rate
