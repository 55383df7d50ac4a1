"""What notebooks show: whole HTML without scripts, names escaped, curves of the numbers."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import polars as pl
import pytest

import nnpoly as nn
from nnpoly import notebooks

VOID = {"br"}
ALLOWED = {
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "p", "br"),
    *("svg", "title", "path", "polyline", "text"),
}


class Page(HTMLParser):
    """Reads HTML: its tables, curves and texts; refuses tags that are not closed, or run code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.curves: list[list[tuple[float, float]]] = []
        self.texts: list[str] = []
        self.colours: set[str] = set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = dict(attrs)
        assert tag in ALLOWED
        assert not any(name.startswith("on") or name in ("href", "src") for name in found)
        assert not re.search(r"(?<!-)color|background", found.get("style", ""))
        self.colours |= {found[name] for name in ("fill", "stroke") if name in found}
        if tag == "tr":
            self.rows.append([])
        if tag == "polyline":
            points = [tuple(map(float, point.split(","))) for point in found["points"].split()]
            self.curves.append(points)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def page(shown: Any) -> Page:
    return Page(shown._repr_html_())


def test_a_network_shows_its_layers():
    net = nn.Network([nn.Dense(2, 4, "relu"), nn.Residual([nn.Dense(4, 4)]), nn.Dense(4, 2)])
    found = page(net)
    assert found.texts[0] == repr(net)
    assert [row[1].strip() for row in found.rows[1:-1]] == ["Dense", "Residual", "Dense", "Dense"]
    assert found.rows[-1][-3] == f"{net.parameter_count:,}"


def test_a_history_shows_its_records_and_losses():
    history = nn.History([4.0, 2.0, 1.0], [4.0, 3.0, 2.0], {"accuracy": [0.5, 0.75, 0.25]})
    found = page(history)
    assert found.rows == [
        ["record", "first", "lowest", "highest", "last"],
        ["loss", "4", "1", "4", "1"],
        ["validation_loss", "4", "2", "4", "2"],
        ["accuracy", "0.5", "0.25", "0.75", "0.25"],
    ]
    (first, *_, last), validation = found.curves
    assert first[0] == validation[0][0] == notebooks.LEFT
    assert first[1] == validation[0][1] == notebooks.TOP  # the highest
    assert last[1] == notebooks.HEIGHT - notebooks.BOTTOM  # the lowest
    middle = (last[1] + 2 * first[1]) / 3  # 3 of 1 to 4, from above
    assert validation[1][1] == pytest.approx(middle, abs=0.1)


def test_curves_far_apart_are_logarithmic_and_those_of_nothing_are_left_out():
    (found,) = Page(notebooks.curves({"loss": [100.0, 10.0, 1.0]})).curves
    heights = [y for _, y in found]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2, abs=0.1)
    broken = Page(notebooks.curves({"loss": [3.0, math.nan, 2.0, 1.0]}))
    assert [len(curve) for curve in broken.curves] == [1, 2]
    for values in ([], [1.0], [math.nan, math.nan]):
        assert notebooks.curves({"loss": values}) == ""
    assert len(notebooks.curves({"loss": np.linspace(1, 2, 100_000).tolist()})) < 10_000


def test_a_trainer_shows_network_facts_and_history():
    trainer = nn.Trainer(nn.MLP([2, 4, 2]), nn.SGD(0.1))
    assert page(trainer).curves == []
    trainer.fit(np.eye(2), [0, 1], epochs=3)
    found = page(trainer)
    assert len(found.curves) == 1
    assert ["optimizer", repr(trainer.optimizer)] in found.rows
    assert ["taken", "3 steps"] in found.rows


def test_reports_show_every_row():
    rows = [
        nn.testing.Row("numpy", "float32", "dense", 0.25, True, "pre"),
        nn.testing.Row("torch", "float32", "<b>dense</b>", 1.5, False, "post"),
    ]
    found = page(nn.testing.Report(rows))
    assert found.texts[0] == "2 comparisons, 1 breaches"
    assert found.rows[1] == ["numpy", "float32", "dense", "0.25", "ok", "pre"]
    assert found.rows[2][2:5] == ["<b>dense</b>", "1.5", "BREACH"]


def test_a_table_shows_its_metrics():
    frame = pl.DataFrame({"<i>": range(50), "y": [i > 20 for i in range(50)]})
    fitted = nn.tables.fit(frame, "y", model="mlp", epochs=5)
    found = page(fitted)
    assert [row[0] for row in found.rows if row[0] in fitted.metrics] == list(fitted.metrics)
    assert found.curves


def test_names_are_escaped_and_colours_stand_out_on_any_page():
    history = nn.History([2.0, 1.0], metrics={"<script>alert('&')</script>": [0.0, 1.0]})
    assert any(row[0] == "<script>alert('&')</script>" for row in page(history).rows)
    colours = page(nn.History([2.0, 1.0], [3.0, 2.0])).colours - {"none", "currentColor"}
    assert len(colours) == 2
    for colour in colours:  # contrast with black and with white, of WCAG 2
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        light = float(np.dot([0.2126, 0.7152, 0.0722], linear))
        assert min((light + 0.05) / 0.05, 1.05 / (light + 0.05)) >= 3.0
