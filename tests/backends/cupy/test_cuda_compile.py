"""The CUDA kernels compile for real devices: NVRTC needs no GPU.

Wants `pip install nnpoly[gpu-test]`; NNPOLY_REQUIRE_NVRTC=1 makes its absence a failure.
"""

from __future__ import annotations

import importlib
import os
import re
from io import StringIO
from types import ModuleType

import pytest
from paths import ROOT

KERNELS = ROOT / "nnpoly" / "backends" / "cupy" / "kernels.cu"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")  # A100, H100, B200
REGISTERS = 128  # a thread: of the 65,536 of a multiprocessor a block of 512 threads gets these
WANTED = "pip install nnpoly[gpu-test]"
SOURCE = KERNELS.read_text(encoding="utf-8")


def _compiler() -> ModuleType:
    """Return `cuda.core`; skip where it or NVRTC is not installed, unless they must be."""
    if os.environ.get("NNPOLY_REQUIRE_NVRTC") != "1":
        pathfinder = pytest.importorskip("cuda.pathfinder", reason=WANTED)
        try:
            pathfinder.load_nvidia_dynamic_lib("nvrtc")
        except pathfinder.DynamicLibNotFoundError:
            pytest.skip(WANTED, allow_module_level=True)
        pytest.importorskip("cuda.core", reason=WANTED, exc_type=ImportError)
    return importlib.import_module("cuda.core")


core = _compiler()


def _compile(source: str, real: str, architecture: str) -> tuple[bytes, str]:
    """Return the machine code, and what NVRTC and ptxas said of it."""
    options = core.ProgramOptions(
        arch=architecture,
        std="c++17",
        define_macro=("REAL", real),
        ptxas_options="-v",
        ftz=True,  # as CuPy asks, always
        device_as_default_execution_space=True,
    )
    log = StringIO()
    cubin = core.Program(source, "c++", options).compile("cubin", logs=log)
    return cubin.code, log.getvalue()


def _faults(source: str, real: str, architecture: str) -> list[str]:
    """Return the warnings, the kernels that spill or take many registers, and those missing."""
    code, log = _compile(source, real, architecture)
    found = [line for line in log.splitlines() if "warning" in line]
    for kernel, told in re.findall(r"entry function '(\w+)'(.*?Used \d+ registers)", log, re.S):
        spilled = sum(map(int, re.findall(r"(\d+) bytes spill", told)))
        registers = int(told.split()[-2])
        if spilled or registers > REGISTERS:
            found.append(f"{kernel}: {registers} registers, {spilled} bytes spilled")
    there = {name.decode() for name in re.findall(rb"\.text\.(\w+)\0", code)}
    return found + [f"{name}: not in the code" for name in _kernels(source) if name not in there]


def _kernels(source: str) -> list[str]:
    return re.findall(
        r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)', source
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("real", ["float", "double"])
def test_every_kernel_compiles_without_a_warning_or_a_spill(real: str, architecture: str) -> None:
    assert SOURCE.count("__global__") == len(_kernels(SOURCE)) > 0
    assert _faults(SOURCE, real, architecture) == []


# The checks above can fail


HALVE = 'extern "C" __global__ void halve(REAL *x) { x[threadIdx.x] /= 2; }'


def test_an_error_fails() -> None:
    """NVRTC has no <math.h>: INFINITY compiles with nvcc alone."""
    with pytest.raises(Exception, match='identifier "INFINITY" is undefined'):
        _compile(HALVE + "__device__ REAL planted() { return INFINITY; }", "float", "sm_90")


def test_a_warning_is_a_fault() -> None:
    planted = HALVE + "__device__ int planted() { int unused; return 0; }"
    assert any("never referenced" in fault for fault in _faults(planted, "float", "sm_90"))


def test_a_missing_kernel_is_a_fault() -> None:
    planted = '\n#if 0\nextern "C" __global__ void planted() {}\n#endif\n'
    assert _faults(HALVE + planted, "float", "sm_90") == ["planted: not in the code"]


HUNGRY = """
    extern "C" __global__ void %s hungry(volatile REAL *x) {
        REAL r[200];  // all read before the first is written back
        #pragma unroll
        for (int i = 0; i < 200; ++i) r[i] = x[i];
        #pragma unroll
        for (int i = 0; i < 200; ++i) x[i] = r[199 - i];
    }"""


@pytest.mark.parametrize(
    ("bounds", "fault"),
    [
        ("", r"hungry: 2\d\d registers, 0 bytes spilled"),
        ("__launch_bounds__(1024)", r"hungry: 64 registers, [1-9]\d* bytes spilled"),
    ],
    ids=["registers", "spill"],
)
def test_many_registers_and_spills_are_faults(bounds: str, fault: str) -> None:
    (found,) = _faults(HUNGRY % bounds, "float", "sm_90")
    assert re.fullmatch(fault, found)
