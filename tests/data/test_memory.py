"""The memory that wide data take: blocks have bytes, whatever their rows are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import nnpoly as nn
from nnpoly.estimators import MLPClassifier

N, WIDTH = 1200, 30_000
DENSE = N * WIDTH * 8
y = np.arange(N) % 2


@pytest.fixture(scope="module")
def trainer() -> nn.Trainer:
    return nn.Trainer(nn.MLP([WIDTH, 4, 2], dtype="float64", init="zeros"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: Any) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("wide") / "X.npy"
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype="float32", shape=(N, WIDTH))
    mapped[:, 7] = y
    counts = scipy.sparse.random_array((N, WIDTH), density=1e-4, format="csc", rng=0)
    return {"map": mapped, "sparse": counts}


def peak_of(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


ENTRIES = {
    "predict": lambda t, X: t.network(X),
    "evaluate": lambda t, X: t.evaluate(X, y),
    "score": lambda t, X: nn.metrics.score(t.network, X, y, ["accuracy"]),
    "ensemble": lambda t, X: nn.Ensemble([t]).predict(X),
    "validation": lambda t, X: t.fit(
        X[:100], y[:100], 1, 50, validation=(X, y), metrics=["accuracy"]
    ),
}


@pytest.mark.parametrize("kind", ["map", "sparse"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_wide_sources_take_blocks(trainer, sources, entry, kind):
    X = sources[kind]
    X = X.tocsr() if kind == "sparse" else X
    assert peak_of(lambda: ENTRIES[entry](trainer, X)) < 0.6 * DENSE


def test_estimators_take_blocks_of_wide_sparse_data(sources):
    X = sources["sparse"].tocsr()
    model = MLPClassifier((4,), max_iter=1, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X[:200], y[:200])
    assert peak_of(lambda: model.predict(X)) < 0.6 * DENSE


def test_narrow_data_keep_their_blocks():
    """So that results of earlier versions keep their bits."""
    for widths in ([2, 3], [784, 512, 10], [4000, 50, 2]):
        assert nn.MLP(widths).rows_at_once == 4096
    assert nn.MLP([10**6, 2]).rows_at_once == 16
