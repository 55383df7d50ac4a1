"""Types of arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

Array: TypeAlias = Any
Namespace: TypeAlias = Any
Scalar: TypeAlias = Any  # a Python float, or a traced 0-d array in a compiled step
