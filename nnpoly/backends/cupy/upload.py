"""Host data on their way to a CUDA device: copied from pinned memory while the device computes.

While the device computes on block i, block i + 1 is copied and the host fills block i + 2:

==============  ============  ============  ============  ============
current stream                compute 0     compute 1     compute 2
copies' stream  copy 0        copy 1        copy 2        copy 3
host            fill 0, 1     fill 2        fill 3        fill 4
==============  ============  ============  ============  ============
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cupy
import cupyx

from .. import host
from .launching import Array, recorded


class _Copy(NamedTuple):
    """A copy that may be under way."""

    block: host.HostArray  # read by the copy: kept until it has ended
    array: Array
    ended: Any  # an event


def half_of_the_free(device: Any) -> int:
    """Return half of the bytes that are free on the device, or kept free by CuPy's pool."""
    with device:
        free, _ = device.mem_info
        return int(free + cupy.get_default_memory_pool().free_bytes()) // 2


def pinned(shape: tuple[int, ...], dtype: str) -> host.HostArray:
    """Return an array in page-locked memory, which CuPy's pool takes back and gives out again."""
    array: host.HostArray = cupyx.empty_pinned(shape, dtype)
    return array


def upload(blocks: Iterable[host.HostArray], device: Any) -> Iterator[Array]:
    """Yield the blocks on the device, in order; each is copied while the one before is in use.

    What computes on a block must be on the stream that is current where the block is asked for, or
    wait for it. Two blocks of pinned memory are in use at a time, since the next one is asked for
    when the copy of the last but one has ended; so the device is never more than two blocks behind.
    """
    with device:
        copies = cupy.cuda.Stream(non_blocking=True)
    under_way: deque[_Copy] = deque()
    try:
        for block in blocks:
            under_way.append(_begin(block, device, copies))
            if len(under_way) == 2:
                yield from _handed_over(under_way, device)
        if under_way:
            yield from _handed_over(under_way, device)
    finally:
        copies.synchronize()  # before memory that a copy reads or writes is given out again


def _begin(block: host.HostArray, device: Any, copies: Any) -> _Copy:
    """Begin to copy a block."""
    with device:
        array = cupy.empty(block.shape, block.dtype)
        # The pool may have given memory that work on the current stream has yet to read.
        copies.wait_event(recorded(cupy.cuda.get_current_stream()))
        array.set(block, stream=copies)
        return _Copy(block, array, recorded(copies))


def _handed_over(under_way: deque[_Copy], device: Any) -> Iterator[Array]:
    """Yield the array of the oldest copy; afterwards the copy has ended."""
    with device:
        cupy.cuda.get_current_stream().wait_event(under_way[0].ended)
    yield under_way[0].array
    under_way.popleft().ended.synchronize()
