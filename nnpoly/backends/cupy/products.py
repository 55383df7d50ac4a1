"""Matrix products of dense layers: by CuPy's cuBLAS, or by cuBLASLt with what follows them fused.

cuBLASLt is reached through the bindings of nvmath-python, as CuPy offers neither its epilogues nor,
while a stream is captured, any product at all.

Its epilogues add a bias and sum a bias's gradient. Those of ReLU are left alone: they give 0 for
NaN, and pass a gradient where the pre-activation is 0, which is not what the definitions say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cupy
import numpy as np

from .launching import Array

try:
    from nvmath.bindings import cublasLt as lt  # noqa: N813

    lt.get_version()  # the import does not look for the library
except Exception as error:  # nvmath's own errors among them, which cannot be named without it
    lt = None
    ABSENT = f"nvmath-python does not find it ({error}); pip install nnpoly[cuda12] or [cuda13]"
else:
    ABSENT = ""

WORKSPACE = 32 << 20  # bytes that an algorithm may take: what NVIDIA recommends for Hopper

# Of cuBLAS's enumerations cublasComputeType_t and cudaDataType_t.
_EXACT = {"f": 68, "d": 70}  # COMPUTE_32F, COMPUTE_64F
_FASTER = {"tf32": 77, "bf16": 75}  # COMPUTE_32F_FAST_TF32, COMPUTE_32F_FAST_16BF
_TYPES = {"f": 0, "d": 1}  # CUDA_R_32F, CUDA_R_64F
# What a product is scaled by, and what out is: the host's numbers, read when cuBLASLt is called.
_ONE: dict[str, Any] = {"f": np.ones(1, np.float32), "d": np.ones(1)}
_ZERO: dict[str, Any] = {"f": np.zeros(1, np.float32), "d": np.zeros(1)}


class Factor(NamedTuple):
    """A contiguous array, or its transpose, in a product."""

    array: Array
    transposed: bool = False

    @property
    def matrix(self) -> Array:
        """The matrix: the array or its transpose."""
        return self.array.T if self.transposed else self.array


class CuBLAS:
    """Products by CuPy: cuBLAS, which refuses to be captured.

    Attributes
    ----------
    captures
        Whether the products can be part of a graph.
    deepest
        How many terms a sum may have that is left to our own kernels, however few sums there are.
    """

    captures = False
    deepest = 2048

    def multiply(self, left: Factor, right: Factor, out: Array) -> bool:
        """Write left @ right into out. False, and nothing is written, if that is not possible."""
        cupy.matmul(left.matrix, right.matrix, out=out)
        return True

    def biased(self, x: Array, W: Array, b: Array, out: Array) -> bool:
        """Write x W^T + b into out. False, and nothing is written, if that is not possible."""
        return False

    def gradients(self, delta: Array, x: Array, dW: Array, db: Array) -> bool:
        """Write dW = delta^T x and db, the column sums of delta.

        False, and nothing is written, if that is not possible.
        """
        return False


class _Algorithm(NamedTuple):
    """An algorithm of cuBLASLt for a product: its handles, and the host's copy."""

    operation: int
    left: int
    right: int
    out: int
    results: Any  # lt.MatmulHeuristicResult
    workspace: int  # bytes

    @property
    def pointer(self) -> int:
        """The address of the algorithm: the first field of the first result."""
        return int(self.results.ptr)


class Lt(CuBLAS):
    """Products by cuBLASLt.

    Its matrices lie column by column, so it is asked for the transpose of every row-by-row product:
    out^T = right^T left^T.

    Parameters
    ----------
    precision
        None: float32 means float32. "tf32" and "bf16" let it round the factors of float32 products
        to TF32 and bfloat16; sums stay float32.
    """

    captures = True
    deepest = 256  # it splits long sums among many blocks

    def __init__(self, precision: str | None = None) -> None:
        self._precision = precision
        self._handles: dict[int, int] = {}  # of devices
        self._algorithms: dict[Any, _Algorithm | None] = {}

    def multiply(self, left: Factor, right: Factor, out: Array) -> bool:
        return self._run(left, right, out, lt.Epilogue.DEFAULT)

    def biased(self, x: Array, W: Array, b: Array, out: Array) -> bool:
        return self._run(Factor(x), Factor(W, True), out, lt.Epilogue.BIAS, b)

    def gradients(self, delta: Array, x: Array, dW: Array, db: Array) -> bool:
        return self._run(Factor(delta, True), Factor(x), dW, lt.Epilogue.BGRADB, db)

    def _run(
        self, left: Factor, right: Factor, out: Array, epilogue: int, bias: Array | None = None
    ) -> bool:
        """Write left @ right with the epilogue. False, and nothing written, if cuBLASLt cannot."""
        handle, kind = self._handle(out.device.id), out.dtype.char
        key = handle, kind, epilogue, *map(_form, (left, right, Factor(out))), _alignment(bias)
        if key not in self._algorithms:
            self._algorithms[key] = self._find(handle, left, right, out, epilogue, bias)
        found = self._algorithms[key]
        if found is None:
            return False
        _point(found.operation, bias)
        # Freed at once, and yet safe: what takes its place runs later in the same stream.
        workspace = cupy.empty(found.workspace, np.uint8)
        try:
            lt.matmul(
                handle,
                found.operation,
                _ONE[kind].ctypes.data,
                right.array.data.ptr,
                found.right,
                left.array.data.ptr,
                found.left,
                _ZERO[kind].ctypes.data,
                out.data.ptr,
                found.out,
                out.data.ptr,
                found.out,
                found.pointer,
                workspace.data.ptr if found.workspace else 0,
                found.workspace,
                cupy.cuda.get_current_stream().ptr,
            )
        except lt.cuBLASLtError:  # some of what it cannot do it only says here
            self._algorithms[key] = None
            _destroy(found)
            return False
        return True

    def _handle(self, device: int) -> int:
        if device not in self._handles:
            self._handles[device] = lt.create()
        return self._handles[device]

    def _find(
        self,
        handle: int,
        left: Factor,
        right: Factor,
        out: Array,
        epilogue: int,
        bias: Array | None,
    ) -> _Algorithm | None:
        """Return the algorithm that cuBLASLt proposes, or None where it has none."""
        kind = out.dtype.char
        compute = _EXACT[kind] if kind == "d" or not self._precision else _FASTER[self._precision]
        operation = lt.matmul_desc_create(compute, _TYPES[kind])
        what = lt.MatmulDescAttribute
        _set_operation(operation, what.TRANSA, int(right.transposed))
        _set_operation(operation, what.TRANSB, int(left.transposed))
        _set_operation(operation, what.EPILOGUE, epilogue)
        _point(operation, bias)
        of_left, of_right, of_out = map(_layout, (left.array, right.array, out))
        results = lt.MatmulHeuristicResult()
        found = _Algorithm(operation, of_left, of_right, of_out, results, 0)
        if not self._proposed(handle, found, _preference(left, right, out, bias)):
            _destroy(found)
            return None
        return found._replace(workspace=int(results.workspace_size))

    @staticmethod
    def _proposed(handle: int, wanted: _Algorithm, preferences: Any) -> bool:
        """Have the heuristic fill in its proposal; return whether there is one."""
        count = np.zeros(1, np.int32)
        with preferences as preference:
            try:
                lt.matmul_algo_get_heuristic(
                    handle,
                    wanted.operation,
                    wanted.right,
                    wanted.left,
                    wanted.out,
                    wanted.out,
                    preference,
                    1,
                    wanted.pointer,
                    count.ctypes.data,
                )
            except lt.cuBLASLtError:  # it knows of no such operation
                return False
        return bool(count[0])


def _form(factor: Factor) -> tuple[Any, ...]:
    return factor.array.shape, factor.transposed, _alignment(factor.array)


def _alignment(array: Array | None) -> int:
    """Return the power of two, up to 256, that the array's address is a multiple of."""
    if array is None:
        return 256
    pointer = array.data.ptr
    return int(min(256, pointer & -pointer))


def _layout(array: Array) -> int:
    """Return a handle of the array as it lies in memory, read column by column."""
    lines, length = array.shape
    return int(lt.matrix_layout_create(_TYPES[array.dtype.char], length, lines, length))


def _destroy(algorithm: _Algorithm) -> None:
    lt.matmul_desc_destroy(algorithm.operation)
    for layout in (algorithm.left, algorithm.right, algorithm.out):
        lt.matrix_layout_destroy(layout)


def _set_operation(operation: int, attribute: int, value: int) -> None:
    buffer = np.array(value, lt.get_matmul_desc_attribute_dtype(attribute))
    lt.matmul_desc_set_attribute(operation, attribute, buffer.ctypes.data, buffer.nbytes)


def _point(operation: int, bias: Array | None) -> None:
    """Give an operation the address of its bias or bias gradient."""
    if bias is not None:
        _set_operation(operation, lt.MatmulDescAttribute.BIAS_POINTER, bias.data.ptr)


@contextmanager
def _preference(left: Factor, right: Factor, out: Array, bias: Array | None) -> Iterator[int]:
    """Yield the limits of an algorithm: its workspace, and the arrays' alignments.

    The views of the flat vector begin anywhere, and cuBLASLt would count on 256 bytes.
    """
    what = lt.MatmulPreferenceAttribute
    values = {
        what.MAX_WORKSPACE_BYTES: WORKSPACE,
        what.MIN_ALIGNMENT_A_BYTES: _alignment(right.array),
        what.MIN_ALIGNMENT_B_BYTES: _alignment(left.array),
        what.MIN_ALIGNMENT_C_BYTES: _alignment(out),
        what.MIN_ALIGNMENT_D_BYTES: min(_alignment(out), _alignment(bias)),
    }
    preference = lt.matmul_preference_create()
    try:
        for attribute, value in values.items():
            buffer = np.array(value, lt.get_matmul_preference_attribute_dtype(attribute))
            lt.matmul_preference_set_attribute(
                preference, attribute, buffer.ctypes.data, buffer.nbytes
            )
        yield preference
    finally:
        lt.matmul_preference_destroy(preference)
