"""ONNX files that are no network, are damaged, or mean harm: each is refused, nothing is run."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from damage import damaged
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import DENSE, Step, around, graph, read, weights

import nnpoly as nn
from nnpoly.exchange import from_onnx

GOLDEN = Path(__file__).parent / "golden"
F = np.float32


def of(middle: list[Step], **constants: Any) -> onnx.ModelProto:
    """A model whose hidden layer has these steps."""
    steps, given = around(middle)
    return graph(steps, {**given, **constants})


def alone(steps: list[Step], **options: Any) -> onnx.ModelProto:
    """A model of these steps, with the weights W0: (4, 3), b0, W1: (2, 4), b1."""
    constants = options.pop("constants", {})
    return graph(steps, {**weights(), **constants}, **options)


FIRST: Step = ("Gemm", "x", "W0", "b0", DENSE)
NOT_READ: dict[str, tuple[onnx.ModelProto, str]] = {
    "an operator": (of([("Softsign", "1")]), r"node 'Softsign_2' \(Softsign\) is of an operator"),
    "the first of two": (
        of([("Softsign", "1"), ("HardSwish", "2")]),
        r"'Softsign_2'.* output='1'\.$",
    ),
    "relu6": (of([("Clip", "1", "a", "b")], a=F(0), b=F(6)), r"Clip_2.*: it bounds values"),
    "a quick gelu": (
        of([("Mul", "1", "a"), ("Sigmoid", "2"), ("Mul", "1", "3")], a=F(1.702)),
        r"'Mul_4' \(Mul\) and the 2 nodes before it compute no activation",
    ),
    "gelu with another root": (
        of(
            [
                ("Div", "1", "a"),
                ("Erf", "2"),
                ("Add", "3", "b"),
                ("Mul", "1", "4"),
                ("Mul", "5", "c"),
            ],
            a=F(1.41422),
            b=F(1),
            c=F(0.5),
        ),
        "no activation",
    ),
    "a trap at one number": (
        of([("Equal", "1", "a"), ("Tanh", "1"), ("Where", "2", "a", "3")], a=F(0.125)),
        r"'Equal_2' \(Equal\) is of an operator",
    ),
    "a trap in a choice": (
        of([("Greater", "1", "a"), ("Relu", "1"), ("Where", "2", "b", "3")], a=F(9), b=F(0)),
        "no activation",
    ),
    "celu": (of([("Celu", "1", {"alpha": 2.0})]), r"Celu_2.*is no layer"),
    "selu of other numbers": (of([("Selu", "1", {"alpha": 1.6})]), "not those of SELU"),
    "slopes for each column": (
        of([("PRelu", "1", "a")], a=np.arange(4, dtype="f")),
        "a number for each column",
    ),
    "a product of two layers": (of([("Tanh", "1"), ("Mul", "1", "2")]), "no activation"),
    "a short cut that is no sum": (
        of([("Gemm", "1", "V", DENSE), ("Max", "1", "2")], V=np.eye(4, dtype="f")),
        r"'Max_3'",
    ),
    "a short cut of another width": (
        alone(
            [FIRST, ("Gemm", "1", "W", DENSE), ("Add", "1", "2")],
            constants={"W": np.ones((1, 4), "f")},
        ),
        "another shape",
    ),
    "a difference from a constant": (of([("Sub", "a", "1")], a=np.ones(4, "f")), "from a constant"),
    "a division by zero": (of([("Div", "1", "a")], a=np.zeros(4, "f")), "divides by 0"),
    "weights on the left": (alone([("MatMul", "W0", "x")]), "a constant by the rows"),
    "weights that are computed": (alone([("MatMul", "x", "x")]), "no constant as input 2"),
    "alpha": (alone([("Gemm", "x", "W0", "b0", {"transB": 1, "alpha": 2.0})]), "alpha or beta"),
    "a softmax within": (
        alone([FIRST, ("Softmax", "1"), ("Gemm", "2", "W1", "b1", DENSE)]),
        r"Gemm_3.*after a softmax",
    ),
    "what comes after a softmax": (
        alone([FIRST, ("Softmax", "1"), ("Tanh", "2")]),
        "after a softmax",
    ),
    "a logarithm of softmax": (alone([FIRST, ("LogSoftmax", "1")]), "LogSoftmax_2.*output='1'"),
    "a softmax down the columns": (alone([FIRST, ("Softmax", "1", {"axis": 0})]), "than the rows"),
    "drawn numbers": (
        alone([("RandomNormal", {"shape": [4, 3]}), ("Gemm", "x", "1")]),
        "computes a constant in a way that is not known",
    ),
    "training's batch norm": (
        alone(
            [("BatchNormalization", "x", "a", "a", "a", "a", {"training_mode": 1})],
            constants={"a": np.ones(3, "f")},
        ),
        "as in training",
    ),
    "a negative variance": (
        alone(
            [("BatchNormalization", "x", "a", "a", "a", "b")],
            constants={"a": np.ones(3, "f"), "b": -np.ones(3, "f")},
        ),
        "variance that no layer has",
    ),
    "training's dropout": (
        of([("Dropout", "1", "a", "b")], a=F(0.5), b=np.asarray(True)),
        "as in training",
    ),
    "mixed rows": (of([("Reshape", "1", "a")], a=np.asarray([-1, 2])), "mixes the rows"),
    "a transpose": (of([("Transpose", "1")]), "Transpose_2.*operator"),
    "a change of type": (of([("Cast", "1", {"to": 11}), ("Cast", "2", {"to": 1})]), "Cast_2"),
    "no weights": (alone([("Identity", "x")]), "no weights"),
    "only an activation": (alone([("Sigmoid", "x")]), "no weights"),
    "other weights": (alone([("Gemm", "x", "W1", "b1", DENSE)]), "for 4 columns meet 3"),
    "another bias": (alone([("Gemm", "x", "W0", "b1", DENSE)]), r"shape \(2,\) meets 4 columns"),
    "weights of three dimensions": (
        alone([("MatMul", "x", "a")], constants={"a": np.ones((1, 3, 2), "f")}),
        r"shape \(1, 3, 2\), not a matrix",
    ),
    "weights of another type": (
        alone([("MatMul", "x", "a")], constants={"a": np.ones((3, 2))}),
        "weights are of float64, and what they meet is float32",
    ),
    "whole numbers as weights": (
        alone([("MatMul", "x", "a")], constants={"a": np.ones((3, 2), "int64")}),
        "weights are of int64",
    ),
    "whole numbers as input": (
        graph([FIRST], weights(), dtype="int64"),
        "of a type that no network",
    ),
    "weights of no columns": (
        alone([("MatMul", "x", "a")], constants={"a": np.ones((3, 0), "f")}),
        "weights have the shape",
    ),
    "an old opset": (alone([FIRST], opset=6), "of opset 6, and those of 7 to"),
    "an opset to come": (alone([FIRST], opset=99), "of opset 99"),
    "images": (alone([("MatMul", "x", "W0")], columns=(3, 4)), "weights for 4 columns meet 12"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_the_first_node_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    model, message = NOT_READ[name]
    path = tmp_path / "m.onnx"
    with pytest.raises(ValueError, match=message) as error:
        read(model, path)
    assert str(error.value).startswith(f"from_onnx: {path} cannot be read: ")


def test_what_comes_before_can_be_read(tmp_path: Path) -> None:
    """As the message says."""
    steps: list[Step] = [
        FIRST,
        ("Tanh", "1"),
        ("Gemm", "2", "W1", "b1", DENSE),
        ("LogSoftmax", "3"),
    ]
    net = read(graph(steps, weights()), tmp_path / "m.onnx", output="3")
    assert (net.widths, net.output) == ([3, 4, 2], "identity")


def changed(change: Callable[[onnx.ModelProto], Any]) -> onnx.ModelProto:
    """A good model with a change."""
    model = of([("Relu", "1")])
    change(model)
    return model


def outside(model: onnx.ModelProto) -> None:
    """Put the first weights into another file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def functional(model: onnx.ModelProto) -> None:
    """Call a function of the file, whose name is ONNX's own."""
    node = helper.make_node("Tanh", ["a"], ["b"])
    sets = [helper.make_opsetid("", 20)]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [node], sets))


def with_branches(model: onnx.ModelProto) -> None:
    """Choose between graphs."""
    node = model.graph.node[1]
    node.op_type = "If"
    inner = helper.make_graph([helper.make_node("Relu", ["1"], ["r"])], "inner", [], [])
    node.attribute.append(helper.make_attribute("then_branch", inner))


def tensor(model: onnx.ModelProto, **values: Any) -> None:
    """Change what the first weights say about themselves."""
    for name, value in values.items():
        if name == "dims":
            model.graph.initializer[0].dims[:] = value
        else:
            setattr(model.graph.initializer[0], name, value)


HOSTILE: dict[str, tuple[onnx.ModelProto, str]] = {
    "weights elsewhere": (changed(outside), "'W0' is in another file, which is not opened"),
    "a function": (changed(functional), "Relu.* is a function of the file"),
    "branches": (changed(with_branches), "'then_branch' of a kind that no layer has"),
    "operators of another library": (
        changed(lambda m: setattr(m.graph.node[1], "domain", "com.microsoft")),
        "of the operators 'com.microsoft'",
    ),
    "a circle": (
        changed(lambda m: m.graph.node[0].input.__setitem__(0, "2")),
        "uses '2' before it is computed",
    ),
    "another order": (changed(lambda m: m.graph.node.reverse()), "before it is computed"),
    "a name twice": (
        changed(lambda m: m.graph.node[1].output.__setitem__(0, "1")),
        "'1' is given to two values",
    ),
    "an input that is made": (
        changed(lambda m: m.graph.node[1].output.__setitem__(0, "x")),
        "'x' is given to two values",
    ),
    "two inputs": (
        changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("y", 1, ["n", 3]))),
        r"takes 2 inputs \('x', 'y'\)",
    ),
    "texts": (
        changed(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8)),
        "no matrix of numbers",
    ),
    "an output that is not made": (
        changed(lambda m: setattr(m.graph.output[0], "name", "z")),
        "output uses 'z' before",
    ),
    "another width than declared": (
        changed(
            lambda m: m.graph.output[0].CopyFrom(helper.make_tensor_value_info("3", 1, ["n", 7]))
        ),
        "declared with 7 columns and has 2",
    ),
    "more numbers than there are": (
        changed(lambda m: tensor(m, dims=[1 << 40, 1 << 40])),
        "but 12 numbers: it is damaged",
    ),
    "a negative size": (changed(lambda m: tensor(m, dims=[-4, -3])), "which no weights have"),
    "many dimensions": (changed(lambda m: tensor(m, dims=[1] * 99)), "which no weights have"),
    "another type": (changed(lambda m: tensor(m, data_type=11)), "but 6 numbers"),
    "complex weights": (changed(lambda m: tensor(m, data_type=14)), "ONNX's type 14"),
    "half a number": (changed(lambda m: tensor(m, raw_data=b"12345")), "but 1.25 numbers"),
    "sparse weights": (
        changed(lambda m: m.graph.sparse_initializer.add()),
        "sparse constants",
    ),
    "no opset": (changed(lambda m: m.ClearField("opset_import")), "of opset 0"),
    "no graph": (changed(lambda m: m.ClearField("graph")), "no graph"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_lie(name: str, tmp_path: Path) -> None:
    model, message = HOSTILE[name]
    (tmp_path / "weights.bin").write_bytes(weights()["W0"].tobytes())
    with pytest.raises(ValueError, match=f"m.onnx cannot be read: .*{message}"):
        read(model, tmp_path / "m.onnx")


BIG = np.asarray([1 << 20, 1 << 20])


def _repeated(op: str, times: int) -> list[Step]:
    return [FIRST, *((op, str(i)) for i in range(1, times))]


BOMBS: dict[str, tuple[onnx.ModelProto, str]] = {
    "a filled constant": (
        alone([("ConstantOfShape", "a"), ("MatMul", "x", "1")], constants={"a": BIG}),
        "more than a file of this size needs",
    ),
    "an expanded constant": (
        alone(
            [("Expand", "W0", "a"), ("MatMul", "x", "1")],
            constants={"a": np.asarray([1 << 30, 4, 3])},
        ),
        "more than a file of this size needs",
    ),
    "an outer product": (
        alone(
            [("Mul", "a", "b"), ("MatMul", "x", "1")],
            constants={"a": np.ones((1 << 13, 1), "f"), "b": np.ones((1, 1 << 13), "f")},
        ),
        "more than a file of this size needs",
    ),
    "constants that double": (
        alone(
            [
                ("Concat", "W0", "W0", {"axis": 0}),
                *(("Concat", str(i), str(i), {"axis": 0}) for i in range(1, 60)),
                ("MatMul", "x", "60"),
            ]
        ),
        "more than a file of this size needs",
    ),
    "one constant in many layers": (
        alone(
            [("MatMul", "x" if i == 0 else str(i), "a") for i in range(5000)],
            columns=256,
            constants={"a": np.ones((256, 256), "f")},
        ),
        "many times larger than the file",
    ),
    "many columns": (alone([("Tanh", "x")], columns=1 << 40), "many times larger than the file"),
    "many columns that are moved": (
        alone([("Add", "x", "a")], columns=1 << 40, constants={"a": F(1)}),
        "many times larger than the file",
    ),
    "functions of functions": (alone(_repeated("Tanh", 100)), ""),
    "sums of sums": (alone([FIRST, *(("Add", str(i), str(i)) for i in range(1, 300))]), ""),
    "products of products": (
        alone([FIRST, *(("Mul", str(i), str(i)) for i in range(1, 300))]),
        "",
    ),
    "choices of choices": (
        alone([FIRST, *(("PRelu", str(i), "a") for i in range(1, 30))], constants={"a": F(0.5)}),
        "",
    ),
    "short cuts in short cuts": (
        alone(
            [
                FIRST,
                *(("Tanh", str(i)) for i in range(1, 101)),
                *(("Add", str(101 - i if i else 100), str(101 + i)) for i in range(100)),
            ]
        ),
        "",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_files_that_say_more_than_they_have(name: str, tmp_path: Path) -> None:
    """Refused before anything is allocated, and soon."""
    model, message = BOMBS[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    start = time.perf_counter()
    tracemalloc.start()
    try:
        if message:
            with pytest.raises(ValueError, match=message):
                from_onnx(path)
        else:
            with_any_end(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 20


def with_any_end(path: Path) -> nn.Network | None:
    """A network, or None after an error that names the file."""
    message = ""
    try:
        net = from_onnx(path)
    except ValueError as error:
        message = str(error)
    if message:
        assert message.startswith(f"from_onnx: {path} cannot be read: ")
        assert message.isprintable()
        return None
    assert isinstance(net, nn.Network)
    return net


@pytest.mark.parametrize("name", ["torch_layers_13", "keras_residual"])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    """Each is a network or an error of one line that names the file, never anything else."""
    good, path = (GOLDEN / f"{name}.onnx").read_bytes(), tmp_path / "m.onnx"
    ends = []
    for seed in range(300):
        path.write_bytes(damaged(good, seed))
        ends.append(with_any_end(path))
    assert 100 < ends.count(None) < 300


def test_files_that_end_too_soon(tmp_path: Path) -> None:
    """Every prefix is refused, until nothing but what a network has no use for is missing."""
    good, path = (GOLDEN / "torch_short_cuts.onnx").read_bytes(), tmp_path / "m.onnx"
    whole = from_onnx(GOLDEN / "torch_short_cuts.onnx")
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        net = with_any_end(path)
        assert net is None or np.array_equal(net.w, whole.w)
        assert net is None or length > 0.9 * len(good)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x", b"\x80\x04.", b"{}", b"\x00" * 99])
def test_files_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no ONNX file"):
        from_onnx(path)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"from_onnx: `path` .* is no file"):
        from_onnx(tmp_path / "m.onnx")
    with pytest.raises(IsADirectoryError, match=r"from_onnx: `path` .* is a folder"):
        from_onnx(tmp_path)
    with pytest.raises(TypeError, match="from_onnx: `path` must be a path"):
        from_onnx(3)


def test_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"from_onnx needs onnx: pip install nnpoly\[onnx\]"):
        from_onnx(GOLDEN / "torch_short_cuts.onnx")


def test_texts_of_a_file_do_not_break_the_message(tmp_path: Path) -> None:
    """Names are shown in quotes, on one line, and short."""
    model = of([("Softsign", "1")])
    model.graph.node[1].name = "a\nb\x1b[31m" * 1000
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"'a\\nb") as error:
        from_onnx(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


def test_reading_leaves_the_file_and_its_folder_alone(tmp_path: Path) -> None:
    model = of([("Relu", "1")])
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    before = path.read_bytes(), path.stat().st_mtime_ns
    from_onnx(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [path]


def test_raw_and_typed_weights_are_the_same(tmp_path: Path) -> None:
    """Tensors keep their numbers as bytes or in a field of their type; both give the same bits."""
    for dtype in ("float32", "float64", "float16"):
        given = weights(dtype=dtype)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        nets = []
        for make in ("bytes", "field"):
            model = graph([FIRST], given)
            model.graph.input[0].type.tensor_type.elem_type = kind
            if make == "field":
                del model.graph.initializer[:]
                model.graph.initializer.extend(
                    helper.make_tensor(name, kind, array.shape, array.ravel())
                    for name, array in given.items()
                )
            nets.append(read(model, tmp_path / "m.onnx"))
        assert np.asarray(nets[0].w).tobytes() == np.asarray(nets[1].w).tobytes()
        assert nets[0].layers[0].W.tobytes() == given["W0"].tobytes()
        assert nets[0].dtype == dtype
    assert numpy_helper.to_array(model.graph.initializer[0]).dtype == np.float16
