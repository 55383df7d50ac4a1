"""The protocol by which blocks go to a CUDA device, on a model of one.

The model does the work of its streams in an order drawn at random among those that CUDA allows,
and its pools give memory out again as soon as it is free, as CuPy's do. So what forgets to wait
reads or overwrites the wrong block in some of the orders.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnpoly

SOURCE = Path(nnpoly.__file__).parent / "backends" / "cupy" / "upload.py"
SHAPE, DTYPE = (4, 3), "float32"


class Pool:
    """Memory that is given out again as soon as nobody holds what was made of it."""

    def __init__(self) -> None:
        self.made = 0
        self._free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        if self._free:
            return self._free.pop()
        self.made += 1
        return np.full(SHAPE, np.nan, DTYPE)

    def lend(self, holder: Any, memory: np.ndarray) -> None:
        weakref.finalize(holder, self._free.append, memory)


class Stream:
    """Steps in order, each a function that returns whether it could be done now."""

    def __init__(self, model: Model) -> None:
        self.model, self.steps = model, deque()
        model.streams.append(self)

    def issue(self, step: Callable[[], Any]) -> None:
        self.steps.append(lambda: step() or True)
        self.model.work()

    def record(self, event: Event) -> Event:
        event.model = self.model
        self.issue(event.come)
        return event

    def wait_event(self, event: Event) -> None:
        self.steps.append(lambda: event.done)

    def synchronize(self) -> None:
        self.model.work(until=lambda: not self.steps)


class Event:
    """Comes when its stream gets to it."""

    model: Model

    def __init__(self, disable_timing: bool = False) -> None:
        self.done = False

    def come(self) -> None:
        self.done = True

    def synchronize(self) -> None:
        self.model.work(until=lambda: self.done)


class Array:
    """An array on the device."""

    def __init__(self, pool: Pool) -> None:
        self.memory = pool.take()
        pool.lend(self, self.memory)

    def set(self, block: np.ndarray, stream: Stream) -> None:
        there, here = self.memory, block.base  # the memory, not what holds it
        assert block.dtype == there.dtype
        stream.issue(lambda: np.copyto(there, here))


class Model:
    """A device, its streams and pools, and the modules that reach it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.streams: list[Stream] = []
        self.device, self.pinned = Pool(), Pool()
        self.compute = Stream(self)
        cuda = SimpleNamespace(
            Stream=lambda non_blocking: Stream(self),
            Event=Event,
            get_current_stream=lambda: self.compute,
        )
        self.cupy = SimpleNamespace(cuda=cuda, empty=lambda shape, dtype: Array(self.device))
        self.cupyx = SimpleNamespace(empty_pinned=self._empty_pinned)

    def _empty_pinned(self, shape: Any, dtype: Any) -> np.ndarray:
        memory = self.pinned.take()
        view = memory.view()
        self.pinned.lend(view, memory)
        return view

    def work(self, until: Callable[[], bool] | None = None) -> None:
        """Do steps of streams drawn at random: so many, or until something is so."""
        left = self.random.randrange(4)
        while not until() if until else left:
            stream = self.random.choice(self.streams)
            if stream.steps and stream.steps[0]():
                stream.steps.popleft()
            left -= 1


def module(model: Model, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module under test, on the model."""
    monkeypatch.setitem(sys.modules, "cupy", model.cupy)
    monkeypatch.setitem(sys.modules, "cupyx", model.cupyx)
    package = ModuleType("nnpoly.backends.cupy")
    package.__path__ = [str(SOURCE.parent)]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, f"{package.__name__}.launching", None)
    del sys.modules[f"{package.__name__}.launching"]  # imported anew, and restored at the end
    spec = importlib.util.spec_from_file_location("nnpoly.backends.cupy.upload", SOURCE)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class Run:
    """Blocks that are numbered, and what is computed on them."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.model = Model(seed)
        self._upload = module(self.model, monkeypatch)
        self.count, self.seen, self.ahead = count, [], 0
        self.computed = 0

    def blocks(self) -> Iterator[np.ndarray]:
        for number in range(self.count):
            block = self._upload.pinned(SHAPE, DTYPE)
            self.ahead = max(self.ahead, number - self.computed)
            block[...] = number
            yield block

    def arrays(self) -> Iterator[Array]:
        return self._upload.upload(self.blocks(), nullcontext())

    def compute(self, array: Array) -> None:
        """Read an array three times, in the order of the stream."""
        memory = array.memory
        self._upload.pinned(SHAPE, DTYPE).fill(np.nan)  # as others use the pool
        for _ in range(3):
            self.model.compute.issue(lambda: self.seen.append(memory.copy()))
        self.model.compute.issue(lambda: setattr(self, "computed", self.computed + 1))

    def finish(self) -> list[np.ndarray]:
        self.model.compute.synchronize()
        return self.seen


def want(numbers: Any) -> np.ndarray:
    return np.repeat([np.full(SHAPE, number, DTYPE) for number in numbers], 3, axis=0)


SEEDS = range(150)


def test_every_block_is_computed_on_in_every_order(monkeypatch):
    most = 0
    for seed in SEEDS:
        run = Run(seed, monkeypatch, count=7)
        for array in run.arrays():
            run.compute(array)
            del array
        assert np.array_equal(run.finish(), want(range(7))), seed
        assert run.model.pinned.made == 2 + 1  # that of the others
        assert run.model.device.made <= 3
        most = max(most, run.ahead)
    assert most == 3  # blocks that are filled before the device has computed on them, at most


def test_arrays_may_be_kept(monkeypatch):
    """As accumulated batches are, that several blocks belong to."""
    for seed in SEEDS:
        run = Run(seed, monkeypatch, count=7)
        arrays = run.arrays()
        for kept in ([next(arrays) for _ in range(3)], list(arrays)):
            for array in kept:
                run.compute(array)
            del kept, array
        assert np.array_equal(run.finish(), want(range(7))), seed


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_blocks(monkeypatch, count):
    for seed in SEEDS:
        run = Run(seed, monkeypatch, count)
        for array in run.arrays():
            run.compute(array)
            del array
        assert np.array_equal(run.finish(), want(range(count)) if count else []), seed


@pytest.mark.parametrize("taken", [0, 1, 2, 4])
def test_an_early_end_leaves_no_copy_under_way(monkeypatch, taken):
    for seed in SEEDS:
        run = Run(seed, monkeypatch, count=5)
        arrays = run.arrays()
        for _ in range(taken):
            run.compute(next(arrays))
        arrays.close()
        assert all(not s.steps for s in run.model.streams if s is not run.model.compute), seed
        other = Array(run.model.device)  # memory that a copy must not write into any more
        run.model.compute.issue(lambda there=other.memory: there.fill(-1.0))
        assert np.array_equal(run.finish(), want(range(taken)) if taken else []), seed
        assert (other.memory == -1.0).all(), seed


def test_an_error_among_the_blocks_comes_through(monkeypatch):
    for seed in SEEDS:
        run = Run(seed, monkeypatch, count=5)
        blocks = run.blocks

        def broken(blocks: Any = blocks) -> Iterator[np.ndarray]:
            yield from blocks()
            raise ValueError("no more")

        run.blocks = broken
        with pytest.raises(ValueError, match="no more"):
            any(map(run.compute, run.arrays()))
        assert np.array_equal(run.finish(), want(range(4))), seed  # the last was not yet given out
