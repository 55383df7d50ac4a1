"""Tables: preprocessing fitted on the rows to train on alone, targets and metrics."""

from __future__ import annotations

import datetime
import json
import math
import pkgutil
import re
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_tables import GOOD, csv_of, fitted, mixed, table_of

import nnpoly as nn
from nnpoly import tables
from nnpoly._described import construct, describe
from nnpoly.backends import registry
from nnpoly.tables import Preprocessing, Schema, Table, metrics
from nnpoly.tables.columns import plain, transformer

# Columns


def test_roles_of_columns():
    n = 50
    table = table_of(
        number=range(n),
        code=[i % 3 for i in range(n)],
        text=["ab"[i % 2] for i in range(n)],
        constant=["x"] * n,
        five=[5.0] * n,
        five_or_missing=[5.0, None] * (n // 2),
        empty=[None] * n,
        name=[f"n{i}" for i in range(n)],
        unwanted=range(n),
        y=range(n),
    )
    schema = Schema.of(table, "y", np.arange(n), categorical=["code"], drop=["unwanted"])
    assert schema.numbers == ("number", "five_or_missing")
    assert schema.categories == {"code": True, "text": False}
    assert schema.left_out == {
        "unwanted": "as asked",
        "constant": "it is always 'x'",
        "five": "it is always 5",
        "empty": "it is empty",
        "name": "50 of its 50 texts differ, such as 'n0'",
    }
    kept = Schema.of(table, "y", np.arange(n), categorical=["name"])
    assert kept.categories == {"text": False, "name": False}


def test_what_is_no_table_is_named():
    inputs = Preprocessing(("x",), (0.0,), (), (0.0,), (1.0,), ())
    model = tables.TableModel(nn.MLP([1, 2]), inputs, tables.Classes("y", ("a", "b")))
    for given in (np.zeros((3, 1)), {"x": [1.0]}, pl.LazyFrame({"x": [1.0]})):
        with pytest.raises(TypeError, match=r"`table` must be a frame of pandas, polars or Arrow"):
            model.predict(given)
    with pytest.raises(TypeError, match=r"must be a Table, as nnpoly\.tables\.read\(path\)"):
        inputs.encode(pl.DataFrame({"x": [1.0]}))


def test_a_table_of_the_target_alone_has_no_column_to_learn_from():
    table = table_of(y=[0, 1] * 6)
    message = r"no column to learn from\. It has the target alone: add columns\.$"
    with pytest.raises(ValueError, match=message):
        Preprocessing.fit(table, Schema.of(table, "y", range(12)))


@pytest.mark.parametrize(
    ("cell", "kind", "hint"),
    [
        (datetime.timedelta(seconds=5), "duration", r"\(of seconds or days, say\)"),
        (datetime.time(12, 30), "time", r"\(hours since midnight, say\)"),
        (datetime.date(2024, 1, 31), "date", r"\(year, month,"),
    ],
)
def test_columns_of_time_are_called_what_they_are(cell, kind, hint, tmp_path):
    table = table_of(when=[cell] * 12, y=[0, 1] * 6)
    assert table.kind("when") == kind
    with pytest.raises(ValueError, match=rf"'when' has .* in row 0 .*, a {kind}\. .*{hint}"):
        Schema.of(table, "y", range(12))
    with pytest.raises(ValueError, match=rf"'when' holds {kind}s, which cannot be predicted"):
        tables.told_task(table, "when")


def test_telling_kinds_at_once_or_one_by_one_is_the_same(tmp_path):
    cells = {
        "integer": ["1", "+2", ""],
        "number": ["1", "2.5", ""],
        "also number": ["1", "true", ""],
        "boolean": ["True", "false", ""],
        "text": ["a", "1", ""],
        "padded": ["01", "1", ""],
        "date": ["2024-01-31", "2024-02-01", ""],
        "padded date": ["01.02.2024", "1.2.2024", ""],
        "empty": ["", "", ""],
        "*": ["1", "x", "true"],
        "": ["1", "2", "3"],
    }
    lines = [",".join(cells), *(",".join(row) for row in zip(*cells.values(), strict=True))]
    one, all_ = (csv_of(tmp_path, "\n".join([*lines, ""]) + ",".join("z" * 11)) for _ in range(2))
    one, all_ = one.take([0, 1, 2]), all_.take([0, 1, 2])
    all_.tell_kinds()
    assert [one.kind(name) for name in cells] == [all_.kind(name) for name in cells]
    kinds = ["integer", "number", "number", "boolean", "text", "text", "date", "date"]
    assert [one.kind(name) for name in cells] == [*kinds, "empty", "text", "integer"]


def test_preparing_takes_a_time_in_proportion_to_the_columns(tmp_path):
    """2,000 columns took three queries each to tell their kinds."""
    names = [f"c{i}" for i in range(2000)]
    rng = np.random.default_rng(0)
    rows = [",".join(f"{x:.3f}" for x in row) for row in rng.normal(size=(30, len(names)))]
    content = "\n".join(
        [",".join([*names, "y"]), *(f"{row},{i % 2}" for i, row in enumerate(rows))]
    )
    table = csv_of(tmp_path, content)
    selected: list[Any] = []
    select = pl.DataFrame.select

    def counted(frame: Any, *arguments: Any, **options: Any) -> Any:
        selected.append(arguments)
        return select(frame, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pl.DataFrame, "select", counted)
        ready = tables.prepare(table, "y", "classification")
    assert ready.inputs.names == tuple(names)
    assert len(selected) < 100


REFUSED_COLUMNS = [
    ("x,when,y\n1,,2\n2,2024-01-31,3\n", "column 'when' has '2024-01-31' in line 3, a date"),
    ("x,y\n1,1\n2,1\n1.O,1\n", "column 'x' has '1.O' in line 4, but most of its cells are numbers"),
    ("x,y\n1,1\n\n-inf,1\n", "column 'x' has '-inf' in line 4, which is no finite number"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED_COLUMNS)
def test_refused_cells_are_named_with_their_line(content, message, tmp_path):
    table = csv_of(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(message)):
        Schema.of(table, "y", np.arange(len(table)))


def test_too_many_categories_are_refused():
    table = table_of(town=[f"t{i // 2}" for i in range(2100)], y=range(2100))
    with pytest.raises(ValueError, match="'town' has 1050 categories, more than 1000"):
        Schema.of(table, "y", np.arange(2100))


# Preprocessing


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_encoded_as_scikit_learn_does(seed):
    table = mixed(seed=seed)
    rows = np.random.default_rng(seed).permutation(60)[:40]
    schema = Schema.of(table, "y", rows, categorical=["code"])
    training = table.take(rows)
    expected = transformer(schema).fit(plain(training, schema)).transform(plain(table, schema))
    expected = expected.toarray()
    found = Preprocessing.fit(training, schema)
    np.testing.assert_array_equal(found.encode(table, "ignore"), expected)
    assert expected.shape == (60, len(found.names))


def test_numbers_are_standardised_and_indicated():
    table = table_of(x=[1.0, None, 4.0, 2.0], y=[0, 1, 0, 1])
    found = fitted(table)
    filled = np.array([1.0, 2.0, 4.0, 2.0])
    indicator = np.array([0.0, 1.0, 0.0, 0.0])
    for column, raw in zip(found.encode(table).T, (filled, indicator), strict=True):
        np.testing.assert_allclose(column, (raw - raw.mean()) / raw.std(), rtol=1e-14)
    assert found.names == ("x", "x is missing")


def test_a_number_that_is_first_missing_later_is_its_median():
    found = fitted(table_of(x=[1.0, 2.0, 6.0], y=[0, 1, 2]))
    empty, median = table_of(x=[None]), table_of(x=[2.0])
    np.testing.assert_array_equal(found.encode(empty), found.encode(median))


@pytest.mark.parametrize("seed", range(3))
def test_preprocessing_survives_json_to_the_bit(seed):
    table = mixed(seed=seed)
    found = fitted(table, categorical=["code"])
    back = construct(json.loads(json.dumps(describe(found), allow_nan=False)))
    assert back == found
    assert back.encode(table).tobytes() == found.encode(table).tobytes()


def test_the_rows_held_out_take_no_part_in_the_fit():
    table = mixed(200)
    before = tables.prepare(table, "y", "regression", categorical=["code"])
    rows = np.concatenate([before.parts.validation, before.parts.holdout])

    def changed(rows: Any) -> tables.Prepared:
        frame = table.frame
        for name, value in [("real", 1e9), ("whole", 77), ("colour", "odd"), ("y", -1e6)]:
            column = frame[name].to_list()
            for row in rows:
                column[row] = value
            frame = frame.with_columns(pl.Series(name, column))
        made = Table(table.source, frame)
        return tables.prepare(made, "y", "regression", categorical=["code"])

    after = changed(rows)
    assert (after.inputs, after.target) == (before.inputs, before.target)
    fit = before.parts.fit
    np.testing.assert_array_equal(after.X[fit], before.X[fit])
    leak = changed(fit[:1])  # one row of those to train on shows in everything
    assert leak.inputs != before.inputs
    assert leak.target != before.target


def test_columns_may_come_in_any_order_and_with_others():
    table = mixed()
    found = fitted(table, categorical=["code"])
    names = table.names[::-1]
    other = table_of(**{name: table.frame[name] for name in names}, more=["?"] * 60)
    np.testing.assert_array_equal(found.encode(other), found.encode(table))


def test_formats_agree(tmp_path):
    table = mixed()
    table.frame.write_csv(tmp_path / "t.csv")
    read = tables.read(tmp_path / "t.csv")
    first, second = fitted(table, categorical=["code"]), fitted(read, categorical=["code"])
    assert first == second
    np.testing.assert_array_equal(first.encode(read), second.encode(table))


def test_a_number_is_the_same_category_however_it_is_written(tmp_path):
    found = fitted(table_of(code=[1, 2, 3, 1], y=[0, 1, 2, 3]), categorical=["code"])
    cells = csv_of(tmp_path, "code,z\n1,0\n2.0,0\n3e0,0\n01,0\n")
    assert found.encode(cells).argmax(axis=1).tolist() == [0, 1, 2, 0]


def test_a_text_stays_one_though_a_new_table_has_only_digits(tmp_path):
    rows = "".join(f"{code},{i}\n" for i, code in enumerate(["01", "A1", "x", "01", "x", "A1"]))
    found = fitted(csv_of(tmp_path, "code,y\n" + rows))
    new = csv_of(tmp_path, "code,z\n01,0\n01,0\n")
    assert found.encode(new).tolist() == [[1.0, 0.0, 0.0]] * 2


def test_an_unknown_category_is_refused_or_zeros(tmp_path):
    table = csv_of(tmp_path, GOOD)
    found = fitted(table, categorical=["size"])
    new = csv_of(tmp_path, "size,x\nS,1\n\nXL,2\n", "new.csv")
    with pytest.raises(ValueError, match=r"new\.csv: column 'size' has 'XL' in line 4") as caught:
        found.encode(new)
    assert "'L', 'M', 'S'" in str(caught.value)
    encoded = found.encode(new, "ignore")[:, 1:]
    assert encoded.tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match="column 'size' is empty in line 2"):
        found.encode(csv_of(tmp_path, "size,x\n,1\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("size,z\nS,1\n", "new.csv has no column 'x'"),
        ("x,z\n1,1\n", "new.csv has no column 'size'"),
        ("x,size\n1,S\nmany,S\n", "column 'x' has 'many' in line 3, which is no number"),
        ("x,size\ninf,S\n", "column 'x' has 'inf' in line 2, which is no finite number"),
    ],
)
def test_new_tables_that_are_refused(content, message, tmp_path):
    found = fitted(csv_of(tmp_path, GOOD))
    with pytest.raises(ValueError, match=re.escape(message)):
        found.encode(csv_of(tmp_path, content, "new.csv"), "ignore")


def test_a_type_that_is_no_number_is_refused():
    import datetime

    found = fitted(table_of(x=[1.0, 2.0], y=[0, 1]))
    with pytest.raises(ValueError, match="column 'x' must hold numbers, got Date"):
        found.encode(table_of(x=[datetime.date(2024, 1, 31)]))


# Targets


TOLD = [
    (["no", "yes"] * 10, "classification"),
    ([True, False] * 10, "classification"),
    ([0, 1] * 10, "classification"),
    ([3, 4, 5, 6, 7] * 4, "classification"),
    (list(range(20)), "regression"),
    (list(range(21)) * 3, "regression"),
    ([0.0, 1.0] * 10, "regression"),
    ([1.5, 2.5] * 10, "regression"),
]


@pytest.mark.parametrize(("values", "task"), TOLD, ids=[str(v[:5]) for v, _ in TOLD])
def test_the_task_is_told_from_the_target(values, task):
    assert tables.told_task(table_of(y=values), "y") == task


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["yes", "no", "yes"] * 4, ("no", "yes")),
        ([10, 9, 10] * 4, (9, 10)),
        ([True, False] * 6, (False, True)),
        ([1.5, 0.5] * 6, (0.5, 1.5)),
    ],
)
def test_classes_are_sorted_and_encode_to_their_places(values, classes):
    table = table_of(y=values)
    found = tables.Classes.fit(table, "y")
    assert found.classes == classes
    assert [type(c) for c in found.classes] == [type(c) for c in classes]
    assert [found.classes[k] for k in found.encode(table)] == values
    assert construct(json.loads(json.dumps(describe(found)))) == found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 9, "'y' has one class ('a')"),
        (["a"] * 9 + ["b"] * 2, "'y' has the class 'b' in 2 of its rows; 3 are needed"),
        ([f"t{i}" for i in range(30)], "'y' has 30 different values in 30 rows: too many"),
    ],
)
def test_targets_that_are_no_classes(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tables.Classes.fit(table_of(y=values), "y")


def test_an_unknown_label_is_named_with_its_line(tmp_path):
    found = tables.Classes("y", ("no", "yes"))
    table = csv_of(tmp_path, "x,y\n1,no\n2,maybe\n")
    with pytest.raises(ValueError, match="'y' has 'maybe' in line 3, which is none of the model's"):
        found.encode(table)


def test_a_quantity_is_standardised_and_comes_back():
    y = np.array([1.0, 2.0, 6.0])
    found = tables.Quantity.fit(table_of(y=y), "y")
    z = found.standardised(y)
    assert math.isclose(z.mean(), 0.0, abs_tol=1e-15)
    assert math.isclose(z.std(), 1.0)
    np.testing.assert_allclose(found.in_unit(z), y, rtol=1e-15)
    with pytest.raises(ValueError, match="'y' is always 7"):
        tables.Quantity.fit(table_of(y=[7.0] * 4), "y")


@pytest.mark.parametrize("labels", [None, np.repeat([0, 1, 2], [60, 90, 150])])
def test_the_parts_cover_all_rows_in_the_shares_asked_for(labels):
    parts = tables.split(300, labels, 0.2, 0.1, seed=3)
    assert [len(part) for part in parts] == [216, 24, 60]
    assert sorted(np.concatenate(parts)) == list(range(300))
    if labels is not None:
        for part in parts:
            np.testing.assert_allclose(np.bincount(labels[part]) / len(part), [0.2, 0.3, 0.5], 0.1)
    again, other = (tables.split(300, labels, 0.2, 0.1, seed) for seed in (3, 4))
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts.holdout, other.holdout)


@pytest.mark.parametrize("shares", [(0.01, 0.1), (0.2, 0.01), (0.99, 0.1)])
def test_parts_without_a_row_a_class_are_refused(shares):
    with pytest.raises(ValueError, match=r"split: `(holdout|validation)` .* rows is"):
        tables.split(30, np.arange(30) % 3, *shares)


# Metrics


def test_metrics_are_their_formulas():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 3, 200), rng.normal(size=(200, 3))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found, guess = metrics.classification(y, p), p.argmax(axis=1)
    recalls = [(guess[y == k] == k).mean() for k in range(3)]
    precisions = [(y[guess == k] == k).mean() for k in range(3)]
    pairs = [(p[y == k, k][:, None] > p[y != k, k]).mean() for k in range(3)]
    harmonic = [2 * a * b / (a + b) for a, b in zip(recalls, precisions, strict=True)]
    expected = {
        "accuracy": (guess == y).mean(),
        "balanced accuracy": np.mean(recalls),
        "F1": np.mean(harmonic),
        "ROC-AUC": np.mean(pairs),
        "log loss": -np.log(p[np.arange(200), y]).mean(),
    }
    assert found == pytest.approx(expected, rel=1e-12)
    truth, guessed = rng.normal(size=50), rng.normal(size=50)
    error = truth - guessed
    assert metrics.regression(truth, guessed) == pytest.approx(
        {
            "R2": 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum(),
            "MAE": abs(error).mean(),
            "RMSE": math.sqrt((error**2).mean()),
        },
        rel=1e-12,
    )


def test_metrics_that_are_not_defined_are_none():
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert metrics.classification(np.array([0, 0]), p)["ROC-AUC"] is None
    assert metrics.regression(np.array([1.0]), np.array([2.0]))["R2"] is None
    assert "n/a" in metrics.text({"network": metrics.classification(np.array([0, 0]), p)})


# Models


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_model_survives_its_file_on_every_backend(task, tmp_path):
    table = mixed()
    table = Table("t", table.frame.with_columns(label=pl.Series(["no", "yes", "yes"] * 20)))
    name = "label" if task == "classification" else "y"
    ready = tables.prepare(table, name, task, drop=[{"y", "label"}.difference([name]).pop()])
    K, output = (2, "softmax") if task == "classification" else (1, "identity")
    net = nn.MLP([len(ready.inputs.names), 8, K], output=output, backend="numpy")
    model = tables.TableModel(net, ready.inputs, ready.target)
    model.save(tmp_path / "m.safetensors")
    expected = model.predict(table, "ignore")
    for backend in ("numpy", "torch", "jax"):
        loaded = tables.load(tmp_path / "m.safetensors", backend)
        assert (loaded.inputs, loaded.target) == (model.inputs, model.target)
        assert loaded.network.backend == backend
        found = loaded.predict(table, "ignore").frame()
        numbers = [c for c in found.columns if found[c].dtype.is_numeric()]
        for column in numbers:
            bound = 0.0 if backend == "numpy" else 1e-5
            np.testing.assert_allclose(found[column], expected.frame()[column], bound, bound)
    if task == "regression":
        f = registry.to_host(net(ready.X))[:, 0].astype(np.float64)
        np.testing.assert_array_equal(expected.values, f * ready.target.scale + ready.target.mean)


def test_a_network_alone_reads_the_columns_of_a_matrix(tmp_path):
    net = nn.MLP([2, 3])
    net.save(tmp_path / "m.safetensors")
    model, X = tables.load(tmp_path / "m.safetensors"), np.array([[1.0, 2.0], [-3.0, 0.5]])
    np.savez(tmp_path / "t.npz", X=X)
    found = model.predict(tables.read(tmp_path / "t.npz"))
    np.testing.assert_array_equal(found.probabilities, registry.to_host(net(X)))
    assert found.values.tolist() == found.probabilities.argmax(axis=1).tolist()
    with pytest.raises(ValueError, match=r"'X_1' is empty in row 0 \(from 0\), but may not be"):
        model.predict(table_of(X_0=[1.0], X_1=[None]))


def test_a_network_that_does_not_fit_is_refused():
    inputs = fitted(table_of(x=[1.0, 2.0], y=[0, 1]))
    for net in (nn.MLP([2, 2]), nn.MLP([1, 3]), nn.MLP([1, 2], output="sigmoid")):
        with pytest.raises(ValueError, match="`network` must have 1 inputs and 2 outputs by softm"):
            tables.TableModel(net, inputs, tables.Classes("y", (0, 1)))


def calls(monkeypatch: Any, *names: str) -> list[Any]:
    """The first arguments of the calls of a function, by each of its names, from here on."""
    found = []

    def counting(function: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            found.append(arguments[0])
            return function(*arguments, **options)

        return counted

    for name in names:
        monkeypatch.setattr(name, counting(pkgutil.resolve_name(name)))
    return found


def test_a_model_is_read_once(tmp_path, monkeypatch):
    nn.MLP([2, 3]).save(tmp_path / "m.safetensors")
    checksums = calls(monkeypatch, "hashlib.sha256")
    tables.load(tmp_path / "m.safetensors")
    assert len(checksums) == 1


def test_an_npz_is_opened_once(tmp_path, monkeypatch):
    np.savez(tmp_path / "t.npz", a=[1.0, 2.0])
    opened = calls(monkeypatch, "builtins.open", "io.open")
    assert tables.read(tmp_path / "t.npz").numbers("a").tolist() == [1.0, 2.0]
    assert opened.count(tmp_path / "t.npz") + opened.count(str(tmp_path / "t.npz")) == 1


def test_a_file_without_its_columns_is_refused(tmp_path):
    from nnpoly import checkpoint

    checkpoint.save_network(nn.MLP([2, 2]), tmp_path / "m", extra={"table": {"inputs": None}})
    with pytest.raises(ValueError, match="m cannot be read"):
        tables.load(tmp_path / "m")
