"""A stand-in for CuPy on the CPU, so that the CuPy backend's own code runs where there is no GPU.

`install()` puts modules called "cupy" and "cupyx" (and, where asked for, "nvmath") into
`sys.modules`. Arrays are NumPy's behind a class that only device operations may touch; kernels are
the backend's CUDA source, compiled for the host by `shim.h`. Where CuPy differs from NumPy, this
does what CuPy does, and where CUDA would be silently wrong, it raises:

- arrays of NumPy do not mix with the device's, and results without dimensions stay arrays;
- arrays belong to one of two devices, and work on them needs that device to be current;
- new memory holds NaN, and what a kernel writes outside of its memory is found;
- a kernel's arguments must be of the kinds that its parameters have;
- streams other than the null stream do their work as late as they may (in `late()` it does, too),
  so that what should have waited and has not finds NaN;
- a capture records instead of working, and refuses what CUDA and CuPy refuse.

It cannot show how long anything takes, what a device's own functions and cuBLAS return in the last
bits, races between threads or blocks (though `NNPOLY_STANDIN_ORDER` = forward, reversed or
shuffled permutes their order), or whether CUDA's compiler takes the source.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib.util import find_spec

from . import kernels
from .modules import install
from .streams import late

__all__ = ["install", "install_without_a_gpu", "late"]

VARIABLE = "NNPOLY_STANDIN"


@cache
def install_without_a_gpu() -> bool:
    """Install the stand-in unless a GPU, no compiler or NNPOLY_STANDIN=0 speak against it."""
    if os.environ.get(VARIABLE) == "0" or not shutil.which(kernels.COMPILER) or _gpu():
        return False
    install(nvmath=True)
    return True


def _gpu() -> bool:
    if not find_spec("cupy"):
        return False
    import cupy

    return bool(cupy.cuda.is_available())
