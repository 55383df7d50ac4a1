"""NumPy's own implementations of the primitives that training spends its time in, in place.

Where the C core was built, its implementations stand before those of this file (`primitives.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...activations import Activation, Identity, ReLU, Tanh
from ...primitives import TAIL_CENTRE, TAIL_END, Ops, implements, tail_series
from .. import codes
from ..host import HostArray as Array

# Element-wise chains run over blocks of 256 KiB in float32: several fit the cache together, and the
# arithmetic of a block takes far longer than the call.
BLOCK = 65536


def _blocks(*arrays: Array) -> Iterable[tuple[Array, ...]]:
    """Return matching slices, cache-sized, of arrays that are C-contiguous or vectors.

    Of any other layout `reshape` would copy, and what is written into a slice be lost.
    """
    size = arrays[0].size
    if size <= BLOCK:
        return (arrays,)
    flat = [array.reshape(-1) for array in arrays]
    starts = range(0, size, BLOCK)
    return (tuple(array[start : start + BLOCK] for array in flat) for start in starts)


def _contiguous(*arrays: Array) -> bool:
    return all(array.flags.c_contiguous for array in arrays)


@implements("activate", "numpy", guard=lambda pre, activation: pre.flags.c_contiguous)
def _activate(ops: Ops, pre: Array, activation: Activation) -> Array:
    if type(activation) is Identity:
        return pre
    return _activate_into(ops, pre, activation, ops.scratch(pre.shape, pre.dtype))


def _activate_into(ops: Ops, pre: Array, activation: Activation, post: Array | None) -> Array:
    """Write sigma(pre) into post, which may be pre itself or, for a new array, None."""
    if type(activation) is ReLU:
        return np.maximum(pre, 0.0, out=post)
    if type(activation) is Tanh:
        return np.tanh(pre, out=post)
    post = np.empty_like(pre) if post is None else post
    value: Callable[..., Any] = activation.value  # which takes arrays of any library
    for pre_part, post_part in _blocks(pre, post):
        post_part[...] = value(ops, pre_part)
    return post


def _accepts_delta(d_post: Array, pre: Array | None, post: Array, activation: Activation) -> bool:
    same = type(activation) is Identity
    return same or _contiguous(d_post, codes.read_beside(d_post, activation, pre, post))


@implements("activation_delta", "numpy", guard=_accepts_delta)
def _activation_delta(
    ops: Ops, d_post: Array, pre: Array | None, post: Array, activation: Activation
) -> Array:
    if type(activation) is Identity:
        return d_post
    if type(activation) is ReLU:
        passes: Array = np.greater(post, 0.0, out=ops.scratch(post.shape, np.bool_))
        return np.multiply(d_post, passes, out=d_post)
    slope: Callable[..., Any] = activation.slope
    operand = codes.read_beside(d_post, activation, pre, post)
    for d_part, part in _blocks(d_post, operand):
        d_part *= slope(ops, part, part)
    return d_post


# Bits of float32: the sign, the exponent, the half that bfloat16 has too, and a NaN.
SIGN, EXPONENT = np.uint32(0x80000000), np.uint32(0x7F800000)
UPPER, NAN = np.uint32(0xFFFF0000), np.uint32(0x7FC00000)


@implements("bfloat16", "numpy", guard=lambda x: x.dtype == np.float32)
def _bfloat16(ops: Ops, x: Array) -> Array:
    bits = x.view(np.uint32)
    # Half a unit is added, less one of float32's where the last bit kept is 0; a carry goes into
    # the exponent, and so to infinity.
    near: Array = np.right_shift(bits, np.uint32(16), out=ops.scratch(x.shape, np.uint32))
    near &= np.uint32(1)
    near += np.uint32(0x7FFF)
    near += bits
    near &= UPPER
    np.bitwise_and(bits, SIGN, out=near, where=(bits & EXPONENT) == 0)
    np.copyto(near, NAN, where=np.isnan(x))
    return near.view(np.float32)


@implements("dense", "numpy")
def _dense(
    ops: Ops, x: Array, W: Array, b: Array | None, activation: Activation, keep_pre: bool = True
) -> tuple[Array | None, Array]:
    pre = np.dot(x, W.T, out=ops.scratch((x.shape[0], W.shape[0]), x.dtype))
    if b is not None:
        pre += b
    if keep_pre or activation.reads == "pre" or type(activation) is Identity:
        return pre, ops.activate(pre, activation)
    return None, _activate_into(ops, pre, activation, pre)


@implements("dense_delta", "numpy")
def _dense_delta(
    ops: Ops, delta: Array, W: Array, pre: Array | None, post: Array, activation: Activation
) -> Array:
    d_post = np.dot(delta, W, out=ops.scratch((delta.shape[0], W.shape[1]), W.dtype))
    below: Array = ops.activation_delta(d_post, pre, post, activation)
    return below


def _has_out(delta: Array, x: Array, out: Any = None, biased: bool = True) -> bool:
    return out is not None


@implements("dense_gradients", "numpy", guard=_has_out)
def _dense_gradients(
    ops: Ops, delta: Array, x: Array, out: Mapping[str, Array], biased: bool = True
) -> tuple[Array, Array | None]:
    db = np.add.reduce(delta, axis=0, out=out["b"]) if biased else None
    return np.dot(delta.T, x, out=out["W"]), db


@implements("flatten", "numpy", guard=lambda pieces, out=None, views=None: out is not None)
def _flatten(ops: Ops, pieces: Sequence[Array], out: Array, views: Sequence[Array]) -> Array:
    for piece, view in zip(pieces, views, strict=True):
        if piece is not view:
            view[...] = piece
    return out


@implements("gather", "numpy")
def _gather(ops: Ops, x: Array, indices: Array) -> Array:
    return x.take(indices, axis=0)


# Up to this many classes a column each is worth making: reductions over a short last
# axis are an order of magnitude slower.
FEW_CLASSES = 32


def _wide(first: Array, *rest: Any) -> bool:
    """Whether the dtype is not half precision, in which n, a sum over n or eps may not fit."""
    return bool(first.dtype.itemsize > 2)


def _accepts_labels(scores: Array, y: Array, sample_weight: Array | None = None) -> bool:
    return y.ndim == 1 and _wide(scores)


@implements("cross_entropy", "numpy", guard=_accepts_labels)
def _cross_entropy(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    n, K = scores.shape
    few = K <= FEW_CLASSES
    axis, table = (0, scores.T) if few else (1, scores)
    at_label = y * n + np.arange(n) if few else np.arange(0, n * K, K) + y
    delta = np.array(table, order="C")
    flat = delta.reshape(-1)
    delta -= np.maximum.reduce(delta, axis=axis, keepdims=True)
    chosen = flat.take(at_label)
    np.exp(delta, out=delta)
    total = np.add.reduce(delta, axis=axis, keepdims=True)
    losses = np.log(total).reshape(-1) - chosen
    delta /= total * n
    flat[at_label] -= 1.0 / n
    if sample_weight is not None:
        losses *= sample_weight
        delta *= sample_weight if few else sample_weight[:, None]
    return np.add.reduce(losses) / n, delta.T if few else delta


@implements("normal_cdf", "numpy", guard=lambda z: z.ndim > 0 and z.flags.c_contiguous)
def _normal_cdf(ops: Ops, z: Array) -> Array:
    result = np.empty_like(z)
    for part, out in _blocks(z, result):
        _normal_cdf_block(part, out)
    return result


def _normal_cdf_block(z: Array, q: Array) -> None:
    """Write the definition's `normal_cdf(z)` into q."""
    highest, *rest = tail_series(float(np.finfo(z.dtype).eps))
    u = np.minimum(np.abs(z), TAIL_END)
    t = u + TAIL_CENTRE
    np.divide(-2.0 * TAIL_CENTRE, t, out=t)
    t += 1.0
    q.fill(highest)
    for c in rest:
        q *= t
        q += c
    u *= u
    u *= -0.5
    q *= np.exp(u, out=u)
    # q where z < 0, else 1 - q, without a mask, which NumPy handles one element at a time.
    upper = (z >= 0).astype(z.dtype)
    q *= np.subtract(1.0, 2.0 * upper, out=t)
    q += upper


def _temporary(ops: Ops, w: Array) -> Array:
    """Return room for a block of w."""
    shape = (min(w.size, BLOCK),)
    scratch: Array | None = ops.scratch(shape, w.dtype)
    return np.empty(shape, w.dtype) if scratch is None else scratch


def _root(s: Array, eps: float, eps_inside_sqrt: bool, out: Array) -> Array:
    """Write the root that a step is divided by: sqrt(s + eps) or sqrt(s) + eps."""
    if eps_inside_sqrt:
        np.add(s, eps, out=out)
        return np.sqrt(out, out=out)
    np.sqrt(s, out=out)
    out += eps
    return out


def _descend(w: Array, direction: Array, root: Array, learning_rate: float) -> None:
    """Overwrite w by w - learning_rate * direction / root, and the root by the step."""
    np.divide(direction, root, out=root)
    root *= learning_rate
    w -= root


def _decay_square(s: Array, g: Array, beta: float, out: Array) -> None:
    """Overwrite s by beta s + (1 - beta) g^2."""
    np.multiply(g, g, out=out)
    out *= 1.0 - beta
    s *= beta
    s += out


@implements("sgd", "numpy")
def _sgd(ops: Ops, w: Array, g: Array, learning_rate: float) -> Array:
    room = _temporary(ops, w)
    for w_part, g_part in _blocks(w, g):
        w_part -= np.multiply(g_part, learning_rate, out=room[: w_part.size])
    return w


@implements("momentum", "numpy")
def _momentum(
    ops: Ops,
    w: Array,
    g: Array,
    v: Array,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
) -> tuple[Array, Array]:
    room = _temporary(ops, w)
    for w_part, g_part, v_part in _blocks(w, g, v):
        step = room[: w_part.size]
        v_part *= momentum
        v_part += g_part
        if nesterov:
            np.multiply(v_part, momentum, out=step)
            step += g_part
            step *= learning_rate
        else:
            np.multiply(v_part, learning_rate, out=step)
        w_part -= step
    return w, v


@implements("adagrad", "numpy")
def _adagrad(
    ops: Ops,
    w: Array,
    g: Array,
    s: Array,
    learning_rate: float,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array]:
    room = _temporary(ops, w)
    for w_part, g_part, s_part in _blocks(w, g, s):
        part = room[: w_part.size]
        s_part += np.multiply(g_part, g_part, out=part)
        _descend(w_part, g_part, _root(s_part, eps, eps_inside_sqrt, part), learning_rate)
    return w, s


@implements("rmsprop", "numpy")
def _rmsprop(
    ops: Ops,
    w: Array,
    g: Array,
    s: Array,
    learning_rate: float,
    beta: float,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array]:
    room = _temporary(ops, w)
    for w_part, g_part, s_part in _blocks(w, g, s):
        part = room[: w_part.size]
        _decay_square(s_part, g_part, beta, part)
        _descend(w_part, g_part, _root(s_part, eps, eps_inside_sqrt, part), learning_rate)
    return w, s


@implements("adam", "numpy", guard=_wide)
def _adam(
    ops: Ops,
    w: Array,
    g: Array,
    m: Array,
    s: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    unbias_m: float,
    unbias_s: float,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array, Array]:
    # In half precision eps / c would be lost.
    # sqrt(c s + eps) = sqrt(c) sqrt(s + eps / c): the correction c joins eps and the learning rate.
    scale = math.sqrt(unbias_s)
    eps /= unbias_s if eps_inside_sqrt else scale
    learning_rate *= unbias_m / scale
    room = _temporary(ops, w)
    for w_part, g_part, m_part, s_part in _blocks(w, g, m, s):
        part = room[: w_part.size]
        m_part *= beta1
        m_part += np.multiply(g_part, 1.0 - beta1, out=part)
        _decay_square(s_part, g_part, beta2, part)
        _descend(w_part, m_part, _root(s_part, eps, eps_inside_sqrt, part), learning_rate)
    return w, m, s
