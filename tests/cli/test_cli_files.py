"""The files and streams of the commands: whole or untouched, whatever they are."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from commands import ended, started, status_of

from nnpoly.cli.tables import FILES, LOG, METRICS, MODEL, PICTURE
from nnpoly.data import container

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, signals and permissions of POSIX")
FAST = ["--quiet", "--epochs", "2", "--widths", "4", "--backend", "numpy"]
ROWS = 60


def write_table(path: Path, shift: float = 0.0) -> Path:
    lines = (f"{i % 7 + shift},{'ab'[i % 2]},{['no', 'yes'][i % 2]}\n" for i in range(ROWS))
    path.write_text("x,kind,y\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A folder with a table, t.csv, and a model of it in out."""
    folder = tmp_path_factory.mktemp("shop")
    table = write_table(folder / "t.csv")
    assert status_of("train", table, "--target", "y", *FAST, "--output", folder / "out") == 0
    return folder


@pytest.fixture
def expected(shop, capsys) -> str:
    """The predictions for the table."""
    assert status_of("predict", shop / "out", shop / "t.csv") == 0
    return capsys.readouterr().out


def predict(shop: Path, output: Any) -> int:
    return status_of("predict", shop / "out", shop / "t.csv", "--output", output)


# nnpoly predict --output


def test_predictions_follow_links(shop, expected, tmp_path):
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("target.csv")
    assert predict(shop, tmp_path / "link.csv") == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text() == expected
    (tmp_path / "new.csv").symlink_to("made.csv")
    assert predict(shop, tmp_path / "new.csv") == 0
    assert (tmp_path / "made.csv").read_text() == expected
    assert set(os.listdir(tmp_path)) == {"link.csv", "target.csv", "new.csv", "made.csv"}


@posix
def test_predictions_go_through_a_pipe(shop, expected, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert predict(shop, tmp_path / "pipe") == 0
    reader.join(60)
    assert read == [expected]
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


@posix
def test_predictions_go_to_a_device(shop):
    assert predict(shop, os.devnull) == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_line_is_standard_output(shop, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert predict(shop, "-") == 0
    assert capsys.readouterr().out == expected
    assert os.listdir(tmp_path) == []


@posix
def test_predictions_keep_the_mode_of_their_file(shop, expected, tmp_path):
    (tmp_path / "p.csv").touch(0o600)
    assert predict(shop, tmp_path / "p.csv") == 0
    assert stat.S_IMODE((tmp_path / "p.csv").stat().st_mode) == 0o600
    assert (tmp_path / "p.csv").read_text() == expected


@pytest.mark.parametrize("length", [251, 255])
def test_predictions_may_have_a_long_name(length, shop, expected, tmp_path):
    path = tmp_path / ("p" * (length - 4) + ".csv")
    assert predict(shop, path) == 0
    assert path.read_text() == expected
    assert os.listdir(tmp_path) == [path.name]


def refusals(shop: Path, folder: Path) -> dict[Path, str]:
    (folder / "link.csv").symlink_to(shop / "t.csv")
    os.link(shop / "out" / MODEL, folder / "same")
    return {
        shop / "t.csv": "is read too, as",
        folder / "link.csv": "is read too, as",
        folder / "same": "is read too, as",
        folder: "is a folder: name a file in it",
        folder / "none" / "p.csv": "the folder that it should be in is missing",
        shop / "t.csv" / "p.csv": "cannot be written to",
        folder / ("p" * 256): "File name too long",
    }


def test_what_predictions_may_not_replace(shop, tmp_path, capsys, forbid):
    from nnpoly.tables import TableModel

    before = (shop / "t.csv").read_bytes(), (shop / "out" / MODEL).read_bytes()
    forbid(TableModel, "predict_encoded")
    for path, message in refusals(shop, tmp_path).items():
        assert predict(shop, path) == 2, path
        said = capsys.readouterr().err
        assert re.fullmatch(r"nnpoly predict: --output: [^\n]+\n", said)
        assert message in said
    assert ((shop / "t.csv").read_bytes(), (shop / "out" / MODEL).read_bytes()) == before


def test_the_ending_tells_the_format_of_predictions(shop, expected, tmp_path):
    assert predict(shop, tmp_path / "p.Parquet") == 0
    found = pl.read_parquet(tmp_path / "p.Parquet")
    assert found.write_csv() == expected
    assert found.schema["probability of yes"] == pl.Float64
    assert predict(shop, tmp_path / "p.tsv") == 0
    assert (tmp_path / "p.tsv").read_text() == expected.replace(",", "\t")
    assert predict(shop, tmp_path / "p.txt") == 0
    assert (tmp_path / "p.txt").read_text() == expected


@pytest.mark.parametrize("ending", [".xlsx", ".json", ".npz", ".csv.gz", ".FEATHER"])
def test_endings_of_other_formats_are_refused(ending, shop, tmp_path, capsys, forbid):
    from nnpoly.tables import TableModel

    forbid(TableModel, "predict_encoded")
    assert predict(shop, tmp_path / f"p{ending}") == 2
    said = capsys.readouterr().err
    assert "is not written: name a file that ends in .csv, .tsv or .parquet\n" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "a\0b.csv", "--target", "y"],
        ["train", "t.csv", "--target", "y", "--output", "a\0b"],
        ["predict", "out", "a\0b.csv"],
        ["predict", "out", "t.csv", "--output", "a\0b"],
        ["evaluate", "a\0b", "t.csv"],
        ["summary", "a\0b"],
    ],
)
def test_a_path_with_nul_is_one_line(arguments, shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    assert status_of(*arguments) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(rf"nnpoly {arguments[0]}: [^\n]*without NUL, got 'a\\x00b[^\n]*\n", said)


# nnpoly train: all or none


@pytest.fixture
def trained(tmp_path) -> dict[str, bytes]:
    """The files of a model in `out`, beside a table that would train another."""
    write_table(tmp_path / "t.csv")
    assert retrain(tmp_path) == 0
    write_table(tmp_path / "t.csv", shift=0.5)
    return contents(tmp_path)


def retrain(folder: Path) -> int:
    arguments = ["--target", "y", *FAST, "--output", folder / "out"]
    return status_of("train", folder / "t.csv", *arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def test_a_folder_in_the_way_is_refused_before_any_work(trained, tmp_path, capsys, forbid):
    import nnpoly as nn

    (tmp_path / "out" / PICTURE).unlink()
    (tmp_path / "out" / PICTURE).mkdir()
    forbid(nn.Trainer, "fit")
    assert retrain(tmp_path) == 2
    assert f"{PICTURE} is a folder, and shall be a file: rename it" in capsys.readouterr().err
    (tmp_path / "out" / PICTURE).rmdir()
    assert contents(tmp_path) == {name: trained[name] for name in (MODEL, METRICS, LOG)}


@pytest.mark.parametrize(("place", "links"), [(0, True), (3, True), (2, False)])
def test_a_failed_retraining_leaves_all_old_files(
    place, links, trained, tmp_path, monkeypatch, capsys
):
    """Whichever file cannot be put in its place; on disks without hard links too."""
    replace = os.replace

    def failing(source: Any, target: Any) -> None:
        if Path(target).name == FILES[place] and not failed:
            failed.append(target)
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    def no_links(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    failed: list[Any] = []
    monkeypatch.setattr(os, "replace", failing)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "out" / METRICS).unlink()
    old = contents(tmp_path)
    assert retrain(tmp_path) == 1
    assert capsys.readouterr().err == "nnpoly train: [Errno 5] Input/output error\n"
    assert contents(tmp_path) == old
    monkeypatch.undo()
    assert retrain(tmp_path) == 0
    assert contents(tmp_path).keys() == trained.keys() == set(FILES)
    assert contents(tmp_path)[MODEL] != trained[MODEL]


def test_a_failed_first_training_leaves_no_folder(shop, tmp_path, monkeypatch):
    def failing(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", failing)
    arguments = ["train", shop / "t.csv", "--target", "y", *FAST, "--output", tmp_path / "out"]
    assert status_of(*arguments) == 1
    assert os.listdir(tmp_path) == []


@posix
def test_retraining_writes_through_links_and_devices_and_keeps_modes(trained, tmp_path):
    out = tmp_path / "out"
    (out / MODEL).rename(tmp_path / "model")
    (out / MODEL).symlink_to(tmp_path / "model")
    (tmp_path / "model").chmod(0o600)
    (out / PICTURE).unlink()
    (out / PICTURE).symlink_to(os.devnull)
    assert retrain(tmp_path) == 0
    assert (out / MODEL).is_symlink()
    assert (out / PICTURE).resolve() == Path(os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o600
    assert (tmp_path / "model").read_bytes() != trained[MODEL]
    assert {path.name for path in out.iterdir()} == set(FILES)


def test_what_a_killed_training_left_is_removed_later(trained, tmp_path):
    old, new = (tmp_path / "out" / f".nnpoly-{digit * 16}.tmp" for digit in "0f")
    for path, age in [(old, 2 * container.ABANDONED), (new, 0.0)]:
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
    assert retrain(tmp_path) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, new.name}


# Signals


@posix
@pytest.mark.parametrize("model", ["realmlp", "mlp"])
def test_a_terminated_training_leaves_nothing(model, shop, tmp_path):
    arguments = ["--target", "y", "--epochs", "1000000", "--model", model, "--output", "out"]
    if model == "mlp":
        arguments += ["--patience", "1000000"]
    with started("train", shop / "t.csv", *arguments, folder=tmp_path) as run:
        seen = b""
        while b"loss " not in seen:
            seen += (part := os.read(run.stderr.fileno(), 4096))
            assert part, seen
        run.terminate()
        seen += run.communicate(timeout=60)[1]
    assert (run.returncode, seen.splitlines()[-1]) == (143, b"nnpoly train: terminated")
    assert os.listdir(tmp_path) == []


@posix
@pytest.mark.parametrize("where", ["savefig", "replace"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_training_that_is_terminated_while_it_writes(
    where, number, status, trained, tmp_path, monkeypatch
):
    from matplotlib.figure import Figure

    owner: Any = {"savefig": Figure, "replace": os}[where]

    def terminate(*arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        os.kill(os.getpid(), number)
        time.sleep(60)

    before = signal.signal(number, signal.SIG_DFL)  # nohup, say, has it ignored
    monkeypatch.setattr(owner, where, terminate)
    try:
        assert retrain(tmp_path) == status
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert contents(tmp_path) == trained


# Streams that are closed, broken or full


@posix
def test_a_training_without_streams_writes_its_files(shop, tmp_path):
    arguments = ["train", shop / "t.csv", "--target", "y", *FAST[1:], "--output", "out"]
    assert ended(*arguments, folder=tmp_path, streams="<&- >&- 2>&-") == (0, "", "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)


@posix
def test_predictions_without_a_place_are_refused(shop, expected, tmp_path):
    arguments = ["predict", shop / "out", shop / "t.csv"]
    line = "nnpoly predict: standard output is closed: name the file to write, --output FILE\n"
    assert ended(*arguments, folder=tmp_path, streams=">&-") == (2, "", line)
    more = [*arguments, "--output", "p.csv"]
    assert ended(*more, folder=tmp_path, streams="<&- >&-") == (0, "", "")
    assert (tmp_path / "p.csv").read_text() == expected


@posix
def test_a_mistake_without_standard_error_goes_nowhere(shop, tmp_path):
    assert ended("summary", "none", folder=tmp_path, streams="2>&-") == (2, "", "")


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["summary", "out"]])
def test_a_reader_who_has_left_gets_no_message(arguments, shop):
    reading, writing = os.pipe()
    os.close(reading)
    status, _, err = ended(*arguments, folder=shop, stdout=writing)
    os.close(writing)
    assert (status, err) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no full device")
def test_a_full_standard_output_is_one_line(shop):
    line = "nnpoly {}: [Errno 28] No space left on device: 'standard output'\n"
    for command in (["summary", "out"], ["predict", "out", "t.csv"]):
        found = ended(*command, folder=shop, streams="> /dev/full")
        assert found == (1, "", line.format(command[0]))
    line = "nnpoly predict: [Errno 28] No space left on device: '/dev/full'\n"
    arguments = ["predict", "out", "t.csv", "--output", "/dev/full"]
    assert ended(*arguments, folder=shop) == (1, "", line)


@posix
def test_standard_output_by_another_name(shop, expected):
    arguments = ["predict", "out", "t.csv", "--output", "/dev/stdout"]
    assert ended(*arguments, folder=shop) == (0, expected, "")
