"""Samples for the parity report: arguments of every primitive, and networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import activations, losses
from ..layers import (
    BatchNorm,
    Blend,
    Dense,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    MemberDense,
    MemberScale,
    Periodic,
    PiecewiseLinear,
    Residual,
    Scale,
    SharedDense,
)
from ..network import MLP, Network
from ..optimizers import SGD, Adam, AdamW, Optimizer

Samples = list[tuple[Any, ...]]
_TRAINABLE = [a for a in activations.BY_NAME.values() if a.differentiable]


def _vectors(rng: np.random.Generator, signs: str) -> list[Any]:
    """Draw a vector (P,) for each letter: signed for 's', positive for 'p'."""
    drawn = [rng.normal(size=65537) for _ in signs]
    return [np.abs(v) if s == "p" else v for v, s in zip(drawn, signs, strict=True)]


def _dense(rng: np.random.Generator) -> Samples:
    x, W, b = rng.normal(size=(33, 65)), rng.normal(size=(17, 65)), rng.normal(size=17)
    return [(x, W, by, activation) for activation in _TRAINABLE for by in (b, None)]


def _activate(rng: np.random.Generator) -> Samples:
    wide = np.concatenate([rng.normal(size=(40, 13)), rng.uniform(-30, 30, size=(9, 13))])
    return [(wide, activation) for activation in activations.BY_NAME.values()]


def _pre_post(rng: np.random.Generator, activation: Any) -> tuple[Any, Any]:
    pre = rng.normal(size=(33, 65))
    return pre, activation(pre)


def _activation_delta(rng: np.random.Generator) -> Samples:
    return [(rng.normal(size=(33, 65)), *_pre_post(rng, a), a) for a in _TRAINABLE]


def _dense_delta(rng: np.random.Generator) -> Samples:
    delta, W = rng.normal(size=(33, 17)), rng.normal(size=(17, 65))
    return [(delta, W, *_pre_post(rng, a), a) for a in _TRAINABLE]


def _normalised(rng: np.random.Generator) -> Samples:
    """Draw delta and x, with mean and scale of x's columns, then of its rows."""
    found: Samples = []
    for axis in (0, 1):
        delta, x = rng.normal(size=(33, 65)), rng.normal(size=(33, 65))
        mean, variance = (of(x, axis=axis, keepdims=True) for of in (np.mean, np.var))
        found.append((delta, x, mean, 1.0 / np.sqrt(variance)))
    return found


def _rows(rng: np.random.Generator, count: int) -> list[Any]:
    """Draw vectors of as many entries as `_normalised` has columns."""
    return [rng.normal(size=65) for _ in range(count)]


def _scores(rng: np.random.Generator, *targets: str) -> Samples:
    """Draw scores and targets: 'c' classes, 'h' one-hot rows, 'p' probabilities, 'r' reals."""
    made: dict[str, Callable[[Any], Any]] = {
        "c": lambda s: rng.integers(0, s.shape[1], s.shape[0]),
        "h": lambda s: np.eye(s.shape[1])[rng.integers(0, s.shape[1], s.shape[0])],
        "p": lambda s: rng.uniform(size=s.shape),
        "r": lambda s: rng.normal(size=s.shape),
    }
    scores = [rng.normal(size=(33, 7)), rng.normal(size=(1, 2)), 1e4 * rng.normal(size=(5, 3))]
    return [(s, made[kind](s)) for s in scores for kind in targets]


def _weighted(rng: np.random.Generator, samples: Samples) -> Samples:
    """Return a loss's samples without and with sample weights, some of which are 0."""
    weights = [rng.exponential(size=len(s)) * rng.integers(0, 2, len(s)) for s, *_ in samples]
    return samples + [(*args, w) for args, w in zip(samples, weights, strict=True)]


def _element_loss(rng: np.random.Generator) -> Samples:
    """Return arguments of the losses that are sums over the outputs, of moderate scores."""
    found: Samples = []
    for loss in (losses.Absolute(), losses.Huber(0.5), losses.Quantile(0.3), losses.Poisson()):
        for scores, _ in _scores(rng, "r")[:2]:
            y = 1.0 * rng.poisson(1.0, scores.shape)
            weights = rng.exponential(size=len(scores))
            found += [(scores, y, loss), (scores, y, loss, weights)]
    return found


def _row_loss(rng: np.random.Generator) -> Samples:
    """Return arguments of focal loss, of moderate scores."""
    given = [(s, y, losses.Focal()) for s, y in _scores(rng, "c", "h")[:4]]
    return _weighted(rng, given)


def _eps_forms(vectors: list[Any], *numbers: float) -> Samples:
    """Return arguments of an optimiser's update with eps inside and outside the root."""
    return [(*vectors, *numbers, 1e-3, inside) for inside in (True, False)]


def _of_bfloat16(rng: np.random.Generator) -> Samples:
    """Draw numbers of all sizes, and numbers half way between two of bfloat16."""
    sizes = 2.0 ** rng.integers(-20, 20, size=(40, 50))
    ties = 0.5 + rng.integers(128, 256, size=(40, 50))
    return [(rng.normal(size=(40, 50)) * sizes,), (ties * sizes,)]


def _dense_gradients(rng: np.random.Generator) -> Samples:
    return [(rng.normal(size=(33, 17)), rng.normal(size=(33, 65)))]


def _members(rng: np.random.Generator, *names: str) -> tuple[Any, ...]:
    """Draw arguments of 4 members: from 9 features to 5 each, or of factors of 9."""
    shapes = {"x": (33, 36), "delta": (33, 20), "W": (4, 5, 9), "b": (4, 5)}
    shapes |= {"of x": (33, 36), "one": (33, 9), "r": (4, 9)}
    return tuple(rng.normal(size=shapes[name]) for name in names)


def _members_dense(rng: np.random.Generator) -> Samples:
    return [(*_members(rng, "x", "W", "b"), activation) for activation in _TRAINABLE]


def _members_dense_delta(rng: np.random.Generator) -> Samples:
    given = ((_members(rng, "delta", "W", "x"), activation) for activation in _TRAINABLE)
    return [(delta, W, pre, sigma(pre), sigma) for (delta, W, pre), sigma in given]


def _members_dense_gradients(rng: np.random.Generator) -> Samples:
    return [(*_members(rng, "delta", "x"), 4)]


def _blended(rng: np.random.Generator, *names: str) -> Samples:
    """Draw arguments of a parametric activation: "delta" and "x" (n, m), "a" (m,)."""
    shapes = {"delta": (33, 65), "x": (33, 65), "a": (65,)}
    return [(*(rng.normal(size=shapes[name]) for name in names), a) for a in _TRAINABLE]


def _waves(rng: np.random.Generator, backward: bool) -> Samples:
    """Draw arguments of waves with a phase and without: 5 of 7 columns become 4 features each."""
    found: Samples = []
    for has_phase in (True, False):
        made, waves = (3, 8) if has_phase else (4, 16)
        b = rng.uniform(-3.0, 3.0, (5, 8)) if has_phase else None
        given = rng.normal(size=(5, 8)), b, rng.normal(size=(5, made, waves))
        x = rng.normal(size=(33, 7))
        if backward:
            delta, post = (rng.normal(size=(33, 22)) for _ in range(2))
            found.append((delta, x, post, *given))
        else:
            found.append((x, *given, rng.normal(size=(5, made))))
    return found


def _categories(rng: np.random.Generator, sizes: tuple[int, ...]) -> Any:
    """Draw numbers in two columns, then categories."""
    drawn = [rng.integers(0, size, 33) for size in sizes]
    return np.column_stack([rng.normal(size=(33, 2)), *drawn])


def _segments(rng: np.random.Generator, *names: str) -> Samples:
    """Draw arguments of lines with bends: 2 of 5 columns become 4 features each."""
    shapes = {"delta": (33, 11), "x": (33, 5), "w": (2, 4), "c": (2, 4), "V": (2, 4, 3)}
    bins = ((-1.0, -0.3, 0.4, 2.0), (-1.5, 1.0))
    return [(*(rng.normal(size=shapes[name]) for name in names), bins)]


def _embed(rng: np.random.Generator) -> Samples:
    return [(_categories(rng, (3, 40)), rng.normal(size=(43, 5)), (3, 40))]


def _embed_backward(rng: np.random.Generator, last: Any) -> Samples:
    return [(rng.normal(size=(33, 12)), _categories(rng, (3, 40)), last)]


_MAKERS: dict[str, Callable[[np.random.Generator], Samples]] = {
    "activate": _activate,
    "activation_delta": _activation_delta,
    "dense": _dense,
    "dense_delta": _dense_delta,
    "dense_gradients": _dense_gradients,
    "dense_row_gradients": _dense_gradients,
    "bfloat16": _of_bfloat16,
    "dense_bf16": _dense,
    "dense_delta_bf16": _dense_delta,
    "dense_gradients_bf16": _dense_gradients,
    "column_sums": lambda r: [(r.normal(size=(33, 65)),)],
    "members_scale_delta": lambda r: [_members(r, "of x", "r")],
    "members_scale_gradient": lambda r: [_members(r, "of x", "one")],
    "members_dense": _members_dense,
    "members_dense_delta": _members_dense_delta,
    "members_dense_gradients": _members_dense_gradients,
    "members_dense_bf16": _members_dense,
    "members_dense_delta_bf16": _members_dense_delta,
    "members_dense_gradients_bf16": _members_dense_gradients,
    "members_mean": lambda r: [(r.uniform(size=(33, 20)), 4)],
    "moments": lambda r: [(r.normal(size=(33, 65)), axis, 1e-5) for axis in (0, 1)],
    "normalise": lambda r: [(*a, *_rows(r, 2)) for _, *a in _normalised(r)],
    "norm_gradients": _normalised,
    "row_norm_delta": lambda r: [(*a, *_rows(r, 1)) for a in _normalised(r)[1:]],
    "column_norm_delta": lambda r: [(*a, *_rows(r, 3)) for a in _normalised(r)[:1]],
    "scale_gradient": lambda r: [tuple(r.normal(size=(2, 33, 65)))],
    "blend": lambda r: _blended(r, "x", "a"),
    "blend_delta": lambda r: _blended(r, "delta", "x", "a"),
    "blend_gradient": lambda r: _blended(r, "delta", "x"),
    "periodic": lambda r: _waves(r, backward=False),
    "periodic_gradients": lambda r: _waves(r, backward=True),
    "periodic_delta": lambda r: _waves(r, backward=True),
    "piecewise": lambda r: _segments(r, "x", "w", "c", "V"),
    "piecewise_gradients": lambda r: _segments(r, "delta", "x"),
    "piecewise_delta": lambda r: _segments(r, "delta", "x", "w", "V"),
    "embed": _embed,
    "embed_gradient": lambda r: _embed_backward(r, (3, 40)),
    "embed_delta": lambda r: _embed_backward(r, 2),
    "normal_cdf": lambda r: [(r.uniform(-5, 5, size=(40, 500)),)],
    "dropout_scale": lambda r: [(r.normal(size=(33, 65)), 0.3, -12345, 7)],
    "softmax": lambda r: [(s,) for s, _ in _scores(r, "r")],
    "one_hot": lambda r: [(y, s) for s, y in _scores(r, "c", "h")],
    "cross_entropy": lambda r: _weighted(r, _scores(r, "c", "h")),
    "logistic": lambda r: _weighted(r, _scores(r, "p")),
    "squared_error": lambda r: _weighted(r, _scores(r, "r")[:2]),
    "element_loss": _element_loss,
    "row_loss": _row_loss,
    "gather": lambda r: [(r.normal(size=(40, 5)), r.integers(0, 40, 9))],
    "flatten": lambda r: [([r.normal(size=(3, 4)), r.normal(size=5)],)],
    "clip_norm": lambda r: [(*_vectors(r, "s"), limit) for limit in (0.5, 1e4)],
    "penalised": lambda r: [(*_vectors(r, "ss"), 0.1)],
    "decayed": lambda r: [(*_vectors(r, "s"), 0.5, 0.1)],
    "averaged": lambda r: [(*_vectors(r, "ss"), 0.9)],
    "sgd": lambda r: [(*_vectors(r, "ss"), 0.1)],
    "momentum": lambda r: [(*_vectors(r, "sss"), 0.1, 0.9, look) for look in (True, False)],
    "adagrad": lambda r: _eps_forms(_vectors(r, "ssp"), 0.1),
    "rmsprop": lambda r: _eps_forms(_vectors(r, "ssp"), 0.1, 0.9),
    "adam": lambda r: _eps_forms(_vectors(r, "sssp"), 0.1, 0.9, 0.999, 2.0, 30.0),
    "nadam": lambda r: _eps_forms(_vectors(r, "sssp"), 0.1, 0.9, 0.999, 2.0, 0.2, 30.0),
    "amsgrad": lambda r: _eps_forms(_vectors(r, "ssspp"), 0.1, 0.9, 0.999, 2.0, 30.0),
    "lion": lambda r: [(*_vectors(r, "sss"), 0.1, 0.9, 0.99)],
}


def primitive_samples() -> list[tuple[str, Samples]]:
    """Return sets of arguments by primitive, as NumPy arrays of float64 and integers."""
    return [(name, make(np.random.default_rng(0))) for name, make in _MAKERS.items()]


def networks() -> list[tuple[str, Network, Optimizer]]:
    """Return networks with every kind of layer: title, network and optimiser."""
    block = Residual(
        [LayerNorm(24, activation="tanh"), Dense(24, 12, "silu"), Dropout(0.2), Dense(12, 24)]
    )
    chain = [Dense(10, 24, "softplus"), block, BatchNorm(24, activation="relu"), Dense(24, 4)]
    lines = PiecewiseLinear(15, [(-1.0, 0.0, 2.0)], 3)
    table: list[Layer] = [Periodic(6, 3, 8), lines, Embedding(17, (3, 40)), Scale(31)]
    table += [Dense(31, 16, init="normal", factor=31**-0.5), Blend(16, "silu"), Dense(16, 4)]
    members: list[Layer] = [MemberScale(10, 4, "signs"), SharedDense(10, 16, 4, "relu", "after")]
    members += [Dropout(0.1), SharedDense(16, 12, 4, "gelu"), MemberDense(12, 3, 4)]
    return [
        ("10-32-16-4 relu, Adam", MLP([10, 32, 16, 4], "relu"), Adam(1e-2)),
        ("6-20-1 gelu, momentum", MLP([6, 20, 1], "gelu", "identity"), SGD(0.05, momentum=0.9)),
        ("every layer, AdamW", Network(chain, "softmax"), AdamW(1e-2, clip_norm=1.0)),
        ("layers for tables, Adam", Network(table, "softmax"), Adam(1e-2)),
        ("four members, AdamW", Network(members, "softmax"), AdamW(1e-2, clip_norm=1.0)),
    ]


def inputs(rng: np.random.Generator, net: Network, n: int) -> Any:
    """Draw inputs of a network: (n, m_0), normal numbers, then categories where it takes some."""
    X = rng.normal(size=(n, net.inputs))
    for j, size in enumerate(net.ends.categories, net.inputs - len(net.ends.categories)):
        X[:, j] = rng.integers(0, size, n)
    return X
