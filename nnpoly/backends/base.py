"""Backends: the array libraries that nnpoly computes with."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from types import ModuleType
from typing import Any, TypeGuard

from ..primitives import Array, Namespace, Ops
from . import host
from .steps import Functions, Spec, Steps

FLOATS = ("float16", "float32", "float64")
ROOM = "NNPOLY_DEVICE_BYTES"
_NO_SCOPE = nullcontext()


class Backend:
    """An array library. A subclass names its namespace and how arrays get in and out.

    Attributes
    ----------
    name
        What `use_backend` calls it; also whose fast implementations its table prefers.
    xp
        The array namespace (array-api-compat's).
    index_dtype
        The integers that class indices and row numbers are converted to.
    in_place
        Whether arrays can be written into, and gradients are worth a buffer of their own.
    block_bytes
        How many bytes of streamed data go to the device together; 0: no more than a batch.
    """

    name: str
    xp: Namespace
    index_dtype: str = "int64"
    in_place: bool = False
    block_bytes: int = 1 << 24

    def __getstate__(self) -> dict[str, Any]:
        """The attributes of a backend that the registry does not know; modules by their names."""
        kept = {name: value for name, value in vars(self).items() if name != "ops"}
        modules = {k: v.__name__ for k, v in kept.items() if isinstance(v, ModuleType)}
        return {"modules": modules, "kept": {k: v for k, v in kept.items() if k not in modules}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["kept"])
        for name, module in state["modules"].items():
            setattr(self, name, importlib.import_module(module))

    def __repr__(self) -> str:
        return f"<nnpoly backend {self.name}>"

    @cached_property
    def ops(self) -> Ops:
        """The table of primitives with this backend's fast implementations."""
        return Ops(self.xp, self.name)

    def owns(self, array: Any) -> TypeGuard[Array]:
        """Whether `array` is an array of this library."""
        raise NotImplementedError

    def lack(self, array: Array) -> str:
        """The word for an array of this library that does not hold all its entries, or ""."""
        return ""

    def device(self, device: Any) -> Any:
        """The library's device object for a user's `device`; None is the default device."""
        raise NotImplementedError

    def from_host(self, array: host.HostArray, device: Any) -> Array:
        """A copy of a NumPy array on `device` (NumPy: the array itself)."""
        raise NotImplementedError

    def to_host(self, array: Array) -> host.HostArray:
        """The array in NumPy; it may share memory."""
        return host.asarray(array)

    def room(self, device: Any) -> int | None:
        """The bytes that one array of data may take on `device`, or None for no limit.

        Larger arrays are streamed. It is NNPOLY_DEVICE_BYTES, where that is set.
        """
        given = os.environ.get(ROOM)
        if not given:
            return None
        if not given.isdecimal():
            raise ValueError(f"{ROOM}: must be an integer >= 0, got {given!r}.")
        return int(given)

    def staging(self, shape: tuple[int, ...], dtype: str) -> host.HostArray:
        """An array on the host to be filled for `upload`, and not written into after that."""
        return host.empty(shape, dtype)

    def upload(self, blocks: Iterable[host.HostArray], device: Any) -> Iterator[Array]:
        """Yield the blocks on `device`, in their order; one may be asked for ahead of its turn."""
        return (self.from_host(block, device) for block in blocks)

    def dtype(self, name: str) -> Any:
        """The library's dtype of that name."""
        return getattr(self.xp, name)

    def convert(self, array: Array, dtype: str, device: Any) -> Array:
        """The array in `dtype` on `device`: itself where it fits already."""
        wanted = self.dtype(dtype)
        if array.dtype != wanted:
            array = self.xp.astype(array, wanted)
        return self.move(array, device)

    def move(self, array: Array, device: Any) -> Array:
        """The array on `device`: itself where it is there already."""
        if array.device == device:
            return array
        return self.xp.asarray(array, device=device, copy=True)

    def check_dtype(self, where: str, dtype: str) -> None:
        """Refuse a floating type that this library cannot compute in."""

    def copy(self, array: Array) -> Array:
        """A copy of the array, in memory of its own."""
        return self.xp.asarray(array, copy=True)

    def zero_dimensional(self, value: Array) -> Array:
        """A 0-d result as an array: NumPy's reductions give scalars instead."""
        return value

    def scope(self, device: Any) -> AbstractContextManager[Any]:
        """The context in which this library computes on `device`."""
        return _NO_SCOPE

    def eager(self) -> AbstractContextManager[Any]:
        """A context in which results are arrays, also where a user's function is traced."""
        return _NO_SCOPE

    def widened(self, dtype: str) -> AbstractContextManager[Any]:
        """A context in which `dtype` works, for the parity tools."""
        return nullcontext()

    def check_precision(self, where: str, precision: str, dtype: str) -> None:
        """Refuse products of another precision than the dtype's, where there is no such choice."""
        raise ValueError(
            f"{where}: `precision` {precision!r} is for CuPy; on {self.name} products have the "
            f"network's own, {dtype}. Leave it out, or move the network: net.to('cupy')."
        )

    def compile(
        self, function: Callable[..., Any], precision: str | None = None
    ) -> Callable[..., Any]:
        """Compile a pure `function(ops, *arrays)`. Returns a function of the arrays alone.

        Nothing that `function` returns may be an array from `ops.scratch`. precision: of products,
        one that `check_precision` let pass, or None for the dtype's.
        """
        return partial(function, self.ops)

    def set_num_threads(self, count: int) -> None:
        """Use so many threads in kernels of our own; the library's have their own switches."""

    def steps(self, spec: Spec, functions: Functions) -> Steps:
        """The training steps of a spec on this backend.

        The functions take the table of primitives first, and are pure in their arrays.
        """
        return Steps(functions.compiled(self.compile), self.copy)

    def prediction(self, chain: Any, dtype: str) -> Callable[..., Array | None] | None:
        """A function `predict(w, buffers, x, output)`, a forward pass in one call, or None.

        It returns the output (see `losses.OUTPUTS`), or None for an x that it cannot take.
        """
        return None

    def version(self) -> str:
        """The library's version and its device."""
        raise NotImplementedError

    def details(self) -> dict[str, str]:
        """Further rows of `show_config`, by name."""
        return {}
