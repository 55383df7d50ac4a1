"""Single neurons, their decision lines, and logic gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import activations
from ..backends import Backend, registry
from ..losses import OUTPUTS
from ..network import MLP
from . import _inputs
from ._inputs import HostArray

TruthTable = tuple[int, int, int, int]

# Truth tables of the sixteen gates of two inputs A, B: their values at (0,0), (0,1), (1,0), (1,1).
GATES: Mapping[str, TruthTable] = MappingProxyType(
    {
        "FALSE": (0, 0, 0, 0),
        "AND": (0, 0, 0, 1),
        "A AND NOT B": (0, 0, 1, 0),
        "A": (0, 0, 1, 1),
        "B AND NOT A": (0, 1, 0, 0),
        "B": (0, 1, 0, 1),
        "XOR": (0, 1, 1, 0),
        "OR": (0, 1, 1, 1),
        "NOR": (1, 0, 0, 0),
        "XNOR": (1, 0, 0, 1),
        "NOT B": (1, 0, 1, 0),
        "A OR NOT B": (1, 0, 1, 1),
        "NOT A": (1, 1, 0, 0),
        "B OR NOT A": (1, 1, 0, 1),
        "NAND": (1, 1, 1, 0),
        "TRUE": (1, 1, 1, 1),
    }
)
CORNERS = tuple(product((0, 1), repeat=2))
# Weights and biases of all separable gates, the smallest first.
CANDIDATES = sorted(
    product((1, 0, -1), (1, 0, -1), (-0.5, 0.5, -1.5, 1.5)), key=lambda c: abs(c[0]) + abs(c[1])
)
MOST_INPUTS = 16  # of a truth table, which then has 65,536 rows


def single_neuron(
    w: Any,
    b: float,
    activation: Any = "step",
    backend: str | Backend | None = None,
    device: Any = None,
) -> MLP:
    """Make a network of one neuron, f = sigma(w.x + b).

    Parameters
    ----------
    w, b
        Weights (m,) and bias.
    activation
        "step" (the threshold neuron, 1 if z >= 0 else 0), or any other name or object. With an
        activation that no output has (tanh, relu, ...) the neuron is a hidden layer, followed by an
        output neuron of weight 1 and bias 0.
    backend, device
        As for `Network`. The parameters are float64.

    Notes
    -----
    Rosenblatt 1958, "The perceptron".

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.single_neuron([1, 1], -1.5)([[0, 1], [1, 1]])[:, 0]
    array([0., 1.])
    """
    where = "single_neuron"
    W = [_inputs.array(where, "w", w, (None,))[None, :]]
    bias = [_inputs.array(where, "b", b, ())[None]]
    sigma = activations.get(activation, where)
    output = next((k for k, v in activations.BY_NAME.items() if v == sigma), "")
    place = {"backend": backend, "device": device}
    if output in OUTPUTS:
        return MLP.from_weights(W, bias, output=output, **place)
    return MLP.from_weights([*W, [[1.0]]], [*bias, [0.0]], sigma, "identity", **place)


@dataclass(frozen=True, eq=False)
class DecisionLine:
    """The line (in m dimensions the hyperplane) w.x + b = 0.

    Attributes
    ----------
    normal, offset
        w: (m,), which points to the side of w.x + b > 0, and b.
    """

    normal: HostArray
    offset: float

    def distance(self, X: Any) -> HostArray:
        """Return the signed distances (w.x + b) / ||w|| of points. X: (n, m). Returns (n,)."""
        points = _inputs.array("DecisionLine.distance", "X", X, (None, self.normal.size))
        distances: HostArray = (points @ self.normal + self.offset) / np.linalg.norm(self.normal)
        return distances

    def segment(self, low: float = -0.5, high: float = 1.5) -> HostArray:
        """Return the ends of the part of the line inside the square [low, high]^2.

        (2, 2), a point a row; (0, 2) if the line misses the square.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.theory.decision_line(nn.theory.gate("AND")).segment(0, 2)
        array([[1.5, 0. ],
               [0. , 1.5]])
        """
        where = "DecisionLine.segment"
        low, high = _inputs.interval(where, "low, high", low, high)
        if self.normal.size != 2:
            raise ValueError(f"{where}: needs a neuron of 2 inputs, got {self.normal.size}.")
        foot = -self.offset * self.normal / (self.normal @ self.normal)
        along = np.array([-self.normal[1], self.normal[0]])
        moving = along != 0
        outside = (foot[~moving] < low) | (foot[~moving] > high)
        with np.errstate(over="ignore"):  # for an axis along which the line barely moves
            t = (np.array([[low], [high]]) - foot[moving]) / along[moving]
        start, stop = t.min(axis=0).max(), t.max(axis=0).min()
        if outside.any() or start > stop:
            return np.empty((0, 2))
        ends: HostArray = foot + np.array([[start], [stop]]) * along
        return ends


def decision_line(net: MLP) -> DecisionLine:
    """Return the decision line w.x + b = 0 of a single neuron.

    On the line a threshold neuron jumps from 0 to 1 and a sigmoid neuron is 1/2. A point's distance
    from it is (w.x + b) / ||w||.

    Parameters
    ----------
    net
        A network of one neuron, as `single_neuron` and `gate` return them.

    Examples
    --------
    >>> import nnpoly as nn
    >>> line = nn.theory.decision_line(nn.theory.gate("OR"))
    >>> line.normal, line.offset
    (array([1., 1.]), -0.5)
    """
    where = "decision_line"
    chain = _inputs.dense_chain(where, net)
    (_, W, b), *rest = chain
    is_identity = all(V.shape == (1, 1) and V == 1.0 and c == 0.0 for _, V, c in rest)
    if W.shape[0] != 1 or len(rest) > 1 or not is_identity:
        raise ValueError(
            f"{where}: `net` must be a single neuron, got widths {net.widths}. A network's "
            "boundary is no line in general."
        )
    if not W.any():
        raise ValueError(f"{where}: `net` must have a weight other than 0: it decides nothing.")
    return DecisionLine(W[0], float(b[0]))


def gate(
    name: str | Sequence[int], backend: str | Backend | None = None, device: Any = None
) -> MLP:
    """Make a logic gate of a threshold neuron, 1 if w.x + b >= 0 else 0.

    AND has w = (1, 1), b = -1.5 and OR has w = (1, 1), b = -0.5. Fourteen of the sixteen gates of
    two inputs are linearly separable and have weights in {-1, 0, 1} and a half-integer bias.

    Parameters
    ----------
    name
        One of `GATES`, such as "NAND", in any case; or a truth table: the values at (0,0), (0,1),
        (1,0), (1,1).
    backend, device
        As for `Network`.

    Raises
    ------
    ValueError
        For XOR and XNOR, with the proof that no neuron computes them.

    Notes
    -----
    Minsky and Papert 1969, "Perceptrons".

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.truth_table(nn.theory.gate("NAND"))
    {(0, 0): 1, (0, 1): 1, (1, 0): 1, (1, 1): 0}
    >>> nn.theory.gate([0, 1, 1, 1]).w  # OR
    array([ 1. ,  1. , -0.5])
    >>> nn.theory.gate("XOR")
    Traceback (most recent call last):
    ...
    ValueError: gate: XOR is not linearly separable, so no single neuron computes it. It would need
    w2 + b >= 0 and w1 + b >= 0, together w1 + w2 + 2b >= 0; but also b < 0 and w1 + w2 + b < 0,
    together w1 + w2 + 2b < 0: a contradiction. Use xor_network(), which has a hidden layer.
    """
    values = _truth_values(name)
    pairs = tuple(zip(CORNERS, values, strict=True))
    for w1, w2, b in CANDIDATES:
        if all((w1 * x1 + w2 * x2 + b >= 0) == f for (x1, x2), f in pairs):
            return single_neuron([w1, w2], b, "step", backend, device)
    raise ValueError(_contradiction(values))


def _truth_values(name: Any) -> TruthTable:
    """Return the truth table of a gate, given by name or as four values."""
    if isinstance(name, str) and name.upper() in GATES:
        return GATES[name.upper()]
    values = () if isinstance(name, str) or not hasattr(name, "__len__") else tuple(name)
    if len(values) != 4 or not all(value in (0, 1) for value in values):
        raise ValueError(
            f"gate: `name` must be one of {', '.join(GATES)}, or the four values 0 or 1 at (0,0), "
            f"(0,1), (1,0), (1,1), got {name!r}."
        )
    a, b, c, d = (int(value) for value in values)
    return a, b, c, d


def _contradiction(values: TruthTable) -> str:
    """Return the proof, as a message, that no weights satisfy XOR or XNOR."""
    sums = ("b", "w2 + b", "w1 + b", "w1 + w2 + b")
    ones = [s for s, f in zip(sums, values, strict=True) if f]
    zeros = [s for s, f in zip(sums, values, strict=True) if not f]
    known = {table: name for name, table in GATES.items()}
    return (
        f"gate: {known[values]} is not linearly separable, so no single neuron computes it. It "
        f"would need {ones[0]} >= 0 and {ones[1]} >= 0, together w1 + w2 + 2b >= 0; but also "
        f"{zeros[0]} < 0 and {zeros[1]} < 0, together w1 + w2 + 2b < 0: a contradiction. Use "
        "xor_network(), which has a hidden layer."
    )


def truth_table(net: MLP) -> dict[tuple[int, ...], int]:
    """Return the truth table of a network: 1 for f >= 1/2 and else 0, for all rows of 0 and 1.

    With two softmax outputs f is the second one, the probability of class 1.

    Parameters
    ----------
    net
        A network with m <= 16 inputs and one output, or two softmax outputs.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.truth_table(nn.theory.xor_network())
    {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0}
    """
    where = "truth_table"
    widths = _inputs.network(where, net).widths
    if widths[0] > MOST_INPUTS:
        raise ValueError(f"{where}: `net` must have at most {MOST_INPUTS} inputs, got {widths[0]}.")
    if widths[-1] != (2 if net.output == "softmax" else 1):
        raise ValueError(
            f"{where}: `net` must have one output, or two softmax outputs, got {widths[-1]} "
            f"{net.output} outputs."
        )
    rows = tuple(product((0, 1), repeat=widths[0]))
    f = registry.to_host(net(np.array(rows, dtype=net.dtype)))[:, -1]
    return {row: int(value >= 0.5) for row, value in zip(rows, f, strict=True)}


def xor_network(backend: str | Backend | None = None, device: Any = None) -> MLP:
    """Make XOR of two layers of threshold neurons: "OR and not AND".

    Hidden AND (1, 1, -1.5) and OR (1, 1, -0.5); output v = (-1, 1), b = -0.5. No single neuron
    computes XOR (`gate`). Minsky and Papert 1969, "Perceptrons".

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.xor_network()([[0, 0], [0, 1], [1, 0], [1, 1]])[:, 0]
    array([0., 1., 1., 0.])
    """
    Ws, bs = [[[1, 1], [1, 1]], [[-1, 1]]], [[-1.5, -0.5], [-0.5]]
    return MLP.from_weights(Ws, bs, "step", "step", backend=backend, device=device)
