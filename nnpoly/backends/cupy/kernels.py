"""The primitives as kernels of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cupy

from ...activations import Activation, Identity
from ...losses import MSE, Logistic, Loss
from ...primitives import TABLE, Scalar, implements
from ..codes import CODES, LOSSES, known, loss_parameter, parameter, read, read_beside
from .launching import (
    BLOCKS,
    LARGEST,
    NULL,
    REALS,
    THREADS,
    WARP,
    Array,
    at,
    launch,
    launch_flat,
    power_of_two,
    rows_and_columns,
    scalar,
    targets,
    tiles,
)
from .ops import CudaOps
from .products import Factor

TOGETHER = 4096  # threads' worth of a loss that one block takes, instead of a second launch
# Products up to so many multiply-adds go to our own kernels, which save launches; beyond, cuBLAS's
# tiles win. Estimated, not measured: not yet run on a GPU.
SMALL = 1 << 22
PART, PARTS = 512, 64  # rows that are summed together, and how many such parts there are at most


def _coded(activation: Activation) -> tuple[int, float]:
    """Return the activation as kernels take it."""
    return CODES[type(activation)], parameter(activation)


# Guards


def _plain(*arrays: Array) -> bool:
    """Whether kernels can read the arrays: of one dtype that they know, contiguous, not empty."""
    kind = arrays[0].dtype
    return kind.char in REALS and all(
        array.dtype == kind and array.flags.c_contiguous and array.size for array in arrays
    )


def _indices(array: Array) -> bool:
    return bool(array.dtype == cupy.int64 and array.flags.c_contiguous and array.size)


# Activations


def _accepts_pre(pre: Array, activation: Activation) -> bool:
    return known(activation) and _plain(pre)


@implements("activate", "cupy", guard=_accepts_pre)
def _activate(ops: CudaOps, pre: Array, activation: Activation) -> Array:
    if type(activation) is Identity:
        return pre
    post = cupy.empty_like(pre)
    launch_flat("activate", pre, pre, post, pre.size, *_coded(activation))
    return post


def _accepts_delta(d_post: Array, pre: Array, post: Array, activation: Activation) -> bool:
    return known(activation) and _plain(d_post, read_beside(d_post, activation, pre, post))


@implements("activation_delta", "cupy", guard=_accepts_delta)
def _activation_delta(
    ops: CudaOps, d_post: Array, pre: Array, post: Array, activation: Activation
) -> Array:
    if type(activation) is Identity:
        return d_post
    arrays = d_post, read_beside(d_post, activation, pre, post)
    launch_flat("activation_delta", d_post, *arrays, d_post.size, *_coded(activation))
    return d_post


# Dense layers


def _small(ops: CudaOps, rows: int, columns: int, terms: int) -> bool:
    """Whether a product goes to our own kernels."""
    return rows * columns * terms <= SMALL and terms <= ops.products.deepest


def all_small(ops: CudaOps, n: int, shapes: Sequence[tuple[int, int, int]]) -> bool:
    """Whether all products of a step on n rows do; shapes: (k, m_in, m) a layer of k members."""
    deepest = max(size for k, *widths in shapes for size in (n * k, *widths))
    small = all(_small(ops, n * k, m, m_in) for k, m_in, m in shapes)
    return small and deepest <= ops.products.deepest


def _accepts_dense(
    x: Array, W: Array, b: Array | None, activation: Activation, keep_pre: bool = True
) -> bool:
    return known(activation) and _plain(x, W, *([] if b is None else [b]))


@implements("dense", "cupy", guard=_accepts_dense)
def _dense(
    ops: CudaOps, x: Array, W: Array, b: Any, activation: Activation, keep_pre: bool = True
) -> tuple[Array | None, Array]:
    (n, m_in), m = x.shape, W.shape[0]
    if b is None:
        b = cupy.zeros(m, x.dtype)
    post = cupy.empty((n, m), x.dtype)
    pre = cupy.empty_like(post) if keep_pre or activation.reads == "pre" else None
    if not _small(ops, n, m, m_in):
        if pre is None and type(activation) is Identity and ops.products.biased(x, W, b, post):
            return None, post
        z = post if pre is None else pre
        if ops.products.multiply(Factor(x), Factor(W, True), z):
            grid = rows_and_columns(n, m)
            launch("bias_activate", x.dtype, *grid, z, b, post, n, m, *_coded(activation))
            return pre, post
    args = x, W, b, at(pre), post, n, m_in, m, *_coded(activation)
    launch("dense", x.dtype, *tiles(n, m), *args)
    return pre, post


def _accepts_dense_delta(
    delta: Array, W: Array, pre: Array, post: Array, activation: Activation
) -> bool:
    return _plain(delta, W) and _accepts_delta(delta, pre, post, activation)


@implements("dense_delta", "cupy", guard=_accepts_dense_delta)
def _dense_delta(
    ops: CudaOps, delta: Array, W: Array, pre: Array, post: Array, activation: Activation
) -> Array:
    (n, m_next), m = delta.shape, W.shape[1]
    below = cupy.empty((n, m), delta.dtype)
    if not _small(ops, n, m, m_next) and ops.products.multiply(Factor(delta), Factor(W), below):
        return ops.activation_delta(below, pre, post, activation)
    place = at(read(activation, pre, post))
    args = delta, W, place, below, n, m_next, m, *_coded(activation)
    launch("dense_delta", delta.dtype, *tiles(n, m), *args)
    return below


def _accepts_gradients(
    delta: Array, x: Array, out: Mapping[str, Array] | None = None, biased: bool = True
) -> bool:
    return _plain(delta, x, *([] if out is None else out.values()))


@implements("dense_gradients", "cupy", guard=_accepts_gradients)
def _dense_gradients(
    ops: CudaOps,
    delta: Array,
    x: Array,
    out: Mapping[str, Array] | None = None,
    biased: bool = True,
) -> tuple[Array, Array | None]:
    (n, m), m_in = delta.shape, x.shape[1]
    dW = cupy.empty((m, m_in), x.dtype) if out is None else out["W"]
    db = cupy.empty(m, x.dtype) if out is None or not biased else out["b"]
    if _small(ops, m, m_in, n) or ops.branch is None:
        _write_gradients(ops, delta, x, dW, db)
    else:
        with ops.branch.forked(delta, x):
            _write_gradients(ops, delta, x, dW, db)
    return dW, db if biased else None


def _write_gradients(ops: CudaOps, delta: Array, x: Array, dW: Array, db: Array) -> None:
    (n, m), m_in = delta.shape, x.shape[1]
    if not _small(ops, m, m_in, n):
        if ops.products.gradients(delta, x, dW, db):
            return
        if ops.products.multiply(Factor(delta, True), Factor(x), dW):
            column_sums(delta, db)
            return
    launch("dense_gradients", x.dtype, *tiles(m, m_in + 1), delta, x, dW, db, n, m_in, m)


def column_sums(delta: Array, db: Array) -> None:
    """Write the sums of delta: (n, m) down its columns: by parts of its rows, then of the parts."""
    n, m = delta.shape
    parts = min(-(-n // PART), PARTS)
    sums = db if parts == 1 else cupy.empty((parts, m), delta.dtype)
    grid, block = (-(-m // WARP), parts), (WARP, LARGEST // WARP)
    launch("column_sums", delta.dtype, grid, block, delta, sums, n, m, -(-n // parts))
    if parts > 1:
        launch("column_sums", delta.dtype, grid[:1], block, sums, db, parts, m, parts)


# Outputs and losses


def _lanes(K: int) -> int:
    return min(power_of_two(K), WARP)


@implements("softmax", "cupy", guard=_plain)
def _softmax(ops: CudaOps, scores: Array) -> Array:
    (n, K), f = scores.shape, cupy.empty_like(scores)
    lanes = _lanes(K)
    grid = (-(-n * lanes // THREADS),)
    launch("softmax", scores.dtype, grid, (THREADS,), scores, f, n, K, lanes)
    return f


def _launch_loss(
    name: str, threads: int, scores: Array, *args: Any, codes: tuple[float, ...]
) -> tuple[Array, Array]:
    """Launch a loss over so many threads; codes are the last arguments. Return loss and delta."""
    *inputs, n, K = args
    delta = cupy.empty_like(scores)
    blocks, size = 1, -(-min(threads, LARGEST) // WARP) * WARP
    if threads > TOGETHER:
        blocks, size = min(-(-threads // THREADS), BLOCKS), THREADS
    parts = cupy.empty(blocks, scores.dtype)
    launch(name, scores.dtype, (blocks,), (size,), scores, *inputs, delta, parts, n, K, *codes)
    return _summed(parts), delta


def _summed(parts: Array) -> Array:
    """Return the sum of blocks' parts: 0-d."""
    if parts.size == 1:
        return parts[0]
    loss = cupy.empty((), parts.dtype)
    launch("total", parts.dtype, (1,), (LARGEST,), parts, loss, parts.size)
    return loss


def _accepts_loss(scores: Array, y: Array, sample_weight: Array | None = None) -> bool:
    weights = [] if sample_weight is None else [sample_weight]
    return _plain(scores, y, *weights)


def _accepts_classes(scores: Array, y: Array, sample_weight: Array | None = None) -> bool:
    if y.ndim == 2:
        return _accepts_loss(scores, y, sample_weight)
    return _indices(y) and _accepts_loss(scores, scores, sample_weight)


@implements("cross_entropy", "cupy", guard=_accepts_classes)
def _cross_entropy(
    ops: CudaOps, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    n, K = scores.shape
    args, lanes = (*targets(y), at(sample_weight), n, K), _lanes(K)
    return _launch_loss("cross_entropy", n * lanes, scores, *args, codes=(lanes,))


def _element_loss_of(
    scores: Array, y: Array, sample_weight: Array | None, kind: type[Loss], a: float = 0.0
) -> tuple[Array, Array]:
    args = y, at(sample_weight), *scores.shape
    return _launch_loss("element_loss", scores.size, scores, *args, codes=(LOSSES[kind], a))


@implements("logistic", "cupy", guard=_accepts_loss)
def _logistic(
    ops: CudaOps, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _element_loss_of(scores, y, sample_weight, Logistic)


@implements("squared_error", "cupy", guard=_accepts_loss)
def _squared_error(
    ops: CudaOps, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _element_loss_of(scores, y, sample_weight, MSE)


def _accepts_element_loss(
    scores: Array, y: Array, loss: Loss, sample_weight: Array | None = None
) -> bool:
    return type(loss) in LOSSES and _accepts_loss(scores, y, sample_weight)


@implements("element_loss", "cupy", guard=_accepts_element_loss)
def _element_loss(
    ops: CudaOps, scores: Array, y: Array, loss: Loss, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _element_loss_of(scores, y, sample_weight, type(loss), loss_parameter(loss))


# Data and the flat vector


def _accepts_rows(x: Array, indices: Array) -> bool:
    return x.ndim == 2 and _plain(x) and _indices(indices)


@implements("gather", "cupy", guard=_accepts_rows)
def _gather(ops: CudaOps, x: Array, indices: Array) -> Array:
    n, m = indices.size, x.shape[1]
    out = cupy.empty((n, m), x.dtype)
    launch("gather", x.dtype, *rows_and_columns(n, m), x, indices, out, n, m)
    return out


@implements("flatten", "cupy", guard=lambda pieces, out=None, views=None: out is not None)
def _flatten(ops: CudaOps, pieces: Sequence[Array], out: Array, views: Sequence[Array]) -> Array:
    if ops.branch is not None:
        ops.branch.join()
    for piece, view in zip(pieces, views, strict=True):
        if piece is not view:
            view[...] = piece
    return out


@implements("dropout_scale", "cupy", guard=lambda x, rate, key, path: _plain(x))
def _dropout_scale(ops: CudaOps, x: Array, rate: Scalar, key: Scalar, path: int) -> Array:
    scale = cupy.empty_like(x)
    of_key = (0, key) if isinstance(key, cupy.ndarray) else (int(key), NULL)
    launch_flat("dropout_scale", x, scale, *x.shape, *scalar(rate), path, *of_key)
    return scale


@implements("normal_cdf", "cupy", guard=lambda z: z.dtype.char in REALS)
def _normal_cdf(ops: CudaOps, z: Array) -> Array:
    from cupyx.scipy.special import ndtr

    return ndtr(z)


@implements("clip_norm", "cupy", guard=lambda g, limit: _plain(g))
def _clip_norm(ops: CudaOps, g: Array, limit: float) -> Array:
    blocks = min(-(-g.size // THREADS), LARGEST)
    parts, clipped = cupy.empty(blocks, g.dtype), cupy.empty_like(g)
    launch("squares", g.dtype, (blocks,), (THREADS,), g, parts, g.size)
    launch_flat("clip", g, g, _summed(parts), clipped, g.size, float(limit))
    return clipped


# Optimisers: w and the moments are overwritten


def _accepts_state(*given: Any) -> bool:
    return _plain(*(a for a in given if isinstance(a, cupy.ndarray) and a.ndim))  # no coefficients


@implements("penalised", "cupy", guard=_accepts_state)
def _penalised(ops: CudaOps, g: Array, w: Array, weight_decay: Scalar) -> Array:
    summed = cupy.empty_like(g)
    launch_flat("penalised", g, g, w, summed, g.size, *scalar(weight_decay))
    return summed


# In place: their kernels take these vectors, their size, and these numbers, all in the order of the
# definition.
ADAM = ("learning_rate", "beta1", "beta2", "unbias_m", "unbias_s", "eps", "eps_inside_sqrt")
NADAM = ("learning_rate", "beta1", "beta2", "weight_m", "weight_g", *ADAM[4:])
IN_PLACE = {
    "decayed": (("w",), ("learning_rate", "weight_decay")),
    "averaged": (("average", "w"), ("decay",)),
    "sgd": (("w", "g"), ("learning_rate",)),
    "momentum": (("w", "g", "v"), ("learning_rate", "momentum", "nesterov")),
    "adagrad": (("w", "g", "s"), ("learning_rate", "eps", "eps_inside_sqrt")),
    "rmsprop": (("w", "g", "s"), ("learning_rate", "beta", "eps", "eps_inside_sqrt")),
    "adam": (("w", "g", "m", "s"), ADAM),
    "nadam": (("w", "g", "m", "s"), NADAM),
    "amsgrad": (("w", "g", "m", "s", "peak"), ADAM),
    "lion": (("w", "g", "m"), ("learning_rate", "beta1", "beta2")),
}
# Numbers that change from step to step: a captured step finds them on the device.
OF_STEP = ("learning_rate", "weight_decay", "unbias_m", "unbias_s", "weight_m", "weight_g")


def _in_place(name: str) -> Callable[..., Any]:
    """Return the update of that name, which overwrites and returns what it is given away."""
    vectors, numbers = IN_PLACE[name]
    count, of_step = len(vectors), [number in OF_STEP for number in numbers]
    overwritten = [vectors.index(vector) for vector in TABLE[name].donates]

    def update(ops: CudaOps, *given: Any) -> Any:
        arrays = given[:count]
        rule: list[Any] = []
        for number, either in zip(given[count:], of_step, strict=True):
            rule += scalar(number) if either else (number,)
        launch_flat(name, arrays[0], *arrays, arrays[0].size, *rule)
        results = tuple(arrays[i] for i in overwritten)
        return results if len(results) > 1 else results[0]

    return update


for _name in IN_PLACE:
    implements(_name, "cupy", guard=_accepts_state)(_in_place(_name))
