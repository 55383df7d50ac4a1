"""The stand-in for cuBLASLt: products are what its documentation says.

It is installed for all tests where there is no GPU; with one, these tests are skipped.
"""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from conftest import STANDIN

if not STANDIN:
    pytest.skip("the stand-in for cuBLASLt is not in use here", allow_module_level=True)

import cupy
import nvmath.bindings.cublasLt
from standin import cublaslt
from standin.cublaslt_math import rounded

lt = nvmath.bindings.cublasLt


class Products:
    """cublasLt called as its documentation says, on column-major matrices."""

    def __init__(self, dtype: str = "float32", compute: str = "COMPUTE_32F") -> None:
        self.dtype = np.dtype(dtype)
        self.kind = 0 if dtype == "float32" else 1
        self.compute = {"float32": cublaslt.names.ComputeType[compute], "float64": 70}[dtype]
        self.handle, self.workspace = lt.create(), cupy.empty(1 << 16, "uint8")

    def layout(self, rows: int, columns: int, ld: int) -> int:
        return lt.matrix_layout_create(self.kind, rows, columns, ld)

    def run(self, a, b, d, lds=None, alpha=1.0, beta=0.0, trans=(0, 0), align=16, **attributes):
        """D = epilogue(alpha op(A) op(B) + beta D); a, b and d: (array, rows, columns)."""
        desc = lt.matmul_desc_create(self.compute, self.kind)
        attributes = {"TRANSA": trans[0], "TRANSB": trans[1], **attributes}
        for name, value in attributes.items():
            number = lt.MatmulDescAttribute[name]
            cell = np.array(value, lt.get_matmul_desc_attribute_dtype(number))
            lt.matmul_desc_set_attribute(desc, number, cell.ctypes.data, cell.nbytes)
        lds = lds or [rows for _, rows, _ in (a, b, d)]
        layouts = [
            self.layout(rows, columns, ld)
            for (_, rows, columns), ld in zip((a, b, d), lds, strict=True)
        ]
        preference = lt.matmul_preference_create()
        wanted = {f"MIN_ALIGNMENT_{x}_BYTES": align for x in "ABCD"}
        for name, value in {"MAX_WORKSPACE_BYTES": 1 << 16, **wanted}.items():
            number = lt.MatmulPreferenceAttribute[name]
            cell = np.array(value, lt.get_matmul_preference_attribute_dtype(number))
            lt.matmul_preference_set_attribute(preference, number, cell.ctypes.data, cell.nbytes)
        found, how_many = np.zeros(1, lt.matmul_heuristic_result_dtype), ctypes.c_int(0)
        A, B, D = layouts
        lt.matmul_algo_get_heuristic(
            self.handle, desc, A, B, D, D, preference, 1,
            found.ctypes.data, ctypes.addressof(how_many),
        )  # fmt: skip
        self.found = how_many.value
        one, zero = (np.array(v, self.dtype) for v in (alpha, beta))
        pointers = [array.data.ptr for array, _, _ in (a, b, d)]
        lt.matmul(
            self.handle, desc, one.ctypes.data, pointers[0], A, pointers[1], B, zero.ctypes.data,
            pointers[2], D, pointers[2], D, found.ctypes.data, self.workspace.data.ptr,
            self.workspace.nbytes, cupy.cuda.get_current_stream().ptr,
        )  # fmt: skip


M, N, K = 5, 3, 4


@pytest.fixture
def matrices(rng):
    """A (m, k), B (k, n), D (m, n) in column-major order: their transposes in C's."""
    a, b = rng.normal(size=(M, K)).astype("f4"), rng.normal(size=(K, N)).astype("f4")
    place = [cupy.array(np.ascontiguousarray(x.T)) for x in (a, b)]
    return a, b, *place, cupy.empty((N, M), "float32")


def close(got, want) -> None:
    np.testing.assert_allclose(got.get(), want, rtol=1e-5, atol=1e-6)


def test_a_product_is_column_major(matrices):
    a, b, A, B, D = matrices
    Products().run((A, M, K), (B, K, N), (D, M, N), alpha=2.0)
    close(D.T, 2.0 * (a @ b))
    before = D.get().T
    Products().run((A, M, K), (B, K, N), (D, M, N), beta=0.5)
    close(D.T, a @ b + 0.5 * before)


def test_transposed_factors_and_leading_dimensions(rng):
    W, x = rng.normal(size=(M, K)).astype("f4"), rng.normal(size=(N, K)).astype("f4")
    out = cupy.empty((N, M + 2), "float32")  # rows of x W^T, two apart
    Products().run(
        (cupy.array(W), K, M), (cupy.array(x), K, N), (out, M, N), lds=[K, K, M + 2], trans=(1, 0)
    )
    close(out[:, :M], x @ W.T)
    assert np.isnan(out[:, M:].get()).all()


def test_bias_and_relu_and_its_mask(matrices, rng):
    a, b, A, B, D = matrices
    bias, mask = rng.normal(size=M).astype("f4"), cupy.empty((N, 16), "uint8")
    vector = cupy.array(bias)
    Products().run(
        (A, M, K), (B, K, N), (D, M, N), EPILOGUE=lt.Epilogue.RELU_AUX_BIAS,
        BIAS_POINTER=vector.data.ptr, EPILOGUE_AUX_POINTER=mask.data.ptr, EPILOGUE_AUX_LD=128,
    )  # fmt: skip
    pre = a @ b + bias[:, None]  # an entry a row of D
    close(D.T, np.maximum(pre, 0))
    bits = np.unpackbits(mask.get(), axis=1, bitorder="little")[:, :M]
    assert np.array_equal(bits.T, pre > 0)
    gradient, summed = cupy.empty((N, M), "float32"), cupy.empty(M, "float32")
    Products().run(
        (A, M, K), (B, K, N), (gradient, M, N), EPILOGUE=lt.Epilogue.DRELU_BGRAD,
        BIAS_POINTER=summed.data.ptr, EPILOGUE_AUX_POINTER=mask.data.ptr, EPILOGUE_AUX_LD=128,
    )  # fmt: skip
    close(gradient.T, (a @ b) * (pre > 0))
    close(summed, ((a @ b) * (pre > 0)).sum(axis=1))


@pytest.mark.parametrize(("epilogue", "length"), [("BGRADA", M), ("BGRADB", N)])
def test_sums_of_a_factor(matrices, epilogue, length):
    a, b, A, _, D = matrices
    summed, turned = cupy.empty(length, "float32"), cupy.asarray(np.ascontiguousarray(b))
    Products().run(
        (A, M, K), (turned, N, K), (D, M, N), TRANSB=1, EPILOGUE=lt.Epilogue[epilogue],
        BIAS_POINTER=summed.data.ptr,
    )  # fmt: skip
    close(D.T, a @ b)
    close(summed, a.sum(axis=1) if epilogue == "BGRADA" else b.sum(axis=0))


@pytest.mark.parametrize(
    ("compute", "bits"), [("COMPUTE_32F_FAST_TF32", 13), ("COMPUTE_32F_FAST_16BF", 16)]
)
def test_fast_types_round_the_factors(matrices, compute, bits):
    a, b, A, B, D = matrices
    Products(compute=compute).run((A, M, K), (B, K, N), (D, M, N))
    close(D.T, rounded(a, bits) @ rounded(b, bits))
    assert np.max(np.abs(D.get().T - a @ b)) > 1e-5


def test_rounding_is_to_nearest_even():
    ulp = np.float32(2.0**-7)  # of bfloat16 at 1
    x = np.array([1 + ulp / 2, 1 + 1.5 * ulp, 1 + 0.51 * ulp, np.inf, np.nan, -3.0], "f4")
    want = np.array([1.0, 1 + 2 * ulp, 1 + ulp, np.inf, np.nan, -3.0], "f4")
    assert np.array_equal(rounded(x, 16), want, equal_nan=True)


def test_products_are_recorded(matrices):
    a, b, A, B, D = matrices
    products = Products()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        products.run((A, M, K), (B, K, N), (D, M, N))
        graph = stream.end_capture()
    assert np.isnan(D.get()).all()
    graph.launch(stream)
    stream.synchronize()
    close(D.T, a @ b)


def test_what_the_heuristic_refuses(matrices):
    _, _, A, B, D = matrices
    bias = cupy.zeros(M, "float32")
    relu = {"EPILOGUE": lt.Epilogue.RELU_BIAS, "BIAS_POINTER": bias.data.ptr}
    shapes = (A, M, K), (B, K, N), (D, M, N)
    with cublaslt.refusing(lambda problem: problem.epilogue != 1):
        Products().run(*shapes)
        with pytest.raises(lt.cuBLASLtError, match="the test refuses it"):
            Products().run(*shapes, **relu)
    Products().run(*shapes, **relu)
    with pytest.raises(lt.cuBLASLtError, match="D has one row"):
        Products().run((A, 1, K), (B, K, N), (D, 1, N), **relu)
    wide = [x.astype("float64") for x in (A, B, D)]
    aux = {"EPILOGUE": lt.Epilogue.DRELU, "EPILOGUE_AUX_LD": 128}
    with pytest.raises(lt.cuBLASLtError, match="float64"):
        Products("float64").run((wide[0], M, K), (wide[1], K, N), (wide[2], M, N), **aux)


def test_what_a_product_refuses(matrices):
    _, _, A, B, D = matrices
    a, b, d = (A, M, K), (B, K, N), (D, M, N)
    short_workspace = Products()
    short_workspace.workspace = cupy.empty(256, "uint8")
    off = cupy.empty(M * K + 1, "float32")[1:]
    bias = {"EPILOGUE": lt.Epilogue.BIAS}
    for mistake, why in [
        (lambda: Products().run(a, b, d, lds=[M - 1, K, M]), "leading dimension"),
        (lambda: Products().run(a, (B, K + 1, N), d), "shapes"),
        (lambda: Products().run(a, b, (A, M, N)), "D overlaps A"),
        (lambda: Products().run(a, (B, K, 200), (D, M, 200)), "not ours"),
        (lambda: Products().run(a, b, d, **bias), "BIAS_POINTER is null"),
        (lambda: Products().run(a, b, d, BIAS_POINTER=1, **bias), "not ours"),
        (lambda: Products().run((off, M, K), b, d), "not aligned to 16"),
        (lambda: short_workspace.run(a, b, d), "workspace has 256"),
        (lambda: Products().run(a, b, d, EPILOGUE=130, EPILOGUE_AUX_LD=100), "multiple of 128"),
        (lambda: Products().run(a, b, d, EPILOGUE=999), "no epilogue 999"),
    ]:
        with pytest.raises(lt.cuBLASLtError, match=why):
            mistake()
    Products().run((off, M, K), b, d, align=4)


def test_buffers_of_the_wrong_size_are_refused():
    desc = lt.matmul_desc_create(68, 0)
    cell = np.array(1, "i4")
    with pytest.raises(lt.cuBLASLtError, match="EPILOGUE_AUX_POINTER takes 8 bytes, got 4"):
        lt.matmul_desc_set_attribute(
            desc, lt.MatmulDescAttribute.EPILOGUE_AUX_POINTER, cell.ctypes.data, cell.nbytes
        )
