"""Files that are refused: of another kind, too large, and what nobody can predict with."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

import nnpoly as nn
from nnpoly import checkpoint, tables
from nnpoly.data import container
from nnpoly.estimators import MLPClassifier, MLPRegressor

FORMAT2 = Path(__file__).parent / "format2"
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LOADS: list[Callable[[Path], Any]] = [
    nn.load,
    nn.Trainer.load,
    checkpoint.load_extra,
    MLPClassifier.load,
    tables.load,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def refusal(load: Callable[[Path], Any], path: Path) -> str:
    """The one line by which a file is refused, which names it."""
    with pytest.raises(ValueError, match="load: ") as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def rewrite(path: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """A file of format2 with another header, whose checksum is right."""
    header, arrays = container.read(FORMAT2 / f"{name}.safetensors")
    change(header)
    text = json.dumps(header)
    safetensors.numpy.save_file(arrays, path, container.metadata(text, arrays))
    return path


# Files of other kinds


def save_zip(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, w=np.ones(3))


def save_npy(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ones(9))


OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "npz": (save_zip, "a ZIP archive, such as .npz, .pt and .keras files are, and no file of"),
    "torch": (lambda path: torch.save({"w": torch.ones(2)}, path), "it is a ZIP archive"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps(nn.MLP([2, 2]))), "it is a pickle, and"),
    "npy": (save_npy, "it is a .npy file, and no file"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "an HDF5 file"),
    "a text": (lambda path: path.write_text("loss: 0.3\n" * 9), "it is no safetensors file, or"),
    "safetensors": (
        lambda path: safetensors.numpy.save_file({"0.weight": np.ones((2, 2))}, path),
        "it is a safetensors file, but not nnpoly's. Load it with the library that wrote it",
    ),
}


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize(("make", "part"), OTHERS.values(), ids=OTHERS)
def test_files_of_others_are_named(path, make, part, load):
    make(path)
    assert part in refusal(load, path)


@pytest.mark.parametrize("load", LOADS)
def test_cut_files_are_named(path, load):
    whole = (FORMAT2 / "trainer.safetensors").read_bytes()
    for size in (5, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "the end of it is missing" in refusal(load, path)


@pytest.mark.parametrize("load", LOADS)
def test_folders_and_missing_files(tmp_path, load):
    with pytest.raises(IsADirectoryError, match=f"`path` {tmp_path} is a folder. Name the file in"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"load: `path` {tmp_path / 'none'} is no file"):
        load(tmp_path / "none")


WRONG = {
    ("network", nn.Trainer.load): "holds a network without a trainer. Use nn.load, then nn.Trainer",
    ("network", MLPClassifier.load): "must hold a MLPClassifier, got a network. Use nn.load",
    ("trainer", MLPClassifier.load): "got a trainer. Use nn.Trainer.load",
    ("regressor", MLPClassifier.load): "got a 'MLPRegressor'. Use the `load` of that class",
    ("classifier", MLPRegressor.load): "got a 'MLPClassifier'. Use the `load` of that class",
    ("classifier", tables.load): "a 'MLPClassifier', which reads arrays and no tables' columns: "
    "load it by nnpoly.estimators.MLPClassifier.load",
    ("regressor", tables.load): "load it by nnpoly.estimators.MLPRegressor.load",
    ("classes", MLPClassifier.load): "got a table's model. Use nnpoly.tables.load",
}


@pytest.mark.parametrize(("name", "load"), WRONG)
def test_another_kind_of_file_says_what_reads_it(path, name, load):
    path.write_bytes((FORMAT2 / f"{name}.safetensors").read_bytes())
    assert WRONG[name, load] in refusal(load, path)


def test_what_is_more_than_asked_for_is_read():
    """A trainer's file is a network's too, and an estimator's a trainer's."""
    assert nn.load(FORMAT2 / "classifier.safetensors").widths == [3, 4, 1]
    assert nn.Trainer.load(FORMAT2 / "classifier.safetensors").t == 6


# Sizes


def test_too_many_tensors_are_refused_before_they_are_read(path):
    arrays = {f"a{i}": np.zeros(0, "f4") for i in range(container.MOST_TENSORS + 1)}
    safetensors.numpy.save_file(arrays, path, {"nnpoly": '{"format": 2, "version": "0.1.0"}'})
    start = time.perf_counter()
    assert "it has 65537 tensors, and may have 65536" in refusal(nn.load, path)
    assert time.perf_counter() - start < 1.0


def test_too_many_lists_are_refused_before_they_are_parsed(path, monkeypatch):
    extra = "[" + "[]," * container.MOST_NESTED + "0]"
    arrays, text = {"w": np.ones(1)}, f'{{"format": 2, "version": "0.1.0", "extra": {extra}}}'
    safetensors.numpy.save_file(arrays, path, container.metadata(text, arrays))
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("it was parsed"))
    assert "lists and objects, and may have 1048576" in refusal(nn.load, path)


def test_too_long_a_header_is_refused_before_it_is_read(path):
    size = container.LARGEST_HEADER + 1
    with open(path, "wb") as file:
        file.write(size.to_bytes(8, "little"))
        file.truncate(size + 99)  # a hole
    start = time.perf_counter()
    assert "its header has 100000001 bytes, and may have 100000000" in refusal(nn.load, path)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(("name", "most"), [("LARGEST_HEADER", 500), ("MOST_NESTED", 5)])
def test_what_could_not_be_read_is_not_written(path, monkeypatch, name, most):
    net = nn.MLP([2, 2])
    net.save(path)
    monkeypatch.setattr(container, name, most)
    with pytest.raises(ValueError, match=r"^save: .* cannot be written: its header .* Shorten"):
        net.save(path, {"many": [[]] * 999})
    monkeypatch.undo()
    assert nn.load(path).widths == [2, 2]


def test_long_histories_are_read(path):
    trainer, epochs = nn.Trainer(nn.MLP([1, 2])), 100_000
    trainer.history.loss[:] = np.random.default_rng(0).random(epochs).tolist()
    trainer.save(path)
    assert nn.Trainer.load(path).history == trainer.history
    # A million of them too: two losses, of the trainer and of its fit.
    assert 4 * 1_000_000 * path.stat().st_size / epochs < container.LARGEST_HEADER


def test_many_tensors_are_read(path):
    layers = [nn.Dense(1, 2), *(nn.BatchNorm(2) for _ in range(500)), nn.Dense(2, 1)]
    net = nn.Network(layers)
    net.save(path)
    np.testing.assert_array_equal(nn.load(path).w, net.w)


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "BatchNorm", "features": 10**12},
        {"type": "Dense", "inputs": 10**12, "outputs": 10**12},
        {"type": "LayerNorm", "features": 10**12},
    ],
)
def test_widths_are_compared_with_the_file_before_anything_is_made(path, layer):
    rewrite(path, "network", lambda header: header["network"].update(layers=[layer]))
    assert "its w has shape (" in refusal(nn.load, path)


def test_deep_blocks_are_read_in_time(path):
    """Each level asked the ones below for their width three times."""
    block: Any = nn.Dense(2, 2)
    for _ in range(30):
        block = nn.Residual([block])
    net = nn.Network([block])
    net.save(path)
    np.testing.assert_array_equal(nn.load(path)([[1.0, 2.0]]), net([[1.0, 2.0]]))


# Types


CHANGES: dict[str, tuple[str, Callable[[Path], Any], Callable[[Any], Any], str]] = {
    "extra": ("network", nn.load, lambda h: h.update(extra=7), "got `int` - at `$.extra`"),
    "kind": ("network", nn.load, lambda h: h.update(kind="x"), "Invalid enum value 'x'"),
    "layers": (
        "network",
        nn.load,
        lambda h: h["network"].update(layers=[5]),
        "Expected `object`, got `int` - at `$.network.layers[0]`",
    ),
    "a base class": (
        "network",
        nn.load,
        lambda h: h["network"]["layers"].insert(0, {"type": "Layer"}),
        "Layer has no `forward`, which its subclasses have",
    ),
    "no layer": (
        "network",
        nn.load,
        lambda h: h["network"]["layers"].insert(0, {"type": "MSE"}),
        "`layers` must be a non-empty list of layers such as nn.Dense, got MSE()",
    ),
    "history": (
        "trainer",
        nn.Trainer.load,
        lambda h: h["history"].update(loss=[1.0, "2"]),
        "Expected `float`, got `str` - at `$.history.loss[1]`",
    ),
    "rate_factor": (
        "trainer",
        nn.Trainer.load,
        lambda h: h.update(rate_factor=-1.0),
        "`rate_factor` must be a number in",
    ),
    "a method": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"]["parameters"].update(predict="x"),
        "MLPClassifier has no parameter 'predict'",
    ),
    "callbacks": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"]["parameters"].update(callbacks=[1]),
        "MLPClassifier has no parameter 'callbacks'",
    ),
    "no learnt": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"].pop("learnt"),
        "Object missing required field `learnt`",
    ),
    "no classes": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"]["learnt"].pop("classes_"),
        "Object missing required field `classes_`",
    ),
    "equal classes": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"]["learnt"]["classes_"].update(array=["a", "a"]),
        "`classes` must be 2 labels, all different, of a softmax or sigmoid network, got ['a',",
    ),
    "one class": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"]["learnt"]["classes_"].update(array=["a"]),
        "`classes` must be 2 labels, all different",
    ),
    "ragged classes": (
        "classifier",
        MLPClassifier.load,
        lambda h: h["extra"]["estimator"]["learnt"]["classes_"].update(array=[["a"], "b"]),
        "got `array` - at `$.classes_.array[0]`",
    ),
    "features": (
        "regressor",
        MLPRegressor.load,
        lambda h: h["extra"]["estimator"]["learnt"].update(n_features_in_=4),
        "its features are not the 3 inputs of its network",
    ),
    "a table": ("classes", tables.load, lambda h: h["extra"].update(table=7), "Expected `object`"),
    "inputs": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"].update(inputs=None),
        "Expected `object`, got `null` - at `$.inputs`",
    ),
    "numbers": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"]["inputs"].update(numbers=None),
        "Preprocessing: `numbers` must be a list, got None",
    ),
    "categories": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"]["inputs"].update(categories=[5]),
        "Preprocessing: `categories` must be a list of different entries of type Category, got",
    ),
    "a scale of 0": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"]["inputs"].update(scales=[1.0, 0.0, 1.0]),
        "Preprocessing: `scales` must be greater than 0, got 0.0",
    ),
    "a scale of NaN": (
        "quantity",
        tables.load,
        lambda h: h["extra"]["table"]["target"].update(scale=math.nan),
        "Quantity: `scale` must be a number in [0, inf), got nan",
    ),
    "equal labels": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"]["target"].update(classes=["left", "left"]),
        "Classes: `classes` must be different texts, different numbers, or True and False, got",
    ),
    "ragged labels": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"]["target"].update(classes=[["left"], "right"]),
        "Classes: `classes` must be different texts",
    ),
    "no target": (
        "classes",
        tables.load,
        lambda h: h["extra"]["table"].update(target={"type": "MSE"}),
        "`target` a Classes or Quantity, got",
    ),
}


@pytest.mark.parametrize(("name", "load", "change", "part"), CHANGES.values(), ids=CHANGES)
def test_wrong_types_are_told_in_one_line(path, name, load, change, part):
    rewrite(path, name, change)
    assert part in refusal(load, path)


@pytest.mark.parametrize("dtype", ["U400000000", "<U400000000", "V400000000", "object", "i4,i4"])
def test_a_dtype_takes_no_more_memory_than_the_values(path, dtype):
    def change(header: Any) -> None:
        header["extra"]["estimator"]["learnt"]["classes_"]["dtype"] = dtype

    rewrite(path, "classifier", change)
    try:
        classes = MLPClassifier.load(path).classes_
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert classes.nbytes < 100
        assert classes.tolist() == ["no", "yes"]


# What cannot predict


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_models_to_predict_with_have_finite_weights(path, value):
    """Networks and trainers are read as they are: to look at what has happened, say."""
    names = {"classifier": MLPClassifier.load, "classes": tables.load, "network": tables.load}
    for name, load in names.items():
        header, arrays = container.read(FORMAT2 / f"{name}.safetensors")
        arrays["w"][3] = value
        text = json.dumps(header)
        safetensors.numpy.save_file(arrays, path, container.metadata(text, arrays))
        assert "its w has NaN or infinity, so the training failed. nn.load" in refusal(load, path)
        np.testing.assert_array_equal(nn.load(path).w, arrays["w"])
    assert nn.Trainer.load(FORMAT2 / "trainer.safetensors").t == 12


def test_a_prediction_that_is_not_finite_is_refused():
    model = tables.load(FORMAT2 / "quantity.safetensors")
    X = np.zeros((3, 6))
    X[1, 0] = 3e38
    model.network.w = np.full(model.network.w.shape, 1e3)
    with pytest.raises(ValueError, match=r"got NaN or infinity in row 1 \(from 0\)"):
        model.predict_encoded(X)
