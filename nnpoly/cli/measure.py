"""`nnpoly parity` and `nnpoly bench`: the errors and the speed of the backends."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .. import testing
from ..backends import Backend, registry
from ..network import MLP
from ..optimizers import Adam
from ..training import Trainer
from .common import DTYPES, Mistake, fail, floating, list_of, positive, refused, say, whole


class Problem(NamedTuple):
    """A network to time, and its batch size."""

    widths: tuple[int, ...]
    activation: str
    batch: int

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))} {self.activation} b{self.batch}"


PROBLEMS = (
    Problem((2, 8, 2), "tanh", 4),
    Problem((17, 64, 64, 6), "tanh", 64),
    Problem((64, 100, 10), "relu", 200),
    Problem((128, 256, 256, 128, 2), "relu", 1024),
    Problem((784, 512, 512, 10), "relu", 128),
)
LARGE_PROBLEMS = (
    Problem((784, 1024, 1024, 10), "gelu", 512),
    Problem((1024, 4096, 4096, 1024), "relu", 1024),
)
BLOCK_SECONDS = 0.02  # of a block of steps, at least
MIN_ROUNDS = 5


def _add_backends(add: Callable[..., Any]) -> None:
    add("--backends", type=list_of(str), metavar="A,B", help="names (all that are available)")


def add_parity(add: Callable[..., Any]) -> None:
    """Add the arguments of `parity`."""
    _add_backends(add)
    add(
        "--dtypes", type=list_of(floating), default=DTYPES, metavar="T,T", help=" and ".join(DTYPES)
    )
    add("--steps", type=whole(1), default=10, metavar="N", help="of each training run (10)")


def add_bench(add: Callable[..., Any]) -> None:
    """Add the arguments of `bench`."""
    _add_backends(add)
    seconds = "for all backends together (2)"
    add("--seconds-per-network", type=positive, default=2.0, metavar="S", help=seconds)
    add("--device", help="of the one backend in --backends, such as cuda:1 (its own default)")
    add("--large", action="store_true", help="time two larger networks too")


def _backends(options: argparse.Namespace) -> list[Backend]:
    """Return the backends of --backends, or all that are available."""
    with refused(ValueError, ImportError):
        names = dict.fromkeys(options.backends or registry.available())
        return [registry.get(name) for name in names]


# nnpoly parity


def parity(options: argparse.Namespace) -> int:
    """Compare every backend with the definition in float64; print errors in units of the bounds."""
    breaches = [
        row
        for backend in _backends(options)
        for dtype in dict.fromkeys(options.dtypes)
        for row in _parity_table(backend.name, dtype, options.steps)
        if not row.passed
    ]
    for row in breaches:
        fail(options, f"{row.backend} {row.dtype}, {row.subject}: {row.detail}", 1)
    return 1 if breaches else 0


def _parity_table(backend: str, dtype: str, steps: int) -> list[Any]:
    """Print the errors of a backend in a dtype, and return the rows of the report."""
    rows = testing.parity_report([backend], [dtype], steps).rows
    title = f"{backend} {dtype}"
    say(f"{title:<30}  error / bound")
    for row in rows:
        breach = "" if row.passed else "  BREACH"
        say(f"  {row.subject:<28}  {row.units:13.3f}{breach}")
    return rows


# nnpoly bench


def bench(options: argparse.Namespace) -> int:
    """Time training steps of several networks (float32, Adam) on every backend."""
    backends = _backends(options)
    device = _device(options.device, backends)
    for backend in backends:
        say(f"{backend.name:<6}  {backend.version()}")
    say(f"\n{'microseconds a step':<32}  {'backend':<7}  {'min':>10}  {'median':>10}")
    for problem in PROBLEMS + (LARGE_PROBLEMS if options.large else ()):
        timings = [Timing(problem, backend, device) for backend in backends]
        sample_in_rounds(timings, options.seconds_per_network)
        for timing in timings:
            times = f"{min(timing.times):10.1f}  {median(timing.times):10.1f}"
            say(f"{problem!s:<32}  {timing.name:<7}  {times}")
    return 0


def _device(name: str | None, backends: Sequence[Backend]) -> Any:
    """Return the device of that name, or None for the default device of each backend."""
    if name is None:
        return None
    if len(backends) != 1:
        raise Mistake("--device needs the one backend whose it is: --backends torch")
    with refused(ValueError):
        return backends[0].device(name)


class Timing:
    """The time of a training step on one backend, measured over blocks of steps."""

    def __init__(self, problem: Problem, backend: Backend, device: Any = None) -> None:
        rng, device, m = np.random.default_rng(0), backend.device(device), problem.widths
        x = rng.standard_normal((problem.batch, m[0]), dtype=np.float32)
        y = rng.integers(m[-1], size=problem.batch).astype(backend.index_dtype)
        self.batch = backend.from_host(x, device), backend.from_host(y, device)
        # The rate is too small to learn the batch, so that no denormal numbers appear.
        net = MLP(m, problem.activation, backend=backend, device=device)
        self.trainer = Trainer(net, Adam(1e-6))
        self.name = backend.name
        self.steps = 1  # in a block
        self.times: list[float] = []  # microseconds a step
        self.calibrate()

    def calibrate(self) -> None:
        """Double the steps of a block until one takes `BLOCK_SECONDS`."""
        self._seconds()  # compiles
        while self._seconds() < BLOCK_SECONDS:
            self.steps *= 2

    def _seconds(self) -> float:
        start = perf_counter()
        for _ in range(self.steps):
            loss = self.trainer.step(*self.batch)
        registry.to_host(loss)  # waits for the last step
        return perf_counter() - start

    def sample(self) -> None:
        """Time one block."""
        self.times.append(1e6 * self._seconds() / self.steps)


def sample_in_rounds(timings: Sequence[Timing], seconds: float) -> None:
    """Time a block of each backend a round, in random order, for the given number of seconds."""
    end = perf_counter() + seconds
    rounds = 0
    while rounds < MIN_ROUNDS or perf_counter() < end:
        rounds += 1
        for timing in random.sample(timings, len(timings)):
            timing.sample()
