"""Equal networks, what the start decides, broadcasting, and optimisers on a quadratic."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

import nnpoly as nn
from nnpoly import theory
from nnpoly.activations import Linear
from nnpoly.backends import get, registry
from nnpoly.initializers import Constant, Normal, Uniform

host = registry.to_host
EPS = np.finfo(np.float64).eps


def batch(rng, m: int = 3, n: int = 12):
    return rng.normal(size=(n, m)), rng.integers(0, 2, n)


# Linear collapse


def drawn(widths, activation, rng, **place):
    """Return a float64 network whose biases are not 0."""
    Ws = [rng.normal(size=(m, k)) / math.sqrt(k) for k, m in pairwise(widths)]
    bs = [rng.normal(size=m) for m in widths[1:]]
    return nn.MLP.from_weights(Ws, bs, activation, "identity", **place)


@pytest.mark.parametrize("activation", [Linear(0.5), Linear(-3.0), Linear(0.0), "identity"])
@pytest.mark.parametrize("widths", [[3, 2], [3, 8, 2], [3, 8, 5, 7, 2]])
def test_a_linear_network_is_one_affine_map(widths, activation, rng, backend_variant):
    net = drawn(widths, activation, rng, **backend_variant.place)
    W, b = theory.collapse_linear(net)
    X, _ = batch(rng)
    assert W.shape == (2, 3)
    scale = max(1.0, float(np.abs(host(net(X))).max()))
    np.testing.assert_allclose(host(net(X)), X @ W.T + b, rtol=0, atol=100 * EPS * scale)
    zero = np.zeros((1, 3))
    np.testing.assert_allclose(host(net(zero))[0], b, rtol=0, atol=100 * EPS * scale)


def test_two_layers_by_hand():
    net = nn.MLP.from_weights(
        [[[1.0, 2.0], [3.0, 4.0]], [[1.0, -1.0]]], [[5.0, 6.0], [7.0]], Linear(2.0), "identity"
    )
    W, b = theory.collapse_linear(net)
    assert W.tolist() == [[2 * (1 - 3), 2 * (2 - 4)]]
    assert b.tolist() == [2 * (5 - 6) + 7]


def test_chains_of_dense_layers_with_different_slopes(rng):
    net = nn.Network(
        [nn.Dense(3, 4, Linear(2.0)), nn.Dense(4, 4, "identity"), nn.Dense(4, 2)], dtype="float64"
    )
    W, b = theory.collapse_linear(net)
    X, _ = batch(rng)
    np.testing.assert_allclose(net(X), X @ W.T + b, rtol=0, atol=1e-13)


def test_the_scores_of_a_classifier_collapse_too(rng):
    net = nn.MLP([3, 5, 2], Linear(0.5), "softmax", dtype="float64")
    W, b = theory.collapse_linear(net)
    X, _ = batch(rng)
    np.testing.assert_allclose(net.scores(X), X @ W.T + b, rtol=0, atol=1e-14)


# Softmax and sigmoid


def test_softmax_of_two_scores_is_a_sigmoid(rng, placed):
    scores = 5 * rng.normal(size=(50, 2))
    given = placed.array(scores, "float64")
    found = host(theory.softmax_as_sigmoid(given))
    softmax = host(placed.backend.ops.softmax(given))
    sigmoid = 1 / (1 + np.exp(scores[:, 1] - scores[:, 0]))
    np.testing.assert_allclose(found, softmax, rtol=1e-13)
    np.testing.assert_allclose(found, np.column_stack([sigmoid, 1 - sigmoid]), rtol=0, atol=4 * EPS)


def test_tiny_probabilities_keep_their_digits():
    found = theory.softmax_as_sigmoid([[100.0, 0.0], [1e4, -1e4], [-1e4, 1e4]])
    assert found[0, 1] == pytest.approx(math.exp(-100), rel=1e-14)
    assert found[1:].tolist() == [[1, 0], [0, 1]]
    assert theory.softmax_as_sigmoid(np.zeros((1, 2), np.float32)).dtype == np.float32


def test_a_two_class_network_becomes_one_sigmoid(rng, backend_variant):
    net = drawn([3, 8, 4, 2], "tanh", rng)
    net = nn.MLP.from_weights(
        [layer.W for layer in net.layers], [layer.b for layer in net.layers], "tanh", "softmax"
    ).to(backend_variant.backend, device=backend_variant.device)
    X, y = batch(rng)
    one = theory.to_sigmoid(net)
    assert (one.output, one.widths, one.backend) == ("sigmoid", [3, 8, 4, 1], net.backend)
    np.testing.assert_allclose(host(one(X))[:, 0], host(net(X))[:, 1], rtol=0, atol=1e-14)
    assert float(one.loss(X, y)) == pytest.approx(float(net.loss(X, y)), rel=1e-13)
    difference = host(net.scores(X)) @ [-1.0, 1.0]
    np.testing.assert_allclose(host(one.scores(X))[:, 0], difference, rtol=0, atol=1e-13)


def test_the_shared_layers_have_the_same_gradients(rng):
    """The chain rule through o_2 - o_1: dL/do_2 = -dL/do_1 = f - y."""
    net = nn.MLP([3, 8, 2], "tanh", "softmax", dtype="float64")
    X, y = batch(rng)
    (_, two), (_, one) = net.gradients(X, y), theory.to_sigmoid(net).gradients(X, y)
    np.testing.assert_allclose(one.W[0], two.W[0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(one.delta[1][:, 0], two.delta[1][:, 1], rtol=0, atol=1e-15)


def test_buffers_and_the_place_asked_for(rng):
    chain = [nn.Dense(3, 6), nn.BatchNorm(6, activation="relu"), nn.Dense(6, 2)]
    net = nn.Network(chain, "softmax", dtype="float64")
    X, y = batch(rng)
    nn.Trainer(net).fit(X, y, epochs=3)
    before = net.w.copy()
    one = theory.to_sigmoid(net, backend="torch")
    assert one.backend == "torch"
    np.testing.assert_allclose(host(one(X))[:, 0], net(X)[:, 1], rtol=0, atol=1e-14)
    assert np.array_equal(net.w, before)


# The start: variance


@pytest.mark.parametrize(
    ("init", "factor"),
    [("normal", 64.0), ("kaiming_normal", 1.0), ("kaiming_uniform", 1.0), ("xavier_normal", 0.5),
     ("xavier_uniform", 0.5), ("lecun_normal", 0.5), (Uniform(1.0), 64 / 3), ("zeros", 0.0),
     ("orthogonal", 0.5)],
)  # fmt: skip
def test_variance_a_layer_with_relu(init, factor, backend_variant):
    """A layer's factor is a mean over m neurons: relative variance 5 / m, so 5 deviations of 19."""
    profile = theory.variance_profile(init, depth=20, width=128, **backend_variant.place)
    assert len(profile.measured) == len(profile.predicted) == 20
    assert profile.predicted_factor == pytest.approx(factor, rel=1e-12)
    deviation = math.sqrt(5 / 128 / 19)
    assert abs(profile.factor - factor) <= 5 * deviation * factor


@pytest.mark.parametrize("activation", ["tanh", "gelu", "softplus", nn.activations.LeakyReLU(0.3)])
def test_the_prediction_holds_for_every_activation(activation):
    profile = theory.variance_profile("lecun_normal", depth=8, width=1024, activation=activation)
    np.testing.assert_allclose(profile.measured, profile.predicted, rtol=0.25)


def test_predictions_by_hand():
    first, second = theory.variance_profile(Normal(0, 0.1), depth=2, width=50).predicted
    scale = first / 50 / 0.01  # of the input, whose variance is nearly 1
    assert scale == pytest.approx(1, abs=0.2)
    assert second / first == pytest.approx(50 * 0.01 / 2, rel=1e-12)
    slope = nn.activations.LeakyReLU(0.5)
    leaky = theory.variance_profile("lecun_normal", depth=3, width=10, activation=slope)
    assert leaky.predicted_factor == pytest.approx((1 + 0.25) / 2, rel=1e-12)
    linear = theory.variance_profile("lecun_normal", depth=3, width=10, activation=Linear(3.0))
    assert linear.predicted_factor == pytest.approx(9, rel=1e-12)


def test_constant_weights_add_up():
    """From the second layer on h~ >= 0, and every layer multiplies it by c m exactly."""
    profile = theory.variance_profile(Constant(0.25), depth=6, width=16)
    ratios = np.array(profile.measured[2:]) / profile.measured[1:-1]
    np.testing.assert_allclose(ratios, (0.25 * 16) ** 2, rtol=1e-12)
    predicted = np.array(profile.predicted)
    assert predicted[0] == pytest.approx(0.25**2 * 16, rel=0.25)  # a sum of independent inputs
    np.testing.assert_allclose(predicted[2:] / predicted[1:-1], 16.0, rtol=1e-12)
    assert predicted[1] / predicted[0] == pytest.approx(8.0, rel=1e-12)


def test_variances_of_a_network_are_those_of_its_trace(rng):
    net = nn.MLP([5, 9, 7, 2], "tanh", dtype="float64")
    X = rng.normal(size=(30, 5))
    profile = theory.variance_profile(net, X)
    assert profile.measured == tuple(float(np.mean(h * h)) for h in net.trace(X).pre)
    assert profile.predicted[0] == pytest.approx(2 * np.mean(X * X), rel=1e-12)
    assert str(profile).splitlines()[0].split() == ["layer", "measured", "predicted"]


def test_no_prediction_without_one_law():
    mixed = nn.Network([nn.Dense(4, 4, "relu", "normal"), nn.Dense(4, 4)])
    shifted = nn.MLP([4, 4, 4], init=Normal(1.0, 1.0))
    for net in (mixed, shifted):
        profile = theory.variance_profile(net, np.ones((2, 4)))
        assert profile.predicted is None
        assert profile.predicted_factor is None
        assert str(profile).splitlines()[1].split()[-1] == "-"


def test_fifty_layers_of_n_0_1_do_not_overflow():
    profile = theory.variance_profile("normal", width=256)
    assert math.log10(profile.measured[-1]) == pytest.approx(2.4 + 49 * math.log10(128), abs=2)


# The start: symmetry


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_constant_neurons_stay_identical(activation, rng, backend_variant):
    X, y = batch(rng)
    net = nn.MLP(
        [3, 6, 5, 2], activation, init=Constant(0.3), dtype="float64", **backend_variant.place
    )
    before = host(net.w).copy()
    run = theory.symmetry(net, X, y, steps=15)
    assert run.spread.shape == run.gradient.shape == (16, 2)
    assert run.spread.max() < 1e-13
    assert run.gradient.max() > 0
    assert np.abs(host(run.network.w) - before).max() > 1e-3
    assert np.array_equal(host(net.w), before)


def test_zeros_give_zero_scores_and_zero_hidden_gradients(rng):
    X, y = batch(rng)[0], np.arange(12) % 3 // 2  # a third of class 1: the bias must move
    net = nn.MLP([3, 6, 5, 2], "tanh", init="zeros", dtype="float64")
    run = theory.symmetry(net, X, y, steps=5)
    assert run.scores[0] == 0 < run.scores[1]
    assert not np.any(run.gradient)
    assert not np.any(run.spread)
    assert run.loss[0] == pytest.approx(math.log(2), rel=1e-14)


def test_drawn_neurons_differ_from_the_start(rng):
    X, y = batch(rng)
    net = nn.MLP([3, 6, 2], "tanh", dtype="float64")
    run = theory.symmetry(net, X, y, 5, nn.Adam(0.01))
    W = net.layers[0].W
    assert run.spread[0, 0] == np.max(np.abs(W - W[0]))
    assert run.spread.min() > 0.1
    trainer = nn.Trainer(net, nn.Adam(0.01))
    losses = [float(trainer.step(X, y)) for _ in range(5)]
    np.testing.assert_allclose(run.loss[:5], losses, rtol=1e-14)
    assert len(str(run).splitlines()) == 7


# Broadcasting


def test_every_step_of_x_wt_plus_b(rng):
    X, W, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    walk = theory.broadcasting(X, W, b)
    shapes = {step.name: step.shape for step in walk.steps}
    assert shapes == {
        "X": (4, 3), "W": (2, 3), "W^T": (3, 2), "X W^T": (4, 2),
        "b": (2,), "b as a row": (1, 2), "b repeated": (4, 2), "X W^T + b": (4, 2),
    }  # fmt: skip
    loop = [[sum(X[i, k] * W[j, k] for k in range(3)) + b[j] for j in range(2)] for i in range(4)]
    np.testing.assert_allclose(walk.result, loop, rtol=1e-13)
    assert np.array_equal(walk["b repeated"], [b, b, b, b])
    net = nn.MLP.from_weights([W], [b], output="identity")
    np.testing.assert_allclose(walk.result, net(X), rtol=1e-13)
    assert all(f"{name}  {shape}" in str(walk) for name, shape in shapes.items())


@pytest.mark.parametrize(
    ("shape", "meaning"),
    [((2,), "the same row for every sample"), ((1, 2), "the same row for every sample"),
     ((4, 1), "the same column for every neuron"), ((), "the same number everywhere"),
     ((1,), "the same number everywhere"), ((4, 2), "it has the full shape already")],
)  # fmt: skip
def test_whatever_broadcasts_is_taken_as_numpy_takes_it(shape, meaning, rng):
    X, W, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=shape)
    walk = theory.broadcasting(X, W, b)
    assert np.array_equal(walk.result, X @ W.T + b)
    assert walk.steps[-2].meaning == meaning


# Optimisers on a quadratic

EIGENVALUES, START = np.array([1.0, 10.0, 40.0]), np.array([3.0, -2.0, 1.0])


@pytest.mark.parametrize("eta", [0.01, 0.049, 0.05, 0.051, 0.09])
def test_gradient_descent_contracts_by_its_factors_exactly(eta, backend_variant):
    path = theory.optimizer_paths(
        EIGENVALUES, START, {"gd": nn.SGD(eta)}, 60, **backend_variant.place
    )["gd"]
    t = np.arange(61)[:, None]
    np.testing.assert_allclose(path.w, (1 - eta * EIGENVALUES) ** t * START, rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(path.loss, 0.5 * (path.w**2 @ EIGENVALUES), rtol=1e-14)
    factors = theory.contraction_factors(EIGENVALUES, eta)
    np.testing.assert_allclose(np.abs(path.w), factors**t * np.abs(START), rtol=1e-12, atol=1e-17)
    limit = theory.divergence_limit(EIGENVALUES)
    assert (factors.max() < 1) == (eta < limit)


def test_gradient_descent_diverges_exactly_above_two_over_lambda_max():
    limit = theory.divergence_limit(EIGENVALUES)
    assert limit == 2 / 40
    rates = {"below": 0.999 * limit, "at": limit, "above": 1.001 * limit}
    optimizers = {name: nn.SGD(eta) for name, eta in rates.items()}
    paths = theory.optimizer_paths(EIGENVALUES, START, optimizers, steps=20000)
    assert paths["below"].loss[-1] < 1e-30
    np.testing.assert_allclose(np.abs(paths["at"].w[:, 2]), 1.0, rtol=1e-10)
    assert paths["above"].loss[-1] > 1e30
    steps = theory.optimizer_paths([1.0], [1.0], {"gd": nn.SGD(100.0)}, steps=400)["gd"]
    assert np.isinf(steps.loss[-1]) or np.isnan(steps.loss[-1])


RULES = {
    "momentum": (nn.SGD(0.02, momentum=0.9), lambda w, g, s, t: (w - 0.02 * (0.9 * s[0] + g),
                                                                 (0.9 * s[0] + g,))),
    "AdaGrad": (nn.AdaGrad(0.5), lambda w, g, s, t: (w - 0.5 * g / np.sqrt(s[0] + g * g + 1e-8),
                                                     (s[0] + g * g,))),
    "RMSProp": (nn.RMSProp(0.02), lambda w, g, s, t: (
        w - 0.02 * g / np.sqrt(0.9 * s[0] + 0.1 * g * g + 1e-8), (0.9 * s[0] + 0.1 * g * g,))),
    "Adam": (nn.Adam(0.1), lambda w, g, s, t: (
        w - 0.1 * (0.9 * s[0] + 0.1 * g) / (1 - 0.9**t)
        / np.sqrt((0.999 * s[1] + 0.001 * g * g) / (1 - 0.999**t) + 1e-8),
        (0.9 * s[0] + 0.1 * g, 0.999 * s[1] + 0.001 * g * g))),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_paths_are_those_of_the_lectures_rules(name, backend_variant):
    optimizer, rule = RULES[name]
    found = theory.optimizer_paths(
        EIGENVALUES, START, {name: optimizer}, 25, **backend_variant.place
    )[name]
    w, state, expected = START, (0.0 * START, 0.0 * START), [START]
    for t in range(1, 26):
        w, state = rule(w, EIGENVALUES * w, state, t)
        expected.append(w)
    np.testing.assert_allclose(found.w, expected, rtol=1e-10, atol=1e-13)


def test_the_default_five_and_what_they_show():
    start = START.copy()
    paths = theory.optimizer_paths([1.0, 100.0], [1.0, 1.0], steps=300)
    assert list(paths) == ["gradient descent", "momentum", "AdaGrad", "RMSProp", "Adam"]
    slow = [np.argmax(path.loss < 0.01) for path in paths.values()]
    assert slow[0] == 1 + math.floor(math.log(0.1 * math.sqrt(2)) / math.log(0.99)) == 195
    assert 0 < min(slow) <= max(slow[1:]) < 100
    assert all(path.w.shape == (301, 2) and path.w[0].tolist() == [1, 1] for path in paths.values())
    assert np.array_equal(start, START)


def test_adaptive_rules_cancel_the_steepness():
    """Adam's first step has length eta in every coordinate, whatever the eigenvalue."""
    path = theory.optimizer_paths([1.0, 1e4], [1.0, 1.0], {"adam": nn.Adam(0.1)}, 1)["adam"]
    np.testing.assert_allclose(path.w[1], 0.9, rtol=1e-8)


# Bad input

SOFTMAX = nn.MLP([3, 2])
X43, W23 = np.ones((4, 3)), np.ones((2, 3))
PATHS = theory.optimizer_paths
REFUSED = [
    (lambda: theory.collapse_linear(nn.MLP([3, 4, 2])), "linear activations alone (identity or a "),
    (lambda: theory.collapse_linear(nn.Network([nn.Dense(2, 2), nn.LayerNorm(2)])), "chain of Den"),
    (lambda: theory.collapse_linear(None), "collapse_linear: `net` must be a network, got NoneTyp"),
    (lambda: theory.softmax_as_sigmoid([1.0, 2.0]), "`scores` must have shape (n, 2), got (2,)."),
    (lambda: theory.softmax_as_sigmoid(np.ones((2, 3))), "must have shape (n, 2), got (2, 3)."),
    (lambda: theory.softmax_as_sigmoid([["a", "b"]]), "`scores` must hold real numbers"),
    (lambda: theory.to_sigmoid(nn.MLP([3, 3])), "a Dense layer with 2 softmax outputs, got MLP 3-"),
    (lambda: theory.to_sigmoid(nn.MLP([3, 2], output="sigmoid")), "with 2 softmax outputs"),
    (lambda: theory.to_sigmoid(SOFTMAX, backend="abacus"), "`backend` must be one of"),
    (lambda: theory.variance_profile("he"), "variance_profile: `init` must be one of"),
    (lambda: theory.variance_profile("normal", depth=0), "`depth` must be an integer >= 1, got 0."),
    (lambda: theory.variance_profile("normal", width="9"), "`width` must be an integer >= 1"),
    (lambda: theory.variance_profile(SOFTMAX), "`X` must be given with a network"),
    (lambda: theory.variance_profile("normal", X43), "`X` must be None with an initialiser"),
    (lambda: theory.variance_profile(SOFTMAX, np.ones((4, 2))), "must have shape (n, 3), got (4, "),
    (lambda: theory.symmetry(SOFTMAX, X43, [0] * 4), "`net` must have a hidden layer, got widths"),
    (lambda: theory.symmetry(nn.MLP([3, 2, 2]), X43, [0] * 4, 0), "`steps` must be an integer >= "),
    (lambda: theory.broadcasting([1, 2], W23, 0), "`X` must have shape (n, m), got (2,)."),
    (lambda: theory.broadcasting(X43, W23.T, 0), "W is (m_in, m): pass W.T, (2, 3)."),
    (lambda: theory.broadcasting(X43, np.ones((2, 5)), 0), "whose inner sizes 3 and 5 differ."),
    (lambda: theory.broadcasting(X43, W23, [1, 2, 3]), "at the right, 2 meets 3, which is neither"),
    (lambda: theory.broadcasting(X43, W23, [1, 2, 3, 4]), "add one number a sample, pass b[:, Non"),
    (lambda: theory.broadcasting(X43, W23, np.ones((1, 4, 2))), "got (1, 4, 2): it has too many d"),
    (lambda: theory.broadcasting(X43, W23, np.ones((3, 2))), "got (3, 2): aligned at the right, 4"),
    (lambda: PATHS([1, -1], [1, 1]), "`eigenvalues` must be greater than 0, got -1"),
    (lambda: PATHS([1, 2], [1]), "optimizer_paths: `start` must have shape (2,), got (1,)."),
    (lambda: PATHS([1], [1], [nn.SGD(1)]), "`optimizers` must be a dict of optimisers by name"),
    (lambda: PATHS([1], [1], {}), "`optimizers` must be a dict of optimisers by name"),
    (lambda: PATHS([1], [1], {"gd": 3}), "`optimizers` must be a dict of optimisers by name"),
    (lambda: PATHS([1], [1], steps=-1), "`steps` must be an integer >= 1, got -1."),
    (lambda: theory.divergence_limit([]), "divergence_limit: `eigenvalues` must have shape (n,), "),
    (lambda: theory.contraction_factors([1], 0), "`learning_rate` must be greater than 0, got 0."),
]


@pytest.mark.parametrize(("call", "part"), REFUSED, ids=range(len(REFUSED)))
def test_bad_input(call, part):
    with pytest.raises(ValueError, match=r"^[\w.]+: ") as caught:
        call()
    assert part in str(caught.value)


def test_arrays_of_the_user_are_not_changed():
    given = [np.array([1.0, 4.0]), np.array([1.0, 1.0])]
    copies = [a.copy() for a in given]
    theory.optimizer_paths(*given, {"adam": nn.Adam(0.1), "gd": nn.SGD(0.1)}, 5)
    assert all(np.array_equal(a, b) for a, b in zip(given, copies, strict=True))
    assert get("numpy").name == "numpy"
