"""Networks as ONNX: onnxruntime agrees with the definition, also where its own nodes do not."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import nnpoly as nn
from nnpoly import activations
from nnpoly.exchange import onnx_running
from nnpoly.exchange.bounds import outputs_and_bounds
from nnpoly.exchange.certificate import Certificate, largest_units
from nnpoly.exchange.describing import describe_model
from nnpoly.exchange.onnx_graph import NEWEST
from nnpoly.exchange.onnx_writing import OPSET, onnx_model, to_onnx

DTYPES = ("float32", "float64")
RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(200, 6)) * size for size in (1.0, 1e-8, 30.0, 1e6)])
X[:, 4:] = RNG.integers(0, 2, (len(X), 2))
OTHERS = (activations.Linear(-0.7), activations.ELU(0.5), activations.LeakyReLU(-2.0))
ACTIVATIONS = [*activations.BY_NAME.values(), *OTHERS]
TABM = [
    nn.MemberScale(6, 4, "signs"),
    nn.SharedDense(6, 8, 4, "relu", scaled="after"),
    nn.SharedDense(8, 8, 4, "silu"),
    nn.SharedDense(8, 8, 4, "tanh", scaled=False),
    nn.MemberDense(8, 3, 4),
]
CHAINS: dict[str, list[Any]] = {
    "layer norm": [
        nn.Dense(6, 8, "relu"),
        nn.LayerNorm(8, activation="gelu"),
        nn.Dense(8, 2),
    ],
    "batch norm": [
        nn.BatchNorm(6),
        nn.Dense(6, 8),
        nn.BatchNorm(8, activation="relu"),
        nn.Dense(8, 2),
    ],
    "dropout": [nn.Dropout(0.2), nn.Dense(6, 8, "relu"), nn.Dropout(0.1), nn.Dense(8, 2)],
    "factor": [nn.Dense(6, 8, "relu", factor=0.3), nn.Dense(8, 2)],
    "residual": [
        nn.Dense(6, 8, "relu"),
        nn.Residual([nn.Dense(8, 5, "silu"), nn.LayerNorm(5), nn.Dense(5, 8)], "tanh"),
        nn.Residual([nn.Residual([nn.Dense(8, 8)]), nn.Dropout(0.5)]),
        nn.Dense(8, 2),
    ],
    "scale and blend": [nn.Scale(6), nn.Dense(6, 8), nn.Blend(8, "mish"), nn.Dense(8, 2)],
    "pbld": [nn.Periodic(6, 4), nn.Embedding(18, [2, 3], 4), nn.Dense(24, 2)],
    "plr": [nn.Periodic(6, kind="plr"), nn.Dense(24, 2)],
    "piecewise": [nn.PiecewiseLinear.of_quantiles(X, 4, bins=5, features=3), nn.Dense(14, 2)],
    "embedding": [nn.Embedding(6, [2, 3], 4), nn.Dense(12, 2)],
    "members": TABM,
}


def network(chain: list[Any], output: str = "identity") -> nn.Network:
    """A network none of whose parameters and buffers is at its start."""
    net = nn.Network(chain, output, seed=3)
    net.w = np.asarray(net.w) + 0.1 * RNG.normal(size=net.w.shape)
    net.buffers = [
        {name: np.abs(RNG.normal(size=array.shape)) + 0.3 for name, array in part.items()}
        for part in net.buffers
    ]
    return net


NETWORKS = (
    {str(sigma): nn.MLP([6, 16, 16, 3], sigma, "identity", seed=1) for sigma in ACTIVATIONS}
    | {name: network(chain) for name, chain in CHAINS.items()}
    | {f"members, {output}": network(TABM, output) for output in ("softmax", "sigmoid")}
    | {
        output: nn.MLP([6, 16, 3], "tanh", output, seed=1)
        for output in ("exp", "identity", "sigmoid", "softmax", "step")
    }
)


def session_of(model: Any, dtype: str | None = None, **options: Any) -> Any:
    made = onnx_model(describe_model(model), "to_onnx", dtype, **options)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    content = made.SerializeToString()
    return onnxruntime.InferenceSession(content, settings, ["CPUExecutionProvider"])


def computed(model: Any, x: Any, dtype: str | None = None) -> Any:
    session = session_of(model, dtype)
    (found,) = session.run(["prediction"], {"X": x})
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_within_its_bound(name: str, dtype: str) -> None:
    net, x = NETWORKS[name], X.astype(dtype)
    session = session_of(net, dtype)
    (found,) = session.run(None, {"X": x})
    assert found.dtype == dtype
    wanted, bounds = outputs_and_bounds(describe_model(net), dtype, list(x.astype(float).T))
    known = np.isfinite(wanted) & np.isfinite(bounds)
    assert known.mean() > 0.8
    assert largest_units(np.where(known, found, 0), np.where(known, wanted, 0), bounds) <= 1.0
    for n in (0, 1, 3):  # the number of rows is free
        (some,) = session.run(None, {"X": x[:n]})
        assert np.allclose(some, found[:n], rtol=1e-5, atol=1e-5 * np.abs(found[:n]).max(initial=0))
        assert some.shape == found[:n].shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_onnxs_own_evaluator_agrees(dtype: str) -> None:
    for name, net in NETWORKS.items():
        x, described = X[::16].astype(dtype), describe_model(net)
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(onnx_model(described, "to_onnx", dtype))
            (found,) = evaluator.run(None, {"X": x})
        wanted, bounds = outputs_and_bounds(described, dtype, list(x.astype(float).T))
        known = np.isfinite(wanted) & np.isfinite(bounds)
        off = largest_units(np.where(known, found, 0), np.where(known, wanted, 0), bounds)
        assert (off <= 1.0, found.dtype) == (True, dtype), name


# What onnxruntime's own nodes, and the obvious forms, get wrong


def of_numbers(sigma: Any, output: str, z: Any, dtype: str) -> tuple[Any, Any]:
    """What onnxruntime and the definition make of single numbers, by an activation alone."""
    net = nn.Network([nn.Dense(1, 1, sigma), nn.Dense(1, 1)], output, dtype="float64")
    net.w = [1.0, 0.0, 1.0, 0.0]
    with np.errstate(all="ignore"):
        x = np.asarray(z, dtype)[:, None]
        return computed(net, x, dtype)[:, 0], net(x.astype(float))[:, 0]


ENDS = [np.inf, -np.inf, np.nan, 1e4, -1e4, 3e38, -3e38, 0.0, 89.0, -89.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigma", [*ACTIVATIONS, activations.Exp()], ids=str)
def test_no_nan_where_we_give_none(sigma: Any, dtype: str) -> None:
    found, wanted = of_numbers(sigma, "identity", ENDS, dtype)
    assert np.array_equal(np.isnan(found), np.isnan(wanted))
    fits = np.abs(wanted) < np.finfo(dtype).max
    assert np.allclose(found[fits], wanted[fits], rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("sigma", "z"),
    [
        ("elu", [-1e-8, -1e-12, -1e-3, -0.5]),  # exp(z) - 1 is 0
        ("selu", [-1e-8, -1e-12, -1e-3, -0.5]),
        ("softplus", [-80.0, -30.0, -17.0, -1.0, 1e4]),  # log(1 + exp(z)) is 0, and infinite
        ("mish", [-80.0, -30.0, 1e-8, 19.0, 21.0, 50.0]),
        ("silu", [-80.0, -30.0, 1e-8]),  # the node Sigmoid is 0
        ("gelu", [1e-8, -1e-8, 1.0, 30.0]),
        ("gelu_tanh", [1e-8, -1e-8, 1.0, 30.0]),
    ],
)
def test_small_results_keep_their_digits(sigma: str, z: list[float], dtype: str) -> None:
    found, wanted = of_numbers(sigma, "identity", z, dtype)
    assert np.all(np.abs(found - wanted) <= 32 * np.finfo(dtype).eps * np.abs(wanted))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_small_probabilities_keep_their_digits(output: str, dtype: str) -> None:
    scores = [-80.0, -30.0, -10.0, 0.0, 40.0]
    if output == "sigmoid":
        found, wanted = of_numbers("identity", output, scores, dtype)
    else:
        net = nn.MLP.from_weights([np.eye(5)], [np.zeros(5)], output="softmax")
        wanted = net([scores])
        found = computed(net, np.asarray([scores], dtype), dtype)
    limits = np.finfo(dtype)
    assert np.all(np.abs(found - wanted) <= 64 * limits.eps * wanted + limits.tiny)


def test_numbers_of_float64_graphs_are_float64() -> None:
    # An attribute of ONNX is a float32: 0.1 would be off by 1e-8, eps = 1e-5 by 3e-8.
    found, wanted = of_numbers(activations.LeakyReLU(0.1), "identity", [-3.0], "float64")
    assert np.array_equal(found, wanted)
    net = nn.Network([nn.LayerNorm(4), nn.Dense(4, 4)], dtype="float64")
    x = 1e-3 * RNG.normal(size=(5, 4))
    assert np.allclose(computed(net, x), net(x), rtol=1e-13)


def test_layer_norm_of_a_large_mean() -> None:
    net = nn.Network([nn.LayerNorm(8), nn.Dense(8, 2)])
    x = np.float32(RNG.normal(1e4, 1.0, (50, 8)))
    assert np.abs(computed(net, x) - net.to(dtype="float64")(x.astype(float))).max() < 3e-3


def test_batch_norm_of_a_large_mean() -> None:
    # Where gain, variance and mean are made one factor and one shift, 1e-3 is lost.
    net = nn.Network([nn.BatchNorm(8), nn.Dense(8, 2)])
    net.buffers = [{"mean": np.full(8, 1e4), "variance": np.ones(8)}, {}]
    x = np.float32(RNG.normal(1e4, 1.0, (50, 8)))
    assert np.abs(computed(net, x) - net.to(dtype="float64")(x.astype(float))).max() < 3e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_with_nan_is_nan(dtype: str) -> None:
    # ReduceMax may drop NaN. Elsewhere nothing changes.
    net = nn.MLP([3, 4, 3], "relu", seed=0)
    x = np.eye(3, dtype=dtype)
    for j in range(3):
        spoilt = x.copy()
        spoilt[1, j] = np.nan
        found = computed(net, spoilt, dtype)
        assert np.isnan(found[1]).all()
        assert np.allclose(found[::2], computed(net, x, dtype)[::2])


def test_no_category_gives_nan() -> None:
    net = nn.Network([nn.Embedding(2, [3], 4), nn.Dense(5, 1)])
    x = np.float32([[0, k] for k in (0, 1, 2, 3, -1, 0.5, np.nan)])
    assert np.isnan(computed(net, x))[:, 0].tolist() == [False] * 3 + [True] * 4


# Files


def test_old_onnxruntimes_load_it() -> None:
    """1.20, of November 2024, has IR 10 and operators up to 21, and in float64 no Cos."""
    single = {"Softplus", "Elu", "Selu", "LeakyRelu", "Mish", "Gelu", "Erf", "Cos", "HardSigmoid"}
    for net, dtype in itertools.product(NETWORKS.values(), DTYPES):
        made = onnx_model(describe_model(net), "to_onnx", dtype)
        kinds = {node.op_type for node in made.graph.node}
        assert (made.ir_version, made.opset_import[0].version) == (8, OPSET)
        assert not (dtype == "float64" and kinds & single)
        transposed = {node.output[0] for node in made.graph.node if node.op_type == "Transpose"}
        products = [node for node in made.graph.node if node.op_type == "MatMul"]
        assert not (dtype == "float64" and transposed and products)  # which 1.20 joins, and lacks


def test_it_is_a_model_by_onnxs_own_check(tmp_path: Path) -> None:
    net = NETWORKS["residual"]
    for opset in (OPSET, 21, NEWEST):
        to_onnx(net, tmp_path / "a.onnx", opset=opset)
        model = onnx.load(tmp_path / "a.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version == opset
        (given,), (prediction,) = model.graph.input, model.graph.output
        for value, name, width in ((given, "X", 6), (prediction, "prediction", 2)):
            rows, columns = value.type.tensor_type.shape.dim
            assert (value.name, rows.dim_param, columns.dim_value) == (name, "n", width)
        told = {entry.key: entry.value for entry in model.metadata_props}
        assert told["nnpoly.version"] == nn.__version__
        certificate = Certificate.from_json("a.onnx", told[onnx_running.KEY])
        assert certificate.units(computed(net, certificate.x.astype("float32"))) <= 1.0


def test_weights_are_there_bit_for_bit() -> None:
    net = nn.MLP([4, 8, 3], "tanh", seed=1)
    made = onnx_model(describe_model(net), "to_onnx")
    arrays = {given.name: numpy_helper.to_array(given) for given in made.graph.initializer}
    assert arrays.keys() == {f"layers.{l}.{name}" for l in (0, 1) for name in "Wb"}
    for l, layer in enumerate(net.layers):
        assert np.array_equal(arrays[f"layers.{l}.W"], layer.W)
        assert np.array_equal(arrays[f"layers.{l}.b"], layer.b)
    assert [node.op_type for node in made.graph.node] == ["Gemm", "Tanh", "Gemm", "Softmax"]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_networks_of_other_backends(backend: str) -> None:
    net = nn.MLP([6, 8, 3], "silu", seed=1)
    x = X[:200].astype("float32")
    assert np.array_equal(computed(net.to(backend), x), computed(net, x))


def test_half_precision_is_written_as_single() -> None:
    net = nn.MLP([6, 8, 3], "silu", seed=1, dtype="float16")
    x = X[:200].astype("float32")
    assert np.allclose(computed(net, x), net.to(dtype="float32")(x), atol=1e-6)


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    class Cube(activations.Activation):
        def value(self, ops: Any, pre: Any) -> Any:
            return pre * pre * pre

    file = tmp_path / "a.onnx"
    to_onnx(nn.MLP([2, 3, 1], output="identity"), file)
    before = file.read_bytes()
    net = nn.MLP([2, 3, 1], "tanh", "identity")
    refusals: list[tuple[Any, dict[str, Any], str]] = [
        (nn.MLP([2, 3, 1], Cube(), "identity"), {}, "the activations must be nnpoly's own"),
        (net, {"dtype": "float16"}, "`dtype` must be one of float32, float64"),
        (net, {"opset": 17}, rf"to_onnx: `opset` must be {OPSET} to \d+, of the installed onnx"),
        (net, {"opset": 999}, "got 999"),
    ]
    for model, options, message in refusals:
        with pytest.raises(ValueError, match=message):
            to_onnx(model, file, **options)
    with pytest.raises(TypeError, match=r"to_onnx: `model` must be an nn\.Network"):
        to_onnx("net", file)
    with pytest.raises(FileNotFoundError, match="to_onnx: `path` is in"):
        to_onnx(net, tmp_path / "none" / "a.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.onnx"]
    assert file.read_bytes() == before


def test_more_weights_than_a_file_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnpoly.exchange.onnx_writing.MOST", 100)
    with pytest.raises(ValueError, match=r"`model` must have at most .* GiB of weights"):
        onnx_model(describe_model(nn.MLP([2, 8, 1], output="identity")), "to_onnx")


def test_a_file_that_is_computed_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnpoly.exchange import onnx_table

    monkeypatch.setitem(onnx_table.NODES, activations.Tanh, "Sigmoid")
    net, file = nn.MLP([2, 3, 1], "tanh", "identity"), tmp_path / "a.onnx"
    with pytest.raises(RuntimeError, match=r"onnxruntime 1.*DOES NOT HOLD"):
        to_onnx(net, file)
    assert not file.exists()
    to_onnx(net, file, check=False)
    assert file.exists()


def test_a_missing_onnx_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx_writing", "onnx_graph", "onnx_table"):
        monkeypatch.delitem(sys.modules, f"nnpoly.exchange.{name}")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx is not installed: pip install nnpoly\[onnx\]"):
        import nnpoly.exchange.onnx_writing  # noqa: F401
