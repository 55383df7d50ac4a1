"""One contestant of predict.py in a process of its own.

A prediction is `predict:rows:widths`: a forward pass with tanh and no output function, from a NumPy
array to the library's own, without gradients.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from kernel_worker import Kernel, Worker
from worker import serve

THREADS = int(os.environ["OMP_NUM_THREADS"])


class Network:
    """Parameters and inputs, equal for every contestant."""

    def __init__(self, prediction: str) -> None:
        _, rows, widths = prediction.split(":")
        self.widths = [int(m) for m in widths.split("-")]
        rng = np.random.default_rng(0)
        pairs = zip(self.widths[1:], self.widths, strict=False)
        self.weights = [0.2 * rng.standard_normal((m, k), dtype=np.float32) for m, k in pairs]
        self.biases = [rng.standard_normal(m, dtype=np.float32) for m in self.widths[1:]]
        self.x = rng.standard_normal((int(rows), self.widths[0]), dtype=np.float32)


def by_nnpoly(a: Network) -> Kernel:
    """Call a network, NumPy array in and out."""
    import nnpoly as nn

    nn.set_num_threads(THREADS)
    net = nn.MLP.from_weights(a.weights, a.biases, activation="tanh", output="identity")
    return lambda: net(a.x)


def by_numpy(a: Network) -> Kernel:
    """Write into preallocated results."""
    results = [np.empty((len(a.x), m), np.float32) for m in a.widths[1:]]
    layers = list(zip(a.weights, a.biases, results, strict=True))

    def predict() -> Any:
        h = a.x
        for W, b, out in layers:
            np.dot(h, W.T, out=out)
            out += b
            h = np.tanh(out, out=out) if out is not results[-1] else out
        return h

    return predict


def by_torch(a: Network) -> Kernel:
    """Call a Sequential in inference mode on a tensor that shares the array's memory."""
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    layers: list[Any] = []
    for W, b in zip(a.weights, a.biases, strict=True):
        layer = torch.nn.Linear(W.shape[1], W.shape[0])
        layer.load_state_dict({"weight": torch.from_numpy(W), "bias": torch.from_numpy(b)})
        layers += [layer, torch.nn.Tanh()]
    network = torch.nn.Sequential(*layers[:-1])
    return lambda: network(torch.from_numpy(a.x))


def by_jax(a: Network) -> Kernel:
    """Call a jitted function and wait for its result."""
    import jax

    layers = [
        (jax.numpy.asarray(W), jax.numpy.asarray(b))
        for W, b in zip(a.weights, a.biases, strict=True)
    ]

    @jax.jit
    def network(x: jax.Array) -> jax.Array:
        for W, b in layers[:-1]:
            x = jax.numpy.tanh(x @ W.T + b)
        W, b = layers[-1]
        return x @ W.T + b

    return lambda: network(a.x).block_until_ready()


def by_onnxruntime(a: Network) -> Kernel:
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
        for name, m in (("h0", a.widths[0]), (f"z{last}", a.widths[-1]))
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

if __name__ == "__main__":
    contestant = CONTESTANTS[sys.argv[1]]
    serve(lambda: Worker(lambda prediction: contestant(Network(prediction))))
