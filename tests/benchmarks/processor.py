"""The processor that is measured on: its name, its caches and its peak."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def name() -> str:
    """Return the model, and how many CPUs this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.machine()}, {count} CPUs"


def caches(folder: Path = CACHES) -> str:
    """Return the size and the ways of each cache of data, or "" where the system doesn't say.

    Parameters
    ----------
    folder : Path
        Where Linux describes them.
    """
    found = []
    for cache_ in sorted(folder.glob("index*")):
        level, kind, size, ways = (
            (cache_ / part).read_text().strip()
            for part in ("level", "type", "size", "ways_of_associativity")
        )
        if kind != "Instruction":
            found.append(f"L{level} {size.replace('K', ' KiB')} of {ways} ways")
    return ", ".join(found)


@cache
def peak(threads: int) -> float | None:
    """Return the processor's float32 multiply-adds in GFLOP/s; None without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/peak"
        flags = "-O2", "-march=native", "-ffp-contract=fast", "-pthread", "-DREAL=float"
        source = Path(__file__).with_name("peak.c")
        subprocess.run([compiler, *flags, source, "-o", program], check=True)
        done = subprocess.run([program, str(threads)], capture_output=True, text=True, check=True)
    return float(done.stdout)
