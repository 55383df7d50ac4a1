"""Files of to_onnx give the network back that was written, as long as nobody changed the graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import nnpoly as nn
from nnpoly.estimators import MLPClassifier
from nnpoly.exchange import onnx_own
from nnpoly.exchange.onnx_reading import from_onnx
from nnpoly.exchange.onnx_writing import to_onnx

NET = nn.Network(
    [
        nn.Periodic(4, 2, features=3),
        nn.Embedding(8, [3], 2),
        nn.Dense(9, 8, "gelu", factor=0.5, rates={"b": (0.1, 0.0)}),
        nn.BatchNorm(8, eps=1e-3, activation="elu"),
        nn.Dropout(0.1),
        nn.Residual([nn.LayerNorm(8), nn.Dense(8, 8, "mish")], "silu"),
        nn.Scale(8),
        nn.Blend(8, "selu"),
        nn.MemberScale(8, 3, "signs"),
        nn.SharedDense(8, 5, 3, "softplus"),
        nn.MemberDense(5, 2, 3),
    ],
    "softmax",
    seed=7,
)
NET.buffers = [{k: np.abs(v) + 0.3 for k, v in part.items()} for part in NET.buffers]


def same(first: nn.Network, second: nn.Network) -> bool:
    arrays = first.arrays(), second.arrays()
    return first.header() == second.header() and all(
        np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0] | arrays[1]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", [NET, nn.MLP([3, 5, 1], "tanh", "sigmoid", seed=2)], ids=type)
def test_every_bit_comes_back(net: nn.Network, dtype: str, tmp_path: Path) -> None:
    wanted = net.to(dtype=dtype)
    to_onnx(wanted, tmp_path / "a.onnx")
    found = from_onnx(tmp_path / "a.onnx")
    assert type(found) is type(net)
    assert same(found, wanted)


def test_labels_come_back(tmp_path: Path) -> None:
    net = nn.MLP([2, 3, 1], output="sigmoid")
    to_onnx(MLPClassifier.from_network(net, classes=["no", "yes"]), tmp_path / "a.onnx")
    found, labels = from_onnx(tmp_path / "a.onnx", labels=True)
    assert same(found, net)
    assert labels.tolist() == ["no", "yes"]
    to_onnx(net, tmp_path / "a.onnx")
    assert from_onnx(tmp_path / "a.onnx", labels=True)[1] is None


def changed(path: Path, change: Any, sign: bool) -> None:
    """Change a file's model; sign: so that what it says of its network is about its graph."""
    model = onnx.load(path)
    told = {entry.key: entry.value for entry in model.metadata_props}
    header = json.loads(told[onnx_own.KEY])
    change(model, header)
    if sign:
        header["graph"] = onnx_own._checksum(model.graph)
    onnx.helper.set_model_props(model, {**told, onnx_own.KEY: json.dumps(header)})
    path.write_bytes(model.SerializeToString())


def test_a_graph_that_was_changed_is_read_itself(tmp_path: Path) -> None:
    net = nn.MLP([2, 3, 1], "relu", "identity")
    to_onnx(net, tmp_path / "a.onnx")

    def doubled(model: Any, header: Any) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == "layers.0.b")
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32([1, 2, 3]), tensor.name))

    changed(tmp_path / "a.onnx", doubled, sign=False)
    assert from_onnx(tmp_path / "a.onnx").layers[0].b.tolist() == [1.0, 2.0, 3.0]


def wider(model: Any, header: Any) -> None:
    for layer in header["network"]["layers"]:
        layer["inputs"] = 1 << 40


def deeper(model: Any, header: Any) -> None:
    header["network"]["layers"] *= 2


def strange(model: Any, header: Any) -> None:
    header["network"]["layers"][0]["kind"] = "os.system"


def narrower(model: Any, header: Any) -> None:
    header["network"]["dtype"] = "float16"


def untyped(model: Any, header: Any) -> None:
    header["network"]["layers"] = 3


@pytest.mark.parametrize("change", [wider, deeper, strange, narrower, untyped])
def test_what_does_not_fit_its_graph_is_refused(change: Any, tmp_path: Path) -> None:
    to_onnx(nn.MLP([2, 2, 2], "relu", "identity"), tmp_path / "a.onnx")
    changed(tmp_path / "a.onnx", change, sign=True)
    with pytest.raises(ValueError, match=r"a\.onnx cannot be read: "):
        from_onnx(tmp_path / "a.onnx")
