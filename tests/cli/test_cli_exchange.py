"""`nnpoly export`, `nnpoly import` and `nnpoly check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from commands import status_of

import nnpoly as nn
from nnpoly import tables
from nnpoly.estimators import MLPClassifier, RealMLPRegressor
from nnpoly.exchange import c_running, onnx_running

ENDINGS = {
    "onnx": ".onnx",
    "c": ".h",
    "torch": ".torch.safetensors",
    "keras": ".keras",
    "sklearn": ".skops",
}


@pytest.fixture(autouse=True)
def _keras_has_torch(monkeypatch: Any) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")


@pytest.fixture
def net(tmp_path: Path) -> nn.Network:
    """A network that is saved as net.safetensors."""
    made = nn.MLP([3, 8, 3], activation="tanh", seed=1)
    made.save(tmp_path / "net.safetensors")
    return made


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on torch
@pytest.mark.parametrize("to", ENDINGS)
def test_there_and_back_without_a_bit_lost(
    to: str, net: nn.Network, tmp_path: Path, capsys: Any
) -> None:
    assert status_of("export", tmp_path / "net.safetensors", "--to", to) == 0
    file = tmp_path / f"net{ENDINGS[to]}"
    assert "computes it within its bounds" in capsys.readouterr().out
    assert status_of("check", file) == 0
    assert "32 rows, largest error 0." in capsys.readouterr().out
    back = tmp_path / "back.safetensors"
    if to == "c":
        assert status_of("import", file, "--output", back) == 2
        assert "must end in .onnx, .safetensors" in capsys.readouterr().err
        return
    assert status_of("import", file, "--output", back) == 0
    kind = "MLPClassifier(activation='tanh'" if to == "sklearn" else "MLP 3-8-3, softmax output"
    assert f"{back} holds {kind}" in capsys.readouterr().out
    same = MLPClassifier.load(back).network_ if to == "sklearn" else nn.load(back)
    assert same.chain[0].activation == net.chain[0].activation
    for theirs, own in zip(same.layers, net.layers, strict=True):
        assert (theirs.W == own.W).all()
        assert (theirs.b == own.b).all()


@pytest.mark.parametrize("to", ["onnx", "c"])
@pytest.mark.parametrize("kind", ["trainer", "estimator", "frames", "table"])
def test_every_file_of_nnpoly_is_exported(kind: str, to: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, file = rng.normal(size=(60, 3)), tmp_path / "model.safetensors"
    if kind == "trainer":
        nn.Trainer(nn.MLP([3, 4, 2])).save(file)
    elif kind == "estimator":
        with pytest.warns(match="Stochastic Optimizer"):
            MLPClassifier(max_iter=1).fit(X, X[:, 0] > 0).save(file)
    else:
        frame = pl.DataFrame({"x": X[:, 0], "kind": rng.choice(["a", "b"], 60), "y": X[:, 1]})
        if kind == "frames":
            RealMLPRegressor(n_epochs=1, hidden_layer_sizes=(4,)).fit(frame[:, :2], X[:, 1]).save(
                file
            )
        else:
            tables.fit(frame, "y", model="mlp", epochs=1).model.save(file)
    output = tmp_path / f"out{ENDINGS[to]}"
    assert status_of("export", file, "--to", to, "--output", output) == 0
    assert status_of("check", output) == 0


def test_a_missing_consumer_is_said(
    net: nn.Network, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("CC", "")
    monkeypatch.setattr(c_running, "COMPILERS", ())
    assert status_of("export", tmp_path / "net.safetensors", "--to", "c") == 0
    assert "unchecked: C compiler is missing. Install one" in capsys.readouterr().out
    assert status_of("check", tmp_path / "net.h") == 2
    assert "is computed by C compiler, which is missing" in capsys.readouterr().err


def test_a_file_that_does_not_hold(net: nn.Network, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "net.h"
    assert status_of("export", tmp_path / "net.safetensors", "--to", "c") == 0
    text = file.read_text()
    start = text.index("predict_w0[")
    file.write_text(text[:start] + text[start:].replace("0.", "1.", 1))
    capsys.readouterr()
    assert status_of("check", file) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().err


def test_an_export_that_does_not_hold_leaves_the_file_before(
    net: nn.Network, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    file = tmp_path / "net.onnx"
    assert status_of("export", tmp_path / "net.safetensors", "--to", "onnx") == 0
    before, names = file.read_bytes(), sorted(tmp_path.iterdir())
    run = onnx_running.CONSUMER.run

    def wrong(path: Path, certificate: Any) -> Any:
        found = run(path, certificate)
        return found._replace(values=found.values + 0.01)

    consumer = onnx_running.CONSUMER._replace(run=wrong)
    monkeypatch.setattr(onnx_running, "CONSUMER", consumer)
    with pytest.raises(RuntimeError, match=r"net\.onnx: onnxruntime .*DOES NOT HOLD. Nothing was"):
        nn.exchange.to_onnx(net, file)
    assert file.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "net.safetensors", "--to", "onnx", "--output", "net.h"], "ends in .onnx"),
        (["export", "net.safetensors", "--to", "onnx", "--name", "f"], "--name is of --to c"),
        (["export", "net.safetensors", "--to", "c", "--dtype", "float32"], "--dtype is of --to"),
        (["export", "net.safetensors", "--to", "c", "--name", "2x"], "must be a name in C"),
        (["export", "none.safetensors", "--to", "c"], "is no file"),
        (["export", "text.onnx", "--to", "c"], "cannot be read"),
        (["import", "net.safetensors"], "is read too"),
        (["import", "text.onnx", "--final", "softmax"], "are of torch's files"),
        (["import", "text.onnx"], "cannot be read"),
        (["import", "text.keras"], "text.keras"),
        (["import", "text.skops"], "text.skops"),
        (["import", "none.onnx"], "is no file"),
        (["check", "none.onnx"], "is no file"),
        (["check", "net.pickle"], "must end in .onnx"),
        (["check", "text.onnx"], "cannot be read"),
        (["check", "text.h"], "must have a certificate"),
        (["check", "text.keras"], "text.keras"),
        (["check", "text.skops"], "text.skops"),
        (["check", "net.safetensors"], "net.safetensors"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    net: nn.Network,
    tmp_path: Path,
    monkeypatch: Any,
    capsys: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    for ending in ("onnx", "h", "keras", "skops"):
        Path(f"text.{ending}").write_text("no model\n")
    before = sorted(tmp_path.iterdir())
    assert status_of(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
