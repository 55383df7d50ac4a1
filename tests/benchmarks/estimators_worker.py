"""The contestants of estimators.py, each in a process of its own; see remote.py."""

from __future__ import annotations

import os
import resource
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from worker import serve

SIZE = 20_640  # rows and columns of California's housing
REGRESSION = ("diabetes", "synthetic")


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a data set's X and y."""
    if name == "synthetic":
        rng = np.random.default_rng(0)
        X = rng.standard_normal((SIZE, 8))
        y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * np.abs(X[:, 3])
        return X, y + 0.3 * rng.standard_normal(SIZE)
    load = getattr(datasets, f"load_{name.replace(' ', '_')}")
    return load(return_X_y=True)


def split(name: str, seed: int) -> list[np.ndarray]:
    """Return X, X_test, y, y_test: standardised by the training share."""
    X, y = data(name)
    labels = None if name in REGRESSION else y
    X, X_test, y, y_test = train_test_split(X, y, stratify=labels, random_state=seed)
    scaler = StandardScaler().fit(X)
    if name in REGRESSION:
        mean, scale = y.mean(), y.std()
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
    return [scaler.transform(X), scaler.transform(X_test), y, y_test]


class Worker:
    """Answers the requests of `Remote`, a method each."""

    def __init__(self, contestant: str) -> None:
        if contestant.endswith("alone"):
            os.environ["NNPOLY_ISA"] = "none"
        self._dtype = "float32" if contestant.endswith("float32") else "float64"
        if contestant.startswith("scikit-learn"):
            from sklearn import neural_network as library
        else:
            from nnpoly.estimators import classifier as library
        self._kinds = library.MLPClassifier, library.MLPRegressor
        warnings.simplefilter("ignore")

    def versions(self) -> dict[str, Any]:
        """Return nothing: the parent knows them."""
        return {"versions": {}}

    def warm_up(self, name: str) -> dict[str, Any]:
        """Fit once for nothing."""
        self.fit(name, 99)
        return {"shape": list(data(name)[0].shape)}

    def fit(self, name: str, seed: int) -> dict[str, float]:
        """Return the seconds of a fit, its epochs, and its score on the test share."""
        X, X_test, y, y_test = split(name, seed)
        X, X_test = X.astype(self._dtype), X_test.astype(self._dtype)
        model = self._kinds[name in REGRESSION](random_state=seed)
        start = perf_counter()
        model.fit(X, y)
        seconds = perf_counter() - start
        return {"seconds": seconds, "epochs": model.n_iter_, "score": model.score(X_test, y_test)}

    def stream(self, rows: int) -> dict[str, float]:
        """Train on a generator of so many rows, and return how much more memory that took."""
        import nnpoly as nn

        def batches(epoch: int, count: int = rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            rng = np.random.default_rng(epoch)
            for _ in range(count // 1000):
                X = rng.standard_normal((1000, 20), dtype=np.float32)
                yield X, (X[:, 0] * X[:, 1] > 0).astype(np.int64)

        trainer = nn.Trainer(nn.MLP([20, 64, 2]))
        trainer.fit(lambda epoch: batches(epoch, 20_000), epochs=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = perf_counter()
        trainer.fit(batches, epochs=1)
        seconds = perf_counter() - start
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        return {"rows": rows, "seconds": seconds, "megabytes": more / 1024}


if __name__ == "__main__":
    serve(lambda: Worker(sys.argv[1]))
