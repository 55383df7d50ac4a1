"""The table of primitives on CuPy, and the second stream that some of its work goes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import array_api_compat.cupy as xp
import cupy

from ...primitives import Ops
from .launching import Array, recorded
from .products import CuBLAS


class CudaOps(Ops):
    """The table with CUDA kernels, and the products that they stand beside.

    Attributes
    ----------
    products
        The matrix products that are not small: cuBLAS's or cuBLASLt's.
    branch
        A second stream for the gradients of parameters, which run beside the deltas; None for the
        current stream.
    """

    def __init__(self, products: CuBLAS, branch: Branch | None = None) -> None:
        super().__init__(xp, "cupy")
        self.products, self.branch = products, branch


class Branch:
    """A second stream, for work that nothing needs until it is joined."""

    def __init__(self) -> None:
        self._streams: dict[int, Any] = {}  # of devices
        self._used: list[Any] = []

    @contextmanager
    def forked(self, *arrays: Array) -> Iterator[None]:
        """Work on the second stream, after all that the current one has done so far.

        arrays: what the work reads. Were they freed before it is joined, the current stream would
        be given their memory.
        """
        device = cupy.cuda.Device().id
        if device not in self._streams:
            self._streams[device] = cupy.cuda.Stream(non_blocking=True)
        stream = self._streams[device]
        stream.wait_event(recorded(cupy.cuda.get_current_stream()))
        self._used.extend(arrays)
        with stream:
            yield

    def join(self) -> None:
        """Let the current stream wait for the second one."""
        if self._used:
            stream = self._streams[cupy.cuda.Device().id]
            cupy.cuda.get_current_stream().wait_event(recorded(stream))
            self._used.clear()
