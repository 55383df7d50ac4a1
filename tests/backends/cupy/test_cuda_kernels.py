"""The CUDA kernels at the edges of their blocks and grids; and what their guards refuse.

`test_primitives` has every kernel with every activation and optimiser; the sizes here are those
that matter on a device: one thread, one off a block, several passes of a grid.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from agreement import check
from cases import (
    CASES,
    DECAYS,
    ELEMENT_LOSSES,
    Case,
    dense_arguments,
    dense_delta_arguments,
    vectors,
)
from conftest import GPU, VARIANTS, cupy_or_skip

cupy = cupy_or_skip()

from nnpoly import activations  # noqa: E402
from nnpoly.backends.cupy import kernels  # noqa: E402
from nnpoly.primitives import IMPLEMENTATIONS, TABLE, tabular  # noqa: E402

pytestmark = GPU
CUPY = next(variant for variant in VARIANTS if variant.backend_name == "cupy")
GRID = kernels.BLOCKS * kernels.THREADS  # entries that a grid takes at once
SIZES = (1, 127, 129, GRID + 77)

rng = np.random.default_rng(11)


def flat() -> Iterator[Case]:
    for n in SIZES:
        z = rng.standard_normal(n)
        yield Case("activate", f"{n}", {"pre": z, "activation": activations.tanh}, 1)
        delta = {"d_post": z, "pre": z, "post": z, "activation": activations.leaky_relu}
        yield Case("activation_delta", f"{n}", delta, 1)
        yield Case("sgd", f"{n}", {**vectors(rng, n), "learning_rate": 0.1}, 1)
        root = {"unbias_m": 10.0, "unbias_s": 100.0, "eps": 1e-3, "eps_inside_sqrt": True}
        yield Case("adam", f"{n}", {**vectors(rng, n, "m", "s"), **DECAYS, **root}, 1)
        yield Case("clip_norm", f"{n}", {"g": z, "limit": 0.1}, n)
    wide = {"x": rng.standard_normal((3, GRID // 2)), "rate": 0.3, "key": -7, "path": 3}
    yield Case("dropout_scale", "wide", wide, 1)


def rows() -> Iterator[Case]:
    """Yield losses and outputs whose rows take one thread, a warp, or several turns of one."""
    shapes = ((1, 1), (127, 2), (129, 10), (5, 33), (3, 1025), (kernels.TOGETHER + 1, 3))
    for n, K in (*shapes, (GRID // 32 + 5, 33)):
        scores, y = 2.0 * rng.standard_normal((n, K)), rng.random((n, K))
        name, weights = f"{n}x{K}", rng.uniform(0.5, 1.5, n)
        given = {"scores": scores, "y": y, "sample_weight": weights}
        yield Case("softmax", name, {"scores": scores}, K)
        yield Case("squared_error", name, given, n * K)
        yield Case("logistic", name, given, n * K)
        for loss in ELEMENT_LOSSES:
            arguments = {"scores": scores, "y": y, "loss": loss, "sample_weight": weights}
            yield Case("element_loss", f"{name}-{loss!r}", arguments, n * K)
        yield Case("cross_entropy", name, {**given, "y": y / y.sum(axis=1, keepdims=True)}, n * K)
        yield Case("cross_entropy", f"{name}-labels", {**given, "y": rng.integers(0, K, n)}, n * K)
    for n, m in ((1, 1), (129, 3), (7, 300), (kernels.BLOCKS * 256 + 3, 1)):
        chosen = {"x": rng.standard_normal((13, m)), "indices": rng.integers(0, 13, n)}
        yield Case("gather", f"{n}x{m}", chosen, 1)


def tiles() -> Iterator[Case]:
    """Yield small products, one off the edges of their tiles."""
    for shape in ((16, 16, 16), (17, 15, 33), (1, 1, 1), (129, 2, 1), (33, 1, 2)):
        name, (n, m_in, m) = "x".join(map(str, shape)), shape
        gelu = dense_arguments(rng, shape, activations.gelu)
        yield Case("dense", name, gelu, m_in + 1)
        yield Case("dense_delta", name, dense_delta_arguments(rng, shape, activations.relu), m_in)
        given = {"delta": rng.standard_normal((n, m)), "x": rng.standard_normal((n, m_in))}
        yield Case("dense_gradients", name, given, n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "case", [*flat(), *rows(), *tiles()], ids=lambda c: f"{c.primitive}-{c.name}"
)
def test_at_the_edges(case, dtype):
    check(CUPY, case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_column_sums(dtype):
    """In one part, in several, and in as many as there are at most."""
    part, parts = kernels.PART, kernels.PARTS
    for n, m in ((1, 1), (31, 33), (part, 32), (part + 1, 5), (part * (parts + 1) + 3, 2)):
        delta = rng.standard_normal((n, m)).astype(dtype)
        db = cupy.empty(m, dtype)
        kernels.column_sums(cupy.asarray(delta), db)
        bound = 8 * np.finfo(dtype).eps * np.abs(delta).sum(axis=0, dtype="f8")
        assert np.all(np.abs(db.get() - delta.sum(axis=0, dtype="f8")) <= bound)


def test_grids_fit_a_device_however_many_rows_there_are():
    """The second dimension of a grid ends at 65,535."""
    for n in (1, 1 << 21, 1 << 31):
        for grid, _ in (kernels.tiles(n, 3), kernels.rows_and_columns(n, 300)):
            assert grid[0] < 1 << 31
            assert grid[1] <= 65535


def test_a_view_that_is_misaligned_by_an_entry_is_read_right():
    wide = cupy.asarray(rng.standard_normal(1001).astype("f4"))
    for at in (wide[1:], wide[3:1000]):
        assert at.data.ptr % 16
        post = CUPY.backend.ops.activate(at, activations.relu)
        np.testing.assert_array_equal(post.get(), np.maximum(at.get(), 0.0))


def accepts(primitive: str, *arguments: Any) -> bool:
    (row,) = IMPLEMENTATIONS["cupy", primitive]
    return row.guard is not None and row.guard(*arguments)


def test_every_kernel_of_a_primitive_declines_what_it_cannot_read():
    """Half precision, strides, and labels of another type go to the definitions."""
    halves = cupy.zeros((3, 4), "f2")
    strided = cupy.zeros((3, 8), "f4")[:, ::2]
    empty = cupy.zeros((0, 4), "f4")
    good = cupy.zeros((3, 4), "f4")
    assert accepts("squared_error", good, good)
    for bad in (halves, strided, empty, good.astype("f8")):
        assert not accepts("squared_error", good, bad)
    small = cupy.zeros(3, "i4")
    assert not accepts("cross_entropy", good, small)
    assert accepts("cross_entropy", good, small.astype("i8"))
    assert not accepts("gather", good, small)


def test_sums_do_not_depend_on_the_number_of_times_they_are_taken():
    """The same bits every time: no sum is taken in the order in which threads come."""
    scores = cupy.asarray(rng.standard_normal((5000, 10)).astype("f4"))
    y = cupy.asarray(rng.integers(0, 10, 5000))
    ops = CUPY.backend.ops
    losses = {float(ops.cross_entropy(scores, y)[0]) for _ in range(5)}
    norms = {ops.clip_norm(scores, 0.1).get().tobytes() for _ in range(5)}
    assert len(losses) == len(norms) == 1


def test_every_primitive_that_training_spends_time_on_has_a_kernel():
    mine = {name for backend, name in IMPLEMENTATIONS if backend == "cupy"}
    norms = {"moments", "normalise", "norm_gradients", "row_norm_delta", "column_norm_delta"}
    rounded = {name for name in TABLE if name.endswith("bf16")} | {"bfloat16"}  # by cuBLASLt
    tables = {
        name
        for name, primitive in TABLE.items()
        if primitive.definition.__module__ == tabular.__name__
    }
    members = {"column_sums", "members_mean", "members_scale_delta", "members_scale_gradient"}
    apart = {"one_hot", "row_loss", "dense_row_gradients"}  # CuPy's own operations, as are these
    assert set(CASES) - mine == apart | norms | rounded | tables | members


@pytest.mark.parametrize("name", kernels.IN_PLACE)
def test_an_update_in_place_takes_the_arguments_of_its_definition(name):
    vectors, numbers = kernels.IN_PLACE[name]
    _, *parameters = inspect.signature(TABLE[name].definition).parameters.values()
    assert [parameter.name for parameter in parameters] == [*vectors, *numbers]
    assert [p.name for p in parameters if p.annotation == "Array"] == list(vectors)
    of_step = [p.name for p in parameters if p.annotation == "Scalar"]
    assert of_step == [number for number in numbers if number in kernels.OF_STEP]
    assert set(TABLE[name].donates) <= set(vectors)


def test_every_update_has_a_kernel_in_place():
    updates = {name for name, row in TABLE.items() if {"w", "average"} & set(row.donates)}
    assert set(kernels.IN_PLACE) == updates


def place(values: np.ndarray) -> Any:
    return cupy.asarray(values)


def test_labels_out_of_range_read_nothing_outside():
    """Reading them would stall the device, so a step does not look; they count as no class."""
    scores = place(rng.standard_normal((4, 3)).astype("f4"))
    labels = place(np.array([0, 3, -1, 2**40]))
    loss, delta = CUPY.backend.ops.cross_entropy(scores, labels)
    f = CUPY.backend.ops.softmax(scores).get()
    np.testing.assert_allclose(delta.get()[1:], f[1:] / 4, rtol=1e-6)
    assert abs(float(loss) + np.log(f[0, 0]) / 4) < 1e-6
