"""The C core's functions of layers for tables: what they refuse, and leave as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import built_core

core = built_core()
lib, ffi = core.lib, core.ffi

p = ffi.from_buffer
n, m = 4, 6
x, delta, of_columns = np.ones((n, m), "f4"), np.ones((n, m), "f4"), np.ones(m, "f4")
misplaced = ffi.cast("char *", p(np.zeros(1000, "f4"))) + 1
# PIECEWISE of 2 columns, of 1 and 2 bins and 3 features.
line, bends = np.ones((2, 3), "f4"), np.ones((2, 3, 2), "f4")
pair, lined = np.ones((n, 2), "f4"), np.ones((n, 6), "f4")
counts, bins = ffi.new("int64_t[]", [1, 2]), ffi.new("double[]", [0.0, 1.0, -1.0, 0.5, 1.0, 2.0])
# PERIODIC of all 6 columns, 2 frequencies, 2 features; EMBEDDING of the last 2.
waves, table = np.ones((6, 2), "f4"), np.ones((5, 3), "f4")
wide, tabled = np.ones((n, 12), "f4"), np.ones((n, 4 + 2 * 3), "f4")
sizes = ffi.new("int64_t[]", [2, 3])
a, d = p(x), p(delta)


def shape(**changed: int) -> Any:
    given = {"inputs": 6, "columns": 6, "frequencies": 2, "features": 2, **changed}
    return ffi.new("struct nnpoly_waves *", given)


def pieces(**changed: Any) -> Any:
    given = {"inputs": 2, "columns": 2, "features": 3, "sizes": counts, "bins": bins, **changed}
    return ffi.new("struct nnpoly_lines *", given)


SIZES, LINES = shape(), pieces()
RANGE, SHAPE, NULL = lib.NNPOLY_RANGE, lib.NNPOLY_SHAPE, lib.NNPOLY_NULL
OVERLAP, MISALIGNED = lib.NNPOLY_OVERLAP, lib.NNPOLY_MISALIGNED
# Of each function: good arguments, and by their place bad ones and what they are answered.
CASES: dict[str, tuple[list[Any], dict[int, list[tuple[Any, int]]]]] = {
    "scale_gradient": (
        [0, d, a, p(of_columns), n, m],
        {0: [(9, RANGE)], 2: [(ffi.NULL, NULL)], 3: [(a, OVERLAP)], 4: [(-1, SHAPE)]},
    ),
    "blend": (
        [0, a, p(of_columns), d, n, m, lib.NNPOLY_SELU, 0.0],
        {2: [(misplaced, MISALIGNED)], 3: [(a, OVERLAP)], 6: [(99, RANGE), (-1, RANGE)]},
    ),
    "blend_delta": (
        [0, d, a, p(of_columns), p(wide), n, m, lib.NNPOLY_MISH, 0.0],
        {3: [(ffi.NULL, NULL)], 4: [(d, OVERLAP)], 7: [(99, RANGE)]},
    ),
    "blend_gradient": (
        [0, d, a, p(of_columns), n, m, lib.NNPOLY_TANH, 0.0],
        {3: [(d, OVERLAP)], 6: [(99, RANGE)]},
    ),
    "periodic": (
        [0, a, *(p(waves + i) for i in range(3)), p(of_columns), p(wide), n, SIZES],
        {
            2: [(ffi.NULL, NULL)],
            6: [(a, OVERLAP), (misplaced, MISALIGNED)],
            8: [
                (ffi.NULL, NULL),
                *((shape(columns=d), SHAPE) for d in (0, -1, 7)),
                (shape(inputs=2**40), SHAPE),
                *((shape(frequencies=F), RANGE) for F in (0, 1025)),
                *((shape(features=k), RANGE) for k in (1, 1025)),
            ],
        },
    ),
    "periodic_gradients": (
        [0, p(wide), a, ffi.NULL, *(p(waves + i) for i in range(6)), p(of_columns), n, SIZES],
        {5: [(ffi.NULL, NULL)], 8: [(ffi.NULL, NULL)], 9: [(a, OVERLAP)]},
    ),
    "periodic_delta": (
        [0, p(wide), a, ffi.NULL, *(p(waves + i) for i in range(3)), d, n, SIZES],
        {5: [(ffi.NULL, NULL)], 7: [(a, OVERLAP)], 8: [(-1, SHAPE)]},
    ),
    "embed": (
        [0, a, p(table), sizes, p(tabled), n, 6, 2, 3],
        {
            3: [(ffi.NULL, NULL), (ffi.new("int64_t[]", [2, 0]), RANGE)],
            4: [(a, OVERLAP), (ffi.cast("char *", sizes), OVERLAP)],
            7: [(0, SHAPE), (7, SHAPE)],
            8: [(0, SHAPE)],
        },
    ),
    "embed_gradient": (
        [0, p(tabled), a, sizes, p(table), n, 6, 2, 3],
        {3: [(ffi.cast("int64_t *", misplaced), MISALIGNED)], 4: [(a, OVERLAP)]},
    ),
}


FLAT = ffi.new("double[]", [0.0, 1.0, -1.0, 0.0, 1.0, 2.0])
NO_BINS, MANY_BINS = ffi.new("int64_t[]", [1, 0]), ffi.new("int64_t[]", [1025, 1])
BAD_LINES = [
    (ffi.NULL, NULL),
    (pieces(sizes=ffi.NULL), NULL),
    (pieces(bins=ffi.NULL), NULL),
    (pieces(sizes=ffi.cast("int64_t *", misplaced)), MISALIGNED),
    (pieces(bins=ffi.cast("double *", misplaced)), MISALIGNED),
    *((pieces(columns=d), SHAPE) for d in (0, -1, 3)),
    (pieces(features=0), SHAPE),
    (pieces(features=1025), RANGE),
    (pieces(sizes=NO_BINS), RANGE),
    (pieces(sizes=MANY_BINS), RANGE),
    (pieces(bins=FLAT), RANGE),
]
CASES |= {
    "piecewise": (
        [0, p(pair), p(line), p(line), p(bends), p(lined), n, LINES],
        {
            2: [(ffi.NULL, NULL)],
            5: [(p(pair), OVERLAP), (ffi.cast("char *", bins), OVERLAP), (misplaced, MISALIGNED)],
            7: BAD_LINES,
        },
    ),
    "piecewise_gradients": (
        [0, p(lined), p(pair), p(line), p(of_columns), p(bends), n, LINES],
        {
            3: [(p(pair), OVERLAP), (p(of_columns), OVERLAP)],
            5: [(ffi.cast("char *", counts), OVERLAP)],
            7: BAD_LINES,
        },
    ),
    "piecewise_delta": (
        [0, p(lined), p(pair), p(line), p(bends), p(wide), n, LINES],
        {4: [(ffi.NULL, NULL)], 5: [(p(pair), OVERLAP)], 6: [(-1, SHAPE)], 7: BAD_LINES},
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
    arrays = [x, delta, of_columns, wide, tabled, table, pair, line, bends, lined]
    before = [array.copy() for array in arrays]
    assert getattr(lib, f"nnpoly_{function}")(*arguments) == status
    if status != lib.NNPOLY_OK:
        assert all(map(np.array_equal, before, arrays))
