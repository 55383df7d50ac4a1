"""CuPy arrays on a CUDA device: kernels of our own, and whole steps as CUDA graphs.

The environment variable NNPOLY_CUPY says how far to go: "graph" (as far as possible, the default),
"kernels" (call by call) or "definitions" (CuPy's own operations alone).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, TypeGuard

from ... import _checks
from ...layers import Embedding, Periodic, PiecewiseLinear, every
from ...primitives import Array, Ops
from .. import host
from ..base import PRECISIONS, Backend
from ..steps import Functions, Spec, Steps

try:
    import cupy
except ImportError as error:
    raise ImportError("CuPy is not installed: pip install nnpoly[cupy]") from error
if not cupy.cuda.is_available():  # importing CuPy succeeds without a GPU
    raise ImportError("CuPy finds no CUDA device; check the driver with nvidia-smi")

import array_api_compat.cupy as xp

from . import (
    members,  # noqa: F401  its implementations
    upload,
)
from .graph import RATES, Graphs, rates_of
from .launching import REALS
from .ops import Branch, CudaOps
from .products import ABSENT, CuBLAS, Lt

VARIABLE = "NNPOLY_CUPY"
MODES = ("definitions", "graph", "kernels")
# Their definitions have products, which no graph captures.
WITH_PRODUCTS = (Periodic, PiecewiseLinear, Embedding)


class CuPy(Backend):
    """CuPy arrays; a device is its number."""

    name = "cupy"
    in_place = True
    precisions = PRECISIONS
    rounds_all = False

    def __init__(self, mode: str = "graph") -> None:
        self.xp = xp
        self._mode = mode

    @cached_property
    def ops(self) -> Ops:
        if self._mode == "definitions":
            return Ops(xp)
        return CudaOps(CuBLAS() if ABSENT else Lt())

    def owns(self, array: Any) -> TypeGuard[Array]:
        return isinstance(array, cupy.ndarray)

    def device(self, device: Any) -> Any:
        count = cupy.cuda.runtime.getDeviceCount()
        try:
            # A command line gives the number as text.
            chosen = cupy.cuda.Device(int(device) if isinstance(device, str) else device)
        except (TypeError, ValueError):
            chosen = None
        if chosen is None or not 0 <= chosen.id < count:
            raise ValueError(f"cupy: `device` must be an integer in [0, {count}), got {device!r}.")
        return chosen

    def from_host(self, array: host.HostArray, device: Any) -> cupy.ndarray:
        with device:
            return cupy.array(array)

    def to_host(self, array: Array) -> host.HostArray:
        return host.asarray(cupy.asnumpy(array))

    def room(self, device: Any) -> int | None:
        given = super().room(device)
        return upload.half_of_the_free(device) if given is None else given

    def staging(self, shape: tuple[int, ...], dtype: str) -> host.HostArray:
        return upload.pinned(shape, dtype)

    def upload(self, blocks: Iterable[host.HostArray], device: Any) -> Iterator[Array]:
        return upload.upload(blocks, device)

    def convert(self, array: Array, dtype: str, device: Any) -> Array:
        with array.device:
            return super().convert(array, dtype, device)

    def move(self, array: Array, device: Any) -> cupy.ndarray:
        if array.device == device:
            return array
        with device:
            return cupy.array(array)

    def copy(self, array: cupy.ndarray) -> cupy.ndarray:
        with array.device:
            return array.copy()

    def scope(self, device: Any) -> AbstractContextManager[Any]:
        chosen: AbstractContextManager[Any] = device
        return chosen

    def new_ops(self, precision: str) -> Ops:
        return CudaOps(Lt(precision))

    def steps(self, spec: Spec, functions: Functions) -> Steps:
        ops, dtype = self.ops_with(spec.precision), spec.scratch.gradient.dtype
        one_by_one = functions.compiled(self.compile, spec.precision)
        if dtype.char not in REALS:
            return Steps(one_by_one, self.copy, f"op by op: no kernels for {dtype}")
        for layer in every(spec.chain):
            if isinstance(layer, WITH_PRODUCTS):
                name = type(layer).__name__
                return Steps(one_by_one, self.copy, f"op by op: no kernels for {name} layers")
        if self._mode != "graph" or not isinstance(ops, CudaOps):
            return Steps(one_by_one, self.copy, f"op by op: {VARIABLE} is {self._mode}")
        if (numbers := rates_of(spec, functions)) > RATES:
            reason = f"{numbers} numbers of a step, with its schedules and factors, are too many"
            return Steps(one_by_one, self.copy, f"op by op: {reason}")
        return Graphs(CudaOps(ops.products, Branch()), spec, functions.step, one_by_one, self.copy)

    def check_precision(self, where: str, precision: str, dtype: str) -> None:
        super().check_precision(where, precision, dtype)
        if ABSENT:
            raise ValueError(f"{where}: `precision` {precision!r} needs cuBLASLt, but {ABSENT}.")

    def version(self) -> str:
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        return f"{cupy.__version__} ({properties['name'].decode()})"

    def details(self) -> dict[str, str]:
        return {"CUDA": f"steps by {self._mode}; cuBLASLt: {ABSENT or 'by nvmath-python'}"}


def load() -> Backend:
    """Return the backend."""
    return CuPy(_checks.choice(VARIABLE, "value", os.environ.get(VARIABLE, "graph"), MODES))
