"""Runs that are interrupted and resumed are those that were not, bit for bit."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from runs import Pause

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.callbacks import Checkpoint, EarlyStopping, ReduceOnPlateau
from nnpoly.data import container
from nnpoly.training import epochs, evaluation
from nnpoly.training.calls import Calls
from nnpoly.training.progress import Progress

EPOCHS = 12
CURVE_BOUND = 2e4  # times eps: how far loss curves of two backends may be apart (see test_cli)


class Stop(BaseException):
    """An interruption that nothing but a test can mean."""


def pauses(place: int | None = None, epoch: int = 0, error: Any = Stop) -> list[Pause]:
    """Return four pauses, of which the one at `place` raises after `epoch`."""

    def fail(trainer: nn.Trainer, history: nn.History) -> None:
        if len(history) == epoch:
            raise error

    return [Pause(function=fail if i == place else None) for i in range(4)]


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


@pytest.mark.parametrize("patience", [4, 99])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_interrupted_after_every_epoch(tmp_path, error, patience):
    whole = runs.train(folder(tmp_path, "whole"), EPOCHS, pauses(), patience=patience)
    ran = len(whole[5]["loss"])
    assert (ran < EPOCHS) == (patience == 4)
    for epoch in range(1, ran + 1):
        place = folder(tmp_path, f"epoch {epoch}")
        with pytest.raises(error):
            runs.train(place, EPOCHS, pauses(epoch % 4, epoch, error), patience=patience)
        assert runs.train(place, EPOCHS, pauses(), patience=patience) == whole


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("every", [1, 3])
def test_interrupted_between_any_two_callbacks(tmp_path, place, every):
    """Again and again, in every epoch: what has been called for an epoch is not called twice."""
    options = {"every": every, "patience": 99}
    whole = runs.train(folder(tmp_path, "whole"), EPOCHS, pauses(), **options)
    there = folder(tmp_path, "parts")
    for epoch in range(1, EPOCHS + 1):
        with pytest.raises(Stop):
            runs.train(there, EPOCHS, pauses(place, epoch), **options)
    assert runs.train(there, EPOCHS, pauses(), **options) == whole


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        (epochs, "Transaction"),
        (epochs, "require_finite"),
        (evaluation, "mean_loss"),
        (Progress, "advance"),
        (Calls, "call"),
        (EarlyStopping, "__call__"),
        (ReduceOnPlateau, "__call__"),
        (Checkpoint, "__call__"),
    ],
)
def test_interrupted_within_an_epoch(tmp_path, kind, stage, every, monkeypatch):
    """Also when it is over, but no callback has been called for it, or not every one."""
    whole = runs.train(folder(tmp_path, "whole"), EPOCHS, pauses(), every=every)
    there, original, count = folder(tmp_path, "parts"), getattr(kind, stage), itertools.count()

    def interrupted(*arguments: Any) -> Any:
        if next(count) == 5:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kind, stage, interrupted)
        with pytest.raises(KeyboardInterrupt):
            runs.train(there, EPOCHS, pauses(), every=every, progress=kind is Progress)
    assert runs.train(there, EPOCHS, pauses(), every=every) == whole


def test_a_run_that_is_over_stays_as_it_is(tmp_path):
    """It does not go on after an early stop; its best weights are restored once more."""
    there = folder(tmp_path, "run")
    whole = runs.train(there, EPOCHS, pauses(), patience=4)
    assert len(whole[5]["loss"]) < EPOCHS
    files = {path: path.read_bytes() for path in there.iterdir()}
    assert runs.train(there, EPOCHS, pauses(), patience=4) == whole
    assert {path: path.read_bytes() for path in there.iterdir()} == files


def test_more_epochs_can_be_asked_for(tmp_path):
    whole = runs.train(folder(tmp_path, "whole"), EPOCHS, pauses(), patience=99)
    there = folder(tmp_path, "parts")
    for count in (1, 4, 9, EPOCHS):
        found = runs.train(there, count, pauses(), patience=99)
    assert found == whole


def test_where_the_file_is_missing_it_starts_at_the_beginning(tmp_path):
    t = runs.trainer()
    history = t.fit(*runs.data(), epochs=3, resume=tmp_path / "none")
    plain = runs.trainer()
    assert history == plain.fit(*runs.data(), epochs=3) == t.history
    assert history is not t.history
    assert runs.state(t) == runs.state(plain)
    assert os.listdir(tmp_path) == []


def test_epochs_count_the_whole_run(tmp_path):
    t = runs.trainer()
    t.fit(*runs.data(), epochs=2)
    assert len(t.fit(*runs.data(), epochs=5, resume=tmp_path / "none")) == 5
    t.save(tmp_path / "saved")
    again = runs.trainer(seed=3)  # of other weights, which the file replaces
    assert len(again.fit(*runs.data(), epochs=7, resume=tmp_path / "saved")) == 7
    t.fit(*runs.data(), epochs=2)
    assert runs.state(again) == runs.state(t)


def test_a_file_from_outside_a_fit_begins_the_callbacks_anew(tmp_path):
    t = runs.trainer()
    t.fit(*runs.data(), epochs=2)
    t.save(tmp_path / "saved")
    stop = EarlyStopping(1, min_delta=1e9)
    history = runs.trainer().fit(
        *runs.data(), epochs=9, callbacks=[stop], resume=tmp_path / "saved"
    )
    assert len(history) == 4  # the third is its first; the fourth is no better
    assert stop.best_epoch == 3


def test_a_checkpoint_of_a_fit_without_resume_knows_that_fits_history(tmp_path):
    """A second fit counts its own epochs, and so do its callbacks after a resume."""

    def second(epochs: int, interrupt: int, **options: Any) -> list[Any]:
        t = runs.trainer()
        if not options:
            t.fit(*runs.data(), epochs=3)
        stop = EarlyStopping(99)
        used = [stop, Checkpoint(path), pauses(0, interrupt)[0]]
        try:
            t.fit(*runs.data(), epochs=epochs, callbacks=used, validation=runs.data(9), **options)
        except Stop:
            return []
        return [runs.state(t), stop.best, stop.best_epoch]

    path = tmp_path / "whole"
    whole = second(6, interrupt=0)
    path = tmp_path / "parts"
    second(6, interrupt=2)
    assert second(3 + 6, interrupt=0, resume=path) == whole


# Killed processes


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_again_and_again(tmp_path):
    there, whole = folder(tmp_path, "killed"), folder(tmp_path, "whole")
    epochs, pause = 24, 0.02
    command = [sys.executable, runs.__file__]
    subprocess.run([*command, whole, str(epochs), "0"], check=True, stdout=subprocess.DEVNULL)
    moments, kills, seen = random.Random(0), 0, set()
    while not (there / runs.FACTS).exists():
        arguments = [*command, there, str(epochs), str(pause)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            if kills < 5 and child.stdout.readline():
                time.sleep(moments.uniform(0, 6 * pause))
                child.kill()
                kills += 1
            seen |= set(map(int, child.stdout.read().split()))
            status = child.wait()
        assert status in (0, -signal.SIGKILL)
    assert kills >= 3
    assert max(seen) == epochs
    facts = [json.loads((place / runs.FACTS).read_text()) for place in (there, whole)]
    assert facts[0] == facts[1]
    for name in (runs.MODEL, "run.best.safetensors"):
        (header, arrays), (wanted, same) = (
            container.read(place / name) for place in (there, whole)
        )
        assert header == wanted
        assert {k: a.tobytes() for k, a in arrays.items()} == {
            k: a.tobytes() for k, a in same.items()
        }
    kept = {runs.MODEL, "run.best.safetensors", runs.TABLE, runs.LINES, runs.FACTS}
    assert set(os.listdir(whole)) == kept
    left = set(os.listdir(there)) - kept  # temporary files, for an hour
    assert all(name.startswith(".nnpoly-") for name in left)
    assert len(left) <= kills


# Other backends


def test_resuming_on_every_backend(tmp_path, backend_variant):
    place = backend_variant.place
    whole = runs.train(folder(tmp_path, "whole"), 4, pauses(), **place)
    there = folder(tmp_path, "parts")
    with pytest.raises(Stop):
        runs.train(there, 4, pauses(1, 2), **place)
    assert runs.train(there, 4, pauses(), **place) == whole


@pytest.mark.parametrize(("first", "second"), [("numpy", "torch"), ("torch", "numpy")])
def test_resuming_on_another_backend(tmp_path, first, second):
    whole = runs.train(folder(tmp_path, "whole"), EPOCHS, pauses(), backend=first)
    there = folder(tmp_path, "parts")
    with pytest.raises(Stop):
        runs.train(there, EPOCHS, pauses(3, 5), backend=first)
    found = runs.train(there, EPOCHS, pauses(), backend=second)
    bound = CURVE_BOUND * float(np.finfo("float32").eps)
    for name in ("loss", "validation_loss"):
        assert found[5][name][:5] == whole[5][name][:5]
        np.testing.assert_allclose(found[5][name], whole[5][name], rtol=bound)
    assert [found[i] for i in (1, 2, 3, 4)] == [whole[i] for i in (1, 2, 3, 4)]


# What is refused


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "saved"
    used = [EarlyStopping(), Checkpoint(path)]
    runs.trainer().fit(*runs.data(), epochs=3, callbacks=used)
    return path


def wide() -> nn.Trainer:
    return nn.Trainer(nn.MLP([3, 5, 2], "tanh"), runs.trainer().optimizer)


def deep() -> nn.Trainer:
    net = runs.trainer().network
    chain = [bound.layer for bound in net.layers]
    chain[-1:] = [nn.Dense(16, 2), nn.Dense(2, 2)]
    return nn.Trainer(nn.Network(chain, "softmax"), runs.trainer().optimizer)


def probabilities() -> nn.Trainer:
    net = nn.Network([b.layer for b in runs.trainer().network.layers], "sigmoid")
    return nn.Trainer(net, runs.trainer().optimizer)


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (wide, {}, r"its layer 0 is Dense\(.*outputs=16.*\), and not Dense\(.*outputs=5"),
    (deep, {}, r"its layer 4 is nothing, and not Dense\("),
    (lambda: runs.trainer(dtype="float64"), {}, "its dtype is float32, and not float64"),
    (lambda: runs.trainer(nn.Adam()), {}, r"its optimizer is AMSGrad\(.*\), and not Adam\("),
    (
        lambda: runs.trainer(nn.AMSGrad(nn.schedules.Cosine(0.02, 91))),
        {},
        r"its optimizer is .*steps=90.*, and not .*steps=91",
    ),
    (runs.trainer, {"callbacks": []}, r"its callbacks is \['EarlyStopping', 'Checkpoint'\], and"),
    (
        runs.trainer,
        {"callbacks": [Checkpoint("x"), EarlyStopping()]},
        r"and not \['Checkpoint', 'EarlyStopping'\]",
    ),
    (runs.trainer, {"epochs": 2}, "`epochs` counts the whole run, .* has 3 already, got 2"),
]


@pytest.mark.parametrize(("make", "options", "message"), REFUSED, ids=lambda v: "")
def test_files_of_other_runs_are_refused_and_nothing_changes(tmp_path, make, options, message):
    path, t = saved(tmp_path), make()
    before, used = runs.state(t), [EarlyStopping(), Checkpoint(path)]
    arguments = {"epochs": 5, "callbacks": used, "resume": path, **options}
    with pytest.raises(ValueError, match=rf"^Trainer\.fit: .*{message}") as caught:
        t.fit(*runs.data(), **arguments)
    assert str(path) in str(caught.value)
    assert runs.state(t) == before


def test_another_output_is_refused(tmp_path):
    path = saved(tmp_path)
    X, y = runs.data()
    with pytest.raises(ValueError, match="its output is softmax, and not sigmoid"):
        probabilities().fit(X, np.eye(2)[y], 5, resume=path)


def test_files_that_are_no_trainers(tmp_path):
    path, t = tmp_path / "file", runs.trainer()
    before = runs.state(t)
    t.network.save(path)
    with pytest.raises(ValueError, match=r"^Trainer\.fit: .* holds a network without a trainer"):
        t.fit(*runs.data(), resume=path)
    path.write_text("no file of ours")
    with pytest.raises(ValueError, match=r"^load: .* cannot be read"):
        t.fit(*runs.data(), resume=path)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        t.fit(*runs.data(), resume=tmp_path)
    with pytest.raises(TypeError, match=r"^Trainer\.fit: `resume` must be a path, got 3"):
        t.fit(*runs.data(), resume=3)
    assert runs.state(t) == before


def test_wrong_data_are_refused_before_the_file_is_taken_up(tmp_path):
    path, t = saved(tmp_path), runs.trainer()
    before, used = runs.state(t), [EarlyStopping(), Checkpoint(path)]
    with pytest.raises(ValueError, match="`X`"):
        t.fit(runs.data()[0][:, :2], runs.data()[1], callbacks=used, resume=path)
    assert runs.state(t) == before


def test_every_callback_with_memory_is_in_a_file(tmp_path):
    """The states in a file are those of the callbacks when it was saved."""
    states: list[Any] = []
    used = [EarlyStopping(9), ReduceOnPlateau(0.5, 1), Checkpoint(tmp_path / "file")]
    note = Pause(function=lambda t, h: states.append([c.state() for c in used]))
    runs.trainer().fit(*runs.data(), epochs=4, callbacks=[*used, note])
    header, arrays = container.read(tmp_path / "file")
    entries = header["fit"]["callbacks"]
    assert [entry["class"] for entry in entries] == [type(c).__name__ for c in (*used, note)]
    for i, state in enumerate(states[-1]):
        values = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
        assert entries[i]["values"] == values
        for name in state.keys() - values.keys():
            np.testing.assert_array_equal(arrays[f"callback/{i}/{name}"], state[name])
    assert registry.to_host(states[-1][0]["w"]).shape == (runs.trainer().network.w.shape)


def stop_after_two(trainer: nn.Trainer, history: nn.History) -> None:
    if len(history) == 2:
        raise Stop


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "batch size": ({"batch_size": 10}, "its batch_size is 8, and not 10"),
    "order": ({"shuffle": False}, "its shuffle is True, and not False"),
    "accumulated": ({"accumulate": 2}, "its accumulate is 1, and not 2"),
    "data": ({"n": 29}, "its rows of X is 30, and not 29"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_batches_are_another_run(tmp_path, other):
    def fit(n: int = 30, batch_size: int = 8, stop: Any = None, **options: Any) -> nn.Trainer:
        t, path = runs.trainer(), tmp_path / "run"
        used = [Checkpoint(path), stop or (lambda trainer, history: None)]
        t.fit(*runs.data(n), 4, batch_size, callbacks=used, resume=path, **options)
        return t

    with pytest.raises(Stop):
        fit(stop=stop_after_two)
    options, part = OTHERS[other]
    with pytest.raises(ValueError, match=r"^Trainer\.fit: `resume` .* is of another run") as caught:
        fit(**options)
    assert part in str(caught.value)
    assert len(fit().history) == 4


def test_batches_of_a_source_are_resumed_by_their_number(tmp_path):
    def fit(steps: int, stop: Any = None) -> int:
        t, path = runs.trainer(), tmp_path / "run"
        used = [Checkpoint(path), stop or (lambda trainer, history: None)]
        source = lambda epoch: itertools.repeat(runs.data(8, epoch))  # noqa: E731
        t.fit(source, epochs=3, steps_per_epoch=steps, callbacks=used, resume=path)
        return t.t

    with pytest.raises(Stop):
        fit(4, stop_after_two)
    with pytest.raises(ValueError, match="its steps_per_epoch is 4, and not 5"):
        fit(5)
    assert fit(4) == 12


def impossible(folder: Path) -> dict[str, tuple[Any, type[Exception], str]]:
    """Paths at which no checkpoint is and none can be written, by what they are."""
    (folder / "file").write_text("")
    (folder / "loop").symlink_to("loop")
    (folder / "nowhere").symlink_to(folder / "none" / "run")
    return {
        "below a file": (folder / "file" / "run", OSError, "which is no folder. Make it first"),
        "no folder": (folder / "none" / "run", OSError, "which is no folder. Make it first"),
        "a folder": (folder, IsADirectoryError, "is a folder. Name a file in it"),
        "a link to nowhere": (folder / "nowhere", OSError, "which is no folder. Make it first"),
        "a link to itself": (folder / "loop", OSError, "loop"),
        "NUL": (f"{folder}/a\0b", ValueError, "`resume` must be a path without NUL"),
    }


@pytest.mark.parametrize(
    "what",
    ["below a file", "no folder", "a folder", "a link to nowhere", "a link to itself", "NUL"],
)
def test_a_resume_that_can_never_be_is_refused_before_any_work(what, tmp_path):
    path, error, message = impossible(tmp_path)[what]
    trainer = nn.Trainer(nn.MLP([2, 3, 2], seed=0))
    before = trainer.network.w.copy()
    with pytest.raises(error, match=re.escape(message)):
        trainer.fit(np.eye(2), [0, 1], 3, resume=path)
    assert np.array_equal(trainer.network.w, before)
    assert len(trainer.history) == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may write anywhere")
def test_a_resume_in_a_folder_that_is_read_only_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    trainer = nn.Trainer(nn.MLP([2, 3, 2], seed=0))
    with pytest.raises(PermissionError, match=re.escape(f"Permission denied: '{tmp_path}")):
        trainer.fit(np.eye(2), [0, 1], 3, resume=tmp_path / "run")
    tmp_path.chmod(0o700)


def test_a_first_run_may_begin_at_a_link_whose_file_is_to_be_written(tmp_path):
    (tmp_path / "link").symlink_to("run")
    for last in (1, 2):
        trainer = nn.Trainer(nn.MLP([2, 3, 2], seed=0))
        saved = [Checkpoint(tmp_path / "link")]
        trainer.fit(np.eye(2), [0, 1], last, callbacks=saved, resume=tmp_path / "link")
    assert (tmp_path / "run").is_file()
    assert len(nn.Trainer.load(tmp_path / "run").history) == 2
