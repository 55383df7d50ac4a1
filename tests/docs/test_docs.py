"""The pages' Python blocks run, their links lead somewhere, and every public name has its page."""

from __future__ import annotations

import importlib
import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.primitives import IMPLEMENTATIONS

DOCS = ROOT / "docs"
MADE = (DOCS / "auto", DOCS / "api" / "generated")  # by the build
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md"] + [
    page for page in sorted(DOCS.rglob("*.md")) if not any(page.is_relative_to(m) for m in MADE)
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
GALLERIES = {DOCS / "auto" / "lecture" / "index.rst", DOCS / "auto" / "examples" / "index.rst"}


@pytest.fixture(autouse=True)
def _restore_registry() -> Iterator[None]:
    before = dict(registry._FACTORIES)
    yield
    for name in registry._FACTORIES.keys() - before.keys():
        del registry._FACTORIES[name]
        registry._LOADED.pop(name, None)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_python_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for block in BLOCK.findall(page.read_text()):
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = {(page.parent / link).resolve() for link in LINK.findall(page.read_text())}
    assert [target for target in targets - GALLERIES if not target.exists()] == []


def test_benchmark_tables_come_from_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "tests" / "benchmarks" / "table.py"
    monkeypatch.syspath_prepend(path.parent)
    for page, content in runpy.run_path(str(path))["pages"]().items():
        assert page.read_text() == content


def _public() -> Iterator[tuple[str, object]]:
    for name in nn.__all__:
        value = getattr(nn, name)
        yield name, value
        for attribute, member in vars(value).items() if inspect.isclass(value) else ():
            if not attribute.startswith("_") and inspect.isfunction(member):
                yield f"{name}.{attribute}", getattr(value, attribute)


@pytest.mark.parametrize(
    ("name", "value"), list(_public()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_public_names_are_documented(name: str, value: object) -> None:
    assert inspect.getdoc(value)


def test_the_table_of_primitives_lists_what_backends_have() -> None:
    pytest.importorskip("sphinx")
    implemented = runpy.run_path(str(DOCS / "_ext" / "generated.py"))["implemented"]()
    for name in ("numpy", "torch", "jax", "cupy"):
        if registry.backends()[name]:
            own = {primitive for library, primitive in IMPLEMENTATIONS if library == name}
            assert own <= {primitive for primitive, library in implemented if library == name}


# The API reference: docs/api/*.rst

MODULES = (
    "activations",
    "backends",
    "callbacks",
    "checkpoint",
    "estimators",
    "initializers",
    "losses",
    "metrics",
    "optimizers",
    "plotting",
    "schedules",
    "tables",
    "tables.metrics",
    "testing",
    "theory",
)
INTERNAL = {
    "nnpoly.checkpoint.resume",  # of `Trainer.fit(resume=...)`
    "nnpoly.metrics.compute",  # of `Trainer.fit(metrics=...)`, as is `resolve`
    "nnpoly.metrics.resolve",
}


# How a directive goes on: a name a line.
ENTRIES = {"autosummary": r"   (\w+)", "data": r" {13}(\w+)"}


def _public_of(module: ModuleType) -> Iterator[str]:
    """Yield the public names of a module: its `__all__`, or what it defines but for constants."""
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None)
        own = home == module.__name__ and not name.startswith("_") and not name.isupper()
        if name in getattr(module, "__all__", [name] if own else []):
            yield f"{module.__name__}.{name}"


def _documented() -> Iterator[str]:
    """Yield every name that a page of the reference documents."""
    for page in (DOCS / "api").glob("*.rst"):
        module = listing = ""
        for line in page.read_text().splitlines():
            directive = re.match(r"\.\. (?:\w+:)?(\w+):: ?(.*)", line)
            if directive:
                listing, argument = directive.groups()
                if listing in ("automodule", "currentmodule"):
                    module = argument
                if listing == "automodule":
                    yield module
                if listing == "data":
                    yield f"{module}.{argument}"
            elif line and not line.startswith(" "):
                listing = ""
            elif entry := re.fullmatch(ENTRIES.get(listing, "(?!)"), line):
                yield f"{module}.{entry[1]}"


def _value(name: str) -> object:
    """Return what a full name means; an attribute of a package comes before a module in it."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute, None) if module else None
    return importlib.import_module(name) if found is None else found


def test_every_public_name_has_a_page() -> None:
    documented = list(_documented())
    assert len(set(documented)) == len(documented)
    values = [_value(name) for name in documented]
    public = {f"nnpoly.{name}" for name in nn.__all__} - {"nnpoly.backends"}
    for module in MODULES:
        public |= set(_public_of(importlib.import_module(f"nnpoly.{module}")))
    missing = public - set(documented) - INTERNAL
    assert [name for name in missing if not any(_value(name) is value for value in values)] == []
    assert "nnpoly.backends.registry.backends" in documented  # what calling the package does


def test_the_reference_knows_what_it_must() -> None:
    """`_documented` reads every form: autosummary, automodule and data in several lines."""
    known = {"nnpoly.MLP", "nnpoly.losses", "nnpoly.theory.GATES", "nnpoly.activations.gelu_tanh"}
    assert known < set(_documented())


def test_two_set_up_commands_on_the_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:16]
    commands = [line for line in first_screen if line.startswith("python3 -m venv ")]
    assert ["train digits" in command for command in commands] == [True, False]
    assert commands[1].endswith("-m pytest")
