"""Encoding: columns as a network's numbers, scaled by medians and quartiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

from ... import _checks
from ..._described import Described
from ...backends import host
from ...backends.ensembles import Input
from .columns import Column, Key

MOST_ONE_HOT = 8  # categories of a column that has an input for each, where others are embedded
MOST_INPUTS = 1000  # of a column, at most
CLIP = 3.0  # no encoded number is larger
LEAST = 1e-30  # added to a spread, as the reference does: 1 / 1e-310 is infinite
LARGEST = 1e300  # distance from the median that is told from infinity
FARTHEST = 1e30  # of a scaled number before it is clipped: its square is finite
FEWEST_NAMES = 20  # different texts of a column that only names the rows, at least


class CategoryColumn(Described):
    """A column of categories.

    Attributes
    ----------
    column
        Its position.
    values
        The categories as texts, in order. A missing cell and an unknown category are none of them.
    embedded
        Whether its input is the category's number, 1, 2, ..., and 0 for none, for an `Embedding`;
        else it has an input for each category, 0 or 1, all 0 for none: but one of two categories
        is 1, -1 and 0, and one alone 1, and -1 for none.
    """

    column: int
    values: tuple[str, ...]
    embedded: bool

    def __post_init__(self) -> None:
        self._set(
            column=_checks.integer("CategoryColumn", "column", self.column, 0),
            values=_checks.distinct("CategoryColumn", "values", self.values, str),
            embedded=_checks.flag("CategoryColumn", "embedded", self.embedded),
        )

    @property
    def width(self) -> int:
        """The number of its inputs."""
        return 1 if self.embedded or len(self.values) in (1, 2) else len(self.values)

    @cached_property
    def _codes(self) -> dict[Key, int]:
        """What stands for each category, and under None for none."""
        if self.embedded or self.width > 1:
            return {None: 0, **{value: i for i, value in enumerate(self.values, 1)}}
        none = 0 if len(self.values) == 2 else -1
        return {None: none, **dict(zip(self.values, (1, -1), strict=False))}

    def inputs(self, column: int) -> list[Input]:
        """Its inputs, unscaled, of a column of `ColumnEncoding.cells`."""
        if self.embedded:
            return [Input("cell", column)]
        if self.width == 1:
            return [Input("number", column)]
        return [Input("value", column, float(code)) for code in range(1, len(self.values) + 1)]

    def cells(self, column: Column) -> host.HostArray:
        """What stands for the cells of a column: (n,)."""
        codes, none = self._codes, self._codes[None]
        places, keys = column.texts()
        return host.asarray([codes.get(key, none) for key in keys])[places]


class ColumnEncoding(Described):
    """The map from columns to a network's inputs.

    In order: the numbers; an indicator for each number that is missing in a row to train on, 1
    where it is and else 0; the inputs of categories that are not embedded; the numbers of
    categories that are. All but the last are centred by the median and divided by the distance of
    the quartiles (by half of the range where that is 0, and a constant is 0), and then clipped
    smoothly, x / sqrt(1 + (x / 3)^2). A missing number is 0, the median: the network is told by
    the indicator, and nothing else is as far from the tails.

    Attributes
    ----------
    numbers
        The positions of the columns of numbers.
    indicated
        Those of them that have an indicator.
    categories
        The columns of categories, those that are embedded last.
    centers, factors
        Of all inputs that are not embedded.
    """

    numbers: tuple[int, ...]
    indicated: tuple[int, ...]
    categories: tuple[CategoryColumn, ...]
    centers: tuple[float, ...]
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        where = "ColumnEncoding"
        self._set(
            numbers=_checks.distinct(where, "numbers", self.numbers, int),
            indicated=_checks.distinct(where, "indicated", self.indicated, int),
            categories=_checks.distinct(where, "categories", self.categories, CategoryColumn),
        )
        if not set(self.indicated) <= set(self.numbers):
            raise ValueError(f"{where}: `indicated` must be among `numbers`.")
        centers = _checks.several(where, "centers", self.centers, self.scaled)
        factors = _checks.several(where, "factors", self.factors, self.scaled)
        self._set(
            centers=tuple(_checks.number(where, "centers", center) for center in centers),
            factors=tuple(_checks.not_negative(where, "factors", factor) for factor in factors),
        )

    @property
    def scaled(self) -> int:
        """The number of inputs that are scaled."""
        shown = [category for category in self.categories if not category.embedded]
        return len(self.numbers) + len(self.indicated) + sum(c.width for c in shown)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of rows of the tables of embedded categories, in order."""
        return tuple(len(c.values) + 1 for c in self.categories if c.embedded)

    @property
    def width(self) -> int:
        """The number of inputs."""
        return self.scaled + len(self.sizes)

    @classmethod
    def fit(
        cls,
        where: str,
        columns: Sequence[Column],
        rows: host.HostArray,
        forced: Collection[int] = (),
        most_one_hot: float = MOST_ONE_HOT,
        warn: Callable[[str], None] = lambda message: None,
    ) -> ColumnEncoding:
        """Fit the encoding: categories by all rows, medians and quartiles by those to train on.

        Parameters
        ----------
        columns
            Of all rows.
        rows
            The indices of the rows to train on.
        forced
            The positions of columns that are categories although they hold numbers.
        most_one_hot
            The categories of a column that are not embedded, at most.
        warn
            Called with a message about each column that is left out.

        Raises
        ------
        ValueError
            If no column is left, and for more than 1000 inputs of one column.
        """
        numbers, categories = [], []
        for j, column in enumerate(columns):
            if j not in forced and column.kind(where) == "number":
                numbers.append(j)
                continue
            counts = column.counts()
            values, count = sorted(counts), sum(counts.values())
            if j not in forced and len(values) == count >= FEWEST_NAMES:
                warn(
                    f"{where}: `{column.name}` has a text of its own in every row, so it says "
                    "nothing about rows to come: it is left out. If it shall not be, name it in "
                    "categorical_features."
                )
            elif values:
                if MOST_INPUTS < len(values) <= most_one_hot:
                    raise ValueError(
                        f"{where}: `{column.name}` must have at most {MOST_INPUTS} categories, "
                        f"each of which is an input, got {len(values)}. Use preset='TD', which "
                        "embeds them."
                    )
                categories.append(CategoryColumn(j, tuple(values), len(values) > most_one_hot))
        categories.sort(key=lambda category: category.embedded)
        gaps = [j for j in numbers if _missing(columns[j].numbers(where)[rows]).any()]
        plain = cls._unscaled(tuple(numbers), tuple(gaps), tuple(categories))
        if not plain.width:
            raise ValueError(
                f"{where}: `X` must have a column to learn from, got {len(columns)} that are empty "
                "or name the rows."
            )
        raw = plain.raw(plain.cells(where, columns))[rows, : plain.scaled]
        raw[:, _missing(raw).all(axis=0)] = 0.0
        centers, factors = [], []
        for low, first, median, third, high in host.five_numbers(raw):
            spread = (third - first) or 0.5 * high - 0.5 * low
            centers.append(median)
            factors.append(1.0 / (spread + LEAST) if spread else 0.0)
        return plain.replace(centers=tuple(centers), factors=tuple(factors))

    @classmethod
    def _unscaled(
        cls, numbers: tuple[int, ...], gaps: tuple[int, ...], categories: tuple[CategoryColumn, ...]
    ) -> ColumnEncoding:
        shown = sum(category.width for category in categories if not category.embedded)
        count = len(numbers) + len(gaps) + shown
        return cls(numbers, gaps, categories, (0.0,) * count, (1.0,) * count)

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of a network, as they come from `cells`."""
        count = len(self.numbers)
        found = [Input("number", i) for i in range(count)]
        found += [Input("missing", self.numbers.index(column)) for column in self.indicated]
        for i, category in enumerate(self.categories):
            found += category.inputs(count + i)
        scales = zip(self.centers, self.factors, strict=True)
        scaled = [
            given._replace(center=center, factor=factor)
            for given, (center, factor) in zip(found, scales, strict=False)
        ]
        return (*scaled, *found[self.scaled :])

    def cells(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """What inputs come from: the numbers, NaN where they are missing, then the categories.

        Returns (n, len(numbers) + len(categories)), float64.
        """
        count, n = len(self.numbers), len(columns[0].cells)
        found = host.empty((n, count + len(self.categories)), "float64")
        for i, column in enumerate(self.numbers):
            found[:, i] = columns[column].reals(where)
        for i, category in enumerate(self.categories, count):
            found[:, i] = category.cells(columns[category.column])
        if host.has_infinity(found):
            for i, column in enumerate(self.numbers):
                columns[column].require_finite(where, found[:, i])
        return found

    def raw(self, cells: host.HostArray) -> host.HostArray:
        """The inputs before they are scaled, NaN where numbers are missing: (n, width)."""
        found = cells.take([given.column for given in self.inputs], axis=1)
        for j, given in enumerate(self.inputs):
            if given.kind == "missing":
                found[:, j] = _missing(found[:, j])
            elif given.kind == "value":
                found[:, j] = found[:, j] == given.value
        return found

    def encoded(self, cells: host.HostArray) -> host.HostArray:
        """The inputs of a network: (n, width), float64."""
        X = self.raw(cells)
        x = X[:, : self.scaled]
        with host.without_overflow():
            x -= host.asarray(self.centers, "float64")
            x.clip(-LARGEST, LARGEST, out=x)
            x *= host.asarray(self.factors, "float64")
        x[_missing(x)] = 0.0
        x.clip(-FARTHEST, FARTHEST, out=x)
        x /= (1.0 + (x / CLIP) ** 2) ** 0.5
        return X

    def encode(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs of a network, of columns: (n, width), float64."""
        return self.encoded(self.cells(where, columns))


def _missing(array: host.HostArray) -> Any:
    """Where an array is NaN."""
    return array != array
