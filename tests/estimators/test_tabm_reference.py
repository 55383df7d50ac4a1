"""TabM beside pytabkit's training steps, and its columns beside scikit-learn's quantiles.

golden/make_tabm.py has made the file with pytabkit's own code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.preprocessing import QuantileTransformer

import nnpoly as nn
from nnpoly.estimators.tabular.columns import columns
from nnpoly.estimators.tabular.encoding import CategoryColumn
from nnpoly.estimators.tabular.quantiles import NOISE, QuantileEncoding
from nnpoly.estimators.tabular.tabm import layers, optimizer
from nnpoly.losses import MSE, CrossEntropy

GOLDEN = np.load(Path(__file__).parent / "golden" / "tabm.npz")
META = json.loads(GOLDEN["meta"].item())
RNG = np.random.default_rng(0)


# Training steps


def encoding_of(embedded: bool) -> QuantileEncoding:
    """Return the encoding of the file's columns: three numbers, and two columns of categories."""
    kinds = (
        (0, 1, 2),
        (),
        (
            CategoryColumn(3, tuple("abc"), False, False),
            CategoryColumn(4, ("d", "e"), False, False),
        ),
    )
    bins = [tuple(GOLDEN[f"bins/{i}"].tolist()) for i in range(3)] if embedded else []
    return QuantileEncoding(*kinds, (0.0,) * 8, (1.0,) * 8, ((0.0,),) * 3, tuple(bins))


def inputs() -> np.ndarray:
    """Return what networks take: numbers, and an input for each category."""
    shown = [np.eye(size)[GOLDEN["categories"][:, j]] for j, size in enumerate((3, 2))]
    return np.concatenate([GOLDEN["numbers"], *shown], axis=1)


def in_our_order(case: str, step: str) -> np.ndarray:
    """Return their parameters as our flat vector."""

    def theirs(name: str) -> list[np.ndarray]:
        key = f"{case}/{step}/{name}"
        return [GOLDEN[key]] if key in GOLDEN else []

    flat = theirs("num_module.linear0.weight") + theirs("num_module.linear0.bias")
    for V in theirs("num_module.linear.weight"):
        moved = V.copy()  # the last bin of a number with few is the last of all there
        for i in range(3):
            last = len(GOLDEN[f"bins/{i}"]) - 2
            moved[i, last:] = 0.0
            moved[i, last] = V[i, -1]
        flat.append(moved.transpose(0, 2, 1))
    flat += theirs("minimal_ensemble_adapter.weight")
    for l in range(2):
        for name in ("r", "weight", "s", "bias"):
            flat += theirs(f"backbone.blocks.{l}.0.{name}")
    flat += [theirs("output.weight")[0].transpose(0, 2, 1), *theirs("output.bias")]
    return np.concatenate([part.ravel() for part in flat])


@pytest.mark.parametrize("case", META["cases"])
def test_steps_are_those_taken_there(case):
    """From the same weights and batches, in float64: every part of the network and optimiser."""
    arch, embedded, classes, K = META["cases"][case]
    options: dict[str, Any] = {"mini": arch == "tabm-mini", "dropout": 0.0}
    chain = layers(
        encoding_of(embedded),
        META["hidden"],
        K,
        META["members"],
        features=META["features"],
        **options,
    )
    net = nn.Network(chain, "softmax" if classes else "identity", dtype="float64")
    net.w = in_our_order(case, "start")
    loss = CrossEntropy() if classes else MSE()
    trainer = nn.Trainer(net, optimizer(*META["rates"], K, loss), loss)
    X, y, losses = inputs(), GOLDEN[f"{case}/y"], []
    for step, rows in enumerate(GOLDEN["batches"]):
        losses.append(float(trainer.step(X[rows], y[rows])))
        if step in META["kept"]:
            wanted = in_our_order(case, f"step{step}")
            np.testing.assert_allclose(net.w, wanted, rtol=1e-6, atol=1e-8)
    factor = 1.0 if classes else 2.0 / K
    np.testing.assert_allclose(factor * np.array(losses), GOLDEN[f"{case}/losses"], rtol=1e-8)


def test_the_start_is_theirs():
    """Signs or normal numbers, one for all columns of a number's or a column's inputs; the rest."""
    for embedded in (False, True):
        encoding = encoding_of(embedded)
        chain = layers(encoding, [64, 64], 3, 8, features=16)
        net = nn.Network(chain, "softmax")
        parts = iter(net.layers)
        if embedded:
            lines = next(parts)
            assert not lines.V.any()
            assert abs(lines.w).max() <= 0.25
        r = next(parts).r
        width = 16 if embedded else 1
        for start, size in ((0, width), (3 * width, 3), (3 * width + 3, 2)):
            group = r[:, start : start + size]
            assert (group == group[:, :1]).all()
        assert (abs(r) == 1.0).all() != embedded
        first = next(parts)
        a = first.W.shape[1] ** -0.5
        assert abs(first.W).max() <= a
        assert abs(first.W).max() > 0.9 * a
        assert (first.s == 1.0).all()
        assert (first.b == first.b[0]).all()


# Columns


def noised(x: np.ndarray) -> np.ndarray:
    """Return a column with noise that is small beside its different values' quartiles."""
    first, third = np.quantile(np.unique(x), [0.25, 0.75])
    noise = NOISE * np.random.default_rng(0).standard_normal((len(x), 1))[:, 0]
    return x + (third - first) * noise


COLUMNS = {
    "normal": RNG.normal(3.0, 2.0, 900),
    "skewed": np.exp(3.0 * RNG.normal(size=900)),
    "counts": RNG.integers(0, 5, 900).astype(float),
    "two values": (RNG.random(900) < 0.9).astype(float),
    "mostly zero": np.where(RNG.random(900) < 0.8, 0.0, RNG.normal(size=900)),
}


def encoded(frame: pd.DataFrame, rows: Any, **options: Any) -> tuple[QuantileEncoding, np.ndarray]:
    found = columns(BaseEstimator(), "test", frame, first=True)
    encoding = QuantileEncoding.fit("test", found, np.asarray(rows), **options)
    return encoding, encoding.encode("test", found)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_are_scikit_learns_quantiles(name, scale):
    """Of the rows to train on, with the reference's noise in the column's own unit."""
    x, rows = COLUMNS[name], np.arange(600)
    transformer = QuantileTransformer(n_quantiles=20, output_distribution="normal", subsample=None)
    wanted = transformer.fit(noised(x[rows])[:, None]).transform(x[:, None])
    _, found = encoded(pd.DataFrame({"x": scale * x}), rows)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_few_values_are_not_in_the_tails():
    _, found = encoded(pd.DataFrame({"x": [0.0, 1.0] * 450}), np.arange(900))
    np.testing.assert_allclose(np.unique(found), [-0.674, 0.674], atol=0.1)


def test_missing_numbers_are_the_median_with_an_indicator_where_some_are():
    x = np.where(np.arange(900) % 5 == 0, np.nan, COLUMNS["normal"])
    frame = pd.DataFrame({"x": x, "none": np.full(900, np.nan), "same": np.full(900, 7.0)})
    encoding, found = encoded(frame, np.arange(600), bins=8)
    assert encoding.indicated == (0,)
    assert (found[::5, 0] == 0.0).all()
    np.testing.assert_array_equal(found[:, 3], np.isnan(x))
    assert (found[:, 1:3] == 0.0).all()
    assert [len(edges) for edges in encoding.bins] == [9, 2, 2]
    other = columns(BaseEstimator(), "test", frame.assign(none=1.0, same=-7.0), first=True)
    np.testing.assert_array_equal(encoding.encode("test", other), found)


def test_categories_have_an_input_each():
    frame = pd.DataFrame({"k": ["a", "b"] * 5, "j": ["x", None, "y", "z", "x"] * 2})
    _, found = encoded(frame, np.arange(10))
    np.testing.assert_array_equal(found[:2], [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0]])


def test_bins_hold_equally_many_rows():
    encoding, found = encoded(pd.DataFrame({"x": COLUMNS["skewed"]}), np.arange(600), bins=10)
    counts, _ = np.histogram(found[:600, 0], encoding.bins[0])
    assert abs(counts - 60).max() <= 1  # edges are rounded to float32
    few, _ = encoded(pd.DataFrame({"x": [1.0, 2.0, 3.0]}), np.arange(3), bins=10)
    assert len(few.bins[0]) == 3
