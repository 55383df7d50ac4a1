"""The enumerations and structures of nvmath-python 1.0 that products are described with."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

ComputeType = IntEnum(
    "ComputeType",
    {
        "COMPUTE_16F": 64,
        "COMPUTE_32F": 68,
        "COMPUTE_32F_PEDANTIC": 69,
        "COMPUTE_64F": 70,
        "COMPUTE_64F_PEDANTIC": 71,
        "COMPUTE_32F_FAST_16F": 74,
        "COMPUTE_32F_FAST_16BF": 75,
        "COMPUTE_32F_FAST_TF32": 77,
        "COMPUTE_32F_EMULATED_16BFX9": 78,
    },
)
Operation = IntEnum("Operation", {"N": 0, "T": 1, "C": 2, "CONJG": 3})
CudaDataType = IntEnum(
    "CudaDataType", {"CUDA_R_32F": 0, "CUDA_R_64F": 1, "CUDA_R_16F": 2, "CUDA_R_16BF": 14}
)
Order = IntEnum("Order", {"COL": 0, "ROW": 1, "COL32": 2, "COL4_4R2_8C": 3, "COL32_2R_4R4": 4})
PointerMode = IntEnum(
    "PointerMode",
    {
        "HOST": 0,
        "DEVICE": 1,
        "DEVICE_VECTOR": 2,
        "ALPHA_DEVICE_VECTOR_BETA_ZERO": 3,
        "ALPHA_DEVICE_VECTOR_BETA_HOST": 4,
    },
)
ReductionScheme = IntEnum(
    "ReductionScheme", {"NONE": 0, "INPLACE": 1, "COMPUTE_TYPE": 2, "OUTPUT_TYPE": 4, "MASK": 7}
)
Epilogue = IntEnum(
    "Epilogue",
    {
        "DEFAULT": 1,
        "RELU": 2,
        "RELU_AUX": 130,
        "BIAS": 4,
        "RELU_BIAS": 6,
        "RELU_AUX_BIAS": 134,
        "DRELU": 136,
        "DRELU_BGRAD": 152,
        "GELU": 32,
        "GELU_AUX": 160,
        "GELU_BIAS": 36,
        "GELU_AUX_BIAS": 164,
        "DGELU": 192,
        "DGELU_BGRAD": 208,
        "BGRADA": 256,
        "BGRADB": 512,
    },
)

# Every attribute's number and type: a buffer of another size is refused.
DESC = {
    "COMPUTE_TYPE": (0, "i4"),
    "SCALE_TYPE": (1, "i4"),
    "POINTER_MODE": (2, "i4"),
    "TRANSA": (3, "i4"),
    "TRANSB": (4, "i4"),
    "TRANSC": (5, "i4"),
    "FILL_MODE": (6, "i4"),
    "EPILOGUE": (7, "u4"),
    "BIAS_POINTER": (8, "i8"),
    "BIAS_BATCH_STRIDE": (10, "i8"),
    "EPILOGUE_AUX_POINTER": (11, "i8"),
    "EPILOGUE_AUX_LD": (12, "i8"),
    "EPILOGUE_AUX_BATCH_STRIDE": (13, "i8"),
    "SM_COUNT_TARGET": (15, "i4"),
    "EPILOGUE_AUX_DATA_TYPE": (22, "i4"),
    "FAST_ACCUM": (25, "i1"),
    "BIAS_DATA_TYPE": (26, "i4"),
}
LAYOUT = {
    "TYPE": (0, "u4"),
    "ORDER": (1, "i4"),
    "ROWS": (2, "u8"),
    "COLS": (3, "u8"),
    "LD": (4, "i8"),
    "BATCH_COUNT": (5, "i4"),
    "STRIDED_BATCH_OFFSET": (6, "i8"),
}
PREFERENCE = {
    "SEARCH_MODE": (0, "u4"),
    "MAX_WORKSPACE_BYTES": (1, "u8"),
    "REDUCTION_SCHEME_MASK": (3, "u4"),
    "MIN_ALIGNMENT_A_BYTES": (5, "u4"),
    "MIN_ALIGNMENT_B_BYTES": (6, "u4"),
    "MIN_ALIGNMENT_C_BYTES": (7, "u4"),
    "MIN_ALIGNMENT_D_BYTES": (8, "u4"),
    "MAX_WAVES_COUNT": (9, "f4"),
    "IMPL_MASK": (12, "u8"),
}


def _numbers(name: str, table: dict[str, tuple[int, str]]) -> type[IntEnum]:
    return IntEnum(name, {attribute: number for attribute, (number, _) in table.items()})


MatmulDescAttribute = _numbers("MatmulDescAttribute", DESC)
MatrixLayoutAttribute = _numbers("MatrixLayoutAttribute", LAYOUT)
MatmulPreferenceAttribute = _numbers("MatmulPreferenceAttribute", PREFERENCE)

matmul_algo_dtype = np.dtype([("data_", "<u8", (8,))], align=True)
matmul_heuristic_result_dtype = np.dtype(
    [
        ("algo", matmul_algo_dtype),
        ("workspace_size", "<u8"),
        ("state", "<i4"),
        ("waves_count", "<f4"),
        ("reserved", "<i4", (4,)),
    ],
    align=True,
)
