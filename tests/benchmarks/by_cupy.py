"""nnpoly on CuPy arrays: op by op, as compiled steps, and as epochs of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import by_nnpoly
import cupy
from gpu_contestant import SIDE, Clock, DeviceContestant, fastest
from problem import Problem

COMPUTE = {"fp32": "COMPUTE_TYPE_FP32", "tf32": "COMPUTE_TYPE_TF32"}


class CupyClock(Clock):
    """Of CuPy's current stream."""

    def event(self) -> Any:
        event = cupy.cuda.Event()
        event.record()
        return event

    def elapsed(self, start: Any, end: Any) -> float:
        return cupy.cuda.get_elapsed_time(start, end) / 1e3

    def wait(self) -> None:
        cupy.cuda.get_current_stream().synchronize()


def versions() -> dict[str, str]:
    """Name what is measured.

    Returns
    -------
    dict of str to str
        Versions of nnpoly, CuPy, CUDA, and of nvmath where it is installed.
    """
    if not cupy.cuda.is_available():
        raise ImportError("CuPy finds no CUDA device")
    found = by_nnpoly.versions() | {"cupy": cupy.__version__}
    found["CUDA of cupy"] = str(cupy.cuda.runtime.runtimeGetVersion())
    try:
        import nvmath
        from nvmath.bindings import cublasLt
    except ImportError:
        return found
    return found | {"nvmath": f"{nvmath.__version__} (cuBLASLt {cublasLt.get_version()})"}


def speeds(precision: str) -> dict[str, float | None]:
    """Measure the device.

    Parameters
    ----------
    precision : str
        One of `gpu_contestant.PRECISIONS`.

    Returns
    -------
    dict of str to float or None
        "peak": FLOP/s of a large cuBLAS product, None for bf16, which CuPy has no type for;
        "bandwidth": bytes/s of a copy, read and written.
    """
    clock, a = CupyClock(), cupy.random.random((SIDE, SIDE), dtype="float32")
    b, out = a.T.copy(), cupy.empty_like(a)
    bandwidth = 2 * a.nbytes / fastest(clock, lambda: cupy.copyto(out, a))
    peak = None
    if precision in COMPUTE:
        with computing(COMPUTE[precision]):
            peak = 2 * SIDE**3 / fastest(clock, lambda: cupy.matmul(a, b, out=out))
    return {"peak": peak, "bandwidth": bandwidth}


@contextmanager
def computing(compute: str) -> Iterator[None]:
    """Set how CuPy multiplies float32 matrices, for a while.

    Parameters
    ----------
    compute : str
        CuPy's name of it. Outside its core there is only a variable, read once.
    """
    from cupy._core import _routines_linalg as linalg

    before = linalg.get_compute_type(cupy.float32)
    linalg.set_compute_type(cupy.float32, getattr(linalg, compute))
    yield
    linalg.set_compute_type(cupy.float32, before)


class Nnpoly(by_nnpoly.Nnpoly, DeviceContestant):
    """`Trainer.step`; the variable NNPOLY_CUPY decides how a step runs."""

    backend, clock = "cupy", CupyClock()

    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None:
        options = {} if precision == "fp32" else {"precision": precision}
        super().__init__(problem, learning_rate, **options)
        self.path = self.trainer.summary().splitlines()[-1].removeprefix("steps").strip()

    @staticmethod
    def array(array: Any) -> Any:
        return cupy.asarray(array)


class NnpolyFit(by_nnpoly.Epochs, Nnpoly):
    """`Trainer.fit`, an epoch a call, over a table of batches on the device."""

    large, few = 1_000_000, 16

    def losses(self, count: int) -> list[float]:
        """Take epochs of one step, so that each loss is one step's."""
        return [self.fit(1, shuffle=False)[0] for _ in range(count)]
