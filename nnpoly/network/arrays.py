"""A network's arrays by name, on the host and from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..backends import host, registry
from ..primitives import Array


def named_buffers(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Buffers of layers by the names that they have in `Network.arrays`."""
    return {f"buffer/{l}/{name}": a for l, part in enumerate(parts) for name, a in part.items()}


def require_shapes(
    where: str, arrays: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse arrays of other names or shapes than are wanted."""
    given = {name: tuple(array.shape) for name, array in arrays.items()}
    for name, shape in wanted.items():
        if given.get(name) != shape:
            came = given.get(name, "none")
            raise ValueError(f"{where}: `{name}` must have shape {shape}, got {came}.")


def checked_array(
    arrays: Mapping[str, host.HostArray], name: str, shape: tuple[int, ...], dtype: str
) -> host.HostArray:
    """The array of that name, if it has this shape and dtype."""
    array = arrays[name]
    if (array.shape, array.dtype.name) != (shape, dtype):
        raise ValueError(
            f"its {name} has shape {array.shape} of {array.dtype}, not {shape} of {dtype}"
        )
    return array


def hosted(arrays: Mapping[str, Array]) -> dict[str, host.HostArray]:
    """The arrays in NumPy."""
    return {name: registry.to_host(array) for name, array in arrays.items()}
