"""The layout: where every parameter lies in the flat vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple, TypeVar

from ..backends.steps import Views
from ..layers import Layer
from ..primitives import Array, Namespace

A = TypeVar("A")  # an array, of the network's library or of the host


class Slot(NamedTuple):
    """The place of one parameter in the flat vector."""

    layer: int
    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Layout:
    """The flat vector's order: layer by layer, W then b."""

    def __init__(self, chain: Sequence[Layer]) -> None:
        self.depth = len(chain)
        self.slots: list[Slot] = []
        self.size = 0
        for l, layer in enumerate(chain):
            for name, shape in layer.shapes().items():
                stop = self.size + prod(shape)
                self.slots.append(Slot(l, name, shape, self.size, stop))
                self.size = stop

    def views(self, xp: Namespace, w: Array) -> Views:
        """Return each layer's parameters by name: views of w where the library has views."""
        parts: Views = [{} for _ in range(self.depth)]
        for slot in self.slots:
            parts[slot.layer][slot.name] = xp.reshape(w[slot.start : slot.stop], slot.shape)
        return parts

    def pieces(self, parts: Sequence[Mapping[str, A]]) -> list[A]:
        """Return the parameters of all layers in the flat vector's order."""
        return [parts[slot.layer][slot.name] for slot in self.slots]
