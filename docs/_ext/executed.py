"""Run the Python blocks of Markdown pages, and show what they print and draw.

A page's blocks share a namespace and run in a process of their own, in an empty folder. An Axes or
Figure that is a block's last expression is shown, as sphinx-gallery does for scripts.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

FIGURES = "auto/pages"  # below docs/, where git ignores them


def figure_of(value: Any) -> Any:
    """Return the matplotlib figure that an expression's value is or stands on, or None."""
    if type(value).__module__.partition(".")[0] != "matplotlib" and not hasattr(value, "figure"):
        return None
    figure = getattr(value, "figure", value)
    return figure if hasattr(figure, "savefig") else None


def scrape_last_value(block: Any, block_vars: dict[str, Any], conf: dict[str, Any]) -> str:
    """Show the figure that a script's block ends in: sphinx-gallery knows pyplot's alone."""
    from matplotlib import pyplot
    from sphinx_gallery.scrapers import figure_rst

    body = ast.parse(block[1]).body
    if not body or not isinstance(body[-1], ast.Expr):  # its name for the value is an older one's
        return ""
    figure = figure_of(block_vars["example_globals"].get("___"))
    if figure is None or any(figure is pyplot.figure(n) for n in pyplot.get_fignums()):
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path)
    return str(figure_rst([path], conf["src_dir"]))


class RunBlocks(SphinxTransform):
    """Insert the output of every Python block of a Markdown page behind it."""

    default_priority = 200

    def apply(self, **options: Any) -> None:
        if not str(self.env.doc2path(self.env.docname)).endswith(".md"):
            return
        found = self.document.findall(nodes.literal_block)
        blocks = [block for block in found if block.get("language") == "python"]
        if blocks:
            for block, output in zip(blocks, self._outputs(blocks), strict=True):
                _insert(block, output)

    def _outputs(self, blocks: list[nodes.literal_block]) -> list[dict[str, Any]]:
        stem = self.env.docname.replace("/", "-")
        folder = Path(self.env.srcdir) / FIGURES
        folder.mkdir(parents=True, exist_ok=True)
        task = {"blocks": [b.astext() for b in blocks], "figures": str(folder / stem)}
        run = subprocess.run(
            [sys.executable, __file__], input=json.dumps(task), capture_output=True, text=True
        )
        if run.returncode:
            warn, where = logging.getLogger(__name__).warning, self.env.docname
            warn("a block failed:\n%s", run.stderr, location=where)
            return [{"text": "", "figure": None}] * len(blocks)
        outputs: list[dict[str, Any]] = json.loads(run.stdout)
        return outputs


def _insert(block: nodes.literal_block, output: dict[str, Any]) -> None:
    after: list[nodes.Node] = []
    if text := output["text"].rstrip():
        after.append(nodes.literal_block(text, text, language="none", classes=["output"]))
    if output["figure"]:
        after.append(nodes.image(uri=f"/{FIGURES}/{output['figure']}", alt="what the code draws"))
    place = block.parent.index(block) + 1
    block.parent[place:place] = after


# In the page's own process


def run(blocks: list[str], figures: str) -> list[dict[str, Any]]:
    """Execute blocks in one namespace; return what each printed, and the file that it drew."""
    namespace: dict[str, Any] = {"__name__": "page"}
    outputs = []
    for number, block in enumerate(blocks, 1):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            figure = figure_of(_last_value(block, namespace))
        path = None
        if figure is not None:
            path = Path(f"{figures}-{number}.png")
            figure.savefig(path)
        outputs.append({"text": printed.getvalue(), "figure": path and path.name})
    return outputs


def _last_value(block: str, namespace: dict[str, Any]) -> Any:
    """Execute a block; return the value of the expression that it ends in, or None."""
    tree = ast.parse(block)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "page", "exec"), namespace)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "page", "eval"), namespace)


def setup(app: Any) -> dict[str, bool]:
    """Register the transform."""
    app.add_transform(RunBlocks)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    task = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        result = run(**task)
        os.chdir("/")
    json.dump(result, sys.stdout)
