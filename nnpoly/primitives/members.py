"""The definitions of layers of several members, which stand side by side in the columns.

An array of k members with m features each is (n, k m); as rows of single members, (n k, m), it is
the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping

from .arrays import Array
from .definitions import narrowed, widened
from .table import Elementwise, Ops, primitive


@primitive()
def members_scale_delta(ops: Ops, delta: Array, r: Array) -> Array:
    """Derivative by x of r_i * x, i = 1..k: the sum over the members of r_i * delta_i, in order.

    delta: (n, k m); r: (k, m). Returns (n, m).
    """
    return ops.xp.sum(ops.xp.reshape(delta, (delta.shape[0], *r.shape)) * r, axis=1)


@primitive(donates=("out",))
def members_scale_gradient(
    ops: Ops, delta: Array, x: Array, out: Mapping[str, Array] | None = None
) -> Array:
    """Gradient of r_i * x, i = 1..k: dr_i = column sums of delta_i * x.

    delta: (n, k m); x: (n, m). Returns dr: (k, m); an implementation may write it into out["r"].
    """
    xp, (n, m) = ops.xp, x.shape
    products = xp.reshape(delta, (n, delta.shape[1] // m, m)) * x[:, None, :]
    return xp.sum(products, axis=0)


@primitive()
def members_dense(
    ops: Ops, x: Array, W: Array, b: Array, activation: Elementwise, keep_pre: bool = True
) -> tuple[Array, Array]:
    """A dense layer of each member: pre_i = x_i W_i^T + b_i and post = sigma(pre).

    x: (n, k m_in); W: (k, m, m_in); b: (k, m). Returns pre, post: (n, k m), as `dense` does.
    """
    pre = _joined(ops, _apart(ops, x, W.shape[0]) @ ops.xp.matrix_transpose(W) + b[:, None, :])
    return pre, ops.activate(pre, activation)


@primitive()
def members_dense_delta(
    ops: Ops, delta: Array, W: Array, pre: Array | None, post: Array, activation: Elementwise
) -> Array:
    """Derivative with respect to the pre-activations one layer down: (delta_i W_i) * sigma'(pre_i).

    delta: (n, k m_next); W: (k, m_next, m); pre, post: (n, k m). Returns (n, k m).
    """
    d_post = _joined(ops, _apart(ops, delta, W.shape[0]) @ W)
    below: Array = ops.activation_delta(d_post, pre, post, activation)
    return below


@primitive(donates=("out",))
def members_dense_gradients(
    ops: Ops, delta: Array, x: Array, members: int, out: Mapping[str, Array] | None = None
) -> tuple[Array, Array]:
    """Gradients of a dense layer of each member: dW_i = delta_i^T x_i, db_i = column sums.

    delta: (n, k m); x: (n, k m_in), of k members. Returns dW: (k, m, m_in) and db: (k, m); an
    implementation may write them into out["W"] and out["b"] and return those.
    """
    xp, apart = ops.xp, _apart(ops, delta, members)
    return xp.matrix_transpose(apart) @ _apart(ops, x, members), xp.sum(apart, axis=1)


@primitive()
def members_mean(ops: Ops, f: Array, members: int) -> Array:
    """Mean of the members' predictions, which an implementation adds in order. f: (n, k K).

    Returns (n, K).
    """
    xp, (n, width) = ops.xp, f.shape
    (wide,) = widened(ops, f)
    mean = xp.mean(xp.reshape(wide, (n, members, width // members)), axis=1)
    return narrowed(ops, f, mean)[0]


def _apart(ops: Ops, x: Array, members: int) -> Array:
    """The members one after the other, (k, n, m), of an array (n, k m)."""
    xp, (n, width) = ops.xp, x.shape
    return xp.permute_dims(xp.reshape(x, (n, members, width // members)), (1, 0, 2))


def _joined(ops: Ops, apart: Array) -> Array:
    """The members side by side, (n, k m), of an array (k, n, m)."""
    xp, (k, n, m) = ops.xp, apart.shape
    return xp.reshape(xp.permute_dims(apart, (1, 0, 2)), (n, k * m))
