"""The benchmark of tables: what it makes of errors, and the sets that it reads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parent))

import table_sets
import tables
from tables import OURS, THEIRS


def row(name: str, contestant: str, *error: float, fault: str = "") -> dict[str, object]:
    """Make a row of evidence."""
    return {"set": name, "contestant": contestant, "error": list(error), "fault": fault}


ROWS = [
    row("a", OURS, 0.1, 0.3),
    row("a", THEIRS, 0.1, 0.1),
    row("a", "trees", 0.4, 0.4),
    row("b", OURS, 0.5),
    row("b", THEIRS, 0.5),
    row("b", "trees", 0.25),
    row("c", OURS, 0.1),
    row("c", THEIRS, 0.1),
    row("c", "trees", fault="unavailable: no trees"),
]


def test_a_set_counts_where_all_ran() -> None:
    """A fault takes its set out of every comparison."""
    found = tables.errors(ROWS)
    assert found == {
        "a": {OURS: 0.2, THEIRS: 0.1, "trees": 0.4},
        "b": {OURS: 0.5, THEIRS: 0.5, "trees": 0.25},
    }


def test_equal_errors_share_their_ranks() -> None:
    """Ranks on a are 2, 1, 3; on b 2.5, 2.5, 1."""
    found = tables.errors(ROWS)
    assert tables.mean_ranks(found) == {OURS: 2.25, THEIRS: 1.75, "trees": 2.0}
    above = tables.above_best(found)
    assert above == pytest.approx({OURS: 0.5 * 1 + 0.5 * 1, THEIRS: 0.5, "trees": 1.5})


def test_wins_count_equal_errors_half() -> None:
    """One loss and one draw are a quarter; the interval holds the share."""
    share, low, high = tables.wins(tables.errors(ROWS), OURS, THEIRS)
    assert share == 0.25
    assert 0.0 <= low <= share <= high <= 1.0
    assert "wins 25%" in tables.told(ROWS)


def test_nothing_is_said_of_no_sets() -> None:
    """Where no set has all contestants there is nothing to rank."""
    assert "no set" in tables.told(ROWS[6:])


def test_texts_and_booleans_become_categories() -> None:
    """Numbers stay numbers, and columns have names of texts."""
    frame = pd.DataFrame({0: [1.5, np.nan], 1: ["a", None], 2: [True, False]})
    made = table_sets.with_categories(frame)
    assert list(made) == ["0", "1", "2"]
    assert [str(dtype) for dtype in made.dtypes] == ["float64", "category", "category"]
    assert made.isna().sum().tolist() == [1, 1, 0]


def test_splits_are_a_seed_s() -> None:
    """A quarter is held out; targets of numbers are in deviations of the rows to train on."""
    X, X_test, y, y_test = table_sets.parts("diabetes", 3)
    assert (len(X), len(X_test)) == (331, 111) == (len(y), len(y_test))
    assert y.mean() == pytest.approx(0.0, abs=1e-12)
    assert y.std() == pytest.approx(1.0)
    again = table_sets.parts("diabetes", 3)
    assert again.X.equals(X)
    assert not table_sets.parts("diabetes", 4).X.equals(X)
