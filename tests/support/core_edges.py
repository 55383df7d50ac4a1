"""Further cases for the C core: shapes on every edge of its tiles, blocks, chunks and vectors."""

from __future__ import annotations

from collections.abc import Iterator

import cases
import member_cases
import numpy as np
import tabular_cases
from cases import Case
from norms import norm_arguments, of_columns

from nnpoly import activations
from nnpoly.losses import Focal

# Vectors have 2 to 16 lanes, register tiles up to 14 rows and 2 vectors; K is cut at 384 and 192,
# N at 384. At (130, 260, 130) two threads take part.
NEAR_TILES = [1, 2, 3, 5, 6, 7, 8, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 64, 65]
PRODUCTS = [
    *((n, 5, 3) for n in NEAR_TILES),
    *((3, K, 5) for K in NEAR_TILES),
    *((3, 5, m) for m in NEAR_TILES),
    *((5, K, 7) for K in (191, 192, 193, 383, 384, 385, 400, 769)),
    *((5, 7, m) for m in (383, 384, 385, 401, 769)),
    *((0, 5, 3), (29, 31, 37), (61, 127, 67), (130, 260, 130), (257, 64, 257), (64, 400, 401)),
]
COUNTS = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 4095, 4096, 4097, 32768, 40001]
SCORES = [
    *((n, 10) for n in (1, 2, 7, 8, 15, 16, 17, 63, 64, 65, 129)),
    *((3, K) for K in (1, 2, 7, 8, 9, 15, 16, 17, 33, 1000)),
    *((700, 61), (4097, 9)),
]
# Rows are taken LANES at a time, their sums have 16 lanes, and columns go by 4 vectors.
NORMS = [
    *((n, 5) for n in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 1000)),
    *((3, m) for m in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129, 4097)),
    *((130, 260), (301, 128)),
]
RULES = ["sgd", "momentum", "adagrad", "rmsprop", "adam", "nadam", "amsgrad", "lion"]


def case(primitive: str, shape: tuple[int, ...], terms: int, arguments: dict) -> Case:
    return Case(primitive, "x".join(map(str, shape)), arguments, max(1, terms))


def products(rng: np.random.Generator) -> Iterator[Case]:
    for shape in PRODUCTS:
        n, m_in, m = shape
        arguments = cases.dense_arguments(rng, shape, activations.tanh)
        yield case("dense", shape, m_in + 1, arguments)
        arguments = cases.dense_delta_arguments(rng, shape, activations.tanh)
        yield case("dense_delta", shape, m_in + 1, arguments)
        delta, x = rng.standard_normal((n, m)), rng.standard_normal((n, m_in))
        out = {"W": np.ones((m, m_in)), "b": np.ones(m)}
        yield case("dense_gradients", shape, n, {"delta": delta, "x": x, "out": out})


def element_by_element(rng: np.random.Generator) -> Iterator[Case]:
    for count in COUNTS:
        z, d = 3.0 * rng.standard_normal(count), rng.standard_normal(count)
        for activation in (activations.gelu, activations.relu):
            post = activation(z)
            yield case("activate", (count,), 1, {"pre": z, "activation": activation})
            arguments = {"d_post": d, "pre": z, "post": post, "activation": activation}
            yield case("activation_delta", (count,), 1, arguments)
        yield case("clip_norm", (count,), count, {"g": 0.5 * d, "limit": 0.1})


def losses(rng: np.random.Generator) -> Iterator[Case]:
    for n, K in SCORES:
        scores, soft = 2.0 * rng.standard_normal((n, K)), rng.random((n, K))
        yield case("softmax", (n, K), K, {"scores": scores})
        labels, weights = rng.integers(0, K, n), cases.row_weights(rng, n)
        for primitive, y in (
            ("logistic", soft),
            ("squared_error", soft),
            ("cross_entropy", soft),
            ("cross_entropy", labels),
        ):
            arguments = {"scores": scores, "y": y}
            yield case(primitive, (n, K, y.ndim), n * K, arguments)
            arguments = {**arguments, "sample_weight": weights}
            yield case(primitive, (n, K, y.ndim, n), n * K, arguments)
        for y in (soft / soft.sum(axis=1, keepdims=True), labels):
            arguments = {"scores": scores, "y": y, "loss": Focal(2.0)}
            yield case("row_loss", (n, K, y.ndim), n * K, arguments)
            arguments = {**arguments, "sample_weight": weights}
            yield case("row_loss", (n, K, y.ndim, n), n * K, arguments)
        for loss in cases.ELEMENT_LOSSES:
            arguments = {"scores": scores, "y": soft, "loss": loss}
            yield case("element_loss", (repr(loss), n, K), n * K, arguments)
            arguments = {**arguments, "sample_weight": weights}
            yield case("element_loss", (repr(loss), n, K, n), n * K, arguments)


def norms(rng: np.random.Generator) -> Iterator[Case]:
    for n, m in NORMS:
        given = [norm_arguments(rng, n, m, axis) for axis in (0, 1)]
        for axis in (0, 1):
            arguments = {"x": given[axis]["x"], "axis": axis, "eps": 1e-3}
            yield case("moments", (n, m, axis), (n, m)[axis], arguments)
            yield case("norm_gradients", (n, m, axis), n, given[axis])
            at = {name: given[axis][name] for name in ("x", "mean", "scale")}
            affine = of_columns(rng, m, "gain", "shift")
            yield case("normalise", (n, m, axis), 1, at | affine)
        yield case("row_norm_delta", (n, m), m, given[1] | of_columns(rng, m, "gain"))
        sums = of_columns(rng, m, "gain", "dgain", "dshift")
        yield case("column_norm_delta", (n, m), 1, given[0] | sums)


# Scales and blends: rows go LANES at a time, and columns in pieces of 256.
FEATURES = [
    *((n, 5) for n in (0, 1, 2, 15, 16, 17, 33)),
    *((3, m) for m in (1, 7, 16, 17, 255, 256, 257, 600)),
    (301, 128),
]
# n, m_in, d, F, k: LANES rows together, or as many waves.
WAVES = [
    *((n, 3, 2, 3, 3) for n in (0, 1, 2, 7, 15, 16, 17, 33)),
    *((5, 2, 2, F, 2) for F in (1, 2, 7, 8, 15, 16, 17, 33, 1024)),
    *((3, 1, 1, 2, k) for k in (3, 17, 64)),
    (301, 20, 16, 16, 4),
]
# n, columns before, sizes, k.
TABLES = [(0, 1, (3,), 2), (9, 300, (1, 5), 17), (1000, 2, (7, 400, 2), 8), (2000, 0, (3,) * 9, 1)]


def for_tables(rng: np.random.Generator) -> Iterator[Case]:
    for n, m in FEATURES:
        x, delta, a = rng.normal(size=(n, m)), rng.normal(size=(n, m)), rng.normal(size=m)
        pair = {"delta": delta, "x": x}
        yield case("scale_gradient", (n, m), n, pair)
        for sigma in (activations.selu, activations.mish, activations.sigmoid):
            given = {"a": a, "activation": sigma}
            yield case("blend", (n, m), 1, {"x": x, **given})
            yield case("blend_delta", (n, m), 1, {**pair, **given})
            yield case("blend_gradient", (n, m), n, {**pair, "activation": sigma})
    for n, m_in, d, F, k in WAVES:
        for has_phase in (True, False):
            given = tabular_cases.wave_arguments(rng, n, m_in, d, F, k, has_phase)
            yield case("periodic", (n, m_in, d, F, k, has_phase), 2 * F, given)
            above = tabular_cases.matrices(rng, n, m_in + d * (k - 1), "delta", "post")
            ordered = {key: (above | given)[key] for key in ("delta", "x", "post", "w", "b", "W")}
            yield case("periodic_gradients", (n, m_in, d, F, k, has_phase), max(n, 2 * F), ordered)
            yield case("periodic_delta", (n, m_in, d, F, k, has_phase), 2 * F, ordered)
    for n, before, sizes, k in TABLES:
        bins = tuple(tuple(np.sort(rng.normal(size=size + 1)).tolist()) for size in (k, *sizes))
        lines = tabular_cases.line_arguments(rng, n, before, k, bins)
        out = {name: np.ones_like(lines[name]) for name in "wcV"}
        names = {"piecewise": "x w c V bins", "piecewise_delta": "delta x w V bins"}
        for name, taken in names.items():
            terms = max(map(len, bins)) + k
            yield case(name, (n, before, k), terms, {key: lines[key] for key in taken.split()})
        given = {"delta": lines["delta"], "x": lines["x"], "bins": bins, "out": out}
        yield case("piecewise_gradients", (n, before, k), n, given)
        x, E = tabular_cases.categories(rng, n, before, sizes), rng.normal(size=(sum(sizes), k))
        yield case("embed", (n, before, k), 1, {"x": x, "E": E, "sizes": sizes})
        given = {"delta": rng.normal(size=(n, before + len(sizes) * k)), "x": x, "sizes": sizes}
        yield case("embed_gradient", (n, before, k), n, given)


# n, k, m_in, m: products cut as above, sums by 2048 columns, means of rows.
MEMBERS = [
    *((n, 3, 5, 3) for n in (1, 2, 7, 15, 33)),
    *((3, 2, m_in, 5) for m_in in (16, 33, 385)),
    *((5, 2, 7, m) for m in (16, 33, 401)),
    *((3, k, 2, 2) for k in (1, 2, 64)),
    *((5, 2, 2049, 1), (130, 5, 64, 33), (700, 4, 9, 8)),
]


def of_members(rng: np.random.Generator) -> Iterator[Case]:
    for shape in MEMBERS:
        n, k, m_in, m = shape
        given = member_cases.arguments(rng, shape)
        delta, x, W, b = (given[name] for name in ("delta", "x", "W", "b"))
        layer = {"x": x, "W": W, "b": b, "activation": activations.gelu}
        yield case("members_dense", shape, m_in + 1, layer)
        below = {"pre": x, "post": activations.gelu(x), "activation": activations.gelu}
        yield case("members_dense_delta", shape, m, {"delta": delta, "W": W, **below})
        of_pass = {"delta": delta, "x": x, "members": k}
        yield case("members_dense_gradients", shape, n, of_pass)
        yield case("column_sums", shape, n, {"delta": x})
        yield case("members_mean", shape, k, {"f": np.abs(x), "members": k})
        yield case("members_scale_delta", shape, k, {"delta": x, "r": rng.normal(size=(k, m_in))})
        one = rng.normal(size=(n, m_in))
        yield case("members_scale_gradient", shape, n, {"delta": x, "x": one})


def rest(rng: np.random.Generator) -> Iterator[Case]:
    for n, m in ((0, 3), (1, 1), (33, 17), (301, 128)):
        arguments = {"x": rng.random((n, m)), "rate": 0.3, "key": 5, "path": 7}
        yield case("dropout_scale", (n, m), 1, arguments)
    for N, n, m in ((5, 0, 3), (1, 9, 1), (300, 1000, 200)):
        x, indices = rng.random((N, m)), rng.integers(0, N, n)
        yield case("gather", (N, n, m), 1, {"x": x, "indices": indices})


def updates(rng: np.random.Generator) -> Iterator[Case]:
    """The optimisers' own cases, cut to every length."""
    for rule in RULES:
        long = [c for c in cases.CASES[rule] if c.arguments["w"].size > max(COUNTS)]
        for like in long:
            for count in COUNTS:
                arguments = {
                    name: value[:count] if isinstance(value, np.ndarray) else value
                    for name, value in like.arguments.items()
                }
                yield Case(rule, f"{like.name}-{count}", arguments, 1)


def edges() -> dict[str, list[Case]]:
    """Return all of them, by primitive."""
    rng = np.random.default_rng(3)
    found: dict[str, list[Case]] = {}
    for generate in (
        products,
        element_by_element,
        losses,
        norms,
        for_tables,
        of_members,
        rest,
        updates,
    ):
        for one in generate(rng):
            found.setdefault(one.primitive, []).append(one)
    return found
