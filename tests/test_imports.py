"""The walls of the house that import-linter's contracts cannot express; see pyproject.toml."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from paths import ROOT

PACKAGE = ROOT / "nnpoly"
NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}  # public, whatever their names
TOUCHES = 25  # of private names from outside, at most


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """Every module's syntax tree, by its path in the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in paths}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_no_module_imports_itself_by_a_detour() -> None:
    """Imports in functions and for type checkers count like all others."""
    graph = grimp.build_graph("nnpoly", cache_dir=None, exclude_type_checking_imports=False)
    above = {module: graph.find_upstream_modules(module) for module in graph.modules}
    circles = {
        tuple(sorted({module, *(other for other in found if module in above[other])}))
        for module, found in above.items()
    }
    assert sorted(circle for circle in circles if len(circle) > 1) == []


def private_attributes(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield `other._name`, where other is neither the object nor the class itself."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not is_private(node.attr):
            continue
        of = node.value.func if isinstance(node.value, ast.Call) else node.value
        own = isinstance(of, ast.Name) and of.id in ("self", "cls", "super")
        if not own and node.attr not in NAMED_TUPLES:
            yield node


def private_imports(path: Path, tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield `from .other import _name`, where _name is no module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = (PACKAGE / path).parents[node.level - 1] / (node.module or "").replace(".", "/")
        for alias in node.names:
            if is_private(alias.name) and not (folder / f"{alias.name}.py").exists():
                yield node


def test_few_private_names_are_touched_from_outside(trees: dict[Path, ast.Module]) -> None:
    touches = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path, tree in trees.items()
        for node in (*private_attributes(tree), *private_imports(path, tree))
    ]
    assert len(touches) <= TOUCHES, "\n".join(touches)


def test_what_counts_as_a_touch() -> None:
    own = "self._a; cls._a; super()._a; a.__doc__; a._replace()"
    code = f"{own}; a._b; self.a._c; f()._d; self._e()._f"
    found = sorted(node.attr for node in private_attributes(ast.parse(code)))
    assert found == ["_b", "_c", "_d", "_f"]
    imports = ast.parse("from . import _checks\nfrom ._checks import _own\nfrom re import _cache")
    found = [ast.unparse(node) for node in private_imports(Path("losses.py"), imports)]
    assert found == ["from ._checks import _own"]


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports, by name or by a string that may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_only_the_numpy_backend_imports_the_c_core(trees: dict[Path, ast.Module]) -> None:
    importers = {
        path.parent
        for path, tree in trees.items()
        if any(name.split(".")[-1] == "_core" for name in imported(tree))
    }
    assert importers == {Path("backends/numpy")}


def test_the_ground_floor() -> None:
    modules = sorted(path.stem for path in PACKAGE.glob("*.py"))
    assert len(modules) <= 12, modules
    assert len([name for name in modules if is_private(name)]) <= 2, modules
