"""Estimators, ensembles and models of tables as C: cells, texts, missing values, labels."""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from c_programs import Library, needs_gcc

import nnpoly as nn
from nnpoly import tables
from nnpoly.estimators import (
    MLPClassifier,
    RealMLPClassifier,
    RealMLPRegressor,
    TabMClassifier,
    TabMRegressor,
)
from nnpoly.exchange.c_writing import to_c
from nnpoly.exchange.described import Described, Probabilities
from nnpoly.exchange.describing import describe_model

pytestmark = needs_gcc

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
K3 = RNG.integers(0, 3, N)
# Texts that end a comment, escape, or are three characters which C reads as one.
KINDS = ["x", 'say "y"', "back\\slash", "??/ ??)", "*/ no /*", "Größe\n東", None]
FRAME = pl.DataFrame(
    {
        "size */": [None if i % 7 == 0 else float(x) for i, x in enumerate(X[:, 0])],
        "kind": [KINDS[i] for i in RNG.integers(0, len(KINDS), N)],
        "pair": RNG.choice(["p", "q"], N).tolist(),
        "age": RNG.exponential(size=N),
    }
)
UNSEEN = FRAME.with_columns(kind=pl.lit("never seen"), age=pl.lit(None, pl.Float64))
SMALL: dict[str, Any] = {"n_epochs": 2, "hidden_layer_sizes": (8,), "random_state": 0}
TABM = {**SMALL, "n_members": 3, "n_bins": 5}


def trainer(seed: int, **given: Any) -> nn.Trainer:
    return nn.Trainer(nn.MLP([4, 8, 3], seed=seed, **given), nn.Adam(1e-3))


def of_table(kind: str, y: Any) -> Any:
    frame = FRAME.with_columns(target=pl.Series(y))
    return tables.fit(frame, "target", model=kind, epochs=2).model


def models() -> dict[str, Any]:
    yes = np.array(["no", "yes"])[K3 % 2]
    labels = np.array(["??<", 'a "b"', "*/"])[K3]
    plain = MLPClassifier(max_iter=2, random_state=0)
    return {
        "trainer": trainer(1),
        "ensemble": nn.Ensemble([trainer(0), trainer(1), trainer(2)]),
        "wholes": plain.fit(X, 10**15 * K3 - 2**62),
        "yes_no": MLPClassifier(max_iter=2, random_state=0).fit(X, yes),
        "several": MLPClassifier(max_iter=2, random_state=0).fit(X, (X[:, :3] > 0).astype(int)),
        "realmlp": RealMLPClassifier(**SMALL, n_ens=2).fit(FRAME, labels),
        "realmlp_numbers": RealMLPRegressor(**SMALL).fit(FRAME, 5 * X[:, :2] + 3),
        "realmlp_matrix": RealMLPRegressor(**SMALL).fit(X, X[:, 0]),
        "tabm": TabMClassifier(**TABM, num_embeddings="piecewise").fit(FRAME, K3 % 2 == 1),
        "tabm_numbers": TabMRegressor(**TABM).fit(FRAME, 10 * X[:, 0]),
        "table_classes": of_table("mlp", labels),
        "table_numbers": of_table("mlp", 9 * X[:, 1] + 3),
        "table_realmlp": of_table("realmlp", labels),
    }


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> tuple[Library, Mapping[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two epochs, and of a text of its own for missing cells
        made = models()
    folder: Path = tmp_path_factory.mktemp("c")
    for name, model in made.items():
        to_c(model, folder / f"{name}.h", name, check=False)
    return Library([folder / f"{name}.h" for name in made], folder), made


def rows_of(library: Library, name: str, found: Described, frame: pl.DataFrame) -> np.ndarray:
    """A frame's rows as a program takes them."""
    if found.matrix:
        return X.astype(found.dtype if found.plain else "float64")
    code = library[f"{name}_code"] if any(c.kind == "text" for c in found.columns) else None
    columns = []
    for j, (column, kind) in enumerate(found.columns):
        cells = frame[column].to_list()
        if kind == "text":
            code.restype = ctypes.c_double
            given = [None if cell is None else str(cell).encode() for cell in cells]
            columns.append([code(j, cell) for cell in given])
        else:
            columns.append([math.nan if cell is None else float(cell) for cell in cells])
    return np.array(columns, float).T.copy()


def predicted(model: Any, found: Described, frame: pl.DataFrame) -> np.ndarray:
    """The model's own prediction."""
    if isinstance(model, nn.Trainer | nn.Ensemble):
        call = model.network if isinstance(model, nn.Trainer) else model
        return call(X.astype("float32"))
    given = X if found.matrix else frame
    if isinstance(model, tables.TableModel | tables.EstimatorModel):
        f = model.predict(given, unknown="ignore")
        f = f.probabilities if isinstance(found.result, Probabilities) else f.values
    else:
        classes = isinstance(found.result, Probabilities)
        f = model.predict_proba(given) if classes else model.predict(given)
    return f[:, None] if f.ndim == 1 else f


def test_every_model_has_its_own_bits(compiled):
    library, made = compiled
    for name, model in made.items():
        found = describe_model(model)
        gives = "float64" if found.averaged is not None else found.dtype
        for frame in (FRAME, UNSEEN):
            expected = predicted(model, found, frame)
            rows = rows_of(library, name, found, frame)
            for compute in (library.rows, library.batch):
                f = compute(name, rows, found.outputs, gives)
                # An ensemble of networks adds up its predictions in their type, C in double.
                near = {"rtol": 2e-7} if name == "ensemble" else {"rtol": 0, "atol": 0}
                np.testing.assert_allclose(f, expected, err_msg=name, **near)


def test_labels_are_the_models_own(compiled):
    library, made = compiled
    types = {str: ctypes.c_char_p, int: ctypes.c_longlong, float: ctypes.c_double}
    for name, model in made.items():
        found = describe_model(model)
        if not isinstance(found.result, Probabilities):
            continue
        labels, function = found.result.labels, library[f"{name}_label"]
        function.restype = types.get(type(labels[0]), ctypes.c_int)
        given = [function(k) for k in range(len(labels))]
        given = [label.decode() if isinstance(label, bytes) else label for label in given]
        assert given == list(labels), name
        if not found.result.several:
            function, gives = library[f"{name}_class"], "float64" if found.averaged else found.dtype
            f = np.array([0.25, 0.5, 0.5][-len(labels) :], gives)
            assert function(ctypes.c_void_p(f.ctypes.data)) == len(labels) - 2, name


def test_codes_of_texts(compiled):
    library, made = compiled
    found, code = describe_model(made["realmlp"]), library["realmlp_code"]
    code.restype = ctypes.c_double
    place = [column.name for column in found.columns].index("kind")
    assert sorted(code(place, kind.encode()) for kind in KINDS[:-1]) == list(range(6))
    assert code(place, b"never seen") == -1
    assert all(math.isnan(code(*given)) for given in ((place, None), (place, b""), (99, b"x")))
