"""Folds: the rows that members train on, and those that they are scored by."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from ...backends import host


class Fold(NamedTuple):
    """The rows that a member trains on, and those that it is scored by; none of them: it is not."""

    rows: host.HostArray
    held_out: host.HostArray


def in_two(rows: host.HostArray, classes: Any, share: float, seed: int) -> Fold:
    """Split rows at random; each class has its share in both parts, where it has the rows for it.

    classes: of the rows, (n,), or None.
    """
    size = min(math.ceil(share * len(rows)), len(rows) - 1)
    if classes is not None:
        counts = [int((classes == label).sum()) for label in host.unique(classes)]
        if min(counts) < 2 or len(counts) > min(size, len(rows) - size):
            classes = None
    parts = train_test_split(rows, test_size=size, random_state=seed, stratify=classes)
    return Fold(*parts)


def in_many(where: str, rows: host.HostArray, classes: Any, count: int, seed: int) -> list[Fold]:
    """Split rows in folds, each of which is held out once; arguments as of `in_two`.

    Raises
    ------
    ValueError
        If there are more folds than rows.
    """
    if count > len(rows):
        raise ValueError(
            f"{where}: `n_cv` must be at most the number of rows, {len(rows)}, got {count}."
        )
    kind = KFold
    if classes is not None:
        counts = [int((classes == label).sum()) for label in host.unique(classes)]
        kind = StratifiedKFold if min(counts) >= count else KFold
    parts = kind(count, shuffle=True, random_state=seed).split(rows, classes)
    return [Fold(rows[train], rows[held_out]) for train, held_out in parts]
