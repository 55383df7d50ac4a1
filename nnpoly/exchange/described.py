"""What a model computes, from a row's cells to its outputs, in one form for every target.

A `Described` is data: columns become cells, cells the networks' inputs, the networks' outputs a
prediction. Both halves around the networks are also written here, once, in the array API
(`encoded` and `combined`): on the host they are the definition that certificates are made with, and
a graph is traced from the same text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from ..backends import host
from ..backends.ensembles import Averaged, Input
from ..backends.reference import Reference
from ..network import Network
from ..primitives.arrays import device_of
from .quantiles import FARTHEST, FARTHEST_CELL, by_quantiles, clipped

Array: TypeAlias = Any  # of any library, or one that writes a graph
Label: TypeAlias = str | bool | int | float

REFERENCE = Reference()
SMOOTH = 3.0


class Column(NamedTuple):
    """A column that a model reads: numbers, NaN where they are missing, or texts.

    A missing text is the empty one. The text of a number is its shortest, without a point where it
    is whole; of truth values it is True and False.
    """

    name: str
    kind: Literal["number", "text"] = "number"


class NumberCell(NamedTuple):
    """A number of a column as a float64: (x - center) / scale, where a missing x is `fill`."""

    column: int
    fill: float = math.nan
    center: float = 0.0
    scale: float = 1.0


class QuantileCell(NamedTuple):
    """A number by its quantiles, normally distributed; NaN where it is missing.

    With z = (x - center) factor, clipped as of `Input`: z's rank among the quantiles (rising, at
    even steps from 0 to 1; interpolated; that of equal ones in their middle; 0 below the first plus
    1e-7, and 1 above the last less 1e-7) becomes the number below which a standard normal one is
    with that probability, which is clipped to those of 1e-7 and 1 - 1e-7.
    """

    column: int
    center: float
    factor: float
    quantiles: tuple[float, ...]


class CodeCell(NamedTuple):
    """A text as the code that stands for it; `missing` for a missing one, `other` for others.

    A missing text is the empty text, unless that is among `texts`.
    """

    column: int
    texts: tuple[str, ...]
    codes: tuple[float, ...]
    missing: float
    other: float

    def code(self, text: str | None) -> float:
        """The code of a text; None is a missing one."""
        if text in self.texts:
            return self.codes[self.texts.index(text)]
        return self.other if text else self.missing


Cell: TypeAlias = NumberCell | QuantileCell | CodeCell


class Numbers(NamedTuple):
    """Outputs that are numbers: (n, width). flat: whether the model itself gives (n,)."""

    width: int
    flat: bool = False


class Probabilities(NamedTuple):
    """Outputs that are probabilities (n, K) of K labels, the likeliest of which is predicted.

    Attributes
    ----------
    labels
        In order: all texts, all whole numbers, all real numbers, or False and True.
    single
        Whether the networks give one number, the probability of the second of two.
    several
        Whether each of the K is yes or no by itself, and the predicted label (n, K) 0 or 1.
    """

    labels: tuple[Label, ...]
    single: bool = False
    several: bool = False


@dataclass(frozen=True)
class Described:
    """What a model computes.

    Attributes
    ----------
    kind
        The model's class, by name.
    columns
        What it reads, in order.
    matrix
        Whether the columns come as one matrix "X" (n, m) of numbers.
    cells
        How they become float64 cells (n, len(cells)). Empty where the networks read X itself, as
        their dtype's numbers.
    inputs
        How cells become the networks' inputs, computed in float64 and then rounded to their dtype.
    networks
        All of one dtype, width, output and number of outputs; on the host.
    averaged
        How the networks' outputs become one prediction, in float64; None: there is one network, and
        its output is the prediction, in its dtype.
    result
        What comes out.
    """

    kind: str
    columns: tuple[Column, ...]
    matrix: bool
    cells: tuple[Cell, ...]
    inputs: tuple[Input, ...]
    networks: tuple[Network, ...]
    averaged: Averaged | None
    result: Numbers | Probabilities

    @property
    def plain(self) -> bool:
        """Whether the networks read X itself."""
        return not self.inputs

    @property
    def dtype(self) -> str:
        """The networks' floating type."""
        return self.networks[0].dtype

    @property
    def outputs(self) -> int:
        """The number of a row's numbers or probabilities."""
        result = self.result
        return result.width if isinstance(result, Numbers) else len(result.labels)

    def evaluate(self, given: Sequence[Any]) -> host.HostArray:
        """The prediction by definition, on the host in float64: (n, outputs).

        given: the columns, each (n,): float64, or texts of which None is missing. They are rounded
        to the networks' dtype where networks are given them.
        """
        xp = host.namespace()
        x = encoded(xp, self, [self.cell_of(cell, given) for cell in self.cells] or list(given))
        x = x.astype(self.dtype).astype("float64")
        nets = [net.to(REFERENCE, dtype="float64") for net in self.networks]
        found: host.HostArray = combined(xp, self, [net(x) for net in nets])
        return found

    def cell_of(self, cell: Cell, given: Sequence[Any]) -> Array:
        """A cell (n,) of the columns, on the host; see `evaluate`."""
        values = given[cell.column]
        if isinstance(cell, CodeCell):
            return host.asarray([cell.code(text) for text in values], "float64")
        x = host.asarray(values, "float64")
        if isinstance(cell, QuantileCell):
            return by_quantiles(host.namespace(), x, cell.center, cell.factor, cell.quantiles)
        return number(host.namespace(), x, cell)


# The definitions around the networks, in the array API


def number(xp: Any, x: Array, cell: NumberCell) -> Array:
    """A `NumberCell` of numbers x: (n,) or any other shape, float64."""
    if not math.isnan(cell.fill):
        x = xp.where(xp.isnan(x), xp.full_like(x, cell.fill), x)
    return (x - cell.center) / cell.scale


def encoded(xp: Any, described: Described, cells: Sequence[Array]) -> Array:
    """The networks' inputs (n, width) of cells (n,), all float64; without `inputs` side by side."""
    columns, inputs = xp.stack(list(cells), axis=1), described.inputs
    if not inputs:
        return columns

    def row(values: list[Any], dtype: Any = None) -> Array:
        return xp.asarray([values], dtype=dtype or columns.dtype, device=device_of(columns))

    def of_kind(*kinds: str) -> Array:
        return row([given.kind in kinds for given in inputs], xp.bool)

    places = [given.column for given in inputs]
    index = xp.asarray(places, dtype=xp.int64, device=device_of(columns))
    x = xp.take(columns, index, axis=1)
    kinds, plain = {given.kind for given in inputs}, x
    gone, zero, one = xp.isnan(x), xp.zeros_like(x), xp.ones_like(x)
    if "missing" in kinds:
        x = xp.where(of_kind("missing"), xp.where(gone, one, zero), x)
    if "value" in kinds:
        hits = plain == row([given.value for given in inputs])
        x = xp.where(of_kind("value"), xp.where(hits, one, zero), x)
    if kinds == {"cell"}:
        return x
    x = clipped(xp, x - row([given.center for given in inputs]), FARTHEST_CELL)
    x = clipped(xp, x * row([given.factor for given in inputs]), FARTHEST)
    x = xp.where(xp.isnan(x), zero, x)
    if any(given.smooth for given in inputs):
        third = x / SMOOTH
        bent = x / xp.sqrt(1.0 + third * third)
        x = xp.where(row([given.smooth for given in inputs], xp.bool), bent, x)
    return xp.where(of_kind("cell"), plain, x)


def combined(xp: Any, described: Described, outputs: Sequence[Array]) -> Array:
    """The prediction (n, outputs) of the networks' outputs (n, K)."""
    averaged = described.averaged
    if averaged is not None:
        outputs = [_of_member(xp, averaged, xp.astype(f, xp.float64)) for f in outputs]
    total = outputs[0]
    for f in outputs[1:]:
        total = total + f
    if len(outputs) > 1:
        total = total / len(outputs)
    result = described.result
    if isinstance(result, Probabilities) and result.single:
        total = xp.concat([1.0 - total, total], axis=1)
    return total


def _of_member(xp: Any, averaged: Averaged, f: Array) -> Array:
    """What `Averaged` makes of one network's output, float64: (n, K)."""
    if averaged.scales is None:
        return f / xp.sum(f, axis=1, keepdims=True)

    def row(values: Any) -> Array:
        return xp.asarray([list(values)], dtype=f.dtype, device=device_of(f))

    f = f * row(averaged.scales) + row(averaged.shifts)
    if averaged.lows is not None:
        f = xp.where(f < row(averaged.lows), row(averaged.lows), f)
    if averaged.highs is not None:
        f = xp.where(f > row(averaged.highs), row(averaged.highs), f)
    return f
