r"""
Outputs and losses
==================

The last layer gives *scores* :math:`\tilde f = W^{(L)} h^{(L-1)} + b^{(L)}`, any real numbers. An
output function turns them into a prediction :math:`f`, and a loss says how far :math:`f` is from
the target :math:`y`. For the three tasks of the lecture there are three pairs:

.. list-table::
   :header-rows: 1
   :widths: 17 18 45 20

   * - task
     - prediction
     - loss, a mean over the n samples
     - :math:`\delta^{(L)}` of a sample
   * - regression
     - :math:`f = \tilde f`
     - :math:`\frac{1}{2n} \sum_i \lVert y_i - f_i \rVert^2`
     - :math:`f - y`
   * - two classes
     - :math:`f = \mathrm{sigmoid}(\tilde f)`
     - :math:`-\frac1n \sum_i [y_i \log f_i + (1 - y_i) \log(1 - f_i)]`
     - :math:`f - y`
   * - K classes
     - :math:`f = \mathrm{softmax}(\tilde f)`
     - :math:`-\frac1n \sum_i \sum_k y_{ik} \log f_{ik}`
     - :math:`f - y`

The last column is the derivative of the loss with respect to the scores, before the factor
:math:`1/n`. It is the same for all three, and this page derives it three times.

A network whose one layer is the identity, :math:`W = I` and :math:`b = 0`, has its input as its
scores. With it, a loss can be looked at as a function of the scores alone.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import PALETTE

BLUE, VERMILION, GREEN, PURPLE, ORANGE, *_ = PALETTE


def of_scores(K, output, dtype="float64"):
    """Return the network of K outputs whose scores are its input."""
    return nn.MLP.from_weights([np.eye(K)], [np.zeros(K)], output=output, dtype=dtype)


def slopes_match(net, scores, y, loss=None, h=1e-6):
    """Return whether delta, times n, is the loss's slope in every score, by central differences."""
    delta = len(scores) * net.gradients(scores, y, loss=loss)[1].delta[-1]
    for i, k in np.ndindex(*scores.shape):
        step = np.zeros_like(scores)
        step[i, k] = h
        rise = net.loss(scores + step, y, loss=loss) - net.loss(scores - step, y, loss=loss)
        if abs(len(scores) * rise / (2 * h) - delta[i, k]) > 1e-7:
            return False
    return True


# %%
# Regression: the mean squared error
# ----------------------------------
# The prediction is the score itself, and for one sample
#
# .. math::
#    \ell = \frac12 \sum_k (y_k - f_k)^2, \qquad
#    \frac{\partial \ell}{\partial \tilde f_k} = -(y_k - f_k) = f_k - y_k .
#
# The :math:`1/2` is there to cancel the 2 of the square. Other libraries leave it out, so their
# loss and their gradient are twice as large.

rng = np.random.default_rng(0)
scores = rng.normal(size=(4, 3))
y = rng.normal(size=(4, 3))

regression = of_scores(3, "identity")
loss, grads = regression.gradients(scores, y)
by_formula = 0.5 * np.mean(np.sum((y - scores) ** 2, axis=1))
print(f"loss {loss:.6f}, by the formula {by_formula:.6f}")
assert np.isclose(loss, by_formula, rtol=1e-14)
assert np.allclose(grads.delta[-1], (scores - y) / 4, rtol=1e-14)
assert slopes_match(regression, scores, y)

# %%
# Two classes: the logistic loss
# ------------------------------
# One score gives the probability of class 1, :math:`f = \mathrm{sigmoid}(\tilde f)`. The labels are
# independent and 1 with probability :math:`f_i`, so their likelihood is
# :math:`\prod_i f_i^{y_i} (1 - f_i)^{1 - y_i}`. It is to be *maximised*; a loss is to be
# *minimised*, so the loss is **minus** its logarithm:
#
# .. math:: \ell = -\left[ y \log f + (1 - y) \log (1 - f) \right].
#
# The sigmoid's derivative is :math:`f' = f (1 - f)`, and the chain rule gives
#
# .. math::
#    \frac{\partial \ell}{\partial \tilde f}
#    = -\left[ \frac{y}{f} - \frac{1 - y}{1 - f} \right] f (1 - f)
#    = -\left[ y (1 - f) - (1 - y) f \right] = f - y .
#
# .. admonition:: Where the slides differ
#
#    The lecture's slides drop the minus sign of this loss, and write its derivative as
#    :math:`y - f` on one page and :math:`f - y` on the next. Without the minus sign the derivative
#    is :math:`y - f`, and gradient *descent* would make the labels as unlikely as it can. With it
#    the derivative is :math:`f - y`, as everywhere in this library.

binary = of_scores(1, "sigmoid")
scores, y = rng.normal(size=(5, 1)), np.array([[1.0], [0.0], [1.0], [1.0], [0.0]])
loss, grads = binary.gradients(scores, y)
f = 1 / (1 + np.exp(-scores))
by_formula = -np.mean(y * np.log(f) + (1 - y) * np.log(1 - f))
print(f"loss {loss:.6f}, by the formula {by_formula:.6f}: positive, since log f is negative")
assert np.isclose(loss, by_formula, rtol=1e-14)
assert np.allclose(grads.delta[-1], (f - y) / 5, rtol=1e-13)
assert slopes_match(binary, scores, y)

# A step against the gradient makes the labels likelier, and one along it does the opposite.
downhill, uphill = (binary.loss(scores + sign * grads.delta[-1], y) for sign in (-1, 1))
print(f"a step of -delta: {downhill:.6f}; a step of +delta: {uphill:.6f}")
assert downhill < loss < uphill

# %%
# K classes: the cross-entropy
# ----------------------------
# With a score for each class, :math:`f_k = e^{\tilde f_k} / \sum_j e^{\tilde f_j}`. Its derivatives
# are
#
# .. math::
#    \frac{\partial f_k}{\partial \tilde f_j} = f_k \left( [j = k] - f_j \right),
#    \qquad\text{so}\qquad
#    \frac{\partial \log f_k}{\partial \tilde f_j} = [j = k] - f_j .
#
# The label is a one-hot row :math:`y`, with :math:`\sum_k y_k = 1`. Hence
#
# .. math::
#    \ell = -\sum_k y_k \log f_k, \qquad
#    \frac{\partial \ell}{\partial \tilde f_j}
#    = -\sum_k y_k \left( [j = k] - f_j \right)
#    = -y_j + f_j \sum_k y_k = f_j - y_j .

classes = of_scores(3, "softmax")
scores, labels = rng.normal(size=(5, 3)), np.array([2, 0, 1, 1, 2])
loss, grads = classes.gradients(scores, labels)
f = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
y = np.eye(3)[labels]
assert np.isclose(loss, -np.mean(np.sum(y * np.log(f), axis=1)), rtol=1e-14)
assert np.allclose(grads.delta[-1], (f - y) / 5, rtol=1e-13)
assert slopes_match(classes, scores, labels)
print("n delta =\n", (5 * grads.delta[-1]).round(3))
print("rows add up to", np.abs(grads.delta[-1].sum(axis=1)).max().round(15))

# %%
# Every row of :math:`\delta^{(L)}` sums to 0: softmax does not change when all scores of a sample
# rise by the same amount, so the loss has no slope in that direction.
#
# Losses and derivatives against the score
# ----------------------------------------
# All three derivatives are "prediction minus target", but the predictions differ. The squared
# error's derivative grows without limit. The other two lie between -1 and 1: a sample that is very
# wrong pulls with a force of 1, and one that is right hardly pulls at all.


def curve(net, scores, y, loss=None):
    """Return loss and derivative by the first score, for each of many scores (or rows of them)."""
    rows = np.reshape(scores, (len(scores), 1, -1))
    pairs = [net.gradients(row, y, loss=loss) for row in rows]
    return np.array([(float(value), grads.delta[-1][0, 0]) for value, grads in pairs]).T


z = np.linspace(-6, 6, 241)
others = np.column_stack([z, np.zeros_like(z), np.zeros_like(z)])
curves = {
    "squared error, y = 1": curve(of_scores(1, "identity"), z, [1.0]),
    "logistic, y = 1": curve(binary, z, [1.0]),
    "logistic, y = 0": curve(binary, z, [0.0]),
    "cross-entropy, class 1 of 3,\nthe others' scores 0": curve(classes, others, [0]),
}
assert np.abs(curves["logistic, y = 1"][1]).max() < 1
assert np.abs(curves["squared error, y = 1"][1]).max() == 7.0

figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.8), layout="constrained")
styles = zip(curves.items(), (BLUE, VERMILION, GREEN, PURPLE), ("-", "--", "-.", ":"), strict=True)
for (name, (loss, delta)), colour, line in styles:
    axes[0].plot(z, loss, line, color=colour, label=name, linewidth=2)
    axes[1].plot(z, delta, line, color=colour, linewidth=2)
axes[0].set(xlabel="score", ylabel="loss of a sample", ylim=(0, 7))
axes[1].set(xlabel="score", ylabel="derivative by the score", ylim=(-3, 3))
for ax in axes:
    ax.grid(alpha=0.3)
figure.legend(loc="outside lower center", ncols=2)
plt.show()

# %%
# Scores of any size
# ------------------
# Taken literally, the formulas fail for large scores: :math:`e^{\tilde f}` overflows, :math:`f`
# rounds to exactly 0 or 1, and the loss takes the logarithm of 0. But loss and derivative are
# perfectly ordinary numbers there. They only have to be computed from the scores, output and loss
# as one:
#
# .. math::
#    \ell_\text{logistic} = \max(\tilde f, 0) - y \tilde f + \log(1 + e^{-|\tilde f|}), \qquad
#    \ell_\text{cross-entropy} = \log \sum_j e^{\tilde f_j - m} - \sum_k y_k (\tilde f_k - m),
#
# with :math:`m = \max_j \tilde f_j`. No exponent is positive, so nothing overflows; and no sum in
# a logarithm is below 1, so there is no :math:`\log 0`. Here is the textbook formula beside the
# library, in float32 and for the label 1:


def textbook(z):
    """Return the logistic loss of label 1 as it is written, in float32."""
    with np.errstate(over="ignore", divide="ignore"):
        f = np.float32(1) / (np.float32(1) + np.exp(-np.float32(z)))
        return -np.log(f)


single = of_scores(1, "sigmoid", "float32")
print("   score   textbook    library    delta")
for score in (1e4, 100.0, 1.0, -1.0, -100.0, -1e4):
    loss, grads = single.gradients([[score]], [1.0])
    delta = grads.delta[-1].item()
    print(f"{score:8g} {textbook(score):10.4g} {float(loss):10.4g} {delta:8.4g}")
    assert np.isfinite(loss)
    assert np.isfinite(delta)

# Exact at the ends: the loss of a hopeless sample is its score, and the derivative is f - y.
for dtype in ("float32", "float64"):
    for K, output, y in ((1, "sigmoid", [1.0]), (3, "softmax", [0])):
        net = of_scores(K, output, dtype)
        row = np.zeros((1, K))
        row[0, 0] = -1e4
        loss, grads = net.gradients(row, y)
        expected = 1e4 + (np.log(2) if K == 3 else 0.0)
        assert np.isclose(float(loss), expected, rtol=np.finfo(dtype).eps)
        assert np.allclose(grads.delta[-1], [-1.0, 0.5, 0.5][:K], rtol=np.finfo(dtype).eps)
assert np.isinf(textbook(-1e4))

# %%
# Two classes, two ways
# ---------------------
# Two classes can have two softmax outputs or one sigmoid. Divide the softmax by
# :math:`e^{o_1}`:
#
# .. math::
#    \frac{e^{o_1}}{e^{o_1} + e^{o_2}} = \frac{1}{1 + e^{-(o_1 - o_2)}}
#    = \mathrm{sigmoid}(o_1 - o_2),
#
# and the second probability is :math:`1 - \mathrm{sigmoid}(o_1 - o_2)`. Only the difference of the
# scores counts; the softmax has one direction in its scores that changes nothing.

scores = rng.normal(scale=3.0, size=(1000, 2))
by_sigmoid = nn.theory.softmax_as_sigmoid(scores)
by_softmax = of_scores(2, "softmax")(scores)
print("largest difference", np.abs(by_sigmoid - by_softmax).max())
assert np.allclose(by_sigmoid, by_softmax, rtol=1e-13)

# %%
# So every network with two softmax outputs has a twin with one sigmoid, whose last layer is the
# difference of the two neurons. Its logistic loss is the other's cross-entropy, and the gradients
# of all hidden layers agree as well. (Its output is the probability of class 1, where classes
# count from 0.)

two = nn.MLP([4, 8, 2], "tanh", "softmax", dtype="float64", seed=1)
one = nn.theory.to_sigmoid(two)
X, labels = rng.normal(size=(50, 4)), rng.integers(0, 2, 50)
(loss_two, grads_two), (loss_one, grads_one) = two.gradients(X, labels), one.gradients(X, labels)
print(two)
print(one)
print(f"cross-entropy {loss_two:.15f}\nlogistic loss {loss_one:.15f}")
assert np.allclose(two(X)[:, 1:], one(X), rtol=1e-13)
assert np.isclose(loss_two, loss_one, rtol=1e-14)
assert np.allclose(grads_two.W[0], grads_one.W[0], rtol=1e-10, atol=1e-16)

# %%
# Labels and one-hot rows
# -----------------------
# The formula of the cross-entropy wants one-hot rows: as many columns as classes, a single 1 in
# each row. Labels of any kind become rows, and rows labels again:

pets = ["cat", "dog", "cat", "bird"]
encoder = nn.OneHot.fit(pets)
rows = encoder.encode(pets)
print(encoder.classes)
print(rows)
assert encoder.decode(rows).tolist() == pets

# %%
# A network takes class indices as well: the sum over :math:`k` has a single term. The loss is the
# same.

indices = encoder.indices(pets)
scores = rng.normal(size=(4, 3))
print(indices, float(classes.loss(scores, indices)), float(classes.loss(scores, rows)))
assert classes.loss(scores, indices) == classes.loss(scores, rows)

# %%
# Beyond the lecture
# ------------------
# The library has more losses. Each belongs to an output, is computed from the scores, and has its
# derivative from the same pass. With :math:`r = y - f`, and :math:`p` for the probability that is
# predicted for the label:
#
# .. list-table::
#    :header-rows: 1
#    :widths: 22 15 38 25
#
#    * - ``nn.losses``
#      - output
#      - loss of a sample
#      - derivative by the score
#    * - ``Absolute()``
#      - identity
#      - :math:`|r|`
#      - :math:`\mathrm{sign}(f - y)`
#    * - ``Huber(t)``
#      - identity
#      - :math:`r^2 / 2` for :math:`|r| \le t`, else :math:`t (|r| - t / 2)`
#      - :math:`f - y`, clipped to :math:`\pm t`
#    * - ``Quantile(q)``
#      - identity
#      - :math:`q r` for :math:`r > 0`, else :math:`(q - 1) r`
#      - :math:`-q` for :math:`r > 0`, else :math:`1 - q`
#    * - ``Poisson()``
#      - exp
#      - :math:`f - y - y \log (f / y)`
#      - :math:`f - y`
#    * - ``Focal(g)``
#      - softmax or sigmoid
#      - :math:`-(1 - p)^g \log p`
#      - :math:`(1 - p)^g [\,g\, p \log p - (1 - p)]`, for the label's score
#    * - ``Logistic(a)``
#      - sigmoid
#      - logistic loss of :math:`(1 - a) y + a / 2`
#      - :math:`f - (1 - a) y - a / 2`
#    * - ``CrossEntropy(a)``
#      - softmax
#      - cross-entropy of :math:`(1 - a) y_k + a / K`
#      - :math:`f_k - (1 - a) y_k - a / K`
#
# ``Logistic(a)`` and ``CrossEntropy(a)`` are label smoothing: their least loss lies at finite
# scores, for the logistic loss where :math:`f = 1 - a/2`.

of_numbers = {
    "MSE": nn.losses.MSE(),
    "Huber(1)": nn.losses.Huber(1.0),
    "Absolute": nn.losses.Absolute(),
    "Quantile(0.9)": nn.losses.Quantile(0.9),
}
of_counts = {"Poisson": nn.losses.Poisson()}
of_two_classes = {
    "Logistic": nn.losses.Logistic(),
    "Focal(2)": nn.losses.Focal(2.0, output="sigmoid"),
    "Logistic(0.2)": nn.losses.Logistic(0.2),
}
panels = [
    ("identity", 0.0, of_numbers, np.linspace(-3, 3, 121)),
    ("exp", 3.0, of_counts, np.linspace(-3, 3, 121)),
    ("sigmoid", 1.0, of_two_classes, np.linspace(-4, 6, 121)),
]
figure, axes = plt.subplots(2, 3, figsize=(6.4, 5.4), layout="constrained", sharex="col")
for (output, y, kinds, z), (above, below) in zip(panels, axes.T, strict=True):
    net = of_scores(1, output)
    styles = zip(kinds.items(), PALETTE, ("-", "--", "-.", ":"), strict=False)
    for (name, kind), colour, line in styles:
        loss, delta = curve(net, z, [y], kind)
        above.plot(z, loss, line, color=colour, label=name, linewidth=2)
        below.plot(z, delta, line, color=colour, linewidth=2)
        assert slopes_match(net, np.array([[-1.3], [0.4]]), [y, y], kind)
    above.set(title=f"{output}, y = {y:g}", ylim=(-0.2, 7))
    above.legend(loc="upper center", fontsize=8)
    below.set(xlabel="score", ylim=(-3, 3))
    above.grid(alpha=0.3)
    below.grid(alpha=0.3)
axes[0, 0].set(ylabel="loss of a sample")
axes[1, 0].set(ylabel="derivative by the score")
plt.show()

# With label smoothing the derivative is 0 at a finite score: where f = 1 - a/2 = 0.9.
smooth = binary.gradients([[np.log(0.9 / 0.1)]], [1.0], loss=nn.losses.Logistic(0.2))[1]
assert abs(smooth.delta[-1].item()) < 1e-15

# %%
# What a loss asks for is seen best where the network can give one number only. For the skewed
# targets below, the best constant is the mean for the squared error, the median for the absolute
# error, a number between them for Huber's, and the 0.9-quantile for ``Quantile(0.9)``. So the loss
# is a choice of what to predict.

y = rng.lognormal(size=1001)
constants = np.linspace(0, 6, 1201)  # 0.005 apart
one = of_scores(1, "identity")
best = {}
for name, kind in of_numbers.items():
    losses = [float(one.loss(np.full((1001, 1), c), y, loss=kind)) for c in constants]
    best[name] = constants[np.argmin(losses)]
    print(f"{name:<14} {best[name]:.3f}")
print(f"mean {y.mean():.3f}, median {np.median(y):.3f}, 0.9-quantile {np.quantile(y, 0.9):.3f}")
assert abs(best["MSE"] - y.mean()) < 0.005
assert abs(best["Absolute"] - np.median(y)) < 0.005
assert best["Absolute"] < best["Huber(1)"] < best["MSE"]
assert abs(best["Quantile(0.9)"] - np.quantile(y, 0.9)) < 0.02
