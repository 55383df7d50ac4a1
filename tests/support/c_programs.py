"""Programs in C that `to_c` wrote, compiled and called."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GCC = shutil.which("gcc")
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
needs_gcc = pytest.mark.skipif(GCC is None, reason="gcc is not installed")


def compile_c(
    header: Path, *flags: str, command: Sequence[str] = ("gcc",), language: str = "c"
) -> Path:
    """Compile a header by itself as flags say; returns what was made."""
    made = header.with_suffix(".so" if "-shared" in flags else ".o")
    given = [*command, *flags, "-x", language, str(header), "-o", str(made)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


class Library:
    """Compiled headers in one library."""

    def __init__(self, headers: Sequence[Path], folder: Path, *flags: str) -> None:
        source = folder / "all.h"
        source.write_text("".join(f'#include "{header}"\n' for header in headers))
        flags = flags or ("-O1", "-march=native")
        made = compile_c(source, "-std=c99", "-shared", "-fPIC", *STRICT, *flags)
        self._library = ctypes.CDLL(str(made))

    def rows(self, name: str, X: np.ndarray, outputs: int, gives: Any = None) -> np.ndarray:
        """Each row's outputs, computed one by one."""
        given, out = np.ascontiguousarray(X), np.empty((len(X), outputs), gives or X.dtype)
        function = self._library[name]
        for x, row in zip(given, out, strict=True):
            function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(row.ctypes.data))
        return out

    def batch(self, name: str, X: np.ndarray, outputs: int, gives: Any = None) -> np.ndarray:
        """All rows' outputs, computed together."""
        given, out = np.ascontiguousarray(X), np.empty((len(X), outputs), gives or X.dtype)
        places = ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(out.ctypes.data)
        self._library[f"{name}_batch"](*places, ctypes.c_size_t(len(X)))
        return out

    def __getitem__(self, name: str) -> Any:
        return self._library[name]
