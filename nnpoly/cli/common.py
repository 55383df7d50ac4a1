"""Parts of all commands: mistakes, types of arguments, and files that are published together."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NoReturn

from ..tables.wording import printable, shortened
from .process import stdout_errors

REASONS: dict[type[OSError], str | None] = {
    FileExistsError: "it is a file",
    FileNotFoundError: "the folder that it should be in is missing",
}
OTHERS = {  # endings of tables in formats that are not written
    **dict.fromkeys((".npz", ".npy"), "NumPy's arrays"),
    **dict.fromkeys((".xls", ".xlsx", ".xlsm", ".ods"), "a workbook"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "JSON"),
    **dict.fromkeys((".feather", ".arrow", ".ipc", ".orc", ".avro"), "a table of another format"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip"), "an archive"),
    **dict.fromkeys((".h5", ".hdf5"), "HDF5"),
    **dict.fromkeys((".pkl", ".pickle"), "a pickle"),
    ".safetensors": "a model",
}
DTYPES = ("float32", "float64")
PRECISION = "of matrix products: bf16 rounds their factors to bfloat16; on CuPy there is tf32 too"


class Mistake(Exception):
    """A mistake that the user can correct, told in one line."""


def fail(options: argparse.Namespace, message: str, status: int) -> int:
    """Print an error on stderr, and return the exit status."""
    print(printable(f"{options.prog}: {message}"), file=sys.stderr)
    return status


def say(*lines: object) -> None:
    """Print lines, with the control characters of users' names escaped."""
    with stdout_errors():
        for line in "\n".join(map(str, lines)).split("\n"):
            print(printable(line))
        sys.stdout.flush()


def path(text: str) -> Path:
    """Convert text to a path, for argparse."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a path without NUL, got {shortened(text)}")
    return Path(text)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line, without the name of the function that raised it."""
    text = " ".join(str(error).split()) or "out of memory"
    return re.sub(r"^(?!NNPOLY)[\w.]+: ", "", text)


def print_data(text: str) -> None:
    """Print the lines of a file, as they are unless a terminal would obey them."""
    if sys.stdout.isatty():
        say(text.removesuffix("\n"))
    else:
        with stdout_errors():
            print(text, end="")


@contextmanager
def refused(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds into a `Mistake`."""
    try:
        yield
    except kinds as error:
        raise Mistake(one_line(error)) from error


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"{self.prog}: {message}") + "\n")


def whole(minimum: int, end: float = math.inf) -> Callable[[str], int]:
    """Return a converter of text to an integer >= `minimum` and below `end`, for argparse."""

    def convert(text: str) -> int:
        with suppress(ValueError):
            value = int(text)
            if minimum <= value < end:
                return value
        bounds = f">= {minimum}" + (f" and < {end:g}" if end < math.inf else "")
        raise argparse.ArgumentTypeError(f"must be an integer {bounds}, got {shortened(text)}")

    return convert


def real(bounds: str, within: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a converter of text to a finite number within bounds, for argparse."""

    def convert(text: str) -> float:
        with suppress(ValueError):
            value = float(text)
            if math.isfinite(value) and within(value):
                return value
        raise argparse.ArgumentTypeError(f"must be a number {bounds}, got {shortened(text)}")

    return convert


positive = real("> 0", lambda value: value > 0.0)


def floating(text: str) -> str:
    """Convert text to the name of a floating type, for argparse."""
    if text not in DTYPES:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(DTYPES)}, got {shortened(text)}")
    return text


def list_of(item: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return a converter of text to a list of items between commas, for argparse."""
    return lambda text: [item(part.strip()) for part in text.split(",")]


def require(*packages: str) -> None:
    """Raise a `Mistake` with the remedy if one of the packages is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed: pip install nnpoly[cli]")


def require_writable(output: Path, names: Sequence[str]) -> None:
    """Refuse a folder that the files cannot be written to, before any work; it may be missing."""
    try:
        if output.exists() and not output.is_dir():
            raise FileExistsError
        with TemporaryFile(dir=output if output.is_dir() else output.parent):
            pass
    except OSError as error:
        raise Mistake(_not_writable(output, error)) from error
    for name in names:
        if (output / name).is_dir():
            raise Mistake(f"--output: {output / name} is a folder, and shall be a file: rename it")


def require_table(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file for a table that has the ending of another kind; and as `require_output`."""
    if what := OTHERS.get(output.suffix.lower()):
        raise Mistake(
            f"--output: {output} would hold {what}, which is not written: name a file that ends in "
            ".csv, .tsv or .parquet"
        )
    require_output(output, inputs)


def require_output(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that cannot be written, or is one of those that are read, before any work."""
    try:
        for path in inputs:
            if path.exists() and output.exists() and output.samefile(path):
                raise Mistake(f"--output: {output} is read too, as {path}: name another file")
        if output.is_dir():
            raise Mistake(f"--output: {output} is a folder: name a file in it")
        if not output.exists():
            with TemporaryFile(dir=Path(os.path.realpath(output)).parent):
                pass
    except OSError as error:
        raise Mistake(_not_writable(output, error)) from error


def _not_writable(output: Path, error: OSError) -> str:
    return f"--output: {output} cannot be written to: {REASONS.get(type(error), error.strerror)}"
