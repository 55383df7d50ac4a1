"""RealMLP without one of its parts: how much larger its errors on rows held out become.

Each part is left out alone, on the sets of tables.py. A round is a seed: it decides the split and
the start, the same for all parts. See README.md.
"""

from __future__ import annotations

import sys
from statistics import fmean
from typing import Any

from ablation_cases import PARTS, WHOLE
from command import parsed, parser
from table_sets import SETS
from tables import errors, run

OF_CLASSES = "vowel", "german", "crx", "segment"
OF_NUMBERS = "diabetes", "Wages", "SLID", "Computers"


def rises(rows: list[dict[str, Any]], part: str) -> dict[str, float]:
    """Return by how much the mean error rises on each set without a part: a share of the whole's.

    Parameters
    ----------
    rows
        What ablation.py wrote.
    part
        The name of what is left out.
    """
    found = errors(row for row in rows if row["contestant"] in (WHOLE, part))
    return {name: of[part] / of[WHOLE] - 1.0 for name, of in found.items()}


def told(rows: list[dict[str, Any]]) -> str:
    """Return the mean rise over the sets, a part a line."""
    parts = dict.fromkeys(row["contestant"] for row in rows)
    found = {part: rises(rows, part) for part in parts if part != WHOLE}
    lines = [f"  {part:22} {fmean(of.values()):+7.1%}" for part, of in found.items() if of]
    return "\n".join(["errors, in the mean over the sets, without", *lines])


def main() -> int:
    """Run it all; the status is 1 where a fit failed."""
    made = parser(__doc__, rounds=5)
    add, names, sets = made.add_argument, list(PARTS), OF_CLASSES + OF_NUMBERS
    told_sets, told_names = ", ".join(SETS), ", ".join(names)
    add("--sets", nargs="+", choices=SETS, default=sets, metavar="SET", help=told_sets)
    add("--parts", nargs="+", choices=names, default=names, metavar="PART", help=told_names)
    arguments = parsed(made)
    return run("ablation_cases", arguments.parts, arguments, told)


if __name__ == "__main__":
    sys.exit(main())
