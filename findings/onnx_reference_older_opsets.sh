#!/usr/bin/env bash
# Versions:  onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6, on a CPU.
# Behaviour: onnx's ReferenceEvaluator computes Softmax, LogSoftmax and Hardmax of opset 12 as those
#            of opset 13 (over the last axis instead of over all axes from 1 on), and the
#            BatchNormalization of opset 9 with the batch's statistics blended into the running
#            ones. There is no warning.
# Guess:     the reference implementation honours the opset that the model names, or refuses it.
#            onnxruntime follows the operators' own texts.
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


def outputs(operator, opset, *arrays):
    """The node's first output from onnxruntime and from the reference."""
    feed = {f"in{i}": a for i, a in enumerate(arrays)}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in feed.items()]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [helper.make_node(operator, list(feed), ["out"])], "graph", inputs, [output]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)[0], ReferenceEvaluator(model).run(None, feed)[0]


x = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
for operator in ("Softmax", "LogSoftmax", "Hardmax"):
    for opset in (12, 13):
        runtime, reference = outputs(operator, opset, x)
        print(operator, "of opset", opset)
        print("   onnxruntime", runtime[0].round(4).tolist())
        print("   reference  ", reference[0].round(4).tolist())
        assert np.allclose(runtime, reference) == (opset == 13)

runtime, reference = outputs("Softmax", 12, x)
e = np.exp(x - x.max())
flattened = e / e.sum(axis=(1, 2), keepdims=True)  # what opset 12 defines for axis 1, its default
assert np.allclose(runtime, flattened) and np.allclose(reference, e / e.sum(-1, keepdims=True))

batch = np.array([[0, 10], [4, 30]], np.float32)
ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
for opset in (9, 14):
    runtime, reference = outputs("BatchNormalization", opset, batch, ones, zeros, zeros, ones)
    print("BatchNormalization of opset", opset, "with running mean 0 and variance 1")
    print("   onnxruntime", runtime.round(4).tolist())
    print("   reference  ", reference.round(4).tolist())
    assert np.allclose(runtime, batch, rtol=1e-4)
    assert np.allclose(runtime, reference) == (opset == 14)
EOF
