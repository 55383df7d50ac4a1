"""Matrix products of dense layers: by CuPy's cuBLAS, or by cuBLASLt with what follows them fused.

cuBLASLt is reached through the bindings of nvmath-python, as CuPy offers neither its epilogues nor,
while a stream is captured, any product at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...primitives import Array

try:
    from nvmath.bindings import cublasLt as lt  # noqa: N813

    lt.get_version()  # the import does not look for the library
except Exception as error:  # nvmath's own errors among them, which cannot be named without it
    lt = None
    ABSENT = f"nvmath-python does not find it ({error}); pip install nnpoly[cuda12] or [cuda13]"
else:
    ABSENT = ""

PRECISIONS = ("tf32", "bf16")
MASK_ALIGNMENT = 128  # entries, of a mask's rows
WORKSPACE = 32 << 20  # bytes that an algorithm may take: what NVIDIA recommends for Hopper

# Of cuBLAS's enumerations cublasComputeType_t and cudaDataType_t.
_EXACT = {"f": 68, "d": 70}  # COMPUTE_32F, COMPUTE_64F
_FASTER = {"tf32": 77, "bf16": 75}  # COMPUTE_32F_FAST_TF32, COMPUTE_32F_FAST_16BF
_TYPES = {"f": 0, "d": 1}  # CUDA_R_32F, CUDA_R_64F


class Mask(NamedTuple):
    """Where a ReLU passes, a bit an entry; it takes the place of pre, which ReLU does not read."""

    bits: Array  # uint8, (n, stride / 8)
    stride: int  # entries from row to row


class CuBLAS:
    """Products by CuPy: cuBLAS, which refuses to be captured."""

    captures = False

    def multiply(self, left: Array, right: Array, out: Array) -> bool:
        """Write left @ right, both contiguous or transposed; return whether that is done."""
        cupy.matmul(left, right, out=out)
        return True

    def biased(self, x: Array, W: Array, b: Array, out: Array) -> bool:
        """Write x W^T + b; return whether that is done."""
        return False

    def rectified(self, x: Array, W: Array, b: Array, out: Array) -> Mask | None:
        """Write max(x W^T + b, 0) and return its mask, or do nothing."""
        return None

    def rectified_delta(self, delta: Array, W: Array, mask: Mask, below: Array) -> bool:
        """Write (delta W) * mask; return whether that is done."""
        return False

    def gradients(self, delta: Array, x: Array, dW: Array, db: Array) -> bool:
        """Write dW = delta^T x and db, the column sums of delta; return whether that is done."""
        return False


class _Algorithm(NamedTuple):
    """How cuBLASLt takes a product: its handles, and the host's copy of the algorithm."""

    operation: int
    left: int
    right: int
    out: int
    results: Any  # lt.MatmulHeuristicResult
    workspace: int  # bytes

    @property
    def pointer(self) -> int:
        """Where cublasLtMatmul finds the algorithm: the first field of the first result."""
        return int(self.results.ptr)


class Lt(CuBLAS):
    """Products by cuBLASLt.

    Its matrices lie column by column, so it is asked for the transpose of every row-by-row product:
    out^T = right^T left^T.

    Parameters
    ----------
    precision
        None: float32 means float32. "tf32" and "bf16" round the factors of float32 products to
        TF32 and bfloat16; sums stay float32.
    """

    captures = True

    def __init__(self, precision: str | None = None) -> None:
        self._precision = precision
        self._handles: dict[int, int] = {}  # of devices
        self._algorithms: dict[Any, _Algorithm | None] = {}
        self._one: dict[str, Any] = {"f": np.ones(1, np.float32), "d": np.ones(1)}
        self._zero: dict[str, Any] = {"f": np.zeros(1, np.float32), "d": np.zeros(1)}

    def multiply(self, left: Array, right: Array, out: Array) -> bool:
        return self._run(left, right, out, lt.Epilogue.DEFAULT)

    def biased(self, x: Array, W: Array, b: Array, out: Array) -> bool:
        return self._run(x, W.T, out, lt.Epilogue.BIAS, bias=b)

    def rectified(self, x: Array, W: Array, b: Array, out: Array) -> Mask | None:
        n, m = out.shape
        stride = -(-m // MASK_ALIGNMENT) * MASK_ALIGNMENT
        mask = Mask(cupy.empty((n, stride // 8), np.uint8), stride)
        done = self._run(x, W.T, out, lt.Epilogue.RELU_AUX_BIAS, bias=b, mask=mask)
        return mask if done else None

    def rectified_delta(self, delta: Array, W: Array, mask: Mask, below: Array) -> bool:
        return self._run(delta, W, below, lt.Epilogue.DRELU, mask=mask)

    def gradients(self, delta: Array, x: Array, dW: Array, db: Array) -> bool:
        return self._run(delta.T, x, dW, lt.Epilogue.BGRADB, bias=db)

    def _run(
        self,
        left: Array,
        right: Array,
        out: Array,
        epilogue: int,
        bias: Array | None = None,
        mask: Mask | None = None,
    ) -> bool:
        """Write left @ right and the epilogue; False, and nothing done, where cuBLASLt cannot."""
        device, kind = out.device.id, out.dtype.char
        if device not in self._handles:
            self._handles[device] = lt.create()
        handle = self._handles[device]
        key = device, kind, epilogue, _form(left), _form(right), _form(out), _alignment(bias)
        if key not in self._algorithms:
            self._algorithms[key] = self._find(handle, left, right, out, epilogue, bias, mask)
        found = self._algorithms[key]
        if found is None:
            return False
        _point(found.operation, bias, mask)
        # Freed at once, and yet safe: what takes its place runs later in the same stream.
        workspace = cupy.empty(found.workspace, np.uint8)
        lt.matmul(
            handle,
            found.operation,
            self._one[kind].ctypes.data,
            right.data.ptr,
            found.right,
            left.data.ptr,
            found.left,
            self._zero[kind].ctypes.data,
            out.data.ptr,
            found.out,
            out.data.ptr,
            found.out,
            found.pointer,
            workspace.data.ptr if found.workspace else 0,
            found.workspace,
            cupy.cuda.get_current_stream().ptr,
        )
        return True

    def _find(
        self,
        handle: int,
        left: Array,
        right: Array,
        out: Array,
        epilogue: int,
        bias: Array | None,
        mask: Mask | None,
    ) -> _Algorithm | None:
        """Return the algorithm that cuBLASLt proposes, or None where it has none."""
        kind = out.dtype.char
        compute = _EXACT[kind] if kind == "d" or not self._precision else _FASTER[self._precision]
        operation = lt.matmul_desc_create(compute, _TYPES[kind])
        what = lt.MatmulDescAttribute
        _set_operation(operation, what.TRANSA, int(_transposed(right)))
        _set_operation(operation, what.TRANSB, int(_transposed(left)))
        _set_operation(operation, what.EPILOGUE, epilogue)
        _point(operation, bias, mask)
        of_left, of_right, of_out = (_layout(array) for array in (left, right, out))
        results = lt.MatmulHeuristicResult()
        count = np.zeros(1, np.int32)
        with _preference(left, right, out, bias) as preference:
            try:
                lt.matmul_algo_get_heuristic(
                    handle,
                    operation,
                    of_right,
                    of_left,
                    of_out,
                    of_out,
                    preference,
                    1,
                    results.ptr,
                    count.ctypes.data,
                )
            except lt.cuBLASLtError:  # it knows of no such operation
                count[0] = 0
        if not count[0]:
            lt.matmul_desc_destroy(operation)
            for layout in (of_left, of_right, of_out):
                lt.matrix_layout_destroy(layout)
            return None
        workspace = int(results.workspace_size)
        return _Algorithm(operation, of_left, of_right, of_out, results, workspace)


def _transposed(matrix: Array) -> bool:
    return not matrix.flags.c_contiguous


def _form(matrix: Array) -> tuple[Any, ...]:
    return matrix.shape, _transposed(matrix), _alignment(matrix)


def _alignment(array: Array | None) -> int:
    """Return the power of two, up to 256, that the array's address is a multiple of."""
    if array is None:
        return 256
    pointer = array.data.ptr
    return int(min(256, pointer & -pointer))


def _layout(matrix: Array) -> int:
    """Return a handle of the matrix as it lies in memory, read column by column."""
    lines, length = matrix.shape[::-1] if _transposed(matrix) else matrix.shape
    return int(lt.matrix_layout_create(_TYPES[matrix.dtype.char], length, lines, length))


def _set_operation(operation: int, attribute: int, value: int) -> None:
    buffer = np.array(value, lt.get_matmul_desc_attribute_dtype(attribute))
    lt.matmul_desc_set_attribute(operation, attribute, buffer.ctypes.data, buffer.nbytes)


def _point(operation: int, bias: Array | None, mask: Mask | None) -> None:
    """Tell an operation where its bias (or bias gradient) and mask lie."""
    what = lt.MatmulDescAttribute
    if bias is not None:
        _set_operation(operation, what.BIAS_POINTER, bias.data.ptr)
    if mask is not None:
        _set_operation(operation, what.EPILOGUE_AUX_POINTER, mask.bits.data.ptr)
        _set_operation(operation, what.EPILOGUE_AUX_LD, mask.stride)


@contextmanager
def _preference(left: Array, right: Array, out: Array, bias: Array | None) -> Iterator[int]:
    """Give what an algorithm may count on: room, and the alignments there really are.

    The views of the flat vector begin anywhere, and cuBLASLt would count on 256 bytes.
    """
    what = lt.MatmulPreferenceAttribute
    values = {
        what.MAX_WORKSPACE_BYTES: WORKSPACE,
        what.MIN_ALIGNMENT_A_BYTES: _alignment(right),
        what.MIN_ALIGNMENT_B_BYTES: _alignment(left),
        what.MIN_ALIGNMENT_C_BYTES: _alignment(out),
        what.MIN_ALIGNMENT_D_BYTES: min(_alignment(out), _alignment(bias)),
    }
    preference = lt.matmul_preference_create()
    try:
        for attribute, value in values.items():
            kind = lt.get_matmul_preference_attribute_dtype(attribute)
            buffer = np.array(value, kind)
            lt.matmul_preference_set_attribute(
                preference, attribute, buffer.ctypes.data, buffer.nbytes
            )
        yield preference
    finally:
        lt.matmul_preference_destroy(preference)
