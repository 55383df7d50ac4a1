"""Comparison of a backend with the definition in float64, in units that follow from rounding.

Both compute the same function from the same inputs, first rounded to the tested dtype. One unit is
eps * sqrt(terms) * magnitude: eps is the dtype's machine epsilon; terms is the length of the
longest sum in the function, whose rounding errors add up like a random walk; magnitude is the
result's largest entry plus how far it moves when the inputs move by a relative 1 in random
directions, so that cancellation inside the function is not held against the backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend, registry
from ..backends.reference import Reference
from ..primitives import Ops

REFERENCE = Reference()
LIMIT = 4.0  # units; correct backends stay under 2
_NUDGE = 1e-6


class Error(NamedTuple):
    """How far one array is from the definition's."""

    array: str
    units: float
    detail: str


@dataclass(frozen=True)
class Subject:
    """A backend computing in a dtype."""

    backend: Backend
    dtype: str

    @cached_property
    def eps(self) -> float:
        """The dtype's machine epsilon."""
        return float(np.finfo(self.dtype).eps)

    def rounded(self, tree: Any) -> Any:
        """Return the tree with its real arrays rounded to the dtype, still float64."""
        return mapped(lambda a: a.astype(self.dtype).astype("float64"), tree)

    def convert(self, tree: Any) -> Any:
        """Return the tree with fresh arrays of the backend; integers keep their type."""
        device = self.backend.device(None)

        def enter(array: Any) -> Any:
            kind = self.dtype if array.dtype.kind == "f" else array.dtype
            return self.backend.from_host(array.astype(kind, copy=True), device)

        return mapped(enter, tree, integers=True)

    def errors(
        self, function: Callable[..., dict[str, Any]], *inputs: Any, terms: int | None = None
    ) -> list[Error]:
        """Compare `function(ops, *inputs)`, a dict of arrays, and return the errors by array."""
        inputs = self.rounded(inputs)
        with np.errstate(all="ignore"):
            exact = function(REFERENCE.ops, *inputs)
            nudged = function(REFERENCE.ops, *_nudge(inputs))
        actual = function(self.backend.ops, *self.convert(inputs))
        size = terms or max((max(a.shape, default=1) for a in leaves(inputs)), default=1)
        return [
            self._error(name, value, nudged[name], actual[name], size)
            for name, value in exact.items()
        ]

    def _error(self, name: str, exact: Any, nudged: Any, actual: Any, terms: int) -> Error:
        expected, given = np.asarray(exact), registry.to_host(actual)
        if given.shape != expected.shape or given.dtype != self.dtype:
            came = f"{given.dtype} {given.shape}"
            return Error(name, math.inf, f"is {came}, should be {self.dtype} {expected.shape}")
        moved = np.max(np.abs(np.asarray(nudged) - expected), initial=0.0) / _NUDGE
        magnitude = np.max(np.abs(expected), initial=0.0) + moved
        unit = self.eps * math.sqrt(terms) * magnitude + float(np.finfo(self.dtype).tiny)
        return Error(name, *_worst(given.astype("float64"), expected, unit))


def _worst(given: Any, expected: Any, unit: float) -> tuple[float, str]:
    """Return the largest error in units, and which element has it; NaN counts as infinite."""
    difference = np.abs(given - expected)
    difference = np.where(
        (given == expected) | (np.isnan(given) & np.isnan(expected)), 0.0, difference
    )
    units = np.where(np.isnan(difference), np.inf, difference) / unit
    if units.size == 0:
        return 0.0, "is empty"
    place = np.unravel_index(int(np.argmax(units)), units.shape)
    index = f"[{', '.join(str(int(i)) for i in place)}]" if place else ""
    return float(units[place]), f"{index} is {given[place]:.9g}, should be {expected[place]:.9g}"


def _nudge(tree: Any) -> Any:
    rng = np.random.default_rng(0)
    return mapped(lambda a: a * (1.0 + _NUDGE * rng.choice([-1.0, 1.0], a.shape)), tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yield every array in nested tuples, lists and dicts."""
    if isinstance(tree, np.ndarray | np.generic):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)


def mapped(function: Callable[[Any], Any], tree: Any, integers: bool = False) -> Any:
    """Return nested tuples, lists and dicts with `function` applied to their arrays."""
    if isinstance(tree, np.ndarray | np.generic):
        return function(np.asarray(tree)) if integers or tree.dtype.kind == "f" else tree
    if isinstance(tree, dict):
        return {name: mapped(function, value, integers) for name, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(mapped(function, value, integers) for value in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(function, value, integers) for value in tree)
    return tree


def primitive_errors(subject: Subject, name: str, args: tuple[Any, ...]) -> list[Error]:
    """Compare one primitive on one set of arguments."""

    def call(ops: Ops, *inputs: Any) -> dict[str, Any]:
        result = getattr(ops, name)(*inputs)
        results = result if isinstance(result, tuple) else (result,)
        return {f"result {i}": value for i, value in enumerate(results)}

    elementwise = getattr(args[0], "ndim", 0) == 1 and name != "clip_norm"
    terms = 1 if elementwise else None
    return subject.errors(call, *args, terms=terms)
