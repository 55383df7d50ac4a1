"""Small ONNX graphs, written node by node."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnpoly.exchange import from_onnx

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
Step = tuple[Any, ...]  # an operator and what it takes; then a dict of attributes


def graph(
    steps: Sequence[Step],
    constants: dict[str, Any] | None = None,
    *,
    dtype: str = "float32",
    columns: Any = 3,
    opset: int = 20,
    outputs: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model of steps, each of which takes "x" or "1", "2", ..., the results of those before."""
    nodes = []
    for i, (op, *rest) in enumerate(steps, 1):
        names = [name for name in rest if isinstance(name, str)]
        attributes = next((item for item in rest if isinstance(item, dict)), {})
        domain = "ai.onnx.ml" if op in ("Scaler", "ZipMap", "ArrayFeatureExtractor") else ""
        nodes.append(
            helper.make_node(op, names, [str(i)], f"{op}_{i}", domain=domain, **attributes)
        )
    given = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (constants or {}).items()
    ]
    shape = ["n", *columns] if isinstance(columns, tuple) else ["n", columns]
    x = helper.make_tensor_value_info("x", TYPES[dtype], shape)
    ends = [
        helper.make_tensor_value_info(name, TYPES[dtype], None)
        for name in outputs or [str(len(steps))]
    ]
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    body = helper.make_graph(nodes, "g", [x], ends, given)
    return helper.make_model(body, opset_imports=sets, ir_version=8)


def read(model: onnx.ModelProto, path: Path, **options: Any) -> Any:
    """Write a model and read it."""
    path.write_bytes(model.SerializeToString())
    return from_onnx(path, **options)


def weights(
    seed: int = 0, widths: Sequence[int] = (3, 4, 2), dtype: str = "float32"
) -> dict[str, Any]:
    """W0, b0, W1, ...: W as Gemm has it with transB."""
    rng, made = np.random.default_rng(seed), {}
    for i, (m_in, m) in enumerate(pairwise(widths)):
        made[f"W{i}"] = rng.normal(size=(m, m_in)).astype(dtype)
        made[f"b{i}"] = rng.normal(size=m).astype(dtype)
    return made


DENSE = {"transB": 1}


def around(middle: Sequence[Step], dtype: str = "float32") -> tuple[list[Step], dict[str, Any]]:
    """A network whose hidden layer has these steps, which take "1" and later."""
    last = ("Gemm", str(1 + len(middle)), "W1", "b1", DENSE)
    return [("Gemm", "x", "W0", "b0", DENSE), *middle, last], weights(dtype=dtype)
