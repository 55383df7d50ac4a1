"""A certificate in C: the rows, outputs and bounds, and a main program that tests them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .c_tables import Rows, literal, quoted
from .certificate import Certificate

SHOWN = "outputs"  # the argument that has the program print all outputs


def tests(certificate: Certificate, rows: Rows) -> str:
    """The part of a program that is its own test: a main, where NAME_TEST is defined.

    It returns 0 where every output of every row, computed alone and together, is within its bound.
    """
    name, upper = rows.name, rows.upper
    n, columns, K = len(certificate.outputs), rows.columns, rows.outputs
    texts = [j for j, column in enumerate(certificate.columns) if column.kind == "text"]
    numbers = [[0.0] * n if j in texts else given for j, given in enumerate(certificate.inputs)]
    arrays = [
        _array(name, "x", columns, zip(*numbers, strict=True)),
        _array(name, "out", K, certificate.outputs.tolist()),
        _array(name, "bounds", K, certificate.bounds.tolist()),
        *(
            f"static const char *const {name}_test_text{j}[] = "
            f"{{{', '.join(map(quoted, certificate.inputs[j]))}}};"
            for j in texts
        ),
    ]
    codes = "".join(f"\n    x[i][{j}] = {name}_code({j}, {name}_test_text{j}[i]);" for j in texts)
    declared = "\n".join(arrays)
    return f"""#ifdef {upper}_TEST
#include <stdio.h>

/* Rows, their outputs by definition in double precision, and the bounds of errors in {
        certificate.dtype
    }. */
{declared}

/* The largest error of the outputs, in units of its bound; NaN is infinitely wrong. */
static double {name}_test_units({rows.gives} (*out)[{K}]) {{
  double worst = 0;
  for (int i = 0; i < {n}; i++) {{
    for (int k = 0; k < {K}; k++) {{
      const double off = (double)out[i][k] - {name}_test_out[i][k];
      const double bound = {name}_test_bounds[i][k], size = off < 0 ? -off : off;
      const double units = size <= 0 ? 0 : bound > 0 && size == size ? size / bound : 1e300;
      if (units > worst) worst = units;
    }}
  }}
  return worst;
}}

int main(int argc, char **argv) {{
  static {rows.given} x[{n}][{columns}];
  static {rows.gives} out[{n}][{K}], together[{n}][{K}];
  double alone, all;
  (void)argv;
  for (int i = 0; i < {n}; i++) {{
    for (int j = 0; j < {columns}; j++) x[i][j] = ({rows.given}){name}_test_x[i][j];{codes}
    {name}(x[i], out[i]);
  }}
  {name}_batch(x[0], together[0], {n});
  alone = {name}_test_units(out);
  all = {name}_test_units(together);
  if (argc > 1) {{ /* "{SHOWN}": all of them, and nothing else */
    for (int i = 0; i < {n}; i++)
      for (int k = 0; k < {K}; k++) printf("%.17g\\n", (double)out[i][k]);
  }} else {{
    printf("{name}: {n} rows, largest error %.2g of its bound alone, %.2g together\\n", alone, all);
  }}
  return !(alone <= 1 && all <= 1);
}}
#endif /* {upper}_TEST */"""


def _array(name: str, what: str, width: int, rows: Iterable[Sequence[Any]]) -> str:
    lines = ["{" + ", ".join(literal(value, 64) for value in row) + "}," for row in rows]
    text = "\n".join(lines).replace("NAN", f"{name.upper()}_NAN")
    return f"static const double {name}_test_{what}[][{width}] = {{\n{text}\n}};"
