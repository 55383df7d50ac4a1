"""Parts of all figures: colours, axes without pyplot, scales, and imports of other libraries."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, distinct with any colour vision.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, BLACK = "#E69F00", "#56B4E9", "#F0E442", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BLACK)
GREY = "#666666"
MARKERS = "osD^vPX<>phd*"
HEAD, TAIL = 11, 8  # characters kept of a class name that is too long for an axis


def needed(module: str) -> Any:
    """Import a module of matplotlib or scikit-learn, or raise an error with the remedy.

    Here and not above, so that `from nnpoly import *` works where neither is installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        library = "scikit-learn" if package == "sklearn" else package
        raise ImportError(
            f"nnpoly.plotting: {library} is not installed: pip install nnpoly[plot]"
        ) from error


# Figures and axes


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of a size in inches, without pyplot."""
    layout = needed("matplotlib.layout_engine").ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure: Figure = needed("matplotlib.figure").Figure((width, height), dpi=150, layout=layout)
    return figure


def axes_of(where: str, ax: Any, width: float = 6.4, height: float = 4.4) -> Any:
    """Return `ax`, or the axes of a new figure for None."""
    if ax is None:
        return new_figure(width, height).add_subplot()
    if not isinstance(ax, needed("matplotlib.axes").Axes):
        raise TypeError(f"{where}: `ax` must be a matplotlib Axes, or None, got {ax!r}.")
    return ax


def panels(where: str, figure: Any, count: int) -> Any:
    """Add `count` axes in rows of up to four to `figure`, or to a new one for None."""
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
    """Make the vertical axis logarithmic, with labels such as 0.05 instead of 5e-02."""
    ticker = needed("matplotlib.ticker")
    axes.set_yscale("log")
    is_narrow = high < 10 * low  # too few of 1, 2, 5, 10, ... lie between
    locator = ticker.MaxNLocator(5) if is_narrow else ticker.LogLocator(subs=(1, 2, 5))
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def colours(count: int) -> list[Any]:
    """Return a colour for each class."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    viridis = needed("matplotlib").colormaps["viridis"]
    return [viridis(k / (count - 1)) for k in range(count)]


def shortened(names: Sequence[Any]) -> list[str]:
    """Return names as texts that fit on an axis: long ones lose their middle."""
    texts = [str(name) for name in names]
    return [t if len(t) <= HEAD + TAIL else f"{t[:HEAD]}…{t[-TAIL:]}" for t in texts]
