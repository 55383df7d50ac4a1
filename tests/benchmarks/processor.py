"""The processor that is measured on: its name, its caches, its peak and its barriers."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
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
def peak(threads: int, bf16: bool = False) -> float | None:
    """Return the processor's multiply-adds in GFLOP/s; None without a C compiler.

    Parameters
    ----------
    threads : int
        How many compute.
    bf16 : bool
        Whether factors may be bfloat16; they are float32 else, as the sums are.
    """
    flags = ["-O2", "-march=native", "-ffp-contract=fast", "-DREAL=float"]
    flags += ["-DPAIRS"] * bf16
    printed = output([HERE / "peak.c"], flags, threads)
    return None if printed is None else float(printed)


def barrier(threads: int) -> dict[str, list[float]] | None:
    """Return samples of what it costs to share nothing, in ns; None without a C compiler.

    Parameters
    ----------
    threads : int
        How many share it.

    Returns
    -------
    dict of str to list of float
        "awake": with threads that look for work; "asleep": that sleep; "waking": of that, what the
        caller takes to wake them; "line": to read a cache line that the last thread wrote.
    """
    cext = HERE.parents[1] / "cext"
    flags = "-std=gnu11", "-O2", f"-I{cext}"
    printed = output([HERE / "barrier.c", cext / "pool.c"], flags, threads)
    if printed is None:
        return None
    lines = (line.split() for line in printed.splitlines())
    return {name: [float(sample) for sample in samples] for name, *samples in lines}


def output(sources: Sequence[Path], flags: Sequence[str], threads: int) -> str | None:
    """Return what a C program prints, given a number of threads; None without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/program"
        subprocess.run([compiler, *flags, "-pthread", *sources, "-o", program], check=True)
        done = subprocess.run([program, str(threads)], capture_output=True, text=True, check=True)
    return done.stdout
