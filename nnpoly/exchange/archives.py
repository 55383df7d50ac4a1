"""ZIP archives that other libraries keep their models in, as far as they may be read."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

_RATIO = 100  # of what a member holds to its bytes in the archive, at most
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError, zlib.error)


@contextlib.contextmanager
def opened(file: Any, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive of which no member is much larger than its bytes there.

    Parameters
    ----------
    file
        A path, or a file of bytes.
    kind
        What errors say that it should be, and what to do if it is something else.

    Raises
    ------
    ValueError
        If it is no archive, or damaged, or such a member is in it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.flag_bits & 1 or info.file_size > _RATIO * info.compress_size + 4096:
                    raise ValueError(
                        f"its {info.filename} is encrypted, or grows from {info.compress_size} to "
                        f"{info.file_size} bytes"
                    )
            yield archive
    except _DAMAGED as error:
        raise ValueError(f"it is no {kind}, or it is damaged ({error})") from error


def member(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """A member of an archive, which may have so many bytes."""
    if name not in archive.NameToInfo:
        raise ValueError(f"it lacks {name}")
    size = archive.getinfo(name).file_size
    if most is not None and size > most:
        raise ValueError(f"its {name} has {size} bytes, and may have {most}")
    return archive.read(name)
