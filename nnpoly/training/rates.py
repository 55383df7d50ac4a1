"""The learning-rate finder: a sweep of rising learning rates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from .. import _checks
from ..backends.steps import Batch
from ..data.batches import ArrayData
from ..schedules import Exponential
from .trainer import Trainer

_SMOOTHING = 0.9  # of the losses, which are each another batch's
_DIVERGED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class RateSweep:
    """The losses of a sweep of learning rates.

    Attributes
    ----------
    rates
        The learning rates of the steps that were taken, rising.
    losses
        The loss of each step's batch, before the step.
    suggestion
        A tenth of the rate at which the smoothed loss is lowest; None if it is lowest at the first
        rate, since then no rate in the sweep made it lower.
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
    """Raise the learning rate from `low` to `high`, a step at a time, and record the loss.

    A copy of the network takes the steps, with new moments: the trainer stays as it is. The sweep
    ends early where the loss diverges: where it is not finite, or its smoothed value is above 4
    times its lowest. The smoothed loss is the exponential moving average, s <- 0.9 s + 0.1 loss,
    divided by 1 - 0.9^k at step k.

    Parameters
    ----------
    trainer
        Its network, optimiser and loss are used; its learning rate or schedule is not.
    X, y
        Data as for `Trainer.fit`.
    low, high, steps
        The rates are low (high / low)^(k / (steps - 1)), k = 0, ..., steps - 1.
    batch_size
        As for the training to come. The rows are shuffled as in `fit`.
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
    arrays = trainer.checked(where, X, y, sample_weight)
    trainer.stepper.require_rows(where, min(batch_size, arrays.x.shape[0]))
    schedule = Exponential(low, every=steps - 1, factor=high / low)
    optimizer = trainer.optimizer.replace(learning_rate=schedule)
    probe = Trainer(
        trainer.network.copy(),
        optimizer,
        trainer.loss,
        seed=trainer.seed,
        precision=trainer.precision,
    )
    losses, smoothed = _sweep(probe, _batches(probe, arrays, batch_size), steps)
    rates = [schedule(t) for t in range(1, len(losses) + 1)]
    best = min(range(len(smoothed)), key=smoothed.__getitem__, default=0)
    return RateSweep(rates, losses, rates[best] / 10 if best else None)


def _sweep(probe: Trainer, batches: Iterator[Batch], steps: int) -> tuple[list[float], list[float]]:
    """Take the steps until the loss diverges; return the losses, and the smoothed finite ones."""
    losses: list[float] = []
    smoothed: list[float] = []
    average, averaged = 0.0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of overflow: the sweep ends there
        for batch in islice(batches, steps):
            loss = float(probe.stepper.step(batch))
            losses.append(loss)
            if not math.isfinite(loss):
                break
            if (
                loss == 0.0 and batch.sample_weight is not None
            ):  # all its weights are 0: it says nothing
                smoothed.append(smoothed[-1] if smoothed else math.inf)
                continue
            averaged += 1
            average = _SMOOTHING * average + (1.0 - _SMOOTHING) * loss
            smoothed.append(average / (1.0 - _SMOOTHING**averaged))
            if smoothed[-1] > _DIVERGED * min(smoothed):
                break
    return losses, smoothed


def _batches(probe: Trainer, arrays: Batch, size: int) -> Iterator[Batch]:
    """Yield batches without end, in a new order in each epoch."""
    data = ArrayData(arrays, size, probe.seed)
    for epoch in count():
        yield from data.epoch(epoch).arrays(probe.network.place, "find_learning_rate")
