"""What stands around networks in C: columns become their inputs, their outputs a prediction."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from ..backends import host
from .c_text import Instance, chosen, renamed
from .described import Cell, CodeCell, Described, NumberCell, Probabilities, QuantileCell

DOUBLES = Instance(64, False, "d_", ("tables.h",))
_PLAIN = frozenset(string.ascii_letters + string.digits + " _-+.,:;()[]{}<>=/*&|!@#$%^~'`")
_KINDS = {
    "cell": "CELL_ITSELF",
    "number": "CELL_NUMBER",
    "missing": "CELL_MISSING",
    "value": "CELL_VALUE",
}


def literal(value: Any, bits: int) -> str:
    """A number in C: the shortest decimals that are read as it, rounded to so many bits."""
    number = host.asarray(value, f"float{bits}")[()]
    if math.isnan(number):
        return "NAN"
    if math.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    text = str(number)
    return text + ("f" if bits == 32 else "")


def quoted(text: str) -> str:
    """A text in C, in UTF-8; question marks too are escaped, since three characters may be one."""
    plain = [
        chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "surrogatepass")
    ]
    return '"' + "".join(plain) + '"'


def spoken(text: str) -> str:
    """A text within a comment, which it can neither end nor begin anew."""
    plain = text.encode("ascii", "backslashreplace").decode()
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in plain)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?").rstrip("\\")


class Rows:
    """A row's columns and outputs, as a program has them.

    Attributes
    ----------
    given, gives
        The type of a column and of an output.
    columns, outputs
        How many there are.
    encodes
        Whether the networks' inputs are made of the columns.
    averages, combines
        Whether the networks' outputs are averaged, and whether they are not simply the outputs.
    """

    def __init__(self, described: Described, name: str, bits: int) -> None:
        self.described, self.name, self.upper = described, name, name.upper()
        self.real = "float" if bits == 32 else "double"
        self.columns, self.outputs = len(described.columns), described.outputs
        self.K = described.networks[0].outputs
        self.encodes = bool(described.cells or described.inputs)
        self.averages = described.averaged is not None
        result = described.result
        self.single = isinstance(result, Probabilities) and result.single
        self.combines = self.averages or self.single
        self.given = "double" if self.encodes else self.real
        self.gives = "double" if self.averages else self.real
        self.texts = [self._texts(j) for j in range(self.columns)]

    @property
    def network_input(self) -> str:
        """The array that the networks are given in a row's program."""
        return "in" if self.encodes else "x"

    @property
    def network_output(self) -> str:
        """The array that the networks write to in a row's program."""
        return "f" if self.combines else "out"

    def _texts(self, column: int) -> tuple[str, ...]:
        """All the texts that cells of a column know."""
        cells = (cell for cell in self.described.cells if isinstance(cell, CodeCell))
        known = (text for cell in cells if cell.column == column for text in cell.texts)
        return tuple(dict.fromkeys(known))

    # What the banner says

    def described_columns(self) -> list[str]:
        columns = self.described.columns
        if self.described.matrix:
            return [f"x: {len(columns)} numbers, {self.given}"]
        lines = [f"x: {len(columns)} columns, {self.given}; NaN is a missing cell"]
        for j, column in enumerate(columns):
            kind = f"the code of a text: {self.name}_code({j}, text)"
            lines.append(
                f"  x[{j}]  {spoken(column.name)}: {kind if column.kind == 'text' else 'a number'}"
            )
        return lines

    def described_outputs(self) -> list[str]:
        result = self.described.result
        if not isinstance(result, Probabilities):
            return [f"out: {self.outputs} numbers, {self.gives}"]
        what = "probabilities, each of one yes" if result.several else "probabilities of classes"
        lines = [f"out: {self.outputs} {what}, {self.gives}; their labels: {self.name}_label(k)"]
        if not result.several:
            lines.append(f"{self.name}_class(out) is the likeliest one's k")
        return lines

    # Functions

    def declarations(self) -> str:
        """Of the functions for texts and labels."""
        return "".join(
            f"/* {what} */\n{self.upper}_LINKAGE {head};\n" for what, head, _ in self._extras()
        )

    def functions(self) -> list[str]:
        """The definitions of all functions around the networks."""
        made = []
        if self.encodes:
            made.append(self._encode())
        extras = [f"{self.upper}_LINKAGE {head} {{\n{body}\n}}" for _, head, body in self._extras()]
        text = "\n\n".join([*made, *extras])
        items = chosen(DOUBLES, text)
        parts = [items, text] if items else [text]
        if self.averages:
            parts.append(self._collect())
        if self.combines:
            parts.append(self._finish())
        names = DOUBLES.named(self.name)
        return [renamed(part, names) for part in parts if part]

    def begin(self, out: str, rows: str = "") -> str:
        """Statements before the first network's outputs are added."""
        if not self.averages:
            return ""
        if not rows:
            return f"  for (int k = 0; k < {self.outputs}; k++) {out}[k] = 0;"
        return f"  for (int k = 0; k < {rows} * {self.outputs}; k++) {out}[k] = 0;"

    def _encode(self) -> str:
        described, name = self.described, self.name
        cells, inputs = described.cells, described.inputs
        count = len(cells) or self.columns
        constants, lines = [], [f"  double cells[{count}];"]
        for i, cell in enumerate(cells):
            array, made = self._cell(i, cell)
            constants += array
            lines.append(f"  cells[{i}] = {made};")
        if not cells:
            lines.append(f"  for (int j = 0; j < {count}; j++) cells[j] = x[j];")
        if inputs:
            rows = ",\n".join(
                f"  {{{_KINDS[i.kind]}, {i.column}, {int(i.smooth)}, {literal(i.value, 64)}, "
                f"{literal(i.center, 64)}, {literal(i.factor, 64)}}}"
                for i in inputs
            )
            constants.append(f"static const struct input {name}_inputs[] = {{\n{rows}\n}};")
            made = f"input_of({name}_inputs + j, cells)"
        else:
            made = "cells[j]"
        width = len(inputs) or count
        lines.append(f"  for (int j = 0; j < {width}; j++) in[j] = ({self.real}){made};")
        body = "\n".join(lines)
        constants.append(
            f"static void {name}_encode(const double *x, {self.real} *in) {{\n{body}\n}}"
        )
        return "\n\n".join(constants)

    def _cell(self, i: int, cell: Cell) -> tuple[list[str], str]:
        """The constants of a cell, and what it is of x."""
        x = f"x[{cell.column}]"
        if isinstance(cell, NumberCell):
            if math.isnan(cell.fill) and cell.center == 0.0 and cell.scale == 1.0:
                return [], x
            given = ", ".join(literal(a, 64) for a in (cell.fill, cell.center, cell.scale))
            return [], f"number_cell({x}, {given})"
        if isinstance(cell, QuantileCell):
            values, array = cell.quantiles, f"{self.name}_quantiles{i}"
            scale = f"{literal(cell.center, 64)}, {literal(cell.factor, 64)}"
            made = f"quantile_cell({x}, {scale}, {array}, {len(values)})"
        else:
            values = tuple(cell.code(text) for text in self.texts[cell.column])
            array = f"{self.name}_codes{i}"
            rest = f"{literal(cell.missing, 64)}, {literal(cell.other, 64)}"
            made = f"code_cell({x}, {array}, {len(values)}, {rest})"
        numbers = ", ".join(literal(value, 64) for value in values) or "0.0"
        return [f"static const double {array}[] = {{{numbers}}};"], made

    def _collect(self) -> str:
        """One network's part of the mean."""
        averaged, name, K = self.described.averaged, self.name, self.K
        assert averaged is not None
        if averaged.scales is None:
            body = f"""  double whole = 0;
  for (int k = 0; k < {K}; k++) whole += f[k];
  for (int k = 0; k < {K}; k++) out[k] += f[k] / whole;"""
            return f"static void {name}_collect(const {self.real} *f, double *out) {{\n{body}\n}}"
        arrays = {"scales": averaged.scales, "shifts": averaged.shifts}
        limits = {"lows": averaged.lows, "highs": averaged.highs}
        arrays |= {key: values for key, values in limits.items() if values is not None}
        lines = [
            f"  static const double {key}[] = {{{_listed(values)}}};"
            for key, values in arrays.items()
        ]
        lines += [
            f"  for (int k = 0; k < {K}; k++) {{",
            "    const volatile double product = f[k] * scales[k]; /* rounded, as in APART */",
            "    double y = product + shifts[k];",
            *["    if (y < lows[k]) y = lows[k];"] * ("lows" in arrays),
            *["    if (y > highs[k]) y = highs[k];"] * ("highs" in arrays),
            "    out[k] += y;",
            "  }",
        ]
        body = "\n".join(lines)
        return f"static void {name}_collect(const {self.real} *f, double *out) {{\n{body}\n}}"

    def _finish(self) -> str:
        """The outputs, when all networks have given theirs."""
        lines = []
        if self.averages:
            head, f = "double *out", "out[0]"
            networks = len(self.described.networks)
            lines.append(f"  for (int k = 0; k < {self.K}; k++) out[k] /= {networks};")
        else:
            head, f = f"const {self.real} *f, {self.gives} *out", "f[0]"
        if self.single:
            lines.append(f"  out[1] = {f};\n  out[0] = 1 - out[1];")
        body = "\n".join(lines)
        return f"static void {self.name}_finish({head}) {{\n{body}\n}}"

    def _extras(self) -> list[tuple[str, str, str]]:
        """What functions for texts and labels are for, their heads and their bodies."""
        made, result = [], self.described.result
        of_text = [j for j, column in enumerate(self.described.columns) if column.kind == "text"]
        if of_text:
            lines = []
            for j in of_text:
                texts = ", ".join(quoted(text) for text in self.texts[j]) or '""'
                lines.append(f"  static const char *const texts{j}[] = {{{texts}}};")
            lines.append("  switch (column) {")
            for j in of_text:
                found = f"place_of(text, texts{j}, {len(self.texts[j])})"
                lines.append(f"    case {j}: return {found};")
            lines.append("    default: return NAN;\n  }")
            what = "The code of a text in a column; NULL is a missing one."
            head = f"double {self.name}_code(int column, const char *text)"
            made.append((what, head, "\n".join(lines)))
        if isinstance(result, Probabilities):
            kind, values = _labels(result.labels)
            head = f"{_returned(kind)}{self.name}_label(int k)"
            body = f"  static const {kind}labels[] = {{{values}}};\n  return labels[k];"
            made.append(("The label of out[k].", head, body))
            if not result.several:
                body = f"""  int best = 0;
  for (int k = 1; k < {self.outputs}; k++)
    if (out[k] > out[best]) best = k;
  return best;"""
                head = f"int {self.name}_class(const {self.gives} *out)"
                made.append(("The likeliest class, by its index.", head, body))
        return made


def _listed(values: Sequence[float] | None) -> str:
    return ", ".join(literal(value, 64) for value in values or ())


def _returned(kind: str) -> str:
    return {"char *const ": "const char *"}.get(kind, kind)


def _labels(labels: Sequence[Any]) -> tuple[str, str]:
    """The type of labels in C, and their list."""
    if all(isinstance(label, str) for label in labels):
        return "char *const ", ", ".join(quoted(label) for label in labels)
    if all(isinstance(label, bool) for label in labels):
        return "int ", ", ".join(str(int(label)) for label in labels)
    if all(isinstance(label, int) for label in labels):
        return "long long ", ", ".join(_whole(label) for label in labels)
    return "double ", _listed(labels)


def _whole(number: int) -> str:
    """A number in C, of which the least is not a constant with a sign."""
    return f"{number}LL" if number > -(2**63) else f"({number + 1}LL - 1)"
