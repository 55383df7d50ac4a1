"""The tables of docs/benchmarks/precision.md from its evidence; table.py writes the page."""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import Any


def precision_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a data set a line, scores of both and their differences.

    Parameters
    ----------
    rows
        What precision.py wrote.
    """
    lines = ["| | rows x columns | float32 | bf16 | difference |", "| --- |" + " ---: |" * 4]
    for row in rows:
        scores = [row[name]["score"] for name in ("float32", "bf16")]
        cells = [mean_and_error(s) for s in (*scores, differences(row))]
        shape = " x ".join(f"{size:,}" for size in row["shape"])
        lines.append(f"| {row['set']} | {shape} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def precision_verdict(rows: list[dict[str, Any]]) -> str:
    """Return in words where the scores part.

    Parameters
    ----------
    rows
        What precision.py wrote.
    """
    apart = [
        f"{row['set']} ({fmean(differences(row)):+.4f}, where float32's standard error is "
        f"{standard_error(row['float32']['score']):.4f})"
        for row in parted(rows)
    ]
    on = (
        f"On {len(rows) - len(apart) or 'none'} of the {len(rows)} sets" if apart else "On all sets"
    )
    told = f"{on} the mean difference is within the standard error of float32's scores."
    return f"{told} It is not on {' and '.join(apart)}." if apart else told


def surrogate_told(row: dict[str, Any]) -> str:
    """Return in words how far a surrogate model is off.

    Parameters
    ----------
    row
        What precision.py wrote of it.
    """
    exact, rounded = row["float32"], row["bf16"]
    pairs = zip(exact["error"], rounded["error"], strict=True)
    times = mean_and_error([b / a for a, b in pairs], 2)
    errors = (exact["error"], rounded["error"], rounded["exact"])
    ours, theirs, mixed = (
        f"{100 * fmean(e):.3f} ± {100 * standard_error(e):.3f} %" for e in errors
    )
    return (
        "A surrogate of a smooth function without noise (3-64-64-1, gelu, "
        f"{row['shape'][0]:,} points, 100 epochs) is off by {ours} of the function's spread (root "
        f"mean square on new points) in float32, and by {theirs} in bf16: {times} times as much, "
        f"seed by seed. The one trained in bf16 is off by {mixed} where it predicts in float32."
    )


def parted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose mean difference is over the standard error of float32's scores.

    Parameters
    ----------
    rows
        What precision.py wrote.
    """
    return [
        row
        for row in rows
        if abs(fmean(differences(row))) > standard_error(row["float32"]["score"])
    ]


def differences(row: dict[str, Any]) -> list[float]:
    """Return how much more bf16 scored than float32, by seed."""
    exact, rounded = (row[name]["score"] for name in ("float32", "bf16"))
    return [b - a for a, b in zip(exact, rounded, strict=True)]


def standard_error(scores: list[float]) -> float:
    """Return the standard error of a mean."""
    return stdev(scores) / math.sqrt(len(scores))


def mean_and_error(scores: list[float], digits: int = 4) -> str:
    """Return a mean and its standard error."""
    return f"{fmean(scores):.{digits}f} ± {standard_error(scores):.{digits}f}"
