"""Cases of the primitives of layers of several members, side by side in the columns."""

from __future__ import annotations

import numpy as np
from case_table import Arguments, cases, relative
from dense_cases import slope_scale, steepest, value_scale

from nnpoly import activations

SHAPES = [(1, 1, 3, 2), (5, 3, 1, 1), (31, 4, 17, 9), (3, 32, 5, 1)]  # n, k, m_in, m
SIGMAS = (activations.identity, activations.relu, activations.gelu)


def name_of(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def apart(x, k):
    """The members one after the other: (k, n, m)."""
    return x.reshape(len(x), k, -1).transpose(1, 0, 2)


def joined(x):
    k, n, m = x.shape
    return x.transpose(1, 0, 2).reshape(n, k * m)


def column_sums_scale(results, delta, out=None):
    return np.sum(np.abs(delta), axis=0)


@cases("column_sums", column_sums_scale)
def _column_sums(rng):
    for n, k, m, _ in SHAPES:
        delta = rng.standard_normal((n, k * m))
        yield f"{n}x{k * m}", n, {"delta": delta}
        yield f"{n}x{k * m}-out", n, {"delta": delta, "out": {"b": np.ones(k * m)}}


def members_scale_delta_scale(results, delta, r):
    return np.sum(np.abs(delta.reshape(len(delta), *r.shape) * r), axis=1)


@cases("members_scale_delta", members_scale_delta_scale)
def _members_scale_delta(rng):
    for n, k, m, _ in SHAPES:
        given = {"delta": rng.standard_normal((n, k * m)), "r": rng.standard_normal((k, m))}
        yield name_of((n, k, m)), k, given


def members_scale_gradient_scale(results, delta, x, out=None):
    products = delta.reshape(len(delta), -1, x.shape[1]) * x[:, None, :]
    return np.sum(np.abs(products), axis=0)


@cases("members_scale_gradient", members_scale_gradient_scale)
def _members_scale_gradient(rng):
    for n, k, m, _ in SHAPES:
        given = {"delta": rng.standard_normal((n, k * m)), "x": rng.standard_normal((n, m))}
        yield name_of((n, k, m)), n, given
        yield f"{name_of((n, k, m))}-out", n, given | {"out": {"r": np.ones((k, m))}}


def arguments(rng, shape) -> Arguments:
    n, k, m_in, m = shape
    sizes = {"delta": (n, k * m), "x": (n, k * m_in), "W": (k, m, m_in), "b": (k, m)}
    return {name: rng.standard_normal(size) for name, size in sizes.items()}


def by_activation(rng):
    for shape in SHAPES:
        for sigma in SIGMAS:
            yield f"{sigma}-{name_of(shape)}", shape, arguments(rng, shape), sigma


def members_dense_scale(results, x, W, b, activation, keep_pre=True):
    pre, post = results
    sums = np.abs(apart(x, len(W))) @ np.abs(W).transpose(0, 2, 1) + np.abs(b)[:, None, :]
    before = joined(sums)
    return [before, steepest(activation) * before + value_scale(activation, pre, post)]


@cases("members_dense", members_dense_scale)
@cases("members_dense_bf16", members_dense_scale)
def _members_dense(rng):
    for name, (_, _, m_in, _), given, sigma in by_activation(rng):
        taken = {key: given[key] for key in "xWb"} | {"activation": sigma}
        yield name, m_in + 1, taken
        yield f"{name}-drop-pre", m_in + 1, taken | {"keep_pre": False}


def members_dense_delta_scale(results, delta, W, pre, post, activation):
    sums = joined(np.abs(apart(delta, len(W))) @ np.abs(W))
    return sums * slope_scale(activation, pre, post)


@cases("members_dense_delta", members_dense_delta_scale)
@cases("members_dense_delta_bf16", members_dense_delta_scale)
def _members_dense_delta(rng):
    for name, (_, _, _, m), given, sigma in by_activation(rng):
        pre = given["x"]
        below = {"pre": pre, "post": sigma(pre), "activation": sigma}
        yield name, m, {"delta": given["delta"], "W": given["W"]} | below


def members_dense_gradients_scale(results, delta, x, members, out=None):
    d = np.abs(apart(delta, members))
    return [d.transpose(0, 2, 1) @ np.abs(apart(x, members)), d.sum(axis=1)]


@cases("members_dense_gradients", members_dense_gradients_scale)
@cases("members_dense_gradients_bf16", members_dense_gradients_scale)
def _members_dense_gradients(rng):
    for shape in SHAPES:
        n, k, _, _ = shape
        given = arguments(rng, shape)
        taken = {"delta": given["delta"], "x": given["x"], "members": k}
        yield name_of(shape), n, taken
        out = {name: np.ones_like(given[name]) for name in "Wb"}
        yield f"{name_of(shape)}-out", n, taken | {"out": out}


@cases("members_mean", relative)
def _members_mean(rng):
    for n, k, _, m in SHAPES:
        yield name_of((n, k, m)), k, {"f": rng.random((n, k * m)), "members": k}
