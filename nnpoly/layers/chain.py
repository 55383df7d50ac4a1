"""Chains of layers: their passes, and whether they fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..backends import host
from ..primitives import Array, Ops
from ..schedules import Schedule
from .base import INFERENCE, INPUT, FromHost, Layer, Mode, Out, Parameters, Stage


def forward(
    ops: Ops,
    layers: Sequence[Layer],
    params: Sequence[Parameters],
    buffers: Sequence[Parameters],
    x: Array,
    mode: Mode,
) -> list[Stage]:
    """Compute the layers in order. x: (n, m_0). Returns a stage for each."""
    stages = []
    for l, layer in enumerate(layers):
        stage = layer.forward(ops, params[l], buffers[l], x, mode.at(l) if layer.random else mode)
        stages.append(stage)
        x = stage.post
    return stages


def backward(
    ops: Ops,
    layers: Sequence[Layer],
    params: Sequence[Parameters],
    stages: Sequence[Stage],
    delta: Array,
    start: Stage = INPUT,
    out: Sequence[Out] | None = None,
) -> tuple[list[dict[str, Array]], list[Array], Array | None]:
    """Backpropagate through the layers in reverse; each delta is computed once.

    delta: (n, m_L), with respect to the last layer's pre. Returns a dict of gradients and a delta
    for each layer, and the derivative with respect to `start` (None where that is the input).
    """
    grads: list[dict[str, Array]] = [{} for _ in layers]
    deltas = [delta] * len(layers)
    passed: Array | None = delta
    for l in range(len(layers) - 1, -1, -1):
        assert passed is not None  # only the lowest layer may give None
        deltas[l] = passed
        below = stages[l - 1] if l else start
        grads[l], passed = layers[l].backward(
            ops, params[l], stages[l], passed, below, out[l] if out else None
        )
    return grads, deltas, passed


def deltas(
    ops: Ops,
    layers: Sequence[Layer],
    params: Sequence[Parameters],
    stages: Sequence[Stage],
    delta: Array,
    below: Stage = INPUT,
) -> tuple[list[Array], Array | None]:
    """Backpropagate as `backward` does, without the gradients of the parameters."""
    found = [delta] * len(layers)
    passed: Array | None = delta
    for l in range(len(layers) - 1, -1, -1):
        assert passed is not None  # only the lowest layer may give None
        found[l] = passed
        to = stages[l - 1] if l else below
        passed = None
        if to is not INPUT:
            passed = layers[l].delta_below(ops, params[l], stages[l], found[l], to)
    return found, passed


def row_gradients(
    ops: Ops,
    layers: Sequence[Layer],
    params: Sequence[Parameters],
    buffers: Sequence[Parameters],
    stages: Sequence[Stage],
    found: Sequence[Array],
) -> list[dict[str, Array]]:
    """The gradients of each row by itself, (n, *shape), by every layer's delta."""
    given = zip(layers, params, buffers, stages, found, strict=True)
    return [layer.row_gradients(ops, p, b, stage, d) for layer, p, b, stage, d in given]


def adapt(
    ops: Ops,
    place: FromHost,
    rng: host.Generator,
    layers: Sequence[Layer],
    params: Sequence[Mapping[str, host.HostArray]],
    x: Array,
) -> None:
    """Change the start of the layers' parameters, in place, by data: layer by layer.

    x: (n, m_0). What a layer gives is computed as outside training.
    """
    for layer, part in zip(layers, params, strict=True):
        layer.adapt(ops, place, rng, part, x)
        placed = {name: place(value) for name, value in part.items()}
        buffers = {name: place(value) for name, value in layer.buffers().items()}
        x = layer.forward(ops, placed, buffers, x, INFERENCE).post


def check_layers(where: str, layers: Any) -> tuple[Layer, ...]:
    """Return `layers` as a non-empty tuple of layers."""
    chain = tuple(layers) if isinstance(layers, list | tuple) else ()
    strangers = [layer for layer in chain if not isinstance(layer, Layer)]
    if not chain or strangers:
        came = repr(strangers[0]) if strangers else repr(layers)
        raise ValueError(
            f"{where}: `layers` must be a non-empty list of layers such as nn.Dense, got {came}."
        )
    return chain


def chain_widths(layers: Sequence[Layer]) -> tuple[int, int]:
    """Return the input and output width of a chain, checking that its layers fit each other."""
    known = [layer.input_width for layer in layers if layer.input_width is not None]
    if not known:
        raise ValueError("Network: no layer states its width. Add a Dense layer.")
    width = known[0]
    for layer in layers:
        width = layer.width(width)
    return known[0], width


def schedules_of(layers: Sequence[Layer]) -> tuple[Schedule, ...]:
    """Return the schedules of all layers, in order, each once."""
    return tuple(dict.fromkeys(found for layer in layers for found in layer.schedules()))
