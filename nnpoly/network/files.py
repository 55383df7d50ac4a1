"""Networks from files; see `nnpoly.data.container` for the container."""

from __future__ import annotations

from typing import Any

from .. import _checks
from .._described import construct
from ..backends.base import FLOATS
from ..data.container import Arrays, named, read
from .mlp import MLP
from .network import Network, place_of


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
    return network_of(path, *read(path), backend, device)


def load_extra(path: Any) -> dict[str, Any]:
    """Return the `extra` that a file was given; empty where it was given none."""
    header, _ = read(path)
    return dict(header.get("extra", {}))


def load_with_extra(
    path: Any, backend: Any = None, device: Any = None
) -> tuple[Network, dict[str, Any]]:
    """Load a network and its `extra` in one reading of the file.

    path, backend, device: as of `load`, which raises the same errors.
    """
    header, arrays = read(path)
    return network_of(path, header, arrays, backend, device), dict(header.get("extra", {}))


def network_of(
    path: Any, header: dict[str, Any], arrays: Arrays, backend: Any, device: Any
) -> Network:
    """The network of a file's header and arrays; path names the file in errors."""
    with named(path):
        described = header["network"]
        kind = MLP if described["mlp"] else Network
        chain = construct(described["layers"])
        output, seed = described["output"], described["seed"]
        dtype = _checks.choice("load", "dtype", described["dtype"], FLOATS)
    place = place_of(kind.__name__, backend, device, dtype)
    with named(path):
        return kind.of_arrays(chain, output, seed, place, arrays)
