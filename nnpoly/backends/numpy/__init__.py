"""NumPy: the host's own arrays, in place, and the C core where it was built."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeGuard, cast

import numpy as np

from ...primitives import Array, Ops, RoundedFactors
from .. import host
from ..base import Backend
from ..ensembles import Averaged, Input
from ..steps import Functions, Spec, Steps
from . import kernels  # noqa: F401  registers its implementations


class Arena(Ops):
    """The table with scratch arrays that are handed out anew, in the same order, every step.

    A step then allocates nothing, and touches no fresh pages, which cost as much as the arithmetic.
    """

    def __init__(self, backend: str) -> None:
        super().__init__(host.namespace(), backend)
        self._arrays: list[host.HostArray] = []
        self._next = 0

    def rewind(self) -> None:
        """Hand the arrays out from the first again."""
        self._next = 0

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> host.HostArray:
        place = self._next
        self._next = place + 1
        if place == len(self._arrays):
            self._arrays.append(np.empty(shape, dtype))
        array = self._arrays[place]
        if array.shape != shape or array.dtype != dtype:  # another batch size
            array = self._arrays[place] = np.empty(shape, dtype)
        return array


class NumPy(Backend):
    """NumPy arrays in main memory."""

    name = "numpy"
    in_place = True
    xp = host.namespace()
    block_bytes = 0

    def __init__(self, core: ModuleType | None = None, core_absent: str = "not asked for") -> None:
        self._core, self._core_absent = core, core_absent

    def owns(self, array: Any) -> TypeGuard[Array]:
        return isinstance(array, np.ndarray | np.generic)

    def device(self, device: Any) -> Any:
        if device not in (None, "cpu"):
            raise ValueError(f"numpy: `device` must be None or 'cpu', got {device!r}.")
        return "cpu"

    def room(self, device: Any) -> int | None:
        return None  # the data are where they are computed with

    def from_host(self, array: host.HostArray, device: Any) -> Array:
        return cast("Array", array)

    def move(self, array: Array, device: Any) -> Array:
        return array

    def compile(
        self, function: Callable[..., Any], precision: str | None = None
    ) -> Callable[..., Any]:
        arena = Arena(self.name)
        ops = arena if precision is None else RoundedFactors(arena)

        def run(*arrays: Any) -> Any:
            arena.rewind()
            return function(ops, *arrays)

        return run

    def steps(self, spec: Spec, functions: Functions) -> Steps:
        one_by_one = functions.compiled(self.compile, spec.precision)
        if self._core is None:
            path = f"op by op: no C core ({self._core_absent})"
            return Steps(one_by_one, self.copy, path)
        from .steps import steps

        return steps(spec, one_by_one, self.copy)

    def prediction(
        self, chain: Any, dtype: str, precision: str | None = None
    ) -> Callable[..., Array | None] | None:
        if self._core is None:
            return None
        from .prediction import prediction

        found = prediction(chain, np.dtype(dtype), precision)
        return cast("Callable[..., Array | None] | None", found)

    def ensemble_prediction(
        self,
        chains: Sequence[Any],
        dtype: str,
        precision: str | None,
        inputs: Sequence[Input],
        averaged: Averaged,
    ) -> Callable[..., host.HostArray | None] | None:
        if self._core is None:
            return None
        from .ensembles import ensemble_prediction

        return ensemble_prediction(chains, np.dtype(dtype), precision, inputs, averaged)

    def zero_dimensional(self, value: Any) -> Array:
        return cast("Array", np.asarray(value))

    def set_num_threads(self, count: int) -> None:
        if self._core is not None:
            self._core.set_num_threads(count)

    def version(self) -> str:
        return np.__version__

    def details(self) -> dict[str, str]:
        absent = f"none: {self._core_absent}"
        return {"C core": absent if self._core is None else self._core.describe()}


def load() -> Backend:
    """Return the backend, with the C core's implementations where it was built."""
    if os.environ.get("NNPOLY_ISA") == "none":
        return NumPy(None, "NNPOLY_ISA is none")
    try:
        from . import core, members, primitives, tabular  # noqa: F401  registers their implementations
    except ImportError as error:
        reason = f"not built when nnpoly was installed, or broken ({error})"
        return NumPy(None, f"{reason}; install gcc or clang, then nnpoly again")
    core.start()
    return NumPy(core)
