"""Predictions of ensembles for tables in one call of the C core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..._core import ffi, lib
from ...layers import Layer
from ..ensembles import Averaged, Input
from ..host import HostArray as Array
from ..steps import Views
from .chains import Buffers, reason_against, table_of
from .core import FLOAT64, check, dtype_code, pointer, readable
from .prediction import OUTPUTS

KINDS = {
    "cell": lib.NNPOLY_AS_IS,
    "number": lib.NNPOLY_NUMBER,
    "missing": lib.NNPOLY_MISSING,
    "value": lib.NNPOLY_VALUE,
}
REMEMBERED = 32  # ensembles


class _Same:
    """A key that is equal to those of the same object alone, which it keeps."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it


def ensemble_prediction(
    chains: Sequence[Sequence[Layer]],
    dtype: np.dtype[Any],
    precision: str | None,
    inputs: Sequence[Input],
    averaged: Averaged,
) -> Callable[..., Array | None] | None:
    """The mean of the predictions of networks of these layers as one call, or None."""
    return _remembered(tuple(map(_Same, chains)), dtype, precision, _Same(inputs), averaged)


@lru_cache(maxsize=REMEMBERED)
def _remembered(
    chains: tuple[_Same, ...],
    dtype: np.dtype[Any],
    precision: str | None,
    inputs: _Same,
    averaged: Averaged,
) -> EnsemblePrediction | None:
    chain = chains[0].it
    if reason_against(chain, dtype) or any(other.it != chain for other in chains):
        return None
    return EnsemblePrediction(chain, dtype, precision, inputs.it, averaged)


class EnsemblePrediction:
    """The mean of networks' predictions, from cells of a table, in one call."""

    def __init__(
        self,
        chain: Sequence[Layer],
        dtype: np.dtype[Any],
        precision: str | None,
        inputs: Sequence[Input],
        averaged: Averaged,
    ) -> None:
        table = table_of(chain, training=False)
        rows = [(KINDS[given.kind], *given[1:]) for given in inputs]
        arrays = averaged._asdict()
        output = arrays.pop("output")
        members = chain[-1].members
        self._dtype, self._outputs = dtype, table.outputs // members
        self._columns = 1 + max(given.column for given in inputs)
        self._buffers = Buffers(chain)
        self._fields = {
            "dtype": dtype_code(dtype, precision),
            "depth": table.depth,
            "output": OUTPUTS[output],
            "members": members,
            "layers": table.layers,
            "inputs": ffi.new("struct nnpoly_input[]", rows),
            **{name: _numbers(given) for name, given in arrays.items()},
        }
        self._held = table  # which owns what C reads

    def __call__(self, networks: Sequence[tuple[Array, Views]], cells: Array) -> Array | None:
        """The mean of the networks' predictions: (n, K); None for what C cannot read as it is."""
        vectors = [w for w, _ in networks]
        if not readable(self._dtype, *vectors) or not readable(FLOAT64, cells):
            return None
        n, columns = cells.shape
        places = [pointer(w) for w in vectors]
        running = [self._buffers.places(buffers, self._dtype) for _, buffers in networks]
        if columns < self._columns or any(found is None for found in running):
            return None
        w = ffi.new("void *[]", places)
        buffers = ffi.new("void *[]", [p for found in running if found for p in found])
        fields = {"networks": len(places), "columns": columns, "w": w, "buffers": buffers}
        ensemble = ffi.new("struct nnpoly_ensemble *", {**self._fields, **fields})
        mean = np.empty((n, self._outputs))
        check(lib.nnpoly_predict_mean(ensemble, pointer(cells), pointer(mean), n))
        return mean


def _numbers(given: Sequence[float] | None) -> Any:
    """C's array of float64, or NULL."""
    return ffi.NULL if given is None else ffi.new("double[]", given)
