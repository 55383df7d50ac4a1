"""Layers with their arrays, on the host: as they go to another library, and as they come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .. import activations
from ..activations import Activation, Identity
from ..backends import host, registry
from ..data.place import place_of
from ..layers import BatchNorm, Dense, Layer, LayerNorm, MemberDense, Residual, SharedDense
from ..losses import OUTPUTS
from ..network import MLP, Layout, Network
from ..network.arrays import named_buffers
from ..training import Trainer

FROZEN = (0.0, 0.0)  # the rates of a parameter that training keeps as it is
_NONE = activations.identity


class Part(NamedTuple):
    """A layer with its parameters and buffers by name, and what it is called in errors."""

    name: str
    layer: Layer
    arrays: Mapping[str, host.HostArray]

    @property
    def inner(self) -> list[Part]:
        """The parts of a residual block."""
        assert isinstance(self.layer, Residual)
        pairs = zip(self.layer.layers, self.layer.parts(self.arrays), strict=True)
        return [Part(f"{self.name}.layers[{i}]", *pair) for i, pair in enumerate(pairs)]


def frozen_in(layer: Layer) -> set[str]:
    """The names of a layer's parameters that training keeps as they are."""
    return {name for name, (rate, _) in layer.parameter_rates().items() if rate == 0.0}


def plain_network(where: str, model: Any) -> Network:
    """The network of a model that computes nothing else; others are refused."""
    if isinstance(model, Trainer):
        model = model.network
    if isinstance(model, Network):
        return model
    from .describing import describe_model  # which needs what estimators and tables need

    found = describe_model(model, where)
    if not found.plain or found.averaged is not None:
        raise ValueError(
            f"{where}: `model` must be one network, got {found.kind}, which computes more than "
            "that: it prepares its inputs, or averages networks. Write all of it by to_onnx or "
            "to_c, or pass one of its networks."
        )
    return found.networks[0]


def parts_of(net: Network) -> list[Part]:
    """The layers of a network."""
    return [
        Part(
            f"layers[{l}]",
            bound.layer,
            {k: registry.to_host(a) for k, a in {**bound.parameters, **bound.buffers}.items()},
        )
        for l, bound in enumerate(net.layers)
    ]


def every_part(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts in order; those inside a residual block follow it."""
    for part in parts:
        yield part
        if isinstance(part.layer, Residual):
            yield from every_part(part.inner)


class Chain:
    """What is read from another library, layer by layer.

    There an activation is a layer of its own. Here it belongs to the layer before, or is the
    network's output where nothing follows.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.parts: list[Part] = []
        self._after: tuple[str, Activation] | None = None  # the activation of the last layer
        self._ending: tuple[str, str] | None = None

    def add(self, name: str, layer: Layer, arrays: Mapping[str, host.HostArray]) -> None:
        """Append a layer."""
        self._require_open(name)
        self.settle()
        self.parts.append(Part(name, layer, arrays))

    def activate(self, name: str, activation: Activation) -> None:
        """Append an activation."""
        self._require_open(name)
        if not isinstance(activation, Identity):
            self.settle()
            self._after = name, activation

    def end(self, name: str, output: str) -> None:
        """Append an output, which nothing may follow."""
        self._require_open(name)
        self.settle()
        self._ending = name, output

    def block(self, name: str, inner: Chain) -> None:
        """Append a residual block of the layers of another chain."""
        inner._require_open(f"the end of {name}")
        inner.settle()
        arrays = {f"{i}.{k}": a for i, p in enumerate(inner.parts) for k, a in p.arrays.items()}
        self.add(name, Residual([part.layer for part in inner.parts]), arrays)

    def settle(self) -> None:
        """Give the last layer the activation that follows it."""
        if self._after is None:
            return
        (name, activation), last = self._after, self.parts[-1] if self.parts else None
        if last is None or type(last.layer) not in _ACTIVATED or last.layer.activation != _NONE:
            before = (
                f"comes after {last.name}, a {type(last.layer).__name__}" if last else "is first"
            )
            raise ValueError(
                f"{self.where}: {name} is an activation and {before}. One must follow a dense "
                "layer, a normalisation or a residual block, and no other activation."
            )
        self._after = None
        self.parts[-1] = last._replace(layer=last.layer.replace(activation=activation))

    def network(
        self, output: str | None, seed: int | None = 0, backend: Any = None, device: Any = None
    ) -> Network:
        """The network of the layers, whose arrays are of one dtype.

        output: of layers that end in scores; None: the identity.
        """
        where, parts, output = self.where, self.parts, self._output(output)
        if not parts:
            raise ValueError(f"{where}: there must be a layer, got none.")
        kinds = {array.dtype.name: part for part in parts for array in part.arrays.values()}
        if len(kinds) != 1:
            named = " and ".join(f"{part.name} {dtype}" for dtype, part in kinds.items())
            raise ValueError(
                f"{where}: all arrays must have one dtype, got {named or 'no array at all'}."
            )
        place = place_of(where, backend, device, next(iter(kinds)))
        chain = [part.layer for part in parts]
        w = Layout(chain).pieces([part.arrays for part in parts])
        buffers = [{k: part.arrays[k] for k in part.layer.buffers()} for part in parts]
        arrays = {"w": host.vector(w, place.dtype), **named_buffers(buffers)}
        kind = MLP if all(type(layer) is Dense for layer in chain) else Network
        return kind.of_arrays(chain, output, seed, place, arrays)

    def _output(self, output: str | None) -> str:
        """The network's output."""
        ending = self._ending
        if self._after is not None:
            name, activation = self._after
            if type(activation) not in _OUTPUTS:
                raise ValueError(
                    f"{self.where}: {name} must be followed by a layer, since a network ends in "
                    f"one of the outputs {', '.join(OUTPUTS)}, got {activation} at the end."
                )
            ending = name, _OUTPUTS[type(activation)]
        if ending is None:
            return output or "identity"
        if output not in (None, ending[1]):
            raise ValueError(
                f"{self.where}: `output` must be None or {ending[1]!r}, which {ending[0]} is, got "
                f"{output!r}."
            )
        return ending[1]

    def _require_open(self, name: str) -> None:
        if self._ending is not None:
            raise ValueError(
                f"{self.where}: {self._ending[0]}, {self._ending[1]}, must be the last one, got "
                f"{name} after it."
            )


_ACTIVATED = (Dense, LayerNorm, BatchNorm, Residual, MemberDense, SharedDense)
_OUTPUTS: dict[type[Activation], str] = {
    activations.Exp: "exp",
    activations.Sigmoid: "sigmoid",
    activations.Step: "step",
}


def filled(m: int, value: float, like: host.HostArray) -> host.HostArray:
    """What stands for a parameter that is not there: (m,), of the dtype of another."""
    return host.full((m,), value).astype(like.dtype)


def rates_of(frozen: Mapping[str, bool]) -> dict[str, tuple[float, float]]:
    """A layer's rates, by whether each of its parameters is kept as it is."""
    return {name: FROZEN for name, kept in frozen.items() if kept}


def refused(where: str, part: Part, target: str) -> ValueError:
    """The error about a layer that another library cannot hold."""
    return ValueError(
        f"{where}: {target} cannot hold {part.name}, {part.layer}. Leave it out, or write the "
        "whole model by to_onnx or to_c."
    )
