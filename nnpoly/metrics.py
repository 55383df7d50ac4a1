"""Metrics: numbers about predictions that are not differentiated, computed on the host.

`Trainer.fit(..., metrics=["accuracy", "roc_auc"])` computes them after every epoch;
`nn.metrics.score(net, X, y, ["r2"])` computes them once. The named ones are scikit-learn's
(`pip install nnpoly[sklearn]`); any function of (y, f) that returns a number will do as well.

=====================  ===================================  ========================================
for                    names                                computed from
=====================  ===================================  ========================================
softmax, sigmoid       accuracy, balanced_accuracy, f1,     the likeliest class; a sigmoid's is 1
                       precision, recall, matthews          where f >= 1/2
softmax, sigmoid       roc_auc, average_precision,          the probabilities
                       log_loss
identity, exp          r2, mae, mse, rmse, mape             the predictions
=====================  ===================================  ========================================

f1, precision, recall, roc_auc and average_precision are means over the classes that do not weigh
them by size ("macro", one against the rest); of a single sigmoid they are those of class 1.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from . import _checks
from .backends import host, registry
from .network import Network

Metric: TypeAlias = str | Callable[[Any, Any], float]

OF_LABELS = {
    "accuracy": "accuracy_score",
    "balanced_accuracy": "balanced_accuracy_score",
    "f1": "f1_score",
    "precision": "precision_score",
    "recall": "recall_score",
    "matthews": "matthews_corrcoef",
}
OF_PROBABILITIES = {
    "roc_auc": "roc_auc_score",
    "average_precision": "average_precision_score",
    "log_loss": "log_loss",
}
OF_REALS = {
    "r2": "r2_score",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mape": "mean_absolute_percentage_error",
}
PER_CLASS = ("f1", "precision", "recall")
NAMES = (*OF_LABELS, *OF_PROBABILITIES, *OF_REALS)


def resolve(where: str, wanted: Any, output: str) -> dict[str, Metric]:
    """Return metrics by name, checked against the network's output."""
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise ValueError(f"{where}: `metrics` must be a list such as ['accuracy'], got {wanted!r}.")
    classifies = output in ("softmax", "sigmoid", "step")
    known = [*OF_LABELS, *OF_PROBABILITIES] if classifies else [*OF_REALS]
    found: dict[str, Metric] = {}
    for i, metric in enumerate(wanted):
        if callable(metric):
            found[getattr(metric, "__name__", f"metric_{i}")] = metric
        else:
            name = _checks.choice(where, f"metrics[{i}]", metric, known)
            found[name] = name
            _sklearn(where)
    return found


def _sklearn(where: str) -> Any:
    try:
        import sklearn.metrics
    except ImportError as error:
        raise ImportError(
            f"{where}: `metrics` by name need scikit-learn: pip install nnpoly[sklearn]."
        ) from error
    return sklearn.metrics


def score(net: Network, X: Any, y: Any, metrics: Iterable[Metric]) -> dict[str, float]:
    """Return metrics of a network's predictions on data.

    Parameters
    ----------
    X, y
        Inputs (n, m_0) and targets: rows (n, K), or class indices (n,), or (n,) for one output.
    metrics
        Names (see the module's table) or functions of (y, f).

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.MLP.from_weights([[[1.0]]], [[0.0]], output="identity")
    >>> nn.metrics.score(net, [[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0], ["mae"])
    {'mae': 0.333...}
    """
    resolved = resolve("metrics.score", metrics, net.output)
    return compute(resolved, net.output, y, registry.to_host(net(X)))


def compute(
    metrics: Mapping[str, Metric], output: str, y: Any, f: host.HostArray, sample_weight: Any = None
) -> dict[str, float]:
    """Return each metric of targets y and predictions f: (n, K); NaN where it is not defined."""
    y = registry.to_host(y)
    weights = None if sample_weight is None else registry.to_host(sample_weight)
    y = y[:, None] if y.ndim == 1 and output != "softmax" else y
    return {
        name: float(metric(y, f)) if callable(metric) else _named(name, output, y, f, weights)
        for name, metric in metrics.items()
    }


def _named(name: str, output: str, y: Any, f: Any, weights: Any) -> float:
    sklearn_metrics = _sklearn("metrics")
    if name in OF_REALS:
        return _defined(getattr(sklearn_metrics, OF_REALS[name]), y, f, sample_weight=weights)
    if name in OF_LABELS:
        labels, guesses = _labels(y, output), _labels(f, output)
        options = _averaging(name, f, output)
        function = getattr(sklearn_metrics, OF_LABELS[name])
        return _defined(function, labels, guesses, sample_weight=weights, **options)
    function = getattr(sklearn_metrics, OF_PROBABILITIES[name])
    y = _labels(y, output) if name == "log_loss" and output == "softmax" else _rows(y, f)
    options = {"labels": list(range(f.shape[1]))} if y.ndim == 1 else {}
    if output == "softmax":
        f = f.astype("float64")
        f = f / f.sum(axis=1, keepdims=True)  # a float32 softmax is off by its roundings
    if f.shape[1] == 1:
        y, f = y[:, 0], f[:, 0]
    return _defined(function, y, f, sample_weight=weights, **options)


def _averaging(name: str, f: Any, output: str) -> dict[str, Any]:
    """Return scikit-learn's options of a metric that is computed class by class."""
    if name not in PER_CLASS:
        return {}
    single = f.shape[1] == 1
    return {"average": "binary" if single else "macro", "zero_division": 0.0}


def _labels(rows: Any, output: str) -> Any:
    """Return class indices (n,) of softmax's rows, 0 and 1 of sigmoid's, (n,) for a single one."""
    if output == "softmax":
        return rows if rows.ndim == 1 else rows.argmax(axis=1)
    labels = (rows >= 0.5).astype("int64")
    return labels[:, 0] if labels.shape[1] == 1 else labels


def _rows(y: Any, f: Any) -> Any:
    """Return targets as rows of 0 and 1: (n, K)."""
    if y.ndim == 1:
        return (y[:, None] == host.arange(f.shape[1])).astype("int64")
    return (y >= 0.5).astype("int64")


def _defined(function: Callable[..., Any], *arrays: Any, **options: Any) -> float:
    """Return what the function returns, and NaN where it is not defined (a class is missing)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(function(*arrays, **options))
        except ValueError:
            return math.nan
