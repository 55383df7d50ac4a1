"""The split of a table's rows: those to train on, to stop early with, and held out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import require_sklearn
from .table import Table

FIT, VALIDATION, HOLDOUT = 0, 1, 2
WORDS = {  # of a column that says which rows are which
    **dict.fromkeys(("train", "training", "fit", "0"), FIT),
    **dict.fromkeys(("validation", "valid", "val"), VALIDATION),
    **dict.fromkeys(("test", "holdout", "1"), HOLDOUT),
}


class Split(NamedTuple):
    """The indices of the rows to train on, to stop early with, and held out."""

    fit: NDArray[np.int64]
    validation: NDArray[np.int64]
    holdout: NDArray[np.int64]


def split(
    n: int,
    labels: NDArray[np.int64] | None = None,
    holdout: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """Split n rows at random into those to train on, to stop early with, and held out.

    Parameters
    ----------
    n
        The number of rows.
    labels
        Class indices (n,): every part has each class in the same proportion. None for numbers.
    holdout
        The share of the rows to hold out; 0 for none.
    validation
        The share of the other rows to stop early with; 0 for none.
    seed
        An integer >= 0 that determines the split.

    Examples
    --------
    >>> from nnpoly import tables
    >>> [len(part) for part in tables.split(100)]
    [72, 8, 20]
    """
    require_sklearn()
    training, held_out = _in_two("holdout", np.arange(n), labels, holdout, seed)
    fit, stop = _in_two("validation", training, labels, validation, seed)
    return Split(fit, stop, held_out)


def told_roles(table: Table, name: str) -> NDArray[np.int64]:
    """Read a column that says which rows are which: FIT, VALIDATION or HOLDOUT for each, (n,).

    The rows held out are those of true, 1 or test, the rows to train on those of false, 0 or train,
    and those of validation decide when training ends.

    Raises
    ------
    ValueError
        For another cell, and if no row is held out, or none is to be trained on.
    """
    cells = [cell and cell.lower() for cell in table.texts(name, numeric=True)]
    roles = np.array([WORDS.get(cell or "", -1) for cell in cells], np.int64)
    what = ", but must say which rows are for the test: true or false, 1 or 0, or test or train"
    table.require(name, roles >= 0, what)
    for role, word in ((FIT, "to train on"), (HOLDOUT, "for the test")):
        if not (roles == role).any():
            raise table.refuse(name, f" says that no row is {word}")
    return roles


def split_as_told(
    roles: NDArray[np.int64],
    labels: NDArray[np.int64] | None = None,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """Split rows as `told_roles` says; without rows of validation a share of the others is drawn.

    labels, validation, seed: as of `split`.
    """
    fit, stop, held_out = (np.flatnonzero(roles == role) for role in (FIT, VALIDATION, HOLDOUT))
    if not len(stop):
        fit, stop = _in_two("validation", fit, labels, validation, seed)
    return Split(fit, stop, held_out)


def _in_two(
    name: str, rows: NDArray[np.int64], labels: NDArray[np.int64] | None, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows in two, the second with `share` of them; `name` is that option's name."""
    from sklearn.model_selection import train_test_split

    if share == 0.0:
        return rows, rows[:0]
    classes = None if labels is None else labels[rows]
    fewest = 1 if classes is None else len(np.unique(classes))
    size = round(share * len(rows))
    if not fewest <= size <= len(rows) - fewest:
        raise ValueError(
            f"split: `{name}` {share:g} of {len(rows)} rows is {size}, but each part needs at "
            f"least {fewest}{'' if classes is None else ', a row a class'}. Change --{name}."
        )
    parts = train_test_split(rows, test_size=size, stratify=classes, random_state=seed % 2**32)
    first, second = (np.sort(part) for part in parts)
    return first, second
