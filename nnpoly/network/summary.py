"""The table that `Network.summary` prints: what each layer is, holds and computes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import activations
from ..layers import Dense, Layer, Residual

COLUMNS = ("layer", "kind", "in", "->", "out", "activation", "parameters", "memory", "MFLOP")
ALIGNED = "<<><<<>>>"  # each column's side


class Line(NamedTuple):
    """One layer of the table; a residual block has a line, and its inner layers have theirs."""

    place: str  # such as "2", or "2.0" for the first layer inside a block
    layer: Layer
    inputs: int
    outputs: int

    @property
    def parameters(self) -> int:
        """The number of parameters; a block's are those of its inner lines."""
        if isinstance(self.layer, Residual):
            return 0
        return sum(math.prod(shape) for shape in self.layer.shapes().values())

    @property
    def forward(self) -> int:
        """Floating-point operations of a forward pass of one sample."""
        product = 2 * self.inputs * self.outputs
        return product + self.outputs if isinstance(self.layer, Dense) else 0

    @property
    def backward(self) -> int:
        """Those of its backward pass: dW and db cost what W x + b does, delta W below another W x.

        The network's first layer carries no delta to below.
        """
        if not isinstance(self.layer, Dense):
            return 0
        below = 0 if self.place == "0" else 2 * self.inputs * self.outputs
        return self.forward + below

    def cells(self, itemsize: int, decimals: int) -> tuple[str, ...]:
        name = "  " * self.place.count(".") + type(self.layer).__name__
        shape = (str(self.inputs), "->", str(self.outputs))
        labels = (self.place, name, *shape, _activation(self.layer))
        if isinstance(self.layer, Residual):
            return (*labels, "", "", "")
        return (*labels, *_costs(self.parameters, itemsize, self.forward, decimals))


def lines(chain: Sequence[Layer], inputs: int, prefix: str = "") -> Iterator[Line]:
    """Yield a line a layer, and after a residual block those of its inner layers."""
    for l, layer in enumerate(chain):
        line = Line(f"{prefix}{l}", layer, inputs, layer.width(inputs))
        yield line
        if isinstance(layer, Residual):
            yield from lines(layer.layers, inputs, f"{line.place}.")
        inputs = line.outputs


def table(chain: Sequence[Layer], inputs: int, itemsize: int) -> list[str]:
    """Return the table's lines: header, layers, totals and the cost of a training step."""
    rows = list(lines(chain, inputs))
    parameters = sum(row.parameters for row in rows)
    forward, backward = sum(row.forward for row in rows), sum(row.backward for row in rows)
    decimals = _decimals(forward)
    total = ("total", "", str(inputs), "->", str(rows[-1].outputs), "")
    cells = [row.cells(itemsize, decimals) for row in rows]
    costs = _costs(parameters, itemsize, forward, decimals)
    step, *parts = (_mega(flop, decimals) for flop in (forward + backward, forward, backward))
    return [
        *_aligned([COLUMNS, *cells, (*total, *costs)]),
        f"training step  {step} MFLOP a sample (forward {parts[0]}, backward {parts[1]})",
    ]


def _activation(layer: Layer) -> str:
    known = {activation: name for name, activation in activations.BY_NAME.items()}
    return known.get(layer.activation, type(layer.activation).__name__)


def _costs(parameters: int, itemsize: int, flop: int, decimals: int) -> tuple[str, str, str]:
    return f"{parameters:,}", _bytes(parameters * itemsize), _mega(flop, decimals)


def _bytes(size: int) -> str:
    """Return a size in the SI unit that it has one to three digits in."""
    power = min((len(str(size)) - 1) // 3, 4)
    return f"{size} B" if power == 0 else f"{size / 1000**power:.1f} {' kMGT'[power]}B"


def _decimals(flop: int) -> int:
    """Return how many decimals of MFLOP show three digits of a total."""
    return min(max(0, 9 - len(str(flop))), 6)


def _mega(flop: int, decimals: int) -> str:
    return f"{flop / 1e6:,.{decimals}f}" if flop else "0"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(map(format, row, map("{}{}".format, ALIGNED, widths))).rstrip() for row in rows
    ]
