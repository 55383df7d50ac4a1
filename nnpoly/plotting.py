"""The picture of a training: loss against epochs. Needs matplotlib: pip install nnpoly[cli].

Figures are made without pyplot, so nothing global changes and no window is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from .training import History

# Two of Okabe and Ito's colours, which readers with any colour vision tell apart.
BLUE, VERMILION = "#0072B2", "#D55E00"


def loss_figure(history: History, title: str = "", loss: str = "loss") -> Figure:
    """Return a figure of the losses, an epoch a point.

    Parameters
    ----------
    history
        What `Trainer.fit` returned. A training loss is the mean over its epoch, so it is drawn at
        the epoch's middle; a validation loss was computed after the epoch and is drawn at its end.
    title
        Printed above.
    loss
        The vertical axis's label: which loss, in which unit.

    Returns
    -------
    matplotlib.figure.Figure
        Write it with `figure.savefig(path)`.
    """
    figure = Figure(figsize=(6.4, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="epoch", ylabel=loss)
    ends = range(1, len(history) + 1)
    middles = [end - 0.5 for end in ends]
    some = max(1, len(ends) // 20)  # markers where they can be told apart
    label = "training, mean over the epoch"
    axes.plot(middles, history.loss, ".-", color=BLUE, label=label, markevery=some)
    if held_out := history.validation_loss:
        label = "test, after the epoch"
        axes.plot(ends, held_out, "x--", color=VERMILION, label=label, markevery=some)
    axes.set_xlim(left=0.0)
    if min(history.loss + history.validation_loss) > 0:
        _plain_logarithmic(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _plain_logarithmic(axes: Any) -> None:
    """Make the vertical axis logarithmic, with ticks such as 0.05 rather than 5e-02."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def classification_report(
    history: History, y_true: Any, probabilities: Any, classes: Sequence[Any], title: str = ""
) -> Figure:
    """Return a figure of a classifier: its losses, its confusion matrix and its calibration.

    Parameters
    ----------
    history
        What `Trainer.fit` returned.
    y_true
        True class indices: (n,).
    probabilities
        Predicted: (n, K).
    classes
        The labels in order.
    title
        Printed above.
    """
    figure, (_, middle, right) = _panels(history, title, 3)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (y_true, probabilities.argmax(axis=1)), 1)
    middle.imshow(counts, cmap="Blues")
    for (i, j), count in np.ndenumerate(counts):
        shade = "white" if 2 * count > counts.max() else "black"
        middle.text(j, i, str(count), ha="center", va="center", color=shade)
    middle.set(xlabel="predicted", ylabel="true", title="rows held out")
    middle.set_xticks(range(len(classes)), [str(c) for c in classes], rotation=45, ha="right")
    middle.set_yticks(range(len(classes)), [str(c) for c in classes])
    sure = probabilities.max(axis=1)
    bins = np.minimum((10 * sure).astype(int), 9)
    some = np.unique(bins)
    confidence = [sure[bins == b].mean() for b in some]
    accuracy = [(probabilities.argmax(axis=1) == y_true)[bins == b].mean() for b in some]
    right.plot([0, 1], [0, 1], "--", color="grey")
    right.plot(confidence, accuracy, "o-", color=BLUE)
    right.set(xlabel="confidence", ylabel="share that is right", title="calibration")
    return figure


def regression_report(
    history: History, y_true: Any, y_pred: Any, target_name: str, title: str = ""
) -> Figure:
    """Return a figure of a regression: its losses, and predictions against true values.

    Parameters
    ----------
    history
        What `Trainer.fit` returned.
    y_true, y_pred
        In the target's unit: (n,) each.
    target_name
        Of what was predicted.
    title
        Printed above.
    """
    figure, (_, right) = _panels(history, title, 2)
    both = [min(y_true.min(), y_pred.min()), max(y_true.max(), y_pred.max())]
    right.plot(both, both, "--", color="grey")
    right.plot(y_true, y_pred, ".", color=BLUE)
    right.set(xlabel=f"true {target_name}", ylabel=f"predicted {target_name}")
    return figure


def _panels(history: History, title: str, count: int) -> tuple[Figure, Any]:
    """Return a figure of some axes, the first of them with the losses."""
    figure = Figure(figsize=(5.0 * count, 4.2), dpi=100, layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, count)
    panels[0].plot(range(1, len(history) + 1), history.loss, color=BLUE, label="training")
    if history.validation_loss:
        ends = range(1, len(history) + 1)
        panels[0].plot(ends, history.validation_loss, color=VERMILION, label="validation")
    panels[0].set(xlabel="epoch", ylabel="loss")
    panels[0].legend()
    return figure, panels
