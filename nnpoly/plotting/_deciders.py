"""The decisions of a classifier of two inputs on a grid of points."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import host, registry
from ..network import Network
from ..training import Trainer
from ._arrays import class_labels, indices, reals

MOST_CLASSES = 50  # distinct predictions of a classifier, at most


def grid(points: host.HostArray, resolution: int) -> tuple[list[host.HostArray], host.HostArray]:
    """Return the values along both axes, a bit beyond the points, and the grid's points: (n, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.06 * (high - low), 1.0)
    sides = [
        np.linspace(start, stop, resolution)
        for start, stop in zip(low - margin, high + margin, strict=True)
    ]
    return sides, np.stack([side.ravel() for side in np.meshgrid(*sides)], axis=1)


def decide(
    where: str, net: Any, rows: host.HostArray, frame: Any = None
) -> tuple[host.HostArray, host.HostArray]:
    """Return the classes (K,), and the margin of each over the best other class: (n, K).

    rows: (n, 2). The class of the largest margin is the decision; the decision lines are the zeros
    of the margins. `frame`, a table of the same rows, is for models that were fitted on a table.
    """
    _require_two_inputs(where, net)
    if isinstance(net, Network):
        return _by_network(net, rows)
    data = rows if frame is None else frame
    if hasattr(net, "predict_proba"):
        probabilities = reals(where, "net.predict_proba(X)", net.predict_proba(data))
        if probabilities.ndim == 1 or probabilities.shape[1] == 1:
            probabilities = np.stack([1.0 - probabilities.ravel(), probabilities.ravel()], axis=1)
        classes = getattr(net, "classes_", np.arange(probabilities.shape[1]))
        return np.asarray(classes), _margins(probabilities)
    found = class_labels(where, "net.predict(X)", net.predict(data))
    classes = np.asarray(getattr(net, "classes_", np.unique(found)))
    _require_few(where, classes)
    decisions = indices(where, "net.predict(X)", found, classes)
    return classes, np.where(decisions[:, None] == np.arange(len(classes)), 1.0, -1.0)


def _by_network(net: Network, rows: host.HostArray) -> tuple[host.HostArray, host.HostArray]:
    """Return classes and margins by the scores, which do not saturate as probabilities do."""
    scores = registry.to_host(net.scores(rows)).astype(np.float64)
    if scores.shape[1] == 1:
        # A score of 0 is a decision for class 1.
        margin = np.where(scores[:, 0] == 0.0, np.finfo(float).tiny, scores[:, 0])
        return np.arange(2), np.stack([-margin, margin], axis=1)
    return np.arange(scores.shape[1]), _margins(scores)


def _margins(values: host.HostArray) -> host.HostArray:
    """Return each column minus the largest of the others."""
    ranked = np.sort(values, axis=1)
    best, second = ranked[:, -1:], ranked[:, -2:-1]
    is_best = np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]
    margins: host.HostArray = values - np.where(is_best, second, best)
    return margins


def _require_two_inputs(where: str, net: Any) -> None:
    if isinstance(net, Network):
        inputs, output = net.widths[0], net.output
        if output == "identity":
            raise ValueError(
                f"{where}: `net` must decide between classes, so have output 'softmax', 'sigmoid' "
                f"or 'step', got {output!r}."
            )
    elif not isinstance(net, Trainer) and (
        hasattr(net, "predict_proba") or hasattr(net, "predict")
    ):
        inputs = getattr(net, "n_features_in_", 2)
    else:
        raise TypeError(
            f"{where}: `net` must be an nn.Network, or have predict_proba or predict, got {net!r}. "
            "Of a trainer pass trainer.network."
        )
    if inputs != 2:
        raise ValueError(
            f"{where}: `net` must have 2 inputs, which are the picture's axes, got {inputs}."
        )


def _require_few(where: str, classes: host.HostArray) -> None:
    if len(classes) > MOST_CLASSES:
        raise ValueError(
            f"{where}: `net` must decide between at most {MOST_CLASSES} classes, but it predicted "
            f"{len(classes)} different values. Is it a regressor?"
        )
