"""What a classifier of two inputs decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from ..backends import host
from ._arrays import alike, class_names, indices, labels, reals, same_length
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
    """Draw which class a classifier of two inputs decides on, and the data.

    Parameters
    ----------
    net
        A network of 2 inputs with softmax, sigmoid or step output, on any backend: one output
        decides between classes 0 and 1 at score 0, several by the largest score. Or anything with
        `predict_proba` or `predict`, such as an estimator of scikit-learn.
    X
        Data (n, m), which gives the range that is drawn.
    y
        Classes (n,): for a network class indices, or names among `classes`; None for no points.
    ax
        Matplotlib axes; None for a new figure's.
    resolution
        Points of the grid along each axis.
    features
        The two columns of X that are the inputs, in the network's order.
    classes
        Names of the classes, in order.

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
    known, margins = decide(where, net, rows, frame)
    names = class_names(where, known.tolist() if classes is None else classes, len(known))
    members = None if y is None else _members(where, y, points, known, names)
    axes = axes_of(where, ax)
    _draw_regions(axes, sides, margins.reshape(resolution, resolution, -1), names, members is None)
    if members is not None:
        _draw_points(axes, points, members, names)
    axes.set(title="Decisions", xlabel=axis_names[0], ylabel=axis_names[1])
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return axes


def _two_features(where: str, X: Any, features: Any) -> tuple[host.HostArray, list[str]]:
    """Return the two columns of X that are drawn, and their names."""
    array, chosen = reals(where, "X", X), list(features) if np.ndim(features) == 1 else []
    columns = array.shape[1] if array.ndim == 2 else 0
    if columns < 2:
        raise ValueError(f"{where}: `X` must have shape (n, m), m >= 2, got {array.shape}.")
    if len(chosen) != 2 or chosen[0] == chosen[1] or not set(chosen) <= set(range(columns)):
        raise ValueError(
            f"{where}: `features` must be two different columns of 0..{columns - 1}, got "
            f"{features!r}."
        )
    names = [getattr(X, "columns", [f"x{i}" for i in range(columns)])[i] for i in chosen]
    return array[:, chosen], names


def _members(
    where: str, y: Any, points: host.HostArray, known: host.HostArray, names: list[str]
) -> host.HostArray:
    """Return the class index of every point."""
    given = labels(where, "y", y)
    same_length(where, X=points, y=given)
    return indices(where, "y", given, known if alike(given, known) else np.array(names))


def _draw_regions(
    axes: Any, sides: Any, margins: host.HostArray, names: list[str], labelled: bool
) -> None:
    """Colour the plane by class, and draw the line where one class's margin is 0."""
    tools = needed("matplotlib.colors")
    light = [1 - 0.35 * (1 - np.array(tools.to_rgb(c))) for c in colours(len(names))]
    chosen = margins.argmax(axis=2)
    ends = [end for side in sides for end in (side[0], side[-1])]
    style = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    span = {"cmap": tools.ListedColormap(light), "vmin": -0.5, "vmax": len(names) - 0.5}
    axes.imshow(chosen, extent=ends, **style, **span)
    for k in range(len(names) if len(names) > 2 else 1):
        if (chosen == k).any() and (chosen != k).any():
            axes.contour(*sides, margins[:, :, k], levels=[0.0], colors=[BLACK], linewidths=1.2)
    if labelled:
        for k in np.unique(chosen):
            axes.fill_between([], [], color=light[k], label=shortened(names)[k])


def _draw_points(
    axes: Any, points: host.HostArray, members: host.HostArray, names: list[str]
) -> None:
    size = 28 if len(points) < 500 else 12
    for k, (colour, name) in enumerate(zip(colours(len(names)), shortened(names), strict=True)):
        own = points[members == k]
        style = {"marker": MARKERS[k % len(MARKERS)], "edgecolors": "white", "linewidths": 0.6}
        axes.scatter(*own.T, s=size, color=colour, label=name, **style)
