"""The reference: the definitions alone, on NumPy. What every backend is compared with."""

from __future__ import annotations

from .numpy import NumPy


class Reference(NumPy):
    """NumPy without its fast implementations, since none is registered under this name."""

    name = "reference"
    in_place = False
