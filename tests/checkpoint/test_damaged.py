"""Damaged and hostile files of every kind: a whole object, or one line that names the file.

The good files are those of format2, which an earlier version wrote.
"""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import json_changes
import numpy as np
import polars as pl
import pytest
import safetensors.numpy
from damage import damaged

import nnpoly as nn
from nnpoly import tables
from nnpoly.callbacks import Checkpoint, CSVLog, EarlyStopping, JSONLog, ReduceOnPlateau
from nnpoly.data import container
from nnpoly.estimators import (
    MLPClassifier,
    MLPRegressor,
    RealMLPClassifier,
    RealMLPRegressor,
    TabMClassifier,
    TabMRegressor,
)

FORMAT2 = Path(__file__).parent / "format2"
MOST = 100_000_000  # bytes that loading files of 5 kB may take
pytestmark = pytest.mark.filterwarnings("ignore")

# What a file is good for


def rows(count: int) -> np.ndarray:
    return np.linspace(-1.0, 1.0, 4 * count).reshape(4, count)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Those that the trainer of format2 was trained on."""
    X = np.random.default_rng(0).normal(size=(30, 3)).astype("f4")
    return X, (X[:, 0] > 0).astype("i8")


def use_network(path: Path) -> None:
    net = nn.load(path)
    assert net(rows(net.inputs)).shape == (4, net.outputs)


def use_trainer(path: Path) -> None:
    trainer = nn.Trainer.load(path)
    net = trainer.network
    y = np.zeros(4, "i8") if net.output == "softmax" else np.zeros((4, net.outputs))
    trainer.step(rows(net.inputs), y)
    assert len(trainer.history) >= 0


def trainer() -> nn.Trainer:
    """A trainer as that of format2 was at first."""
    layers = [
        nn.Dense(3, 4, "tanh"),
        nn.BatchNorm(4),
        nn.Residual([nn.Dense(4, 4)]),
        nn.Dropout(0.1),
        nn.Dense(4, 2),
    ]
    net = nn.Network(layers, "softmax", seed=1)
    return nn.Trainer(net, nn.AMSGrad(nn.schedules.Cosine(0.02, 90), ema=0.9), seed=3)


def resume(path: Path, epochs: int = 4) -> nn.Trainer:
    t, (X, y) = trainer(), data()
    used = [EarlyStopping(9), ReduceOnPlateau(0.5, 2), Checkpoint(path)]
    options = {"validation": (X, y), "metrics": ["accuracy"], "resume": path}
    t.fit(X, y, epochs, 8, callbacks=used, **options)
    return t


def use_estimator(kind: Any) -> Callable[[Path], None]:
    allowed = {*kind().get_params(), *kind._learnt.__annotations__, "trainer_", "networks_"}

    def use(path: Path) -> None:
        model = kind.load(path)
        assert vars(model).keys() <= allowed
        assert len(model.predict(rows(model.n_features_in_))) == 4

    return use


def table_of(model: tables.TableModel) -> tables.Table:
    """A table that a model can read: means, and each column's first category."""
    inputs = model.inputs
    columns: dict[str, Any] = dict(zip(inputs.numbers, inputs.means, strict=False))
    columns |= {c.name: c.values[0] for c in inputs.categories}
    return tables.Table("t", pl.DataFrame({name: [value] * 2 for name, value in columns.items()}))


def use_table_model(path: Path) -> None:
    model = tables.load(path)
    predictions = model.predict(table_of(model), "ignore")
    assert len(predictions.values) == 2


USES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "network": ("network", use_network),
    "trainer": ("trainer", use_trainer),
    "resumed": ("trainer", resume),
    "classifier": ("classifier", use_estimator(MLPClassifier)),
    "regressor": ("regressor", use_estimator(MLPRegressor)),
    "RealMLP's classifier": ("realmlp_classifier", use_estimator(RealMLPClassifier)),
    "RealMLP's regressor": ("realmlp_regressor", use_estimator(RealMLPRegressor)),
    "TabM's classifier": ("tabm_classifier", use_estimator(TabMClassifier)),
    "TabM's regressor": ("tabm_regressor", use_estimator(TabMRegressor)),
    "classes": ("classes", use_table_model),
    "quantity": ("quantity", use_table_model),
}
every_use = pytest.mark.parametrize(("name", "use"), USES.values(), ids=USES)


def unlawful(path: Path, use: Callable[[Path], Any]) -> str:
    """What is wrong with how a file is taken, or ""."""
    try:
        use(path)
    except (ValueError, OSError) as error:
        text = str(error)
        return "" if path.name in text and "\n" not in text and len(text) < 999 else repr(error)
    except Exception as error:
        return repr(error)
    return ""


def broken(path: Path, use: Any, makers: Iterator[Callable[[], Any]]) -> dict[int, str]:
    """Every change of a file that breaks the law, by its number."""
    found, before = {}, peak()
    for number, make in enumerate(makers):
        make()
        if wrong := unlawful(path, use):
            found[number] = wrong
        if peak() - before > MOST:
            before, found[number] = peak(), f"{peak() - before} bytes"
    return found


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


# The law


@every_use
def test_files_of_format_2_are_read(tmp_path, name, use):
    path = shutil.copy(FORMAT2 / f"{name}.safetensors", tmp_path)
    use(Path(path))


def test_a_run_of_format_2_goes_on(tmp_path):
    """To rounding: BatchNorm had other kernels when the file's epochs were trained."""
    path = shutil.copy(FORMAT2 / "trainer.safetensors", tmp_path)
    whole = resume(tmp_path / "none", 6)
    found = resume(Path(path), 6)
    assert found.t == whole.t
    np.testing.assert_allclose(found.network.w, whole.network.w, rtol=1e-4, atol=1e-6)


@every_use
def test_damaged_bytes(tmp_path, name, use):
    path = tmp_path / "file.safetensors"
    good = (FORMAT2 / f"{name}.safetensors").read_bytes()
    makers = (lambda s=seed: path.write_bytes(damaged(good, s)) for seed in range(100))
    assert broken(path, use, makers) == {}


def write(path: Path, header: Any, arrays: dict[str, Any]) -> None:
    """Write a file whose checksum is right, whatever it holds."""
    text = json.dumps(header)
    safetensors.numpy.save_file(arrays, path, container.metadata(text, arrays))


@every_use
def test_changed_headers_with_a_right_checksum(tmp_path, name, use):
    path = tmp_path / "file.safetensors"
    header, arrays = container.read(FORMAT2 / f"{name}.safetensors")
    makers = (
        lambda s=seed: write(path, json_changes.changed(header, s), arrays) for seed in range(200)
    )
    assert broken(path, use, makers) == {}


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "longer": lambda a: np.concatenate([a, a]),
    "shorter": lambda a: a[:-1],
    "deeper": lambda a: a[None],
    "of another type": lambda a: a.astype("f2"),
    "of integers": lambda a: np.zeros(a.shape, "i4"),
    "empty": lambda a: a[:0],
}


@every_use
def test_changed_arrays_with_a_right_checksum(tmp_path, name, use):
    path = tmp_path / "file.safetensors"
    header, arrays = container.read(FORMAT2 / f"{name}.safetensors")
    makers = [
        lambda k=key, c=change: write(path, header, {**arrays, k: c(arrays[k])})
        for key in arrays
        for change in ARRAYS.values()
    ]
    makers += [
        lambda k=key: write(path, header, {n: a for n, a in arrays.items() if n != k})
        for key in arrays
    ]
    assert broken(path, use, iter(makers)) == {}


@pytest.mark.parametrize("kind", [CSVLog, JSONLog])
def test_damaged_logs(tmp_path, kind):
    """A log goes on after what it holds of the run, or is refused and stays as it is."""
    path, (X, y) = tmp_path / "log", data()
    t = trainer()
    t.fit(X, y, 3, callbacks=[kind(path)])
    good, wrong, saved = path.read_bytes(), {}, tmp_path / "saved"
    t = trainer()
    t.fit(X, y, 2)
    t.save(saved)
    for seed in range(100):
        bad = damaged(good, seed)
        path.write_bytes(bad)
        try:
            trainer().fit(X, y, 3, callbacks=[kind(path)], resume=saved)
        except ValueError as error:
            if path.name not in str(error) or path.read_bytes() != bad:
                wrong[seed] = repr(error)
        else:
            last = path.read_text("utf-8", "replace").splitlines()[-1]
            if not last.startswith(("3,", '{"epoch": 3, ')):
                wrong[seed] = last
    assert wrong == {}


@pytest.mark.parametrize(
    ("i", "state", "message"),
    [
        (0, {"best": "x"}, "EarlyStopping: `best` must be a number, got 'x'"),
        (0, {"best_epoch": -1}, "EarlyStopping: `best_epoch` must be an integer >= 0, got -1"),
        (1, {"reduced": 0.5}, "ReduceOnPlateau: `reduced` must be an integer >= 0, got 0.5"),
        (2, {"best": None}, "Checkpoint: `best` must be a number, got None"),
    ],
)
def test_states_of_callbacks_are_checked(tmp_path, i, state, message):
    path = tmp_path / "file.safetensors"
    header, arrays = container.read(FORMAT2 / "trainer.safetensors")
    header["fit"]["callbacks"][i]["values"].update(state)
    write(path, header, arrays)
    with pytest.raises(ValueError, match=f"^load: {path} cannot be read: {message}"):
        resume(path)
