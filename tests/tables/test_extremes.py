"""Numbers too large or too small to be scaled, and tables of many categories."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from made_tables import csv_of, mixed, table_of
from scipy import sparse

import nnpoly as nn
from nnpoly import tables
from nnpoly.tables import Table, columns

LARGE = 1.7976931348623157e308  # the largest float64, by which some programs mark missing cells


def numbered(**cells: tuple[int, float]) -> Table:
    """A table of 60 rows of x and y, with one other cell, given as a row and a value, in each."""
    x, y = [float(i % 7) for i in range(60)], [2.5 * i for i in range(60)]
    for name, (row, value) in cells.items():
        {"x": x, "y": y}[name][row] = value
    return table_of(x=x, y=y)


def every_row() -> range:
    """Rows in every part: to train on, to stop early with, held out."""
    return range(0, 60, 5)


@pytest.mark.parametrize("value", [LARGE, -LARGE, 1e300, -1e200])
@pytest.mark.parametrize("name", ["x", "y"])
def test_a_number_that_cannot_be_scaled_is_refused_by_its_cell(name, value):
    for row in every_row():
        message = f"column '{name}' has {value!r} in row {row} (from 0), which is too "
        with pytest.raises(ValueError, match=re.escape(message)):
            tables.prepare(numbered(**{name: (row, value)}), "y", "regression")


def test_the_cell_has_its_line(tmp_path):
    rows = "".join(f"{i % 7},{LARGE if i == 4 else i}\n" for i in range(30))
    with pytest.raises(ValueError, match=r"'x' has '1\.79.*' in line 6, which is too large"):
        tables.prepare(csv_of(tmp_path, "y,x\n" + rows), "y", "regression")


def test_a_number_too_far_from_those_in_training():
    ready = tables.prepare(numbered(), "y", "regression")
    message = "'x' has 1e+39 in row 1 (from 0), which is too far from the numbers in training (mean"
    with pytest.raises(ValueError, match=re.escape(message)):
        ready.inputs.encode(table_of(x=[1.0, 1e39]))
    assert np.isfinite(ready.inputs.encode(table_of(x=[1e37])).astype(np.float32)).all()


@pytest.mark.parametrize("scale", [1e-139, 1e-30, 1.0, 1e30, 1e139])
def test_every_other_scale_is_learnt_from(scale):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 80)) * scale
    ready = tables.prepare(table_of(a=a, y=b), "y", "regression")
    X, y = ready.training(ready.parts.fit)
    for values in (X[:, 0], y):
        np.testing.assert_allclose((values.mean(), values.std()), (0.0, 1.0), atol=1e-12)
    assert all(np.isfinite(list(m.values())).all() for m in tables.baselines(ready).values())


@pytest.mark.parametrize("scale", [1e-200, 5e-324])
def test_numbers_that_are_too_near_are_left_out_or_refused(scale):
    values = [float(i % 7) * scale for i in range(60)]
    table = table_of(a=values, x=range(60), y=[i * i for i in range(60)])
    ready = tables.prepare(table, "y", "regression")
    why = "its numbers differ by less than 1e-140: write them in another unit"
    assert ready.schema.left_out == {"a": why}
    with pytest.raises(ValueError, match="'a' holds numbers that differ by less than 1e-140"):
        tables.prepare(table, "a", "regression")


# Many categories


def categorised(n: int, K: int, seed: int = 0) -> Table:
    """Two columns of K categories, each with all of them, a number, and two targets."""
    rng = np.random.default_rng(seed)
    a, b = (rng.permutation(np.arange(n) % K) for _ in range(2))
    x = np.where(rng.uniform(size=n) < 0.1, None, rng.normal(size=n))
    return table_of(
        a=[f"a{i}" for i in a],
        b=[f"b{i}" for i in b],
        x=x.tolist(),
        label=[["no", "yes"][i % 2] for i in a],
        y=(a + 0.1 * b).tolist(),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_sparse_inputs_are_the_dense_ones(seed, unknown, monkeypatch):
    table = mixed(90, seed) if unknown == "ignore" else categorised(90, 30, seed)
    schema = tables.Schema.of(
        table, "y", np.arange(60), categorical=["code"][: len(table.names) == 6]
    )
    inputs = tables.Preprocessing.fit(table.take(np.arange(60)), schema)
    rows = table if unknown == "ignore" else table.take(np.arange(60))
    dense = inputs.encode(rows, unknown)
    monkeypatch.setattr(columns, "MOST_DENSE", 0)
    monkeypatch.setattr(columns, "LEAST_SPARSE", 1)
    found = inputs.encode(rows, unknown)
    assert sparse.issparse(found)
    np.testing.assert_array_equal(found.toarray(), dense)


@pytest.mark.parametrize(("target", "task"), [("label", "classification"), ("y", "regression")])
def test_training_on_sparse_inputs_has_the_same_bits(target, task, monkeypatch, tmp_path):
    table = categorised(600, 60)
    drop = [{"label", "y"}.difference([target]).pop()]
    found = {}
    for most in (columns.MOST_DENSE, 0):
        monkeypatch.setattr(columns, "MOST_DENSE", most)
        ready = tables.prepare(table, target, task, drop=drop)
        assert sparse.issparse(ready.X) == (most == 0)
        outputs = {"classification": (2, "softmax"), "regression": (1, "identity")}[task]
        net = nn.MLP([ready.X.shape[1], 8, outputs[0]], output=outputs[1], seed=0)
        validation = ready.training(ready.parts.validation)
        history = nn.Trainer(net).fit(
            *ready.training(ready.parts.fit), 3, 32, validation=validation
        )
        model = tables.TableModel(net, ready.inputs, ready.target)
        found[most] = [
            net.w.tobytes(),
            history.loss,
            model.evaluate(table.take(ready.parts.holdout), "ignore"),
            model.predict_encoded(ready.X[ready.parts.holdout]).values.tolist(),
            tables.baselines(ready),
        ]
    dense, thin = found.values()
    assert thin[:2] == dense[:2]
    assert thin[2] == pytest.approx(dense[2], rel=1e-5)
    assert thin[3] == (dense[3] if task == "classification" else pytest.approx(dense[3], rel=1e-5))
    for name, metrics in dense[4].items():
        assert thin[4][name] == pytest.approx(metrics, rel=1e-3)


def peak(work: Any) -> float:
    """The megabytes that some work takes at its peak."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_many_categories_take_little_memory():
    """As dense rows of float64 the inputs alone have 115 MB."""
    table = categorised(16_000, 450)

    def work() -> None:
        ready = tables.prepare(table, "label", "classification", drop=["y"])
        assert ready.X.shape == (16_000, 902)
        net = nn.MLP([902, 4, 2], seed=0)
        nn.Trainer(net).fit(*ready.training(ready.parts.fit), 1, 256)
        model = tables.TableModel(net, ready.inputs, ready.target)
        model.evaluate(table)

    assert peak(work) < 80.0
