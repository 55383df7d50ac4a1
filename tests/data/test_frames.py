"""Frames: columns of numbers and booleans are numbers; what is not is named."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import nnpoly as nn
from nnpoly.backends import registry

N = 30
RNG = np.random.default_rng(4)
AREA, COUNT = RNG.normal(size=N), RNG.integers(-3, 4, N)
OPEN, TOWN = RNG.random(N) < 0.5, RNG.choice(["A", "B"], N)
y = (AREA > 0).astype(int)
MIXED = pd.DataFrame({"dtype": AREA, "count": COUNT, "open": OPEN})
PLAIN = np.stack([AREA, COUNT, OPEN], axis=1)


def trained(X: Any, y: Any = y, **options: Any) -> bytes:
    t = nn.Trainer(nn.MLP([3, 4, 2], seed=0))
    t.fit(X, y, 2, 8, **options)
    return t.network.w.tobytes()


def by_arrow() -> Any:
    pytest.importorskip("pyarrow")
    return MIXED.convert_dtypes(dtype_backend="pyarrow")


@pytest.mark.parametrize(
    "frame",
    [
        lambda: MIXED,
        MIXED.convert_dtypes,
        by_arrow,
        lambda: MIXED.astype({"count": "Int64", "open": "boolean"}),
        lambda: MIXED.astype({"open": pd.SparseDtype(bool)}),
        lambda: MIXED.astype({"count": "category"}),
        lambda: MIXED.set_axis(["a", "a", "shape"], axis=1),
        lambda: MIXED.set_index(np.arange(N)[::-1] / 2),
        lambda: pl.from_dict(MIXED.to_dict("list")),
    ],
)
def test_numbers_and_booleans_are_numbers(frame):
    given = frame()
    before = given.clone() if isinstance(given, pl.DataFrame) else given.copy()
    assert trained(given) == trained(PLAIN)
    net = nn.MLP([3, 2])
    assert net(given).tobytes() == net(PLAIN).tobytes()
    assert given.equals(before)


FLOATS = pd.DataFrame({"a": AREA, "b": COUNT + 0.5, "c": AREA**2})


@pytest.mark.parametrize("types", ["Float64", {"a": "Float32", "c": "Float64"}, "double[pyarrow]"])
def test_frames_of_floats_alone_are_numbers_missing_or_too_large(types):
    """They come in the network's type at once."""
    pytest.importorskip("pyarrow")
    frame, plain = (
        FLOATS.astype(types),
        FLOATS.astype({"a": "f4"} if isinstance(types, dict) else {}),
    )
    assert trained(frame) == trained(plain.to_numpy())
    with pytest.raises(
        ValueError, match=r"`X\['c'\]` must have no missing values, got 1 in 30 rows"
    ):
        trained(absent(frame, "c", 3))
    frame.loc[3, "c"] = 1e300
    for call in (trained, nn.MLP([3, 2])):
        with pytest.raises(ValueError, match="must be finite in float32, got NaN or infinity in 1"):
            call(frame)


def test_not_a_number_is_predicted_as_in_an_array():
    pytest.importorskip("pyarrow")
    frame = FLOATS.assign(a=np.where(AREA > 0, np.nan, AREA))
    net = nn.MLP([3, 2])
    expected = net(frame.to_numpy())
    assert np.isnan(expected).any()
    import pyarrow

    arrow = pyarrow.table({name: frame[name].to_numpy() for name in frame})
    for given in (arrow, arrow.to_pandas(types_mapper=pd.ArrowDtype)):
        np.testing.assert_array_equal(net(given), expected)


def test_decimals_are_numbers():
    pyarrow = pytest.importorskip("pyarrow")
    prices = [Decimal(int(c)) / 4 for c in COUNT]
    plain = np.stack([COUNT / 4, COUNT / 4, COUNT / 4], axis=1)
    column = pyarrow.array(prices, pyarrow.decimal128(9, 2))
    table = pyarrow.table(dict.fromkeys("abc", column))
    weights = pl.Series([Decimal(int(c)) for c in COUNT + 4])
    frames = [table, pl.from_arrow(table), table.to_pandas(types_mapper=pd.ArrowDtype)]
    for frame in frames:
        assert trained(frame) == trained(plain)
        assert trained(frame, sample_weight=weights) == trained(plain, sample_weight=COUNT + 4)
    for own in (pyarrow.array(weights), pyarrow.chunked_array([weights.to_arrow()])):
        assert trained(PLAIN, sample_weight=own) == trained(PLAIN, sample_weight=COUNT + 4)
    with pytest.raises(ValueError, match=MISSING.replace("30", "4").replace("row 3", "row 1")):
        nn.MLP([1, 2])(pl.DataFrame({"a": [Decimal(1), None, Decimal(2), Decimal(3)]}))


def test_dummies_are_numbers():
    dummies = pd.get_dummies(pd.DataFrame({"area": AREA, "town": TOWN}))
    plain = np.stack([AREA, TOWN == "A", TOWN == "B"], axis=1)
    assert trained(dummies) == trained(plain)
    sparse = pd.get_dummies(pd.DataFrame({"area": AREA, "town": TOWN}), sparse=True)
    assert trained(sparse) == trained(plain)


@pytest.mark.parametrize("dtype", ["int8", "Int64", "category"])
def test_columns_are_targets_and_weights(dtype):
    labels, weights = pd.Series(y).astype(dtype), pd.Series(np.arange(1.0, N + 1), dtype="Float64")
    plain = trained(PLAIN, sample_weight=np.arange(1.0, N + 1))
    assert trained(PLAIN, labels, sample_weight=weights) == plain
    assert trained(PLAIN, pl.Series(y), sample_weight=pl.Series(np.arange(1.0, N + 1))) == plain


def test_booleans_with_a_type_of_their_own_are_targets_of_a_sigmoid():
    net = nn.MLP([3, 1], output="sigmoid")
    for labels in (pd.Series(y == 1, dtype="boolean"), pd.DataFrame({"y": y == 1})):
        assert float(net.loss(PLAIN, labels)) == float(net.loss(PLAIN, y.astype(float)))


def absent(frame: Any, column: str, row: int) -> Any:
    frame = frame.copy()
    frame.loc[row, column] = pd.NA
    return frame


def arrow(**columns: Any) -> Callable[[], Any]:
    """A function that returns Arrow's table of MIXED with other columns."""

    def table() -> Any:
        return pytest.importorskip("pyarrow").table(MIXED.to_dict("list") | columns)

    return table


POLARS = pl.from_dict(MIXED.to_dict("list"))
MISSING = "must have no missing values, got 1 in 30 rows, the first in row 3. Fill or drop"
FAULTS = {
    "text": (MIXED.assign(open=TOWN), "X['open']", "got dtype str. Encode categories first"),
    "only text": (pd.DataFrame({"town": TOWN}), "X['town']", "must hold real numbers, got dtype"),
    "dates": (MIXED.assign(open=pd.Timestamp("2020")), "X['open']", "Turn dates into numbers"),
    "zone": (MIXED.assign(open=pd.Timestamp("2020", tz="UTC")), "X['open']", "Turn dates"),
    "durations": (MIXED.assign(open=pd.Timedelta("1s")), "X['open']", "Turn durations into"),
    "objects": (MIXED.astype({"open": object}), "X['open']", "dtype object.", ".astype(float)"),
    "missing": (absent(MIXED.convert_dtypes(), "count", 3), "X['count']", MISSING),
    "missing boolean": (absent(MIXED.convert_dtypes(), "open", 3), "X['open']", MISSING),
    "missing float": (absent(MIXED.convert_dtypes(), "dtype", 3), "X['dtype']", MISSING),
    "NaN": (absent(MIXED, "dtype", 3), "X", "got NaN or infinity in 1 of 30 rows, the first in"),
    "polars, text": (POLARS.with_columns(open=pl.lit("a")), "X['open']", "got dtype String."),
    "polars, dates": (
        POLARS.with_columns(open=pl.date(2020, 1, 1)),
        "X['open']",
        "got dtype Date. Turn dates into numbers first",
    ),
    "polars, missing": (
        POLARS.with_columns(count=pl.when(pl.int_range(N) != 3).then(pl.col("count"))),
        "X['count']",
        MISSING,
    ),
    "polars, arrays": (
        pl.DataFrame({"open": pl.Series([[1.0, 2.0]] * N, dtype=pl.Array(pl.Float64, 2)), "b": y}),
        "X['open']",
        "got dtype Array(Float64, shape=(2,)). Encode",
    ),
    "polars, a query": (
        POLARS.lazy(),
        "X",
        "must hold real numbers, got LazyFrame. Run its query first: .collect().",
    ),
    "Arrow, text": (arrow(open=list(TOWN)), "X['open']", "got dtype string. Encode categories"),
    "Arrow, dates": (
        arrow(open=[datetime.date(2020, 1, 1)] * N),
        "X['open']",
        "got dtype date32[day]. Turn dates into numbers first",
    ),
    "Arrow, missing": (arrow(count=[1, 2, 3, None, *COUNT[4:].tolist()]), "X['count']", MISSING),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_columns_that_are_no_numbers_are_named(fault):
    frame, name, *parts = FAULTS[fault]
    frame = frame() if callable(frame) else frame
    with pytest.raises(ValueError, match=r"^Trainer\.fit: ") as caught:
        trained(frame)
    message = str(caught.value)
    assert f"`{name}`" in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("missing", [[None, *y[1:]], [*y[:-1], None]])
def test_targets_and_weights_that_are_missing_are_counted(missing):
    with pytest.raises(ValueError, match=r"`y` must have no missing values, got 1 in 30 rows"):
        trained(PLAIN, pd.Series(missing, dtype="Int64"))
    with pytest.raises(ValueError, match="`sample_weight` must have no missing values, got 1"):
        trained(PLAIN, sample_weight=pd.Series(missing, dtype="Float64"))


def test_labels_of_text_are_labels_to_encode():
    with pytest.raises(ValueError, match=r"got dtype object\. Encode other labels: labels = nn"):
        trained(PLAIN, pd.Series(TOWN))


@pytest.mark.parametrize("data", [MIXED, POLARS, PLAIN], ids=["pandas", "polars", "array"])
def test_targets_may_not_be_left_out(data):
    t = nn.Trainer(nn.MLP([3, 2]))
    for call in (t.fit, lambda X: t.evaluate(X, None), lambda X: t.step(X, None)):
        with pytest.raises(ValueError, match=r"` is missing\. Pass the targets, one for each row"):
            call(data)


def test_other_backends_take_frames(backend_variant):
    net = nn.MLP([3, 2], **backend_variant.place)
    found, plain = net(MIXED.convert_dtypes()), net(PLAIN)
    assert registry.to_host(found).tobytes() == registry.to_host(plain).tobytes()
