"""`cupy.ndarray` on the host."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import dispatch, memory, names, streams


class ndarray:  # noqa: N801  CuPy's name
    """An array on a pretended device: a NumPy array that only device operations may touch."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("__weakref__", "_host", "_memory", "base")

    def __init__(
        self,
        shape: Any,
        dtype: Any = float,
        memptr: memory.MemoryPointer | None = None,
        strides: Any = None,
        order: str = "C",
    ) -> None:
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
        dtype = np.dtype(dtype)
        pointer = memptr or memory.alloc(max(int(np.prod(shape)) * dtype.itemsize, 1))
        self._memory, self.base = pointer.mem, None
        buffer = pointer.mem.buffer
        self._host = np.ndarray(shape, dtype, buffer, pointer.offset, strides, order)

    @classmethod
    def _view(cls, host: np.ndarray, of: ndarray) -> ndarray:
        """Return an array that shares the memory of another."""
        view = object.__new__(cls)
        view._host, view._memory = host, of._memory
        view.base = of if of.base is None else of.base
        return view

    # What an array is

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    device = property(lambda self: self._memory.device)

    @property
    def data(self) -> memory.MemoryPointer:
        return memory.MemoryPointer(self._memory, self._host.ctypes.data - self._memory.ptr)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    # To and from the host

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray:
        """Return a copy on the host."""
        streams.declare_synchronize()
        with self.device:
            host = np.empty(self.shape, self.dtype, order) if out is None else out
            source = self._host
            chosen = stream or streams.get_current_stream()
            chosen.issue(lambda: np.copyto(host, source), [self._memory])
            if blocking:
                chosen.synchronize()
        return host

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy an array of the host into this one, late where it is pinned."""
        if not isinstance(arr, np.ndarray):
            raise TypeError(f"Only numpy.ndarray can be set to cupy.ndarray, got {type(arr)}")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        with self.device:
            dispatch.from_host(self._host, self._memory, arr, stream)

    def item(self, *args: Any) -> Any:
        return self.get().item(*args)

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __reduce__(self) -> Any:
        from .creation import array

        return array, (self.get(),)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    # Views and elements

    @property
    def T(self) -> ndarray:
        return ndarray._view(self._host.T, self)

    @property
    def mT(self) -> ndarray:
        return ndarray._view(np.swapaxes(self._host, -1, -2), self)

    def view(self, dtype: Any = None) -> ndarray:
        host = self._host.view() if dtype is None else self._host.view(dtype)
        return ndarray._view(host, self)

    def __getitem__(self, index: Any) -> ndarray:
        index = dispatch.on_device(index)
        if any(array.dtype == bool for array in dispatch.arrays_in(index)):
            dispatch.synchronised()  # how many there are is on the device
        whole = isinstance(index, int | np.integer | tuple) and not any(dispatch.arrays_in(index))
        if whole and Ellipsis not in (index := index if isinstance(index, tuple) else (index,)):
            index = (*index, ...)  # one element is an array of the device, too
        return dispatch.issue(operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.ndim:  # CuPy takes an array of the host only for the whole array
                raise ValueError("non-scalar numpy.ndarray cannot be used for assignment")
            value = value[()]
        dispatch.write(operator.setitem, self, dispatch.on_device(index), value)

    # Copies

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> ndarray:
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return dispatch.issue(lambda a: a.astype(dtype, order), self)

    def copy(self, order: str = "C") -> ndarray:
        """Return a copy on the current device."""
        if self._memory.device_id == streams.state.device:
            return dispatch.issue(lambda a: a.copy(order), self)
        return dispatch.between_devices(self)

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.ndim:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        dispatch.write(lambda a, v: a.fill(v), self, value)

    def sort(self, axis: int = -1) -> None:
        dispatch.write(lambda a: a.sort(axis), self)

    # NumPy's functions of these arrays are CuPy's

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        out = kwargs.pop("out", (None,))
        return dispatch.call(ufunc, *inputs, out=out[0], **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(kind, ndarray) for kind in types):
            return NotImplemented
        return dispatch.call(function, *args, **kwargs)


def _operator(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> Any:
        if not dispatch.operand(other):
            return NotImplemented
        return (
            dispatch.call(function, other, self)
            if reflected
            else dispatch.call(function, self, other)
        )

    return method


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> Any:
        if not dispatch.operand(other):
            return NotImplemented
        return dispatch.call(function, self, other, out=self, casting="same_kind")

    return method


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: dispatch.call(function, self, *args, **kwargs)


for name, function in names.OPERATORS.items():
    setattr(ndarray, f"__{name}__", _operator(function))
    if name not in names.COMPARISONS:
        setattr(ndarray, f"__r{name}__", _operator(function, reflected=True))
    if name in names.IN_PLACE:
        setattr(ndarray, f"__i{name}__", _in_place(function))
for name, function in names.UNARY.items():
    setattr(ndarray, f"__{name}__", _method(function))
for name in names.METHODS:
    setattr(ndarray, name, _method(getattr(np, name)))


def _reshape(self: ndarray, *shape: Any, order: str = "C") -> ndarray:
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return dispatch.call(np.reshape, self, shape, order=order)


def _transpose(self: ndarray, *axes: Any) -> ndarray:
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return dispatch.call(np.transpose, self, axes or None)


ndarray.reshape, ndarray.transpose = _reshape, _transpose
ndarray.__module__ = "cupy"
