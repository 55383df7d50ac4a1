"""The linear pieces of a piecewise linear network, found exactly from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from .. import _checks
from ..activations import Activation, Identity, LeakyReLU, Linear, ReLU
from ..network import Network
from . import _inputs
from ._inputs import HostArray

Line = tuple[Fraction, Fraction]  # slope and intercept
ZERO = Fraction(0)


@dataclass(frozen=True)
class Piece:
    """An interval on which every neuron of a layer is linear."""

    start: Fraction
    stop: Fraction
    lines: list[Line]


def count_linear_pieces(net: Network, a: float, b: float) -> int:
    """Return the number of linear pieces of x -> f(x) on [a, b], exactly.

    A piece is a longest interval on which f is one line. The weights' float values are taken as
    the rational numbers that they are; layer by layer each interval is cut where a pre-activation
    w h + b changes sign, and neighbours of equal slope are joined at the end. Nothing is sampled
    and nothing rounded, so the count is that of the real function (a float evaluation rounds).

    Parameters
    ----------
    net
        Dense layers of relu, leaky_relu, linear or identity activations, one input and one output,
        the identity.
    a, b
        The interval's ends, a < b.

    Notes
    -----
    Telgarsky 2015, arXiv:1509.08101. The time is that of (pieces times weights) fractions.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.count_linear_pieces(nn.theory.tent_network(5), 0, 1)
    32
    """
    where = "count_linear_pieces"
    low, high = _inputs.interval(where, "a, b", a, b)
    chain = _inputs.dense_chain(where, net)
    if net.widths[0] != 1 or net.widths[-1] != 1 or net.output != "identity":
        raise ValueError(
            f"{where}: `net` must have one input and one identity output, got {net!r}."
        )
    slopes = [_slopes(where, sigma) for sigma, _, _ in chain]
    start = Piece(Fraction(low), Fraction(high), [(Fraction(1), ZERO)])
    pieces = [start]
    for (_, W, bias), slope in zip(chain, slopes, strict=True):
        rows, shifts = _fractions(W), _fractions(bias[None, :])[0]
        moved = [Piece(p.start, p.stop, _affine(rows, shifts, p.lines)) for p in pieces]
        pieces = [cut for p in moved for cut in _bent(p, *slope)]
    found = [piece.lines[0][0] for piece in pieces]
    return 1 + sum(left != right for left, right in pairwise(found))


def _slopes(where: str, sigma: Activation) -> tuple[Fraction, Fraction]:
    """Return the activation's slopes below and above 0."""
    if isinstance(sigma, ReLU):
        return ZERO, Fraction(1)
    if isinstance(sigma, LeakyReLU):
        return Fraction(sigma.a), Fraction(1)
    if isinstance(sigma, Identity | Linear):
        a = Fraction(sigma.a if isinstance(sigma, Linear) else 1)
        return a, a
    raise ValueError(
        f"{where}: `net` must have relu, leaky_relu, linear or identity activations, got {sigma}: "
        "it is not piecewise linear."
    )


def _fractions(matrix: HostArray) -> list[list[Fraction]]:
    return [[Fraction(value) for value in row] for row in matrix.tolist()]


def _affine(rows: list[list[Fraction]], shifts: list[Fraction], lines: list[Line]) -> list[Line]:
    """Return the lines of W h + b, given those of h; neurons that are off add nothing."""
    live = [(k, s, c) for k, (s, c) in enumerate(lines) if s or c]
    return [
        (
            sum((row[k] * s for k, s, _ in live), ZERO),
            sum((row[k] * c for k, _, c in live), shift),
        )
        for row, shift in zip(rows, shifts, strict=True)
    ]


def _bent(piece: Piece, below: Fraction, above: Fraction) -> list[Piece]:
    """Return a piece of pre-activations cut at their zeros, after the activation."""
    zeros = {-c / s for s, c in piece.lines if s} if below != above else set()
    inside = sorted(zero for zero in zeros if piece.start < zero < piece.stop)
    ends = [piece.start, *inside, piece.stop]
    bent = []
    for start, stop in pairwise(ends):
        middle = (start + stop) / 2
        factors = [above if s * middle + c > 0 else below for s, c in piece.lines]
        lines = [(f * s, f * c) for f, (s, c) in zip(factors, piece.lines, strict=True)]
        bent.append(Piece(start, stop, lines))
    return bent


def shallow_width_bound(pieces: int) -> int:
    """Return the least width of a one-hidden-layer ReLU network on a line with so many pieces.

    m neurons bend the line at most m times, so it has at most m + 1 pieces: m >= pieces - 1. The
    tent map's k-fold composition has 2^k, so a shallow network needs at least 2^k - 1 neurons.
    Telgarsky 2015, arXiv:1509.08101.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.shallow_width_bound(2**10)
    1023
    """
    return _checks.integer("shallow_width_bound", "pieces", pieces) - 1
