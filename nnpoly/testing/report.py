"""The parity report: every backend, dtype and primitive, and whole training runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backends import registry
from ..network import Network
from ..optimizers import Optimizer
from .comparison import LIMIT, REFERENCE, Subject, primitive_errors
from .parity import Finding, compare_runs
from .samples import inputs, networks, primitive_samples


@dataclass(frozen=True)
class Row:
    """A row of a parity report: the largest error of a subject, in units of its bound."""

    backend: str
    dtype: str
    subject: str
    units: float
    passed: bool
    detail: str


@dataclass(frozen=True)
class Report:
    """The result of `parity_report`."""

    rows: list[Row]

    @property
    def passed(self) -> bool:
        """True if every row is within its bound."""
        return all(row.passed for row in self.rows)

    def _repr_html_(self) -> str:
        from .. import notebooks  # here, since only notebooks need it

        heads = ["backend", "dtype", "subject", "error / bound", "", "where"]
        rows = [
            (r.backend, r.dtype, r.subject, r.units, "ok" if r.passed else "BREACH", r.detail)
            for r in self.rows
        ]
        breaches = sum(not row.passed for row in self.rows)
        return notebooks.table(f"{len(rows)} comparisons, {breaches} breaches", heads, rows)


def parity_report(
    backends: Sequence[str] | None = None,
    dtypes: Sequence[str] = ("float32", "float64"),
    steps: int = 10,
) -> Report:
    """Compare every backend, dtype and primitive, and whole training runs, with the definition.

    Parameters
    ----------
    backends
        Names; None for every backend that is available here.
    dtypes
        "float32" and "float64", or one of them.
    steps
        Steps of each training run.

    Returns
    -------
    Report
        With a row for each backend, dtype and subject; errors are in units of the bound.
    """
    steps = _checks.integer("parity_report", "steps", steps)
    dtypes = [_checks.choice("parity_report", "dtypes", d, ("float32", "float64")) for d in dtypes]
    names = registry.available() if backends is None else list(backends)
    rows: list[Row] = []
    for name in names:
        for dtype in dtypes:
            subject = Subject(registry.get(name), dtype)
            with subject.backend.widened(dtype):
                rows += [_primitive_row(subject, *sample) for sample in primitive_samples()]
            rows += [_training_row(subject, *sample, steps) for sample in networks()]
    return Report(rows)


def _primitive_row(subject: Subject, primitive: str, samples: Sequence[Any]) -> Row:
    found = [error for args in samples for error in primitive_errors(subject, primitive, args)]
    worst = max(found, key=lambda error: error.units)
    units, detail = worst.units / LIMIT, f"{worst.array}{worst.detail}"
    return Row(subject.backend.name, subject.dtype, primitive, units, units <= 1.0, detail)


def _training_row(
    subject: Subject, title: str, net: Network, optimizer: Optimizer, steps: int
) -> Row:
    rng = np.random.default_rng(0)
    X, y = inputs(rng, net, 32), rng.integers(0, net.widths[-1], 32)
    target = rng.normal(size=(32, net.widths[-1])) if net.output == "identity" else y
    net = net.to(REFERENCE, dtype=subject.dtype)
    worst: Finding | None = None
    for finding in compare_runs(subject, net, X, target, steps, optimizer, None):
        if worst is None or (finding.units > worst.units and worst.passed):
            worst = finding
    assert worst is not None  # steps >= 1
    return Row(
        subject.backend.name, subject.dtype, f"train {title}", worst.units, worst.passed, str(worst)
    )
