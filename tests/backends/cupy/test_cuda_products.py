"""Products that are not small: by cuBLASLt with every epilogue, without some, and by CuPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from agreement import check
from cases import Case, dense_arguments, dense_delta_arguments
from conftest import GPU, STANDIN, VARIANTS, cupy_or_skip

cupy = cupy_or_skip()

import nnpoly as nn  # noqa: E402
from nnpoly import activations  # noqa: E402
from nnpoly.backends import cupy as backend  # noqa: E402
from nnpoly.backends.cupy import CuPy, kernels, products  # noqa: E402

pytestmark = [*GPU, pytest.mark.skipif(bool(products.ABSENT), reason=products.ABSENT)]
CUPY = next(variant for variant in VARIANTS if variant.backend_name == "cupy")

rng = np.random.default_rng(7)
# Widths whose W and b begin at every alignment; one input; one output.
WIDTHS = ([6, 17, 8, 3], [1, 5, 4], [7, 3, 1], [64, 128, 32, 10])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "SMALL", 0)


def with_products(made: products.CuBLAS) -> Any:
    """Return the variant with a table of those products."""

    class Placed(type(CUPY)):  # type: ignore[misc]
        @property
        def backend(self) -> Any:
            chosen = CuPy("kernels")
            vars(chosen)["ops"] = kernels.CudaOps(made)
            return chosen

    return Placed(CUPY.id, "cupy")


def cases() -> Iterator[Case]:
    for shape in ((1, 13, 1), (31, 64, 17), (5, 1, 4), (4, 6, 1), (300, 5, 1), (128, 32, 256)):
        n, m_in, m = shape
        name = "x".join(map(str, shape))
        for activation in (activations.relu, activations.identity, activations.gelu):
            given = dense_arguments(rng, shape, activation)
            yield Case("dense", f"{name}-{activation}", given, m_in + 1)
            without_pre = {**given, "keep_pre": False}
            yield Case("dense", f"{name}-{activation}-drop-pre", without_pre, m_in + 1)
            back = dense_delta_arguments(rng, shape, activation)
            yield Case("dense_delta", f"{name}-{activation}", back, m_in)
        given = {"delta": rng.standard_normal((n, m)), "x": rng.standard_normal((n, m_in))}
        yield Case("dense_gradients", name, given, n)


CASES = list(cases())


@DTYPES
@pytest.mark.parametrize("made", [products.Lt, products.CuBLAS])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.primitive}-{c.name}")
def test_agrees_with_the_definition(case, made, dtype):
    check(with_products(made()), case, dtype)


@DTYPES
@pytest.mark.parametrize("made", [products.Lt, products.CuBLAS])
def test_relu_at_0_and_at_nan_is_the_definitions(made, dtype):
    """cuBLASLt's own gives 0 for NaN, and at 0 passes the gradient."""
    ops = kernels.CudaOps(made())
    x, W, b = cupy.eye(3, dtype=dtype), cupy.zeros((4, 3), dtype), cupy.zeros(4, dtype)
    W[0, 0], W[1, 1] = 1.0, float("nan")
    pre, post = ops.dense(x, W, b, activations.relu, False)
    assert np.isnan(post.get()[:, 1]).all()
    assert post.get()[:, [0, 2, 3]].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    ones = cupy.ones((3, 2), dtype), cupy.ones((2, 4), dtype)
    below = ops.dense_delta(*ones, pre, post, activations.relu)
    assert below.get().tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.skipif(not STANDIN, reason="a device's cuBLASLt has the algorithms that it has")
@pytest.mark.parametrize("how", [{}, {"silently": True}, {"at_launch": True}], ids=str)
@pytest.mark.parametrize("refused", ["epilogues", "gradients", "all"])
def test_what_cublaslt_has_no_algorithm_for_is_computed_otherwise(refused, how):
    from standin.cublaslt import refusing
    from standin.cublaslt_names import Epilogue

    kinds = {
        "epilogues": {Epilogue.BIAS, Epilogue.BGRADB},
        "gradients": {Epilogue.BGRADB},
        "all": {Epilogue.BIAS, Epilogue.BGRADB, Epilogue.DEFAULT},
    }[refused]
    seen = set()

    def refuse(problem: Any) -> bool:
        seen.add(problem.epilogue)
        return problem.epilogue in kinds

    with refusing(refuse, **how):
        for case in CASES:
            check(with_products(products.Lt()), case, "float32")
        in_graphs = fitted([64, 128, 32, 10], CuPy(), dtype="float64")
    assert seen == {Epilogue.BIAS, Epilogue.BGRADB, Epilogue.DEFAULT}
    assert in_graphs.stepper.steps.bytes() > 0, "no graph was captured"
    on_host = fitted([64, 128, 32, 10], "numpy", dtype="float64")
    np.testing.assert_allclose(in_graphs.network.w.get(), on_host.network.w, rtol=1e-8, atol=1e-10)


@pytest.mark.skipif(not STANDIN, reason="the real one cannot be asked")
def test_every_epilogue_is_asked_for_once_a_shape(monkeypatch):
    """Heuristics cost as much as many steps: their answers are kept."""
    from standin.cublaslt import refusing
    from standin.cublaslt_names import Epilogue

    asked = []
    with refusing(lambda problem: bool(asked.append(problem))):
        t = trainer([6, 17, 8, 3], CuPy())
        t.fit(X[:, :6], Y, epochs=3, batch_size=16)
    # Three layers forward, two deltas, three gradients; in 50 rows a batch of 16, and one of 2.
    assert len(asked) == 2 * (3 + 2 + 3)
    used = {problem.epilogue for problem in asked}
    assert used == {Epilogue.DEFAULT, Epilogue.BIAS, Epilogue.BGRADB}


X = rng.normal(size=(50, 64)).astype("f4")
Y = rng.integers(0, 3, 50)


def trainer(
    widths: list[int], place: Any, dtype: str = "float32", activation: str = "relu", **options: Any
) -> nn.Trainer:
    output = "sigmoid" if widths[-1] == 1 else "softmax"
    net = nn.MLP(widths, activation, output, dtype=dtype, seed=1, backend=place)
    return nn.Trainer(net, nn.SGD(0.01, momentum=0.9), **options)


def fitted(widths: list[int], place: Any, **options: Any) -> nn.Trainer:
    t = trainer(widths, place, **options)
    y = Y % 2 if widths[-1] == 1 else Y
    t.fit(X[:, : widths[0]], y[:, None] if widths[-1] == 1 else y, epochs=4, batch_size=16)
    return t


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_a_fit_in_graphs_has_the_bits_of_one_kernel_by_kernel(widths):
    in_graphs, by_kernels = fitted(widths, CuPy()), fitted(widths, CuPy("kernels"))
    assert in_graphs.network.w.get().tobytes() == by_kernels.network.w.get().tobytes()
    assert in_graphs.history.loss == by_kernels.history.loss
    assert in_graphs.stepper.steps.bytes() > 0


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_a_fit_agrees_with_numpy(widths):
    on_device, on_host = (fitted(widths, place, dtype="float64") for place in (CuPy(), "numpy"))
    np.testing.assert_allclose(on_device.network.w.get(), on_host.network.w, rtol=1e-8, atol=1e-10)


def test_precision_is_that_of_the_factors_alone():
    """An error of the factors' rounding, and no more than that; nothing where it is not asked for.

    2^-11 and 2^-8 are half a unit of the last of TF32's 11 and bfloat16's 8 bits. A device's rounds
    where that is faster, and small products are not.
    """
    exact = kernels.CudaOps(products.Lt())
    x, W = (cupy.asarray(rng.normal(size=shape).astype("f4")) for shape in ((64, 96), (40, 96)))
    b = cupy.zeros(40, "f4")
    want = x.get().astype("f8") @ W.get().T.astype("f8")
    scale = np.abs(x.get()).astype("f8") @ np.abs(W.get()).T.astype("f8")

    def error(ops: Any) -> float:
        got = ops.dense(x, W, b, activations.identity, False)[1].get()
        return float(np.max(np.abs(got - want) / scale))

    assert error(exact) < 1e-6
    for precision, half_unit in (("tf32", 2.0**-11), ("bf16", 2.0**-8)):
        found = error(kernels.CudaOps(products.Lt(precision)))
        assert found <= 2.01 * half_unit
        assert found > half_unit / 50 or not STANDIN


@pytest.mark.parametrize(("precision", "half_unit"), [("tf32", 2.0**-11), ("bf16", 2.0**-8)])
def test_a_step_of_lower_precision(precision, half_unit):
    """It moves the weights by the gradient, but for the factors' rounding (tanh: nothing flips)."""
    moved = []
    for options in ({}, {"precision": precision}):
        t = trainer([64, 128, 32, 10], CuPy(), activation="tanh", **options)
        before = t.network.w.get()
        t.fit(X, Y, epochs=1, batch_size=len(X))
        moved.append(t.network.w.get() - before)
    exact, rounded = moved
    apart = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert apart < 16 * half_unit
    assert apart > half_unit / 16 or not STANDIN


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_trainer_of_lower_precision(precision, tmp_path):
    lower = fitted([64, 128, 32, 10], CuPy(), precision=precision)
    assert lower.network.w.dtype == np.float32
    assert lower.history.loss[-1] < lower.history.loss[0]
    # In every way that steps are taken, and after a file.
    stepwise = fitted([64, 128, 32, 10], CuPy("kernels"), precision=precision)
    assert stepwise.network.w.get().tobytes() == lower.network.w.get().tobytes()
    together = trainer([64, 128, 32, 10], CuPy(), precision=precision)
    together.fit(X, Y, epochs=1, batch_size=16, accumulate=2)
    exact = trainer([64, 128, 32, 10], CuPy())
    exact.fit(X, Y, epochs=1, batch_size=16, accumulate=2)
    assert np.any(together.network.w.get() != exact.network.w.get()) or not STANDIN
    lower.save(tmp_path / "t")
    loaded = nn.Trainer.load(tmp_path / "t", backend="cupy", precision=precision)
    assert loaded.precision == precision
    assert nn.Trainer.load(tmp_path / "t", backend="cupy").precision is None


def test_precision_is_refused_where_it_means_nothing():
    with pytest.raises(ValueError, match=r"None or 'bf16' or 'tf32' on cupy, got 'fp8'"):
        trainer([2, 3], CuPy(), precision="fp8")
    with pytest.raises(ValueError, match=r"rounds the factors of float32 products, but the netw"):
        trainer([2, 3], CuPy(), dtype="float64", precision="bf16")


def test_workspaces_come_from_the_graph_and_stay_there():
    t = trainer([64, 128, 32, 10], CuPy())
    t.fit(X, Y, epochs=2, batch_size=16)
    before = t.stepper.steps.bytes(), cupy.get_default_memory_pool().used_bytes()
    for _ in range(20):
        t.fit(X, Y, epochs=2, batch_size=16)
    after = t.stepper.steps.bytes(), cupy.get_default_memory_pool().used_bytes()
    assert after[0] == before[0]
    assert after[1] <= before[1]


def test_show_config_says_whether_cublaslt_is_there(monkeypatch, capsys):
    assert "cuBLASLt: by nvmath-python" in CuPy().details()["CUDA"]
    monkeypatch.setattr(backend, "ABSENT", "nvmath-python does not find it (no driver)")
    assert "does not find it (no driver)" in CuPy().details()["CUDA"]
