"""Write the tables of README.md and docs/benchmarks from the evidence beside them.

``python tests/benchmarks/step.py --json docs/benchmarks/step/PROCESSOR.json``,
``python tests/benchmarks/step.py --contestants nnpoly nnpoly-bf16 torch torch-bf16 --json
docs/benchmarks/bf16/PROCESSOR.json``,
``python tests/benchmarks/kernels.py --bf16 --threads 1 --json
docs/benchmarks/bf16/PROCESSOR-products-1.json``,
``python tests/benchmarks/kernels.py --threads 1 --json docs/benchmarks/kernels/PROCESSOR-1.json``,
the same with 2, ``python tests/benchmarks/parts.py --json docs/benchmarks/parts/PROCESSOR.json``,
``python tests/benchmarks/cores.py --json docs/benchmarks/cores/PROCESSOR.json``,
``python tests/benchmarks/predict.py --json docs/benchmarks/predict.json``,
``python tests/benchmarks/special.py --json docs/benchmarks/special.json``,
``python tests/benchmarks/estimators.py --json docs/benchmarks/estimators.json``,
``python tests/benchmarks/precision.py --json docs/benchmarks/precision.json``,
``python tests/benchmarks/ways.py --json docs/benchmarks/ways.json``, exchange.py likewise,
``python tests/benchmarks/tables.py --json docs/benchmarks/tables/scores.json`` and seconds.json,
``python tests/benchmarks/ablation.py --json docs/benchmarks/tables/ablation.json``, on a machine
with a GPU ``python tests/benchmarks/gpu.py --json docs/benchmarks/gpu.json``, then
``python tests/benchmarks/table.py``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import exchange_page
import tables_page
from precision_table import mean_and_error, precision_table, precision_verdict, surrogate_told

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "benchmarks"
OWN = ("nnpoly", "nnpoly-fit")  # the README compares these with all others
GPU_CLAIM = "784-512-512-10:relu:b128"  # the README's network; in float32


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


def kernel_table(document: dict[str, Any]) -> str:
    """Return a Markdown table: a kernel a line; the contestants' rates, and their times over ours.

    Parameters
    ----------
    document
        What kernels.py wrote.
    """
    rows = document["rows"]
    contestants = list(dict.fromkeys(row["contestant"] for row in rows))
    heads = [*contestants, *(f"x {name}" for name in contestants[1:])]
    lines = ["| kernel | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        own, *others = (row for row in rows if row["kernel"] == kernel)
        cells = [rate(row, document["peak"]) for row in (own, *others)]
        cells += [f"{median(row['us']) / median(own['us']):.2f}" for row in others]
        lines.append(f"| {kernel.replace(':', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rate(row: dict[str, Any], peak: float | None) -> str:
    """Return GFLOP/s with the share of the peak, nanoseconds an element, or a prediction's time.

    Parameters
    ----------
    row
        Of one contestant and kernel; its name is `name:n x m_in x m` or `name:elements:function`.
    peak
        The processor's, in GFLOP/s.
    """
    sizes = [int(size) for size in row["kernel"].split(":")[1].split("x")]
    us = median(row["us"])
    if row["kernel"].startswith("predict"):
        return f"{us:.1f} us"
    if len(sizes) == 1:
        return f"{1e3 * us / sizes[0]:.3f} ns"
    gflops = 2e-3 * math.prod(sizes) / us
    return f"{gflops:.0f}" + (f" ({100 * gflops / peak:.0f} %)" if peak else "")


def setting_of(document: dict[str, Any]) -> str:
    """Return what was measured where, a property a line."""
    return "\n".join(f"- {name}: {value}" for name, value in document["setting"].items())


def by_processor(page: Path) -> list[dict[str, Any]]:
    """Return a page's evidence: a document for each processor, and number of threads."""
    return [json.loads(path.read_text()) for path in sorted(page.with_suffix("").glob("*.json"))]


def heading(document: dict[str, Any]) -> str:
    """Return a document's heading: its processor and threads."""
    setting = document["setting"]
    return f"## {setting['cpu']}, {setting['threads']} used"


def step_page() -> tuple[Path, str]:
    """Return the steps' page as the evidence makes it."""
    page, parts = FOLDER / "step.md", []
    for document in by_processor(page):
        parts += [heading(document), setting_of(document)]
        parts += ["Median time over hand-written NumPy's:", render(document, ratio)]
        parts += ["Microseconds a step, minimum / median:", render(document, times)]
    return page, inserted(page.read_text(), "processors", "\n\n".join(parts))


def bf16_page() -> tuple[Path, str]:
    """Return the page of steps and products in bfloat16 as the evidence makes it."""
    page, parts = FOLDER / "bf16.md", []
    for document in by_processor(page):
        parts += [heading(document), setting_of(document)]
        if "peak" in document:  # kernels.py's
            share = f"GFLOP/s and the share of the peak, {document['peak']:,.0f} GFLOP/s:"
            parts += [share, kernel_table(document)]
        else:
            parts += ["Microseconds a step, minimum / median:", render(document, times)]
            parts += ["Medians over each other:", bf16_table(document)]
    return page, inserted(page.read_text(), "processors", "\n\n".join(parts))


def bf16_table(document: dict[str, Any]) -> str:
    """Return a Markdown table: a network a line, others over nnpoly-bf16.

    Parameters
    ----------
    document
        What step.py wrote.
    """
    us: dict[str, dict[str, float]] = {}
    for row in document["rows"]:
        us.setdefault(row["network"], {})[row["contestant"]] = median(row["us"] or [math.nan])
    others = [name for name in next(iter(us.values())) if name != "nnpoly-bf16"]
    lines = [f"| network | {' | '.join(others)} |", "| --- |" + " ---: |" * len(others)]
    for network, medians in us.items():
        ratios = (f"{medians[name] / medians['nnpoly-bf16']:.2f}" for name in others)
        lines.append(f"| {network.replace(':', ' ')} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def kernel_page() -> tuple[Path, str]:
    """Return the kernels' page as the evidence makes it."""
    page, parts = FOLDER / "kernels.md", []
    for document in by_processor(page):
        parts += [heading(document), setting_of(document), kernel_table(document)]
    return page, inserted(page.read_text(), "processors", "\n\n".join(parts))


def parts_page() -> tuple[Path, str]:
    """Return the page of parts.py as the evidence makes it."""
    page, parts = FOLDER / "parts.md", []
    for document in by_processor(page):
        parts += [heading(document), setting_of(document), parts_table(document)]
    return page, inserted(page.read_text(), "processors", "\n\n".join(parts))


def parts_table(document: dict[str, Any]) -> str:
    """Return a Markdown table: a network with a part a line.

    Parameters
    ----------
    document
        What parts.py wrote.
    """
    us: dict[tuple[str, str], dict[str, float]] = {}
    without = {row["part"]: row["without"] for row in document["rows"]}
    for row in document["rows"]:
        of_case = us.setdefault((row["network"], row["part"]), {})
        of_case[row["contestant"]] = median(row["us"]) if row["us"] else math.nan
    others = list(dict.fromkeys(row["contestant"] for row in document["rows"]))[1:]
    heads = ["nnpoly, us", "x without it", *(f"x {name}" for name in others)]
    lines = ["| network | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for (network, part), medians in us.items():
        own, plain = medians["nnpoly"], us[network, without[part]]["nnpoly"]
        ratios = [own / plain, *(medians[name] / own for name in others)]
        cells = " | ".join([f"{own:,.0f}", *(f"{ratio:.2f}" for ratio in ratios)])
        lines.append(f"| {network.replace(':', ' ')}, {part} | {cells} |")
    return "\n".join(lines)


def cores_page() -> tuple[Path, str]:
    """Return the page of cores.py as the evidence makes it."""
    page, parts = FOLDER / "cores.md", []
    for document in by_processor(page):
        model = document["predicted"]
        parts += [heading(document), setting_of(document)]
        parts += ["**Measured:** a barrier, medians in nanoseconds:", barrier_table(document)]
        parts += ["**Measured:** a step, medians in microseconds:", cores_table(document["rows"])]
        parts += ["**Counted:** shares of a step with one thread:", share_table(model["networks"])]
        parts += ["**Predicted:** times as fast with so many threads:", speedup_table(model)]
    return page, inserted(page.read_text(), "processors", "\n\n".join(parts))


def barrier_table(document: dict[str, Any]) -> str:
    """Return a Markdown table: a number of threads a line.

    Parameters
    ----------
    document
        What cores.py wrote.
    """
    names = ("awake", "asleep", "waking", "line")
    heads = "| threads | awake | asleep | of that, to wake them | to fetch a cache line |"
    lines = [heads, "| ---: |" + " ---: |" * len(names)]
    for row in document["barriers"]:
        cells = (f"{median(row[name]):,.{int(name == 'line')}f}" for name in names)
        lines.append(f"| {row['threads']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cores_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a network a line, a number of threads a column.

    Parameters
    ----------
    rows
        What cores.py wrote of them.
    """
    threads = sorted({row["threads"] for row in rows})
    lines = [
        "| network | " + " | ".join(map(str, threads)) + " | times as fast | shared by | load |"
    ]
    lines.append("| --- |" + " ---: |" * (len(threads) + 3))
    for network in dict.fromkeys(row["network"] for row in rows):
        us = {r["threads"]: median(r["us"]) for r in rows if r["network"] == network and r["us"]}
        by = {r["threads"]: r["shared_by"] for r in rows if r["network"] == network}
        cells = [f"{us[count]:,.0f}" if count in us else "-" for count in threads]
        load = max(row["load"] for row in rows if row["network"] == network)
        cells += [f"{us[1] / us[max(us)]:.2f}", f"{median(by[max(us)]):.0f}", f"{load:.1f}"]
        lines.append(f"| {network.replace(':', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def share_table(networks: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a network a line, a part of its step a column.

    Parameters
    ----------
    networks
        What cores.py wrote of the model.
    """
    names = {"products": "products", "packing": "packing", "elements": "element-wise and loss"}
    names |= {"updates": "updates", "call": "the call, alone"}
    lines = ["| network | " + " | ".join(names.values()) + " |", "| --- |" + " ---: |" * len(names)]
    for row in networks:
        cells = (f"{100 * row['shares'][name]:.1f} %" for name in names)
        lines.append(f"| {row['network'].replace(':', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def speedup_table(model: dict[str, Any]) -> str:
    """Return a Markdown table: a network a line, a number of threads a column; then barriers.

    Parameters
    ----------
    model
        What cores.py wrote of it.
    """
    threads = list(model["barrier"])[1:]
    lines = ["| network | " + " | ".join(threads) + " |", "| --- |" + " ---: |" * len(threads)]
    for row in model["networks"]:
        pairs = (row["speedups"][count] for count in threads)
        cells = (f"{speedup:.1f} ({by})" for speedup, by in pairs)
        lines.append(f"| {row['network'].replace(':', ' ')} | " + " | ".join(cells) + " |")
    for name, told in (("barrier", "a barrier, ns"), ("wake", "of threads that sleep, ns")):
        cells = (f"{model[name][count]:,.0f}" for count in threads)
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def readme_table(documents: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a network a line, a processor a column.

    A cell has the time of the fastest other contestant over that of nnpoly's step, and over that of
    a step in its epochs.

    Parameters
    ----------
    documents
        What step.py wrote, on one processor each.
    """
    heads = [document["setting"]["cpu"].split(",")[0] for document in documents]
    lines = ["| network | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for network in dict.fromkeys(row["network"] for row in documents[0]["rows"]):
        cells = [against_others(document, network) for document in documents]
        lines.append(f"| {network.replace(':', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def against_others(document: dict[str, Any], network: str) -> str:
    """Return the others' best median of a network over those of `OWN`, or - without one."""
    rows = [row for row in document["rows"] if row["network"] == network and not row["fault"]]
    medians = {row["contestant"]: median(row["us"]) for row in rows}
    others = [us for contestant, us in medians.items() if not contestant.startswith("nnpoly")]
    ratios = [f"{min(others) / medians[own]:.1f}" if own in medians else "-" for own in OWN]
    return " / ".join(ratios) if others else "-"


def prediction_page() -> tuple[Path, str]:
    """Return the page of predictions as the evidence makes it."""
    page = FOLDER / "predict.md"
    document = json.loads(page.with_suffix(".json").read_text())
    text = inserted(page.read_text(), "setting", setting_of(document))
    return page, inserted(text, "predictions", kernel_table(document))


def special_page() -> tuple[Path, str]:
    """Return the page of learnt networks and ensembles as the evidence makes it."""
    page = FOLDER / "special.md"
    document = json.loads(page.with_suffix(".json").read_text())
    text = inserted(page.read_text(), "setting", setting_of(document))
    text = inserted(text, "by heart", by_heart_table(document["by_heart"]))
    return page, inserted(text, "ensemble", ensemble_table(document["ensemble"]))


def estimator_page() -> tuple[Path, str]:
    """Return the page of estimators as the evidence makes it."""
    page = FOLDER / "estimators.md"
    document = json.loads(page.with_suffix(".json").read_text())
    text = inserted(page.read_text(), "setting", setting_of(document))
    text = inserted(text, "scores", score_table(document["rows"]))
    text = inserted(text, "seconds", seconds_table(document["rows"]))
    text = inserted(text, "grid", grid_table(document["grid"]))
    stream = "{rows:,} rows, one epoch: {seconds:.1f} s, {megabytes:.1f} MB more memory at the peak"
    return page, inserted(text, "stream", stream.format(**document["stream"]))


def precision_page() -> tuple[Path, str]:
    """Return the page of precision.py as the evidence makes it."""
    page = FOLDER / "precision.md"
    document = json.loads(page.with_suffix(".json").read_text())
    text = inserted(page.read_text(), "setting", setting_of(document))
    text = inserted(text, "scores", precision_table(document["rows"]))
    text = inserted(text, "verdict", precision_verdict(document["rows"]))
    return page, inserted(text, "surrogate", surrogate_told(document["surrogate"]))


def page_of_tables() -> tuple[Path, str]:
    """Return the page of tables.py and ablation.py as the evidence makes it."""
    page = FOLDER / "tables.md"
    text = page.read_text()
    for marker, table in tables_page.pieces(FOLDER / "tables").items():
        text = inserted(text, marker, table)
    return page, text


def gpu_page(document: dict[str, Any]) -> tuple[Path, str]:
    """Return the GPU's page as the evidence makes it.

    Parameters
    ----------
    document
        What gpu.py wrote, or the file without runs that came before.
    """
    page = FOLDER / "gpu.md"
    figures = "\n\n".join(map(gpu_run, document["runs"])) or f"**This was {document['status']}.**"
    return page, inserted(page.read_text(), "figures", figures)


def gpu_run(run: dict[str, Any]) -> str:
    """Return a run's setting, and for each precision its times and shares.

    Parameters
    ----------
    run
        One of gpu.py's.
    """
    parts = [setting_of(run)]
    for precision in dict.fromkeys(row["precision"] for row in run["rows"]):
        chosen = {"rows": [row for row in run["rows"] if row["precision"] == precision]}
        parts.append(f"{precision}, microseconds a step, minimum / median:")
        parts.append(render(chosen, gpu_times))
        parts.append(f"{precision}, the roofline's time over the median:")
        parts.append(render(chosen, share))
    return "\n\n".join(parts)


def gpu_times(row: dict[str, Any]) -> str:
    """Return minimum and median microseconds, or what is wrong with them."""
    if row["fault"] or not row["us"]:
        return row["fault"].split(":")[0]
    return f"{min(row['us']):,.1f} / {median(row['us']):,.1f}"


def share(row: dict[str, Any]) -> str:
    """Return the roofline's time over the median."""
    return f"{100 * row['share']:.0f} %" if row["share"] and not row["fault"] else "-"


def gpu_claim(document: dict[str, Any]) -> str:
    """Return what the README says of GPUs: a cell of its table.

    Parameters
    ----------
    document
        What gpu.py wrote, or the file without runs that came before.
    """
    for run in document["runs"]:
        medians = {
            row["contestant"]: f"{row['contestant']} {median(row['us']):.1f} us"
            for row in run["rows"]
            if (row["network"], row["precision"]) == (GPU_CLAIM, "fp32") and not row["fault"]
        }
        if medians:
            network, where = GPU_CLAIM.replace(":", " "), run["setting"].get("gpu", "a GPU")
            told = ", ".join(medians.values())
            return f"a step of {network} on {where}: {told}; [more](docs/benchmarks/gpu.md)"
    return document["status"]


def score_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a data set a line, mean test scores with their standard errors.

    Parameters
    ----------
    rows
        What estimators.py wrote of them.
    """
    names = ["scikit-learn", "nnpoly"]
    lines = ["| | rows x columns | " + " | ".join(names) + " |", "| --- |" + " ---: |" * 3]
    for row in rows:
        scores = [row[name]["score"] for name in names]
        cells = [mean_and_error(s) for s in scores]
        shape = " x ".join(f"{size:,}" for size in row["shape"])
        lines.append(f"| {row['set']} | {shape} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def seconds_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a data set a line, median seconds of fit and the ratios of times.

    Parameters
    ----------
    rows
        What estimators.py wrote of them.
    """
    pairs = [
        ("scikit-learn", "nnpoly"),
        ("scikit-learn", "nnpoly, NumPy alone"),
        ("scikit-learn, float32", "nnpoly, float32"),
    ]
    heads = ["scikit-learn", "nnpoly", "x nnpoly", "x without the C core", "x in float32"]
    lines = ["| | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for row in rows:
        times = {name: median(row[name]["seconds"]) for pair in pairs for name in pair}
        cells = [f"{times[name]:.3f} s" for name in ("scikit-learn", "nnpoly")]
        cells += [f"{times[theirs] / times[ours]:.1f}" for theirs, ours in pairs]
        lines.append(f"| {row['set']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def grid_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a number of jobs a line.

    Parameters
    ----------
    rows
        What estimators.py wrote of grid searches.
    """
    lines = ["| | least, median of a fit | median of the search |", "| --- | ---: | ---: |"]
    for row in rows:
        jobs, fits = row["contestant"].partition(", ")[2], row["seconds"]
        times = f"{min(fits):.3f}, {median(fits):.3f} s | {median(row['whole']):.2f} s"
        lines.append(f"| `{jobs}` | {times} |")
    return "\n".join(lines)


def by_heart_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a contestant a line.

    Parameters
    ----------
    rows
        What special.py wrote of them.
    """
    lines = ["| | fresh, us | learnt, us | learnt / fresh | denormal moments |"]
    lines.append("| --- |" + " ---: |" * 4)
    for row in (row for row in rows if "fault" not in row):
        fresh, learnt = median(row["fresh"]), median(row["learnt"])
        cells = f"{fresh:.1f} | {learnt:.1f} | {learnt / fresh:.2f} | {row['denormal']}"
        lines.append(f"| {row['contestant']} | {cells} |")
    return "\n".join(lines)


def ensemble_table(ways: dict[str, list[float]]) -> str:
    """Return a Markdown table: a way to train the members a line.

    Parameters
    ----------
    ways
        What special.py wrote: microseconds a member and step.
    """
    lines = ["| | us a member and step | over together |", "| --- | ---: | ---: |"]
    for way, times in ways.items():
        lines.append(
            f"| {way} | {median(times):.2f} | {median(times) / median(ways['together']):.2f} |"
        )
    return "\n".join(lines)


def ways_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a way in which arrays come a line, over a plain array's time.

    Parameters
    ----------
    rows
        What ways.py wrote.
    """
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        entry, _, way = row["case"].partition(":")
        pairs = zip(row["way"], row["plain"], strict=True)
        found.setdefault(way, {})[entry] = median(came / plain for came, plain in pairs)
    lines = ["| | `fit` | `net(X)` |", "| --- | ---: | ---: |"]
    for way, ratios in found.items():
        lines.append(f"| {way} | {ratios['fit']:.2f} | {ratios['predict']:.2f} |")
    return "\n".join(lines)


def inserted(text: str, marker: str, table: str) -> str:
    """Return the text with the table between the marker's lines."""
    pattern = rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{table}\n{m[2]}", text, count=1, flags=re.DOTALL)


def claimed(text: str, claim: str, measured: str) -> str:
    """Return the text with the second cell of a table's row, found by its first.

    Parameters
    ----------
    text, claim, measured
        The page, and the two cells.
    """
    row = rf"^\| {re.escape(claim)} \|.*$"
    return re.sub(row, lambda _: f"| {claim} | {measured} |", text, count=1, flags=re.MULTILINE)


def ways_page() -> tuple[Path, str]:
    """Return the page of ways.py, and its text with its evidence."""
    page, document = FOLDER / "ways.md", json.loads((FOLDER / "ways.json").read_text())
    text = inserted(page.read_text(), "setting", setting_of(document))
    return page, inserted(text, "ways", ways_table(document["rows"]))


def page_of_exchange() -> tuple[Path, str]:
    """Return the page of exchange.py, and its text with its evidence."""
    page, document = FOLDER / "exchange.md", json.loads((FOLDER / "exchange.json").read_text())
    text = inserted(page.read_text(), "setting", setting_of(document))
    text = inserted(text, "errors", exchange_page.errors(document["errors"]))
    return page, inserted(text, "times", exchange_page.times(document["times"]))


def pages() -> dict[Path, str]:
    """Return the pages as the evidence makes them."""
    on_gpu = json.loads((FOLDER / "gpu.json").read_text())
    readme = ROOT / "README.md"
    table = readme_table(by_processor(FOLDER / "step.md"))
    first = inserted(readme.read_text(), "ratios", table)
    made = [step_page(), kernel_page(), prediction_page(), special_page(), estimator_page()]
    made += [bf16_page(), parts_page(), precision_page(), ways_page(), cores_page()]
    made += [gpu_page(on_gpu), page_of_tables(), page_of_exchange()]
    return dict(made) | {readme: claimed(first, "CuPy, or any GPU", gpu_claim(on_gpu))}


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
    tables_page.draw(FOLDER / "tables")
