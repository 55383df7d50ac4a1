"""Models as C: one header, which needs no library, not even the mathematical one."""

from __future__ import annotations

import re
from typing import Any

from .. import _checks
from ..backends.info import __version__
from .c_layers import Sigmas, Translated, translate
from .c_running import CONSUMER, comment
from .c_tables import Rows, literal
from .c_testing import tests
from .c_text import Instance, chosen, preamble, renamed
from .certificate import Certificate
from .described import Described
from .describing import describe_model
from .proof import proven

# Of C and C++.
_WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const
const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit
export extern false float for friend goto if inline int long main mutable namespace new noexcept not
not_eq nullptr operator or or_eq private protected public register reinterpret_cast restrict return
short signed sizeof static static_assert static_cast struct switch template this thread_local throw
true try typedef typeid typename typeof union unsigned using virtual void volatile wchar_t while xor
xor_eq
"""
_PAST_THE_END = 16  # numbers that a vector may reach beyond an array
_MOST_STACK = 1 << 18  # bytes of a batch's arrays; beyond it rows are computed one by one
_MOST_ROW = 1 << 20  # bytes of a row's arrays
_BITS = {"float32": 32, "float64": 64}


def to_c(model: Any, path: Any, name: str = "predict", *, check: bool = True) -> None:
    """Write a model as one header in C99.

    It defines ``void predict(const float *x, float *out)`` for a row and ``void
    predict_batch(const float *x, float *out, size_t n)`` for n rows, one after the other. No memory
    is allocated, nothing else is needed: no library, and of the mathematical one no function. It
    compiles as C99 and C++11 by any compiler; GCC and clang use the processor's vectors
    (``-O3 -march=native -ffp-contract=off``).

    Where the processor has fused multiply-add, the results are those of the library's C core, bit
    for bit; elsewhere they are within the bound that stands in the file.

    Parameters
    ----------
    model
        A Network, Trainer or Ensemble, a fitted estimator of nnpoly, or a model of a table.
    path
        The file, which is replaced as a whole.
    name
        Of the function, and of all others as their beginning.
    check
        Whether the file is compiled and run first, where a C compiler is there ($CC, cc, gcc or
        clang): see `nnpoly.exchange.check`.

    Raises
    ------
    ValueError
        For a name that is none in C, and a model that C has no text for: layers and activations of
        your own, half precision, weights that are not finite, and rows that need more than 1 MiB.
    RuntimeError
        If the compiled program does not compute what it must. Nothing has been written then.

    Notes
    -----
    Numbers are ``double`` where the model scales its inputs, or averages networks. A text is given
    by its code, which ``predict_code(column, text)`` returns; NaN is a missing cell. Of classes,
    ``out`` holds the probabilities, ``predict_class(out)`` is the likeliest one's index, and
    ``predict_label(k)`` its label.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange import to_c
    >>> to_c(nn.MLP([17, 64, 64, 6]), "policy.h", name="policy")  # doctest: +SKIP
    """
    where = "to_c"
    name, check = _identifier(where, name), _checks.flag(where, "check", check)
    described = describe_model(model, where)
    program = _Program(where, described, name)
    text = program.text(Certificate.of(described))
    with proven(where, path, CONSUMER, check) as file:
        file.write_bytes(text.encode("ascii"))


def _identifier(where: str, name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(
            f"{where}: `name` must be a name in C, of letters, digits and _, beginning with a "
            f"letter, got {name!r}."
        )
    if name in _WORDS.split():
        raise ValueError(f"{where}: `name` must not be a word of C or C++, got {name!r}.")
    return name


class _Program:
    """The parts of one header, and their names."""

    def __init__(self, where: str, described: Described, name: str) -> None:
        self.described, self.name, self.upper = described, name, name.upper()
        dtype = described.dtype
        if dtype not in _BITS:
            raise ValueError(
                f"{where}: the network must be of float32 or float64, got {dtype}. Convert it: "
                "net.to(dtype='float32')."
            )
        self.bits = _BITS[dtype]
        self.real = "float" if self.bits == 32 else "double"
        self.scalars = Instance(self.bits, False, "")
        self.vectors = Instance(self.bits, True, "v_")
        self.sigmas = Sigmas(lambda value: literal(value, self.bits))
        self.networks = [translate(where, net, self.sigmas) for net in described.networks]
        for i, network in enumerate(self.networks):
            network.numbers.require_finite(where, i)
        self.bodies = list(dict.fromkeys(network.body for network in self.networks))
        self.inputs = described.networks[0].inputs
        self.K = described.networks[0].outputs
        self.rows = Rows(described, name, self.bits)
        size = self.bits // 8
        row = size * (max(self._elements(network) for network in self.networks))
        if row > _MOST_ROW:
            raise ValueError(
                f"{where}: a row's arrays must fit 1 MiB of stack, got {row} bytes. Use narrower "
                "layers."
            )
        self.row_bytes, self.batch_bytes = row, row * 64 // size
        self.by_vectors = self.batch_bytes <= _MOST_STACK

    def _elements(self, network: Translated) -> int:
        return sum(network.buffers) + 2 * self.inputs + 2 * self.K

    # Text

    def text(self, certificate: Certificate) -> str:
        parts = [
            self.banner(),
            comment(certificate),
            self.interface(),
            f"#ifndef {self.upper}_DECLARE",
            renamed(preamble(self.bits), self.scalars.named(self.name)),
            *self.arrays(),
            *self.functions(),
            *self.rows.functions(),
            self.predict(),
            self.predict_batch(),
            tests(certificate, self.rows),
            "#if defined(__clang__)\n#pragma STDC FP_CONTRACT DEFAULT\n#endif",
            f"#endif /* {self.upper}_DECLARE */",
            f"#endif /* {self.upper}_H */",
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def banner(self) -> str:
        described, name, upper = self.described, self.name, self.upper
        net = described.networks[0]
        many = f", {len(self.networks)} networks" if len(self.networks) > 1 else ""
        stack = max(self.row_bytes, self.batch_bytes if self.by_vectors else 0)
        lines = [
            f"{name}: {described.kind}{many}, {self.real}, written by nnpoly {__version__}",
            f"widths {'-'.join(map(str, net.widths))}, {net.output} output",
            "",
            *self.rows.described_columns(),
            *self.rows.described_outputs(),
            "",
            "C99, or C++11. No library is needed, and no memory is allocated; the stack takes at",
            f"most {stack} bytes, and less where the processor's vectors are short.",
            "Fast: -O3 -march=native. Where the processor has fused multiply-add, the results of",
            "-ffp-contract=off (which -std=c99 is) are those of the library, bit for bit, but for",
            "denormal numbers, which the library takes for zeros.",
            "",
            "This file defines functions: include it in one file of a program, in others after",
            f"#define {upper}_DECLARE; or anywhere after #define {upper}_LINKAGE static.",
            f"It tests itself as a program: cc -std=c99 -D{upper}_TEST -x c {name}.h",
        ]
        return "/* " + "\n * ".join(lines).replace("\n *  \n", "\n *\n") + "\n */"

    def interface(self) -> str:
        upper, rows = self.upper, self.rows
        x, out = rows.given, rows.gives
        return f"""#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>
#include <stdint.h>

#define {upper}_INPUTS {rows.columns}
#define {upper}_OUTPUTS {rows.outputs}

#ifndef {upper}_LINKAGE
#define {upper}_LINKAGE
#endif

#ifdef __cplusplus
extern "C" {{
#endif
/* A row. */
{upper}_LINKAGE void {self.name}(const {x} *x, {out} *out);
/* n rows, one after the other. */
{upper}_LINKAGE void {self.name}_batch(const {x} *x, {out} *out, size_t n);
{rows.declarations()}#ifdef __cplusplus
}}
#endif"""

    def arrays(self) -> list[str]:
        aligned = f"{self.upper}_ALIGNED"
        texts = [
            f"#if defined(__GNUC__)\n#define {aligned} __attribute__((aligned(64)))\n"
            f"#else\n#define {aligned}\n#endif"
        ]
        for i, network in enumerate(self.networks):
            size = network.numbers.size + _PAST_THE_END
            rows = "\n".join(network.numbers.lines())
            texts.append(
                f"static const {self.real} {self.name}_w{i}[{size}] {aligned} = {{\n{rows}\n}};"
            )
        return texts

    def functions(self) -> list[str]:
        """What the networks are made of, and they themselves."""
        name, upper = self.name, self.upper
        each = list(self.sigmas.calls.items())
        scalar_names, vector_names = self.scalars.named(name), self.vectors.named(name)
        own = {f"forward{i}": f"{name}_forward{i}" for i in range(len(self.bodies))}
        own |= {function: f"{name}_{function}" for function, _ in each}
        row_names = scalar_names | own | {"dense": f"{name}_row_dense"}
        lanes = {old: new.replace(name, f"{name}_v", 1) for old, new in own.items()}
        forward = "\n\n".join(_forward(i, body) for i, body in enumerate(self.bodies))
        by_one = "\n\n".join(_EACH.format(name=f, call=call) for f, call in each)
        by_row = "\n\n".join(_EACH_ROW.format(name=f, call=call) for f, call in each)
        scalar_text = chosen(self.scalars, forward + by_one)
        uses = " load_up_to store_up_to load store dense_row " + forward + by_one
        vector_text = chosen(self.vectors, uses if self.by_vectors else by_row + " dense_row")
        parts = [
            renamed(scalar_text, scalar_names),
            f"#if defined({upper}_VECTORS)",
            renamed(vector_text, vector_names),
            f"#define {name}_row_dense {vector_names['dense_row']}",
            renamed(by_row, vector_names | own | {"real": self.real}),
            "#else",
            f"#define {name}_row_dense {scalar_names['dense']}",
            renamed(by_one, scalar_names | own),
            "#endif",
            renamed(forward, row_names),
        ]
        if self.by_vectors:
            parts += [
                f"#if defined({upper}_VECTORS)",
                renamed(by_one, vector_names | lanes),
                renamed(forward, vector_names | lanes),
                "#endif",
            ]
        return parts

    def calls(self, prefix: str, x: str, f: str, after: str) -> str:
        """Every network's prediction, and what happens after each."""
        lines = []
        for i, network in enumerate(self.networks):
            which = self.bodies.index(network.body)
            lines.append(f"  {prefix}_forward{which}({self.name}_w{i}, {x}, {f});{after}")
        return "\n".join(lines)

    def predict(self) -> str:
        name, upper, rows = self.name, self.upper, self.rows
        head = f"{upper}_LINKAGE void {name}(const {rows.given} *x, {rows.gives} *out) {{\n"
        x, f = rows.network_input, rows.network_output
        lines = [f"  {self.real} in[{self.inputs}];\n  {name}_encode(x, in);"] * rows.encodes
        if rows.combines:
            lines.append(f"  {self.real} f[{self.K}];")
            lines.append(rows.begin("out"))
            lines.append(self.calls(name, x, f, f"\n  {name}_collect(f, out);" * rows.averages))
            lines.append(f"  {name}_finish({'f, ' * (not rows.averages)}out);")
        else:
            lines.append(self.calls(name, x, f, ""))
        return head + "\n".join(line for line in lines if line) + "\n}"

    def predict_batch(self) -> str:
        name, upper, rows = self.name, self.upper, self.rows
        head = (
            f"{upper}_LINKAGE void {name}_batch(const {rows.given} *x, {rows.gives} *out, size_t n)"
        )
        rest = (
            f"  for (; n > 0; n--, x += {rows.columns}, out += {rows.outputs}) {name}(x, out);\n}}"
        )
        if not self.by_vectors:
            return f"{head} {{\n{rest}"
        return f"""#if defined({upper}_VECTORS)
{self.together()}
#endif

{head} {{
#if defined({upper}_VECTORS)
  while (n >= {name}_v_FEW) {{
    const int rows = n < {upper}_V_LANES ? (int)n : {upper}_V_LANES;
    {name}_v_rows(x, out, rows);
    x += rows * {rows.columns};
    out += rows * {rows.outputs};
    n -= (size_t)rows;
  }}
#endif
{rest}"""

    def together(self) -> str:
        """Up to LANES rows side by side."""
        name, rows, real = self.name, self.rows, self.real
        lanes, vec, K = f"{self.upper}_V_LANES", f"{name}_v_vec", self.K
        if rows.encodes:
            read = f"""    {real} in[{self.inputs}];
    {name}_encode(x + r * {rows.columns}, in);
    for (int k = 0; k < {self.inputs}; k++) columns[k * {lanes} + r] = in[k];"""
        else:
            read = (
                f"    for (int k = 0; k < {self.inputs}; k++) columns[k * {lanes} + r] = "
                f"x[r * {rows.columns} + k];"
            )
        write = f"""  for (int k = 0; k < {K}; k++) {name}_v_store(columns + k * {lanes}, f[k]);
  for (int r = 0; r < rows; r++)"""
        of_row = f"  for (int k = 0; k < {K}; k++) one[k] = columns[k * {lanes} + r];"
        at = f"out + r * {rows.outputs}"
        if not rows.combines:
            direct = (
                f"\n    for (int k = 0; k < {K}; k++) "
                f"out[r * {rows.outputs} + k] = columns[k * {lanes} + r];"
            )
            after = "\n" + write + direct
            begin = end = ""
        else:
            finish = f"{name}_{'collect' if rows.averages else 'finish'}(one, {at});"
            after = f"\n{write} {{\n    {real} one[{K}];\n  {of_row}\n    {finish}\n  }}"
            begin = rows.begin("out", "rows")
            end = f"  for (int r = 0; r < rows; r++) {name}_finish({at});" * rows.averages
        return f"""/* Fewer rows are faster one by one. */
enum {{ {name}_v_FEW = {lanes} > 4 ? {lanes} / 4 : 1 }};

static void {name}_v_rows(const {rows.given} *x, {rows.gives} *out, int rows) {{
  {real} columns[{max(self.inputs, K)} * {lanes}];
  {vec} in_lanes[{self.inputs}], f[{K}];
  for (int r = 0; r < rows; r++) {{
{read}
  }}
  for (int r = rows; r < {lanes}; r++)
    for (int k = 0; k < {self.inputs}; k++) columns[k * {lanes} + r] = 0;
  for (int k = 0; k < {self.inputs}; k++) in_lanes[k] = {name}_v_load(columns + k * {lanes});
{begin}
{self.calls(name + "_v", "in_lanes", "f", after)}
{end}
}}"""


def _forward(i: int, body: str) -> str:
    return f"APART void forward{i}(const real *w, const vec *x, vec *f) {{\n{body}\n}}"


_EACH = """static void {name}(vec *h, int n) {{
  for (int i = 0; i < n; i++) {{
    const vec z = h[i];
    h[i] = {call};
  }}
}}"""
_EACH_ROW = """static void {name}(real *h, int n) {{
  for (int i = 0; i < n; i += LANES) {{
    const vec z = load_up_to(h + i, n - i);
    store_up_to(h + i, {call}, n - i);
  }}
}}"""
