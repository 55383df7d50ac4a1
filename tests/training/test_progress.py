"""The progress line: in a terminal, in a pipe, without tqdm, and when it is interrupted."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
import types
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.training import progress as _progress
from nnpoly.training.progress import Progress


def fit(epochs: int, **options: Any) -> nn.History:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(10, 3)), rng.integers(0, 2, 10)
    t = nn.Trainer(nn.MLP([3, 4, 2]))
    return t.fit(X, y, epochs, progress=True, **options, validation=(X, y))


class Clock:
    """A monotonic clock that tests turn."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def test_training_is_silent_unless_asked(capsys):
    t = nn.Trainer(nn.MLP([3, 4, 2]))
    t.fit(np.ones((4, 3)), [0, 1, 0, 1], epochs=2)
    assert capsys.readouterr() == ("", "")


# Plain lines


def lines(capsys: Any) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    assert err == "" or err.endswith("\n")
    return err.splitlines()


def test_a_pipe_gets_the_last_epoch_as_a_whole_line(capsys):
    history = fit(3)
    (line,) = lines(capsys)
    loss, validation = history.loss[-1], history.validation_loss[-1]
    assert re.fullmatch(
        rf"epoch 3/3  loss {loss:.4g}  validation {validation:.4g}  [\d.e+]+ epochs/s  "
        r"00:0\d passed  00:00 left",
        line,
    )


def test_lines_come_every_few_seconds_and_last(capsys, clock):
    history = nn.History()
    with Progress(60) as bar:
        for epoch in range(1, 59):
            clock.now += 1.0
            history.loss.append(1.0 / epoch)
            bar.advance(history)
    found = lines(capsys)
    assert [int(line.split()[1].partition("/")[0]) for line in found] == [*range(5, 59, 5), 58]
    assert found[1] == "epoch 10/60  loss 0.1  1 epochs/s  00:10 passed  00:50 left"


def test_slow_epochs_have_seconds_an_epoch_and_hours(capsys, clock):
    with Progress(1000) as bar:
        clock.now += 40.0
        bar.advance(nn.History([0.5]))
    assert lines(capsys) == ["epoch 1/1000  loss 0.5  40 s/epoch  00:40 passed  11:06:00 left"]


def test_a_resumed_run_counts_on_and_its_rate_is_its_own(capsys, clock):
    with Progress(20, done=10) as bar:
        clock.now += 10.0
        bar.advance(nn.History([0.5] * 11))
    assert lines(capsys) == ["epoch 11/20  loss 0.5  10 s/epoch  00:10 passed  01:30 left"]


def test_the_last_line_is_written_after_an_interruption(capsys):
    def interrupt(trainer: nn.Trainer, history: nn.History) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(9, callbacks=[interrupt])
    (line,) = lines(capsys)
    assert line.startswith("epoch 2/9  loss ")


def test_nothing_is_written_where_nothing_was_trained(capsys):
    with Progress(3):
        pass
    assert lines(capsys) == []


def test_no_stderr_is_silence(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert len(fit(2)) == 2


# What is chosen where


class Terminal:
    """What tests put in place of stderr."""

    def __init__(self, terminal: bool) -> None:
        self.isatty = lambda: terminal


def shell(kernel: bool) -> Any:
    config = {"IPKernelApp": {}} if kernel else {}
    found = types.SimpleNamespace(config=config)
    return types.SimpleNamespace(get_ipython=lambda: found)


@pytest.mark.parametrize(
    ("terminal", "ipython", "bar"),
    [
        (True, None, True),
        (False, None, False),
        (False, shell(kernel=True), True),
        (False, shell(kernel=False), False),
        (False, types.SimpleNamespace(get_ipython=lambda: None), False),
    ],
    ids=["terminal", "pipe", "notebook", "ipython in a pipe", "ipython unused"],
)
def test_tqdm_is_for_terminals_and_notebooks(terminal, ipython, bar, monkeypatch):
    tqdm = types.SimpleNamespace(tqdm=object())
    monkeypatch.setitem(sys.modules, "tqdm.auto", tqdm)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys, "stderr", Terminal(terminal))
    assert _progress._tqdm() is (tqdm.tqdm if bar else None)


def test_a_terminal_without_tqdm_gets_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", Terminal(True))
    assert _progress._tqdm() is None


# Real terminals and pipes


TRAIN = """
    import sys, time
    import numpy as np, nnpoly as nn

    if "without" in sys.argv:
        sys.modules["tqdm.auto"] = None
    X, y = np.ones((4, 3)), [0, 1, 0, 1]

    def wait(trainer, history):
        print("an epoch", flush=True)
        time.sleep(0.02)

    try:
        nn.Trainer(nn.MLP([3, 4, 2])).fit(
            X, y, int(sys.argv[1]), validation=(X, y), callbacks=[wait], progress=True
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(TRAIN), *arguments]


def in_terminal(*arguments: str, interrupt: bool = False) -> str:
    """Return what a child writes to a terminal; interrupt it once it shows a loss."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    main, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 120))
    options = {"stdin": child, "stdout": subprocess.DEVNULL, "stderr": child}
    with subprocess.Popen(command(*arguments), **options) as process:
        os.close(child)
        written = b""
        while True:
            ready, _, _ = select.select([main], [], [], 60)
            try:
                read = os.read(main, 4096) if ready else b""
            except OSError:  # Linux's end of a terminal
                break
            if not read:
                break
            written += read
            if interrupt and b"validation=" in written:
                process.send_signal(signal.SIGINT)
                interrupt = False
        assert process.wait() == 0
    os.close(main)
    return written.decode()


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX's")
def test_a_terminal_shows_one_line():
    pytest.importorskip("tqdm")
    written = in_terminal("30")
    assert written.count("\n") == 1
    assert written.endswith("\n")
    shown = written.split("\r")
    last = max(i for i, text in enumerate(shown) if text.strip())
    assert re.search(r"100%.*30/30 \[.*epoch/s, loss=[\d.]+, validation=[\d.]+\]", shown[last])


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX's")
def test_an_interruption_leaves_a_clean_line_in_a_terminal():
    pytest.importorskip("tqdm")
    written = in_terminal("100000", interrupt=True)
    bar, message, rest = written.replace("\r\n", "\n").split("\n")
    assert re.search(r"\d+/100000 \[.*epoch/s, loss=", bar.split("\r")[-1])
    assert (message, rest) == ("interrupted", "")


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX's")
def test_a_terminal_without_tqdm_has_whole_lines():
    written = in_terminal("5", "without").replace("\r\n", "\n")
    assert re.fullmatch(r"epoch 5/5  loss [\d.]+  validation [\d.]+  .* left\n", written)


@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="needs SIGINT")
def test_an_interruption_leaves_a_clean_line_in_a_pipe():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command("100000"), **pipes) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        written = process.stderr.read()
        assert process.wait() == 0
    assert re.fullmatch(r"epoch \d+/100000  loss .* left\ninterrupted\n", written)
