"""Decision boundaries of classifiers of two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from ..backends import host
from ._arrays import alike, class_labels, class_names, indices, reals, same_length
from ._deciders import decide, grid
from ._style import BLACK, MARKERS, axes_of, colours, needed, shortened


def decision_boundary(
    net: Any,
    X: Any,
    y: Any = None,
    ax: Any = None,
    resolution: int = 200,
    features: tuple[int, int] = (0, 1),
    classes: Sequence[Any] | None = None,
) -> Any:
    """Draw the decision regions of a classifier of two inputs, and the data.

    Parameters
    ----------
    net
        A network of 2 inputs with softmax, sigmoid or step output, on any backend. With one output
        the boundary is score 0, with several the largest score wins. Or any object with
        `predict_proba` or `predict`, such as an estimator of scikit-learn.
    X
        Data (n, m). Its range is drawn.
    y
        Classes (n,): class indices of a network, or names among `classes`; None for no points.
    ax
        Matplotlib axes; None for a new figure's.
    resolution
        Number of grid points along each axis.
    features
        The two columns of X that are the inputs, in order.
    classes
        Names of the classes in order.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> ax = nn.plotting.decision_boundary(nn.MLP([2, 8, 2]), X, X[:, 0] > 0)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['0', '1']
    """
    where = "decision_boundary"
    resolution = _checks.integer(where, "resolution", resolution, 2)
    points, axis_names = _two_features(where, X, features)
    sides, rows = grid(points, resolution)
    frame = type(X)(dict(zip(axis_names, rows.T, strict=True))) if hasattr(X, "columns") else None
    labels, margins = decide(where, net, rows, frame)
    names = class_names(where, labels.tolist() if classes is None else classes, len(labels))
    targets = None if y is None else _targets(where, y, points, labels, names)
    axes = axes_of(where, ax)
    _draw_regions(axes, sides, margins.reshape(resolution, resolution, -1), names, targets is None)
    if targets is not None:
        _draw_points(axes, points, targets, names)
    axes.set(title="Decisions", xlabel=axis_names[0], ylabel=axis_names[1])
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return axes


def _two_features(where: str, X: Any, features: Any) -> tuple[host.HostArray, list[str]]:
    """Return the two columns of X to draw, (n, 2), and their names."""
    array = reals(where, "X", X)
    pair = list(features) if np.ndim(features) == 1 else []
    columns = array.shape[1] if array.ndim == 2 else 0
    if columns < 2:
        raise ValueError(f"{where}: `X` must have shape (n, m), m >= 2, got {array.shape}.")
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(range(columns)):
        raise ValueError(
            f"{where}: `features` must be two different columns of 0..{columns - 1}, got "
            f"{features!r}."
        )
    names = getattr(X, "columns", [f"x{i}" for i in range(columns)])
    return array[:, pair], [names[i] for i in pair]


def _targets(
    where: str, y: Any, points: host.HostArray, classes: host.HostArray, names: list[str]
) -> host.HostArray:
    """Return the class index of each point: (n,)."""
    values = class_labels(where, "y", y)
    same_length(where, X=points, y=values)
    return indices(where, "y", values, classes if alike(values, classes) else np.array(names))


def _draw_regions(
    axes: Any, sides: Any, margins: host.HostArray, names: list[str], in_legend: bool
) -> None:
    """Colour the plane by class, and draw the lines on which a class's margin is 0."""
    tools = needed("matplotlib.colors")
    light = [1 - 0.35 * (1 - np.array(tools.to_rgb(c))) for c in colours(len(names))]
    decisions = margins.argmax(axis=2)
    ends = [end for side in sides for end in (side[0], side[-1])]
    style = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    span = {"cmap": tools.ListedColormap(light), "vmin": -0.5, "vmax": len(names) - 0.5}
    axes.imshow(decisions, extent=ends, **style, **span)
    for k in range(len(names) if len(names) > 2 else 1):
        if (decisions == k).any() and (decisions != k).any():
            axes.contour(*sides, margins[:, :, k], levels=[0.0], colors=[BLACK], linewidths=1.2)
    if in_legend:
        for k in np.unique(decisions):
            axes.fill_between([], [], color=light[k], label=shortened(names)[k])


def _draw_points(
    axes: Any, points: host.HostArray, targets: host.HostArray, names: list[str]
) -> None:
    size = 28 if len(points) < 500 else 12
    for k, (colour, name) in enumerate(zip(colours(len(names)), shortened(names), strict=True)):
        x, y = points[targets == k].T
        style = {"marker": MARKERS[k % len(MARKERS)], "edgecolors": "white", "linewidths": 0.6}
        axes.scatter(x, y, s=size, color=colour, label=name, **style)
