"""A product of cublasLt with its epilogue, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .cublaslt_names import ComputeType, Epilogue

ADDS = {Epilogue.BIAS, Epilogue.RELU_BIAS, Epilogue.RELU_AUX_BIAS}
RELUS = {Epilogue.RELU, Epilogue.RELU_AUX, Epilogue.RELU_BIAS, Epilogue.RELU_AUX_BIAS}
WRITES_MASK = {Epilogue.RELU_AUX, Epilogue.RELU_AUX_BIAS}
READS_MASK = {Epilogue.DRELU, Epilogue.DRELU_BGRAD}
MASKS = AUX = WRITES_MASK | READS_MASK
BIASES = ADDS | {Epilogue.DRELU_BGRAD, Epilogue.BGRADA, Epilogue.BGRADB}
# How many low bits of a float32 an input loses.
LOST = {ComputeType.COMPUTE_32F_FAST_TF32: 13, ComputeType.COMPUTE_32F_FAST_16BF: 16}


def rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """Return float32 numbers rounded to nearest, ties to even, without their low bits."""
    words = np.ascontiguousarray(x).view(np.uint32)
    even = (words >> np.uint32(bits)) & np.uint32(1)
    near = words + np.uint32((1 << (bits - 1)) - 1) + even
    kept = (near & np.uint32(0xFFFFFFFF ^ ((1 << bits) - 1))).view(np.float32)
    return np.where(np.isfinite(x), kept, x)


def aux_bytes(ld: int, rows: int, columns: int) -> int:
    """Return how many bytes a bit mask has: ld bits a column."""
    return ld // 8 * (columns - 1) + -(-rows // 8)


def read_mask(aux: np.ndarray, ld: int, rows: int, columns: int) -> np.ndarray:
    """Return the mask's bits: (rows, columns)."""
    whole = np.zeros(ld // 8 * columns, np.uint8)
    whole[: aux.size] = aux
    bits = np.unpackbits(whole, bitorder="little")
    return bits.reshape(columns, ld)[:, :rows].T.astype(bool)


def write_mask(aux: np.ndarray, ld: int, mask: np.ndarray) -> None:
    """Write the mask's bits; the bits between columns are anything, here ones."""
    rows, columns = mask.shape
    bits = np.ones((columns, ld), np.uint8)
    bits[:, :rows] = mask.T
    aux[:] = np.packbits(bits, bitorder="little")[: aux.size]


@dataclass
class Product:
    """D = epilogue(alpha op(A) op(B) + beta C), on matrices that stay where they are."""

    problem: Any
    alpha: float
    beta: float
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    d: np.ndarray
    bias: np.ndarray | None
    aux: np.ndarray | None

    def run(self) -> None:
        """Compute D, and what the epilogue writes besides."""
        transpose_a, transpose_b = self.problem.transposed
        a, b = (self.a.T if transpose_a else self.a), (self.b.T if transpose_b else self.b)
        lost = LOST.get(self.problem.compute)
        factors = (a, b) if lost is None else (rounded(a, lost), rounded(b, lost))
        with np.errstate(all="ignore"):
            x = self.d.dtype.type(self.alpha) * (factors[0] @ factors[1])
            if self.beta:  # a factor of 0 does not read C
                x = x + self.d.dtype.type(self.beta) * self.c
            self.d[...] = self._epilogue(x, a, b)

    def _epilogue(self, x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        kind, ld = self.problem.epilogue, self.problem.aux_ld
        if kind in ADDS:
            x = x + self.bias[:, None]
        if kind in WRITES_MASK:
            write_mask(self.aux, ld, x > 0)
        if kind in RELUS:
            x = np.maximum(x, 0)
        if kind in READS_MASK:
            x = np.where(read_mask(self.aux, ld, *x.shape), x, 0)
        if kind == Epilogue.DRELU_BGRAD:
            self.bias[...] = x.sum(axis=1)
        elif kind == Epilogue.BGRADA:
            self.bias[...] = a.sum(axis=1)
        elif kind == Epilogue.BGRADB:
            self.bias[...] = b.sum(axis=0)
        return x
