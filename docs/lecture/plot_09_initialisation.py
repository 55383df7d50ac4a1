r"""
Initialisation
==============

Training starts from some weights, and the start decides whether it goes anywhere. Two questions
matter: how large are the numbers after many layers, and do the neurons of a layer ever differ?
This page answers both, first by formula and then by measurement.

The initialisers of the lecture, and what is usual beside them:

.. list-table::
   :header-rows: 1
   :widths: 34 30 36

   * - name
     - each weight
     - variance :math:`s^2`
   * - ``zeros``, ``Constant(c)``
     - 0, or c
     - none
   * - ``Uniform(a)``
     - :math:`U[-a, a]`
     - :math:`a^2 / 3`
   * - ``Normal(mu, s)``
     - :math:`N(\mu, s^2)`
     - :math:`s^2`
   * - ``kaiming_normal``, ``kaiming_uniform``
     - normal, or uniform
     - :math:`2 / m_{l-1}`
   * - ``xavier_normal``, ``xavier_uniform``
     - normal, or uniform
     - :math:`2 / (m_{l-1} + m_l)`
   * - ``lecun_normal``
     - normal
     - :math:`1 / m_{l-1}`
   * - ``orthogonal``
     - rows or columns orthonormal
     - :math:`1 / \max(m_{l-1}, m_l)`

All draw each weight independently of the others but ``orthogonal``, and biases start at 0.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import nnpoly as nn
from nnpoly.plotting import PALETTE

# %%
# The variance of a layer
# -----------------------
# Let the weights have mean 0 and variance :math:`s^2`, and be independent of the layer's inputs. A
# pre-activation is a sum of m products, :math:`\tilde h_j = \sum_i W_{ji} h_i`, whose mean is 0.
# Products of different weights are uncorrelated, so their variances add up:
#
# .. math::
#    \mathrm{Var}\, \tilde h^{(l)}_j = \sum_{i=1}^m s^2 \, \mathrm E\left[ h_i^2 \right]
#    = m\, s^2 \, \mathrm E\left[ \sigma(\tilde h^{(l-1)})^2 \right] .
#
# It is the mean *square* of the inputs that counts, not their variance. A pre-activation is
# distributed symmetrically about 0, and ReLU keeps one half of it:
# :math:`\mathrm E[\mathrm{relu}(\tilde h)^2] = \tfrac12 \mathrm{Var}\, \tilde h`. Hence
#
# .. math::
#    \mathrm{Var}\, \tilde h^{(l)} = \frac{m s^2}{2} \; \mathrm{Var}\, \tilde h^{(l-1)} .
#
# A layer multiplies the variance by :math:`m s^2 / 2`, and L layers by its power. The only
# :math:`s^2` that keeps it is :math:`2 / m`: Kaiming's. Xavier's is :math:`1/m` between layers of
# the same width, made for activations that are the identity near 0, and halves the variance a layer
# with ReLU. :math:`N(0, 1)` multiplies by :math:`m / 2`. A constant c is no random variable: all m
# products are the same, so they add up to :math:`c\, m\, \sigma(\tilde h)`, and the variance grows
# by :math:`(c m)^2`.
#
# ``variance_profile`` draws a network, sends 64 random samples through it and measures; and it
# predicts by the formulas above.

depth, width = 50, 256
starts = {
    "zeros": nn.initializers.zeros,
    "constant 0.005": nn.initializers.Constant(0.005),
    "N(0, 1)": nn.initializers.Normal(0.0, 1.0),
    "Kaiming": nn.initializers.kaiming_normal,
    "Xavier": nn.initializers.xavier_normal,
}
profiles = {
    name: nn.theory.variance_profile(init, depth=depth, width=width)
    for name, init in starts.items()
}
formulas = {
    "zeros": 0.0,
    "constant 0.005": (0.005 * width) ** 2,
    "N(0, 1)": width / 2,
    "Kaiming": 1.0,
    "Xavier": 0.5,
}
print(f"{'factor a layer':<16}{'formula':>9}{'predicted':>11}{'measured':>10}")
for name, profile in profiles.items():
    predicted, measured = profile.predicted_factor, profile.factor
    print(f"{name:<16}{formulas[name]:9.4f}{predicted:11.4f}{measured:10.4f}")
    assert np.isclose(measured, predicted, rtol=0.05)
    assert np.isclose(predicted, formulas[name], rtol=0.03)

# %%
# Predicted and measured factors agree within a few percent. (The constant's predicted factor is a
# mean over all layers, and its first ReLU drops half of the variance once; every layer after that
# has exactly the formula's.) Over 50 layers a factor is all that counts. With :math:`N(0, 1)` the
# variance grows beyond :math:`10^{100}`, which float32 cannot hold; with Xavier a ReLU network's
# falls to :math:`10^{-15}`; Kaiming's keeps its size. Zeros have no place on a logarithmic axis.

colours = dict(zip(starts, PALETTE, strict=False))
markers = dict(zip(starts, "vosD^", strict=True))
layers = np.arange(1, depth + 1)


def draw_variances(ax, names):
    """Draw measured variances as markers and predicted ones as lines."""
    for name in names:
        profile, colour = profiles[name], colours[name]
        ax.semilogy(layers, profile.predicted, "-", color=colour, linewidth=1)
        ax.semilogy(layers, profile.measured, markers[name], color=colour, ms=4, label=name)
    ax.set(ylabel=r"variance of $\tilde h$")
    ax.grid(alpha=0.3)
    ax.legend()


figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.4), layout="constrained", sharex=True)
draw_variances(above, ["N(0, 1)", "Kaiming"])
draw_variances(below, ["constant 0.005", "Kaiming", "Xavier"])
above.axhline(np.finfo("float32").max, color="black", linestyle=":")
above.text(50, 1e42, "largest float32", ha="right")
above.set(title="measured (markers) and predicted (lines)")
below.set(xlabel="layer")
plt.show()

assert profiles["N(0, 1)"].measured[-1] > 1e100
assert max(profiles["zeros"].measured) == 0.0

# %%
# A single network of finite width strays from the law by chance, and the chances multiply:
# Kaiming's measured line wanders. The wider the layers, the less.

astray = {}
for m in (32, 128, 512):
    ends = [
        nn.theory.variance_profile("kaiming_normal", depth=20, width=m, seed=seed).measured[-1]
        for seed in range(8)
    ]
    astray[m] = np.exp(np.std(np.log(ends)))
    print(f"width {m:3d}: after 20 layers off by a factor of {astray[m]:.2f} (8 networks)")
assert astray[512] < astray[128] < astray[32]

# %%
# Other activations have other constants. Tanh is close to the identity near 0 and saturates, so it
# has no constant factor: small variances are multiplied by :math:`m s^2` a layer, and large ones
# are cut off. ``variance_profile`` integrates the expectation numerically.

print("tanh: measured (predicted) variance of the layers 1, 10 and 50")
for name in ("xavier_normal", "kaiming_normal"):
    profile = nn.theory.variance_profile(name, depth=depth, width=width, activation="tanh")
    row = " ".join(f"{profile.measured[l]:.3f} ({profile.predicted[l]:.3f})" for l in (0, 9, 49))
    print(f"{name:<15} {row}")
    assert np.allclose(profile.measured, profile.predicted, rtol=0.5)

# %%
# Symmetry
# --------
# Let two neurons of a layer start with the same weights in and out. They compute the same
# :math:`h`, and the layer above passes the same :math:`\delta` down to them:
#
# .. math::
#    \delta^{(l)}_j = \sigma'(\tilde h^{(l)}_j) \sum_k \delta^{(l+1)}_k W^{(l+1)}_{kj} ,
#
# where every factor is the same for both, and so are the gradients :math:`\delta_j h^{(l-1)}`,
# and after the step the neurons are equal again. With constant weights a layer of any width is one
# neuron, for ever. With zeros it is worse: :math:`W^{(l+1)} = 0` makes :math:`\delta^{(l)} = 0`,
# and :math:`h = \sigma(0) = 0` (for ReLU and tanh) makes the gradient of the weights above 0 too.
# Only the last bias learns.

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 2))
y = (X[:, 0] * X[:, 1] > 0).astype(int)  # a soft XOR: one neuron cannot do it
runs = {}
print("start        difference  hidden gradient      loss         accuracy")
for name in ("zeros", "constant 0.3", "Kaiming"):
    init = nn.initializers.Constant(0.3) if name == "constant 0.3" else starts[name]
    net = nn.MLP([2, 16, 2], "tanh", init=init, dtype="float64")
    if name == "constant 0.3":  # the outputs must differ, else they are one neuron as well
        net.layers[1].W[0] = -0.3
    runs[name] = nn.theory.symmetry(net, X, y, steps=300, optimizer=nn.SGD(1.0))
    run = runs[name]
    accuracy = np.mean(run.network(X).argmax(axis=1) == y)
    print(
        f"{name:<13}{run.spread.max():10.1e}{run.gradient.max():17.1e}"
        f"{run.loss[0]:9.3f} -> {run.loss[-1]:.3f}{accuracy:10.0%}"
    )
assert runs["zeros"].spread.max() == runs["zeros"].gradient.max() == 0.0
assert runs["constant 0.3"].spread.max() < 1e-12 < runs["constant 0.3"].gradient.max()
assert runs["Kaiming"].loss[-1] < 0.5 * runs["constant 0.3"].loss[-1]

figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 5.4), layout="constrained", sharex=True)
for (name, run), line in zip(runs.items(), ("-", "--", "-."), strict=True):
    colour = colours.get(name, colours["constant 0.005"])
    above.plot(run.spread[:, 0], line, color=colour, label=name, linewidth=2)
    below.plot(run.loss, line, color=colour, linewidth=2)
above.set(ylabel="largest difference between\nhidden neurons' weights")
below.set(ylabel="loss", xlabel="step", ylim=(0, None))
below.axhline(np.log(2), color="black", linestyle=":", linewidth=1)
below.text(300, np.log(2) + 0.07, "log 2: guessing", ha="right")
above.legend()
for ax in (above, below):
    ax.grid(alpha=0.3)
plt.show()

# %%
# What it does to training
# ------------------------
# Seven layers of 64 neurons on the handwritten digits, all by the same Adam. Guessing has a loss of
# :math:`\log 10 \approx 2.3`.

images, digits = load_digits(return_X_y=True)
pixels = images / 16
losses, right = {}, {}
for name, init in starts.items():
    net = nn.MLP([64, *[64] * 6, 10], "relu", init=init, seed=0)
    start = net.loss(pixels, digits).item()
    history = nn.Trainer(net, nn.Adam(1e-3)).fit(pixels, digits, epochs=20, batch_size=32)
    losses[name] = [start, *history.loss]
    right[name] = np.mean(net(pixels).argmax(axis=1) == digits)
    print(f"{name:<16} loss {start:9.3g} -> {history.loss[-1]:8.3g}, accuracy {right[name]:.1%}")

figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for name, loss in losses.items():
    hollow = {"markerfacecolor": "none", "markersize": 9} if name == "zeros" else {"markersize": 4}
    ax.semilogy(loss, "-", marker=markers[name], color=colours[name], label=name, **hollow)
ax.set(xlabel="epoch (0: before training)", ylabel="training loss", xticks=range(0, 21, 5))
ax.grid(alpha=0.3)
figure.legend(loc="outside upper center", ncols=3)
plt.show()

# %%
# Zeros and constants learn the frequencies of the classes, and nothing else. :math:`N(0, 1)`
# starts at scores in the hundred thousands; it gets most images right in the end, but where it
# errs it is certain, and its loss stays in the hundreds. Kaiming and Xavier learn: seven layers
# are few enough that a factor of one half each does not matter yet, and Adam makes up for it.

guess = np.bincount(digits) / len(digits)
entropy = -np.sum(guess * np.log(guess))
assert abs(losses["zeros"][-1] - entropy) < 0.01
assert abs(losses["constant 0.005"][-1] - entropy) < 0.01
assert losses["N(0, 1)"][0] > 1e4
assert losses["N(0, 1)"][-1] > 10 * entropy
assert min(right["Kaiming"], right["Xavier"]) > 0.98
