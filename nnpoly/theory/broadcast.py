"""The broadcasting of X W^T + b, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from . import _inputs
from ._inputs import HostArray


@dataclass(frozen=True, eq=False)
class BroadcastStep:
    """An intermediate array, with its name and its meaning."""

    name: str
    meaning: str
    array: HostArray

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        shape: tuple[int, ...] = self.array.shape
        return shape

    def __str__(self) -> str:
        return f"{self.name}  {self.shape}  {self.meaning}\n{self.array}"


@dataclass(frozen=True, eq=False)
class Broadcasting:
    """The steps of X W^T + b in order; `print` shows each with its shape."""

    steps: tuple[BroadcastStep, ...]

    def __getitem__(self, name: str) -> HostArray:
        """Return the array of the step of that name."""
        return {step.name: step.array for step in self.steps}[name]

    @property
    def result(self) -> HostArray:
        """X W^T + b: (n, m)."""
        return self.steps[-1].array

    def __str__(self) -> str:
        return "\n".join(str(step) for step in self.steps)


def broadcasting(X: Any, W: Any, b: Any) -> Broadcasting:
    """Compute h~ = X W^T + b, a sample a row, and keep every intermediate array.

    Shapes are aligned at the right; two sizes fit if they are equal or one of them is 1, and a size
    that is 1 or missing is repeated. So b: (m,) is read as one row (1, m) and added to every row.

    Parameters
    ----------
    X
        Samples (n, m_in).
    W
        Weights (m, m_in), a neuron a row.
    b
        The bias (m,), or anything that broadcasts to (n, m).

    Raises
    ------
    ValueError
        For shapes that do not multiply or broadcast; the message names the sizes that disagree.

    Examples
    --------
    >>> import nnpoly as nn
    >>> print(nn.theory.broadcasting([[1, 2], [3, 4], [5, 6]], [[1, 0], [1, 1]], [10, 20]))
    X  (3, 2)  a sample a row
    [[1. 2.]
     [3. 4.]
     [5. 6.]]
    W  (2, 2)  a neuron a row
    [[1. 0.]
     [1. 1.]]
    W^T  (2, 2)  a neuron a column
    [[1. 1.]
     [0. 1.]]
    X W^T  (3, 2)  every sample times every neuron
    [[ 1.  3.]
     [ 3.  7.]
     [ 5. 11.]]
    b  (2,)  one bias a neuron
    [10. 20.]
    b as a row  (1, 2)  sizes are aligned at the right
    [[10. 20.]]
    b repeated  (3, 2)  the same row for every sample
    [[10. 20.]
     [10. 20.]
     [10. 20.]]
    X W^T + b  (3, 2)  added entry by entry
    [[11. 23.]
     [13. 27.]
     [15. 31.]]
    """
    where = "broadcasting"
    x = _inputs.array(where, "X", X, (None, None))
    weights = _inputs.array(where, "W", W, (None, None))
    if x.shape[1] != weights.shape[1]:
        raise ValueError(_no_product(x.shape, weights.shape))
    product = x @ weights.T
    bias = _bias(where, b, product.shape)
    row = bias.reshape((1,) * (2 - bias.ndim) + bias.shape)
    repeated = np.broadcast_to(row, product.shape).copy()
    per_neuron = bias.shape == product.shape[1:]
    return Broadcasting(
        (
            BroadcastStep("X", "a sample a row", x),
            BroadcastStep("W", "a neuron a row", weights),
            BroadcastStep("W^T", "a neuron a column", weights.T),
            BroadcastStep("X W^T", "every sample times every neuron", product),
            BroadcastStep("b", "one bias a neuron" if per_neuron else "a bias to repeat", bias),
            BroadcastStep("b as a row", "sizes are aligned at the right", row),
            BroadcastStep("b repeated", _repetition(row.shape, product.shape), repeated),
            BroadcastStep("X W^T + b", "added entry by entry", product + repeated),
        )
    )


def _no_product(x: tuple[int, ...], W: tuple[int, ...]) -> str:
    """Return the message for shapes that do not multiply."""
    turned = f" W is (m_in, m): pass W.T, {W[::-1]}." if x[1] == W[0] else ""
    return (
        f"broadcasting: `W` must have shape (m, {x[1]}), as many columns as X {x} has, got {W}: X "
        f"W^T multiplies ({x[0]}, {x[1]}) by ({W[1]}, {W[0]}), whose inner sizes {x[1]} and {W[1]} "
        f"differ.{turned}"
    )


def _bias(where: str, b: Any, shape: tuple[int, ...]) -> HostArray:
    """Return b, which must broadcast to `shape`."""
    bias = _inputs.array(where, "b", b)
    aligned = zip_longest(shape[::-1], bias.shape[::-1], fillvalue=1)
    clash = next(((m, k) for m, k in aligned if k not in (1, m)), None)
    if bias.ndim <= len(shape) and clash is None:
        return bias
    reason = "it has too many dimensions"
    if clash:
        reason = f"aligned at the right, {clash[0]} meets {clash[1]}, which is neither equal nor 1"
    hint = " To add one number a sample, pass b[:, None]." if bias.shape == shape[:1] else ""
    raise ValueError(
        f"{where}: `b` must have shape ({shape[1]},), one bias a neuron, or broadcast to {shape}, "
        f"got {bias.shape}: {reason}.{hint}"
    )


def _repetition(row: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Describe the repetition of a bias of shape `row` to `shape`."""
    if row == shape:
        return "it has the full shape already"
    if row[1] == shape[1]:
        return "the same row for every sample"
    if row[0] == shape[0]:
        return "the same column for every neuron"
    return "the same number everywhere"
