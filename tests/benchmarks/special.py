"""Two questions beside step.py: networks that have learnt their batch by heart, and ensembles.

By heart: the same step on fresh parameters, and on parameters that solve the batch so surely that
deltas and moments are denormal. Ensembles: 64 networks trained together, and in turn with
one thread a step and with all. A process for each contestant; fresh and learnt steps take turns.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from command import parsed, parser, setting, show, started, status, write
from remote import Row, measure

BY_HEART = "64-100-10:tanh:b200"
MEMBERS = "17-64-64-6:tanh:b64"
CONTESTANTS = ["nnpoly", "numpy", "torch", "jax"]
WAYS = ["together", "in turn", "in turn, one thread"]


def by_heart(fresh: Row, learnt: Row) -> dict[str, Any]:
    """Return what the evidence has of a contestant: microseconds a step, fresh and learnt."""
    found = {"contestant": fresh.contestant, "fresh": fresh.us, "learnt": learnt.us}
    found |= learnt.facts | fresh.facts  # the fresh one's size of a block
    fault = fresh.fault or learnt.fault
    return found | ({"fault": fault} if fault else {})


def line(found: dict[str, Any]) -> str:
    """Return a contestant's line."""
    if "fault" in found:
        return f"{found['contestant']:12} {found['fault']}"
    fresh, learnt = median(found["fresh"]), median(found["learnt"])
    return (
        f"{found['contestant']:12} fresh {fresh:8.1f}  learnt {learnt:8.1f}  "
        f"{learnt / fresh:5.2f}x   loss {found['loss']:.1e}, {found['denormal']} denormal moments"
    )


def ways(rows: Sequence[Row]) -> str:
    """Return the ensemble's lines."""
    together = median(rows[0].us)
    medians = [(way, median(row.us)) for way, row in zip(WAYS, rows, strict=True)]
    return "\n".join(f"{way:20} {us:8.2f}  {us / together:5.2f}x" for way, us in medians)


def main() -> int:
    """Run both; return 1 if a contestant failed."""
    made = parser(__doc__, rounds=9)
    add = made.add_argument
    add("--contestants", nargs="+", default=CONTESTANTS, help=f"of {', '.join(CONTESTANTS)}")
    arguments = parsed(made)
    with started("special_cases", arguments.contestants, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        cases = [f"fresh:{BY_HEART}", f"learnt:{BY_HEART}"]
        rows = measure(remotes, cases, arguments.rounds)
    heart = [by_heart(*pair) for pair in zip(rows[::2], rows[1::2], strict=True)]
    print(f"{BY_HEART}, learnt by heart (us a step)", *map(line, heart), sep="\n", flush=True)
    with started("special_cases", ["nnpoly"], arguments.threads) as remotes:
        members = measure(remotes, [f"{way}:{MEMBERS}" for way in WAYS], arguments.rounds)
    print(f"64 networks {MEMBERS} (us a member and step)", flush=True)
    found = status([*rows, *members])
    if not any(row.fault for row in members):
        print(ways(members))
        together = {way: row.us for way, row in zip(WAYS, members, strict=True)}
        document = {"setting": properties, "by_heart": heart, "ensemble": together}
        write(arguments.json, document)
    return found


if __name__ == "__main__":
    sys.exit(main())
