"""Parts of all commands: mistakes, types of arguments, and files that are published together."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, TextIO

REASONS: dict[type[OSError], str | None] = {
    FileExistsError: "it is a file",
    FileNotFoundError: "the folder that it should be in is missing",
}
DTYPES = ("float32", "float64")


class Mistake(Exception):
    """A mistake that the user can correct, told in one line."""


def fail(options: argparse.Namespace, message: str, status: int) -> int:
    """Print an error on stderr, and return the exit status."""
    print(f"{options.prog}: {message}", file=sys.stderr)
    return status


def one_line(error: BaseException) -> str:
    """Return an error's message as one line, without the name of the function that raised it."""
    text = " ".join(str(error).split()) or "out of memory"
    return re.sub(r"^(?!NNPOLY)[\w.]+: ", "", text)


@contextmanager
def escaped(stream: TextIO | None) -> Iterator[None]:
    r"""Escape the characters that a stream cannot encode, as \u0434, instead of failing."""
    if not isinstance(stream, TextIOWrapper):  # a notebook's stream encodes nothing
        yield
        return
    errors = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=errors)


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
        self.exit(2, f"{self.prog}: {message}\n")


def whole(minimum: int) -> Callable[[str], int]:
    """Return a converter of text to an integer >= `minimum`, for argparse."""

    def convert(text: str) -> int:
        with suppress(ValueError):
            value = int(text)
            if value >= minimum:
                return value
        raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")

    return convert


def real(bounds: str, within: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a converter of text to a finite number within bounds, for argparse."""

    def convert(text: str) -> float:
        with suppress(ValueError):
            value = float(text)
            if math.isfinite(value) and within(value):
                return value
        raise argparse.ArgumentTypeError(f"must be a number {bounds}, got {text!r}")

    return convert


positive = real("> 0", lambda value: value > 0.0)


def floating(text: str) -> str:
    """Convert text to the name of a floating type, for argparse."""
    if text not in DTYPES:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(DTYPES)}, got {text!r}")
    return text


def list_of(item: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return a converter of text to a list of items between commas, for argparse."""
    return lambda text: [item(part.strip()) for part in text.split(",")]


def require(*packages: str) -> None:
    """Raise a `Mistake` with the remedy if one of the packages is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed: pip install nnpoly[cli]")


@contextmanager
def published(output: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files are moved to `output` if the block succeeds."""
    try:
        is_new = not output.is_dir()
        output.mkdir(exist_ok=True)
        staging = TemporaryDirectory(prefix=".", dir=output)
    except OSError as error:
        reason = REASONS.get(type(error), error.strerror)
        raise Mistake(f"--output: {output} cannot be written to: {reason}") from error
    try:
        with staging as folder:
            yield Path(folder)
            for file in Path(folder).iterdir():
                file.replace(output / file.name)
    except BaseException:
        with suppress(OSError):  # not empty
            if is_new:
                output.rmdir()
        raise
