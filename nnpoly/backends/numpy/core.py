"""NumPy's implementations in C: a guard says whether the arrays are what C reads, then one call.

C takes float32 and float64 in C-contiguous, aligned arrays. Anything else falls through to NumPy's
own implementations or to the definition. cext/nnpoly.h is the contract of every function here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import activations
from ..._core import ffi, lib
from ...activations import Activation, Identity
from ...primitives import Array, Ops, implements
from .. import threads as _threads
from . import kernels as _numpy  # noqa: F401  its implementations first: the last are tried first

VARIABLE = "NNPOLY_ISA"

pointer = ffi.from_buffer


def start() -> None:
    """Choose the ISA and the threads by the environment."""
    isa = os.environ.get(VARIABLE)
    if isa and lib.nnpoly_set_isa(isa.encode()) != lib.NNPOLY_OK:
        runs = ", ".join(isas())
        raise ValueError(f"{VARIABLE}: must be none or one that runs here: {runs}; got {isa!r}.")
    set_num_threads(_threads.default())


def isas() -> list[str]:
    """Return the instruction sets that this build has and this processor runs, best first."""
    names, index = [], 0
    while (name := lib.nnpoly_isa_name(index)) != ffi.NULL:
        names.append(ffi.string(name).decode())
        index += 1
    return [name for name in names if lib.nnpoly_isa_runs(name.encode())]


def set_num_threads(count: int) -> None:
    """Use `count` threads, which has been checked."""
    lib.nnpoly_set_num_threads(count)


def describe() -> str:
    """Return the ISA, the threads and the compiler."""
    isa = ffi.string(lib.nnpoly_isa()).decode()
    compiler = ffi.string(lib.nnpoly_compiler()).decode()
    threads = lib.nnpoly_num_threads()
    return f"{isa}, {threads} thread{'s' * (threads > 1)}, compiled by {compiler}"


# What C reads


def _codes() -> dict[type[Activation], int]:
    """Return the code of every activation that C has."""
    named = {**activations.BY_NAME, "exp": activations.Exp()}.items()
    return {type(sigma): getattr(lib, f"NNPOLY_{name.upper()}") for name, sigma in named}


CODES = _codes()
FLOAT32, FLOAT64, INT64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
REALS = (FLOAT32, FLOAT64)
READABLE, WRITABLE = 0x101, 0x501  # NumPy's flags: C-contiguous and aligned; and writable

REASONS = {
    lib.NNPOLY_NO_MEMORY: "memory for its workspace could not be allocated",
    lib.NNPOLY_NULL: "an array is missing",
    lib.NNPOLY_MISALIGNED: "an array is misaligned",
    lib.NNPOLY_SHAPE: "an array is too large, or empty where it must not be",
    lib.NNPOLY_OVERLAP: "a result would overlap another array in memory: pass copies",
    lib.NNPOLY_RANGE: "an index or a rate is out of its range",
}


def check(status: int) -> None:
    if status != lib.NNPOLY_OK:
        kind = MemoryError if status == lib.NNPOLY_NO_MEMORY else ValueError
        raise kind(f"C core: {REASONS[status]}.")


def readable(dtype: np.dtype[Any], *arrays: Array) -> bool:
    """Whether all are arrays that C can read as `dtype`."""
    for array in arrays:
        if type(array) is not np.ndarray or array.dtype != dtype:
            return False
        if array.flags.num & READABLE != READABLE:
            return False
    return True


def floats(*arrays: Array) -> bool:
    """Whether all are arrays of one dtype that C can compute with."""
    first = arrays[0]
    return type(first) is np.ndarray and first.dtype in REALS and readable(first.dtype, *arrays)


def writable(*arrays: Array) -> bool:
    return all(array.flags.num & WRITABLE == WRITABLE for array in arrays)


def code_of(array: Array) -> int:
    """Return C's code of the array's dtype."""
    return int(array.dtype == FLOAT64)


def parameter(activation: Activation) -> float:
    return getattr(activation, "a", 0.0)


def _new(ops: Ops, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    array = ops.scratch(shape, dtype)
    return np.empty(shape, dtype) if array is None else array


# Layers


def _activates(pre: Array, activation: Activation) -> bool:
    return type(activation) in CODES and floats(pre)


@implements("activate", "numpy", guard=_activates)
def _activate(ops: Ops, pre: Array, activation: Activation) -> Array:
    if type(activation) is Identity:
        return pre
    post = _new(ops, pre.shape, pre.dtype)
    arguments = pointer(pre), pointer(post), pre.size, CODES[type(activation)]
    check(lib.nnpoly_activate(code_of(pre), *arguments, parameter(activation)))
    return post


def _read(activation: Activation, pre: Array, post: Array) -> Array:
    """Return the array that the derivative reads, or None."""
    return {"pre": pre, "post": post, "none": None}[activation.reads]


def _accepts_read(read: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return read is None or (readable(dtype, read) and read.shape == shape)


def _accepts_delta(d_post: Array, pre: Array, post: Array, activation: Activation) -> bool:
    return (
        type(activation) in CODES
        and floats(d_post)
        and writable(d_post)
        and _accepts_read(_read(activation, pre, post), d_post.shape, d_post.dtype)
    )


@implements("activation_delta", "numpy", guard=_accepts_delta)
def _activation_delta(
    ops: Ops, d_post: Array, pre: Array, post: Array, activation: Activation
) -> Array:
    if type(activation) is Identity:
        return d_post
    read, place = _read(activation, pre, post), pointer(d_post)
    read_place = ffi.NULL if read is None else pointer(read)
    arguments = place, read_place, place, d_post.size, CODES[type(activation)]
    check(lib.nnpoly_activation_delta(code_of(d_post), *arguments, parameter(activation)))
    return d_post


def _accepts_dense(
    x: Array, W: Array, b: Array, activation: Activation, keep_pre: bool = True
) -> bool:
    return (
        type(activation) in CODES
        and floats(x, W, b)
        and x.ndim == W.ndim == 2
        and W.shape == (b.size, x.shape[1])
        and b.ndim == 1
    )


@implements("dense", "numpy", guard=_accepts_dense)
def _dense(
    ops: Ops, x: Array, W: Array, b: Array, activation: Activation, keep_pre: bool = True
) -> tuple[Array, Array]:
    n, m_in = x.shape
    m = W.shape[0]
    post = _new(ops, (n, m), x.dtype)
    pre = None
    if type(activation) is Identity:
        pre = post
    elif keep_pre or activation.reads == "pre":
        pre = _new(ops, (n, m), x.dtype)
    pre_place = ffi.NULL if pre is None else pointer(pre)
    arguments = pointer(x), pointer(W), pointer(b), pre_place, pointer(post)
    code, a = CODES[type(activation)], parameter(activation)
    check(lib.nnpoly_dense(code_of(x), *arguments, n, m_in, m, code, a))
    return pre, post


def _accepts_dense_delta(
    delta: Array, W: Array, pre: Array, post: Array, activation: Activation
) -> bool:
    return (
        type(activation) in CODES
        and floats(delta, W)
        and delta.ndim == W.ndim == 2
        and delta.shape[1] == W.shape[0]
        and _accepts_read(_read(activation, pre, post), (delta.shape[0], W.shape[1]), delta.dtype)
    )


@implements("dense_delta", "numpy", guard=_accepts_dense_delta)
def _dense_delta(
    ops: Ops, delta: Array, W: Array, pre: Array, post: Array, activation: Activation
) -> Array:
    n = delta.shape[0]
    m_next, m = W.shape
    out, read = _new(ops, (n, m), delta.dtype), _read(activation, pre, post)
    read_place = ffi.NULL if read is None else pointer(read)
    arguments = pointer(delta), pointer(W), read_place, pointer(out), n, m_next, m
    code, a = CODES[type(activation)], parameter(activation)
    check(lib.nnpoly_dense_delta(code_of(delta), *arguments, code, a))
    return out


def _accepts_gradients(delta: Array, x: Array, out: Mapping[str, Array] | None = None) -> bool:
    if not (floats(delta, x) and delta.ndim == x.ndim == 2 and len(delta) == len(x)):
        return False
    if out is None:
        return bool(x.shape[1] > 0)
    W, b = out["W"], out["b"]
    m, m_in = delta.shape[1], x.shape[1]
    if W.shape != (m, m_in) or b.shape != (m,) or m_in == 0:
        return False
    return readable(x.dtype, W, b) and writable(W, b)


@implements("dense_gradients", "numpy", guard=_accepts_gradients)
def _dense_gradients(
    ops: Ops, delta: Array, x: Array, out: Mapping[str, Array] | None = None
) -> tuple[Array, Array]:
    n, m = delta.shape
    m_in = x.shape[1]
    if out is None:
        out = {"W": np.empty((m, m_in), x.dtype), "b": np.empty(m, x.dtype)}
    W, b = out["W"], out["b"]
    arguments = pointer(delta), pointer(x), pointer(W), pointer(b)
    check(lib.nnpoly_dense_gradients(code_of(x), *arguments, n, m, m_in))
    return W, b


@implements("dropout_scale", "numpy", guard=lambda x, rate, key, path: floats(x) and x.ndim == 2)
def _dropout_scale(ops: Ops, x: Array, rate: float, key: Any, path: int) -> Array:
    scale = _new(ops, x.shape, x.dtype)
    check(lib.nnpoly_dropout_scale(code_of(x), pointer(scale), *x.shape, rate, int(key), path))
    return scale


# Losses


@implements("softmax", "numpy", guard=lambda scores: floats(scores) and scores.ndim == 2)
def _softmax(ops: Ops, scores: Array) -> Array:
    f = _new(ops, scores.shape, scores.dtype)
    check(lib.nnpoly_softmax(code_of(scores), pointer(scores), pointer(f), *scores.shape))
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
) -> tuple[Array, Array]:
    delta, loss = _new(ops, scores.shape, scores.dtype), np.empty((), scores.dtype)
    weights = ffi.NULL if sample_weight is None else pointer(sample_weight)
    arguments = pointer(scores), *targets, weights, pointer(delta), pointer(loss)
    check(function(code_of(scores), *arguments, *scores.shape))
    return loss, delta


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
    return _loss(ops, lib.nnpoly_logistic, scores, (pointer(y),), sample_weight)


@implements("squared_error", "numpy", guard=_accepts_rows)
def _squared_error(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    return _loss(ops, lib.nnpoly_squared_error, scores, (pointer(y),), sample_weight)


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
    out = _new(ops, g.shape, g.dtype)
    check(lib.nnpoly_clip_norm(code_of(g), pointer(g), pointer(out), g.size, limit))
    return out


# Optimisers


def _updates(moments: int) -> Callable[..., bool]:
    """Return the guard of a rule with so many moments: w, g, then they, all alike."""

    def accepts(w: Array, g: Array, *rest: Any) -> bool:
        vectors = w, g, *rest[:moments]
        return (
            floats(*vectors)
            and writable(w, *rest[:moments])
            and all(vector.shape == w.shape for vector in vectors)
        )

    return accepts


def _update(
    rule: int,
    arrays: tuple[Array, ...],
    learning_rate: float,
    beta1: float = 0.0,
    beta2: float = 0.0,
    weight_m: float = 0.0,
    weight_g: float = 0.0,
    unbias_s: float = 1.0,
    eps: float = 0.0,
    inside: bool = False,
) -> None:
    """Update the arrays w, g, m, s, peak, of which those that the rule does not name are None."""
    places = (ffi.NULL if array is None else pointer(array) for array in arrays)
    numbers = learning_rate, beta1, beta2, weight_m, weight_g, unbias_s, eps, inside
    check(lib.nnpoly_update(code_of(arrays[0]), rule, *places, arrays[0].size, *numbers))


@implements("sgd", "numpy", guard=_updates(0))
def _sgd(ops: Ops, w: Array, g: Array, learning_rate: float) -> Array:
    _update(lib.NNPOLY_SGD, (w, g, None, None, None), learning_rate)
    return w


@implements("momentum", "numpy", guard=_updates(1))
def _momentum(
    ops: Ops,
    w: Array,
    g: Array,
    v: Array,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
) -> tuple[Array, Array]:
    rule = lib.NNPOLY_NESTEROV if nesterov else lib.NNPOLY_MOMENTUM
    _update(rule, (w, g, v, None, None), learning_rate, momentum)
    return w, v


@implements("adagrad", "numpy", guard=_updates(1))
def _adagrad(
    ops: Ops, w: Array, g: Array, s: Array, learning_rate: float, eps: float, eps_inside_sqrt: bool
) -> tuple[Array, Array]:
    arrays = w, g, None, s, None
    _update(lib.NNPOLY_ADAGRAD, arrays, learning_rate, eps=eps, inside=eps_inside_sqrt)
    return w, s


@implements("rmsprop", "numpy", guard=_updates(1))
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
    arrays = w, g, None, s, None
    _update(lib.NNPOLY_RMSPROP, arrays, learning_rate, beta2=beta, eps=eps, inside=eps_inside_sqrt)
    return w, s


@implements("adam", "numpy", guard=_updates(2))
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
    numbers = learning_rate, beta1, beta2, unbias_m, 0.0, unbias_s, eps, eps_inside_sqrt
    _update(lib.NNPOLY_ADAM, (w, g, m, s, None), *numbers)
    return w, m, s


@implements("nadam", "numpy", guard=_updates(2))
def _nadam(
    ops: Ops,
    w: Array,
    g: Array,
    m: Array,
    s: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    weight_m: float,
    weight_g: float,
    unbias_s: float,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array, Array]:
    numbers = learning_rate, beta1, beta2, weight_m, weight_g, unbias_s, eps, eps_inside_sqrt
    _update(lib.NNPOLY_NADAM, (w, g, m, s, None), *numbers)
    return w, m, s


@implements("amsgrad", "numpy", guard=_updates(3))
def _amsgrad(
    ops: Ops,
    w: Array,
    g: Array,
    m: Array,
    s: Array,
    peak: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    unbias_m: float,
    unbias_s: float,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array, Array, Array]:
    numbers = learning_rate, beta1, beta2, unbias_m, 0.0, unbias_s, eps, eps_inside_sqrt
    _update(lib.NNPOLY_AMSGRAD, (w, g, m, s, peak), *numbers)
    return w, m, s, peak


@implements("lion", "numpy", guard=_updates(1))
def _lion(
    ops: Ops, w: Array, g: Array, m: Array, learning_rate: float, beta1: float, beta2: float
) -> tuple[Array, Array]:
    _update(lib.NNPOLY_LION, (w, g, m, None, None), learning_rate, beta1, beta2)
    return w, m
