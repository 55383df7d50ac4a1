"""NumPy without the C core, as a backend: what runs where there was no compiler."""

from __future__ import annotations

from nnpoly.backends import get, register
from nnpoly.backends.numpy import NumPy
from nnpoly.primitives import IMPLEMENTATIONS


class Plain(NumPy):
    """NumPy arrays, and NumPy's own implementations alone."""

    name = "plain"


def _load() -> Plain:
    get("numpy")  # which registers them
    for (backend, primitive), rows in list(IMPLEMENTATIONS.items()):
        own = [row for row in rows if row.function.__module__ == "nnpoly.backends.numpy.kernels"]
        if backend == "numpy" and own:
            IMPLEMENTATIONS["plain", primitive] = own
    return Plain()


register("plain", _load)
