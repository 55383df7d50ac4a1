"""The tables of exchange.py's page."""

from __future__ import annotations

from statistics import median
from typing import Any


def errors(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a model a line, a consumer a column.

    Parameters
    ----------
    rows
        What exchange.py wrote of the models.
    """
    names = list(dict.fromkeys(name for row in rows for name in (*row["units"], *row["refused"])))
    lines = ["| | " + " | ".join(names) + " | bound |", "| --- |" + " ---: |" * (len(names) + 1)]
    for row in rows:
        units = row["units"]
        cells = [f"{units[name]:.1g}" if name in units else "refused" for name in names]
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {row['relative']:.0e} |")
    return "\n".join(lines)


def times(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a number of rows a line.

    Parameters
    ----------
    rows
        What exchange.py wrote of the calls.
    """
    lines = [
        "| rows | C, us | onnxruntime, us | onnxruntime / C |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        us = {name: median(samples) for name, samples in row["us"].items()}
        pairs = zip(row["us"]["onnxruntime"], row["us"]["C"], strict=True)
        ratio = median(theirs / ours for theirs, ours in pairs)
        cells = f"{us['C']:.3g} | {us['onnxruntime']:.3g} | {ratio:.1f}"
        lines.append(f"| {row['rows']:,} | {cells} |")
    return "\n".join(lines)
