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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .shown import Shown

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


class _FileLog(Shown):
    """A text file with a line an epoch; a subclass writes and reads the line.

    It is read before a fit and never during one, so whatever else writes to it meanwhile ends no
    fit. Where lines are to be replaced, the first new one comes with what is kept before it, in a
    whole new file, which so always begins as a log does; other lines are appended, each by one
    write.
    """

    def __init__(self, path: Any) -> None:
        from ..data.container import as_path

        self.path: Path = as_path(type(self).__name__, path)
        self._last = 0  # the last epoch in the file
        self._start: str | None = ""  # what the file shall begin with, if not as it does
        self._clock = time.perf_counter()

    def begin(self, trainer: Trainer) -> None:
        """Keep the lines of the epochs that the trainer has trained, and start the clock."""
        from ..data.container import target_path

        target_path(type(self).__name__, self.path)
        self._find_place(len(trainer.history))
        self._clock = time.perf_counter()

    def _find_place(self, epochs: int) -> None:
        """Find the last line to be kept. The file stays as it is until there is a line to add."""
        try:
            is_read = self.path.is_file()  # and no pipe
            lines = self.path.read_text("utf-8", "replace").splitlines(True) if is_read else []
        except FileNotFoundError:  # since it was looked at
            lines = []
        if lines and not self._begins(lines[0]):
            raise ValueError(
                f"{type(self).__name__}: `path` {self.path} is no log, and would be overwritten. "
                "Name a new file."
            )
        numbers = [self._epoch(line) for line in lines]
        kept = next((i for i, n in enumerate(numbers) if not 0 <= n <= epochs), len(lines))
        self._last = max(numbers[:kept], default=0)
        self._start = None
        if not self._last or kept < len(lines):
            self._start = "".join(lines[:kept]) if self._last else ""

    def __call__(self, trainer: Trainer, history: History) -> None:
        """Write the newest epoch's line, unless it is there already."""
        from ..data.container import disk_errors, write_atomically

        now, epoch = time.perf_counter(), len(trainer.history)
        row = {"epoch": epoch, **_row(trainer, history), "seconds": now - self._clock}
        self._clock = now
        if epoch <= self._last:
            return
        text = self._text(row)
        with disk_errors(self.path):
            if self._start is None and self.path.exists():  # somebody may have removed it
                with open(self.path, "ab", buffering=0) as file:
                    file.write(text.encode())
            else:
                whole = (self._start or self._heading(row)) + text
                write_atomically(self.path, whole.encode())
        self._last, self._start = epoch, None

    def _heading(self, row: Row) -> str:
        """Return what stands before the first line."""
        return ""

    def _text(self, row: Row) -> str:
        """Return the line of an epoch."""
        raise NotImplementedError

    def _begins(self, line: str) -> bool:
        """Whether a log begins with this line."""
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
        starts a new file. Fits that run at once, as in a parallel `GridSearchCV`, need a file each:
        in one file their lines replace one another and mix, and none of them fails for it.

    Examples
    --------
    >>> import nnpoly as nn
    >>> log = nn.callbacks.CSVLog("run.csv")  # for fit(..., callbacks=[log])
    """

    _columns: Sequence[str] = ()  # of the file

    def _heading(self, row: Row) -> str:
        return _csv(row)

    def _text(self, row: Row) -> str:
        if not self._last:
            self._columns = list(row)
        elif self._columns != list(row):
            raise ValueError(
                f"CSVLog: {self.path} has the columns {', '.join(self._columns)}, but this run has "
                f"{', '.join(row)}. Name a new file."
            )
        return _csv(row.values())

    def _begins(self, line: str) -> bool:
        self._columns = _cells(line)
        return self._columns[:2] == ["epoch", "loss"] and self._columns[-1] == "seconds"

    def _epoch(self, line: str) -> int:
        if not line.endswith("\n"):
            return -1
        cells = _cells(line)
        if cells[0].isdecimal():
            return int(cells[0])
        return 0 if cells[:2] == ["epoch", "loss"] else -1


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

    def _begins(self, line: str) -> bool:
        import json

        with contextlib.suppress(ValueError):
            row = json.loads(line)
            return isinstance(row, dict) and {"epoch", "loss", "seconds"} <= row.keys()
        return False

    def _epoch(self, line: str) -> int:
        import json

        with contextlib.suppress(ValueError, TypeError, KeyError):
            return int(json.loads(line)["epoch"]) if line.endswith("\n") else -1
        return -1


class TensorBoard(Shown):
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
