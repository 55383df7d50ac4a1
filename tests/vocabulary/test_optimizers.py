"""Optimisers: closed forms, first steps, decay, clipping, schedules and their arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly import schedules
from nnpoly.backends import registry
from nnpoly.optimizers import BY_NAME, Optimizer

ETA = 0.01
G = np.array([-2.0, -0.3, 1e-3, 0.5, 7.0])
W = np.array([1.0, -2.0, 0.5, 0.0, 3.0])

# One of each rule, with eps so small that it does not matter
EXACT = {
    "sgd": nn.SGD(ETA),
    "momentum": nn.SGD(ETA, momentum=0.9),
    "nesterov": nn.SGD(ETA, momentum=0.9, nesterov=True),
    "adagrad": nn.AdaGrad(ETA, eps=1e-30),
    "rmsprop": nn.RMSProp(ETA, beta=0.9, eps=1e-30),
    "adam": nn.Adam(ETA, eps=1e-30),
    "adamw": nn.AdamW(ETA, eps=1e-30, weight_decay=0.0),
    "nadam": nn.NAdam(ETA, eps=1e-30),
    "amsgrad": nn.AMSGrad(ETA, eps=1e-30),
    "lion": nn.Lion(ETA),
}

every_rule = pytest.mark.parametrize("optimizer", list(EXACT.values()), ids=list(EXACT))


def minimise(
    optimizer: Optimizer,
    gradient: Callable[[np.ndarray], np.ndarray],
    steps: int = 1,
    place: Mapping[str, Any] = {"backend": "numpy"},
    start: np.ndarray = W,
    first: int = 1,
    ages: Mapping[str, int] | None = None,
) -> np.ndarray:
    """Return w after a number of steps from t = `first`, given the gradient as a function of w."""
    backend, device = registry.resolve(**place)

    def array(values: np.ndarray) -> Any:
        return backend.from_host(np.array(values, start.dtype), device)

    w, moments = array(start), tuple(array(0.0 * start) for _ in optimizer.moments)
    for c in optimizer.coefficients_of(range(first, first + steps), ages):
        g = array(gradient(backend.to_host(w)))
        with backend.scope(device):
            w, moments = optimizer.update(backend.ops, w, g, moments, c)
    assert all(array.dtype == g.dtype for array in (w, *moments))
    return np.array(backend.to_host(w))


def constant(w: np.ndarray) -> np.ndarray:
    return G


# The quadratic 1/2 sum_i curvature_i w_i^2, with steep and flat directions

CURVATURE = np.array([0.1, 1.0, 3.0, 10.0, 15.0])


def slope(w: np.ndarray) -> np.ndarray:
    return CURVATURE * w


def test_gradient_descent_on_a_quadratic(backend_variant):
    """w_t = (1 - eta curvature)^t w_0: the steepest direction diverges at eta > 2 / curvature."""
    got = minimise(nn.SGD(0.15), slope, 20, place=backend_variant.place)
    np.testing.assert_allclose(got, (1 - 0.15 * CURVATURE) ** 20 * W, rtol=1e-12)


def test_momentum_0_is_gradient_descent(placed):
    ops, array = placed.backend.ops, placed.array
    w, v = ops.momentum(array(W), array(G), array(0 * W), ETA, 0.0, False)
    host = placed.host
    assert np.array_equal(host(w), host(ops.sgd(array(W), array(G), ETA)))
    assert np.array_equal(host(v), G)
    assert nn.SGD(ETA, momentum=0.0).moments == ()


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_on_a_quadratic(backend_variant, nesterov):
    """A step multiplies (w, v) by a matrix: v' = mu v + c w; w' = w - eta v', or Nesterov's."""
    eta, mu, steps = 0.05, 0.9, 15
    optimizer = nn.SGD(eta, momentum=mu, nesterov=nesterov)
    got = minimise(optimizer, slope, steps, place=backend_variant.place)
    for c, start, end in zip(CURVATURE, W, got, strict=True):
        rows = [[1 - eta * c, -eta * mu], [c, mu]]
        if nesterov:
            rows[0] = [1 - eta * c * (1 + mu), -eta * mu**2]
        want = np.linalg.matrix_power(np.array(rows), steps) @ [start, 0.0]
        np.testing.assert_allclose(end, want[0], rtol=1e-11)


@every_rule
def test_every_rule_goes_down_a_quadratic(optimizer):
    def loss(w: np.ndarray) -> float:
        return float(np.sum(CURVATURE * w**2) / 2)

    assert loss(minimise(optimizer, slope, 100)) < 0.95 * loss(W)


# The first step of each rule

FIRST = {
    "sgd": G,
    "momentum": G,
    "nesterov": 1.9 * G,  # g + mu v, where v = g
    "adagrad": np.sign(G),
    "rmsprop": np.sign(G) / math.sqrt(0.1),  # no bias correction
    "adam": np.sign(G),
    "adamw": np.sign(G),
    "nadam": np.sign(G) * (1 + 0.9 / 1.9),  # b1 (1-b1) g / (1-b1^2) + g
    "amsgrad": np.sign(G),
    "lion": np.sign(G),
}


@pytest.mark.parametrize("rule", EXACT)
def test_first_step(backend_variant, rule):
    """Bias correction makes Adam's first step eta whatever the gradient's size."""
    got = minimise(EXACT[rule], constant, place=backend_variant.place)
    np.testing.assert_allclose(got, W - ETA * FIRST[rule], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("rule", ["adam", "adamw", "amsgrad", "adagrad"])
def test_first_step_in_single_precision(backend_variant, rule):
    """1 - beta2 and its like lose four digits in float32, unless they are Python floats."""
    start = np.zeros(5, "float32")
    got = minimise(EXACT[rule], constant, 1, backend_variant.place, start)
    np.testing.assert_allclose(got, -ETA * np.sign(G), rtol=4 * np.finfo("float32").eps)


@pytest.mark.parametrize("rule", ["adam", "adamw", "amsgrad", "lion"])
def test_constant_gradients_give_constant_steps(rule):
    """The bias corrections undo the start from 0 exactly: m^ = g and s^ = g^2 at every t."""
    got = minimise(EXACT[rule], constant, 50)
    np.testing.assert_allclose(got, W - 50 * ETA * np.sign(G), rtol=1e-12, atol=1e-14)


def test_adagrad_slows_down_like_1_over_sqrt_t():
    got = minimise(EXACT["adagrad"], constant, 50)
    want = ETA * sum(1 / math.sqrt(t) for t in range(1, 51))
    np.testing.assert_allclose(got, W - want * np.sign(G), rtol=1e-12)


@pytest.mark.parametrize("rule", ["adagrad", "rmsprop", "adam", "nadam", "amsgrad", "lion"])
def test_adaptive_steps_do_not_depend_on_the_gradients_scale(rule):
    plain = minimise(EXACT[rule], slope, 20)
    scaled = minimise(EXACT[rule], lambda w: 1000 * slope(w), 20)
    np.testing.assert_allclose(scaled, plain, rtol=1e-9)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("rule", ["adagrad", "rmsprop", "adam", "adamw", "nadam", "amsgrad"])
def test_eps_stands_inside_the_root_or_outside(rule, inside):
    s, eps = G**2 * (0.1 if rule == "rmsprop" else 1.0), 0.04
    root = np.sqrt(s + eps) if inside else np.sqrt(s) + eps
    got = minimise(replace(EXACT[rule], eps=eps, eps_inside_sqrt=inside), constant)
    np.testing.assert_allclose(got, W - ETA * FIRST[rule] * np.sqrt(s) / root, rtol=1e-13)


@pytest.mark.parametrize("kind", [nn.AdaGrad, nn.RMSProp, nn.Adam, nn.AdamW, nn.NAdam, nn.AMSGrad])
def test_eps_stands_inside_the_root_by_default(kind):
    assert kind(ETA).eps == 1e-8
    assert kind(ETA).eps_inside_sqrt is True


def test_amsgrad_remembers_the_largest_s():
    """After one large gradient it steps less than Adam, and equals it while s only grows.

    To rounding: on NumPy Adam has an implementation that orders its factors in its own way.
    """
    np.testing.assert_allclose(
        minimise(EXACT["amsgrad"], constant, 9), minimise(EXACT["adam"], constant, 9), rtol=1e-14
    )

    def fading(kind: type[Optimizer]) -> float:
        gradients = iter([100.0, *[1.0] * 30])
        optimizer = kind(ETA, beta2=0.5)
        return float(minimise(optimizer, lambda w: 0 * w + next(gradients), 30, start=W[:1])[0])

    assert fading(nn.AMSGrad) > fading(nn.Adam) + 5 * ETA


# What is carried from step to step


DECAYS = {
    "sgd": {},
    "momentum": {"v": 0.9},
    "nesterov": {"v": 0.9},
    "adagrad": {"s": 1.0},
    "rmsprop": {"s": 0.9},
    **{rule: {"m": 0.9, "s": 0.999} for rule in ("adam", "adamw", "nadam")},
    "amsgrad": {"m": 0.9, "s": 0.999, "peak": 0.999},
    "lion": {"m": 0.99},
}


@pytest.mark.parametrize("rule", EXACT)
def test_every_moment_has_its_decay(rule):
    optimizer, want = EXACT[rule], DECAYS[rule]
    assert optimizer.decays == want
    averaging = replace(optimizer, ema=0.95)
    assert list(averaging.decays.items()) == [*want.items(), ("average", 0.95)]
    assert (optimizer.moments, averaging.moments) == (tuple(want), (*want, "average"))


CORRECTED = ["adam", "adamw", "nadam", "amsgrad"]


def corrections(rule: str, t: int, m: int, s: int) -> tuple[float, ...]:
    """The bias corrections of moments of those ages, as they have always been computed."""
    unbias_m, unbias_s = 1.0 / (1.0 - 0.9**m), 1.0 / (1.0 - 0.999**s)
    if rule == "nadam":
        return ETA, 0.9 / (1.0 - 0.9 ** (m + 1)), (1.0 - 0.9) * unbias_m, unbias_s
    return ETA, unbias_m, unbias_s


@pytest.mark.parametrize("rule", CORRECTED)
@pytest.mark.parametrize("ages", [None, {}, {"m": 1}, {"s": 3}, {"m": 2, "s": 7, "average": 4}])
def test_bias_corrections_go_by_the_ages_of_the_moments(rule, ages):
    optimizer, given = EXACT[rule], dict(ages or {})
    for t in (1, 2, 17, 1000, 100_000):
        want = corrections(rule, t, given.get("m", t), given.get("s", t))
        assert optimizer.coefficients(t, ages) == want
    assert (ages or {}) == given


@every_rule
@pytest.mark.parametrize("ages", [None, {}, {"m": 1}, {"s": 3, "m": 2}, {"v": 1, "average": 9}])
@pytest.mark.parametrize("rate", [ETA, schedules.Cosine(ETA, 20)], ids=["number", "schedule"])
def test_the_coefficients_of_several_steps_are_those_of_each(optimizer, ages, rate):
    optimizer, steps = replace(optimizer, learning_rate=rate), range(5, 30)
    want = []
    for k, t in enumerate(steps):
        older = {name: age + k for name, age in (ages or {}).items()}
        want.append(optimizer.coefficients(t, older))
    assert optimizer.coefficients_of(steps, ages) == want
    assert optimizer.coefficients_of(range(5, 5), ages) == []


@pytest.mark.parametrize("rule", ["adam", "adamw", "amsgrad"])
def test_moments_that_begin_late_are_corrected_from_their_beginning(backend_variant, rule):
    """With a constant gradient every step from new moments is eta, from t = 100 as from t = 1."""
    ages = {"m": 1, "s": 1, "peak": 1}
    got = minimise(EXACT[rule], constant, 3, backend_variant.place, first=100, ages=ages)
    np.testing.assert_allclose(got, W - 3 * ETA * np.sign(G), rtol=1e-13, atol=1e-15)


# Weight decay and clipping


@every_rule
def test_weight_decay_is_the_gradient_of_its_penalty_or_decoupled(optimizer):
    """L2 adds the gradient of decay / 2 ||w||^2; decoupled, w first shrinks by 1 - eta decay."""
    got = minimise(replace(optimizer, weight_decay=0.3), slope, 5)
    plain = replace(optimizer, weight_decay=0.0)
    if not optimizer.decoupled:
        np.testing.assert_allclose(
            got, minimise(plain, lambda w: slope(w) + 0.3 * w, 5), rtol=1e-12
        )
    else:
        w = minimise(replace(optimizer, weight_decay=0.3), slope, 1)
        shrunk = minimise(plain, lambda w: slope(W), 1, start=(1 - ETA * 0.3) * W)
        np.testing.assert_allclose(w, shrunk, rtol=1e-14)


@pytest.mark.parametrize("kind", [nn.AdamW, nn.Lion])
def test_decoupled_decay_without_a_gradient(backend_variant, kind):
    optimizer = kind(0.1, weight_decay=0.5)
    got = minimise(optimizer, np.zeros_like, 10, place=backend_variant.place)
    np.testing.assert_allclose(got, (1 - 0.1 * 0.5) ** 10 * W, rtol=1e-14)


def test_which_rules_decouple_their_decay():
    assert {name for name, kind in BY_NAME.items() if kind.decoupled} == {"adamw", "lion"}
    assert nn.AdamW().weight_decay == 0.01
    assert nn.Adam().weight_decay == nn.Lion().weight_decay == 0.0


def test_clipping_leaves_small_gradients_alone(backend_variant):
    norm = float(np.linalg.norm(G))
    for limit in (norm * (1 + 1e-12), 1e6):
        clipped = minimise(nn.SGD(ETA, clip_norm=limit), constant, place=backend_variant.place)
        plain = minimise(nn.SGD(ETA), constant, place=backend_variant.place)
        assert np.array_equal(clipped, plain)


def test_clipping_caps_the_norm_and_keeps_the_direction(backend_variant):
    moved = W - minimise(nn.SGD(1.0, clip_norm=0.5), constant, place=backend_variant.place)
    np.testing.assert_allclose(moved, 0.5 * G / np.linalg.norm(G), rtol=1e-12, atol=1e-15)


def test_clipping_in_half_precision_survives_large_gradients(backend_variant):
    """Their squares, and the sum of these, are beyond 65504."""
    if backend_variant.backend_name == "strict":
        pytest.skip("array_api_strict has no float16")
    g, w = np.array([300.0, -400.0, 0.0]), np.zeros(3, "float16")
    got = minimise(nn.SGD(1.0, clip_norm=5.0), lambda w: g, 1, backend_variant.place, w)
    np.testing.assert_allclose(got, [-3.0, 4.0, 0.0], rtol=1e-3)


def test_clipping_comes_before_the_decay():
    optimizer = nn.SGD(1.0, clip_norm=0.5, weight_decay=0.1)
    want = W - 0.5 * G / np.linalg.norm(G) - 0.1 * W
    np.testing.assert_allclose(minimise(optimizer, constant), want, rtol=1e-13, atol=1e-15)


@every_rule
def test_no_gradient_no_step(optimizer):
    assert np.array_equal(minimise(optimizer, np.zeros_like, 3), W)


# Schedules


def test_step_decay():
    schedule = schedules.StepDecay(0.8, every=3, factor=0.5)
    assert [schedule(t) for t in range(1, 8)] == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2]


def test_cosine():
    schedule = schedules.Cosine(1.0, steps=4, final=0.2)
    want = [0.2 + 0.8 * (1 + math.cos(math.pi * k / 4)) / 2 for k in (0, 1, 2, 3, 4, 4, 4)]
    assert [schedule(t) for t in range(1, 8)] == pytest.approx(want, rel=1e-15)
    assert (schedule(1), schedule(3), schedule(5)) == pytest.approx((1.0, 0.6, 0.2))


def test_cosine_warms_up():
    schedule = schedules.Cosine(1.0, steps=2, warmup=4)
    want = [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.0, 0.0]
    assert [schedule(t) for t in range(1, 9)] == pytest.approx(want, abs=1e-16)


@every_rule
def test_every_step_asks_the_schedule(optimizer):
    scheduled = replace(optimizer, learning_rate=schedules.StepDecay(0.8, 2, 0.5))
    assert [scheduled.coefficients(t)[0] for t in (1, 2, 3, 4, 5)] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_training_follows_the_schedule(backend_variant):
    """With a constant gradient, sums of learning rates are distances: 0.8 + 0.4 + 0.2."""
    optimizer = nn.SGD(schedules.StepDecay(0.8, 1, 0.5))
    got = minimise(optimizer, constant, 3, place=backend_variant.place)
    np.testing.assert_allclose(got, W - 1.4 * G, rtol=1e-14, atol=1e-15)


# Arguments

NUMPY_FLOAT = np.float64(0.5)


@every_rule
def test_hyper_parameters_become_python_floats(optimizer):
    given = {
        name: NUMPY_FLOAT
        for name in ("learning_rate", "momentum", "beta", "beta1", "beta2", "eps")
        if getattr(optimizer, name, 0) != 0
    }
    made = replace(optimizer, **given, weight_decay=NUMPY_FLOAT, clip_norm=NUMPY_FLOAT)
    for name in (*given, "weight_decay", "clip_norm"):
        assert type(getattr(made, name)) is float, name
    assert {type(c) for t in (1, 10**6) for c in made.coefficients(t)} == {float}


class Rough(schedules.Schedule):
    """A user's own, whose rates are NumPy's."""

    def __call__(self, t: int) -> float:
        return np.float64(0.5) / np.sqrt(t)


@pytest.mark.parametrize(
    "rate", [NUMPY_FLOAT, schedules.Cosine(NUMPY_FLOAT, np.int64(9)), Rough()], ids=type
)
def test_numpy_floats_do_not_promote_the_parameters(backend_variant, rate):
    for kind in (nn.SGD, nn.Adam):
        optimizer = kind(rate, weight_decay=NUMPY_FLOAT, clip_norm=NUMPY_FLOAT)
        got = minimise(optimizer, constant, 2, backend_variant.place, W.astype("float32"))
        assert got.dtype == "float32"


@pytest.mark.parametrize("optimizer", [nn.Adam(NUMPY_FLOAT), nn.SGD(NUMPY_FLOAT)], ids=str)
def test_training_keeps_single_precision(backend_variant, optimizer):
    net = nn.MLP([2, 3, 2], dtype="float32", **backend_variant.place)
    nn.Trainer(net, optimizer).step([[0.5, 1.0]], [1])
    assert net.w.dtype == backend_variant.backend.dtype("float32")


REFUSED = [
    ("learning_rate", 0.0),
    ("learning_rate", -1.0),
    ("learning_rate", math.nan),
    ("learning_rate", math.inf),
    ("learning_rate", "fast"),
    ("learning_rate", None),
    ("weight_decay", -0.1),
    ("weight_decay", math.nan),
    ("clip_norm", 0.0),
    ("clip_norm", math.inf),
    ("eps", -1e-8),
    ("eps", math.nan),
    *[(name, value) for name in ("momentum", "beta", "beta1", "beta2") for value in (-0.1, 1.0, 2)],
]


def has(kind: type[Optimizer], name: str) -> bool:
    return name in {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, *wrong) for kind in BY_NAME.values() for wrong in REFUSED if has(kind, wrong[0])],
)
def test_wrong_hyper_parameters_are_refused(kind, name, value):
    with pytest.raises(ValueError, match=f"^{kind.__name__}: `{name}` must be .*got"):
        kind(**{"learning_rate": 0.1, name: value})


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"SGD: `nesterov` needs momentum > 0, got momentum=0"):
        nn.SGD(0.1, nesterov=True)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: schedules.StepDecay(0.0, 1), "StepDecay: `learning_rate` must be"),
        (lambda: schedules.StepDecay(1.0, 0), "StepDecay: `every` must be"),
        (lambda: schedules.StepDecay(1.0, 1, 0.0), "StepDecay: `factor` must be"),
        (lambda: schedules.Cosine(-1.0, 1), "Cosine: `learning_rate` must be"),
        (lambda: schedules.Cosine(1.0, 1.5), "Cosine: `steps` must be"),
        (lambda: schedules.Cosine(1.0, 1, -0.1), "Cosine: `final` must be"),
        (lambda: schedules.Cosine(1.0, 1, warmup=-1), "Cosine: `warmup` must be"),
    ],
)
def test_wrong_schedules_are_refused(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


@every_rule
def test_optimisers_are_frozen(optimizer):
    with pytest.raises(FrozenInstanceError):
        optimizer.learning_rate = 1.0
