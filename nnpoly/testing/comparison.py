"""Comparison of a backend with the definition in float64, in units that follow from rounding.

Both compute one function of the same inputs, which are rounded to the tested dtype first. A unit is
eps * sqrt(terms) * magnitude: eps is the machine epsilon of the dtype; terms is the length of the
longest sum in the function, whose rounding errors add up like a random walk; magnitude is the
largest entry of the result plus its change for relative changes of 1 of the inputs in random
directions, which allows for cancellation inside the function.

With precision "bf16" the definition rounds the factors of products too. Given the same factors both
round them to the same numbers, whose products are exact in float32, so the unit is the same. Where
a function computes the factors itself (the inner layers of a residual block), one that lies half
way between two numbers of bfloat16 may go to the one or to the other: they are 2^-7 apart at most,
half of it either side, so eps is 2^-8 there. It is everywhere on a backend that rounds only where
that is faster.
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
ROUNDOFF = {None: 0.0, "bf16": 2.0**-8}  # of the factors of products
_NUDGE = 1e-6


class Error(NamedTuple):
    """The largest error of an array, in units, and the element that has it."""

    array: str
    units: float
    detail: str


@dataclass(frozen=True)
class Subject:
    """A backend with the dtype to test it in, and the precision of its products."""

    backend: Backend
    dtype: str
    precision: str | None = None

    @cached_property
    def eps(self) -> float:
        """The dtype's machine epsilon."""
        return float(np.finfo(self.dtype).eps)

    @property
    def reference(self) -> Ops:
        """The definitions, of the tested precision."""
        return REFERENCE.ops_with(self.precision)

    @property
    def roundoff(self) -> float:
        """The relative error of a rounded factor."""
        return ROUNDOFF[self.precision]

    def rounded(self, tree: Any) -> Any:
        """Round the real arrays in nested containers to the dtype; they stay float64."""
        return mapped(lambda a: a.astype(self.dtype).astype("float64"), tree)

    def convert(self, tree: Any) -> Any:
        """Copy the arrays in nested containers to the backend; integers keep their type."""
        device = self.backend.device(None)

        def copied(array: Any) -> Any:
            kind = self.dtype if array.dtype.kind == "f" else array.dtype
            return self.backend.from_host(array.astype(kind, copy=True), device)

        return mapped(copied, tree, integers=True)

    def errors(
        self,
        function: Callable[..., dict[str, Any]],
        *inputs: Any,
        terms: int | None = None,
        makes_factors: bool = False,
        takes_categories: bool = False,
    ) -> list[Error]:
        """Compare the arrays in the dict `function(ops, *inputs)`.

        Parameters
        ----------
        terms
            Of its longest sum; None for unknown.
        makes_factors
            Whether it computes factors of products, which are not among the inputs.
        takes_categories
            Whether whole numbers among its inputs are categories, which have nothing between them.
        """
        inputs = self.rounded(inputs)
        with np.errstate(all="ignore"):
            exact = function(self.reference, *inputs)
            # Without rounded factors: a step from one number to the next is no derivative.
            moved = _nudge(inputs, keeps_whole=takes_categories)
            start, nudged = (function(REFERENCE.ops, *a) for a in (inputs, moved))
        actual = function(self.backend.ops_with(self.precision), *self.convert(inputs))
        if terms is None:
            terms = max((max(a.shape, default=1) for a in leaves(inputs)), default=1)
        rounds_alike = self.backend.rounds_all and not makes_factors
        eps = self.eps if rounds_alike else max(self.eps, self.roundoff)
        return [
            self._error(name, value, nudged[name] - start[name], actual[name], eps, terms)
            for name, value in exact.items()
        ]

    def _error(
        self, name: str, exact: Any, change: Any, actual: Any, eps: float, terms: int
    ) -> Error:
        expected, found = np.asarray(exact), registry.to_host(actual)
        if found.shape != expected.shape or found.dtype != self.dtype:
            kind = f"{found.dtype} {found.shape}"
            return Error(name, math.inf, f"is {kind}, should be {self.dtype} {expected.shape}")
        moved = np.max(np.abs(change), initial=0.0) / _NUDGE
        magnitude = np.max(np.abs(expected), initial=0.0) + moved
        unit = eps * math.sqrt(terms) * magnitude + float(np.finfo(self.dtype).tiny)
        units, detail = _largest_error(found.astype("float64"), expected, unit)
        return Error(name, units, detail)


def _largest_error(found: Any, expected: Any, unit: float) -> tuple[float, str]:
    """Return the largest error in units, and its element in words; NaN is an infinite error."""
    is_equal = (found == expected) | (np.isnan(found) & np.isnan(expected))
    difference = np.where(is_equal, 0.0, np.abs(found - expected))
    units = np.where(np.isnan(difference), np.inf, difference) / unit
    if units.size == 0:
        return 0.0, "is empty"
    place = np.unravel_index(int(np.argmax(units)), units.shape)
    index = f"[{', '.join(str(int(i)) for i in place)}]" if place else ""
    return float(units[place]), f"{index} is {found[place]:.9g}, should be {expected[place]:.9g}"


def _nudge(tree: Any, keeps_whole: bool) -> Any:
    """Change real numbers in nested containers by a relative 1e-6, up or down at random.

    All of them, or those that are not whole.
    """
    rng = np.random.default_rng(0)

    def nudged(array: Any) -> Any:
        moved = array * (1.0 + _NUDGE * rng.choice([-1.0, 1.0], array.shape))
        return np.where(array == np.round(array), array, moved) if keeps_whole else moved

    return mapped(nudged, tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the arrays in nested tuples, lists and dicts."""
    if isinstance(tree, np.ndarray | np.generic):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)


def mapped(function: Callable[[Any], Any], tree: Any, integers: bool = False) -> Any:
    """Apply a function to the real arrays in nested containers, or to all with `integers`."""
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
    """Compare a primitive on a set of arguments."""

    def call(ops: Ops, *inputs: Any) -> dict[str, Any]:
        result = getattr(ops, name)(*inputs)
        results = result if isinstance(result, tuple) else (result,)
        return {f"result {i}": value for i, value in enumerate(results) if value is not None}

    elementwise = getattr(args[0], "ndim", 0) == 1 and name != "clip_norm"
    terms = 1 if elementwise else None
    return subject.errors(call, *args, terms=terms, takes_categories=name.startswith("embed"))
