"""Weights, activations and gradients, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..activations import ReLU, identity
from ..backends import host
from ..data.entering import features
from ..layers import INFERENCE, Dense, Layer, Residual, Stage, forward
from ..losses import Loss
from ..network import Network
from ._arrays import reals
from ._style import BLUE, axes_of, logarithmic, needed, panels


def weight_histograms(net: Network, figure: Any = None) -> Any:
    """Draw the weights W of every Dense layer, a panel each, with their mean and deviation.

    Parameters
    ----------
    net
        A network on any backend.
    figure
        A matplotlib figure to draw the panels on; None for a new one (`axes[0].figure`).

    Returns
    -------
    numpy.ndarray
        The axes, one for each Dense layer.

    Examples
    --------
    >>> import nnpoly as nn
    >>> axes = nn.plotting.weight_histograms(nn.MLP([2, 30, 3]))
    >>> [ax.get_title().partition(chr(10))[0] for ax in axes]
    ['layer 0: 30 x 2', 'layer 1: 3 x 30']
    """
    where = "weight_histograms"
    _require_network(where, net)
    parts = [layer.parameters for layer in net.layers]
    weights = {place: reals(where, f"net.layers[{place}].W", W) for place, W in _weights(parts)}
    axes = panels(where, figure, len(weights))
    for ax, (place, W) in zip(axes, weights.items(), strict=True):
        _draw_histogram(ax, W, f"layer {place}: {' x '.join(map(str, W.shape))}", "weight")
    return axes


def activation_histograms(net: Network, X: Any, figure: Any = None) -> Any:
    """Draw histograms of the hidden post-activations for data, and of the scores.

    Parameters
    ----------
    net
        A network on any backend.
    X
        Inputs (n, m_0).
    figure
        A matplotlib figure to draw the panels on; None for a new one (`axes[0].figure`).

    Returns
    -------
    numpy.ndarray
        The axes, one for each Dense layer, and for each other layer with an activation. The titles
        have mean and standard deviation, and for relu the number of dead units: those that are 0
        for every sample, so that no gradient reaches them.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> net = nn.MLP([2, 8, 3])
    >>> net.layers[0].b[:3] = -100.0
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> axes = nn.plotting.activation_histograms(net, X)
    >>> "3 of 8 units dead" in axes[0].get_title()
    True
    """
    where = "activation_histograms"
    _require_network(where, net)
    reals(where, "X", X)
    stages = _stages(where, net, X)
    drawn = list(_with_activations(net.chain, stages))
    posts = [reals(where, f"layer {place}", stage.post) for place, stage in drawn]
    axes = panels(where, figure, len(drawn))
    for ax, (place, stage), post in zip(axes, drawn, posts, strict=True):
        is_last = stage is stages[-1]
        name = "scores" if is_last else type(stage.activation).__name__.lower()
        label = "score" if is_last else "activation"
        dead = ""
        if isinstance(stage.activation, ReLU):
            dead = f"\n{np.sum((post == 0).all(axis=0))} of {post.shape[1]} units dead"
        _draw_histogram(ax, post, f"layer {place}: {name}", label, dead)
        ax.set_yscale("log")
    return axes


def gradient_norms(
    net: Network, X: Any, y: Any, ax: Any = None, loss: str | Loss | None = None
) -> Any:
    """Draw the Frobenius norm of dL/dW of every Dense layer: do gradients vanish or explode?

    Parameters
    ----------
    net
        A network on any backend.
    X, y, loss
        As for `Network.gradients`.
    ax
        Matplotlib axes; None for a new figure's. The vertical axis is logarithmic if the norms
        differ by more than a factor of 100.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.MLP([2, 8, 8, 3], activation="tanh")
    >>> len(nn.plotting.gradient_norms(net, [[0.5, -1.0]], [2]).patches)
    3
    """
    where = "gradient_norms"
    _require_network(where, net)
    reals(where, "X", X)
    _, gradients = net.gradients(X, y, loss=loss)
    by_layer = {
        place: reals(where, f"dL/dW of layer {place}", dW)
        for place, dW in _weights(gradients.parameters)
    }
    norms = np.array([np.linalg.norm(dW) for dW in by_layer.values()])
    axes = axes_of(where, ax)
    bars = axes.bar(range(len(norms)), norms, color=BLUE)
    places = list(by_layer)
    ticks = range(0, len(norms), -(-len(norms) // 12))
    axes.set_xticks(ticks, [places[l] for l in ticks])
    if len(norms) <= 12:
        axes.bar_label(bars, [f"{norm:.2g}" for norm in norms], padding=2, size=8)
    positive = norms[norms > 0]
    if positive.size and positive.max() > 100 * positive.min():
        logarithmic(axes, positive.min(), positive.max())
    axes.margins(y=0.12)
    axes.set(title="Gradient by layer", xlabel="layer", ylabel="norm of dL/dW")
    return axes


def _require_network(where: str, net: Any) -> None:
    if not isinstance(net, Network):
        raise TypeError(
            f"{where}: `net` must be an nn.Network, got {net!r}. Of a trainer pass trainer.network."
        )


def _weights(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each W with the place of its layer: "2.0" for the first layer inside block 2."""
    for l, part in enumerate(parts):
        for name, array in part.items():
            *inner, last = name.split(".")
            if last == "W":
                yield ".".join([str(l), *inner]), array


def _stages(where: str, net: Network, X: Any) -> list[Stage]:
    """Run the network on X: (n, m_0), and keep what every layer computed."""
    x = features(where, net.place, X, net.inputs)
    with net.place.scope():
        parameters = net.layout.views(net.place.backend.xp, net.w)
        return forward(net.ops, net.chain, parameters, net.buffers, x, INFERENCE)


def _with_activations(
    chain: Sequence[Layer], stages: Sequence[Stage], prefix: str = ""
) -> Iterator[tuple[str, Stage]]:
    """Yield the place and the stage of each Dense layer, and of others with an activation."""
    for l, (layer, stage) in enumerate(zip(chain, stages, strict=True)):
        if isinstance(layer, Residual):
            yield from _with_activations(layer.layers, stage.extra, f"{prefix}{l}.")
        if isinstance(layer, Dense) or layer.activation != identity:
            yield f"{prefix}{l}", stage


def _draw_histogram(
    axes: Any, values: host.HostArray, name: str, xlabel: str, note: str = ""
) -> None:
    axes.hist(values.ravel(), bins=50, color=BLUE)
    axes.set_title(f"{name}\nmean {values.mean():.2g}, std {values.std():.2g}{note}", size=9)
    axes.set(xlabel=xlabel, ylabel="count")
    axes.yaxis.set_major_locator(needed("matplotlib.ticker").MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=8)
