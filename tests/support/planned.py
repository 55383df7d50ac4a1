"""Trainers with a plan of the C core, the same ones without, and what both are to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nnpoly as nn
from nnpoly.backends.numpy import core
from nnpoly.backends.steps import Steps

rng = np.random.default_rng(0)
X = rng.normal(size=(101, 6)).astype("f4")
CLASSES = rng.integers(0, 3, 101)
WEIGHTS = rng.uniform(0.5, 1.5, 101).astype("f4")
ONE_CALL = "one call of the C core a step, and for many steps of an epoch"  # in a summary


def op_by_op(made: nn.Trainer) -> nn.Trainer:
    """Return the same trainer without its plan."""
    planned = made.stepper.steps
    made.stepper.steps = Steps(planned._functions, planned._copy)
    return made


def in_one_call(made: nn.Trainer) -> nn.Trainer:
    """Return the same trainer with nothing to fall back to."""
    made.stepper.steps._functions = None
    return made


def state(made: nn.Trainer) -> list[bytes]:
    """Return the bits of what training changes; a negative zero is a zero."""
    running = [array for part in made.network.buffers for array in part.values()]
    arrays = [made.network.w, *made.stepper.state.moments, *running]
    return [(array + 0).tobytes() for array in arrays]


def trainer(layers: Any, dtype: str = "float32", optimizer: Any = None) -> nn.Trainer:
    """Return a trainer of layers from 6 inputs to 3 classes."""
    net = nn.Network(layers, "softmax", dtype=dtype, seed=1)
    return nn.Trainer(net, optimizer or nn.Adam(0.01), seed=7)


def together(made: nn.Trainer, x: Any, y: Any, weights: Any = None) -> list[float]:
    """Take steps on several batches each, of arrays and of a source; return their losses."""
    parts = [x, y] if weights is None else [x, y, weights]

    def source(epoch: int) -> Iterator[tuple[Any, ...]]:
        buffers = [part[:20].copy() for part in parts]
        for start in range(0, 100, 20):
            for buffer, part in zip(buffers, parts, strict=True):
                buffer[...] = part[start : start + 20]
            yield tuple(buffers)  # the same arrays, filled again
            for buffer in buffers:
                buffer[...] = 0

    losses = made.fit(x, y, 2, 25, sample_weight=weights, accumulate=2).loss
    return losses + made.fit(source, epochs=1, accumulate=3).loss


def run(made: nn.Trainer, weights: Any = None, dtype: str = "float32") -> list[Any]:
    """Steps of batches of several sizes, epochs of batches found by index, steps on several.

    Returns their losses and the bits of what they changed.
    """
    x = X.astype(dtype)
    weights = None if weights is None else weights.astype(dtype)
    found = []
    for size in (32, 2, 101, 32, 7):
        s = None if weights is None else weights[:size]
        found.append(float(made.step(x[:size], CLASSES[:size], s)))
    made.fit(x, CLASSES, 3, 25, sample_weight=weights)  # the last batch has one row
    together(made, x, CLASSES, weights)
    return [found, made.history.loss, *state(made)]


def by_threads_and_isas(once: Callable[[], Any]) -> None:
    """Call `once` with 1 and 2 threads on every ISA; all that have FMA must give the same."""
    found = {}
    for isa in core.isas():
        core.lib.nnpoly_set_isa(isa.encode())
        for threads in (1, 2):
            nn.set_num_threads(threads)
            found[isa, threads] = once()
    assert all(one == found[isa, 1] for (isa, _), one in found.items())
    fused = [one for (isa, _), one in found.items() if isa != "baseline"]
    assert all(one == fused[0] for one in fused)
