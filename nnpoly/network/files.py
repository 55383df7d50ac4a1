"""Networks from files; see `nnpoly.data.container` for the container."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from .. import _checks
from .._described import construct
from ..backends import host
from ..backends.base import FLOATS
from ..data.container import Arrays, named, read, typed
from ..data.place import place_of
from .arrays import hosted
from .mlp import MLP
from .network import Network


class NetworkEntry(TypedDict):
    """A network in a file's header."""

    mlp: bool
    layers: list[dict[str, Any]]
    output: str
    dtype: str
    seed: int


class ExtraFile(TypedDict):
    """The header of every file, as far as it is about the extra data."""

    kind: Literal["network", "trainer", "ensemble"]
    extra: NotRequired[dict[str, Any]]


TABLE, ESTIMATOR = "table", "estimator"  # keys of the extra data of what is more than a network


def estimator_in(extra: dict[str, Any]) -> str:
    """Return the class of the estimator that a file's extra data describe, or ""."""
    entry = extra.get(ESTIMATOR)
    name = entry.get("class") if isinstance(entry, dict) else None
    return name[:40] if isinstance(name, str) else ""


def content_of(file: ExtraFile) -> tuple[str, str]:
    """Return what a file holds and what loads it, in words."""
    extra = file.get("extra", {})
    if TABLE in extra:
        return "a table's model", "nnpoly.tables.load"
    if name := estimator_in(extra):
        return f"a {name!r}", "the `load` of that class"
    return {
        "network": ("a network", "nn.load"),
        "trainer": ("a trainer", "nn.Trainer.load"),
        "ensemble": ("an ensemble", "nn.Ensemble.load"),
    }[file["kind"]]


class NetworkFile(ExtraFile):
    """The header of every file, as far as it is about the network."""

    network: NetworkEntry


def load(path: Any, backend: Any = None, device: Any = None) -> Network:
    """Return the network that `Network.save` or `Trainer.save` wrote.

    Parameters
    ----------
    path
        The file.
    backend, device
        Where the network shall live; None for the default. It need not be where it was saved.

    Raises
    ------
    ValueError
        If the file is truncated, damaged, not nnpoly's, or from another version's format.
    """
    net, _ = load_with_extra(path, backend, device)
    return net


def load_extra(path: Any) -> dict[str, Any]:
    """Return the `extra` that a file was given; empty where it was given none."""
    header, _ = read(path)
    return typed(path, header, ExtraFile).get("extra", {})


def load_with_extra(
    path: Any, backend: Any = None, device: Any = None
) -> tuple[Network, dict[str, Any]]:
    """Load a network and its `extra` in one reading of the file.

    path, backend, device: as of `load`, which raises the same errors.
    """
    return network_in(path, read(path), backend, device)


def network_in(
    path: Any, content: tuple[dict[str, Any], Arrays], backend: Any, device: Any
) -> tuple[Network, dict[str, Any]]:
    """Make the network and the `extra` of a file's content; path names the file in errors."""
    header, arrays = content
    if typed(path, header, ExtraFile)["kind"] == "ensemble":
        raise ValueError(f"load: {path} holds an ensemble. Use nn.Ensemble.load.")
    file = typed(path, header, NetworkFile)
    return network_of(path, file["network"], arrays, backend, device), file.get("extra", {})


def require_finite(path: Any, net: Network) -> None:
    """Refuse a network that is to predict and cannot, since a parameter is NaN or infinite."""
    for name, array in hosted(net.arrays()).items():
        if not host.all_finite(array):
            raise ValueError(
                f"load: {path} cannot be used to predict: its {name} has NaN or infinity, so the "
                "training failed. nn.load reads the network as it is."
            )


def network_of(
    path: Any, entry: NetworkEntry, arrays: Arrays, backend: Any, device: Any
) -> Network:
    """The network of an entry and the arrays of a file; path names the file in errors."""
    kind = MLP if entry["mlp"] else Network
    with named(path):
        chain = construct(entry["layers"])
        dtype = _checks.choice("load", "dtype", entry["dtype"], FLOATS)
    place = place_of(kind.__name__, backend, device, dtype)
    with named(path):
        return kind.of_arrays(chain, entry["output"], entry["seed"], place, arrays)
