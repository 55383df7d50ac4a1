"""Depth: O(k) neurons in O(k) layers compute the k-fold tent map, which has 2^k linear pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backends import Backend, host
from ..network import MLP, Network
from . import _inputs, approximation
from ._inputs import HostArray
from .pieces import count_linear_pieces, shallow_width_bound


def tent(x: Any, k: int = 1) -> HostArray:
    """Return the tent map of x, composed k times.

    T(x) = 2x on [0, 1/2], 2 (1 - x) on [1/2, 1], and 0 elsewhere. Every step is exact in floating
    point on [0, 1], so there is no rounding error however large k is.

    Parameters
    ----------
    x
        Numbers of any shape.
    k
        The number of times that T is applied.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.tent([0.0, 0.25, 0.5, 1.0]), nn.theory.tent([0.0, 0.25, 0.5, 1.0], k=2)
    (array([0. , 0.5, 1. , 0. ]), array([0., 1., 0., 0.]))
    """
    where = "tent"
    points = _inputs.array(where, "x", x)
    for _ in range(_checks.integer(where, "k", k)):
        points = np.maximum(0.0, 2.0 * np.minimum(points, 1.0 - points))
    return points


def tent_network(k: int, backend: str | Backend | None = None, device: Any = None) -> MLP:
    """Make the deep ReLU network that equals the k-fold tent map exactly, everywhere.

    T(x) = relu(2 relu(x) - 4 relu(x - 1/2)). The outer relu merges into the next layer's, so k
    hidden layers hold the pair (relu(x), relu(x - 1/2)) and one more a single neuron: 2k + 2
    neurons, the output among them, for 2^k linear pieces. One hidden layer needs 2^k - 1 neurons
    at least (`shallow_width_bound`).

    Parameters
    ----------
    k
        The number of times that the tent map is composed.
    backend, device
        As for `Network`. The parameters are float64, and all products and sums of the network are
        exact in it for x in [0, 1].

    Notes
    -----
    Telgarsky 2015, arXiv:1509.08101.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.theory.tent_network(10)
    >>> sum(net.widths[1:]), nn.theory.count_linear_pieces(net, 0, 1)
    (22, 1024)
    >>> x = [0.1, 0.2, 0.7]
    >>> bool((net([[value] for value in x])[:, 0] == nn.theory.tent(x, 10)).all())
    True
    """
    k = _checks.integer("tent_network", "k", k)
    step = [[2.0, -4.0], [2.0, -4.0]]
    Ws = [[[1.0], [1.0]], *[step] * (k - 1), [[2.0, -4.0]], [[1.0]]]
    bs = [*[[0.0, -0.5]] * k, [0.0], [0.0]]
    return MLP.from_weights(Ws, bs, "relu", "identity", backend, device)


@dataclass(frozen=True, eq=False)
class DepthComparison:
    """A deep and a shallow network with the same number of parameters, on the k-fold tent map.

    Attributes
    ----------
    deep, shallow
        The networks; the shallow one is fitted.
    deep_parameters, shallow_parameters
        Their numbers of parameters; the shallow one has as many as its width allows.
    deep_error, shallow_error
        `sup |f - T^k|` on the points j / 2^(k+2) of [0, 1].
    deep_pieces, shallow_pieces
        Their numbers of linear pieces on [0, 1], exactly.
    needed_width
        The least width of a shallow network with as many pieces as the deep one.
    least_error
        A lower bound of the sup error of every shallow network of this width; see `shallow_fails`.
    """

    deep: Network
    shallow: Network
    deep_parameters: int
    shallow_parameters: int
    deep_error: float
    shallow_error: float
    deep_pieces: int
    shallow_pieces: int
    needed_width: int
    least_error: float

    def __str__(self) -> str:
        deep = (self.deep_parameters, self.deep_pieces, self.deep_error)
        shallow = (self.shallow_parameters, self.shallow_pieces, self.shallow_error)
        rows = [
            ("deep", self.deep.depth, sum(self.deep.widths[1:]), *deep),
            ("shallow", self.shallow.depth, sum(self.shallow.widths[1:]), *shallow),
        ]
        header = ("network", "layers", "neurons", "parameters", "pieces", "sup error")
        return _inputs.table(header, rows)


def shallow_fails(
    k: int = 6, seed: int = 0, backend: str | Backend | None = None, device: Any = None
) -> DepthComparison:
    """Compare the deep network with a shallow one of its size, fitted to the k-fold tent map.

    The deep one is exact with 6k + 3 parameters. One hidden layer of m = 2k neurons has 3m + 1
    parameters and at most m + 1 pieces. T^k zigzags between 0 and 1 through the 2^k + 1 points
    j / 2^k. If 2^k + 1 > 2 (m + 1), some piece holds three neighbours of them, and a line through
    0, 1, 0 (or 1, 0, 1) is off by 1/2 at one of them at least: no such network, however it is
    trained, has a sup error below 1/2. The fit is that of `approximate`, on the same points.

    Parameters
    ----------
    k
        At most 12: the fit sees 2^(k+2) + 1 points.
    seed
        Seed of the fit.
    backend, device
        Where the two networks live.

    Raises
    ------
    ImportError
        Without SciPy.

    Notes
    -----
    Telgarsky 2015, arXiv:1509.08101.

    Examples
    --------
    >>> import nnpoly as nn
    >>> found = nn.theory.shallow_fails(6)
    >>> found.deep_parameters, found.deep_pieces, found.deep_error
    (39, 64, 0.0)
    >>> found.shallow_parameters, found.least_error, found.shallow_error >= found.least_error
    (37, 0.5, True)
    """
    where = "shallow_fails"
    k = _checks.integer(where, "k", k)
    if k > 12:
        raise ValueError(f"{where}: `k` must be at most 12, got {k}: the grid doubles with each.")
    seed = _checks.integer(where, "seed", seed, 0)
    deep, m = tent_network(k, backend, device), 2 * k
    x = np.arange(2 ** (k + 2) + 1)[:, None] / 2 ** (k + 2)
    y = tent(x[:, 0], k)
    sigma = approximation.nonlinear(where, "relu")
    shallow = approximation.fit(x, y, m, sigma, host.generator(seed, k), 0.0)
    pieces = count_linear_pieces(deep, 0.0, 1.0)
    return DepthComparison(
        deep=deep,
        shallow=shallow.to(deep.place.backend, device=deep.device),
        deep_parameters=deep.layout.size,
        shallow_parameters=shallow.layout.size,
        deep_error=approximation.sup_error(deep, x, y),
        shallow_error=approximation.sup_error(shallow, x, y),
        deep_pieces=pieces,
        shallow_pieces=count_linear_pieces(shallow, 0.0, 1.0),
        needed_width=shallow_width_bound(pieces),
        least_error=0.5 if 2**k + 1 > 2 * (m + 1) else 0.0,
    )
