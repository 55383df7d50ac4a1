"""Networks from ONNX files: what exporters wrote, what a file spells out, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_graphs import DENSE, Step, around, graph, read, weights

import nnpoly as nn
from nnpoly.exchange import from_onnx

GOLDEN = Path(__file__).parent / "golden"
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def golden() -> dict[str, Array]:
    """What the exporting libraries themselves computed, and their weights."""
    with np.load(GOLDEN / "onnx.npz") as file:
        return dict(file)


def trained(net: nn.Network) -> Array:
    """The parameters that training changes, in order."""
    parts = [
        np.asarray(net.w)[slot.start : slot.stop]
        for slot in net.layout.slots
        if not net.chain[slot.layer].parameter_rates()
    ]
    return np.concatenate(parts)


def computed(model: onnx.ModelProto, x: Array) -> Array:
    """What onnxruntime computes."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: Array = session.run(None, {"x": x})[0]
    return found


# What exporters write

NAMES = sorted(path.stem for path in GOLDEN.glob("*.onnx"))
NONE, CUT = "identity", nn.Residual
FOUND: dict[str, tuple[list[Any], str]] = {
    "torch_short_cuts": ([nn.Dense, CUT, nn.Dense], "identity"),
    "torch_layers_13": (
        [nn.Dense, nn.BatchNorm, nn.Residual, nn.LayerNorm, nn.Dense],
        "sigmoid",
    ),
    "keras_norm": ([nn.Dense] * 4, "sigmoid"),
    "keras_residual": ([nn.Dense, nn.Residual, nn.Dense], "identity"),
    "keras_scaler": ([nn.Dense, nn.Scale, nn.Dense], "identity"),
}
FOUND["torch_layers_20"] = FOUND["torch_layers_13"]


@pytest.mark.parametrize("name", NAMES)
def test_what_torch_and_keras_write(name: str, golden: dict[str, Array]) -> None:
    """Weights bit for bit, and the outputs of the library that the network comes from."""
    net = from_onnx(GOLDEN / f"{name}.onnx")
    x, y, w = (golden[f"{name}/{key}"] for key in "xyw")
    assert net.dtype == x.dtype.name
    own = trained(net)
    assert own.dtype == w.dtype
    assert own.tobytes() == w.tobytes()
    # The attributes of ONNX are float32, in float64 graphs too.
    tolerance = 1e-7 if net.dtype == "float64" else 2e-6
    np.testing.assert_allclose(net(x), y, rtol=tolerance, atol=tolerance)
    assert np.ptp(y, axis=0).min() > 0.01, "the outputs must depend on the inputs"


@pytest.mark.parametrize("name", FOUND)
def test_the_layers_that_are_found(name: str) -> None:
    net = from_onnx(GOLDEN / f"{name}.onnx")
    kinds, output = FOUND[name]
    assert [type(layer) for layer in net.chain] == kinds
    assert net.output == output


def test_the_activations_that_are_found() -> None:
    kinds = "relu leaky_relu elu selu softplus silu mish gelu gelu_tanh tanh sigmoid relu identity"
    wanted = [nn.activations.BY_NAME[kind] for kind in kinds.split()]
    wanted[1], wanted[2] = nn.activations.LeakyReLU(0.2), nn.activations.ELU(0.7)
    for name in ("torch_activations", "torch_activations_20"):
        net = from_onnx(GOLDEN / f"{name}.onnx")
        assert [layer.activation for layer in net.chain] == wanted
        assert (type(net), net.output) == (nn.MLP, "softmax")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_skl2onnx_writes(tmp_path: Path) -> None:
    """Classifiers give probabilities and, if asked, their labels; scalers come along."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    kinds = np.asarray(["cat", "dog", "emu"])[rng.integers(0, 3, 60)]
    path = tmp_path / "model.onnx"
    options = {"hidden_layer_sizes": (5, 4), "max_iter": 3, "random_state": 0}

    def read_back(model: Any, x: Array, **how: Any) -> tuple[nn.Network, Array | None]:
        path.write_bytes(to_onnx(model, x[:1], **how).SerializeToString())
        net, labels = from_onnx(path, labels=True)
        return net, labels

    several = MLPClassifier(**options).fit(X, kinds)
    two = MLPClassifier(activation="logistic", **options).fit(X, kinds == "cat")
    scalers = StandardScaler(), MinMaxScaler()
    numbers = make_pipeline(*scalers, MLPRegressor(activation="tanh", **options)).fit(X, X[:, 0])
    pairs = MLPRegressor(**options).fit(X, X[:, :2])

    for how in ({}, {"options": {"zipmap": False}}):  # maps of labels, and a plain matrix
        net, labels = read_back(several, X, **how)
        assert labels is not None
        assert (labels.tolist(), net.output) == (["cat", "dog", "emu"], "softmax")
        np.testing.assert_allclose(net(X), several.predict_proba(X), rtol=1e-12)
        for layer, W, b in zip(net.layers, several.coefs_, several.intercepts_, strict=True):
            assert np.array_equal(layer.W, W.T)
            assert np.array_equal(layer.b, b)

    net, labels = read_back(two, X, options={"zipmap": False})
    assert labels is not None
    assert (labels.tolist(), net.output) == ([0, 1], "sigmoid")
    np.testing.assert_allclose(net(X)[:, 0], two.predict_proba(X)[:, 1], rtol=1e-12)

    net, labels = read_back(numbers, X)
    assert labels is None
    np.testing.assert_allclose(net(X)[:, 0], numbers.predict(X), rtol=1e-12)

    net, _ = read_back(numbers, X.astype("float32"))  # by the operator Scaler
    np.testing.assert_allclose(net(X.astype("float32"))[:, 0], numbers.predict(X), rtol=1e-5)

    # skl2onnx 1.20 mixes the rows of two targets, which no network does.
    with pytest.raises(ValueError, match=r"'Reshape' \(Reshape\).* of rows of 2 columns.* mixes"):
        read_back(pairs, X)


# What a file spells out

ROOT = np.float32(math.sqrt(2.0))
SPELT: dict[str, tuple[list[Step], dict[str, Any], Any]] = {
    "relu as a maximum": ([("Max", "1", "zero")], {"zero": np.float32(0)}, "relu"),
    "relu as a clip": ([("Clip", "1", "zero")], {"zero": np.float32(0)}, "relu"),
    "relu as a choice": (
        [("LessOrEqual", "1", "zero"), ("Where", "2", "zero", "1")],
        {"zero": np.float32(0)},
        "relu",
    ),
    "leaky relu as a maximum": (
        [("Mul", "tenth", "1"), ("Max", "2", "1")],
        {"tenth": np.float32(0.1)},
        nn.activations.LeakyReLU(0.1),
    ),
    "leaky relu of one slope": (
        [("PRelu", "1", "slope")],
        {"slope": np.asarray([0.3], "f")},
        nn.activations.LeakyReLU(0.3),
    ),
    "silu": ([("Sigmoid", "1"), ("Mul", "2", "1")], {}, "silu"),
    "silu as a quotient": (
        [("Neg", "1"), ("Exp", "2"), ("Add", "3", "one"), ("Div", "1", "4")],
        {"one": np.float32(1)},
        "silu",
    ),
    "sigmoid as a reciprocal": (
        [("Neg", "1"), ("Exp", "2"), ("Add", "one", "3"), ("Reciprocal", "4")],
        {"one": np.float32(1)},
        "sigmoid",
    ),
    "softplus as a logarithm": (
        [("Exp", "1"), ("Add", "2", "one"), ("Log", "3")],
        {"one": np.float32(1)},
        "softplus",
    ),
    "mish": ([("Softplus", "1"), ("Tanh", "2"), ("Mul", "1", "3")], {}, "mish"),
    "elu as a choice": (
        [
            ("Exp", "1"),
            ("Sub", "2", "one"),
            ("Mul", "3", "half"),
            ("Greater", "1", "zero"),
            ("Where", "5", "1", "4"),
        ],
        {"one": np.float32(1), "half": np.float32(0.5), "zero": np.float32(0)},
        nn.activations.ELU(0.5),
    ),
    "celu of 1": ([("Celu", "1")], {}, nn.activations.ELU(1.0)),
    "gelu, half of x first": (
        [
            ("Mul", "1", "half"),
            ("Div", "1", "root"),
            ("Erf", "3"),
            ("Add", "one", "4"),
            ("Mul", "2", "5"),
        ],
        {"half": np.float32(0.5), "root": ROOT, "one": np.float32(1)},
        "gelu",
    ),
    "gelu, the half last": (
        [
            ("Div", "1", "root"),
            ("Erf", "2"),
            ("Add", "3", "one"),
            ("Mul", "1", "4"),
            ("Mul", "5", "half"),
        ],
        {"half": np.float32(0.5), "root": ROOT, "one": np.float32(1)},
        "gelu",
    ),
    "a factor": ([("Mul", "1", "f")], {"f": np.float32(3)}, nn.activations.Linear(3.0)),
    "a step": (
        [("Less", "1", "zero"), ("Not", "2"), ("Cast", "3", {"to": 1})],
        {"zero": np.float32(0)},
        "step",
    ),
    "exp": ([("Exp", "1")], {}, nn.activations.Exp()),
    "nothing": ([("Identity", "1"), ("Dropout", "2", "zero")], {"zero": np.float32(0)}, "identity"),
}


@pytest.mark.parametrize("name", SPELT)
def test_activations_however_they_are_spelt(name: str, tmp_path: Path) -> None:
    middle, constants, sigma = SPELT[name]
    steps, given = around(middle)
    model = graph(steps, {**given, **constants})
    net = read(model, tmp_path / "m.onnx")
    assert [layer.activation for layer in net.chain] == [
        nn.activations.get(sigma),
        nn.activations.identity,
    ]
    x = np.random.default_rng(1).normal(size=(20, 3)).astype("f")
    np.testing.assert_allclose(net(x), computed(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*nn.activations.BY_NAME, "exp"])
def test_the_formulas_of_nnpolys_own_text(name: str, dtype: str) -> None:
    """A graph that is traced from an activation's own text is that activation."""
    from nnpoly.exchange import onnx_functions

    sigma = nn.activations.BY_NAME.get(name, nn.activations.Exp())
    if sigma.differentiable:
        found = onnx_functions.activation_of(onnx_functions.own_formula(sigma), dtype)
        assert found in (sigma, nn.activations.identity if name == "linear" else sigma)


@pytest.mark.parametrize(
    ("middle", "constants"),
    [
        ([("Tanh", "1"), ("Sigmoid", "2")], {}),  # one more than a Dense layer takes
        ([("Relu", "1"), ("Mul", "2", "f")], {"f": np.asarray([1, -2, 3, 0.5], "f")}),
        (
            [("Sub", "1", "f"), ("Div", "2", "g")],
            {"f": np.arange(4.0, dtype="f"), "g": np.asarray([1, 2, 4, -8], "f")},
        ),
        (
            [("Mul", "1", "f"), ("Add", "2", "g")],
            {"f": np.arange(4.0, dtype="f"), "g": np.asarray([[1, 2, 4, -8]], "f")},
        ),
        ([("Tanh", "1"), ("Add", "2", "1")], {}),  # a short cut past an activation
    ],
    ids=["two activations", "factors", "a scaler", "products and sums", "a short cut"],
)
def test_what_becomes_a_layer_of_its_own(
    middle: list[Step], constants: dict[str, Any], tmp_path: Path
) -> None:
    steps, given = around(middle)
    model = graph(steps, {**given, **constants})
    net = read(model, tmp_path / "m.onnx")
    x = np.random.default_rng(1).normal(size=(20, 3)).astype("f")
    np.testing.assert_allclose(net(x), computed(model, x), rtol=1e-5, atol=1e-5)
    assert net.layers[0].W.tobytes() == given["W0"].tobytes()


@pytest.mark.parametrize("end", ["Tanh", "Relu", "Sigmoid", "Exp", "Softmax", "Identity"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends(end: str, dtype: str, tmp_path: Path) -> None:
    """Of the functions after the last layer, outputs become the output, others stay."""
    model = graph([("Gemm", "x", "W0", "b0", DENSE), (end, "1")], weights(dtype=dtype), dtype=dtype)
    net = read(model, tmp_path / "m.onnx")
    known = {"Sigmoid": "sigmoid", "Exp": "exp", "Softmax": "softmax"}
    assert net.output == known.get(end, "identity")
    x = np.random.default_rng(1).normal(size=(20, 3)).astype(dtype)
    np.testing.assert_allclose(net(x), computed(model, x), rtol=1e-5, atol=1e-6)


def test_a_softmax_that_is_spelt_out(tmp_path: Path) -> None:
    row = {"axes": [-1], "keepdims": 1}
    steps = [
        ("Gemm", "x", "W0", "b0", DENSE),
        ("ReduceMax", "1", row),
        ("Sub", "1", "2"),
        ("Exp", "3"),
        ("ReduceSum", "4", "axes", {"keepdims": 1}),
        ("Div", "4", "5"),
    ]
    model = graph(steps, {**weights(), "axes": np.asarray([-1])}, opset=13)
    net = read(model, tmp_path / "m.onnx")
    assert net.output == "softmax"
    x = np.random.default_rng(1).normal(size=(20, 3)).astype("f")
    np.testing.assert_allclose(net(x), computed(model, x), rtol=1e-5)


def test_weights_in_every_form(tmp_path: Path) -> None:
    """Products with weights on either side of a transpose, and constants of nodes."""
    given = weights()
    plain = [("Gemm", "x", "W0", "b0", DENSE), ("Relu", "1"), ("Gemm", "2", "W1", "b1", DENSE)]
    wanted = np.asarray(read(graph(plain, given), tmp_path / "m.onnx").w)
    W0 = helper.make_tensor("", TensorProto.FLOAT, (4, 3), given["W0"].ravel())
    steps = [
        ("Constant", {"value": W0}),
        ("Transpose", "1", {"perm": [1, 0]}),
        ("MatMul", "x", "2"),
        ("Add", "b0", "3"),
        ("Relu", "4"),
        ("Unsqueeze", "b1", "first"),
        ("Transpose", "W1"),
        ("Gemm", "5", "7", "6"),
    ]
    found = read(graph(steps, {**given, "first": np.asarray([0])}), tmp_path / "m.onnx")
    assert np.asarray(found.w).tobytes() == wanted.tobytes()
    assert isinstance(found, nn.MLP)


def test_images_are_flattened(tmp_path: Path) -> None:
    """However the exporter says it; the network takes the rows as vectors."""
    given = {**weights(widths=(6, 2)), "minus": np.asarray([-1]), "first": np.asarray(0)}
    given |= {"zero": np.asarray([0]), "shape": np.asarray([-1, 6])}
    dense = ("W0", "b0", DENSE)
    ways: list[list[Step]] = [
        [("Flatten", "x"), ("Gemm", "1", *dense)],
        [("Reshape", "x", "shape"), ("Gemm", "1", *dense)],
        [
            ("Shape", "x"),
            ("Gather", "1", "first"),
            ("Unsqueeze", "2", "zero"),
            ("Concat", "3", "minus", {"axis": 0}),
            ("Reshape", "x", "4"),
            ("Gemm", "5", *dense),
        ],
    ]
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("f")
    for steps in ways:
        model = graph(steps, given, columns=(2, 3))
        net = read(model, tmp_path / "m.onnx")
        np.testing.assert_allclose(net(x.reshape(5, 6)), computed(model, x), rtol=1e-5)


def test_the_dtype_and_the_numbers_of_attributes(tmp_path: Path) -> None:
    """float32: the shortest number that means the same; float64: what the file says, exactly."""
    for dtype, a in (("float32", 0.1), ("float64", float(np.float32(0.1)))):
        steps, given = around([("LeakyRelu", "1", {"alpha": 0.1})], dtype)
        net = read(graph(steps, given, dtype=dtype), tmp_path / "m.onnx")
        assert net.dtype == dtype
        assert net.chain[0].activation == nn.activations.LeakyReLU(a)


def test_frozen_layers_stay_as_they_are_in_training(tmp_path: Path) -> None:
    """A scaler is no part of what is learnt."""
    steps = [("Sub", "x", "mean"), ("Mul", "1", "factor"), ("Gemm", "2", "W0", "b0", DENSE)]
    given = {
        **weights(widths=(3, 1)),
        "mean": np.asarray([5, 1, 2], "f"),
        "factor": np.asarray([2, 3, 4], "f"),
    }
    net = read(graph(steps, given), tmp_path / "m.onnx")
    before = [np.array(net.layers[0].W), np.array(net.layers[0].b), np.array(net.layers[1].s)]
    x = np.random.default_rng(0).normal(size=(30, 3)).astype("f")
    nn.Trainer(net, nn.Adam(0.1)).fit(x, x[:, :1], epochs=3, progress=False)
    after = [net.layers[0].W, net.layers[0].b, net.layers[1].s]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert not np.array_equal(net.layers[2].W, given["W0"])


def test_one_of_several_outputs(tmp_path: Path) -> None:
    steps, given = around([("Tanh", "1")])
    model = graph(steps, given, outputs=["2", "3"])
    with pytest.raises(ValueError, match=r"2 outputs of numbers.*output=.*'2', '3'"):
        read(model, tmp_path / "m.onnx")
    assert read(model, tmp_path / "m.onnx", output="3").outputs == 2
    assert read(model, tmp_path / "m.onnx", output="2").outputs == 4
    with pytest.raises(ValueError, match="no value 'y'"):
        read(model, tmp_path / "m.onnx", output="y")


def test_where_the_network_lives(tmp_path: Path) -> None:
    steps, given = around([("Relu", "1")])
    net = read(graph(steps, given), tmp_path / "m.onnx", backend="torch")
    assert net.backend == "torch"
    with pytest.raises(ValueError, match="from_onnx: `backend`"):
        from_onnx(tmp_path / "m.onnx", backend="abacus")
