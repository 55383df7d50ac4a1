"""Backends: the array libraries that nnpoly computes with."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from types import ModuleType
from typing import Any, TypeGuard

from ..primitives import Array, Namespace, Ops, RoundedFactors
from . import host
from .ensembles import Averaged, Input
from .steps import Functions, Spec, Steps

FLOATS = ("float16", "float32", "float64")
PRECISIONS = ("bf16", "tf32")  # of matrix products of float32
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
    precisions
        Those of `PRECISIONS` that its products can have.
    rounds_all
        Whether they round the factors of all products of Dense layers, or only where that is
        faster.
    """

    name: str
    xp: Namespace
    index_dtype: str = "int64"
    in_place: bool = False
    block_bytes: int = 1 << 24
    precisions: tuple[str, ...] = ("bf16",)
    rounds_all: bool = True

    def __getstate__(self) -> dict[str, Any]:
        """The attributes of a backend that the registry does not know; modules by their names."""
        kept = {k: v for k, v in vars(self).items() if k not in ("ops", "_tables")}
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

    @cached_property
    def _tables(self) -> dict[str, Ops]:
        """The tables of other precisions, as they are asked for."""
        return {}

    def ops_with(self, precision: str | None) -> Ops:
        """The table whose products have a precision that was checked; None: the dtype's own."""
        if precision is None:
            return self.ops
        if precision not in self._tables:
            self._tables[precision] = self.new_ops(precision)
        return self._tables[precision]

    def new_ops(self, precision: str) -> Ops:
        """A table whose products have one of `precisions`."""
        return RoundedFactors(self.ops)

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
        """Refuse what is no precision of this backend's products, or of this dtype's."""
        if not isinstance(precision, str) or precision not in self.precisions:
            known = " or ".join(map(repr, (None, *self.precisions)))
            remedy = "None leaves float32 products as they are."
            if isinstance(precision, str) and precision in PRECISIONS:
                remedy = f"{precision!r} is CuPy's: backend='cupy'."
            raise ValueError(
                f"{where}: `precision` must be {known} on {self.name}, got {precision!r}. {remedy}"
            )
        if dtype != "float32":
            raise ValueError(
                f"{where}: `precision` {precision!r} rounds the factors of float32 products, but "
                f"the network is {dtype}. Use dtype='float32'."
            )

    def compile(
        self, function: Callable[..., Any], precision: str | None = None
    ) -> Callable[..., Any]:
        """Compile a pure `function(ops, *arrays)`. Returns a function of the arrays alone.

        Nothing that `function` returns may be an array from `ops.scratch`. precision: of products,
        one that `check_precision` let pass, or None for the dtype's.
        """
        return partial(function, self.ops_with(precision))

    def set_num_threads(self, count: int) -> None:
        """Use so many threads in kernels of our own; the library's have their own switches."""

    def steps(self, spec: Spec, functions: Functions) -> Steps:
        """The training steps of a spec on this backend.

        The functions take the table of primitives first, and are pure in their arrays.
        """
        return Steps(functions.compiled(self.compile, spec.precision), self.copy)

    def prediction(
        self, chain: Any, dtype: str, precision: str | None = None
    ) -> Callable[..., Array | None] | None:
        """A function `predict(w, buffers, x, output)`, a forward pass in one call, or None.

        It returns the output (see `losses.OUTPUTS`), for None the scores; or None for an x that it
        cannot take.
        """
        return None

    def ensemble_prediction(
        self,
        chains: Sequence[Any],
        dtype: str,
        precision: str | None,
        inputs: Sequence[Input],
        averaged: Averaged,
    ) -> Callable[..., host.HostArray | None] | None:
        """A function `predict(networks, cells)` of networks of these chains, in one call, or None.

        networks: the w and the buffers of each. cells: (n, columns), float64, on the host.
        It returns the mean of their predictions (n, K), float64, or None for arrays that it cannot
        take.
        """
        return None

    def version(self) -> str:
        """The library's version and its device."""
        raise NotImplementedError

    def details(self) -> dict[str, str]:
        """Further rows of `show_config`, by name."""
        return {}
