"""Encoding by quantiles: numbers as networks take them, normally distributed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from scipy.special import ndtri

from ... import _checks
from ...backends import host
from .columns import Column
from .encoding import LEAST, Encoding, missing, scaled

MOST, FEWEST, ROWS = 1000, 10, 30  # of quantiles of a column, and the rows for one
NOISE = 1e-3  # beside the quartiles' distance, of the numbers whose quantiles are learnt
CONSTANT = (-1.0, 1.0)  # quantiles between which 0 is the median
NEAR = 1e-7  # within which a number is the least or the largest, as in scikit-learn
TAILS = ndtri(NEAR), ndtri(1.0 - NEAR)  # what these become


class QuantileEncoding(Encoding):
    """The encoding by quantiles, after which a number is normally distributed.

    A number's rank among those in training, between 0 and 1, becomes the number below which a
    standard normal one is with that probability; it is known at up to 1000 quantiles, and
    interpolated. A missing number is 0, the median. Indicators, and categories, which have an input
    each, are 0 and 1.

    Numbers are first centred by the median and divided by the distance of the quartiles of their
    different values. To them a little noise is added, always the same, before the quantiles are
    found: equal numbers then are in the middle of their ranks, and the least and the largest of a
    few values are not in the tails.

    Attributes
    ----------
    quantiles
        Of each number, rising: from the least to the largest, at equal steps.
    bins
        Of each number, after it is encoded: the edges of bins of equally many rows, for
        `nn.PiecewiseLinear`; none at all where they are not wanted.
    """

    quantiles: tuple[tuple[float, ...], ...] = ()
    bins: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        where, count = type(self).__name__, len(self.numbers)
        found = _checks.several(where, "quantiles", self.quantiles, count)
        edges = _checks.several(where, "bins", self.bins, count if self.bins else 0)
        self._set(
            quantiles=tuple(_rising(where, "quantiles", column, False) for column in found),
            bins=tuple(_rising(where, "bins", column, True) for column in edges),
        )

    @classmethod
    def fit(
        cls,
        where: str,
        columns: Sequence[Column],
        rows: host.HostArray,
        forced: Collection[int] = (),
        bins: int = 0,
        remedy: str = "Embed them.",
        warn: Callable[[str], None] = lambda message: None,
    ) -> QuantileEncoding:
        """Fit it by the rows to train on.

        Parameters
        ----------
        bins
            Of each number.
        others
            As of `Encoding.of_columns`.
        """
        of_kind: dict[str, Any] = {"most_one_hot": float("inf"), "remedy": remedy, "signed": False}
        plain = Encoding.of_columns(where, columns, rows, forced, warn, **of_kind)
        d, kinds = len(plain.numbers), (plain.numbers, plain.indicated, plain.categories)
        cells = plain.cells(where, columns)
        raw = plain.raw(cells)[rows, :d]
        raw[:, missing(raw).all(axis=0)] = 0.0
        centers, factors = [0.0] * plain.scaled, [1.0] * plain.scaled
        for i in range(d):
            different = host.unique(raw[:, i])[:, None]
            _, first, centers[i], third, _ = host.five_numbers(different)[0]
            factors[i] = 1.0 / (third - first + LEAST) if third > first else 0.0
        scales = tuple(centers), tuple(factors)
        x = Encoding(*kinds, *scales).scaled_raw(cells)[rows, :d]
        x[:, missing(x).all(axis=0)] = 0.0
        x += NOISE * host.generator(0).standard_normal(x.shape)
        count = min(max(len(rows) // ROWS, FEWEST), MOST, len(rows))
        quantiles = zip(host.even_quantiles(x, count), factors, strict=False)
        made = cls(*kinds, *scales, tuple(q if factor else CONSTANT for q, factor in quantiles))
        if not (bins and d):
            return made
        encoded = host.cast(made.encode(where, columns)[rows, :d], "float32")
        edges = host.quantiles(encoded, min(bins, max(1, len(rows) - 1)) + 1)
        return made.replace(bins=tuple(map(_edges, edges)))

    @property
    def _scales(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        count = len(self.numbers)  # which `cells` has encoded
        return (0.0,) * count + self.centers[count:], (1.0,) * count + self.factors[count:]

    def cells(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """What inputs come from: as of `Encoding`, the numbers by their quantiles."""
        found = super().cells(where, columns)
        scales = zip(self.centers, self.factors, self._points, strict=False)
        for i, (center, factor, points) in enumerate(scales):
            found[:, i] = by_quantiles(found[:, i], center, factor, points)
        return found

    @cached_property
    def _points(self) -> list[host.HostArray]:
        """The quantiles as arrays."""
        return [host.asarray(column) for column in self.quantiles]


def by_quantiles(
    x: host.HostArray, center: float, factor: float, quantiles: host.HostArray
) -> host.HostArray:
    """The numbers below which a standard normal one is with the probabilities that x's ranks are.

    The same as of scikit-learn's QuantileTransformer, which takes much longer for a few rows. x,
    the result: (n,); x is scaled first. quantiles: (q,), rising.
    """
    x = scaled(x, center, factor)
    levels = host.even_steps(len(quantiles))
    # Of equal quantiles the one way finds the highest level, the other the lowest.
    up = host.interpolated(x, quantiles, levels)
    down = host.interpolated(-x, -quantiles[::-1], -levels[::-1])
    p: host.HostArray = 0.5 * (up - down)
    p[x + NEAR > quantiles[-1]] = 1.0
    p[x - NEAR < quantiles[0]] = 0.0
    z: host.HostArray = ndtri(p).clip(*TAILS)
    return z


def _edges(column: list[float]) -> tuple[float, ...]:
    """Edges that differ in float32, two at least."""
    edges = host.unique(host.asarray(column, "float32")).tolist()
    return tuple(edges) if len(edges) > 1 else (edges[0] - 1.0, edges[0] + 1.0)


def _rising(where: str, name: str, column: Any, strictly: bool) -> tuple[float, ...]:
    """Numbers of which none is less than the one before."""
    given = _checks.several(where, name, column)
    numbers = tuple(_checks.number(where, name, number) for number in given)
    falls = any(a > b or (strictly and a == b) for a, b in pairwise(numbers))
    if not numbers or falls:
        raise ValueError(f"{where}: `{name}` must be rising numbers, got {column!r}.")
    return numbers
