"""Arguments of the primitives of normalisation, and the scales of their errors (see `cases`)."""

from __future__ import annotations

import numpy as np
from case_table import Arguments


def moments_scale(results, x, axis, eps):
    _, variance, scale = results
    size = np.abs(x) + np.mean(np.abs(x), axis=axis, keepdims=True)
    of_variance = variance + np.mean(size**2, axis=axis, keepdims=True)
    relative_error = of_variance / (variance + eps)
    return [np.mean(np.abs(x), axis=axis, keepdims=True), of_variance, scale * relative_error]


def norm_arguments(rng, n: int, m: int, axis: int) -> Arguments:
    """Return delta, x, and mean and scale of x along an axis."""
    delta, x = rng.standard_normal((n, m)), rng.standard_normal((n, m)) + 0.5
    shape = (1, m) if axis == 0 else (n, 1)
    mean, scale = 0.5 + 0.1 * rng.standard_normal(shape), rng.uniform(0.5, 1.5, shape)
    return {"delta": delta, "x": x, "mean": mean, "scale": scale}


def of_columns(rng, m: int, *names: str) -> Arguments:
    return {name: rng.standard_normal(m) for name in names}


def normal_size(x, mean, scale):
    """The size of what x^ is the difference of."""
    return (np.abs(x) + np.abs(mean)) * scale


def normalise_scale(results, x, mean, scale, gain, shift):
    return np.abs(gain) * normal_size(x, mean, scale) + np.abs(shift)


def norm_gradients_scale(results, delta, x, mean, scale, out=None):
    size = np.abs(delta)
    return [np.sum(size * normal_size(x, mean, scale), axis=0), np.sum(size, axis=0)]


def row_norm_delta_scale(results, delta, x, mean, scale, gain):
    d, normal = np.abs(delta * gain), normal_size(x, mean, scale)
    along = np.mean(d * normal, axis=1, keepdims=True)
    return (d + np.mean(d, axis=1, keepdims=True) + normal * along) * scale


def column_norm_delta_scale(results, delta, x, mean, scale, gain, dgain, dshift):
    sums = np.abs(dshift) + normal_size(x, mean, scale) * np.abs(dgain)
    return (np.abs(delta) + sums / len(x)) * np.abs(gain) * scale
