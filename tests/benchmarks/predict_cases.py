"""The contestants of predict.py.

A case is `predict:rows:widths`: a forward pass with tanh and no output function, from a NumPy array
to the library's own, without gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from kernel_cases import THREADS, Kernel, timed, versions  # noqa: F401  theirs are ours
from problem import Problem
from timing import Blocks


def by_nnpoly(a: Problem) -> Kernel:
    """Call a network, NumPy array in and out."""
    import nnpoly as nn

    nn.set_num_threads(THREADS)
    net = nn.MLP.from_weights(a.weights, a.biases, activation=a.activation, output="identity")
    return lambda: net(a.x)


def by_numpy(a: Problem) -> Kernel:
    """Write into preallocated results."""
    results = [np.empty((len(a.x), len(b)), np.float32) for b in a.biases]
    layers = list(zip(a.weights, a.biases, results, strict=True))

    def predict() -> Any:
        h = a.x
        for W, b, out in layers:
            np.dot(h, W.T, out=out)
            out += b
            h = np.tanh(out, out=out) if out is not results[-1] else out
        return h

    return predict


def by_torch(a: Problem) -> Kernel:
    """Call a Sequential in inference mode on a tensor that shares the array's memory."""
    import torch
    from by_torch import sequential

    torch.set_grad_enabled(False)
    network = sequential(a)
    return lambda: network(torch.from_numpy(a.x))


def by_jax(a: Problem) -> Kernel:
    """Call a jitted function and wait for its result."""
    import jax
    from by_jax import parameters, scores

    w = parameters(a)
    network = jax.jit(lambda x: scores(w, a.activation, x))
    return lambda: network(a.x).block_until_ready()


def by_onnxruntime(a: Problem) -> Kernel:
    """Run a graph of Gemm and Tanh, every optimisation on, NumPy array in and out."""
    import onnxruntime
    from onnx import helper, numpy_helper

    nodes, tensors, last = [], [], len(a.weights) - 1
    for l, (W, b) in enumerate(zip(a.weights, a.biases, strict=True)):
        tensors += [numpy_helper.from_array(W, f"W{l}"), numpy_helper.from_array(b, f"b{l}")]
        nodes.append(helper.make_node("Gemm", [f"h{l}", f"W{l}", f"b{l}"], [f"z{l}"], transB=1))
        if l < last:
            nodes.append(helper.make_node("Tanh", [f"z{l}"], [f"h{l + 1}"]))
    ends = [
        helper.make_tensor_value_info(name, 1, [len(a.x), m])
        for name, m in (("h0", a.x.shape[1]), (f"z{last}", len(a.biases[-1])))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], tensors)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"h0": a.x})[0]


CONTESTANTS = {
    "nnpoly": by_nnpoly,
    "numpy": by_numpy,
    "torch": by_torch,
    "jax": by_jax,
    "onnxruntime": by_onnxruntime,
}


def prepare(contestant: str, prediction: str) -> Blocks:
    """Build a network that predicts."""
    _, rows, widths = prediction.split(":")
    return timed(CONTESTANTS[contestant](Problem.parse(f"{widths}:tanh:b{rows}")))
