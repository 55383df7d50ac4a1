"""The primitives of layers of several members in C: see `primitives.py`."""

from __future__ import annotations

from typing import Any

from ..._core import ffi, lib
from ...activations import Activation
from ...primitives import Ops, implements
from ..codes import CODES, known, parameter, read
from ..host import HostArray as Array
from .core import (
    Out,
    Shapes,
    check,
    dtype_code,
    fits,
    floats,
    new,
    place,
    pointer,
    results,
    takes,
)
from .primitives import pre_and_post, single

# Columns


def _accepts_column_sums(delta: Array, out: Out = None) -> bool:
    return floats(delta) and delta.ndim == 2 and takes({"b": delta.shape[1:]}, delta, out)


@implements("column_sums", "numpy", guard=_accepts_column_sums)
def _column_sums(ops: Ops, delta: Array, out: Out = None) -> Array:
    db = results({"b": delta.shape[1:]}, delta, out)["b"]
    check(
        lib.nnpoly_column_sums(dtype_code(delta.dtype), pointer(delta), pointer(db), *delta.shape)
    )
    return db


def _accepts_mean(f: Array, members: int) -> bool:
    return floats(f) and f.ndim == 2 and f.shape[1] % members == 0


@implements("members_mean", "numpy", guard=_accepts_mean)
def _members_mean(ops: Ops, f: Array, members: int) -> Array:
    n, K = len(f), f.shape[1] // members
    mean = new(ops, (n, K), f.dtype)
    check(lib.nnpoly_members_mean(dtype_code(f.dtype), pointer(f), pointer(mean), n, members, K))
    return mean


# Scales


def _accepts_scale_delta(delta: Array, r: Array) -> bool:
    return floats(delta, r) and delta.ndim == r.ndim == 2 and delta.shape[1] == r.size > 0


@implements("members_scale_delta", "numpy", guard=_accepts_scale_delta)
def _members_scale_delta(ops: Ops, delta: Array, r: Array) -> Array:
    dx = new(ops, (len(delta), r.shape[1]), delta.dtype)
    places = pointer(delta), pointer(r), pointer(dx)
    check(lib.nnpoly_members_scale_delta(dtype_code(r.dtype), *places, len(delta), *r.shape))
    return dx


def _scale_shape(delta: Array, x: Array) -> dict[str, tuple[int, ...]]:
    m = x.shape[1]
    return {"r": (delta.shape[1] // m, m)}


def _accepts_scale_gradient(delta: Array, x: Array, out: Out = None) -> bool:
    if not (floats(delta, x) and delta.ndim == x.ndim == 2 and len(delta) == len(x)):
        return False
    (_, width), m = delta.shape, x.shape[1]
    return 0 < m <= width and width % m == 0 and takes(_scale_shape(delta, x), x, out)


@implements("members_scale_gradient", "numpy", guard=_accepts_scale_gradient)
def _members_scale_gradient(ops: Ops, delta: Array, x: Array, out: Out = None) -> Array:
    dr = results(_scale_shape(delta, x), x, out)["r"]
    places = pointer(delta), pointer(x), pointer(dr)
    check(lib.nnpoly_members_scale_gradient(dtype_code(x.dtype), *places, len(x), *dr.shape))
    return dr


# A dense layer of each member


def _sizes(members: int, m_in: int, m: int) -> Any:
    return ffi.new("struct nnpoly_members *", (members, m_in, m))


def _accepts_dense(
    x: Array, W: Array, b: Array, activation: Activation, keep_pre: bool = True
) -> bool:
    if not (known(activation) and floats(x, W, b) and x.ndim == 2 and W.ndim == 3 and W.size > 0):
        return False
    k, _, m_in = W.shape
    return bool(x.shape[1] == k * m_in and b.shape == W.shape[:2])


@implements("members_dense", "numpy", guard=_accepts_dense)
def _members_dense(ops: Ops, x: Array, *rest: Any) -> tuple[Array | None, Array]:
    return _dense_as(dtype_code(x.dtype), ops, x, *rest)


@implements("members_dense_bf16", "numpy", guard=single(_accepts_dense))
def _members_dense_bf16(ops: Ops, *arguments: Any) -> tuple[Array | None, Array]:
    return _dense_as(lib.NNPOLY_BFLOAT16, ops, *arguments)


def _dense_as(
    dtype: int,
    ops: Ops,
    x: Array,
    W: Array,
    b: Array,
    activation: Activation,
    keep_pre: bool = True,
) -> tuple[Array | None, Array]:
    k, m, m_in = W.shape
    pre, post = pre_and_post(ops, (len(x), k * m), x.dtype, activation, keep_pre)
    places = pointer(x), pointer(W), pointer(b), place(pre), pointer(post)
    code = CODES[type(activation)], parameter(activation)
    check(lib.nnpoly_members_dense(dtype, *places, len(x), _sizes(k, m_in, m), *code))
    return pre, post


def _accepts_dense_delta(
    delta: Array, W: Array, pre: Array | None, post: Array, activation: Activation
) -> bool:
    if not (known(activation) and floats(delta, W) and delta.ndim == 2 and W.ndim == 3):
        return False
    k, m, m_in = W.shape
    below = len(delta), k * m_in
    fit = W.size > 0 and delta.shape[1] == k * m
    return fit and fits(read(activation, pre, post), below, delta.dtype)


@implements("members_dense_delta", "numpy", guard=_accepts_dense_delta)
def _members_dense_delta(ops: Ops, delta: Array, *rest: Any) -> Array:
    return _dense_delta_as(dtype_code(delta.dtype), ops, delta, *rest)


@implements("members_dense_delta_bf16", "numpy", guard=single(_accepts_dense_delta))
def _members_dense_delta_bf16(ops: Ops, *arguments: Any) -> Array:
    return _dense_delta_as(lib.NNPOLY_BFLOAT16, ops, *arguments)


def _dense_delta_as(
    dtype: int,
    ops: Ops,
    delta: Array,
    W: Array,
    pre: Array | None,
    post: Array,
    activation: Activation,
) -> Array:
    n, (k, m, m_in) = len(delta), W.shape
    out, by = new(ops, (n, k * m_in), delta.dtype), place(read(activation, pre, post))
    places = pointer(delta), pointer(W), by, pointer(out)
    code = CODES[type(activation)], parameter(activation)
    check(lib.nnpoly_members_dense_delta(dtype, *places, n, _sizes(k, m_in, m), *code))
    return out


def _dense_shapes(delta: Array, x: Array, members: int) -> Shapes:
    m, m_in = delta.shape[1] // members, x.shape[1] // members
    return {"W": (members, m, m_in), "b": (members, m)}


def _accepts_gradients(delta: Array, x: Array, members: int, out: Out = None) -> bool:
    if not (floats(delta, x) and delta.ndim == x.ndim == 2 and len(delta) == len(x)):
        return False
    widths = delta.shape[1], x.shape[1]
    whole = all(width > 0 and width % members == 0 for width in widths)
    return whole and takes(_dense_shapes(delta, x, members), x, out)


@implements("members_dense_gradients", "numpy", guard=_accepts_gradients)
def _members_dense_gradients(ops: Ops, delta: Array, *rest: Any) -> tuple[Array, Array]:
    return _dense_gradients_as(dtype_code(delta.dtype), delta, *rest)


@implements("members_dense_gradients_bf16", "numpy", guard=single(_accepts_gradients))
def _members_dense_gradients_bf16(ops: Ops, *arguments: Any) -> tuple[Array, Array]:
    return _dense_gradients_as(lib.NNPOLY_BFLOAT16, *arguments)


def _dense_gradients_as(
    dtype: int, delta: Array, x: Array, members: int, out: Out = None
) -> tuple[Array, Array]:
    W, b = results(_dense_shapes(delta, x, members), x, out).values()
    k, m, m_in = W.shape
    places = pointer(delta), pointer(x), pointer(W), pointer(b)
    check(lib.nnpoly_members_dense_gradients(dtype, *places, len(x), _sizes(k, m_in, m)))
    return W, b
