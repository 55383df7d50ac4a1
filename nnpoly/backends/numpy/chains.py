"""Chains of layers as the C core reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..._core import ffi, lib
from ...layers import (
    INFERENCE,
    BatchNorm,
    Blend,
    Dense,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    MemberDense,
    MemberScale,
    Mode,
    OfMembers,
    Periodic,
    PiecewiseLinear,
    Residual,
    Scale,
    SharedDense,
    chain_widths,
)
from ...schedules import Schedule
from ..codes import CODES, known, parameter
from ..steps import Views
from .core import REALS, pointer, readable, writable

KINDS = {
    Dense: lib.NNPOLY_DENSE,
    LayerNorm: lib.NNPOLY_ROW_NORM,
    BatchNorm: lib.NNPOLY_COLUMN_NORM,
    Scale: lib.NNPOLY_SCALE,
    Blend: lib.NNPOLY_BLEND,
    Periodic: lib.NNPOLY_PERIODIC,
    Embedding: lib.NNPOLY_EMBEDDING,
    PiecewiseLinear: lib.NNPOLY_PIECEWISE,
    MemberScale: lib.NNPOLY_MEMBER_SCALE,
    MemberDense: lib.NNPOLY_MEMBER_DENSE,
}
MOST_WAVES = lib.NNPOLY_MOST_WAVES
TAKEN = (*KINDS, SharedDense, Dropout, Residual)
PLAIN = {"activation": lib.NNPOLY_IDENTITY}
# Numbers of a layer that C knows by the same names.
NUMBERS: dict[type[Layer], tuple[str, ...]] = {
    Dense: ("factor",),
    LayerNorm: ("eps",),
    BatchNorm: ("eps", "momentum"),
    Periodic: ("columns", "frequencies", "features"),
    Embedding: ("features",),
    PiecewiseLinear: ("features",),
    MemberScale: ("members",),
    MemberDense: ("members",),
    SharedDense: ("members",),
}


def reason_against(chain: Sequence[Layer], dtype: np.dtype[Any]) -> str:
    """Why C cannot take these layers; empty if it can."""
    if dtype not in REALS:
        return f"{dtype} is not float32 or float64"
    for layer in chain:
        if type(layer) not in TAKEN:
            return f"{type(layer).__name__} layers run op by op"
        if isinstance(layer, Periodic) and max(layer.frequencies, layer.features) > MOST_WAVES:
            return f"a Periodic layer has more than {MOST_WAVES} waves or features of a column"
        if isinstance(layer, PiecewiseLinear) and max(layer.shapes()["V"][1:]) > MOST_WAVES:
            return f"a PiecewiseLinear layer has more than {MOST_WAVES} bins or features"
        if not known(layer.activation):
            return f"{layer.activation} is not an activation of the C core"
        if isinstance(layer, Residual) and (reason := reason_against(layer.layers, dtype)):
            return reason
    return ""


def lines_of(bins: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The columns of C's lines: how many bins each has, and where a bin begins and how it rises."""
    numbers = [
        number for edges in bins for a, b in pairwise(edges) for number in (a, 1.0 / (b - a))
    ]
    sizes = ffi.new("int64_t[]", [len(edges) - 1 for edges in bins])
    return {"columns": len(bins), "sizes": sizes, "bins": ffi.new("double[]", numbers)}


class Table(NamedTuple):
    """C's table of layers, the arrays that it points to, and the widths of their ends."""

    layers: Any
    held: list[Any]
    depth: int
    inputs: int
    outputs: int


def table_of(chain: Sequence[Layer], training: bool, schedules: Sequence[Schedule] = ()) -> Table:
    """The layers of a chain that C takes, with dropout where it is for training.

    schedules: of the layers, as the coefficients of a step have them.
    """
    inputs, outputs = chain_widths(chain)
    rows = _Rows(inputs, training, schedules)
    rows.add(chain, INFERENCE)
    rows.end()
    layers = ffi.new("struct nnpoly_layer[]", rows.rows)
    return Table(layers, rows.held, len(rows.rows), inputs, outputs)


class _Rows:
    """The table's rows, by layers in their order: a residual block's between its two ends."""

    def __init__(self, width: int, training: bool, schedules: Sequence[Schedule]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.held: list[Any] = []  # arrays that they point to
        self._width, self._training, self._schedules = width, training, schedules
        self._taken: set[int] = set()  # rows whose results an ADD takes

    def add(self, chain: Sequence[Layer], mode: Mode) -> None:
        """Add layers; `mode` is that of the chain, which knows their paths."""
        for position, layer in enumerate(chain):
            inner = mode.at(position) if layer.random else mode
            if isinstance(layer, Dropout):
                if self._training and layer.rate != 0.0:
                    self._drop(layer, inner.path)
            elif isinstance(layer, Residual):
                start = self._kept()
                self.add(layer.layers, inner)
                self._append(lib.NNPOLY_ADD, **self._fields(layer), **{"from": start})
            else:
                if not (self.rows or isinstance(layer, Dense)):
                    self._append(lib.NNPOLY_COPY)
                if isinstance(layer, SharedDense):
                    self._share(layer)
                else:
                    width = layer.width(self._width)
                    self._append(KINDS[type(layer)], width, **self._fields(layer))

    def _share(self, layer: SharedDense) -> None:
        """Add the layer as a product without biases between two scales."""
        fields, width = self._fields(layer), layer.width(self._width)
        if not layer.scaled:
            self._append(lib.NNPOLY_DENSE, width, **fields)
            return
        if layer.scaled != "after":
            self._append(lib.NNPOLY_SCALE)
        self._append(lib.NNPOLY_DENSE, width, **fields | PLAIN, unbiased=True)
        self._append(lib.NNPOLY_SCALE, **fields, shifted=True)

    def end(self) -> None:
        """End in scores: a dropout that is no row of its own may leave an activation last."""
        if self.rows[-1]["activation"] != lib.NNPOLY_IDENTITY:
            self._append(lib.NNPOLY_COPY)

    def _append(self, kind: int, width: int | None = None, **more: Any) -> None:
        """Add a row, of as many outputs as inputs or of so many."""
        row = {"kind": kind, "inputs": self._width, **PLAIN, **more}
        if width is not None:
            self._width = width
        self.rows.append({**row, "outputs": self._width})

    def _fields(self, layer: Layer) -> dict[str, Any]:
        """The fields of the layer's row beside its kind and widths."""
        code, a = CODES[type(layer.activation)], parameter(layer.activation)
        if isinstance(layer, Blend):
            return {"blended": code, "blended_a": a}
        fields = {name: getattr(layer, name) for name in NUMBERS.get(type(layer), ())}
        if isinstance(layer, OfMembers):
            fields["factor"] = 1.0
        if isinstance(layer, Periodic):
            fields["phased"] = layer.kind == "pbld"
        if isinstance(layer, Embedding):
            self.held.append(ffi.new("int64_t[]", layer.sizes))
            fields |= {"columns": len(layer.sizes), "sizes": self.held[-1]}
        if isinstance(layer, PiecewiseLinear):
            lines = lines_of(layer.bins)
            self.held += [lines["sizes"], lines["bins"]]
            fields |= lines
        return {"activation": code, "a": a, **fields}

    def _drop(self, layer: Dropout, path: int) -> None:
        """Drop what the newest row gave; a new row's, where that is dropped or needed whole."""
        newest = len(self.rows) - 1
        if newest < 0 or newest in self._taken or "dropout" in self.rows[newest]:
            self._append(lib.NNPOLY_COPY)
        self.rows[-1] |= {"dropout": 0.0, "path": path}
        if isinstance(layer.rate, float):
            self.rows[-1]["dropout"] = layer.rate
        for schedule in layer.schedules():
            self.rows[-1]["scheduled"] = 1 + self._schedules.index(schedule)

    def _kept(self) -> int:
        """The row whose results an ADD to come takes, which no other takes."""
        newest = len(self.rows) - 1
        if newest < 0 or newest in self._taken:
            self._append(lib.NNPOLY_COPY)
        start = len(self.rows) - 1
        self._taken.add(start)
        return start


class Buffers:
    """Pointers to a chain's buffers, in the order of C: those of a layer as it names them."""

    def __init__(self, chain: Sequence[Layer]) -> None:
        layers = [(l, layer.buffers()) for l, layer in enumerate(chain)]
        self._names = [(l, name) for l, part in layers for name in part]
        self._shapes = [array.shape for _, part in layers for array in part.values()]

    def of(self, buffers: Views) -> list[Any]:
        """The arrays themselves."""
        return [buffers[l][name] for l, name in self._names]

    def places(self, buffers: Views, dtype: np.dtype[Any]) -> Any | None:
        """C's array of pointers; None where it cannot read or write one."""
        if not self._names:
            return ffi.NULL
        arrays = self.of(buffers)
        if not (readable(dtype, *arrays) and writable(*arrays)):
            return None
        if [array.shape for array in arrays] != self._shapes:
            return None
        return ffi.new("void *[]", [pointer(array) for array in arrays])
