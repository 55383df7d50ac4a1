"""Training steps, pure functions of arrays that a backend may compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from .. import layers
from ..backends import Backend
from ..backends.steps import Batch, Functions, Scratch, Spec, State, Views
from ..layers import Mode
from ..losses import Loss
from ..network import Network
from ..optimizers import Coefficients, Moments, Optimizer
from ..primitives import Array, Ops, Scalar


def training_step(
    spec: Spec, ops: Ops, state: State, batch: Batch, numbers: Coefficients, key: Scalar
) -> tuple[Array, State]:
    """One step, pure in its arrays; w and the moments are given away.

    Returns the batch's loss before the step, and the new state.
    """
    found = by_name(spec, numbers)
    loss, g, buffers = gradient(spec, ops, state.w, state.buffers, batch, found, key)
    w, moments = update(spec, ops, state.w, g, state.moments, found)
    return loss, State(w, moments, buffers)


def added_gradient(
    spec: Spec,
    ops: Ops,
    w: Array,
    buffers: Views,
    total: Array | None,
    batch: Batch,
    numbers: Coefficients,
    key: Scalar,
) -> tuple[Array, Array, Views]:
    """One of the batches of a step: `total`, None before the first, plus n times its gradient.

    Returns the batch's loss, the new total: (P,), and the new buffers.
    """
    found = by_name(spec, numbers)
    loss, g, buffers = gradient(spec, ops, w, buffers, batch, found, key)
    part = g * batch.x.shape[0]
    return loss, part if total is None else total + part, buffers


def mean_update(
    spec: Spec, ops: Ops, w: Array, moments: Moments, total: Array, rows: int, numbers: Coefficients
) -> tuple[Array, Moments]:
    """The end of a step on several batches of so many rows together: the new w and moments."""
    return update(spec, ops, w, total / rows, moments, by_name(spec, numbers))


def functions_of(spec: Spec) -> Functions:
    """The functions of a spec's steps, of the table of primitives and then of arrays."""
    step, add, update = (partial(f, spec) for f in (training_step, added_gradient, mean_update))
    return Functions(step, add, update, partial(numbers_of, spec))


# The numbers of a step


class Numbers(NamedTuple):
    """A step's numbers: on the host, or on a device where the step is compiled."""

    rule: Coefficients  # the optimiser's
    scheduled: dict[Any, Scalar]  # by schedule
    etas: dict[float, Scalar]  # the learning rate times each factor of the layout's
    decays: dict[float, Scalar]  # the weight decay, alike


def numbers_of(spec: Spec, c: Coefficients) -> Coefficients:
    """The numbers of a step: its coefficients, then what they are times the factors of segments.

    They are multiplied on the host, so that every backend has the same products.
    """
    if not (layout := spec.layout).segments:
        return c
    etas = [c[0] * factor for factor in layout.rates]
    if not spec.decay_is_scheduled:
        return (*c, *etas)
    decay = c[-1 - len(spec.schedules)]
    return (*c, *etas, *(decay * factor for factor in layout.decays))


def by_name(spec: Spec, numbers: Coefficients) -> Numbers:
    """The numbers of a step by their use."""
    left, layout, decay = list(numbers), spec.layout, spec.optimizer.weight_decay

    def last(keys: Sequence[Any]) -> dict[Any, Scalar]:
        first = len(left) - len(keys)
        found = dict(zip(keys, left[first:], strict=True))
        del left[first:]
        return found

    if spec.decay_is_scheduled:
        decays = last(layout.decays)
    else:
        decays = {factor: decay * factor for factor in layout.decays}
    etas, scheduled = last(layout.rates), last(spec.schedules)
    decays[1.0] = left.pop() if spec.decay_is_scheduled else decay
    etas[1.0] = left[0]
    return Numbers(tuple(left), scheduled, etas, decays)


# Its parts


def gradient(
    spec: Spec, ops: Ops, w: Array, buffers: Views, batch: Batch, numbers: Numbers, key: Scalar
) -> tuple[Array, Array, Views]:
    """The batch's loss, its gradient g: (P,), and the new buffers."""
    params, scratch = spec.views(w), spec.scratch
    mode = Mode(True, False, key, scheduled=numbers.scheduled)
    stages = layers.forward(ops, spec.chain, params, buffers, batch.x, mode)
    scores, (_, y, weights) = stages[-1].post, batch
    loss, delta = spec.loss.mean_of_members(ops, scores, y, weights, spec.members)
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
    spec: Spec, ops: Ops, w: Array, g: Array, moments: Moments, numbers: Numbers
) -> tuple[Array, Moments]:
    """The new w and moments; the old ones are given away."""
    optimizer: Optimizer = spec.optimizer
    c, _, etas, decays = numbers
    g, segments = optimizer.clipped(ops, g), spec.layout.segments
    if not segments:
        return optimizer.move(ops, w, g, moments, c, decays[1.0])
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
    parts = net.chain, net.layout, net.views, loss, optimizer, scratch
    return Spec(*parts, precision, schedules, net.members)


def _scratch(net: Network, backend: Backend) -> Scratch:
    if not backend.in_place:
        return Scratch()
    with net.place.scope():
        flat = backend.xp.zeros_like(net.w)
    views = net.layout.views(backend.xp, flat)
    return Scratch(flat, views, net.layout.pieces(views))
