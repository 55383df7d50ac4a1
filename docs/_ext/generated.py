"""Directives whose content is made at build time: the table of primitives, the galleries' lists."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

LIBRARIES = ("numpy", "torch", "jax", "cupy")


def primitives() -> list[tuple[str, str, str, list[str]]]:
    """Return a row a primitive: its name, arguments, summary, and the backends with code for it."""
    from nnpoly.primitives import TABLE

    fast = implemented()
    rows = []
    for name, row in TABLE.items():
        arguments = [a for a in inspect.signature(row.definition).parameters if a != "ops"]
        summary = (inspect.getdoc(row.definition) or "").partition("\n\n")[0].replace("\n", " ")
        summary = summary.replace("`", "")
        having = [library for library in LIBRARIES if (name, library) in fast]
        rows.append((name, ", ".join(arguments), summary, having))
    return rows


def implemented() -> set[tuple[str, str]]:
    """Return the pairs of primitive and backend that `implements` is called with.

    They are read from the source: CuPy's module cannot be imported without a GPU.
    """
    import nnpoly

    sources = Path(nnpoly.__file__).parent.joinpath("backends").rglob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources]
    tables = {table: names for tree in trees for table, names in _tables(tree)}
    return {pair for tree in trees for pair in _registered(tree, tables)}


def _tables(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Yield a module's tuples of texts, and the keys of its dictionaries, by name."""
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        entries: list[Any] = getattr(node.value, "keys", getattr(node.value, "elts", []))
        if entries and all(isinstance(getattr(entry, "value", None), str) for entry in entries):
            yield node.targets[0].id, [entry.value for entry in entries]


def _registered(tree: ast.Module, tables: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Yield what a module registers, by name or in a loop over a table of names."""
    loops = {}
    for node in tree.body:
        if isinstance(node, ast.For):
            over = node.iter.func.value if isinstance(node.iter, ast.Call) else node.iter  # type: ignore[attr-defined]
            name = node.target.elts[0] if isinstance(node.target, ast.Tuple) else node.target
            loops[getattr(name, "id", "")] = tables.get(getattr(over, "id", ""), [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "implements":
            name, backend = node.args[0], node.args[1].value  # type: ignore[attr-defined]
            names = [name.value] if isinstance(name, ast.Constant) else loops[name.id]  # type: ignore[attr-defined]
            yield from ((each, backend) for each in names)


class PrimitivesTable(SphinxDirective):
    """The table of primitives, as the library has it."""

    def run(self) -> list[nodes.Node]:
        body: list[list[nodes.Node]] = [
            [nodes.literal(text=f"{name}({arguments})"), _text(summary), _text(", ".join(fast))]
            for name, arguments, summary, fast in primitives()
        ]
        heads = ["primitive", "what it computes", "faster code in"]
        return [_table(heads, body, (38, 46, 16))]


def _text(text: str) -> nodes.paragraph:
    return nodes.paragraph(text=text)


def _table(heads: list[str], body: list[list[nodes.Node]], widths: tuple[int, ...]) -> nodes.table:
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row([nodes.paragraph(text=head) for head in heads]))
    group += nodes.tbody("", *map(_row, body))
    return nodes.table("", group, classes=["primitives"])


def _row(cells: list[nodes.Node]) -> nodes.row:
    wrapped = [c if isinstance(c, nodes.paragraph) else nodes.paragraph("", "", c) for c in cells]
    return nodes.row("", *(nodes.entry("", cell) for cell in wrapped))


class GalleryList(SphinxDirective):
    """A folder's scripts in order: the thumbnail, title and first sentence of each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = (Path(self.env.srcdir) / self.arguments[0]).resolve()
        lines = [".. toctree::", "   :hidden:", ""]
        pages = sorted(folder.glob("*.py"))
        lines += [f"   {page.stem}" for page in pages]
        for page in pages:
            self.env.note_dependency(str(page))
            title, sentence = introduction(page)
            lines += [
                "",
                ".. container:: gallery-row",
                "",
                *self._thumbnail(page.stem),
                f"   :doc:`{title} <{page.stem}>`",
                "",
                f"   {sentence}",
            ]
        section = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(folder)), 0, section)
        return section.children

    def _thumbnail(self, stem: str) -> list[str]:
        """Return the small picture of a script's first figure, where it has one."""
        images = Path(self.env.doc2path(self.env.docname)).parent / "images"
        if not (images / f"sphx_glr_{stem}_001.png").exists():
            return []
        picture = f"   .. image:: images/thumb/sphx_glr_{stem}_thumb.png"
        return [picture, "      :alt:", f"      :target: {stem}.html", ""]


def introduction(page: Path) -> tuple[str, str]:
    """Return the title and the first sentence of a script's docstring."""
    text = ast.get_docstring(ast.parse(page.read_text(encoding="utf-8"))) or ""
    paragraphs = [" ".join(part.split("\n")) for part in text.split("\n\n")]
    title = text.partition("\n")[0].strip("=").strip() or text.split("\n")[1]
    rest = paragraphs[1] if len(paragraphs) > 1 else ""
    return title, rest.partition(". ")[0].rstrip(".:") + "."


def setup(app: Any) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("primitives-table", PrimitivesTable)
    app.add_directive("gallery-list", GalleryList)
    return {"parallel_read_safe": True}
