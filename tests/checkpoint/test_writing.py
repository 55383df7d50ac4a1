"""All that writes files does it as one: whole or not at all, through links, into devices."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly import tables
from nnpoly.callbacks import Checkpoint, CSVLog, JSONLog
from nnpoly.estimators import MLPRegressor

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="links, modes and devices are POSIX's"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y = np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2
INPUTS = tables.Preprocessing(("x",), (0.0,), (), (0.0,), (1.0,), ())


def fit(*callbacks: Any) -> None:
    nn.Trainer(nn.MLP([3, 2])).fit(X, Y, 3, callbacks=callbacks)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "network": lambda path: nn.MLP([3, 2]).save(path, {"longer": "x" * 3000}),
    "trainer": lambda path: nn.Trainer(nn.MLP([30, 20])).save(path),
    "estimator": lambda path: MLPRegressor(max_iter=1).fit(X, Y).save(path),
    "table model": lambda path: tables.TableModel(
        nn.MLP([1, 999, 2]), INPUTS, tables.Classes("y", ("a", "b"))
    ).save(path),
    "checkpoint": lambda path: fit(Checkpoint(path)),
    "CSV": lambda path: fit(CSVLog(path)),
    "JSON": lambda path: fit(JSONLog(path)),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@every_writer
def test_links_are_followed_and_modes_kept(tmp_path, write):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(Path("folder") / "file")
    write(link)  # whose target is missing
    (folder / "file").chmod(0o600)
    write(link)
    assert link.is_symlink()
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600
    assert os.listdir(folder) == ["file"]


@every_writer
def test_a_link_in_a_circle_is_refused(tmp_path, write):
    link = tmp_path / "link"
    link.symlink_to("link")
    with pytest.raises(OSError, match="link"):
        write(link)
    assert os.listdir(tmp_path) == ["link"]


@every_writer
def test_names_of_251_characters(tmp_path, write):
    path = tmp_path / ("m" * 251)
    write(path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.stat().st_size > 0


@every_writer
def test_devices_are_written_into(write):
    before = os.stat("/dev/null")
    write(Path("/dev/null"))
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert before.st_ino == after.st_ino


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@every_writer
def test_a_full_device_is_named(write):
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        write(Path("/dev/full"))


@every_writer
def test_a_disk_that_is_full_in_the_middle_leaves_the_old_file(tmp_path, write):
    """The error names the file, and no temporary file is left."""
    path, (soft, hard) = tmp_path / "file", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(b"")
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b""
    assert os.listdir(tmp_path) == ["file"]


READ_ONLY = """
    import os, sys
    import nnpoly as nn

    net, path = nn.MLP([2, 2]), sys.argv[1]
    net.save(os.devnull)  # imports what saving needs
    os.setuid(65534)  # nobody, since root may write anywhere
    for save in (net.save, nn.Trainer(net).save):
        try:
            save(path)
        except PermissionError as error:
            assert str(error) == f"[Errno 13] Permission denied: {path!r}", error
        else:
            raise AssertionError("it was written")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    for folder in (tmp_path.parent.parent, tmp_path.parent, tmp_path, path.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    command = [sys.executable, "-c", textwrap.dedent(READ_ONLY), str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert os.listdir(path.parent) == []
