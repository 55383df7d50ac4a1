"""nnpoly on CuPy arrays: op by op, as compiled steps, and as epochs of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
from gpu_contestant import Clock, DeviceContestant, fastest
from problem import BETA1, BETA2, EPS, Problem

import nnpoly as nn

SIDE = 8192  # of the matrices whose product is the peak
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
    found = {"nnpoly": nn.__version__, "cupy": cupy.__version__}
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


class Nnpoly(DeviceContestant):
    """`Trainer.step`; the variable NNPOLY_CUPY decides how a step runs."""

    backend, clock = "cupy", CupyClock()

    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None:
        net = nn.MLP.from_weights(
            problem.weights,
            problem.biases,
            activation=problem.activation,
            output="softmax",
            backend=self.backend,
        )
        adam = nn.Adam(learning_rate, beta1=BETA1, beta2=BETA2, eps=EPS, eps_inside_sqrt=False)
        options = {} if precision == "fp32" else {"precision": precision}
        self.trainer = nn.Trainer(net, optimizer=adam, **options)
        self.x, self.y = self.array(problem.x), self.array(problem.y)
        self.path = self.trainer.summary().splitlines()[-1].removeprefix("steps").strip()

    @staticmethod
    def array(array: Any) -> Any:
        return cupy.asarray(array)

    def step(self) -> Any:
        return self.trainer.step(self.x, self.y)


class NnpolyFit(Nnpoly):
    """`Trainer.fit`, an epoch a call, over a table of batches on the device.

    All that an epoch does is timed: the shuffle, the copy that it would return to, the checks.
    """

    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None:
        super().__init__(problem, learning_rate, precision)
        self.batch, large = len(problem.x), problem.x.size > 1_000_000
        self.batches = 16 if large else 256  # an epoch
        xp = self.trainer.network.place.backend.xp
        self.X, self.Y = xp.tile(self.x, (self.batches, 1)), xp.tile(self.y, (self.batches,))

    def fit(self, count: int, shuffle: bool) -> list[float]:
        rows, batch = self.batch * count, {"batch_size": self.batch, "shuffle": shuffle}
        return self.trainer.fit(self.X[:rows], self.Y[:rows], epochs=1, **batch).loss

    def losses(self, count: int) -> list[float]:
        """Take epochs of one step, so that each loss is one step's."""
        return [self.fit(1, shuffle=False)[0] for _ in range(count)]

    def steps(self, count: int) -> None:
        for start in range(0, count, self.batches):
            self.fit(min(self.batches, count - start), shuffle=True)
