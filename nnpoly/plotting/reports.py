"""Several pictures in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..training import History
from . import training
from ._arrays import class_names, indices, labels, probability_rows, same_length
from ._style import new_figure, shortened
from .errors import calibration, confusion_matrix, predicted_vs_true, upright

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def loss_figure(history: History, title: str = "", loss: str = "loss") -> Figure:
    """Return a figure of the losses alone, with a title and the loss's name and unit."""
    figure = new_figure(6.4, 4.2)
    training.history(history, figure.add_subplot()).set(title=title, ylabel=loss)
    return figure


def classification_report(
    history: History,
    y_true: Any,
    probabilities: Any,
    classes: Sequence[Any] | None = None,
    title: str = "",
) -> Figure:
    """Return a figure of the losses, the confusion matrix and the calibration.

    Parameters
    ----------
    history
        What `Trainer.fit` returned.
    y_true
        Class indices (n,).
    probabilities
        What the network gave: (n, K), or (n,) or (n, 1) for class 1 of two.
    classes
        Names of the classes, in order.
    title
        Printed above.

    Examples
    --------
    >>> import nnpoly as nn
    >>> rows = [[0.9, 0.1], [0.3, 0.7]]
    >>> history = nn.History(loss=[0.7, 0.2])
    >>> figure = nn.plotting.classification_report(history, [0, 1], rows, ["no", "yes"])
    >>> [ax.get_title() for ax in figure.axes if ax.get_title()]
    ['Training', 'Confusion matrix: 100.0 % of 2 right', 'Calibration: expected error 0.200']
    """
    where = "classification_report"
    rows, true = probability_rows(where, probabilities), labels(where, "y_true", y_true)
    same_length(where, y_true=true, probabilities=rows)
    true = indices(where, "y_true", true, np.arange(rows.shape[1]))
    names = class_names(where, classes, rows.shape[1])
    figure, (left, middle, right) = _row_of_panels(3, title, 5.8 if upright(names) else 4.8)
    training.history(history, left)
    confusion_matrix(true, rows.argmax(axis=1), names, middle)
    calibration(true, rows, right)
    if len(names) == 2:
        of = shortened(names)[1]
        right.set(xlabel=f"predicted probability of {of}", ylabel=f"share of {of}")
    return figure


def regression_report(
    history: History, y_true: Any, y_pred: Any, target_name: str = "", title: str = ""
) -> Figure:
    """Return a figure of the losses, and of the predictions against the truth.

    Parameters
    ----------
    history
        What `Trainer.fit` returned.
    y_true, y_pred
        Real numbers (n,) or (n, 1).
    target_name
        What is predicted, and its unit.
    title
        Printed above.

    Examples
    --------
    >>> import nnpoly as nn
    >>> history = nn.History(loss=[0.7, 0.2])
    >>> figure = nn.plotting.regression_report(history, [0.0, 1.0], [0.1, 0.8], "mass (kg)")
    >>> figure.axes[1].get_ylabel()
    'predicted mass (kg)'
    """
    figure, (left, right) = _row_of_panels(2, title, 4.8)
    training.history(history, left)
    predicted_vs_true(y_true, y_pred, right)
    right.set(xlabel=f"true {target_name}".rstrip(), ylabel=f"predicted {target_name}".rstrip())
    return figure


def _row_of_panels(count: int, title: str, height: float) -> tuple[Figure, Any]:
    figure = new_figure(5.2 * count, height)
    if title:
        figure.suptitle(title)
    return figure, figure.subplots(1, count)
