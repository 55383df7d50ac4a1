"""Rosenblatt's perceptron rule, and a certificate that two classes are not separable."""

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

RESIDUAL = 1e-9  # distance of the two combinations, relative to the data, at most


@dataclass(frozen=True, eq=False)
class CommonPoint:
    """A point in the convex hulls of both classes: no hyperplane separates them.

    If w.x + b were < 0 on class 0 and >= 0 on class 1, it would be both at this point.

    Attributes
    ----------
    point
        (m,).
    weights
        Non-negative weights (n,). Those of class 0 sum to 1, and its weighted points to `point`;
        likewise for class 1.
    """

    point: HostArray
    weights: HostArray

    def __str__(self) -> str:
        return f"both classes' convex hulls contain {self.point.tolist()}"


def common_point(X: Any, y: Any) -> CommonPoint | None:
    """Find a point in the convex hulls of both classes; None if the classes are separable.

    sum_i a_i x_i over class 0 equals sum_j a_j x_j over class 1, with a >= 0 and each class's a
    summing to 1. By the separating hyperplane theorem such a point exists if and only if no w, b
    have w.x + b < 0 on class 0 and >= 0 on class 1. SciPy's HiGHS solves the linear program.

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
    return _in_both_hulls(where, points, _inputs.binary_labels(where, y, len(points)))


def _in_both_hulls(where: str, points: HostArray, labels: HostArray) -> CommonPoint | None:
    """Solve the linear program of `common_point`."""
    optimize = _inputs.scipy_optimize(where)
    if labels.all() or not labels.any():
        return None
    scale = max(float(np.abs(points).max()), 1e-300)
    signed = np.where(labels == 1, 1.0, -1.0)
    equal = (signed[:, None] * points / scale).T
    system = np.vstack([equal, labels == 0, labels == 1])
    right = np.concatenate([np.zeros(len(equal)), [1.0, 1.0]])
    options = {"primal_feasibility_tolerance": 1e-10}
    solution = optimize.linprog(
        np.zeros(len(points)), A_eq=system, b_eq=right, method="highs", options=options
    )
    weights = solution.x
    if solution.status != 0 or np.abs(system @ weights - right).max() > RESIDUAL:
        return None
    return CommonPoint((labels == 1) * weights @ points, weights)


@dataclass(frozen=True, eq=False)
class PerceptronRun:
    """A run of the perceptron rule.

    Attributes
    ----------
    w, b
        The final weights (m,) and bias.
    updates
        The number of updates in each epoch; the last is 0 if the rule converged.
    converged
        True if an epoch passed without a mistake: w, b separate the classes.
    margin, radius
        gamma, the least distance of a point (x, 1) from the separator, and R, the largest
        ||(x, 1)||. gamma is None if no strict separator is known.
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
        """The certificate that it cannot converge, by SciPy; None for separable classes."""
        if self.converged:
            return None
        return _in_both_hulls("PerceptronRun.common_point", *self._data)

    def neuron(self, backend: str | Backend | None = None, device: Any = None) -> MLP:
        """Make the threshold neuron of w, b."""
        return single_neuron(self.w, self.b, "step", backend, device)

    def __str__(self) -> str:
        total, epochs = sum(self.updates), len(self.updates)
        count = f"{total} updates in {epochs} epochs"
        if self.converged:
            known = "" if self.bound is None else f" (Novikoff's bound: {self.bound:.4g})"
            return f"converged: {count}{known}"
        reason = self.common_point
        if reason is None:
            return f"not converged: {count}. The classes are separable: give it more epochs"
        return f"not converged: {count}. No neuron can separate the classes: {reason}"


def perceptron(X: Any, y: Any, epochs: int = 100, separator: Any = None) -> PerceptronRun:
    """Train a threshold neuron by Rosenblatt's rule, a sample at a time, from w = 0, b = 0.

    f = 1 if w.x + b >= 0 else 0; w <- w + (y - f) x, b <- b + (y - f): only a mistake changes them.
    On separable data it makes at most (R / gamma)^2 updates, where R is the largest ||(x, 1)|| and
    gamma the least distance of the (x, 1) from a separating hyperplane through 0.

    Parameters
    ----------
    X, y
        Points (n, m) and labels 0 or 1 (n,).
    epochs
        The number of passes over the data, at most; training ends after one without a mistake.
    separator
        A pair (w, b) that separates the classes, for Novikoff's bound; the largest margin gives the
        best bound. None: the pair that the rule finds.

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
    margin = None if separator is None else _separator_margin(separator, augmented, labels)
    w, updates = _rosenblatt(augmented, labels, epochs)
    converged = updates[-1] == 0
    if margin is None and converged:
        margin = _margin(w, augmented, labels)
    radius = float(np.linalg.norm(augmented, axis=1).max())
    data = (points, labels)
    return PerceptronRun(w[:-1], float(w[-1]), tuple(updates), converged, margin, radius, data)


def _rosenblatt(
    augmented: HostArray, labels: HostArray, epochs: int
) -> tuple[HostArray, list[int]]:
    """Return the weights, bias last, and the number of updates in each epoch."""
    w, updates = np.zeros(augmented.shape[1]), []
    for _ in range(epochs):
        mistakes = 0
        for x, y in zip(augmented, labels.tolist(), strict=True):
            error = y - (w @ x >= 0)
            if error:
                w = w + error * x
                mistakes += 1
        updates.append(mistakes)
        if not mistakes:
            break
    return w, updates


def _margin(w: HostArray, augmented: HostArray, labels: HostArray) -> float | None:
    """Return the least signed distance of the points from w; None if it is not positive."""
    signs = np.where(labels == 1, 1.0, -1.0)
    size = float(np.linalg.norm(w))
    least = float((signs * (augmented @ w)).min())
    return least / size if size and least > 0 else None


def _separator_margin(separator: Any, augmented: HostArray, labels: HostArray) -> float:
    """Return the margin of a separator (w, b)."""
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
