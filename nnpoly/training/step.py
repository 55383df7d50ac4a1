"""Training steps, pure functions of arrays that a backend may compile."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import layers
from ..backends import Backend
from ..backends.steps import Batch, Functions, Scratch, Spec, State, Views
from ..layers import Mode
from ..losses import Loss
from ..network import Network
from ..optimizers import Coefficients, Moments, Optimizer
from ..primitives import Array, Ops, Scalar


def training_step(
    spec: Spec, ops: Ops, state: State, batch: Batch, c: Coefficients, key: Scalar
) -> tuple[Array, State]:
    """One step, pure in its arrays; w and the moments are given away.

    Returns the batch's loss before the step, and the new state.
    """
    loss, g, buffers = gradient(spec, ops, state.w, state.buffers, batch, c, key)
    w, moments = update(spec, ops, state.w, g, state.moments, c)
    return loss, State(w, moments, buffers)


def added_gradient(
    spec: Spec,
    ops: Ops,
    w: Array,
    buffers: Views,
    total: Array | None,
    batch: Batch,
    c: Coefficients,
    key: Scalar,
) -> tuple[Array, Array, Views]:
    """One of the batches of a step: `total`, None before the first, plus n times its gradient.

    Returns the batch's loss, the new total: (P,), and the new buffers.
    """
    loss, g, buffers = gradient(spec, ops, w, buffers, batch, c, key)
    part = g * batch.x.shape[0]
    return loss, part if total is None else total + part, buffers


def mean_update(
    spec: Spec, ops: Ops, w: Array, moments: Moments, total: Array, rows: int, c: Coefficients
) -> tuple[Array, Moments]:
    """The end of a step on several batches of so many rows together: the new w and moments."""
    return update(spec, ops, w, total / rows, moments, c)


def functions_of(spec: Spec) -> Functions:
    """The functions of a spec's steps, of the table of primitives and then of arrays."""
    return Functions(*(partial(f, spec) for f in (training_step, added_gradient, mean_update)))


def gradient(
    spec: Spec, ops: Ops, w: Array, buffers: Views, batch: Batch, c: Coefficients, key: Scalar
) -> tuple[Array, Array, Views]:
    """The batch's loss, its gradient g: (P,), and the new buffers."""
    params, scratch = spec.views(w), spec.scratch
    first = len(c) - len(spec.schedules)
    mode = Mode(True, False, key, scheduled=dict(zip(spec.schedules, c[first:], strict=True)))
    stages = layers.forward(ops, spec.chain, params, buffers, batch.x, mode)
    loss, delta = spec.loss.value_and_delta(ops, stages[-1].post, batch.y, batch.sample_weight)
    grads, _, _ = layers.backward(ops, spec.chain, params, stages, delta, out=scratch.views)
    g = ops.flatten(spec.layout.pieces(grads), scratch.flat, scratch.pieces)
    moved = [
        old if stage.buffers is None else _moved(spec, old, stage.buffers)
        for stage, old in zip(stages, buffers, strict=True)
    ]
    return loss, g, moved


def _moved(spec: Spec, old: dict[str, Array], new: Mapping[str, Array]) -> dict[str, Array]:
    """A layer's new buffers, in place where a backend's arrays can be written into."""
    if spec.scratch.flat is None:
        return dict(new)
    for name, array in new.items():
        into: Any = old[name]
        into[...] = array
    return old


def update(
    spec: Spec, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
) -> tuple[Array, Moments]:
    """The new w and moments; the old ones are given away."""
    optimizer: Optimizer = spec.optimizer
    segments = spec.layout.segments
    c = c[: len(c) - len(spec.schedules)]
    decay: Any = optimizer.weight_decay
    if spec.decay_is_scheduled:
        c, decay = c[:-1], c[-1]
    g = optimizer.clipped(ops, g)
    if not segments:
        return optimizer.move(ops, w, g, moments, c, decay)
    etas = {s.rate: _times(c[0], s.rate) for s in segments}
    decays = {s.decay: _times(decay, s.decay) for s in segments}
    vectors = [[v[s.start : s.stop] for s in segments] for v in (w, g, *moments)]
    moved = []
    for s, w_part, g_part, *parts in zip(segments, *vectors, strict=True):
        rates = (etas[s.rate], *c[1:]), decays[s.decay]
        moved.append(optimizer.move(ops, w_part, g_part, tuple(parts), *rates))
    new_w = _joined(spec, ops, w, vectors[0], [part for part, _ in moved])
    new_moments = (
        _joined(spec, ops, moment, views, [parts[i] for _, parts in moved])
        for i, (moment, views) in enumerate(zip(moments, vectors[2:], strict=True))
    )
    return new_w, tuple(new_moments)


def _times(number: Any, factor: float) -> Any:
    """A number, which may be on a device, times a factor."""
    return number if factor == 1.0 else number * factor


def _joined(spec: Spec, ops: Ops, vector: Array, views: list[Array], new: list[Array]) -> Array:
    """A vector's new parts side by side: in its place, if a backend's arrays can be written into.

    views: of its parts; an update in place has returned them.
    """
    place = () if spec.scratch.flat is None else (vector, views)
    joined: Array = ops.flatten(new, *place)
    return joined


def spec_of(net: Network, loss: Loss, optimizer: Optimizer, precision: str | None) -> Spec:
    """The spec of a network's steps, with memory for a gradient where the backend wants it."""
    scratch = _scratch(net, net.place.backend)
    schedules = layers.schedules_of(net.chain)
    return Spec(net.chain, net.layout, net.views, loss, optimizer, scratch, precision, schedules)


def _scratch(net: Network, backend: Backend) -> Scratch:
    if not backend.in_place:
        return Scratch()
    with net.place.scope():
        flat = backend.xp.zeros_like(net.w)
    views = net.layout.views(backend.xp, flat)
    return Scratch(flat, views, net.layout.pieces(views))
