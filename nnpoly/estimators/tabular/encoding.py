"""Encoding: columns as a network's numbers, scaled by medians and quartiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, ClassVar

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

    @cached_property
    def codes(self) -> dict[Key, int]:
        """What stands for each category, and under None for none."""
        if self.embedded or not self._in_one:
            return {None: 0, **{value: i for i, value in enumerate(self.values, 1)}}
        none = 0 if len(self.values) == 2 else -1
        return {None: none, **dict(zip(self.values, (1, -1), strict=False))}

    def inputs(self, column: int) -> list[Input]:
        """Its inputs, unscaled, of a column of `Encoding.cells`."""
        if self.embedded:
            return [Input("cell", column)]
        if self._in_one:
            return [Input("number", column)]
        count = len(self.values)
        return [Input("value", column, value=float(code)) for code in range(1, count + 1)]

    def cells(self, column: Column) -> host.HostArray:
        """What stands for the cells of a column: (n,)."""
        codes, none = self.codes, self.codes[None]
        places, keys = column.texts()
        return host.asarray([codes.get(key, none) for key in keys])[places]


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

    _smooth: ClassVar[bool] = False  # whether what is scaled is clipped

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

    @property
    def _scales(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The centers and the factors of what is scaled, of `cells`."""
        return self.centers, self.factors

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of a network, as they come from `cells`."""
        count = len(self.numbers)
        found = [Input("number", i) for i in range(count)]
        found += [Input("missing", self.numbers.index(column)) for column in self.indicated]
        for i, category in enumerate(self.categories):
            found += category.inputs(count + i)
        scales = zip(*self._scales, strict=True)
        scaled = [
            given._replace(center=center, factor=factor, smooth=self._smooth)
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
                found[:, j] = missing(found[:, j])
            elif given.kind == "value":
                found[:, j] = found[:, j] == given.value
        return found

    def scaled_raw(self, cells: host.HostArray) -> host.HostArray:
        """The inputs, centred and scaled, NaN where numbers are missing: (n, width)."""
        X, scales = self.raw(cells), map(host.asarray, self._scales)
        X[:, : self.scaled] = scaled(X[:, : self.scaled], *scales)
        return X

    def encoded(self, cells: host.HostArray) -> host.HostArray:
        """The inputs of a network, of `cells`: (n, width), float64."""
        X = self.scaled_raw(cells)
        x = X[:, : self.scaled]
        x[missing(x)] = 0.0
        if self._smooth:
            x /= (1.0 + (x / CLIP) ** 2) ** 0.5
        return X

    def encode(self, where: str, columns: Sequence[Column]) -> host.HostArray:
        """The inputs of a network, of columns: (n, width), float64."""
        return self.encoded(self.cells(where, columns))


class ColumnEncoding(Encoding):
    """The encoding by quartiles.

    Inputs that are scaled are centred by the median and divided by the distance of the quartiles
    (by half of the range where that is 0, and a constant is 0), and then clipped smoothly,
    x / sqrt(1 + (x / 3)^2). A missing number is 0, the median: nothing else is as far from the
    tails.
    """

    _smooth = True

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
        raw = plain.raw(plain.cells(where, columns))[rows, : plain.scaled]
        raw[:, missing(raw).all(axis=0)] = 0.0
        centers, factors = [], []
        for low, first, median, third, high in host.five_numbers(raw):
            spread = (third - first) or 0.5 * high - 0.5 * low
            centers.append(median)
            factors.append(1.0 / (spread + LEAST) if spread else 0.0)
        kinds = plain.numbers, plain.indicated, plain.categories
        return cls(*kinds, tuple(centers), tuple(factors))


def scaled(x: host.HostArray, centers: Any, factors: Any) -> host.HostArray:
    """The numbers, centred and scaled, and finite unless they are NaN."""
    with host.without_overflow():
        found: host.HostArray = (x - centers).clip(-LARGEST, LARGEST)
        found *= factors
    return found.clip(-FARTHEST, FARTHEST, out=found)


def missing(array: host.HostArray) -> Any:
    """Where an array is NaN."""
    return array != array
