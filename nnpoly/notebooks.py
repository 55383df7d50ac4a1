"""What notebooks show of objects: tables, and curves as SVG.

Plain HTML without scripts or style sheets. Text has the page's own colour, and curves have colours
that stand out against light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 480, 200, 64, 24, 24  # of a picture and its margins, in pixels
COLOURS = ("#2f8fd0", "#d55e00", "#009e73", "#cc79a7")
DASHES = ("none", "6 3", "2 3", "8 3 2 3")
MOST = 400  # points of a curve
_NUMBER = "text-align: right; font-variant-numeric: tabular-nums"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; cells that are numbers, or read like some, stand on the right."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    title = f'<caption style="text-align: left">{escape(caption)}</caption>' if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)
    style = _NUMBER if text[:1].isdigit() or text[:1] == "-" else "text-align: left"
    return f'<td style="{style}">{escape(text)}</td>'


def paragraph(text: str) -> str:
    """Return lines of text."""
    return f"<p>{escape(text).replace(chr(10), '<br>')}</p>"


def curves(series: Mapping[str, Sequence[float]]) -> str:
    """Return a picture of curves over epochs 1, 2, ..., by name; "" where there are none.

    The scale is logarithmic where all values are above 0 and far apart.
    """
    finite = [v for values in series.values() for v in values if math.isfinite(v)]
    if not finite or max(map(len, series.values())) < 2:
        return ""
    low, high = min(finite), max(finite)
    logarithmic = low > 0.0 and high > 10.0 * low
    epochs, inner = max(map(len, series.values())), HEIGHT - TOP - BOTTOM
    start, stop = (math.log(low), math.log(high)) if logarithmic else (low, high)

    def point(epoch: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 8) * epoch / (epochs - 1)
        height = (math.log(value) if logarithmic else value) - start
        return f"{x:.1f},{HEIGHT - BOTTOM - inner * height / ((stop - start) or 1.0):.1f}"

    parts = [
        f'<path d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - 8}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.5"/>',
        _text(LEFT - 6, TOP + 4, f"{high:.3g}", "end"),
        _text(LEFT - 6, HEIGHT - BOTTOM, f"{low:.3g}", "end"),
        _text(LEFT, HEIGHT - 8, "epoch 1", "start"),
        _text(WIDTH - 8, HEIGHT - 8, str(epochs), "end"),
    ]
    for k, (name, values) in enumerate(series.items()):
        colour, dash = COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)]
        every = -(-len(values) // MOST)
        chosen = [*range(0, len(values) - 1, every), len(values) - 1]
        for piece in _pieces(values, chosen):
            points = " ".join(point(epoch, values[epoch]) for epoch in piece)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" '
                f'stroke-dasharray="{dash}"/>'
            )
        parts.append(_text(LEFT + 8 + 150 * k, 14, name, "start", colour))
    title = escape(", ".join(series))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{title}</title>{"".join(parts)}</svg>'
    )


def _pieces(values: Sequence[float], chosen: Sequence[int]) -> Iterable[list[int]]:
    """Yield the epochs of each piece of a curve, which is interrupted where it is not finite."""
    piece: list[int] = []
    for epoch in chosen:
        if math.isfinite(values[epoch]):
            piece.append(epoch)
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _text(x: float, y: float, text: str, anchor: str, colour: str = "currentColor") -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="12" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
