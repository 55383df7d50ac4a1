"""Headers in C, compiled and run: whoever checks a header runs the program that it is."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..data.container import named
from .certificate import Certificate
from .proof import Consumer, Outputs

COMPILERS = ("cc", "gcc", "clang")  # $CC before them
OPTIONS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")
START, END = "/* nnpoly.certificate", "*/"
_FUNCTION = re.compile(r"void (\w+)\(const (float|double) \*x, (float|double) \*out\)")
_SECONDS = 600


def comment(certificate: Certificate) -> str:
    """A certificate as a comment of a header."""
    text = certificate.to_json().replace("/", "\\/").replace("], [", "],\n[")
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
    """What a program makes of a header's function for a certificate's inputs."""
    with named(path):
        function = _FUNCTION.search(path.read_text(encoding="ascii", errors="replace"))
        if function is None:
            raise ValueError("it declares no function as to_c writes it")
    with TemporaryDirectory() as folder:
        # A name without what a string in C would escape.
        shutil.copyfile(path, Path(folder, "model.h"))
        text = _program(certificate, *function.groups())
        Path(folder, "main.c").write_text(text, encoding="ascii")
        program = Path(folder, "main")
        _call(path, [*(compiler() or []), *OPTIONS, "main.c", "-o", str(program)], folder)
        lines = _call(path, [str(program)], folder).split()
    values = np.array([float.fromhex(value) for value in lines])
    return Outputs(values.reshape(certificate.outputs.shape))


def _call(path: Path, command: Sequence[str], folder: str) -> str:
    found = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if found.returncode:
        with named(path):
            raise ValueError(f"{Path(command[0]).name} fails: {found.stderr.strip()[:2000]}")
    return found.stdout


def _program(certificate: Certificate, name: str, given: str, gives: str) -> str:
    """A main that prints a function's outputs for a certificate's inputs."""
    n, K = certificate.outputs.shape
    kinds = [column.kind for column in certificate.columns]
    rows = ",\n".join(
        "{" + ", ".join(map(_literal, row)) + "}"
        for row in zip(*_numbers(certificate), strict=True)
    )
    texts = {j: column for j, column in enumerate(certificate.inputs) if kinds[j] == "text"}
    coded = [
        f"static const char *const t{j}[] = {{{', '.join(map(_string, column))}}};"
        for j, column in texts.items()
    ]
    codes = [f"x[{j}] = {name}_code({j}, t{j}[i]);" for j in texts]
    return "\n".join(
        [
            '#include "model.h"',
            "#include <math.h>",
            "#include <stdio.h>",
            f"static const double rows[{n}][{len(kinds)}] = {{\n{rows}}};",
            *coded,
            "int main(void) {",
            f"  for (int i = 0; i < {n}; i++) {{",
            f"    {given} x[{len(kinds)}];",
            f"    {gives} out[{K}];",
            f"    for (int j = 0; j < {len(kinds)}; j++) x[j] = ({given})rows[i][j];",
            *(f"    {code}" for code in codes),
            f"    {name}(x, out);",
            f'    for (int k = 0; k < {K}; k++) printf("%a\\n", (double)out[k]);',
            "  }",
            "  return 0;",
            "}\n",
        ]
    )


def _numbers(certificate: Certificate) -> list[Sequence[Any]]:
    """The columns, 0 in those of texts."""
    pairs = zip(certificate.columns, certificate.inputs, strict=True)
    return [values if c.kind == "number" else [0.0] * len(values) for c, values in pairs]


def _literal(value: float) -> str:
    return "NAN" if math.isnan(value) else float(value).hex()


def _string(text: str) -> str:
    """A text as a literal of C, every byte in octal that is no letter or digit."""
    safe = re.compile(rb"[A-Za-z0-9 ]")
    data = text.encode()
    return '"' + "".join(chr(b) if safe.match(bytes([b])) else f"\\{b:03o}" for b in data) + '"'


CONSUMER = Consumer("C compiler", "Install one, or name it: CC=gcc.", version, certificate, run)
