"""The definitions of layers for tables: scales, parametric activations, embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from .arrays import Array, Namespace, device_of
from .table import Elementwise, Ops, primitive

TURN = 2.0 * math.pi


@primitive(donates=("out",))
def scale_gradient(
    ops: Ops, delta: Array, x: Array, out: Mapping[str, Array] | None = None
) -> Array:
    """Gradient of x * s: ds = column sums of delta * x.

    delta, x: (n, m). Returns ds: (m,); an implementation may write it into out["s"].
    """
    return ops.xp.sum(delta * x, axis=0)


@primitive()
def blend(ops: Ops, x: Array, a: Array, activation: Elementwise) -> Array:
    """Parametric activation: (1 - a) x + a sigma(x). x: (n, m); a: (m,). Returns (n, m)."""
    post: Array = ops.activate(x, activation)
    return (1.0 - a) * x + a * post


@primitive()
def blend_delta(ops: Ops, delta: Array, x: Array, a: Array, activation: Elementwise) -> Array:
    """Derivative of a parametric activation by x: delta (1 - a + a sigma'(x)).

    delta, x: (n, m); a: (m,). Returns (n, m).
    """
    slope = activation.slope(ops, x, ops.activate(x, activation))
    return delta * ((1.0 - a) + a * slope)


@primitive(donates=("out",))
def blend_gradient(
    ops: Ops,
    delta: Array,
    x: Array,
    activation: Elementwise,
    out: Mapping[str, Array] | None = None,
) -> Array:
    """Gradient of a parametric activation: da = column sums of delta (sigma(x) - x).

    delta, x: (n, m). Returns da: (m,); an implementation may write it into out["a"].
    """
    return ops.xp.sum(delta * (ops.activate(x, activation) - x), axis=0)


# Embeddings: the arrays inside are (d, n, ...), the matrices of d columns one after the other.


def _columns(x: Array, d: int) -> Array:
    """The first d columns of x: (n, m_in). Returns (d, n, 1)."""
    return x[:, :d].T[:, :, None]


def _side_by_side(ops: Ops, made: Array, x: Array) -> Array:
    """The columns' features (d, n, k) as the rows of a result, before the other columns of x."""
    xp, (d, n, k) = ops.xp, made.shape
    embedded = xp.reshape(xp.permute_dims(made, (1, 0, 2)), (n, d * k))
    return xp.concat([embedded, x[:, d:]], axis=1)


def _by_columns(ops: Ops, rows: Array, d: int, k: int) -> Array:
    """The reverse: k features of each of d columns, of rows (n, d k + ...). Returns (d, n, k)."""
    xp = ops.xp
    embedded = xp.reshape(rows[:, : d * k], (rows.shape[0], d, k))
    return xp.permute_dims(embedded, (1, 0, 2))


def features_of(outputs: int, inputs: int, d: int) -> int:
    """How many features each of d columns becomes, where so many inputs become so many outputs."""
    return (outputs - inputs) // d + 1


# Waves


@primitive()
def periodic(ops: Ops, x: Array, w: Array, b: Array | None, W: Array, c: Array) -> Array:
    """Each of the first d columns x_i as k features; the columns after them as they are.

    With a phase b they are x_i and W_i cos(2 pi w_i x_i + b_i) + c_i. Without, relu(W_i [cos(2 pi
    w_i x_i), sin(2 pi w_i x_i)] + c_i).

    x: (n, m_in); w, b: (d, F); W: (d, k - 1, F) and c: (d, k - 1), or without b (d, k, 2 F) and
    (d, k). Returns (n, d k + m_in - d).
    """
    xp, columns = ops.xp, _columns(x, w.shape[0])
    cosines, sines = _waves(ops, columns, w, b)
    if b is None:
        made = xp.concat([cosines, sines], axis=2) @ xp.matrix_transpose(W) + c[:, None, :]
        made = xp.where(made <= 0, xp.zeros_like(made), made)
    else:
        made = cosines @ xp.matrix_transpose(W) + c[:, None, :]
        made = xp.concat([columns, made], axis=2)
    return _side_by_side(ops, made, x)


@primitive(donates=("out",))
def periodic_gradients(
    ops: Ops,
    delta: Array,
    x: Array,
    post: Array,
    w: Array,
    b: Array | None,
    W: Array,
    out: Mapping[str, Array] | None = None,
) -> tuple[Array, ...]:
    """Gradients of `periodic`: dw, db, dW and dc; without b dw, dW and dc.

    delta, post: (n, d k + m_in - d), post being read without b alone; the others are as there. An
    implementation may write them into out["w"], out["b"], out["W"] and out["c"].
    """
    xp, d = ops.xp, w.shape[0]
    columns = _columns(x, d)
    cosines, sines = _waves(ops, columns, w, b)
    d_made = _made(ops, delta, post, b, W)
    waves = cosines if b is not None else xp.concat([cosines, sines], axis=2)
    dW, dc = xp.matrix_transpose(d_made) @ waves, xp.sum(d_made, axis=1)
    d_angle = _d_angle(d_made @ W, cosines, sines, b)
    dw = TURN * xp.sum(d_angle * columns, axis=1)
    return (dw, dW, dc) if b is None else (dw, xp.sum(d_angle, axis=1), dW, dc)


@primitive()
def periodic_delta(
    ops: Ops, delta: Array, x: Array, post: Array, w: Array, b: Array | None, W: Array
) -> Array:
    """Derivative of `periodic` by x: (n, m_in). The arguments are as in `periodic_gradients`."""
    xp, d = ops.xp, w.shape[0]
    cosines, sines = _waves(ops, _columns(x, d), w, b)
    d_angle = _d_angle(_made(ops, delta, post, b, W) @ W, cosines, sines, b)
    dx = TURN * xp.sum(d_angle * w[:, None, :], axis=2).T
    k = W.shape[1] + (b is not None)
    if b is not None:
        dx = dx + _by_columns(ops, delta, d, k)[:, :, 0].T
    return xp.concat([dx, delta[:, d * k :]], axis=1)


def _waves(ops: Ops, columns: Array, w: Array, b: Array | None) -> tuple[Array, Array]:
    """The cosines and sines of 2 pi w x + b. columns: (d, n, 1). Returns (d, n, F) each."""
    angles = TURN * (columns * w[:, None, :])
    if b is not None:
        angles = angles + b[:, None, :]
    return ops.xp.cos(angles), ops.xp.sin(angles)


def _made(ops: Ops, delta: Array, post: Array, b: Array | None, W: Array) -> Array:
    """The derivative with respect to W waves + c: (d, n, W.shape[1])."""
    d, k, _ = W.shape
    if b is not None:
        return _by_columns(ops, delta, d, k + 1)[:, :, 1:]
    embedded, passed = _by_columns(ops, delta, d, k), _by_columns(ops, post, d, k) > 0
    return ops.xp.where(passed, embedded, ops.xp.zeros_like(embedded))


def _d_angle(d_waves: Array, cosines: Array, sines: Array, b: Array | None) -> Array:
    """The derivative with respect to the angles, from that with respect to the waves."""
    if b is not None:
        return -d_waves * sines
    F = cosines.shape[2]
    return d_waves[:, :, F:] * cosines - d_waves[:, :, :F] * sines


# Categories


def is_category(xp: Namespace, number: Array, size: int) -> Array:
    """For each number whether it is one of a category, 0 to size - 1."""
    return (number >= 0) & (number < size) & (number == xp.floor(number))


@primitive()
def embed(ops: Ops, x: Array, E: Array, sizes: Sequence[int]) -> Array:
    """The last columns as rows of tables, after the columns before; NaN for no category.

    x: (n, m_in), with 0 to sizes[j] - 1 in the last columns; E: (sum of sizes, k), a table above
    the next. Returns (n, m_in - d + d k), where d = len(sizes).
    """
    xp, before, start = ops.xp, x.shape[1] - len(sizes), 0
    parts = [x[:, :before]]
    for j, size in enumerate(sizes, before):
        number = x[:, j]
        known = is_category(xp, number, size)
        row = xp.astype(xp.where(known, number, xp.zeros_like(number)), xp.int32)
        rows = xp.take(E[start : start + size, :], row, axis=0)
        parts.append(xp.where(known[:, None], rows, xp.full_like(rows, math.nan)))
        start += size
    return xp.concat(parts, axis=1)


@primitive(donates=("out",))
def embed_gradient(
    ops: Ops, delta: Array, x: Array, sizes: Sequence[int], out: Mapping[str, Array] | None = None
) -> Array:
    """Gradient of `embed`: row c of a table's dE is the sum of delta's rows whose category is c.

    delta: (n, m_in - d + d k); x: (n, m_in). Returns dE: (sum of sizes, k). An implementation adds
    the rows in their order, and may write into out["E"].
    """
    xp, before = ops.xp, x.shape[1] - len(sizes)
    k = features_of(delta.shape[1], x.shape[1], len(sizes))
    tables = []
    for j, size in enumerate(sizes):
        categories = xp.arange(size, dtype=x.dtype, device=device_of(x))
        hits = xp.astype(x[:, before + j][:, None] == categories[None, :], delta.dtype)
        first = before + j * k
        tables.append(hits.T @ delta[:, first : first + k])
    return xp.concat(tables, axis=0)


@primitive()
def embed_delta(ops: Ops, delta: Array, x: Array, columns: int) -> Array:
    """Derivative of `embed` by x: that of the columns before as it is, and 0 for the categories.

    delta: (n, m_in - columns + columns k); x: (n, m_in). Returns (n, m_in).
    """
    before = x.shape[1] - columns
    return ops.xp.concat([delta[:, :before], ops.xp.zeros_like(x[:, before:])], axis=1)


# Segments of lines


@primitive()
def piecewise(
    ops: Ops,
    x: Array,
    w: Array,
    c: Array,
    V: Array,
    bins: Sequence[Sequence[float]],
) -> Array:
    """Each of the first d columns x_i as w_i x_i + c_i + V_i e(x_i); those after as they are.

    e has an entry for each bin of the column, (x - low) / (high - low), kept within [0, 1]; the
    first bin's may be below 0, and the last one's above 1. Columns of fewer bins have zeros after.

    x: (n, m_in); w, c: (d, k); V: (d, k, T), where T is the most bins of a column; bins: the edges
    of each column. Returns (n, d k + m_in - d).
    """
    xp, columns = ops.xp, _columns(x, w.shape[0])
    entries, _ = _entries(ops, columns, bins)
    made = columns * w[:, None, :] + c[:, None, :] + entries @ xp.matrix_transpose(V)
    return _side_by_side(ops, made, x)


@primitive(donates=("out",))
def piecewise_gradients(
    ops: Ops,
    delta: Array,
    x: Array,
    bins: Sequence[Sequence[float]],
    out: Mapping[str, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of `piecewise`: dw, dc and dV.

    delta: (n, d k + m_in - d); x: (n, m_in). An implementation may write them into out["w"],
    out["c"] and out["V"].
    """
    xp, d = ops.xp, len(bins)
    columns = _columns(x, d)
    entries, _ = _entries(ops, columns, bins)
    made = _by_columns(ops, delta, d, features_of(delta.shape[1], x.shape[1], d))
    dw, dc = xp.sum(made * columns, axis=1), xp.sum(made, axis=1)
    return dw, dc, xp.matrix_transpose(made) @ entries


@primitive()
def piecewise_delta(
    ops: Ops, delta: Array, x: Array, w: Array, V: Array, bins: Sequence[Sequence[float]]
) -> Array:
    """Derivative of `piecewise` by x: (n, m_in). The arguments are as there."""
    xp, d = ops.xp, len(bins)
    _, slopes = _entries(ops, _columns(x, d), bins)
    made = _by_columns(ops, delta, d, w.shape[1])
    dx = xp.sum(made * w[:, None, :], axis=2) + xp.sum((made @ V) * slopes, axis=2)
    return xp.concat([dx.T, delta[:, d * w.shape[1] :]], axis=1)


def _entries(ops: Ops, columns: Array, bins: Sequence[Sequence[float]]) -> tuple[Array, Array]:
    """The entries of columns (d, n, 1) in their bins, and their slopes: (d, n, T) each."""
    xp, most = ops.xp, max(map(len, bins)) - 1

    def padded(rows: list[list[float]]) -> Array:
        filled = [[row + [0.0] * (most - len(row))] for row in rows]
        return xp.asarray(filled, dtype=columns.dtype, device=device_of(columns))

    counts = [len(edges) - 2 for edges in bins]
    low = padded([list(edges[:-1]) for edges in bins])
    rise = padded([[1.0 / (b - a) for a, b in pairwise(edges)] for edges in bins])
    least = padded([[-math.inf] + [0.0] * count for count in counts])
    largest = padded([[1.0] * count + [math.inf] for count in counts])
    entries = (columns - low) * rise
    inside = (entries > least) & (entries < largest)
    entries = xp.where(entries < least, least, entries)
    entries = xp.where(entries > largest, largest, entries)
    return entries, xp.where(inside, rise, xp.zeros_like(entries))
