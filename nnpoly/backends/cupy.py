"""CuPy arrays on a CUDA device: the definitions, and CuPy's own distribution function."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..primitives import Array, Ops, implements
from . import host
from .base import Backend

try:
    import cupy
except ImportError as error:
    raise ImportError("CuPy is not installed: pip install nnpoly[cupy]") from error
if not cupy.cuda.is_available():  # importing CuPy succeeds without a GPU
    raise ImportError("CuPy finds no CUDA device; check the driver with nvidia-smi")

import array_api_compat.cupy as xp
import cupyx.scipy.special


class CuPy(Backend):
    """CuPy arrays; a device is its number."""

    name = "cupy"

    def __init__(self) -> None:
        self.xp = xp

    def owns(self, array: Any) -> bool:
        return isinstance(array, cupy.ndarray)

    def device(self, device: Any) -> Any:
        count = cupy.cuda.runtime.getDeviceCount()
        try:
            chosen = cupy.cuda.Device(device)
        except (TypeError, ValueError):
            chosen = None
        if chosen is None or not 0 <= chosen.id < count:
            raise ValueError(f"cupy: `device` must be an integer in [0, {count}), got {device!r}.")
        return chosen

    def from_host(self, array: host.HostArray, device: Any) -> Array:
        with device:
            return cupy.array(array)

    def to_host(self, array: Array) -> host.HostArray:
        return host.asarray(cupy.asnumpy(array))

    def move(self, array: Array, device: Any) -> Array:
        if array.device == device:
            return array
        with device:
            return cupy.array(array)

    def copy(self, array: Array) -> Array:
        return array.copy()

    def scope(self, device: Any) -> AbstractContextManager[Any]:
        chosen: AbstractContextManager[Any] = device
        return chosen

    def version(self) -> str:
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        return f"{cupy.__version__} ({properties['name'].decode()})"


def load() -> Backend:
    """Return the backend."""
    return CuPy()


@implements("normal_cdf", "cupy")
def _normal_cdf(ops: Ops, z: Array) -> Array:
    return cupyx.scipy.special.ndtr(z)
