"""Tables from files: what is read, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import re
import sys
import time

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


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).write_parquet(file)
    return file.getvalue()


OTHER_FORMATS = {
    "a Parquet file. Rename it to end in .parquet": parquet(),
    "a ZIP archive, such as .npz and .xlsx files are. Rename an NPZ": b"PK\x03\x04...",
    "packed by gzip. Unpack it first": gzip.compress(b"a,b\n1,2\n"),
    "packed by bzip2. Unpack it first": bz2.compress(b"a,b\n1,2\n"),
    "packed by xz. Unpack it first": lzma.compress(b"a,b\n1,2\n"),
    "text in UTF-16. Save it as UTF-8": "a,b\n1,2\n".encode("utf-16"),
    "an .xls workbook. Save the sheet as CSV": b"\xd0\xcf\x11\xe0\xa1\xb1",
}


@pytest.mark.parametrize("message", OTHER_FORMATS)
@pytest.mark.parametrize("ending", [".csv", ".TSV"])
def test_a_file_of_another_format_is_told(message, ending, tmp_path):
    path = tmp_path / f"t{ending}"
    path.write_bytes(OTHER_FORMATS[message])
    with pytest.raises(ValueError, match=f"^{re.escape(f'read: {path} is {message}')}"):
        tables.read(path)


@pytest.mark.parametrize("name", ["PAR1", "BZh", "ARROW1", "PK"])
def test_names_by_which_other_formats_begin_are_names(name, tmp_path):
    assert csv_of(tmp_path, f"{name},b\n1,2\n").names == [name, "b"]


@pytest.mark.parametrize("first", ["# made by hand", "Sales of 2024", "# made, by hand"])
def test_what_stands_above_the_names_is_told(first, tmp_path):
    message = f"Its first line is {first.split(',')[0]!r}: remove what stands above the names."
    with pytest.raises(ValueError, match=re.escape(message)):
        csv_of(tmp_path, f"{first}\na,b,c\n1,2,3\n")
    assert csv_of(tmp_path, "#id,b\n1,2\n").names == ["#id", "b"]


def test_a_path_with_nul_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"read: `path` must be a path without NUL, got 'a\\x00b"):
        tables.read("a\0b.csv")


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


# What programs write that is no plain table


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;"])
def test_excels_first_line_tells_the_separator(line, tmp_path):
    table = csv_of(tmp_path, f"{line}\r\na,b;c\r\n1,5;x\r\n;y\r\n")
    assert table.names == ["a,b", "c"]
    np.testing.assert_array_equal(table.numbers("a,b"), [1.5, math.nan])
    assert [table.where(i) for i in range(2)] == ["line 3", "line 4"]
    with pytest.raises(ValueError, match="line 4 has 1 cells, but the first line names 2"):
        csv_of(tmp_path, f"{line}\na;b\n1;2\n3\n")


def test_a_column_may_be_called_like_excels_line(tmp_path):
    assert csv_of(tmp_path, "sep=,x\n1,2\n").names == ["sep=", "x"]


TRAILING = ["a,b,\n1,2,\n3,4,\n", "a,b\n1,2,\n3,4,\n", "a,b,,\n1,2\n3,4,,,\n", "a,b,\n1,2, \n3,4\n"]


@pytest.mark.parametrize("content", TRAILING)
def test_separators_at_the_ends_of_lines_are_no_columns(content, tmp_path):
    table = csv_of(tmp_path, content)
    assert table.names == ["a", "b"]
    assert table.numbers("b").tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2,3\n", "line 2 has 3 cells, but the first line names 2 columns"),
        ("a,b,\n1,2,3,4\n", "line 2 has 4 cells"),
        ("a,b,\n1\n", "line 2 has 1 cells, but the first line names 2 columns"),
        ("a,,\n1,2,3\n", "two columns '' (columns 2 and 3)"),
    ],
)
def test_cells_without_a_name_are_not_lost(content, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        csv_of(tmp_path, content)
    assert csv_of(tmp_path, "a,\n1,\n2,x\n").names == ["a", ""]


def test_the_words_of_pandas_are_missing_cells(tmp_path):
    parsers = pytest.importorskip("pandas._libs.parsers")
    from nnpoly.tables.reading import MISSING

    assert set(MISSING) == set(parsers.STR_NA_VALUES) | {"", "?"}
    lines = "".join(f"{word},{word},1\n" for word in sorted(parsers.STR_NA_VALUES))
    table = csv_of(tmp_path, f"a,b,c\n{lines}2,x,1\n")
    assert np.isnan(table.numbers("a")).tolist() == [True] * len(parsers.STR_NA_VALUES) + [False]
    assert set(table.texts("b")) == {None, "x"}


def test_words_that_are_read_as_missing_are_known(tmp_path):
    table = csv_of(tmp_path, "a,b,c\nNone,1,x\n?,2,y\n,,\nNone,3,z\n")
    assert table.blanks == {"a": ["?", "None"]}
    assert table.take([1]).blanks == table.blanks


def test_a_single_number_of_an_npz_is_in_every_row(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((3, 2)), version=7, unit=np.array("kg"), y=[1, 2, 3])
    table = tables.read(tmp_path / "t.npz")
    assert table.texts("version") == ["7"] * 3
    assert table.texts("unit") == ["kg"] * 3
    schema = tables.Schema.of(table, "y", [0, 1, 2])
    assert schema.left_out["version"] == "it is always 7"
    np.savez(tmp_path / "t.npz", version=7)
    with pytest.raises(ValueError, match=r"array version must have shape \(n,\) or \(n, m\)"):
        tables.read(tmp_path / "t.npz")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([1, 2], ">i4"), "integer"),
        (np.array([1.5, 2.0], ">f8"), "number"),
        (np.array([1.5, 2.0], np.float16), "number"),
        (np.array([1.5, 2.0], np.longdouble), "number"),
        (np.array(["a", "b"], ">U3"), "text"),
        *((np.array(["2024", "2025"], f"datetime64[{unit}]"), "date") for unit in "YMDsn"[:4]),
    ],
)
def test_types_of_numpy(values, kind, tmp_path):
    np.savez(tmp_path / "t.npz", a=values)
    table = tables.read(tmp_path / "t.npz")
    assert table.kind("a") == kind
    if kind in ("integer", "number"):
        assert table.numbers("a").tolist() == values.tolist()


def test_columns_within_columns_are_left_out_on_demand(tmp_path):
    nested = {"x": range(12), "list": [[1]] * 12, "record": [{"a": 1}] * 12, "y": [0, 1] * 6}
    pl.DataFrame(nested).write_parquet(tmp_path / "t.parquet")
    table = tables.read(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"'list' holds List.*\. Leave it out \(--drop\)"):
        tables.Schema.of(table, "y", range(12))
    schema = tables.Schema.of(table, "y", range(12), drop=["list", "record"])
    assert schema.numbers == ("x",)


@pytest.mark.parametrize("name", ["*", "^x.*$", "^.*$"])
def test_names_that_polars_would_read_as_patterns(name, tmp_path):
    rows = "".join(f"{'0' * (i % 2)}1,{i % 7},{i}\n" for i in range(60))
    table = csv_of(tmp_path, f"{name},x{name},y\n{rows}")
    assert table.kind(name) == "text"
    ready = tables.prepare(table, "y", "regression")
    assert ready.inputs.names == (f"x{name}", f"{name} = '01'", f"{name} = '1'")
    assert tables.prepare(table, name, "classification").target.classes == ("01", "1")


def test_reading_takes_a_time_in_proportion_to_the_columns(tmp_path):
    """30,000 took ten times as long as now, looking each name up among all others."""
    names = [f"column {i}" for i in range(30_000)]
    line = ",".join(["1.5"] * len(names))
    (tmp_path / "t.csv").write_text(f"{','.join(names)}\n{line}\n{line}\n")
    start = time.thread_time()
    table = tables.read(tmp_path / "t.csv")
    found = [table.column(name)[1] for name in names]
    assert time.thread_time() - start < 10.0
    assert found == ["1.5"] * len(names)
