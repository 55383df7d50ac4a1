"""The tables and the picture of docs/benchmarks/tables.md from its evidence; table.py writes them.

scores.json has the errors, which a busy machine does not change; seconds.json the seconds of fewer
sets, measured where nothing else ran; ablation.json RealMLP's errors without its parts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from ablation import OF_CLASSES, OF_NUMBERS, rises
from ablation_cases import PARTS, WHOLE
from tables import OURS, THEIRS, above_best, errors, mean_ranks, wins

Rows = list[dict[str, Any]]


def evidence(folder: Path, name: str) -> dict[str, Any]:
    """Return one of the three files of evidence."""
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return document


def pieces(folder: Path) -> dict[str, str]:
    """Return what the page has between its markers, from the folder's evidence."""
    seconds = evidence(folder, "seconds")
    scores, parts = (evidence(folder, name)["rows"] for name in ("scores", "ablation"))
    return {
        "setting": "\n".join(f"- {name}: {value}" for name, value in seconds["setting"].items()),
        "ranks": rank_table(scores),
        "pair": pair_told(scores),
        "errors": error_table(scores),
        "seconds": seconds_table(seconds["rows"]),
        "ablation": ablation_table(parts),
    }


def rank_table(rows: Rows) -> str:
    """Return a Markdown table: a contestant a line, the lowest mean rank first.

    Parameters
    ----------
    rows
        Those of scores.json.
    """
    found = errors(rows)
    ranks, above = mean_ranks(found), above_best(found)
    lines = [
        f"| {len(found)} sets | mean rank | error above the best | {OURS} has the smaller error |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name in sorted(ranks, key=ranks.get):
        share, low, high = wins(found, OURS, name)
        won = "" if name == OURS else f"{share:.0%} ({low:.0%} to {high:.0%})"
        lines.append(f"| {name} | {ranks[name]:.2f} | {above[name]:.1%} | {won} |")
    return "\n".join(lines)


def pair_told(rows: Rows) -> str:
    """Return in words how RealMLP's errors compare with those of the reference.

    Parameters
    ----------
    rows
        Those of scores.json.
    """
    found = errors(row for row in rows if row["contestant"] in (OURS, THEIRS))
    share, low, high = wins(found, OURS, THEIRS)
    ratios = [of[OURS] / of[THEIRS] for of in found.values() if of[THEIRS]]
    mean, error = fmean(ratios), stdev(ratios) / math.sqrt(len(ratios))
    geometric = math.exp(fmean(map(math.log, ratios)))
    return (
        f"On {share:.0%} ({low:.0%} to {high:.0%}) of {len(found)} sets {OURS} has the smaller "
        f"error than {THEIRS}, equal ones counted half. Its errors are {mean:.3f} ± {error:.3f} "
        f"times as large in the mean, and {geometric:.3f} in the geometric one."
    )


def error_table(rows: Rows) -> str:
    """Return a Markdown table: a set a line, the mean errors of the contestants.

    Parameters
    ----------
    rows
        Those of scores.json.
    """
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    shapes = {row["set"]: row["shape"] for row in rows if not row["fault"]}
    lines = [
        "| | rows x columns | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * (1 + len(names)),
    ]
    for name, of in errors(rows).items():
        n, m = shapes[name]
        told = [f"{of[contestant]:.4f}" for contestant in names]
        lines.append(f"| {name} | {n:,} x {m} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def seconds_table(rows: Rows) -> str:
    """Return a Markdown table: a contestant a line; seconds of fits, milliseconds, megabytes.

    Parameters
    ----------
    rows
        Those of seconds.json.
    """
    sets = list(dict.fromkeys(row["set"] for row in rows))
    names = dict.fromkeys(row["contestant"] for row in rows)
    found = {(row["contestant"], row["set"]): row for row in rows if not row["fault"]}
    lines = [
        "| | " + " | ".join(sets) + " | 1,000 rows | memory |",
        "| --- |" + " ---: |" * (len(sets) + 2),
    ]
    for name in names:
        of = [found[name, key] for key in sets if (name, key) in found]
        if not of:
            continue
        fits = [f"{median(row['fit']):.2f} s" for row in of]
        predict = median(1e3 * second for row in of for second in row["predict"])
        memory = max(median(row["megabytes"]) for row in of)
        cells = [*fits, f"{predict:.1f} ms", f"{memory:.0f} MB"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ablation_table(rows: Rows) -> str:
    """Return a Markdown table: a part a line, how much errors rise without it.

    Parameters
    ----------
    rows
        Those of ablation.json.
    """
    lines = ["| without | classes | numbers | worse on |", "| --- | ---: | ---: | ---: |"]
    for part in (part for part in PARTS if part != WHOLE):
        rise = rises(rows, part)
        cells = [mean_rise(rise, sets) for sets in (OF_CLASSES, OF_NUMBERS)]
        worse = sum(value > 0 for value in rise.values())
        lines.append(f"| {part} | {' | '.join(cells)} | {worse} of {len(rise)} |")
    return "\n".join(lines)


def mean_rise(rise: dict[str, float], sets: tuple[str, ...]) -> str:
    """Return the mean rise over sets with its standard error."""
    values = [100.0 * rise[name] for name in sets if name in rise]
    if len(values) < 2:
        return "-"
    return f"{fmean(values):+.1f} ± {stdev(values) / math.sqrt(len(values)):.1f} %"


def draw(folder: Path) -> None:
    """Draw how far errors are above the best against the seconds of a fit, beside the evidence.

    The seconds are the geometric mean over the sets of seconds.json.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    above = above_best(errors(evidence(folder, "scores")["rows"]))
    logs: dict[str, list[float]] = {}
    for row in evidence(folder, "seconds")["rows"]:
        if not row["fault"]:
            logs.setdefault(row["contestant"], []).append(math.log(median(row["fit"])))
    with mpl.rc_context({"svg.hashsalt": "nnpoly", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8.0, 4.8), layout="constrained")
        axes = figure.add_subplot(
            xscale="log",
            xlabel="seconds of a fit, two threads, geometric mean",
            ylabel="error above the best, mean",
        )
        axes.yaxis.set_major_formatter(lambda value, position: f"{value:.0%}")
        for name in sorted(above.keys() & logs.keys()):
            x, y = math.exp(fmean(logs[name])), above[name]
            axes.plot(x, y, "o", color="tab:blue" if name.startswith("nnpoly") else "tab:gray")
            axes.annotate(name, (x, y), (5, 4), textcoords="offset points", fontsize=9)
        axes.grid(alpha=0.3)
        axes.margins(x=0.22, y=0.12)
        figure.savefig(folder / "score-against-time.svg", metadata={"Date": None})
