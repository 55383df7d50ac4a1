"""How a fit calls its callbacks, and where it stands between two epochs; see `nn.callbacks`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .trainer import History, Trainer


class Position(NamedTuple):
    """Where a fit stands between two epochs."""

    epoch: int = 0  # of the fit's history, the newest one
    left: int = 0  # so many callbacks, the last ones, have not been called for it
    stopped: bool = False
    learning_rate: float = math.nan  # of the newest epoch's last step


class Calls:
    """The callbacks of one fit: begun, called after every epoch, and ended in any case.

    While it runs it is the trainer's `_calls`, so that a file that is saved then says where the fit
    stands, whichever callback saves it.
    """

    def __init__(self, trainer: Trainer, callbacks: Sequence[Any], history: History) -> None:
        self.trainer, self.history = trainer, history
        self._callbacks, self._position = callbacks, Position(len(history))
        self._begun: list[Any] = []
        self._states: list[dict[str, Any]] | None = None

    @property
    def names(self) -> list[str]:
        return [type(callback).__name__ for callback in self._callbacks]

    @property
    def stopped(self) -> bool:
        """Whether a callback has ended the training."""
        return self._position.stopped

    def stop(self) -> None:
        self._position = self._position._replace(stopped=True)

    @property
    def position(self) -> Position:
        """Where the fit stands, also if it was interrupted before any callback was called."""
        if self._position.epoch == len(self.history):
            return self._position
        rate = float(self.trainer._coefficients(max(self.trainer.t, 1))[0])
        return Position(len(self.history), len(self._callbacks), self.stopped, rate)

    def blind(self) -> int:
        """Return how many epochs may pass before a callback must be called."""
        looks = [getattr(callback, "blind", None) for callback in self._callbacks]
        return min((1 if look is None else look() for look in looks), default=sys.maxsize)

    def states(self) -> list[dict[str, Any]]:
        return [_hook(callback, "state")() or {} for callback in self._callbacks]

    def take_up(
        self, history: History, position: Position, states: list[dict[str, Any]] | None
    ) -> None:
        """Be, once it has begun, where another fit was; without states the callbacks are new."""
        self.history, self._position, self._states = history, position, states

    def __enter__(self) -> Calls:
        self._outer, self.trainer._calls = self.trainer._calls, self
        return self

    def begin(self) -> None:
        """Begin all, in the state that was taken up."""
        for callback in self._callbacks:
            _hook(callback, "begin")(self.trainer)
            self._begun.append(callback)
        if self._states is not None:
            for callback, state in zip(self._callbacks, self._states, strict=True):
                _hook(callback, "restore")(state)
        self._call_the_rest()

    def call(self) -> None:
        """Call all after an epoch."""
        self._position = self.position
        self._call_the_rest()

    def _call_the_rest(self) -> None:
        while left := self._position.left:
            callback = self._callbacks[-left]
            # Moved before the call, so that a file that the callback saves has it as called.
            self._position = self._position._replace(left=left - 1)
            try:
                stops = callback(self.trainer, self.history)
            except BaseException:
                self._position = self._position._replace(left=left)
                raise
            if stops:
                self.stop()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ordered = sorted(self._begun, key=lambda c: not getattr(c, "ends_first", False))
        with ExitStack() as stack:  # which calls each, whatever another raises, the last one first
            stack.callback(setattr, self.trainer, "_calls", self._outer)
            for callback in reversed(ordered):
                stack.callback(_hook(callback, "end"), self.trainer, self.history)


def _hook(callback: Any, name: str) -> Callable[..., Any]:
    """Return a callback's method of that name, or a function that does nothing."""
    return getattr(callback, name, None) or (lambda *arguments: None)
