"""The losses and metrics of a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import _checks
from ..backends import host
from ..training import History
from ._arrays import vector
from ._style import BLUE, MARKERS, PALETTE, VERMILION, axes_of, logarithmic, needed


def history(history: History, ax: Any = None, metrics: Iterable[str] = ()) -> Any:
    """Draw the losses of a training against epochs.

    Parameters
    ----------
    history
        The history of a training, as `Trainer.fit` returns it. A training loss is the mean over its
        epoch and is drawn at the epoch's middle; a validation loss is computed after the epoch and
        is drawn at its end. The axis is logarithmic if all losses are above 0.
    ax
        Matplotlib axes; None for a new figure's.
    metrics
        Names from `history.metrics`. They are drawn at the epochs' ends, against a second vertical
        axis on the right.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of the losses.

    Examples
    --------
    >>> import nnpoly as nn
    >>> ax = nn.plotting.history(nn.History(loss=[1.0, 0.5, 0.25]))
    >>> ax.lines[0].get_xydata().tolist()
    [[0.5, 1.0], [1.5, 0.5], [2.5, 0.25]]
    """
    metric_curves = _metrics(history, metrics)
    losses = {"loss": history.loss, "validation_loss": history.validation_loss}
    curves = {name: _curve(history, name, curve) for name, curve in losses.items() if len(curve)}
    if "loss" not in curves:
        raise ValueError("history: `history` must hold at least one epoch, got none.")
    axes = axes_of("history", ax)
    _draw_losses(axes, **curves)
    if metric_curves:
        _draw_metrics(axes, metric_curves)
    axes.set(title="Training", xlabel="epoch", ylabel="loss", xlim=(0.0, len(history) * 1.02))
    axes.xaxis.set_major_locator(
        needed("matplotlib.ticker").MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    )
    axes.grid(alpha=0.3)
    return axes


def _metrics(history: Any, names: Iterable[str]) -> dict[str, host.HostArray]:
    """Return the curves of metrics by name."""
    recorded: Mapping[str, Any] = getattr(history, "metrics", {})
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in recorded:
            listed = ", ".join(recorded) if recorded else "none"
            raise ValueError(
                f"history: `metrics` must name metrics of the history ({listed}), got {name!r}."
                f"{_checks.nearest(name, recorded)}"
            )
    return {name: _curve(history, f"metrics[{name!r}]", recorded[name]) for name in names}


def _curve(history: History, name: str, values: Any) -> host.HostArray:
    """Return a value for each epoch of the history: (epochs,)."""
    curve = vector("history", f"history.{name}", values)
    if len(curve) != len(history):
        raise ValueError(
            f"history: `history.{name}` must have an entry for each of the {len(history)} epochs, "
            f"got {len(curve)}. Draw the history that one fit returned."
        )
    return curve


def _marker_interval(epochs: int) -> int:
    """Return the number of epochs from one marker to the next, so that markers stay distinct."""
    return max(1, epochs // 20)


def _draw_losses(
    axes: Any, loss: host.HostArray, validation_loss: host.HostArray | None = None
) -> None:
    ends, interval = np.arange(1, len(loss) + 1), _marker_interval(len(loss))
    label = "training, mean over the epoch"
    axes.plot(ends - 0.5, loss, ".-", color=BLUE, label=label, markevery=interval)
    drawn = loss
    if validation_loss is not None:
        label = "validation, after the epoch"
        axes.plot(ends, validation_loss, "x--", color=VERMILION, label=label, markevery=interval)
        drawn = np.concatenate([loss, validation_loss])
    if drawn.min() > 0:
        logarithmic(axes, drawn.min(), drawn.max())
    axes.legend()


def _draw_metrics(axes: Any, metrics: Mapping[str, host.HostArray]) -> None:
    """Draw metrics against an axis on the right, and move the legend below the curves."""
    twin = axes.twinx()
    for k, (name, curve) in enumerate(metrics.items()):
        style = {"color": PALETTE[2:][k % 6], "marker": MARKERS[k % len(MARKERS)], "markersize": 4}
        ends = np.arange(1, len(curve) + 1)
        interval = _marker_interval(len(curve))
        twin.plot(ends, curve, ":", label=name, markevery=interval, **style)
    twin.set_ylabel(", ".join(metrics))
    handles = [*axes.lines, *twin.lines]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
    axes.legend(handles=handles, ncols=min(len(handles), 2), **place)
