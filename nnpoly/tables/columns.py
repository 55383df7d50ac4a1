"""Columns as a network's inputs: fitted by scikit-learn, kept and applied as plain numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._described import Described
from .reading import Table, listed, polars

UNKNOWN = ("error", "ignore")
MOST_CATEGORIES = 1000  # each is an input of the network
FEWEST_IDENTIFIERS = 20  # different texts that may be called identifiers
IDENTIFIERS = 0.9  # of a column's texts differ where they only name the rows
NUMERIC = ("boolean", "integer", "number")


def require_sklearn() -> None:
    """Say how to get scikit-learn where it is missing."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError("Fitting needs scikit-learn: pip install nnpoly[tables]") from error


@dataclass(frozen=True)
class Schema:
    """Which columns are inputs, and as what.

    Attributes
    ----------
    numbers
        Names of the columns of numbers.
    categories
        Names of the columns of categories, each with whether its cells are numbers.
    left_out
        Names of the other columns, each with why in a few words.
    """

    numbers: tuple[str, ...]
    categories: dict[str, bool]
    left_out: dict[str, str]

    @classmethod
    def of(
        cls,
        table: Table,
        target: str,
        rows: Any,
        categorical: Iterable[str] = (),
        drop: Iterable[str] = (),
    ) -> Schema:
        """Return what the columns of a table are.

        Parameters
        ----------
        table
            All rows: what they hold decides what is a number and what is a text.
        target
            The column to predict, which is no input.
        rows
            The rows to train on, (n,) indices: they alone decide what is constant or an identifier.
        categorical
            Names of columns that are categories though they hold numbers, or nearly all differ.
        drop
            Names of columns that are no inputs.

        Raises
        ------
        ValueError
            For a name that is no column, dates, texts among numbers, too many categories, and
            where no column is left.
        """
        categorical, drop = tuple(categorical), tuple(drop)
        _require_free(table, target, categorical, drop)
        training = table.take(rows)
        left_out = dict.fromkeys(drop, "as asked") | dict.fromkeys(table.counts_rows, "row numbers")
        numbers: list[str] = []
        categories: dict[str, bool] = {}
        for name in table.names:
            if name == target or name in left_out:
                continue
            chosen = name in categorical
            if _is_category(table, name, chosen):
                categories[name] = table.kind(name) in NUMERIC
                reason = _useless_category(training, name, categories[name], chosen)
            else:
                numbers.append(name)
                reason = _useless_number(training.numbers(name))
            if reason:
                left_out[name] = reason
        kept = tuple(name for name in numbers if name not in left_out)
        chosen_categories = {n: numeric for n, numeric in categories.items() if n not in left_out}
        return cls(kept, chosen_categories, left_out)


def _require_free(table: Table, target: str, *named: tuple[str, ...]) -> None:
    for names in named:
        for name in names:
            table.column(name)
            if name == target:
                raise ValueError(f"Schema: column {target!r} is the target, so it is no input.")


def _is_category(table: Table, name: str, chosen: bool) -> bool:
    """Return whether a column is a category and no number; `chosen` ones are."""
    kind = table.kind(name)
    if name == "":
        at = table.names.index(name) + 1
        raise ValueError(f"Schema: {table.source}: column {at} has no name: give it one.")
    if kind == "date" and not chosen:
        what = (
            ", a date. Leave the column out (--drop), or write what matters of it (year, month, "
            "weekday, days since ...) as numbers"
        )
        raise table.refuse(name, what, int(table.frame[name].is_not_null().arg_true()[0]))
    if kind == "text" and not chosen and (row := table.slip(name)) is not None:
        what = (
            ", but most of its cells are numbers. Correct it, leave it empty if it is unknown, or "
            "name the column in `categorical` or `drop` (--categorical, --drop)"
        )
        raise table.refuse(name, what, row)
    return chosen or kind == "text"


def _useless_number(values: NDArray[np.float64]) -> str:
    """Return why a number can teach nothing, or ""."""
    known = values[~np.isnan(values)]
    if not known.size:
        return "it is empty"
    constant = known.size == values.size and (known == known[0]).all()
    return f"it is always {known[0]:g}" if constant else ""


def _useless_category(training: Table, name: str, numeric: bool, chosen: bool) -> str:
    """Return why a category can teach nothing, or ""."""
    texts = training.texts(name, numeric)
    known = [text for text in texts if text is not None]
    distinct = len(set(known))
    if not known:
        return "it is empty"
    if len(set(texts)) == 1:
        return f"it is always {known[0]!r}"
    if not chosen and distinct >= FEWEST_IDENTIFIERS and distinct > IDENTIFIERS * len(known):
        return f"{distinct} of its {len(known)} texts differ, such as {known[0]!r}"
    if distinct > MOST_CATEGORIES:
        raise ValueError(
            f"Schema: {training.source}: column {name!r} has {distinct} categories, more than "
            f"{MOST_CATEGORIES}. Leave it out (--drop), or group the rare ones first."
        )
    return ""


class Category(Described):
    """A column of categories: each is one input, 1 where it is the row's and else 0.

    Attributes
    ----------
    name
        Of the column.
    numeric
        Whether its cells are numbers, so that 1 and 1.0 are one category.
    values
        The categories in order; None, where there is one, is a missing cell.
    """

    name: str
    numeric: bool
    values: tuple[str | None, ...]

    def __post_init__(self) -> None:
        self._set(values=tuple(self.values))

    def encode(self, table: Table, unknown: str) -> NDArray[np.float64]:
        """Return one-hot rows (n, K); all zeros for an unknown category that is ignored."""
        places = {value: k for k, value in enumerate(self.values)}
        texts = table.texts(self.name, self.numeric)
        found = np.fromiter((places.get(text, -1) for text in texts), np.int64, len(texts))
        if unknown == "error" and (found < 0).any():
            known = listed([value for value in self.values if value is not None])
            what = (
                f", which is none of the categories in training ({known}). Correct it, or have it "
                "ignored: unknown='ignore' (--unknown ignore)"
            )
            raise table.refuse(self.name, what, int(found.argmin()))
        rows: NDArray[np.float64] = (found[:, None] == range(len(self.values))).astype(np.float64)
        return rows

    def unknown(self, table: Table) -> NDArray[np.bool_]:
        """Return which rows have a category that was not in training: (n,)."""
        rows = self.encode(table, "ignore")
        return np.asarray((rows == 0.0).all(axis=1))


class Preprocessing(Described):
    """How a table's columns become a network's inputs: numbers, indicators, categories.

    A number x is (x - mean) / scale, its column's median where it is missing. A number that was
    missing in training has an indicator, 1 where it is missing and else 0, standardised too.

    Attributes
    ----------
    numbers
        Names of the columns of numbers.
    medians
        Of each number; None where a missing cell is refused.
    indicated
        Names of the numbers with an indicator.
    means, scales
        Of the numbers, then of the indicators.
    categories
        A `Category` each.

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
        names = ("numbers", "medians", "indicated", "means", "scales", "categories")
        self._set(**{name: tuple(getattr(self, name)) for name in names})

    @classmethod
    def fit(cls, table: Table, schema: Schema) -> Preprocessing:
        """Return the preprocessing of a table's columns: pass the rows to train on alone.

        Raises
        ------
        ValueError
            If no column is left to learn from.
        ImportError
            If scikit-learn is missing.
        """
        if not schema.numbers and not schema.categories:
            why = "; ".join(f"{name!r} ({reason})" for name, reason in schema.left_out.items())
            raise ValueError(
                f"Preprocessing: {table.source} has no column to learn from. Left out: {why}."
            )
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
    def names(self) -> tuple[str, ...]:
        """What each input is: (m_0,)."""
        indicators = (f"{name} is missing" for name in self.indicated)
        groups = (
            f"{c.name} is missing" if value is None else f"{c.name} = {value!r}"
            for c in self.categories
            for value in c.values
        )
        return (*self.numbers, *indicators, *groups)

    def encode(self, table: Table, unknown: str = "error") -> NDArray[np.float64]:
        """Return a table's rows as inputs: (n, m_0).

        Parameters
        ----------
        table
            Its columns may come in any order, and others are ignored.
        unknown
            What to do about a category that was not in training: "error", or "ignore", which
            encodes it as zeros.

        Raises
        ------
        ValueError
            For a missing column, a cell of a wrong type, infinity and unknown categories; the
            cell is named with its row.
        """
        _checks.choice("Preprocessing", "unknown", unknown, UNKNOWN)
        for name in self.columns:
            table.column(name)
        blocks = [category.encode(table, unknown) for category in self.categories]
        return np.concatenate([self._numbers(table), *blocks], axis=1)

    def _numbers(self, table: Table) -> NDArray[np.float64]:
        """Return numbers and indicators: (n, numbers + indicators)."""
        X = np.empty((len(table), len(self.means)))
        indicators = {name: len(self.numbers) + i for i, name in enumerate(self.indicated)}
        for j, (name, median) in enumerate(zip(self.numbers, self.medians, strict=True)):
            values = table.numbers(name)
            missing = np.isnan(values)
            if median is None and missing.any():
                raise table.refuse(name, ", but may not be missing", int(missing.argmax()))
            X[:, j] = values if median is None else np.where(missing, median, values)
            if name in indicators:
                X[:, indicators[name]] = missing
        standardised: NDArray[np.float64] = (X - self.means) / self.scales
        return standardised


def _transformers(table: Table, schema: Schema) -> tuple[Any, Any, Any]:
    """Return scikit-learn's imputer, scaler and encoder of the columns, fitted."""
    pipeline = transformer(schema).fit(plain(table, schema))
    fitted = pipeline.named_transformers_
    numbers = fitted["numbers"] if schema.numbers else (None, None)
    return numbers[0], numbers[1], fitted["categories"] if schema.categories else None


def transformer(schema: Schema) -> Any:
    """Return scikit-learn's ColumnTransformer that `Preprocessing` is fitted with."""
    require_sklearn()
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    imputer = SimpleImputer(strategy="median", add_indicator=True)
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(imputer, StandardScaler()), list(schema.numbers)),
            ("categories", encoder, list(schema.categories)),
        ]
    )


def plain(table: Table, schema: Schema) -> Any:
    """Return a polars DataFrame of plain numbers and texts, as scikit-learn takes them."""
    pl = polars()
    numbers = {name: table.numbers(name) for name in schema.numbers}
    texts = {
        n: pl.Series(table.texts(n, is_n), dtype=pl.String) for n, is_n in schema.categories.items()
    }
    return pl.DataFrame(numbers | texts)
