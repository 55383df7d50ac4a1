"""How long data take that come as users' data do, beside a plain array in C order.

Arrays from pickles, files and transpositions, frames, and sparse matrices, into `Trainer.fit` and
`net(X)`, copies included. A list or a sparse matrix is compared with a plain array that its own
library makes of it within the time. Sources of more than 64 MB are not here: they are read
a batch at a time, at the speed of what holds them. The two take turns in one process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from command import parsed, parser, setting, show, started, write
from remote import Row, measure

ENTRIES = ("fit", "predict")
LIMIT = 1.5


def known() -> list[str]:
    """Return the names of all ways."""
    sys.path.append(str(Path(__file__).parents[1] / "support"))
    from arrivals import WAYS

    return list(WAYS)


def ratio(row: Row) -> float:
    """Return how many times longer an array takes that comes so."""
    pairs = zip(row.samples["way"], row.samples["plain"], strict=True)
    return median(way / plain for way, plain in pairs)


def fault(row: Row) -> str:
    """Return what is wrong with a row, if anything."""
    if row.fault:
        return row.fault
    if not row.facts["same_bits"]:
        return "MISMATCH: other bits than the plain array's"
    return f"more than {LIMIT} times a plain array" if ratio(row) > LIMIT else ""


def line(row: Row) -> str:
    """Return a way's line."""
    if not row.samples:
        return f"{row.case:38} {row.fault or row.facts['unavailable']}"
    plain, way = (median(row.samples[name]) for name in ("plain", "way"))
    return f"{row.case:38} {plain:8.2f} {way:8.2f} {ratio(row):6.2f}x  {fault(row)}".rstrip()


def main() -> int:
    """Measure; return 1 if a way takes too long, or gives other bits."""
    made = parser(__doc__, rounds=9)
    made.add_argument("--ways", nargs="+", help="as tests/support/arrivals.py names them")
    arguments = parsed(made)
    with started("ways_cases", ["nnpoly"], arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        ways = arguments.ways or known()
        rows = measure(remotes, [f"{e}:{way}" for e in ENTRIES for way in ways], arguments.rounds)
    print(f"{'':38} {'plain ms':>8} {'way ms':>8}", *map(line, rows), sep="\n")
    taken = [row for row in rows if row.samples]
    kept = [{"case": row.case, **row.samples, **row.facts} for row in taken]
    write(arguments.json, {"setting": properties, "rows": kept})
    return int(any(row.fault for row in rows) or any(map(fault, taken)))


if __name__ == "__main__":
    sys.exit(main())
