r"""
Single neurons and logic gates
==============================

A neuron weighs its inputs, adds a bias and applies an activation:

.. math:: f(x) = \sigma(w \cdot x + b).

The *threshold neuron* uses the step :math:`\sigma(z) = 1` if :math:`z \ge 0`, else :math:`0`. Note
that :math:`\sigma(0) = 1`. This page shows which logic gates one such neuron computes, how the
perceptron rule finds the weights, and why no weights give XOR.
"""

# %%
# AND and OR
# ----------
# The lecture's weights are :math:`w = (1, 1)`, :math:`b = -1.5` for AND and :math:`w = (1, 1)`,
# :math:`b = -0.5` for OR. The pre-activation :math:`x_1 + x_2 + b` is at least 0 for two ones, and
# for at least one.

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, PALETTE, VERMILION

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])

AND = nn.theory.single_neuron([1, 1], -1.5)
OR = nn.theory.single_neuron([1, 1], -0.5)

print("x1 x2   z AND  AND   z OR  OR")
for x, z_and, f_and, z_or, f_or in zip(
    CORNERS, AND.scores(CORNERS), AND(CORNERS), OR.scores(CORNERS), OR(CORNERS), strict=True
):
    print(f"{x[0]:2} {x[1]:2} {z_and[0]:7} {f_and[0]:4.0f} {z_or[0]:6} {f_or[0]:3.0f}")

assert np.array_equal(AND(CORNERS)[:, 0], CORNERS[:, 0] & CORNERS[:, 1])
assert np.array_equal(OR(CORNERS)[:, 0], CORNERS[:, 0] | CORNERS[:, 1])

# %%
# Where a neuron decides
# ----------------------
# The neuron switches on the line :math:`w \cdot x + b = 0`. Its normal is :math:`w`, which points
# to the side of the ones. The signed distance of a point :math:`x` from it is
#
# .. math:: d(x) = \frac{w \cdot x + b}{\lVert w \rVert}.

line = nn.theory.decision_line(AND)
print("normal", line.normal, " offset", line.offset)
print("distances of the four corners", line.distance(CORNERS).round(4))
assert np.allclose(line.distance([[0.75, 0.75]]), 0.0, rtol=0, atol=1e-15)
assert np.array_equal(AND(CORNERS)[:, 0] == 1, line.distance(CORNERS) >= 0)

# %%
# All sixteen gates
# -----------------
# Two inputs have four rows of truth table, so there are :math:`2^4 = 16` gates. ``nn.theory.gate``
# gives the neuron of each, with weights in :math:`\{-1, 0, 1\}` and a half-integer bias, where one
# exists.


def neuron_of(name):
    """Return the gate's neuron, or None where there is none."""
    try:
        return nn.theory.gate(name)
    except ValueError:
        return None


neurons = {name: neuron_of(name) for name in nn.theory.GATES}

print("gate          (0,0) (0,1) (1,0) (1,1)    w1   w2     b")
for name, net in neurons.items():
    values = "     ".join(str(value) for value in nn.theory.GATES[name])
    weights = "  no neuron" if net is None else "{:4.0f} {:4.0f} {:5.1f}".format(*net.w)
    print(f"{name:13}   {values}   {weights}")

separable = [name for name, net in neurons.items() if net is not None]
assert set(nn.theory.GATES) - set(separable) == {"XOR", "XNOR"}
for name in separable:
    assert tuple(nn.theory.truth_table(neurons[name]).values()) == nn.theory.GATES[name]

# %%
# A panel a gate: filled points must give 1, open points 0, and the neuron gives 1 on the shaded
# side of the line. FALSE and TRUE have :math:`w = 0` and no line. XOR and XNOR have no neuron; the
# dotted lines join the points of one class and cross in the middle, which the end of this page
# turns into a proof.

square = np.stack(np.meshgrid(np.linspace(-0.5, 1.5, 201), np.linspace(-0.5, 1.5, 201)), axis=-1)


def draw_gate(ax, name, net):
    """Draw the points of a gate and what its neuron decides."""
    values = np.array(nn.theory.GATES[name])
    if net is None:
        for label in (0, 1):
            ax.plot(*CORNERS[values == label].T, ":", color=VERMILION, zorder=1)
    else:
        f = net(square.reshape(-1, 2)).reshape(201, 201)
        colours = ["white", "#BBDDF2"]
        ax.contourf(square[..., 0], square[..., 1], f, levels=[-0.5, 0.5, 1.5], colors=colours)
        if net.layers[0].W.any():
            ax.plot(*nn.theory.decision_line(net).segment().T, color=BLUE)
    faces = np.where(values == 1, "black", "white")
    ax.scatter(*CORNERS.T, c=faces, edgecolors="black", s=36, zorder=3)
    ax.set_title(name, fontsize=9, color="black" if net else VERMILION)
    ax.set(xlim=(-0.5, 1.5), ylim=(-0.5, 1.5), xticks=(0, 1), yticks=(0, 1), aspect="equal")


fig, axes = plt.subplots(4, 4, figsize=(6.4, 7.0), sharex=True, sharey=True, layout="constrained")
for ax, (name, net) in zip(axes.flat, neurons.items(), strict=True):
    draw_gate(ax, name, net)
fig.get_layout_engine().set(h_pad=0.08)
fig.supxlabel("$A = x_1$", fontsize=10)
fig.supylabel("$B = x_2$", fontsize=10)
assert len(separable) == 14

# %%
# Learning the line: the perceptron rule
# --------------------------------------
# Rosenblatt's rule takes one sample after another and changes the weights only where the neuron is
# wrong:
#
# .. math:: w \leftarrow w + (y - f)\,x, \qquad b \leftarrow b + (y - f).
#
# A point that should give 1 and does not is added to :math:`w`; one that should give 0 and does not
# is subtracted. It is no gradient descent: the step has no useful derivative. For AND it needs:

run = nn.theory.perceptron(CORNERS, [0, 0, 0, 1], separator=([1, 1], -1.5))
print(run)
print("updates an epoch:", run.updates, " w =", run.w, " b =", run.b)
assert run.converged
assert nn.theory.truth_table(run.neuron()) == nn.theory.truth_table(AND)

# %%
# Now two clouds of points. Some separator :math:`u = (w^*, b^*)` is known, scaled to
# :math:`\lVert u \rVert = 1`. Write :math:`\bar x = (x, 1)` and :math:`\bar w = (w, b)`, let
# :math:`\gamma` be the least distance of a :math:`\bar x` from the separator and :math:`R` the
# largest :math:`\lVert \bar x \rVert`. After :math:`t` updates
#
# .. math::
#
#    t\,\gamma \;\le\; \bar w \cdot u \;\le\; \lVert \bar w \rVert \;\le\; \sqrt t\, R .
#
# *Left*: each update adds :math:`\pm \bar x \cdot u \ge \gamma`. *Right*: an update is made on a
# mistake, where :math:`\pm \bar w \cdot \bar x \le 0`, so :math:`\lVert \bar w \pm \bar x \rVert^2
# \le \lVert \bar w \rVert^2 + R^2`. A line cannot stay below a square root for ever: :math:`t \le
# (R / \gamma)^2`, which is Novikoff's bound.

rng = np.random.default_rng(5)
X = rng.uniform(-2.0, 2.0, size=(200, 2))
true_w, true_b = np.array([1.0, 2.0]), 0.6
X = X[np.abs(X @ true_w + true_b) > 0.5][:80]
y = (X @ true_w + true_b > 0).astype(int)

run = nn.theory.perceptron(X, y, separator=(true_w, true_b))
print(run)
assert run.converged
assert sum(run.updates) <= run.bound

# %%
# The rule is short enough to be written out, with the weights kept after every update. It ends
# where the library's run ended, and obeys both sides of the inequality on its way.

points = np.column_stack([X, np.ones(len(X))])
path = [np.zeros(3)]
mistakes = True
while mistakes:
    mistakes = False
    for x, label in zip(points, y, strict=True):
        f = int(path[-1] @ x >= 0)
        if f != label:
            path.append(path[-1] + (label - f) * x)
            mistakes = True
path = np.array(path)

t = np.arange(len(path))
u = np.append(true_w, true_b) / np.linalg.norm([*true_w, true_b])
sizes = np.linalg.norm(path, axis=1)
assert np.array_equal(path[-1], [*run.w, run.b])
assert len(path) - 1 == sum(run.updates)
assert (t * run.margin <= path @ u + 1e-12).all()
assert (path @ u <= sizes + 1e-12).all()
assert (sizes <= np.sqrt(t) * run.radius + 1e-12).all()

# %%
# On the left the line after every update, the early ones light and the last one black. On the right
# the proof: :math:`\bar w \cdot u` and :math:`\lVert \bar w \rVert` are caught between the line and
# the root, which cross further to the right, at the bound.

fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.3), layout="constrained")
shades = plt.colormaps["cividis_r"](np.linspace(0.05, 0.9, len(path) - 1))
for w, shade in zip(path[1:], shades, strict=True):
    net = nn.theory.single_neuron(w[:2], w[2])
    left.plot(*nn.theory.decision_line(net).segment(-2.2, 2.2).T, color=shade, lw=1)
left.plot(*nn.theory.decision_line(run.neuron()).segment(-2.2, 2.2).T, color="black", lw=2.5)
left.scatter(*X[y == 1].T, s=16, color=BLUE, marker="o", label="$y = 1$", zorder=3)
left.scatter(*X[y == 0].T, s=20, color=VERMILION, marker="x", label="$y = 0$", zorder=3)
left.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

right.plot(t, np.sqrt(t) * run.radius, ":", color="black", label=r"$\sqrt{t}\,R$")
right.plot(t, sizes, "-", color=PALETTE[0], label=r"$\Vert\bar w\Vert$")
right.plot(t, path @ u, "--", color=PALETTE[1], label=r"$\bar w \cdot u$")
right.plot(t, t * run.margin, "-.", color="black", label=r"$t\,\gamma$")
right.set(xlabel="updates $t$", ylabel="size")
right.grid(alpha=0.3)
right.legend(loc="upper left", fontsize=9)
assert len(path) > 10

# %%
# Why XOR cannot be learnt
# ------------------------
# XOR wants 1 at :math:`(0, 1)` and :math:`(1, 0)`, and 0 at the other two corners. For a threshold
# neuron these are four inequalities:
#
# .. math::
#
#    w_2 + b \ge 0, \qquad w_1 + b \ge 0, \qquad b < 0, \qquad w_1 + w_2 + b < 0 .
#
# The first two add up to :math:`w_1 + w_2 + 2b \ge 0`, the last two to :math:`w_1 + w_2 + 2b < 0`.
# That is a contradiction, whatever the weights. The library gives it as its reason:

try:
    nn.theory.gate("XOR")
except ValueError as error:
    print(fill(str(error), 90))

# %%
# The perceptron rule on XOR cycles for ever. It makes mistakes in every epoch.

xor = [0, 1, 1, 0]
run = nn.theory.perceptron(CORNERS, xor, epochs=50)
print("updates an epoch:", run.updates[:10], "...", run.updates[-1])
print(fill(str(run), 90))
assert not run.converged
assert min(run.updates) > 0

# %%
# That a rule did not converge proves nothing by itself: it might need more time. A *common point*
# proves it. If :math:`w \cdot x + b < 0` on class 0, then also at every convex combination of its
# points. If :math:`w \cdot x + b \ge 0` on class 1, then also at every combination of those. At a
# point that is both, the value would have to be both. For XOR it is the middle of the square:
#
# .. math::
#
#    \tfrac12 (0, 0) + \tfrac12 (1, 1) = (\tfrac12, \tfrac12) = \tfrac12 (0, 1) + \tfrac12 (1, 0) .

found = nn.theory.common_point(CORNERS, xor)
print("common point", found.point, " weights", found.weights)
for label in (0, 1):
    members = np.array(xor) == label
    assert np.isclose(found.weights[members].sum(), 1.0, rtol=0, atol=1e-9)
    assert np.allclose(found.weights[members] @ CORNERS[members], found.point, rtol=0, atol=1e-9)

# %%
# Separable and common point exclude each other, and one of the two always holds (the separating
# hyperplane theorem). So the sixteen gates split the same way by this certificate as by the search
# for weights.

without = [g for g, f in nn.theory.GATES.items() if nn.theory.common_point(CORNERS, f) is None]
print(len(without), "gates have no common point and are separable")
assert without == separable

# %%
# One neuron draws one line. :doc:`plot_03_xor` adds a layer.
