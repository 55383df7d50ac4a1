"""A chain of layers as it is read from a graph, node after node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .. import activations, layers
from ..activations import Activation, Linear
from ..backends import host
from ..data.place import place_of
from ..network import MLP, Network
from .onnx_parsing import FLOATS, NUMBERS, Graph, Unreadable, shown

Arrays = Mapping[str, host.HostArray]
_FROZEN = (0.0, 0.0)
_OUTPUTS = {activations.sigmoid: "sigmoid", activations.Exp(): "exp", activations.step: "step"}
_WITH_ACTIVATION = (layers.Dense, layers.LayerNorm, layers.BatchNorm, layers.Residual)


@dataclass
class Stage:
    """A layer that has been read, to which the next nodes may still belong.

    Attributes
    ----------
    kind, arguments
        Its class and what that is called with, but for the activation.
    arrays, buffers
        Its parameters and buffers by name.
    unset
        The parameters that have their neutral value so far.
    """

    kind: type[layers.Layer]
    arguments: dict[str, Any]
    arrays: dict[str, host.HostArray] = field(default_factory=dict)
    buffers: dict[str, host.HostArray] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    activation: Activation = activations.identity

    def takes(self, parameter: str) -> bool:
        """Whether a parameter may still be set."""
        return parameter in self.unset and self.activation == activations.identity

    @property
    def takes_activation(self) -> bool:
        """Whether an activation that follows is the layer's own."""
        return self.kind in _WITH_ACTIVATION and self.activation == activations.identity

    def layer(self) -> layers.Layer:
        """The layer itself."""
        if self.activation == activations.identity:
            return self.kind(**self.arguments)
        return self.kind(**self.arguments, activation=self.activation)


class Room:
    """The bytes that a network may take: many times its file, but not as many as a file can say."""

    def __init__(self, size: int) -> None:
        self.left = 16 * size + (1 << 26)

    def take(self, size: int) -> None:
        """Take so many bytes, or refuse a file that says more than it has."""
        self.left -= size
        if self.left < 0:
            raise Unreadable("its network would be many times larger than the file")


class Chain:
    """What has been read of a chain of layers, and what comes out of it so far.

    Attributes
    ----------
    width
        The number of columns, or of all of a row's numbers where there are more dimensions.
    dtype
        The floating type; None while the values are integers.
    dimensions
        2, unless rows are images or, at the end, numbers.
    output
        "softmax" after that.
    """

    def __init__(self, width: int | None, dtype: str | None, dimensions: int, room: Room) -> None:
        self.width, self.dtype, self.dimensions, self.room = width, dtype, dimensions, room
        self.output = "identity"
        self.stages: list[Stage] = []

    @classmethod
    def of(cls, graph: Graph) -> Chain:
        """The beginning of a graph."""
        shape = graph.input.shape
        if graph.input.kind not in NUMBERS or (shape is not None and len(shape) < 2):
            raise Unreadable(f"its input {shown(graph.input.name)} is no matrix of numbers")
        sizes = (None,) if shape is None else shape[1:]
        known = [size for size in sizes if size]
        width = prod(known) if len(known) == len(sizes) else None
        dtype = FLOATS.get(graph.input.kind)
        return cls(width, dtype, 1 + len(sizes), Room(graph.size))

    def inner(self) -> Chain:
        """A chain that begins with what comes out of this one."""
        return Chain(self.width, self.dtype, self.dimensions, self.room)

    # What the next nodes need

    def floating(self) -> str:
        """The floating type of what comes out."""
        if self.dtype is None:
            raise Unreadable("its input is of a type that no network has. Cast it to float32 first")
        return self.dtype

    def require_matrix(self) -> None:
        """Refuse a layer on anything but rows and columns."""
        if self.dimensions != 2 or self.output != "identity":
            after = "a softmax" if self.output != "identity" else "rows that are no vectors"
            raise Unreadable(f"a layer comes after {after}")

    def weights(self, array: host.HostArray) -> host.HostArray:
        """A layer's constant, if it is of the network's floating type."""
        if array.dtype.name != self.floating():
            raise Unreadable(f"weights are of {array.dtype}, and what they meet is {self.dtype}")
        return array

    def vector(self, array: host.HostArray) -> host.HostArray:
        """A constant as a number for each column."""
        self.require_matrix()
        found = self.weights(array)
        if self.width is None and found.size > 1:
            self.width = found.size
        width = self.known_width()
        if found.size == 1:
            return self._full(found.item())
        if found.shape[-1:] != (width,) or found.size != width:
            raise Unreadable(f"a constant of shape {found.shape} meets {width} columns")
        return found.reshape(width)

    def known_width(self) -> int:
        """The width, which the input's shape or a layer's weights have said."""
        if self.width is None:
            raise Unreadable("the number of its input's columns is not stated")
        return self.width

    def _full(self, value: float) -> host.HostArray:
        """A number for each column."""
        width, dtype = self.known_width(), np.dtype(self.floating())
        self.room.take(width * dtype.itemsize)
        return np.full(width, value, dtype=dtype)

    def _last(self) -> Stage | None:
        return self.stages[-1] if self.stages else None

    def append(self, stage: Stage) -> None:
        """Add a layer."""
        self.require_matrix()
        parts = (*stage.arrays.values(), *stage.buffers.values())
        self.room.take(sum(part.nbytes for part in parts))
        self.stages.append(stage)

    # Layers

    def dense(self, W: host.HostArray, b: host.HostArray | None) -> None:
        """Add a Dense layer: x W^T + b."""
        W, (m, m_in) = self.weights(W), W.shape
        if self.width not in (None, m_in):
            raise Unreadable(f"weights for {m_in} columns meet {self.width}")
        if not m or not m_in:
            raise Unreadable(f"weights have the shape {W.shape}")
        self.require_matrix()
        self.width = m
        bias = np.zeros(m, dtype=W.dtype) if b is None else self.vector(b)
        unset = ("b",) if b is None else ()
        arguments = {"inputs": m_in, "outputs": m}
        self.append(Stage(layers.Dense, arguments, {"W": W, "b": bias}, unset=unset))

    def scale(self, factors: host.HostArray) -> None:
        """Multiply each column: x s."""
        last = self._last()
        if last is not None and last.takes("gain"):
            last.arrays["gain"] = factors
            last.unset = ("shift",)
            return
        arguments: dict[str, Any] = {"features": factors.size}
        if last is not None and last.kind is layers.Dense and "rates" in last.arguments:
            arguments["rates"] = {"s": _FROZEN}
        self.append(Stage(layers.Scale, arguments, {"s": factors}))

    def shift(self, terms: host.HostArray) -> None:
        """Add to each column: x + b."""
        last = self._last()
        for name in ("b", "shift"):
            if last is not None and last.takes(name):
                last.arrays[name] = terms
                last.unset = ()
                return
        factors = np.ones_like(terms)
        if last is not None and last.kind is layers.Scale:
            factors = self.stages.pop().arrays["s"]
        m = terms.size
        self.room.take(m * m * terms.itemsize)
        rates = {"W": _FROZEN, "b": _FROZEN}
        arguments = {"inputs": m, "outputs": m, "rates": rates}
        self.append(Stage(layers.Dense, arguments, {"W": np.diag(factors), "b": terms}))

    def activate(self, sigma: Activation) -> None:
        """Add sigma: to the layer before, where it has none, else as a layer of its own."""
        last = self._last()
        if sigma == activations.identity:
            return
        if self.output != "identity":
            raise Unreadable("an activation comes after a softmax")
        if last is not None and last.takes_activation:
            last.activation = sigma
            return
        if isinstance(sigma, Linear):
            self.scale(self._full(sigma.a))
            return
        ones = self._full(1.0)
        arguments = {"features": ones.size, "activation": sigma, "rates": {"a": _FROZEN}}
        self.append(Stage(layers.Blend, arguments, {"a": ones}))

    def norm(
        self, kind: type[layers.Layer], arguments: dict[str, Any], arrays: Arrays, buffers: Arrays
    ) -> None:
        """Add a normalisation, whose gain and shift may follow where they are not given."""
        neutral = {"gain": self._full(1.0), "shift": self._full(0.0)}
        unset = tuple(name for name in neutral if name not in arrays)
        arguments = {"features": neutral["gain"].size, **arguments}
        self.append(Stage(kind, arguments, {**neutral, **arrays}, {**buffers}, unset))

    def residual(self, inside: Chain) -> None:
        """Add a short cut: x + F(x)."""
        if inside.width != self.width or inside.dimensions != 2 or inside.output != "identity":
            raise Unreadable("a short cut adds what has another shape")
        arguments = {"layers": [stage.layer() for stage in inside.stages]}
        arrays, buffers = (
            {
                f"{i}.{name}": array
                for i, stage in enumerate(inside.stages)
                for name, array in getattr(stage, part).items()
            }
            for part in ("arrays", "buffers")
        )
        self.append(Stage(layers.Residual, arguments, arrays, buffers))

    # The end

    def network(self, backend: Any, device: Any) -> Network:
        """The network of the layers, whose last activation is its output."""
        self._close()
        if not self.stages:  # nothing but the output
            raise Unreadable("it has no weights")
        place = place_of("from_onnx", backend, device, self.floating())
        kind = MLP if all(stage.kind is layers.Dense for stage in self.stages) else Network
        try:
            chain = [stage.layer() for stage in self.stages]
            pieces = [
                stage.arrays[name]
                for stage, layer in zip(self.stages, chain, strict=True)
                for name in layer.shapes()
            ]
            arrays = {"w": host.vector(pieces, place.dtype)}
            for l, stage in enumerate(self.stages):
                arrays |= {f"buffer/{l}/{name}": array for name, array in stage.buffers.items()}
            return kind.of_arrays(chain, self.output, 0, place, arrays)
        except ValueError as error:
            raise Unreadable(str(error).rstrip(".")) from error

    def _close(self) -> None:
        """Make the last activation the output, or end with a layer that has none."""
        if not self.stages:
            raise Unreadable("it has no weights")
        last = self.stages[-1]
        sigma = last.arguments.get("activation", last.activation)
        if sigma in _OUTPUTS and self.output == "identity":
            self.output = _OUTPUTS[sigma]
            last.activation = activations.identity
            if last.kind is layers.Blend:
                self.stages.pop()
        elif sigma != activations.identity:
            ones = self._full(1.0)
            arguments = {"features": ones.size, "rates": {"s": _FROZEN}}
            self.stages.append(Stage(layers.Scale, arguments, {"s": ones}))
