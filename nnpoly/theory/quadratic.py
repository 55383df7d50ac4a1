"""Optimisers on a quadratic with steep and flat directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backends import Backend, registry
from ..optimizers import SGD, AdaGrad, Adam, Optimizer, RMSProp
from . import _inputs
from ._inputs import HostArray


@dataclass(frozen=True, eq=False)
class QuadraticPath:
    """The path of an optimiser.

    Attributes
    ----------
    w
        The parameters after 0, 1, ... steps: (steps + 1, d).
    loss
        f(w) after each of them: (steps + 1,).
    """

    w: HostArray
    loss: HostArray


def divergence_limit(eigenvalues: Any) -> float:
    """Return 2 / lambda_max, the learning rate below which gradient descent converges.

    At the limit the steepest direction alternates between +w_i and -w_i; above, it diverges.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.divergence_limit([1.0, 50.0])
    0.04
    """
    return 2.0 / float(_eigenvalues("divergence_limit", eigenvalues).max())


def contraction_factors(eigenvalues: Any, learning_rate: float) -> HostArray:
    """Return `|1 - eta lambda_i|`, by which a step of gradient descent multiplies each `|w_i|`.

    w_i(t) = (1 - eta lambda_i)^t w_i(0): gradient descent converges if all factors are below 1.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.contraction_factors([1.0, 50.0], 0.03)  # the flat direction is slow
    array([0.97, 0.5 ])
    """
    where = "contraction_factors"
    values = _eigenvalues(where, eigenvalues)
    factors: HostArray = np.abs(
        1.0 - _checks.positive(where, "learning_rate", learning_rate) * values
    )
    return factors


def optimizer_paths(
    eigenvalues: Any,
    start: Any,
    optimizers: Mapping[str, Optimizer] | None = None,
    steps: int = 100,
    backend: str | Backend | None = None,
    device: Any = None,
) -> dict[str, QuadraticPath]:
    """Compute the paths of optimisers on f(w) = 1/2 sum_i lambda_i w_i^2, with gradient lambda w.

    Directions of large eigenvalues are steep, those of small ones flat. Gradient descent needs a
    learning rate below 2 / lambda_max, and then shrinks the flat directions by 1 - eta lambda_min a
    step only. Momentum accumulates gradients of equal sign. AdaGrad, RMSProp and Adam scale each
    coordinate by its gradients, so that the steepness cancels. The updates are those of
    `nn.optimizers`, in float64.

    Parameters
    ----------
    eigenvalues, start
        lambda and w(0): (d,) each; every lambda > 0.
    optimizers
        Optimisers by name. None: gradient descent and momentum with eta = 1 / lambda_max, AdaGrad
        with 0.5, RMSProp with 0.02 and Adam with 0.1.
    steps
        The number of steps.
    backend, device
        Where the paths are computed, as for `Network`.

    Returns
    -------
    dict
        A `QuadraticPath` for each name. A path that diverges ends in inf or NaN.

    Notes
    -----
    Duchi et al. 2011 (AdaGrad); Hinton's lecture 6e, 2012 (RMSProp); Kingma and Ba 2015,
    arXiv:1412.6980 (Adam).

    Examples
    --------
    >>> import nnpoly as nn
    >>> paths = nn.theory.optimizer_paths([1.0, 100.0], [1.0, 1.0], steps=200)
    >>> for name, path in paths.items():
    ...     print(f"{name:<16} {(path.loss > 0.01).sum()} steps")  # until the loss is small
    gradient descent 195 steps
    momentum         74 steps
    AdaGrad          8 steps
    RMSProp          73 steps
    Adam             67 steps

    """
    where = "optimizer_paths"
    values = _eigenvalues(where, eigenvalues)
    w = _inputs.array(where, "start", start, values.shape)
    steps = _checks.integer(where, "steps", steps)
    by_name = _defaults(values) if optimizers is None else _checked(where, optimizers)
    library, place = registry.resolve(backend, device, where)
    library.check_dtype(where, "float64")
    return {
        name: _path(values, w, optimizer, steps, library, place)
        for name, optimizer in by_name.items()
    }


def _path(
    values: HostArray,
    start: HostArray,
    optimizer: Optimizer,
    steps: int,
    library: Backend,
    place: Any,
) -> QuadraticPath:
    """Run an optimiser from `start`."""
    curvature, w = (library.from_host(a.copy(), place) for a in (values, start))
    path = [start]
    with library.scope(place), np.errstate(over="ignore", invalid="ignore"):
        moments = tuple(library.xp.zeros_like(w) for _ in optimizer.moments)
        for t in range(1, steps + 1):
            c, decay = optimizer.coefficients(t), optimizer.weight_decay_at(t)
            w, moments = optimizer.update(library.ops, w, curvature * w, moments, c, decay)
            path.append(np.array(library.to_host(w)))
        points = np.array(path)
        return QuadraticPath(points, 0.5 * np.sum(values * points * points, axis=1))


def _eigenvalues(where: str, eigenvalues: Any) -> HostArray:
    """Return positive eigenvalues: (d,)."""
    values = _inputs.array(where, "eigenvalues", eigenvalues, (None,))
    if values.min() <= 0.0:
        raise ValueError(
            f"{where}: `eigenvalues` must be greater than 0, got {values.min():g}: f would have no "
            "minimum."
        )
    return values


def _defaults(values: HostArray) -> dict[str, Optimizer]:
    """Return the default optimisers by name."""
    eta = 1.0 / float(values.max())
    return {
        "gradient descent": SGD(eta),
        "momentum": SGD(eta, momentum=0.9),
        "AdaGrad": AdaGrad(0.5),
        "RMSProp": RMSProp(0.02),
        "Adam": Adam(0.1),
    }


def _checked(where: str, optimizers: Any) -> dict[str, Optimizer]:
    """Return a dict of optimisers by name, which must not be empty."""
    by_name = dict(optimizers) if isinstance(optimizers, Mapping) else {}
    if not by_name or not all(isinstance(each, Optimizer) for each in by_name.values()):
        raise ValueError(
            f"{where}: `optimizers` must be a dict of optimisers by name, such as "
            f"{{'Adam': nn.Adam(0.1)}}, got {optimizers!r}."
        )
    return by_name
