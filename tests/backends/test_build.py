"""Building the C core: its sources, the compiler's flags, and the messages where there is none."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT

CEXT = ROOT / "cext"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    pytest.importorskip("setuptools")
    spec = importlib.util.spec_from_file_location("nnpoly_build", CEXT / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def header() -> str:
    return (CEXT / "nnpoly.h").read_text()


def test_declarations_are_the_marked_block(build):
    text = build.declarations(header())
    assert "int nnpoly_dense(" in text
    assert "#include" not in text
    with pytest.raises(ValueError, match="unpack"):
        build.declarations("no marks")


def test_module_has_every_function_of_the_header(build):
    core = pytest.importorskip("nnpoly._core")
    names = set(re.findall(r"\b(nnpoly_\w+)\(", build.declarations(header())))
    assert len(names) > 15
    assert names <= set(dir(core.lib))


def test_sources_are_the_core_without_its_tests(build):
    sources = build.files("*.c")
    isas = {f"cext/kernels/isa/{name}.c" for name in ("avx512_f32", "baseline_f64", "neon_f64")}
    assert {"cext/api.c", "cext/train.c", *isas} <= set(sources)
    assert not [path for path in sources if "tests" in path]
    assert sources == sorted(sources)
    headers = {str(path.relative_to(ROOT)) for path in CEXT.glob("**/*.h")}
    tests = {"cext/tests/guarded.h", "cext/tests/typed.h"}
    assert set(build.files("*.h")) == headers - tests


def test_every_function_is_exported_under_the_librarys_name(build):
    """What is visible is Python's own entry, and the threads for tools that limit them."""
    core = pytest.importorskip("nnpoly._core")
    try:
        listed = subprocess.run(
            ["nm", "-D", "--defined-only", core.__file__],
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("no nm")
    names = [line.split()[-1] for line in listed.stdout.splitlines()]
    entries = ("PyInit_", "_cffi_pypyinit", "_init", "_fini")
    others = {name for name in names if not name.startswith(entries)}
    assert others == {"nnpoly_num_threads", "nnpoly_set_num_threads"}


def test_a_missing_compiler_is_named(build, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(build.NoCompiler, match="cannot run 'no-such-compiler'"):
        build.probe()


def test_a_broken_compiler_is_named(build, monkeypatch, capsys):
    monkeypatch.setenv("CC", "false")
    monkeypatch.delenv("NNPOLY_REQUIRE_C", raising=False)
    assert not build.wanted()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("nnpoly: building without the C core, NumPy does its work ('false' fail")


def test_a_required_core_is_an_error(build, monkeypatch):
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("NNPOLY_REQUIRE_C", "1")
    with pytest.raises(SystemExit, match="NNPOLY_REQUIRE_C=1, but the C core cannot be built"):
        build.wanted()


def test_the_core_can_be_declined(build, monkeypatch):
    monkeypatch.setenv("NNPOLY_NO_C", "1")
    monkeypatch.delenv("NNPOLY_REQUIRE_C", raising=False)
    assert not build.wanted()


def test_contradictory_wishes_are_an_error(build, monkeypatch):
    monkeypatch.setenv("NNPOLY_NO_C", "1")
    monkeypatch.setenv("NNPOLY_REQUIRE_C", "1")
    with pytest.raises(SystemExit, match="NNPOLY_NO_C=1 and NNPOLY_REQUIRE_C=1"):
        build.wanted()


@pytest.mark.skipif(
    os.name == "nt" or not any(Path(p, "cc").exists() for p in os.get_exec_path()),
    reason="no compiler called cc",
)
def test_a_working_compiler_is_found(build, monkeypatch):
    monkeypatch.setenv("CC", "cc")
    build.probe()
