"""The learning-rate finder: one sweep of rates, to choose one from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from .. import _checks
from ..backends import host
from ..data.batches import Batch, Batches
from ..schedules import Exponential
from .trainer import Trainer

_SMOOTHING = 0.9  # of the losses, which are each another batch's
_DIVERGED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class RateSweep:
    """What `find_learning_rate` found.

    Attributes
    ----------
    rates
        The learning rates of the steps that were taken, rising.
    losses
        The loss of each step's batch after it was trained on with the lower rates, and before it
        was with its own.
    suggestion
        A tenth of the rate at which the smoothed loss is lowest, or None if it is lowest at the
        first rate: no rate in the sweep has made it better then.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float | None


def find_learning_rate(
    trainer: Trainer,
    X: Any,
    y: Any,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    batch_size: int = 32,
    *,
    sample_weight: Any = None,
) -> RateSweep:
    """Raise the learning rate from `low` to `high`, a step at a time, and watch the loss.

    The steps are those of a copy with new moments: the trainer stays as it is. They end early where
    the loss diverges: where it is not finite, or its smoothed value is 4 times its lowest. Smoothed
    is the exponential moving average, s <- 0.9 s + 0.1 loss, divided by 1 - 0.9^k at step k.

    Parameters
    ----------
    trainer
        Whose network, optimiser and loss it is about; its own rate or schedule plays no part.
    X, y
        Data as for `Trainer.fit`.
    low, high, steps
        The rates are low (high / low)^(k / (steps - 1)), k = 0, ..., steps - 1.
    batch_size
        That of the training to come. The rows are shuffled as in `fit`.
    sample_weight
        As for `Trainer.fit`.

    Returns
    -------
    RateSweep
        Rates, losses, and a suggestion for the optimiser, or for the top of `OneCycle`.

    References
    ----------
    Smith 2017, "Cyclical learning rates for training neural networks", arXiv:1506.01186.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> trainer = nn.Trainer(nn.MLP([2, 16, 2], activation="tanh"), nn.Adam())
    >>> sweep = nn.find_learning_rate(trainer, X, y)
    >>> 1e-3 < sweep.suggestion < 0.1
    True
    """
    where = "find_learning_rate"
    if not isinstance(trainer, Trainer):
        raise TypeError(f"{where}: `trainer` must be an nn.Trainer, got {trainer!r}.")
    low = _checks.positive(where, "low", low)
    high = _checks.positive(where, "high", high)
    if high <= low:
        raise ValueError(f"{where}: `high` must be greater than low={low:g}, got {high:g}.")
    steps = _checks.integer(where, "steps", steps, minimum=2)
    batch_size = _checks.integer(where, "batch_size", batch_size)
    arrays = trainer._checked(where, X, y, sample_weight)
    schedule = Exponential(low, every=steps - 1, factor=high / low)
    optimizer = trainer.optimizer.replace(learning_rate=schedule)
    probe = Trainer(trainer.network.copy(), optimizer, trainer.loss, seed=trainer.seed)
    losses, smoothed = _sweep(probe, _batches(probe, arrays, batch_size), steps)
    rates = [schedule(t) for t in range(1, len(losses) + 1)]
    best = min(range(len(smoothed)), key=smoothed.__getitem__, default=0)
    return RateSweep(rates, losses, rates[best] / 10 if best else None)


def _sweep(probe: Trainer, batches: Iterator[Batch], steps: int) -> tuple[list[float], list[float]]:
    """Take the steps until the loss diverges; return the losses, and them smoothed while finite."""
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of overflow: the sweep ends there
        for k in range(1, steps + 1):
            losses.append(float(probe.step(*next(batches))))
            if not math.isfinite(losses[-1]):
                break
            average = _SMOOTHING * average + (1.0 - _SMOOTHING) * losses[-1]
            smoothed.append(average / (1.0 - _SMOOTHING**k))
            if smoothed[-1] > _DIVERGED * min(smoothed):
                break
    return losses, smoothed


def _batches(probe: Trainer, arrays: Batch, size: int) -> Iterator[Batch]:
    """Yield batches for ever, in a new order each time round."""
    n = int(arrays[0].shape[0])
    for epoch in count():
        order = host.permutation(n, probe.seed, epoch)
        yield from Batches(*arrays, order, size).arrays(probe.network, "find_learning_rate")
