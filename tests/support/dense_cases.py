"""Cases of activations and of Dense layers, with and without factors rounded to bfloat16.

A sum of K products is off by eps sqrt(K) of its terms' magnitudes, rounded factors or not: the
definition rounds the same factors, exactly, and a product of two of them is exact in float32.
"""

from __future__ import annotations

import numpy as np
from case_table import cases, exact, relative

from nnpoly import activations
from nnpoly.activations import GELU, Activation, Exp, GELUTanh, Mish, Sigmoid, SiLU, Tanh
from nnpoly.backends.numpy.kernels import BLOCK

# Activations

ACTIVATIONS = {**activations.BY_NAME, "exp": activations.Exp()}
LARGE = (1, BLOCK + 1)  # one entry stands alone after a block
FAR = 40.0  # beyond it every activation and its derivative has reached its limit
POSITIVE = np.array([1e-4, 1e-3, 0.1, 0.5, 1.0, 2.0, 5.0, 9.0, 30.0, 1e4])
WIDE = np.concatenate([-POSITIVE, [0.0], POSITIVE]).reshape(7, 3)


def wide(activation):
    """A wide range of inputs, for exp without overflow in half precision."""
    return np.minimum(WIDE, 10.0) if type(activation) is Exp else WIDE


def value_scale(activation, pre, value):
    """GELU's exp(-z^2/2) magnifies a rounding of z; GELUTanh's 1 + tanh cancels for z < 0."""
    if type(activation) is Exp:
        return np.abs(value) * (1.0 + np.abs(pre))
    if type(activation) is GELU:
        return np.abs(value) * (1.0 + np.minimum(np.abs(pre), FAR) ** 2)
    if type(activation) is GELUTanh:
        return np.abs(value) + np.minimum(np.abs(pre), FAR)
    return np.abs(value)


def slope_scale(activation, pre, post):
    """Slopes are accurate relatively, but for those where 1 - sigma or 1 - tanh^2 cancels.

    Mish's is a sum, of sigma / z and the rest, which cancel around z = -1.2.
    """
    slope, z = np.abs(activation.derivative(pre, post)), np.minimum(np.abs(pre), FAR)
    if type(activation) in (Sigmoid, Tanh, GELU):
        return slope + 1.0
    if type(activation) is SiLU:
        return slope + 1.0 + z
    if type(activation) is Mish:
        factor = np.divide(post, pre, where=pre != 0, out=np.full_like(pre, 0.6))
        return np.abs(factor) + np.abs(activation.derivative(pre, post) - factor)
    if type(activation) is GELUTanh:
        return slope + 1.0 + z / 2 + z**3 / 16
    return slope


def steepest(activation: Activation) -> float:
    """An upper bound of |sigma'|; that of GELU is 1.13."""
    return 1.13 * max(1.0, abs(getattr(activation, "a", 1.0)))


def activate_scale(results, pre, activation):
    return value_scale(activation, pre, results[0])


@cases("activate", activate_scale)
def _activate(rng):
    for name, activation in ACTIVATIONS.items():
        yield f"{name}-wide", 1, {"pre": wide(activation), "activation": activation}
    pre = 3.0 * rng.standard_normal(LARGE)
    yield "gelu-large", 1, {"pre": pre, "activation": activations.gelu}


def activation_delta_scale(results, d_post, pre, post, activation):
    return np.abs(d_post) * slope_scale(activation, pre, post)


@cases("activation_delta", activation_delta_scale)
def _activation_delta(rng):
    d_post = rng.standard_normal(WIDE.shape)
    for name, activation in ACTIVATIONS.items():
        pre = wide(activation)
        arguments = {"pre": pre, "post": activation(pre), "activation": activation}
        yield name, 1, {"d_post": d_post, **arguments}
    pre, d_post = 3.0 * rng.standard_normal(LARGE), rng.standard_normal(LARGE)
    for activation in (activations.gelu, activations.sigmoid):  # one reads pre, one post
        arguments = {"d_post": d_post, "pre": pre, "post": activation(pre)}
        yield f"{activation}-large", 1, {**arguments, "activation": activation}


def normal_cdf_scale(results, z):
    return results[0] * (1.0 + np.minimum(np.abs(z), FAR) ** 2)


@cases("normal_cdf", normal_cdf_scale)
def _normal_cdf(rng):
    yield "one", 1, {"z": np.array([-0.5])}
    yield "wide", 1, {"z": WIDE}
    yield "large", 1, {"z": 4.0 * rng.standard_normal(BLOCK + 1)}


# Dense layers

SHAPES = [(1, 13, 1), (31, 64, 17)]  # n, m_in, m
MIDDLE = (7, 5, 3)


def name_of(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)


def dense_scale(results, x, W, b, activation, keep_pre=True):
    pre, post = results
    before = np.abs(x) @ np.abs(W.T) + (0.0 if b is None else np.abs(b))
    if type(activation) is Exp:
        return [before, post * before]
    return [before, steepest(activation) * before + value_scale(activation, pre, post)]


def dense_arguments(rng, shape, activation):
    n, m_in, m = shape
    x, W, b = rng.standard_normal((n, m_in)), rng.standard_normal((m, m_in)), rng.standard_normal(m)
    return {"x": x, "W": W, "b": b, "activation": activation}


@cases("dense", dense_scale)
@cases("dense_bf16", dense_scale)
def _dense(rng):
    for shape in SHAPES:
        yield name_of(shape), shape[1] + 1, dense_arguments(rng, shape, activations.tanh)
    for name, activation in ACTIVATIONS.items():
        arguments = dense_arguments(rng, MIDDLE, activation)
        if name == "step":  # it jumps, so its argument must not be rounded
            arguments |= {key: np.round(arguments[key]) for key in ("x", "W", "b")}
        yield name, MIDDLE[1] + 1, arguments
        yield f"{name}-drop-pre", MIDDLE[1] + 1, {**arguments, "keep_pre": False}
        yield f"{name}-unbiased", MIDDLE[1], {**arguments, "b": None}
    large = dense_arguments(rng, (LARGE[0], 5, LARGE[1]), activations.sigmoid)
    yield "large-drop-pre", 6, {**large, "keep_pre": False}


def dense_delta_scale(results, delta, W, pre, post, activation):
    return np.abs(delta) @ np.abs(W) * slope_scale(activation, pre, post)


def dense_delta_arguments(rng, shape, activation):
    n, m_next, m = shape
    delta, W = rng.standard_normal((n, m_next)), rng.standard_normal((m_next, m))
    pre = 3.0 * rng.standard_normal((n, m))
    post = activation(pre)
    return {"delta": delta, "W": W, "pre": pre, "post": post, "activation": activation}


@cases("dense_delta", dense_delta_scale)
@cases("dense_delta_bf16", dense_delta_scale)
def _dense_delta(rng):
    for shape in SHAPES:
        yield name_of(shape), shape[1] + 1, dense_delta_arguments(rng, shape, activations.tanh)
    for name, activation in ACTIVATIONS.items():
        yield name, MIDDLE[1] + 1, dense_delta_arguments(rng, MIDDLE, activation)


def dense_gradients_scale(results, delta, x, out=None, biased=True):
    return [np.abs(delta.T) @ np.abs(x), np.sum(np.abs(delta), axis=0) if biased else 0.0]


@cases("dense_gradients", dense_gradients_scale)
@cases("dense_gradients_bf16", dense_gradients_scale)
def _dense_gradients(rng):
    for n, m_in, m in [*SHAPES, MIDDLE]:
        arguments = {"delta": rng.standard_normal((n, m)), "x": rng.standard_normal((n, m_in))}
        name = name_of((n, m_in, m))
        yield name, n, arguments
        out = {"W": np.ones((m, m_in)), "b": np.ones(m)}
        yield f"{name}-out", n, {**arguments, "out": out}
        yield f"{name}-unbiased", n, {**arguments, "out": None, "biased": False}
        of_W = {"W": out["W"]}
        yield f"{name}-unbiased-out", n, {**arguments, "out": of_W, "biased": False}


# Numbers between two of bfloat16, by their distance from the smaller one: those half way go to the
# one whose last bit is 0.
STEPS = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75])


@cases("bfloat16", exact)
def _bfloat16(rng):
    yield "one", 1, {"x": np.array([[-0.3]])}
    units = 128.0 + np.concatenate([STEPS, 126.0 + STEPS])  # the last ones end the power of two
    yield "ties", 1, {"x": np.stack([units, -units, 2.0**-13 * units, 2.0**6 * units])}
    yield "wide", 1, {"x": WIDE * rng.standard_normal(WIDE.shape)}
    yield "large", 1, {"x": rng.standard_normal(LARGE)}


@cases("dense_row_gradients", relative)
def _dense_row_gradients(rng):
    for n, m, m_in in [(1, 1, 1), (5, 3, 2), (17, 9, 33)]:
        given = {"delta": rng.standard_normal((n, m)), "x": rng.standard_normal((n, m_in))}
        yield f"{n}x{m}x{m_in}", 1, given
