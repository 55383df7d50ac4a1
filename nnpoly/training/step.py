"""One training step, and its two halves: a pure function of arrays that a backend may compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from .. import layers
from ..backends import Backend
from ..layers import Mode
from ..losses import Loss
from ..network import Layout, Network, Views
from ..optimizers import Coefficients, Moments, Optimizer
from ..primitives import Array, Ops, Scalar


class State(NamedTuple):
    """All that a step changes."""

    w: Array  # (P,)
    moments: Moments  # (P,) each
    buffers: Views
    t: int


class Scratch(NamedTuple):
    """A gradient buffer laid out like w, for backends that can be written into."""

    flat: Array | None = None  # (P,)
    views: Views | None = None
    pieces: list[Array] | None = None


@dataclass(frozen=True)
class Plan:
    """What a training step is made of, arrays apart."""

    chain: Sequence[layers.Layer]
    layout: Layout
    views: Callable[[Array], Views]
    loss: Loss
    optimizer: Optimizer
    scratch: Scratch
    precision: str | None = None  # of matrix products, where it is not the dtype's


def plan_of(net: Network, loss: Loss, optimizer: Optimizer, precision: str | None) -> Plan:
    """Return the plan of a network's steps, with a gradient buffer where the backend wants one."""
    scratch = _scratch(net, net.place.backend)
    return Plan(net.chain, net.layout, net.views, loss, optimizer, scratch, precision)


def _scratch(net: Network, backend: Backend) -> Scratch:
    if not backend.in_place:
        return Scratch()
    with net.place.scope():
        flat = backend.xp.zeros_like(net.w)
    views = net.layout.views(backend.xp, flat)
    return Scratch(flat, views, net.layout.pieces(views))


def gradient(
    plan: Plan,
    ops: Ops,
    w: Array,
    buffers: Views,
    x: Array,
    y: Array,
    sample_weight: Array | None,
    key: Scalar,
) -> tuple[Array, Array, Views]:
    """Return a batch's loss, its gradient: (P,), and the new buffers."""
    params, scratch = plan.views(w), plan.scratch
    stages = layers.forward(ops, plan.chain, params, buffers, x, Mode(True, False, key))
    loss, delta = plan.loss.value_and_delta(ops, stages[-1].post, y, sample_weight)
    grads, _, _ = layers.backward(ops, plan.chain, params, stages, delta, out=scratch.views)
    g = ops.flatten(plan.layout.pieces(grads), scratch.flat, scratch.pieces)
    moved = [
        old if stage.buffers is None else dict(stage.buffers)
        for stage, old in zip(stages, buffers, strict=True)
    ]
    return loss, g, moved


def update(
    plan: Plan, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
) -> tuple[Array, Moments]:
    """Return the new w and moments, which are given away."""
    return plan.optimizer.update(ops, w, g, moments, c)


def training_step(
    plan: Plan,
    ops: Ops,
    w: Array,
    moments: Moments,
    buffers: Views,
    x: Array,
    y: Array,
    sample_weight: Array | None,
    c: Coefficients,
    key: Scalar,
) -> tuple[Array, Array, Moments, Views]:
    """One step, pure in its arrays (w and the moments are given away).

    Returns the batch's loss before the step, and the new w, moments and buffers.
    """
    loss, g, moved = gradient(plan, ops, w, buffers, x, y, sample_weight, key)
    w, moments = update(plan, ops, w, g, moments, c)
    return loss, w, moments, moved


class Halves(NamedTuple):
    """`gradient` and `update` without their plan, as a backend runs them."""

    gradient: Callable[..., tuple[Array, Array, Views]]
    update: Callable[..., tuple[Array, Moments]]


def halves(plan: Plan, backend: Backend) -> Halves:
    """Return the halves of a plan's step, compiled."""
    parts = (partial(half, plan) for half in (gradient, update))
    return Halves(*(backend.compile(part, plan.precision) for part in parts))
