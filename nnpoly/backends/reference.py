"""The reference that every backend is compared with: the definitions alone, on NumPy."""

from __future__ import annotations

from .numpy import NumPy


class Reference(NumPy):
    """NumPy without its fast implementations, since none is registered under this name."""

    name = "reference"
    in_place = False
