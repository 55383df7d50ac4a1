"""Numbers by their quantiles, as normally distributed ones, in the array API.

The same numbers as of `estimators.tabular.quantiles`, by operations that every target has: it lacks
SciPy's `ndtri`, of which the part that is needed is Wichura's AS241.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..primitives.arrays import device_of

Array: TypeAlias = Any  # of any library, or one that writes a graph

NEAR = 1e-7  # within which a number is the least or the largest, and the least probability
FARTHEST_CELL, FARTHEST = 1e300, 1e30  # as of `backends.ensembles.Input`

# Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution", PPND16: with
# q = p - 1/2, where |q| <= 0.425 the result is q A(r) / B(r), r = 0.180625 - q^2, else that of the
# sign of q and of size C(r) / D(r), r = sqrt(-log(min(p, 1 - p))) - 1.6. Coefficients of r^0 first.
MIDDLE, BEND, SHIFT = 0.425, 0.180625, 1.6
A = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
B = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
C = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
D = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)


def by_quantiles(
    xp: Any, x: Array, center: float, factor: float, quantiles: Sequence[float]
) -> Array:
    """What a `QuantileCell` is for numbers x: (n,), float64; NaN for NaN."""
    return of_probabilities(xp, x, probabilities(xp, x, center, factor, quantiles))


def probabilities(
    xp: Any, x: Array, center: float, factor: float, quantiles: Sequence[float]
) -> Array:
    """The ranks of numbers x: (n,) among quantiles, from 0 to 1; of NaN any number."""
    z = clipped(xp, clipped(xp, x - center, FARTHEST_CELL) * factor, FARTHEST)
    p = _ranks(xp, z, quantiles)
    p = xp.where(z + NEAR > quantiles[-1], xp.ones_like(p), p)
    return xp.where(z - NEAR < quantiles[0], xp.zeros_like(p), p)


def of_probabilities(xp: Any, x: Array, p: Array) -> Array:
    """The `normal_quantile` of p where x is a number, and NaN where it is NaN; of any shape."""
    return xp.where(xp.isnan(x), x, normal_quantile(xp, p))


def clipped(xp: Any, x: Array, limit: float) -> Array:
    """Clip x to +-limit. NaN passes."""
    high = xp.full_like(x, limit)
    x = xp.where(x > high, high, x)
    return xp.where(x < -high, -high, x)


def _ranks(xp: Any, z: Array, quantiles: Sequence[float]) -> Array:
    """The ranks of z among rising numbers, two at least, between 0 and 1."""
    count = len(quantiles)
    points = xp.asarray(list(quantiles), dtype=z.dtype, device=device_of(z))

    def interpolated(at: Array) -> Array:
        """By the interval whose left end is the quantile before `at`."""
        low = xp.where(at > 0, at - 1, at)
        low = xp.where(low > count - 2, xp.full_like(low, count - 2), low)
        left, right = xp.take(points, low, axis=0), xp.take(points, low + 1, axis=0)
        apart = xp.where(right > left, right - left, xp.ones_like(left))
        share = (z - left) / apart
        share = xp.where(share < 0, xp.zeros_like(share), share)
        share = xp.where(share > 1, xp.ones_like(share), share)
        return (xp.astype(low, z.dtype) + share) / (count - 1)

    up = interpolated(xp.searchsorted(points, z, side="right"))
    down = interpolated(xp.searchsorted(points, z, side="left"))
    return 0.5 * (up + down)


def normal_quantile(xp: Any, p: Array) -> Array:
    """The number below which a standard normal one is with probability p, for 1e-7 <= p <= 1-1e-7.

    Other p count as the nearest of these.
    """
    low, high = xp.full_like(p, NEAR), xp.full_like(p, 1.0 - NEAR)
    p = xp.where(p < low, low, p)
    p = xp.where(p > high, high, p)
    q = p - 0.5
    middle = xp.abs(q) <= MIDDLE
    r = xp.where(middle, BEND - q * q, xp.zeros_like(q))
    near = q * _polynomial(A, r) / _polynomial(B, r)
    tail = xp.where(q > 0, 1.0 - p, p)
    r = xp.sqrt(-xp.log(tail)) - SHIFT
    far = _polynomial(C, r) / _polynomial(D, r)
    return xp.where(middle, near, xp.where(q > 0, far, -far))


def _polynomial(coefficients: Sequence[float], r: Array) -> Array:
    """By Horner's rule."""
    found = coefficients[-1] * r + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        found = found * r + coefficient
    return found
