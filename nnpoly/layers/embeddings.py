"""Layers that embed columns of a table: each becomes several features."""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import Any

from .. import _checks
from ..backends import host
from ..primitives import Array, Ops
from .base import INPUT, Layer, Mode, Out, Parameters, Stage, require_width


class OfColumns(Layer):
    """A layer that makes several features of some of its columns, and passes the others on."""

    inputs: int

    @property
    @abstractmethod
    def spread(self) -> tuple[int, int]:
        """How many columns are embedded, d, and how many features each becomes, k."""
        raise NotImplementedError

    @property
    def input_width(self) -> int:
        return self.inputs

    def width(self, inputs: int) -> int:
        require_width(self, self.inputs, inputs)
        d, k = self.spread
        return inputs + d * (k - 1)


class Periodic(OfColumns):
    """Embed numbers by waves whose frequencies are learnt; each column has waves of its own.

    A small move of a number may then matter, as it does to trees. Column i becomes

    - "pbld": x_i, then W_i cos(2 pi w_i x_i + b_i) + c_i (Holzmueller et al. 2024,
      arXiv:2407.04491);
    - "plr": relu(W_i [cos(2 pi w_i x_i), sin(2 pi w_i x_i)] + c_i) (Gorishniy et al. 2022,
      arXiv:2203.05556).

    The columns' features stand side by side, and the columns that are not embedded follow them. An
    `Embedding` of those best comes after this layer: the numbers, as the network's inputs, then
    need no derivative.

    Parameters
    ----------
    inputs
        The width m_in.
    columns
        How many columns, d, are embedded: the first ones. None: all.
    frequencies
        F, of each column. w has shape (d, F), drawn from N(0, sigma^2), and so has the phase b,
        which "plr" lacks, from U[-pi, pi].
    features
        How many each column becomes, k; "pbld" counts x_i itself. W has shape (d, k - 1, F), and c
        has (d, k - 1); for "plr" they are (d, k, 2 F) and (d, k). Both are drawn from U[-a, a],
        where 1 / a^2 is the number of waves, F or 2 F.
    sigma
        The size of the frequencies, to which results are the most sensitive: 0.1 suits numbers of
        variance 1.
    kind
        "pbld" or "plr".
    rates
        Factors of the learning rate and the weight decay of "w", "b", "W" and "c": see
        `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> waves = nn.Periodic(5, columns=3)
    >>> waves.width(5), waves.shapes()
    (14, {'w': (3, 16), 'b': (3, 16), 'W': (3, 3, 16), 'c': (3, 3)})
    """

    inputs: int
    columns: int | None = None
    frequencies: int = 16
    features: int = 4
    sigma: float = 0.1
    kind: str = "pbld"
    rates: Any = ()

    def __post_init__(self) -> None:
        where = "Periodic"
        inputs = _checks.integer(where, "inputs", self.inputs)
        columns = inputs if self.columns is None else self.columns
        kind = _checks.choice(where, "kind", self.kind, ("pbld", "plr"))
        self._set(
            inputs=inputs,
            columns=_columns_of(where, "columns", columns, inputs),
            frequencies=_checks.integer(where, "frequencies", self.frequencies),
            features=_checks.integer(where, "features", self.features, 2 if kind == "pbld" else 1),
            sigma=_checks.positive(where, "sigma", self.sigma),
            kind=kind,
        )
        self._check_rates()

    @property
    def spread(self) -> tuple[int, int]:
        assert self.columns is not None  # since the layer is made
        return self.columns, self.features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        (d, k), F = self.spread, self.frequencies
        if self.kind == "plr":
            return {"w": (d, F), "W": (d, k, 2 * F), "c": (d, k)}
        return {"w": (d, F), "b": (d, F), "W": (d, k - 1, F), "c": (d, k - 1)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        shapes = self.shapes()
        a = 1.0 / math.sqrt(shapes["W"][2])
        start = {name: rng.uniform(-a, a, shape) for name, shape in shapes.items()}
        start["w"] = rng.normal(0.0, self.sigma, shapes["w"])
        if "b" in shapes:
            start["b"] = rng.uniform(-math.pi, math.pi, shapes["b"])
        return start

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        p = params
        post = ops.periodic(x, p["w"], p.get("b"), p["W"], p["c"])
        return Stage(x, post, post, self.activation)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        given = delta, stage.x, stage.post, params["w"], params.get("b"), params["W"]
        gradients = dict(zip(params, ops.periodic_gradients(*given, out), strict=True))
        if below is INPUT:
            return gradients, None
        return gradients, below.delta(ops, ops.periodic_delta(*given))


class PiecewiseLinear(OfColumns):
    """Embed numbers by lines with a bend at each edge of the column's bins.

    Column i becomes w_i x_i + c_i + V_i e(x_i): a line, and a part whose slope differs from bin to
    bin, which starts at 0. Of the bin j from t_(j-1) to t_j entry j of e is
    (x - t_(j-1)) / (t_j - t_(j-1)), kept within [0, 1], but that the first may be below 0, and the
    last above 1. Gorishniy et al. 2022, arXiv:2203.05556; with the line, 2024, arXiv:2410.24210.

    The columns' features stand side by side, and the columns that are not embedded follow them.

    Parameters
    ----------
    inputs
        The width m_in.
    bins
        The rising edges of each of the first columns, d lists: see `of_quantiles`.
    features
        How many each column becomes, k. w and c have shape (d, k), drawn from U[-a, a] with
        a = 1 / sqrt(k); V has (d, k, T), where T is the most bins that a column has.
    rates
        Factors of the learning rate and the weight decay of "w", "c" and "V": see
        `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> lines = nn.PiecewiseLinear(3, bins=[[0, 1, 5], [-2, 2]], features=4)
    >>> lines.width(3), lines.shapes()
    (9, {'w': (2, 4), 'c': (2, 4), 'V': (2, 4, 2)})
    """

    inputs: int
    bins: Any
    features: int = 16
    rates: Any = ()

    def __post_init__(self) -> None:
        where = "PiecewiseLinear"
        inputs = _checks.integer(where, "inputs", self.inputs)
        bins = _checks.several(where, "bins", self.bins)
        _columns_of(where, "len(bins)", len(bins), inputs)
        self._set(
            inputs=inputs,
            bins=tuple(_edges(where, f"bins[{i}]", edges) for i, edges in enumerate(bins)),
            features=_checks.integer(where, "features", self.features),
        )
        self._check_rates()

    @classmethod
    def of_quantiles(
        cls, X: Any, columns: int | None = None, bins: int = 48, **arguments: Any
    ) -> PiecewiseLinear:
        """Return the layer for data X: (n, m_in), whose bins hold equally many rows each.

        Parameters
        ----------
        X
            Numbers on the host, such as the training data.
        columns
            How many are embedded: the first ones. None: all.
        bins
            Of each column; equal edges are one.
        **arguments
            Others of `PiecewiseLinear`.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.PiecewiseLinear.of_quantiles([[0.0], [1.0], [4.0], [9.0], [9.0]], bins=4).bins
        ((0.0, 1.0, 4.0, 9.0),)
        """
        where = "PiecewiseLinear.of_quantiles"
        table = host.asarray(X)
        if table.ndim != 2 or table.dtype.kind not in "biuf" or not table.size:
            raise ValueError(
                f"{where}: `X` must be numbers (n, m_in), got {table.dtype} {table.shape}."
            )
        if not host.all_finite(table):
            raise ValueError(f"{where}: `X` must be finite, got NaN or infinity. Fill them first.")
        inputs = table.shape[1]
        d = _columns_of(where, "columns", inputs if columns is None else columns, inputs)
        edges = host.quantiles(table[:, :d], _checks.integer(where, "bins", bins) + 1)
        for i, column in enumerate(edges):
            if len(column) < 2:
                raise ValueError(
                    f"{where}: column {i} of `X` must have two values at least, got "
                    f"{column[0]:g} alone. Leave it out."
                )
        return cls(inputs, edges, **arguments)

    @property
    def spread(self) -> tuple[int, int]:
        return len(self.bins), self.features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        (d, k), most = self.spread, max(map(len, self.bins)) - 1
        return {"w": (d, k), "c": (d, k), "V": (d, k, most)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        shapes, a = self.shapes(), 1.0 / math.sqrt(self.features)
        lines = {name: rng.uniform(-a, a, shapes[name]) for name in "wc"}
        return {**lines, "V": host.full(shapes["V"], 0.0)}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        post = ops.piecewise(x, params["w"], params["c"], params["V"], self.bins)
        return Stage(x, post, post, self.activation)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        found = ops.piecewise_gradients(delta, stage.x, self.bins, out)
        gradients = dict(zip(params, found, strict=True))
        if below is INPUT:
            return gradients, None
        dx = ops.piecewise_delta(delta, stage.x, params["w"], params["V"], self.bins)
        return gradients, below.delta(ops, dx)


class Embedding(OfColumns):
    """Embed categories: each becomes a row of numbers that is learnt.

    The last columns hold categories' numbers, 0 to size - 1. Column j becomes the row of that
    number of its own table. The columns before are passed on, and the rows follow them.

    A number that is no category (2.5, -1, a size, NaN) gives a row of NaN, and so a prediction of
    NaN: encode unknown and missing values as a category of their own.

    Parameters
    ----------
    inputs
        The width m_in.
    sizes
        The number of categories of each of the last columns.
    features
        How many each column becomes, k. E has shape (sum of sizes, k), a table above the next,
        drawn from N(0, 1).
    rates
        Factors of the learning rate and the weight decay of "E": see `Layer.parameter_rates`.

    Notes
    -----
    A number has no derivative with respect to a category: that is 0.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.Network([nn.Embedding(3, sizes=[2, 30], features=4), nn.Dense(9, 1)])
    >>> net.layers[0].E.shape
    (32, 4)
    >>> net([[0.5, 1, 29]]).shape
    (1, 1)
    """

    inputs: int
    sizes: Any
    features: int = 8
    rates: Any = ()

    def __post_init__(self) -> None:
        where = "Embedding"
        inputs = _checks.integer(where, "inputs", self.inputs)
        sizes = _checks.several(where, "sizes", self.sizes)
        _columns_of(where, "len(sizes)", len(sizes), inputs)
        named = enumerate(sizes)
        self._set(
            inputs=inputs,
            sizes=tuple(_checks.integer(where, f"sizes[{j}]", size) for j, size in named),
            features=_checks.integer(where, "features", self.features),
        )
        self._check_rates()

    @property
    def spread(self) -> tuple[int, int]:
        return len(self.sizes), self.features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"E": (sum(self.sizes), self.features)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        return {name: rng.standard_normal(shape) for name, shape in self.shapes().items()}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        post = ops.embed(x, params["E"], self.sizes)
        return Stage(x, post, post, self.activation)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        gradients = {"E": ops.embed_gradient(delta, stage.x, self.sizes, out)}
        if below is INPUT:
            return gradients, None
        return gradients, below.delta(ops, ops.embed_delta(delta, stage.x, len(self.sizes)))


def _edges(where: str, name: str, value: Any) -> tuple[float, ...]:
    """Return a column's edges, which must rise."""
    given = _checks.several(where, name, value)
    edges = tuple(_checks.number(where, f"{name}[{j}]", edge) for j, edge in enumerate(given))
    if len(edges) < 2 or any(a >= b for a, b in pairwise(edges)):
        raise ValueError(f"{where}: `{name}` must be two rising edges or more, got {value!r}.")
    return edges


def _columns_of(where: str, name: str, value: Any, inputs: int) -> int:
    """Return a number of columns, of which there are so many."""
    columns = _checks.integer(where, name, value)
    if columns > inputs:
        raise ValueError(
            f"{where}: `{name}` must be at most `inputs`, {inputs}, got {columns}: there are no "
            "more columns."
        )
    return columns
