"""Headers in C, compiled and run: whoever checks a header runs the program that it is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..data.container import named
from .c_testing import SHOWN
from .certificate import Certificate
from .proof import Consumer, Outputs

COMPILERS = ("cc", "gcc", "clang")  # $CC before them
OPTIONS = ("-std=c99", "-O2", "-w")
START, END = "/* nnpoly.certificate", "*/"
_FUNCTION = re.compile(r"void (\w+)\(const (float|double) \*x, (float|double) \*out\)")
_SECONDS = 600


def comment(certificate: Certificate) -> str:
    """A certificate as a comment of a header."""
    text = certificate.to_json().replace("], [", "],\n[")
    for sign in "/?":  # which end comments, begin them, and stand for others
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"{START}\n{text}\n{END}"


def compiler() -> list[str] | None:
    """The command of the first C compiler that is there: $CC, cc, gcc or clang."""
    given = shlex.split(os.environ.get("CC", ""))
    for command in ([given] if given else []) + [[name] for name in COMPILERS]:
        if shutil.which(command[0]):
            return command
    return None


def version() -> str | None:
    """The compiler's command, or None where there is none."""
    found = compiler()
    return None if found is None else " ".join(found)


def certificate(path: Path) -> str | None:
    """The text of the certificate in a header's comment."""
    text = path.read_text(encoding="ascii", errors="replace")
    _, start, rest = text.partition(START)
    return rest.partition(END)[0] if start else None


def run(path: Path, certificate: Certificate) -> Outputs:
    """What the header makes of a certificate's inputs, compiled as the program that tests it."""
    with named(path):
        function = _FUNCTION.search(path.read_text(encoding="ascii", errors="replace"))
        if function is None:
            raise ValueError("it declares no function as to_c writes it")
    with TemporaryDirectory() as folder:
        # A name that no compiler takes for an option.
        shutil.copyfile(path, Path(folder, "model.h"))
        program, test = str(Path(folder, "main")), f"-D{function[1].upper()}_TEST"
        source = ["-x", "c", "model.h", "-o", program]
        _call(path, [*(compiler() or []), *OPTIONS, test, *source], folder)
        lines = _call(path, [program, SHOWN], folder, (0, 1)).split()
    with named(path):
        values = np.array([float(value) for value in lines])
        return Outputs(values.reshape(certificate.outputs.shape))


def _call(path: Path, command: Sequence[str], folder: str, statuses: Sequence[int] = (0,)) -> str:
    found = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if found.returncode not in statuses:
        with named(path):
            raise ValueError(f"{Path(command[0]).name} fails: {found.stderr.strip()[:2000]}")
    return found.stdout


CONSUMER = Consumer("C compiler", "Install one, or name it: CC=gcc.", version, certificate, run)
