"""Universal approximation by fitting, and what depth buys, exactly."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnpoly as nn
from nnpoly import theory
from nnpoly.activations import LeakyReLU, Linear
from nnpoly.theory import approximation

# Approximation


def bump(x, y):
    return np.exp(-4 * (x * x + y * y))


def steep(x):
    return 1 / (1 + np.exp(-40 * x))


TARGETS = {
    "sin": (np.sin, (-np.pi, np.pi)),
    "abs": (np.abs, (-1.0, 1.0)),
    "steep": (steep, (-1.0, 1.0)),
    "bump": (bump, ((-1.0, 1.0), (-1.0, 1.0))),
}


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("name", TARGETS)
def test_one_hidden_layer_comes_within_eps(name, activation):
    """The error is looked at again on random points, which the fit has never seen."""
    g, box = TARGETS[name]
    found = theory.approximate(g, box, eps=0.01, activation=activation)
    assert found.reached
    assert found.error < 0.01
    assert found.table[-1] == (found.width, found.error)
    assert all(error >= 0.01 for _, error in found.table[:-1])
    assert [m for m, _ in found.table] == list(approximation.WIDTHS[: len(found.table)])
    sides = np.reshape(box, (-1, 2))
    assert found.network.widths == [len(sides), found.width, 1]
    assert type(found.network.layers[0].activation).__name__.lower() == activation
    X = np.random.default_rng(1).uniform(sides[:, 0], sides[:, 1], (5000, len(sides)))
    assert np.abs(found.network(X)[:, 0] - g(*X.T)).max() < 0.01 + 1e-3


@pytest.mark.parametrize("activation", ["relu", "gelu", LeakyReLU(0.1)])
def test_other_activations_approximate_too(activation):
    assert theory.approximate(np.abs, (-1, 2), 0.02, activation).reached


def test_it_is_reproducible_and_says_when_it_fails():
    first, again = (
        theory.approximate(bump, ((-1, 1), (-1, 1)), 1e-6, widths=[2, 3], seed=5) for _ in range(2)
    )
    assert first.table == again.table
    assert np.array_equal(first.network.w, again.network.w)
    assert not first.reached
    assert (first.width, first.error) in first.table
    assert first.error == min(error for _, error in first.table)
    other = theory.approximate(bump, ((-1, 1), (-1, 1)), 1e-6, widths=[2, 3], seed=6)
    assert other.table != first.table
    assert "not below 1e-06" in str(first)
    assert 0 < first.seconds < 60


def test_the_reported_error_is_the_networks(backend_variant):
    found = theory.approximate(np.sin, (0.0, 3.0), 0.05, **backend_variant.place)
    assert found.network.backend == backend_variant.backend_name
    points = approximation.grid(((0.0, 3.0),), fine=True)
    f = backend_variant.host(found.network(points))[:, 0]
    assert np.abs(f - np.sin(points[:, 0])).max() == pytest.approx(found.error, abs=1e-12)


@pytest.mark.parametrize("sides", [((-1.0, 2.0),), ((0.0, 1.0), (-3.0, 3.0))])
def test_the_test_grid_is_finer_and_shares_no_point(sides):
    train, test = (approximation.grid(sides, fine) for fine in (False, True))
    d = len(sides)
    for axis, (low, high) in enumerate(sides):
        coarse, fine = np.unique(train[:, axis]), np.unique(test[:, axis])
        assert (coarse[0], coarse[-1]) == (low, high)
        assert low < fine[0] < fine[-1] < high
        assert np.diff(coarse).min() > 2.5 * np.diff(fine).max()
        assert np.abs(coarse[:, None] - fine).min() > 0.1 * (high - low) / len(fine) / 5**d


def share_of_neurons_near_one_half(y) -> float:
    X = np.linspace(-1, 1, 401)[:, None]
    a, c = approximation.drawn_neurons(X, y(X[:, 0]), 500, np.random.default_rng(0))
    return float(np.mean(np.abs(-c / a[:, 0] - 0.5) < 0.4))


def test_neurons_are_placed_where_the_function_is_steep():
    """The middles of random pairs have the density 1 - |x|: 0.4 of them lie in (0.1, 0.9)."""
    deviation = np.sqrt(0.4 * 0.6 / 500)
    assert abs(share_of_neurons_near_one_half(lambda x: x) - 0.4) < 5 * deviation
    assert share_of_neurons_near_one_half(lambda x: steep(x - 0.5)) > 0.4 + 5 * deviation


def test_the_output_layer_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    X, a, c = np.linspace(-1, 1, 50)[:, None], rng.normal(size=(4, 1)), rng.normal(size=4)
    y = np.sin(3 * X[:, 0])
    net = approximation.with_solved_output(a, c, X, y, nn.activations.tanh)
    residual = net(X)[:, 0] - y
    features = np.column_stack([np.tanh(X @ a.T + c), np.ones(50)])
    rounding = 50 * np.finfo(float).eps * np.abs(net.layers[1].W).sum()
    np.testing.assert_allclose(features.T @ residual, 0, atol=4 * rounding)
    assert np.abs(residual).max() > 1e4 * rounding


# The tent map

KS = [1, 2, 3, 10, 20]


def tent_by_definition(x: float, k: int) -> Fraction:
    value = Fraction(x)
    for _ in range(k):
        value = max(Fraction(0), min(2 * value, 2 * (1 - value)))
    return value


@given(st.floats(0, 1), st.integers(1, 30))
@settings(deadline=None)
def test_the_tent_map_is_exact_in_floating_point(x, k):
    assert Fraction(float(theory.tent(x, k))) == tent_by_definition(x, k)


def test_the_tent_map():
    assert theory.tent([-1, 0, 0.25, 0.5, 0.75, 1, 2]).tolist() == [0, 0, 0.5, 1, 0.5, 0, 0]
    x = np.linspace(0, 1, 2**5 + 1).reshape(3, 11)
    assert np.array_equal(theory.tent(x, 3), theory.tent(theory.tent(theory.tent(x))))
    assert theory.tent(x, 3).shape == (3, 11)


@pytest.mark.parametrize("k", KS)
def test_the_deep_network_equals_the_tent_map_bitwise(k, backend_variant):
    net = theory.tent_network(k, **backend_variant.place)
    dyadic = np.arange(-64, 2**12 + 65) / 2**12
    drawn = np.random.default_rng(k).uniform(-0.5, 1.5, 1000)
    x = np.concatenate([dyadic, np.abs(drawn), [1e-300, np.nextafter(1, 0), -3.0, 1e6]])
    f = backend_variant.host(net(x[:, None]))[:, 0] + 0.0  # + 0.0: no negative zeros
    assert f.tobytes() == theory.tent(x, k).tobytes()


@pytest.mark.parametrize("k", KS)
def test_it_has_o_of_k_neurons(k):
    net = theory.tent_network(k)
    assert net.widths == [1, *[2] * k, 1, 1]
    assert sum(net.widths[1:]) == 2 * k + 2
    assert net.w.size == 6 * k + 3


# Counting pieces


def test_ten_tents_have_1024_pieces_with_under_40_neurons():
    net = theory.tent_network(10)
    assert sum(net.widths[1:]) < 40
    assert theory.count_linear_pieces(net, 0, 1) == 1024
    assert theory.shallow_width_bound(1024) == 1023


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_k_tents_have_2_to_the_k_pieces(k):
    net = theory.tent_network(k)
    assert theory.count_linear_pieces(net, 0, 1) == 2**k
    assert theory.count_linear_pieces(net, -1, 2) == 2**k + 2
    assert theory.count_linear_pieces(net, 0, 0.5) == max(1, 2 ** (k - 1))
    assert theory.count_linear_pieces(net, 0, 2.0**-k) == 1
    assert theory.count_linear_pieces(net, 2.0**-k / 2, 1.5 * 2.0**-k) == 2


def hinges(knots, steps, sigma="relu"):
    """Return sum_i steps_i relu(x - knots_i)."""
    m = len(knots)
    return nn.MLP.from_weights([np.ones((m, 1)), [steps]], [-np.array(knots), [0.0]], sigma,
                               "identity")  # fmt: skip


@given(
    st.lists(st.integers(-8, 8).map(lambda i: i / 4), min_size=1, max_size=6),
    st.data(),
)
@settings(deadline=None)
def test_a_sum_of_hinges_bends_where_their_steps_do_not_cancel(knots, data):
    size = len(knots)
    steps = data.draw(st.lists(st.sampled_from([-2.0, -1.0, 1.0, 2.0]), min_size=size,
                               max_size=size))  # fmt: skip
    bends = dict.fromkeys(knots, 0.0)
    for t, step in zip(knots, steps, strict=True):
        bends[t] += step
    inside = [t for t, step in bends.items() if step and -1 < t < 1]
    assert theory.count_linear_pieces(hinges(knots, steps), -1, 1) == 1 + len(inside)


def test_shallow_networks_have_at_most_m_plus_1_pieces(rng):
    for m in (1, 2, 5, 12):
        Ws, bs = [rng.normal(size=(m, 1)), rng.normal(size=(1, m))], [rng.normal(size=m), [0.0]]
        for sigma in ("relu", "leaky_relu"):
            net = nn.MLP.from_weights(Ws, bs, sigma, "identity")
            pieces = theory.count_linear_pieces(net, -1e6, 1e6)
            assert pieces == m + 1  # all bends are different
            assert theory.shallow_width_bound(pieces) == m


@pytest.mark.parametrize("sigma", ["relu", LeakyReLU(0.25)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_count_agrees_with_bends_that_were_looked_for(sigma, dtype, rng):
    """Second differences of the traces on a fine grid find the bends between its points."""
    net = nn.MLP([1, 4, 3, 1], sigma, "identity", dtype=dtype, seed=3)
    net.w = net.w + 0.3 * rng.normal(size=net.w.size).astype(dtype)
    x = np.linspace(-3, 3, 200001)
    f = net.to(dtype="float64")(x[:, None])[:, 0]
    bend = np.abs(np.diff(f, 2)) > 1e-9
    runs = np.sum(bend[1:] & ~bend[:-1]) + bend[0]
    assert theory.count_linear_pieces(net, -3, 3) == 1 + runs > 2


def test_linear_networks_have_one_piece_and_layers_may_differ():
    assert theory.count_linear_pieces(nn.MLP([1, 5, 5, 1], Linear(2.0), "identity"), -1, 1) == 1
    chain = [nn.Dense(1, 2, "relu"), nn.Dense(2, 2, Linear(-1.0)), nn.Dense(2, 1)]
    net = nn.Network(chain, dtype="float64")
    net.w = [1.0, 1.0, 0.0, -0.5, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0, -4.0, 0.0]
    assert net([[0.25], [0.75]])[:, 0].tolist() == [-0.5, -0.5]
    assert theory.count_linear_pieces(net, 0, 1) == 2
    assert theory.count_linear_pieces(net, -1, 1) == 3


def test_a_bend_finer_than_any_float_grid_is_found():
    """Two knots one float apart: three pieces, which no sampling could tell."""
    knots = [0.5, float(np.nextafter(0.5, 1))]
    assert theory.count_linear_pieces(hinges(knots, [1.0, -1.0]), 0, 1) == 3


# Shallow against deep


@pytest.mark.parametrize("k", [5, 6, 8])
def test_a_shallow_network_of_the_same_size_stays_far_away(k):
    found = theory.shallow_fails(k)
    assert found.deep_parameters == found.deep.w.size == 6 * k + 3
    assert found.shallow_parameters == found.shallow.w.size <= found.deep_parameters
    assert found.shallow_parameters + 3 > found.deep_parameters  # one neuron more is too many
    assert (found.deep_error, found.deep_pieces) == (0.0, 2**k)
    assert found.needed_width == 2**k - 1 > found.shallow.widths[1]
    assert found.shallow_pieces <= found.shallow.widths[1] + 1
    assert found.least_error == 0.5
    assert found.shallow_error >= 0.5 - 1e-12
    x = np.linspace(0, 1, 5001)[:, None]
    assert np.array_equal(found.deep(x)[:, 0], theory.tent(x[:, 0], k))


def test_no_shallow_network_is_nearer_than_one_half(rng):
    """The bound holds for every choice of weights, not just fitted ones."""
    k, m = 5, 10
    corners = np.arange(2**k + 1) / 2**k
    for _ in range(50):
        Ws = [rng.normal(size=(m, 1)), rng.normal(size=(1, m))]
        net = nn.MLP.from_weights(Ws, [rng.uniform(-1, 1, m), [0.5]], "relu", "identity")
        assert np.abs(net(corners[:, None])[:, 0] - theory.tent(corners, k)).max() >= 0.5


def test_small_k_gives_no_bound_and_can_be_fitted():
    found = theory.shallow_fails(1)
    assert found.least_error == 0.0
    assert found.shallow_error < 1e-3
    assert str(found).splitlines()[0].split()[0] == "network"


def test_both_networks_live_where_they_are_wanted(backend_variant):
    found = theory.shallow_fails(2, **backend_variant.place)
    assert found.deep.backend == found.shallow.backend == backend_variant.backend_name


# Bad input

TENT = theory.tent_network(2)
COUNT, APPROXIMATE = theory.count_linear_pieces, theory.approximate
REFUSED = [
    (lambda: APPROXIMATE(3, (0, 1)), "approximate: `g` must be a function, got 3."),
    (lambda: APPROXIMATE(bump, (0, 1)), "`g` must take 1 arrays of shape (401,), one a dimension"),
    (lambda: APPROXIMATE(np.sum, (0, 1)), "`g(x)` must have shape (401,), got ()."),
    (lambda: APPROXIMATE(lambda x: x / 0.0, (1, 2)), "`g(x)` must be finite"),
    (lambda: APPROXIMATE(np.sin, (1, 0)), "`box` must run from low to high, got 1.0 to 0.0."),
    (lambda: APPROXIMATE(np.sin, 3), "approximate: `box` must be (low, high), or two such pairs"),
    (lambda: APPROXIMATE(np.sin, (0, 1, 2)), "for two dimensions, got shape (3,)."),
    (lambda: APPROXIMATE(np.sin, [(0, 1)] * 3), "for two dimensions, got shape (3, 2)."),
    (lambda: APPROXIMATE(np.sin, (0, 1), 0), "`eps` must be greater than 0, got 0."),
    (lambda: APPROXIMATE(np.sin, (0, 1), activation="step"), "must be differentiable and not lin"),
    (lambda: APPROXIMATE(np.sin, (0, 1), activation="identity"), "differentiable and not linear"),
    (lambda: APPROXIMATE(np.sin, (0, 1), widths=[4, 2]), "`widths` must be rising integers, got"),
    (lambda: APPROXIMATE(np.sin, (0, 1), widths=[]), "`widths` must be rising integers, got []."),
    (lambda: APPROXIMATE(np.sin, (0, 1), widths=[0]), "`widths[0]` must be an integer >= 1, got 0"),
    (lambda: APPROXIMATE(np.sin, (0, 1), seed=-1), "`seed` must be an integer >= 0, got -1."),
    (lambda: APPROXIMATE(np.sin, (0, 1), backend="abacus"), "`backend` must be one of"),
    (lambda: APPROXIMATE(np.sin, [(0, 1), (2,)]), "approximate: `box` is no rectangular array"),
    (lambda: theory.tent([[1], [1, 2]]), "tent: `x` is no rectangular array"),
    (lambda: theory.tent("x"), "tent: `x` must hold real numbers"),
    (lambda: theory.tent(0.5, 0), "tent: `k` must be an integer >= 1, got 0."),
    (lambda: theory.tent_network(0), "tent_network: `k` must be an integer >= 1, got 0."),
    (lambda: theory.tent_network(2.5), "tent_network: `k` must be an integer >= 1, got 2.5."),
    (lambda: theory.shallow_fails(13), "shallow_fails: `k` must be at most 12, got 13"),
    (lambda: theory.shallow_fails(0), "shallow_fails: `k` must be an integer >= 1, got 0."),
    (lambda: theory.shallow_width_bound(0), "`pieces` must be an integer >= 1, got 0."),
    (lambda: COUNT(TENT, 1, 0), "count_linear_pieces: `a, b` must run from low to high"),
    (lambda: COUNT(TENT, 0, float("inf")), "`a, b` must be a finite number, got inf."),
    (lambda: COUNT(nn.MLP([1, 2, 1], "tanh", "identity"), 0, 1), "it is not piecewise linear."),
    (lambda: COUNT(nn.MLP([2, 2, 1], "relu", "identity"), 0, 1), "one input and one identity outp"),
    (lambda: COUNT(nn.MLP([1, 2, 1], "relu", "sigmoid"), 0, 1), "one identity output, got MLP 1-2"),
    (lambda: COUNT(None, 0, 1), "count_linear_pieces: `net` must be a network, got NoneType."),
]


@pytest.mark.parametrize(("call", "part"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input(call, part):
    with pytest.raises(ValueError, match=r"^[\w.]+: ") as caught:
        call()
    assert part in str(caught.value)


def test_functions_are_given_arrays_that_they_may_change():
    def g(x):
        x *= 2.0
        return np.sin(x)

    found = theory.approximate(g, (0.0, 1.0), 0.05)
    x = np.array(list(itertools.islice(itertools.count(0.01, 0.09), 11)))
    assert np.abs(found.network(x[:, None])[:, 0] - np.sin(2 * x)).max() < 0.05
