"""Predictions against the truth: confusion, scatter and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks
from ..backends import host
from ._arrays import alike, class_labels, indices, probability_rows, same_length, vector
from ._style import BLACK, BLUE, GREY, axes_of, needed, shortened

MANY = 3000  # points of a scatter plot, at most; beyond, their density is drawn
STRIP = -0.32  # the bottom of the bars below a calibration curve
FEW_CLASSES = 30  # classes of a confusion matrix with numbers, at most


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    classes: Sequence[Any] | None = None,
    ax: Any = None,
    normalize: bool = False,
) -> Any:
    """Draw the confusion matrix: the true classes are its rows, the predicted ones its columns.

    Parameters
    ----------
    y_true, y_pred
        Labels (n,).
    classes
        The labels in order, or names for labels that are class indices. None: all labels that
        occur, sorted.
    ax
        Matplotlib axes; None for a new figure's.
    normalize
        Divide each row by its sum.

    Returns
    -------
    matplotlib.axes.Axes
        Up to 30 classes have a number in each cell, more a colour scale.

    Examples
    --------
    >>> import nnpoly as nn
    >>> ax = nn.plotting.confusion_matrix([0, 0, 1], [0, 1, 1], classes=["cat", "dog"])
    >>> [text.get_text() for text in ax.texts]
    ['1', '1', '0', '1']
    """
    where = "confusion_matrix"
    true, pred = class_labels(where, "y_true", y_true), class_labels(where, "y_pred", y_pred)
    same_length(where, y_true=true, y_pred=pred)
    labels, names = _label_names(where, true, pred, classes)
    rows = indices(where, "y_true", true, labels)
    columns = indices(where, "y_pred", pred, labels)
    cells = needed("sklearn.metrics").confusion_matrix(
        rows, columns, labels=range(len(labels)), normalize="true" if normalize else None
    )
    size = float(np.clip(2.4 + 0.42 * len(labels), 4.4, 12.0))
    axes = axes_of(where, ax, size, size)
    _draw_cells(axes, cells, shortened(names), normalize)
    right = f"{100 * np.mean(rows == columns):.1f} % of {len(rows):,} right"
    axes.set(title=f"Confusion matrix: {right}", xlabel="predicted class", ylabel="true class")
    return axes


def _label_names(
    where: str, true: host.HostArray, pred: host.HostArray, classes: Any
) -> tuple[host.HostArray, list[Any]]:
    """Return the labels in order, and their names."""
    if not alike(true, pred):
        raise ValueError(
            f"{where}: `y_true` and `y_pred` must hold labels of one kind, got dtypes {true.dtype} "
            f"and {pred.dtype}."
        )
    if classes is None:
        labels = np.unique(np.concatenate([true, pred]))
        return labels, labels.tolist()
    labels = class_labels(where, "classes", list(classes))
    if len(set(labels.tolist())) < len(labels):
        raise ValueError(f"{where}: `classes` must be different, got {list(classes)!r}.")
    return labels if alike(true, labels) else np.arange(len(labels)), labels.tolist()


def upright(names: Sequence[str]) -> bool:
    """Return True if class names are too long to be written side by side."""
    return max(map(len, shortened(names))) > 44 // len(names)


def _draw_cells(axes: Any, cells: host.HostArray, names: list[str], is_share: bool) -> None:
    """Draw a matrix of counts or shares as colours, with numbers for few classes."""
    image = axes.imshow(cells, cmap="cividis", vmin=0, aspect="auto")
    ticks = range(0, len(names), -(-len(names) // FEW_CLASSES))
    axes.set_xticks(ticks, [names[k] for k in ticks])
    axes.set_yticks(ticks, [names[k] for k in ticks])
    if upright(names):
        axes.tick_params(axis="x", rotation=90)
    if len(names) > FEW_CLASSES:
        label = "share of the true class" if is_share else "samples"
        axes.figure.colorbar(image, ax=axes, label=label, fraction=0.046)
        return
    size = float(np.clip(90 / len(names), 5, 10))
    for (row, column), value in np.ndenumerate(cells):
        dark = _brightness(image.cmap(image.norm(value))) < 0.5
        style = {"color": "white" if dark else "black", "alpha": 1.0 if value else 0.45}
        text = f"{value:.2f}" if is_share else f"{value:,}"
        axes.text(column, row, text, ha="center", va="center", size=size, **style)


def _brightness(colour: Any) -> float:
    """Return the perceived brightness of a colour, from 0 to 1 (ITU-R BT.601)."""
    return float(np.dot(colour[:3], (0.299, 0.587, 0.114)))


def predicted_vs_true(y_true: Any, y_pred: Any, ax: Any = None) -> Any:
    """Draw predictions of a regression against the truth, with R^2 and the root mean square error.

    Parameters
    ----------
    y_true, y_pred
        Real numbers (n,) or (n, 1). Of more than 3000 the density is drawn.
    ax
        Matplotlib axes; None for a new figure's.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.plotting.predicted_vs_true([1.0, 2.0, 3.0], [1.5, 2.0, 2.5]).get_title()
    'R² = 0.750, RMSE = 0.408'
    """
    where = "predicted_vs_true"
    true, pred = vector(where, "y_true", y_true), vector(where, "y_pred", y_pred)
    same_length(where, y_true=true, y_pred=pred)
    metrics = needed("sklearn.metrics")
    r2 = f"{metrics.r2_score(true, pred):.3f}" if np.ptp(true) > 0 else "undefined"
    rmse = metrics.root_mean_squared_error(true, pred)
    axes = axes_of(where, ax, 5.2, 4.8)
    low, high = min(true.min(), pred.min()), max(true.max(), pred.max())
    margin = 0.04 * (high - low)
    if margin == 0.0:
        margin = 1.0
    ends = (low - margin, high + margin)
    _draw_pairs(axes, true, pred, ends)
    axes.plot(ends, ends, "--", color=BLACK, linewidth=1.0, label="perfect")
    axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel="true", ylabel="predicted")
    axes.set_title(f"R² = {r2}, RMSE = {rmse:.3g}")
    axes.legend()
    return axes


def _draw_pairs(axes: Any, x: host.HostArray, y: host.HostArray, ends: Any) -> None:
    """Draw points, or their density where they are many."""
    if len(x) > MANY:
        style = {"gridsize": 50, "bins": "log", "mincnt": 1, "cmap": "viridis"}
        density = axes.hexbin(x, y, extent=(*ends, *ends), **style)
        axes.figure.colorbar(density, ax=axes, label="samples", shrink=0.85)
    else:
        alpha = float(np.clip(30 / np.sqrt(len(x)) / 3, 0.15, 0.8))
        axes.scatter(x, y, s=16, color=BLUE, alpha=alpha, linewidths=0, label="samples")


def calibration(y_true: Any, probabilities: Any, ax: Any = None, bins: int = 10) -> Any:
    """Draw the calibration curve of a classifier: observed shares against predicted probabilities.

    Parameters
    ----------
    y_true
        Class indices (n,).
    probabilities
        The probabilities of class 1, (n,) or (n, 1), or of all K classes, (n, K). With two classes
        the share of class 1 is drawn against its probability; with more the share of right
        predictions against the confidence, which is the largest probability.
    ax
        Matplotlib axes; None for a new figure's.
    bins
        Number of equal parts of [0, 1]. A point lies at the mean probability of its bin's samples;
        bars against the axis on the right are the numbers of samples.

    Returns
    -------
    matplotlib.axes.Axes
        The title has the expected calibration error: the mean distance between the curve and the
        diagonal, weighted by the numbers of samples.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", arXiv:1706.04599.

    Examples
    --------
    >>> import nnpoly as nn
    >>> ax = nn.plotting.calibration([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75])
    >>> ax.lines[-1].get_xydata().tolist()
    [[0.25, 0.5], [0.75, 1.0]]
    """
    where = "calibration"
    bins = _checks.integer(where, "bins", bins)
    confidence, hit, axis_names = _confidence(where, y_true, probabilities)
    curve = needed("sklearn.calibration").calibration_curve
    share, mean = curve(hit, confidence, n_bins=bins, pos_label=1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=bins)
    error = np.sum(counts[counts > 0] * np.abs(share - mean)) / len(hit)
    axes = axes_of(where, ax, 5.6, 4.6)
    _draw_counts(axes, edges, counts)
    axes.plot([0, 1], [0, 1], "--", color=BLACK, linewidth=1.0, label="perfect")
    axes.plot(mean, share, "o-", color=BLUE, label="observed")
    axes.set(xlim=(-0.02, 1.02), ylim=(STRIP, 1.03), yticks=np.linspace(0, 1, 6), **axis_names)
    axes.set_title(f"Calibration: expected error {error:.3f}")
    axes.legend()
    return axes


def _confidence(
    where: str, y_true: Any, probabilities: Any
) -> tuple[host.HostArray, host.HostArray, dict[str, str]]:
    """Return each sample's probability, 1 if it came true and else 0, and the axes' labels."""
    true, rows = class_labels(where, "y_true", y_true), probability_rows(where, probabilities)
    same_length(where, y_true=true, probabilities=rows)
    K = rows.shape[1]
    classes = indices(where, "y_true", true, np.arange(K))
    if K == 2:
        names = {"xlabel": "predicted probability of class 1", "ylabel": "share of class 1"}
        return rows[:, 1], (classes == 1).astype(int), names
    names = {"xlabel": "confidence (largest probability)", "ylabel": "share predicted right"}
    return rows.max(axis=1), (classes == rows.argmax(axis=1)).astype(int), names


def _draw_counts(axes: Any, edges: host.HostArray, counts: host.HostArray) -> None:
    """Draw the numbers of samples as bars in a strip below the curve."""
    below, most = axes.twinx(), counts.max()
    bars = below.bar(edges[:-1], counts, np.diff(edges), align="edge", color="#CCCCCC", ec="white")
    least = 1 if len(counts) <= 20 else most
    numbers = [f"{count:,}" if count >= least else "" for count in counts]
    below.bar_label(bars, numbers, size=7, color=GREY, padding=1)
    height = (1.03 - STRIP) / (-0.7 * STRIP)  # of the axes, in units of the highest bar
    below.set(ylim=(0, height * most), yticks=[], ylabel="samples")
    below.yaxis.set_label_coords(1.03, -0.5 * STRIP / (1.03 - STRIP))


def comparison(values: Mapping[str, float], label: str = "", ax: Any = None) -> Any:
    """Draw a number for each of several models, such as a metric, as bars with their values.

    Parameters
    ----------
    values
        The numbers by the models' names, the first of which is drawn on top and in a colour.
    label
        What the numbers are.
    ax
        Matplotlib axes; None for a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> import nnpoly as nn
    >>> ax = nn.plotting.comparison({"network": 0.9, "linear": 0.8}, "accuracy")
    >>> [text.get_text() for text in ax.texts]
    ['0.9', '0.8']
    """
    widths = vector("comparison", "values", list(values.values())).tolist()
    axes = axes_of("comparison", ax)
    bars = axes.barh(range(len(values)), widths, color=[BLUE, *[GREY] * (len(values) - 1)])
    axes.bar_label(bars, [f"{width:.4g}" for width in widths], padding=3)
    axes.set_yticks(range(len(values)), shortened(list(values)))
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set(title="Comparison", xlabel=label, ylabel="model")
    return axes
