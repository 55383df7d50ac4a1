"""NumPy's own implementations: arrays of every layout, and half precision."""

from __future__ import annotations

from collections.abc import Callable

import array_api_compat.numpy as xp
import numpy as np
import pytest

from nnpoly import activations
from nnpoly.backends import get
from nnpoly.backends.numpy.kernels import BLOCK
from nnpoly.primitives import Ops

DEFINITIONS = Ops(xp)
ACTIVATIONS = [activations.Linear(0.42), activations.LeakyReLU(0.3), activations.Exp()]
ACTIVATIONS += list(activations.BY_NAME.values())
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
}


@pytest.mark.parametrize("backend", ["numpy", "plain"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("n", [3, BLOCK // 5 + 7])
def test_a_derivative_is_applied_in_every_layout(n, activation, layout, dtype, backend):
    rng = np.random.default_rng(0)
    pre, d_post = rng.normal(size=(2, n, 5)).astype(dtype)
    post = activation(pre)
    want = DEFINITIONS.activation_delta(d_post, pre, post, activation)
    place = LAYOUTS[layout]
    got = get(backend).ops.activation_delta(place(d_post), pre, post, activation)
    tolerance = 2e-3 if dtype == "float16" else 1e-5
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


RULES: dict[str, tuple[int, tuple[float, ...]]] = {  # of moments; numbers
    "sgd": (0, (0.1,)),
    "momentum": (1, (0.1, 0.9, True)),
    "adagrad": (1, (0.1, 1e-3, True)),
    "rmsprop": (1, (0.1, 0.9, 1e-3, True)),
    "adam": (2, (0.1, 0.9, 0.99, 10.0, 100.0, 1e-3, True)),
}


@pytest.mark.parametrize("backend", ["numpy", "plain"])
@pytest.mark.parametrize("size", [5, BLOCK + 7])
@pytest.mark.parametrize("rule", RULES)
def test_an_update_reaches_a_strided_vector(rule, size, backend):
    moments, numbers = RULES[rule]
    rng = np.random.default_rng(0)
    vectors = [np.abs(rng.normal(size=size)) + 0.1 for _ in range(2 + moments)]
    want = getattr(DEFINITIONS, rule)(*vectors, *numbers)
    strided = [np.repeat(vector, 2)[::2] for vector in vectors]
    got = getattr(get(backend).ops, rule)(*strided, *numbers)
    for a, b in zip(np.atleast_2d(got), np.atleast_2d(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "plain"])
@pytest.mark.parametrize(("n", "K"), [(50, 4), (30, 1), (9, 50)])
@pytest.mark.parametrize("primitive", ["cross_entropy", "logistic", "squared_error"])
def test_losses_in_half_precision_are_the_definitions(primitive, n, K, backend):
    """Which alone adds up in an order that half precision can hold, however many rows there are."""
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(n, K)).astype(np.float16), rng.integers(0, K, n)
    rows = (labels[:, None] == np.arange(K)).astype(np.float16)
    for y in (rows, labels) if primitive == "cross_entropy" else (rows,):
        for s in (None, np.full(n, 0.5, np.float16)):
            got = getattr(get(backend).ops, primitive)(scores, y, s)
            want = getattr(DEFINITIONS, primitive)(scores, y, s)
            assert [np.array(a).tobytes() for a in got] == [np.array(a).tobytes() for a in want]
