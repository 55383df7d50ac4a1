"""The parity tools: right backends pass, every wrong formula is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly import activations
from nnpoly.backends import get, registry
from nnpoly.backends.numpy import NumPy
from nnpoly.backends.reference import Reference
from nnpoly.primitives import TABLE, Ops

X = np.random.default_rng(1).normal(size=(24, 5))
CLASSES = np.random.default_rng(2).integers(0, 3, 24)

NETWORKS = {
    "relu": lambda **place: nn.MLP([5, 8, 6, 3], "relu", **place),
    "gelu": lambda **place: nn.MLP([5, 8, 3], "gelu", **place),
    "every layer": lambda **place: nn.Network(
        [
            nn.Dropout(0.1),
            nn.Dense(5, 8, "elu"),
            nn.Residual([nn.LayerNorm(8, activation="tanh"), nn.Dense(8, 8, "silu")]),
            nn.BatchNorm(8, activation="relu"),
            nn.Dense(8, 3),
        ],
        "softmax",
        **place,
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_backends_agree(make: Callable[..., nn.Network], dtype: str, backend_variant: Any) -> None:
    net = make(dtype=dtype)
    before = net.w.copy()
    nn.testing.assert_parity(net, X, CLASSES, [backend_variant.backend_name], steps=3)
    assert np.array_equal(net.w, before)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_rounded_factors_agree(make: Callable[..., nn.Network], backend_variant: Any) -> None:
    """In units of float32 where the factors are given; see `nnpoly.testing.comparison`."""
    name = backend_variant.backend_name
    nn.testing.assert_parity(make(), X, CLASSES, [name], steps=3, precision="bf16")


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.SGD(0.1),
        nn.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.1),
        nn.AdaGrad(0.1),
        nn.RMSProp(0.01, eps_inside_sqrt=False),
        nn.AdamW(0.01),
        nn.NAdam(0.01, weight_decay=0.1),
        nn.AMSGrad(0.01),
        nn.Lion(1e-3),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_optimisers_agree(optimizer: Any) -> None:
    net = nn.MLP([5, 8, 2], "tanh", "identity")
    y = np.random.default_rng(3).normal(size=(24, 2))
    nn.testing.assert_parity(net, X, y, ["numpy", "strict", "torch"], optimizer=optimizer)


def test_all_available_backends_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "available", lambda: ["numpy", "torch"])
    nn.testing.assert_parity(nn.MLP([5, 4, 3]), X, CLASSES, steps=1)


def test_data_and_network_of_another_backend() -> None:
    net = nn.MLP([5, 4, 3], backend="torch")
    nn.testing.assert_parity(net, X, CLASSES, ["numpy"], steps=1)


def test_precisions_without_a_definition_are_refused() -> None:
    with pytest.raises(ValueError, match="assert_parity: `precision` must be one of bf16, got"):
        nn.testing.assert_parity(nn.MLP([5, 4, 3]), X, CLASSES, precision="tf32")
    wide = nn.MLP([5, 4, 3], dtype="float64")
    with pytest.raises(ValueError, match="assert_parity: `precision` 'bf16' rounds the factors"):
        nn.testing.assert_parity(wide, X, CLASSES, ["numpy"], precision="bf16")


# Wrong formulas: each must be caught where it is


class Mutant(NumPy):
    """NumPy with one primitive replaced."""

    name = "mutant"

    def __init__(self, primitive: str, wrong: Callable[..., Any]) -> None:
        super().__init__()
        self._change = primitive, wrong

    @cached_property
    def ops(self) -> Ops:
        return self._changed(Ops(self.xp, "numpy"))

    def compile(
        self, function: Callable[..., Any], precision: str | None = None
    ) -> Callable[..., Any]:
        return lambda *arrays: function(self.ops_with(precision), *arrays)

    def _changed(self, ops: Ops) -> Ops:
        primitive, wrong = self._change
        right = getattr(ops, primitive)
        setattr(ops, primitive, lambda *args, **options: wrong(right, *args, **options))
        return ops


def _loss_with(change: Callable[[Any, int], Any]) -> Callable[..., Any]:
    def wrong(right: Any, scores: Any, *rest: Any) -> Any:
        loss, delta = right(scores, *rest)
        return loss, change(delta, scores.shape[0])

    return wrong


def _without_post(pre: Any, post: Any) -> Any:
    return pre, post * np.float32(np.nan)


MUTATIONS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "a dropped bias": (
        "dense",
        lambda right, x, W, b, *rest: right(x, W, 0 * b, *rest),
        "step 2, layer 0 (Dense), array 'pre'",
    ),
    "eps on the other side of the root": (
        "adam",
        lambda right, *args: right(*args[:-1], not args[-1]),
        "step 1, Adam, array 'w'",
    ),
    "y - f": (
        "cross_entropy",
        _loss_with(lambda delta, n: -delta),
        "step 1, layer 1 (Dense), array 'delta'",
    ),
    "no 1/n": (
        "cross_entropy",
        _loss_with(lambda delta, n: delta * n),
        "step 1, layer 1 (Dense), array 'delta'",
    ),
    "the default dtype": (
        "dense_gradients",
        lambda right, *args: tuple(g.astype("float64") for g in right(*args)),
        "step 1, layer 1 (Dense), array 'dW'",
    ),
    "a derivative forgotten": (
        "dense_delta",
        lambda right, delta, W, pre, post, activation: delta @ W,
        "step 1, layer 1 (Dense), array 'delta below'",
    ),
    "no bias correction": (
        "adam",
        lambda right, *args: right(*args[:7], 1.0, 1.0, *args[9:]),
        "step 1, Adam, array 'w'",
    ),
    "NaN": (
        "dense",
        lambda right, *args: _without_post(*right(*args)),
        "step 1, layer 0 (Dense), array 'post'",
    ),
}


@pytest.fixture
def mutant(request: pytest.FixtureRequest) -> Iterator[Mutant]:
    primitive, wrong, _ = (MUTATIONS | ROUNDING)[request.param]
    backend = Mutant(primitive, wrong)
    registry.register("mutant", lambda: backend)
    yield backend
    del registry._FACTORIES["mutant"]
    registry._LOADED.pop("mutant", None)


@pytest.mark.parametrize(
    ("mutant", "where"),
    [(name, where) for name, (_, _, where) in MUTATIONS.items()],
    indirect=["mutant"],
    ids=MUTATIONS,
)
def test_wrong_formulas_are_named(mutant: Mutant, where: str) -> None:
    net = nn.MLP([5, 8, 3], "tanh")
    with pytest.raises(AssertionError, match="mutant float32 parts from") as error:
        nn.testing.assert_parity(net, X, CLASSES, ["mutant"], steps=3)
    assert where in str(error.value)


def _cut(x: Any) -> Any:
    return (x.view("u4") & np.uint32(0xFFFF0000)).view("f4")


ROUNDING: dict[str, tuple[str, Callable[..., Any], str]] = {
    "nothing rounded": (
        "dense_bf16",
        lambda right, *arguments: Ops(np).dense(*arguments),
        "step 1, layer 0 (Dense), array 'pre'",
    ),
    "rounded to zero": (
        "dense_bf16",
        lambda right, x, W, *rest: Ops(np).dense(_cut(x), _cut(W), *rest),
        "step 1, layer 0 (Dense), array 'pre'",
    ),
    "the sum of rounded deltas": (
        "dense_gradients_bf16",
        lambda right, delta, *rest: right(Ops(np).bfloat16(delta), *rest),
        "step 1, layer 1 (Dense), array 'db'",
    ),
    "W as it is on the way down": (
        "dense_delta_bf16",
        lambda right, delta, *rest: Ops(np).dense_delta(Ops(np).bfloat16(delta), *rest),
        "step 1, layer 1 (Dense), array 'delta below'",
    ),
}


@pytest.mark.parametrize(
    ("mutant", "where"),
    [(name, where) for name, (_, _, where) in ROUNDING.items()],
    indirect=["mutant"],
    ids=ROUNDING,
)
def test_wrong_rounding_is_named(mutant: Mutant, where: str) -> None:
    net = nn.MLP([5, 8, 3], "tanh")
    with pytest.raises(AssertionError, match="mutant float32 parts from") as error:
        nn.testing.assert_parity(net, X, CLASSES, ["mutant"], steps=1, precision="bf16")
    assert where in str(error.value)


@pytest.mark.parametrize("mutant", ["eps on the other side of the root"], indirect=True)
def test_report_names_the_primitive(mutant: Mutant) -> None:
    report = nn.testing.parity_report(["mutant"], ["float32"], steps=1)
    failed = [row.subject for row in report.rows if not row.passed]
    assert not report.passed
    assert "adam" in failed
    assert "adagrad" not in failed


def test_a_faulty_compiled_step_is_found() -> None:
    """The lock-step sees the primitives; only the free run sees what `compile` does."""

    class Forgetful(NumPy):
        name = "forgetful"

        def compile(
            self, function: Callable[..., Any], precision: str | None = None
        ) -> Callable[..., Any]:
            right = super().compile(function, precision)

            def wrong(*given: Any) -> Any:
                loss, state = right(*given)
                state.w[...] *= np.float32(1 - 1e-4)
                return loss, state

            return wrong

    registry.register("forgetful", Forgetful)
    try:
        with pytest.raises(AssertionError, match="free run, layer 0"):
            nn.testing.assert_parity(nn.MLP([5, 8, 3]), X, CLASSES, ["forgetful"])
    finally:
        del registry._FACTORIES["forgetful"]
        registry._LOADED.pop("forgetful")


def test_the_reference_runs_definitions_only() -> None:
    """In a compiled step too: else NumPy would be compared with itself."""
    ops = Reference().compile(lambda ops: ops)()
    for name, primitive in TABLE.items():
        assert getattr(ops, name).func is primitive.definition


# The report


def test_report_covers_the_table() -> None:
    report = nn.testing.parity_report(["numpy", "torch"], ["float32"], steps=2)
    assert report.passed, [row for row in report.rows if not row.passed]
    for name in ("numpy", "torch"):
        subjects = {row.subject for row in report.rows if row.backend == name}
        assert set(TABLE) <= subjects
        assert sum(subject.startswith("train ") for subject in subjects) == 5


# Gradients


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_gradients_are_right(make: Callable[..., nn.Network], training: bool) -> None:
    nn.testing.check_gradients(make(), X, CLASSES, training=training)


def test_gradients_on_a_backend(backend_variant: Any) -> None:
    net = nn.MLP([5, 4, 3], "silu", **backend_variant.place)
    nn.testing.check_gradients(net, X, CLASSES, limit=5)


class WrongTanh(activations.Tanh):
    def slope(self, ops: Ops, pre: Any, post: Any) -> Any:
        return 1.0 - post


def test_a_wrong_gradient_is_named() -> None:
    with pytest.raises(AssertionError, match=r"check_gradients: layer 0 \(Dense\), W\[\d, \d\] is"):
        nn.testing.check_gradients(nn.MLP([5, 4, 3], WrongTanh()), X, CLASSES)


def test_gradients_at_a_kink() -> None:
    """All pre-activations are exactly 0, where relu has two slopes; either is right."""
    net = nn.MLP([5, 4, 3], "relu", init="zeros", dtype="float64")
    nn.testing.check_gradients(net, X, CLASSES)


def test_tools_leave_the_network_alone() -> None:
    net = get("numpy") and nn.MLP([5, 4, 3], "tanh")
    before = net.w.copy()
    nn.testing.check_gradients(net, X, CLASSES)
    nn.testing.assert_parity(net, X, CLASSES, ["numpy"], steps=2)
    assert np.array_equal(net.w, before)


def test_half_precision_needs_a_larger_eps() -> None:
    with pytest.raises(ValueError, match="eps=1e-08, which is 0 in float16"):
        nn.Trainer(nn.MLP([5, 3], dtype="float16"), nn.Adam())
    nn.Trainer(nn.MLP([5, 3], dtype="float16"), nn.Adam(eps=1e-4)).step(X, CLASSES)
