"""What a case of a primitive is, and the table of them, which `cases` fills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

UNITS = 8
Array = np.ndarray
Arguments = dict[str, Any]
Generate = Callable[..., Iterator[tuple[str, int, Arguments]]]


@dataclass(frozen=True)
class Case:
    """One call of a primitive; an argument ``views`` holds the shapes of the views."""

    primitive: str
    name: str
    arguments: Arguments
    terms: int

    def scales(self, arguments: Arguments, results: list[Array]) -> list[Array]:
        """A scale for each result, from the arguments and results in float64."""
        scale = SCALES[self.primitive](results, **arguments)
        return scale if isinstance(scale, list) else [scale]


CASES: dict[str, list[Case]] = {}
SCALES: dict[str, Callable[..., Any]] = {}


def cases(primitive: str, scale: Callable[..., Any]) -> Callable[[Generate], Generate]:
    """Register a generator of cases, which yields (name, terms, arguments)."""

    def enter(generate: Generate) -> Generate:
        rng = np.random.default_rng(list(primitive.encode()))
        SCALES[primitive] = scale
        CASES[primitive] = [
            Case(primitive, name, arguments, terms) for name, terms, arguments in generate(rng)
        ]
        return generate

    return enter


def exact(results: list[Array], **arguments: Any) -> list[float]:
    """Scale 0: nothing is rounded."""
    return [0.0] * len(results)


def relative(results: list[Array], **arguments: Any) -> list[Array]:
    """The magnitudes of the results."""
    return [np.abs(result) for result in results]
