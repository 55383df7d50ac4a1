"""Training of float32 networks with products of float32, and of factors rounded to bfloat16.

The same networks (two hidden layers of 128, relu, Adam, batches of 200, at most 30 epochs), splits
and seeds, inputs standardised, a quarter held out: test scores, and their differences seed by seed.
Beside them a surrogate model of a smooth function without noise, where the rounding shows. See
README.md.
"""

from __future__ import annotations

import sys
from typing import Any

from command import parsed, parser, setting, show, started, write
from estimators import check, entry
from precision_cases import PRECISIONS, SURROGATE
from remote import measure
from table import differences, mean_and_error, parted, surrogate_told

SETS = ["digits", "breast cancer", "diabetes", "letter", "diamonds"]


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    scores = [mean_and_error(row[name]["score"]) for name in PRECISIONS]
    told = "  APART" if parted([row]) else ""
    return f"{row['set']:14} {'  '.join(scores)}  {mean_and_error(differences(row))}{told}"


def main() -> int:
    """Run it all; the status is 1 where the scores part."""
    made = parser(__doc__, rounds=10)
    add = made.add_argument
    add("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET", help=", ".join(SETS))
    arguments = parsed(made, check=check)
    rows = []
    with started("precision_cases", PRECISIONS, arguments.threads) as remotes:
        properties = setting(arguments, remotes)
        show(properties)
        print("set, scores of float32 and of bf16, and their difference by seed")
        for name in arguments.sets:
            rows.append(entry(measure(remotes, [name], arguments.rounds)))
            print(line(rows[-1]), flush=True)
        surrogate = entry(measure(remotes, [SURROGATE], arguments.rounds))
        print(surrogate_told(surrogate))
    write(arguments.json, {"setting": properties, "rows": rows, SURROGATE: surrogate})
    return int(bool(parted(rows)))


if __name__ == "__main__":
    sys.exit(main())
