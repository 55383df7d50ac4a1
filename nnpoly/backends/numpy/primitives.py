"""The primitives in C: a guard says whether the arrays are what C reads, then one call.

What it cannot read falls through to NumPy's own implementations or to the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._core import ffi, lib
from ...activations import Activation, Identity
from ...primitives import ElementLoss, Ops, RowLoss, implements
from ..codes import CODES, FOCAL, known, loss_code, loss_parameter, parameter, read
from ..host import HostArray as Array
from . import kernels  # noqa: F401  its implementations first: the last are tried first
from .core import (
    FLOAT32,
    INT64,
    Out,
    check,
    dtype_code,
    fits,
    floats,
    new,
    place,
    pointer,
    readable,
    results,
    takes,
    writable,
)
from .rules import UPDATES, Rule


def single(guard: Callable[..., bool]) -> Callable[..., bool]:
    """A guard that takes float32 alone, the dtype whose factors C rounds to bfloat16."""

    def accepts(first: Array, *rest: Any, **options: Any) -> bool:
        return guard(first, *rest, **options) and first.dtype == FLOAT32

    return accepts


# Layers


def _activates(pre: Array, activation: Activation) -> bool:
    return known(activation) and floats(pre)


@implements("activate", "numpy", guard=_activates)
def _activate(ops: Ops, pre: Array, activation: Activation) -> Array:
    if type(activation) is Identity:
        return pre
    post = new(ops, pre.shape, pre.dtype)
    arguments = pointer(pre), pointer(post), pre.size, CODES[type(activation)]
    check(lib.nnpoly_activate(dtype_code(pre.dtype), *arguments, parameter(activation)))
    return post


def _accepts_delta(d_post: Array, pre: Array | None, post: Array, activation: Activation) -> bool:
    return (
        known(activation)
        and floats(d_post)
        and writable(d_post)
        and fits(read(activation, pre, post), d_post.shape, d_post.dtype)
    )


@implements("activation_delta", "numpy", guard=_accepts_delta)
def _activation_delta(
    ops: Ops, d_post: Array, pre: Array | None, post: Array, activation: Activation
) -> Array:
    if type(activation) is Identity:
        return d_post
    to = pointer(d_post)
    places = to, place(read(activation, pre, post)), to
    arguments = *places, d_post.size, CODES[type(activation)]
    check(lib.nnpoly_activation_delta(dtype_code(d_post.dtype), *arguments, parameter(activation)))
    return d_post


def pre_and_post(
    ops: Ops, shape: tuple[int, ...], dtype: np.dtype[Any], activation: Activation, keep_pre: bool
) -> tuple[Array | None, Array]:
    """Arrays for a layer's results: one for both where they are the same, and no pre unread."""
    post = new(ops, shape, dtype)
    if type(activation) is Identity:
        return post, post
    keep_pre = keep_pre or activation.reads == "pre"
    return new(ops, shape, dtype) if keep_pre else None, post


def _accepts_dense(
    x: Array, W: Array, b: Array | None, activation: Activation, keep_pre: bool = True
) -> bool:
    return (
        known(activation)
        and floats(x, W)
        and x.ndim == W.ndim == 2
        and W.shape[1] == x.shape[1]
        and fits(b, W.shape[:1], x.dtype)
    )


@implements("dense", "numpy", guard=_accepts_dense)
def _dense(ops: Ops, x: Array, *rest: Any, **options: Any) -> tuple[Array | None, Array]:
    return _dense_as(dtype_code(x.dtype), ops, x, *rest, **options)


@implements("dense_bf16", "numpy", guard=single(_accepts_dense))
def _dense_bf16(ops: Ops, *arguments: Any, **options: Any) -> tuple[Array | None, Array]:
    return _dense_as(lib.NNPOLY_BFLOAT16, ops, *arguments, **options)


def _dense_as(
    dtype: int,
    ops: Ops,
    x: Array,
    W: Array,
    b: Array | None,
    activation: Activation,
    keep_pre: bool = True,
) -> tuple[Array | None, Array]:
    n, m_in = x.shape
    m = W.shape[0]
    pre, post = pre_and_post(ops, (n, m), x.dtype, activation, keep_pre)
    arguments = pointer(x), pointer(W), place(b), place(pre), pointer(post)
    code, a = CODES[type(activation)], parameter(activation)
    check(lib.nnpoly_dense(dtype, *arguments, n, m_in, m, code, a))
    return pre, post


def _accepts_dense_delta(
    delta: Array, W: Array, pre: Array | None, post: Array, activation: Activation
) -> bool:
    return (
        known(activation)
        and floats(delta, W)
        and delta.ndim == W.ndim == 2
        and delta.shape[1] == W.shape[0]
        and fits(read(activation, pre, post), (delta.shape[0], W.shape[1]), delta.dtype)
    )


@implements("dense_delta", "numpy", guard=_accepts_dense_delta)
def _dense_delta(ops: Ops, delta: Array, *rest: Any) -> Array:
    return _dense_delta_as(dtype_code(delta.dtype), ops, delta, *rest)


@implements("dense_delta_bf16", "numpy", guard=single(_accepts_dense_delta))
def _dense_delta_bf16(ops: Ops, *arguments: Any) -> Array:
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
    n = delta.shape[0]
    m_next, m = W.shape
    out, by = new(ops, (n, m), delta.dtype), place(read(activation, pre, post))
    arguments = pointer(delta), pointer(W), by, pointer(out), n, m_next, m
    code, a = CODES[type(activation)], parameter(activation)
    check(lib.nnpoly_dense_delta(dtype, *arguments, code, a))
    return out


def _dense_shapes(delta: Array, x: Array, biased: bool) -> dict[str, tuple[int, ...]]:
    m, m_in = delta.shape[1], x.shape[1]
    return {"W": (m, m_in), "b": (m,)} if biased else {"W": (m, m_in)}


def _accepts_gradients(delta: Array, x: Array, out: Out = None, biased: bool = True) -> bool:
    if not (floats(delta, x) and delta.ndim == x.ndim == 2 and len(delta) == len(x)):
        return False
    return x.shape[1] > 0 and takes(_dense_shapes(delta, x, biased), x, out)


@implements("dense_gradients", "numpy", guard=_accepts_gradients)
def _dense_gradients(ops: Ops, delta: Array, *rest: Any) -> tuple[Array, Array | None]:
    return _dense_gradients_as(dtype_code(delta.dtype), delta, *rest)


@implements("dense_gradients_bf16", "numpy", guard=single(_accepts_gradients))
def _dense_gradients_bf16(ops: Ops, *arguments: Any) -> tuple[Array, Array | None]:
    return _dense_gradients_as(lib.NNPOLY_BFLOAT16, *arguments)


def _dense_gradients_as(
    dtype: int, delta: Array, x: Array, out: Out = None, biased: bool = True
) -> tuple[Array, Array | None]:
    found = results(_dense_shapes(delta, x, biased), x, out)
    W, b = found["W"], found.get("b")
    arguments = pointer(delta), pointer(x), pointer(W), place(b)
    check(lib.nnpoly_dense_gradients(dtype, *arguments, *delta.shape, x.shape[1]))
    return W, b


def _axis(x: Array, mean: Array) -> int | None:
    """The axis along which x: (n, m) has these means, or None."""
    if x.ndim != 2:
        return None
    return {(1, x.shape[1]): 0, (len(x), 1): 1}.get(mean.shape)


def _vectors(size: int, *arrays: Array) -> bool:
    return all(array.shape == (size,) for array in arrays)


def _accepts_moments(x: Array, axis: int, eps: float) -> bool:
    return floats(x) and x.ndim == 2 and x.shape[axis] > 0


@implements("moments", "numpy", guard=_accepts_moments)
def _moments(ops: Ops, x: Array, axis: int, eps: float) -> tuple[Array, Array, Array]:
    n, m = x.shape
    shape = (1, m) if axis == 0 else (n, 1)
    mean, variance, scale = (new(ops, shape, x.dtype) for _ in range(3))
    places = pointer(x), pointer(mean), pointer(variance), pointer(scale)
    check(lib.nnpoly_moments(dtype_code(x.dtype), *places, n, m, axis, eps))
    return mean, variance, scale


def _accepts_normalise(x: Array, mean: Array, scale: Array, gain: Array, shift: Array) -> bool:
    return (
        floats(x, mean, scale, gain, shift)
        and _axis(x, mean) is not None
        and scale.shape == mean.shape
        and _vectors(x.shape[1], gain, shift)
    )


@implements("normalise", "numpy", guard=_accepts_normalise)
def _normalise(ops: Ops, x: Array, mean: Array, scale: Array, gain: Array, shift: Array) -> Array:
    out = new(ops, x.shape, x.dtype)
    places = map(pointer, (x, mean, scale, gain, shift, out))
    check(lib.nnpoly_normalise(dtype_code(x.dtype), *places, *x.shape, _axis(x, mean)))
    return out


def _accepts_norm_gradients(
    delta: Array, x: Array, mean: Array, scale: Array, out: Out = None
) -> bool:
    if not (floats(delta, x, mean, scale) and _axis(x, mean) is not None):
        return False
    if delta.shape != x.shape or scale.shape != mean.shape:
        return False
    return takes(dict.fromkeys(("gain", "shift"), x.shape[1:]), x, out)


@implements("norm_gradients", "numpy", guard=_accepts_norm_gradients)
def _norm_gradients(
    ops: Ops,
    delta: Array,
    x: Array,
    mean: Array,
    scale: Array,
    out: Out = None,
) -> tuple[Array, Array]:
    gain, shift = results(dict.fromkeys(("gain", "shift"), x.shape[1:]), x, out).values()
    places = map(pointer, (delta, x, mean, scale, gain, shift))
    check(lib.nnpoly_norm_gradients(dtype_code(x.dtype), *places, *x.shape, _axis(x, mean)))
    return gain, shift


def _accepts_norm_delta(
    delta: Array, x: Array, mean: Array, scale: Array, gain: Array, *sums: Array
) -> bool:
    return (
        floats(delta, x, mean, scale, gain, *sums)
        and x.ndim == 2
        and delta.shape == x.shape
        and mean.shape == scale.shape == ((1, x.shape[1]) if sums else (len(x), 1))
        and _vectors(x.shape[1], gain, *sums)
    )


def _norm_delta(ops: Ops, function: Callable[..., int], x: Array, *others: Array) -> Array:
    out = new(ops, x.shape, x.dtype)
    check(function(dtype_code(x.dtype), *map(pointer, (*others, out)), *x.shape))
    return out


@implements("row_norm_delta", "numpy", guard=_accepts_norm_delta)
def _row_norm_delta(ops: Ops, delta: Array, x: Array, *others: Array) -> Array:
    return _norm_delta(ops, lib.nnpoly_row_norm_delta, x, delta, x, *others)


@implements("column_norm_delta", "numpy", guard=_accepts_norm_delta)
def _column_norm_delta(ops: Ops, delta: Array, x: Array, *others: Array) -> Array:
    return _norm_delta(ops, lib.nnpoly_column_norm_delta, x, delta, x, *others)


@implements("dropout_scale", "numpy", guard=lambda x, rate, key, path: floats(x) and x.ndim == 2)
def _dropout_scale(ops: Ops, x: Array, rate: float, key: Any, path: int) -> Array:
    scale = new(ops, x.shape, x.dtype)
    arguments = pointer(scale), *x.shape, rate, int(key), path
    check(lib.nnpoly_dropout_scale(dtype_code(x.dtype), *arguments))
    return scale


# Losses


@implements("softmax", "numpy", guard=lambda scores: floats(scores) and scores.ndim == 2)
def _softmax(ops: Ops, scores: Array) -> Array:
    f = new(ops, scores.shape, scores.dtype)
    check(lib.nnpoly_softmax(dtype_code(scores.dtype), pointer(scores), pointer(f), *scores.shape))
    return f


def _accepts_weights(sample_weight: Array | None, scores: Array) -> bool:
    return sample_weight is None or (
        readable(scores.dtype, sample_weight) and sample_weight.shape == scores.shape[:1]
    )


def _accepts_rows(scores: Array, y: Array, sample_weight: Array | None = None) -> bool:
    return (
        floats(scores, y)
        and scores.shape == y.shape
        and scores.ndim == 2
        and scores.size > 0
        and _accepts_weights(sample_weight, scores)
    )


def _accepts_labels(scores: Array, y: Array, sample_weight: Array | None = None) -> bool:
    return (
        floats(scores)
        and readable(INT64, y)
        and scores.ndim == 2
        and scores.size > 0
        and y.shape == scores.shape[:1]
        and _accepts_weights(sample_weight, scores)
    )


def _loss(
    ops: Ops,
    function: Callable[..., int],
    scores: Array,
    targets: tuple[Any, ...],
    sample_weight: Array | None,
    *codes: float,
) -> tuple[Array, Array]:
    delta, loss = new(ops, scores.shape, scores.dtype), np.empty((), scores.dtype)
    arguments = pointer(scores), *targets, place(sample_weight), pointer(delta), pointer(loss)
    check(function(dtype_code(scores.dtype), *codes, *arguments, *scores.shape))
    return loss, delta


def _element_loss_of(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None, *codes: float
) -> tuple[Array, Array]:
    return _loss(ops, lib.nnpoly_element_loss, scores, (pointer(y),), sample_weight, *codes)


@implements("cross_entropy", "numpy", guard=_accepts_rows)
def _cross_entropy_of_rows(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _loss(ops, lib.nnpoly_cross_entropy, scores, (ffi.NULL, pointer(y)), sample_weight)


@implements("cross_entropy", "numpy", guard=_accepts_labels)
def _cross_entropy_of_labels(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    labels = pointer("int64_t[]", y)
    return _loss(ops, lib.nnpoly_cross_entropy, scores, (labels, ffi.NULL), sample_weight)


@implements("logistic", "numpy", guard=_accepts_rows)
def _logistic(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _element_loss_of(ops, scores, y, sample_weight, lib.NNPOLY_LOGISTIC, 0.0)


@implements("squared_error", "numpy", guard=_accepts_rows)
def _squared_error(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _element_loss_of(ops, scores, y, sample_weight, lib.NNPOLY_SQUARED_ERROR, 0.0)


def _accepts_element_loss(
    scores: Array, y: Array, loss: ElementLoss, sample_weight: Array | None = None
) -> bool:
    return loss_code(loss) is not None and _accepts_rows(scores, y, sample_weight)


@implements("element_loss", "numpy", guard=_accepts_element_loss)
def _element_loss(
    ops: Ops, scores: Array, y: Array, loss: ElementLoss, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    code, a = loss_code(loss), loss_parameter(loss)
    assert code is not None  # its guard has looked
    return _element_loss_of(ops, scores, y, sample_weight, code, a)


def _accepts_focal(
    scores: Array, y: Array, loss: RowLoss, sample_weight: Array | None = None
) -> bool:
    if loss_code(loss) != FOCAL["softmax"]:
        return False
    accepts = _accepts_labels if y.ndim == 1 else _accepts_rows
    return accepts(scores, y, sample_weight)


@implements("row_loss", "numpy", guard=_accepts_focal)
def _focal(
    ops: Ops, scores: Array, y: Array, loss: RowLoss, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    is_rows = y.ndim == 2
    targets = (ffi.NULL, pointer(y)) if is_rows else (pointer("int64_t[]", y), ffi.NULL)
    gamma = loss_parameter(loss)
    return _loss(ops, lib.nnpoly_focal, scores, targets, sample_weight, gamma)


# Data and the flat vector


def _accepts_gather(x: Array, indices: Array) -> bool:
    plain = type(x) is np.ndarray and x.dtype.kind in "biufc" and x.ndim > 0 and len(x) > 0
    return plain and readable(x.dtype, x) and readable(INT64, indices) and indices.ndim == 1


@implements("gather", "numpy", guard=_accepts_gather)
def _gather(ops: Ops, x: Array, indices: Array) -> Array:
    rows, n = len(x), len(indices)
    out = np.empty((n, *x.shape[1:]), x.dtype)
    arguments = pointer(x), pointer("int64_t[]", indices), pointer(out)
    status = lib.nnpoly_gather(*arguments, rows, n, x.nbytes // rows)
    if status == lib.NNPOLY_RANGE:  # negative ones count from the end; NumPy knows
        return x.take(indices, axis=0)
    check(status)
    return out


@implements("clip_norm", "numpy", guard=lambda g, limit: floats(g))
def _clip_norm(ops: Ops, g: Array, limit: float) -> Array:
    out = new(ops, g.shape, g.dtype)
    check(lib.nnpoly_clip_norm(dtype_code(g.dtype), pointer(g), pointer(out), g.size, limit))
    return out


# Optimisers: w and the moments are overwritten


# nnpoly_update's numbers, in its order, and what they are for a rule without them; then what else
# a rule may be given.
NUMBERS = {
    "learning_rate": 0.0,
    "beta1": 0.0,
    "beta2": 0.0,
    "weight_m": 0.0,
    "weight_g": 0.0,
    "unbias_s": 1.0,
    "eps": 0.0,
    "eps_inside": False,
    "nesterov": False,
}


def _accepts_update(rule: Rule) -> Callable[..., bool]:
    """Return the guard of a rule: w, g and its moments are alike."""
    count = len(rule.moments)

    def accepts(w: Array, g: Array, *rest: Any) -> bool:
        vectors = w, g, *rest[:count]
        return (
            floats(*vectors)
            and writable(w, *rest[:count])
            and all(vector.shape == w.shape for vector in vectors)
        )

    return accepts


def _update(rule: Rule) -> Callable[..., Any]:
    """Return the update by a rule, which overwrites and returns w and the moments."""
    count, defaults = len(rule.moments), list(NUMBERS.values())
    columns = [list(NUMBERS).index(name) for name in rule.numbers]
    absent = [name not in rule.moments for name in ("m", "s", "peak")]

    def update(ops: Ops, w: Array, g: Array, *rest: Any) -> Any:
        vectors, numbers = iter(rest[:count]), defaults.copy()
        for column, number in zip(columns, rest[count:], strict=True):
            numbers[column] = number
        code = lib.NNPOLY_NESTEROV if numbers.pop() else rule.code
        moments = [ffi.NULL if none else pointer(next(vectors)) for none in absent]
        arrays = pointer(w), pointer(g), *moments
        check(lib.nnpoly_update(dtype_code(w.dtype), code, *arrays, w.size, *numbers))
        return (w, *rest[:count]) if count else w

    return update


for _name, _rule in UPDATES.items():
    implements(_name, "numpy", guard=_accepts_update(_rule))(_update(_rule))
