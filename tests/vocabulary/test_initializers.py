"""Initialisers: their laws, what the lecture argues from them, and reproducibility.

Statistical bounds are 5 standard deviations of the estimate, which the sample size gives.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

import nnpoly as nn
from nnpoly import initializers
from nnpoly.backends import host
from nnpoly.initializers import BY_NAME, Constant, Initializer, Normal, Orthogonal, Scaled, Uniform

SHAPE = (300, 200)  # m, m_in
SIZE = math.prod(SHAPE)
NORMAL, UNIFORM = 3.0, 1.8  # fourth moment over squared variance

# Mean, variance and kurtosis of every independent initialiser
LAWS = {
    "uniform": (initializers.uniform, 0.0, 0.05**2 / 3, UNIFORM),
    "uniform-2": (Uniform(2.0), 0.0, 4 / 3, UNIFORM),
    "normal": (initializers.normal, 0.0, 1.0, NORMAL),
    "normal-shifted": (Normal(3.0, 0.5), 3.0, 0.25, NORMAL),
    "kaiming_normal": (initializers.kaiming_normal, 0.0, 2 / 200, NORMAL),
    "kaiming_uniform": (initializers.kaiming_uniform, 0.0, 2 / 200, UNIFORM),
    "xavier_normal": (initializers.xavier_normal, 0.0, 2 / 500, NORMAL),
    "xavier_uniform": (initializers.xavier_uniform, 0.0, 2 / 500, UNIFORM),
    "lecun_normal": (initializers.lecun_normal, 0.0, 1 / 200, NORMAL),
}

every_law = pytest.mark.parametrize(
    ("init", "mean", "variance", "kurtosis"), list(LAWS.values()), ids=list(LAWS)
)


def draw(init: initializers.Initializer, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return init(host.generator(1), shape)


# Laws


def test_every_initialiser_is_covered():
    assert set(BY_NAME) == set(LAWS) & set(BY_NAME) | {"zeros", "ones", "signs", "orthogonal"}


@every_law
def test_mean_and_variance(init, mean, variance, kurtosis):
    W = draw(init)
    assert W.shape == SHAPE
    assert abs(np.mean(W) - mean) < 5 * math.sqrt(variance / SIZE)
    relative_error = np.mean((W - mean) ** 2) / variance - 1
    assert abs(relative_error) < 5 * math.sqrt((kurtosis - 1) / SIZE)


@every_law
def test_shape_of_the_distribution(init, mean, variance, kurtosis):
    """The fourth moment tells normal from uniform; a uniform one ends at sqrt(3 variance)."""
    z = (draw(init) - mean) / math.sqrt(variance)
    deviation = math.sqrt(96 / SIZE)  # the normal's, the larger
    assert abs(np.mean(z**4) - kurtosis) < 5 * deviation
    if kurtosis == UNIFORM:
        assert 0.999 * math.sqrt(3) < np.max(np.abs(z)) <= math.sqrt(3)


@every_law
@pytest.mark.parametrize("axis", [0, 1])
def test_entries_are_independent(init, mean, variance, kurtosis, axis):
    W = draw(init)
    neighbours = np.split(W, [1, -1], axis=axis)
    a, b = (np.concatenate(neighbours[i : i + 2], axis=axis).ravel() for i in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(a.size)


def test_constants():
    assert np.array_equal(draw(initializers.zeros), np.zeros(SHAPE))
    assert np.array_equal(draw(initializers.ones), np.ones(SHAPE))
    assert np.array_equal(draw(Constant(0.3)), np.full(SHAPE, 0.3))


def test_signs_are_fair_and_independent():
    W = draw(initializers.signs)
    assert set(W.ravel()) == {-1.0, 1.0}
    pairs = (W, W[:, 1:] * W[:, :-1], W[1:] * W[:-1])
    assert all(abs(np.mean(signs)) < 5 / math.sqrt(signs.size) for signs in pairs)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1), (300, 200)])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2.0)])
def test_orthogonal_rows_or_columns(shape, gain):
    W = draw(Orthogonal(gain), shape)
    gram = W @ W.T if shape[0] <= shape[1] else W.T @ W
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(shape)), rtol=0, atol=1e-14)


def test_orthogonal_matrices_have_no_preferred_signs():
    """Haar measure: the diagonal of a rotation's matrix is positive half the time."""
    signs = np.array([np.diagonal(Orthogonal()(host.generator(s), (4, 4))) > 0 for s in range(200)])
    assert abs(np.mean(signs) - 0.5) < 5 * 0.5 / math.sqrt(signs.size)


def test_biases_start_at_0():
    net = nn.MLP([3, 4, 2], init="normal")
    for layer in net.layers:
        assert not np.any(layer.b)


# What the lecture argues


def batch(rng: np.random.Generator, m: int, n: int = 32) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((n, m)), rng.integers(0, 2, n)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu"])
def test_zeros_give_zero_outputs_and_zero_hidden_gradients(activation, rng):
    net = nn.MLP([5, 4, 3, 2], activation, init="zeros", dtype="float64")
    X, y = batch(rng, 5)
    _, grads = net.gradients(X, y)
    assert not np.any(net.scores(X))
    for hidden in (0, 1):
        assert not np.any(grads.delta[hidden])
        assert not np.any(grads.W[hidden])
    assert not np.any(grads.W[2])
    assert np.any(grads.b[2])


def test_zeros_leave_hidden_layers_at_0_through_training(rng):
    net = nn.MLP([5, 4, 2], init="zeros", dtype="float64")
    nn.Trainer(net, nn.SGD(0.5)).fit(*batch(rng, 5), epochs=3)
    assert not np.any(net.layers[0].W)
    assert not np.any(net.layers[1].W)
    assert np.any(net.layers[1].b)


def test_a_constant_leaves_hidden_neurons_identical_through_training(rng):
    net = nn.MLP([5, 4, 4, 2], "tanh", init=Constant(0.3), dtype="float64")
    X, y = batch(rng, 5)
    before = np.array(net.w)
    nn.Trainer(net, nn.Adam(0.05)).fit(X, y, epochs=5, batch_size=8)
    assert np.max(np.abs(net.w - before)) > 0.1
    for hidden in (0, 1):
        neurons = np.column_stack([net.layers[hidden].W, net.layers[hidden].b])
        np.testing.assert_allclose(neurons, np.broadcast_to(neurons[:1], neurons.shape), rtol=1e-12)


WIDTH, LAYERS, NETWORKS = 256, 10, 8


def growth_per_layer(init: initializers.Initializer, rng: np.random.Generator) -> float:
    """Return the factor by which a layer multiplies the variance of h~, its geometric mean."""
    logarithms = []
    for seed in range(NETWORKS):
        net = nn.MLP([WIDTH] * (LAYERS + 1), "relu", "identity", init, "float64", seed)
        pre = net.trace(rng.standard_normal((8, WIDTH))).pre
        squares = [np.mean(h**2) for h in pre]
        logarithms.append(math.log(squares[-1] / squares[0]) / (LAYERS - 1))
    return math.exp(np.mean(logarithms))


@pytest.mark.parametrize(
    ("init", "factor"),
    [(Normal(0.0, 1.0), WIDTH / 2), (initializers.kaiming_normal, 1.0), (Scaled(1.0), 0.5)],
    ids=["N(0, 1)", "kaiming", "lecun"],
)
def test_variance_of_pre_activations_from_layer_to_layer(init, factor, rng):
    """One layer's factor is a mean of relu(h~)^2 over m neurons: relative variance 5 / m."""
    deviation = math.sqrt(5 / WIDTH / (NETWORKS * (LAYERS - 1)))
    assert abs(growth_per_layer(init, rng) / factor - 1) < 5 * deviation < 0.1


# Reproducibility


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", BY_NAME)
def test_every_backend_starts_from_the_same_bits(backend_variant, init, dtype):
    chain = [nn.Dense(5, 7, init=init), nn.LayerNorm(7), nn.Dense(7, 3, init=init)]
    net = nn.Network(chain, dtype=dtype, seed=11, **backend_variant.place)
    expected = nn.Network(chain, dtype=dtype, seed=11, backend="numpy").w
    assert np.array_equal(backend_variant.host(net.w), expected)


def test_a_layers_numbers_do_not_depend_on_other_layers_widths():
    narrow, wide = nn.MLP([5, 4, 3, 2], seed=7), nn.MLP([50, 4, 3, 9], seed=7)
    assert np.array_equal(narrow.layers[1].W, wide.layers[1].W)


def test_seeds_and_layers_draw_different_numbers():
    matrices = [nn.MLP([4, 4, 4], seed=seed).layers[l].W for seed in (0, 1, 2) for l in (0, 1)]
    assert len({W.tobytes() for W in matrices}) == 6
    assert np.array_equal(nn.MLP([4, 4], seed=1).w, nn.MLP([4, 4], seed=1).w)


def test_no_seed_draws_a_fresh_one():
    first, second = nn.MLP([4, 4], seed=None), nn.MLP([4, 4], seed=None)
    assert not np.array_equal(first.w, second.w)
    assert np.array_equal(nn.MLP([4, 4], seed=first.seed).w, first.w)


@pytest.mark.parametrize(
    ("attempt", "name"),
    [
        (lambda: Uniform(0.0), "Uniform: `a`"),
        (lambda: Uniform(math.inf), "Uniform: `a`"),
        (lambda: Normal(s=-1.0), "Normal: `s`"),
        (lambda: Normal(mu="x"), "Normal: `mu`"),
        (lambda: Constant(math.nan), "Constant: `value`"),
        (lambda: Scaled(0.0), "Scaled: `gain`"),
        (lambda: Scaled(fan="out"), "Scaled: `fan`"),
        (lambda: Orthogonal(0.0), "Orthogonal: `gain`"),
        (lambda: nn.MLP([2, 2], init="he"), "MLP: `init`|Dense: `init`"),
    ],
)
def test_wrong_arguments_are_refused(attempt, name):
    with pytest.raises(ValueError, match=f"({name}) must be"):
        attempt()


class Transposed(Initializer):
    """A user's initialiser that mistakes its shape."""

    def __call__(self, rng, shape):
        return rng.standard_normal(shape[::-1])


def test_weights_of_another_shape_are_refused():
    """Though they are as many."""
    message = (
        r"^Dense: `init` must draw numbers of .* \(3, 2\), got \(2, 3\) from Transposed\(\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        nn.MLP([2, 3], init=Transposed())


@pytest.mark.parametrize("name", BY_NAME)
def test_weights_that_are_written_are_those_that_are_returned(name):
    """Rounded, and though some are drawn a few rows at a time."""
    shape = (1000, 150)
    returned, rng = BY_NAME[name](host.generator(3), shape), host.generator(3)
    W = np.full(shape, np.nan, "f4")
    BY_NAME[name].fill(rng, W)
    assert W.tobytes() == returned.astype("f4").tobytes()
    assert rng.random() == after(BY_NAME[name], shape)


def after(init: Initializer, shape: tuple[int, int]) -> float:
    """The next number of the generator that has drawn weights."""
    rng = host.generator(3)
    init(rng, shape)
    return rng.random()


@pytest.mark.parametrize("options", [{}, {"dtype": "float64"}, {"init": "xavier_uniform"}])
def test_a_network_is_made_in_little_more_memory_than_its_parameters(options):
    nn.MLP([4, 8, 2], **options)
    tracemalloc.start()
    net = nn.MLP([256, 2048, 512], **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * net.w.nbytes


class Halved(nn.Dense):
    """A user's layer that begins otherwise."""

    def initial(self, rng):
        start = super().initial(rng)
        return {"W": start["W"] / 2, "b": start["b"] + 1.0}


class Eye(Constant):
    """A rule for the whole matrix, under one of each entry."""

    def __call__(self, rng, shape):
        return np.eye(*shape)


class Threes(Scaled):
    """Another rule than its base's."""

    def __call__(self, rng, shape):
        return np.full(shape, 3.0)


class Emptied(nn.Residual):
    """A user's block that begins at 0."""

    def initial(self, rng):
        return {name: 0 * start for name, start in super().initial(rng).items()}


@pytest.mark.parametrize("m", [2, 300])
def test_subclasses_of_initialisers_draw_as_they_say(m):
    np.testing.assert_array_equal(nn.MLP([m, m, 2], init=Eye()).layers[0].W, np.eye(m))
    np.testing.assert_array_equal(nn.MLP([m, m, 2], init=Threes()).layers[0].W, 3.0)
    net = nn.Network([Emptied([nn.Dense(m, m)]), nn.Dense(m, 2)])
    assert (net.w[: m * m + m] == 0.0).all()
    assert (net.layers[1].W != 0.0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 1j, "a", np.datetime64("2020")])
def test_weights_that_are_no_finite_numbers_are_refused(value):
    class Odd(Initializer):
        def __call__(self, rng, shape):
            return np.full(shape, value)

    with pytest.raises(
        ValueError, match=r"^Dense: `init` must draw (real numbers|.*finite in flo)"
    ):
        nn.MLP([2, 3], init=Odd())


class Misnamed(nn.LayerNorm):
    """A user's layer that forgets a parameter."""

    def initial(self, rng):
        return {"gain": np.ones(self.features)}


def test_a_layer_may_begin_as_it_likes_with_all_its_parameters():
    plain = nn.Network([nn.Dense(3, 2)], seed=1, dtype="float64").layers[0]
    for chain in ([Halved(3, 2)], [Halved(3, 2), nn.Residual([nn.Dense(2, 2)])]):
        own = nn.Network(chain, seed=1, dtype="float64").layers[0]
        np.testing.assert_array_equal(own.W, plain.W / 2)
        np.testing.assert_array_equal(own.b, [1.0, 1.0])
    message = r"^Misnamed: `initial` must return the arrays that `shapes` names, .*'shift': \(2,\)"
    with pytest.raises(ValueError, match=message):
        nn.Network([nn.Dense(3, 2), Misnamed(2), nn.Dense(2, 1)])
