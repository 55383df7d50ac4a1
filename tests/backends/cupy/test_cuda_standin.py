"""The stand-in for CuPy: kernels, arrays, streams and captures are what they are on CUDA.

It is installed for all tests where there is no GPU; with one, these tests are skipped.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import STANDIN

if not STANDIN:
    pytest.skip("the stand-in for CuPy is not in use here", allow_module_level=True)

import cupy
import cupyx
from standin import kernels, late

SOURCE = r"""
// extern "C" __global__ void not_a_kernel(int x) in a comment
template <int WARPS>
__device__ REAL total(REAL v) {
  __shared__ REAL part[WARPS];
  for (int step = 16; step; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int w = 0; w < WARPS; w++) v += part[w];
  return v;
}
extern "C" __global__ void __launch_bounds__(128)
sums(const REAL *__restrict__ x, REAL *y, long long n, double scale, bool negate) {
  REAL v = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) v += x[blockIdx.x * n + i];
  v = total<4>(v) * REAL(scale);
  if (threadIdx.x == 0) y[blockIdx.x] = negate ? -v : v;
}
extern "C" __global__ void last_block(unsigned *arrived, long long *last) {
  if (threadIdx.x == 0 && atomicAdd(arrived, 1u) == gridDim.x - 1) last[0] = blockIdx.x;
}
extern "C" __global__ void divergent(REAL *x) {
  if (threadIdx.x < 16) x[0] = __shfl_xor_sync(0xffffffffu, x[0], 1);
  else __syncthreads();
}
extern "C" __global__ void early(REAL *x) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  x[threadIdx.x] = __shfl_down_sync(0xffffffffu, REAL(threadIdx.x), 1);
}
extern "C" __global__ void leftovers(REAL *x) {
  __shared__ REAL kept[32];
  x[blockIdx.x * 32 + threadIdx.x] = kept[threadIdx.x];
  kept[threadIdx.x] = 1;
}
extern "C" __global__ void beyond(REAL *x, long long n) { x[n + threadIdx.x] = 0; }
extern "C" __global__ void add_one(REAL *x, long long n) {
  long long i = 1ll * blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += 1;
}
"""


def kernel(name: str, dtype: str = "float32"):
    real = "float" if dtype == "float32" else "double"
    return cupy.RawModule(code=SOURCE, options=(f"-DREAL={real}", "--std=c++17")).get_function(name)


def add_one(x) -> None:
    kernel("add_one")((1,), (32,), (x, x.size))


# Kernels


@pytest.mark.parametrize("order", kernels.ORDERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shuffles_and_barriers(monkeypatch, rng, dtype, order):
    monkeypatch.setenv("NNPOLY_STANDIN_ORDER", order)
    x = rng.normal(size=(5, 300)).astype(dtype)
    y = cupy.empty(5, dtype)
    kernel("sums", dtype)((5,), (128,), (cupy.array(x), y, 300, 2.0, True))
    np.testing.assert_allclose(y.get(), -2.0 * x.sum(axis=1), rtol=1e-4)


def test_the_order_of_blocks_is_what_was_asked_for(monkeypatch):
    seen = {}
    for order in kernels.ORDERS:
        monkeypatch.setenv("NNPOLY_STANDIN_ORDER", order)
        arrived, last = cupy.zeros(1, "uint32"), cupy.empty(1, "int64")
        kernel("last_block")((7,), (64,), (arrived, last))
        assert arrived.item() == 7
        seen[order] = last.item()
    assert seen["forward"] == 6
    assert seen["reversed"] == 0
    assert seen["shuffled"] not in (0, 6)


def test_threads_that_can_never_meet_are_an_error():
    for _ in range(2):  # and leave nothing behind that disturbs the next launch
        with pytest.raises(RuntimeError, match="divergent: threads wait for each other"):
            kernel("divergent")((1,), (32,), (cupy.zeros(1, "float32"),))
    test_threads_that_have_ended_hold_up_nobody()


def test_threads_that_have_ended_hold_up_nobody():
    x = cupy.zeros(64, "float32")
    kernel("early")((1,), (64,), (x,))
    got = x.get()
    assert got[:31].tolist() == list(range(1, 32))
    assert got[31] == 31  # the warp's last lane has no neighbour and keeps its own
    assert np.isnan(got[39])  # its neighbour has ended: anything, so NaN


def test_shared_memory_starts_as_nan_in_every_block():
    x = cupy.zeros(64, "float32")
    kernel("leftovers")((2,), (32,), (x,))
    assert np.isnan(x.get()).all()


def test_writing_outside_of_memory_is_found():
    x = cupy.zeros(128, "float32")
    with pytest.raises(RuntimeError, match="beyond: wrote outside of memory of 512 bytes"):
        kernel("beyond")((1,), (1,), (x, 128))


GOOD = {"x": np.zeros((1, 4), "f4"), "y": np.zeros(1, "f4"), "n": 4, "scale": 1.0, "negate": False}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", np.zeros(4)),
        ("y", np.zeros(4, "i8")),
        ("x", 1.0),
        ("n", 4.0),
        ("n", True),
        ("scale", 1),
        ("negate", 0),
    ],
)
def test_arguments_of_another_kind_are_refused(name, value):
    def arguments(values):
        return tuple(cupy.array(v) if isinstance(v, np.ndarray) else v for v in values)

    kernel("sums")((1,), (128,), arguments(GOOD.values()))
    with pytest.raises(TypeError, match=f"sums: `{name}` is "):
        kernel("sums")((1,), (128,), arguments({**GOOD, name: value}.values()))


def test_a_wrong_number_of_arguments_and_wrong_grids_are_refused():
    x = cupy.zeros(4, "float32")
    with pytest.raises(TypeError, match="add_one: takes 2 arguments, got 1"):
        kernel("add_one")((1,), (32,), (x,))
    for grid, block in [((0,), (32,)), ((1,), (2048,)), ((1, 70000), (1,)), ((1,), (64, 32))]:
        with pytest.raises(ValueError, match=r"add_one: (grid|block)"):
            kernel("add_one")(grid, block, (x, 4))


def test_arrays_of_the_host_are_no_arguments():
    with pytest.raises(TypeError, match="add_one: `x`"):
        kernel("add_one")((1,), (32,), (np.zeros(4, "f4"), 4))


# Arrays


def test_the_host_and_the_device_do_not_mix():
    a = cupy.zeros(3)
    for mistake in (
        lambda: np.asarray(a),
        lambda: a + np.zeros(3),
        lambda: np.zeros(3) * a,
        lambda: cupy.add(a, np.zeros(3)),
        lambda: cupy.sum(np.zeros(3)),
        lambda: cupy.concatenate([a, np.zeros(3)]),
    ):
        with pytest.raises(TypeError):
            mistake()


def test_results_without_dimensions_stay_on_the_device():
    a = cupy.asarray([1.0, 2.0])
    for result in (
        a.sum(),
        cupy.max(a),
        a @ a,
        a[0],
        cupy.array(2.0) + 1.0,
        cupy.array_equal(a, a),
    ):
        assert isinstance(result, cupy.ndarray)
        assert result.shape == ()
    a[0][...] = 5.0  # a view, as with slices
    assert a.get().tolist() == [5.0, 2.0]


def test_types_are_promoted_as_by_numpy():
    a = cupy.zeros(2, "float32")
    assert (a * 2.0).dtype == "float32"
    assert (a * np.float64(2.0)).dtype == "float64"
    assert (a * cupy.array(2.0)).dtype == "float64"
    with pytest.raises(TypeError):
        a[...].__iadd__(cupy.zeros(2, "complex64"))


def test_new_memory_holds_nan():
    assert np.isnan(cupy.empty(5, "float32").get()).all()


def test_devices_are_not_hashable_and_arrays_neither():
    for thing in (cupy.cuda.Device(0), cupy.zeros(2)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(thing)


def test_arrays_of_another_device_are_refused():
    with cupy.cuda.Device(1):
        there = cupy.zeros(4, "float32")
    assert there.device == cupy.cuda.Device(1) != cupy.cuda.Device(0)
    for mistake in (lambda: there + 1.0, lambda: there.fill(1.0), lambda: add_one(there)):
        with pytest.raises(ValueError, match="array device = 1 while current = 0"):
            mistake()
    here = cupy.array(there)
    assert here.device == cupy.cuda.Device(0)
    assert there.copy().device == cupy.cuda.Device(0)
    assert there.get().tolist() == here.get().tolist() == [0.0] * 4


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize:UserWarning")
def test_what_waits_for_the_device_can_be_refused():
    a = cupy.zeros(1)
    with cupyx.allow_synchronize(False):
        a += 1.0
        cupy.cuda.Event().record()
        for wait in (
            a.get,
            a.item,
            a.tolist,
            lambda: float(a),
            lambda: bool(a),
            lambda: cupy.asnumpy(a),
            lambda: a[a > 0],
            lambda: cupy.nonzero(a),
            cupy.cuda.Device().synchronize,
        ):
            with pytest.raises(cupyx.DeviceSynchronized):
                wait()
    assert a.item() == 1.0


# Memory


def test_a_pool_counts_what_is_in_use():
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        a = cupy.zeros(200, "float32")
        assert (pool.used_bytes(), pool.total_bytes()) == (1024, 1024)
        part = a[:10]
        del a
        assert pool.used_bytes() == 1024  # a view keeps it
        del part
        assert (pool.used_bytes(), pool.free_bytes()) == (0, 1024)
        again = cupy.zeros(200, "float32")
        assert (pool.used_bytes(), pool.total_bytes()) == (1024, 1024)
        assert again.data.ptr % 512 == 0
    pool.free_all_blocks()
    assert pool.total_bytes() == 1024


def test_a_full_pool_and_a_full_device_refuse():
    pool = cupy.cuda.MemoryPool()
    pool.set_limit(size=4096)
    with (
        cupy.cuda.using_allocator(pool.malloc),
        pytest.raises(cupy.cuda.memory.OutOfMemoryError),
    ):
        cupy.zeros(5000, "uint8")
    assert pool.used_bytes() == 0
    free, total = cupy.cuda.Device().mem_info
    assert 0 < free <= total


# Streams


def test_what_forgets_to_wait_finds_nan():
    stream, pinned = cupy.cuda.Stream(non_blocking=True), cupyx.empty_pinned(3, "float32")
    pinned[...] = [1.0, 2.0, 3.0]
    target = cupy.empty(3, "float32")
    target.set(pinned, stream=stream)
    event = stream.record()
    assert not event.done
    assert np.isnan((target + 0.0).get()).all()
    cupy.cuda.get_current_stream().wait_event(event)
    assert (target + 0.0).get().tolist() == [1.0, 2.0, 3.0]
    assert event.done


def test_a_pinned_buffer_that_is_written_too_early_shows():
    stream, pinned = cupy.cuda.Stream(non_blocking=True), cupyx.zeros_pinned(2)
    pinned[...] = 1.0
    first, plain = cupy.empty(2), cupy.empty(2)
    first.set(pinned, stream=stream)
    pageable = pinned.copy()
    plain.set(pageable, stream=stream)
    pinned[...] = pageable[...] = 7.0
    stream.synchronize()
    assert first.get().tolist() == [7.0, 7.0]
    assert plain.get().tolist() == [1.0, 1.0]  # memory that is not pinned is read at once


def test_another_stream_has_to_wait_for_the_null_stream():
    with late():
        stream = cupy.cuda.Stream(non_blocking=True)
        x = cupy.zeros(2)
        with stream:
            early = x + 1.0
        assert np.isnan(early.get(stream=stream)).all()
        stream.wait_event(cupy.cuda.Stream.null.record())
        with stream:
            right = x + 1.0
        assert right.get(stream=stream).tolist() == [1.0, 1.0]


def test_a_blocking_stream_waits_for_the_null_stream_by_itself():
    with late():
        x = cupy.zeros(2)
        with cupy.cuda.Stream() as stream:
            y = x + 1.0
        stream.synchronize()
        assert y.get().tolist() == [1.0, 1.0]


def test_memory_freed_before_another_stream_has_used_it():
    stream = cupy.cuda.Stream(non_blocking=True)
    x = cupy.zeros(2)
    with stream:
        y = x + 1.0
    del x  # the null stream may give it to others at once
    with pytest.raises(RuntimeError, match="freed before the work that uses it was done"):
        stream.synchronize()
    del y


# Captures


def captured(work, pool=None):
    """Return a stream, the work's result and the graph of the work."""
    stream = cupy.cuda.Stream(non_blocking=True)
    pool = pool or cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            result = work()
        finally:
            graph = stream.end_capture()
    return stream, result, graph


def test_a_capture_records_and_a_launch_does_it():
    x = cupy.zeros(4, "float32")

    def work():
        add_one(x)
        y = x * 10.0
        y[0] = -1.0
        return y.sum(), y

    pool = cupy.cuda.MemoryPool()
    stream, (total, y), graph = captured(work, pool)
    assert (total.shape, y.shape, y.dtype) == ((), (4,), "float32")
    assert x.get().tolist() == [0.0] * 4
    assert np.isnan(y.get()).all()
    for launch in (1, 2):
        graph.launch(stream)
        stream.synchronize()
        assert x.get().tolist() == [launch] * 4
        assert y.get().tolist() == [-1.0, *[10.0 * launch] * 3]
        assert total.item() == 30.0 * launch - 1.0


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        (lambda x: x @ x, NotImplementedError),
        (lambda x: cupy.dot(x, x), NotImplementedError),
        (lambda x: x.get(), RuntimeError),
        (lambda x: float(x[0]), RuntimeError),
        (lambda x: x.set(np.zeros(4, "f4")), RuntimeError),
        (lambda x: cupy.array(np.zeros(2)), RuntimeError),
        (lambda x: x[x > 0], RuntimeError),
        (lambda x: cupy.cuda.Device().synchronize(), RuntimeError),
        (lambda x: cupy.cuda.get_current_stream().synchronize(), RuntimeError),
        (lambda x: x.copy() if cupy.cuda.Stream.null.use() else None, RuntimeError),
    ],
)
def test_what_a_capture_refuses(mistake, error):
    x, stream = cupy.zeros(4, "float32"), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(error):
            mistake(x)
        assert stream.is_capturing()
        stream.end_capture()
    assert not stream.is_capturing()


def test_a_graph_needs_its_memory():
    x = cupy.zeros(4)
    default = cupy.get_default_memory_pool()
    stream, y, graph = captured(lambda: x + 1.0, default)
    graph.launch(stream)
    stream.synchronize()
    del y
    with pytest.raises(RuntimeError, match="a graph's memory was freed"):
        graph.launch(stream)


def test_the_null_stream_cannot_be_captured():
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream.null.begin_capture()
