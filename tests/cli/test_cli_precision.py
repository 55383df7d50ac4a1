"""`--precision`: products of factors rounded to bfloat16, from training to predictions."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from commands import status_of

from nnpoly import tables

BF16 = ("--precision", "bf16")
FAST = ("--quiet", "--epochs", "2", "--widths", "64", "--backend", "numpy")
MLP = ("--model", "mlp")


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    path = tmp_path / "t.csv"
    pl.DataFrame({"a": a, "b": b, "y": np.where(a * b > 0, "yes", "no")}).write_csv(path)
    return path


def test_a_table_is_trained_predicted_and_measured_with_it(table, tmp_path, capsys):
    """The file is one of float32, which predicts with rounded factors where it is asked to."""
    for name, options in (("rounded", BF16), ("exact", ())):
        output = (*MLP, "--output", tmp_path / name)
        assert status_of("train", table, "--target", "y", *FAST, *options, *output) == 0
    reports, models = (
        [read(tmp_path / name) for name in ("rounded", "exact")]
        for read in (lambda d: json.loads((d / "metrics.json").read_text()), _model)
    )
    assert [report["precision"] for report in reports] == ["bf16", None]
    assert not np.array_equal(models[0].network.w, models[1].network.w)
    model, rows, written = models[0], tables.read(table), {}
    for options in (BF16, ()):
        file = tmp_path / "p.csv"
        command = ("predict", tmp_path / "rounded", table, "--output", file, "--backend", "numpy")
        assert status_of(*command, *options) == 0
        written[options] = pl.read_csv(file)["probability of yes"].to_numpy().astype("f4")
        wanted = model.predict(rows, precision="bf16" if options else None).probabilities[:, 1]
        assert np.array_equal(written[options], wanted)
    assert not np.array_equal(written[BF16], written[()])
    capsys.readouterr()
    assert status_of("evaluate", tmp_path / "rounded", table, *BF16, "--backend", "numpy") == 0
    measured = model.evaluate(rows, precision="bf16")
    assert f"{measured['log loss']:.4f}" in capsys.readouterr().out


def _model(folder):
    return tables.load(folder / "model.safetensors", "numpy")


def test_digits_are_trained_with_it(tmp_path):
    curves = []
    for options in (BF16, ()):
        assert status_of("train", "digits", *FAST, *options, "--output", tmp_path) == 0
        report = json.loads((tmp_path / "history.json").read_text())
        assert report["precision"] == (options[1] if options else None)
        curves.append(report["train_loss"])
    assert curves[0] != curves[1]
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "half"), "argument --precision: invalid choice: 'half'"),
        (("--precision", "tf32"), "`precision` must be None or 'bf16' on numpy, got 'tf32'"),
        ((*BF16, "--dtype", "float64"), "rounds the factors of float32 products, but the network"),
    ],
)
def test_what_it_cannot_be_is_refused_in_one_line(table, tmp_path, capsys, options, said):
    for data in (table, "digits"):
        target = () if data == "digits" else ("--target", "y")
        assert status_of("train", data, *target, *FAST, *options, "--output", tmp_path / "o") == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not (tmp_path / "o").exists()


def test_a_model_of_float64_predicts_without_it(table, tmp_path, capsys):
    output = ("--output", tmp_path / "o")
    assert status_of("train", table, "--target", "y", *FAST, "--dtype", "float64", *output) == 0
    assert status_of("predict", tmp_path / "o", table, "--backend", "numpy", *BF16) == 2
    assert "the network is float64" in capsys.readouterr().err
