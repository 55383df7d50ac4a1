"""Damaged tables: each is a table still, or one line that names the file."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from damage import damaged
from paths import ROOT

from nnpoly import tables

COLUMNS = {
    "a": [1.5, 2.5, 4.0],
    "b": ["x", "yy", "z"],
    "c": [1, 2, 3],
    "d": [True, False, True],
}


def csv_bytes(**options: Any) -> bytes:
    return pl.DataFrame(COLUMNS).write_csv(**options).encode()


def npz_bytes(save: Any) -> bytes:
    file = io.BytesIO()
    save(file, X=np.arange(6.0).reshape(3, 2), **{name: np.array(v) for name, v in COLUMNS.items()})
    return file.getvalue()


def parquet_bytes(compression: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(COLUMNS).write_parquet(file, compression=compression)
    return file.getvalue()


def is_lawful(path: Path) -> bool:
    """Whether a file is a table, or refused in a line with its name."""
    try:
        table = tables.read(path)
    except (ValueError, OSError) as error:
        return path.name in str(error) and "\n" not in str(error)
    return len(table) > 0 and len(table.names) > 0


def unlawful(name: str, good: bytes, seeds: range, folder: Path) -> list[int]:
    """The seeds of damages that break the law."""
    found = []
    for seed in seeds:
        (folder / name).write_bytes(damaged(good, seed))
        if not is_lawful(folder / name):
            found.append(seed)
    return found


@pytest.mark.parametrize("options", [{}, {"separator": ";", "quote_style": "always"}])
def test_damaged_csv_files(options, tmp_path):
    assert unlawful("t.csv", csv_bytes(**options), range(300), tmp_path) == []


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_npz_files(save, tmp_path):
    assert unlawful("t.npz", npz_bytes(save), range(300), tmp_path) == []


@pytest.mark.parametrize("compression", ["uncompressed", "zstd"])
def test_damaged_parquet_files(compression, tmp_path):
    """In a process of its own, which says nothing: Rust's panics write to standard error."""
    (tmp_path / "good").write_bytes(parquet_bytes(compression))
    code = (
        "import sys; from pathlib import Path; from test_damaged import unlawful\n"
        "folder = Path(sys.argv[1])\n"
        "print(unlawful('t.parquet', (folder / 'good').read_bytes(), range(300), folder))"
    )
    paths = [ROOT, ROOT / "tests" / "support", Path(__file__).parent]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": ":".join(map(str, paths)), "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def panic(*arguments: Any, **options: Any) -> None:
    raise pl.exceptions.PanicException("not yet implemented\nbacktrace")


def test_a_panic_of_polars_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(parquet_bytes("zstd"))
    monkeypatch.setattr(pl, "read_parquet", panic)
    with pytest.raises(
        ValueError, match=r"t\.parquet is no readable Parquet file: not yet impl"
    ) as e:
        tables.read(tmp_path / "t.parquet")
    assert "\n" not in str(e.value)


# Archives that are none of arrays


def archive(path: Path, name: str, content: bytes, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr(name, content)
    return path


def header(text: str) -> bytes:
    content = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content


def of_shape(shape: str, dtype: str = "'<f8'") -> bytes:
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}")


MEMBERS = {
    "a text": (b"hello", "no array that NumPy wrote"),
    "empty": (b"", "no array that NumPy wrote"),
    "no header": (b"\x93NUMPY\x01\x00", "its header is damaged"),
    "an absurd header": (header("{" * 4000), "its header is damaged"),
    "a deep header": (header("-" * 9000 + "1"), "its header is damaged"),
    "a long header": (header("1" * 20000), "its header is damaged"),
    "an absurd shape": (of_shape("(10**12,)"), "'X.npy': "),
    "a huge shape": (of_shape("(1000000000000000,)"), "claims 8000000000000000 bytes"),
    "a negative shape": (of_shape("(-1,)"), "claims -8 bytes"),
    "many empty columns": (of_shape("(0, 1000000000000)"), "has no rows"),
    "texts of no length": (of_shape("(9000000000000000000,)", "'<U0'"), "'X.npy': "),
    "too few bytes": (of_shape("(2,)") + bytes(8), "claims 16 bytes of float64, but has 8"),
    "too many bytes": (of_shape("(1,)") + bytes(16), "claims 8 bytes of float64, but has 16"),
    "Python objects": (of_shape("(1,)", "'|O'") + bytes(8), "Object arrays cannot be loaded"),
    "no type": (of_shape("(1,)", "7") + bytes(8), "its header is damaged"),
    "a record": (of_shape("(1,)", "[('a', '<f8')]") + bytes(8), "must have shape (n,) or (n, m)"),
    "no code points": (of_shape("(1,)", "'<U1'") + b"\xff" * 4, "characters that there are not"),
}


@pytest.mark.parametrize(("content", "message"), MEMBERS.values(), ids=MEMBERS)
def test_members_that_are_no_arrays(content, message, tmp_path):
    path = archive(tmp_path / "t.npz", "X.npy", content)
    with pytest.raises(ValueError, match=r"t\.npz") as caught:
        tables.read(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def good_member() -> bytes:
    return of_shape("(2,)") + bytes(16)


def test_an_encrypted_archive(tmp_path):
    path = archive(tmp_path / "t.npz", "X.npy", good_member())
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag, in the member's own header and in the table of contents
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.npz is no readable NPZ .* encrypted"):
        tables.read(path)


def test_a_compression_that_numpy_does_not_write(tmp_path):
    path = archive(tmp_path / "t.npz", "X.npy", good_member(), compression=zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match=r"t\.npz .* compressed in a way that NumPy does not"):
        tables.read(path)


def test_a_size_that_no_compression_reaches(tmp_path):
    path = archive(tmp_path / "t.npz", "X.npy", good_member(), compression=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.npz .* claims 2147483648 bytes, made of \d\d"):
        tables.read(path)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npz"])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError("Input/output error")])
def test_an_error_of_the_disk_names_the_file(name, error, tmp_path, monkeypatch):
    from nnpoly.tables import reading

    def broken(path: Path) -> None:
        raise error

    (tmp_path / name).touch()
    monkeypatch.setitem(reading.READERS, Path(name).suffix, broken)
    with pytest.raises(OSError, match=f"Input/output error.*{name}"):
        tables.read(tmp_path / name)
