"""Reports: several pictures in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..training import History
from . import training
from ._arrays import class_labels, class_names, indices, probability_rows, same_length
from ._style import new_figure, shortened
from .errors import calibration, comparison, confusion_matrix, predicted_vs_true, upright

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def loss_figure(history: History, title: str = "", loss: str = "loss") -> Figure:
    """Draw the losses of a training in a figure, with a title and the loss's name and unit."""
    figure = new_figure(6.4, 4.2)
    training.history(history, figure.add_subplot()).set(title=title, ylabel=loss)
    return figure


def classification_report(
    history: History,
    y_true: Any,
    probabilities: Any,
    classes: Sequence[Any] | None = None,
    title: str = "",
    compared: tuple[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw the losses, the confusion matrix and the calibration in a figure.

    Parameters
    ----------
    history
        The history of a training, as `Trainer.fit` returns it.
    y_true
        Class indices (n,).
    probabilities
        The predicted probabilities: (n, K), or those of class 1, (n,) or (n, 1).
    classes
        Names of the classes in order.
    title
        The title of the figure.
    compared
        What to draw in a panel more: the name of a metric, and its values by the names of models.

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
    rows, true = probability_rows(where, probabilities), class_labels(where, "y_true", y_true)
    same_length(where, y_true=true, probabilities=rows)
    true = indices(where, "y_true", true, np.arange(rows.shape[1]))
    names = class_names(where, classes, rows.shape[1])
    height = 5.8 if upright(names) else 4.8
    figure, (left, middle, right) = _row_of_panels(3, title, height, compared)
    training.history(history, left)
    confusion_matrix(true, rows.argmax(axis=1), names, middle)
    calibration(true, rows, right)
    if len(names) == 2:
        name = shortened(names)[1]
        right.set(xlabel=f"predicted probability of {name}", ylabel=f"share of {name}")
    return figure


def regression_report(
    history: History,
    y_true: Any,
    y_pred: Any,
    target_name: str = "",
    title: str = "",
    compared: tuple[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw the losses, and the predictions against the truth, in a figure.

    Parameters
    ----------
    history
        The history of a training, as `Trainer.fit` returns it.
    y_true, y_pred
        Real numbers (n,) or (n, 1).
    target_name
        The name of the predicted quantity, with its unit.
    title
        The title of the figure.
    compared
        As of `classification_report`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> history = nn.History(loss=[0.7, 0.2])
    >>> figure = nn.plotting.regression_report(history, [0.0, 1.0], [0.1, 0.8], "mass (kg)")
    >>> figure.axes[1].get_ylabel()
    'predicted mass (kg)'
    """
    figure, (left, right) = _row_of_panels(2, title, 4.8, compared)
    training.history(history, left)
    predicted_vs_true(y_true, y_pred, right)
    right.set(xlabel=f"true {target_name}".rstrip(), ylabel=f"predicted {target_name}".rstrip())
    return figure


def _row_of_panels(
    count: int, title: str, height: float, compared: tuple[str, Mapping[str, float]] | None
) -> tuple[Figure, Any]:
    """Make a figure, and return `count` axes side by side; the comparison is drawn on one more."""
    panels = count + (compared is not None)
    figure = new_figure(5.2 * panels, height)
    if title:
        figure.suptitle(title)
    axes = figure.subplots(1, panels)
    if compared is not None:
        name, values = compared
        comparison(values, name, axes[count])
    return figure, axes[:count]
