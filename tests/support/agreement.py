"""Compare a primitive's result with its definition in float64, within the bounds of `cases`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from case_table import UNITS, Case

from nnpoly.primitives import TABLE, Ops

REFERENCE = Ops(xp)


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply `change` to every array in `value`, also in its lists and dictionaries."""
    if isinstance(value, dict):
        return {key: each(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [each(item, change) for item in value]
    return change(value) if isinstance(value, np.ndarray) else value


def rounded(case: Case, dtype: str) -> dict[str, Any]:
    """The case's arguments, floating-point arrays rounded to `dtype`."""
    return each(case.arguments, lambda a: a.astype(dtype) if a.dtype.kind == "f" else a)


def views_of(ops: Ops, out: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Consecutive pieces of the vector `out`, with the given shapes."""
    views, start = [], 0
    for shape in shapes:
        stop = start + int(np.prod(shape))
        views.append(ops.xp.reshape(out[start:stop], shape))
        start = stop
    return views


def call(ops: Ops, case: Case, arguments: dict[str, Any]) -> list[Any]:
    """Call the case's primitive by position, as the library does. Returns a list of results."""
    if "views" in arguments:
        views = views_of(ops, arguments["out"], arguments["views"])
        arguments = {**arguments, "views": views}
    results = getattr(ops, case.primitive)(*arguments.values())
    return list(results) if isinstance(results, tuple) else [results]


def reference(case: Case, dtype: str) -> tuple[list[Any], list[Any]]:
    """The definition's results in float64 for the rounded arguments, and the error bounds."""
    arguments = each(rounded(case, dtype), lambda a: a.astype("f8") if a.dtype.kind == "f" else a)
    results = call(REFERENCE, case, arguments)
    floats = np.finfo(dtype)
    factor = UNITS * float(floats.eps) * np.sqrt(case.terms)
    scales = case.scales(arguments, results)
    tiny = float(floats.tiny)
    return results, [factor * scale + tiny * np.any(scale > 0) for scale in scales]


def is_traced(primitive: str, name: str, value: Any) -> bool:
    """Whether a compiled step is passed this argument: arrays, and what is annotated Scalar."""
    annotation = inspect.signature(TABLE[primitive].definition).parameters[name].annotation
    holds_arrays = isinstance(value, np.ndarray | dict) or name == "pieces"
    return holds_arrays or annotation == "Scalar"


COMPILED: dict[str, Callable[..., list[Any]]] = {}  # cases that differ in arrays share one


def compute(variant, case: Case, arguments: dict[str, Any]) -> list[Any]:
    """Call the primitive on the variant's backend, compiled if the variant is."""
    if not variant.jit:
        with variant.scope():
            return call(variant.backend.ops, case, arguments)
    traced, fixed = {}, {}
    for name, value in arguments.items():
        changes = is_traced(case.primitive, name, case.arguments[name])
        (traced if changes else fixed)[name] = value
    key = f"{variant.id} {case.primitive} {list(arguments)} {fixed}"
    if key not in COMPILED:
        COMPILED[key] = variant.backend.compile(
            lambda ops, varying: call(ops, case, {**arguments, **varying})
        )
    return COMPILED[key](traced)


def place(variant, case: Case, dtype: str) -> dict[str, Any]:
    """The arguments as arrays of the variant's backend; donated ones are writable copies."""
    donates, index = TABLE[case.primitive].donates, variant.backend.index_dtype

    def array(name: str) -> Callable[[np.ndarray], Any]:
        def move(values: np.ndarray) -> Any:
            moved = variant.array(values, index if values.dtype.kind == "i" else None)
            return variant.backend.copy(moved) if name in donates else moved

        return move

    return {name: each(value, array(name)) for name, value in rounded(case, dtype).items()}


def bits(variant, arguments: dict[str, Any], donates: tuple[str, ...]) -> list[bytes]:
    """The bytes of every array that an implementation must not modify."""
    found: list[bytes] = []
    for name, value in arguments.items():
        arrays = value if isinstance(value, list) else [value]
        if name not in donates:
            owned = filter(variant.backend.owns, arrays)
            found.extend(np.array(variant.host(array)).tobytes() for array in owned)
    return found


def assert_agrees(variant, got: Any, want: Any, allowed: Any, dtype: str, case: Case) -> None:
    """Assert dtype, device, shape and values of one result."""
    wanted_dtype = dtype if want.dtype.kind == "f" else variant.backend.index_dtype
    device = variant.backend.device(variant.device)
    assert got.dtype == variant.backend.dtype(wanted_dtype), f"{case}: dtype"
    assert got.device == device, f"{case}: device"
    host = variant.host(got).astype("f8")
    assert host.shape == want.shape, f"{case}: shape"
    error = np.abs(host - want)
    assert np.all(error <= allowed), (
        f"{case.primitive} {case.name}: off by {np.max(error / np.maximum(allowed, 1e-300)):.2g} "
        "times what is allowed"
    )


def may_lack_pre(case: Case) -> bool:
    """Whether `dense` may leave out the pre-activations: nothing reads them."""
    return not case.arguments.get("keep_pre", True) and case.arguments["activation"].reads != "pre"


def check(variant, case: Case, dtype: str, compute: Callable[..., list[Any]] = compute) -> None:
    """Assert that a primitive agrees with its definition, and modifies none of its inputs."""
    arguments = place(variant, case, dtype)
    donates = TABLE[case.primitive].donates
    before = bits(variant, arguments, donates)
    results = compute(variant, case, arguments)
    wanted, allowed = reference(case, dtype)
    assert len(results) == len(wanted)
    for got, want, error in zip(results, wanted, allowed, strict=True):
        if want is None:
            assert got is None, f"{case}: nothing is asked for"
        elif got is None:
            assert may_lack_pre(case), f"{case}: a pre is missing"
        else:
            assert_agrees(variant, got, want, error, dtype, case)
    assert bits(variant, arguments, donates) == before, f"{case}: an input was modified"
