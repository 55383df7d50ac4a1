"""Cases of the primitives of layers for tables, and the scales of their errors (see `cases`)."""

from __future__ import annotations

import math

import numpy as np
from case_table import Arguments, cases, exact
from dense_cases import slope_scale, value_scale

from nnpoly import activations

SHAPES = [(1, 3), (7, 1), (31, 17), (3, 65)]  # n, m
BLENDED = (activations.silu, activations.elu, activations.gelu, activations.tanh, activations.relu)


def matrices(rng, n: int, m: int, *names: str) -> Arguments:
    return {name: rng.standard_normal((n, m)) for name in names}


def scale_gradient_scale(results, delta, x, out=None):
    return np.sum(np.abs(delta * x), axis=0)


@cases("scale_gradient", scale_gradient_scale)
def _scale_gradient(rng):
    for n, m in SHAPES:
        given = matrices(rng, n, m, "delta", "x")
        yield f"{n}x{m}", n, given
        yield f"{n}x{m}-out", n, given | {"out": {"s": np.ones(m)}}


def blend_scale(results, x, a, activation):
    return (1.0 + 2.0 * np.abs(a)) * (np.abs(x) + value_scale(activation, x, activation(x)))


def by_activation(rng, *names: str):
    for n, m in SHAPES:
        for sigma in BLENDED:
            given = matrices(rng, n, m, *names)
            yield f"{sigma}-{n}x{m}", n, given | {"a": rng.normal(1.0, 0.5, m)}, sigma


@cases("blend", blend_scale)
def _blend(rng):
    for name, _, given, sigma in by_activation(rng, "x"):
        yield name, 1, given | {"activation": sigma}


def blend_delta_scale(results, delta, x, a, activation):
    slope = slope_scale(activation, x, activation(x))
    return np.abs(delta) * (1.0 + np.abs(a)) * (1.0 + slope)


@cases("blend_delta", blend_delta_scale)
def _blend_delta(rng):
    for name, _, given, sigma in by_activation(rng, "delta", "x"):
        yield name, 1, given | {"activation": sigma}


def blend_gradient_scale(results, delta, x, activation, out=None):
    size = np.abs(x) + value_scale(activation, x, activation(x))
    return np.sum(np.abs(delta) * size, axis=0)


@cases("blend_gradient", blend_gradient_scale)
def _blend_gradient(rng):
    for name, n, given, sigma in by_activation(rng, "delta", "x"):
        a = given.pop("a")
        given |= {"activation": sigma}
        yield name, n, given
        yield f"{name}-out", n, given | {"out": {"a": a}}


# Waves. n, m_in, d, F, k: some with columns that are not embedded, and a row alone.

WAVES = [(1, 1, 1, 1, 2), (5, 4, 3, 2, 3), (31, 6, 6, 16, 4), (17, 7, 2, 5, 9)]


def wave_arguments(rng, n: int, m_in: int, d: int, F: int, k: int, has_phase: bool) -> Arguments:
    waves, made = (F, k - 1) if has_phase else (2 * F, k)
    return {
        "x": rng.standard_normal((n, m_in)),
        "w": 0.5 * rng.standard_normal((d, F)),
        "b": rng.uniform(-math.pi, math.pi, (d, F)) if has_phase else None,
        "W": rng.standard_normal((d, made, waves)) / math.sqrt(waves),
        "c": rng.standard_normal((d, made)),
    }


def angle_sizes(x, w, b):
    """How far the rounding of the angles moves the waves, beside that of themselves: (d, n, F)."""
    sizes = 2.0 * math.pi * np.abs(x[:, : len(w)].T[:, :, None] * w[:, None, :])
    return 1.0 + sizes + (0.0 if b is None else np.abs(b[:, None, :]))


def side_by_side(embedded, rest):
    """The features (d, n, k) of the columns, then the columns that are not embedded."""
    d, n, k = embedded.shape
    return np.concatenate([embedded.transpose(1, 0, 2).reshape(n, d * k), rest], axis=1)


def periodic_scale(results, x, w, b, W, c):
    sizes, d = angle_sizes(x, w, b), len(w)
    sizes = sizes if b is not None else np.concatenate([sizes, sizes], axis=2)
    made = sizes @ np.abs(W).transpose(0, 2, 1) + np.abs(c)[:, None, :]
    if b is not None:
        made = np.concatenate([np.abs(x[:, :d].T)[:, :, None], made], axis=2)
    return side_by_side(made, np.abs(x[:, d:]))


@cases("periodic", periodic_scale)
def _periodic(rng):
    for shape in WAVES:
        for kind in ("pbld", "plr"):
            yield f"{kind}-{shape}", 2 * shape[3], wave_arguments(rng, *shape, kind == "pbld")


def wave_deltas(rng):
    """Yield arguments of the derivatives, with an `out` for the gradients."""
    for n, m_in, d, F, k in WAVES:
        for kind in ("pbld", "plr"):
            given = wave_arguments(rng, n, m_in, d, F, k, kind == "pbld")
            c, width = given.pop("c"), d * k + m_in - d
            above = matrices(rng, n, width, "delta", "post")
            names = [name for name in "wbW" if given[name] is not None]
            out = {name: np.ones_like(given[name]) for name in names} | {"c": c}
            ordered = {key: (above | given)[key] for key in ("delta", "x", "post", "w", "b", "W")}
            yield f"{kind}-{(n, m_in, d, F, k)}", max(n, 2 * F), ordered, out


def d_sizes(delta, x, post, w, b, W):
    """The sizes of the derivatives with respect to W waves + c, and to the angles."""
    d, skipped = len(w), 0 if b is None else 1
    k = W.shape[1] + skipped
    passed = np.abs(delta) * (1.0 if b is not None else post > 0)
    made = passed[:, : d * k].reshape(len(x), d, k).transpose(1, 0, 2)[:, :, skipped:]
    of_waves, sizes = made @ np.abs(W), angle_sizes(x, w, b)
    if b is None:
        F = w.shape[1]
        of_waves = of_waves[:, :, :F] + of_waves[:, :, F:]
    return made, of_waves * sizes, sizes


def periodic_gradients_scale(results, delta, x, post, w, b, W, out=None):
    made, of_angles, sizes = d_sizes(delta, x, post, w, b, W)
    waves = sizes if b is not None else np.concatenate([sizes, sizes], axis=2)
    dw = 2.0 * math.pi * np.sum(of_angles * np.abs(x[:, : len(w)].T)[:, :, None], axis=1)
    db = [] if b is None else [np.sum(of_angles, axis=1)]
    return [dw, *db, made.transpose(0, 2, 1) @ waves, np.sum(made, axis=1)]


@cases("periodic_gradients", periodic_gradients_scale)
def _periodic_gradients(rng):
    for name, terms, given, out in wave_deltas(rng):
        yield name, terms, given
        yield f"{name}-out", terms, given | {"out": out}


def periodic_delta_scale(results, delta, x, post, w, b, W):
    _, of_angles, _ = d_sizes(delta, x, post, w, b, W)
    d, rest = len(w), x.shape[1] - len(w)
    dx = 2.0 * math.pi * np.sum(of_angles * np.abs(w)[:, None, :], axis=2).T
    width = delta.shape[1] - rest
    embedded = np.abs(delta[:, :width]).reshape(len(x), d, width // d)
    dx += 0.0 if b is None else embedded[:, :, 0]
    return np.concatenate([dx, np.abs(delta[:, delta.shape[1] - rest :])], axis=1)


@cases("periodic_delta", periodic_delta_scale)
def _periodic_delta(rng):
    for name, terms, given, _ in wave_deltas(rng):
        yield name, terms, given


# Categories: n, columns before, sizes, k. A table's every row may have met no sample, or several.

TABLES = [(1, 0, (1,), 1), (7, 2, (3, 2), 4), (31, 1, (40,), 5), (40, 0, (2, 9, 5), 8)]


def categories(rng, n: int, before: int, sizes: tuple[int, ...]):
    numbers = [1.0 * rng.integers(0, size, n) for size in sizes]
    return np.column_stack([rng.standard_normal((n, before)), *numbers])


@cases("embed", exact)
def _embed(rng):
    for n, before, sizes, k in TABLES:
        x, E = categories(rng, n, before, sizes), rng.standard_normal((sum(sizes), k))
        yield f"{n}-{sizes}", 1, {"x": x, "E": E, "sizes": sizes}


def embed_gradient_scale(results, delta, x, sizes, out=None):
    before, found = x.shape[1] - len(sizes), []
    k = (delta.shape[1] - before) // len(sizes)
    for j, size in enumerate(sizes):
        hits = np.eye(size)[x[:, before + j].astype(int)]
        found.append(hits.T @ np.abs(delta[:, before + j * k : before + (j + 1) * k]))
    return np.concatenate(found)


@cases("embed_gradient", embed_gradient_scale)
def _embed_gradient(rng):
    for n, before, sizes, k in TABLES:
        delta = rng.standard_normal((n, before + len(sizes) * k))
        given = {"delta": delta, "x": categories(rng, n, before, sizes), "sizes": sizes}
        yield f"{n}-{sizes}", n, given
        yield f"{n}-{sizes}-out", n, given | {"out": {"E": np.ones((sum(sizes), k))}}


@cases("embed_delta", exact)
def _embed_delta(rng):
    for n, before, sizes, k in TABLES:
        delta = rng.standard_normal((n, before + len(sizes) * k))
        x = categories(rng, n, before, sizes)
        yield f"{n}-{sizes}", 1, {"delta": delta, "x": x, "columns": len(sizes)}


# Lines with bends: n, columns after, features k, bins.

LINES = [
    (1, 0, 1, ((0.0, 1.0),)),
    (31, 2, 4, ((-1.0, -0.25, 0.5, 2.0), (-1.5, 1.0))),
    (17, 0, 9, ((-2.0, 0.0, 0.125), (-1.0, -0.5, 0.0, 1.0, 1.5), (0.25, 0.5, 1.0))),
]


def line_arguments(rng, n: int, after: int, k: int, bins) -> Arguments:
    d, most = len(bins), max(map(len, bins)) - 1
    return {
        "delta": rng.standard_normal((n, d * k + after)),
        "x": rng.standard_normal((n, d + after)),
        "w": rng.standard_normal((d, k)),
        "c": rng.standard_normal((d, k)),
        "V": rng.standard_normal((d, k, most)),
        "bins": bins,
    }


def line_cases(rng, *names: str):
    for n, after, k, bins in LINES:
        given = line_arguments(rng, n, after, k, bins)
        yield f"{n}-{k}", n, {name: given[name] for name in names}, given


def entry_sizes(x, bins):
    """The sizes of the entries before they are bounded, and of their slopes: (d, n, T)."""
    sizes = np.zeros((2, len(bins), len(x), max(map(len, bins)) - 1))
    for i, edges in enumerate(bins):
        low, high = np.array(edges[:-1]), np.array(edges[1:])
        wide = 1.0 / (high - low)
        moved = (np.abs(x[:, i, None]) + np.abs(low)) * wide
        sizes[:, i, :, : len(low)] = moved, np.broadcast_to(wide, moved.shape)
    return sizes


def d_lines(delta, x, bins):
    """The sizes of the derivatives with respect to the columns' features: (d, n, k)."""
    d = len(bins)
    embedded = np.abs(delta[:, : delta.shape[1] - (x.shape[1] - d)])
    return embedded.reshape(len(x), d, embedded.shape[1] // d).transpose(1, 0, 2)


def piecewise_scale(results, x, w, c, V, bins):
    d, columns = len(bins), np.abs(x[:, : len(bins)].T)[:, :, None]
    made = entry_sizes(x, bins)[0] @ np.abs(V).transpose(0, 2, 1)
    made += columns * np.abs(w)[:, None, :] + np.abs(c)[:, None, :]
    return side_by_side(made, np.abs(x[:, d:]))


@cases("piecewise", piecewise_scale)
def _piecewise(rng):
    for name, _, given, _ in line_cases(rng, "x", "w", "c", "V", "bins"):
        yield name, 6, given


def piecewise_gradients_scale(results, delta, x, bins, out=None):
    made, columns = d_lines(delta, x, bins), np.abs(x[:, : len(bins)].T)[:, :, None]
    dV = made.transpose(0, 2, 1) @ entry_sizes(x, bins)[0]
    return [np.sum(made * columns, axis=1), np.sum(made, axis=1), dV]


@cases("piecewise_gradients", piecewise_gradients_scale)
def _piecewise_gradients(rng):
    for name, n, given, others in line_cases(rng, "delta", "x", "bins"):
        yield name, n, given
        yield f"{name}-out", n, given | {"out": {key: others[key] for key in "wcV"}}


def piecewise_delta_scale(results, delta, x, w, V, bins):
    made, d = d_lines(delta, x, bins), len(bins)
    bent = np.sum((made @ np.abs(V)) * entry_sizes(x, bins)[1], axis=2)
    dx = (np.sum(made * np.abs(w)[:, None, :], axis=2) + bent).T
    return np.concatenate([dx, np.abs(delta[:, delta.shape[1] - (x.shape[1] - d) :])], axis=1)


@cases("piecewise_delta", piecewise_delta_scale)
def _piecewise_delta(rng):
    for name, _, given, _ in line_cases(rng, "delta", "x", "w", "V", "bins"):
        yield name, 40, given
