"""The reference: the definitions alone, on NumPy. What every backend is compared with."""

from __future__ import annotations

from functools import cached_property

from ..primitives import Ops
from .numpy import NumPy


class Reference(NumPy):
    """NumPy without its fast implementations; `net.to(Reference())` computes with definitions."""

    name = "reference"
    in_place = False

    @cached_property
    def ops(self) -> Ops:
        """The definitions."""
        return Ops(self.xp)
