"""CuPy's functions that make arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dispatch
from .arrays import ndarray


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """Return an array on the current device."""
    if isinstance(obj, ndarray):
        result = _converted(obj, dtype, copy)
    elif any(True for _ in dispatch.arrays_in(obj)):
        result = dispatch.call(np.stack, [array(part, dtype, copy=None) for part in obj])
    else:
        host = np.asarray(obj, dtype)
        if host.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {host.dtype}")
        result = ndarray(host.shape, host.dtype)
        dispatch.from_host(result._host, result._memory, np.array(host))
    return (
        result
        if result.ndim >= ndmin
        else result.reshape((1,) * (ndmin - result.ndim) + result.shape)
    )


def _converted(obj: ndarray, dtype: Any, copy: bool | None) -> ndarray:
    here = obj._memory.device_id == dispatch.streams.state.device
    same = dtype is None or np.dtype(dtype) == obj.dtype
    if here and same and not copy:
        return obj
    if copy is False:
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    moved = obj if here else obj.copy()
    return moved.astype(obj.dtype if dtype is None else dtype, copy=here)


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """Return an array on the current device: itself where it is one."""
    return array(a, dtype, copy=copy)


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    """Return an array on the host."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return an array of NaN (integers: -1), since memory may hold anything."""
    return ndarray(shape, dtype, order=order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """Return an array of one value."""
    if dtype is None:
        dtype = (
            fill_value.dtype if isinstance(fill_value, ndarray) else np.asarray(fill_value).dtype
        )
    result = ndarray(shape, dtype, order=order)
    result[...] = fill_value
    return result


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return zeros."""
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return ones."""
    return full(shape, 1, dtype, order)


def made(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return CuPy's form of a NumPy function that makes an array from numbers alone."""

    def create(*args: Any, **kwargs: Any) -> ndarray:
        args, kwargs = ((*map(_number, args),), {k: _number(v) for k, v in kwargs.items()})
        host = function(*args, **kwargs)
        result = ndarray(host.shape, host.dtype)
        dispatch.write(lambda target: np.copyto(target, host), result)
        return result

    return create


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, ndarray) else value


def like(create: Callable[..., ndarray], *values: str) -> Callable[..., ndarray]:
    """Return the form of a creation function that takes shape and dtype from an array."""

    def create_like(
        a: ndarray, *args: Any, dtype: Any = None, order: str = "K", **rest: Any
    ) -> Any:
        shape = rest.pop("shape", None)
        args = args[: len(values)] or tuple(rest[v] for v in values if v in rest)
        return create(a.shape if shape is None else shape, *args, dtype=dtype or a.dtype)

    return create_like


empty_like, zeros_like, ones_like = map(like, (empty, zeros, ones))
full_like = like(full, "fill_value")
