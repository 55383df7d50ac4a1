"""Device memory, its pools, and pinned memory of the host.

Memory is NumPy's, aligned as CuPy's, full of NaN when it is new, and between two fences that must
still stand after a kernel.
"""

from __future__ import annotations

import bisect
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import streams

UNIT = 512
FENCE = 64
FENCE_BYTE = 0xA5
NAN_BYTE = 0xFF  # bytes of 0xFF are NaN in every floating type, and -1 in integers


class OutOfMemoryError(MemoryError):
    """The device has no memory left."""


class Fate:
    """The state of memory; work that is still to be done keeps this, not the memory."""

    def __init__(self, pool: Any, stream: streams.Stream) -> None:
        self.given_back = False  # nothing refers to it any more
        self.freed = False  # and its stream has come so far: others may have it
        self.pool = weakref.ref(pool)
        self.private = pool is not _default_pool
        self.stream = stream

    def check(self) -> None:
        """Refuse work on memory that others may have by now."""
        if self.freed and not self.private:
            raise RuntimeError(
                f"memory of {self.stream} was freed before the work that uses it was done: "
                "another stream has to be waited for first"
            )

    def check_graph(self) -> None:
        """Refuse a graph whose memory others may have by now."""
        if self.given_back and (not self.private or self.pool() is None):
            raise RuntimeError(
                "a graph's memory was freed: keep its arrays, or capture with a pool of its own"
            )


class Memory:
    """One allocation; it is given back when nothing refers to it."""

    def __init__(self, pool: MemoryPool, size: int) -> None:
        self.size, self.pool = size, pool
        self.device_id = streams.state.device
        pool.take(self.device_id, size)
        raw = np.empty(size + 2 * FENCE + UNIT, np.uint8)
        start = FENCE + -(raw.ctypes.data + FENCE) % UNIT
        self._fenced = raw[start - FENCE : start + size + FENCE]
        self._fenced[:FENCE] = self._fenced[FENCE + size :] = FENCE_BYTE
        self.buffer = raw[start : start + size]
        self.buffer.fill(NAN_BYTE)
        self.ptr = self.buffer.ctypes.data
        self.fate = Fate(pool, streams.get_current_stream())
        _live.add(self)

    def __del__(self) -> None:
        if not hasattr(self, "fate"):
            return
        _live.remove(self.ptr)
        self.pool.give(self.device_id, self.size)
        fate, stream = self.fate, self.fate.stream
        fate.given_back = True
        if stream.eager:
            fate.freed = True
        else:  # in the stream's order, as pools reuse memory
            stream.enqueue(lambda: setattr(fate, "freed", True))

    @property
    def device(self) -> streams.Device:
        return streams.Device(self.device_id)

    def check_fences(self, kernel: str) -> None:
        """Refuse what a kernel has done outside."""
        for fence in (self._fenced[:FENCE], self._fenced[FENCE + self.size :]):
            if (fence != FENCE_BYTE).any():
                fence[:] = FENCE_BYTE
                raise RuntimeError(f"{kernel}: wrote outside of memory of {self.size} bytes")


class _Live:
    """Which memory an address belongs to."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._starts: list[int] = []
        self._at: dict[int, weakref.ref[Memory]] = {}

    def add(self, memory: Memory) -> None:
        with self._lock:
            bisect.insort(self._starts, memory.ptr)
            self._at[memory.ptr] = weakref.ref(memory)

    def remove(self, ptr: int) -> None:
        with self._lock:
            del self._at[ptr]
            self._starts.pop(bisect.bisect_left(self._starts, ptr))

    def find(self, address: int) -> Memory | None:
        """Return the memory that holds this address."""
        with self._lock:
            place = bisect.bisect_right(self._starts, address) - 1
            memory = self._at[self._starts[place]]() if place >= 0 else None
        inside = memory is not None and address < memory.ptr + max(memory.size, 1)
        return memory if inside else None


_live = _Live()
find = _live.find


class MemoryPointer:
    """An address in memory, which it keeps."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem, self.offset = mem, offset
        self.device_id = mem.device_id

    @property
    def ptr(self) -> int:
        return self.mem.ptr + self.offset

    @property
    def device(self) -> streams.Device:
        return self.mem.device

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.offset + offset)

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        """Set bytes in the stream's order."""
        part = self.mem.buffer[self.offset : self.offset + size]
        (stream or streams.get_current_stream()).issue(lambda: part.fill(value), [self.mem])

    memset = memset_async


class MemoryPool:
    """Counts what is in use and what is kept for later, by device; sizes are multiples of 512."""

    def __init__(self, allocator: Any = None) -> None:
        self._used: Counter[int] = Counter()
        self._free: dict[int, Counter[int]] = {}
        self._limits: dict[int, int] = {}
        _pools.add(self)

    def malloc(self, size: int) -> MemoryPointer:
        """Return memory of the current device."""
        return MemoryPointer(Memory(self, -(-size // UNIT) * UNIT), 0)

    def take(self, device: int, size: int) -> None:
        free = self._free.setdefault(device, Counter())
        if free[size]:
            free[size] -= 1
        else:
            self._check_limit(device, size)
        self._used[device] += size

    def _check_limit(self, device: int, size: int) -> None:
        limit = self._limits.get(device) or streams.BYTES
        if taken(device) + size > streams.BYTES or self._total(device) + size > limit:
            raise OutOfMemoryError(
                f"Out of memory allocating {size:,} bytes (allocated so far: "
                f"{self._used[device]:,} bytes)."
            )

    def give(self, device: int, size: int) -> None:
        self._used[device] -= size
        self._free[device][size] += 1

    def _total(self, device: int) -> int:
        return self._used[device] + self._held(device)

    def _held(self, device: int) -> int:
        return sum(size * n for size, n in self._free.get(device, Counter()).items())

    def used_bytes(self) -> int:
        """Return how many bytes are in use on the current device."""
        return self._used[streams.state.device]

    def free_bytes(self) -> int:
        """Return how many bytes are kept for later."""
        return self._held(streams.state.device)

    def total_bytes(self) -> int:
        """Return how many bytes the pool holds."""
        return self._total(streams.state.device)

    def n_free_blocks(self) -> int:
        """Return how many blocks are kept for later."""
        return sum(self._free.get(streams.state.device, Counter()).values())

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give back what is kept for later."""
        self._free.pop(streams.state.device, None)
        self._free[streams.state.device] = Counter()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Limit what the pool may hold on the current device; 0 is no limit."""
        limit = size if fraction is None else int(fraction * streams.BYTES)
        self._limits[streams.state.device] = limit or 0

    def get_limit(self) -> int:
        """Return the limit on the current device."""
        return self._limits.get(streams.state.device, 0)


_pools: weakref.WeakSet[MemoryPool] = weakref.WeakSet()
_default_pool = MemoryPool()


def taken(device: int) -> int:
    """Return the bytes of a device that pools hold."""
    return sum(pool._total(device) for pool in list(_pools))


class _Allocators(threading.local):
    def __init__(self) -> None:
        self.current: Callable[[int], MemoryPointer] = _default_pool.malloc


_allocators = _Allocators()


def alloc(size: int) -> MemoryPointer:
    """Allocate with the current allocator."""
    return _allocators.current(size)


def get_allocator() -> Callable[[int], MemoryPointer]:
    """Return the current allocator."""
    return _allocators.current


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    """Make an allocator current."""
    _allocators.current = allocator or _default_pool.malloc


@contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> Iterator[None]:
    """Allocate with this allocator inside."""
    before = _allocators.current
    set_allocator(allocator)
    try:
        yield
    finally:
        _allocators.current = before


def get_default_memory_pool() -> MemoryPool:
    """Return the pool that is used unless another is asked for."""
    return _default_pool


# Pinned memory


class PinnedMemoryPointer(np.ndarray):
    """Pinned memory: a buffer that copies may still read when their call has returned."""

    @property
    def ptr(self) -> int:
        return self.ctypes.data


_pinned: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """Return pinned memory of the host."""
    owner = np.full(max(size, 1), NAN_BYTE, np.uint8)
    _pinned[owner.ctypes.data] = owner
    return owner.view(PinnedMemoryPointer)


def is_pinned(array: np.ndarray) -> bool:
    """Whether the array lies in pinned memory."""
    at = array.ctypes.data
    return any(start <= at < start + m.nbytes for start, m in list(_pinned.items()))


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Return a NumPy array in pinned memory."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    memory = alloc_pinned_memory(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.ndarray(shape, dtype, buffer=memory, order=order)


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Return zeros in pinned memory."""
    array = empty_pinned(shape, dtype, order)
    array.fill(0)
    return array
