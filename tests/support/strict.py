"""The array API's own strict checker as a backend: whatever is not in the standard fails here."""

from __future__ import annotations

from typing import Any

import array_api_strict as xp
import numpy as np

from nnpoly.backends import Backend, register


class Strict(Backend):
    """array_api_strict arrays, on any of its pretended devices."""

    name = "strict"

    def __init__(self) -> None:
        xp.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
        self.xp = xp

    def owns(self, array: Any) -> bool:
        return type(array).__module__.startswith("array_api_strict")

    def device(self, device: Any) -> Any:
        return device if isinstance(device, xp.Device) else xp.Device(device or "CPU_DEVICE")

    def from_host(self, array: np.ndarray, device: Any) -> Any:
        return xp.asarray(array, device=device, copy=True)

    def to_host(self, array: Any) -> np.ndarray:
        return np.asarray(xp.asarray(array, device=xp.Device("CPU_DEVICE"))._array)

    def move(self, array: Any, device: Any) -> Any:
        return array if array.device == device else array.to_device(device)

    def version(self) -> str:
        return xp.__version__


register("strict", Strict)
