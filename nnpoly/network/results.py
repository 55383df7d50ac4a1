"""Results of a network: traces, gradients, and its layers with their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..data import entering
from ..data.place import Place
from ..layers import Layer
from ..primitives import Array


class Trace(NamedTuple):
    """Everything a forward pass computed, a layer an entry; layers count from 0.

    Attributes
    ----------
    pre, post
        Pre- and post-activations h~^(l), h^(l): (n, m_l) each. The last post is the output.
    scores, output
        f~ and f: (n, K). Of k members the scores are (n, k K): see `Network.members`.
    """

    pre: list[Array]
    post: list[Array]
    scores: Array
    output: Array


class Gradients(NamedTuple):
    """The gradient of the loss, a layer an entry; layers count from 0.

    Attributes
    ----------
    W, b
        dL/dW^(l): (m_l, m_{l-1}) and dL/db^(l): (m_l,); None for a layer without them.
    delta
        dL/dh~^(l): (n, m_l), the 1/n of the mean loss included.
    parameters
        Every layer's gradients by name (a LayerNorm has "gain" and "shift").
    flat
        All of them as one vector, laid out like `Network.w`: (P,).
    X
        dL/dX: (n, m_0), where it was asked for, else None. By a category's number, which an
        `Embedding` reads, it is 0.
    """

    W: list[Array | None]
    b: list[Array | None]
    delta: list[Array]
    parameters: list[dict[str, Array]]
    flat: Array
    X: Array | None = None


class BoundLayer:
    """A layer of a network together with its parameters, as attributes.

    Attributes
    ----------
    layer
        The frozen description, whose own attributes can be read here too.
    parameters, buffers
        Arrays by name, live where the library's arrays can be written into.
    """

    layer: Layer
    parameters: Mapping[str, Array]
    buffers: Mapping[str, Array]

    def __init__(self, layer: Layer, parameters: dict[str, Array], buffers: dict[str, Array]):
        self.__dict__.update(
            layer=layer,
            parameters=MappingProxyType(parameters),
            buffers=MappingProxyType(buffers),
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle look for those before there are attributes
            raise AttributeError(name)
        for source in (self.parameters, self.buffers):
            if name in source:
                return source[name]
        return getattr(self.layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"layers: `{name}` cannot be assigned, since it would change nothing. Write into the "
            f"array, layers[i].{name}[...] = value, where the library allows it, or assign "
            "Network.w, the vector of all parameters."
        )

    def __repr__(self) -> str:
        return repr(self.layer)


def classes_of(where: str, place: Place, output: str, f: Array) -> Array:
    """The classes of predictions f: (n, K), as integers: see `Network.classify`."""
    if output not in ("softmax", "sigmoid", "step"):
        raise ValueError(
            f"{where}: the output {output!r} has no classes; its predictions are net(X). For "
            "classes make the network with output='softmax' or output='sigmoid'."
        )
    entering.require_finite(where, place, f, "net(X)")
    xp = place.backend.xp
    with place.scope():
        if output == "softmax":
            return xp.argmax(f, axis=1)
        labels = xp.astype(f >= 0.5, place.backend.dtype(place.backend.index_dtype))
        return labels[:, 0] if labels.shape[1] == 1 else labels
