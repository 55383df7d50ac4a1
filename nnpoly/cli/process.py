"""A command as a process: its standard streams, and the signals that end it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}


class Terminated(BaseException):
    """A signal that ends a process, which cleans up as after Ctrl-C.

    It is no KeyboardInterrupt, after which estimators go on with what they have learnt.

    Attributes
    ----------
    status
        The exit status by which a shell tells the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` for the signals that end a process, unless they are ignored."""

    def end(number: int, frame: Any) -> None:
        raise Terminated(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def usable_streams() -> Iterator[None]:
    r"""Let standard streams that are closed be the null device, and stdout print any character.

    What stdout cannot encode is escaped, as \u0434. Files that are opened later would get the
    numbers of closed streams, and with them what libraries print.
    """
    with ExitStack() as stack:
        for name, mode in STREAMS.items():
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, mode)))
                stack.callback(setattr, sys, name, None)
        stdout = sys.stdout
        if isinstance(stdout, TextIOWrapper):  # a notebook's stream encodes nothing
            stack.callback(stdout.reconfigure, errors=stdout.errors)
            stdout.reconfigure(errors="backslashreplace")
        yield


def stdout_is_closed() -> bool:
    """Return True within `usable_streams` if there is no standard output."""
    return getattr(sys.stdout, "name", None) == os.devnull


def is_stdout(path: Path) -> bool:
    """Return True for -, and for what is standard output by another name, as /dev/stdout."""
    if str(path) == "-":
        return True
    with suppress(OSError, ValueError):  # a stream without a number
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    return False


@contextmanager
def stdout_errors() -> Iterator[None]:
    """Let the errors of writing to standard output name it; a closed pipe is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def abandon_stdout() -> None:
    """Drop what standard output did not take, which Python would try again at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
