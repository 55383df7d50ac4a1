"""cublasLt as nvmath-python binds it, computed by NumPy: the products that the backend describes.

Where the device's library would fault or return garbage (a null or foreign address, matrices that
do not fit their memory, less alignment than was promised), this raises. `refusing` lets its
heuristic have no algorithm for chosen problems, as the real one has none for some.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from . import cublaslt_names as names
from . import memory, streams
from .cublaslt_math import AUX, BIASES, MASKS, Product, aux_bytes
from .cublaslt_names import Epilogue

VERSION = 130000
WORKSPACE = 32768  # what an algorithm takes where it may
NOT_SUPPORTED, INVALID_VALUE, EXECUTION_FAILED = 15, 7, 13
_DTYPES = {0: np.dtype("f4"), 1: np.dtype("f8")}
_SCALES = {68: 0, 69: 0, 74: 0, 75: 0, 77: 0, 78: 0, 70: 1, 71: 1}  # by compute type


class cuBLASLtError(Exception):  # noqa: N801  nvmath's name
    """A status that is not success."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"cublasLt status {status}: {why}")
        self.status = status


class Problem(NamedTuple):
    """The product that the heuristic sees: D (m, n) = op(A) (m, k) op(B) (k, n)."""

    m: int
    n: int
    k: int
    epilogue: Epilogue
    compute: int
    types: tuple[int, ...]
    transposed: tuple[int, int]
    lds: tuple[int, ...]
    aux_ld: int


@dataclass
class _Rules:
    refuse: Callable[[Problem], bool] = lambda problem: False
    silently: bool = False
    at_launch: bool = False


_rules = _Rules()


@contextmanager
def refusing(
    refuse: Callable[[Problem], bool], silently: bool = False, at_launch: bool = False
) -> Iterator[None]:
    """Let the heuristic have nothing for some problems; silently: a count of 0, no error.

    at_launch: the heuristic proposes something, and the product itself is then refused.
    """
    global _rules
    before, _rules = _rules, _Rules(refuse, silently, at_launch)
    try:
        yield
    finally:
        _rules = before


# Objects behind handles


@dataclass
class _Object:
    """A descriptor: attributes by number."""

    kind: str
    table: dict[str, tuple[int, str]]
    values: dict[str, Any] = field(default_factory=dict)

    def set(self, attribute: int, buffer: int, size: int) -> None:
        by_number = {number: (name, type) for name, (number, type) in self.table.items()}
        if attribute not in by_number:
            raise cuBLASLtError(INVALID_VALUE, f"{self.kind} has no attribute {attribute}")
        name, type = by_number[attribute]
        wanted = np.dtype(type).itemsize
        if size != wanted:
            raise cuBLASLtError(INVALID_VALUE, f"{name} takes {wanted} bytes, got {size}")
        if not buffer:
            raise cuBLASLtError(INVALID_VALUE, f"{name}: the buffer is null")
        self.values[name] = np.frombuffer(ctypes.string_at(buffer, size), type)[0].item()


_objects: dict[int, _Object] = {}
_handles = count(0x7F000000, 0x40)


def _new(kind: str, table: dict[str, Any], **values: Any) -> int:
    handle = next(_handles)
    _objects[handle] = _Object(kind, table, values)
    return handle


def _get(kind: str, handle: int) -> _Object:
    found = _objects.get(handle)
    if found is None or found.kind != kind:
        raise cuBLASLtError(INVALID_VALUE, f"{handle:#x} is no {kind}")
    return found


def _maker(kind: str) -> tuple[Callable[..., None], Callable[[int], None]]:
    def set_attribute(handle: int, attr: int, buf: int, size_in_bytes: int) -> None:
        _get(kind, handle).set(int(attr), buf, size_in_bytes)

    def destroy(handle: int) -> None:
        _get(kind, handle)
        del _objects[handle]

    return set_attribute, destroy


matmul_desc_set_attribute, matmul_desc_destroy = _maker("matmul_desc")
matrix_layout_set_attribute, matrix_layout_destroy = _maker("matrix_layout")
matmul_preference_set_attribute, matmul_preference_destroy = _maker("matmul_preference")
_, destroy = _maker("handle")


def create() -> int:
    """Return a handle of the current device."""
    return _new("handle", {}, device=streams.state.device)


def get_version() -> int:
    """Return the version number."""
    return VERSION


def matmul_desc_create(compute_type: int, scale_type: int) -> int:
    """Return a description of a product."""
    if _SCALES.get(int(compute_type)) != int(scale_type):
        raise cuBLASLtError(INVALID_VALUE, "the scale type does not go with the compute type")
    return _new(
        "matmul_desc",
        names.DESC,
        COMPUTE_TYPE=int(compute_type),
        SCALE_TYPE=int(scale_type),
        POINTER_MODE=0,
        TRANSA=0,
        TRANSB=0,
        EPILOGUE=1,
        BIAS_POINTER=0,
        EPILOGUE_AUX_POINTER=0,
        EPILOGUE_AUX_LD=0,
    )


def matrix_layout_create(type: int, rows: int, cols: int, ld: int) -> int:
    """Return a description of a matrix."""
    values = {"TYPE": int(type), "ROWS": rows, "COLS": cols, "LD": ld}
    return _new("matrix_layout", names.LAYOUT, ORDER=0, BATCH_COUNT=1, **values)


def matmul_preference_create() -> int:
    """Return preferences."""
    sides = {f"MIN_ALIGNMENT_{x}_BYTES": 256 for x in "ABCD"}
    return _new("matmul_preference", names.PREFERENCE, MAX_WORKSPACE_BYTES=0, **sides)


def get_matmul_desc_attribute_dtype(attr: int) -> Any:
    """Return the type of an attribute."""
    return np.dtype(names.DESC[names.MatmulDescAttribute(attr).name][1]).type


def get_matrix_layout_attribute_dtype(attr: int) -> Any:
    """Return the type of an attribute."""
    return np.dtype(names.LAYOUT[names.MatrixLayoutAttribute(attr).name][1]).type


def get_matmul_preference_attribute_dtype(attr: int) -> Any:
    """Return the type of an attribute."""
    return np.dtype(names.PREFERENCE[names.MatmulPreferenceAttribute(attr).name][1]).type


# The heuristic


def _problem(desc: dict[str, Any], layouts: list[dict[str, Any]]) -> Problem:
    a, b, c, d = layouts
    if desc["EPILOGUE"] not in set(Epilogue):
        raise cuBLASLtError(INVALID_VALUE, f"there is no epilogue {desc['EPILOGUE']}")
    m, k = (a["COLS"], a["ROWS"]) if desc["TRANSA"] else (a["ROWS"], a["COLS"])
    k_b, n = (b["COLS"], b["ROWS"]) if desc["TRANSB"] else (b["ROWS"], b["COLS"])
    if k != k_b or (d["ROWS"], d["COLS"]) != (m, n) or (c["ROWS"], c["COLS"]) != (m, n):
        raise cuBLASLtError(INVALID_VALUE, f"shapes: A ({m}, {k}), B ({k_b}, {n}), D {d}, C {c}")
    if any(layout["LD"] < layout["ROWS"] for layout in layouts):
        raise cuBLASLtError(INVALID_VALUE, "a leading dimension is less than the rows")
    if any(layout["ORDER"] or layout["BATCH_COUNT"] != 1 for layout in layouts):
        raise NotImplementedError("the stand-in has single matrices in column-major order")
    epilogue = Epilogue(desc["EPILOGUE"])
    if epilogue in MASKS and (desc["EPILOGUE_AUX_LD"] % 128 or desc["EPILOGUE_AUX_LD"] < m):
        raise cuBLASLtError(INVALID_VALUE, "EPILOGUE_AUX_LD: a multiple of 128, at least D's rows")
    return Problem(
        m,
        n,
        k,
        epilogue,
        desc["COMPUTE_TYPE"],
        tuple(layout["TYPE"] for layout in layouts),
        (desc["TRANSA"], desc["TRANSB"]),
        tuple(layout["LD"] for layout in layouts),
        desc["EPILOGUE_AUX_LD"] if epilogue in AUX else 0,
    )


def _refused(problem: Problem) -> str | None:
    if set(problem.types) != {_SCALES[problem.compute]}:
        return "types that the compute type does not multiply (in the stand-in)"
    if problem.epilogue in AUX and problem.compute in (70, 71):
        return "no epilogue with an auxiliary matrix in float64"
    if problem.epilogue.name.startswith(("GELU", "DGELU")):
        return "the stand-in has no GELU"
    if problem.m == 1 and problem.epilogue != Epilogue.DEFAULT:
        return "no epilogue where D has one row"
    refused = not _rules.at_launch and _rules.refuse(problem)
    return "the test refuses it" if refused else None


def _refused_at_launch(problem: Problem) -> str | None:
    """Return why the product is refused that the heuristic had an algorithm for, or None."""
    if problem.epilogue == Epilogue.BGRADB and not problem.transposed[1]:
        return "BGRADB needs a B that is transposed"
    return "the test refuses it" if _rules.at_launch and _rules.refuse(problem) else None


def matmul_algo_get_heuristic(
    light_handle: int,
    operation_desc: int,
    adesc: int,
    bdesc: int,
    cdesc: int,
    ddesc: int,
    preference: int,
    requested_algo_count: int,
    heuristic_results_array: int,
    return_algo_count: int,
) -> None:
    """Write algorithms, the best first, and how many there are."""
    _handle(light_handle)
    problem = _problem(*_descriptions(operation_desc, adesc, bdesc, cdesc, ddesc))
    preferences = _get("matmul_preference", preference).values
    found = ctypes.c_int.from_address(return_algo_count)
    found.value = 0
    if why := _refused(problem):
        if _rules.silently:
            return
        raise cuBLASLtError(NOT_SUPPORTED, why)
    most = preferences["MAX_WORKSPACE_BYTES"]
    workspace = WORKSPACE if most >= WORKSPACE else 0
    promised = [preferences[f"MIN_ALIGNMENT_{x}_BYTES"] for x in "ABCD"]
    result = np.zeros((), names.matmul_heuristic_result_dtype)
    result["algo"]["data_"][:7] = [_key(problem), workspace, *promised, 1]
    result["workspace_size"], result["waves_count"] = workspace, 1.0
    ctypes.memmove(heuristic_results_array, result.tobytes(), result.nbytes)
    found.value = 1


def _key(problem: Problem) -> int:
    return hash(problem) & 0x7FFFFFFFFFFFFFFF


def _handle(handle: int) -> None:
    device = _get("handle", handle).values["device"]
    if device != streams.state.device:
        raise cuBLASLtError(
            INVALID_VALUE, f"the handle is of device {device}, current is {streams.state.device}"
        )


def _descriptions(desc: int, *layouts: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = [dict(_get("matrix_layout", layout).values) for layout in layouts]
    return dict(_get("matmul_desc", desc).values), found


# Products


def matmul(
    light_handle: int,
    compute_desc: int,
    alpha: int,
    a: int,
    adesc: int,
    b: int,
    bdesc: int,
    beta: int,
    c: int,
    cdesc: int,
    d: int,
    ddesc: int,
    algo: int,
    workspace: int,
    workspace_size_in_bytes: int,
    stream: int,
) -> None:
    """Issue D = epilogue(alpha op(A) op(B) + beta C) to a stream."""
    _handle(light_handle)
    desc, layouts = _descriptions(compute_desc, adesc, bdesc, cdesc, ddesc)
    problem = _problem(desc, layouts)
    if why := _refused_at_launch(problem):
        raise cuBLASLtError(NOT_SUPPORTED, why)
    if desc["POINTER_MODE"]:
        raise NotImplementedError("the stand-in reads alpha and beta from the host")
    scale = _DTYPES[desc["SCALE_TYPE"]]
    factors = [_scalar(address, scale) for address in (alpha, beta)]
    used: list[memory.Memory] = []

    def matrix(name: str, address: int, layout: dict[str, Any]) -> np.ndarray:
        dtype = _DTYPES[layout["TYPE"]]
        rows, columns, ld = layout["ROWS"], layout["COLS"], layout["LD"]
        flat = _device(name, address, (ld * (columns - 1) + rows) * dtype.itemsize, used)
        step = dtype.itemsize
        return np.ndarray((rows, columns), dtype, flat, strides=(step, ld * step))

    pairs = zip("ABCD", (a, b, c, d), layouts, strict=True)
    matrices = [matrix(name, address, layout) for name, address, layout in pairs]
    for name, other in zip("AB", matrices[:2], strict=True):
        if np.may_share_memory(matrices[3], other):
            raise cuBLASLtError(EXECUTION_FAILED, f"D overlaps {name}")
    if c == d and layouts[2] != layouts[3] and factors[1]:
        raise cuBLASLtError(INVALID_VALUE, "C is D, but their layouts differ")
    needs = _algorithm(algo, problem, (a, b, c, d))
    scratch = _scratch(workspace, workspace_size_in_bytes, needs, used)
    product = Product(problem, *factors, *matrices, *_extras(desc, problem, scale, used))

    def run() -> None:
        scratch.fill(memory.NAN_BYTE)
        product.run()

    streams.by_ptr(stream).issue(run, used)


def _scalar(address: int, dtype: np.dtype[Any]) -> float:
    if not address:
        raise cuBLASLtError(INVALID_VALUE, "alpha or beta is null")
    if memory.find(address):
        raise cuBLASLtError(INVALID_VALUE, "alpha and beta are of the host, this is the device's")
    return float(np.frombuffer(ctypes.string_at(address, dtype.itemsize), dtype)[0])


def _device(name: str, address: int, size: int, used: list[memory.Memory]) -> np.ndarray:
    """Return device memory as bytes, kept by what uses it."""
    if not address:
        raise cuBLASLtError(INVALID_VALUE, f"{name} is null")
    found = memory.find(address)
    if found is None or address + size > found.ptr + found.size:
        raise cuBLASLtError(EXECUTION_FAILED, f"{name}: {size} bytes at {address:#x} are not ours")
    if found.device_id != streams.state.device:
        raise cuBLASLtError(EXECUTION_FAILED, f"{name} is memory of device {found.device_id}")
    used.append(found)
    return found.buffer[address - found.ptr :][:size]


def _algorithm(algo: int, problem: Problem, addresses: tuple[int, ...]) -> int:
    """Return the workspace that an algorithm takes; refuse one that was found for another case."""
    if not algo:
        if why := _refused(problem):
            raise cuBLASLtError(NOT_SUPPORTED, why)
        return 0
    data = np.frombuffer(ctypes.string_at(algo, 64), "u8").tolist()
    if data[6] != 1 or data[0] != _key(problem):
        raise cuBLASLtError(INVALID_VALUE, "the algorithm was found for another problem")
    for name, address, promised in zip("ABCD", addresses, data[2:6], strict=True):
        if promised and address % promised:
            raise cuBLASLtError(
                NOT_SUPPORTED, f"{name} at {address:#x} is not aligned to {promised} as promised"
            )
    return int(data[1])


def _scratch(address: int, size: int, needs: int, used: list[memory.Memory]) -> np.ndarray:
    if size < needs:
        raise cuBLASLtError(INVALID_VALUE, f"the workspace has {size} of {needs} bytes")
    if not needs:
        return np.empty(0, np.uint8)
    if address % 256:
        raise cuBLASLtError(INVALID_VALUE, "the workspace must be aligned to 256 bytes")
    return _device("the workspace", address, needs, used)


def _extras(
    desc: dict[str, Any], problem: Problem, dtype: np.dtype[Any], used: list[memory.Memory]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the bias vector and the auxiliary matrix that the epilogue wants."""
    bias = aux = None
    if problem.epilogue in BIASES:
        length = problem.n if problem.epilogue == Epilogue.BGRADB else problem.m
        size = length * dtype.itemsize
        bias = _device("BIAS_POINTER", desc["BIAS_POINTER"], size, used).view(dtype)
    if problem.epilogue in AUX:
        size = aux_bytes(problem.aux_ld, problem.m, problem.n)
        aux = _device("EPILOGUE_AUX_POINTER", desc["EPILOGUE_AUX_POINTER"], size, used)
    return bias, aux
