"""The linear pieces of piecewise linear networks, exactly from the weights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from .. import _checks
from ..activations import Activation, Identity, LeakyReLU, Linear, ReLU
from ..network import Network
from . import _inputs
from ._inputs import HostArray

Line = tuple[int, int]  # slope and intercept, as numerators over the layer's denominator


@dataclass(frozen=True)
class Piece:
    """An interval on which all neurons of a layer are linear, with their lines."""

    start: Fraction
    stop: Fraction
    lines: list[Line]


def count_linear_pieces(net: Network, a: float, b: float) -> int:
    """Count the linear pieces of x -> f(x) on [a, b], exactly.

    A piece is a maximal interval on which f is linear. The floats are treated as the rational
    numbers that they are. Layer by layer each interval is cut at the sign changes of the
    pre-activations w h + b; neighbours of equal slope are joined at the end. Nothing is sampled or
    rounded.

    Parameters
    ----------
    net
        Dense layers of relu, leaky_relu, linear or identity activations, one input and one output,
        the identity.
    a, b
        The interval's ends, a < b.

    Notes
    -----
    Telgarsky 2015, arXiv:1509.08101. The cost is the number of pieces times the number of weights;
    the integers grow by the bits of a float with every layer.

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
    bends = [_bend(where, sigma) for sigma, _, _ in chain]
    pieces, scale = [Piece(Fraction(low), Fraction(high), [(1, 0)])], 1
    for (_, W, bias), (below, above, common) in zip(chain, bends, strict=True):
        rows, denominator = _integers(np.column_stack([W, bias]))
        moved = [Piece(p.start, p.stop, _affine(rows, p.lines, scale)) for p in pieces]
        pieces = [cut for p in moved for cut in _bent(p, below, above)]
        scale *= denominator * common
    found = [piece.lines[0][0] for piece in pieces]
    return 1 + sum(left != right for left, right in pairwise(found))


def _bend(where: str, sigma: Activation) -> tuple[int, int, int]:
    """Return the activation's slopes below and above 0, and their common denominator."""
    if isinstance(sigma, ReLU):
        return 0, 1, 1
    if isinstance(sigma, LeakyReLU):
        below, common = Fraction(sigma.a).as_integer_ratio()
        return below, common, common
    if isinstance(sigma, Identity | Linear):
        a, common = Fraction(sigma.a if isinstance(sigma, Linear) else 1).as_integer_ratio()
        return a, a, common
    raise ValueError(
        f"{where}: `net` must have relu, leaky_relu, linear or identity activations, got {sigma}: "
        "it is not piecewise linear."
    )


def _integers(matrix: HostArray) -> tuple[list[list[int]], int]:
    """Return floats as integers over a common denominator, a power of 2."""
    ratios = [[value.as_integer_ratio() for value in row] for row in matrix.tolist()]
    common = max(q for row in ratios for _, q in row)
    return [[p * (common // q) for p, q in row] for row in ratios], common


def _affine(rows: list[list[int]], lines: list[Line], scale: int) -> list[Line]:
    """Return the lines of W h + b, given those of h; neurons that are 0 are skipped.

    A row is (W_j, b_j): the bias is the weight of the constant 1, whose line is (0, scale).
    """
    nonzero = [(k, s, c) for k, (s, c) in enumerate([*lines, (0, scale)]) if s or c]
    return [
        (sum(row[k] * s for k, s, _ in nonzero), sum(row[k] * c for k, _, c in nonzero))
        for row in rows
    ]


def _bent(piece: Piece, below: int, above: int) -> list[Piece]:
    """Cut a piece at the zeros of its pre-activations, and apply the activation."""
    zeros = {Fraction(-c, s) for s, c in piece.lines if s} if below != above else set()
    inside = sorted(zero for zero in zeros if piece.start < zero < piece.stop)
    bent = []
    for start, stop in pairwise([piece.start, *inside, piece.stop]):
        x, q = ((start + stop) / 2).as_integer_ratio()
        factors = [above if s * x + c * q > 0 else below for s, c in piece.lines]
        lines = [(f * s, f * c) for f, (s, c) in zip(factors, piece.lines, strict=True)]
        bent.append(Piece(start, stop, lines))
    return bent


def shallow_width_bound(pieces: int) -> int:
    """Return the least width of a ReLU network of one hidden layer with so many linear pieces.

    m neurons bend a line at most m times, into at most m + 1 pieces, so m >= pieces - 1. The k-fold
    tent map has 2^k pieces, so a shallow network needs at least 2^k - 1 neurons.
    Telgarsky 2015, arXiv:1509.08101.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.shallow_width_bound(2**10)
    1023
    """
    return _checks.integer("shallow_width_bound", "pieces", pieces) - 1
