"""What all figures share: colours, axes without pyplot, scales, scikit-learn."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which readers with any colour vision tell apart.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, BLACK = "#E69F00", "#56B4E9", "#F0E442", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BLACK)
GREY = "#666666"
MARKERS = "osD^vPX<>phd*"
HEAD, TAIL = 11, 8  # characters that are left of a class name too long for an axis


def needed(module: str) -> Any:
    """Import a module of matplotlib or scikit-learn, or say how to install it.

    Here and not above, so that `from nnpoly import *` works where neither is installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = {"sklearn": "scikit-learn"}.get(name := module.partition(".")[0], name)
        raise ImportError(
            f"nnpoly.plotting: {library} is not installed: pip install nnpoly[plot]"
        ) from error


# Figures and axes


def new_figure(width: float, height: float) -> Figure:
    """Return a figure, in inches, that pyplot does not know of."""
    layout = needed("matplotlib.layout_engine").ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure: Figure = needed("matplotlib.figure").Figure((width, height), dpi=150, layout=layout)
    return figure


def axes_of(where: str, ax: Any, width: float = 6.4, height: float = 4.4) -> Any:
    """Return the axes that were given, or those of a new figure."""
    if ax is None:
        return new_figure(width, height).add_subplot()
    if not isinstance(ax, needed("matplotlib.axes").Axes):
        raise TypeError(f"{where}: `ax` must be a matplotlib Axes, or None, got {ax!r}.")
    return ax


def panels(where: str, figure: Any, count: int) -> Any:
    """Return `count` axes in rows of up to four, of the figure given or of a new one."""
    columns = min(count, 4)
    rows = -(-count // columns)
    if figure is None:
        figure = new_figure(max(3.4 * columns, 4.2), 3.0 * rows)
    if not isinstance(figure, needed("matplotlib.figure").FigureBase):
        raise TypeError(f"{where}: `figure` must be a matplotlib Figure, or None, got {figure!r}.")
    grid = figure.add_gridspec(rows, columns)
    places = [divmod(i, columns) for i in range(count)]
    return np.array([figure.add_subplot(grid[place]) for place in places], dtype=object)


def logarithmic(axes: Any, low: float, high: float) -> None:
    """Make the vertical axis logarithmic, with ticks such as 0.05 rather than 5e-02."""
    ticker = needed("matplotlib.ticker")
    few = high < 10 * low  # of 1, 2, 5, 10 lie between
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(
        ticker.MaxNLocator(5) if few else ticker.LogLocator(subs=(1, 2, 5))
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def colours(count: int) -> list[Any]:
    """Return a colour for each class."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    viridis = needed("matplotlib").colormaps["viridis"]
    return [viridis(k / (count - 1)) for k in range(count)]


def shortened(names: Sequence[Any]) -> list[str]:
    """Return names as text that fits on an axis: without their middle where they are long."""
    texts = [str(name) for name in names]
    return [t if len(t) <= HEAD + TAIL else f"{t[:HEAD]}…{t[-TAIL:]}" for t in texts]
