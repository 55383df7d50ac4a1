"""Tables from files: what is read, and what is refused."""

from __future__ import annotations

import math
import re
import sys

import numpy as np
import polars as pl
import pytest
from made_tables import csv_of, table_of

from nnpoly import tables


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_is_read_whatever_its_separator(separator, encoding, end, tmp_path):
    rows = ['"größe{0}m"{0} b', '1.5{0}"say ""hi"""', "", '-2e3{0}"x{0}y"', ""]
    table = csv_of(tmp_path, end.join(rows).format(separator), encoding=encoding)
    assert table.names == [f"größe{separator}m", "b"]
    np.testing.assert_array_equal(table.numbers(table.names[0]), [1.5, -2000.0])
    assert table.texts("b") == ['say "hi"', f"x{separator}y"]
    assert [table.where(i) for i in range(2)] == ["line 2", "line 4"]


def test_lines_count_those_inside_of_cells(tmp_path):
    table = csv_of(tmp_path, 'a,b\n1,"two\nlines"\n\n2,x\n')
    assert [table.where(i) for i in range(2)] == ["line 2", "line 5"]
    assert table.take([1]).where(0) == "line 5"


def test_a_semicolon_makes_the_decimal_comma(tmp_path):
    numbers = csv_of(tmp_path, "a;b\n3,25;1.5\n-,5;2\n")
    assert numbers.numbers("a").tolist() == [3.25, -0.5]
    assert numbers.numbers("b").tolist() == [1.5, 2.0]
    texts = csv_of(tmp_path, 'a,b\n"3,25",1\n"0,5",2\n')
    assert texts.kind("a") == "text"


def test_missing_cells_are_missing_in_every_format(tmp_path):
    words = ["", "NA", "n/a", "nan", "NULL", "?", "  "]
    table = csv_of(tmp_path, "a,b\n" + "".join(f"{word},1\n" for word in words))
    assert np.isnan(table.numbers("a")).all()
    assert table.kind("a") == "empty"
    frame = pl.DataFrame({"a": [1.0, math.nan, None], "b": ["x", "", None]})
    frame.write_parquet(tmp_path / "t.parquet")
    parquet = tables.read(tmp_path / "t.parquet")
    np.testing.assert_array_equal(parquet.numbers("a"), [1.0, math.nan, math.nan])
    assert parquet.texts("b") == ["x", None, None]
    np.savez(tmp_path / "t.npz", a=[1.0, math.nan], b=["x", ""])
    npz = tables.read(tmp_path / "t.npz")
    np.testing.assert_array_equal(npz.numbers("a"), [1.0, math.nan])
    assert npz.texts("b") == ["x", None]


def test_an_npz_has_a_column_for_each_column_of_a_matrix(tmp_path):
    X, y = np.arange(6.0).reshape(3, 2), np.array([1, 0, 1])
    np.savez(tmp_path / "t.npz", X=X, y=y)
    table = tables.read(tmp_path / "t.npz")
    assert table.names == ["X_0", "X_1", "y"]
    np.testing.assert_array_equal([table.numbers("X_0"), table.numbers("X_1")], X.T)
    assert table.kind("y") == "integer"
    assert table.where(2) == "row 2 (from 0)"


KINDS = [
    (["1", "-2", ""], "integer"),
    (["1", "2.5"], "number"),
    (["1e3", "+2"], "number"),
    (["true", "False"], "boolean"),
    (["yes", "no"], "text"),
    (["", "NA"], "empty"),
    (["2024-01-31", "2023-12-01"], "date"),
    (["2024-01-31T10:00", ""], "date"),
    (["31.12.2024", "1.2.2023"], "date"),
    (["12/31/24 10:30", "1/1/23 9:00"], "date"),
    (["2024-01-31", "soon"], "text"),
    (["1_000", "0x10"], "text"),
]


@pytest.mark.parametrize(("cells", "kind"), KINDS, ids=[str(cells) for cells, _ in KINDS])
def test_kinds_of_a_csv(cells, kind, tmp_path):
    assert csv_of(tmp_path, "a,b\n" + "".join(f"{cell},1\n" for cell in cells)).kind("a") == kind


def test_kinds_of_types():
    import datetime

    day = datetime.date(2024, 1, 31)
    table = table_of(i=[1], f=[0.5], b=[True], s=["x"], d=[day], n=[None], e=[[1, 2]])
    kinds = ["integer", "number", "boolean", "text", "date", "empty"]
    assert [table.kind(name) for name in "ifbsdn"] == kinds
    with pytest.raises(ValueError, match="'e' holds List"):
        table.kind("e")


UNREADABLE = [
    ("data.csv", b"", "is empty: its first line must name"),
    ("data.csv", b"a,b\n", "has no rows"),
    ("data.csv", b"a,b\n1,2\n3\n", "line 3 has 1 cells, but the first line names 2 columns"),
    ("data.csv", b"a,b\n\n1,2,3\n", "line 3 has 3 cells"),
    ("data.csv", b"a,b,a\n1,2,3\n", "two columns 'a' (columns 1 and 3)"),
    ("data.csv", b'a,b\n1,2\n"3,4\n5,6\n', "the row of line 3 has no end"),
    ("data.csv", b"a,b\n\xff,2\n", "not UTF-8 text"),
    ("data.parquet", b"hello", "no readable Parquet file"),
    ("data.npz", b"hello", "no readable NPZ"),
    ("data.npz", b"PK\x03\x04 broken", "no readable NPZ"),
    ("data.xlsx", b"", "must end in .csv, .tsv, .parquet, .npz"),
    ("missing.csv", None, "is no file"),
]


@pytest.mark.parametrize(("name", "content", "message"), UNREADABLE)
def test_files_that_cannot_be_read(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=re.escape(message)) as caught:
        tables.read(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((5, 2)), "y": np.zeros(4)}, "arrays must have equal lengths"),
        ({"X": np.zeros((5, 2, 2))}, "array X must have shape (n,) or (n, m)"),
        ({"X": np.zeros(3, complex)}, "got (3,) of complex128"),
        ({"X": np.array([{}, 1], object)}, "Object arrays cannot be loaded"),
        ({"X": np.zeros((3, 1)), "X_0": np.zeros(3)}, "two columns 'X_0'"),
        ({"X": np.zeros((0, 2))}, "has no rows"),
    ],
)
def test_arrays_that_are_no_table(arrays, message, tmp_path):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(message)):
        tables.read(tmp_path / "t.npz")


def test_a_missing_column_is_answered_with_the_closest():
    table = table_of(price=[1], size=[2])
    with pytest.raises(ValueError, match="has no column 'Prize': the closest is 'price'"):
        table.column("Prize")
    with pytest.raises(ValueError, match="has no column 'when': it has 'price', 'size'"):
        table.column("when")


def test_without_polars_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"pip install nnpoly\[tables\]"):
        tables.read(tmp_path / "t.csv")
