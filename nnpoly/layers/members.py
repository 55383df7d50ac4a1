"""Layers of several members, side by side in the columns, that share all or some of their weights.

An array of k members with m features each is (n, k m). Its rows seen as (n k, m) are the members'
own, so that a product with weights that all share is one product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import _checks, activations, initializers
from ..backends import host
from ..initializers import OfData
from ..primitives import Array, Ops
from .base import INPUT, Layer, Mode, Out, Parameters, Stage, require_width


class MemberScale(Layer):
    """Make k members of the inputs: member i is r_i * x, with a factor for each feature.

    TabM (Gorishniy et al. 2024, arXiv:2410.24210) begins so: the r_i are what makes its members
    differ at the start.

    Parameters
    ----------
    features
        The width m.
    members
        Their number, k; the output width is k m.
    init
        Name or `nn.initializers` object for r: (k, m): "ones", "signs" (1 or -1), "normal" or any
        other that draws each entry alone.
    groups
        Widths of groups of columns side by side, such as those of one embedding each, whose columns
        share one draw a member. None: each column has its own.
    rates
        Factors of the learning rate and the weight decay of "r": see `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.Network([nn.MemberScale(3, 4, "signs", groups=[2, 1]), nn.Dense(12, 1)])
    >>> r = net.layers[0].r
    >>> r.shape, bool((r[:, 0] == r[:, 1]).all())
    ((4, 3), True)
    """

    features: int
    members: int
    init: Any = initializers.ones
    groups: Any = None
    rates: Any = ()

    def __post_init__(self) -> None:
        where = "MemberScale"
        features = _checks.integer(where, "features", self.features)
        self._set(
            features=features,
            members=_checks.integer(where, "members", self.members),
            init=initializers.get(self.init, where, matrix=False),
            groups=None if self.groups is None else _widths(where, self.groups, features),
        )
        self._check_rates()

    @property
    def input_width(self) -> int:
        return self.features

    def width(self, inputs: int) -> int:
        require_width(self, self.features, inputs)
        return self.members * self.features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"r": (self.members, self.features)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        widths = (1,) * self.features if self.groups is None else self.groups
        drawn = host.full((self.members, len(widths)), 0.0)
        self.init.fill(rng, drawn, "MemberScale: `init`")
        return {"r": host.repeated(drawn, widths)}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        made = x[:, None, :] * params["r"]
        post = ops.xp.reshape(made, (x.shape[0], self.width(self.features)))
        return Stage(x, post, post, self.activation)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        gradients = {"r": ops.members_scale_gradient(delta, stage.x, out)}
        if below is INPUT:
            return gradients, None
        return gradients, below.delta(ops, ops.members_scale_delta(delta, params["r"]))


class OfMembers(Layer):
    """A layer that takes k members of width m_in side by side, and gives k of width m."""

    inputs: int
    outputs: int
    members: int
    activation: Any = activations.identity

    def _check(self, rules: Mapping[str, Any]) -> None:
        """Store the arguments as they shall be; rules: for W and b, None being U[-a, a]."""
        where = type(self).__name__
        inputs = _checks.integer(where, "inputs", self.inputs)
        plain = initializers.Uniform(1.0 / math.sqrt(inputs))
        for name, rule in rules.items():
            rules = {**rules, name: initializers.get(plain if rule is None else rule, where, name)}
            if isinstance(rules[name], OfData):
                raise ValueError(
                    f"{where}: `{name}` must not look at data, got {rules[name]!r}. Use it for a "
                    "Dense layer."
                )
        self._set(
            inputs=inputs,
            outputs=_checks.integer(where, "outputs", self.outputs),
            members=_checks.integer(where, "members", self.members),
            activation=activations.get(self.activation, where),
            **rules,
        )

    @property
    def input_width(self) -> int:
        return self.members * self.inputs

    def width(self, inputs: int) -> int:
        require_width(self, self.input_width, inputs)
        return self.members * self.outputs

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        params = {name: host.full(shape, 0.0) for name, shape in self.shapes().items()}
        self._draw(rng, params)
        return params

    def fill(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        own = type(self).initial is OfMembers.initial  # unless a subclass begins otherwise
        (self._draw if own else super().fill)(rng, params)

    def _draw(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        """Write the parameters' start into arrays of the host."""
        raise NotImplementedError


class SharedDense(OfMembers):
    """A fully connected layer whose W all k members share: member i has factors and biases.

    Member i is sigma(s_i * (W (r_i * x_i)) + b_i), x_i being the i-th part of the columns. So k
    networks are one product of n k rows, and have few weights of their own: TabM (Gorishniy et al.
    2024, arXiv:2410.24210), after BatchEnsemble (Wen et al. 2020, arXiv:2002.06715).

    Parameters
    ----------
    inputs, outputs
        The widths m_in and m of one member. W has shape (m, m_in).
    members
        Their number, k: the layer takes (n, k m_in) and gives (n, k m).
    activation
        Name or `nn.activations` object.
    scaled
        True: r has shape (k, m_in), s has (k, m), both starting at 1, and b has (k, m). "after":
        without r, for a layer behind a `MemberScale`. False: without r and s, and b: (m,) is shared
        too, so that members differ by what comes in alone, as in TabM-mini.
    init, bias
        Names or `nn.initializers` objects, for W and for b, which is the same for all members at
        the start. None: U[-a, a] with a = 1 / sqrt(m_in).
    rates
        Factors of the learning rate and the weight decay of "r", "W", "s" and "b": see
        `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> chain = [
    ...     nn.MemberScale(5, 32, "signs"),
    ...     nn.SharedDense(5, 64, 32, "relu", scaled="after"),
    ...     nn.SharedDense(64, 64, 32, "relu"),
    ...     nn.MemberDense(64, 3, 32),
    ... ]
    >>> net = nn.Network(chain, "softmax")
    >>> net.members, net.outputs, net.w.size
    (32, 3, 21056)
    >>> net.scores([[0.0] * 5]).shape, net([[0.0] * 5]).shape
    ((1, 96), (1, 3))
    """

    scaled: bool | str = True
    init: Any = None
    bias: Any = None
    rates: Any = ()

    def __post_init__(self) -> None:
        if self.scaled != "after":
            if isinstance(self.scaled, str):
                raise ValueError(
                    f"SharedDense: `scaled` must be True, False or 'after', got {self.scaled!r}."
                )
            self._set(scaled=_checks.flag("SharedDense", "scaled", self.scaled))
        self._check({"init": self.init, "bias": self.bias})
        self._check_rates()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        k, m, m_in = self.members, self.outputs, self.inputs
        if not self.scaled:
            return {"W": (m, m_in), "b": (m,)}
        before = {} if self.scaled == "after" else {"r": (k, m_in)}
        return {**before, "W": (m, m_in), "s": (k, m), "b": (k, m)}

    def _draw(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        self.init.fill(rng, params["W"], "SharedDense: `init`")
        b = host.full((self.outputs, 1), 0.0)
        self.bias.fill(rng, b, "SharedDense: `bias`")
        params["b"][...] = b[:, 0]
        for name in params.keys() & {"r", "s"}:
            params[name][...] = 1.0

    def _rows(self, ops: Ops, x: Array, width: int) -> Array:
        """The rows of single members of x: (n, k m)."""
        return ops.xp.reshape(x, (x.shape[0] * self.members, width))

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        p, n, sigma = params, x.shape[0], self.activation
        scaled = x * _row(ops, p["r"]) if "r" in p else x
        rows = self._rows(ops, scaled, self.inputs)
        shape = n, self.width(x.shape[1])
        if not self.scaled:
            pre, post = ops.dense(rows, p["W"], p["b"], sigma, mode.keep_pre)
            pre = pre if pre is None else ops.xp.reshape(pre, shape)
            return Stage(x, pre, ops.xp.reshape(post, shape), sigma, (rows, None))
        _, product = ops.dense(rows, p["W"], None, activations.identity, False)
        product = ops.xp.reshape(product, shape)
        pre = product * _row(ops, p["s"]) + _row(ops, p["b"])
        return Stage(x, pre, ops.activate(pre, sigma), sigma, (rows, product))

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        xp, p, (rows, product) = ops.xp, params, stage.extra
        if not self.scaled:
            d_rows = self._rows(ops, delta, self.outputs)
            dW, db = ops.dense_gradients(d_rows, rows, out)
            gradients = {"W": dW, "b": db}
        else:
            ds, db = ops.scale_gradient(delta, product), ops.column_sums(delta)
            d_rows = self._rows(ops, delta * _row(ops, p["s"]), self.outputs)
            dW, _ = ops.dense_gradients(d_rows, rows, out, False)
            shape = p["s"].shape
            gradients = {"W": dW, "s": xp.reshape(ds, shape), "b": xp.reshape(db, shape)}
        if below is INPUT and "r" not in p:
            return gradients, None
        d_scaled = ops.dense_delta(d_rows, p["W"], rows, rows, activations.identity)
        dx = xp.reshape(d_scaled, stage.x.shape)
        if "r" in p:
            dr = xp.reshape(ops.scale_gradient(dx, stage.x), p["r"].shape)
            gradients = {"r": dr, **gradients}
            dx = dx * _row(ops, p["r"])
        return gradients, None if below is INPUT else below.delta(ops, dx)


class MemberDense(OfMembers):
    """A fully connected layer for each of k members: member i is sigma(W_i x_i + b_i).

    As a network's last layer it gives the scores of k members: see `nn.Network.members`.

    Parameters
    ----------
    inputs, outputs
        The widths m_in and m of one member.
    members
        Their number, k: the layer takes (n, k m_in) and gives (n, k m). W has shape (k, m, m_in)
        and b has (k, m).
    activation
        Name or `nn.activations` object.
    init, bias
        Names or `nn.initializers` objects, for each W_i and each b_i. None: U[-a, a] with
        a = 1 / sqrt(m_in).
    rates
        Factors of the learning rate and the weight decay of "W" and "b": see
        `Layer.parameter_rates`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.Network([nn.Dense(3, 8, "relu"), nn.MemberDense(2, 1, 4)])
    >>> net.layers[1].W.shape, net.members, net([[0.5, 1.0, 2.0]]).shape
    ((4, 1, 2), 4, (1, 1))
    """

    init: Any = None
    bias: Any = None
    rates: Any = ()

    def __post_init__(self) -> None:
        self._check({"init": self.init, "bias": self.bias})
        self._check_rates()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        k, m, m_in = self.members, self.outputs, self.inputs
        return {"W": (k, m, m_in), "b": (k, m)}

    def _draw(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        for W, b in zip(params["W"], params["b"], strict=True):
            self.init.fill(rng, W, "MemberDense: `init`")
            self.bias.fill(rng, b[:, None], "MemberDense: `bias`")

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        p, sigma = params, self.activation
        pre, post = ops.members_dense(x, p["W"], p["b"], sigma, mode.keep_pre)
        return Stage(x, pre, post, sigma)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        dW, db = ops.members_dense_gradients(delta, stage.x, self.members, out)
        gradients = {"W": dW, "b": db}
        if below is INPUT:
            return gradients, None
        return gradients, self.delta_below(ops, params, stage, delta, below)

    def delta_below(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage
    ) -> Array | None:
        of_below = below.pre, below.post, below.activation
        found: Array = ops.members_dense_delta(delta, params["W"], *of_below)
        return found

    def row_gradients(
        self, ops: Ops, params: Parameters, buffers: Parameters, stage: Stage, delta: Array
    ) -> dict[str, Array]:
        (k, m), n = params["b"].shape, delta.shape[0]
        d_rows, rows = (ops.xp.reshape(a, (n * k, a.shape[1] // k)) for a in (delta, stage.x))
        dW = ops.dense_row_gradients(d_rows, rows)
        return {
            "W": ops.xp.reshape(dW, (n, k, m, rows.shape[1])),
            "b": ops.xp.reshape(delta, (n, k, m)),
        }


def _row(ops: Ops, values: Array) -> Array:
    """Values of the members, (k, m), as those of the columns: (k m,)."""
    return ops.xp.reshape(values, (-1,))


def _widths(where: str, value: Any, features: int) -> tuple[int, ...]:
    """Return the widths of groups of columns, which all columns are in."""
    given = enumerate(_checks.several(where, "groups", value))
    widths = tuple(_checks.integer(where, f"groups[{i}]", width) for i, width in given)
    if sum(widths) != features:
        raise ValueError(
            f"{where}: `groups` must add up to `features`, {features}, got {value!r}, which is "
            f"{sum(widths)}."
        )
    return widths
