"""Where a network's arrays lie in the state_dict of its torch modules, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .. import activations
from ..backends import host
from ..layers import BatchNorm, Dense, Dropout, Layer, LayerNorm, Residual
from .parts import Part, frozen_in

# torch's names of the arrays of layers that torch has; of others the names stay.
_NAMES: dict[type[Layer], dict[str, str]] = {
    Dense: {"W": "weight", "b": "bias"},
    LayerNorm: {"gain": "weight", "shift": "bias"},
    BatchNorm: {
        "gain": "weight",
        "shift": "bias",
        "mean": "running_mean",
        "variance": "running_var",
    },
    Dropout: {},
}
_MEAN, _COUNT = ".running_mean", ".num_batches_tracked"


class Place(NamedTuple):
    """An array of a state_dict: its key there, and which one of which layer it is.

    Attributes
    ----------
    optional
        Whether it is left out where it is 0 all over: a bias that training keeps as it is.
    frozen
        Whether training keeps it as it is.
    """

    key: str
    layer: int
    name: str
    shape: tuple[int, ...]
    optional: bool
    frozen: bool


def is_native(layer: Layer) -> bool:
    """Whether torch has this layer."""
    if type(layer) is Dense:
        return layer.factor == 1.0
    if type(layer) is Dropout:
        return not layer.schedules()
    return type(layer) in _NAMES


def places(chain: Sequence[Layer], start: str = "") -> Iterator[Place]:
    """Yield the arrays of the state_dict of a chain of layers, in torch's order."""
    index = 0
    for l, layer in enumerate(chain):
        prefix = f"{start}{index}."
        if type(layer) is Residual:
            for i, place in _inside(layer, f"{prefix}layers."):
                yield place._replace(layer=l, name=f"{i}.{place.name}")
        else:
            native, frozen = is_native(layer), frozen_in(layer)
            buffers = {name: array.shape for name, array in layer.buffers().items()}
            for name, shape in {**layer.shapes(), **buffers}.items():
                key = prefix + (_NAMES[type(layer)][name] if native else name)
                optional = type(layer) is Dense and native and name == "b" and name in frozen
                yield Place(key, l, name, shape, optional, name in frozen)
        index += 2 if has_activation(layer) else 1


def _inside(block: Residual, start: str) -> Iterator[tuple[int, Place]]:
    return ((place.layer, place) for place in places(block.layers, start))


def has_activation(layer: Layer) -> bool:
    """Whether a module of its own follows that of a layer, its activation."""
    return is_native(layer) and layer.activation != activations.identity


def state_dict(parts: Sequence[Part]) -> dict[str, host.HostArray]:
    """The arrays of layers by their keys."""
    found = {}
    for place in places([part.layer for part in parts]):
        array = parts[place.layer].arrays[place.name]
        if not place.optional or array.any():
            found[place.key] = array
    return {**found, **counts(found)}


def counts(keys: Iterable[str]) -> dict[str, host.HostArray]:
    """What torch has beside the keys of arrays: how many batches each BatchNorm has seen."""
    means = [key for key in keys if key.endswith(_MEAN)]
    return {key[: -len(_MEAN)] + _COUNT: host.asarray(0, "int64") for key in means}


def parts_in(
    chain: Sequence[Layer], dtype: str, tensors: Mapping[str, host.HostArray]
) -> list[Part]:
    """The layers with their arrays of a state_dict.

    Raises
    ------
    ValueError
        If an array is missing, or has another shape or dtype, or there are more.
    """
    arrays: list[dict[str, host.HostArray]] = [{} for _ in chain]
    left = dict(tensors)
    for place in places(chain):
        array = left.pop(place.key, None)
        if array is None and place.optional:
            array = host.full(place.shape, 0.0).astype(dtype)
        if array is None:
            raise ValueError(f"it lacks {place.key}")
        if (array.shape, array.dtype.name) != (place.shape, dtype):
            raise ValueError(
                f"its {place.key} has shape {array.shape} of {array.dtype}, not {place.shape} of "
                f"{dtype}"
            )
        arrays[place.layer][place.name] = array
    if strangers := left.keys() - counts(tensors).keys():
        raise ValueError(f"it has {min(strangers)}, which is of none of its layers")
    made = zip(chain, arrays, strict=True)
    return [Part(f"layers[{l}]", layer, own) for l, (layer, own) in enumerate(made)]
