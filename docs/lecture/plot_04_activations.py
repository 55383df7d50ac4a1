r"""
Activations
===========

A hidden layer applies a function :math:`\sigma` to every entry of :math:`\tilde h`. Backpropagation
needs its derivative :math:`\sigma'` at the same place. Each activation of the library is a small
object that has both:

.. list-table::
   :header-rows: 1
   :widths: 18 42 40

   * - name
     - :math:`\sigma(z)`
     - :math:`\sigma'(z)`
   * - ``step``
     - :math:`1` if :math:`z \ge 0`, else :math:`0`
     - :math:`0` (no training)
   * - ``identity``
     - :math:`z`
     - :math:`1`
   * - ``Linear(a)``
     - :math:`a z`
     - :math:`a`
   * - ``sigmoid``
     - :math:`1 / (1 + e^{-z})`
     - :math:`\sigma (1 - \sigma)`
   * - ``tanh``
     - :math:`\tanh z`
     - :math:`1 - \sigma^2`
   * - ``relu``
     - :math:`\max(z, 0)`
     - :math:`1` if :math:`z > 0`, else :math:`0`
   * - ``leaky_relu``
     - :math:`z` if :math:`z > 0`, else :math:`a z`
     - :math:`1` if :math:`z > 0`, else :math:`a`
   * - ``elu``
     - :math:`z` if :math:`z > 0`, else :math:`a (e^z - 1)`
     - :math:`1` if :math:`z > 0`, else :math:`a e^z`
   * - ``selu``
     - :math:`\lambda z` if :math:`z > 0`, else :math:`\lambda a (e^z - 1)`
     - :math:`\lambda` if :math:`z > 0`, else :math:`\lambda a e^z`
   * - ``softplus``
     - :math:`\log(1 + e^z)`
     - :math:`s(z)`, the sigmoid
   * - ``silu``
     - :math:`z\, s(z)`
     - :math:`s(z)\, (1 + z (1 - s(z)))`
   * - ``mish``
     - :math:`z t`, :math:`t = \tanh(\log(1 + e^z))`
     - :math:`t + z (1 - t^2)\, s(z)`
   * - ``gelu``
     - :math:`z\, \Phi(z)`, :math:`\Phi` the normal distribution function
     - :math:`\Phi(z) + z\, \varphi(z)`
   * - ``gelu_tanh``
     - :math:`\tfrac12 z (1 + \tanh u)`, :math:`u = \sqrt{2/\pi}\,(z + 0.044715\, z^3)`
     - :math:`\tfrac12 (1 + \tanh u) + \tfrac12 z (1 - \tanh^2 u)\, u'`

The usual :math:`a` is 0.01 for ``leaky_relu`` and 1 for ``elu``; in ``selu``
:math:`\lambda = 1.0507` and :math:`\lambda a = 1.7581`. At the corner of ReLU the library takes
:math:`\sigma'(0) = 0`.
"""

# %%
# Values and derivatives
# ----------------------
# An activation is called like a function and works on the arrays of any backend.

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, PALETTE, VERMILION

act = nn.activations
ACTIVATIONS = {
    "step": act.step,
    "identity": act.identity,
    "linear, a = 1/2": act.Linear(0.5),
    "sigmoid": act.sigmoid,
    "tanh": act.tanh,
    "relu": act.relu,
    "leaky_relu, a = 1/10": act.LeakyReLU(0.1),
    "elu": act.elu,
    "selu": act.selu,
    "softplus": act.softplus,
    "silu": act.silu,
    "mish": act.mish,
    "gelu": act.gelu,
    "gelu_tanh": act.gelu_tanh,
}

z = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
print("z       ", z)
print("silu    ", act.silu(z).round(4))
print("silu'   ", act.silu.derivative(z).round(4))

# %%
# Each derivative against a difference quotient of its function,
# :math:`(\sigma(z + \epsilon) - \sigma(z - \epsilon)) / 2\epsilon`, whose own error is about
# :math:`\epsilon^2 + 10^{-16} / \epsilon`. The grid avoids 0, where some have a corner.

z = np.linspace(-5.0, 5.0, 1000)
epsilon = 1e-5
print("largest |sigma' - difference quotient|")
for name, sigma in ACTIVATIONS.items():
    quotient = (sigma(z + epsilon) - sigma(z - epsilon)) / (2 * epsilon)
    error = np.abs(sigma.derivative(z) - quotient).max()
    print(f"  {name:22}{error:.1e}")
    assert error < 1e-9

# %%
# All of them, with :math:`\sigma` solid and :math:`\sigma'` dashed:

z = np.linspace(-4.0, 4.0, 801)
fig, axes = plt.subplots(5, 3, figsize=(6.4, 9.5), sharex=True, sharey=True, layout="constrained")
axes.flat[-1].remove()
for ax, (name, sigma) in zip(axes.flat[:-1], ACTIVATIONS.items(), strict=True):
    values, slopes = sigma(z), sigma.derivative(z)
    if name == "step":  # no line through the jump
        values[400] = np.nan
    if name.startswith(("step", "relu", "leaky", "selu")):
        slopes[400] = np.nan
    ax.plot(z, values, color=BLUE, label=r"$\sigma(z)$")
    ax.plot(z, slopes, "--", color=VERMILION, label=r"$\sigma'(z)$")
    ax.set_title(name, fontsize=10)
    ax.set(xlim=(-4, 4), ylim=(-1.5, 2.5), xticks=(-3, 0, 3), yticks=(-1, 0, 1, 2))
    ax.grid(alpha=0.3)
fig.supxlabel("$z$", fontsize=10)
fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
assert len(ACTIVATIONS) == len(act.BY_NAME)

# %%
# Two GELUs
# ---------
# Some libraries call the tanh form "GELU". It is an approximation of the erf form, and close, but a
# network trained with one gives other numbers with the other. So each has its own name.

z = np.linspace(-6.0, 6.0, 12001)
difference = np.abs(act.gelu_tanh(z) - act.gelu(z))
print(f"largest difference {difference.max():.2g}, at z = {z[difference.argmax()]:.2f}")
assert 4e-4 < difference.max() < 5e-4

# %%
# Flat ends
# ---------
# The derivative of the sigmoid is at most 1/4, and both sigmoid and tanh are flat far from 0: they
# *saturate*. In the chain rule each layer multiplies by its :math:`\sigma'`, so ten layers of
# sigmoids scale a gradient by at most :math:`4^{-10}` before the weights are counted. ReLU has
# :math:`\sigma' = 1` wherever it is on.

z = np.array([0.0, 2.0, 5.0, 10.0])
print("z        ", *(f"{value:9g}" for value in z))
for name in ("sigmoid", "tanh", "relu"):
    print(f"{name}'".ljust(9), *(f"{slope:9.3g}" for slope in act.get(name).derivative(z)))
print("4^-10 =", 4.0**-10)
assert act.sigmoid.derivative(np.linspace(-50, 50, 100001)).max() == 0.25

# %%
# Stable for every score
# ----------------------
# The formulas of the table are exact in mathematics and fail in floating point. :math:`e^{1000}` is
# infinite in double precision, and in half precision :math:`e^{12}` is.

with np.errstate(all="ignore"):
    scores = np.array([-1e4, 0.0, 1e4])
    print("log(1 + e^z)       ", np.log(1 + np.exp(scores)))
    print("e^z / (1 + e^z)    ", np.exp(scores) / (1 + np.exp(scores)))
    print("softmax, as written", np.exp(scores) / np.exp(scores).sum())

# %%
# The library only ever takes the exponential of numbers that are not positive:
#
# .. math::
#
#    \operatorname{sigmoid}(z) = \frac{(1 \text{ if } z \ge 0 \text{, else } e^{-|z|})}
#    {1 + e^{-|z|}}, \qquad
#    \operatorname{softplus}(z) = \max(z, 0) + \log\bigl(1 + e^{-|z|}\bigr),
#
# .. math::
#
#    \operatorname{softmax}(\tilde f)_k
#    = \frac{e^{\tilde f_k - \max \tilde f}}{\sum_j e^{\tilde f_j - \max \tilde f}} .
#
# An exponential may underflow to 0, which is then the right answer. So values and derivatives stay
# finite for :math:`|z|` up to :math:`10^4` in every float type, without a single warning of
# overflow:

with np.errstate(over="raise", invalid="raise", divide="raise"):
    for dtype in ("float16", "float32", "float64"):
        z = np.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype=dtype)
        for sigma in ACTIVATIONS.values():
            assert np.isfinite(sigma(z)).all()
            assert np.isfinite(sigma.derivative(z)).all()
        for name in ("sigmoid", "softplus"):
            print(dtype, f"{name:8}", *(f"{value:9.4g}" for value in act.get(name)(z)))

    softmax = nn.MLP.from_weights([np.eye(3)], [np.zeros(3)], output="softmax")
    print("softmax", softmax([[-1e4, 0.0, 1e4], [1e4, 1e4, 0.0]]).tolist())
    assert np.array_equal(softmax([[1e4, 1e4, 0.0]]), [[0.5, 0.5, 0.0]])

# %%
# Not only overflow matters. For negative :math:`z` the sum :math:`1 + e^z` rounds :math:`e^z` away,
# and with it all digits of the softplus. In single precision nothing is left of it below -17. The
# error is relative, against double precision:


def relative_error(found, exact):
    """Return |found - exact| / |exact|, at least 1e-9 so that 0 can be drawn."""
    return np.maximum(np.abs(found / exact - 1), 1e-9)


z = np.linspace(-25.0, 5.0, 1501, dtype="float32")
exact = np.log1p(np.exp(z.astype("float64")))
as_written = relative_error(np.log(1 + np.exp(z)), exact)
library = relative_error(act.softplus(z), exact)

fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.semilogy(z, as_written, ".", ms=3, color=VERMILION, label="$\\log(1 + e^z)$ as written")
ax.semilogy(z, library, ".", ms=3, color=BLUE, label="library")
ax.axhline(np.finfo("float32").eps, color="black", ls=":", label="float32's unit, $2^{-23}$")
ax.set(xlabel="$z$", ylabel="relative error of softplus", ylim=(5e-10, 5))
fig.legend(loc="outside upper center", ncols=3, markerscale=4)
ax.grid(alpha=0.3)
assert as_written.max() == 1.0
assert library.max() < 4 * np.finfo("float32").eps

# %%
# Why a nonlinearity at all: linear collapse
# ------------------------------------------
# Let every hidden layer have :math:`\sigma(z) = a z`. Two layers in a row are
#
# .. math::
#
#    W^{(2)} a \bigl(W^{(1)} x + b^{(1)}\bigr) + b^{(2)}
#    = a W^{(2)} W^{(1)} x + \bigl(a W^{(2)} b^{(1)} + b^{(2)}\bigr),
#
# one affine map again. By induction the whole network is
#
# .. math:: \tilde f = W x + b, \qquad W = a^{L-1}\, W^{(L)} \cdots W^{(1)} .
#
# Depth adds nothing, however many parameters it has. ``nn.theory.collapse_linear`` multiplies out.

deep = nn.MLP([3, 50, 50, 50, 2], act.Linear(0.5), output="identity", dtype="float64", seed=1)
W, b = nn.theory.collapse_linear(deep)
print(f"{deep.w.size} parameters compute what {W.size + b.size} do:")
print("W =", W.round(4), "b =", b.round(4), sep="\n")

X = np.random.default_rng(0).normal(size=(1000, 3))
difference = np.abs(deep(X) - (X @ W.T + b)).max()
print(f"largest difference over {len(X)} samples: {difference:.1e}")
assert difference < 1e-13

# %%
# The widths cap the rank of :math:`W` too. A hidden layer of one neuron leaves rank 1.

narrow = nn.MLP([3, 8, 1, 8, 2], "identity", output="identity", dtype="float64")
W_narrow, _ = nn.theory.collapse_linear(narrow)
ranks = [int(np.linalg.matrix_rank(each)) for each in (W, W_narrow)]
print(f"rank of W: {ranks[0]}, with a layer of one neuron: {ranks[1]}")
assert ranks == [2, 1]

# %%
# With tanh in place of :math:`a z`, the same weights bend. Along a line through the input space the
# linear network is a line to the last digits, and the other is not.

bent = nn.MLP([3, 50, 50, 50, 2], "tanh", output="identity", dtype="float64", seed=1)
assert np.array_equal(bent.w, deep.w)

t = np.linspace(-3.0, 3.0, 301)
along = t[:, None] * np.array([1.0, -1.0, 0.5])

fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for k in range(2):
    ax.plot(t, deep(along)[:, k], "--", color=PALETTE[k], label=f"$f_{k + 1}$, linear")
    ax.plot(t, bent(along)[:, k], "-", color=PALETTE[k], label=f"$f_{k + 1}$, tanh")
ax.set(xlabel="$t$, with $x = t\\,(1, -1, 1/2)$", ylabel="output")
fig.legend(loc="outside upper center", ncols=4)
ax.grid(alpha=0.3)
assert np.abs(np.diff(deep(along), n=2, axis=0)).max() < 1e-13
assert np.abs(np.diff(bent(along), n=2, axis=0)).max() > 1e-3

# %%
# What a nonlinearity buys is the subject of :doc:`plot_05_approximation`.
