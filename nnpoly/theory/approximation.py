"""Universal approximation by fitting one hidden layer of growing width."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from .. import _checks, activations
from ..activations import Activation, Identity, Linear
from ..backends import Backend, host, registry
from ..network import MLP, Network
from . import _inputs
from ._inputs import HostArray

WIDTHS = (2, 4, 8, 16, 32, 64, 128, 256)
POINTS = {1: 401, 2: 41}  # points of the training grid along each axis, by dimension
FINER = {1: 5, 2: 3}  # points of the test grid for each of the training grid, by dimension
STEEPNESS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # change of a pre-activation between two drawn points
CANDIDATES = 40  # pairs of points drawn for each neuron
CUTOFF = 1e-12  # singular values below this share of the largest count as 0
ITERATIONS = 300  # of L-BFGS, at most

Function = Callable[..., Any]
Box = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Approximation:
    """The result of `approximate`.

    Attributes
    ----------
    network
        The best network: [d, width, 1].
    width, error
        Its hidden width, and `sup |f - g|` on the test grid.
    eps
        The error to reach.
    table
        (width, error) of every width tried.
    seconds
        The time taken.
    """

    network: Network
    width: int
    error: float
    eps: float
    table: tuple[tuple[int, float], ...]
    seconds: float

    @property
    def reached(self) -> bool:
        """True if the error is below eps."""
        return self.error < self.eps

    def __str__(self) -> str:
        verdict = "below" if self.reached else "not below"
        last = f"width {self.width}: sup error {self.error:.3g}, {verdict} {self.eps:g}"
        return "\n".join([_inputs.table(("width", "sup error"), self.table), last])


def approximate(
    g: Function,
    box: Any,
    eps: float = 0.01,
    activation: Any = "tanh",
    widths: Sequence[int] = WIDTHS,
    seed: int = 0,
    backend: str | Backend | None = None,
    device: Any = None,
) -> Approximation:
    """Fit a hidden layer of growing width to g, until `sup |f - g|` on the box is below eps.

    For continuous g, compact box and eps > 0, f(x) = sum_j v_j sigma(a_j.x + c_j) + e reaches
    `sup |f - g| < eps` with enough neurons, for every continuous, bounded and non-constant sigma
    (unbounded ones that are no polynomials, such as ReLU, do too: Leshno et al. 1993).

    Each width is fitted in float64 on a regular grid that contains the box's edges (401 points, or
    41 x 41), in three stages. 1. Every hidden neuron is drawn from a pair of grid points: its
    pre-activation is 0 in their middle and changes by s from one to the other; of 40 pairs a
    neuron, those along which g is steep are likelier, in proportion to
    `|g(x') - g(x)| / ||x' - x||` (Bolager et al. 2023, arXiv:2306.16830). 2. The output layer is
    the least-squares solution, for s = 1/4, 1/2, 1, 2, 4 and 8; the s with the least sup error on
    the grid is kept. 3. Unless that is below eps, all parameters are refined by at most 300
    iterations of L-BFGS (SciPy) on the mean squared error, with the library's gradients, and the
    better network is kept. Its error is the largest on a test grid that is 5 times as fine in each
    direction (3 times in two dimensions) and shares no point with the training grid. It is a
    maximum over points, not a proof for those between.

    Parameters
    ----------
    g
        A function of one array x, or of two, x and y, that returns values of the same shape (n,).
    box
        (low, high), or ((low, high), (low, high)).
    eps
        The error to reach.
    activation
        sigma, differentiable and not linear.
    widths
        Hidden widths to try, in ascending order.
    seed
        Seed of the drawn neurons.
    backend, device
        Where the resulting network lives; fitting runs in NumPy.

    Raises
    ------
    ImportError
        Without SciPy.

    Notes
    -----
    Cybenko 1989; Hornik, Stinchcombe and White 1989.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> found = nn.theory.approximate(np.sin, (-np.pi, np.pi), eps=0.01)
    >>> found.reached, found.network.widths == [1, found.width, 1]
    (True, True)
    """
    where, began = "approximate", time.perf_counter()
    sides = _box(where, box)
    eps = _checks.positive(where, "eps", eps)
    sigma = nonlinear(where, activation)
    sizes = ascending(where, widths)
    seed = _checks.integer(where, "seed", seed, 0)
    library, place = registry.resolve(backend, device, where)
    library.check_dtype(where, "float64")
    _inputs.scipy_optimize(where)
    train, test = (grid(sides, fine) for fine in (False, True))
    targets, truth = (values(where, g, points) for points in (train, test))
    fits = []
    for m in sizes:
        net = fit(train, targets, m, sigma, host.generator(seed, m), eps)
        fits.append((m, sup_error(net, test, truth), net))
        if fits[-1][1] < eps:
            break
    m, error, net = min(fits, key=itemgetter(1))
    table = tuple((width, found) for width, found, _ in fits)
    moved = net.to(library, device=place)
    return Approximation(moved, m, error, eps, table, time.perf_counter() - began)


def fit(
    X: HostArray, y: HostArray, m: int, sigma: Activation, rng: host.Generator, eps: float
) -> Network:
    """Fit a network [d, m, 1] to y in NumPy, by the three stages of `approximate`.

    X: (n, d); y: (n,).
    """
    a, c = drawn_neurons(X, y, m, rng)
    drawn = [with_solved_output(s * a, s * c, X, y, sigma) for s in STEEPNESS]
    best: Network = min(drawn, key=lambda net: sup_error(net, X, y))
    if sup_error(best, X, y) < eps:
        return best
    return min(best, _refined(best, X, y), key=lambda net: sup_error(net, X, y))


def with_solved_output(
    a: HostArray, c: HostArray, X: HostArray, y: HostArray, sigma: Activation
) -> MLP:
    """Make a network of the hidden layer a, c, with an output layer solved by least squares."""
    features = np.column_stack([sigma(X @ a.T + c), np.ones(len(X))])
    *v, e = np.linalg.lstsq(features, y, rcond=CUTOFF)[0]
    Ws, bs = [a, np.array([v])], [c, np.array([e])]
    return MLP.from_weights(Ws, bs, sigma, "identity", "numpy")


def drawn_neurons(
    X: HostArray, y: HostArray, m: int, rng: host.Generator
) -> tuple[HostArray, HostArray]:
    """Draw the weights (m, d) and biases (m,) of neurons that change where y does."""
    i = rng.integers(0, len(X), CANDIDATES * m)
    j = (i + rng.integers(1, len(X), CANDIDATES * m)) % len(X)  # another point
    step = X[j] - X[i]
    size = np.linalg.norm(step, axis=1)
    steepness = np.abs(y[j] - y[i]) / size + 1e-12
    chosen = rng.choice(len(i), m, replace=False, p=steepness / steepness.sum())
    a = step[chosen] / size[chosen, None] ** 2
    middle = 0.5 * (X[i[chosen]] + X[j[chosen]])
    return a, -np.sum(a * middle, axis=1)


def _refined(net: Network, X: HostArray, y: HostArray) -> Network:
    """Return a copy of the network, trained by L-BFGS on the mean squared error."""
    minimize = _inputs.scipy_optimize("approximate").minimize
    refined, targets = net.copy(), y[:, None]

    def value_and_gradient(w: HostArray) -> tuple[float, HostArray]:
        refined.w = w
        loss, grads = refined.gradients(X, targets)
        return float(loss), np.array(grads.flat)

    limits = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(value_and_gradient, net.w, method="L-BFGS-B", jac=True, options=limits)
    refined.w = found.x
    return refined


def sup_error(net: Network, X: HostArray, y: HostArray) -> float:
    """Return the largest |f - y| over points."""
    return float(np.abs(registry.to_host(net(X))[:, 0] - y).max())


def grid(sides: Box, fine: bool) -> HostArray:
    """Return the points of the training grid, or of the finer test grid between them: (n, d)."""
    d = len(sides)
    if fine:
        cells = FINER[d] * (POINTS[d] - 1)
        # The middles of the fine cells; the training points are corners of some of them.
        axes = [low + (high - low) * (np.arange(cells) + 0.5) / cells for low, high in sides]
    else:
        axes = [np.linspace(low, high, POINTS[d]) for low, high in sides]
    return np.column_stack([side.ravel() for side in np.meshgrid(*axes, indexing="ij")])


def values(where: str, g: Function, points: HostArray) -> HostArray:
    """Evaluate g at points (n, d), and check the values: (n,)."""
    if not callable(g):
        raise ValueError(f"{where}: `g` must be a function, got {g!r}.")
    try:
        found = g(*(column.copy() for column in points.T))
    except TypeError as error:
        raise ValueError(
            f"{where}: `g` must take {points.shape[1]} arrays of shape ({len(points)},), one a "
            f"dimension of the box: {error}."
        ) from error
    return _inputs.array(where, "g(x)", found, (len(points),))


def nonlinear(where: str, activation: Any) -> Activation:
    """Return a differentiable and nonlinear activation, by its name or itself."""
    sigma = activations.get(activation, where)
    if not sigma.differentiable or isinstance(sigma, Identity | Linear):
        raise ValueError(
            f"{where}: `activation` must be differentiable and not linear, got {sigma}. Use tanh, "
            "sigmoid or relu."
        )
    return sigma


def ascending(where: str, widths: Any) -> list[int]:
    """Return one or more widths, in ascending order."""
    values = list(widths) if hasattr(widths, "__len__") and not isinstance(widths, str) else []
    sizes = [_checks.integer(where, f"widths[{i}]", m) for i, m in enumerate(values)]
    if not sizes or sizes != sorted(set(sizes)):
        raise ValueError(f"{where}: `widths` must be rising integers, got {widths!r}.")
    return sizes


def _box(where: str, box: Any) -> Box:
    """Return the box as one or two intervals."""
    ends = _inputs.array(where, "box", box)
    sides = ends[None, :] if ends.ndim == 1 else ends
    if sides.ndim != 2 or sides.shape not in ((1, 2), (2, 2)):
        raise ValueError(
            f"{where}: `box` must be (low, high), or two such pairs for two dimensions, got shape "
            f"{ends.shape}."
        )
    return tuple(_inputs.interval(where, "box", low, high) for low, high in sides.tolist())
