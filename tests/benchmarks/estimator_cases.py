"""The contestants of estimators.py; a case is a data set's name, `stream:rows` or `grid:rows`."""

from __future__ import annotations

import os
import resource
import warnings
from collections.abc import Iterator
from importlib import metadata
from time import perf_counter
from typing import Any

import numpy as np
from data_sets import REGRESSION, data, split
from timing import Case


def versions(contestant: str) -> dict[str, str]:
    """Return the versions of NumPy and of the contestant's library."""
    library = contestant.split(",")[0]
    return {name: metadata.version(name) for name in ("numpy", library)}


def prepare(contestant: str, case: str) -> Case:
    """Return fits on a data set, in a search, or on a stream."""
    warnings.simplefilter("ignore")
    name, _, rows = case.partition(":")
    if name == "grid":
        return Search(contestant, int(rows))
    return Stream(int(rows)) if rows else Fits(contestant, name)


class Fits(Case):
    """Fits of a contestant's estimator, a seed a round; one, for nothing, comes before them."""

    def __init__(self, contestant: str, name: str) -> None:
        super().__init__(shape=list(data(name)[0].shape))
        self.name, self.estimator = name, estimator(contestant, name)
        self.dtype = "float32" if contestant.endswith("float32") else "float64"
        self.sample(99)

    def sample(self, number: int) -> dict[str, float]:
        """Return the seconds of a fit, its epochs, and its score on the test share."""
        X, X_test, y, y_test = split(self.name, number)
        X, X_test = X.astype(self.dtype), X_test.astype(self.dtype)
        model = self.estimator(random_state=number)
        start = perf_counter()
        model.fit(X, y)
        seconds = perf_counter() - start
        return {"seconds": seconds, "epochs": model.n_iter_, "score": model.score(X_test, y_test)}


def estimator(contestant: str, name: str) -> type[Any]:
    """Return a contestant's classifier or regressor, whichever the data set is for."""
    if contestant.endswith("alone"):
        os.environ["NNPOLY_ISA"] = "none"
    if contestant.startswith("scikit-learn"):
        from sklearn import neural_network as library
    else:
        from nnpoly import estimators as library
    return library.MLPRegressor if name in REGRESSION else library.MLPClassifier


class Search(Case):
    """Searches of a grid, in as many jobs as the contestant's name says."""

    def __init__(self, contestant: str, rows: int) -> None:
        from sklearn.model_selection import GridSearchCV

        from nnpoly.estimators import MLPClassifier

        for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
            del os.environ[name]  # joblib gives each worker its share of the CPUs
        os.environ["PYTHONWARNINGS"] = "ignore"
        super().__init__(rows=rows)
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(rows, 30)).astype("float32")
        self.y = (self.X[:, 0] > 0).astype(int)
        jobs = int(contestant.rpartition("=")[2])
        model = MLPClassifier((32, 32), max_iter=10, random_state=0)
        grid = {"alpha": [1e-4, 1e-3, 1e-2, 1e-1]}
        self.search = GridSearchCV(model, grid, cv=4, n_jobs=jobs, refit=False)
        self.sample(0)

    def sample(self, number: int) -> dict[str, float]:
        """Return the mean seconds of a fit, and those of the whole search."""
        start = perf_counter()
        self.search.fit(self.X, self.y)
        seconds = perf_counter() - start
        return {"seconds": float(self.search.cv_results_["mean_fit_time"].mean()), "whole": seconds}


class Stream(Case):
    """An epoch on a generator of batches."""

    def __init__(self, rows: int) -> None:
        import nnpoly as nn

        super().__init__(rows=rows)
        self.trainer = nn.Trainer(nn.MLP([20, 64, 2]))
        self.fit(20_000)

    def fit(self, rows: int) -> None:
        """Train on so many rows, a thousand a batch."""

        def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            rng = np.random.default_rng(epoch)
            for _ in range(rows // 1000):
                X = rng.standard_normal((1000, 20), dtype=np.float32)
                yield X, (X[:, 0] * X[:, 1] > 0).astype(np.int64)

        self.trainer.fit(batches, epochs=1)

    def sample(self, number: int) -> dict[str, float]:
        """Return the seconds of an epoch, and how much more memory it took."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = perf_counter()
        self.fit(self.facts["rows"])
        seconds = perf_counter() - start
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        return {"seconds": seconds, "megabytes": more / 1024}
