r"""
Depth against width
===================

One hidden layer is enough for everything, if it may be wide (:doc:`plot_05_approximation`). Then
why have more layers? Because some functions need exponentially fewer neurons with them. The tent
map shows it exactly (Telgarsky 2015, arXiv:1509.08101): composed :math:`k` times it has :math:`2^k`
linear pieces. A deep ReLU network computes it with :math:`2k + 2` neurons, and one hidden layer
needs at least :math:`2^k - 1` hidden ones.
"""

# %%
# The tent map
# ------------
#
# .. math::
#
#    T(x) = \begin{cases} 2x & 0 \le x \le \tfrac12 \\ 2(1 - x) & \tfrac12 \le x \le 1 \end{cases}
#    \qquad T^k = T \circ T \circ \dots \circ T .
#
# :math:`T` runs through all of :math:`[0, 1]` twice, up and down. So :math:`T^{k+1} = T^k \circ T`
# is two copies of :math:`T^k`, each squeezed to half the width, and the pieces double:
# :math:`T^k` zigzags between 0 and 1 through the points :math:`j / 2^k`.

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, VERMILION

x = np.linspace(0, 1, 1025)

fig, axes = plt.subplots(1, 4, figsize=(6.4, 2.0), sharey=True, layout="constrained")
for ax, k in zip(axes, (1, 2, 3, 5), strict=True):
    ax.plot(x, nn.theory.tent(x, k), color=BLUE)
    ax.set(xlabel="$x$", xticks=(0, 0.5, 1), xticklabels=("0", "1/2", "1"), yticks=(0, 1))
    ax.set_title(f"$T^{k}$: {2**k} pieces", fontsize=10)
axes[0].set_ylabel("$T^k(x)$")

for k in range(1, 11):
    j = np.arange(2**k + 1)
    assert np.array_equal(nn.theory.tent(j / 2**k, k), j % 2)

# %%
# The deep network
# ----------------
# On the whole line, with 0 outside :math:`[0, 1]`,
#
# .. math::
#
#    T(x) = \operatorname{relu}\bigl(2 \operatorname{relu}(x) - 4 \operatorname{relu}(x - \tfrac12)
#    \bigr).
#
# The inner pair rises with slope 2 and, from :math:`\tfrac12` on, falls with slope
# :math:`2 - 4 = -2`; the outer ReLU cuts off what falls below 0. Since :math:`T \ge 0`, the next
# layer's first neuron, :math:`\operatorname{relu}(T(x))`, *is* that outer ReLU, and the second,
# :math:`\operatorname{relu}(T(x) - \tfrac12)`, needs it no more. So each composition costs one
# layer of two neurons, with
#
# .. math::
#
#    W^{(1)} = \begin{pmatrix} 1 \\ 1 \end{pmatrix}, \qquad
#    W^{(l)} = \begin{pmatrix} 2 & -4 \\ 2 & -4 \end{pmatrix} \ (1 < l \le k), \qquad
#    b^{(l)} = \begin{pmatrix} 0 \\ -\tfrac12 \end{pmatrix},
#
# and one last ReLU neuron and the output neuron finish: :math:`2k + 2` neurons, the output among
# them.

net = nn.theory.tent_network(3)
print("widths", net.widths)
for l in range(1, net.depth + 1):
    layer = net.layers[l - 1]
    print(f"l = {l}:  W {layer.W.tolist()}  b {layer.b.tolist()}")

# %%
# All its products and sums are exact in floating point on :math:`[0, 1]`: doubling changes the
# exponent alone, and from :math:`\tfrac12` on :math:`x - \tfrac12` and :math:`2 - 2x` are floats
# again. The network equals the tent map to the last bit, also where :math:`k` is large.

rng = np.random.default_rng(0)
inside = np.concatenate([rng.uniform(0, 1, 10_000), [0.0, 0.5, 1.0]])
outside = rng.uniform(-3, 4, 10_000)
for k in (1, 3, 10, 40):
    net = nn.theory.tent_network(k)
    assert np.array_equal(net(inside[:, None])[:, 0], nn.theory.tent(inside, k))
    assert np.array_equal(net(outside[:, None])[:, 0], nn.theory.tent(outside, k))
    print(f"k = {k:2}: {sum(net.widths[1:])} neurons, equal at {2 * len(inside) - 3} points")

# %%
# Counting pieces exactly
# -----------------------
# ``nn.theory.count_linear_pieces`` samples nothing. It takes the weights as the rational numbers
# that floats are, and goes through the layers with a list of intervals on which every neuron is one
# line. Each layer cuts an interval where a pre-activation crosses 0. At the end it joins neighbours
# of equal slope. Integers do the arithmetic, so nothing is rounded.

print(" k   deep: neurons   parameters   pieces   shallow: neurons at least")
for k in range(1, 13):
    net = nn.theory.tent_network(k)
    neurons = sum(net.widths[1:])
    pieces = nn.theory.count_linear_pieces(net, 0, 1)
    needed = nn.theory.shallow_width_bound(pieces)
    print(f"{k:2} {neurons:15} {net.w.size:12} {pieces:8} {needed:27}")
    assert neurons == 2 * k + 2
    assert net.w.size == 6 * k + 3
    assert pieces == 2**k
    assert needed == 2**k - 1

# %%
# The last column is the bound for one hidden layer. With
# :math:`f(x) = \sum_{j=1}^m v_j \operatorname{relu}(a_j x + c_j) + e`, each neuron bends :math:`f`
# at most at one place, :math:`-c_j / a_j`. Between neighbouring bends :math:`f` is a line, so
# :math:`m` neurons make at most :math:`m + 1` pieces, and :math:`2^k` pieces need
# :math:`m \ge 2^k - 1`.
#
# Random shallow networks show the law. They never have more pieces than :math:`m + 1`:

for m in (1, 4, 16, 64):
    counts = []
    for _ in range(50):
        Ws = [rng.normal(size=(m, 1)), rng.normal(size=(1, m))]
        bs = [rng.normal(size=m), np.zeros(1)]
        shallow = nn.MLP.from_weights(Ws, bs, "relu", "identity")
        counts.append(nn.theory.count_linear_pieces(shallow, -100, 100))
    print(f"m = {m:2}: between {min(counts)} and {max(counts)} pieces")
    assert max(counts) <= m + 1

# %%
# The bound is nearly sharp. A shallow network that starts with slope :math:`2^k` at 0 and changes
# it by :math:`\mp 2^{k+1}` at every :math:`j / 2^k` is the tent map, with :math:`2^k` neurons:


def shallow_tent(k):
    """Return T^k on [0, 1] as one hidden layer of 2^k neurons."""
    bends = np.arange(2**k) / 2**k
    changes = np.where(np.arange(2**k) % 2 == 0, 1.0, -1.0) * 2.0 ** (k + 1)
    changes[0] = 2.0**k
    return nn.MLP.from_weights(
        [np.ones((2**k, 1)), changes[None, :]], [-bends, np.zeros(1)], "relu", "identity"
    )


for k in (1, 5, 10):
    shallow = shallow_tent(k)
    pieces = nn.theory.count_linear_pieces(shallow, 0, 1)
    print(f"k = {k:2}: {shallow.widths[1]:4} neurons, {pieces:4} pieces")
    assert pieces == 2**k
    grid = np.arange(2 ** (k + 2) + 1) / 2 ** (k + 2)
    assert np.array_equal(shallow(grid[:, None])[:, 0], nn.theory.tent(grid, k))

# %%
# Linear against exponential:

k = np.arange(1, 13)
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.semilogy(
    k, 2.0**k - 1, "s-", color=VERMILION, label="one hidden layer, at least: $2^k - 1$ hidden"
)
ax.semilogy(k, 2 * k + 2, "o-", color=BLUE, label="deep: $2k + 2$ in all")
ax.set(xlabel="compositions $k$", ylabel="neurons for $T^k$", xticks=k)
ax.grid(alpha=0.3)
ax.legend(loc="upper left")
assert (2.0**k - 1 > 2 * k + 2)[3:].all()

# %%
# A shallow network of the same size
# ----------------------------------
# It cannot be exact. How far off must it be? Give one hidden layer as many parameters as the deep
# network has: :math:`m = 2k` neurons have :math:`3m + 1 = 6k + 1`, against :math:`6k + 3`.
#
# :math:`T^k` takes the values 0, 1, 0, 1, ... at the :math:`2^k + 1` points :math:`j / 2^k`, and
# the shallow network has at most :math:`m + 1` pieces. If :math:`2^k + 1 > 2(m + 1)`, some piece
# holds three neighbouring points. A line through values :math:`p, q, r` at equal distances has
# :math:`q = (p + r)/2`. Were each of them closer than :math:`\tfrac12` to 0, 1, 0, then
# :math:`p, r < \tfrac12 < q`, which is impossible; the same holds for 1, 0, 1. So every such
# network, however it is trained, has
#
# .. math:: \sup_{[0, 1]} |f - T^k| \ge \tfrac12 .

found = nn.theory.shallow_fails(k=5)
print(found)
print(f"no shallow network of this width gets below {found.least_error}")
assert 2 * (found.shallow.widths[1] + 1) < 2**5 + 1
assert found.least_error == 0.5
assert found.deep_error == 0.0
assert found.shallow_error >= found.least_error
assert found.deep_pieces == 32
assert found.shallow_pieces <= found.shallow.widths[1] + 1

# %%
# The fitted one gives up and stays near the mean. Even the constant :math:`\tfrac12` reaches the
# least error, :math:`\tfrac12`; with so few pieces nothing is better.

x = np.linspace(0, 1, 2049)
target = nn.theory.tent(x, 5)
deep, shallow = (net(x[:, None])[:, 0] for net in (found.deep, found.shallow))

fig, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 4.6), sharex=True, layout="constrained")
for ax, f, colour, name, pieces, size in (
    (top, deep, BLUE, "deep", found.deep_pieces, found.deep_parameters),
    (bottom, shallow, VERMILION, "shallow", found.shallow_pieces, found.shallow_parameters),
):
    ax.plot(x, target, color="#BBBBBB", lw=3, label="$T^5$")
    ax.plot(x, f, color=colour, label=f"{name}: {size} parameters, {pieces} pieces")
    ax.set_ylabel("$f(x)$")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
bottom.set_xlabel("$x$")
assert np.array_equal(deep, target)
assert np.abs(shallow - target).max() >= 0.5

# %%
# The gap grows without end. For :math:`k = 30` one hidden layer needs more than a thousand million
# neurons. The deep network has 62, and its value at :math:`j / 2^{30}` is still exactly 0 for even
# and 1 for odd :math:`j`:

net = nn.theory.tent_network(30)
j = np.array([1, 2, 3, 2**29, 2**30 - 1])
print(f"{sum(net.widths[1:])} neurons; one hidden layer: {nn.theory.shallow_width_bound(2**30):,}")
print("j    ", j)
print("T^30 ", net(j[:, None] / 2**30)[:, 0])
assert np.array_equal(net(j[:, None] / 2**30)[:, 0], j % 2)
