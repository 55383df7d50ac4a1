"""Every name of CuPy's and nvmath's that the backend uses, or the stand-in has, exists in them.

NNPOLY_CUPY_PYTHON may name the Python of another environment that has them (it must, then); no GPU
is needed.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import STANDIN
from paths import ROOT

BACKENDS = ROOT / "nnpoly" / "backends"
LIBRARIES = ("cupy", "cupyx", "nvmath")
PYTHON = os.environ.get("NNPOLY_CUPY_PYTHON", sys.executable)
LOOK_UP = """
import importlib, json, sys

def exists(dotted):
    parts = dotted.split(".")
    found = importlib.import_module(parts[0])
    for at, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:at]))
            except ImportError:
                return False
        found = getattr(found, part)
    return True

print(json.dumps([name for name in json.load(sys.stdin) if not exists(name)]))
"""
# Of the stand-in's own making, behind names that CuPy keeps for itself.
OWN = {"cupy.cuda.Stream.eager", "cupy.cuda.Stream.issue", "cupy.cuda.Stream.enqueue"}
OWN |= {"cupy.cuda.Stream.drain", "cupy.cuda.Event.stream", "cupy.cuda.Event.position"}
OWN |= {"cupy.cuda.MemoryPool.take", "cupy.cuda.MemoryPool.give"}


def missing(names: set[str]) -> list[str]:
    """Return the names that the installed libraries lack; skip where there are none."""
    installed = subprocess.run(
        [PYTHON, "-c", "import cupy, cupyx, nvmath"], capture_output=True, text=True, check=False
    )
    if installed.returncode and "NNPOLY_CUPY_PYTHON" not in os.environ:
        pytest.skip(f"CuPy and nvmath are not installed: {installed.stderr.splitlines()[-1]}")
    answer = subprocess.run(
        [PYTHON, "-c", LOOK_UP], input=json.dumps(sorted(names)), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return json.loads(answer.stdout)


def aliases(tree: ast.AST) -> dict[str, str]:
    """Return the full name of each name that a module imports from the libraries looked at."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.partition(".")[0]
                found[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                found[name.asname or name.name] = f"{node.module}.{name.name}"
    return {name: of for name, of in found.items() if of.partition(".")[0] in LIBRARIES}


def chain(node: ast.AST) -> list[str]:
    """Return the names of an attribute chain, or [] where it does not start with a name."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := chain(node.value)):
        return [*before, node.attr]
    return []


def used(source: str) -> set[str]:
    """Return the dotted names of the libraries that a module's text uses."""
    tree = ast.parse(source)
    known = aliases(tree)
    chains = [parts for parts in map(chain, ast.walk(tree)) if parts and parts[0] in known]
    return set(known.values()) | {".".join([known[p[0]], *p[1:]]) for p in chains}


def sources() -> list[Path]:
    package = BACKENDS / "cupy"
    return sorted(package.glob("*.py")) if package.is_dir() else [BACKENDS / "cupy.py"]


def test_the_backend_uses_what_there_is():
    names = set().union(*(used(path.read_text()) for path in sources()))
    assert "cupy.cuda.is_available" in names
    assert missing(names) == []


def test_a_wrong_name_is_found():
    source = """
    import cupy as cp
    from nvmath.bindings import cublasLt as lt
    import cupyx.scipy.special
    cp.cuda.Stream.begin_captures
    def f(): return lt.Epilogue.RELU_BIAS, lt.Epilogue.BIAS_RELU
    cupyx.scipy.special.ndtr(cp.exp(1))
    """
    names = used("if True:" + source)
    wrong = ["cupy.cuda.Stream.begin_captures", "nvmath.bindings.cublasLt.Epilogue.BIAS_RELU"]
    assert names > {*wrong, "cupy.exp", "cupyx.scipy.special.ndtr"}
    assert missing(names) == wrong


def offered() -> Iterator[str]:
    """Yield what the stand-in's modules and their classes offer."""
    classes = [f"cuda.{kind}" for kind in ("Stream", "Event", "Graph", "MemoryPool", "Device")]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in LIBRARIES:
            yield from (f"{name}.{own}" for own in vars(module) if not own.startswith("_"))
    for name in [*classes, "ndarray"]:
        kind = sys.modules["cupy"]
        for part in name.split("."):
            kind = getattr(kind, part)
        yield from (f"cupy.{name}.{own}" for own in vars(kind) if not own.startswith("_"))


@pytest.mark.skipif(not STANDIN, reason="the stand-in for CuPy is not in use here")
def test_the_stand_in_offers_what_there_is():
    names = set(offered()) - OWN
    assert len(names) > 300
    assert missing(names) == []


@pytest.mark.skipif(not STANDIN, reason="the stand-in for CuPy is not in use here")
def test_enumerations_have_the_libraries_numbers():
    from standin import cublaslt_names as names

    enums = "Epilogue MatmulDescAttribute MatmulPreferenceAttribute MatrixLayoutAttribute Order"
    paths = [f"nvmath.bindings.cublasLt.{enum}" for enum in f"{enums} PointerMode".split()]
    paths += ["nvmath.bindings.cublas.ComputeType", "nvmath.bindings.cublas.Operation"]
    paths += ["nvmath.CudaDataType"]
    missing(set())  # skips
    code = "import importlib, json, sys\nanswer = {}\n" + "".join(
        f"answer[{p!r}] = {{m.name: int(m) for m in "
        f"importlib.import_module({p.rpartition('.')[0]!r}).{p.rpartition('.')[2]}}}\n"
        for p in paths
    )
    run = [PYTHON, "-c", code + "print(json.dumps(answer))"]
    real = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    for path in paths:
        own = {m.name: int(m) for m in getattr(names, path.rpartition(".")[2])}
        assert own.items() <= real[path].items()
