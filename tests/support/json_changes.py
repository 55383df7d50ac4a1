"""Values of JSON with one change at random: types swapped, values dropped, nested, huge."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

NAMES = [
    *("Layer", "Dense", "Residual", "BatchNorm", "Dropout", "_Normalised", "Optimizer", "Adam"),
    *("Lion", "_AdamLike", "Schedule", "Cosine", "Loss", "MSE", "CrossEntropy", "_Smoothed"),
    *("Activation", "Step", "Exp", "ReLU", "Initializer", "Constant", "Classes", "Quantity"),
    *("Category", "Preprocessing", "SampleScaling", "Described", "object", "os.system"),
]
TEXTS = [
    "",
    "x",
    "w",
    "loss",
    "float64",
    "identity",
    "exp",
    "sigmoid",
    "U400000000",
    "object",
    "V9",
]
NUMBERS = [0, -1, 1, 7, 10**30, 10**400, 0.0, -0.5, 1e308, 5e-324, math.nan, math.inf, -math.inf]
OTHERS: list[Any] = [None, True, False, [], [5], [[1], 2], {}, {"type": 3}, {"array": [1]}]
OTHERS += [{"tuple": 1}, {"pairs": [[[], 1]]}, {"array": ["a", 1], "dtype": "U9"}]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every list or dict with a key that it has, outermost first."""
    keys: Any = range(len(value)) if isinstance(value, list) else value
    if not isinstance(value, list | dict):
        return []
    found = [(value, key) for key in keys]
    for key in keys:
        found += places(value[key])
    return found


def changed(value: Any, seed: int) -> Any:
    """The same change for the same seed; a copy."""
    rng = np.random.default_rng(seed)
    value = copy.deepcopy(value)
    every = places(value)
    types = [place for place in every if place[1] == "type"]
    chosen = types if types and rng.integers(4) == 0 else every
    parent, key = chosen[rng.integers(len(chosen))]
    node, kind = parent[key], rng.integers(8)
    if key == "type" and kind < 6:
        parent[key] = NAMES[rng.integers(len(NAMES))]
    elif kind == 0:
        del parent[key]
    elif kind == 1:
        parent[key] = [node]
    elif kind == 2:
        other, place = every[rng.integers(len(every))]
        parent[key] = copy.deepcopy(other[place])
    elif kind == 3 and isinstance(node, list) and node:
        node += [copy.deepcopy(node[0])] * int(rng.integers(1, 3))
    elif kind == 4 and isinstance(node, dict):
        node["predict"] = "x"
    elif kind == 5:
        parent[key] = TEXTS[rng.integers(len(TEXTS))]
    elif kind == 6:
        parent[key] = copy.deepcopy(OTHERS[rng.integers(len(OTHERS))])
    else:
        parent[key] = NUMBERS[rng.integers(len(NUMBERS))]
    return value
