"""Time the kernels of a training step, one by one: nnpoly beside NumPy and torch, in float32.

Products are given in GFLOP/s and as a share of the processor's peak, which is measured here;
activations in nanoseconds an element. Each contestant has a process of its own; they take turns,
and one that is not being timed is stopped. See README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from remote import Remote
from step import cpu
from table import rate

CONTESTANTS = ["nnpoly", "numpy", "torch"]
SHAPES = [
    "32x64x64",
    "64x128x128",
    "200x64x100",
    "128x784x512",
    "128x512x512",
    "256x1024x1024",
    "512x1024x1024",
    "1024x4096x1024",
]
SIGMAS = ["relu", "sigmoid", "tanh", "elu", "softplus", "silu", "gelu"]
ELEMENTS = ["65536", "1000000"]
KERNELS = (
    [f"{name}:{shape}" for name in ("dense", "delta", "gradients") for shape in SHAPES]
    + [f"sigma:{count}:{sigma}" for count in ELEMENTS for sigma in SIGMAS]
    + [f"slope:{count}:{sigma}" for count in ELEMENTS for sigma in ("tanh", "gelu")]
)
TOLERANCE = 1e-4  # of the largest value


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


def measure(kernel: str, remotes: list[Remote], rounds: int) -> list[dict[str, Any]]:
    """Return a row for each contestant, after comparing their results with NumPy's."""
    rows = [
        {"kernel": kernel, "contestant": remote.name, "us": [], "fault": ""}
        | remote.ask("prepare", kernel=kernel)
        for remote in remotes
    ]
    for _ in range(rounds):
        for remote, row in random.sample(list(zip(remotes, rows, strict=True)), len(rows)):
            if not row["fault"]:
                reply = remote.ask("block", steps=row["steps"])
                row["fault"] = reply.get("fault", "")
                row["us"] += [reply["us"]] if "us" in reply else []
    right = next(row for row in rows if row["contestant"] == "numpy").get("values")
    for row in rows:
        values = row.pop("values", None)
        if not row["fault"] and not agree(values, right):
            row["fault"] = "MISMATCH"
    return rows


def agree(values: list[float], right: list[float]) -> bool:
    """Whether results are those of NumPy, to float32's rounding; the last is their sum."""
    *values, total = values
    *right, right_total = right
    close = all(
        abs(value - want) <= TOLERANCE * max(map(abs, right))
        for value, want in zip(values, right, strict=True)
    )
    return close and abs(total - right_total) <= TOLERANCE * right_total


def line(rows: list[dict[str, Any]], best: float | None) -> str:
    """Return a kernel's line: each contestant's rate, and how much faster nnpoly is."""
    cells = [rate(row, best) if row["us"] else row["fault"] for row in rows]
    ours, *others = (median(row["us"]) if row["us"] else math.nan for row in rows)
    ratios = [f"{other / ours:.2f}x" for other in others]
    faults = [f"{row['contestant']}: {row['fault']}" for row in rows if row["fault"]]
    columns = [rows[0]["kernel"].ljust(26), *(cell.rjust(13) for cell in cells)]
    return " ".join([*columns, *(ratio.rjust(8) for ratio in ratios), *faults])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--kernels", nargs="+", default=KERNELS, help="such as dense:32x64x64 sigma:65536:tanh")
    add("--threads", type=int, default=2, help="of each contestant, default: %(default)s")
    add("--rounds", type=int, default=7, help="blocks of 50 ms each, default: %(default)s")
    add("--json", type=Path, help="also write every sample to this file")
    arguments = parser.parse_args()
    if min(arguments.threads, arguments.rounds) < 1:
        parser.error("--threads and --rounds must be at least 1")
    return arguments


def run(
    kernels: list[str],
    contestants: list[str],
    script: str,
    setting: dict[str, str],
    best: float | None,
    json_path: Path | None,
) -> int:
    """Time and print every kernel; return 1 if a contestant failed or computed something else.

    The table has the others' times over the first contestant's; `script` answers for each.
    """
    threads, rounds, found = int(setting["threads"]), int(setting["rounds"]), []
    setting = setting | {"load": f"{os.getloadavg()[0]:.2f}"}
    print(*(f"{key}: {value}" for key, value in setting.items()), sep="\n")
    heads = [*(f"{name:>13}" for name in contestants), *(f"{n[:8]:>8}" for n in contestants[1:])]
    print("", f"{'':26} " + " ".join(heads), sep="\n", flush=True)
    with ExitStack() as stack:
        workers = [Remote(name, threads, script) for name in contestants]
        remotes = [stack.enter_context(remote) for remote in workers]
        for kernel in kernels:
            rows = measure(kernel, remotes, rounds)
            print(line(rows, best), flush=True)
            found += rows
    if json_path:
        document = {"setting": setting, "peak": best, "rows": found}
        json_path.write_text(json.dumps(document, indent=1) + "\n")
    return int(any(row["fault"] and "unavailable" not in row["fault"] for row in found))


def main() -> int:
    """Run the benchmark; return 1 if a contestant failed or computed something else."""
    arguments = parse_arguments()
    threads = arguments.threads
    best = peak(threads)
    setting = {"cpu": cpu(), "threads": str(threads), "rounds": str(arguments.rounds)}
    setting |= {"peak": f"{best:.0f} GFLOP/s" if best else "not measured: no C compiler"}
    setting |= {name: version(name) for name in ("numpy", "torch", "nnpoly")}
    script, path = "kernel_worker.py", arguments.json
    return run(arguments.kernels, CONTESTANTS, script, setting, best, path)


if __name__ == "__main__":
    sys.exit(main())
