"""The C core's threads: by NNPOLY_NUM_THREADS, or one a CPU, or fewer by OMP_NUM_THREADS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import _checks

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "NNPOLY_NUM_THREADS"
OPENMP = "OMP_NUM_THREADS"  # which joblib, Dask and batch systems set in their workers
MOST = 256


def set_num_threads(count: int) -> None:
    """Set how many threads the C core may use, the calling one among them.

    Results do not depend on it, bit for bit. Threads start when a computation is first large enough
    for them, and sleep when there is nothing to do. Where there is no C core (see `show_config`)
    this changes nothing: NumPy's own libraries choose their threads.

    Parameters
    ----------
    count
        1 to 256. The default is NNPOLY_NUM_THREADS, or else the number of CPUs that this process
        may use, after its affinity and its control group's quota, and at most OMP_NUM_THREADS.

    Raises
    ------
    ValueError
        If it is not an integer in that range.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.set_num_threads(2)
    """
    count = _checks.integer("set_num_threads", "count", count)
    if count > MOST:
        raise ValueError(f"set_num_threads: `count` must be at most {MOST}, got {count}.")
    from . import registry

    registry.get("numpy", "set_num_threads").set_num_threads(count)


def default() -> int:
    """Return NNPOLY_NUM_THREADS, or the number of CPUs to use, at most OMP_NUM_THREADS."""
    text = os.environ.get(VARIABLE)
    if not text:
        return min(MOST, available_cpus(), _openmp())
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise ValueError(f"{VARIABLE}: must be an integer from 1 to {MOST}, got {text!r}.")
    return int(text)


def _openmp() -> int:
    """The threads that OMP_NUM_THREADS allows, of which it may name those of inner regions too."""
    outermost = os.environ.get(OPENMP, "").partition(",")[0].strip()
    return (int(outermost) if outermost.isdecimal() else 0) or MOST  # OpenMP ignores what is wrong


def available_cpus() -> int:
    """The number of CPUs that the process may use, by its affinity and control groups' quotas."""
    from pathlib import Path  # here, since `import nnpoly` does without it

    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min([count, *(int(quota) for quota in quotas(Path("/")))]))


def quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs that each control group allows, from the process's own up to the root."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            read, top = _quota_v2, root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            read, top = _quota_v1, root / "sys/fs/cgroup" / controllers
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            try:
                yield from read(folder)
            except (OSError, ValueError):
                continue  # no quota there, or not for us to read


def _quota_v2(folder: Path) -> Iterator[float]:
    quota, period = (folder / "cpu.max").read_text().split()
    if quota != "max":
        yield int(quota) / int(period)


def _quota_v1(folder: Path) -> Iterator[float]:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    if quota > 0:
        yield quota / int((folder / "cpu.cfs_period_us").read_text())
