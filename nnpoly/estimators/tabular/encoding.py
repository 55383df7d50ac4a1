"""Encoding: columns as a network's numbers, scaled by medians and quartiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ... import _checks
from ..._described import Described
from ...backends import host
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

    def write(self, keys: Sequence[Key], block: host.HostArray) -> None:
        """Write the inputs of cells into a block: (n, width)."""
        place = {value: i for i, value in enumerate(self.values, 1)}
        numbers = host.asarray([0 if key is None else place.get(key, 0) for key in keys])
        if self.embedded:
            block[:, 0] = numbers
        elif len(self.values) <= 2:
            codes = [-1.0, 1.0] if len(self.values) == 1 else [0.0, 1.0, -1.0]
            block[:, 0] = host.asarray(codes)[numbers]
        else:
            for i in range(len(self.values)):
                block[:, i] = numbers == i + 1


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
            keys = [key for key in column.texts() if key is not None]
            values = sorted(set(keys))
            if j not in forced and len(values) == len(keys) >= FEWEST_NAMES:
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
        raw = plain.raw(where, columns)[:, : plain.scaled][rows]
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

    def raw(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs before they are scaled, NaN where numbers are missing: (n, width)."""
        X = host.empty((len(columns[0].cells), self.width), "float64")
        gaps = {column: len(self.numbers) + i for i, column in enumerate(self.indicated)}
        for i, column in enumerate(self.numbers):
            X[:, i] = columns[column].numbers(where)
            if column in gaps:
                X[:, gaps[column]] = _missing(X[:, i])
        start = len(self.numbers) + len(self.indicated)
        for category in self.categories:
            category.write(columns[category.column].texts(), X[:, start : start + category.width])
            start += category.width
        return X

    def encode(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs of a network: (n, width), float64."""
        X = self.raw(where, columns)
        x = X[:, : self.scaled]
        with host.without_overflow():
            x -= host.asarray(self.centers, "float64")
            x.clip(-LARGEST, LARGEST, out=x)
            x *= host.asarray(self.factors, "float64")
        x[_missing(x)] = 0.0
        x.clip(-FARTHEST, FARTHEST, out=x)
        x /= (1.0 + (x / CLIP) ** 2) ** 0.5
        return X


def _missing(array: host.HostArray) -> Any:
    """Where an array is NaN."""
    return array != array
