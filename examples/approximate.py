"""
The universal approximator
==========================

One hidden layer approximates any continuous function on an interval as closely as is asked for, if
it is wide enough. Put a function of your own in ``g``, and see how wide.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, VERMILION

LOW, HIGH, EPS = -2.0, 2.0, 0.01


def g(x):
    """Return the function's values: it must take and return an array (n,)."""
    return np.sin(3 * x) * np.exp(-0.3 * x) + 0.5 * np.abs(x - 0.5)


def main():
    found = nn.theory.approximate(g, (LOW, HIGH), eps=EPS)
    print(found)
    assert found.reached

    x = np.sort(np.random.default_rng(0).uniform(LOW, HIGH, 10_000))  # points of our own
    error = g(x) - found.network(x[:, None])[:, 0]
    print(f"largest error at {len(x)} random points: {np.abs(error).max():.4f}")
    assert np.abs(error).max() < 1.1 * EPS  # the grid's maximum is no proof for points between

    _, (above, below) = plt.subplots(2, 1, figsize=(6.4, 5.6), layout="constrained")
    above.plot(x, g(x), color=VERMILION, linewidth=3, label="g")
    above.plot(x, g(x) - error, "--", color=BLUE, label=f"network of width {found.width}")
    above.set(xlabel="x", ylabel="value")
    above.legend()
    widths, errors = zip(*found.table, strict=True)
    below.loglog(widths, errors, "o-", color=BLUE, label="largest error on a fine grid")
    below.axhline(EPS, color="black", linestyle=":", label="asked for")
    below.set(xlabel="hidden width", ylabel="sup error", xticks=widths, xticklabels=widths)
    below.minorticks_off()
    below.legend()
    plt.show()


if __name__ == "__main__":
    main()
