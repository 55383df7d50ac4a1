"""Versions and backends, for bug reports."""

from __future__ import annotations

import platform
import sys

from . import registry

__version__ = "0.1.0"  # pyproject.toml has it too


def config() -> dict[str, str]:
    """Return versions, each backend with its device or the reason why it is missing, the C core."""
    rows = {
        "nnpoly": __version__,
        "Python": f"{platform.python_version()} on {platform.machine()} {sys.platform}",
    }
    for name, state in registry.backends().items():
        if state:
            backend = registry.get(name)
            rows |= {name: backend.version(), **backend.details()}
        else:
            rows[name] = str(state)
    return rows


def show_config() -> None:
    """Print versions, backends and the C core: what to quote in a bug report.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.show_config()
    nnpoly  0.1.0
    Python  3...
    numpy   2...
    C core  ...
    """
    for name, value in config().items():
        print(f"{name:<6}  {value}")
