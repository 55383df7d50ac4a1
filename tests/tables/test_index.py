"""The index of a table: columns that only number the rows, as pandas and R write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_tables import csv_of

from nnpoly import tables
from nnpoly.tables import Schema, Table

NUMBERED = [3, 40, 7, 0, -2, 11, 8, 95, 6, 1, 12, 30]  # integers, in no order and with gaps
INDICES = ["", "Unnamed: 0", "Unnamed: 0.1", "__index_level_0__", "__index_level_3__"]
INDICES += ["index", "level_0"]  # of df.reset_index()


def indexed(name: str, cells: Any, folder: Path, first: bool = True) -> Table:
    """A CSV with a column of that name and those cells, first or second of x and y."""
    cells = [cells[i] if i < len(cells) else "" for i in range(12)]
    rows = [(name, "x", "y"), *((cell, i * i % 7, i % 2) for i, cell in enumerate(cells))]
    lines = [(a, b, c) if first else (b, a, c) for a, b, c in rows]
    return csv_of(folder, "".join(f"{a},{b},{c}\n" for a, b, c in lines))


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("cells", [list(range(12)), NUMBERED], ids=["counts", "gaps"])
def test_an_index_is_left_out(name, cells, tmp_path):
    table = indexed(name, cells, tmp_path)
    assert Schema.of(table, "y", [1, 5, 7]).left_out == {name: "row numbers"}
    thinned = table.take([2, 9, 4, 7, 11])
    assert Schema.of(thinned, "y", [0, 1, 2]).left_out == {name: "row numbers"}


def test_an_index_that_was_written_twice_is_left_out_twice(tmp_path):
    lines = "".join(f"{i},{i + 3},{i * i},{i % 2}\n" for i in NUMBERED)
    schema = Schema.of(csv_of(tmp_path, ",Unnamed: 0,x,y\n" + lines), "y", [1, 5, 7])
    assert schema.left_out == {"": "row numbers", "Unnamed: 0": "row numbers"}
    assert schema.numbers == ("x",)


def test_an_index_is_told_from_all_rows(tmp_path):
    repeated = indexed("", [5, 5, *range(6, 16)], tmp_path)
    with pytest.raises(ValueError, match="column 1 has no name"):
        Schema.of(repeated.take(np.arange(2, 12)), "y", [0, 1, 2])


def test_the_index_that_pandas_writes_is_left_out(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [i * i % 7 for i in range(12)], "y": [0, 1] * 6}, NUMBERED)
    frame.to_csv(tmp_path / "once.csv")
    pandas.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv")
    pandas.read_csv(tmp_path / "twice.csv").to_csv(tmp_path / "thrice.csv", index=False)
    found = [
        Schema.of(tables.read(tmp_path / f"{name}.csv"), "y", range(12))
        for name in ("once", "twice", "thrice")
    ]
    assert [schema.numbers for schema in found] == [("x",)] * 3
    assert [len(schema.left_out) for schema in found] == [1, 2, 2]


def test_the_index_of_a_parquet_file_is_left_out(tmp_path):
    columns = {"x": [i * i % 7 for i in range(12)], "y": [0, 1] * 6, "__index_level_0__": NUMBERED}
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    schema = Schema.of(tables.read(tmp_path / "t.parquet"), "y", range(12))
    assert schema.left_out == {"__index_level_0__": "row numbers"}


@pytest.mark.parametrize("index", [NUMBERED, list("abcdefghijkl"), [1, 1, *range(2, 12)]])
def test_a_named_index_of_a_parquet_file_is_left_out_if_it_is_of_different_integers(
    index, tmp_path
):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [i * i % 7 for i in range(12)], "y": [0, 1] * 6, "id": index})
    frame.set_index("id").to_parquet(tmp_path / "indexed.parquet")
    frame.to_parquet(tmp_path / "plain.parquet")
    left_out = {"id": "the index, of different integers (an input after df.reset_index())"}
    found = Schema.of(tables.read(tmp_path / "indexed.parquet"), "y", range(12))
    assert found.left_out == (left_out if index is NUMBERED else {})
    assert Schema.of(tables.read(tmp_path / "plain.parquet"), "y", range(12)).left_out == {}


def levels(first: Any, names: Any) -> Any:
    """A frame of 12 rows whose index has two levels: 0 to 5 in each of two parts."""
    pandas = pytest.importorskip("pandas")
    columns = {"x": [i * i % 7 for i in range(12)], "y": [0, 1] * 6}
    index = pandas.MultiIndex.from_product([first, range(6)], names=names)
    return pandas.DataFrame(columns, index)


def test_the_levels_of_a_nameless_index_number_the_rows_together(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = levels([0, 1], [None, None])
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "nameless.csv")
    pandas.read_csv(tmp_path / "nameless.csv").to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.parquet", "t.csv"):
        table = tables.read(tmp_path / name)
        schema = Schema.of(table.take(range(2, 12)), "y", range(8))
        assert schema.numbers == ("x",)
        assert list(schema.left_out.values()) == ["row numbers"] * 2
    message = (
        r"two columns '' \(columns 1 and 2\): name them, or .* df\.to_csv\(path, index=False\)"
    )
    with pytest.raises(ValueError, match=message):
        tables.read(tmp_path / "nameless.csv")


def test_levels_of_texts_and_named_levels_stay_inputs(tmp_path):
    levels(["a", "b"], [None, None]).to_parquet(tmp_path / "texts.parquet")
    schema = Schema.of(tables.read(tmp_path / "texts.parquet"), "y", range(12))
    assert schema.left_out == {"__index_level_1__": "row numbers"}
    assert schema.categories == {"__index_level_0__": False}
    levels([1, 2], ["country", "year"]).to_parquet(tmp_path / "named.parquet")
    assert Schema.of(tables.read(tmp_path / "named.parquet"), "y", range(12)).left_out == {}


def test_levels_of_reset_index_are_row_numbers(tmp_path):
    """As groupby writes them, beside the group."""
    frame = pl.DataFrame({"g": [0, 0, 1] * 4, "level_1": NUMBERED, "y": [0, 1] * 6})
    frame.write_csv(tmp_path / "t.csv")
    assert tables.read(tmp_path / "t.csv").index == ("level_1",)


def test_a_list_of_indices_that_is_damaged_names_none(tmp_path):
    frame = pl.DataFrame({"id": NUMBERED, "y": [0, 1] * 6})
    for text in ("{", "[]", '{"index_columns": 5}', '{"index_columns": [["id"], null]}'):
        frame.write_parquet(tmp_path / "t.parquet", metadata={"pandas": text})
        table = tables.read(tmp_path / "t.parquet")
        assert (table.indexed, table.index) == ((), ())
    frame.write_parquet(tmp_path / "t.parquet", metadata={"pandas": '{"index_columns": ["id"]}'})
    assert tables.read(tmp_path / "t.parquet").index == ("id",)


def test_an_index_is_dropped_predicted_or_a_category_where_that_is_asked_for(tmp_path):
    table = indexed("Unnamed: 0", NUMBERED, tmp_path)
    asked = Schema.of(table, "y", range(12), drop=["Unnamed: 0"])
    assert asked.left_out == {"Unnamed: 0": "as asked"}
    assert Schema.of(table, "Unnamed: 0", range(12)).left_out == {}
    chosen = Schema.of(table, "y", range(12), categorical=["Unnamed: 0"])
    assert chosen.categories == {"Unnamed: 0": True}


NO_INDEX = {
    "repeated": [1, 1, *range(2, 12)],
    "real": [i + 0.5 for i in range(12)],
    "texts": [f"row {i}" for i in range(12)],
    "missing": range(11),
}


@pytest.mark.parametrize("cells", NO_INDEX.values(), ids=NO_INDEX)
def test_other_columns_without_a_name_are_refused_with_the_remedy(cells, tmp_path):
    table = indexed("", cells, tmp_path)
    message = "data.csv: column 1 has no name: give it one, or leave it out (--drop '\"\"')."
    with pytest.raises(ValueError, match=re.escape(message)):
        Schema.of(table, "y", range(12))
    assert Schema.of(table, "y", range(12), drop=[""]).numbers == ("x",)


def test_a_column_without_a_name_is_an_index_in_the_first_place_alone(tmp_path):
    with pytest.raises(ValueError, match="column 2 has no name"):
        Schema.of(indexed("", NUMBERED, tmp_path, first=False), "y", [1, 5, 7])


@pytest.mark.parametrize("name", ["id", "Unnamed: 1", "Unnamed: 0b"])
def test_named_columns_of_integers_stay_inputs(name, tmp_path):
    schema = Schema.of(indexed(name, NUMBERED, tmp_path), "y", range(12))
    assert (schema.numbers, schema.left_out) == ((name, "x"), {})


def test_a_repeated_column_by_an_indexs_name_stays_an_input(tmp_path):
    schema = Schema.of(indexed("Unnamed: 0", [1, 1, *range(2, 12)], tmp_path), "y", range(12))
    assert schema.numbers == ("Unnamed: 0", "x")
