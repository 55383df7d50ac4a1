"""Parameters: one flat vector and its views, and buffers, in the place where a network lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import _checks
from ..backends import host, registry
from ..backends.steps import Views
from ..data.place import Place, place_of
from ..layers import Layer
from ..primitives import Array, Ops
from .arrays import hosted, named_buffers, require_shapes
from .layout import Layout

_NOT_KEPT = ("_remembered", "_predictions", "_buffers", "place")  # in a pickle: made anew
_ATTRIBUTES = ("chain", "inputs", "outputs", "ends", "output", "seed", "layout", "place")


class Parameters:
    """What training changes of a network: w and the buffers, by layers that are given.

    Attributes
    ----------
    chain, layout, place
        The layers, where their parameters lie in w, and where w lives.
    replaced
        How often w and the buffers became other arrays.
    """

    chain: tuple[Layer, ...]
    layout: Layout
    place: Place
    replaced = 0

    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all arrays, by the names that they have in `arrays`."""
        buffers = named_buffers([layer.buffers() for layer in self.chain])
        return {"w": (self.layout.size,), **{name: start.shape for name, start in buffers.items()}}

    def from_host(self, array: host.HostArray) -> Array:
        """Return a copy of a NumPy array where the network lives, in its dtype."""
        copied = array.astype(self.dtype, copy=True)
        with self.place.scope():
            return self.place.backend.from_host(copied, self.place.device)

    def _place_buffers(self, parts: Sequence[Mapping[str, Any]]) -> Views:
        return [
            {name: self.from_host(registry.to_host(value)) for name, value in part.items()}
            for part in parts
        ]

    @property
    def ops(self) -> Ops:
        """The table of primitives of the network's backend."""
        return self.place.backend.ops

    @property
    def backend(self) -> str:
        """The name of the backend that the parameters live on."""
        return self.place.backend.name

    @property
    def device(self) -> Any:
        """The library's own device object."""
        return self.place.device

    @property
    def dtype(self) -> str:
        """The floating type's name."""
        return self.place.dtype

    @property
    def w(self) -> Array:
        """All trainable parameters as one vector, W then b, layer by layer: (P,).

        It is the network's own buffer, and every W and b is a view of it, where the library's
        arrays can be written into (not in JAX, where the next training step deletes it): copy it to
        keep it. Assigning copies the new values in.
        """
        return self._w

    @w.setter
    def w(self, value: Any) -> None:
        vector = self.place.real("Network.w", "w", value)
        if tuple(vector.shape) != (self.layout.size,):
            raise ValueError(
                f"Network.w: `w` must have shape ({self.layout.size},), got "
                f"{tuple(vector.shape)}. The order is W then b, layer by layer."
            )
        self.adopt(self.place.backend.copy(vector), self.buffers)

    @property
    def buffers(self) -> Views:
        """What training changes but does not differentiate, by layer and name.

        Those are the running means and variances of `BatchNorm`. On NumPy and CuPy training steps
        write into these arrays, as into `w`: copy them to keep them. A fit that takes an epoch back
        (an error, Ctrl-C) has arrays of its own from then on. Assigning copies new values in.
        """
        return self._buffers

    @buffers.setter
    def buffers(self, parts: Sequence[Mapping[str, Any]]) -> None:
        arrays = {"w": self._w, **named_buffers(parts)}
        require_shapes("Network.buffers", arrays, self.array_shapes())
        self.adopt(self._w, self._place_buffers(parts))

    def adopt(self, w: Array, buffers: Views) -> None:
        """Make w and the buffers the network's own, without copies: nobody else may hold them."""
        self._w, self._buffers = w, buffers
        self.replaced += 1

    def arrays(self) -> dict[str, Array]:
        """All arrays by name, live: "w", and the buffers as "buffer/l/name"."""
        return {"w": self._w, **named_buffers(self.buffers)}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Copy in the values of arrays named as in `arrays`, of any backend.

        Raises
        ------
        ValueError
            If one is missing, or has another shape.
        """
        require_shapes("Network.restore", arrays, self.array_shapes())
        self._copy_in(arrays)

    def _copy_in(self, arrays: Mapping[str, Any]) -> None:
        parts = [
            {name: arrays[f"buffer/{l}/{name}"] for name in layer.buffers()}
            for l, layer in enumerate(self.chain)
        ]
        self.adopt(self.from_host(registry.to_host(arrays["w"])), self._place_buffers(parts))

    def views(self, w: Array) -> Views:
        """Each layer's parameters as views of w, remembered while w stays the same array."""
        remembered = self.__dict__.get("_remembered")
        if remembered is None or remembered[0] is not w:
            xp = self.place.backend.xp
            if w is not self._w:
                return self.layout.views(xp, w)
            with self.place.backend.eager():  # what is remembered outlives a trace
                remembered = (w, self.layout.views(xp, w))
            self._remembered = remembered
        return remembered[1]

    def __getstate__(self) -> dict[str, Any]:
        """The arrays from the host, without views of them."""
        state = {k: v for k, v in self.__dict__.items() if k not in _NOT_KEPT}
        state["_w"] = registry.to_host(self._w)
        state["buffers"] = [hosted(part) for part in self.buffers]
        return {**state, "place": (self.place.backend, self.dtype)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        backend, dtype = state.pop("place")
        buffers = state.pop("buffers")
        self.__dict__.update(state)
        self.place = place_of(type(self).__name__, backend, None, dtype)
        self._w = self.from_host(state["_w"])
        self._buffers = self._place_buffers(buffers)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__ and name not in _ATTRIBUTES:
            _checks.assignable(self, name, "Parameters are written to as net.w or net.layers[0].W")
        object.__setattr__(self, name, value)
