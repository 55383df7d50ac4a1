"""Rosenblatt's perceptron rule, and the certificate that two classes can't be separated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import _checks
from ..backends import Backend
from ..network import MLP
from . import _inputs
from ._inputs import HostArray
from .neurons import single_neuron

RESIDUAL = 1e-9  # largest distance of the two combinations, relative to the data


@dataclass(frozen=True, eq=False)
class CommonPoint:
    """A point in the convex hulls of both classes: no line, plane, ... separates them.

    If w.x + b were < 0 on class 0 and >= 0 on class 1, it would be both at this point.

    Attributes
    ----------
    point
        (m,).
    weights
        (n,): non-negative; those of class 0 sum to 1 and combine its points to `point`, and so do
        those of class 1.
    """

    point: HostArray
    weights: HostArray

    def __str__(self) -> str:
        return f"both classes' convex hulls contain {self.point.tolist()}"


def common_point(X: Any, y: Any) -> CommonPoint | None:
    """Return a point that convex combinations of both classes share; None if they are separable.

    sum_i a_i x_i over class 0 equals sum_j a_j x_j over class 1, with a >= 0 and each class's a
    summing to 1. By the separating hyperplane theorem such a point exists exactly if no w, b have
    w.x + b < 0 on class 0 and >= 0 on class 1. Found as a linear program by SciPy's HiGHS.

    Parameters
    ----------
    X, y
        Points (n, m) and labels 0 or 1 (n,).

    Raises
    ------
    ImportError
        Without SciPy.

    Examples
    --------
    >>> import nnpoly as nn
    >>> found = nn.theory.common_point([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])
    >>> found.point, found.weights
    (array([0.5, 0.5]), array([0.5, 0.5, 0.5, 0.5]))
    """
    where = "common_point"
    points = _inputs.array(where, "X", X, (None, None))
    return _shared(where, points, _inputs.binary_labels(where, y, len(points)))


def _shared(where: str, points: HostArray, labels: HostArray) -> CommonPoint | None:
    optimize = _inputs.scipy_optimize(where)
    if labels.all() or not labels.any():
        return None
    scale = max(float(np.abs(points).max()), 1e-300)
    signed = np.where(labels == 1, 1.0, -1.0)
    equal = (signed[:, None] * points / scale).T
    system = np.vstack([equal, labels == 0, labels == 1])
    right = np.concatenate([np.zeros(len(equal)), [1.0, 1.0]])
    options = {"primal_feasibility_tolerance": 1e-10}
    found = optimize.linprog(
        np.zeros(len(points)), A_eq=system, b_eq=right, method="highs", options=options
    )
    if found.status != 0 or np.abs(system @ found.x - right).max() > RESIDUAL:
        return None
    return CommonPoint((labels == 1) * found.x @ points, found.x)


@dataclass(frozen=True, eq=False)
class PerceptronRun:
    """What the perceptron rule did.

    Attributes
    ----------
    w, b
        The weights (m,) and the bias it ended with.
    updates
        Mistakes corrected, an epoch an entry; the last is 0 if it converged.
    converged
        Whether an epoch passed without a mistake: w, b separate the classes.
    margin, radius
        gamma: the least distance of a point (x, 1) from the separator, and R, the largest
        ||(x, 1)||. gamma is None where no strict separator is known.
    """

    w: HostArray
    b: float
    updates: tuple[int, ...]
    converged: bool
    margin: float | None
    radius: float
    _data: tuple[HostArray, HostArray] = field(repr=False)

    @property
    def bound(self) -> float | None:
        """Novikoff's bound (R / gamma)^2 on the sum of `updates`; None without a separator."""
        return None if self.margin is None else (self.radius / self.margin) ** 2

    @cached_property
    def common_point(self) -> CommonPoint | None:
        """Why it can't converge, found by SciPy: None if it converged, or would with time."""
        return None if self.converged else _shared("PerceptronRun.common_point", *self._data)

    def neuron(self, backend: str | Backend | None = None, device: Any = None) -> MLP:
        """Return the threshold neuron of w, b."""
        return single_neuron(self.w, self.b, "step", backend, device)

    def __str__(self) -> str:
        total, epochs = sum(self.updates), len(self.updates)
        did = f"{total} updates in {epochs} epochs"
        if self.converged:
            known = "" if self.bound is None else f" (Novikoff's bound: {self.bound:.4g})"
            return f"converged: {did}{known}"
        reason = self.common_point
        if reason is None:
            return f"not converged: {did}. The classes are separable: give it more epochs"
        return f"not converged: {did}. No neuron can separate the classes: {reason}"


def perceptron(X: Any, y: Any, epochs: int = 100, separator: Any = None) -> PerceptronRun:
    """Train a threshold neuron by Rosenblatt's rule, sample after sample from w = 0, b = 0.

    f = 1 if w.x + b >= 0 else 0; w <- w + (y - f) x, b <- b + (y - f): only mistakes change it. On
    separable data it makes at most (R / gamma)^2 updates, where R is the largest ||(x, 1)|| and
    gamma the least distance of the (x, 1) from a separating hyperplane through 0.

    Parameters
    ----------
    X, y
        Points (n, m) and labels 0 or 1 (n,).
    epochs
        Passes through the data at most; it stops after one without a mistake.
    separator
        (w, b) known to separate the classes, for Novikoff's bound; the best bound has the largest
        margin. None: that which the rule finds.

    Notes
    -----
    Rosenblatt 1958, "The perceptron"; Novikoff 1962, "On convergence proofs on perceptrons"; Minsky
    and Papert 1969, "Perceptrons".

    Examples
    --------
    >>> import nnpoly as nn
    >>> X = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> run = nn.theory.perceptron(X, [0, 0, 0, 1], separator=([1, 1], -1.5))  # AND
    >>> print(run)
    converged: 11 updates in 6 epochs (Novikoff's bound: 51)
    >>> print(nn.theory.perceptron(X, [0, 1, 1, 0]))  # XOR
    not converged: 398 updates in 100 epochs. No neuron can separate the classes: both classes'
    convex hulls contain [0.5, 0.5]
    """
    where = "perceptron"
    points = _inputs.array(where, "X", X, (None, None))
    labels = _inputs.binary_labels(where, y, len(points))
    epochs = _checks.integer(where, "epochs", epochs)
    augmented = np.column_stack([points, np.ones(len(points))])
    known = None if separator is None else _separator(separator, augmented, labels)
    w, updates = _rosenblatt(augmented, labels, epochs)
    converged = updates[-1] == 0
    margin = known or (_margin(w, augmented, labels) if converged else None)
    radius = float(np.linalg.norm(augmented, axis=1).max())
    data = (points, labels)
    return PerceptronRun(w[:-1], float(w[-1]), tuple(updates), converged, margin, radius, data)


def _rosenblatt(
    augmented: HostArray, labels: HostArray, epochs: int
) -> tuple[HostArray, list[int]]:
    w, updates = np.zeros(augmented.shape[1]), []
    for _ in range(epochs):
        mistakes = 0
        for x, y in zip(augmented, labels.tolist(), strict=True):
            if error := y - (w @ x >= 0):
                w = w + error * x
                mistakes += 1
        updates.append(mistakes)
        if not mistakes:
            break
    return w, updates


def _margin(w: HostArray, augmented: HostArray, labels: HostArray) -> float | None:
    """Return the least signed distance of the points from w, or None unless it is positive."""
    signs = np.where(labels == 1, 1.0, -1.0)
    size = float(np.linalg.norm(w))
    least = float((signs * (augmented @ w)).min())
    return least / size if size and least > 0 else None


def _separator(separator: Any, augmented: HostArray, labels: HostArray) -> float:
    """Return the margin of the user's separator."""
    where = "perceptron"
    if not isinstance(separator, tuple | list) or len(separator) != 2:
        raise ValueError(f"{where}: `separator` must be a pair (w, b), got {separator!r}.")
    w = _inputs.array(where, "separator[0]", separator[0], (augmented.shape[1] - 1,))
    b = _checks.number(where, "separator[1]", separator[1])
    margin = _margin(np.append(w, b), augmented, labels)
    if margin is None:
        raise ValueError(
            f"{where}: `separator` must have w.x + b > 0 on class 1 and < 0 on class 0, got a pair "
            "that doesn't. Leave it out where none is known."
        )
    return margin
