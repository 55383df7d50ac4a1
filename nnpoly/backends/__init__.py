"""Backends: the array libraries that nnpoly computes with.

`nn.backends()` calls this package: it lists them all. To add one, subclass `Backend` and `register`
it; see docs/internals/backend.md.
"""

import sys
from types import ModuleType

from . import registry
from .base import Backend
from .registry import Availability, get, register

__all__ = ["Availability", "Backend", "get", "register"]


class _CallablePackage(ModuleType):
    """A package that can be called: a function `backends` beside it would hide its modules."""

    def __call__(self) -> dict[str, Availability]:
        return registry.backends()


sys.modules[__name__].__class__ = _CallablePackage
