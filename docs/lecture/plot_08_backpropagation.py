r"""
Backpropagation by hand
=======================

Backpropagation is the chain rule, done in an order in which nothing is computed twice. Let
:math:`\delta^{(l)} = \partial \ell / \partial \tilde h^{(l)}` be the derivative of the loss with
respect to the pre-activations of layer l. Then, for one sample,

.. math::
   \delta^{(L)} &= f - y \\
   \delta^{(l)} &= \left( \delta^{(l+1)} W^{(l+1)} \right) \odot \sigma'(\tilde h^{(l)}),
   \qquad l = L-1, \dots, 1 \\
   \frac{\partial \ell}{\partial W^{(l)}} &= \delta^{(l)\mathsf T} h^{(l-1)}, \qquad
   \frac{\partial \ell}{\partial b^{(l)}} = \delta^{(l)} .

This page does it with pencil and paper for a network with two inputs, two hidden tanh neurons and
one sigmoid output, and puts the library's numbers beside each line.
"""

from itertools import product
from math import exp, log, tanh

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import PALETTE

BLUE, VERMILION, GREEN, PURPLE, *_ = PALETTE

W1, b1 = [[0.5, -1.0], [1.5, 0.25]], [0.1, -0.2]
W2, b2 = [[2.0, -0.5]], [0.3]
x, y = [1.0, 0.5], 1.0

net = nn.MLP.from_weights([W1, W2], [b1, b2], "tanh", "sigmoid")
trace = net.trace([x])
loss, grads = net.gradients([x], [y])


def beside(name, by_hand, by_nnpoly):
    """Print numbers in two columns and make sure that they are the same."""
    hand, library = np.ravel(by_hand), np.ravel(by_nnpoly)
    left, right = ("".join(f"{v:8.4f}" for v in values) for values in (hand, library))
    print(f"{name:<8}{left:<34}{right}")
    assert np.allclose(hand, library, rtol=1e-13, atol=0)


# %%
# Forward
# -------
# A hidden neuron j computes :math:`\tilde h_j = \sum_i W^{(1)}_{ji} x_i + b^{(1)}_j` and
# :math:`h_j = \tanh \tilde h_j`. The output neuron computes
# :math:`\tilde f = \sum_j W^{(2)}_{1j} h_j + b^{(2)}` and :math:`f = \mathrm{sigmoid}(\tilde f)`.
# Every number is kept, since the way back needs it. ``net.trace`` returns them all; layers count
# from 0 there.

pre_1 = W1[0][0] * x[0] + W1[0][1] * x[1] + b1[0]  # 0.5 * 1 - 1 * 0.5 + 0.1
pre_2 = W1[1][0] * x[0] + W1[1][1] * x[1] + b1[1]  # 1.5 * 1 + 0.25 * 0.5 - 0.2
h_1, h_2 = tanh(pre_1), tanh(pre_2)
score = W2[0][0] * h_1 + W2[0][1] * h_2 + b2[0]
f = 1 / (1 + exp(-score))
by_hand_loss = -(y * log(f) + (1 - y) * log(1 - f))

print(f"{'':<8}{'  by hand':<34}   nnpoly")
beside("pre", [pre_1, pre_2], trace.pre[0])
beside("post", [h_1, h_2], trace.post[0])
beside("score", score, trace.scores)
beside("f", f, trace.output)
beside("loss", by_hand_loss, loss)

# %%
# Backward: the output neuron
# ---------------------------
# Sigmoid and logistic loss are differentiated as one: :math:`\delta^{(2)} = f - y`. The score
# depends on the weight :math:`W^{(2)}_{1j}` through the product with :math:`h_j`, so
#
# .. math::
#    \frac{\partial \ell}{\partial W^{(2)}_{1j}}
#    = \frac{\partial \ell}{\partial \tilde f} \, \frac{\partial \tilde f}{\partial W^{(2)}_{1j}}
#    = \delta^{(2)} h_j, \qquad
#    \frac{\partial \ell}{\partial b^{(2)}} = \delta^{(2)} .

delta_out = f - y
beside("delta", delta_out, grads.delta[1])
beside("dL/dW", [delta_out * h_1, delta_out * h_2], grads.W[1])
beside("dL/db", delta_out, grads.b[1])

# %%
# Backward: the hidden neurons
# ----------------------------
# A hidden pre-activation acts on the loss through its activation, which acts through the score.
# With
# :math:`\tanh' = 1 - \tanh^2`:
#
# .. math::
#    \delta^{(1)}_j
#    = \frac{\partial \ell}{\partial \tilde f} \, \frac{\partial \tilde f}{\partial h_j} \,
#      \frac{\partial h_j}{\partial \tilde h_j}
#    = \delta^{(2)} \, W^{(2)}_{1j} \, (1 - h_j^2) .
#
# The weights and biases below follow as before, with the inputs in place of the activations.

delta_1 = delta_out * W2[0][0] * (1 - h_1**2)
delta_2 = delta_out * W2[0][1] * (1 - h_2**2)
beside("delta", [delta_1, delta_2], grads.delta[0])
beside("dL/dW", [[delta_1 * x[0], delta_1 * x[1]], [delta_2 * x[0], delta_2 * x[1]]], grads.W[0])
beside("dL/db", [delta_1, delta_2], grads.b[0])

# %%
# The signs can be read off. The label is 1 and the prediction is below it, so
# :math:`\delta^{(2)} < 0`: the score should rise. Neuron 1 is connected by the weight 2 and should
# rise too; neuron 2 is connected by -0.5 and should fall, so its :math:`\delta` is positive.
# Neuron 2 also is nearly saturated: its tanh is 0.89, and :math:`1 - h^2` makes its :math:`\delta`
# small.
#
# The same on a diagram: values in blue, weights and biases in black, and derivatives, which flow
# from right to left, in vermilion: :math:`\delta` below a neuron,
# :math:`\partial \ell / \partial W` below a weight.

places = {"x1": (0, 1), "x2": (0, 0), "h1": (1, 1), "h2": (1, 0), "f": (2, 0.5)}
layers = [(("x1", "x2"), ("h1", "h2")), (("h1", "h2"), ("f",))]
values = {
    "x1": f"$x_1$ = {x[0]:g}",
    "x2": f"$x_2$ = {x[1]:g}",
    "h1": f"pre {pre_1:.3f}\npost {h_1:.3f}",
    "h2": f"pre {pre_2:.3f}\npost {h_2:.3f}",
    "f": f"score {score:.3f}\nf = {f:.3f}",
}
figure, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
for l, (inputs, outputs) in enumerate(layers):
    for (j, stop), (i, start) in product(enumerate(outputs), enumerate(inputs)):
        (x_0, y_0), (x_1, y_1) = places[start], places[stop]
        ax.plot([x_0, x_1], [y_0, y_1], color="#999999", zorder=1)
        share = 0.3 if l == 0 and i != j else 0.5  # crossing edges: away from the crossing
        at = {"x": x_0 + share * (x_1 - x_0), "y": y_0 + share * (y_1 - y_0), "ha": "center"}
        weight, slope = net.layers[l].W[j, i], grads.W[l][j, i]
        ax.text(s=f"{weight:g}", va="bottom", bbox=box, zorder=2, **at)
        ax.text(s=f"{slope:.3f}", va="top", bbox=box, zorder=2, color=VERMILION, **at)
    for j, name in enumerate(outputs):
        x_0, y_0 = places[name]
        ax.text(x_0, y_0 + 0.24, f"b = {net.layers[l].b[j]:g}", ha="center")
        delta = rf"$\delta$ = {grads.delta[l][0, j]:.4f}"
        ax.text(x_0, y_0 - 0.3, delta, color=VERMILION, ha="center")
for name, (x_0, y_0) in places.items():
    ax.scatter(x_0, y_0, s=4400, facecolor="white", edgecolor="black", zorder=3)
    ax.text(x_0, y_0, values[name], color=BLUE, ha="center", va="center", fontsize=9, zorder=4)
ax.set(xlim=(-0.25, 2.3), ylim=(-0.4, 1.4), title=f"y = {y:g}, loss {by_hand_loss:.4f}")
ax.axis("off")
plt.show()

# %%
# A batch
# -------
# A batch is a matrix with a sample a row. The loss is a mean, so :math:`\delta^{(L)} = (f - y)/n`;
# the rows of :math:`\delta^{(l)}` are independent of each other, and the gradients add up over
# them:
# :math:`\partial L / \partial W^{(l)} = \delta^{(l)\mathsf T} h^{(l-1)}`, and the column sums of
# :math:`\delta^{(l)}` for the bias. The whole of backpropagation, for any number of tanh layers:


def backpropagate(net, X, y):
    """Return dL/dW and dL/db of every layer, for tanh layers and a softmax output."""
    trace = net.trace(X)
    delta = (trace.output - y) / len(X)
    dW, db = [], []
    for l in reversed(range(net.depth)):
        below = trace.post[l - 1] if l else X
        dW.insert(0, delta.T @ below)
        db.insert(0, delta.sum(axis=0))
        if l:  # once a layer: both gradients and the layer below share it
            delta = (delta @ net.layers[l].W) * (1 - below**2)
    return dW, db


rng = np.random.default_rng(0)
deep = nn.MLP([5, 16, 16, 16, 3], "tanh", dtype="float64")
X, labels = rng.normal(size=(32, 5)), rng.integers(0, 3, 32)
by_hand = backpropagate(deep, X, nn.one_hot(labels, 3, "float64"))
_, grads = deep.gradients(X, labels)
for l, (weights, biases) in enumerate(zip(*by_hand, strict=True)):
    difference = np.abs(weights - grads.W[l]).max()
    print(f"layer {l}: dL/dW {weights.shape}, largest difference {difference:.1e}")
    assert np.allclose(weights, grads.W[l], rtol=1e-9, atol=1e-15)
    assert np.allclose(biases, grads.b[l], rtol=1e-9, atol=1e-15)

# %%
# Delta is computed once a layer
# ------------------------------
# Written out without :math:`\delta`, the derivative by a weight of the first layer is a sum over
# all paths from its neuron to the outputs. With m neurons in each hidden layer and K outputs there
# are :math:`m^{L-2} K` of them. All paths through a neuron share their ends, and the sum of these
# shared ends is its :math:`\delta`. Below, the sum over paths gives the same number, at a price
# that grows by the factor m with every layer; :math:`\delta` takes one more product of matrices.


def by_paths(net, slopes, delta, l, j):
    """Return dl/dh~_j of layer l of one sample, as a sum over paths, and the number of paths."""
    if l == net.depth - 1:
        return delta[j], 1
    total, paths = 0.0, 0
    for k, weight in enumerate(net.layers[l + 1].W[:, j]):
        rest, count = by_paths(net, slopes, delta, l + 1, k)
        total, paths = total + weight * rest, paths + count
    return total * slopes[l][j], paths


for depth in (2, 3, 4, 5):
    net = nn.MLP([5, *[8] * (depth - 1), 3], "tanh", dtype="float64")
    trace, (_, grads) = net.trace(X[:1]), net.gradients(X[:1], labels[:1])
    slopes = [1 - post[0] ** 2 for post in trace.post[:-1]]
    delta, paths = by_paths(net, slopes, grads.delta[-1][0], 0, 0)
    assert np.isclose(delta, grads.delta[0][0, 0], rtol=1e-10)
    assert paths == 3 * 8 ** (depth - 2)
    print(f"L = {depth}: {paths:5d} paths for one neuron; {depth - 1} products of matrices for all")

# %%
# Checking a gradient
# -------------------
# The gradient can always be checked against the loss alone, by central differences:
#
# .. math::
#    \frac{\partial L}{\partial w_i} \approx \frac{L(w + \varepsilon e_i) - L(w - \varepsilon e_i)}
#    {2 \varepsilon} .
#
# Two errors oppose each other. Taylor's series leaves out a term in :math:`\varepsilon^2`;
# rounding the losses gives one in :math:`u / \varepsilon`, where :math:`u = 2^{-53}` is the unit
# of rounding. The sum is least near :math:`\varepsilon \approx u^{1/3} \approx 5 \cdot 10^{-6}`,
# where about ten digits of the derivative can be trusted. That is why a gradient check runs in
# float64.

w = deep.w.copy()
_, grads = deep.gradients(X, labels)
checked = rng.choice(len(w), 40, replace=False)


def largest_error(step):
    """Return the largest error of central differences over the checked parameters."""
    errors = []
    for i in checked:
        losses = []
        for sign in (1, -1):
            moved = w.copy()
            moved[i] += sign * step
            deep.w = moved
            losses.append(float(deep.loss(X, labels)))
        errors.append(abs((losses[0] - losses[1]) / (2 * step) - grads.flat[i]))
    deep.w = w
    return max(errors)


steps = np.logspace(-12, -0.5, 24)
errors = np.array([largest_error(step) for step in steps])
best = steps[np.argmin(errors)]
print(f"least error {errors.min():.1e} at a step of {best:.1e}")
assert errors.min() < 1e-9
assert 1e-7 < best < 1e-4

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.loglog(steps, errors, "o", color=BLUE, label="largest error over 40 parameters")
large, small = steps > 1e-4, steps < 1e-6
scale = errors[-6] / steps[-6] ** 2
ax.loglog(steps[large], scale * steps[large] ** 2, "--", color=VERMILION, label=r"$\varepsilon^2$")
ax.loglog(steps[small], 2.0**-53 / steps[small], "-.", color=GREEN, label=r"$u / \varepsilon$")
ax.set(xlabel=r"step $\varepsilon$", ylabel="error of the central difference")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# ``nn.testing.check_gradients`` does this for any network, parameter by parameter, with a bound
# for both errors, so that a wrong gradient is named rather than suspected. It also holds at the
# kinks of relu.

nn.testing.check_gradients(deep, X, labels)
chain = [nn.Dense(5, 8, "gelu"), nn.LayerNorm(8), nn.Residual([nn.Dense(8, 8, "relu")])]
wide = nn.Network([*chain, nn.Dense(8, 3)], "softmax")
nn.testing.check_gradients(wide, X, labels)
print("both agree with central differences")
