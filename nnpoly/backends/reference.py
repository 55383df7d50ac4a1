"""The reference that every backend is compared with: the definitions alone, on NumPy."""

from __future__ import annotations

from .numpy import NumPy


class Reference(NumPy):
    """NumPy without its fast implementations, since none is registered under this name."""

    name = "reference"
    in_place = False

    def check_precision(self, where: str, precision: str, dtype: str) -> None:
        # The definition rounds the numbers of any dtype.
        super().check_precision(where, precision, "float32")
