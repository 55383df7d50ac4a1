"""
Every delta of a small network
==============================

Backpropagation through a 2-2-1 network, neuron by neuron, beside the library's numbers.
Hidden tanh, output sigmoid, logistic loss, one sample: every h and delta fits on a page.
"""

from math import exp, log, tanh

import numpy as np

import nnpoly as nn

W1, b1 = [[0.5, -1.0], [1.5, 0.25]], [0.1, -0.2]
W2, b2 = [[2.0, -0.5]], [0.3]
x, y = [1.0, 0.5], 1.0


def by_hand():
    """Return what the formulas of the lecture give, one neuron at a time."""
    pre = [W1[j][0] * x[0] + W1[j][1] * x[1] + b1[j] for j in range(2)]  # h~ = W x + b
    h = [tanh(z) for z in pre]
    score = W2[0][0] * h[0] + W2[0][1] * h[1] + b2[0]  # f~
    f = 1 / (1 + exp(-score))
    delta2 = f - y  # sigmoid and logistic loss, differentiated as one
    delta1 = [delta2 * W2[0][j] * (1 - h[j] ** 2) for j in range(2)]  # tanh' = 1 - tanh^2
    return {
        "hidden pre-activations": pre,
        "hidden activations": h,
        "score": [score],
        "loss": [-y * log(f) - (1 - y) * log(1 - f)],
        "delta of the output": [delta2],
        "deltas of the hidden layer": delta1,
        "dL/dW of the output": [delta2 * h[0], delta2 * h[1]],
        "dL/dW of the hidden layer": [d * x_i for d in delta1 for x_i in x],
        "dL/db of the hidden layer": delta1,
    }


def by_nnpoly():
    """Return the same from `trace` and `gradients`; layers count from 0."""
    net = nn.MLP.from_weights([W1, W2], [b1, b2], "tanh", "sigmoid", backend="numpy")
    trace = net.trace([x])
    loss, grads = net.gradients([x], [y])
    arrays = [trace.pre[0], trace.post[0], trace.scores, loss, grads.delta[1], grads.delta[0]]
    return [np.ravel(a) for a in [*arrays, grads.W[1], grads.W[0], grads.b[0]]]


if __name__ == "__main__":
    print(f"{'':<28}{'  by hand':<40}  nnpoly")
    for (name, hand), library in zip(by_hand().items(), by_nnpoly(), strict=True):
        left, right = ("".join(f"{v:9.5f}" for v in values) for values in (hand, library))
        print(f"{name:<28}{left:<40}{right}")
        assert np.allclose(hand, library, rtol=1e-13), name
