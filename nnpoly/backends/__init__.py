"""Backends: the array libraries that nnpoly computes with.

To add one, subclass `Backend` and `register` it; see docs/internals/backend.md.
"""

from .base import Backend
from .registry import Availability, get, register

__all__ = ["Availability", "Backend", "get", "register"]
