"""The container: a checksum over everything, and writing that is atomic whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import nnpoly as nn
from nnpoly.data import container

ARRAYS = {
    "w": np.arange(6, dtype="f4").reshape(2, 3),
    "half": np.array([1.5, np.nan], "f2"),
    "counts": np.array(7, "i8"),
    "none": np.zeros((0, 3), "f8"),
    "strided": np.arange(8.0)[::2],
    "big": np.arange(3, dtype=">f8"),
    "flags": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def content(path: Path) -> list[Any]:
    """Return all that is read from a file, as text and bytes."""
    header, arrays = container.read(path)
    named = sorted((name, a.shape, a.dtype.name, a.tobytes()) for name, a in arrays.items())
    return [json.dumps(header), *named]


def test_arrays_and_header_come_back(path):
    container.write(path, ARRAYS, {"a": [1, {"b": None}]})
    header, arrays = container.read(path)
    assert header == {"format": 2, "version": nn.__version__, "a": [1, {"b": None}]}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=name != "big")


def test_only_numbers_are_arrays(path):
    for wrong in (np.array([print]), np.array(["text"])):
        with pytest.raises(TypeError, match="save: the array 'x' must hold numbers, got dtype"):
            container.write(path, {"x": wrong}, {})
    assert os.listdir(path.parent) == []


# Damage


def assert_refused(path: Path, *parts: str) -> None:
    with pytest.raises(ValueError, match=r"^load: .* cannot be read: ") as caught:
        container.read(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_the_same_content_is_the_same_file(path):
    """safetensors writes several keys of metadata in any order."""
    contents = set()
    for _ in range(20):
        container.write(path, ARRAYS, {"a": 1})
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_files_of_others(path):
    path.write_bytes(b"")
    assert_refused(path)
    path.write_text("This is a text, and long enough for a header.")
    assert_refused(path)
    safetensors.numpy.save_file({"w": np.ones(3)}, path)
    assert_refused(path, "a safetensors file, but not nnpoly's")
    safetensors.numpy.save_file({"w": np.ones(3)}, path, {"format": "pt"})
    assert_refused(path, "a safetensors file, but not nnpoly's")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[]", ""),
        ("{}", "it is damaged: its header does not say its format first"),
        ('{"format": 2}', "it is damaged: its content does not have its checksum"),
        ('{"format": "2"}', ""),
        ('{"format": 2', ""),
    ],
)
def test_foreign_headers(path, text, part):
    safetensors.numpy.save_file({"w": np.ones(3)}, path, {"nnpoly": text})
    assert_refused(path, part)


def test_headers_that_are_nested_too_deeply(path):
    text = '{"format": 2, "extra": ' + "[" * 100_000
    arrays = {"w": np.ones(3)}
    safetensors.numpy.save_file(arrays, path, container.metadata(text, arrays))
    assert_refused(path, "what it describes is nested too deeply")


def test_truncated_files(path):
    container.write(path, ARRAYS, {"a": 1})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert_refused(path)
    path.write_bytes(whole + b"\0")
    assert_refused(path)


CHANGES: dict[str, Any] = {
    "a value": lambda a: {**a, "w": a["w"] + np.float32(1e-6)},
    "a sign of zero": lambda a: {**a, "w": -0.0 * a["w"]},
    "a shape": lambda a: {**a, "w": a["w"].reshape(3, 2)},
    "a dtype": lambda a: {**a, "w": a["w"].view("i4")},
    "a name": lambda a: {("v" if name == "w" else name): array for name, array in a.items()},
    "swapped names": lambda a: {**a, "w": a["u"], "u": a["w"]},
    "one more": lambda a: {**a, "more": np.zeros(0)},
    "one less": lambda a: {"w": a["w"]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_checksum_covers_the_arrays(path, change):
    arrays = {"w": np.arange(6, dtype="f4").reshape(2, 3), "u": np.ones((2, 3), "f4")}
    container.write(path, arrays, {})
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(change(arrays), path, metadata)
    assert_refused(path, "it is damaged: its content does not have its checksum")


def test_the_checksum_covers_the_header(path):
    container.write(path, {"w": np.ones(3)}, {"rate": 0.1})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0.1}", b"0.2}"))
    assert path.read_bytes() != whole
    assert_refused(path, "it is damaged: its content does not have its checksum")


def flipped(whole: bytes, bit: int) -> bytes:
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def survivors(path: Path, bits: Any) -> int:
    """Flip bits, one at a time: each is refused clearly, or all comes back as it was. Count."""
    whole, right, survived = path.read_bytes(), content(path), 0
    for bit in bits:
        path.write_bytes(flipped(whole, bit))
        try:
            found = content(path)
        except ValueError as error:
            assert str(error).startswith(f"load: {path} cannot be read: ")  # noqa: PT017
        else:
            assert found == right
            survived += 1
    path.write_bytes(whole)
    return survived


def test_every_bit_of_the_header(path):
    nn.MLP([1, 1], output="identity").save(path)
    end = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert survivors(path, range(8 * end)) < 8 * 8  # such as a space of the padding, or none


def test_random_bits_of_the_data(path):
    nn.Trainer(nn.MLP([30, 40, 20])).save(path)
    size = path.stat().st_size
    start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    bits = np.random.default_rng(0).integers(8 * start, 8 * size, 500).tolist()
    assert survivors(path, [8 * start, 8 * size - 1, *bits]) == 0


# Atomic writing


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_file(path, function, monkeypatch):
    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    net = nn.MLP([2, 3, 2])
    net.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space left"):
            nn.MLP([5, 6]).save(path)
    np.testing.assert_array_equal(nn.load(path).w, net.w)
    assert os.listdir(path.parent) == [path.name]


def test_saving_again_replaces_the_file(path):
    nn.MLP([2, 3, 2]).save(path)
    nn.MLP([5, 6]).save(path)
    assert nn.load(path).widths == [5, 6]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_files_have_the_users_usual_permissions(path):
    nn.MLP([2, 2]).save(path)
    usual = path.with_name("usual")
    usual.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


SAVE_FOR_EVER = """
    import itertools, sys
    import nnpoly as nn

    net = nn.MLP([200, 300, 2])
    for k in itertools.count():
        net.w = net.w * 0.0 + k
        net.save(sys.argv[1])
        print(k, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_while_saving(path):
    """Whenever it is killed, the file is one whole save or another."""
    command = [sys.executable, "-c", textwrap.dedent(SAVE_FOR_EVER), str(path)]
    for lines in (1, 4, 7):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for _ in range(lines):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            printed = [lines - 1, *map(int, child.stdout.read().split())]
        w = nn.load(path).w
        assert w.min() == w.max()
        assert printed[-1] <= w[0] <= printed[-1] + 1


# What killed writers leave


DIE_WHILE_SAVING = """
    import os, signal, sys
    import nnpoly as nn

    os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
    nn.MLP([2, 2]).save(sys.argv[1])
"""


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == ".tmp"]


def make_older(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_temporary_files_of_killed_writers_do_not_pile_up(path):
    others = [path.with_name(name) for name in (".nnpoly-mine.tmp", f".{path.name}", "a.bak")]
    for other in others:
        other.touch()
        make_older(other, 10 * container.ABANDONED)
    command = [sys.executable, "-c", textwrap.dedent(DIE_WHILE_SAVING), str(path)]
    for _ in range(2):
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        (left,) = set(leftovers(path.parent)) - set(others)
        make_older(left, container.ABANDONED + 60)
    other_target = path.with_name("other")
    nn.MLP([2, 2]).save(other_target)
    assert set(path.parent.iterdir()) == {other_target, *others}


def test_temporary_files_of_living_writers_stay(path, monkeypatch):
    """A save in the midst of another one; of another process, machine or container alike."""
    rename, inner = os.replace, itertools.count()
    foreign = path.with_name(".nnpoly-0123456789abcdef.tmp")
    foreign.touch()
    make_older(foreign, container.ABANDONED - 60)

    def save_meanwhile(*paths: Any) -> None:
        if next(inner) == 0:
            assert len(leftovers(path.parent)) == 2
            nn.MLP([5, 6]).save(path)
            assert nn.load(path).widths == [5, 6]
        rename(*paths)

    monkeypatch.setattr(os, "replace", save_meanwhile)
    nn.MLP([2, 2]).save(path)
    assert nn.load(path).widths == [2, 2]
    assert set(path.parent.iterdir()) == {path, foreign}


SAVE_OFTEN = """
    import os, sys
    import nnpoly as nn

    os.getpid = lambda: 999_999_999  # of another container: it means nothing here
    net = nn.MLP([20, 30, 2])
    for _ in range(100):
        net.save(sys.argv[1])
"""


def test_writers_of_several_containers_leave_each_other_alone(path):
    command = [sys.executable, "-c", textwrap.dedent(SAVE_OFTEN), str(path)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert os.listdir(path.parent) == [path.name]
    assert nn.load(path).widths == [20, 30, 2]


def test_a_full_disk_is_cleared_of_them_first(path, monkeypatch):
    left = path.with_name(".nnpoly-0123456789abcdef.tmp")
    left.touch()
    make_older(left, 2 * container.ABANDONED)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        nn.MLP([2, 2]).save(path)
    assert os.listdir(path.parent) == []


# Links, modes, long names, and what is no file


def link(path: Path, target: Any) -> Path:
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this user may not make links")
    return path


@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(path, there):
    folder = path.with_name("store")
    folder.mkdir()
    target = folder / "model"
    if there:
        nn.MLP([5, 6]).save(target)
    latest = link(path.with_name("latest"), Path("store") / "model")
    outer = link(path.with_name("outer"), "latest")
    nn.MLP([2, 3, 2]).save(outer)
    assert latest.is_symlink()
    assert outer.is_symlink()
    assert nn.load(target).widths == nn.load(outer).widths == [2, 3, 2]
    assert os.listdir(folder) == ["model"]
    assert set(os.listdir(path.parent)) == {"store", "latest", "outer"}


def test_a_link_into_no_folder_is_refused(path):
    latest = link(path.with_name("latest"), Path("none") / "model")
    with pytest.raises(FileNotFoundError, match=r"^save: `path` is in .*none, which is no folder"):
        nn.MLP([2, 2]).save(latest)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o666, 0o755])
def test_a_file_that_is_there_keeps_its_mode(path, mode, monkeypatch):
    """From the first moment on: a private file's content is never seen by others."""
    seen: list[int] = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        sync(descriptor)

    path.touch()
    path.chmod(mode)
    monkeypatch.setattr(os, "fsync", look)
    nn.MLP([2, 3, 2]).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert seen[0] == mode | 0o600  # its owner may write it until it is whole
    assert nn.load(path).widths == [2, 3, 2]


@pytest.mark.parametrize("length", [235, 243])
def test_names_as_long_as_a_name_may_be(path, length):
    long = path.with_name("m" * length + ".safetensors")
    nn.MLP([2, 3, 2]).save(long)
    nn.MLP([2, 4, 2]).save(long)
    assert nn.load(long).widths == [2, 4, 2]
    assert os.listdir(path.parent) == [long.name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_written_into(path):
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        nn.MLP([2, 3, 2]).save(pipe)
        path.write_bytes(reader.read() or b"")
    assert pipe.is_fifo()
    assert nn.load(path).widths == [2, 3, 2]


@pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX")
def test_the_folder_is_flushed_after_the_rename(path, monkeypatch):
    calls: list[Any] = []
    sync, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append("rename") or rename(*paths))
    nn.MLP([2, 2]).save(path)
    assert calls == [False, "rename", True]
