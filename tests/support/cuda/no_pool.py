"""A pytest plugin: every array is an allocation of its own, so compute-sanitizer sees its end."""

from typing import Any


def pytest_configure(config: Any) -> None:
    import cupy

    cupy.cuda.set_allocator(None)
