"""Logs: callbacks that write down every epoch, for people and for other programs.

Each knows the epoch by its number in `trainer.history`, so a log that goes on (in a second fit, or
in a run that is resumed) has every epoch once, and what an interrupted run wrote after it was saved
is replaced.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training import History, Trainer

Row = dict[str, float]


def _row(trainer: Trainer, history: History) -> Row:
    """The values of the newest epoch, by name."""
    row = {"loss": history.loss[-1]}
    if history.validation_loss:
        row["validation_loss"] = history.validation_loss[-1]
    for name, values in history.metrics.items():
        if values:
            row[name] = values[-1]
    if trainer.calls is not None:
        row["learning_rate"] = trainer.calls.position.learning_rate
    return row


class _FileLog:
    """A text file with a line an epoch; a subclass writes and reads the line."""

    def __init__(self, path: Any) -> None:
        from ..data.container import as_path

        self.path: Path = as_path(type(self).__name__, path)
        self._last = 0  # the last epoch in the file
        self._clock = time.perf_counter()

    def begin(self, trainer: Trainer) -> None:
        """Keep the lines of the epochs that the trainer has trained, and start the clock."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"{type(self).__name__}: `path` is in {self.path.parent}, which is no folder. "
                "Make it first."
            )
        self._last = self._shorten(len(trainer.history))
        self._clock = time.perf_counter()

    def _shorten(self, epochs: int) -> int:
        """Drop the lines of epochs after `epochs`; return the last epoch that is left."""
        from ..data.container import write_atomically

        if not self.path.exists():
            return 0
        lines = self.path.read_text("utf-8", "replace").splitlines(keepends=True)
        numbers = [self._epoch(line) for line in lines]
        if -1 in numbers[:1]:
            raise ValueError(
                f"{type(self).__name__}: `path` {self.path} is no log, and would be overwritten. "
                "Name a new file."
            )
        kept = next((i for i, n in enumerate(numbers) if not 0 <= n <= epochs), len(lines))
        last = max(numbers[:kept], default=0)
        if kept < len(lines) or not last:
            write_atomically(self.path, "".join(lines[:kept] if last else []).encode())
        return last

    def __call__(self, trainer: Trainer, history: History) -> None:
        """Write the newest epoch's line, unless it is there already."""
        now, epoch = time.perf_counter(), len(trainer.history)
        row = {"epoch": epoch, **_row(trainer, history), "seconds": now - self._clock}
        self._clock = now
        if epoch > self._last:
            text = self._text(row)
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(text)
            self._last = epoch

    def _text(self, row: Row) -> str:
        """Return the line of an epoch, with the heading before it where the file is new."""
        raise NotImplementedError

    def _epoch(self, line: str) -> int:
        """Return the epoch of a line: 0 for a heading, -1 for a line that is no log's, or torn."""
        raise NotImplementedError


class CSVLog(_FileLog):
    r"""Write a line of comma-separated values an epoch, under a heading.

    The columns are epoch, loss, validation_loss and metrics (where there are any), learning_rate
    (of the epoch's last step) and seconds. Numbers have all their digits.

    Parameters
    ----------
    path
        The file. Lines of epochs that the trainer has not trained yet are replaced, so a new run
        starts a new file.

    Examples
    --------
    >>> import nnpoly as nn
    >>> log = nn.callbacks.CSVLog("run.csv")  # for fit(..., callbacks=[log])
    """

    def _text(self, row: Row) -> str:
        names = list(row)
        if not self._last:
            return _csv(names) + _csv(row.values())
        heading = _cells(self._heading())
        if heading != names:
            raise ValueError(
                f"CSVLog: {self.path} has the columns {', '.join(heading)}, but this run has "
                f"{', '.join(names)}. Name a new file."
            )
        return _csv(row.values())

    def _heading(self) -> str:
        with open(self.path, encoding="utf-8", newline="") as file:
            return file.readline()

    def _epoch(self, line: str) -> int:
        if not line.endswith("\n"):
            return -1
        first = _cells(line)[0]
        return int(first) if first.isdecimal() else 0 if first == "epoch" else -1


def _csv(cells: Any) -> str:
    import csv

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cells(line: str) -> list[str]:
    import csv

    try:
        return next(csv.reader([line]), []) or [""]
    except csv.Error:
        return [""]


class JSONLog(_FileLog):
    """Write a line of JSON an epoch, with the entries of `CSVLog`; NaN and infinity become null.

    Parameters
    ----------
    path
        The file, as for `CSVLog`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> log = nn.callbacks.JSONLog("run.jsonl")  # for fit(..., callbacks=[log])
    """

    def _text(self, row: Row) -> str:
        import json

        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        return json.dumps(finite) + "\n"

    def _epoch(self, line: str) -> int:
        import json

        with contextlib.suppress(ValueError, TypeError, KeyError):
            return int(json.loads(line)["epoch"]) if line.endswith("\n") else -1
        return -1


class TensorBoard:
    """Write scalars for TensorBoard: loss, validation_loss, metrics and learning_rate, an epoch.

    Needs the package tensorboard (pip install nnpoly[tensorboard]), and neither torch nor
    TensorFlow. `tensorboard --logdir folder` shows them.

    Parameters
    ----------
    folder
        Where the event files go; made if need be. What an interrupted run wrote after it was saved
        is replaced when the run is resumed.

    Examples
    --------
    >>> import nnpoly as nn
    >>> board = nn.callbacks.TensorBoard("runs/first")  # for fit(..., callbacks=[board])
    """

    def __init__(self, folder: Any) -> None:
        from ..data.container import as_path

        self.folder = as_path("TensorBoard", folder, "folder")
        self._protocol()
        self._writer: Any = None

    def _protocol(self) -> tuple[Any, ...]:
        """Return tensorboard's classes: the writer of event files, and the messages in them."""
        try:
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboard: pip install nnpoly[tensorboard]"
            ) from error
        return EventFileWriter, Event, SessionLog, Summary

    def __call__(self, trainer: Trainer, history: History) -> None:
        """Write the newest epoch's scalars."""
        _, Event, _, Summary = self._protocol()
        epoch = len(trainer.history)
        if self._writer is None:
            self._open(epoch)
        row = _row(trainer, history).items()
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row]
        self._write(Event(step=epoch, summary=Summary(value=values)))

    def _open(self, epoch: int) -> None:
        """Begin a file; a session that starts at `epoch` makes older scalars from there on void."""
        EventFileWriter, Event, SessionLog, _ = self._protocol()
        self._writer = EventFileWriter(str(self.folder))
        self._write(Event(step=epoch, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)
        self._writer.flush()

    def end(self, trainer: Trainer, history: History) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
