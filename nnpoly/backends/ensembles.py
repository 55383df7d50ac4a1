"""Ensembles for tables: what a backend is asked for, to predict by many networks in one call."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Input(NamedTuple):
    """An input of networks for tables, as it comes from a row's cells.

    Cells are float64, NaN where they are missing. What is scaled is z = (x - center) factor, and
    z / sqrt(1 + (z / 3)^2) if it is smooth; first x - center is clipped to +-1e300, and then z to
    +-1e30.

    Attributes
    ----------
    kind
        "cell": the cell as it is; "number": the cell, scaled, 0 where it is NaN; "missing": whether
        it is NaN, 0 or 1, scaled; "value": whether it is `value`, 0 or 1, scaled.
    column
        The cell's.
    smooth, value, center, factor
        Of those that have them.
    """

    kind: Literal["cell", "number", "missing", "value"]
    column: int
    smooth: bool = False
    value: float = 0.0
    center: float = 0.0
    factor: float = 1.0


class Averaged(NamedTuple):
    """How outputs of networks (n, K) become a prediction: the mean of what each gives.

    It gives f scales + shifts, clipped to `lows` and `highs` where there are such; without scales
    each row divided by its sum. All of this is float64's.
    """

    output: str
    scales: tuple[float, ...] | None = None
    shifts: tuple[float, ...] | None = None
    lows: tuple[float, ...] | None = None
    highs: tuple[float, ...] | None = None
