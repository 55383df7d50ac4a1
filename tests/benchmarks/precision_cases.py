"""The contestants of precision.py: products of float32 and of rounded factors, on data sets."""

from __future__ import annotations

import warnings
from importlib import metadata

import numpy as np
from data_sets import REGRESSION, data, split
from timing import Case

import nnpoly as nn
from nnpoly.estimators import MLPClassifier, MLPRegressor

PRECISIONS = {"float32": None, "bf16": "bf16"}
SURROGATE = "surrogate"
EPOCHS, ROWS, BATCH = 100, 12_000, 200  # of the surrogate


def versions(contestant: str) -> dict[str, str]:
    """Return the versions of the libraries."""
    return {name: metadata.version(name) for name in ("numpy", "scikit-learn", "nnpoly")}


def prepare(contestant: str, case: str) -> Case:
    """Return fits on a data set, or of a surrogate."""
    warnings.simplefilter("ignore")
    precision = PRECISIONS[contestant]
    return Surrogate(precision) if case == SURROGATE else Fits(precision, case)


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


class Surrogate(Case):
    """Trainings on a smooth function without noise, whose error ends far below its spread."""

    def __init__(self, precision: str | None) -> None:
        super().__init__(shape=[ROWS, 3])
        self.precision = precision

    def sample(self, number: int) -> dict[str, float]:
        """Return the errors on new points, over the function's spread: `exact` is by `net(X)`."""
        rng = np.random.default_rng(number)
        X, X_test = (rng.uniform(-1.0, 1.0, (rows, 3)).astype("f4") for rows in (ROWS, 4_000))
        y, y_test = (np.sin(2.0 * x[:, 0]) + x[:, 1] * x[:, 2] for x in (X, X_test))
        net = nn.MLP([3, 64, 64, 1], "gelu", "identity", seed=number)
        rate = nn.schedules.Cosine(5e-3, EPOCHS * ROWS // BATCH)
        trainer = nn.Trainer(net, nn.Adam(rate), precision=self.precision)
        trainer.fit(X, (y - y.mean()) / y.std(), EPOCHS, BATCH)
        wanted = (y_test - y.mean()) / y.std()
        found = {"error": trainer.predict(X_test), "exact": net(X_test)}
        return {k: float(np.sqrt(np.mean((f[:, 0] - wanted) ** 2))) for k, f in found.items()}
