r"""
Notation and the forward pass
=============================

What a multi-layer perceptron computes, in the notation that the lecture and the library share.
Each formula is followed by the code that does it, and each shape is shown.

.. list-table::
   :header-rows: 1
   :widths: 16 58 26

   * - symbol
     - meaning
     - in code
   * - :math:`n,\ K`
     - samples in the batch, output neurons
     - ``n``, ``K``
   * - :math:`L`
     - layers of weights: :math:`1, \dots, L-1` are hidden, :math:`L` is the output
     - ``net.depth``
   * - :math:`m_l`
     - width of layer :math:`l`; :math:`m_0` is the number of inputs and :math:`m_L = K`
     - ``net.widths[l]``
   * - :math:`W^{(l)},\ b^{(l)}`
     - weights :math:`(m_l \times m_{l-1})` and bias :math:`(m_l)` of layer :math:`l`
     - ``net.layers[l - 1].W``, ``.b``
   * - :math:`w`
     - all :math:`W^{(l)}, b^{(l)}`, :math:`l = 1, \dots, L`, as one vector
     - ``net.w``
   * - :math:`\tilde h^{(l)},\ h^{(l)}`
     - pre- and post-activations of layer :math:`l`, a sample a row; :math:`h^{(0)} = x`
     - ``trace.pre[l - 1]``, ``trace.post[l - 1]``
   * - :math:`\tilde f,\ f`
     - the scores :math:`\tilde h^{(L)}`, and the prediction
     - ``net.scores(X)``, ``net(X)``
   * - :math:`\delta^{(l)}`
     - derivative of the loss with respect to :math:`\tilde h^{(l)}`
     - ``grads.delta[l - 1]``

The formulas count layers from 1. Python counts from 0, so layer :math:`l` is ``net.layers[l - 1]``.
There are :math:`L` layers of weights and no :math:`W^{(L+1)}`.
"""

# %%
# A network and its parameters
# ----------------------------
# Three inputs, two hidden layers of four neurons and two output neurons: :math:`L = 3` and
# :math:`(m_0, m_1, m_2, m_3) = (3, 4, 4, 2)`.

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import PALETTE

net = nn.MLP([3, 4, 4, 2], activation="tanh", output="softmax", dtype="float64", seed=0)
print(net)
for l in range(1, net.depth + 1):
    layer = net.layers[l - 1]
    print(f"layer {l}:  W {layer.W.shape}  b {layer.b.shape}")

# %%
# Layer :math:`l` has :math:`m_l m_{l-1}` weights and :math:`m_l` biases, so :math:`w` has
#
# .. math:: \sum_{l=1}^{L} m_l \, (m_{l-1} + 1)
#
# entries. They lie in the order :math:`W^{(1)}, b^{(1)}, W^{(2)}, b^{(2)}, \dots`, row by row.

m = net.widths
parameters = sum(m[l] * (m[l - 1] + 1) for l in range(1, net.depth + 1))
print("parameters:", parameters)
assert net.w.shape == (parameters,)
assert np.array_equal(net.w[: m[1] * m[0]], net.layers[0].W.ravel())

# %%
# One sample
# ----------
# With :math:`h^{(0)} = x`, the hidden layers :math:`l = 1, \dots, L-1` compute
#
# .. math::
#
#    \tilde h^{(l)} = W^{(l)} h^{(l-1)} + b^{(l)}, \qquad h^{(l)} = \sigma(\tilde h^{(l)}),
#
# and the output layer computes the scores :math:`\tilde f = W^{(L)} h^{(L-1)} + b^{(L)}`. The
# output function makes the prediction :math:`f` of them. Here it is softmax,
# :math:`f_k = e^{\tilde f_k} / \sum_j e^{\tilde f_j}`. In NumPy, for one :math:`x`:

x = np.array([0.5, -1.0, 2.0])
hidden, last = net.layers[:-1], net.layers[-1]

h = x
for layer in hidden:
    h = np.tanh(layer.W @ h + layer.b)
scores = last.W @ h + last.b
f = np.exp(scores) / np.exp(scores).sum()

print("scores    ", scores)
print("prediction", f)
assert np.allclose(net.scores(x[None, :])[0], scores, rtol=0, atol=1e-14)
assert np.allclose(net(x[None, :])[0], f, rtol=0, atol=1e-14)

# %%
# A batch
# -------
# A batch is a matrix :math:`X` with a sample a row, of shape :math:`(n, m_0)`. Row :math:`i` of
# :math:`\tilde h` must be :math:`W h_i + b`, written as a row: :math:`h_i^T W^T + b^T`. Stacked
# over the samples this is
#
# .. math:: \tilde h^{(l)} = h^{(l-1)} \, {W^{(l)}}^T + b^{(l)},
#
# with the shapes :math:`(n, m_l) = (n, m_{l-1}) (m_{l-1}, m_l) + (m_l)`. The bias has one axis
# fewer than the product. It is *broadcast* over the rows.

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 3))

h = X
for layer in hidden:
    h = np.tanh(h @ layer.W.T + layer.b)
    print("h ", h.shape)
scores = h @ last.W.T + last.b
print("f~", scores.shape)

one_by_one = np.array([net.scores(x[None, :])[0] for x in X])
assert np.allclose(scores, one_by_one, rtol=0, atol=1e-14)
assert np.allclose(net.scores(X), scores, rtol=0, atol=1e-14)

# %%
# Broadcasting, step by step
# --------------------------
# Shapes are aligned at the right. Two sizes fit if they are equal, or if one of them is 1 or
# missing; that one is repeated. ``nn.theory.broadcasting`` shows every intermediate of
# :math:`X W^T + b` with its shape, here for :math:`n = 4` samples, 2 inputs and 3 neurons.

X = np.array([[1, 2], [3, 4], [5, 6], [7, 8]])
W = np.array([[1, 0], [0, 1], [1, -1]])
b = np.array([10, 20, 30])

steps = nn.theory.broadcasting(X, W, b)
print(steps)
assert np.array_equal(steps.result, [[W[j] @ x + b[j] for j in range(3)] for x in X])

# %%
# The same as a picture. A neuron has one colour throughout: it is a row of :math:`W`, hence a
# column of :math:`W^T`, and a column of everything that follows. Faint cells are the repeated ones,
# which no memory holds: NumPy reads the one row again and again.

TINTS = [PALETTE[5], PALETTE[4], PALETTE[3]]


def draw(ax, array, name, colours, faint=False):
    """Draw a matrix as cells, a column a colour."""
    rows, columns = array.shape
    for i, j in np.ndindex(rows, columns):
        alpha = 0.25 if faint and i > 0 else 0.75
        cell = plt.Rectangle((j, i), 1, 1, facecolor=colours[j], edgecolor="white", alpha=alpha)
        ax.add_patch(cell)
        ax.text(j + 0.5, i + 0.5, f"{array[i, j]:g}", ha="center", va="center")
    ax.set(xlim=(0, columns), ylim=(4, 0), aspect="equal")
    ax.set_title(f"{name}\n({rows}, {columns})", fontsize=10)
    ax.axis("off")


fig, axes = plt.subplots(
    1, 7, figsize=(6.4, 2.5), layout="constrained", width_ratios=[2, 0.5, 3, 0.5, 3, 0.5, 3]
)
grey = ["#D0D0D0"] * 2
draw(axes[0], steps["X"], "$X$", grey)
draw(axes[2], steps["W^T"], "$W^T$", TINTS)
draw(axes[4], steps["b repeated"], "$b$, repeated", TINTS, faint=True)
draw(axes[6], steps.result, r"$\tilde h$", TINTS)
for ax, sign in zip(axes[1::2], ("·", "+", "="), strict=True):
    ax.text(0.5, 0.5, sign, ha="center", va="center", fontsize=16, transform=ax.transAxes)
    ax.axis("off")

# %%
# Sizes that do not fit are refused, with the reason. A bias of one number a *sample* is the usual
# slip: aligned at the right, its 4 meets the 3 neurons.

per_sample = np.array([100, 200, 300, 400])
try:
    nn.theory.broadcasting(X, W, per_sample)
except ValueError as error:
    print(fill(str(error), 90))
else:
    raise AssertionError("a bias a sample must be refused")

# %%
# Where the two sizes happen to be equal nothing is refused, and the result is wrong. With as many
# samples as neurons a number a sample is silently added as a number a neuron. This is why the shape
# of a bias should be looked at, not only tried.

square = X[:3]
as_columns = nn.theory.broadcasting(square, W, per_sample[:3]).result
as_rows = nn.theory.broadcasting(square, W, per_sample[:3, None]).result
print("one number a neuron (shape (3,)):", as_columns, sep="\n")
print("one number a sample (shape (3, 1)):", as_rows, sep="\n")
assert as_columns.shape == as_rows.shape
assert not np.array_equal(as_columns, as_rows)

# %%
# The trace: compute and store all
# --------------------------------
# Inference returns :math:`f` and forgets the rest. Backpropagation needs every
# :math:`\tilde h^{(l)}` and :math:`h^{(l)}` again, so the lecture's forward pass computes and
# stores all. In the library this is ``net.trace``: two lists with an entry a layer.

net = nn.MLP([1, 3, 3, 2], activation="tanh", output="softmax", dtype="float64")
net.w = rng.normal(size=net.w.shape)  # biases too, which start at 0 otherwise
X = np.linspace(-4, 4, 201)[:, None]
trace = net.trace(X)

for l, (pre, post) in enumerate(zip(trace.pre, trace.post, strict=True), start=1):
    print(f"layer {l}:  pre {pre.shape}  post {post.shape}")

# %%
# The lists obey the equations above: each layer's ``pre`` is the affine map of the ``post`` below
# it, the last ``pre`` are the scores, and the last ``post`` is the prediction, whose rows sum to 1.

below = [X, *trace.post[:-1]]
for layer, h, pre in zip(net.layers, below, trace.pre, strict=True):
    assert np.allclose(pre, h @ layer.W.T + layer.b, rtol=0, atol=1e-14)
for pre, post in zip(trace.pre[:-1], trace.post[:-1], strict=True):
    assert np.allclose(post, np.tanh(pre), rtol=0, atol=1e-14)
assert np.array_equal(trace.pre[-1], trace.scores)
assert np.array_equal(trace.post[-1], trace.output)
assert np.allclose(trace.output.sum(axis=1), 1.0, rtol=0, atol=1e-15)

# %%
# Here is the whole trace of a network with one input, a curve a neuron. The top row is affine in
# the bottom row of the column before, and the bottom row is :math:`\sigma`, or softmax, of the
# panel above it.

fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.0), sharex=True, layout="constrained")
for l in range(1, net.depth + 1):
    for row, values in enumerate((trace.pre[l - 1], trace.post[l - 1])):
        for j in range(net.widths[l]):
            style = ("-", "--", "-.")[j]
            axes[row, l - 1].plot(X, values[:, j], style, color=PALETTE[j], label=f"neuron {j + 1}")
        axes[row, l - 1].grid(alpha=0.3)
    name = "output layer" if l == net.depth else f"hidden layer {l}"
    axes[0, l - 1].set_title(f"$l = {l}$, {name}", fontsize=10)
    low = 0 if l == net.depth else -1
    axes[1, l - 1].set(xlabel="$x$", xticks=(-4, 0, 4), ylim=(low - 0.05, 1.05))
axes[0, 0].set_ylabel(r"pre-activation $\tilde h^{(l)}$")
axes[1, 0].set_ylabel("post-activation $h^{(l)}$")
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
assert (trace.post[0] ** 2 < 1).all()

# %%
# Next: :doc:`plot_02_gates`, what one neuron can decide.
