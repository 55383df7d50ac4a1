"""The one way by which operations on device arrays go: `issue`, `write` and `from_host`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import arrays as classes
from . import memory, names, streams


def operand(value: Any) -> bool:
    """Whether arrays are added to this: arrays and scalars, but nothing of NumPy's with a shape."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return isinstance(value, classes.ndarray | bool | int | float | complex | np.generic)


def arrays_in(value: Any) -> Iterator[classes.ndarray]:
    """Yield the device arrays in nested arguments."""
    if isinstance(value, classes.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays_in(part)
    elif isinstance(value, dict):
        yield from arrays_in(tuple(value.values()))


def hosts(value: Any) -> Any:
    """Return nested arguments with NumPy's arrays for the device's."""
    if isinstance(value, classes.ndarray):
        return value._host
    if isinstance(value, tuple | list):
        return type(value)(map(hosts, value))
    if isinstance(value, dict):
        return {name: hosts(part) for name, part in value.items()}
    return value


def on_current_device(arrays: list[classes.ndarray]) -> None:
    """Refuse arrays of other devices: a device reads them slowly, or not at all."""
    here = streams.state.device
    for array in arrays:
        if array._memory.device_id != here:
            raise ValueError(
                "Array device must be same as the current device: array device = "
                f"{array._memory.device_id} while current = {here}"
            )


def on_device(index: Any) -> Any:
    """Return an index whose arrays of the host are copied to the device, as CuPy does."""
    if isinstance(index, tuple):
        return tuple(map(on_device, index))
    if not isinstance(index, np.ndarray):
        return index
    copied = classes.ndarray(index.shape, index.dtype)
    from_host(copied._host, copied._memory, index)
    return copied


def synchronised() -> None:
    """Wait, for results whose shape depends on values."""
    streams.declare_synchronize()
    streams.get_current_stream().synchronize()


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Issue one of NumPy's functions of device arrays."""
    name = function.__name__
    if isinstance(function, np.ufunc):
        for arg in args:
            if not operand(arg):
                raise TypeError(f"Unsupported type {type(arg)}")
    arrays = list(arrays_in((args, kwargs)))
    if not arrays:
        raise TypeError(f"cupy.{name} takes cupy.ndarray, got {', '.join(map(_kind, args))}")
    if name in names.PRODUCTS and streams.state.capturing is not None:
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )
    if name in names.SYNCHRONISING:
        synchronised()
    out = kwargs.pop("out", None)
    if out is None:
        return issue(function, *args, **kwargs)
    if not isinstance(out, classes.ndarray):
        raise TypeError(f"cupy.{name}: `out` must be a cupy.ndarray, got {type(out)}")
    write(lambda o, *a, **k: function(*a, out=o, **k), out, *args, **kwargs)
    return out


def _kind(value: Any) -> str:
    return type(value).__name__


def issue(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Issue a function of device arrays and return its results, whose shapes are right at once."""
    arrays = list(arrays_in((args, kwargs)))
    _refuse_hosts((args, kwargs))
    args, kwargs = hosts(args), hosts(kwargs)
    with np.errstate(all="ignore"):
        results = function(*args, **kwargs)
    several = isinstance(results, tuple | list)
    made = [_result(r, arrays) for r in (results if several else [results])]
    fresh = [(i, a) for i, (a, is_new) in enumerate(made) if is_new]
    if fresh:
        on_current_device(arrays)
        _fill(fresh, function, args, kwargs, results if several else [results], arrays)
    if not several:
        return made[0][0]
    parts = [a for a, _ in made]
    return type(results)(*parts) if hasattr(results, "_fields") else type(results)(parts)


def _refuse_hosts(value: Any) -> None:
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        for part in value:
            _refuse_hosts(part)
    elif isinstance(value, dict):
        _refuse_hosts(tuple(value.values()))


def _result(result: Any, arrays: list[classes.ndarray]) -> tuple[classes.ndarray, bool]:
    """Return a result as a device array, and whether it is new and not a view."""
    if isinstance(result, np.ndarray):
        for array in arrays:
            if result is array._host:
                return array, False
            if np.may_share_memory(result, array._memory.buffer):
                return classes.ndarray._view(result, array), False
    result = np.asanyarray(result)
    order = "F" if result.flags.f_contiguous and not result.flags.c_contiguous else "C"
    return classes.ndarray(result.shape, result.dtype, order=order), True


def _fill(fresh: Any, function: Any, args: Any, kwargs: Any, results: Any, arrays: Any) -> None:
    """Let the new arrays hold the results when the current stream gets there."""
    stream = streams.get_current_stream()
    targets = [(i, array._host) for i, array in fresh]

    def run(results: Any = None) -> None:
        if results is None:
            with np.errstate(all="ignore"):
                results = function(*args, **kwargs)
        results = results if isinstance(results, tuple | list) else [results]
        for i, target in targets:
            target[...] = results[i]

    used = [array._memory for array in arrays] + [array._memory for _, array in fresh]
    at_once = stream.eager and streams.state.capturing is None
    stream.issue((lambda: run(results)) if at_once else run, used)


def write(function: Callable[..., Any], target: classes.ndarray, *args: Any, **kwargs: Any) -> None:
    """Issue a function that writes into its first argument; its errors come at once."""
    arrays = [target, *arrays_in((args, kwargs))]
    _refuse_hosts((args, kwargs))
    on_current_device(arrays)
    host, args, kwargs = target._host, hosts(args), hosts(kwargs)

    def run() -> None:
        with np.errstate(all="ignore"):
            function(host, *args, **kwargs)

    stream = streams.get_current_stream()
    if not stream.eager or streams.state.capturing is not None:
        with np.errstate(all="ignore"):
            function(host.copy(), *args, **kwargs)
    stream.issue(run, [array._memory for array in arrays])


def between_devices(source: classes.ndarray) -> classes.ndarray:
    """Return a copy on the current device."""
    target = classes.ndarray(source.shape, source.dtype)
    theirs, ours = source._host, target._host
    used = [source._memory, target._memory]
    with source.device:
        streams.get_current_stream().synchronize()
    streams.get_current_stream().issue(lambda: np.copyto(ours, theirs), used)
    return target


def from_host(
    host: np.ndarray, used: memory.Memory, source: np.ndarray, stream: Any = None
) -> None:
    """Issue a copy from the host: pinned memory is read when the stream gets there."""
    if streams.state.capturing is not None:
        raise RuntimeError(
            "the current stream is capturing, so synchronous API calls are disallowed"
        )
    if not memory.is_pinned(source):
        source = source.copy()
    chosen = stream or streams.get_current_stream()
    chosen.issue(lambda: np.copyto(host, source), [used])
