"""Build the C core: cffi's API mode, one abi3 module `nnpoly._core`. setup.py uses this.

Where no C compiler works the package is built without the core and NumPy does its work: one line on
stderr says so. Two environment variables decide otherwise:

NNPOLY_REQUIRE_C=1
    Fail instead of building without the core.
NNPOLY_NO_C=1
    Build without the core, even if a compiler is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import cffi
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.sysconfig import customize_compiler

MODULE = "nnpoly._core"
HERE = Path(__file__).resolve().parent

# No contraction: a fused multiply-add stands where the source says so, and nowhere else, so that
# the results are equal on every processor that has it. Neither errno nor traps are looked at.
COMPILE = [
    *("-std=gnu11", "-O3", "-g0", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"),
]
LINK = ["-pthread", "-lm"]

# What the core needs of a compiler: Python's headers, GNU C's vectors, POSIX threads.
PROBE = """
#include <Python.h>
#include <pthread.h>
typedef float vec __attribute__((vector_size(16)));
vec twice(vec x) { return x + x; }
"""


class NoCompiler(Exception):
    """There is no working C compiler; the text says which command failed, and how."""


def declarations(header: str) -> str:
    """Return the part of nnpoly.h that cffi reads: the text between the marks."""
    _, after = header.split("/* cffi: begin */")
    text, _ = after.split("/* cffi: end */")
    return text


def probe() -> None:
    """Compile a few lines as the core will be, or raise NoCompiler."""
    compiler = new_compiler()
    if compiler.compiler_type != "unix":
        raise NoCompiler("the C core needs gcc or clang, on Linux or macOS")
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(PROBE)
        include = f"-I{sysconfig.get_path('include')}"
        command = [*compiler.compiler_so, *COMPILE, include, "-c", str(source)]
        _run([*command, "-o", f"{folder}/probe.o"])
        _run([*compiler.linker_so, f"{folder}/probe.o", *LINK, "-o", f"{folder}/probe.so"])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NoCompiler(f"cannot run {command[0]!r}: {error.strerror}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if "error" in line] or lines
        raise NoCompiler(f"{command[0]!r} failed: {errors[0]}")


def wanted() -> bool:
    """Whether to build the core, by a probe and the two environment variables."""
    required = os.environ.get("NNPOLY_REQUIRE_C") == "1"
    if os.environ.get("NNPOLY_NO_C") == "1":
        if required:
            raise SystemExit("nnpoly: NNPOLY_NO_C=1 and NNPOLY_REQUIRE_C=1 contradict; unset one.")
        return False
    try:
        probe()
    except NoCompiler as reason:
        if required:
            raise SystemExit(
                f"nnpoly: NNPOLY_REQUIRE_C=1, but the C core cannot be built: {reason}. Install a "
                "C compiler and Python's headers, or point CC to one; without NNPOLY_REQUIRE_C the "
                "package is built without the core."
            ) from None
        print(
            f"nnpoly: building without the C core, NumPy does its work ({reason})", file=sys.stderr
        )
        return False
    return True


def files(pattern: str) -> list[str]:
    """Return the module's files of that kind, those of the C tests not among them.

    Paths are relative to the project's root.
    """
    found = (path for path in HERE.rglob(pattern) if HERE / "tests" not in path.parents)
    return sorted(str(path.relative_to(HERE.parent)) for path in found)


def builder() -> cffi.FFI:
    """Return the module as cffi builds it."""
    shared = map(str, Path("nnpoly", "exchange", "c").glob("*.h"))  # with what to_c writes
    ffi = cffi.FFI()
    ffi.cdef(declarations((HERE / "nnpoly.h").read_text()))
    ffi.set_source(
        MODULE,
        '#include "nnpoly.h"',
        sources=files("*.c"),
        depends=[*files("*.h"), *shared],
        include_dirs=[HERE.name],
        extra_compile_args=COMPILE,
        extra_link_args=LINK,
        py_limited_api=True,
    )
    return ffi
