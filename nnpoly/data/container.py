"""The container of every file: named arrays and JSON in one safetensors file, with a checksum.

The arrays are the file's tensors; everything else is JSON in its header, under the key "nnpoly",
and after it, on a line of its own, the SHA-256 of both: under one key, since safetensors writes
several in any order, and the same content shall be the same file. Nothing in it can run code.

Reading refuses what is too large before it is parsed, then what is damaged, and then, by one check
of the JSON's types (`typed`), what is not what it should be, before anything is made of it.

Writing is atomic: a temporary file beside the target is flushed to the disk and then renamed, so
the target is always whole, old or new; of several files all are new or all are old. A link is
followed, and a file that is there keeps its mode.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..backends import host
from ..backends.info import __version__

FORMAT = 2
Arrays = dict[str, host.HostArray]
T = TypeVar("T")

# What is larger is neither written nor read. A million epochs with a validation loss fit in.
LARGEST_HEADER = 100_000_000  # bytes: safetensors reads no larger one
MOST_NESTED = 1 << 20  # lists and objects in the JSON, which take most of the time and memory
MOST_TENSORS = 1 << 16

# Names of temporary files do not grow with the target's, which may be as long as a name can be.
# Their writers may be of other machines and containers that share the folder, so whether one still
# runs cannot be asked: a file that has not been written to for so long was abandoned.
_TEMPORARY = re.compile(r"\.nnpoly-[0-9a-f]{16}\.tmp")
ABANDONED = 3600.0  # seconds
_KINDS = "biuf"  # of arrays: bool, int, unsigned, float
_NUMBERS = {  # that NumPy has, as safetensors calls them
    "BOOL",
    *(f"{kind}{bits}" for kind in "IU" for bits in (8, 16, 32, 64)),
    "F16",
    "F32",
    "F64",
}


def safetensors() -> Any:
    """Return the library, or say how to install it."""
    _library("safetensors.numpy")
    return _library("safetensors")


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"Saving and loading needs {package}: pip install nnpoly[save]"
        ) from error


def as_path(where: str, path: Any, name: str = "path") -> Path:
    """Return `path` as a path."""
    try:
        found = Path(path)
    except TypeError as error:
        raise TypeError(f"{where}: `{name}` must be a path, got {path!r}.") from error
    if "\0" in str(found):
        raise ValueError(f"{where}: `{name}` must be a path without NUL, got {str(found)!r}.")
    return found


# Writing


def write(path: Any, arrays: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Write arrays and a header of JSON values, or leave the file as it was."""
    library, target = safetensors(), target_path("save", path)
    tensors = {name: _plain(name, array) for name, array in arrays.items()}
    text = to_json({"format": FORMAT, "version": __version__, **header})
    content = library.numpy.save(tensors, metadata(text, tensors))
    excess = _excess(int.from_bytes(content[:8], "little"), len(tensors), text)
    if excess:
        raise ValueError(
            f"save: {path} cannot be written: {excess}. Shorten `extra`, or let the trainer begin "
            "a new history: trainer.history = nn.History()."
        )
    with disk_errors(target):
        write_atomically(target, content)


def checked_extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """A user's extra data for a header, if JSON can hold them."""
    if extra is not None and not isinstance(extra, Mapping):
        raise TypeError(f"save: `extra` must be a mapping, got {type(extra).__name__}.")
    kept = dict(extra or {})
    to_json(kept, "extra")  # names what cannot be saved
    return kept


def metadata(text: str, arrays: Mapping[str, host.HostArray]) -> dict[str, str]:
    """The metadata of a file: the JSON text, and the checksum of it and the arrays."""
    return {"nnpoly": f"{text}\n{_checksum(text, arrays)}"}


def target_path(where: str, path: Any, name: str = "path") -> Path:
    """Return `path` as a path, if something can be written there; `name` is the argument's."""
    target = as_path(where, path, name)
    folder = _resolved(target).parent
    if not (target.exists() or folder.is_dir()):
        raise FileNotFoundError(
            f"{where}: `{name}` is in {folder}, which is no folder. Make it first."
        )
    if target.is_dir():
        raise IsADirectoryError(f"{where}: `{name}` {target} is a folder. Name a file in it.")
    if not (target.exists() or os.access(folder, os.W_OK | os.X_OK)):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    return target


def to_json(value: Any, name: str = "header") -> str:
    """Return `value` as JSON, if JSON can hold it unchanged (but for tuples, which become lists).

    NaN and the infinities are written as Python's json does, without quotes, and come back.
    """
    try:
        _require_json(value, name)
        return json.dumps(value)
    except RecursionError as error:
        raise ValueError(f"save: `{name}` contains itself, or is nested too deeply.") from error


def _require_json(value: Any, name: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"save: `{name}` has the key {key!r}; keys must be strings.")
            _require_json(item, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _require_json(item, f"{name}[{i}]")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise TypeError(
            f"save: `{name}` must be JSON's own (dict, list, str, float, int, bool, None), got "
            f"{type(value).__name__}. Arrays become lists by .tolist()."
        )


def _plain(name: str, array: Any) -> host.HostArray:
    """An array as files have it: contiguous and little-endian."""
    plain = np.asarray(array, order="C")
    if plain.dtype.kind not in _KINDS:
        raise TypeError(f"save: the array {name!r} must hold numbers, got dtype {plain.dtype}.")
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False)


def _checksum(text: str, arrays: Mapping[str, host.HostArray]) -> str:
    """The SHA-256 of the JSON text and of each array's name, dtype, shape and bytes."""
    found = hashlib.sha256(json.dumps(text).encode())
    for name, array in sorted(arrays.items()):
        found.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        found.update(np.ravel(array).view(np.uint8).data)
    return found.hexdigest()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Let the errors of writing a file name it, and no temporary file or nothing."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Make `content` the file's, or leave the file as it was.

    A pipe or a device is written into.
    """
    if _is_special(path):
        path.write_bytes(content)
        return
    with together([path]) as (temporary,):
        temporary.write_bytes(content)


@contextlib.contextmanager
def together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield temporary files, which become those of `paths` if the block succeeds: all or none.

    Pipes and devices are written into first.
    """
    targets = [path if _is_special(path) else _resolved(path) for path in paths]
    temporaries = [_new_name(path) for path in targets]
    try:
        for temporary, target in zip(temporaries, targets, strict=True):
            with open(temporary, "xb"):
                _remove_abandoned(temporary)
                _copy_mode(target, temporary, 0o600)  # before the content: it may be private
        yield temporaries
        _publish(dict(zip(targets, temporaries, strict=True)))
    finally:
        _remove(temporaries)


def _publish(temporaries: dict[Path, Path]) -> None:
    """Put temporary files in the place of their targets, or leave all targets as they were."""
    for target in filter(_is_special, [*temporaries]):
        target.write_bytes(temporaries.pop(target).read_bytes())
    for target, temporary in temporaries.items():
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        _copy_mode(target, temporary)
    kept: dict[Path, Path | None] = {}
    last = [*temporaries][-1:]
    try:
        for target, temporary in temporaries.items():
            if [target] != last:  # whose replacement is the end of all
                kept[target] = _second_name(target)
            os.replace(temporary, target)
    except BaseException:
        for target, old in kept.items():
            _remove([target]) if old is None else os.replace(old, target)
        raise
    finally:
        _remove(old for old in kept.values() if old is not None)
    for folder in {target.parent for target in temporaries}:
        _sync_folder(folder)


def _new_name(path: Path) -> Path:
    """A name for a temporary file beside a file, as `_TEMPORARY` has them."""
    return path.with_name(f".nnpoly-{secrets.token_hex(8)}.tmp")


def _second_name(path: Path) -> Path | None:
    """Another name for a file, or a copy where the disk has no such names; None if it is none."""
    if not path.exists():
        return None
    name = _new_name(path)
    try:
        os.link(path, name)
    except OSError:
        shutil.copy2(path, name)
    return name


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _is_special(path: Path) -> bool:
    """Whether a path leads to a pipe or a device, say, and not to a file, a folder or nothing."""
    return path.exists() and not (path.is_file() or path.is_dir())


def _resolved(path: Path) -> Path:
    """The path that links lead to; its last part may not exist yet."""
    found = Path(os.path.realpath(path))
    if found.is_symlink():  # to itself, in the end
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return found


def _copy_mode(source: Path, target: Path, more: int = 0) -> None:
    """Give a file the mode of another one, and more, where that exists and the disk has modes."""
    with contextlib.suppress(OSError):
        os.chmod(target, stat.S_IMODE(source.stat().st_mode) | more)


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk. Not every file system can; the file is whole either way."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_abandoned(newest: Path) -> None:
    """Remove the temporary files beside a new one that are much older.

    Their ages are told by a file that is new in the same folder: the disk may be another machine's,
    with a clock of its own.
    """
    with contextlib.suppress(OSError):  # the folder may be one that cannot be listed
        now = newest.stat().st_mtime
        found = [entry for entry in os.scandir(newest.parent) if _TEMPORARY.fullmatch(entry.name)]
        for entry in found:
            with contextlib.suppress(OSError):  # another process may have removed it
                if now - entry.stat().st_mtime > ABANDONED:
                    os.unlink(entry)


def _excess(length: int, tensors: int, text: str = "") -> str:
    """By how much a file is too large, by its header's bytes, its tensors and its JSON, or ""."""
    if length > LARGEST_HEADER:
        return f"its header has {length} bytes, and may have {LARGEST_HEADER}"
    if tensors > MOST_TENSORS:
        return f"it has {tensors} tensors, and may have {MOST_TENSORS}"
    nested = text.count("[") + text.count("{")
    if nested > MOST_NESTED:
        return f"its header has {nested} lists and objects, and may have {MOST_NESTED}"
    return ""


# Reading


def read(path: Any) -> tuple[dict[str, Any], Arrays]:
    """Return the header and the arrays of a file that `write` wrote.

    The header is JSON of any content; `typed` makes of it what a reader needs.
    """
    with _opened(path) as opened:
        text, arrays = _content(opened)
        return json.loads(text), arrays


def tensors(path: Any) -> tuple[dict[str, str], Arrays]:
    """Return the metadata and the arrays of any safetensors file, nnpoly's or not."""
    with _opened(path) as opened:
        names = list(opened.keys())
        if excess := _excess(0, len(names)):
            raise ValueError(excess)
        for name in names:
            dtype = opened.get_slice(name).get_dtype()
            if dtype not in _NUMBERS:
                raise ValueError(
                    f"its {name} has dtype {dtype}. Convert it to F16, F32 or F64 first"
                )
        return opened.metadata() or {}, {name: opened.get_tensor(name) for name in names}


@contextlib.contextmanager
def _opened(path: Any) -> Iterator[Any]:
    """Open a safetensors file that may be any other; `path` names it in errors."""
    library, file = safetensors(), as_path("load", path)
    if file.is_dir():
        raise IsADirectoryError(f"load: `path` {path} is a folder. Name the file in it.")
    if not file.is_file():
        raise FileNotFoundError(f"load: `path` {path} is no file.")
    with named(path):
        _require_readable(file)
        with library.safe_open(file, framework="numpy") as opened:
            yield opened


def typed(path: Any, value: Any, kind: type[T]) -> T:
    """Return a value of a file's JSON as a type, usually a `TypedDict`, if it has this type.

    Keys that the type does not have are of no account; path names the file in errors.
    """
    convert = _library("msgspec").convert
    with named(path):
        converted: T = convert(value, kind)
        return converted


# How other files begin that are taken for ours.
_OTHERS = {
    b"PK": "a ZIP archive, such as .npz, .pt and .keras files are",
    b"\x80": "a pickle",
    b"\x93NUMPY": "a .npy file",
    b"\x89HDF": "an HDF5 file",
}
_ELSEWHERE = "Load it with the library that wrote it, and give its weights to nn.MLP.from_weights"


def _require_readable(path: Path) -> None:
    """Refuse, by a look at its beginning, what is no safetensors file or has too large a header."""
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        length = int.from_bytes(start, "little")
        if not size:
            raise ValueError("it is empty")
        for first, what in _OTHERS.items():
            if length > size and start.startswith(first):
                raise ValueError(f"it is {what}, and no file of nnpoly's. {_ELSEWHERE}")
        if length > size - 8:
            raise ValueError("it is no safetensors file, or the end of it is missing")
        # A name may hide from this count, by escapes; then the bound on the bytes holds.
        tensors = 0 if length > LARGEST_HEADER else file.read(length).count(b'"data_offsets"')
    if excess := _excess(length, tensors):
        raise ValueError(excess)


def _content(opened: Any) -> tuple[str, Arrays]:
    """The JSON text and the arrays of an open file, if it is of this format and whole."""
    names, found = list(opened.keys()), opened.metadata() or {}
    if "nnpoly" not in found:
        raise ValueError(f"it is a safetensors file, but not nnpoly's. {_ELSEWHERE}")
    text = found["nnpoly"].partition("\n")[0]
    if excess := _excess(0, len(names), text):
        raise ValueError(excess)
    _require_format(text)
    arrays = {name: opened.get_tensor(name) for name in names}
    if found != metadata(text, arrays):
        raise ValueError("it is damaged: its content does not have its checksum")
    return text, arrays


_START = re.compile(r'\{"format": (\d{1,9})(?:, "version": "([^"\\]{0,40})")?')


def _require_format(text: str) -> None:
    """Refuse the JSON text of another format, before its checksum, which may be made otherwise."""
    start = _START.match(text)
    if start is None:
        raise ValueError("it is damaged: its header does not say its format first")
    found = int(start[1])
    if found > FORMAT:
        raise ValueError(f"it was written by nnpoly {start[2]}, which is newer. Upgrade nnpoly")
    if found != FORMAT:
        raise ValueError(
            f"it has format {found}, from before nnpoly's first release, and no checksum. "
            "Make it anew with this version"
        )


_CAUSES = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
_LONGEST = 500  # characters of a reason: it may quote what stands in the file


@contextlib.contextmanager
def named(path: Any) -> Iterator[None]:
    """Raise the errors of a damaged file as one ValueError, of one line, that names the file."""
    try:
        yield
    except (*_CAUSES, safetensors().SafetensorError) as error:
        raise ValueError(f"load: {path} cannot be read: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    reason = str(error)
    if isinstance(error, KeyError):
        reason = f"it lacks {error}"
    elif isinstance(error, RecursionError):
        reason = "what it describes is nested too deeply"
    elif not isinstance(error, _CAUSES):  # safetensors' own
        reason = f"it is damaged, or the end of it is missing ({error})"
    line = "".join(c if c.isprintable() else " " for c in reason).strip().rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
