"""The table of primitives: every computation of the library, written once in the array API.

The text of a primitive is its definition. A backend may register a faster implementation with a
guard that says which arguments it accepts; where the guard says no, the definition runs. One
parametrised test walks the table and compares every registered implementation with the definition
in float64, so no fast path can exist untested.

A primitive's first argument is `ops`, the table bound to one backend (`Ops`): `ops.xp` is the array
namespace, and `ops.dense`, `ops.adam`, ... are the primitives themselves. Three rules hold:

- a definition is pure: it modifies none of its arguments and knows no backend;
- arguments named in `donates` are given away: an implementation may overwrite them and return them;
- hyper-parameters are Python floats (or traced scalars), so they never promote an array.
"""

from . import members  # noqa: F401  its definitions
from .arrays import Array, Namespace, Scalar
from .bfloat16 import SMALLEST, RoundedFactors
from .definitions import TAIL_CENTRE, TAIL_END, narrowed, tail_series, widened
from .table import (
    IMPLEMENTATIONS,
    TABLE,
    ElementLoss,
    Elementwise,
    Implementation,
    Ops,
    Primitive,
    RowLoss,
    implements,
    primitive,
)
from .tabular import is_category

__all__ = [
    "IMPLEMENTATIONS",
    "SMALLEST",
    "TABLE",
    "TAIL_CENTRE",
    "TAIL_END",
    "Array",
    "ElementLoss",
    "Elementwise",
    "Implementation",
    "Namespace",
    "Ops",
    "Primitive",
    "RoundedFactors",
    "RowLoss",
    "Scalar",
    "implements",
    "is_category",
    "narrowed",
    "primitive",
    "tail_series",
    "widened",
]
