"""The contestant of ways.py, nnpoly; a case is `fit:way` or `predict:way`, of support/arrivals.py.

A sample times the entry on a plain array in C order and on the array as it comes, in turn.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from timing import Case

sys.path.append(str(Path(__file__).parents[1] / "support"))

from arrivals import SPARSE, WAYS

ROWS, WIDTHS, EPOCHS = 20_000, [64, 128, 128, 10], 2
DENSITY = 0.2


def versions(contestant: str) -> dict[str, str]:
    """Return the versions of the libraries that arrays come from."""
    names = ["nnpoly", "numpy", "scipy", "pandas", "polars"]
    return {name: metadata.version(name) for name in names}


def prepare(contestant: str, case: str) -> Case:
    """Return a way into an entry."""
    entry, _, way = case.partition(":")
    try:
        return Coming(entry, way)
    except ImportError as error:
        return Case(unavailable=str(error))


class Coming(Case):
    """An entry, timed on a plain array and on one that comes another way.

    A list and a sparse matrix must become an array whoever does it, so the plain array is then
    made by their own library, within the time.
    """

    def __init__(self, entry: str, way: str) -> None:
        import nnpoly as nn

        rng = np.random.default_rng(0)
        X = rng.standard_normal((ROWS, WIDTHS[0]), dtype=np.float32)
        X *= rng.random(X.shape) < DENSITY
        self.y = rng.integers(WIDTHS[-1], size=ROWS)
        self.folder = tempfile.TemporaryDirectory()
        self.nn, self.entry, self.plain = nn, entry, X
        self.come = WAYS[way](X, Path(self.folder.name))
        self.made = way in ("list", *SPARSE)
        same = bool(np.array_equal(self.run(self.array()), self.run(self.come)))
        super().__init__(rows=ROWS, network=WIDTHS, same_bits=same)

    def array(self) -> np.ndarray:
        """Return the plain array, made of what came where that takes work in any case."""
        if not self.made:
            return self.plain
        if isinstance(self.come, list):
            return np.array(self.come, np.float32)
        return self.come.toarray()

    def run(self, X: Any) -> np.ndarray:
        """Return what the entry makes of X."""
        net = self.nn.MLP(WIDTHS, seed=0)
        if self.entry == "predict":
            return net(X)
        self.nn.Trainer(net).fit(X, self.y, EPOCHS, 100)
        return net.w

    def sample(self, number: int) -> dict[str, float]:
        """Return the milliseconds of both."""
        start = perf_counter()
        self.run(self.array())
        middle = perf_counter()
        self.run(self.come)
        end = perf_counter()
        return {"plain": (middle - start) * 1e3, "way": (end - middle) * 1e3}
