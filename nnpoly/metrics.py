"""Metrics: numbers about predictions that are not differentiated, computed on the host.

`Trainer.fit(..., metrics=["accuracy", "roc_auc"])` computes them after every epoch;
`nn.metrics.score(net, X, y, ["r2"])` computes them once. The named ones are scikit-learn's
scores, and all but accuracy, mse and rmse need it (`pip install nnpoly[sklearn]`); any function of
(y, f) that returns a number will do as well.

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

Of several sigmoids, which are labels that do not exclude each other, every metric is the mean over
the labels, but for accuracy: it is the share of rows with all labels right.

A metric is NaN where it is not defined: roc_auc where a class, or all but one, has no row,
average_precision where a class has none, r2 of a single row, and all where a prediction is NaN or
infinite.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from . import _checks, losses
from .backends import host, registry
from .data import entering
from .data.place import on_host
from .network import Network

Metric: TypeAlias = str | Callable[[Any, Any], float]

# The names that `metrics=` takes, and their functions in sklearn.metrics.
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
FUNCTIONS = {**OF_LABELS, **OF_PROBABILITIES, **OF_REALS}
NAMES = tuple(FUNCTIONS)
PER_CLASS = ("f1", "precision", "recall")
OF_ONE_LABEL = ("balanced_accuracy", "matthews", "log_loss")  # of several: the mean over them

# What a fit and its logs record under names of their own.
RECORDED = ("epoch", "loss", "validation_loss", "learning_rate", "seconds")

# Which way is better, by name: of the losses, of the metrics above, and of scikit-learn's
# functions and scorers.
BETTER = {
    "min": """
    loss validation_loss
    mae mse rmse mape log_loss
    brier_score_loss coverage_error davies_bouldin_score hamming_loss hinge_loss
    label_ranking_loss max_error mean_absolute_error mean_absolute_percentage_error
    mean_gamma_deviance mean_pinball_loss mean_poisson_deviance mean_squared_error
    mean_squared_log_error mean_tweedie_deviance median_absolute_error negative_likelihood_ratio
    root_mean_squared_error root_mean_squared_log_error zero_one_loss
    """,
    "max": """
    accuracy balanced_accuracy f1 precision recall matthews roc_auc average_precision r2
    accuracy_score adjusted_mutual_info_score adjusted_rand_score auc average_precision_score
    balanced_accuracy_score calinski_harabasz_score cohen_kappa_score completeness_score
    consensus_score d2_absolute_error_score d2_brier_score d2_log_loss_score d2_pinball_score
    d2_tweedie_score dcg_score explained_variance_score f1_score fbeta_score
    fowlkes_mallows_score homogeneity_score jaccard_score label_ranking_average_precision_score
    matthews_corrcoef mutual_info_score ndcg_score normalized_mutual_info_score
    positive_likelihood_ratio precision_score r2_score rand_score recall_score roc_auc_score
    silhouette_score top_k_accuracy_score v_measure_score
    explained_variance f1_macro f1_micro f1_samples f1_weighted jaccard jaccard_macro
    jaccard_micro jaccard_samples jaccard_weighted precision_macro precision_micro
    precision_samples precision_weighted recall_macro recall_micro recall_samples recall_weighted
    roc_auc_ovo roc_auc_ovo_weighted roc_auc_ovr roc_auc_ovr_weighted top_k_accuracy
    neg_brier_score neg_log_loss neg_max_error neg_mean_absolute_error
    neg_mean_absolute_percentage_error neg_mean_gamma_deviance neg_mean_poisson_deviance
    neg_mean_squared_error neg_mean_squared_log_error neg_median_absolute_error
    neg_negative_likelihood_ratio neg_root_mean_squared_error neg_root_mean_squared_log_error
    """,
}
DIRECTIONS = {name: way for way, names in BETTER.items() for name in names.split()}


def direction(name: str) -> str | None:
    """Return "min" where a lower value of a metric is better, "max" where a higher one is.

    Parameters
    ----------
    name
        A metric's name, here or in scikit-learn, "loss" or "validation_loss".

    Returns
    -------
    str or None
        None for any other name.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.metrics.direction("mae"), nn.metrics.direction("d2_log_loss_score")
    ('min', 'max')
    >>> nn.metrics.direction("profit") is None
    True
    """
    return DIRECTIONS.get(name)


def resolve(where: str, wanted: Any, output: str) -> dict[str, Metric]:
    """Return metrics by name, checked against the network's output.

    Raises
    ------
    ValueError
        For what is no name, function or list of them, for a name that another output has, and where
        two have the same name, or one has a name that a fit records already.
    """
    wanted = [wanted] if isinstance(wanted, str) or callable(wanted) else wanted
    if not isinstance(wanted, Iterable):
        raise ValueError(f"{where}: `metrics` must be a list such as ['accuracy'], got {wanted!r}.")
    classifies = output in ("softmax", "sigmoid", "step")
    known = [*OF_LABELS, *OF_PROBABILITIES] if classifies else [*OF_REALS]
    found: dict[str, Metric] = {}
    for i, metric in enumerate(wanted):
        if callable(metric):
            name = getattr(metric, "__name__", f"metric_{i}")
        else:
            if metric in NAMES and metric not in known:
                raise ValueError(
                    f"{where}: `metrics[{i}]` must be of a network with output={output!r}, got "
                    f"{metric!r}. Its metrics are {', '.join(sorted(known))}."
                )
            name = metric = _checks.choice(where, f"metrics[{i}]", metric, known)
            if name not in DEFINED:
                _sklearn(where)
        if name in RECORDED:
            raise ValueError(
                f"{where}: `metrics[{i}]` must not be called {name!r}, which a fit records "
                "already. Give the function another name."
            )
        if name in found:
            raise ValueError(
                f"{where}: `metrics` must have different names, got {name!r} twice. Define each "
                "function under a name of its own (def), not as a lambda."
            )
        found[name] = metric
    return found


def _sklearn(where: str) -> Any:
    try:
        import sklearn.metrics
    except ImportError as error:
        raise ImportError(
            f"{where}: `metrics` other than accuracy, mse and rmse need scikit-learn: "
            "pip install nnpoly[sklearn]."
        ) from error
    return sklearn.metrics


def score(net: Network, X: Any, y: Any, metrics: Metric | Iterable[Metric]) -> dict[str, float]:
    """Return metrics of a network's predictions on data.

    Parameters
    ----------
    X, y
        Inputs (n, m_0) and targets: rows (n, K), or class indices (n,), or (n,) for one output.
        They are checked as `Trainer.fit` does.
    metrics
        Names (see the module's table) or functions of (y, f), or one of them.

    Returns
    -------
    dict
        Each metric by name; NaN where it is not defined.

    Raises
    ------
    ValueError
        For data that `Trainer.fit` refuses: wrong shapes, labels out of range or of text, NaN.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.MLP.from_weights([[[1.0]]], [[0.0]], output="identity")
    >>> nn.metrics.score(net, [[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0], ["mae"])
    {'mae': 0.333...}
    """
    where = "metrics.score"
    resolved = resolve(where, metrics, net.output)
    loss = losses.OF_OUTPUT.get(net.output, losses.Logistic())  # a step's targets are a sigmoid's
    x, target, _ = entering.checked(where, net.place, loss, net.ends, X, y)
    # Rows as they came: y may be of float64.
    y = target if net.output == "softmax" and target.ndim == 1 else on_host(where, "y", y)
    return compute(resolved, net.output, y, registry.to_host(net(x)))


def compute(
    metrics: Mapping[str, Metric], output: str, y: Any, f: host.HostArray, sample_weight: Any = None
) -> dict[str, float]:
    """Return each metric of checked targets y and predictions f: (n, K); NaN where undefined."""
    y = registry.to_host(y)
    weights = None if sample_weight is None else registry.to_host(sample_weight)
    y = y[:, None] if y.ndim == 1 and output != "softmax" else y
    found = {}
    for name, metric in metrics.items():
        if callable(metric):
            found[name] = _number(name, metric(y, f))
        else:
            found[name] = _named(metric, output, y, f, weights)
    return found


def _number(name: str, value: Any) -> float:
    """What a user's metric returned as a number; NaN and infinity are some."""
    try:
        if not isinstance(value, str):  # which float() would read
            return float(value)
    except (TypeError, ValueError):
        pass
    came = f"an array of shape {value.shape}" if hasattr(value, "shape") else repr(value)
    raise ValueError(f"metrics: `{name}` must return a number, got {came}.")


def _named(name: str, output: str, y: Any, f: Any, weights: Any) -> float:
    if not host.all_finite(f):
        return math.nan
    if name in DEFINED:
        labels = (_labels(y, output), _labels(f, output)) if name in OF_LABELS else (y, f)
        return DEFINED[name](*labels, weights)
    if name in OF_REALS:
        if name == "r2" and len(y) < 2:
            return math.nan
        return _call(name, y, f, weights)
    if name in OF_LABELS:
        return _of_labels(name, _labels(y, output), _labels(f, output), weights)
    if output == "softmax":
        f = f.astype("float64")
        f = f / f.sum(axis=1, keepdims=True)  # a float32 softmax is off by its roundings
    labels, K = _labels(y, output), f.shape[1]
    if name == "log_loss" and output == "softmax" and K > 1:
        return _call(name, labels, f, weights, labels=list(range(K)))
    return _of_probabilities(name, _indicators(labels, K), f, weights)


# What fits look at after every epoch is computed here: scikit-learn's functions check anew what has
# been checked, which takes a millisecond, as long as an epoch of a small network.


def _mean(values: Any, weights: Any) -> Any:
    """The mean over rows, weighted: of (n,) or (n, K)."""
    values = values.astype("float64")
    return values.mean(axis=0) if weights is None else weights @ values / weights.sum()


def _accuracy(labels: Any, guesses: Any, weights: Any) -> float:
    right = labels == guesses
    return float(_mean(right if right.ndim == 1 else right.all(axis=1), weights))


def _squares(y: Any, f: Any, weights: Any) -> Any:
    """The mean squared error of each output: (K,)."""
    with host.without_overflow():
        return _mean((y - f.astype("float64")) ** 2, weights)


def _mse(y: Any, f: Any, weights: Any) -> float:
    return float(_squares(y, f, weights).mean())


def _rmse(y: Any, f: Any, weights: Any) -> float:
    return float((_squares(y, f, weights) ** 0.5).mean())


DEFINED: dict[str, Callable[[Any, Any, Any], float]] = {
    "accuracy": _accuracy,
    "mse": _mse,
    "rmse": _rmse,
}


def _of_labels(name: str, labels: Any, guesses: Any, weights: Any) -> float:
    """A metric of labels: (n,), or (n, K) where they do not exclude each other."""
    if labels.ndim == 2 and name in OF_ONE_LABEL:
        return _mean_over_outputs(name, labels, guesses, weights)
    single = labels.ndim == 2 and labels.shape[1] == 1
    if single:
        labels, guesses = labels[:, 0], guesses[:, 0]
    if name not in PER_CLASS:
        return _call(name, labels, guesses, weights)
    average = "binary" if single else "macro"
    return _call(name, labels, guesses, weights, average=average, zero_division=0.0)


def _of_probabilities(name: str, y: Any, f: Any, weights: Any) -> float:
    """A metric of probabilities f: (n, K) and rows y of 0 and 1: (n, K)."""
    if name == "log_loss":
        return _mean_over_outputs(name, y, f, weights, labels=[0, 1])
    ones, zeros = (_total(side, weights) for side in (y, 1 - y))
    missing = (ones == 0) | (zeros == 0) if name == "roc_auc" else ones == 0
    if missing.any():
        return math.nan
    if f.shape[1] == 1:
        y, f = y[:, 0], f[:, 0]
    return _call(name, y, f, weights)


def _total(rows: Any, weights: Any) -> Any:
    """The number of ones, or their weight, in each column of rows of 0 and 1: (K,)."""
    return rows.sum(axis=0) if weights is None else weights @ rows


def _mean_over_outputs(name: str, y: Any, f: Any, weights: Any, **options: Any) -> float:
    """The mean over the columns of a metric of one column."""
    K = int(f.shape[1])
    return math.fsum(_call(name, y[:, k], f[:, k], weights, **options) for k in range(K)) / K


def _labels(rows: Any, output: str) -> Any:
    """Class indices (n,) of a softmax's rows; 0 and 1 of sigmoids': (n, K)."""
    if output == "softmax":
        return rows if rows.ndim == 1 else rows.argmax(axis=1)
    return (rows >= 0.5).astype("int64")


def _indicators(labels: Any, K: int) -> Any:
    """Labels as rows of 0 and 1: (n, K)."""
    return labels if labels.ndim == 2 else (labels[:, None] == host.arange(K)).astype("int64")


def _call(name: str, y: Any, f: Any, weights: Any, **options: Any) -> float:
    """Compute a metric by its function in scikit-learn."""
    function = getattr(_sklearn("metrics"), FUNCTIONS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of classes that were never predicted
        return float(function(y, f, sample_weight=weights, **options))
