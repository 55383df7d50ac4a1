r"""
Optimisers
==========

An optimiser turns the gradient g into a step of the parameters w, element by element, with a
learning rate :math:`\eta`. Each of the lecture's five was invented against a fault of the one
before. All faults show on the simplest loss there is, a quadratic bowl whose axes are the
coordinates:

.. math::
   f(w) = \frac12 \sum_i \lambda_i w_i^2, \qquad g_i = \lambda_i w_i .

Near a minimum every smooth loss is such a bowl, in the coordinates of the eigenvectors of its
matrix of second derivatives; :math:`\lambda_i` are the eigenvalues. Where they differ much, the
bowl is a narrow valley: steep across, flat along.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import PALETTE

BLUE, VERMILION, GREEN, *_ = PALETTE
eigenvalues, start = [1.0, 20.0], [-2.0, 0.7]

# %%
# Gradient descent
# ----------------
# :math:`w \leftarrow w - \eta g` gives :math:`w_i \leftarrow (1 - \eta \lambda_i) w_i`, each
# coordinate on its own. After t steps, exactly,
#
# .. math:: w_i(t) = (1 - \eta \lambda_i)^t \; w_i(0) .
#
# It converges if and only if all :math:`|1 - \eta \lambda_i| < 1`, that is for
# :math:`\eta < 2 / \lambda_\max`. The steepest direction limits the learning rate, and the
# flattest one then sets the pace: it shrinks by :math:`1 - \eta \lambda_\min` a step. That is the
# first fault.

limit = nn.theory.divergence_limit(eigenvalues)
rates = {share: nn.SGD(share * limit) for share in (0.9, 0.98, 1.0, 1.02)}
paths = nn.theory.optimizer_paths(eigenvalues, start, rates, steps=100)
print(f"2 / lambda_max = {limit}")
for share, path in paths.items():
    factors = 1 - share * limit * np.array(eigenvalues)
    exact = factors ** np.arange(101)[:, None] * start
    assert np.allclose(path.w, exact, rtol=1e-9)
    print(
        f"eta = {share:4} * limit: factors {factors.round(3)}, "
        f"loss {path.loss[0]:.1f} -> {path.loss[-1]:.3g}"
    )
assert paths[0.98].loss[-1] < 0.5
assert np.isclose(abs(paths[1.0].w[-1, 1]), 0.7)
assert paths[1.02].loss[-1] > 100

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
colours, lines = (BLUE, GREEN, "black", VERMILION), ("-", "--", ":", "-.")
for (share, path), colour, line in zip(paths.items(), colours, lines, strict=True):
    label = rf"$\eta = {share:g} \cdot 2 / \lambda_\max$"
    ax.semilogy(np.abs(path.w[:, 1]), line, color=colour, label=label, linewidth=2)
ax.set(xlabel="step", ylabel="size of the steep coordinate", ylim=(3e-2, 60))
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# The five rules
# --------------
# .. list-table::
#    :header-rows: 1
#    :widths: 18 47 35
#
#    * - ``nn.``
#      - rule
#      - against
#    * - ``SGD(eta)``
#      - :math:`w \leftarrow w - \eta g`
#      -
#    * - ``SGD(eta, momentum)``
#      - :math:`v \leftarrow \mu v + g, \; w \leftarrow w - \eta v`
#      - the crawl along the valley: steps that point the same way add up, to
#        :math:`1 / (1 - \mu)` times one; those that alternate cancel
#    * - ``AdaGrad(eta)``
#      - :math:`s \leftarrow s + g^2, \; w \leftarrow w - \eta g / \sqrt{s + \varepsilon}`
#      - one rate for all coordinates: each is divided by the size of its own gradients
#    * - ``RMSProp(eta)``
#      - :math:`s \leftarrow \beta s + (1 - \beta) g^2,`
#        :math:`w \leftarrow w - \eta g / \sqrt{s + \varepsilon}`
#      - AdaGrad's s, which only grows, so that its steps die away
#    * - ``Adam(eta)``
#      - :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g,`
#        :math:`s \leftarrow \beta_2 s + (1 - \beta_2) g^2,`
#        :math:`w \leftarrow w - \eta \hat m / \sqrt{\hat s + \varepsilon}`
#      - both: momentum, and a scale for each coordinate
#
# Adam's m and s start at 0, so their first values are too small: after t steps
# :math:`\mathrm E[m] = (1 - \beta_1^t)\, \mathrm E[g]` for gradients of one distribution. Hence
# :math:`\hat m = m / (1 - \beta_1^t)` and :math:`\hat s = s / (1 - \beta_2^t)` with
# :math:`t = 1, 2, \dots`.
#
# Here are sixty steps of each, and of Nesterov's form of momentum, which steps by
# :math:`g + \mu v` and so looks a step ahead.

rules = {
    "gradient descent": nn.SGD(0.09),
    "momentum": nn.SGD(0.04, momentum=0.8),
    "Nesterov": nn.SGD(0.04, momentum=0.8, nesterov=True),
    "AdaGrad": nn.AdaGrad(0.5),
    "RMSProp": nn.RMSProp(0.05),
    "Adam": nn.Adam(0.15),
}
paths = nn.theory.optimizer_paths(eigenvalues, start, rules, steps=60)
print("loss after       ", *(f"{t:>9d}" for t in (10, 30, 60)), " steps")
for name, path in paths.items():
    print(f"{name:<17}", *(f"{path.loss[t]:9.2g}" for t in (10, 30, 60)))

across, along = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-2.4, 0.6, 101))
bowl = 0.5 * (eigenvalues[0] * along**2 + eigenvalues[1] * across**2)
levels = np.array([0.02, 0.1, 0.3, 1.0, 2.0, 4.0, 7.0, 12.0])

colour_of = dict(zip(rules, PALETTE, strict=False))
figure, axes = plt.subplots(3, 2, figsize=(6.4, 7.6), layout="constrained")
for ax, (name, path) in zip(axes.ravel(), paths.items(), strict=True):
    ax.contour(along, across, bowl, levels, colors="#bbbbbb", linewidths=0.8)
    ax.plot(*path.w.T, ".-", color=colour_of[name], linewidth=1.2, markersize=5)
    ax.plot(*start, "o", color="black", markersize=5)
    ax.plot(0, 0, "k+", markersize=9)
    ax.set(title=name, xlabel="$w_1$, flat", ylabel="$w_2$, steep")
plt.show()

# %%
# Gradient descent swings across the valley, near its limit of 0.1. Momentum swings too, and
# overshoots along the valley, since it has mass. AdaGrad and RMSProp divide each coordinate by the
# size of its gradients, so their first steps go along the diagonal, as if the bowl were round.
# Adam does both.

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for (name, path), marker in zip(paths.items(), "osP^Dv", strict=True):
    style = {"color": colour_of[name], "marker": marker, "markevery": 10}
    ax.semilogy(path.loss, label=name, **style)
ax.set(xlabel="step", ylabel="loss f(w)")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# All rates here were chosen by hand, and another choice would give another order. What does not
# depend on them is how the steps needed grow with the valley's narrowness, the *condition number*
# :math:`\kappa = \lambda_\max / \lambda_\min`. For gradient descent with its best rate,
# :math:`2 / (\lambda_\max + \lambda_\min)`, they grow like :math:`\kappa`; for momentum with its
# best, :math:`\eta = 4 / (\sqrt{\lambda_\max} + \sqrt{\lambda_\min})^2` and
# :math:`\mu = \left( \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1} \right)^2` (Polyak 1964), nearly like
# :math:`\sqrt\kappa`. The adaptive three divide :math:`\lambda_i` out of every step: they do not
# depend on it at all, but for the small :math:`\varepsilon`.


def steps_needed(path, share=0.02):
    """Return after how many steps all coordinates are below a share of their start at once."""
    return int(np.argmax(np.abs(path.w).max(axis=1) < share))


kappas = np.array([4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0])
needed = {}
for kappa in kappas:
    root = np.sqrt(kappa)
    mu = ((root - 1) / (root + 1)) ** 2
    rules_of_kappa = {
        "gradient descent": nn.SGD(2 / (kappa + 1)),
        "momentum": nn.SGD(4 / (root + 1) ** 2, momentum=mu),
        "AdaGrad": nn.AdaGrad(0.5),
        "RMSProp": nn.RMSProp(0.02),
        "Adam": nn.Adam(0.1),
    }
    of_kappa = nn.theory.optimizer_paths([1.0, kappa], [1.0, 1.0], rules_of_kappa, steps=10000)
    for name, path in of_kappa.items():
        needed.setdefault(name, []).append(steps_needed(path))

print("kappa            ", *(f"{kappa:7.0f}" for kappa in kappas))
for name, counts in needed.items():
    print(f"{name:<17}", *(f"{count:7d}" for count in counts))
growth = {name: np.log2(counts[-1] / counts[-3]) / 4 for name, counts in needed.items()}
assert abs(growth["gradient descent"] - 1.0) < 0.02  # the exponent of kappa
assert 0.45 < growth["momentum"] < 0.6
assert all(max(needed[name]) <= 1.02 * min(needed[name]) for name in ("AdaGrad", "RMSProp", "Adam"))

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for (name, counts), marker in zip(needed.items(), "os^Dv", strict=True):
    ax.loglog(kappas, counts, "-", marker=marker, color=colour_of[name], label=name)
ax.set(xlabel=r"condition number $\kappa$", ylabel="steps to 2 % of the start")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# One caution: the bowl's axes are the coordinates here. In a bowl that is turned by 45 degrees all
# coordinates have gradients of the same size, and to scale each by its own brings little. A linear
# regression whose inputs are correlated is such a bowl; its matrix of second derivatives is
# :math:`X^\mathsf T X / n`.


def steps_in_turned_bowl(optimizer, angle, kappa=256.0, most=3000):
    """Return the steps until the loss of a linear regression is 1e-4 of its start."""
    c, s = np.cos(angle), np.sin(angle)
    rows = np.diag(np.sqrt([1.0, kappa])) @ np.array([[c, s], [-s, c]])
    X = np.sqrt(2) * np.concatenate([rows, -rows])  # X^T X / n is the turned bowl; b stays 0
    w = np.array([[1.0, 1.0 / np.sqrt(kappa)]]) @ np.array([[c, s], [-s, c]])
    net = nn.MLP.from_weights([w], [np.zeros(1)], output="identity")
    trainer = nn.Trainer(net, optimizer)
    y, losses = np.zeros(4), []
    while len(losses) < most and (not losses or losses[-1] > 1e-4 * losses[0]):
        losses.append(float(trainer.step(X, y)))
    return len(losses) - 1


turned = {}
for name, rule in (
    ("gradient descent", nn.SGD(2 / 257)),
    ("AdaGrad", nn.AdaGrad(0.5)),
    ("Adam", nn.Adam(0.1)),
):
    turned[name] = [steps_in_turned_bowl(rule, np.radians(angle)) for angle in (0, 45)]
    print(f"{name:<17} upright {turned[name][0]:4d} steps, turned {turned[name][1]:4d} steps")
assert turned["gradient descent"][0] == turned["gradient descent"][1]
assert turned["AdaGrad"][1] > 50 * turned["AdaGrad"][0]
assert turned["Adam"][1] > turned["Adam"][0]

# %%
# Epsilon, inside the root or outside
# -----------------------------------
# The lecture adds :math:`\varepsilon` *inside* the root, and so does this library:
# :math:`\eta g / \sqrt{s + \varepsilon}`. Adam's paper and PyTorch add it *outside*,
# :math:`\eta g / (\sqrt s + \varepsilon)`. ``eps_inside_sqrt=False`` gives their form, and with it
# their trajectories. A table in ``docs/slips.md`` has what other libraries do.
#
# The same :math:`\varepsilon = 10^{-8}` means different things. In Adam's first step
# :math:`\hat m = g` and :math:`\hat s = g^2`, so the step is
# :math:`\eta g / \sqrt{g^2 + \varepsilon}` or :math:`\eta g / (|g| + \varepsilon)`. Both are
# :math:`\eta` for large gradients. The divisor is never below :math:`\sqrt\varepsilon = 10^{-4}`
# inside, and :math:`10^{-8}` outside; gradients below that floor take steps in proportion to them,
# as in gradient descent. So gradients between :math:`10^{-8}` and :math:`10^{-4}` move a parameter
# by :math:`\eta` where eps is outside, and by less here.

gradients = np.logspace(-11, 1, 61)
first_step = {}
for name, inside in (("inside the root", True), ("outside", False)):
    adam = {"": nn.Adam(1e-3, eps=1e-8, eps_inside_sqrt=inside)}
    path = nn.theory.optimizer_paths(np.ones(61), gradients, adam, steps=1)[""]  # lambda = 1: g = w
    first_step[name] = path.w[0] - path.w[1]
g = gradients
exact = {
    "inside the root": 1e-3 * g / np.sqrt(g**2 + 1e-8),
    "outside": 1e-3 * g / (g + 1e-8),
}
for name, step in first_step.items():
    assert np.allclose(step, exact[name], rtol=1e-9)

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for (name, step), colour, line in zip(first_step.items(), PALETTE, ("-", "--"), strict=False):
    ax.loglog(g, step, line, color=colour, label=rf"$\varepsilon$ {name}", linewidth=2)
for floor, text in ((1e-4, r"$\sqrt{\varepsilon} = 10^{-4}$"), (1e-8, r"$\varepsilon = 10^{-8}$")):
    ax.axvline(floor, color="black", linestyle=":", linewidth=1)
    ax.text(1.4 * floor, 2e-10, text)
ax.set(xlabel="gradient g", ylabel="first step of Adam(0.001)")
ax.grid(alpha=0.3)
ax.legend(loc="center right")
plt.show()

# %%
# Schedules
# ---------
# Far from the minimum a large rate is good, and near it a small one, for two reasons. RMSProp and
# its relatives divide by the size of recent gradients, so their steps do not shrink with the
# gradient: with a constant rate RMSProp ends in swings of :math:`\pm \eta / 2`, even in a bowl
# without noise. And minibatches give gradients with noise, which keeps w at a distance that grows
# with :math:`\eta`. A schedule is a rate for each step :math:`t = 1, 2, \dots`, used in place of a
# number.

steps = 400
schedules = {
    "StepDecay(0.1, every=100, factor=0.3)": nn.schedules.StepDecay(0.1, every=100, factor=0.3),
    "Exponential(0.1, every=100, factor=0.3)": nn.schedules.Exponential(0.1, 100, 0.3),
    "InverseScaling(0.1)": nn.schedules.InverseScaling(0.1),
    "Cosine(0.1, steps=360, warmup=40)": nn.schedules.Cosine(0.1, 360, warmup=40),
    "OneCycle(0.1, steps=400)": nn.schedules.OneCycle(0.1, steps),
}
t = np.arange(1, steps + 1)
figure, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
lines = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
for (name, schedule), colour, line in zip(schedules.items(), PALETTE, lines, strict=False):
    ax.plot(t, [schedule(int(k)) for k in t], color=colour, linestyle=line, label=name, linewidth=2)
ax.set(xlabel="step t", ylabel=r"learning rate $\eta_t$")
ax.grid(alpha=0.3)
figure.legend(loc="outside lower center")
plt.show()

swings = nn.theory.optimizer_paths(
    eigenvalues,
    start,
    {"constant": nn.RMSProp(0.05), "cosine": nn.RMSProp(nn.schedules.Cosine(0.05, steps))},
    steps,
)
for name, path in swings.items():
    print(f"RMSProp, {name}: |w| after {steps} steps {np.abs(path.w[-1])}")
assert np.allclose(np.abs(swings["constant"].w[-1]), 0.05 / 2, rtol=1e-3)
assert np.abs(swings["cosine"].w[-1]).max() < 1e-6

cosine = schedules["Cosine(0.1, steps=360, warmup=40)"]
assert np.isclose(cosine(20), 0.05)  # halfway up
assert np.isclose(cosine(41 + 180), 0.05)  # halfway down: (1 + cos(pi / 2)) / 2
assert np.isclose(nn.schedules.InverseScaling(0.1)(100), 0.01)

# %%
# A linear regression with noisy targets, in minibatches of 8: the constant rate ends at a distance
# from the least loss that there is, which least squares gives, and does not come closer. With the
# cosine it does.

rng = np.random.default_rng(0)
X = rng.normal(size=(512, 10))
y = X @ rng.normal(size=10) + rng.normal(size=512)
columns = np.column_stack([X, np.ones(512)])
least = 0.5 * np.mean((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2)

excess = {}
for name, rate in (("constant 0.1", 0.1), ("Cosine(0.1)", nn.schedules.Cosine(0.1, 30 * 64))):
    net = nn.MLP([10, 1], output="identity", init="zeros", dtype="float64")
    trainer, excess[name] = nn.Trainer(net, nn.SGD(rate)), []
    for _ in range(30):
        trainer.fit(X, y, epochs=1, batch_size=8)
        excess[name].append(trainer.evaluate(X, y) - least)
    print(f"{name:<13} ends {excess[name][-1]:.2g} above the least loss, {least:.4f}")
assert excess["Cosine(0.1)"][-1] < 0.05 * min(excess["constant 0.1"])

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, above), colour, marker in zip(excess.items(), PALETTE, "os", strict=False):
    ax.semilogy(np.arange(1, 31), above, "-", marker=marker, color=colour, label=name, ms=4)
ax.set(xlabel="epoch", ylabel="loss above the least one")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# Beside them
# -----------
# .. list-table::
#    :header-rows: 1
#    :widths: 25 75
#
#    * - ``nn.``
#      - rule
#    * - ``AdamW``
#      - :math:`w \leftarrow (1 - \eta \lambda) w`, then Adam's step: the decay is not scaled by s
#    * - ``NAdam``
#      - Adam with
#        :math:`\hat m = \beta_1 m / (1 - \beta_1^{t+1}) + (1 - \beta_1) g / (1 - \beta_1^t)`
#    * - ``AMSGrad``
#      - Adam with the largest s so far in place of s
#    * - ``Lion``
#      - :math:`w \leftarrow w - \eta\, \mathrm{sign}(\beta_1 m + (1 - \beta_1) g)`,
#        :math:`m \leftarrow \beta_2 m + (1 - \beta_2) g`
#
# All take ``weight_decay`` (:math:`g + \lambda w` takes the place of g; decoupled, as above, in
# AdamW and Lion), ``clip_norm`` (g is scaled down to that norm where it is larger), and ``ema`` (a
# moving average of the parameters beside them).
#
# Decoupling matters: Adam divides the penalty's gradient by :math:`\sqrt s` along with the rest,
# so it shrinks parameters with large gradients less. In a bowl that is all penalty and no loss,
# what ``weight_decay`` does to w of different sizes in the first step shows it:

w = np.array([0.01, 1.0, 100.0])
flat = np.full(3, 1e-12)  # no loss to speak of
for name, rule in (
    ("Adam", nn.Adam(1e-2, weight_decay=0.1)),
    ("AdamW", nn.AdamW(1e-2, weight_decay=0.1)),
):
    after = nn.theory.optimizer_paths(flat, w, {"": rule}, steps=1)[""].w[1]
    print(f"{name:<6} moves {w} by {after - w}")
    expected = -1e-2 * np.ones(3) if name == "Adam" else -1e-2 * 0.1 * w
    assert np.allclose(after - w, expected, rtol=0.01)
