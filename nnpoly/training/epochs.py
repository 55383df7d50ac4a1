"""Epochs: taken one by one, or several in one call where nobody looks at the network in between.

An epoch is a transaction: it either completes, or the trainer is left as it was before it, whatever
ended it (NaN, Ctrl-C, no memory left).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from ..backends import host
from ..data.batches import Batches, Stream
from ..primitives import Array
from .calls import Calls
from .evaluation import Judge, Verdict, fetch, mean
from .progress import Progress

if TYPE_CHECKING:
    from ..network import Network
    from .trainer import History, Trainer

# The batches of the epoch that is so many epochs ahead of the next one.
Following: TypeAlias = Callable[[int], "Batches | Stream"]

NOTHING = Verdict([], {})
SECONDS = 0.05  # that epochs in one call may take: Ctrl-C loses as much


class NonFiniteLossError(ArithmeticError):
    """A loss or parameter became NaN or infinite; the parameters are those before that epoch."""


class Epochs:
    """The epochs of one fit."""

    def __init__(
        self,
        trainer: Trainer,
        following: Following,
        accumulate: int,
        judge: Judge,
        calls: Calls,
        bar: Progress,
    ) -> None:
        self._trainer, self._following, self._accumulate = trainer, following, accumulate
        self._judge, self._calls, self._bar = judge, calls, bar
        self._seconds = math.inf  # of an epoch, the newest
        self._declined = False  # whether the backend cannot take this fit's epochs as a whole

    def advance(self, left: int) -> int:
        """Take the next epoch, or several of those left; return how many."""
        start = monotonic()
        taken = self._take_several(min(left, self._unseen()))
        if not taken:
            batches = self._following(0)
            take_one(self._trainer, batches, self._accumulate, self._judge, self._calls.history)
            self._announce()
            taken = 1
        self._seconds = (monotonic() - start) / taken
        return taken

    def _unseen(self) -> int:
        """Return how many epochs may pass before somebody looks at the network."""
        if self._declined or self._accumulate > 1 or self._judge.looks:
            return 1
        return min(self._calls.blind(), int(SECONDS / max(self._seconds, 1e-9)))

    def _take_several(self, count: int) -> int:
        """Take so many epochs in one call, or none: where that cannot be, or one of them fails."""
        trainer = self._trainer
        if count < 2:
            return 0
        parts = [self._following(ahead) for ahead in range(count)]
        begun = begin(trainer, parts)
        if begun is None:
            self._declined = True
            return 0
        before = trainer._snapshot()
        try:
            trainer.network.place.backend.complete([begun])
        except BaseException:
            trainer._state = before
            raise
        values = begun.losses.tolist()
        if not all(map(math.isfinite, [*values, *_extremes(trainer.network)])):
            trainer._state = before
            return 0
        trainer.t += len(values)
        taken = iter(values)
        losses = [mean(list(islice(taken, len(part.sizes))), part.sizes) for part in parts]
        self._announce_all(losses)
        return count

    def _announce_all(self, losses: list[float]) -> None:
        """Record and announce epochs that have been taken; record all, whatever a callback does."""
        trainer, history, left = self._trainer, self._calls.history, iter(losses)
        try:
            for loss in left:
                record(trainer, history, loss, NOTHING)
                self._announce()
        finally:
            for loss in left:
                record(trainer, history, loss, NOTHING)

    def _announce(self) -> None:
        self._bar.advance(self._calls.history)
        self._calls.call()


def take_one(
    trainer: Trainer, batches: Batches | Stream, accumulate: int, judge: Judge, history: History
) -> None:
    """Take the next epoch, or leave the trainer as it was."""
    before = trainer._snapshot()
    try:
        begun = begin(trainer, [batches]) if accumulate == 1 else None
        if begun is not None:
            trainer.network.place.backend.complete([begun])
        ended = end(trainer, batches, begun, judge, accumulate)
    except BaseException:
        trainer._state = before
        raise
    record(trainer, history, *ended)


def begin(trainer: Trainer, parts: Sequence[Batches | Stream]) -> Any:
    """Return epochs of the same arrays that the backend takes as a whole, or None."""
    first, net = parts[0], trainer.network
    if trainer._training.begin is None or isinstance(first, Stream):
        return None
    orders = [part.order for part in parts if isinstance(part, Batches)]
    rows = [host.arange(first.rows) if order is None else order for order in orders]
    steps = range(trainer.t + 1, trainer.t + 1 + len(parts) * first.steps)
    return trainer._training.begin(
        net.w,
        trainer._moments,
        net.buffers,
        *first[:3],
        host.concatenate(rows),
        first.rows,
        first.size,
        trainer._coefficients_of(steps),
        [trainer._key(t) for t in steps] if trainer._random else None,
    )


def end(
    trainer: Trainer, batches: Batches | Stream, begun: Any, judge: Judge, accumulate: int = 1
) -> tuple[float, Verdict]:
    """Return the loss of an epoch, which this takes unless begun, and the verdict on it."""
    pending = _steps(trainer, batches, accumulate) if begun is None else []
    # The last step shows in no loss of this epoch, so the parameters are looked at too.
    net = trainer.network
    if begun is None:
        *values, highest, lowest = fetch(net, [*pending, *_extremes(net)])
    else:
        values, (highest, lowest) = begun.losses.tolist(), map(float, _extremes(net))
        trainer.t += len(values)
    _require_finite(trainer, "the loss", values)
    for extreme in (highest, lowest):
        _require_finite(trainer, "a parameter", [extreme], len(values))
    loss = mean(values, batches.sizes)
    if not judge.looks:
        return loss, NOTHING
    return loss, judge(net if trainer.optimizer.ema is None else trainer.averaged())


def _extremes(net: Network) -> tuple[Array, Array]:
    """Return the highest and the lowest parameter."""
    with net.place.scope():
        return net.place.backend.xp.max(net.w), net.place.backend.xp.min(net.w)


def record(trainer: Trainer, history: History, loss: float, verdict: Verdict) -> None:
    """Write an epoch into the trainer's history and the fit's."""
    for book in (trainer.history, history):
        book.loss.append(loss)
        book.validation_loss.extend(verdict.validation_loss)
        for name, value in verdict.metrics.items():
            book.metrics.setdefault(name, []).append(value)


def _steps(trainer: Trainer, batches: Batches | Stream, accumulate: int) -> list[Array]:
    """Take an epoch step by step, and return its batches' losses."""
    losses: list[Array] = []
    # Closed here: after an error, its traceback would keep what is on its way to the device.
    with closing(batches.arrays(trainer.network, "Trainer.fit")) as arrays:
        if accumulate == 1:
            return [trainer._advance(*batch) for batch in arrays]
        while group := list(islice(arrays, accumulate)):
            losses += trainer._advance_together(group)
    return losses


def _require_finite(trainer: Trainer, what: str, values: Sequence[float], first: int = 1) -> None:
    """Refuse values, one a batch from batch `first` on, of which one is not finite."""
    if all(map(math.isfinite, values)):
        return
    step, value = next((i, v) for i, v in enumerate(values, first) if not math.isfinite(v))
    raise NonFiniteLossError(
        f"Trainer.fit: {what} became {value} in epoch {len(trainer.history) + 1}, step {step}. "
        "The parameters are those from before this epoch. Try a smaller learning rate, "
        "clip_norm=1.0 in the optimiser, or inputs scaled to mean 0 and variance 1."
    )
