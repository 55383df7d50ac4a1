"""Rounding to bfloat16 on every backend: all 2^16 numbers, midpoints, and their neighbours."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from nnpoly import activations
from nnpoly.primitives import TABLE, Ops

NUMBERS = (np.arange(2**17)[:, None] * 0x8000 + [-1, 0, 1]).astype(np.uint32).view(np.float32)
SIGN, FIRST_NORMAL, INFINITY = 0x80000000, 0x00800000, 0x7F800000

pytestmark = pytest.mark.filterwarnings("ignore:invalid value")  # of signalling NaN


def nearest(x: np.ndarray) -> np.ndarray:
    """The bits of the nearest numbers, by integers: whole units, and what is left of one."""
    bits = x.view(np.uint32).astype(np.int64)
    sign, size = bits & SIGN, bits & ~SIGN
    units, left = np.divmod(size, 0x10000)
    up = (left > 0x8000) | ((left == 0x8000) & (units % 2 == 1))
    rounded = (units + up) * 0x10000
    return sign | np.where(size < FIRST_NORMAL, 0, np.minimum(rounded, INFINITY))


def assert_nearest(got: np.ndarray, x: np.ndarray = NUMBERS) -> None:
    assert got.dtype == np.float32
    isnan = np.isnan(x)
    assert np.array_equal(np.isnan(got), isnan)
    assert np.array_equal(got.view(np.uint32)[~isnan], nearest(x)[~isnan])


def on(variant: Any, rounding: Any) -> np.ndarray:
    """What a function of the table makes of all numbers, which it must not modify."""
    x = variant.array(NUMBERS)
    before = variant.host(x).tobytes()
    with np.errstate(invalid="ignore"):
        if variant.jit:
            got = variant.backend.compile(rounding)(x)
        else:
            with variant.scope():
                got = rounding(variant.backend.ops, x)
    assert variant.host(x).tobytes() == before
    return variant.host(got)


def test_every_backend_rounds_all_numbers(variant):
    assert_nearest(on(variant, lambda ops, x: ops.bfloat16(x)))


def test_the_definition_rounds_all_numbers_with_every_library(variant):
    definition = TABLE["bfloat16"].definition
    assert_nearest(on(variant, lambda ops, x: definition(Ops(ops.xp), x)))


def test_other_libraries_casts_agree():
    """But for denormals, which those of float32 stay."""
    with np.errstate(all="ignore"):
        by_ml_dtypes = NUMBERS.astype(ml_dtypes.bfloat16).astype(np.float32)
    by_torch = torch.tensor(NUMBERS).to(torch.bfloat16).float().numpy()
    normal = ~(np.abs(NUMBERS) < 2.0**-126)
    for cast in (by_ml_dtypes, by_torch):
        assert_nearest(cast[normal], NUMBERS[normal])


def test_numbers_of_float64_are_rounded_once(variant):
    """By way of float32, 1 + 2^-8 + 2^-40 would be half way, and go to 1."""
    if variant.backend.dtype("float64") != variant.array([1.0]).dtype:
        pytest.skip("no float64")
    x = 1.0 + 2.0**-8 + np.array([-(2.0**-40), 0.0, 2.0**-40])
    large = 2.0**128 - 2.0**119 - np.array([2.0**90, 0.0])
    given = np.concatenate([x, -x, large, [2.0**-126, -(2.0**-126) * (1 - 2.0**-40)]])
    up, top = 1.0 + 2.0**-7, 2.0**128 - 2.0**120
    want = np.array([1.0, 1.0, up, -1.0, -1.0, -up, top, np.inf, 2.0**-126, -0.0])
    with variant.scope():
        got = variant.host(variant.backend.ops.bfloat16(variant.array(given)))
    assert got.dtype == np.float64
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (5, 7)])
def test_matrices_that_lie_otherwise(variant, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with variant.scope():
        got = variant.host(variant.backend.ops.bfloat16(variant.array(x).T))
    assert got.shape == shape[::-1]
    assert_nearest(np.ascontiguousarray(got), np.ascontiguousarray(x.T))


def test_the_error_of_a_product_is_what_is_derived(variant, rng):
    """0.60 u sqrt(sum (a b)^2) is the root of its mean square, and at most it is 2u sum |a b|.

    docs/guide/precision.md has the derivation; u = 2^-8.
    """
    x, W = (rng.normal(size=shape).astype("f4") for shape in ((64, 256), (48, 256)))
    b = np.zeros(48, "f4")
    with variant.scope():
        given = (variant.array(array) for array in (x, W, b))
        _, post = variant.backend.ops.dense_bf16(*given, activations.identity)
        got = variant.host(post).astype("f8")
    u, x, W = 2.0**-8, x.astype("f8"), W.astype("f8")
    error = got - x @ W.T
    unit = u * np.sqrt(np.square(x) @ np.square(W.T))
    assert 0.54 < np.sqrt(np.mean(np.square(error / unit))) < 0.66
    assert np.all(np.abs(error) < 2 * u * (np.abs(x) @ np.abs(W.T)))
