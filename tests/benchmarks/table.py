"""Write the tables of README.md and docs/benchmarks/step.md from docs/benchmarks/step.json.

``python tests/benchmarks/step.py --json docs/benchmarks/step.json``, then
``python tests/benchmarks/table.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent.parent
EVIDENCE = ROOT / "docs" / "benchmarks" / "step.json"


def render(document: dict[str, Any], cell: Callable[[dict[str, Any]], str]) -> str:
    """Return a Markdown table: a network a line, a contestant a column.

    Parameters
    ----------
    document
        What step.py wrote.
    cell
        Makes one row of it into text.
    """
    rows = document["rows"]
    contestants = list(dict.fromkeys(row["contestant"] for row in rows))
    lines = [
        "| network | " + " | ".join(contestants) + " |",
        "| --- |" + " ---: |" * len(contestants),
    ]
    for network in dict.fromkeys(row["network"] for row in rows):
        cells = [cell(row) for row in rows if row["network"] == network]
        lines.append(f"| {network.replace(':', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratio(row: dict[str, Any]) -> str:
    """Return the median over hand-written NumPy's."""
    return f"{row['ratio']:.2f}" if row["ratio"] else "-"


def times(row: dict[str, Any]) -> str:
    """Return minimum and median microseconds."""
    return f"{min(row['us']):,.0f} / {median(row['us']):,.0f}" if row["us"] else row["fault"]


def inserted(text: str, marker: str, table: str) -> str:
    """Return the text with the table between the marker's lines."""
    pattern = rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{table}\n{m[2]}", text, count=1, flags=re.DOTALL)


def pages() -> dict[Path, str]:
    """Return the pages as the evidence makes them."""
    document = json.loads(EVIDENCE.read_text())
    setting = "\n".join(f"- {name}: {value}" for name, value in document["setting"].items())
    readme, page = ROOT / "README.md", EVIDENCE.with_suffix(".md")
    text = inserted(page.read_text(), "setting", setting)
    text = inserted(text, "ratios", render(document, ratio))
    return {
        readme: inserted(readme.read_text(), "ratios", render(document, ratio)),
        page: inserted(text, "times", render(document, times)),
    }


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
