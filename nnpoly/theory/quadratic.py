"""Optimisers on a quadratic with steep and flat directions: why each was invented."""

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
    """An optimiser's path.

    Attributes
    ----------
    w
        The parameters after 0, 1, ... steps: (steps + 1, d).
    loss
        f(w) of each: (steps + 1,).
    """

    w: HostArray
    loss: HostArray


def divergence_limit(eigenvalues: Any) -> float:
    """Return 2 / lambda_max: gradient descent on f converges for every smaller learning rate.

    At the limit the steepest direction swings between +w_i and -w_i for ever; above it diverges.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.divergence_limit([1.0, 50.0])
    0.04
    """
    return 2.0 / float(_eigenvalues("divergence_limit", eigenvalues).max())


def contraction_factors(eigenvalues: Any, learning_rate: float) -> HostArray:
    """Return `|1 - eta lambda_i|`, by which a step of gradient descent multiplies each `|w_i|`.

    w_i(t) = (1 - eta lambda_i)^t w_i(0) exactly, so all must be below 1 to converge.

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
    """Return the optimisers' paths on f(w) = 1/2 sum_i lambda_i w_i^2, whose gradient is lambda w.

    Large eigenvalues are steep directions and small ones flat: gradient descent must take steps
    under 2 / lambda_max, and then crawls along the flat ones by 1 - eta lambda_min a step. Momentum
    adds up what points the same way; AdaGrad, RMSProp and Adam scale each coordinate by its own
    gradients, so the axes' steepness cancels. The updates are the library's own, in float64.

    Parameters
    ----------
    eigenvalues, start
        lambda and w(0): (d,) each; every lambda > 0.
    optimizers
        By name. None: gradient descent and momentum with eta = 1 / lambda_max, AdaGrad with 0.5,
        RMSProp with 0.02 and Adam with 0.1.
    steps
        How many.
    backend, device
        Where to compute, as for `Network`.

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
    chosen = _defaults(values) if optimizers is None else _checked(where, optimizers)
    found, place = registry.resolve(backend, device, where)
    found.check_dtype(where, "float64")
    return {
        name: _path(values, w, optimizer, steps, found, place) for name, optimizer in chosen.items()
    }


def _path(
    values: HostArray,
    start: HostArray,
    optimizer: Optimizer,
    steps: int,
    found: Backend,
    place: Any,
) -> QuadraticPath:
    curvature, w = (found.from_host(a.copy(), place) for a in (values, start))
    path = [start]
    with found.scope(place), np.errstate(over="ignore", invalid="ignore"):
        moments = tuple(found.xp.zeros_like(w) for _ in optimizer.moments)
        for t in range(1, steps + 1):
            c = optimizer.coefficients(t)
            w, moments = optimizer.update(found.ops, w, curvature * w, moments, c)
            path.append(np.array(found.to_host(w)))
        points = np.array(path)
        return QuadraticPath(points, 0.5 * np.sum(values * points * points, axis=1))


def _eigenvalues(where: str, eigenvalues: Any) -> HostArray:
    values = _inputs.array(where, "eigenvalues", eigenvalues, (None,))
    if values.min() <= 0.0:
        raise ValueError(
            f"{where}: `eigenvalues` must be greater than 0, got {values.min():g}: f would have no "
            "minimum."
        )
    return values


def _defaults(values: HostArray) -> dict[str, Optimizer]:
    eta = 1.0 / float(values.max())
    return {
        "gradient descent": SGD(eta),
        "momentum": SGD(eta, momentum=0.9),
        "AdaGrad": AdaGrad(0.5),
        "RMSProp": RMSProp(0.02),
        "Adam": Adam(0.1),
    }


def _checked(where: str, optimizers: Any) -> dict[str, Optimizer]:
    chosen = dict(optimizers) if isinstance(optimizers, Mapping) else {}
    if not chosen or not all(isinstance(each, Optimizer) for each in chosen.values()):
        raise ValueError(
            f"{where}: `optimizers` must be a dict of optimisers by name, such as "
            f"{{'Adam': nn.Adam(0.1)}}, got {optimizers!r}."
        )
    return chosen
