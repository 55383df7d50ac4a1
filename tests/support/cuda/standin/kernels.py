"""CUDA kernels compiled for the host, and launches that are strict about their arguments.

A wrong kind of argument is silent garbage on a device; here it is a TypeError that names the kernel
and the parameter.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SHIM = Path(__file__).parents[1] / "shim.h"
COMPILER = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-w", "-fvisibility=hidden"]
FLAGS += ["-fno-gnu-unique", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE"]
FAULTS = {
    1: "threads wait for each other forever (a barrier or shuffle that not all of them reach)",
    2: "no memory for stacks",
}
# Of the compiler of CUDA, without a meaning for the host's.
IGNORED = re.compile(r"-{1,2}(std=.*|use_fast_math|fmad=.*|lineinfo|ftz=.*|prec-.*|default-device)")
ORDERS = ("forward", "reversed", "shuffled")

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+'
    r"(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)"
)
_DTYPES = {
    "float": ("float32",),
    "double": ("float64",),
    "long long": ("int64",),
    "unsigned long long": ("uint64",),
    "int": ("int32",),
    "unsigned": ("uint32",),
    "unsigned int": ("uint32",),
    "unsigned char": ("uint8", "bool"),
    "bool": ("bool",),
}
_SCALARS = {"long long": ctypes.c_longlong, "double": ctypes.c_double, "bool": ctypes.c_bool}
_lock = threading.Lock()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: its name, and the type it has or points to."""

    name: str
    type: str
    pointer: bool

    @classmethod
    def parse(cls, text: str) -> Parameter:
        words = re.sub(r"\b(const|volatile|__restrict__|__restrict)\b", " ", text)
        *kind, name = words.replace("*", " * ").split()
        return cls(name, " ".join(kind).removesuffix(" *"), kind[-1] == "*")

    @property
    def declaration(self) -> str:
        return f"{self.type} *" if self.pointer else self.type


@dataclass(frozen=True)
class Signature:
    """A kernel's name and parameters."""

    name: str
    parameters: tuple[Parameter, ...]

    @property
    def trampoline(self) -> str:
        """C++ that calls the kernel with values found at addresses."""
        kinds = enumerate(p.declaration for p in self.parameters)
        values = ", ".join(f"*reinterpret_cast<{kind} *>(at[{i}])" for i, kind in kinds)
        return (
            f"static void standin_body_{self.name}(void **at) {{ {self.name}({values}); }}\n"
            'extern "C" __attribute__((visibility("default")))\n'
            f"int standin_{self.name}(const long long *geometry, void **at) {{\n"
            f"  return shim::run(standin_body_{self.name}, geometry, at);\n}}\n"
        )


def signatures(source: str, defines: Sequence[str]) -> dict[str, Signature]:
    """Return the kernels of a CUDA source, read after its macros and comments are gone."""
    command = [COMPILER, "-E", "-P", "-x", "c++", *defines, "-"]
    text = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    if text.returncode:
        raise CompileError(text.stderr)
    found, aliases = {}, dict(re.findall(r"using (\w+) = (\w+);", text.stdout))
    for name, parameters in _KERNEL.findall(text.stdout):
        for alias, kind in aliases.items():
            parameters = re.sub(rf"\b{alias}\b", kind, parameters)
        parts = [part for part in parameters.split(",") if part.strip()]
        found[name] = Signature(name, tuple(map(Parameter.parse, parts)))
    return found


class CompileError(Exception):
    """The compiler's errors."""


def host_options(options: Sequence[str]) -> list[str]:
    """Return the macros among CUDA's compiler options; refuse what is not known."""
    defines = []
    for option in options:
        if option.startswith("-D"):
            defines.append(option)
        elif not IGNORED.fullmatch(option):
            raise CompileError(f"the stand-in does not know the option {option!r}")
    return defines


@cache
def compiler_version() -> str:
    """Return the compiler's version; raises OSError where there is none."""
    command = [COMPILER, "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def build(source: str, options: tuple[str, ...]) -> tuple[ctypes.CDLL, dict[str, Signature]]:
    """Return the compiled library of a CUDA source, and its kernels."""
    defines = host_options(options)
    kernels = signatures(source, defines)
    text = f'#line 1 "kernels.cu"\n{source}\n' + "".join(k.trampoline for k in kernels.values())
    parts = [SHIM.read_text(), text, *FLAGS, *defines, compiler_version()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"nnpoly-cuda-on-cpu-{os.getuid()}"
    library = folder / f"{key}.so"
    if not library.exists():
        _compile(text, defines, library)
    return ctypes.CDLL(str(library)), kernels


def _compile(text: str, defines: list[str], library: Path) -> None:
    library.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source, made = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        source.write_text(text)
        command = [COMPILER, *FLAGS, *defines, "-include", str(SHIM), "-shared"]
        done = subprocess.run(
            [*command, "-o", str(made), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CompileError(done.stderr)
        made.replace(library)  # atomic: two processes may build the same


def order() -> int:
    """Return the order of threads and blocks that NNPOLY_STANDIN_ORDER names, as the shim's."""
    name = os.environ.get("NNPOLY_STANDIN_ORDER") or ORDERS[0]
    if name not in ORDERS:
        raise ValueError(f"NNPOLY_STANDIN_ORDER must be one of {ORDERS}, got {name!r}.")
    return ORDERS.index(name)


def geometry(kernel: str, grid: Any, block: Any) -> tuple[int, ...]:
    """Return grid and block as six numbers that a device would take."""
    for name, sizes, most in (
        ("grid", grid, (2**31 - 1, 65535, 65535)),
        ("block", block, (1024, 1024, 64)),
    ):
        sizes = tuple(sizes)
        whole = all(isinstance(n, int | np.integer) for n in sizes)
        if not (whole and 1 <= len(sizes) <= 3 and all(map(_within, sizes, most))):
            raise ValueError(f"{kernel}: {name} {sizes} is not one that a device takes")
    grid, block = ((*map(int, s), *(1,) * (3 - len(s))) for s in (grid, block))
    if math.prod(block) > 1024:
        raise ValueError(f"{kernel}: block {block} has more than 1024 threads")
    return (*grid, *block)


def _within(size: int, most: int) -> bool:
    return 1 <= size <= most


def value(kernel: str, parameter: Parameter, given: Any, address: Any) -> Any:
    """Return the C value of an argument; `address(array)` is a device array's, or None."""
    at, dtype = address(given)
    if parameter.pointer:
        if at is not None and parameter.type != "void":
            if str(dtype) not in _DTYPES.get(parameter.type, (str(dtype),)):  # of a struct: any
                raise _wrong(kernel, parameter, f"an array of {dtype}")
        elif at is None and (isinstance(given, bool) or not isinstance(given, int)):
            raise _wrong(kernel, parameter, repr(given))
        return ctypes.c_void_p(given if at is None else at)
    fits = {
        "long long": isinstance(given, int | np.int64) and not isinstance(given, bool),
        "double": isinstance(given, float),
        "bool": isinstance(given, bool | np.bool_),
    }
    if not fits.get(parameter.type, False):
        raise _wrong(kernel, parameter, repr(given))
    return _SCALARS[parameter.type](given)


def _wrong(kernel: str, parameter: Parameter, given: str) -> TypeError:
    return TypeError(f"{kernel}: `{parameter.name}` is {parameter.declaration!r}, got {given}")


class Launch:
    """A kernel with its grid, block and arguments: `run` it as often as you like."""

    def __init__(
        self, source: str, options: tuple[str, ...], name: str, grid: Any, block: Any
    ) -> None:
        library, kernels = build(source, options)
        if name not in kernels:
            raise KeyError(f"no kernel {name!r}; there are {', '.join(kernels)}")
        self.signature = kernels[name]
        self._function = getattr(library, f"standin_{name}")
        self._geometry = geometry(name, grid, block)

    def bind(self, arguments: Sequence[Any], address: Any) -> None:
        """Check the arguments and keep them."""
        name, parameters = self.signature.name, self.signature.parameters
        if len(arguments) != len(parameters):
            raise TypeError(f"{name}: takes {len(parameters)} arguments, got {len(arguments)}")
        pairs = zip(parameters, arguments, strict=True)
        self._values = [value(name, parameter, given, address) for parameter, given in pairs]

    def run(self) -> None:
        """Run all blocks."""
        numbers = (ctypes.c_longlong * 7)(*self._geometry, order())
        at = (ctypes.c_void_p * len(self._values))(*map(ctypes.addressof, self._values))
        with _lock:
            fault = self._function(numbers, at)
        if fault:
            raise RuntimeError(f"{self.signature.name}: {FAULTS[fault]}")
