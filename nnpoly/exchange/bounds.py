"""How far a consumer's outputs may be from the definition: running error bounds, layer by layer.

Every array of a forward pass has beside it a bound of the error that an entry may have, if each
operation of a consumer is rounded to nearest with the unit roundoff u of its type, and sums are in
any order (Higham 2002, "Accuracy and stability of numerical algorithms", sections 3.1 and 3.3).
What is assumed of a consumer's functions is `FUNCTIONS`: generous, so that a bound is a promise
about formulas and weights, not about a library's last bits. The bounds cover the rounding of the
definition itself, which is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import activations, layers
from ..backends.ensembles import Averaged, Input
from ..layers import INFERENCE, Layer
from ..network import Network
from ..primitives.tabular import TURN
from .described import (
    REFERENCE,
    Cell,
    CodeCell,
    Described,
    NumberCell,
    Probabilities,
    combined,
    encoded,
)
from .quantiles import by_quantiles

Numbers: TypeAlias = NDArray[np.float64]
Parts: TypeAlias = Mapping[str, Any]

FUNCTIONS = 16  # units u that exp, tanh, erf, log, sin, cos and division by sums may be off
ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
LEAST = {"float32": 2.0**-126, "float64": 2.0**-1022}  # below, numbers may be flushed to 0
EXACT = (activations.Identity, activations.ReLU)


class Known(NamedTuple):
    """What is known of an activation.

    Attributes
    ----------
    curvature
        The largest |sigma''|; 0 where sigma' is monotone on either side of 0.
    own, of_input
        The size of what sigma is computed from, beside its own: a number, and a share of |x|.
    functions
        Units u that it may be off, of its size.
    """

    curvature: float = 0.0
    own: float = 0.0
    of_input: float = 0.0
    functions: int = FUNCTIONS


KNOWN: dict[type, Known] = {
    activations.Linear: Known(functions=1),
    activations.LeakyReLU: Known(functions=1),
    activations.Exp: Known(),
    activations.ELU: Known(own=1.0),  # times its a
    activations.SELU: Known(own=1.76),
    activations.Sigmoid: Known(0.0963, 1.0),
    activations.Tanh: Known(0.77, 1.0),
    activations.Softplus: Known(0.25, 1.0),
    activations.SiLU: Known(0.5001, of_input=1.0),
    activations.Mish: Known(0.6443, of_input=1.0),
    activations.GELU: Known(0.798, of_input=1.0),
    activations.GELUTanh: Known(0.798, of_input=1.0),
}


class Rounding(NamedTuple):
    """What a consumer rounds to, and the definition beside it."""

    u: float
    least: float

    @classmethod
    def of(cls, dtype: str) -> Rounding:
        """Of a floating type's name."""
        return cls(ROUNDOFF[dtype] + ROUNDOFF["float64"], LEAST[dtype])

    def gamma(self, k: int) -> float:
        """The relative error of a sum of k rounded terms, in units of the sum of their sizes."""
        return k * self.u / (1.0 - k * self.u)


def outputs_and_bounds(
    described: Described, dtype: str, given: Sequence[Any]
) -> tuple[Numbers, Numbers]:
    """The outputs by definition, and the bounds of their errors: (n, outputs) each, float64.

    Parameters
    ----------
    described
        The model.
    dtype
        What a consumer computes in: "float32" or "float64". What it makes of the columns before the
        networks, and of their outputs after, is float64's, rounded once.
    given
        The columns, as of `Described.evaluate`, of numbers that the dtype holds.

    Raises
    ------
    ValueError
        For a layer or an activation whose bound is not known, such as one of the user's own.
    """
    with np.errstate(all="ignore"):
        rounding = Rounding.of(dtype)
        x, e = _inputs(described, given, rounding)
        values, errors = [], []
        for net in described.networks:
            f, error = _of_network(net.to(REFERENCE, dtype="float64"), x, e, rounding)
            values.append(f)
            errors.append(error)
        found = combined(np, described, values)
        return found, _combined_errors(described, values, errors, found, rounding)


# Around the networks


def _inputs(described: Described, given: Sequence[Any], r: Rounding) -> tuple[Numbers, Numbers]:
    """The networks' inputs and their errors: (n, width)."""
    if described.plain:
        x = np.stack([np.asarray(column, np.float64) for column in given], axis=1)
        return x, np.zeros_like(x)
    cells = [described.cell_of(cell, given) for cell in described.cells]
    off = [_cell_error(cell, given) for cell in described.cells]
    x = encoded(np, described, cells)
    columns = zip(described.inputs, x.T, strict=True)
    e = [_input_error(each, z, cells[each.column], off[each.column]) for each, z in columns]
    exact = [isinstance(described.cells[each.column], CodeCell) for each in described.inputs]
    whole = np.asarray(exact) & np.asarray([each.kind == "cell" for each in described.inputs])
    return x, np.stack(e, axis=1) + np.where(whole, 0.0, r.u * abs(x))


def _cell_error(cell: Cell, given: Sequence[Any]) -> Numbers:
    """The errors of a cell, computed in float64: (n,)."""
    u = 2.0 * ROUNDOFF["float64"]
    if isinstance(cell, CodeCell):
        return np.zeros(len(given[cell.column]))
    x = np.asarray(given[cell.column], np.float64)
    if isinstance(cell, NumberCell):
        x = np.where(np.isnan(x), cell.fill, x)
        size = 3.0 * u * (abs(x) + abs(cell.center)) / cell.scale
        return np.nan_to_num(np.where(cell.center or cell.scale != 1.0, size, 0.0))
    # The map rises, so that it is between its values at both ends.
    off = 4.0 * u * (abs(x) + abs(cell.center)) + u / max(cell.factor, 1e-300)
    scale = cell.center, cell.factor, cell.quantiles
    middle, low, high = (by_quantiles(np, z, *scale) for z in (x, x - off, x + off))
    density = np.exp(-0.5 * middle * middle) / math.sqrt(2.0 * math.pi)
    moved: Numbers = np.nan_to_num(np.maximum(high - middle, middle - low) + 8.0 * u / density)
    return moved


def _input_error(each: Input, z: Numbers, cell: Numbers, off: Numbers) -> Numbers:
    """The errors of an input, computed in float64, of a cell with errors: (n,)."""
    if each.kind == "cell":
        return off
    u = 2.0 * ROUNDOFF["float64"]
    at = cell if each.kind == "number" else np.ones_like(cell)
    size = each.factor * (off + 4.0 * u * (np.nan_to_num(abs(at)) + abs(each.center)))
    return size + 8.0 * u * abs(z)


def _combined_errors(
    described: Described,
    values: Sequence[Numbers],
    errors: Sequence[Numbers],
    found: Numbers,
    r: Rounding,
) -> Numbers:
    """The errors of `combined`: (n, outputs)."""
    averaged, result, u = described.averaged, described.result, 2.0 * ROUNDOFF["float64"]
    if averaged is not None:
        errors = [_of_member(averaged, *pair, u) for pair in zip(values, errors, strict=True)]
    total = sum(errors[1:], errors[0]) / len(errors)
    if isinstance(result, Probabilities) and result.single:
        total = np.concatenate([total, total], axis=1)
    rounded = r.u if averaged is not None or total.shape != errors[0].shape else 0.0
    off: Numbers = total + rounded * abs(found) + r.least
    return off


def _of_member(averaged: Averaged, f: Numbers, e: Numbers, u: float) -> Numbers:
    """The errors of what `Averaged` makes of one network's output."""
    if averaged.scales is None:
        rows = f.sum(axis=1, keepdims=True)
        p, off = f / rows, e.sum(axis=1, keepdims=True)
        shares: Numbers = (e + p * off) / np.maximum(rows - off, 0.5) + (f.shape[1] + 4) * u * p
        return shares
    scales, shifts = (np.asarray([part]) for part in (averaged.scales, averaged.shifts))
    moved: Numbers = abs(scales) * (e + 4.0 * u * abs(f)) + 4.0 * u * abs(shifts)
    return moved


# Networks


def _of_network(net: Network, x: Numbers, e: Numbers, r: Rounding) -> tuple[Numbers, Numbers]:
    """A network's output (n, K) and its errors."""
    x, e = _chain(net.chain, net.views(net.w), net.buffers, x, e, r)
    n, members = len(x), net.members
    if members > 1:
        x, e = (a.reshape(n * members, -1) for a in (x, e))
    if net.output == "softmax":
        x, e = _softmax(x, e, r)
    else:
        named = activations.Exp() if net.output == "exp" else activations.BY_NAME[net.output]
        x, e = _activated(named, x, e, r)
    if members > 1:
        x, e = (a.reshape(n, members, -1) for a in (x, e))
        e = e.mean(axis=1) + r.gamma(members + 1) * abs(x).mean(axis=1)
        x = x.mean(axis=1)
    return x, e


def _softmax(z: Numbers, e: Numbers, r: Rounding) -> tuple[Numbers, Numbers]:
    """Softmax of the scores: each is a share of a sum that its score's error moves too."""
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    p /= p.sum(axis=1, keepdims=True)
    off = e + r.u * (abs(z) + e)
    most = np.expm1(np.minimum(2.0 * off.max(axis=1, keepdims=True), 700.0))
    relative = most + (FUNCTIONS * r.u + r.gamma(z.shape[1] + 2)) * (1.0 + most)
    return p, np.minimum(p * relative, 1.0) + r.least


def _chain(
    chain: Sequence[Layer],
    params: Sequence[Parts],
    buffers: Sequence[Parts],
    x: Numbers,
    e: Numbers,
    r: Rounding,
) -> tuple[Numbers, Numbers]:
    """What layers give, and its errors."""
    for layer, part, kept in zip(chain, params, buffers, strict=True):
        rule = _RULES.get(type(layer))
        if rule is None:
            raise ValueError(
                f"Certificate: the layers must be nnpoly's own, got {layer!r}, of which no bound "
                "is known."
            )
        x, e = rule(layer, part, kept, x, e + r.least, r)
    return x, e


def _activated(sigma: Any, x: Numbers, e: Numbers, r: Rounding) -> tuple[Numbers, Numbers]:
    """Sigma(x), and its errors: by the steepest slope that is near, and its own rounding."""
    ops = REFERENCE.ops
    y = sigma.value(ops, x)
    kind = type(sigma)
    if kind in EXACT:
        return y, e
    if kind is activations.Step:
        return y, np.where(abs(x) <= e, 1.0, 0.0)
    if kind not in KNOWN:
        raise ValueError(
            f"Certificate: the activations must be nnpoly's own, got {sigma!r}, of which no bound "
            "is known."
        )
    known = KNOWN[kind]
    ends = (abs(sigma.slope(ops, t, sigma.value(ops, t))) for t in (x - e, x + e))
    slope = np.maximum(*ends) + 2.0 * known.curvature * e
    size = abs(y) + known.own * abs(getattr(sigma, "a", 1.0)) + known.of_input * abs(x)
    return y, slope * e + known.functions * r.u * size


# Layers: (layer, parameters, buffers, x, its errors, rounding) to the layer's output and errors


def _product(
    x: Numbers, e: Numbers, W: Numbers, b: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    """X W^T + b. x: (..., n, m_in); W: (..., m, m_in)."""
    Wt = np.swapaxes(W, -1, -2)
    y = x @ Wt + b
    rounded = r.gamma(W.shape[-1] + 3) * ((abs(x) + e) @ abs(Wt) + abs(b))
    return y, e @ abs(Wt) + rounded


def _dense(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    return _activated(layer.activation, *_product(x, e, p["W"] * layer.factor, p["b"], r), r)


def _dropout(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    return x, e


def _scaled(x: Numbers, e: Numbers, s: Numbers, r: Rounding) -> tuple[Numbers, Numbers]:
    """X s."""
    return x * s, abs(s) * (e + r.u * (abs(x) + e))


def _scale(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    return _scaled(x, e, p["s"], r)


def _blend(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    a = p["a"]
    y, off = _activated(layer.activation, x, e, r)
    size = abs(1.0 - a) * abs(x) + abs(a) * abs(y)
    return (1.0 - a) * x + a * y, abs(1.0 - a) * e + abs(a) * off + 4.0 * r.u * size


def _layer_norm(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    K = x.shape[1]

    def mean(a: Numbers) -> Any:
        return a.mean(axis=1, keepdims=True)

    d = x - mean(x)
    off = e + mean(e) + r.gamma(K + 2) * (abs(x) + mean(abs(x)))
    variance = mean(d * d) + layer.eps
    moved = mean(2.0 * abs(d) * off + off * off) + r.gamma(K + 3) * mean((abs(d) + off) ** 2)
    least = np.maximum(variance - moved, layer.eps)
    root = 1.0 / np.sqrt(variance)
    of_root = 0.5 * moved * least**-1.5 + FUNCTIONS * r.u * root
    return _affine(layer, p, d, off, root, of_root, r)


def _affine(
    layer: Any, p: Parts, d: Numbers, off: Numbers, root: Any, of_root: Any, r: Rounding
) -> tuple[Numbers, Numbers]:
    """Gain d root + shift, activated; off, of_root: the errors of d and root."""
    gain, shift = p["gain"], p["shift"]
    y, moved = d * root * gain + shift, abs(gain) * (off * (root + of_root) + abs(d) * of_root)
    rounded = 6.0 * r.u * (abs(gain) * (abs(d) + off) * root + abs(shift))
    return _activated(layer.activation, y, moved + rounded, r)


def _batch_norm(
    layer: Any, p: Parts, kept: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    mean, root = kept["mean"], 1.0 / np.sqrt(kept["variance"] + layer.eps)
    # Also where gain root and shift - mean gain root have been made numbers of their own.
    off = e + 6.0 * r.u * (abs(x) + e + abs(mean))
    return _affine(layer, p, x - mean, off, root, FUNCTIONS * r.u * root, r)


def _residual(
    layer: Any, p: Parts, kept: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    inside, buffers = layer.parts(p), layer.parts(kept)
    y, off = _chain(layer.layers, inside, buffers, x, e, r)
    total = x + y
    return _activated(layer.activation, total, e + off + r.u * (abs(total) + e + off), r)


def _periodic(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    d, _k = layer.spread
    each, off = x.T[:d, :, None], e.T[:d, :, None]
    w, b = TURN * p["w"][:, None, :], p["b"][:, None, :] if "b" in p else 0.0
    angles = each * w + b
    moved = off * abs(w) + 6.0 * r.u * (abs(w) * (abs(each) + off) + abs(b))
    noise = np.minimum(moved + FUNCTIONS * r.u, 2.0)
    waves = np.cos(angles)
    if "b" not in p:
        waves, noise = np.concatenate([waves, np.sin(angles)], 2), np.concatenate([noise] * 2, 2)
    y, error = _product(waves, noise, p["W"], p["c"][:, None, :], r)
    if "b" in p:
        y, error = np.concatenate([each, y], 2), np.concatenate([off, error], 2)
    else:
        y, error = _activated(activations.relu, y, error, r)
    return _side_by_side(y, x, d), _side_by_side(error, e, d)


def _side_by_side(made: Numbers, x: Numbers, d: int) -> Numbers:
    """The columns' features (d, n, k) as rows, before the other columns of x."""
    return np.concatenate([made.transpose(1, 0, 2).reshape(len(x), -1), x[:, d:]], axis=1)


def _piecewise(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    d, _k = layer.spread
    V, made, errors = p["V"], [], []
    for i, edges in enumerate(map(np.asarray, layer.bins)):
        low, rise = edges[:-1], 1.0 / np.diff(edges)
        least = np.where(np.arange(len(low)) == 0, -np.inf, 0.0)
        most = np.where(np.arange(len(low)) == len(low) - 1, np.inf, 1.0)
        each, off = x[:, i, None], e[:, i, None]
        raw = (each - low) * rise
        noise = rise * (off + 2.0 * r.u * (abs(each) + off + abs(low))) + 4.0 * r.u * abs(raw)
        near = (raw > least - noise) & (raw < most + noise)
        entries, noise = np.clip(raw, least, most), np.where(near, noise, 0.0)
        own = V[i][:, : len(low)]
        y, error = _product(entries, noise, own, p["c"][i], r)
        w = p["w"][i]
        made.append(y + each * w)
        errors.append(error + abs(w) * (off + 4.0 * r.u * (abs(each) + off)) + 2.0 * r.u * abs(y))
    return _side_by_side(np.stack(made), x, d), _side_by_side(np.stack(errors), e, d)


def _embedding(
    layer: Any, p: Parts, kept: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    y = layer.forward(REFERENCE.ops, p, kept, x, INFERENCE).post
    before = x.shape[1] - len(layer.sizes)
    return y, np.concatenate([e[:, :before], np.zeros((len(x), y.shape[1] - before))], axis=1)


def _member_scale(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    y, error = _scaled(x[:, None, :], e[:, None, :], p["r"], r)
    return y.reshape(len(x), -1), error.reshape(len(x), -1)


def _shared_dense(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    n, k = len(x), layer.members
    x, e = (a.reshape(n, k, -1) for a in (x, e))
    if "r" in p:
        x, e = _scaled(x, e, p["r"], r)
    b = p["b"] if not layer.scaled else np.zeros(layer.outputs)
    y, error = _product(x, e, p["W"], b, r)
    if layer.scaled:
        y, error = _scaled(y, error, p["s"], r)
        y = y + p["b"]
        error = error + r.u * (abs(y) + error)
    return _activated(layer.activation, y.reshape(n, -1), error.reshape(n, -1), r)


def _member_dense(
    layer: Any, p: Parts, _: Parts, x: Numbers, e: Numbers, r: Rounding
) -> tuple[Numbers, Numbers]:
    n, k = len(x), layer.members
    x, e = (a.reshape(n, k, -1).transpose(1, 0, 2) for a in (x, e))
    pair = _product(x, e, p["W"], p["b"][:, None, :], r)
    y, error = (a.transpose(1, 0, 2).reshape(n, -1) for a in pair)
    return _activated(layer.activation, y, error, r)


_RULES: dict[type, Callable[..., tuple[Numbers, Numbers]]] = {
    layers.Dense: _dense,
    layers.Dropout: _dropout,
    layers.Scale: _scale,
    layers.Blend: _blend,
    layers.LayerNorm: _layer_norm,
    layers.BatchNorm: _batch_norm,
    layers.Residual: _residual,
    layers.Periodic: _periodic,
    layers.PiecewiseLinear: _piecewise,
    layers.Embedding: _embedding,
    layers.MemberScale: _member_scale,
    layers.SharedDense: _shared_dense,
    layers.MemberDense: _member_dense,
}
