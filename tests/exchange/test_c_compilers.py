"""One header for every compiler: C and C++, without warnings, with and without vectors and FMA."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from c_networks import LAYERS, SIGMAS, inputs
from c_programs import STRICT, Library, compile_c, needs_gcc
from conftest import built_core

import nnpoly as nn
from nnpoly.exchange import to_c
from nnpoly.layers import Layer

X86 = platform.machine() == "x86_64"
C99 = ["-std=c99", *STRICT]
CPP = ["-std=c++11", *STRICT]


def everything(dtype: str) -> nn.Network:
    """A network of all activations and layers, one after the other."""
    chain: list[Layer] = [
        nn.BatchNorm(5),
        nn.Periodic(5, 2),
        nn.Dense(11, 6),
        *LAYERS["residual"][1:2],
    ]
    chain += [nn.Dense(6, 6, sigma) for sigma in SIGMAS.values()]
    chain += [nn.LayerNorm(6), nn.Blend(6, "gelu"), nn.Dense(6, 5), *LAYERS["members"]]
    return nn.Network(chain, "softmax", dtype=dtype, backend="numpy")


@pytest.fixture(scope="module")
def headers(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("c")
    made = {dtype: folder / f"{dtype}.h" for dtype in ("float32", "float64")}
    for dtype, header in made.items():
        to_c(everything(dtype), header, f"of_{dtype}", check=False)
    return made


def zig() -> list[str]:
    """Clang for every target, where the package ziglang is installed."""
    if find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed")
    return [sys.executable, "-m", "ziglang"]


def clang() -> list[str]:
    return ["clang"] if shutil.which("clang") else [*zig(), "cc"]


@needs_gcc
def test_gcc_warns_of_nothing_and_has_no_function_left_to_link(headers):
    for header in headers.values():
        made = compile_c(header, *C99, "-O1", "-c")
        listed = subprocess.run(["nm", "-u", made], capture_output=True, text=True, check=True)
        names = {line.split()[-1] for line in listed.stdout.splitlines()}
        assert names <= {"memcpy", "memset", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}, names
    native = ["-march=native"] if X86 else []
    compile_c(headers["float32"], *C99, "-O2", "-c", *native)
    compile_c(headers["float32"], *CPP, "-O1", "-c", *native, command=["g++"], language="c++")


def test_clang_warns_of_nothing(headers):
    for header in headers.values():
        compile_c(header, *C99, "-O1", "-c", command=clang())
    compile_c(headers["float32"], *CPP, "-O1", "-c", command=clang(), language="c++")


def test_a_machine_without_an_operating_system(headers):
    """It has no libraries: neither headers but the compiler's own, nor functions to link with."""
    bare = ["-O1", "-c", "-ffreestanding"]
    for header in headers.values():
        if shutil.which("arm-none-eabi-gcc"):
            command = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"]
        else:
            command = [*zig(), "cc", "-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4"]
        made = compile_c(header, *C99, *bare, command=command)
        names = Path(made).read_bytes()
        assert not any(
            b"\0" + name in names for name in (b"exp", b"tanh", b"erf", b"malloc", b"sqrt")
        )


@needs_gcc
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("-ffast-math", "compile without -ffast-math"),
        ("-Ofast", "compile without -ffast-math"),
        ("-ffinite-math-only", "compile without -ffast-math"),
        pytest.param(
            "-mfpmath=387",
            "compile for a processor that rounds each operation",
            marks=pytest.mark.skipif(not X86, reason="an x87 is x86's"),
        ),
    ],
)
def test_other_arithmetic_is_refused(headers, flag, message):
    """It would take (x + c) - c for x, or round it later, which is how exp rounds."""
    command = ["gcc", "-E", flag, "-x", "c", str(headers["float32"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert message in done.stderr


SCALAR = ["-U__SSE2__"]  # the header knows no other vectors there
WAYS = {
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
    "avx2": ["-mavx2", "-mfma"],
    "baseline": [],
    "scalar": SCALAR,
    "scalar fma": [*SCALAR, "-mfma", "-D__FP_FAST_FMAF=1", "-D__FP_FAST_FMA=1"],
}


@needs_gcc
@pytest.mark.skipif(not X86, reason="these are the ISAs of x86-64")
@pytest.mark.usefixtures("restored_core")
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_compile_has_the_bits_of_the_core_s(headers, tmp_path, way):
    core = built_core()
    isa = {"scalar": "baseline", "scalar fma": "avx2"}.get(way, way)
    if isa not in core.isas():
        pytest.skip(f"this processor has no {isa}")
    assert core.lib.nnpoly_set_isa(isa.encode()) == core.lib.NNPOLY_OK
    library = Library(list(headers.values()), tmp_path, "-O1", *WAYS[way])
    for dtype in headers:
        net = everything(dtype)
        X = inputs(net)
        for compute in (library.rows, library.batch):
            # Without vectors and fma, a root may be the number beside the nearest one.
            ulps = 4 if way == "scalar" else 0
            limit = {"rtol": ulps * np.finfo(dtype).eps, "atol": 0}
            np.testing.assert_allclose(compute(f"of_{dtype}", X, net.outputs), net(X), **limit)


@needs_gcc
@pytest.mark.skipif(not X86, reason="-march=native has vectors there")
def test_constants_of_both_signs_are_rounded_as_they_stand(tmp_path):
    """GCC 12 has vfmaddsub for x s + b where it knows that b has both signs in turn."""
    core = built_core()
    if core.isas()[0] == "baseline":
        pytest.skip("this processor has no FMA")
    net = nn.Network(LAYERS["members"], "softmax", backend="numpy")
    for layer in net.layers[1:3]:
        layer.s[...] = np.linspace(0.3, 0.9, layer.s.size).reshape(layer.s.shape)
        layer.b[...] = 0.1 * (-1.0) ** np.arange(layer.b.size).reshape(layer.b.shape)
    to_c(net, tmp_path / "net.h", "net", check=False)
    library = Library([tmp_path / "net.h"], tmp_path, "-O3", "-march=native")
    X = inputs(net, 400)
    np.testing.assert_array_equal(library.rows("net", X, net.outputs), net(X))
