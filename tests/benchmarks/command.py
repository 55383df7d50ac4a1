"""What the benchmarks' command lines share."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import processor
from remote import Remote, Row


def parser(doc: str, rounds: int, threads: bool = True) -> argparse.ArgumentParser:
    """Return a parser that knows --threads, --rounds and --json.

    Parameters
    ----------
    doc : str
        The script's; its first line describes it.
    rounds : int
        The default.
    threads : bool
        Whether the number of threads can be chosen.
    """
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    add = made.add_argument
    if threads:
        add("--threads", type=int, default=2, help="of each contestant, default: %(default)s")
    add("--rounds", type=int, default=rounds, help="samples of each, default: %(default)s")
    add("--json", type=Path, help="also write every sample to this file")
    return made


def parsed(
    made: argparse.ArgumentParser,
    words: Sequence[str] | None = None,
    check: Callable[[argparse.Namespace], None] = lambda arguments: None,
) -> argparse.Namespace:
    """Return the arguments, or say what is wrong with them.

    Parameters
    ----------
    made : ArgumentParser
        From `parser`.
    words : sequence of str or None
        None for the process's own.
    check : callable
        Raises ValueError at what would only fail later.
    """
    arguments = made.parse_args(words)
    try:
        for name in ("rounds", "threads"):
            if (count := getattr(arguments, name, 1)) < 1:
                raise ValueError(f"--{name} must be at least 1, got {count}")
        check(arguments)
    except ValueError as error:
        made.error(str(error))
    return arguments


@contextmanager
def started(module: str, names: Iterable[str], threads: int) -> Iterator[list[Remote]]:
    """Start the contestants of a module, and end them afterwards."""
    with ExitStack() as stack:
        yield [stack.enter_context(Remote(module, name, threads)) for name in names]


def setting(arguments: argparse.Namespace, remotes: Iterable[Remote]) -> dict[str, str]:
    """Return what is measured on which machine: property to value.

    "load" is the machine's average over the last minute; "peak", that of float32 multiply-adds in
    registers.
    """
    found = {"cpu": processor.name(), "caches": processor.caches()}
    for name in ("threads", "rounds"):
        if hasattr(arguments, name):
            found[name] = str(getattr(arguments, name))
    if hasattr(arguments, "threads") and (best := processor.peak(arguments.threads)):
        found["peak"] = f"{best:.0f} GFLOP/s"
    found |= {"load": f"{os.getloadavg()[0]:.2f}", "python": platform.python_version()}
    for remote in remotes:
        found |= remote.versions
    return found


def show(properties: dict[str, str]) -> None:
    """Print what `setting` returns, a property a line."""
    print(*(f"{name}: {value}" for name, value in properties.items()), sep="\n", flush=True)


def write(path: Path | None, document: dict[str, Any]) -> None:
    """Write the evidence, where it was asked for."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1) + "\n")


def status(rows: Iterable[Row]) -> int:
    """Return the exit status: 1 if a contestant failed or computed something else."""
    return int(any(row.failed for row in rows))
