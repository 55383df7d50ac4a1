"""The C core's functions of layers of members: what they refuse, and leave as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import built_core

core = built_core()
lib, ffi = core.lib, core.ffi

p = ffi.from_buffer
n, k, m_in, m = 4, 3, 5, 2
wide, narrow, one = (
    np.ones((n, k * m_in), "f4"),
    np.ones((n, k * m), "f4"),
    np.ones((n, m_in), "f4"),
)
W, b, r = np.ones((k, m, m_in), "f4"), np.ones((k, m), "f4"), np.ones((k, m_in), "f4")
other_wide, other_narrow, mean = np.ones_like(wide), np.ones_like(narrow), np.ones((n, m), "f4")
of_columns = np.ones(k * m_in, "f4")
ARRAYS = wide, narrow, one, W, b, r, other_wide, other_narrow, mean, of_columns
misplaced = ffi.cast("char *", p(np.zeros(1000, "f4"))) + 1


def shape(**changed: int) -> Any:
    return ffi.new("struct nnpoly_members *", {"members": k, "m_in": m_in, "m": m, **changed})


SIZES, TANH = shape(), lib.NNPOLY_TANH
RANGE, SHAPE, NULL = lib.NNPOLY_RANGE, lib.NNPOLY_SHAPE, lib.NNPOLY_NULL
OVERLAP, MISALIGNED = lib.NNPOLY_OVERLAP, lib.NNPOLY_MISALIGNED
WRONG_SIZES = [
    (ffi.NULL, NULL),
    *((shape(**{name: size}), SHAPE) for name in ("members", "m_in", "m") for size in (0, -1)),
    (shape(members=2**31), SHAPE),
    (shape(members=2**16, m_in=2**16), SHAPE),
    (shape(members=2**16, m=2**16), SHAPE),
]
# Of each function: good arguments, and by their place bad ones and what they are answered.
CASES: dict[str, tuple[list[Any], dict[int, list[tuple[Any, int]]]]] = {
    "column_sums": (
        [0, p(wide), p(of_columns), n, k * m_in],
        {
            0: [(9, RANGE)],
            1: [(ffi.NULL, NULL), (misplaced, MISALIGNED)],
            2: [(ffi.NULL, NULL), (p(wide), OVERLAP)],
            3: [(-1, SHAPE)],
        },
    ),
    "members_scale_gradient": (
        [0, p(wide), p(one), p(of_columns), n, k, m_in],
        {
            2: [(ffi.NULL, NULL)],
            3: [(p(wide), OVERLAP)],
            4: [(-1, SHAPE)],
            5: [(0, SHAPE), (-1, SHAPE), (2**31, SHAPE)],
            6: [(0, SHAPE), (2**31 - 1, SHAPE)],
        },
    ),
    "members_scale_delta": (
        [0, p(wide), p(r), p(one), n, k, m_in],
        {2: [(misplaced, MISALIGNED)], 3: [(p(wide), OVERLAP)], 5: [(0, SHAPE)], 6: [(0, SHAPE)]},
    ),
    "members_dense": (
        [0, p(wide), p(W), p(b), p(narrow), p(other_narrow), n, SIZES, TANH, 0.0],
        {
            0: [(9, RANGE)],
            3: [(ffi.NULL, NULL)],
            4: [(ffi.NULL, 0), (p(wide), OVERLAP), (p(other_narrow), OVERLAP)],
            5: [(ffi.NULL, NULL), (p(wide), OVERLAP)],
            6: [(-1, SHAPE), (0, 0)],
            7: WRONG_SIZES,
            8: [(99, RANGE), (-1, RANGE)],
        },
    ),
    "members_dense_delta": (
        [0, p(narrow), p(W), p(other_wide), p(wide), n, SIZES, TANH, 0.0],
        {
            3: [(ffi.NULL, NULL)],
            4: [(p(narrow), OVERLAP), (misplaced, MISALIGNED)],
            6: WRONG_SIZES,
            7: [(99, RANGE)],
        },
    ),
    "members_dense_gradients": (
        [0, p(narrow), p(wide), p(W), p(b), n, SIZES],
        {3: [(ffi.NULL, NULL)], 4: [(p(narrow), OVERLAP), (ffi.NULL, NULL)], 6: WRONG_SIZES},
    ),
    "members_mean": (
        [0, p(narrow), p(mean), n, k, m],
        {
            1: [(ffi.NULL, NULL)],
            2: [(p(narrow), OVERLAP)],
            4: [(0, SHAPE), (-3, SHAPE), (2**31, SHAPE)],
            5: [(-1, SHAPE)],
        },
    ),
}


def statuses() -> Iterator[Any]:
    for function, (good, changes) in CASES.items():
        yield pytest.param(function, good, lib.NNPOLY_OK, id=f"{function}-good")
        for place, values in changes.items():
            for i, (value, status) in enumerate(values):
                given = [*good[:place], value, *good[place + 1 :]]
                yield pytest.param(function, given, status, id=f"{function}-{place}-{i}")


@pytest.mark.parametrize(("function", "arguments", "status"), list(statuses()))
def test_bad_arguments_have_their_status(function, arguments, status):
    before = [array.copy() for array in ARRAYS]
    assert getattr(lib, f"nnpoly_{function}")(*arguments) == status
    if status != lib.NNPOLY_OK:
        assert all(map(np.array_equal, before, ARRAYS))
    for array in ARRAYS:
        array[...] = 1
