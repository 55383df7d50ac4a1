"""`nnpoly train --model`, `--test`, `--test-column`: the command calls `tables.fit`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from commands import status_of

import nnpoly as nn
from nnpoly import tables
from nnpoly.estimators.tabular.scoring import Deadline
from nnpoly.tables.results import FILES, LOG, METRICS, MODEL

FAST = ["--quiet", "--backend", "numpy", "--epochs", "3", "--widths", "8"]
OPTIONS: dict[str, list[str]] = {
    "realmlp": ["--n-ens", "2", "--metric", "log_loss"],
    "tabm": ["--n-members", "3", "--num-embeddings", "piecewise", "--patience", "5"],
    "mlp": ["--learning-rate", "0.01"],
}


def table(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    sort = rng.choice(["odd", "even", "prime"], n)
    part = np.where(rng.random(n) < 0.25, "test", "train")
    yes = np.where((a * b > 0) ^ (sort == "odd"), "yes", "no")
    return pl.DataFrame({"a": a, "b": b, "sort": sort, "part": part, "agree": yes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a table, t.csv, and another one, test.csv."""
    folder = tmp_path_factory.mktemp("shop")
    table(120, 0).write_csv(folder / "t.csv")
    table(40, 1).write_csv(folder / "test.csv")
    return folder


def train(folder: Path, output: Path, *options: str) -> int:
    given = ["--target", "agree", *FAST, "--output", output, *options]
    return status_of("train", folder / "t.csv", *given)


def report(output: Path) -> dict[str, Any]:
    return json.loads((output / METRICS).read_text())


@pytest.mark.parametrize("model", OPTIONS)
def test_a_model_from_training_to_predictions(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert train(folder, out, "--model", model, *OPTIONS[model]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert {path.name for path in out.iterdir()} == set(FILES)
    found = report(out)
    assert found["model"] == model
    assert list(found["holdout"]) == ["network", "linear", "trees", "majority"]
    for name, value in found["holdout"]["trees"].items():
        row = next(line for line in printed.out.splitlines() if line.startswith(name))
        assert row.split()[-2] == f"{value:#.4g}"
    assert re.search(r"^best: by accuracy .+; by log loss .+$", printed.out, re.MULTILINE)
    assert "seconds of fit: network " in printed.out
    assert status_of("evaluate", out, folder / "test.csv") == 0
    measured = tables.load(out / MODEL, "numpy").evaluate(folder / "test.csv")
    assert f"{measured['log loss']:#.4g}" in capsys.readouterr().out
    assert status_of("predict", out, folder / "test.csv") == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    predicted = tables.load(out / MODEL, "numpy").predict(folder / "test.csv").values.tolist()
    assert [row.split(",")[0] for row in rows] == predicted
    assert status_of("summary", out) == 0
    assert "predicts 2 classes of 'agree': 'no', 'yes'" in capsys.readouterr().out


def test_the_command_is_fits_caller(folder, tmp_path):
    assert train(folder, tmp_path / "out", "--drop", "part", "--n-cv", "2", "--seed", "3") == 0
    options: dict[str, Any] = {"epochs": 3, "widths": [8], "n_cv": 2, "seed": 3}
    found = tables.fit(folder / "t.csv", "agree", drop=["part"], backend="numpy", **options)
    assert report(tmp_path / "out") == json.loads(json.dumps(found.report))
    assert found.report["model"] == "realmlp"
    lines = (tmp_path / "out" / LOG).read_text().splitlines()
    assert [json.loads(line) for line in lines[:-1]] == found.log
    found.model.save(tmp_path / "m")
    assert (tmp_path / "out" / MODEL).read_bytes() == (tmp_path / "m").read_bytes()


def test_rows_to_measure_on(folder, tmp_path, capsys):
    options = ("--drop", "part", "--test", str(folder / "test.csv"))
    assert train(folder, tmp_path / "file", *options) == 0
    assert "96 to train on, 24 to find the best epoch with, 40 of test.csv to measure on" in (
        capsys.readouterr().out
    )
    model = tables.load(tmp_path / "file" / MODEL, "numpy")
    assert report(tmp_path / "file")["holdout"]["network"] == model.evaluate(folder / "test.csv")
    assert train(folder, tmp_path / "column", "--test-column", "part") == 0
    assert "left out: column 'part', it says which rows are for the test" in capsys.readouterr().out
    count = table(120, 0)["part"].to_list().count("test")
    assert report(tmp_path / "column")["rows"]["holdout"] == count
    assert train(folder, tmp_path / "none", "--holdout", "0") == 0
    printed = capsys.readouterr().out
    assert "none held out, so nothing is measured" in printed
    assert "no rows are held out, so nothing is measured" in printed
    assert report(tmp_path / "none")["holdout"] == {}
    assert {path.name for path in (tmp_path / "none").iterdir()} == set(FILES)


WRONG = [
    ("--model tree", "--model: invalid choice: 'tree'"),
    ("--patience 3", "`patience` (--patience) is no option of 'realmlp', which has activation,"),
    ("--model mlp --n-ens 2", "`n_ens` (--n-ens) is no option of 'mlp', which has activation,"),
    ("--model mlp --validation 0", "`validation` must be > 0 for 'mlp', whose training it ends"),
    ("--model tabm --preset TD", "`preset` (--preset) is no option of 'tabm'"),
    ("--preset TX", "`preset` must be one of TD, TD-S, got 'TX'"),
    ("--metric mass", "`metric` must be one of accuracy,"),
    ("--activation rely", "`activation` must be one of elu,"),
    ("--time-limit 0", "--time-limit: must be a number > 0, got '0'"),
    ("--n-cv 0", "--n-cv: must be an integer >= 1, got '0'"),
    ("--test none.csv", "none.csv is no file"),
    ("--test test.csv --holdout 0.1", "`holdout` must be None with `test`, which says which rows"),
    ("--test test.csv --test-column part", "`test_column` must be None with `test`"),
    ("--test-column sort", "column 'sort' has 'even' in line 2, but must say which rows are for"),
    ("--test-column parts", "has no column 'parts': the closest is 'part'"),
    ("--precision tf32", "`precision` must be None or 'bf16' on numpy, got 'tf32'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_mistakes_are_one_line_before_any_work(
    options, message, folder, tmp_path, monkeypatch, capsys, forbid
):
    monkeypatch.chdir(folder)
    forbid(nn.Ensemble, "fit")
    forbid(nn.Trainer, "fit")
    assert train(folder, tmp_path / "out", *options.split()) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"nnpoly train: [^\n]+\n", printed.err)
    assert message in printed.err
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("--n-cv 500", 2, "`n_cv` must be at most the number of rows, 96, got 500"),
        ("--activation step", 2, "derivative is 0 almost everywhere"),
        ("--learning-rate 1e30 --epochs 30", 1, "became"),
    ],
)
def test_what_shows_in_training_is_one_line_and_writes_nothing(
    options, status, message, folder, tmp_path, capsys
):
    assert train(folder, tmp_path / "out", *options.split()) == status
    said = capsys.readouterr().err
    assert re.fullmatch(r"nnpoly train: [^\n]+\n", said)
    assert message in said
    assert not (tmp_path / "out").exists()


def test_a_time_limit_is_told_of(folder, tmp_path, capsys):
    assert train(folder, tmp_path / "out", "--epochs", "10000", "--time-limit", "0.001") == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^the time limit of 0\.001 s was over after \d+ of 10000 epochs; the best so",
        printed,
        re.M,
    )
    assert report(tmp_path / "out")["epochs"] < 10000


def interrupting(monkeypatch: Any, error: type[BaseException], *given: Any) -> None:
    """Let the second epoch of a training be interrupted."""

    def interrupt(self: Any, trainer: Any, history: Any) -> None:
        if len(history) == 2:
            raise error(*given)

    monkeypatch.setattr(Deadline, "__call__", interrupt)


def test_ctrl_c_keeps_the_best_so_far_and_says_so(folder, tmp_path, monkeypatch, capsys):
    interrupting(monkeypatch, KeyboardInterrupt)
    assert train(folder, tmp_path / "out", "--epochs", "50") == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^training was interrupted after \d of 50 epochs; the best so far", printed, re.M
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)


def test_ctrl_c_before_an_epoch_is_over_ends_all(folder, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nn.Ensemble, "fit", interrupt)
    assert train(folder, tmp_path / "out") == 130
    assert capsys.readouterr().err == "nnpoly train: interrupted\n"
    assert not (tmp_path / "out").exists()


def test_a_signal_ends_all(folder, tmp_path, monkeypatch, capsys):
    from nnpoly.cli.process import Terminated

    interrupting(monkeypatch, Terminated, 15)
    assert train(folder, tmp_path / "out", "--epochs", "50") == 143
    assert capsys.readouterr().err == "nnpoly train: terminated\n"
    assert not (tmp_path / "out").exists()
