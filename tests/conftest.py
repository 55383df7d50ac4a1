"""The backend variants that the tests run on.

JAX's 64-bit mode is on, so its default dtype is float64 and torch's is float32: a creation that
forgets its dtype shows in one of them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Many tests compile the same steps: what one of them has compiled, all of a run's processes find.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled = tempfile.mkdtemp(prefix="nnpoly-jax-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
for library in ("OMP", "OPENBLAS", "MKL"):  # the tests' processes share the cores already
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ.setdefault("NNPOLY_NUM_THREADS", "2")  # but the C core's threads are tested

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SUPPORT = Path(__file__).parent / "support"
sys.path[:0] = [str(SUPPORT), str(SUPPORT / "cuda")]
sys.modules["conftest"] = sys.modules[__name__]  # tests import from here, whatever their folder

import standin

# The benchmarks are scripts: pytest, which looks for doctests everywhere, must not import them.
collect_ignore_glob = [
    "benchmarks/[!t]*.py",
    "benchmarks/t[!e]*.py",
    "*/golden/make_*.py",  # they need the packages that made the numbers
]

STANDIN = standin.install_without_a_gpu()  # before anything imports CuPy

import plain  # noqa: F401  registers the backend "plain"
import strict  # noqa: F401  registers the backend "strict"

from nnpoly.backends import Backend, get, registry


@dataclass(frozen=True)
class Variant:
    """A backend, a device, and how its arrays come in."""

    id: str
    backend_name: str
    device: str | int | None = None
    readonly: bool = False
    jit: bool = False

    @property
    def backend(self) -> Backend:
        return get(self.backend_name)

    @property
    def place(self) -> dict[str, Any]:
        """The arguments that put a network here."""
        return {"backend": self.backend_name, "device": self.device}

    def array(self, values: Any, dtype: str | None = None) -> Any:
        """Return values as this variant's array, non-contiguous where the library has strides."""
        host = np.array(values, dtype=dtype)
        if self.readonly:
            wide = np.zeros((*host.shape, 2), host.dtype)
            wide[..., 0] = host
            host = wide[..., 0]
            host.flags.writeable = False
        return self.backend.from_host(host, self.backend.device(self.device))

    def scope(self) -> Any:
        """The context in which the backend computes here, as a network's steps do."""
        return self.backend.scope(self.backend.device(self.device))

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a pure function of arrays, compiled where the variant says so."""
        if not self.jit:
            with self.scope():
                return function(*args)
        return self.backend.compile(lambda ops, *arrays: function(*arrays))(*args)

    def host(self, array: Any) -> np.ndarray:
        return registry.to_host(array)


VARIANTS = [
    Variant("numpy", "numpy"),
    Variant("numpy-readonly-strided", "numpy", readonly=True),
    Variant("plain", "plain"),
    Variant("strict", "strict"),
    Variant("strict-device1", "strict", "device1"),
    Variant("strict-device2", "strict", "device2"),
    Variant("torch", "torch"),
    Variant("jax", "jax"),
    Variant("jax-jit", "jax", jit=True),
    *(
        [Variant("cupy-on-cpu", "cupy"), Variant("cupy-on-cpu-device1", "cupy", 1)]
        if STANDIN
        else [Variant("cupy", "cupy")]
    ),
]


def built_core() -> Any:
    """Return the C core's module; skip the tests where it is not in use, unless it must be."""
    if os.environ.get("NNPOLY_ISA") == "none":
        pytest.skip("NNPOLY_ISA is none", allow_module_level=True)
    if os.environ.get("NNPOLY_REQUIRE_C") != "1":
        pytest.importorskip("nnpoly._core", reason="the C core was not built")
    get("numpy")
    from nnpoly.backends.numpy import core

    return core


@pytest.fixture
def restored_core() -> Iterator[None]:
    """The C core, whose ISA, pairs and threads are the same after the test as before it."""
    lib = built_core().lib
    isa, pairs, threads = lib.nnpoly_isa(), lib.nnpoly_pairs(), lib.nnpoly_num_threads()
    yield
    lib.nnpoly_set_isa(isa)
    lib.nnpoly_set_pairs(pairs)
    lib.nnpoly_set_num_threads(threads)


GPU = [] if STANDIN else [pytest.mark.gpu]  # marks of modules that need CuPy


def cupy_or_skip() -> Any:
    """Return CuPy, or what stands in for it; skip a module's tests where there is neither."""
    state = registry.backends()["cupy"]
    if not state:
        pytest.skip(state.reason, allow_module_level=True)
    return importlib.import_module("cupy")


def _marked(variant: Variant) -> Any:
    marks = []
    if variant.backend_name == "cupy" and not STANDIN:
        available = registry.backends()["cupy"]
        marks = [pytest.mark.gpu, pytest.mark.skipif(not available, reason=available.reason)]
    return pytest.param(variant, id=variant.id, marks=marks)


@pytest.fixture(params=[_marked(v) for v in VARIANTS])
def variant(request: pytest.FixtureRequest) -> Variant:
    """Every backend, device and kind of input array."""
    return request.param


# One variant a backend, and CuPy's stand-in on both of its devices.
WHOLE = ("numpy", "plain", "strict-device1", "torch", "jax", "cupy", "cupy-on-cpu")
WHOLE += ("cupy-on-cpu-device1",)


@pytest.fixture(params=[_marked(v) for v in VARIANTS if v.id in WHOLE])
def backend_variant(request: pytest.FixtureRequest) -> Variant:
    """One variant a backend, for tests of whole networks."""
    return request.param


@pytest.fixture
def placed(backend_variant: Variant) -> Iterator[Variant]:
    """One variant a backend in its own scope, for what a network calls in there."""
    with backend_variant.scope():
        yield backend_variant


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function of an object and its functions' names, whose calls then fail the test."""

    def work(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("work began before the arguments were checked")

    def forbidding(owner: Any, *names: str) -> None:
        for name in names:
            monkeypatch.setattr(owner, name, work)

    return forbidding


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20241109)
