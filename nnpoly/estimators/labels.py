"""Labels: what every classifier does with those in y, and with the weights of their classes."""

from __future__ import annotations

from typing import Any

from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from .. import _checks
from ..backends import host
from .arrays import named


def checked(where: str, y: Any, name: str) -> Any:
    """Labels on the host: (n,), or 0 and 1 for each of several labels: (n, K)."""
    with named(where, name):
        check_classification_targets(y)
        several = type_of_target(y, input_name=name).startswith("multilabel")
        return y if several else column_or_1d(y, warn=True)


def require_two(where: str, name: str, classes: host.HostArray) -> None:
    """Refuse a single class."""
    if len(classes) < 2:
        raise ValueError(
            f"{where}: `{name}` must have at least two classes, got one class: "
            f"{classes.tolist()[0]!r}."
        )


def indices(
    where: str, name: str, y: host.HostArray, classes: host.HostArray, remedy: str
) -> host.HostArray:
    """The place of each label in `classes`; others are refused with a remedy."""
    found = host.index_of(y, classes)
    if (found < 0).any():
        unknown = y[found < 0].tolist()[0]
        raise ValueError(
            f"{where}: `{name}` must be among classes_ {classes.tolist()}, got "
            f"{unknown!r}. {remedy}"
        )
    return found


def check_weight(where: str, name: str, value: Any) -> None:
    """Refuse what gives no class a weight."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return
    if not isinstance(value, dict):
        raise ValueError(
            f"{where}: `{name}` must be None, 'balanced', or a dict of a weight for each class, "
            f"got {value!r}."
        )
    for label, weight in value.items():
        _checks.not_negative(where, f"{name}[{label!r}]", weight)


def times_weights(
    where: str, wanted: Any, classes: host.HostArray, y: host.HostArray, weights: Any
) -> Any:
    """The samples' weights times those of their classes; None: all are 1.

    wanted: the parameter `class_weight`.
    """
    if wanted is None:
        return weights
    by_class = _weights_by_class(where, wanted, classes.tolist(), y, weights)
    of_samples = by_class[host.index_of(y, classes)]
    weights = of_samples if weights is None else of_samples * weights
    if not (host.all_finite(weights) and weights.any()):
        raise ValueError(
            f"{where}: `class_weight` must leave finite weights that are not all 0, got "
            f"{wanted!r}. Give a class that is in y a weight above 0."
        )
    return weights


def _weights_by_class(
    where: str, wanted: Any, classes: list[Any], y: Any, weights: Any
) -> host.HostArray:
    """A weight for each class: 1 where none is given."""
    if wanted == "balanced":  # over the classes that have any weight
        y, weights = (y, None) if weights is None else (y[weights > 0], weights[weights > 0])
        present = host.unique(y)
        options = {"classes": present, "y": y, "sample_weight": weights}
        found = compute_class_weight("balanced", **options)
        wanted = dict(zip(present.tolist(), found.tolist(), strict=True))
    strangers = [label for label in wanted if label not in classes]
    if strangers and any(label not in wanted for label in classes):  # a slip, most likely
        raise ValueError(
            f"{where}: `class_weight` must name classes among {classes}, got {strangers[0]!r}."
        )
    return host.asarray([wanted.get(label, 1.0) for label in classes], "float64")
