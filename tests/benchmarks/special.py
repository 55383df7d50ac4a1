"""Two questions beside step.py: networks that have learnt their batch by heart, and ensembles.

By heart: the same step on fresh parameters, and on parameters that solve the batch so surely that
deltas and moments are denormal. Ensembles: 64 networks trained together, and in turn with
one thread a step and with all. A process for each contestant; fresh and learnt steps take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from remote import Remote
from step import cpu

BY_HEART = "64-100-10:tanh:b200"
MEMBERS = "17-64-64-6:tanh:b64"
CONTESTANTS = ["nnpoly", "numpy", "torch", "jax"]


def by_heart(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each contestant: microseconds a step, fresh and learnt."""
    rows = []
    with ExitStack() as stack:
        remotes = [Remote(name, threads, "special_worker.py") for name in CONTESTANTS]
        for remote in [stack.enter_context(remote) for remote in remotes]:
            row = {"contestant": remote.name, "fresh": [], "learnt": []}
            row |= remote.ask("learn", network=BY_HEART)
            for _ in range(rounds if "fault" not in row else 0):
                for kind in ("fresh", "learnt"):
                    row[kind].append(remote.ask("block", kind=kind, steps=row["steps"])["us"])
            rows.append(row)
    return rows


def ensembles(threads: int, rounds: int) -> dict[str, list[float]]:
    """Return microseconds a member and step: together, in turn, and in turn on one thread."""
    found: dict[str, list[float]] = {"together": [], "in turn": [], "in turn, one thread": []}
    with Remote("nnpoly", threads, "special_worker.py") as remote:
        for _ in range(rounds):
            for way, times in found.items():
                times.append(remote.ask("ensemble", network=MEMBERS, way=way)["us"])
    return found


def main() -> int:
    """Run both; return 1 if a contestant failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--threads", type=int, default=2, help="of each contestant, default: %(default)s")
    add("--rounds", type=int, default=9, help="blocks of 50 ms each, default: %(default)s")
    add("--json", type=Path, help="also write every sample to this file")
    arguments = parser.parse_args()
    setting = {"cpu": cpu(), "threads": str(arguments.threads), "rounds": str(arguments.rounds)}
    setting["load"] = f"{os.getloadavg()[0]:.2f}"
    heart = by_heart(arguments.threads, arguments.rounds)
    print(f"{BY_HEART}, learnt by heart (us a step)")
    for row in heart:
        if "fault" in row:
            print(f"{row['contestant']:12} {row['fault']}")
            continue
        fresh, learnt = median(row["fresh"]), median(row["learnt"])
        print(
            f"{row['contestant']:12} fresh {fresh:8.1f}  learnt {learnt:8.1f}  "
            f"{learnt / fresh:5.2f}x   loss {row['loss']:.1e}, {row['denormal']} denormal moments"
        )
    together = ensembles(arguments.threads, arguments.rounds)
    print(f"64 networks {MEMBERS} (us a member and step)")
    for way, times in together.items():
        print(
            f"{way:20} {median(times):8.2f}  {median(times) / median(together['together']):5.2f}x"
        )
    if arguments.json:
        document = {"setting": setting, "by_heart": heart, "ensemble": together}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(any("fault" in row and "unavailable" not in row["fault"] for row in heart))


if __name__ == "__main__":
    sys.exit(main())
