"""Certificates: rows with the outputs that they must give, and how far a consumer may be from them.

Every file that is written carries one, as JSON. Whoever reads the file computes `inputs` with it
and asks `Certificate.units` how large the worst error is: at most 1 says that every output is
within its bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .. import _checks, layers
from ..backends.info import __version__
from ..data.container import named, typed
from ..network import Network
from .bounds import ROUNDOFF, outputs_and_bounds
from .described import CodeCell, Column, Described, Label, NumberCell, Probabilities, QuantileCell

ROWS = 32
FORMAT = 1
UNKNOWN = "\N{REPLACEMENT CHARACTER} none of them"  # a text that no column of categories has
SEED = 20
_Number = float | None | str  # NaN is null, and an infinity a text


class Entry(TypedDict):
    """A certificate as JSON."""

    format: int
    version: str
    kind: str
    dtype: str
    matrix: bool
    columns: list[list[str]]
    inputs: list[list[_Number]]
    outputs: list[list[float]]
    bounds: list[list[float]]
    labels: list[Label] | None
    several: bool


@dataclass(frozen=True)
class Certificate:
    """What a model must give, whoever computes it.

    Attributes
    ----------
    kind
        The model's class, by name.
    dtype
        What the consumer computes in, whose rounding the bounds allow.
    columns, matrix
        As of `Described`.
    inputs
        A list a column, of n numbers (float32's; NaN is missing) or texts ("" is missing).
    outputs
        The numbers or probabilities by definition, in float64: (n, K).
    bounds
        Of the errors of each: (n, K).
    labels
        Of the K probabilities, or None for numbers.
    several
        Whether each label is yes or no by itself.
    version
        Nnpoly's.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange.certificate import Certificate
    >>> from nnpoly.exchange.describing import describe_model
    >>> net = nn.MLP([3, 16, 2], activation="tanh")
    >>> certificate = Certificate.of(describe_model(net))
    >>> x = certificate.x.astype("float32")
    >>> certificate.units(net(x)) <= 1.0, certificate.units(net(x) * 1.001) > 1.0
    (True, True)
    """

    kind: str
    dtype: str
    columns: tuple[Column, ...]
    matrix: bool
    inputs: tuple[tuple[Any, ...], ...]
    outputs: NDArray[np.float64]
    bounds: NDArray[np.float64]
    labels: tuple[Label, ...] | None
    several: bool = False
    version: str = __version__

    @classmethod
    def of(cls, described: Described, dtype: str | None = None, rows: int = ROWS) -> Certificate:
        """The certificate of a model, for a consumer that computes in `dtype`; None: its own.

        A network in half precision is one in float32 elsewhere.
        """
        own = described.dtype if described.dtype in ROUNDOFF else "float32"
        dtype = _checks.choice("Certificate", "dtype", own if dtype is None else dtype, ROUNDOFF)
        given = typical(described, rows)
        outputs, bounds = outputs_and_bounds(described, dtype, given)
        finite = np.isfinite(np.concatenate([outputs, bounds], axis=1)).all(axis=1).tolist()
        if not any(finite):
            raise ValueError(
                "Certificate: `model` must give finite numbers for some rows, got none for "
                f"{len(finite)}. Look at its parameters: net.w."
            )
        columns = [c if isinstance(c, list) else c.tolist() for c in given]
        kept = [[value for value, fits in zip(c, finite, strict=True) if fits] for c in columns]
        result = described.result
        labels, several = None, False
        if isinstance(result, Probabilities):
            labels, several = result.labels, result.several
        return cls(
            described.kind,
            dtype,
            described.columns,
            described.matrix,
            tuple(map(tuple, kept)),
            outputs[finite],
            bounds[finite],
            labels,
            several,
        )

    @property
    def x(self) -> NDArray[np.float64]:
        """The inputs of a model that reads a matrix: (n, m)."""
        return np.array(self.inputs, np.float64).T.copy()

    def units(self, outputs: Any) -> float:
        """The largest error of a consumer's outputs (n, K), in units of its bound.

        Infinity where one is NaN.

        Raises
        ------
        ValueError
            For outputs of another shape.
        """
        return largest_units(outputs, self.outputs, self.bounds)

    def wrong_labels(self, labels: Sequence[Any]) -> list[int]:
        """The rows whose predicted label is another one than it must be.

        Rows whose two likeliest classes the bounds do not tell apart may have either. Of models of
        several labels it is their row of 0 and 1.
        """
        if self.labels is None:
            return []
        if self.several:
            off = (self.outputs > 0.5) != (np.asarray(labels) > 0.5)
            return np.flatnonzero((off & (abs(self.outputs - 0.5) > self.bounds)).any(1)).tolist()
        best = (self.outputs - self.bounds).max(axis=1, keepdims=True)
        possible = self.outputs + self.bounds >= best
        return [
            i
            for i, (label, may) in enumerate(zip(labels, possible, strict=True))
            if not any(fits and label == own for fits, own in zip(may, self.labels, strict=True))
        ]

    # JSON

    def to_json(self) -> str:
        """The certificate as text."""
        entry: Entry = {
            "format": FORMAT,
            "version": self.version,
            "kind": self.kind,
            "dtype": self.dtype,
            "matrix": self.matrix,
            "columns": [list(column) for column in self.columns],
            "inputs": [list(map(_to_json, column)) for column in self.inputs],
            "outputs": self.outputs.tolist(),
            "bounds": self.bounds.tolist(),
            "labels": None if self.labels is None else list(self.labels),
            "several": self.several,
        }
        return json.dumps(entry, allow_nan=False)

    @classmethod
    def from_json(cls, path: Any, text: str | bytes) -> Certificate:
        """The certificate of a text; path names the file in errors.

        Raises
        ------
        ValueError
            For a text that is none.
        """
        with named(path):
            try:
                found = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"its certificate is no JSON: {error}") from error
        entry = typed(path, found, Entry)
        with named(path):
            return cls._of_entry(entry)

    @classmethod
    def _of_entry(cls, entry: Entry) -> Certificate:
        if entry["format"] != FORMAT:
            raise ValueError(f"its certificate has format {entry['format']}, not {FORMAT}")
        columns = tuple(_column(given) for given in entry["columns"])
        kinds = [column.kind for column in columns]
        outputs, bounds = (np.array(entry[name], np.float64) for name in ("outputs", "bounds"))
        labels = entry["labels"]
        if len(columns) != len(entry["inputs"]):
            raise ValueError("its certificate has not inputs for each column")
        inputs = tuple(
            tuple(_from_json(value, kind) for value in column)
            for column, kind in zip(entry["inputs"], kinds, strict=True)
        )
        lengths = {len(column) for column in inputs}
        fits = outputs.ndim == 2 and outputs.shape == bounds.shape and outputs.size > 0
        fits = fits and lengths == {len(outputs)} and bool((bounds >= 0).all())
        if not fits or (labels is not None and len(labels) != outputs.shape[1]):
            raise ValueError("its certificate's rows, outputs and bounds do not fit each other")
        if entry["dtype"] not in ROUNDOFF:
            raise ValueError(f"its certificate is for {entry['dtype']!r}, which is no float type")
        given = entry["kind"], entry["dtype"], columns, entry["matrix"], inputs, outputs, bounds
        named_labels = None if labels is None else tuple(labels)
        return cls(*given, named_labels, entry["several"], entry["version"])


def largest_units(outputs: Any, wanted: NDArray[Any], bounds: NDArray[Any]) -> float:
    """The largest error of outputs (n, K), in units of its bound; infinity where one is NaN."""
    found = np.asarray(outputs, np.float64)
    if found.shape != wanted.shape:
        raise ValueError(
            f"Certificate: `outputs` must have shape {wanted.shape}, got {found.shape}."
        )
    off = abs(found - wanted)
    units = np.where(off > 0.0, off / np.maximum(bounds, 5e-324), 0.0)
    return math.inf if np.isnan(off).any() else float(units.max())


def _column(given: list[str]) -> Column:
    if len(given) != 2 or given[1] not in ("number", "text"):
        raise ValueError(f"its certificate has a column {given!r}, which has no name and kind")
    return Column(given[0], "text" if given[1] == "text" else "number")


def _to_json(value: Any) -> _Number:
    if isinstance(value, str):
        return value
    return None if math.isnan(value) else float(value)


def _from_json(value: _Number, kind: str) -> Any:
    if (kind == "text") != isinstance(value, str):
        raise ValueError(f"its certificate has {value!r} in a column of {kind}s")
    return math.nan if value is None else value


# Rows


def typical(described: Described, rows: int = ROWS) -> list[Any]:
    """Rows to try a model with: mostly such as it was trained on, where that is known.

    rows: three at least. Returns columns, (rows,) each: float64 of numbers that float32 holds, or
    lists of texts.
    """
    rng = np.random.default_rng(SEED)
    if described.plain:
        x = _of_networks(described.networks[0], rows, rng)
        return list(_singles(x).T)
    found: list[Any] = []
    for j, column in enumerate(described.columns):
        if column.kind == "text":
            found.append(_texts(described, j, rows, rng))
        else:
            found.append(_singles(_numbers(described, j, rows, rng)))
    return found


def _singles(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers that float32 holds too."""
    return x.astype(np.float32).astype(np.float64)


def _spread(rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Numbers around 0: most as far as 1, some as far as 3, the last three 0, 10 and -10."""
    z = rng.standard_normal(rows)
    z[1::4] *= 3.0
    z[-3:] = [0.0, 10.0, -10.0]
    return z


def _of_networks(net: Network, rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Inputs of a network: (rows, m_0)."""
    x = np.stack([_spread(rows, rng) for _ in range(net.inputs)], axis=1)
    if isinstance(net.chain[0], layers.BatchNorm):  # it knows the inputs of its training
        mean, variance = (np.asarray(net.buffers[0][name], float) for name in ("mean", "variance"))
        x = x * np.sqrt(variance) + mean
    sizes = layers.input_categories(net.chain)
    for j, size in enumerate(sizes, net.inputs - len(sizes)):
        x[:, j] = rng.integers(size, size=rows)
    return x


def _numbers(
    described: Described, j: int, rows: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A column of numbers."""
    z, may_be_missing = _spread(rows, rng), True
    center, scale = 0.0, 1.0
    for i, cell in enumerate(described.cells):
        if cell.column != j:
            continue
        kinds = {given.kind for given in described.inputs if given.column == i}
        if isinstance(cell, QuantileCell):
            low, high = (q / (cell.factor or 1.0) for q in (cell.quantiles[0], cell.quantiles[-1]))
            center, scale = cell.center + (low + high) / 2.0, (high - low) / 4.0
        elif isinstance(cell, NumberCell) and "cell" in kinds:
            center, scale = cell.center, cell.scale
            may_be_missing = may_be_missing and not math.isnan(cell.fill)
        elif "number" in kinds:
            own = next(g for g in described.inputs if g.column == i and g.kind == "number")
            center, scale = own.center, 1.0 / own.factor if own.factor else 1.0
    x = np.clip(center + scale * z, -1e30, 1e30)
    if may_be_missing:
        x[rng.random(rows) < 0.1] = math.nan
        x[rows // 2] = math.nan  # of all columns in one row
    return x


def _texts(described: Described, j: int, rows: int, rng: np.random.Generator) -> list[str]:
    """A column of texts."""
    known = {
        text
        for cell in described.cells
        if isinstance(cell, CodeCell) and cell.column == j
        for text in cell.texts
    }
    some = [*sorted(known), "", UNKNOWN]
    found = [some[i] for i in rng.integers(len(some), size=rows).tolist()]
    found[rows // 2] = ""
    return found
