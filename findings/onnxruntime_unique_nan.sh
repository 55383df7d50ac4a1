#!/usr/bin/env bash
# Versions:  onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, on a CPU.
# Behaviour: Unique counts a NaN as one of the numbers: [2, nan, 1, 3] has no NaN and two 2s. With
#            the NaN in front, [nan, 2, 1, 3], the only value is NaN, four times. No error,
#            and the inverse indices agree with the wrong values.
# Guess:     as onnx's reference and np.unique: NaN is a value of its own, last, and the
#            numbers keep their counts wherever it stands.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

names = ["values", "first", "inverse", "counts"]
kinds = [TensorProto.FLOAT] + [TensorProto.INT64] * 3
graph = helper.make_graph(
    [helper.make_node("Unique", ["x"], names)],
    "graph",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor_value_info(n, k, None) for n, k in zip(names, kinds, strict=True)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
)
reference = ReferenceEvaluator(model)


def unique(run, x):
    values, _, inverse, counts = run(None, {"x": np.array(x, np.float32)})
    return values.tolist(), inverse.tolist(), counts.tolist()


results = {}
for x in ([2, np.nan, 1, 3], [np.nan, 2, 1, 3], [2, 1, 3]):
    print("x", x)
    for name, run in (("onnxruntime", session.run), ("reference", reference.run)):
        values, inverse, counts = unique(run, x)
        print(f"   {name:11}  values {values}  inverse {inverse}  counts {counts}")
        results[name, str(x)] = str(values), counts

assert results["onnxruntime", "[2, nan, 1, 3]"] == ("[1.0, 2.0, 3.0]", [1, 2, 1])
assert results["onnxruntime", "[nan, 2, 1, 3]"] == ("[nan]", [4])
for x in ("[2, nan, 1, 3]", "[nan, 2, 1, 3]"):
    assert results["reference", x] == ("[1.0, 2.0, 3.0, nan]", [1, 1, 1, 1])
assert results["onnxruntime", "[2, 1, 3]"] == results["reference", "[2, 1, 3]"]
EOF
