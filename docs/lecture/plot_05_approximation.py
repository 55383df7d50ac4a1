r"""
Universal approximation
=======================

One hidden layer can come as close as one likes to any continuous function, if it is wide enough.
For a continuous :math:`g` on a compact box :math:`B` and every :math:`\epsilon > 0` there are a
width :math:`m` and weights with

.. math::

   \sup_{x \in B} |f(x) - g(x)| < \epsilon, \qquad
   f(x) = \sum_{j=1}^{m} v_j \, \sigma(a_j \cdot x + c_j) + e,

for every continuous, bounded and non-constant :math:`\sigma` (Cybenko 1989 and Hornik, Stinchcombe
and White 1989 for sigmoids; in this generality Hornik 1991). ReLU is not bounded. The theorem holds
for it as well, as for every continuous :math:`\sigma` that is no polynomial (Leshno et al. 1993).

The theorem says that such weights exist. It does not say how large :math:`m` is, nor that training
finds them. This page first constructs them, then fits them, and measures.
"""

# %%
# The idea: a staircase
# ---------------------
# In one dimension the weights can be written down. Cut :math:`[\alpha, \beta]` into :math:`m` cells
# of width :math:`h`, with middles :math:`x_1, \dots, x_m` and borders :math:`c_j` between
# :math:`x_{j-1}` and :math:`x_j`. A threshold neuron at each border jumps by the difference of two
# values:
#
# .. math::
#
#    f(x) = g(x_1) + \sum_{j=2}^{m} \bigl(g(x_j) - g(x_{j-1})\bigr)\, \sigma\bigl(s (x - c_j)\bigr).
#
# With the step, :math:`f(x) = g(x_j)` on cell :math:`j`. No point of it is further than :math:`h/2`
# from :math:`x_j`, so the error is at most the most that :math:`g` changes over :math:`h/2`. A
# continuous :math:`g` on a compact interval is uniformly continuous: this goes to 0 with :math:`h`.

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, PALETTE, VERMILION

LOW, HIGH = -np.pi, np.pi
x = np.linspace(LOW, HIGH, 100_001)


def staircase(g, m, activation, s):
    """Return the network of m - 1 hidden neurons that climbs from cell to cell."""
    borders = np.linspace(LOW, HIGH, m + 1)
    middles = 0.5 * (borders[1:] + borders[:-1])
    a, c = np.full((m - 1, 1), s), -s * borders[1:-1]
    v, e = np.diff(g(middles))[None, :], g(middles[:1])
    return nn.MLP.from_weights([a, v], [c, e], activation, output="identity")


print("cells   sup error   bound h/2")
for m in (4, 16, 64, 256):
    net = staircase(np.sin, m, "step", 1.0)
    error = np.abs(net(x[:, None])[:, 0] - np.sin(x)).max()
    h = (HIGH - LOW) / m
    print(f"{m:5} {error:11.4f} {h / 2:11.4f}")
    assert 0.9 * h / 2 < error <= h / 2 + 1e-9  # |sin'| <= 1

# %%
# A steep sigmoid is nearly a step, and it is continuous and bounded as the theorem asks. Write the
# sum by cells: :math:`f(x) = \sum_j p_j(x)\, g(x_j)`, where :math:`p_j` is the sigmoid at border
# :math:`c_j` minus that at :math:`c_{j+1}`. These are non-negative and sum to 1: :math:`f(x)` is a
# weighted *average* of values of :math:`g`. The cells that do not touch that of :math:`x` have
# together a weight of at most :math:`2 e^{-sh}`, so for :math:`|g'| \le 1`
#
# .. math:: |f - g| \le \tfrac32 h + 4 \max|g| \, e^{-sh} .

m = 16
h = (HIGH - LOW) / m
smooth = staircase(np.sin, m, "sigmoid", 8 / h)
smooth_error = np.abs(smooth(x[:, None])[:, 0] - np.sin(x)).max()
bound = 1.5 * h + 4 * np.exp(-8)
print(f"16 cells of sigmoids: sup error {smooth_error:.4f}, bound {bound:.4f}")
assert smooth_error <= bound

fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
step = staircase(np.sin, m, "step", 1.0)
ax.plot(x, np.sin(x), color="black", lw=1, label="$g = \\sin$")
ax.plot(x, step(x[:, None]), color=BLUE, label="steps")
ax.plot(x, smooth(x[:, None]), "--", color=VERMILION, label="steep sigmoids")
ax.set(xlabel="$x$", ylabel="$f(x)$, 15 hidden neurons")
ax.legend(loc="upper left")
ax.grid(alpha=0.3)

# %%
# Fitting instead
# ---------------
# The staircase proves the theorem and wastes neurons. ``nn.theory.approximate`` fits all weights,
# for one width after another, until the sup error is below :math:`\epsilon`. Each width is fitted
# in three stages:
#
# 1. every hidden neuron is placed where :math:`g` changes,
# 2. the output layer is solved by least squares, for six steepnesses,
# 3. unless that is good enough, L-BFGS refines all weights with the library's gradients.

found = nn.theory.approximate(np.sin, (LOW, HIGH), eps=1e-5, widths=(1, 2, 4, 8, 16, 32))
print(found)
assert found.reached

# %%
# Sixteen tanh neurons are ten thousand times closer than 256 steps. For :math:`h/2` to be that
# small, a staircase would need this many:

print(f"{np.pi / found.error:,.0f}")
assert error > 1e4 * found.error
assert found.width <= 16

# %%
# Four targets
# ------------
# A smooth one, one with a corner, a sigmoid so steep that it is almost a step, and a bump in two
# dimensions:


def steep(x):
    """Return a sigmoid that rises from 0.01 to 0.99 within 0.37."""
    return nn.activations.sigmoid(25 * x)


def bump(x, y):
    """Return a Gaussian bump."""
    return np.exp(-4 * (x**2 + y**2))


TARGETS = {  # name: function, box, activation
    "sin": (np.sin, (LOW, HIGH), "tanh"),
    "|x|": (np.abs, (-1, 1), "tanh"),
    "steep sigmoid": (steep, (-1, 1), "relu"),
    "bump in 2-D": (bump, ((-1, 1), (-1, 1)), "tanh"),
}
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)

results = {
    name: nn.theory.approximate(g, box, 1e-5, activation, WIDTHS)
    for name, (g, box, activation) in TARGETS.items()
}

print("width " + "".join(f"{name:>15}" for name in TARGETS))
for row, m in enumerate(WIDTHS):
    errors = [r.table[row][1] if row < len(r.table) else None for r in results.values()]
    print(f"{m:5} " + "".join(" " * 15 if e is None else f"{e:15.2g}" for e in errors))

# %%
# On log-log axes a power of the width is a line. The sine and, once it has neurons enough, the bump
# fall much faster than the dotted :math:`1/m`. The corner of :math:`|x|` made of smooth neurons and
# the smooth sigmoid made of ReLU's corners fall about as slowly as it. (Lines between :math:`m`
# points of a smooth curve would be off by only :math:`\propto 1/m^2`: these fits are not the best
# there are.)

fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for (name, result), colour, marker in zip(results.items(), PALETTE, "osD^", strict=False):
    widths, errors = zip(*result.table, strict=True)
    activation = TARGETS[name][2]
    label = f"{name} ({activation})"
    ax.loglog(widths, errors, marker=marker, color=colour, label=label)
m = np.array([4, 128])
ax.loglog(m, 0.4 / m, ":", color="black", label=r"$\propto 1/m$")
ax.set(xlabel="hidden neurons $m$", ylabel="sup error on the test grid")
ax.set_xticks(WIDTHS, WIDTHS)
ax.minorticks_off()
ax.grid(alpha=0.3)
ax.legend(loc="lower left")
for result in results.values():
    assert result.error < result.table[0][1] / 50

# %%
# The error of a wider network is not always smaller. Its infimum over all weights is, but a fit
# finds a good network and not the best.

for name, result in results.items():
    errors = np.array([error for _, error in result.table])
    rises = [f"{WIDTHS[i]} to {WIDTHS[i + 1]}" for i in np.flatnonzero(np.diff(errors) > 0)]
    print(f"{name:14} error rises from width {', '.join(rises) or '(nowhere)'}")

# %%
# The choice of :math:`\sigma` decides much. :math:`|x| = \operatorname{relu}(x) +
# \operatorname{relu}(-x)` is two ReLU neurons exactly, and a sigmoid is one tanh neuron, since
# :math:`\operatorname{sigmoid}(z) = \tfrac12 (1 + \tanh(z/2))`. The fits find both.

for name, g, activation in (("|x|", np.abs, "relu"), ("steep sigmoid", steep, "tanh")):
    exact = nn.theory.approximate(g, (-1, 1), 1e-6, activation, WIDTHS)
    print(f"{name} with {activation}: width {exact.width}, sup error {exact.error:.1g}")
    assert exact.width <= 2

# %%
# What the networks look like
# ---------------------------
# The first width of each with an error below 0.01. Above: target (black) and network (blue, dashed;
# it covers the target). Below: the residual :math:`f - g`, with :math:`\pm 0.01` dotted.

EPS = 0.01
first = {
    name: nn.theory.approximate(g, box, EPS, activation, WIDTHS)
    for name, (g, box, activation) in TARGETS.items()
}

fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.0), sharex="col", layout="constrained")
for (top, bottom), name in zip(axes.T, ("sin", "|x|", "steep sigmoid"), strict=True):
    g, box, activation = TARGETS[name]
    points = np.linspace(*box, 4001)
    f = first[name].network(points[:, None])[:, 0]
    top.plot(points, g(points), color="black", lw=1)
    top.plot(points, f, "--", color=BLUE)
    top.set_title(f"{name}\n{first[name].width} neurons ({activation})", fontsize=10)
    bottom.plot(points, f - g(points), color=VERMILION, lw=1)
    bottom.set(xlabel="$x$", ylim=(-1.4 * EPS, 1.4 * EPS), yticks=(-EPS, 0, EPS))
    for level in (-EPS, EPS):
        bottom.axhline(level, color="black", ls=":", lw=1)
    assert first[name].reached
    assert np.abs(f - g(points)).max() < EPS
for ax in axes[1, 1:]:
    ax.set_yticklabels([])
axes[0, 0].set(ylabel="$g$ and $f$", xticks=(-3, 0, 3))
axes[1, 0].set_ylabel("residual $f - g$")
assert all(result.error < EPS for result in first.values())

# %%
# In two dimensions each neuron is a ridge, constant along a line. Many ridges make one bump.

side = np.linspace(-1, 1, 161)
X, Y = np.meshgrid(side, side)
g = bump(X, Y)
f = first["bump in 2-D"].network(np.column_stack([X.ravel(), Y.ravel()])).reshape(X.shape)

fig, axes = plt.subplots(1, 3, figsize=(6.4, 3.0), sharey=True, layout="constrained")
width = first["bump in 2-D"].width
for ax, values, title, limit in zip(
    axes,
    (g, f, f - g),
    ("target $g$", f"$f$, {width} neurons (tanh)", "residual $f - g$"),
    ((0, 1), (0, 1), (-EPS, EPS)),
    strict=True,
):
    drawn = ax.imshow(
        values, "viridis", origin="lower", extent=(-1, 1, -1, 1), vmin=limit[0], vmax=limit[1]
    )
    ax.set_title(title, fontsize=10)
    ax.set(xlabel="$x_1$", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    fig.colorbar(drawn, ax=ax, location="bottom", shrink=0.85, ticks=limit, format="%g")
axes[0].set_ylabel("$x_2$")
assert np.abs(f - g).max() < EPS

# %%
# What "sup error on a grid" means
# --------------------------------
# A supremum over an interval is taken over infinitely many points. ``approximate`` measures the
# largest error on a grid, 5 times as fine as the one it fits on and without a point in common (3
# times in two dimensions). That is a *lower* bound of the supremum: between the points the error
# may be larger.
#
# An upper bound needs to know how fast :math:`f - g` can change. With :math:`|\tanh'| \le 1`,
#
# .. math::
#
#    |f'(x)| \le \Lambda = \sum_j |v_j| \, |a_j|, \qquad
#    \sup |f - g| \le \max_{\text{grid}} |f - g| + (\Lambda + \max |g'|)\, \frac{h}{2},
#
# since no point is further than :math:`h/2` from a grid point with spacing :math:`h`. For the sine
# with the error below 0.01:

net = first["sin"].network
(a, v) = (layer.W for layer in net.layers)
slope = float(np.abs(v[0]) @ np.abs(a[:, 0]))
print(f"Lambda = {slope:.4g}")
print("   points   largest error found   at most")
for points in (10, 100, 1000, 10_000, 100_000, 1_000_000):
    grid, h = np.linspace(LOW, HIGH, points, retstep=True)
    lower = np.abs(net(grid[:, None])[:, 0] - np.sin(grid)).max()
    upper = lower + (slope + 1) * h / 2
    print(f"{points:9,}   {lower:19.7f}   {upper:.7f}")
assert lower < EPS
assert upper < EPS

# %%
# Two lessons. The error that ``approximate`` reported is below the one found here: the largest is
# at the ends of the interval, and its test grid stops half a cell before them. And only the last
# two rows *prove* (up to rounding) that the error is below 0.01 on the whole interval.

print(f"reported {first['sin'].error:.7f}, found {lower:.7f}")
assert first["sin"].error < lower

# %%
# The bound comes down slowly, because :math:`v_j` of opposite signs cancel in :math:`f` but not in
# :math:`\Lambda`. For the closest fit above it is of no use at all:

a, v = (layer.W for layer in found.network.layers)
slope = float(np.abs(v[0]) @ np.abs(a[:, 0]))
text = f"Lambda = {slope:.3g}: a proof of {found.error:.1g} would need "
print(fill(text + f"{np.pi * slope / found.error:.1g} points.", 90))
assert slope > 1000

# %%
# So the error on a grid is evidence, and good evidence where the grid is fine against the
# :math:`1/|a_j|` on which neurons bend. It is not a proof. :doc:`plot_06_depth` counts exactly
# instead.
