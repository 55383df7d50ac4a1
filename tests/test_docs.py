"""The pages' Python blocks run, their links lead somewhere, and every public name is documented."""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

import nnpoly as nn
from nnpoly.backends import registry

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)\)")


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
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_benchmark_tables_come_from_the_evidence() -> None:
    path = ROOT / "tests" / "benchmarks" / "table.py"
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


def test_two_set_up_commands_on_the_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:16]
    commands = [line for line in first_screen if line.startswith("python3 -m venv ")]
    assert ["train digits" in command for command in commands] == [True, False]
    assert commands[1].endswith("-m pytest")
