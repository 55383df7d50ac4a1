"""`nnpoly train TABLE`, `predict`, `evaluate` and `summary`, end to end."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from commands import status_of
from PIL import Image

import nnpoly as nn
from nnpoly import tables
from nnpoly.backends import registry
from nnpoly.cli.tables import LOG, METRICS, MODEL, PICTURE

FILES = {MODEL, LOG, METRICS, PICTURE}
MLP = ["--model", "mlp"]
FAST = ["--quiet", *MLP, "--epochs", "3", "--widths", "8"]


def bundled(name: str) -> pl.DataFrame:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    columns = {n: data.data[:, i] for i, n in enumerate(data.feature_names)}
    return pl.DataFrame({**columns, "y": data.target})


def interaction(n: int = 700, seed: int = 0) -> pl.DataFrame:
    """Yes where the signs of a and b agree, and the other way round where the sort is "odd"."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    sort = rng.choice(["odd", "even", "prime"], n)
    yes = (a * b > 0) ^ (sort == "odd")
    frame = pl.DataFrame(
        {
            "a": a,
            "b, too": b,
            "sort": sort,
            "id": [f"row-{i}" for i in range(n)],
            "agree": np.where(yes, "yes", "no"),
        }
    )
    row = pl.int_range(n)
    return frame.with_columns(
        pl.when(row % 19 != 5).then("a").alias("a"),
        pl.when(row % 31 != 7).then("sort").alias("sort"),
    )


@dataclass(frozen=True)
class Trained:
    """What a training left, and the table that it was trained on."""

    folder: Path
    file: Path
    printed: str
    metrics: dict[str, Any]

    @property
    def model(self) -> tables.TableModel:
        return tables.load(self.folder / MODEL, "numpy")

    def prepared(self, **options: Any) -> tables.Prepared:
        table = tables.read(self.file)
        return tables.prepare(table, self.metrics["target"], self.metrics["task"], **options)


def trained(folder: Path, capsys: Any, file: Path, target: str, *options: Any) -> Trained:
    arguments = ["train", file, "--target", target, "--quiet", "--output", folder / "out"]
    assert status_of(*arguments, "--backend", "numpy", *options) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    report = json.loads((folder / "out" / METRICS).read_text())
    return Trained(folder / "out", file, printed.out, report)


def written(folder: Path, frame: pl.DataFrame, name: str) -> Path:
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet}[Path(name).suffix]
    write(folder / name)
    return folder / name


def shown_metrics(printed: str) -> dict[str, str]:
    """Return the printed table's first column of numbers by the metric's name."""
    return dict(re.findall(r"^([A-Za-z0-9 -]+?) {2,}(-?[\d.]+|n/a)", printed, re.MULTILINE))


# End to end


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_wine(kind, tmp_path, capsys):
    run = trained(tmp_path, capsys, written(tmp_path, bundled("wine"), f"wine.{kind}"), "y", *MLP)
    found = run.metrics["holdout"]
    assert run.metrics["rows"] == {"fit": 128, "validation": 14, "holdout": 36}
    assert found["network"]["accuracy"] > 0.9
    assert set(found) == {"network", "linear", "trees", "majority"}
    assert found["trees"]["accuracy"] > 0.9
    assert {path.name for path in run.folder.iterdir()} == FILES
    assert run.model.target.classes == (0, 1, 2)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_diabetes(kind, tmp_path, capsys):
    run = trained(tmp_path, capsys, written(tmp_path, bundled("diabetes"), f"d.{kind}"), "y", *MLP)
    found = run.metrics["holdout"]
    assert found["network"]["RMSE"] < found["mean"]["RMSE"]
    assert found["network"]["R2"] > 0.2
    fit = run.prepared().parts.fit
    y = bundled("diabetes")["y"].to_numpy()[fit]
    target = run.model.target
    np.testing.assert_allclose((target.mean, target.scale), (y.mean(), y.std()), rtol=1e-12)


def test_the_network_beats_the_line_where_only_an_interaction_tells(tmp_path, capsys):
    file = written(tmp_path, interaction(), "t.csv")
    run = trained(tmp_path, capsys, file, "agree", *MLP, "--widths", "64,64")
    found = run.metrics["holdout"]
    assert found["network"]["accuracy"] > 0.85
    assert found["linear"]["accuracy"] < 0.65
    assert found["majority"]["ROC-AUC"] == 0.5
    assert "left out: column 'id', " in run.printed
    assert run.model.inputs.names == (
        *("a", "b, too", "a is missing"),
        *("sort = 'even'", "sort = 'odd'", "sort = 'prime'", "sort is missing"),
    )


@pytest.fixture
def small(tmp_path, capsys) -> Trained:
    """A classifier that was trained for a few epochs."""
    (folder := tmp_path / "small").mkdir()
    return trained(folder, capsys, written(tmp_path, interaction(120), "t.csv"), "agree", *FAST)


@pytest.fixture
def small_quantity(tmp_path, capsys) -> Trained:
    """A regression that was trained for a few epochs."""
    return trained(tmp_path, capsys, written(tmp_path, bundled("diabetes"), "d.csv"), "y", *FAST)


@pytest.fixture
def hashes(small, monkeypatch) -> list[Any]:
    """The beginnings of the checksums that are computed from here on: one a file's reading."""
    found, sha256 = [], hashlib.sha256

    def counted(*arguments: Any, **options: Any) -> Any:
        found.append(arguments)
        return sha256(*arguments, **options)

    monkeypatch.setattr(hashlib, "sha256", counted)
    return found


def test_the_log_has_a_line_an_epoch_and_a_final_one(small):
    *epochs, last = [json.loads(line) for line in (small.folder / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert all(line["loss"] > 0 and line["validation_loss"] > 0 for line in epochs)
    lowest = min(epochs, key=lambda line: line["validation_loss"])
    seconds = last["final"].pop("seconds")
    assert list(seconds) == list(small.metrics["holdout"])
    assert seconds["network"] > 0
    assert last["final"] == {
        "epochs": 3,
        "best_epoch": lowest["epoch"],
        "holdout": small.metrics["holdout"],
    }


def test_the_report_is_a_picture(small, small_quantity):
    for run in (small, small_quantity):
        with Image.open(run.folder / PICTURE) as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_names_that_matplotlib_would_read_as_formulas(tmp_path, capsys):
    frame = bundled("diabetes").rename({"y": "price $_^$", "age": "价 $x^$"})
    run = trained(tmp_path, capsys, written(tmp_path, frame, "t.csv"), "price $_^$", *FAST)
    assert (run.folder / PICTURE).stat().st_size > 0


# What is printed


@pytest.mark.parametrize("run", ["small", "small_quantity"])
def test_metrics_of_the_rows_held_out_are_those_that_evaluate_prints(run, request, capsys):
    run = request.getfixturevalue(run)
    ready = run.prepared()
    held_out = written(run.folder, pl.read_csv(run.file)[ready.parts.holdout], "holdout.parquet")
    assert status_of("evaluate", run.folder, held_out, "--unknown", "ignore") == 0
    printed = capsys.readouterr().out
    assert shown_metrics(printed) == shown_metrics(run.printed)
    found = run.model.evaluate(tables.read(held_out), "ignore")
    assert found == pytest.approx(run.metrics["holdout"]["network"], rel=1e-6)
    assert len(shown_metrics(printed)) == len(found)


@pytest.mark.parametrize("run", ["small", "small_quantity"])
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_predictions_are_those_of_the_process(run, backend, request, capsys):
    run = request.getfixturevalue(run)
    assert status_of("predict", run.folder / MODEL, run.file, "--backend", backend) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    model = tables.load(run.folder / MODEL, backend)
    found = model.predict(tables.read(run.file))
    assert len(rows) == len(found.values)
    if found.probabilities is None:
        assert [float(row["prediction"]) for row in rows] == found.values.tolist()
        assert list(rows[0]) == ["prediction"]
        return
    assert [row["prediction"] for row in rows] == found.values.tolist()
    names = ["probability of no", "probability of yes"]
    assert list(rows[0]) == ["prediction", *names]
    numbers = np.array([[row[name] for name in names] for row in rows], np.float32)
    np.testing.assert_array_equal(numbers, found.probabilities)


def test_predict_writes_a_file(small, tmp_path, capsys):
    assert status_of("predict", small.folder, small.file) == 0
    expected = capsys.readouterr().out
    assert status_of("predict", small.folder, small.file, "--output", tmp_path / "p.csv") == 0
    assert (tmp_path / "p.csv").read_text() == expected
    assert capsys.readouterr().out == f"{tmp_path / 'p.csv'} now holds 120 predictions\n"


def test_rows_without_a_target_are_left_out_and_counted(small, tmp_path, capsys):
    frame = pl.read_csv(small.file)
    gaps = frame.with_columns(agree=pl.when(pl.int_range(120) < 7).then(None).otherwise("agree"))
    file = written(tmp_path, gaps, "gaps.csv")
    assert status_of("evaluate", small.folder, file) == 0
    said = "gaps.csv: 113 rows (7 more have no 'agree' and are left out)"
    assert said in capsys.readouterr().out
    run = trained(tmp_path, capsys, file, "agree", *FAST)
    assert said in run.printed
    assert sum(run.metrics["rows"].values()) == 113


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_an_index_is_left_out_whatever_rows_have_a_target(name, tmp_path, capsys):
    row = pl.int_range(120)
    index = ((row * 7) % 120 * 2).alias(name)  # in no order, with gaps
    frame = interaction(120).select(index, pl.col("a"), pl.col("sort"), pl.col("agree"))
    gaps = frame.with_columns(pl.when(row % 5 != 2).then("agree").alias("agree"))
    runs = {}
    for i, table in enumerate([frame, gaps]):
        (folder := tmp_path / str(i)).mkdir()
        runs[i] = trained(folder, capsys, written(folder, table, "t.csv"), "agree", *FAST)
    for run in runs.values():
        assert run.printed.count(f"left out: column {name!r}, row numbers\n") == 1
        assert run.metrics["left_out"] == {name: "row numbers"}
        assert run.model.inputs.columns == ("a", "sort")
    assert sum(runs[1].metrics["rows"].values()) == 96


def test_summary(small, capsys):
    assert status_of("summary", small.folder) == 0
    printed = capsys.readouterr().out
    assert small.model.network.summary() in printed
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    for line in ("a number, or missing", "b, too number", "sort one of 4 categories"):
        assert line in lines
    assert lines[-1] == "predicts 2 classes of 'agree': 'no', 'yes'"


@pytest.mark.parametrize("command", ["predict {model} {table}", "evaluate {model} {table}"])
def test_commands_read_the_model_once(command, small, hashes, capsys):
    assert status_of(*command.format(model=small.folder, table=small.file).split()) == 0
    assert len(hashes) == 1


@pytest.mark.parametrize("alone", [False, True])
def test_summary_reads_the_model_once(alone, small, hashes, tmp_path, capsys):
    path = small.folder / MODEL
    if alone:
        small.model.network.save(path := tmp_path / "alone.safetensors")
    hashes.clear()
    assert status_of("summary", path) == 0
    assert len(hashes) == 1


def test_a_model_of_the_digits(tmp_path, capsys):
    from sklearn.datasets import load_digits

    digits = tmp_path / "digits"
    assert status_of("train", "digits", "--quiet", "--epochs", 2, "--output", digits) == 0
    X, y = load_digits(return_X_y=True)
    np.savez(tmp_path / "t.npz", X=X / 16.0, y=y)
    capsys.readouterr()
    assert status_of("evaluate", digits, tmp_path / "t.npz") == 0
    net = nn.load(digits / MODEL, "numpy")
    right = (registry.to_host(net(X / 16.0)).argmax(axis=1) == y).mean()
    assert shown_metrics(capsys.readouterr().out)["accuracy"] == f"{right:#.4g}"
    assert status_of("predict", digits, tmp_path / "t.npz") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(y) + 1
    assert status_of("summary", digits) == 0
    assert net.summary() in capsys.readouterr().out


def test_a_metric_that_is_not_defined_ends_no_training(tmp_path, capsys):
    rows = {"a": range(10), "z": [3.0 * i + i % 3 for i in range(10)]}
    file = written(tmp_path, pl.DataFrame(rows), "ten.csv")
    run = trained(tmp_path, capsys, file, "z", *FAST, "--holdout", 0.1)
    assert run.metrics["holdout"]["network"]["R2"] is None
    assert shown_metrics(run.printed)["R2"] == "n/a"
    assert {path.name for path in run.folder.iterdir()} == FILES


def test_names_that_the_terminal_cannot_encode_are_escaped(tmp_path):
    row = pl.int_range(60)
    answer = pl.when(row % 2 == 0).then(pl.lit("да")).otherwise(pl.lit("нет"))
    frame = interaction(60).select("a", answer.alias("ответ"))
    file = written(tmp_path, frame, "t.csv")
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}

    def run(*arguments: Any) -> str:
        command = [sys.executable, "-m", "nnpoly", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode("cp1252")

    escaped = "да".encode("ascii", "backslashreplace").decode()
    assert escaped in run("train", file, "--target", "ответ", *FAST, "--output", "out")
    assert escaped in run("summary", "out")
    assert escaped in run("predict", "out", file)


def test_the_terminals_way_with_other_letters_is_given_back(monkeypatch, workshop):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    assert status_of("summary", workshop / "out") == 0
    assert stream.errors == "strict"
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # as a notebook's, which encodes nothing
    assert status_of("summary", workshop / "out") == 0


# Laws of training


def test_one_seed_gives_one_model_to_the_bit(tmp_path, capsys):
    file = written(tmp_path, interaction(120), "t.csv")
    runs = {}
    for name, seed in [("first", 5), ("again", 5), ("other", 6)]:
        (tmp_path / name).mkdir()
        options = (*FAST, "--seed", seed, "--dropout", 0.1)
        runs[name] = trained(tmp_path / name, capsys, file, "agree", *options)
    bits = {name: (run.folder / MODEL).read_bytes() for name, run in runs.items()}
    assert bits["first"] == bits["again"] != bits["other"]
    assert runs["first"].metrics == runs["again"].metrics


def test_the_rows_held_out_do_not_show_in_the_model(tmp_path, capsys):
    frame = bundled("diabetes")
    run = trained(tmp_path, capsys, written(tmp_path, frame, "t.csv"), "y", *FAST)
    before, parts = (run.folder / MODEL).read_bytes(), run.prepared().parts

    def after(row: int) -> bytes:
        changed = frame.with_columns(
            pl.when(pl.int_range(len(frame)) == row).then(1e3).otherwise(pl.col(name)).alias(name)
            for name in ("age", "bmi", "y")
        )
        run = trained(tmp_path, capsys, written(tmp_path, changed, "t.csv"), "y", *FAST)
        return (run.folder / MODEL).read_bytes()

    assert after(int(parts.holdout[0])) == before
    assert after(int(parts.fit[0])) != before


def test_balanced_classes_are_predicted_more_alike(tmp_path, capsys):
    rng = np.random.default_rng(0)
    a = rng.standard_normal(600)
    rare = a + 2.0 * rng.standard_normal(600) > 3.2  # one row in thirteen, hard to tell
    file = written(tmp_path, pl.DataFrame({"a": a, "rare": np.where(rare, "yes", "no")}), "t.csv")
    recall = {}
    for name, options in [("plain", ()), ("balanced", ("--class-weight", "balanced"))]:
        (tmp_path / name).mkdir()
        run = trained(tmp_path / name, capsys, file, "rare", *MLP, *options)
        recall[name] = run.metrics["holdout"]["network"]["balanced accuracy"]
        assert run.metrics["class_weight"] == (options[1] if options else None)
    assert recall["balanced"] > recall["plain"] + 0.1


def test_options_reach_the_network(tmp_path, capsys):
    file = written(tmp_path, interaction(120), "t.csv")
    options = [
        *MLP,
        "--widths",
        "6,5",
        "--activation",
        "tanh",
        "--dropout",
        "0.25",
        "--dtype",
        "float64",
    ]
    more = ["--epochs", "2", "--holdout", "0.5", "--validation", "0.25", "--drop", '"b, too",sort']
    run = trained(tmp_path, capsys, file, "agree", *options, *more, "--weight-decay", "0.5")
    net = run.model.network
    assert (net.widths, net.dtype) == ([2, 6, 5, 2], "float64")
    layers = [layer.layer for layer in net.layers]
    hidden = [nn.Dense(2, 6, "tanh"), nn.Dropout(0.25), nn.Dense(6, 5, "tanh"), nn.Dropout(0.25)]
    assert layers == [*hidden, nn.Dense(5, 2)]
    assert run.metrics["rows"] == {"fit": 45, "validation": 15, "holdout": 60}
    assert run.metrics["left_out"].keys() == {"b, too", "sort", "id"}
    assert "weight_decay=0.5" in run.metrics["optimizer"]


def test_patience_ends_the_training(tmp_path, capsys):
    file = written(tmp_path, bundled("wine"), "t.csv")
    options = [*MLP, "--learning-rate", "0.3", "--patience", "2", "--epochs", "100"]
    run = trained(tmp_path, capsys, file, "y", *options)
    assert run.metrics["epochs"] == run.metrics["best_epoch"] + 2 < 100
    losses = [json.loads(line) for line in (run.folder / LOG).read_text().splitlines()[:-1]]
    ready = run.prepared()
    loss = nn.Trainer(run.model.network).evaluate(*ready.training(ready.parts.validation))
    assert loss == min(line["validation_loss"] for line in losses)


# Mistakes


@pytest.fixture
def no_work(forbid):
    """Fail where work begins."""
    forbid(nn.Trainer, "fit")
    forbid(nn.Ensemble, "fit")
    forbid(nn.Network, "__call__")


WRONG = [
    ("train t.csv", "--target NAME is missing; the columns are a, b, too, sort, id, agree"),
    ("train nothing.csv --target y", "nothing.csv is no file"),
    ("train t.xlsx --target y", "t.xlsx must be digits, or a file that ends in .csv"),
    ("train t.csv --target Agree", "has no column 'Agree': the closest is 'agree'"),
    ("train t.csv --target agree --drop sorte", "no column 'sorte': the closest is 'sort'"),
    ("train t.csv --target agree --categorical agree", "'agree' is the target, so it is no input"),
    ("train t.csv --target agree --task regression", "in line 2, which is no number"),
    ("train t.csv --target agree --task guess", "--task: invalid choice: 'guess'"),
    ("train t.csv --target a --task classification", "too many to be classes"),
    ("train t.csv --target id", "'id' has 120 different values in 120 rows: too many"),
    ("train t.csv --target agree --holdout 1", "--holdout: must be a number >= 0 and < 1, got '1'"),
    ("train t.csv --target agree --holdout 0.999", "`holdout` 0.999 of 120 rows is 120"),
    ("train t.csv --target agree --validation nan", "--validation: must be a number >= 0 and < 1"),
    ("train t.csv --target agree --dropout 1", "--dropout: must be a number >= 0 and < 1"),
    ("train t.csv --target agree --weight-decay -1", "--weight-decay: must be a number >= 0"),
    ("train t.csv --target agree --patience 0", "--patience: must be an integer >= 1"),
    ("train t.csv --target agree --activation rely", "`activation` must be one of elu"),
    (
        "train t.csv --target agree --model mlp --activation step",
        "derivative is 0 almost everywhere",
    ),
    ("train t.csv --target agree --backend abacus", "`backend` must be one of"),
    ("train t.csv --target agree --model mlp --widths 1000000000000", "allocate"),
    ("train t.csv --target agree --output t.csv", "t.csv cannot be written to: it is a file"),
    ("train date.csv --target agree", "column 'when' has '2024-01-31' in line 2, a date"),
    ("train inf.csv --target agree", "column 'a' has 'inf' in line 2, which is no finite number"),
    ("train one.csv --target agree", "column 'agree' has one class ('no')"),
    (
        "train nameless.csv --target agree",
        "column 1 has no name: give it one, or leave it out (--drop",
    ),
    ("train row.csv --target agree", "at least 10 rows with a target are needed, got 1"),
    ("train digits --target y", "--target is for tables: digits has none"),
    ("train digits --dropout 0.1", "--dropout is for tables"),
    ("train digits --class-weight balanced", "--class-weight is for tables"),
    (
        "train t.csv --target a --class-weight balanced",
        "`class_weight` (--class-weight) is for classes, but 'a' holds numbers",
    ),
    ("predict nothing t.csv", "nothing is no file: name a model, or the folder that holds"),
    ("predict t.csv t.csv", "t.csv cannot be read"),
    ("predict out nothing.csv", "nothing.csv is no file"),
    ("predict out renamed.csv", "renamed.csv has no column 'sort': the closest is 'Sort'"),
    ("predict out odd.csv", "column 'sort' has 'perfect' in line 3, which is none of"),
    ("predict out typed.csv", "column 'a' has 'much' in line 4, which is no number"),
    ("predict out inf.csv", "column 'a' has 'inf' in line 2"),
    ("predict out t.csv --unknown hide", "--unknown: invalid choice: 'hide'"),
    ("predict out t.csv --output out", "--output: out is a folder: name a file in it"),
    ("predict out t.csv --output no/no/p.csv", "no/no/p.csv cannot be written to: the folder"),
    ("predict out t.csv --backend abacus", "`backend` must be one of"),
    ("evaluate out bare.csv", "bare.csv has no column 'agree'"),
    ("evaluate out label.csv", "'agree' has 'maybe' in line 5, which is none of the model's"),
    ("summary t.csv", "t.csv cannot be read"),
    ("summary nothing", "nothing is no file"),
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A folder with a model in `out` and tables that are wrong, each in one way."""
    folder = tmp_path_factory.mktemp("workshop")
    frame = interaction(120)

    def changed(name: str, column: str, row: int, value: str) -> None:
        cells = [None if cell is None else str(cell) for cell in frame[column]]
        cells[row] = value
        frame.with_columns(pl.Series(column, cells)).write_csv(folder / name)

    frame.write_csv(folder / "t.csv")
    frame.with_columns(when=pl.lit("2024-01-31")).write_csv(folder / "date.csv")
    frame.rename({"sort": "Sort"}).write_csv(folder / "renamed.csv")
    frame.drop("agree").write_csv(folder / "bare.csv")
    frame.with_columns(agree=pl.lit("no")).write_csv(folder / "one.csv")
    frame[:1].write_csv(folder / "row.csv")
    frame.select(pl.col("sort").alias(""), "a", "agree").write_csv(folder / "nameless.csv")
    changed("inf.csv", "a", 0, "inf")
    changed("odd.csv", "sort", 1, "perfect")
    changed("typed.csv", "a", 2, "much")
    changed("label.csv", "agree", 3, "maybe")
    arguments = ["--target", "agree", *FAST, "--backend", "numpy", "--output", folder / "out"]
    assert status_of("train", folder / "t.csv", *arguments) == 0
    return folder


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[a[:60] for a, _ in WRONG])
def test_mistakes_get_one_line_before_any_work(
    arguments, message, workshop, no_work, monkeypatch, capsys
):
    monkeypatch.chdir(workshop)
    before = sorted(os.listdir())
    assert status_of(*arguments.split()) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(rf"nnpoly {arguments.split()[0]}: [^\n]+\n", printed.err)
    assert message in printed.err
    assert printed.out == ""
    assert sorted(os.listdir()) == before


def test_unknown_categories_may_be_ignored(workshop, capsys):
    arguments = ("predict", workshop / "out", workshop / "odd.csv", "--unknown", "ignore")
    assert status_of(*arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 121


@pytest.mark.parametrize("package", ["matplotlib", "polars", "safetensors", "sklearn"])
def test_a_missing_package_is_named_with_the_remedy(package, workshop, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert status_of("train", workshop / "t.csv", "--target", "agree") == 2
    line = f"nnpoly train: {package} not installed: pip install nnpoly[cli]\n"
    assert capsys.readouterr().err == line


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe")
def test_a_reader_who_has_left_gets_no_message(workshop):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "nnpoly", "predict", "out", "t.csv"]
    result = subprocess.run(command, cwd=workshop, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


# What goes wrong later


def interrupt(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["fit", "save"])
def test_interrupted_training_leaves_nothing_behind(where, workshop, tmp_path, monkeypatch, capsys):
    owner = {"fit": nn.Trainer, "save": tables.TableModel}[where]
    monkeypatch.setattr(owner, where, interrupt)
    arguments = ["train", workshop / "t.csv", "--target", "agree", *FAST]
    assert status_of(*arguments, "--output", tmp_path / "out") == 130
    assert capsys.readouterr().err == "nnpoly train: interrupted\n"
    assert os.listdir(tmp_path) == []
    (tmp_path / MODEL).write_text("old")
    assert status_of(*arguments, "--output", tmp_path) == 130
    assert os.listdir(tmp_path) == [MODEL]
    assert (tmp_path / MODEL).read_text() == "old"


def test_divergence_is_one_line_and_writes_nothing(workshop, tmp_path, capsys):
    arguments = ["train", workshop / "t.csv", "--target", "agree", *FAST, "--learning-rate", "1e30"]
    assert status_of(*arguments, "--output", tmp_path / "out") == 1
    assert re.fullmatch(r"nnpoly train: .* became [^\n]+\n", capsys.readouterr().err)
    assert os.listdir(tmp_path) == []


def test_interrupted_predictions_leave_the_old_file(workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables.TableModel, "predict_encoded", interrupt)
    (tmp_path / "p.csv").write_text("old")
    arguments = ["predict", workshop / "out", workshop / "t.csv", "--output", tmp_path / "p.csv"]
    assert status_of(*arguments) == 130
    assert (tmp_path / "p.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["p.csv"]
