"""Logs: every epoch once, whatever happened, in CSV, JSON lines and TensorBoard's events."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import runs

import nnpoly as nn
from nnpoly.callbacks import Checkpoint, CSVLog, JSONLog, ReduceOnPlateau, TensorBoard

COLUMNS = ["epoch", "loss", "validation_loss", "learning_rate", "seconds"]


def fit(t: nn.Trainer, epochs: int, callbacks: list[Any], **options: Any) -> nn.History:
    X, y = runs.data()
    return t.fit(X, y, epochs, 8, validation=runs.data(9), callbacks=callbacks, **options)


def table(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def lines(path: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


KINDS = [(CSVLog, table), (JSONLog, lines)]
every_kind = pytest.mark.parametrize(("kind", "read"), KINDS, ids=["csv", "json"])


@every_kind
def test_a_line_an_epoch_has_what_the_epoch_was(tmp_path, kind, read):
    """The last step's learning rate too, with the factor that it was taken with."""
    t, path = runs.trainer(), tmp_path / "log"
    halve = ReduceOnPlateau(0.5, patience=1, min_delta=1e9)
    history = fit(t, 4, [halve, kind(path)])
    found = read(path)
    assert [list(line) for line in found] == [COLUMNS] * 4
    assert [line["epoch"] for line in found] == [1, 2, 3, 4]
    assert [line["loss"] for line in found] == history.loss
    assert [line["validation_loss"] for line in found] == history.validation_loss
    factors = [1.0, 1.0, 0.5, 0.25]  # lowered after the second epoch, the third and the fourth
    rates = [f * t.optimizer.learning_rate_at(4 * epoch) for epoch, f in enumerate(factors, 1)]
    assert [line["learning_rate"] for line in found] == rates


@every_kind
def test_lines_are_there_as_soon_as_the_epoch_is_over(tmp_path, kind, read):
    counts: list[int] = []
    path = tmp_path / "log"
    fit(runs.trainer(), 3, [kind(path), lambda t, history: counts.append(len(read(path)))])
    assert counts == [1, 2, 3]


@every_kind
def test_seconds_are_those_of_the_epoch(tmp_path, kind, read):
    path = tmp_path / "log"
    begin = time.perf_counter()
    fit(runs.trainer(), 3, [runs.Pause(0.05), kind(path)])
    took = time.perf_counter() - begin
    seconds = [line["seconds"] for line in read(path)]
    assert min(seconds) >= 0.05
    assert sum(seconds) <= took


@every_kind
def test_a_second_fit_is_appended_and_a_new_run_starts_anew(tmp_path, kind, read):
    t, log = runs.trainer(), kind(tmp_path / "log")
    fit(t, 2, [log])
    fit(t, 3, [kind(tmp_path / "log")])
    fit(t, 1, [log])
    assert [line["epoch"] for line in read(log.path)] == [1, 2, 3, 4, 5, 6]
    assert [line["loss"] for line in read(log.path)] == t.history.loss
    other = runs.trainer(seed=1)
    fit(other, 2, [log])
    assert [line["loss"] for line in read(log.path)] == other.history.loss


@every_kind
@pytest.mark.parametrize("torn", ["", "3", "3,0.5", '{"epoch": 3, "lo', "nonsense\n", "\n"])
def test_what_was_written_after_the_save_is_replaced(tmp_path, kind, read, torn):
    """Lines of later epochs, and a last one that a killed process did not finish."""
    path, saved = tmp_path / "log", tmp_path / "saved"
    t = runs.trainer()
    fit(t, 2, [kind(path)])
    t.save(saved)
    fit(t, 3, [kind(path)])
    with open(path, "a") as file:
        file.write(torn)
    history = fit(runs.trainer(), 4, [kind(path)], resume=saved)
    assert [line["epoch"] for line in read(path)] == [1, 2, 3, 4]
    assert [line["loss"] for line in read(path)] == history.loss
    assert set(os.listdir(tmp_path)) == {"log", "saved"}


@every_kind
def test_an_epoch_that_is_called_again_is_not_written_twice(tmp_path, kind, read):
    """The file is saved before the log is called: on resuming it is called for that epoch again."""
    path, saved = tmp_path / "log", tmp_path / "saved"

    def kill(t: nn.Trainer, history: nn.History) -> None:
        if len(history) == 2:
            os.replace(copy, saved)  # as it was before the log was called
            raise KeyboardInterrupt

    def keep(t: nn.Trainer, history: nn.History) -> None:
        t.save(copy)

    copy = tmp_path / "copy"
    with pytest.raises(KeyboardInterrupt):
        fit(runs.trainer(), 4, [keep, kind(path), kill])
    history = fit(runs.trainer(), 4, [lambda *a: None, kind(path), lambda *a: None], resume=saved)
    assert [line["epoch"] for line in read(path)] == [1, 2, 3, 4]
    assert [line["loss"] for line in read(path)] == history.loss


def test_metrics_are_columns(tmp_path):
    history = nn.History([0.5, 0.25])
    history.metrics = {"a, b": [1.0, 2.0], "é": [3.0, 4.0], "none": []}  # type: ignore[attr-defined]
    t = runs.trainer()
    t.history = history
    for kind, read in KINDS:
        kind(tmp_path / kind.__name__)(t, history)
        (line,) = read(tmp_path / kind.__name__)
        line.pop("seconds")
        assert line == {"epoch": 2, "loss": 0.25, "a, b": 2.0, "é": 4.0}


def test_other_columns_need_another_file(tmp_path):
    t, path = runs.trainer(), tmp_path / "log"
    fit(t, 1, [CSVLog(path)])
    with pytest.raises(
        ValueError, match=r"has the columns epoch, loss, validation_loss, .* has ep"
    ):
        t.fit(*runs.data(), epochs=1, callbacks=[CSVLog(path)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite(tmp_path, value):
    t = runs.trainer()
    t.history = history = nn.History([1.0], [value])
    CSVLog(tmp_path / "csv")(t, history)
    JSONLog(tmp_path / "json")(t, history)
    assert repr(table(tmp_path / "csv")[0]["validation_loss"]) == repr(value)
    assert lines(tmp_path / "json")[0]["validation_loss"] is None


@every_kind
def test_files_of_others_are_not_overwritten(tmp_path, kind, read):
    t, path = runs.trainer(), tmp_path / "data"
    for text in (b"name,age\ncat,3\n", b"[1, 2]\n", b"without an end", b"\0\n", b"\xff\n"):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"Log: `path` .* is no log, and would be overwritten"):
            fit(t, 1, [kind(path)])
        assert path.read_bytes() == text
    assert len(t.history) == 0


def test_a_table_of_epochs_is_no_log(tmp_path):
    t, path = runs.trainer(), tmp_path / "data"
    tables = ("epoch,period\n1,Eocene\n", "1,2.5\n", "epoch,loss,name\n", '{"epoch": 3}\n')
    for text, kind in itertools.product(tables, (CSVLog, JSONLog)):
        path.write_text(text)
        with pytest.raises(ValueError, match="is no log, and would be overwritten"):
            fit(t, 1, [kind(path)])
        assert path.read_text() == text


@every_kind
def test_a_fit_that_ends_in_its_first_epoch_leaves_the_log(tmp_path, kind, read):
    path = tmp_path / "log"
    fit(runs.trainer(), 2, [kind(path)])
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        fit(runs.trainer(), 1, [lambda *a: 1 // 0, kind(path)])
    assert path.read_bytes() == before


MEDDLING = {
    "removes it": lambda path: path.unlink(missing_ok=True),
    "empties it": lambda path: path.write_bytes(b""),
    "tears it": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "has begun a log of its own": lambda path: path.write_bytes(b"epoch,loss,f1,seconds\n"),
    "writes anything": lambda path: path.write_bytes(b"\xff\0,"),
}


@every_kind
@pytest.mark.parametrize("meddle", MEDDLING.values(), ids=MEDDLING)
def test_no_fit_ends_because_of_what_another_process_does_to_the_log(tmp_path, kind, read, meddle):
    path = tmp_path / "log"
    meddler = runs.Pause(function=lambda *a: meddle(path))
    assert len(fit(runs.trainer(), 3, [kind(path), meddler])) == 3


@every_kind
def test_fits_at_once_write_whole_lines_under_a_heading(tmp_path, kind, read):
    """As the clones of a grid search do, which share a path."""
    path, start = tmp_path / "log", threading.Barrier(4)

    def train(seed: int) -> list[float]:
        log = kind(path)
        start.wait()
        return [fit(runs.trainer(seed=seed), 6, [log]).loss for _ in range(3)][-1]

    with ThreadPoolExecutor(4) as pool:
        losses = list(pool.map(train, range(4)))
    known = {loss for each in losses for loss in each}
    rows = [line for line in path.read_text().splitlines() if not line.startswith("epoch")]
    assert path.read_text().startswith(("epoch,loss,", '{"epoch": '))
    for row in rows:
        assert (json.loads(row)["loss"] if kind is JSONLog else float(row.split(",")[1])) in known
    fit(runs.trainer(), 2, [kind(path)])  # and the next run takes it for a log
    assert [line["epoch"] for line in read(path)] == [1, 2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@every_kind
def test_a_pipe_is_written_into(tmp_path, kind, read):
    pipe, copy = tmp_path / "pipe", tmp_path / "copy"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        fit(runs.trainer(), 2, [kind(pipe)])
        copy.write_bytes(reader.read() or b"")
    assert [line["epoch"] for line in read(copy)] == [1, 2]
    assert pipe.is_fifo()


@every_kind
def test_a_missing_folder_is_refused_before_any_work(tmp_path, kind, read):
    t = runs.trainer()
    with pytest.raises(FileNotFoundError, match=r"Log: `path` is in .*none, which is no folder"):
        fit(t, 1, [kind(tmp_path / "none" / "log")])
    assert len(t.history) == 0
    with pytest.raises(TypeError, match="Log: `path` must be a path, got 3"):
        kind(3)


# TensorBoard


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard's own reader finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def assert_shows(folder: Path, history: nn.History) -> None:
    found = scalars(folder)
    assert set(found) == {"loss", "validation_loss", "learning_rate"}
    steps = list(range(1, len(history) + 1))
    for name in ("loss", "validation_loss"):
        assert [step for step, _ in found[name]] == steps
        values = [value for _, value in found[name]]
        assert values == pytest.approx(getattr(history, name), rel=1e-7)  # they are float32


@pytest.fixture
def board() -> Any:
    pytest.importorskip("tensorboard")
    return TensorBoard


def test_tensorboard_reads_the_scalars(tmp_path, board):
    t, folder = runs.trainer(), tmp_path / "new" / "folder"
    history = fit(t, 3, [board(folder)])
    assert_shows(folder, history)
    rates = [t.optimizer.learning_rate_at(4 * epoch) for epoch in (1, 2, 3)]
    assert [value for _, value in scalars(folder)["learning_rate"]] == pytest.approx(rates)


def test_tensorboard_shows_metrics(tmp_path, board):
    history = nn.History([0.5])
    history.metrics = {"accuracy": [0.75]}  # type: ignore[attr-defined]
    callback = board(tmp_path)
    callback(runs.trainer(), history)
    callback.end(runs.trainer(), history)
    assert scalars(tmp_path) == {"loss": [(0, 0.5)], "accuracy": [(0, 0.75)]}


def test_a_resumed_run_replaces_later_scalars(tmp_path, board):
    saved, folder = tmp_path / "saved", tmp_path / "events"
    t = runs.trainer()
    fit(t, 2, [board(folder)])
    t.save(saved)
    fit(t, 3, [board(folder)])
    t = runs.trainer()
    fit(t, 4, [board(folder), Checkpoint(saved)], resume=saved)
    assert_shows(folder, t.history)


def test_scalars_are_there_while_training_goes_on(tmp_path, board):
    counts: list[int] = []

    def count(t: nn.Trainer, history: nn.History) -> None:
        counts.append(len(scalars(tmp_path)["loss"]))

    fit(runs.trainer(), 3, [board(tmp_path), count])
    assert counts == [1, 2, 3]


def test_tensorboard_imports_no_framework(tmp_path, board):
    code = (
        "import sys, nnpoly as nn, numpy as np\n"
        "t = nn.Trainer(nn.MLP([2, 2]))\n"
        f"board = nn.callbacks.TensorBoard({str(tmp_path)!r})\n"
        "t.fit(np.ones((4, 2)), [0, 1, 0, 1], 2, callbacks=[board])\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert [step for step, _ in scalars(tmp_path)["loss"]] == [1, 2]


def test_tensorboard_is_asked_for(tmp_path, monkeypatch):
    name = "tensorboard.summary.writer.event_file_writer"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"needs tensorboard: pip install nnpoly\[tensorboard\]"):
        TensorBoard(tmp_path)
