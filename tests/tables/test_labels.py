"""Labels and categories stay what they are in the file: large integers, leading zeros, 1.10."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_tables import csv_of, fitted, table_of

import nnpoly as nn
from nnpoly import tables
from nnpoly._described import construct, describe
from nnpoly.tables import Category, Classes, Preprocessing, Schema, Table

IDS = [2**53 + 1, 2**53, 123456789012345678]  # the first two are one float64
LARGE = [2**63 + 1, 2**63, 1]
HUGE = [2**100 + 1, 2**100, -(2**100)]


def file_of(folder: Path, kind: str, values: list[Any]) -> Table:
    """A file with the values as the column `v`, in turn, and a column of numbers."""
    values = [values[i % len(values)] for i in range(60)]
    path = folder / f"t.{kind}"
    if kind == "npz":
        np.savez(path, v=np.array(values, np.uint64), a=np.arange(60.0))
    else:
        frame = pl.DataFrame({"v": values, "a": np.arange(60.0)})
        frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    return tables.read(path)


def cases() -> list[Any]:
    kinds = [("csv", IDS), ("parquet", IDS), ("npz", IDS), ("csv", LARGE), ("parquet", LARGE)]
    return [*kinds, ("npz", LARGE), ("csv", HUGE), ("parquet", HUGE)]


@pytest.mark.parametrize(("kind", "values"), cases())
def test_large_integers_stay_apart(kind, values, tmp_path):
    table = file_of(tmp_path, kind, values)
    assert table.kind("v") == "integer"
    assert tables.told_task(table, "v") == "classification"
    target = Classes.fit(table, "v")
    assert target.classes == tuple(sorted(values))
    assert [target.classes[k] for k in target.encode(table)] == [values[i % 3] for i in range(60)]
    assert construct(json.loads(json.dumps(describe(target)))) == target
    schema = Schema.of(table, "a", np.arange(60), categorical=["v"])
    (category,) = Preprocessing.fit(table, schema).categories
    assert category.values == tuple(sorted(map(str, values)))


@pytest.mark.parametrize(("kind", "values"), cases())
def test_large_integers_are_predicted_as_they_are(kind, values, tmp_path):
    table = file_of(tmp_path, kind, values)
    ready = tables.prepare(table, "v", "classification")
    model = tables.TableModel(nn.MLP([1, 3]), ready.inputs, ready.target)
    model.save(tmp_path / "m")
    found = tables.load(tmp_path / "m").predict(table)
    assert set(found.values.tolist()) <= set(values)
    printed = found.frame().write_csv().splitlines()
    assert printed[0].split(",")[1:] == [f"probability of {v}" for v in sorted(values)]
    assert {int(line.split(",")[0]) for line in printed[1:]} <= set(values)
    assert model.evaluate(table)["accuracy"] is not None


def test_predicted_labels_keep_every_bit():
    classes = (-1, 2**63, 2**64 + 1)
    model = tables.TableModel(
        nn.MLP.from_weights([[[-9.0], [0.0], [9.0]]], [[0.0, 1.0, 0.0]]),
        Preprocessing(("x",), (0.0,), (), (0.0,), (1.0,), ()),
        Classes("y", classes),
    )
    found = model.predict(table_of(x=[-1.0, 0.0, 1.0]))
    assert found.values.tolist() == list(classes)
    assert found.frame()["prediction"].cast(pl.String).to_list() == list(map(str, classes))


def test_decimals_without_places_are_integers(tmp_path):
    values = [Decimal(2**70 + i % 2) for i in range(12)]
    pl.DataFrame({"v": values, "w": [Decimal("1.5")] * 12}).write_parquet(tmp_path / "t.parquet")
    table = tables.read(tmp_path / "t.parquet")
    assert (table.kind("v"), table.kind("w")) == ("integer", "number")
    assert Classes.fit(table, "v").classes == (2**70, 2**70 + 1)


def rows(labels: list[str], n: int = 12) -> str:
    return "v,y\n" + "".join(f"{labels[i % len(labels)]},{i}\n" for i in range(n))


TEXTS = [
    (["007", "0042", "7"], "text", ("0042", "007", "7")),
    (["01", "1", "2"], "text", ("01", "1", "2")),
    (["-01", "1"], "text", ("-01", "1")),
    (["00.5", "1.5"], "text", ("00.5", "1.5")),
    (["1.0", "1.10", "1.1"], "number", ("1.0", "1.1", "1.10")),
    (["10.0", "9.50"], "number", ("9.50", "10.0")),
    (["+1", "-1"], "integer", ("-1", "+1")),
    (["1e3", "2"], "number", ("2", "1e3")),
    (["0", "10", "9"], "integer", (0, 9, 10)),
    (["0.5", "-1.5"], "number", (-1.5, 0.5)),
    (["True", "False"], "boolean", ("False", "True")),
    (["TRUE", "FALSE"], "boolean", ("FALSE", "TRUE")),
    (["true", "false"], "boolean", ("false", "true")),
]


@pytest.mark.parametrize(("labels", "kind", "classes"), TEXTS, ids=[str(t[0]) for t in TEXTS])
def test_labels_of_a_csv_are_those_of_the_file(labels, kind, classes, tmp_path):
    table = csv_of(tmp_path, rows(labels))
    assert table.kind("v") == kind
    target = Classes.fit(table, "v")
    assert target.classes == classes
    assert [type(c) for c in target.classes] == [type(c) for c in classes]
    found = [str(target.classes[k]) for k in target.encode(table)]
    assert found == [labels[i % len(labels)] for i in range(12)]


def test_a_decimal_comma_stays_in_a_label(tmp_path):
    table = csv_of(tmp_path, "v;y\n" + "1,50;0\n10,0;1\n9,0;2\n" * 4)
    assert Classes.fit(table, "v").classes == ("1,50", "9,0", "10,0")


def test_leading_zeros_make_categories_and_why_is_told(tmp_path):
    table = csv_of(tmp_path, rows(["01234", "1234", "98101"]))
    schema = Schema.of(table, "y", np.arange(12))
    assert schema.categories == {"v": False}
    assert schema.notes == {"v": "'01234' in line 2 has leading zeros"}
    assert fitted(table).categories[0].values == ("01234", "1234", "98101")
    forced = Schema.of(table, "y", np.arange(12), categorical=["v"])
    assert forced.categories == {"v": False}


@pytest.mark.parametrize(
    "cells",
    [
        ["12%", "5%", "3%"],
        ["$5", "$1.50", "7"],
        ["1,234", "950", "12,000"],
        ["1 234", "5 000", "6"],
    ],
)
def test_cells_that_look_like_numbers_are_told(cells, tmp_path):
    table = csv_of(tmp_path, rows([f'"{cell}"' for cell in cells]))
    schema = Schema.of(table, "y", np.arange(12))
    assert schema.categories == {"v": False}
    assert schema.notes == {"v": f"{cells[0]!r} in line 2 is no plain number"}


def test_different_cells_that_look_like_numbers_are_told_where_they_are_left_out(tmp_path):
    content = "v,x,y\n" + "".join(f"{i}.5%,{i % 5},{i}\n" for i in range(40))
    schema = Schema.of(csv_of(tmp_path, content), "y", np.arange(40))
    why = "40 of its 40 texts differ, such as '0.5%' ('0.5%' in line 2 is no plain number)"
    assert schema.left_out == {"v": why}
    target = csv_of(tmp_path, content)
    with pytest.raises(ValueError, match=r"--task regression, but '0\.5%' in line 2 is no plain"):
        Classes.fit(target, "v")


@pytest.mark.parametrize("cells", [["house", "12%"], ["a1", "007"], ["x"]])
def test_other_texts_are_categories_without_a_word(cells, tmp_path):
    schema = Schema.of(csv_of(tmp_path, rows([*cells, "y"])), "y", np.arange(12))
    assert (schema.categories, schema.notes) == ({"v": False}, {})


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_a_mark_among_numbers_is_a_slip_however_frequent(share, tmp_path):
    cells = ["-" if i < share * 20 else str(i) for i in range(20)]
    table = csv_of(tmp_path, "v,y\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells)))
    with pytest.raises(ValueError, match=r"'v' has '-' in line 2, but .* numbers"):
        Schema.of(table, "y", np.arange(20))
    texts = csv_of(tmp_path, rows(["-", "a", "b"]))
    assert Schema.of(texts, "y", np.arange(12)).categories == {"v": False}


def test_models_from_before_read_leading_zeros_as_they_did(tmp_path):
    """Their columns were numbers: 7 stands for 007."""
    table = csv_of(tmp_path, rows(["007", "42"]))
    assert Category("v", True, ("7", "42")).places(table, "error").tolist() == [0, 1] * 6
    assert Classes("v", (7, 42)).encode(table).tolist() == [0, 1] * 6
    assert Classes("v", (7.0, 42.0)).encode(table).tolist() == [0, 1] * 6
    numbers = Preprocessing(("v",), (0.0,), (), (0.0,), (1.0,), ())
    assert numbers.encode(table)[:, 0].tolist() == [7.0, 42.0] * 6


# Booleans


@pytest.mark.parametrize("labels", [["TRUE", "FALSE"], ["True", "False"], ["false", "true"]])
def test_booleans_of_a_csv_are_predicted_as_they_are_written(labels, tmp_path):
    table = csv_of(tmp_path, rows(labels, 60))
    ready = tables.prepare(table, "v", "classification")
    assert [label.lower() for label in ready.target.classes] == ["false", "true"]
    model = tables.TableModel(nn.MLP([1, 2]), ready.inputs, ready.target)
    model.save(tmp_path / "m")
    found = tables.load(tmp_path / "m").predict(table)
    assert set(found.values.tolist()) <= set(labels)
    lines = found.frame().write_csv().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} <= set(labels)


def test_booleans_may_be_written_otherwise_in_another_table(tmp_path):
    target = Classes.fit(csv_of(tmp_path, rows(["TRUE", "FALSE"])), "v")
    for other in (["true", "False"], ["1", "0"], ["1.0", "0"]):
        assert target.encode(csv_of(tmp_path, rows(other))).tolist() == [1, 0] * 6
    assert target.encode(table_of(v=[True, False])).tolist() == [1, 0]
    assert target.encode(table_of(v=[1.0, 0.0])).tolist() == [1, 0]
    assert Classes("v", (False, True)).encode(csv_of(tmp_path, rows(["TRUE", "x"][:1]))).all()
    message = r"'v' has 'maybe' in line 3, which is none of the model's classes \('FALSE', 'TRUE'\)"
    with pytest.raises(ValueError, match=message):
        target.encode(csv_of(tmp_path, rows(["TRUE", "maybe"])))


def test_booleans_that_are_written_in_several_ways_are_two_classes(tmp_path):
    table = csv_of(tmp_path, rows(["True", "FALSE", "TRUE", "False"]))
    target = Classes.fit(table, "v")
    assert target.classes == (False, True)
    assert target.encode(table).tolist() == [1, 0] * 6
    assert Classes.fit(table_of(v=[True, False] * 4), "v").classes == (False, True)


def test_a_text_is_none_of_the_classes_of_numbers(tmp_path):
    message = r"'v' has 'many' in line 3, which is none of the model's classes \(0, 1\)"
    with pytest.raises(ValueError, match=message):
        Classes("v", (0, 1)).encode(csv_of(tmp_path, rows(["1", "many"])))


def test_integers_that_are_one_float64_are_told(tmp_path):
    table = csv_of(tmp_path, rows([str(2**53), str(2**53 + 1)]))
    told = f"holds integers, such as {2**53} and {2**53 + 1}, that are all one number in float64"
    assert Schema.of(table, "y", np.arange(12)).left_out["v"].startswith(f"it {told}")
    with pytest.raises(ValueError, match=told):
        tables.Quantity.fit(table, "v")
    always = csv_of(tmp_path, rows([str(2**53 + 1)]))
    assert Schema.of(always, "y", np.arange(12)).left_out == {"v": f"it is always {2**53 + 1}"}


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["1", "1.0", "2"], (1.0, 2.0)),
        (["-0", "0", "1"], (0, 1)),
        (["1", "+1", "2"], (1, 2)),
        (["1.0", "2.0"], ("1.0", "2.0")),
        (["007", "7"], ("007", "7")),
    ],
)
def test_a_number_written_in_two_ways_is_one_class(tmp_path, cells, classes):
    table = file_of(tmp_path, "csv", cells)
    target = Classes.fit(table, "v")
    assert target.classes == classes
    np.testing.assert_array_equal(
        target.encode(table),
        [
            classes.index(cell) if cell in classes else classes.index(float(cell))
            for cell in (cells * 60)[:60]
        ],
    )


def test_numbers_are_measured_however_they_are_written(tmp_path):
    model = Classes("v", ("+1", "2.0"))
    for cells in (["1", "2"], ["1.0", "+2"], ["+1", "2.0"]):
        np.testing.assert_array_equal(model.encode(file_of(tmp_path, "csv", cells)), [0, 1] * 30)
    named = Classes("v", ("007", "008"))
    with pytest.raises(ValueError, match="none of the model's classes"):
        named.encode(file_of(tmp_path, "csv", ["7", "8"]))


@pytest.mark.parametrize("task", [None, "classification", "regression"])
def test_numbers_and_booleans_in_one_target_are_refused(tmp_path, task):
    table = file_of(tmp_path, "csv", ["TRUE", "0", "1"])
    with pytest.raises(ValueError, match="is the target, but it holds numbers and 'TRUE'"):
        tables.prepare(table, "v", task)
