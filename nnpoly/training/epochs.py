"""The loop of training: epoch after epoch, each of which is taken whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import monotonic
from types import TracebackType

from ..backends.steps import Taken
from ..data.batches import ArrayData, Batches, Stream, StreamData
from .calls import Calls
from .evaluation import Evaluation, fetch
from .history import EpochRecord, History
from .progress import Progress
from .stepper import Stepper, extremes_of

SECONDS = 0.05  # that epochs in one call may take: Ctrl-C loses as much


class NonFiniteLossError(ArithmeticError):
    """A loss or parameter became NaN or infinite; the parameters are those before that epoch.

    Attributes
    ----------
    found
        What became so, and when: "the loss became nan in epoch 3, step 1".
    """

    def __init__(self, message: str = "", found: str = "") -> None:
        super().__init__(message)
        self.found = found


class Loop:
    """The epochs of one fit.

    Parameters
    ----------
    stepper
        Takes the steps.
    data
        The batches of each epoch.
    histories
        The trainer's, which has all epochs, and this fit's.
    evaluation
        Computes validation loss and metrics after an epoch; None where there are none.
    calls
        The callbacks, or None.
    bar
        The line of progress, or None.
    accumulate
        The batches of a step.
    """

    def __init__(
        self,
        stepper: Stepper,
        data: ArrayData | StreamData,
        histories: tuple[History, History],
        evaluation: Evaluation | None = None,
        calls: Calls | None = None,
        bar: Progress | None = None,
        accumulate: int = 1,
    ) -> None:
        self._stepper, self._data, self._histories = stepper, data, histories
        self._evaluation, self._calls, self._bar = evaluation, calls, bar
        self._accumulate = accumulate
        self._whole = data.in_memory and stepper.steps.takes_epochs
        self._seconds = math.inf  # of an epoch, the newest

    def run(self, epochs: int) -> None:
        """Take so many epochs, or fewer if a callback ends the training."""
        while epochs > 0 and not (self._calls and self._calls.stopped):
            start = monotonic()
            taken = self._take_several(min(epochs, self._unwatched())) or self._take_one()
            self._seconds = (monotonic() - start) / taken
            epochs -= taken

    def _take_one(self) -> int:
        """Take the next epoch, record it and announce it."""
        with self._stepper.lock, Transaction(self._stepper, *self._histories):
            batches = self._data.epoch(len(self._histories[0].loss))
            taken = self._steps(batches)
            record(self._stepper, self._histories, self._evaluation, batches, taken)
        self._announce()
        return 1

    def _steps(self, batches: Batches | Stream) -> Taken:
        """Take the steps of an epoch."""
        if self._whole and isinstance(batches, Batches):
            if (taken := self._stepper.run([batches], self._accumulate)) is not None:
                return taken
            self._whole = False
        return one_by_one(self._stepper, batches, self._accumulate)

    def _unwatched(self) -> int:
        """The number of epochs that may pass before anything looks at the network."""
        if not self._whole or self._evaluation is not None:
            return 1
        count = int(SECONDS / max(self._seconds, 1e-9))
        return count if self._calls is None else min(count, self._calls.can_wait())

    def _take_several(self, count: int) -> int:
        """Take so many epochs in one call; 0 if that cannot be, or one of them fails."""
        if count < 2:
            return 0
        assert isinstance(self._data, ArrayData)
        trained, history = self._histories
        with self._stepper.lock, Transaction(self._stepper, trained) as transaction:
            first = len(trained.loss)
            parts = list(map(self._data.epoch, range(first, first + count)))
            taken = self._stepper.run(parts, self._accumulate)
            if taken is None:
                self._whole = False
                return 0
            if not all(map(math.isfinite, [*taken.losses, *taken.extremes])):
                transaction.undo()
                return 0
            losses = parts[0].means(taken.losses)
            trained.loss.extend(losses)
        later = iter(losses)
        try:
            for loss in later:
                history.loss.append(loss)
                self._announce()
        finally:  # all epochs have been taken, whatever a callback does
            history.loss.extend(later)
        return count

    def _announce(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._histories[1])
        if self._calls is not None:
            self._calls.call()


class Transaction:
    """A block of code after which a stepper and histories are as they were, if it raises.

    Enter the stepper's lock first, by a `with`: Ctrl-C between its taking and the block would leave
    it taken.
    """

    def __init__(self, stepper: Stepper, *histories: History) -> None:
        self._stepper, self._histories = stepper, histories

    def __enter__(self) -> Transaction:
        self._snapshot = self._stepper.snapshot()
        self._lengths = list(map(History.lengths, self._histories))
        return self

    def undo(self) -> None:
        """Take all back."""
        self._stepper.restore(self._snapshot)
        for history, lengths in zip(self._histories, self._lengths, strict=True):
            history.shorten(lengths)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.undo()


def one_by_one(stepper: Stepper, batches: Batches | Stream, accumulate: int = 1) -> Taken:
    """Take an epoch step by step. The device is waited for once, at its end."""
    losses = stepper.one_by_one(batches, accumulate)
    if isinstance(batches, Stream):
        stepper.require_rows("Trainer.fit", max(batches.sizes))
    net = stepper.network
    values = fetch(net, [*losses, *extremes_of(net)])
    return Taken(values[: len(losses)], values[len(losses) :])


def record(
    stepper: Stepper,
    histories: tuple[History, History],
    evaluation: Evaluation | None,
    batches: Batches | Stream,
    taken: Taken,
) -> None:
    """Look at an epoch's losses and parameters, evaluate, and add the epoch to the histories.

    histories: the trainer's, which numbers the epochs, and the fit's.
    """
    require_finite(len(histories[0].loss) + 1, *taken)
    newest = EpochRecord(batches.mean(taken.losses))
    if evaluation is not None:
        newest = evaluation(stepper.evaluated(), newest.loss)
    for history in histories:
        history.append(newest)


def require_finite(epoch: int, losses: Sequence[float], extremes: Sequence[float]) -> None:
    """Refuse an epoch of which a loss, or after which an array of the network, is not finite.

    extremes: of the parameters, then of each buffer.
    """
    if all(map(math.isfinite, losses)) and all(map(math.isfinite, extremes)):
        return
    for step, loss in enumerate(losses, 1):
        if not math.isfinite(loss):
            raise _not_finite("the loss", loss, epoch, step)
    # The last step shows in no loss of this epoch, and running statistics in no loss of any: the
    # arrays are looked at too.
    for place, extreme in enumerate(extremes):
        if not math.isfinite(extreme):
            what = "a parameter" if place < 2 else "a running mean or variance of BatchNorm"
            raise _not_finite(what, extreme, epoch, len(losses))


def _not_finite(what: str, value: float, epoch: int, step: int) -> NonFiniteLossError:
    found = f"{what} became {value} in epoch {epoch}, step {step}"
    return NonFiniteLossError(
        f"Trainer.fit: {found}. The parameters are those from before this epoch. Try a smaller "
        "learning rate, clip_norm=1.0 in the optimiser, or inputs scaled to mean 0 and variance 1.",
        found,
    )
