"""What a file of `to_onnx` says of its network, by which that is read back as it was.

It says so for the very graph that it was written with: one that was changed since, by an optimiser
or a converter, is read node by node as that of any other program.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypedDict

from .._described import construct
from ..backends import Backend, host
from ..data.container import named, typed
from ..layers import check_layers
from ..network import Network
from ..network.files import NetworkEntry, network_of
from ..network.layout import Layout

KEY = "nnpoly.network"  # of a model's metadata
LABELS = "labels"  # the constant of a classifier's


class Entry(TypedDict):
    """What a model's metadata say: the network without its arrays, and its graph's checksum."""

    network: NetworkEntry
    graph: str


def array_name(l: int, name: str) -> str:
    """The constant that is a parameter or a buffer of layer l."""
    return f"layers.{l}.{name}"


def told(net: Network, graph: Any) -> str:
    """The text of the metadata, of a network and its graph."""
    return json.dumps({"network": net.header(), "graph": _checksum(graph)})


def told_of(model: Any) -> str | None:
    """The text of a model's metadata, if it is about the graph that the model has."""
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    return text if text is not None and _checksum(model.graph) in text else None


def own_network(
    path: Any,
    text: str,
    constants: Mapping[str, host.HostArray],
    backend: str | Backend | None,
    device: Any,
) -> Network:
    """The network that a file's metadata tell of; path names the file in errors."""
    with named(path):
        header = json.loads(text)
    entry = typed(path, header, Entry)["network"]
    with named(path):
        chain = check_layers("from_onnx", construct(entry["layers"]))
        slots = Layout(chain).slots
        pieces = [constants[array_name(slot.layer, slot.name)] for slot in slots]
        found = [(piece.shape, piece.dtype.name) for piece in pieces]
        if found != [(slot.shape, entry["dtype"]) for slot in slots]:
            raise ValueError("its parameters are not those of its layers")
        arrays = {"w": host.vector(pieces, entry["dtype"])}
        for l, layer in enumerate(chain):
            for name in layer.buffers():
                arrays[f"buffer/{l}/{name}"] = constants[array_name(l, name)]
    return network_of(path, entry, arrays, backend, device)


def _checksum(graph: Any) -> str:
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
