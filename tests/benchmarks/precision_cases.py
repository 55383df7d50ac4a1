"""The contestants of precision.py: products of float32 and of rounded factors, on data sets."""

from __future__ import annotations

import warnings
from importlib import metadata

from data_sets import REGRESSION, data, split
from timing import Case

from nnpoly.estimators import MLPClassifier, MLPRegressor

PRECISIONS = {"float32": None, "bf16": "bf16"}


def versions(contestant: str) -> dict[str, str]:
    """Return the versions of the libraries."""
    return {name: metadata.version(name) for name in ("numpy", "scikit-learn", "nnpoly")}


def prepare(contestant: str, case: str) -> Fits:
    """Return fits on a data set."""
    warnings.simplefilter("ignore")
    return Fits(PRECISIONS[contestant], case)


class Fits(Case):
    """Fits of an estimator of that precision, a seed a round."""

    def __init__(self, precision: str | None, name: str) -> None:
        super().__init__(shape=list(data(name)[0].shape))
        self.name, self.precision = name, precision

    def sample(self, number: int) -> dict[str, float]:
        """Return the epochs of a fit, the loss of the last, and the score on the test share."""
        X, X_test, y, y_test = split(self.name, number)
        kind = MLPRegressor if self.name in REGRESSION else MLPClassifier
        options = {"dtype": "float32", "precision": self.precision, "random_state": number}
        model = kind(hidden_layer_sizes=(128, 128), max_iter=30, **options).fit(X, y)
        score = float(model.score(X_test, y_test))
        return {"epochs": model.n_iter_, "loss": model.loss_, "score": score}
