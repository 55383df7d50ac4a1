"""Every primitive, on every backend, against its definition in float64; and how it is dispatched.

`cases` states the arguments and the bounds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from agreement import call, check, each, rounded
from cases import CASES, Case
from conftest import VARIANTS

from nnpoly import activations
from nnpoly.activations import Activation
from nnpoly.backends import get, registry
from nnpoly.primitives import IMPLEMENTATIONS, TABLE, Implementation, Ops, implements, table

ALL = [case for cases in CASES.values() for case in cases]
NUMPY = next(variant for variant in VARIANTS if variant.id == "numpy")
registry.available()  # imports the backends, so that their implementations are known

every_primitive = pytest.mark.parametrize("primitive", TABLE)


# The table


@every_primitive
def test_every_primitive_has_cases(primitive):
    names = [case.name for case in CASES[primitive]]
    assert names
    assert len(set(names)) == len(names)


def test_no_case_lacks_its_primitive():
    assert set(CASES) == set(TABLE)


@pytest.mark.parametrize("primitive", ["activate", "activation_delta", "dense", "dense_delta"])
def test_every_activation_has_cases(primitive):
    covered = {type(case.arguments["activation"]) for case in CASES[primitive]}
    assert covered == {k for k in Activation.__subclasses__() if k.__module__.startswith("nnpoly.")}


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.primitive}-{case.name}")
def test_arguments_stand_in_the_order_of_the_definition(case):
    _, *names = inspect.signature(TABLE[case.primitive].definition).parameters
    assert list(case.arguments) == names[: len(case.arguments)]


@every_primitive
def test_donated_arguments_exist(primitive):
    row = TABLE[primitive]
    assert set(row.donates) <= set(inspect.signature(row.definition).parameters)


# Every backend agrees


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_primitive
def test_agrees_with_the_definition_in_float64(variant, primitive, dtype):
    for case in CASES[primitive]:
        check(variant, case, dtype)


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if v.backend_name == "numpy"], ids=lambda v: v.id
)
@every_primitive
def test_agrees_in_half_precision(primitive, variant):
    for case in CASES[primitive]:
        check(variant, case, "float16")


@every_primitive
def test_numpy_agrees_with_arrays_that_are_used_again(primitive):
    """A compiled step on NumPy writes into the arrays of the step before, whatever they held."""
    run = NUMPY.backend.compile(lambda ops, *call_of: call(ops, *call_of))
    for _ in range(2):
        for case in CASES[primitive]:
            check(NUMPY, case, "float32", lambda _, *call_of: run(*call_of))


# Fast paths are used where their guard accepts, and nowhere else

KEYS = list(IMPLEMENTATIONS)
ROWS = [(key, number) for key in KEYS for number in range(len(IMPLEMENTATIONS[key]))]


def strided(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None], 2, axis=-1)[..., 0]


def all_forms(backend: str, primitive: str) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Yield each case's arguments in two dtypes, contiguous and strided (donated ones are not)."""
    chosen, donates = get(backend), TABLE[primitive].donates
    device = chosen.device(None)
    for case in CASES[primitive]:
        for dtype in ("float16", "float32"):
            for form in (np.array, strided):
                arguments = {
                    name: each(value, np.array if name in donates else form)
                    for name, value in rounded(case, dtype).items()
                }
                yield case, each(arguments, lambda a: chosen.from_host(a, device))


def accepts(row: Implementation, arguments: dict[str, Any]) -> bool:
    return row.guard is None or row.guard(*arguments.values())


def name_of_row(value: Any) -> str:
    return "-".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize(("key", "number"), ROWS, ids=name_of_row)
def test_implementation_is_used(key, number, monkeypatch):
    (backend, primitive), rows, calls = key, list(IMPLEMENTATIONS[key]), []
    row = rows[number]

    def recorded(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return row.function(*args, **options)

    rows[number] = Implementation(recorded, row.guard)
    monkeypatch.setitem(IMPLEMENTATIONS, key, rows)
    chosen = get(backend)
    assert chosen.ops  # bound, so that it is there again after this test
    monkeypatch.delitem(vars(chosen), "ops")
    for case, arguments in all_forms(backend, primitive):
        if accepts(row, arguments):
            call(chosen.ops, case, arguments)
    assert calls, "no case reaches this implementation: it is dead, or its guard is untested"


@pytest.mark.parametrize("key", KEYS, ids=name_of_row)
def test_definition_runs_where_every_guard_refuses(key):
    backend, primitive = key
    rows, ops = IMPLEMENTATIONS[key], get(backend).ops
    refused = [
        (case, arguments)
        for case, arguments in all_forms(backend, primitive)
        if not any(accepts(row, arguments) for row in rows)
    ]
    assert bool(refused) == all(row.guard is not None for row in rows), "a guard is untested"
    for case, arguments in refused:
        got = call(ops, case, arguments)
        want = TABLE[primitive].definition(ops, *arguments.values())
        for a, b in zip(got, want if isinstance(want, tuple) else [want], strict=True):
            if b is None:  # a pre that nothing reads
                assert a is None
                continue
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)


def test_gradients_already_in_their_place_are_kept():
    ops, flat = get("numpy").ops, np.arange(5.0)
    views = [flat[:2], flat[2:]]
    result = ops.flatten([views[0], np.array([7.0, 8.0, 9.0])], flat, views)
    assert result is flat
    assert flat.tolist() == [0.0, 1.0, 7.0, 8.0, 9.0]


# Dispatch: the last registered is tried first


@pytest.fixture
def fake(monkeypatch) -> Callable[..., None]:
    """Register implementations of sgd on a backend called fake, for one test."""
    monkeypatch.setattr(table, "IMPLEMENTATIONS", {})

    def register(answer: str, guard: Callable[..., bool] | None = None) -> None:
        implements("sgd", "fake", guard)(lambda ops, w, g, learning_rate: answer)

    return register


def test_last_registered_is_tried_first(fake):
    fake("first")
    fake("second")
    assert Ops(xp, "fake").sgd(1.0, 2.0, 0.5) == "second"


def test_refusals_fall_through_to_the_definition(fake):
    fake("positive", lambda w, g, learning_rate: w > 0)
    fake("large", lambda w, g, learning_rate: w > 10)
    sgd = Ops(xp, "fake").sgd
    assert sgd(11.0, 2.0, 0.5) == "large"
    assert sgd(1.0, 2.0, 0.5) == "positive"
    assert sgd(-1.0, 2.0, 0.5) == -2.0
    assert sgd(-1.0, 2.0, learning_rate=0.5) == -2.0


def test_definitions_and_other_backends_are_untouched(fake):
    fake("fake")
    for backend in (None, "other"):
        assert Ops(xp, backend).sgd(1.0, 2.0, 0.5) == 0.0


def test_implementations_need_a_primitive():
    with pytest.raises(KeyError, match="no_such_primitive"):
        implements("no_such_primitive", "fake")(lambda ops: None)


def test_hidden_calls_are_dispatched_too(monkeypatch):
    """A definition that calls another primitive gets the backend's implementation of it."""
    monkeypatch.setattr(table, "IMPLEMENTATIONS", {})
    implements("normal_cdf", "fake")(lambda ops, z: 0.25)
    assert Ops(xp, "fake").activate(np.array([4.0]), activations.gelu) == 1.0
