"""The table of `Network.summary`: the layers, their parameters, memory and cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import activations
from ..layers import Dense, Layer, OfMembers, Residual

# Each column's heading and alignment.
COLUMNS = {
    "layer": "<",
    "kind": "<",
    "in": ">",
    "->": "<",
    "out": "<",
    "activation": "<",
    "parameters": ">",
    "memory": ">",
    "MFLOP": ">",
}


def heading(name: str, widths: Sequence[int], members: int, output: str, where: str) -> str:
    """Return a network in a line: its widths, members where it has several, output and place."""
    several = f" {members} members," if members > 1 else ""
    return f"{name} {'-'.join(map(str, widths))},{several} {output} output, {where}"


class Line(NamedTuple):
    """A layer of the table. A residual block has a line, and so has each of its inner layers."""

    place: str  # such as "2", or "2.0" for the first layer inside a block
    layer: Layer
    inputs: int
    outputs: int

    @property
    def parameters(self) -> int:
        """The number of parameters; of a residual block 0, as its inner layers have them."""
        if isinstance(self.layer, Residual):
            return 0
        return sum(math.prod(shape) for shape in self.layer.shapes().values())

    @property
    def _product(self) -> int:
        """Floating-point operations of W x, for all members of the layer; 0 without a W."""
        if not isinstance(self.layer, Dense | OfMembers):
            return 0
        return 2 * self.inputs * self.outputs // self.layer.members

    @property
    def forward(self) -> int:
        """Floating-point operations of a forward pass of one sample."""
        return self._product + self.outputs if self._product else 0

    @property
    def backward(self) -> int:
        """Floating-point operations of a backward pass of one sample.

        dW and db cost as much as W x + b; the delta of the layer below costs another W x, which the
        first layer does not compute.
        """
        delta = 0 if self.place == "0" else self._product
        return self.forward + delta

    def cells(self, itemsize: int, decimals: int) -> tuple[str, ...]:
        """The line's cells, one a column."""
        name = "  " * self.place.count(".") + type(self.layer).__name__
        shape = (str(self.inputs), "->", str(self.outputs))
        labels = (self.place, name, *shape, _activation(self.layer))
        if isinstance(self.layer, Residual):
            return (*labels, "", "", "")
        return (*labels, *_costs(self.parameters, itemsize, self.forward, decimals))


def lines(chain: Sequence[Layer], inputs: int, prefix: str = "") -> Iterator[Line]:
    """Yield a line for each layer; the inner layers of a residual block follow it."""
    for l, layer in enumerate(chain):
        line = Line(f"{prefix}{l}", layer, inputs, layer.width(inputs))
        yield line
        if isinstance(layer, Residual):
            yield from lines(layer.layers, inputs, f"{line.place}.")
        inputs = line.outputs


def table(chain: Sequence[Layer], inputs: int, itemsize: int) -> list[str]:
    """Return the lines of the table: heading, layers, totals, and the cost of a training step."""
    cells, step = parts(chain, inputs, itemsize)
    return [*_aligned([tuple(COLUMNS), *cells]), step]


def parts(chain: Sequence[Layer], inputs: int, itemsize: int) -> tuple[list[tuple[str, ...]], str]:
    """Return the table's cells, a layer a row and then the totals; and what a step costs."""
    rows = list(lines(chain, inputs))
    parameters = sum(row.parameters for row in rows)
    forward, backward = sum(row.forward for row in rows), sum(row.backward for row in rows)
    decimals = _decimals(forward)
    total = ("total", "", str(inputs), "->", str(rows[-1].outputs), "")
    cells = [row.cells(itemsize, decimals) for row in rows]
    costs = _costs(parameters, itemsize, forward, decimals)
    step, there, back = (_mega(flop, decimals) for flop in (forward + backward, forward, backward))
    return (
        [*cells, (*total, *costs)],
        f"training step  {step} MFLOP a sample (forward {there}, backward {back})",
    )


def _activation(layer: Layer) -> str:
    """The name of a layer's activation; of one without a name, its class."""
    known = {activation: name for name, activation in activations.BY_NAME.items()}
    return known.get(layer.activation, type(layer.activation).__name__)


def _costs(parameters: int, itemsize: int, flop: int, decimals: int) -> tuple[str, str, str]:
    """The cells of parameters, memory and MFLOP."""
    return f"{parameters:,}", _bytes(parameters * itemsize), _mega(flop, decimals)


def _bytes(size: int) -> str:
    """A size in the largest unit that it reaches."""
    for unit, value in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= value:
            return f"{size / value:.1f} {unit}"
    return f"{size} B"


def _decimals(flop: int) -> int:
    """The number of decimals, at most 6, with which a total in MFLOP shows three digits."""
    return min(max(0, 9 - len(str(flop))), 6)


def _mega(flop: int, decimals: int) -> str:
    """A number of operations in millions."""
    return f"{flop / 1e6:,.{decimals}f}" if flop else "0"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, with columns as wide as their widest cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = list(zip(COLUMNS.values(), widths, strict=True))
    lines = []
    for row in rows:
        cells = [f"{cell:{side}{width}}" for cell, (side, width) in zip(row, columns, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
