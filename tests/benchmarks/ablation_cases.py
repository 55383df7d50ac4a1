"""The contestants of ablation.py: RealMLP, and RealMLP without one of its parts.

A part is left out by what its module's functions are while a fit and its predictions last: the
library has no options for what nobody should leave out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import metadata
from typing import Any
from unittest.mock import patch

import numpy as np
from tables_cases import Fits, nnpoly
from timing import Case

from nnpoly import Blend, Dense, Embedding, Periodic, Scale, initializers
from nnpoly.estimators.monitor import Monitor
from nnpoly.estimators.tabular import base, encoding, realmlp
from nnpoly.layers import Layer
from nnpoly.schedules import Cosine

WHOLE = "whole"
Chain = list[Layer]


def without(kind: type[Layer], chain: Chain) -> Chain:
    """Leave out the layers of a kind; those after them take what those before them give."""
    width, made = chain[0].input_width, []
    for layer in chain:
        if isinstance(layer, kind):
            continue
        if isinstance(layer, Dense):
            layer = layer.replace(inputs=width, factor=width**-0.5)
        elif isinstance(layer, Embedding):
            layer = layer.replace(inputs=width)
        elif isinstance(layer, Scale):
            layer = layer.replace(features=width)
        width = layer.width(width)
        made.append(layer)
    return made


def plain_activations(chain: Chain) -> Chain:
    """Put the activation itself where a parametric one is."""
    made: Chain = []
    for layer in chain:
        if isinstance(layer, Blend):
            made[-1] = made[-1].replace(activation=layer.activation)
        else:
            made.append(layer)
    return made


def blind_start(chain: Chain) -> Chain:
    """Begin with weights from N(0, 1), and biases of 0, whatever the data."""
    start = {"init": initializers.Normal(), "bias": initializers.zeros}
    return [layer.replace(**start) if isinstance(layer, Dense) else layer for layer in chain]


def by_layers(change: Callable[[Chain], Chain]) -> Any:
    """Patch what makes the layers."""
    make = realmlp.layers
    return patch.object(realmlp, "layers", lambda *args, **more: change(make(*args, **more)))


def by_optimizer(change: Callable[..., Any]) -> Any:
    """Patch what makes the optimiser, which `change` gets with the number of steps."""
    make = realmlp.optimizer

    def made(recipe: Any, steps: int, *rest: Any) -> Any:
        return change(make(recipe, steps, *rest), steps)

    return patch.object(realmlp, "optimizer", made)


def in_one_cycle(optimizer: Any, steps: int) -> Any:
    """Let the rate fall once, from its highest to 0."""
    rate = optimizer.learning_rate.rate
    return optimizer.replace(learning_rate=Cosine(rate, steps))


def z_scores() -> Any:
    """Centre by the mean and divide by the standard deviation, in place of median and quartiles."""

    def numbers(raw: np.ndarray) -> Iterator[tuple[float, ...]]:
        for center, spread in zip(raw.mean(axis=0), raw.std(axis=0), strict=True):
            yield center, center, center, center + spread, center

    def of_finite(raw: np.ndarray) -> Any:
        return numbers(np.where(np.isnan(raw), np.nanmean(raw, axis=0), raw))

    return patch.object(encoding.host, "five_numbers", of_finite)


def recipes(**given: Any) -> Any:
    """Patch the presets."""
    stack = ExitStack()
    for presets in (realmlp.OF_CLASSES, realmlp.OF_NUMBERS):
        changed = {"TD": presets["TD"]._replace(**given)}
        stack.enter_context(patch.dict(presets, changed))
    return stack


@contextmanager
def nothing() -> Iterator[None]:
    """Leave all as it is."""
    yield


PARTS: dict[str, Callable[[], Any]] = {
    WHOLE: nothing,
    "no waves of numbers": partial(by_layers, partial(without, Periodic)),
    "no learnt scale": partial(by_layers, partial(without, Scale)),
    "plain activations": partial(by_layers, plain_activations),
    "a start without data": partial(by_layers, blind_start),
    "no dropout": partial(recipes, dropout=0.0),
    "no weight decay": partial(recipes, weight_decay=0.0),
    "no label smoothing": partial(recipes, label_smoothing=0.0),
    "beta2 = 0.999": partial(by_optimizer, lambda found, steps: found.replace(beta2=0.999)),
    "one fall of the rate": partial(by_optimizer, in_one_cycle),
    "mean and deviation": z_scores,
    "no smooth clip": partial(patch.object, encoding.ColumnEncoding, "_smooth", False),
    "the last epoch": partial(
        patch.object, base.BaseTabular, "_monitor", lambda *which: Monitor(0.0, math.inf)
    ),
}


def versions(contestant: str) -> dict[str, str]:
    """Return the versions of the libraries."""
    return {name: metadata.version(name) for name in ("nnpoly", "numpy")}


def prepare(contestant: str, case: str) -> Case:
    """Return fits on a set without a part."""
    return Ablated(PARTS[contestant], case)


class Ablated(Fits):
    """Fits while a part is left out."""

    def __init__(self, change: Callable[[], Any], name: str) -> None:
        super().__init__(nnpoly("RealMLP"), name)
        self.change = change

    def sample(self, number: int) -> dict[str, float]:
        """Return what `Fits` does."""
        with self.change():
            return super().sample(number)
