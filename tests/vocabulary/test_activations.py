"""Activations: derivatives, limits, and the normal distribution function's accuracy."""

from __future__ import annotations

import math

import array_api_compat.numpy as xp
import differences
import mpmath
import numpy as np
import pytest

from nnpoly import activations
from nnpoly.activations import BY_NAME
from nnpoly.backends import get
from nnpoly.primitives import Ops

DEFINITION = Ops(xp)
FAST = get("numpy").ops
INF = np.inf

every_activation = pytest.mark.parametrize("name", BY_NAME)
every_float = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])

PARAMETRIC = [
    activations.Linear(-2.5),
    activations.LeakyReLU(0.3),
    activations.ELU(0.7),
]

# sigma and sigma' at -inf and inf, which are reached to the last bit at -1e4 and 1e4 already,
# where they are finite. leaky_relu(-1e4) = -100.
LIMITS = {
    "step": ((0.0, 1.0), (0.0, 0.0)),
    "identity": ((-INF, INF), (1.0, 1.0)),
    "linear": ((-INF, INF), (1.0, 1.0)),
    "sigmoid": ((0.0, 1.0), (0.0, 0.0)),
    "tanh": ((-1.0, 1.0), (0.0, 0.0)),
    "relu": ((0.0, INF), (0.0, 1.0)),
    "leaky_relu": ((-INF, INF), (0.01, 1.0)),
    "elu": ((-1.0, INF), (0.0, 1.0)),
    "selu": ((-1.7580993408473768, INF), (0.0, 1.0507009873554805)),
    "softplus": ((0.0, INF), (0.0, 1.0)),
    "silu": ((0.0, INF), (0.0, 1.0)),
    "mish": ((0.0, INF), (0.0, 1.0)),
    "gelu": ((0.0, INF), (0.0, 1.0)),
    "gelu_tanh": ((0.0, INF), (0.0, 1.0)),
}


# Derivatives


def away_from_0() -> np.ndarray:
    """Return points on both sides of 0, where some activations have a corner."""
    z = np.linspace(0.01, 8.0, 161)
    return np.concatenate([-z, z])


@pytest.mark.parametrize("sigma", [*BY_NAME.values(), *PARAMETRIC], ids=str)
def test_derivative_is_that_of_the_value(sigma):
    z = away_from_0()
    expected = differences.slope(sigma, z)
    np.testing.assert_allclose(sigma.derivative(z), expected, rtol=0, atol=differences.ACCURACY)


SMOOTH = set(BY_NAME) - {"step", "relu", "leaky_relu", "elu", "selu"}  # at 0, where elu'' jumps


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_smooth_derivatives_hold_at_0_too(name):
    sigma, z = BY_NAME[name], np.zeros(1)
    expected = differences.slope(sigma, z)
    np.testing.assert_allclose(sigma.derivative(z), expected, rtol=0, atol=differences.ACCURACY)


@every_activation
def test_derivative_takes_a_post_that_is_known(name):
    sigma, z = BY_NAME[name], away_from_0()
    assert np.array_equal(sigma.derivative(z, sigma(z)), sigma.derivative(z))


@every_activation
def test_slope_looks_only_at_what_it_reads(name):
    sigma, z = BY_NAME[name], away_from_0()
    given = {"pre": (z, None), "post": (None, sigma(z)), "none": (z, None)}[sigma.reads]
    assert np.array_equal(sigma.slope(DEFINITION, *given), sigma.derivative(z))


def test_step_of_0_is_1():
    for zero in (0.0, -0.0):
        assert activations.step(np.array([zero])).tolist() == [1.0]
    assert activations.step(np.array([-5e-324, 5e-324])).tolist() == [0.0, 1.0]


def test_relu_has_derivative_0_at_0():
    assert activations.relu.derivative(np.array([0.0, -0.0])).tolist() == [0.0, 0.0]


# Extreme values: a NumPy warning fails a test


@pytest.mark.parametrize("ops", [DEFINITION, FAST], ids=["definition", "numpy"])
@every_float
@every_activation
def test_finite_up_to_1e4(name, dtype, ops):
    sigma = BY_NAME[name]
    z = np.linspace(-1e4, 1e4, 4001).astype(dtype)
    post = ops.activate(z, sigma)
    assert post.dtype == dtype
    assert np.all(np.isfinite(post))
    assert np.all(np.isfinite(sigma.slope(ops, z, post)))


@every_float
@every_activation
def test_limits_are_reached_at_1e4(name, dtype):
    sigma, (values, slopes) = BY_NAME[name], LIMITS[name]
    far = np.array([-1e4, 1e4], dtype)
    lines = np.array(slopes, dtype) * far  # which those without a limit have become
    expected = np.where(np.isinf(values), lines, np.array(values, dtype))
    assert sigma(far).tolist() == expected.tolist()
    assert sigma.derivative(far).tolist() == np.array(slopes, dtype).tolist()


@every_activation
def test_infinite_and_missing_values(variant, name):
    sigma, (values, slopes) = BY_NAME[name], LIMITS[name]
    z = variant.array([-INF, INF, math.nan], "float32")
    nan_becomes = 0.0 if name == "step" else math.nan  # the step of "not >= 0" is 0
    expected = np.array([*values, nan_becomes], "float32")
    with variant.scope():
        value, slope = sigma(z), sigma.derivative(z)
    assert np.array_equal(variant.host(value), expected, equal_nan=True)
    got = variant.host(slope)[:2]
    assert np.array_equal(got, np.array(slopes, "float32"))


# The public call, on every backend


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_activation
def test_call_and_derivative_on_every_backend(variant, name, dtype):
    sigma = BY_NAME[name]
    z = np.linspace(-4.0, 4.0, 12, dtype=dtype).reshape(2, 3, 2)
    placed = variant.array(z)
    for function in (sigma, sigma.derivative):
        got, want = variant.run(function, placed), function(z.astype("float64"))
        assert got.dtype == placed.dtype
        assert got.device == placed.device
        # The slopes that cancel lose a few units: 1 - sigma^2 times z^3 in gelu_tanh.
        tolerance = 16 * np.finfo(dtype).eps
        np.testing.assert_allclose(variant.host(got), want, rtol=tolerance, atol=tolerance)


@every_activation
def test_arrays_without_axes_are_taken(name):
    sigma = BY_NAME[name]
    for scalar in (np.array(0.5), np.float64(0.5)):
        assert sigma(scalar) == sigma(np.array([0.5]))[0]
        assert sigma.derivative(scalar) == sigma.derivative(np.array([0.5]))[0]


@pytest.mark.parametrize("name", ["ReLU", "swish", "", None])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match=r"`activation` must be one of elu, gelu, .* got"):
        activations.get(name)


@pytest.mark.parametrize("kind", [activations.Linear, activations.LeakyReLU, activations.ELU])
@pytest.mark.parametrize("a", [math.nan, math.inf, "x"])
def test_parameters_are_checked(kind, a):
    with pytest.raises(ValueError, match=f"{kind.__name__}: `a` must be a finite number"):
        kind(a)


def test_parameters_are_python_floats():
    assert type(activations.ELU(np.float64(0.5)).a) is float


# The normal distribution function


def normal_cdf_error(ops: Ops, z: np.ndarray) -> np.ndarray:
    """Return the relative error in units of eps, in the places where the result is normal."""
    floats = np.finfo(z.dtype)
    with mpmath.workdps(40):
        exact = [mpmath.ncdf(mpmath.mpf(float(v))) for v in z]
        errors = [
            float(abs(mpmath.mpf(float(got)) - want) / want)
            for got, want in zip(ops.normal_cdf(z), exact, strict=True)
        ]
    normal = np.array([float(want) for want in exact]) > 2 * floats.tiny
    return np.where(normal, errors, 0.0) / float(floats.eps)


@pytest.mark.parametrize("ops", [DEFINITION, FAST], ids=["definition", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_cdf_against_mpmath(dtype, ops):
    """Within 3 eps (2.8 was seen), and z^2/4 more for half an ulp of the tail's exponent z^2/2."""
    near = np.logspace(-8, 0, 50)
    z = np.concatenate([np.linspace(-37.0, 9.0, 700), near, -near]).astype(dtype)
    error = normal_cdf_error(ops, z)
    assert np.all(error <= 3.0 + z.astype("float64") ** 2 / 4), np.max(error)


def test_normal_cdf_is_antisymmetric_and_exact_where_it_can_be():
    for ops in (DEFINITION, FAST):
        for dtype in ("float16", "float32", "float64"):
            z = np.array([-1e4, 0.0, -0.0, 1e4], dtype)
            assert ops.normal_cdf(z).tolist() == [0.0, 0.5, 0.5, 1.0]


@every_float
def test_fast_normal_cdf_equals_the_definition_bit_for_bit(dtype, rng):
    z = (4.0 * rng.standard_normal(40_000)).astype(dtype)
    assert np.array_equal(FAST.normal_cdf(z), DEFINITION.normal_cdf(z))
