"""Progress of a fit on stderr: tqdm's bar in terminals and notebooks, else plain lines."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from .history import History

SECONDS = 5.0  # between plain lines, at least


class Progress:
    """Shows epochs, speed, remaining time and losses on stderr.

    In a terminal or a notebook it is tqdm's bar, where tqdm is installed. Elsewhere (logs, pipes) a
    line is printed every few seconds, and one for the last epoch.

    Parameters
    ----------
    epochs
        The number of epochs of the whole run.
    done
        The number of epochs that an earlier run has trained.
    enabled
        False for no output.
    """

    def __init__(self, epochs: int, done: int = 0, enabled: bool = True) -> None:
        self._epochs, self._done, self._before = epochs, done, done
        self._enabled = enabled and sys.stderr is not None
        self._bar: Any = None
        self._unwritten = ""  # the newest epoch's line, until it is printed

    def __enter__(self) -> Progress:
        self._start = self._written = time.monotonic()
        if self._enabled and (tqdm := _tqdm()):
            self._bar = tqdm(
                total=self._epochs, initial=self._done, unit="epoch", dynamic_ncols=True
            )
        return self

    def advance(self, history: History) -> None:
        """Show the newest epoch of `history`."""
        if not self._enabled:
            return
        self._done += 1
        losses = {"loss": f"{history.loss[-1]:.4g}"}
        if history.validation_loss:
            losses["validation"] = f"{history.validation_loss[-1]:.4g}"
        if self._bar is not None:
            self._bar.set_postfix(losses, refresh=False)
            self._bar.update()
            return
        now = time.monotonic()
        self._unwritten = self._line(losses, now - self._start)
        if now - self._written >= SECONDS:
            self._write(now)

    def _line(self, losses: dict[str, str], seconds: float) -> str:
        """The newest epoch's line, after so many seconds of training."""
        rate = (self._done - self._before) / max(seconds, 1e-9)
        left = (self._epochs - self._done) / rate
        parts = [f"{name} {value}" for name, value in losses.items()]
        speed = f"{rate:.3g} epochs/s" if rate >= 1 else f"{1 / rate:.3g} s/epoch"
        parts += [speed, f"{_clock(seconds)} passed", f"{_clock(left)} left"]
        return "  ".join([f"epoch {self._done}/{self._epochs}", *parts])

    def _write(self, now: float) -> None:
        print(self._unwritten, file=sys.stderr, flush=True)
        self._unwritten, self._written = "", now

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._unwritten:
            self._write(time.monotonic())


def _tqdm() -> Any:
    """The bar of tqdm, where stderr can show one and tqdm is installed; else None."""
    if not (sys.stderr.isatty() or _in_notebook()):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel, by the test that tqdm uses."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def _clock(seconds: float) -> str:
    """A duration as minutes:seconds, or hours:minutes:seconds from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
