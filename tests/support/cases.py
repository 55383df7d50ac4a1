"""Cases for every primitive: arguments, and error bounds.

A result agrees when ``|result - definition| <= UNITS * eps * sqrt(terms) * scale + tiny``. The
definition is computed in float64, ``terms`` is the length of the sums, and ``scale`` is the size of
what is added up, entry by entry: ``|x| @ |W|.T + |b|`` for a dense layer. ``tiny`` is the smallest
normal number: JAX flushes what is below it. A copy has scale 0 and must be exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import member_cases as member_cases  # fills the table
import numpy as np
import tabular_cases as tabular_cases
from case_table import CASES as CASES  # for those who compare with them
from case_table import Arguments, Array, cases, exact, relative
from case_table import Case as Case
from dense_cases import dense_arguments as dense_arguments
from dense_cases import dense_delta_arguments as dense_delta_arguments
from norms import (
    column_norm_delta_scale,
    moments_scale,
    norm_arguments,
    norm_gradients_scale,
    normalise_scale,
    of_columns,
    row_norm_delta_scale,
)

from nnpoly import losses
from nnpoly.backends.numpy.kernels import BLOCK

# Normalisation


NORM_SHAPES = [(1, 3), (7, 1), (31, 17), (3, 65)]  # n, m


@cases("moments", moments_scale)
def _moments(rng):
    for n, m in NORM_SHAPES:
        for axis in (0, 1):
            x = rng.standard_normal((n, m)) + 0.5
            yield f"{n}x{m}-{axis}", (n, m)[axis], {"x": x, "axis": axis, "eps": 1e-2}


@cases("normalise", normalise_scale)
def _normalise(rng):
    for n, m in NORM_SHAPES:
        for axis in (0, 1):
            given = norm_arguments(rng, n, m, axis)
            del given["delta"]
            yield f"{n}x{m}-{axis}", 1, given | of_columns(rng, m, "gain", "shift")


@cases("norm_gradients", norm_gradients_scale)
def _norm_gradients(rng):
    for n, m in NORM_SHAPES:
        for axis in (0, 1):
            given = norm_arguments(rng, n, m, axis)
            yield f"{n}x{m}-{axis}", n, given
            out = {"gain": np.ones(m), "shift": np.ones(m)}
            yield f"{n}x{m}-{axis}-out", n, given | {"out": out}


@cases("row_norm_delta", row_norm_delta_scale)
def _row_norm_delta(rng):
    for n, m in NORM_SHAPES:
        given = norm_arguments(rng, n, m, 1)
        yield f"{n}x{m}", m, given | of_columns(rng, m, "gain")


@cases("column_norm_delta", column_norm_delta_scale)
def _column_norm_delta(rng):
    for n, m in NORM_SHAPES:
        given = norm_arguments(rng, n, m, 0)
        yield f"{n}x{m}", 1, given | of_columns(rng, m, "gain", "dgain", "dshift")


@cases("dropout_scale", relative)
def _dropout_scale(rng):
    for n, m, rate, key, path in (
        (31, 17, 0.9, -(2**31), 2**31 - 1),
        (7, 3, 0.2, 2**31 - 1, 1000004),
        (7, 3, 0.5, 0, 0),
        (7, 3, 0.0, 1, 1),
    ):
        x = rng.standard_normal((n, m))
        yield f"{n}x{m}-{rate}", 1, {"x": x, "rate": rate, "key": key, "path": path}


# Outputs and losses

SCORES = [(1, 2), (7, 1), (3, 37)]  # n, K


def score_cases(rng) -> Iterator[tuple[str, int, int, Array]]:
    """Yield name, n, K and scores, also with a sample of +-1e4 (half precision sums no two)."""
    for n, K in SCORES:
        scores = 2.0 * rng.standard_normal((n, K))
        yield f"{n}x{K}", n, K, scores
        for far in (1e4, -1e4):
            scores = scores.copy()
            scores[0, :2] = [far, -far][:K]
            yield f"{n}x{K}-{far:g}", n, K, scores


def shift(scores: Array) -> Array:
    return scores - np.max(scores, axis=1, keepdims=True)


def softmax_scale(results, scores):
    return results[0] * (1.0 + np.abs(shift(scores)))


@cases("softmax", softmax_scale)
def _softmax(rng):
    for name, _, K, scores in score_cases(rng):
        yield name, K, {"scores": scores}


@cases("one_hot", exact)
def _one_hot(rng):
    for n, K in SCORES:
        like = rng.standard_normal((n, K))
        yield f"{n}x{K}-indices", 1, {"y": rng.integers(0, K, n), "like": like}
        yield f"{n}x{K}-rows", 1, {"y": rng.random((n, K)), "like": like}


def as_rows(y: Array, K: int) -> Array:
    return np.eye(K)[y] if y.ndim == 1 else y


def row_weights(rng, n: int) -> Array:
    """Sample weights around 1; if there are several, one is 0."""
    weights = rng.uniform(0.5, 1.5, n)
    if n > 1:
        weights[n // 2] = 0.0
    return weights


def with_and_without_weights(rng, name: str, terms: int, arguments: Arguments):
    yield name, terms, arguments
    weights = row_weights(rng, len(arguments["scores"]))
    yield f"{name}-weighted", terms, {**arguments, "sample_weight": weights}


def column(sample_weight: Array | None) -> Any:
    """Sample weights as a column, (n, 1); 1.0 without weights."""
    return 1.0 if sample_weight is None else sample_weight[:, None]


def cross_entropy_scale(results, scores, y, sample_weight=None):
    (n, K), shifted, s = scores.shape, shift(scores), column(sample_weight)
    total = np.sum(np.exp(shifted), axis=1, keepdims=True)
    f, target = np.exp(shifted) / total, as_rows(y, K)
    loss = np.sum(s * target * (1.0 + np.log(total) + np.abs(shifted))) / n
    return [loss, s * (f * (1.0 + np.abs(shifted)) + target) / n]


@cases("cross_entropy", cross_entropy_scale)
def _cross_entropy(rng):
    for name, n, K, scores in score_cases(rng):
        labels = rng.integers(0, K, n)
        for kind, y in (("indices", labels), ("rows", as_rows(labels, K))):
            arguments = {"scores": scores, "y": y}
            yield from with_and_without_weights(rng, f"{name}-{kind}", n * K, arguments)
    soft = rng.dirichlet(np.ones(37), 3)
    arguments = {"scores": rng.standard_normal((3, 37)), "y": soft}
    yield from with_and_without_weights(rng, "soft-rows", 111, arguments)


def logistic_scale(results, scores, y, sample_weight=None):
    n, small, s = len(scores), np.exp(-np.abs(scores)), column(sample_weight)
    parts = np.maximum(scores, 0.0) + np.abs(scores * y) + np.log1p(small)
    f = np.where(scores >= 0, 1.0, small) / (1.0 + small)
    return [np.sum(s * parts) / n, s * (f + np.abs(y)) / n]


@cases("logistic", logistic_scale)
def _logistic(rng):
    for name, n, K, scores in score_cases(rng):
        arguments = {"scores": scores, "y": 1.0 * rng.integers(0, 2, (n, K))}
        yield from with_and_without_weights(rng, name, n * K, arguments)
    arguments = {"scores": rng.standard_normal((3, 37)), "y": rng.random((3, 37))}
    yield from with_and_without_weights(rng, "probabilities", 111, arguments)


def squared_error_scale(results, scores, y, sample_weight=None):
    n, difference, s = len(scores), np.abs(scores - y), column(sample_weight)
    return [np.sum(s * difference**2) / (2 * n), s * difference / n]


@cases("squared_error", squared_error_scale)
def _squared_error(rng):
    for n, K in SCORES:
        arguments = {"scores": rng.standard_normal((n, K)), "y": rng.standard_normal((n, K))}
        yield from with_and_without_weights(rng, f"{n}x{K}", n * K, arguments)


ELEMENT_LOSSES = (
    losses.Absolute(),
    losses.Huber(0.5),
    losses.Quantile(0.3),
    losses.Poisson(),
    losses.Focal(2.0, "sigmoid"),
)


def focal_sizes(p, log_p, gamma, error):
    """The sizes of (1-p)^gamma log p and of its derivative by log p, which is off by `error`."""
    rest = 1.0 - p
    log_rest = np.log(np.maximum(rest, 1e-300))
    rounded = rest**gamma * (1.0 + gamma * np.abs(log_rest))
    moved = gamma * rest ** (gamma - 1.0) * p * error
    of_log = np.abs(log_p) + error
    return of_log * (rounded + moved), (gamma + 1.0) * (rounded + moved + rest**gamma * error)


def focal_sigmoid_scale(scores, y, gamma, sample_weight):
    s, error = column(sample_weight) / len(scores), 1.0 + np.abs(scores)
    log_f, log_rest = -np.logaddexp(0.0, -scores), -np.logaddexp(0.0, scores)
    of_1, up = focal_sizes(np.exp(log_f), log_f, gamma, error)
    of_0, down = focal_sizes(np.exp(log_rest), log_rest, gamma, error)
    delta = y * up * np.exp(log_rest) + np.abs(1.0 - y) * down * np.exp(log_f)
    return [np.sum(s * (y * of_1 + np.abs(1.0 - y) * of_0)), s * delta * error]


def focal_softmax_scale(results, scores, y, loss, sample_weight=None):
    s, rows, shifted = (
        column(sample_weight) / len(scores),
        as_rows(y, scores.shape[1]),
        shift(scores),
    )
    log_total = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    log_f, error = shifted - log_total, 1.0 + np.abs(shifted) + log_total
    size, pull = focal_sizes(np.exp(log_f), log_f, loss.gamma, error)
    pull = rows * pull
    delta = pull + np.exp(log_f) * error * np.sum(pull, axis=1, keepdims=True)
    return [np.sum(s * rows * size), s * delta]


@cases("row_loss", focal_softmax_scale)
def _row_loss(rng):
    for gamma in (1.0, 2.5):
        for n, K in SCORES:
            scores, labels = 2.0 * rng.standard_normal((n, K)), rng.integers(0, K, n)
            for kind, y in (("labels", labels), ("rows", rng.dirichlet(np.ones(K), n))):
                given = {"scores": scores, "y": y, "loss": losses.Focal(gamma)}
                yield from with_and_without_weights(rng, f"{n}x{K}-{gamma}-{kind}", n * K, given)


def element_loss_scale(results, scores, y, loss, sample_weight=None):
    """Of Poisson's the terms cancel; the others are products of a difference, which is exact."""
    if isinstance(loss, losses.Focal):
        return focal_sigmoid_scale(scores, y, loss.gamma, sample_weight)
    if not isinstance(loss, losses.Poisson):
        return [np.abs(result) for result in results]
    n, s, f = len(scores), column(sample_weight), np.exp(scores)
    terms = f + y * (1.0 + np.abs(scores) + np.log(np.maximum(y, 1.0)))
    return [np.sum(s * terms) / n, s * (f + y) / n]


@cases("element_loss", element_loss_scale)
def _element_loss(rng):
    for loss in ELEMENT_LOSSES:
        counts = loss.labels == "counts"
        for n, K in SCORES:
            scores = rng.standard_normal((n, K))
            y = 1.0 * rng.poisson(1.0, (n, K)) if counts else rng.standard_normal((n, K))
            if loss.labels == "probabilities":
                y = rng.random((n, K))
            elif not counts:
                y[-1] = scores[-1]  # at the kink, where the slope is 0
            arguments = {"scores": scores, "y": y, "loss": loss}
            yield from with_and_without_weights(rng, f"{loss!r}-{n}x{K}", n * K, arguments)


# Data and the flat vector

SIZES = (1, BLOCK + 1)


@cases("gather", exact)
def _gather(rng):
    table = rng.standard_normal((13, 5))
    yield "matrix", 1, {"x": table, "indices": rng.integers(0, 13, 7)}
    yield "one-row", 1, {"x": table, "indices": np.array([12])}
    yield "labels", 1, {"x": rng.integers(0, 9, 13), "indices": rng.permutation(13)}


@cases("flatten", exact)
def _flatten(rng):
    shapes = [(3, 5), (3,), (1, 3), (1,)]
    pieces = [rng.standard_normal(shape) for shape in shapes]
    yield "new", 1, {"pieces": pieces}
    yield "out", 1, {"pieces": pieces, "out": np.zeros(22), "views": shapes}
    yield "one", 1, {"pieces": pieces[:1], "out": np.zeros(15), "views": shapes[:1]}


@cases("clip_norm", relative)
def _clip_norm(rng):
    for size in SIZES:
        g = 0.5 * rng.standard_normal(size)  # whose squares half precision can add up
        yield f"{size}-clipped", size, {"g": g, "limit": 0.1}
        yield f"{size}-kept", size, {"g": g, "limit": 1e3}
    yield "zero", 1, {"g": np.zeros(7), "limit": 1.0}


# Optimisers: a step's error is that of its numerator, whose two parts may cancel


def vectors(rng, size: int, *moments: str) -> Arguments:
    """Return w and g and moments; ``s`` and ``peak`` are squares.

    Entries are above 0.1, so that (1 - beta) g^2 is a normal number in half precision too.
    """
    drawn = {name: rng.standard_normal(size) for name in ("w", "g", *moments)}
    drawn = {name: x + 0.1 * np.sign(x) for name, x in drawn.items()}
    return drawn | {name: drawn[name] ** 2 for name in ("s", "peak") if name in moments}


def by_size_and_root(rng, *moments: str) -> Iterator[tuple[str, Arguments, Arguments]]:
    """Yield name, vectors, and an eps that matters, inside the root and outside."""
    for size in SIZES:
        for inside in (True, False):
            root = {"eps": 1e-3, "eps_inside_sqrt": inside}
            yield f"{size}-{'in' if inside else 'out'}side", vectors(rng, size, *moments), root


def root_of(s: Array, eps: float, eps_inside_sqrt: bool) -> Array:
    return np.sqrt(s + eps) if eps_inside_sqrt else np.sqrt(s) + eps


def penalised_scale(results, g, w, weight_decay):
    return np.abs(g) + weight_decay * np.abs(w)


@cases("penalised", penalised_scale)
def _penalised(rng):
    for size in SIZES:
        arrays = vectors(rng, size)
        yield str(size), 1, {"g": arrays["g"], "w": arrays["w"], "weight_decay": 0.1}


@cases("decayed", relative)
def _decayed(rng):
    for size in SIZES:
        w = vectors(rng, size)["w"]
        yield str(size), 1, {"w": w, "learning_rate": 0.5, "weight_decay": 0.1}


def averaged_scale(results, average, w, decay):
    return decay * np.abs(average) + (1.0 - decay) * np.abs(w)


@cases("averaged", averaged_scale)
def _averaged(rng):
    for size in SIZES:
        arrays = vectors(rng, size)
        yield str(size), 1, {"average": arrays["g"], "w": arrays["w"], "decay": 0.9}


def sgd_scale(results, w, g, learning_rate):
    return np.abs(w) + learning_rate * np.abs(g)


@cases("sgd", sgd_scale)
def _sgd(rng):
    for size in SIZES:
        yield str(size), 1, {**vectors(rng, size), "learning_rate": 0.1}


def momentum_scale(results, w, g, v, learning_rate, momentum, nesterov):
    moved = momentum * np.abs(v) + np.abs(g)
    direction = np.abs(g) + momentum * moved if nesterov else moved
    return [np.abs(w) + learning_rate * direction, moved]


@cases("momentum", momentum_scale)
def _momentum(rng):
    for size in SIZES:
        for nesterov in (True, False):
            rule = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": nesterov}
            yield f"{size}-{nesterov}", 1, {**vectors(rng, size, "v"), **rule}


def adaptive_scale(results, w, g, learning_rate, eps, eps_inside_sqrt, **others):
    s = results[1]
    step = learning_rate * np.abs(g) / root_of(s, eps, eps_inside_sqrt)
    return [np.abs(w) + step, s]


@cases("adagrad", adaptive_scale)
def _adagrad(rng):
    for name, arrays, root in by_size_and_root(rng, "s"):
        yield name, 1, {**arrays, "learning_rate": 0.1, **root}


@cases("rmsprop", adaptive_scale)
def _rmsprop(rng):
    for name, arrays, root in by_size_and_root(rng, "s"):
        yield name, 1, {**arrays, "learning_rate": 0.1, "beta": 0.9, **root}


def adam_scale(results, w, g, m, learning_rate, beta1, unbias_s, eps, eps_inside_sqrt, **others):
    """Adam, NAdam and AMSGrad; the last result divides, which is s or AMSGrad's peak."""
    moved = beta1 * np.abs(m) + (1.0 - beta1) * np.abs(g)
    ahead = others.get("unbias_m", others.get("weight_m")) * moved
    ahead = ahead + others.get("weight_g", 0.0) * np.abs(g)
    step = learning_rate * ahead / root_of(results[-1] * unbias_s, eps, eps_inside_sqrt)
    return [np.abs(w) + step, moved, *results[2:]]


DECAYS = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99}


@cases("adam", adam_scale)
def _adam(rng):
    for name, arrays, root in by_size_and_root(rng, "m", "s"):
        yield name, 1, {**arrays, **DECAYS, "unbias_m": 10.0, "unbias_s": 100.0, **root}


@cases("nadam", adam_scale)
def _nadam(rng):
    weights = {"weight_m": 4.7, "weight_g": 1.0, "unbias_s": 100.0}
    for name, arrays, root in by_size_and_root(rng, "m", "s"):
        yield name, 1, {**arrays, **DECAYS, **weights, **root}


@cases("amsgrad", adam_scale)
def _amsgrad(rng):
    for name, arrays, root in by_size_and_root(rng, "m", "s", "peak"):
        yield name, 1, {**arrays, **DECAYS, "unbias_m": 10.0, "unbias_s": 100.0, **root}


def lion_scale(results, w, g, m, learning_rate, beta1, beta2):
    return [np.abs(w) + learning_rate, beta2 * np.abs(m) + (1.0 - beta2) * np.abs(g)]


@cases("lion", lion_scale)
def _lion(rng):
    for size in SIZES:
        arrays = vectors(rng, size, "m")
        g, m = arrays["g"], arrays["m"]
        clear = np.abs(0.9 * m + 0.1 * g) > 0.01  # rounding cannot turn the direction's sign
        yield str(size), 1, {**arrays, "g": np.where(clear, g, m), **DECAYS}
    yield "zero", 1, {"w": np.ones(7), "g": np.zeros(7), "m": np.zeros(7), **DECAYS}
