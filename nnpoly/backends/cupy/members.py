"""Dense layers of several members on CuPy: member by member, by the products of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cupy

from ...activations import Activation, identity
from ...primitives import implements
from ..codes import known
from .kernels import plain
from .launching import Array
from .ops import CudaOps


def _apart(x: Array, members: int) -> Array:
    """The members of x: (n, k m), one after the other: (k, n, m)."""
    return cupy.ascontiguousarray(x.reshape(len(x), members, -1).transpose(1, 0, 2))


def _accepts_dense(
    x: Array, W: Array, b: Array, activation: Activation, keep_pre: bool = True
) -> bool:
    return known(activation) and plain(x, W, b)


@implements("members_dense", "cupy", guard=_accepts_dense)
def _members_dense(
    ops: CudaOps, x: Array, W: Array, b: Array, activation: Activation, keep_pre: bool = True
) -> tuple[Array | None, Array]:
    members = zip(_apart(x, len(W)), W, b, strict=True)
    pre, post = zip(*(ops.dense(*one, activation, keep_pre) for one in members), strict=True)
    return None if pre[0] is None else _joined(pre), _joined(post)


def _accepts_delta(
    delta: Array, W: Array, pre: Array | None, post: Array, activation: Activation
) -> bool:
    return plain(delta, W)


@implements("members_dense_delta", "cupy", guard=_accepts_delta)
def _members_dense_delta(
    ops: CudaOps, delta: Array, W: Array, pre: Array | None, post: Array, activation: Activation
) -> Array:
    members = zip(_apart(delta, len(W)), W, strict=True)
    d_post = _joined([ops.dense_delta(d, of_one, d, d, identity) for d, of_one in members])
    below: Array = ops.activation_delta(d_post, pre, post, activation)
    return below


def _accepts_gradients(
    delta: Array, x: Array, members: int, out: Mapping[str, Array] | None = None
) -> bool:
    return plain(delta, x, *([] if out is None else out.values()))


@implements("members_dense_gradients", "cupy", guard=_accepts_gradients)
def _members_dense_gradients(
    ops: CudaOps, delta: Array, x: Array, members: int, out: Mapping[str, Array] | None = None
) -> tuple[Array, Array]:
    deltas, inputs = _apart(delta, members), _apart(x, members)
    if out is None:
        shape = members, deltas.shape[2]
        out = {"W": cupy.empty((*shape, inputs.shape[2]), x.dtype), "b": cupy.empty(shape, x.dtype)}
    dW, db = out["W"], out["b"]
    for d, x_one, W, b in zip(deltas, inputs, dW, db, strict=True):
        ops.dense_gradients(d, x_one, {"W": W, "b": b})
    return dW, db


def _joined(members: Sequence[Array]) -> Array:
    """The members side by side: (n, k m)."""
    return cupy.concatenate(members, axis=1)
