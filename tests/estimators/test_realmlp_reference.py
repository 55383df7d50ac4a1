"""RealMLP beside pytabkit's: the columns as networks take them, and training steps.

golden/make_realmlp.py has made the file with pytabkit's own code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import nnpoly as nn
from nnpoly.estimators.tabular.columns import columns
from nnpoly.estimators.tabular.encoding import ColumnEncoding
from nnpoly.estimators.tabular.realmlp import OF_CLASSES, OF_NUMBERS, layers, optimizer
from nnpoly.losses import MSE, CrossEntropy

GOLDEN = np.load(Path(__file__).parent / "golden" / "realmlp.npz")
META = json.loads(GOLDEN["meta"].item())
CASES = list(META["cases"])


def recipe_of(case: str) -> Any:
    presets = OF_NUMBERS if "numbers" in case else OF_CLASSES
    return presets[META["cases"][case]]._replace(dropout=0.0)


def encoded(case: str) -> tuple[ColumnEncoding, np.ndarray]:
    """Return our encoding of the table, and what it makes of all rows."""
    table = {k.removeprefix("table/"): GOLDEN[k] for k in GOLDEN if k.startswith("table/")}
    frame = pd.DataFrame({k: v if v.dtype.kind == "f" else gaps(v) for k, v in table.items()})
    found = columns(BaseEstimator(), "test", frame, first=True)
    most = {} if recipe_of(case).tuned else {"most_one_hot": np.inf}
    encoding = ColumnEncoding.fit("test", found, GOLDEN["rows"], **most)
    return encoding, encoding.encode("test", found)


def gaps(texts: np.ndarray) -> list[str | None]:
    return [text or None for text in texts.tolist()]


def theirs(case: str) -> np.ndarray:
    """Return what their networks take: numbers, the others that are scaled, categories' places."""
    scaled = GOLDEN[f"{case}/scaled"]
    if f"{case}/numbers" not in GOLDEN:
        return scaled
    numbers, places = GOLDEN[f"{case}/numbers"], GOLDEN[f"{case}/places"]
    shown = scaled[:, 4 * numbers.shape[1] : -8 * places.shape[1]]
    return np.concatenate([numbers, shown, places], axis=1)


@pytest.mark.parametrize("case", CASES)
def test_columns_become_what_they_become_there(case):
    """In float32 there, which shows in the last digits."""
    encoding, X = encoded(case)
    assert X.shape == (64, encoding.width)
    np.testing.assert_allclose(X, theirs(case), rtol=2e-6, atol=2e-6)


def order(numbers: int, inputs: int) -> np.ndarray:
    """Return the places of our features among theirs, where x_i follow all waves."""
    own = [[3 * numbers + i, *range(3 * i, 3 * i + 3)] for i in range(numbers)]
    return np.concatenate([np.ravel(own), np.arange(4 * numbers, inputs)]).astype(int)


def in_our_order(case: str, step: str, encoding: ColumnEncoding) -> np.ndarray:
    """Return their parameters as our flat vector."""
    start = f"{case}/{step}/"
    named = [
        (key.rpartition("|")[2], GOLDEN[key]) for key in sorted(GOLDEN) if key.startswith(start)
    ]
    parts, tables, numbers = {}, [], 0
    flat: list[np.ndarray] = []
    for name, array in named:
        if name in ("weight_1", "weight_2", "bias_1", "bias_2"):
            parts[name], numbers = array, len(array)
            if name == "bias_2":
                W = parts["weight_2"].transpose(0, 2, 1)
                flat += [parts["weight_1"], parts["bias_1"], W, parts["bias_2"]]
        elif name == "emb":
            tables.append(array)
            if len(tables) == len(encoding.sizes):
                flat.append(np.concatenate(tables))
        elif name == "scale":
            places = order(numbers, array.size)
            flat.append(array[:, places])
        elif name == "weight":
            flat.append(array.T[:, places] if len(array) == len(places) else array.T)
        else:
            flat.append(array)
    return np.concatenate([part.ravel() for part in flat])


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_taken_there(case):
    """From the same weights and batches, in float64: every part of the network and optimiser."""
    encoding, _ = encoded(case)
    recipe, batches, y = recipe_of(case), GOLDEN["batches"], GOLDEN[f"{case}/y"]
    numbers, steps = "numbers" in case, len(batches)
    K = 1 if numbers else int(y.max()) + 1
    chain = layers(recipe, encoding, META["hidden"], K, steps, twice=True)
    net = nn.Network(chain, "identity" if numbers else "softmax", dtype="float64")
    net.w = in_our_order(case, "start", encoding)
    loss = MSE() if numbers else CrossEntropy(recipe.label_smoothing)
    trainer = nn.Trainer(net, optimizer(recipe, steps, K, loss), loss)
    X, targets, losses = theirs(case), GOLDEN[f"{case}/targets"], []
    for step, rows in enumerate(batches):
        losses.append(float(trainer.step(X[rows], targets[step] if numbers else y[rows])))
        if step in META["kept"]:
            wanted = in_our_order(case, f"step{step}", encoding)
            np.testing.assert_allclose(net.w, wanted, rtol=1e-6, atol=1e-8)
    factor = 2.0 if numbers else 1.0
    np.testing.assert_allclose(factor * np.array(losses), GOLDEN[f"{case}/losses"], rtol=1e-6)
