"""The callbacks of a fit, and the place that it has reached between two epochs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple

from .history import Callback, History


class Position(NamedTuple):
    """A place between two epochs of a fit."""

    epoch: int = 0  # of the fit's history, the newest one
    left: int = 0  # so many callbacks, the last ones, have not been called for it
    stopped: bool = False
    learning_rate: float = math.nan  # of the newest epoch's last step


class Calls:
    """The callbacks of one fit: begun, called after every epoch, and ended in any case.

    While it runs it is the trainer's `calls`, so that a file that is saved then says where the fit
    stands, whichever callback saves it.

    Attributes
    ----------
    settings
        What a fit that goes on from such a file must have in common with this one, by name.
    """

    def __init__(
        self,
        trainer: Any,
        callbacks: Sequence[Callback],
        history: History,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.trainer, self.history, self.settings = trainer, history, dict(settings or {})
        self._callbacks, self._position = callbacks, Position(len(history.loss))
        self._begun: list[Any] = []
        self._states: list[dict[str, Any]] | None = None
        self._path: Any = None  # of the file that has the states

    @property
    def names(self) -> list[str]:
        """The callbacks' classes."""
        return [type(callback).__name__ for callback in self._callbacks]

    @property
    def stopped(self) -> bool:
        """Whether a callback has ended the training."""
        return self._position.stopped

    def stop(self) -> None:
        """End the training."""
        self._position = self._position._replace(stopped=True)

    @property
    def position(self) -> Position:
        """The place of the fit, also if it was interrupted before any callback was called."""
        epoch, reached = len(self.history.loss), self._position
        if reached.epoch == epoch:
            return reached
        rate = self.trainer.learning_rate
        return Position(epoch, len(self._callbacks), reached.stopped, rate)

    def can_wait(self) -> int:
        """The number of epochs that may pass before a callback must be called."""
        waits = [getattr(callback, "can_wait", None) for callback in self._callbacks]
        return min([1 if wait is None else wait() for wait in waits], default=sys.maxsize)

    def states(self) -> list[dict[str, Any]]:
        """The callbacks' states."""
        return [_hook(callback, "state")() or {} for callback in self._callbacks]

    def continue_from(
        self,
        history: History,
        position: Position,
        states: list[dict[str, Any]] | None,
        path: Any = None,
    ) -> None:
        """Stand where another fit stood; without states, from `path`, the callbacks begin anew."""
        self.history, self._position, self._states = history, position, states
        self._path = path

    def __enter__(self) -> Calls:
        self._outer, self.trainer.calls = self.trainer.calls, self
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        """Begin all callbacks, in the states that they continue from."""
        for callback in self._callbacks:
            _hook(callback, "begin")(self.trainer)
            self._begun.append(callback)
        if self._states is not None:
            from ..data.container import named  # here, since `import nnpoly` does without it

            for callback, state in zip(self._callbacks, self._states, strict=True):
                with named(self._path):
                    _hook(callback, "restore")(state)
        self._call_the_rest()

    def call(self) -> None:
        """Call all callbacks after an epoch."""
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
            stack.callback(setattr, self.trainer, "calls", self._outer)
            for callback in reversed(ordered):
                stack.callback(_hook(callback, "end"), self.trainer, self.history)


def _hook(callback: Any, name: str) -> Callable[..., Any]:
    """A callback's method of that name, or a function that does nothing."""
    return getattr(callback, name, None) or (lambda *arguments: None)


def listed_callbacks(where: str, callbacks: Any) -> Sequence[Callback]:
    """Return callbacks, or a single one, as a list.

    Anything but callables is refused, and classes, of which no object was made.
    """
    callbacks = [callbacks] if callable(callbacks) else callbacks
    if not isinstance(callbacks, tuple | list) or not all(map(callable, callbacks)):
        raise ValueError(
            f"{where}: `callbacks` must be a list of callables such as "
            f"[nn.callbacks.EarlyStopping()], or one, got {callbacks!r}."
        )
    for i, callback in enumerate(callbacks):
        if isinstance(callback, type):
            raise ValueError(
                f"{where}: `callbacks[{i}]` must be an object, got the class {callback.__name__}. "
                f"Make one of it: {callback.__name__}(...)."
            )
    return callbacks
