"""Blocks of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import activations
from ..backends import host
from ..primitives import Array, Ops
from ..schedules import Schedule
from .base import FromHost, Layer, Mode, Out, Parameters, Stage, require_width, start
from .chain import (
    adapt,
    backward,
    chain_widths,
    check_layers,
    deltas,
    forward,
    row_gradients,
    schedules_of,
)


class Residual(Layer):
    """A block with a short cut: sigma(x + F(x)), where F is a chain of layers of equal ends.

    He et al. 2015, arXiv:1512.03385.

    Parameters
    ----------
    layers
        The layers of F, whose last width equals their first input width.
    activation
        Name or object, applied to the sum; the identity by default.

    Examples
    --------
    >>> import nnpoly as nn
    >>> block = nn.Residual([nn.Dense(8, 16, "relu"), nn.Dense(16, 8)])
    >>> nn.Network([nn.Dense(2, 8, "relu"), block, nn.Dense(8, 1)]).widths
    [2, 8, 16, 8, 1]
    """

    layers: Sequence[Layer]
    activation: Any = activations.identity
    _width = 0  # kept when it is made: to ask every level's layers takes 3^levels times as long

    def __post_init__(self) -> None:
        layers = check_layers("Residual", self.layers)
        first, last = chain_widths(layers)
        if first != last:
            raise ValueError(
                f"Residual: `layers` must end as wide as they begin, got {first} -> {last}. "
                "Add a Dense layer that restores the width."
            )
        sigma = activations.get(self.activation, "Residual")
        self._set(layers=layers, activation=sigma, _width=first)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether any layer inside draws random numbers."""
        return any(layer.random for layer in self.layers)

    @property
    def least_rows(self) -> int:  # type: ignore[override]
        """The most rows that any layer inside needs."""
        return max(layer.least_rows for layer in self.layers)

    @property
    def input_width(self) -> int:
        return self._width

    def width(self, inputs: int) -> int:
        require_width(self, self._width, inputs)
        return self._width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return _joined([layer.shapes() for layer in self.layers])

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        return _joined([layer.initial(rng) for layer in self.layers])

    def parameter_rates(self) -> dict[str, tuple[float, float]]:
        return _joined([layer.parameter_rates() for layer in self.layers])

    def schedules(self) -> tuple[Schedule, ...]:
        return schedules_of(self.layers)

    def fill(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        if type(self).initial is not Residual.initial:  # a subclass begins otherwise
            super().fill(rng, params)
        else:
            for layer, part in zip(self.layers, self.parts(params), strict=True):
                layer.fill(rng, part)

    def adapt(
        self,
        ops: Ops,
        place: FromHost,
        rng: host.Generator,
        params: Mapping[str, host.HostArray],
        x: Array,
    ) -> None:
        adapt(ops, place, rng, self.layers, self.parts(params), x)

    def buffers(self) -> dict[str, host.HostArray]:
        return _joined([layer.buffers() for layer in self.layers])

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        inner = self.parts(params)
        stages = forward(ops, self.layers, inner, self.parts(buffers), x, mode)
        pre = x + stages[-1].post
        moved = _joined([stage.buffers or {} for stage in stages])
        post = ops.activate(pre, self.activation)
        return Stage(x, pre, post, self.activation, stages, {**buffers, **moved} or None)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        inner, d_last = self.parts(params), self._delta_inside(ops, stage, delta)
        grads, _, dx = backward(ops, self.layers, inner, stage.extra, d_last, start(stage.x))
        assert dx is not None
        return _joined(grads), below.delta(ops, delta + dx)

    def delta_below(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage
    ) -> Array | None:
        inner, d_last = self.parts(params), self._delta_inside(ops, stage, delta)
        _, dx = deltas(ops, self.layers, inner, stage.extra, d_last, start(stage.x))
        assert dx is not None
        return below.delta(ops, delta + dx)

    def row_gradients(
        self, ops: Ops, params: Parameters, buffers: Parameters, stage: Stage, delta: Array
    ) -> dict[str, Array]:
        inner, d_last = self.parts(params), self._delta_inside(ops, stage, delta)
        found, _ = deltas(ops, self.layers, inner, stage.extra, d_last)
        given = inner, self.parts(buffers), stage.extra, found
        return _joined(row_gradients(ops, self.layers, *given))

    @staticmethod
    def _delta_inside(ops: Ops, stage: Stage, delta: Array) -> Array:
        """The delta of the last layer inside."""
        # A new array, since `activation_delta` may overwrite what it is given.
        found: Array = stage.extra[-1].delta(ops, delta * 1.0)
        return found

    def parts(self, joined: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what is named as in `shapes` or `buffers` by the layers inside, each its own."""
        parts: list[dict[str, Any]] = [{} for _ in self.layers]
        for name, value in joined.items():
            place, _, rest = name.partition(".")
            parts[int(place)][rest] = value
        return parts


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{i}.{name}": value for i, part in enumerate(parts) for name, value in part.items()}
