"""What the commands share: mistakes, kinds of arguments, and files that are published together."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

REASONS: dict[type[OSError], str | None] = {
    FileExistsError: "it is a file",
    FileNotFoundError: "the folder that it should be in is missing",
}
DTYPES = ("float32", "float64")


class Mistake(Exception):
    """What the user can put right, in one line."""


def fail(options: argparse.Namespace, message: str, status: int) -> int:
    """Say on stderr what went wrong, and return the exit status."""
    print(f"{options.prog}: {message}", file=sys.stderr)
    return status


def one_line(error: BaseException) -> str:
    """Return the error's message as one line, without the name of the function that raised it."""
    text = " ".join(str(error).split()) or "out of memory"
    return re.sub(r"^(?!NNPOLY)[\w.]+: ", "", text)


@contextmanager
def refused(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors about what the user asked for into a `Mistake`."""
    try:
        yield
    except kinds as error:
        raise Mistake(one_line(error)) from error


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line; the usage is a --help away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def whole(minimum: int) -> Callable[[str], int]:
    """Return an argparse type: the integers from `minimum` on."""

    def convert(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= minimum:
                return value
        raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")

    return convert


def real(what: str, allowed: Callable[[float], bool]) -> Callable[[str], float]:
    """Return an argparse type: the finite numbers that are `allowed`, as `what` says."""

    def convert(text: str) -> float:
        with suppress(ValueError):
            if math.isfinite(value := float(text)) and allowed(value):
                return value
        raise argparse.ArgumentTypeError(f"must be a number {what}, got {text!r}")

    return convert


positive = real("> 0", lambda value: value > 0.0)


def floating(text: str) -> str:
    """Convert the name of a network's floating type."""
    if text not in DTYPES:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(DTYPES)}, got {text!r}")
    return text


def list_of(item: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return an argparse type: items between commas."""
    return lambda text: [item(part.strip()) for part in text.split(",")]


def require(*packages: str) -> None:
    """Refuse a command whose packages are missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed: pip install nnpoly[cli]")


@contextmanager
def published(output: Path) -> Iterator[Path]:
    """Yield a folder whose files come to be in `output` at the end, or nowhere if it fails."""
    try:
        made = not output.is_dir()
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
            if made:
                output.rmdir()
        raise
