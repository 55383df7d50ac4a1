"""How good predictions are, by scikit-learn's metrics; None where a metric is not defined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        True class indices: (n,).
    probabilities
        (n, K). The class of the largest is the prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from nnpoly.tables import metrics
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])
    >>> {k: round(v, 3) for k, v in metrics.classification(np.array([0, 1, 1]), p).items()}
    {'accuracy': 0.667, 'balanced accuracy': 0.75, 'F1': 0.667, 'ROC-AUC': 1.0, 'log loss': 0.742}
    """
    require_sklearn()
    from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

    p = probabilities.astype(np.float64)
    p = p / p.sum(axis=1, keepdims=True)  # a float32 softmax is off by its rounding
    found, present = p.argmax(axis=1), np.unique(y)
    recall = recall_score(y, found, labels=present, average="macro", zero_division=0.0)
    return {
        "accuracy": float(accuracy_score(y, found)),
        "balanced accuracy": float(recall),
        "F1": float(f1_score(y, found, average="macro", zero_division=0.0)),
        "ROC-AUC": _area(y, p) if len(present) == p.shape[1] else None,
        "log loss": float(log_loss(y, p, labels=range(p.shape[1]))),
    }


def _area(y: NDArray[np.int64], p: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr"))


def regression(y: NDArray[np.float64], f: NDArray[Any]) -> Metrics:
    """Return the metrics of predicted values f: (n,) for the true ones y: (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from nnpoly.tables import metrics
    >>> metrics.regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    {'R2': 0.5, 'MAE': 0.333..., 'RMSE': 0.577...}
    """
    require_sklearn()
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    return {
        "R2": float(r2_score(y, f)) if len(y) > 1 else None,
        "MAE": float(mean_absolute_error(y, f)),
        "RMSE": float(root_mean_squared_error(y, f)),
    }


def text(columns: dict[str, Metrics]) -> str:
    """Return a table of metrics: a row each, beside each other what they are of.

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
    rows = [f"{n:<17}" + "".join(f"  {_cell(m[n]):>10}" for m in columns.values()) for n in names]
    return "\n".join([head, *rows])


def _cell(value: float | None) -> str:
    return "n/a" if value is None else f"{value:#.4g}"
