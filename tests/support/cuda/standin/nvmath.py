"""The modules of nvmath-python that the backend imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import cublaslt, cublaslt_names

_FUNCTIONS = """
    create destroy get_version matmul matmul_algo_get_heuristic matmul_desc_create
    matmul_desc_destroy matmul_desc_set_attribute matmul_preference_create
    matmul_preference_destroy matmul_preference_set_attribute matrix_layout_create
    matrix_layout_destroy matrix_layout_set_attribute get_matmul_desc_attribute_dtype
    get_matmul_preference_attribute_dtype get_matrix_layout_attribute_dtype cuBLASLtError
"""
_NAMES = """
    Epilogue MatmulDescAttribute MatmulPreferenceAttribute MatrixLayoutAttribute Order PointerMode
    ReductionScheme matmul_algo_dtype matmul_heuristic_result_dtype
"""


class MatmulHeuristicResult:
    """Structures that the heuristic writes into."""

    def __init__(self, size: int = 1) -> None:
        self._data = np.zeros(size, cublaslt_names.matmul_heuristic_result_dtype)
        self.ptr = self._data.ctypes.data

    def __int__(self) -> int:
        return self.ptr

    def __len__(self) -> int:
        return len(self._data)

    workspace_size = property(lambda self: int(self._data["workspace_size"][0]))
    state = property(lambda self: int(self._data["state"][0]))


def install(module: Callable[[str, dict[str, Any]], Any]) -> None:
    """Make the modules."""
    enums = {
        "ComputeType": cublaslt_names.ComputeType,
        "CudaDataType": cublaslt_names.CudaDataType,
    }
    module("nvmath", {"__version__": "1.0.0", **enums})
    module("nvmath.bindings", {})
    lt = {name: getattr(cublaslt, name) for name in _FUNCTIONS.split()}
    lt |= {name: getattr(cublaslt_names, name) for name in _NAMES.split()}
    module("nvmath.bindings.cublasLt", {**lt, "MatmulHeuristicResult": MatmulHeuristicResult})
    cublas = {name: getattr(cublaslt_names, name) for name in ("ComputeType", "Operation")}
    module("nvmath.bindings.cublas", cublas)
