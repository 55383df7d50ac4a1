"""The modules that `install` puts in CuPy's place."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from weakref import ref

import numpy as np

from . import arrays, creation, dispatch, kernels, memory, names, streams
from . import nvmath as bindings

VERSION = "14.2.0"


def module(name: str, contents: dict[str, Any]) -> ModuleType:
    """Return a new module, entered in `sys.modules` and in its parent."""
    new = ModuleType(name, "Part of the tests' stand-in for CuPy.")
    new.__dict__.update(contents)
    new.__path__ = []
    new.__spec__ = ModuleSpec(name, None, is_package=True)
    sys.modules[name] = new
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, new)
    return new


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return CuPy's form of a function of NumPy's."""

    @wraps(function)
    def of_device_arrays(*args: Any, **kwargs: Any) -> Any:
        return dispatch.call(function, *args, **kwargs)

    return of_device_arrays


def metadata(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of NumPy's that reads no values."""

    @wraps(function)
    def of_shapes_and_types(*args: Any, **kwargs: Any) -> Any:
        return function(*dispatch.hosts(args), **dispatch.hosts(kwargs))

    return of_shapes_and_types


def functions(library: Any, wanted: list[str], form: Any = device_function) -> dict[str, Any]:
    """Return functions of a library in CuPy's form, by name."""
    return {name: form(getattr(library, name)) for name in wanted}


class RawKernel:
    """A kernel of a `RawModule`."""

    def __init__(self, module: RawModule, name: str) -> None:
        self._module, self.name = module, name

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        """Launch the kernel on the current stream."""
        if shared_mem:
            raise NotImplementedError("the stand-in has no dynamic shared memory")
        source, options = self._module.code, self._module.options
        launch = kernels.Launch(source, options, self.name, grid, block)
        given = [arg for arg in args if isinstance(arg, arrays.ndarray)]
        dispatch.on_current_device(given)
        launch.bind(args, _address)
        used = [array._memory for array in given]
        used += filter(None, (memory.find(a) for a in args if type(a) is int and a > 4096))

        whole = [ref(part) for part in used]  # work that is still to be done frees no memory late

        def run() -> None:
            launch.run()
            for part in filter(None, (look() for look in whole)):
                part.check_fences(self.name)

        streams.get_current_stream().issue(run, used)


def _address(argument: Any) -> tuple[int | None, Any]:
    if isinstance(argument, arrays.ndarray):
        return argument.data.ptr, argument.dtype
    if isinstance(argument, memory.MemoryPointer):
        return argument.ptr, "uint8"
    return None, None


class RawModule:
    """CUDA source, compiled for the host."""

    def __init__(
        self,
        code: str,
        *,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        name_expressions: Any = None,
    ) -> None:
        if not isinstance(options, tuple):
            raise TypeError(f"Argument 'options' has incorrect type: {type(options)}")
        self.code, self.options, self.backend = code, options, backend

    def compile(self, log_stream: Any = None) -> None:
        kernels.build(self.code, self.options)

    def get_function(self, name: str) -> RawKernel:
        _, found = kernels.build(self.code, self.options)
        if name not in found:
            raise streams.CUDARuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol {name!r} not found")
        return RawKernel(self, name)


@contextmanager
def allow_synchronize(allow: bool) -> Iterator[None]:
    """Allow or refuse waiting for the device inside."""
    warnings.warn("cupyx.allow_synchronize will be removed in future releases.", stacklevel=3)
    before, streams.state.synchronous = streams.state.synchronous, allow
    try:
        yield
    finally:
        streams.state.synchronous = before


def _device_properties(device: int) -> dict[str, Any]:
    return {
        "name": b"stand-in on the CPU",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 132,
        "totalGlobalMem": streams.BYTES,
        "warpSize": 32,
        "sharedMemPerBlock": 49152,
        "maxThreadsPerBlock": 1024,
    }


def _runtime() -> dict[str, Any]:
    return {
        "CUDARuntimeError": streams.CUDARuntimeError,
        "getDeviceCount": lambda: streams.COUNT,
        "getDevice": lambda: streams.state.device,
        "setDevice": lambda device: streams.Device(device).use(),
        "getDeviceProperties": _device_properties,
        "driverGetVersion": lambda: 13000,
        "runtimeGetVersion": lambda: 13000,
        "deviceSynchronize": lambda: streams.current_device().synchronize(),
        "streamIsCapturing": lambda stream: streams.by_ptr(stream).is_capturing(),
        "memGetInfo": lambda: streams.current_device().mem_info,
        "is_hip": False,
        "streamCaptureModeGlobal": 0,
        "streamCaptureModeThreadLocal": 1,
        "streamCaptureModeRelaxed": 2,
    }


def _cuda() -> None:
    memories = {
        "MemoryPool": memory.MemoryPool,
        "MemoryPointer": memory.MemoryPointer,
        "OutOfMemoryError": memory.OutOfMemoryError,
        "alloc": memory.alloc,
        "get_allocator": memory.get_allocator,
        "set_allocator": memory.set_allocator,
        "using_allocator": memory.using_allocator,
    }
    flow = {
        "Stream": streams.Stream,
        "ExternalStream": streams.ExternalStream,
        "Event": streams.Event,
        "get_current_stream": streams.get_current_stream,
        "get_elapsed_time": streams.get_elapsed_time,
    }
    pinned = {
        "alloc_pinned_memory": memory.alloc_pinned_memory,
        "PinnedMemoryPointer": memory.PinnedMemoryPointer,
    }
    own = {name: thing for name, thing in memories.items() if name != "OutOfMemoryError"}
    own |= {"Device": streams.Device, "Graph": streams.Graph, "is_available": lambda: True}
    own |= {"get_device_id": lambda: streams.state.device}
    module("cupy.cuda", {**own, **flow, **pinned})
    module("cupy.cuda.device", {"Device": streams.Device})
    module("cupy.cuda.runtime", _runtime())
    module("cupy.cuda.memory", {k: v for k, v in memories.items() if k != "using_allocator"})
    module("cupy.cuda.stream", flow)
    module("cupy.cuda.graph", {"Graph": streams.Graph})
    module("cupy.cuda.pinned_memory", pinned)


def _cupy() -> None:
    plain = {name: getattr(np, name) for name in names.PLAIN}
    makers = "array asarray asnumpy empty empty_like full full_like ones ones_like zeros zeros_like"
    contents = {
        "__version__": VERSION,
        "ndarray": arrays.ndarray,
        "ufunc": np.ufunc,
        "RawModule": RawModule,
        "get_default_memory_pool": memory.get_default_memory_pool,
        "is_available": lambda: True,
        "astype": lambda x, dtype, *, copy=True: x.astype(dtype, copy=copy),
        "copy": lambda a, order="K": a.copy(),
        "ascontiguousarray": lambda a, dtype=None: _contiguous(a, dtype),
        "asanyarray": creation.asarray,
        "copyto": _copyto,
        "iterable": np.iterable,
        **plain,
        **functions(np, names.FUNCTIONS),
        **functions(np, names.METADATA, metadata),
        **functions(np, names.MADE, creation.made),
        **{name: getattr(creation, name) for name in makers.split()},
    }
    module("cupy", contents)
    linalg = functions(np.linalg, names.LINALG)
    shared = {name: contents[name] for name in ("cross", "matmul", "matrix_transpose")}
    module("cupy.linalg", {**linalg, **shared, "LinAlgError": np.linalg.LinAlgError})
    fft = functions(np.fft, names.FFT) | functions(np.fft, ["fftfreq", "rfftfreq"], creation.made)
    module("cupy.fft", fft)
    _cuda()


def _contiguous(a: Any, dtype: Any) -> Any:
    a = creation.asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    options = {} if where is None else {"where": where}
    dispatch.write(partial(np.copyto, casting=casting), dst, src, **options)


class _Special(ModuleType):
    """SciPy's special functions, imported when they are used."""

    def __getattr__(self, name: str) -> Any:
        if name not in names.SPECIAL:
            raise AttributeError(f"module 'cupyx.scipy.special' has no attribute {name!r}")
        import scipy.special

        return device_function(getattr(scipy.special, name))


def _cupyx() -> None:
    module(
        "cupyx",
        {
            "allow_synchronize": allow_synchronize,
            "DeviceSynchronized": streams.DeviceSynchronized,
            "empty_pinned": memory.empty_pinned,
            "zeros_pinned": memory.zeros_pinned,
        },
    )
    module("cupyx.scipy", {})
    special = _Special("cupyx.scipy.special")
    sys.modules[special.__name__] = sys.modules["cupyx.scipy"].special = special


def install(nvmath: bool = False) -> None:
    """Put the stand-in where `import cupy` finds it, in place of a CuPy without a GPU."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("cupy", "cupyx", "cupy_backends", "nvmath"):
            del sys.modules[name]
    _cupy()
    _cupyx()
    if nvmath:
        bindings.install(module)
