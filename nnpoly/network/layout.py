"""The layout: where every parameter lies in the flat vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple, TypeVar

from ..backends.steps import Segment, Views
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


UNCHANGED = (1.0, 1.0)  # the factors of a parameter that has the optimiser's own rates


def _append(segments: list[Segment], new: Segment) -> None:
    """Append a segment, or lengthen the last one where its factors are the same."""
    if segments and segments[-1].factors == new.factors:
        new = new._replace(start=segments.pop().start)
    segments.append(new)


def _others(factors: Iterable[float]) -> tuple[float, ...]:
    return tuple(dict.fromkeys(factor for factor in factors if factor != 1.0))


class Layout:
    """The flat vector's order: layer by layer, W then b.

    Attributes
    ----------
    slots
        The parameters' places.
    size
        P, their number in all.
    segments
        The parts of equal factors of learning rate and weight decay, in order; none where all
        parameters have the optimiser's own rates.
    rates, decays
        The factors of each kind that are not 1, each once.
    """

    def __init__(self, chain: Sequence[Layer]) -> None:
        self.depth = len(chain)
        self.slots: list[Slot] = []
        self.size = 0
        segments: list[Segment] = []
        for l, layer in enumerate(chain):
            shapes, rates = layer.shapes(), layer.parameter_rates()
            if not rates.keys() <= shapes.keys():
                raise ValueError(
                    f"Network: `parameter_rates` of {layer} names {', '.join(rates)}, but its "
                    f"parameters are {', '.join(shapes) or 'none'}."
                )
            for name, shape in shapes.items():
                stop = self.size + prod(shape)
                self.slots.append(Slot(l, name, shape, self.size, stop))
                _append(segments, Segment(self.size, stop, *rates.get(name, UNCHANGED)))
                self.size = stop
        plain = [Segment(0, self.size, *UNCHANGED)]
        self.segments = () if segments == plain else tuple(segments)
        self.rates, self.decays = (_others(part.factors[i] for part in segments) for i in (0, 1))

    def views(self, xp: Namespace, w: Array) -> Views:
        """Return each layer's parameters by name: views of w where the library has views."""
        parts: Views = [{} for _ in range(self.depth)]
        for slot in self.slots:
            parts[slot.layer][slot.name] = xp.reshape(w[slot.start : slot.stop], slot.shape)
        return parts

    def pieces(self, parts: Sequence[Mapping[str, A]]) -> list[A]:
        """Return the parameters of all layers in the flat vector's order."""
        return [parts[slot.layer][slot.name] for slot in self.slots]
