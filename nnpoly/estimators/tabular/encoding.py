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
        else it has an input for each category, 0 or 1, all 0 for none.
    signed
        Whether one of two categories is rather 1, -1 and 0 for none, and one alone 1, and -1 for
        none.
    """

    column: int
    values: tuple[str, ...]
    embedded: bool
    signed: bool = True

    def __post_init__(self) -> None:
        self._set(
            column=_checks.integer("CategoryColumn", "column", self.column, 0),
            values=_checks.distinct("CategoryColumn", "values", self.values, str),
            embedded=_checks.flag("CategoryColumn", "embedded", self.embedded),
            signed=_checks.flag("CategoryColumn", "signed", self.signed),
        )

    @property
    def _in_one(self) -> bool:
        """Whether one input tells its categories apart by the sign."""
        return self.signed and len(self.values) in (1, 2)

    @property
    def width(self) -> int:
        """The number of its inputs."""
        return 1 if self.embedded or self._in_one else len(self.values)

    def write(self, keys: Sequence[Key], block: host.HostArray) -> None:
        """Write the inputs of cells into a block: (n, width)."""
        place = {value: i for i, value in enumerate(self.values, 1)}
        numbers = host.asarray([0 if key is None else place.get(key, 0) for key in keys])
        if self.embedded:
            block[:, 0] = numbers
        elif self._in_one:
            codes = [-1.0, 1.0] if len(self.values) == 1 else [0.0, 1.0, -1.0]
            block[:, 0] = host.asarray(codes)[numbers]
        else:
            for i in range(len(self.values)):
                block[:, i] = numbers == i + 1


class Encoding(Described):
    """The map from columns to a network's inputs.

    In order: the numbers; an indicator for each number that is missing in some row to train on, but
    not in all, 1 where it is and else 0; the inputs of categories that are not embedded; the
    numbers of categories that are. All but the last are centred and scaled. A missing number is 0:
    the network is told by the indicator.

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
        where = type(self).__name__
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

    @staticmethod
    def of_columns(
        where: str,
        columns: Sequence[Column],
        rows: host.HostArray,
        forced: Collection[int],
        warn: Callable[[str], None],
        *,
        most_one_hot: float,
        remedy: str,
        signed: bool = True,
    ) -> Encoding:
        """The encoding before anything is scaled: categories by all rows.

        Parameters
        ----------
        columns
            Of all rows.
        rows
            The indices of the rows to train on.
        forced
            The positions of columns that are categories although they hold numbers.
        warn
            Called with a message about each column that is left out.
        most_one_hot
            The categories of a column that are not embedded, at most.
        remedy
            What to do about a column of too many categories that are not embedded.
        signed
            Of `CategoryColumn`.

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
                        f"each of which is an input, got {len(values)}. {remedy}"
                    )
                embedded = len(values) > most_one_hot
                categories.append(CategoryColumn(j, tuple(values), embedded, signed))
        categories.sort(key=lambda category: category.embedded)
        gone = {j: missing(columns[j].numbers(where)[rows]) for j in numbers}
        gaps = [j for j in numbers if gone[j].any() and not gone[j].all()]
        shown = sum(category.width for category in categories if not category.embedded)
        count = len(numbers) + len(gaps) + shown
        kinds = tuple(numbers), tuple(gaps), tuple(categories)
        plain = Encoding(*kinds, (0.0,) * count, (1.0,) * count)
        if not plain.width:
            raise ValueError(
                f"{where}: `X` must have a column to learn from, got {len(columns)} that are empty "
                "or name the rows."
            )
        return plain

    def raw(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs before they are scaled, NaN where numbers are missing: (n, width)."""
        X = host.empty((len(columns[0].cells), self.width), "float64")
        gaps = {column: len(self.numbers) + i for i, column in enumerate(self.indicated)}
        for i, column in enumerate(self.numbers):
            X[:, i] = columns[column].numbers(where)
            if column in gaps:
                X[:, gaps[column]] = missing(X[:, i])
        start = len(self.numbers) + len(self.indicated)
        for category in self.categories:
            category.write(columns[category.column].texts(), X[:, start : start + category.width])
            start += category.width
        return X

    def scaled_raw(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs, centred and scaled, NaN where numbers are missing: (n, width)."""
        X = self.raw(where, columns)
        x = X[:, : self.scaled]
        with host.without_overflow():
            x -= host.asarray(self.centers, "float64")
            x.clip(-LARGEST, LARGEST, out=x)
            x *= host.asarray(self.factors, "float64")
        x.clip(-FARTHEST, FARTHEST, out=x)
        return X

    def encode(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs of a network: (n, width), float64."""
        X = self.scaled_raw(where, columns)
        x = X[:, : self.scaled]
        x[missing(x)] = 0.0
        return X


class ColumnEncoding(Encoding):
    """The encoding by quartiles.

    Inputs that are scaled are centred by the median and divided by the distance of the quartiles
    (by half of the range where that is 0, and a constant is 0), and then clipped smoothly,
    x / sqrt(1 + (x / 3)^2). A missing number is 0, the median: nothing else is as far from the
    tails.
    """

    @classmethod
    def fit(
        cls,
        where: str,
        columns: Sequence[Column],
        rows: host.HostArray,
        forced: Collection[int] = (),
        most_one_hot: float = MOST_ONE_HOT,
        remedy: str = "Embed them.",
        warn: Callable[[str], None] = lambda message: None,
    ) -> ColumnEncoding:
        """Fit it by the rows to train on; the arguments are of `Encoding.of_columns`."""
        of_kind: dict[str, Any] = {"most_one_hot": most_one_hot, "remedy": remedy}
        plain = Encoding.of_columns(where, columns, rows, forced, warn, **of_kind)
        raw = plain.raw(where, columns)[:, : plain.scaled][rows]
        raw[:, missing(raw).all(axis=0)] = 0.0
        centers, factors = [], []
        for low, first, median, third, high in host.five_numbers(raw):
            spread = (third - first) or 0.5 * high - 0.5 * low
            centers.append(median)
            factors.append(1.0 / (spread + LEAST) if spread else 0.0)
        kinds = plain.numbers, plain.indicated, plain.categories
        return cls(*kinds, tuple(centers), tuple(factors))

    def encode(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        X = super().encode(where, columns)
        x = X[:, : self.scaled]
        x /= (1.0 + (x / CLIP) ** 2) ** 0.5
        return X


def missing(array: host.HostArray) -> Any:
    """Where an array is NaN."""
    return array != array
