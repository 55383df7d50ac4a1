"""What a training step must at least do: multiply-adds, and bytes to and from memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

REAL = 4  # bytes; float32 is counted for every precision


@dataclass(frozen=True)
class Work:
    """What one step takes.

    Parameters
    ----------
    flop : int
        Of the products: forward, the weights' gradients, and the deltas below the first layer.
    bytes : int
        Of arrays that are read and written, by a step that fuses what touches the same numbers.
    """

    flop: int
    bytes: int

    def seconds(self, peak: float, bandwidth: float) -> float:
        """Return the least time at a rate of products (FLOP/s) and of memory (bytes/s).

        Parameters
        ----------
        peak, bandwidth : float
            As measured.

        Returns
        -------
        float
            The roofline: the longer of the two.
        """
        return max(self.flop / peak, self.bytes / bandwidth)


def work(widths: list[int], n: int) -> Work:
    """Count a step with Adam on a batch.

    Parameters
    ----------
    widths : list of int
        Of the inputs and of each layer.
    n : int
        Rows of the batch.

    Returns
    -------
    Work
        Its counts.
    """
    layers = list(pairwise(widths))
    first = layers[0][0] * layers[0][1]
    products = sum(m_in * m for m_in, m in layers)
    numbers = parameters(layers) - first + activations(widths, n)
    return Work(flop=2 * n * (3 * products - first), bytes=REAL * numbers)


def parameters(layers: list[tuple[int, int]]) -> int:
    """Count what is read and written of parameters, if each layer passes a delta down.

    Ten numbers each: read forward and backward; the gradient written and read; Adam reads and
    writes the parameter and two moments.

    Parameters
    ----------
    layers : list of tuple of int
        Inputs and outputs of each.

    Returns
    -------
    int
        How many numbers.
    """
    return 10 * sum(m_in * m for m_in, m in layers) + 9 * sum(m for _, m in layers)


def activations(widths: list[int], n: int) -> int:
    """Count what is read and written of activations and deltas.

    The inputs are read forward and for dW. A hidden layer's activations are written, and read by
    the next product, for dW and for the slope; its deltas are written, and read for dW and for
    the delta below (not in the first layer). Scores are written, and read by the loss.

    Parameters
    ----------
    widths : list of int
        Of the inputs and of each layer.
    n : int
        Rows of the batch.

    Returns
    -------
    int
        How many numbers.
    """
    inputs, *hidden, outputs = widths
    deltas = 3 * (sum(hidden) + outputs) - widths[1]
    return n * (2 * inputs + 4 * sum(hidden) + 2 * outputs + deltas)
