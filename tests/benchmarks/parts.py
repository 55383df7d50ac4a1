"""Time a training step of networks with other layers and losses than plain ones, beside torch.

Each contestant runs in a process of its own; they take turns, and one that is not being timed is
stopped. See README.md.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import Any

from command import parsed, parser, setting, show, started, status, write
from parts_cases import CONTESTANTS
from remote import Row, measure
from step import agree

NETWORKS = ["17-64-64-6:tanh:b64", "128-256-256-128-2:relu:b1024"]
PARTS = {  # and the part without them
    "plain": "plain",
    "dropout": "plain",
    "layernorm": "plain",
    "batchnorm": "plain",
    "residual": "plain",
    "mse": "mse",
    "huber": "mse",
    "absolute": "mse",
}
RANDOM = "dropout"  # whose losses are everyone's own


def compare(rows: list[Row]) -> None:
    """Mark the rows of one case whose losses differ from the first contestant's."""
    first = rows[0].facts.get("losses", [])
    for row in rows[1:]:
        known = not row.fault and first and not row.case.endswith(RANDOM)
        if known and not agree(row.facts["losses"], first, 1e-3):
            row.fault = "MISMATCH"


def entry(row: Row) -> dict[str, Any]:
    """Return what the evidence has of a row."""
    network, _, part = row.case.rpartition(":")
    named = {"network": network, "part": part, "without": PARTS[part]}
    return named | {"contestant": row.contestant, "us": row.us, "fault": row.fault} | row.facts


def line(rows: list[Row]) -> str:
    """Return a case's line: each contestant's median microseconds, or what is wrong."""
    cells = [f"{median(row.us):10.1f}" if row.us else f"{'-':>10}" for row in rows]
    faults = [f"{row.contestant}: {row.fault}" for row in rows if row.fault]
    return " ".join([f"{rows[0].case:42}", *cells, *faults])


def main() -> int:
    """Run the benchmark; return 1 if a contestant failed or computed something else."""
    made = parser(__doc__, rounds=9)
    add = made.add_argument
    add("--networks", nargs="+", default=NETWORKS, help=f"default: {' '.join(NETWORKS)}")
    add("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    add("--contestants", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    arguments = parsed(made)
    found: list[Row] = []
    with started("parts_cases", arguments.contestants, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        print(f"{'':42}", *(f"{name[:10]:>10}" for name in arguments.contestants), flush=True)
        for network in arguments.networks:
            for part in arguments.parts:
                rows = measure(remotes, [f"{network}:{part}"], arguments.rounds)
                compare(rows)
                print(line(rows), flush=True)
                found += rows
    write(arguments.json, {"setting": properties, "rows": [entry(row) for row in found]})
    return status(found)


if __name__ == "__main__":
    sys.exit(main())
