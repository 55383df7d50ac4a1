"""The picture of a training: loss against epochs. Needs matplotlib: pip install nnpoly[cli].

Figures are made without pyplot, so nothing global changes and no window is needed.
"""

from __future__ import annotations

from typing import Any

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
