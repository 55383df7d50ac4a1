"""A first network starts fast: it imports little beside NumPy."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("array_api_compat", "numpy.f2py", "numpy.testing", "numpy.ma", "unittest", "json", "email")


def test_a_first_network_imports_little():
    """array-api-compat alone would import NumPy's tests and its Fortran compiler: 100 ms."""
    code = (
        "import numpy, sys; before = set(sys.modules)\n"
        "import nnpoly; net = nnpoly.MLP([2, 3, 1], output='identity'); net([[1.0, 2.0]])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    new = process.stdout.split()
    assert "nnpoly.network" in new
    assert [name for name in new if name.startswith(SLOW)] == []


def test_the_package_of_backends_is_callable_and_its_modules_can_be_imported_by_name():
    code = (
        "import nnpoly.backends.registry as registry, nnpoly as nn\n"
        "assert nn.backends() == registry.backends()\n"
        "assert nn.backends.Backend is registry.Backend"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
