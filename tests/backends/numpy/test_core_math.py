"""The C core's functions against mpmath, in units in the last place, over their whole range.

One unit in the last place (ulp) of the exact value is the distance between the two floating numbers
around it. Where the exact value is a denormal number, which is written as 0, anything smaller than
twice the smallest normal number is allowed.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from conftest import built_core

from nnpoly import activations
from nnpoly.backends import codes, get

core = built_core()
lib, ffi = core.lib, core.ffi

pytestmark = pytest.mark.usefixtures("restored_core")

EXP = lib.NNPOLY_EXP
CODES = {name: codes.CODES[type(sigma)] for name, sigma in activations.BY_NAME.items()}

# Of the paper, to more digits.
SELU_ABOVE = mpmath.mpf("1.0507009873554804934193349852946")
SELU_BELOW = mpmath.mpf("1.7580993408473768599402175208123")


def mish_factor(e: mpmath.mpf) -> mpmath.mpf:
    """tanh(log(1 + e)): mpmath's own cancels where e is small."""
    return e * (e + 2) / (e * (e + 2) + 2)


# Ulps allowed.
LIMIT = 4.5
EXACT: dict[str, tuple[int, Callable[[mpmath.mpf], mpmath.mpf]]] = {
    "exp": (EXP, mpmath.exp),
    "tanh": (CODES["tanh"], mpmath.tanh),
    "sigmoid": (CODES["sigmoid"], lambda z: 1 / (1 + mpmath.exp(-z))),
    "softplus": (CODES["softplus"], lambda z: mpmath.log1p(mpmath.exp(z))),
    "elu": (CODES["elu"], lambda z: z if z > 0 else mpmath.expm1(z)),
    "selu": (CODES["selu"], lambda z: SELU_ABOVE * z if z > 0 else SELU_BELOW * mpmath.expm1(z)),
    "silu": (CODES["silu"], lambda z: z / (1 + mpmath.exp(-z))),
    "mish": (CODES["mish"], lambda z: z * mish_factor(mpmath.exp(z))),
    "gelu": (CODES["gelu"], lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2),
}

every_isa = pytest.mark.parametrize("isa", core.isas())
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def apply(isa: str, code: int, z: np.ndarray) -> np.ndarray:
    assert lib.nnpoly_set_isa(isa.encode()) == lib.NNPOLY_OK
    out, pointer = np.empty_like(z), ffi.from_buffer
    status = lib.nnpoly_activate(
        core.dtype_code(z.dtype), pointer(z), pointer(out), z.size, code, 1.0
    )
    assert status == lib.NNPOLY_OK
    return out


def arguments(dtype: str) -> np.ndarray:
    """Return numbers of every size and both signs, and many where the functions bend."""
    rng, floats = np.random.default_rng(0), np.finfo(dtype)
    sizes = 2.0 ** rng.uniform(floats.minexp, 12, 700)
    edge = 750.0 if dtype == "float64" else 92.0
    z = np.concatenate([sizes, -sizes, rng.uniform(-edge, edge, 800), rng.normal(0, 3, 1500)])
    return z.astype(dtype)


def ulps(got: np.ndarray, z: np.ndarray, exact: Callable[[mpmath.mpf], mpmath.mpf]) -> np.ndarray:
    """Return each result's distance from the exact value, in its ulps."""
    floats = np.finfo(got.dtype)
    found = np.zeros(z.size)
    for i, (value, argument) in enumerate(zip(got.tolist(), z.tolist(), strict=True)):
        want = exact(mpmath.mpf(argument))
        if abs(want) < floats.smallest_normal:
            found[i] = 0.0 if abs(value) <= 2 * floats.smallest_normal else np.inf
        elif abs(want) > floats.max:
            found[i] = 0.0 if np.isinf(value) else np.inf
        else:
            exponent = max(int(mpmath.frexp(want)[1]) - 1, floats.minexp)
            found[i] = float(abs(value - want) / mpmath.mpf(2) ** (exponent + floats.negep + 1))
    return found


@every_dtype
@pytest.mark.parametrize("function", EXACT)
def test_functions_are_accurate(function, dtype):
    code, exact = EXACT[function]
    z = arguments(dtype)
    with mpmath.workdps(40):
        for isa in core.isas():
            error = ulps(apply(isa, code, z), z, exact)
            worst = np.argmax(error)
            assert error[worst] <= LIMIT, f"{isa}: {error[worst]:.2f} ulp at {z[worst]!r}"


# Waves: PERIODIC of one column whose frequency is 1, and the weights of whose cosine or sine are 1
# and -1. Of the two features one is not positive.


def turns(isa: str, x: np.ndarray, of_sine: bool) -> np.ndarray:
    assert lib.nnpoly_set_isa(isa.encode()) == lib.NNPOLY_OK
    ops = get("numpy").ops
    one, none = np.ones((1, 1), x.dtype), np.zeros((1, 2), x.dtype)
    W = np.zeros((1, 2, 2), x.dtype)
    W[0, :, int(of_sine)] = 1.0, -1.0
    both = ops.periodic(x[:, None], one, None, W, none)
    return np.where(both[:, 0] > 0, both[:, 0], -both[:, 1])


def waves(dtype: str) -> np.ndarray:
    """Return numbers of every size and both signs, near quarters and far from 0."""
    rng, floats = np.random.default_rng(0), np.finfo(dtype)
    sizes = 2.0 ** rng.uniform(floats.minexp, 60, 500)
    quarters = rng.integers(-4000, 4000, 500) / 4
    x = np.concatenate([rng.uniform(-1, 1, 1500), rng.uniform(-1e4, 1e4, 800), sizes, -sizes])
    near = np.concatenate([quarters, *(np.nextafter(quarters, s * np.inf) for s in (-1, 1))])
    odd = [2.0**k + 0.5 for k in range(21, 24)] + [2.0**k + 0.25 for k in range(50, 53)]
    return np.concatenate([x, near, quarters * (1 + 1e-6), odd]).astype(dtype)


@every_dtype
@pytest.mark.parametrize("of_sine", [False, True], ids=["cosine", "sine"])
def test_waves_are_accurate(of_sine, dtype):
    """Relatively, even near their zeros and after thousands of turns."""
    x = waves(dtype)
    function = mpmath.sinpi if of_sine else mpmath.cospi
    with mpmath.workdps(60):
        for isa in core.isas():
            error = ulps(turns(isa, x, of_sine), x, lambda t: function(2 * t))
            worst = np.argmax(error)
            assert error[worst] <= LIMIT, f"{isa}: {error[worst]:.2f} ulp at {x[worst]!r}"


@every_dtype
@every_isa
@pytest.mark.parametrize("of_sine", [False, True], ids=["cosine", "sine"])
def test_waves_of_no_number(of_sine, isa, dtype):
    x = np.array([np.nan, -np.nan, np.inf, -np.inf], dtype)
    assert np.isnan(turns(isa, x, of_sine)).all()


LIMITS = {  # at -inf and inf
    "exp": (0.0, np.inf),
    "step": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1.0, np.inf),
    "selu": (-1.7580993408473768, np.inf),
    "softplus": (0.0, np.inf),
    "silu": (0.0, np.inf),
    "mish": (0.0, np.inf),
    "gelu": (0.0, np.inf),
    "gelu_tanh": (0.0, np.inf),
}


@every_dtype
@every_isa
@pytest.mark.parametrize("function", LIMITS)
def test_infinities_and_nan(isa, function, dtype):
    code = {**CODES, "exp": EXP}[function]
    quiet, other = np.array([np.nan, np.nan], dtype)
    payload = np.array([np.nan], dtype).view(f"i{np.dtype(dtype).itemsize}") + 12345
    nan_of_another_kind = payload.view(dtype)[0]
    z = np.array([-np.inf, np.inf, quiet, -other, nan_of_another_kind], dtype)
    low, high, *nans = apply(isa, code, z).tolist()
    assert (low, high) == tuple(np.array(LIMITS[function], dtype).tolist())
    assert np.isnan(nans).all() or function == "step"


@every_dtype
@every_isa
def test_denormal_numbers_are_read_as_zero(isa, dtype):
    tiny = float(np.finfo(dtype).smallest_normal)
    z = np.array([tiny / 2, -tiny / 2, tiny / 1024], dtype)
    at_zero = {"exp": 1.0, "sigmoid": 0.5, "softplus": np.log(2.0), "tanh": 0.0, "gelu": 0.0}
    for function, want in at_zero.items():
        got = apply(isa, {**CODES, "exp": EXP}[function], z)
        np.testing.assert_allclose(got, want, rtol=1e-6)
        assert not np.any((got != 0) & (np.abs(got) < tiny))


@every_isa
def test_the_callers_floating_point_control_is_restored(isa):
    """NumPy computes with denormal numbers after a call as before."""
    tiny = np.float64(5e-324)
    apply(isa, EXP, np.ones(3))
    assert tiny * np.float64(1.0) == tiny
    assert float(tiny) / 1.0 > 0


@every_dtype
def test_slopes_are_derivatives(dtype):
    """sigma' in C against mpmath's differentiation of sigma, absolutely."""
    z = np.linspace(-12, 12, 97).astype(dtype)
    z = z[z != 0]
    floats = np.finfo(dtype)
    for name in ("sigmoid", "tanh", "elu", "selu", "softplus", "silu", "mish", "gelu"):
        code, exact = EXACT[name]
        sigma = activations.BY_NAME[name]
        post = np.array([float(exact(mpmath.mpf(v))) for v in z.tolist()], dtype)
        want = np.array([float(mpmath.diff(exact, v)) for v in z.tolist()])
        read = post if sigma.reads == "post" else z
        out, pointer = np.empty_like(z), ffi.from_buffer
        ones = np.ones_like(z)
        places = pointer(ones), pointer(read), pointer(out)
        assert (
            lib.nnpoly_activation_delta(core.dtype_code(z.dtype), *places, z.size, code, 1.0) == 0
        )
        assert np.max(np.abs(out - want)) <= 16 * floats.eps, name
