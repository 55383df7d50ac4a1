"""The C core: every kernel on every ISA, one thread and several, against the definition in float64.

`test_core_math` has the accuracy of its functions, `test_core_process` threads, fork and signals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from agreement import call, check, each, rounded
from cases import CASES, Case
from conftest import VARIANTS, built_core
from core_edges import edges

import nnpoly as nn
from nnpoly import activations
from nnpoly.backends import get
from nnpoly.primitives import IMPLEMENTATIONS, TABLE

core = built_core()
from nnpoly.backends.numpy import members, primitives, tabular  # noqa: E402  they need the core

lib, ffi = core.lib, core.ffi

pytestmark = pytest.mark.usefixtures("restored_core")
NUMPY = next(variant for variant in VARIANTS if variant.id == "numpy")
EDGES = edges()
MODULES = {module.__name__ for module in (members, primitives, tabular)}
IN_C = sorted(
    primitive
    for (backend, primitive), rows in IMPLEMENTATIONS.items()
    if backend == "numpy" and rows[0].function.__module__ in MODULES
)
ISAS = core.isas()
FUSED = [isa for isa in ISAS if isa != "baseline"]

every_kernel = pytest.mark.parametrize("primitive", IN_C)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def use(isa: str, threads: int) -> None:
    assert lib.nnpoly_set_isa(isa.encode()) == lib.NNPOLY_OK
    nn.set_num_threads(threads)


def takes(primitive: str, arguments: dict[str, Any]) -> bool:
    """Whether C computes this, not NumPy."""
    rows = IMPLEMENTATIONS["numpy", primitive]
    in_c = [row for row in rows if row.function.__module__ in MODULES]
    return any(row.guard(*arguments.values()) for row in in_c)


def all_cases(primitive: str) -> list[Case]:
    return CASES[primitive] + EDGES.get(primitive, [])


def test_training_runs_in_c():
    """Every primitive that a step uses, but those that move views, or are an option of a plan."""
    options = {"penalised", "decayed", "averaged"}
    apart = {"normal_cdf", "one_hot", "flatten", "bfloat16", "embed_delta"}
    of_rows = {"dense_row_gradients"}  # of derivatives, not of a step
    assert set(TABLE) - set(IN_C) == apart | options | of_rows


@every_dtype
@every_kernel
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", ISAS)
def test_kernels_agree_with_the_definition(isa, threads, primitive, dtype):
    use(isa, threads)
    for case in all_cases(primitive):
        check(NUMPY, case, dtype)


def offset(array: np.ndarray) -> np.ndarray:
    """Return a copy that starts one element after a multiple of 64 bytes."""
    if array.dtype.kind != "f":
        return array
    room = np.empty(array.size + 64 + 1, array.dtype)
    skip = (-room.ctypes.data % 64) // array.itemsize + 1
    placed = room[skip : skip + array.size].reshape(array.shape)
    placed[...] = array
    return placed


def misplaced(array: np.ndarray) -> np.ndarray:
    """Return a copy whose elements start at odd addresses, which C must not be given."""
    room = np.empty(array.nbytes + 1, np.uint8)
    placed = room[1:].view(array.dtype).reshape(array.shape)
    placed[...] = array
    return placed


def results(case: Case, dtype: str, form: Any) -> list[np.ndarray]:
    arguments = {name: each(value, form) for name, value in rounded(case, dtype).items()}
    return [np.array(r) for r in call(get("numpy").ops, case, arguments) if r is not None]


def in_bits(found: list[np.ndarray]) -> list[tuple[Any, bytes]]:
    """Return dtypes and bits, a negative zero as a zero."""
    return [(r.dtype, (r + 0).tobytes()) for r in found]


@every_dtype
@every_kernel
def test_bits_depend_on_neither_threads_nor_isa_nor_alignment(primitive, dtype):
    lib.nnpoly_set_pairs(b"fma")  # AMX adds up in an order of its own: test_core_bf16
    for case in all_cases(primitive):
        use(FUSED[0] if FUSED else ISAS[0], 1)
        one = in_bits(results(case, dtype, np.array))
        assert in_bits(results(case, dtype, offset)) == one, f"{case.name}: alignment"
        for isa in FUSED:
            for threads in (1, 2, 3):
                use(isa, threads)
                assert in_bits(results(case, dtype, np.array)) == one, f"{case.name}: {isa}"


@every_kernel
def test_cases_reach_c(primitive):
    for dtype in ("float32",) if primitive.endswith("_bf16") else ("float32", "float64"):
        assert any(takes(primitive, rounded(case, dtype)) for case in CASES[primitive])


def strided(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None], 2, axis=-1)[..., 0]


def swapped(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


@every_kernel
@pytest.mark.parametrize("form", [strided, misplaced, swapped])
def test_what_c_cannot_read_takes_the_definition(primitive, form):
    donates = TABLE[primitive].donates
    for case in CASES[primitive]:
        arguments = {
            name: each(value, np.array if name in donates else form)
            for name, value in rounded(case, "float64").items()
        }
        reads = getattr(case.arguments.get("activation"), "reads", "pre")
        reads_nothing = primitive == "activation_delta" and reads == "none"
        arrays = [value for value in arguments.values() if isinstance(value, np.ndarray)]
        if reads_nothing or max(array.size for array in arrays) < 2:
            continue  # a stride means nothing to one element
        assert not takes(primitive, arguments), case.name
        ops = get("numpy").ops
        want = call(ops, case, rounded(case, "float64"))
        for a, b in zip(call(ops, case, arguments), want, strict=True):
            if a is not None and b is not None:  # a pre that is not kept
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_that_cannot_be_written_are_made_anew(dtype):
    w, g = np.ones(5, dtype), np.ones(5, dtype)
    w.flags.writeable = False
    ops = get("numpy").ops
    arguments = {"w": w, "g": g, "m": np.zeros(5, dtype), "learning_rate": 0.1}
    assert not takes("lion", {**arguments, "beta1": 0.9, "beta2": 0.99})
    new, _ = ops.lion(*arguments.values(), 0.9, 0.99)
    assert w.tolist() == [1.0] * 5
    np.testing.assert_allclose(new, 0.9, rtol=1e-6)


# Sample weights


WEIGHTED = ["cross_entropy", "logistic", "squared_error", "element_loss"]


def weighted_cases(primitive: str, dtype: str) -> Iterator[dict[str, Any]]:
    for case in all_cases(primitive):
        if "sample_weight" in case.arguments:
            yield rounded(case, dtype)


@every_dtype
@pytest.mark.parametrize("primitive", WEIGHTED)
@pytest.mark.parametrize("isa", ISAS)
def test_weights_of_one_change_no_bit(isa, primitive, dtype):
    use(isa, 1)
    function = getattr(get("numpy").ops, primitive)
    for arguments in weighted_cases(primitive, dtype):
        *given, weights = arguments.values()
        plain, weighted = function(*given), function(*given, np.ones_like(weights))
        assert [np.array(r).tobytes() for r in plain] == [np.array(r).tobytes() for r in weighted]


@every_dtype
@pytest.mark.parametrize("primitive", WEIGHTED)
def test_a_weight_of_zero_leaves_its_row_out(primitive, dtype):
    function = getattr(get("numpy").ops, primitive)
    for arguments in weighted_cases(primitive, dtype):
        *given, weights = arguments.values()
        _, delta = function(*given, weights)
        assert not delta[weights == 0].any()


@pytest.mark.parametrize("primitive", WEIGHTED)
@pytest.mark.parametrize(
    "form",
    [strided, misplaced, swapped, lambda s: s.astype("f4"), lambda s: s[1:], np.ndarray.tolist],
)
def test_weights_that_c_cannot_read_take_the_definition(primitive, form):
    for arguments in weighted_cases(primitive, "float64"):
        if len(arguments["scores"]) > 1:
            assert takes(primitive, arguments)
            changed = {**arguments, "sample_weight": form(arguments["sample_weight"])}
            assert not takes(primitive, changed)


@pytest.mark.parametrize("function", ["cross_entropy", "element_loss"])
def test_bad_weights_have_their_status(function):
    p, n, K = ffi.from_buffer, 4, 3
    scores, y, delta, loss = (np.ones(size, np.float32) for size in (12, 12, 12, 1))
    before = delta.copy()
    of_rows = function == "cross_entropy"
    codes, targets = ([], [ffi.NULL, p(y)]) if of_rows else ([lib.NNPOLY_HUBER, 1.0], [p(y)])
    compute = getattr(lib, f"nnpoly_{function}")
    for weights, status in (
        (p(delta), lib.NNPOLY_OVERLAP),
        (p(loss), lib.NNPOLY_OVERLAP),
        (ffi.cast("char *", p(y)) + 1, lib.NNPOLY_MISALIGNED),
    ):
        arguments = p(scores), *targets, weights, p(delta), p(loss), n, K
        assert compute(0, *codes, *arguments) == status
        assert np.array_equal(delta, before)
    arguments = p(scores), *targets, p(y), p(delta), p(loss), n, K
    assert compute(0, *codes, *arguments) == lib.NNPOLY_OK


def test_an_unknown_loss_has_its_status():
    null = ffi.NULL
    for kind in (-1, lib.NNPOLY_CROSS_ENTROPY, lib.NNPOLY_FOCAL, lib.NNPOLY_LOSSES):
        status = lib.nnpoly_element_loss(0, kind, 0.0, null, null, null, null, null, 1, 1)
        assert status == lib.NNPOLY_RANGE


# Bad input: refused with an error, or NumPy's own answer


def test_overlapping_results_are_refused():
    room = np.arange(30, dtype=np.float32)
    x, delta = room[:12].reshape(4, 3), np.ones((4, 2), np.float32)
    out = {"W": room[10:16].reshape(2, 3), "b": np.zeros(2, np.float32)}
    before = room.copy()
    with pytest.raises(ValueError, match="C core: a result would overlap another array"):
        get("numpy").ops.dense_gradients(delta, x, out)
    assert np.array_equal(room, before)


def test_gather_counts_from_the_end_and_refuses_what_is_outside():
    ops, x = get("numpy").ops, np.arange(12.0).reshape(4, 3)
    assert ops.gather(x, np.array([-1]))[0].tolist() == [9.0, 10.0, 11.0]
    with pytest.raises(IndexError, match="out of bounds"):
        ops.gather(x, np.array([4]))


@pytest.mark.parametrize("label", [-1, 3, 2**62])
def test_labels_outside_stand_for_no_class(label):
    scores = np.zeros((2, 3))
    loss, delta = get("numpy").ops.cross_entropy(scores, np.array([0, label]))
    assert float(loss) == pytest.approx(np.log(3) / 2)
    np.testing.assert_allclose(delta[1], 1 / 6)


def statuses() -> Iterator[tuple[str, int, tuple[Any, ...]]]:
    """Yield what, the status, and the arguments of nnpoly_dense: (4, 3) and (2, 3)."""
    p = ffi.from_buffer
    x, W, b, post = (np.ones(n, np.float32) for n in (12, 6, 2, 8))
    good = [0, p(x), p(W), p(b), ffi.NULL, p(post), 4, 3, 2, lib.NNPOLY_RELU, 0.0]

    def changed(place: int, value: Any) -> tuple[Any, ...]:
        return (*good[:place], value, *good[place + 1 :])

    shifted = ffi.cast("char *", p(post)) + 1
    yield "right", lib.NNPOLY_OK, tuple(good)
    yield "no x", lib.NNPOLY_NULL, changed(1, ffi.NULL)
    yield "no result", lib.NNPOLY_NULL, changed(5, ffi.NULL)
    yield "misaligned", lib.NNPOLY_MISALIGNED, changed(5, shifted)
    yield "overlap", lib.NNPOLY_OVERLAP, changed(5, p(x))
    yield "negative", lib.NNPOLY_SHAPE, changed(6, -1)
    yield "huge", lib.NNPOLY_SHAPE, changed(6, 2**62)
    yield "product over 2^63", lib.NNPOLY_SHAPE, changed(7, 2**63 - 1)
    yield "dtype", lib.NNPOLY_RANGE, changed(0, 3)
    yield "activation", lib.NNPOLY_RANGE, changed(9, lib.NNPOLY_ACTIVATIONS)


@pytest.mark.parametrize(
    ("status", "arguments"), [pytest.param(s, a, id=name) for name, s, a in statuses()]
)
def test_bad_arguments_have_their_status(status, arguments):
    assert lib.nnpoly_dense(*arguments) == status
    assert (status in core.REASONS) == (status != lib.NNPOLY_OK)


def test_errors_are_python_errors():
    with pytest.raises(MemoryError, match="workspace"):
        core.check(lib.NNPOLY_NO_MEMORY)
    with pytest.raises(ValueError, match="too large"):
        core.check(lib.NNPOLY_SHAPE)


def test_one_hidden_unit_and_nothing_else():
    """Layers without inputs and batches without rows."""
    ops = get("numpy").ops
    _, post = ops.dense(
        np.ones((3, 0)), np.ones((2, 0)), np.array([1.0, -1.0]), nn.activations.relu
    )
    assert post.tolist() == [[1.0, 0.0]] * 3
    _, post = ops.dense(np.ones((0, 3)), np.ones((2, 3)), np.ones(2), nn.activations.relu)
    assert post.shape == (0, 2)
    dW, db = ops.dense_gradients(np.ones((0, 2)), np.ones((0, 3)))
    assert not dW.any()
    assert not db.any()


@every_dtype
@pytest.mark.parametrize("isa", FUSED)
def test_rows_that_crowd_in_the_cache_have_the_same_bits(isa, dtype):
    """They are copied where they are read more than once: not where W has a few rows."""
    use(isa, 1)
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(s).astype(dtype) for s in ((28, 1024), (100, 1024), 100))
    ops, relu = get("numpy").ops, activations.relu
    _, post = ops.dense(x, W, b, relu, False)
    d, below = rng.standard_normal((28, 1024)).astype(dtype), rng.random((28, 60)).astype(dtype)
    V = rng.standard_normal((1024, 60)).astype(dtype)
    delta = ops.dense_delta(d.copy(), V, None, below, relu)
    for j in range(0, 100, 4):
        few = slice(j, j + 4)
        _, part = ops.dense(x, W[few], b[few], relu, False)
        np.testing.assert_array_equal(post[:, few], part)
    for j in range(0, 60, 4):
        few = slice(j, j + 4)
        part = ops.dense_delta(d.copy(), V[:, few].copy(), None, below[:, few].copy(), relu)
        np.testing.assert_array_equal(delta[:, few], part)
