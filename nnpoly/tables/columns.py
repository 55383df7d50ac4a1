"""The columns of a table as the inputs of a network: numbers, categories and their scaling.

scikit-learn fits the preprocessing; the result is plain numbers, which files can hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._described import Described
from .table import Table, polars
from .wording import listed

UNKNOWN = ("error", "ignore")
MOST_CATEGORIES = 1000  # each is an input of the network
FEWEST_IDENTIFIERS = 20  # distinct texts of a column of identifiers, at least
IDENTIFIERS = 0.9  # share of distinct texts above which a column only names the rows
NUMERIC = ("boolean", "integer", "number")
TEMPORAL = {  # what matters of such columns
    "date": "year, month, weekday, days since ...",
    "time": "hours since midnight, say",
    "duration": "of seconds or days, say",
}
LARGEST, CLOSEST = 1e140, 1e-140  # of numbers whose squares, and sums of them, float64 holds
FARTHEST = 3e38  # standardised, as the networks' float32 holds
MOST_DENSE = 8_000_000  # numbers of an X that is mostly zeros; a larger one is sparse
LEAST_SPARSE = 4  # times the numbers that are not zero that an X has that is mostly zeros
CORRECT = "Correct it, or leave it empty if it is unknown"


def require_sklearn() -> None:
    """Raise an ImportError with the remedy if scikit-learn is missing."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError("Fitting needs scikit-learn: pip install nnpoly[tables]") from error


@dataclass(frozen=True)
class Schema:
    """The roles of a table's columns: numbers, categories, or left out.

    Attributes
    ----------
    numbers
        The names of the columns of numbers.
    categories
        The names of the columns of categories; the value is True if the cells are numbers.
    left_out
        The names of the other columns, each with the reason.
    notes
        The names of columns of categories that look like numbers, each with why they are none.
    """

    numbers: tuple[str, ...]
    categories: dict[str, bool]
    left_out: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        table: Table,
        target: str,
        rows: Any,
        categorical: Iterable[str] = (),
        drop: Iterable[str] = (),
        most_categories: float = MOST_CATEGORIES,
    ) -> Schema:
        """Tell the roles of the columns of a table.

        Parameters
        ----------
        table
            All rows: a column's type is told from all of its cells.
        target
            The column to predict; it is not an input.
        rows
            The indices (n,) of the rows to train on. Constants and identifiers are told from these.
        categorical
            Names of columns to read as categories although they hold numbers, or texts that are
            nearly all distinct.
        drop
            Names of columns to leave out; a mapping has the reason of each.
        most_categories
            The categories of a column, at most.

        Raises
        ------
        ValueError
            For an unknown name, dates, texts among numbers, a column without a name that is no
            index, and too many categories.
        """
        reasons = dict(drop) if isinstance(drop, Mapping) else dict.fromkeys(drop, "as asked")
        categorical = tuple(categorical)
        _require_free(table, target, categorical, tuple(reasons))
        training = table.take(rows)
        index = [name for name in table.index if name != target and name not in categorical]
        left_out = {name: table.why_index(name) for name in index}
        left_out |= reasons
        table.tell_kinds()
        numbers: list[str] = []
        categories: dict[str, bool] = {}
        notes: dict[str, str] = {}
        for name in table.names:
            if name == target or name in left_out:
                continue
            forced = name in categorical
            if _is_category(table, name, forced or name in table.categorical):
                categories[name] = table.kind(name) in NUMERIC
                notes[name] = "" if forced else table.why_texts(name)
                reason = _useless_category(
                    training, name, categories[name], forced, notes[name], most_categories
                )
            else:
                numbers.append(name)
                reason = _useless_number(training, name)
            if reason:
                left_out[name] = reason
        return cls(
            numbers=tuple(name for name in numbers if name not in left_out),
            categories={n: numeric for n, numeric in categories.items() if n not in left_out},
            left_out=left_out,
            notes={name: why for name, why in notes.items() if why and name not in left_out},
        )


def _require_free(table: Table, target: str, *named: tuple[str, ...]) -> None:
    for names in named:
        for name in names:
            table.column(name)
            if name == target:
                raise ValueError(f"Schema: column {target!r} is the target, so it is no input.")


def _is_category(table: Table, name: str, forced: bool) -> bool:
    """Tell a category from a number; `forced` columns are categories.

    Raises
    ------
    ValueError
        For a column without a name, dates, and texts among numbers.
    """
    kind = table.kind(name)
    if name == "":
        at = table.names.index(name) + 1
        raise ValueError(
            f"Schema: {table.source}: column {at} has no name: give it one, or leave it out "
            "(--drop '\"\"')."
        )
    if kind in TEMPORAL and not forced:
        what = (
            f", a {kind}. Leave the column out (--drop), or write what matters of it "
            f"({TEMPORAL[kind]}) as numbers"
        )
        raise table.refuse(name, what, int(table.column(name).is_not_null().arg_true()[0]))
    row = table.slip(name) if kind == "text" and not forced else None
    if row is not None:
        what = (
            ", but most of its cells are numbers. Correct it, leave it empty if it is unknown, or "
            "name the column in `categorical` or `drop` (--categorical, --drop)"
        )
        raise table.refuse(name, what, row)
    return forced or kind == "text"


def _useless_number(training: Table, name: str) -> str:
    """Return the reason to leave out a column of numbers, or ""."""
    values = training.numbers(name)
    known = values[~np.isnan(values)]
    if not known.size:
        return "it is empty"
    spread = known.max() - known.min() if abs(known).max() < LARGEST else np.inf
    if known.size == values.size and spread == 0.0:
        return f"it {training.constant(name)}"
    if 0.0 < spread < CLOSEST:
        return f"its numbers differ by less than {CLOSEST:g}: write them in another unit"
    return ""


def _useless_category(
    training: Table, name: str, numeric: bool, forced: bool, why: str, most: float
) -> str:
    """Return the reason to leave out a column of categories, or "".

    why: why its texts are no numbers, if they look so. most: of its categories.
    """
    hint = f" ({why})" if why else ""
    texts = training.texts(name, numeric)
    known = [text for text in texts if text is not None]
    distinct = len(set(known))
    if not known:
        return "it is empty"
    if len(set(texts)) == 1:
        return f"it is always {known[0]!r}"
    if not forced and distinct >= FEWEST_IDENTIFIERS and distinct > IDENTIFIERS * len(known):
        return f"{distinct} of its {len(known)} texts differ, such as {known[0]!r}{hint}"
    if distinct > most:
        raise ValueError(
            f"Schema: {training.source}: column {name!r} has {distinct} categories, more than "
            f"{most:g}{hint}. Leave it out (--drop), group the rare ones first, or take a model "
            "that embeds them (--model realmlp)."
        )
    return ""


class Category(Described):
    """A one-hot encoded column: one input a category, 1 for the row's category and else 0.

    Attributes
    ----------
    name
        The column's name.
    numeric
        True if the cells are numbers: 1 and 1.0 are one category.
    values
        The categories in order. None is the category of missing cells.
    """

    name: str
    numeric: bool
    values: tuple[str | None, ...]

    def __post_init__(self) -> None:
        where = "Category"
        values = _checks.distinct(where, "values", self.values, (str, type(None)))
        self._set(name=_checks.text(where, "name", self.name), values=values)
        if not values or not isinstance(self.numeric, bool):
            raise ValueError(
                f"{where}: `values` must have an entry and `numeric` be True or False, got "
                f"{values!r} and {self.numeric!r}."
            )

    def places(self, table: Table, unknown: str) -> NDArray[np.int64]:
        """Return the place of each row's category: (n,).

        With unknown="ignore" that of an unknown category is -1.
        """
        found = table.found(self.name, self.values, self.numeric)
        if unknown == "error":
            known = listed([value for value in self.values if value is not None])
            what = (
                f", which is none of the categories in training ({known}). Correct it, or have it "
                "ignored: unknown='ignore' (--unknown ignore)"
            )
            table.require(self.name, found >= 0, what)
        return found

    def unknown(self, table: Table) -> NDArray[np.bool_]:
        """Return True for rows with a category that was not in training: (n,)."""
        return self.places(table, "ignore") < 0


class Preprocessing(Described):
    """The map from the columns of a table to the inputs of a network.

    A number x becomes (x - mean) / scale; a missing number is replaced by the median first. A
    column with missing numbers in training also has an indicator, 1 for a missing cell and else 0,
    which is standardised likewise. Categories are one-hot encoded.

    Attributes
    ----------
    numbers
        The names of the columns of numbers.
    medians
        The median of each of them. None: a missing cell is refused.
    indicated
        The names of the numbers that have an indicator.
    means, scales
        The means and standard deviations of the numbers, then of the indicators.
    categories
        The columns of categories, a `Category` each.

    Examples
    --------
    >>> import polars
    >>> from nnpoly.tables import Preprocessing, Schema, Table
    >>> columns = {"x": [1.0, None, 3.0], "size": ["S", "M", "S"], "y": [0, 1, 0]}
    >>> table = Table("shop.parquet", polars.DataFrame(columns))
    >>> schema = Schema.of(table, "y", rows=[0, 1, 2])
    >>> fitted = Preprocessing.fit(table, schema)
    >>> fitted.names
    ('x', 'x is missing', "size = 'M'", "size = 'S'")
    >>> fitted.encode(table).round(2)
    array([[-1.22, -0.71,  0.  ,  1.  ],
           [ 0.  ,  1.41,  1.  ,  0.  ],
           [ 1.22, -0.71,  0.  ,  1.  ]])
    """

    numbers: tuple[str, ...]
    medians: tuple[float | None, ...]
    indicated: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        where = "Preprocessing"
        numbers = _checks.distinct(where, "numbers", self.numbers, str)
        indicated = _checks.distinct(where, "indicated", self.indicated, str)
        categories = _checks.distinct(where, "categories", self.categories, Category)
        medians = _checks.several(where, "medians", self.medians, len(numbers))
        count = len(numbers) + len(indicated)
        means = _checks.several(where, "means", self.means, count)
        scales = _checks.several(where, "scales", self.scales, count)
        self._set(
            numbers=numbers,
            medians=tuple(m if m is None else _checks.number(where, "medians", m) for m in medians),
            indicated=indicated,
            means=tuple(_checks.number(where, "means", mean) for mean in means),
            scales=tuple(_checks.positive(where, "scales", scale) for scale in scales),
            categories=categories,
        )
        _checks.distinct(where, "numbers and categories", self.columns, str)
        if strangers := set(indicated) - set(numbers):
            raise ValueError(
                f"{where}: `indicated` must be among `numbers`, got {min(strangers)!r}."
            )

    @classmethod
    def fit(cls, table: Table, schema: Schema) -> Preprocessing:
        """Fit the preprocessing to a table, which must have the rows to train on and no others.

        Raises
        ------
        ValueError
            If no column is left to learn from, and for numbers over 1e140.
        ImportError
            If scikit-learn is missing.
        """
        if not schema.numbers and not schema.categories:
            whys = "; ".join(f"{name!r} ({reason})" for name, reason in schema.left_out.items())
            why = f"Left out: {whys}" if whys else "It has the target alone: add columns"
            raise ValueError(f"Preprocessing: {table.source} has no column to learn from. {why}.")
        imputer, scaler, encoder = _transformers(table, schema)
        indicated = imputer.indicator_.features_.tolist() if schema.numbers else []
        return cls(
            numbers=schema.numbers,
            medians=tuple(imputer.statistics_.tolist()) if schema.numbers else (),
            indicated=tuple(schema.numbers[i] for i in indicated),
            means=tuple(scaler.mean_.tolist()) if schema.numbers else (),
            scales=tuple(scaler.scale_.tolist()) if schema.numbers else (),
            categories=tuple(
                Category(name, numeric, values.tolist())
                for (name, numeric), values in zip(
                    schema.categories.items(), encoder.categories_, strict=True
                )
            )
            if schema.categories
            else (),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that a table must have."""
        return (*self.numbers, *(category.name for category in self.categories))

    @property
    def kinds(self) -> Mapping[str, str]:
        """What each of them holds, in words."""
        kinds = dict.fromkeys(self.numbers, "number")
        kinds |= dict.fromkeys(self.indicated, "number, or missing")
        return kinds | {c.name: f"one of {len(c.values)} categories" for c in self.categories}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs: (m_0,)."""
        indicators = (f"{name} is missing" for name in self.indicated)
        groups = (
            f"{c.name} is missing" if value is None else f"{c.name} = {value!r}"
            for c in self.categories
            for value in c.values
        )
        return (*self.numbers, *indicators, *groups)

    def encode(self, table: Table, unknown: str = "error") -> Any:
        """Encode the rows of a table as inputs: (n, m_0), a NumPy array of float64.

        A large one of many categories is sparse: one of SciPy's, in CSR format.

        Parameters
        ----------
        table
            A table with the columns `columns`, in any order; other columns are ignored.
        unknown
            "error" refuses categories that were not in training, "ignore" encodes them as zeros.

        Raises
        ------
        ValueError
            For a missing column, a cell of a wrong type, infinity, a number too far from those in
            training, and unknown categories. The message names the cell and its row.
        """
        _checks.choice("Preprocessing", "unknown", unknown, UNKNOWN)
        if not isinstance(table, Table):
            raise TypeError(
                "Preprocessing.encode: `table` must be a Table, as nnpoly.tables.read(path) makes "
                f"it of a file, got {type(table).__name__}."
            )
        for name in self.columns:
            table.column(name)
        numbers = self._numbers(table)
        places = [category.places(table, unknown) for category in self.categories]
        widths = [numbers.shape[1], *(len(category.values) for category in self.categories)]
        used, shape = widths[0] + len(places), (len(table), sum(widths))
        if math.prod(shape) > MOST_DENSE and LEAST_SPARSE * used < shape[1]:
            return _sparse(numbers, places, widths)
        X = np.zeros(shape)
        X[:, : widths[0]] = numbers
        for start, column in zip(accumulate(widths), places, strict=False):
            known = np.flatnonzero(column >= 0)
            X[known, start + column[known]] = 1.0
        return X

    def _numbers(self, table: Table) -> NDArray[np.float64]:
        """Return the standardised numbers and indicators: (n, numbers + indicators)."""
        X = np.empty((len(table), len(self.means)))
        indicators = {name: len(self.numbers) + i for i, name in enumerate(self.indicated)}
        for j, (name, median) in enumerate(zip(self.numbers, self.medians, strict=True)):
            values = table.numbers(name)
            missing = np.isnan(values)
            if median is None:
                table.require(name, ~missing, ", but may not be missing")
            X[:, j] = values if median is None else np.where(missing, median, values)
            if name in indicators:
                X[:, indicators[name]] = missing
        with np.errstate(over="ignore"):
            X -= self.means
            X /= self.scales
        for name, x, mean, scale in zip(self.numbers, X.T, self.means, self.scales, strict=False):
            require_near(table, name, x, mean, scale)
        return X


def _sparse(numbers: NDArray[np.float64], places: list[Any], widths: list[int]) -> Any:
    """Return numbers and one-hot encoded categories as a sparse matrix of widths' sum columns."""
    from scipy import sparse

    blocks = [sparse.csr_array(numbers)]
    for column, width in zip(places, widths[1:], strict=True):
        known = column >= 0
        ends = np.concatenate([[0], np.cumsum(known)])
        ones = np.ones(int(ends[-1]))
        blocks.append(sparse.csr_array((ones, column[known], ends), (len(column), width)))
    return sparse.hstack(blocks, format="csr")


def require_near(
    table: Table, name: str, standardised: NDArray[np.float64], mean: float, scale: float
) -> None:
    """Refuse numbers whose distance from the mean the networks' float32 does not hold."""
    what = (
        f", which is too far from the numbers in training (mean {mean:g}, deviation {scale:g}) to "
        f"be computed with. {CORRECT}"
    )
    table.require(name, abs(standardised) < FARTHEST, what)


def require_computable(table: Table, name: str, values: NDArray[np.float64]) -> None:
    """Refuse numbers whose squares float64 does not hold."""
    what = f", which is too large to be computed with. {CORRECT}"
    table.require(name, ~(abs(values) > LARGEST), what)


def _transformers(table: Table, schema: Schema) -> tuple[Any, Any, Any]:
    """Return the fitted imputer, scaler and encoder of the columns; None where there are none."""
    pipeline = transformer(schema).fit(plain(table, schema))
    fitted = pipeline.named_transformers_
    numbers = fitted["numbers"] if schema.numbers else (None, None)
    return numbers[0], numbers[1], fitted["categories"] if schema.categories else None


def transformer(schema: Schema) -> Any:
    """Return the ColumnTransformer of scikit-learn that fits a `Preprocessing`."""
    require_sklearn()
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    imputer = SimpleImputer(strategy="median", add_indicator=True)
    k, m = len(schema.numbers), len(schema.numbers) + len(schema.categories)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(imputer, StandardScaler()), list(range(k))),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(range(k, m))),
        ],
        sparse_threshold=1.0,  # a fit transforms too, and dense rows may fill the memory
    )


def plain(table: Table, schema: Schema) -> Any:
    """Return the columns as a polars DataFrame of numbers and texts, scikit-learn's input."""
    pl = polars()
    numbers = {name: table.numbers(name) for name in schema.numbers}
    for name, values in numbers.items():
        require_computable(table, name, values)
    texts = {
        name: pl.Series(table.texts(name, numeric), dtype=pl.String)
        for name, numeric in schema.categories.items()
    }
    return pl.DataFrame(numbers | texts)
