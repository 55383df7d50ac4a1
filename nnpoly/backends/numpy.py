"""NumPy: the host's own arrays, with in-place implementations of what training spends time on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from .. import _normal
from ..activations import Activation, Identity, ReLU
from ..primitives import Array, Ops, implements
from .base import Backend

# Element-wise chains run over blocks that stay in the second-level cache: 64 KiB in float32.
BLOCK = 16384


class NumPy(Backend):
    """NumPy arrays in main memory."""

    name = "numpy"
    in_place = True

    def __init__(self) -> None:
        self.xp = xp

    def owns(self, array: Any) -> bool:
        return isinstance(array, np.ndarray | np.generic)

    def device(self, device: Any) -> Any:
        if device not in (None, "cpu"):
            raise ValueError(f"numpy: `device` must be None or 'cpu', got {device!r}.")
        return "cpu"

    def from_host(self, array: Array, device: Any) -> Array:
        return array

    def move(self, array: Array, device: Any) -> Array:
        return array

    def version(self) -> str:
        return np.__version__


def load() -> Backend:
    """Return the backend."""
    return NumPy()


@implements("activate", "numpy", guard=lambda pre, activation: type(activation) is ReLU)
def _relu(ops: Ops, pre: Array, activation: Activation) -> Array:
    return np.maximum(pre, 0.0)


@implements("activation_delta", "numpy")
def _activation_delta(
    ops: Ops, d_post: Array, pre: Array, post: Array, activation: Activation
) -> Array:
    kind = type(activation)
    if kind is Identity:
        return d_post
    if kind is ReLU:
        return np.multiply(d_post, post > 0, out=d_post)
    return np.multiply(d_post, activation.slope(ops, pre, post), out=d_post)


@implements("dense", "numpy")
def _dense(
    ops: Ops, x: Array, W: Array, b: Array, activation: Activation, keep_pre: bool = True
) -> tuple[Array, Array]:
    pre = x @ W.T
    pre += b
    if type(activation) is ReLU and not keep_pre:
        return None, np.maximum(pre, 0.0, out=pre)
    return pre, ops.activate(pre, activation)


@implements("dense_gradients", "numpy", guard=lambda delta, x, out=None: out is not None)
def _dense_gradients(
    ops: Ops, delta: Array, x: Array, out: Mapping[str, Array]
) -> tuple[Array, Array]:
    W, b = out["W"], out["b"]
    return np.matmul(delta.T, x, out=W), np.add.reduce(delta, axis=0, out=b)


@implements("flatten", "numpy", guard=lambda pieces, out=None, views=None: out is not None)
def _flatten(ops: Ops, pieces: Sequence[Array], out: Array, views: Sequence[Array]) -> Array:
    for piece, view in zip(pieces, views, strict=True):
        if piece is not view:
            view[...] = piece
    return out


@implements("gather", "numpy")
def _gather(ops: Ops, x: Array, indices: Array) -> Array:
    return x.take(indices, axis=0)


@implements("cross_entropy", "numpy", guard=lambda scores, y: y.ndim == 1)
def _cross_entropy(ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
    n = scores.shape[0]
    rows = np.arange(n)
    delta = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    at_label = delta[rows, y]
    np.exp(delta, out=delta)
    total = np.add.reduce(delta, axis=1, keepdims=True)
    loss = np.add.reduce(np.log(total[:, 0]) - at_label) / n
    delta /= total
    delta[rows, y] -= 1.0
    delta /= n
    return loss, delta


def _blocks(*arrays: Array) -> Any:
    """Yield matching cache-sized slices of vectors."""
    size = arrays[0].shape[0]
    if size <= BLOCK:
        yield arrays
        return
    for start in range(0, size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in arrays)


@implements("normal_cdf", "numpy", guard=lambda z: z.flags.c_contiguous)
def _normal_cdf(ops: Ops, z: Array) -> Array:
    result = np.empty_like(z)
    for part, out in _blocks(z.reshape(-1), result.reshape(-1)):
        _normal_cdf_block(part, out)
    return result


def _normal_cdf_block(z: Array, q: Array) -> None:
    """Write the definition's `normal_cdf(z)` into q."""
    highest, *rest = reversed(_normal.coefficients(float(np.finfo(z.dtype).eps)))
    u = np.minimum(np.abs(z), _normal.FARTHEST)
    t = u + _normal.CENTRE
    np.divide(-2.0 * _normal.CENTRE, t, out=t)
    t += 1.0
    q.fill(highest)
    for c in rest:
        q *= t
        q += c
    u *= u
    u *= -0.5
    q *= np.exp(u, out=u)
    np.subtract(1.0, q, out=q, where=z >= 0)


def _scaled_step(w: Array, direction: Array, learning_rate: float) -> None:
    direction *= learning_rate
    w -= direction


def _invert_root(s: Array, eps: float, eps_inside_sqrt: bool) -> Array:
    """Overwrite s by the root that a step divides by."""
    if eps_inside_sqrt:
        s += eps
        return np.sqrt(s, out=s)
    np.sqrt(s, out=s)
    s += eps
    return s


@implements("sgd", "numpy")
def _sgd(ops: Ops, w: Array, g: Array, learning_rate: float) -> Array:
    for w_part, g_part in _blocks(w, g):
        w_part -= learning_rate * g_part
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
    for w_part, g_part, v_part in _blocks(w, g, v):
        v_part *= momentum
        v_part += g_part
        direction = momentum * v_part
        if nesterov:
            direction += g_part
        else:
            direction = v_part.copy()
        _scaled_step(w_part, direction, learning_rate)
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
    for w_part, g_part, s_part in _blocks(w, g, s):
        s_part += g_part * g_part
        root = _invert_root(s_part.copy(), eps, eps_inside_sqrt)
        _scaled_step(w_part, np.divide(g_part, root, out=root), learning_rate)
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
    for w_part, g_part, s_part in _blocks(w, g, s):
        _decay_square(s_part, g_part, beta)
        root = _invert_root(s_part.copy(), eps, eps_inside_sqrt)
        _scaled_step(w_part, np.divide(g_part, root, out=root), learning_rate)
    return w, s


def _decay_square(s: Array, g: Array, beta: float) -> None:
    """Overwrite s by beta s + (1 - beta) g^2."""
    square = g * g
    square *= 1.0 - beta
    s *= beta
    s += square


@implements("adam", "numpy")
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
    for w_part, g_part, m_part, s_part in _blocks(w, g, m, s):
        m_part *= beta1
        m_part += (1.0 - beta1) * g_part
        _decay_square(s_part, g_part, beta2)
        root = _invert_root(s_part * unbias_s, eps, eps_inside_sqrt)
        _scaled_step(w_part, np.divide(m_part, root, out=root), learning_rate * unbias_m)
    return w, m, s
