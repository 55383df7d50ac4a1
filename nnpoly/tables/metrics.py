"""Metrics of predictions, computed by scikit-learn; an undefined metric is None."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics import compute
from .columns import require_sklearn

Metrics = dict[str, float | None]
MEANINGS = {
    "accuracy": "share of rows that are right",
    "balanced accuracy": "mean over the classes of the share of their rows that are right",
    "F1": "mean over the classes of the harmonic mean of precision and recall",
    "ROC-AUC": "of the second of two classes; else the mean of each class against the rest",
    "log loss": "cross-entropy in nats a row",
    "R2": "1 - squared errors / squared deviations from the mean",
    "MAE": "mean absolute error, in the target's unit",
    "RMSE": "root of the mean squared error, in the target's unit",
}


def classification(y: NDArray[np.int64], probabilities: NDArray[Any]) -> Metrics:
    """Return the metrics of predicted probabilities.

    Parameters
    ----------
    y
        The true class indices: (n,).
    probabilities
        The predicted probabilities: (n, K). The predicted class has the largest one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnpoly.tables import metrics
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])
    >>> {k: round(v, 3) for k, v in metrics.classification(np.array([0, 1, 1]), p).items()}
    {'accuracy': 0.667, 'balanced accuracy': 0.75, 'F1': 0.667, 'ROC-AUC': 1.0, 'log loss': 0.742}
    """
    names = {
        "accuracy": "accuracy",
        "balanced accuracy": "balanced_accuracy",
        "F1": "f1",
        "ROC-AUC": "roc_auc",
        "log loss": "log_loss",
    }
    return _computed(names, "softmax", y, probabilities)


def regression(y: NDArray[np.float64], f: NDArray[Any]) -> Metrics:
    """Return the metrics of predictions f: (n,) of the numbers y: (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from nnpoly.tables import metrics
    >>> metrics.regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    {'R2': 0.5, 'MAE': 0.333..., 'RMSE': 0.577...}
    """
    return _computed({"R2": "r2", "MAE": "mae", "RMSE": "rmse"}, "identity", y, f[:, None])


def _computed(names: dict[str, str], output: str, y: NDArray[Any], f: NDArray[Any]) -> Metrics:
    """Return metrics by their titles, given their names in `nnpoly.metrics`; None if undefined."""
    require_sklearn()
    values = compute({name: name for name in names.values()}, output, y, f)
    return {
        title: values[name] if math.isfinite(values[name]) else None
        for title, name in names.items()
    }


def text(columns: dict[str, Metrics]) -> str:
    """Return metrics as a table: a row a metric, a column a model.

    Examples
    --------
    >>> from nnpoly.tables import metrics
    >>> print(metrics.text({"network": {"R2": 0.5, "MAE": 1.25}, "mean": {"R2": None, "MAE": 2}}))
                     network      mean
    R2                0.5000       n/a
    MAE                1.250     2.000
    """
    head = f"{'':<17}" + "".join(f"  {name:>10}" for name in columns)
    names = next(iter(columns.values()))
    rows = [f"{n:<17}" + "".join(f"  {number(m[n]):>10}" for m in columns.values()) for n in names]
    return "\n".join([head, *rows])


def number(value: float | None) -> str:
    """Return a metric's value as text, to four digits; "n/a" if it is not defined."""
    return "n/a" if value is None else f"{value:#.4g}"
