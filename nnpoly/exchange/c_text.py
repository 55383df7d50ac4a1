"""The text that programs in C are made of: what they need of the folder `c`, under their names.

The headers hold items: functions, types, constants and macros. A program takes those that it uses,
once for real numbers and once for vectors; each use has names of its own, so that two programs can
be included in one file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

_TOKENS = re.compile(r"/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|[A-Za-z_]\w*|\s+|.", re.DOTALL)
_DEFINED = (
    re.compile(r"#define (\w+)"),
    re.compile(r"(?:struct|union) (\w+) \{"),
    re.compile(r"enum \{ (\w+)"),
    re.compile(r"typedef [^;]*?(\w+)\s*(?:__attribute__.*)?;", re.DOTALL),
    re.compile(r"INLINE [^(]*?(\w+)\("),
)


class Item(NamedTuple):
    """A part of a header; a directive has no name, and is kept where it is."""

    name: str | None
    text: str


class Instance(NamedTuple):
    """A use of the headers: for elements of so many bits, as real numbers or as vectors."""

    bits: int
    vectors: bool
    prefix: str  # of the names that it defines
    more: tuple[str, ...] = ("activations.h", "layers.h")  # headers

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of its headers, in order."""
        base = "vectors.h" if self.vectors else "scalars.h"
        return _items(self.bits, (base, "vmath.h", *self.more))

    def named(self, program: str) -> dict[str, str]:
        """What its names are in a program of that name."""
        upper, short = program.upper(), "float" if self.bits == 32 else "double"
        names = {}
        for item in self.items:
            if item.name is not None:
                start = upper if item.name.isupper() else program
                middle = self.prefix.upper() if item.name.isupper() else self.prefix
                names[item.name] = f"{start}_{middle}{item.name}"
        for macro in _MACROS:
            names[macro] = f"{upper}_{macro}"
        names |= {"real": short, "integer": f"int{self.bits}_t"}
        if not self.vectors:
            names |= {"vec": short, "ivec": f"uint{self.bits}_t", "mask": "int", "LANES": "1"}
        return names


# Of the preamble.
_MACROS = (
    *("INLINE", "APART", "UNROLL", "KEEP_LOOP", "INFINITY", "NAN"),
    *("VECTORS", "ISA_AVX512", "ISA_AVX2", "ISA_NEON", "HAS_FMA"),
)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text under other names, but for its comments and strings."""
    return "".join(names.get(token, token) for token in _tokens(text))


def chosen(instance: Instance, uses: str) -> str:
    """The instance's items that a text uses, those that these use, and so on."""
    by_name: dict[str, list[Item]] = {}
    for item in instance.items:
        if item.name is not None:
            by_name.setdefault(item.name, []).append(item)
    needed: set[str] = set()
    fresh = _words(uses) & by_name.keys()
    while fresh:
        needed |= fresh
        found = {word for name in fresh for item in by_name[name] for word in _words(item.text)}
        fresh = (found & by_name.keys()) - needed
    kept = [item.text for item in instance.items if item.name is None or item.name in needed]
    return _without_empty(kept)


def _words(text: str) -> set[str]:
    return {token for token in _tokens(text) if token[0].isalpha() or token[0] == "_"}


def _tokens(text: str) -> Iterator[str]:
    return (match.group() for match in _TOKENS.finditer(text))


@cache
def _items(bits: int, headers: tuple[str, ...]) -> tuple[Item, ...]:
    return tuple(item for name in headers for item in _parsed(_of_bits(_header(name), bits)))


def preamble(bits: int) -> str:
    """What a program asks of its compiler."""
    return _of_bits(_header("preamble.h"), bits)


def _header(name: str) -> str:
    return (resources.files(__package__) / "c" / name).read_text("utf-8")


def _of_bits(text: str, bits: int) -> str:
    """The text with its questions about BITS answered."""
    kept: list[str] = []
    open_: list[bool | None] = []  # whether a branch is taken; None: a question that stays
    for line in text.splitlines():
        words = line.split()
        taken = all(branch is not False for branch in open_)
        if words[:1] and words[0] in ("#if", "#ifdef", "#ifndef"):
            asks = re.fullmatch(r"#if BITS == (\d+)", line)
            open_.append(int(asks[1]) == bits if asks else None)
            if asks:
                continue
        elif line in ("#else", "#endif") and open_[-1] is not None:
            open_[-1] = not open_[-1]
            if line == "#endif":
                open_.pop()
            continue
        elif line == "#endif":
            open_.pop()
        if taken:
            kept.append(line)
    return re.sub(r"\bBITS\b", str(bits), "\n".join(kept))


def _parsed(text: str) -> Iterator[Item]:
    """The items of a header; comments go with the item that follows, or away."""
    lines = text.splitlines()
    comment: list[str] = []
    at = 0
    while at < len(lines):
        first = at
        if not lines[at].strip():
            comment = []
            at += 1
        elif lines[at].startswith("/*"):
            while not lines[at].rstrip().endswith("*/"):
                at += 1
            at += 1
            comment += lines[first:at]
        elif lines[at].startswith("#"):
            while lines[at].endswith("\\"):
                at += 1
            at += 1
            block = "\n".join(lines[first:at])
            name = _name(block)
            yield Item(name, "\n".join([*comment, block]) if name else block)
            comment = []
        else:
            depth, ended = 0, False
            while not ended:
                code = re.sub(r"/\*.*?\*/", "", lines[at])
                depth += code.count("{") - code.count("}")
                ended = depth == 0 and code.rstrip().endswith(("}", ";"))
                at += 1
            block = "\n".join(lines[first:at])
            yield Item(_name(block), "\n".join([*comment, block]))
            comment = []


def _name(block: str) -> str | None:
    for pattern in _DEFINED:
        if match := pattern.match(block):
            return match[1]
    if block.startswith(("#if", "#el", "#endif", "#error")):
        return None
    raise AssertionError(f"an item of no name: {block}")


def _without_empty(parts: Iterable[str]) -> str:
    """The parts without questions whose branches have become empty."""
    kept: list[str] = []
    for part in parts:
        if part.startswith("#endif"):
            start = len(kept)
            while start and kept[start - 1].startswith(("#el",)):
                start -= 1
            if start and kept[start - 1].startswith("#if"):
                del kept[start - 1 :]
                continue
        kept.append(part)
    return "\n".join(kept)
