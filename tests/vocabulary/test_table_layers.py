"""Layers for tables against torch's autograd in float64, and their laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nnpoly as nn

torch = pytest.importorskip("torch")

TOLERANCE = 1e-10
SIZES = (3, 40)


def made(first: list[Any], width: int) -> nn.Network:
    """A network of `first` and layers of every new kind, whose parameters are of order 1."""
    chain = [
        *first,
        nn.Scale(width),
        nn.Dense(width, 7, init="normal", factor=width**-0.5, bias="normal"),
        nn.Blend(7, "gelu"),
        nn.Dense(7, 3),
    ]
    net = nn.Network(chain, "softmax", dtype="float64", backend="numpy", seed=1)
    net.w = net.w + 0.3 * np.random.default_rng(2).standard_normal(net.w.shape)
    return net


def numbers_first(kind: str) -> nn.Network:
    waves = nn.Periodic(6, 3, frequencies=5, features=4, sigma=0.5, kind=kind)
    return made([waves, nn.Embedding(15, SIZES, 2)], 17)


def categories_first(kind: str) -> nn.Network:
    waves = nn.Periodic(8, 3, frequencies=5, features=4, sigma=0.5, kind=kind)
    return made([nn.Embedding(6, SIZES, 2), waves], 17)


BINS = ((-1.0, -0.4, 0.1, 1.5), (-0.5, 0.5), (-2.0, 0.0, 1.0))


def lines(kind: str) -> nn.Network:
    """Lines with bends, of the network's inputs, or of what embeddings pass on."""
    if kind == "first":
        first = [nn.PiecewiseLinear(6, BINS, 4), nn.Embedding(15, SIZES, 2)]
    else:
        first = [nn.Embedding(6, SIZES, 2), nn.PiecewiseLinear(8, BINS, 4)]
    return made(first, 17)


NETWORKS = {
    f"{kind}-{build.__name__}": build(kind)
    for kind in ("pbld", "plr")
    for build in (numbers_first, categories_first)
}
NETWORKS |= {f"{kind}-lines": lines(kind) for kind in ("first", "last")}


def data(rng: np.random.Generator, n: int = 31) -> tuple[np.ndarray, np.ndarray]:
    numbers = [rng.integers(0, size, n) for size in SIZES]
    return np.column_stack([rng.standard_normal((n, 4)), *numbers]), rng.integers(0, 3, n)


def in_torch(net: nn.Network, x: Any, params: list[dict[str, Any]]) -> Any:
    """The scores by torch's own functions."""
    for layer, p in zip(net.chain, params, strict=True):
        match layer:
            case nn.Periodic():
                d = layer.columns
                angles = 2 * math.pi * x[:, :d, None] * p["w"]
                if layer.kind == "pbld":
                    waves = torch.cos(angles + p["b"])
                else:
                    waves = torch.cat([torch.cos(angles), torch.sin(angles)], -1)
                features = torch.einsum("ndf,dkf->ndk", waves, p["W"]) + p["c"]
                if layer.kind == "pbld":
                    features = torch.cat([x[:, :d, None], features], -1)
                else:
                    features = torch.relu(features)
                x = torch.cat([features.flatten(1), x[:, d:]], 1)
            case nn.PiecewiseLinear():
                d, parts = len(layer.bins), []
                for i, edges in enumerate(layer.bins):
                    entries = []
                    for j in range(len(edges) - 1):
                        entry = (x[:, i] - edges[j]) / (edges[j + 1] - edges[j])
                        low = -math.inf if j == 0 else 0.0
                        high = math.inf if j == len(edges) - 2 else 1.0
                        entries.append(torch.clamp(entry, low, high))
                    bends = torch.stack(entries, 1) @ p["V"][i, :, : len(entries)].T
                    parts.append(x[:, i, None] * p["w"][i] + p["c"][i] + bends)
                x = torch.cat([*parts, x[:, d:]], 1)
            case nn.Embedding():
                before = layer.inputs - len(layer.sizes)
                tables = torch.split(p["E"], layer.sizes)
                rows = [
                    torch.nn.functional.embedding(x[:, before + j].detach().long(), table)
                    for j, table in enumerate(tables)
                ]
                x = torch.cat([x[:, :before], *rows], 1)
            case nn.Scale():
                x = x * p["s"]
            case nn.Blend():
                x = x + p["a"] * (torch.nn.functional.gelu(x) - x)
            case nn.Dense():
                x = x @ (layer.factor * p["W"]).T + p["b"]
    return x


@pytest.mark.parametrize("net", NETWORKS.values(), ids=list(NETWORKS))
def test_forward_and_gradients_are_those_of_autograd(net, rng):
    X, y = data(rng)
    params = [
        {name: torch.tensor(np.array(value), requires_grad=True) for name, value in part.items()}
        for part in net.views(net.w)
    ]
    scores = in_torch(net, torch.tensor(X), params)
    torch.nn.functional.cross_entropy(scores, torch.tensor(y)).backward()
    _, grads = net.gradients(X, y)
    np.testing.assert_allclose(net.scores(X), scores.detach(), rtol=0, atol=TOLERANCE)
    for part, found in zip(params, grads.parameters, strict=True):
        for name, value in part.items():
            want = value.grad.numpy()
            assert np.count_nonzero(want) > 0
            np.testing.assert_allclose(found[name], want, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("net", NETWORKS.values(), ids=list(NETWORKS))
def test_steps_agree_on_every_backend(backend_variant, net, rng):
    X, y = data(rng)
    runs = [nn.Trainer(net.to(**place), nn.AdamW(1e-2)) for place in ({}, backend_variant.place)]
    for _ in range(3):
        for run in runs:
            run.step(X, y)
    want, got = (run.network.w for run in runs)
    np.testing.assert_allclose(backend_variant.host(got), want, rtol=0, atol=1e-9)


def test_derivative_by_a_category_is_zero(rng):
    net = NETWORKS["pbld-numbers_first"]
    X, y = data(rng)
    _, grads = net.gradients(X, y)
    assert np.all(grads.delta[0][:, -2:] == 0.0)  # of the columns that the waves pass on
    assert np.all(grads.delta[0][:, :13] != 0.0)


# Scale and Blend


def test_a_new_scale_changes_nothing(rng):
    X = rng.standard_normal((5, 3))
    assert np.array_equal(nn.Network([nn.Scale(3)], dtype="float64").scores(X), X)


@pytest.mark.parametrize("sigma", ["tanh", "gelu", "relu"])
def test_a_blend_is_linear_at_0_and_the_activation_at_1(sigma, rng):
    X = 30.0 * rng.standard_normal((50, 3))
    net = nn.Network([nn.Blend(3, sigma), nn.Scale(3)], dtype="float64")
    np.testing.assert_allclose(net.scores(X), nn.activations.get(sigma)(X), rtol=1e-12)
    net.w = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    assert np.array_equal(net.scores(X), X)


def test_a_blend_of_steps_cannot_be_trained():
    net = nn.Network([nn.Dense(2, 2), nn.Blend(2, "step"), nn.Dense(2, 1)])
    with pytest.raises(ValueError, match="derivative is 0 almost everywhere"):
        nn.Trainer(net)


# Dense: factor and biases


def test_a_factor_trains_w_as_if_the_product_were_the_weights(rng):
    """The chain rule: with factor f and W / f the scores are equal and dW is f times as large."""
    X, y = rng.standard_normal((9, 4)), rng.integers(0, 2, 9)
    plain = nn.Network([nn.Dense(4, 5, "tanh"), nn.Dense(5, 2)], "softmax", dtype="float64")
    scaled = nn.Network(
        [nn.Dense(4, 5, "tanh", factor=0.5), nn.Dense(5, 2, factor=4.0)], "softmax", dtype="float64"
    )
    factors = np.concatenate([np.full(20, 0.5), np.ones(5), np.full(10, 4.0), np.ones(2)])
    scaled.w = plain.w / factors
    (loss, want), (found, got) = plain.gradients(X, y), scaled.gradients(X, y)
    assert loss == found
    np.testing.assert_allclose(got.flat, want.flat * factors, rtol=1e-15)


def test_initial_biases_are_drawn_by_their_rule():
    rule = nn.initializers.Uniform(0.25)
    b = nn.Network([nn.Dense(3, 1000, bias=rule)], seed=3).layers[0].b
    assert -0.25 <= b.min() < -0.24
    assert 0.24 < b.max() <= 0.25
    W = nn.Network([nn.Dense(3, 1000)], seed=3).layers[0].W
    assert np.array_equal(nn.Network([nn.Dense(3, 1000, bias=rule)], seed=3).layers[0].W, W)


@pytest.mark.parametrize("rule", ["kaiming_normal", "xavier_uniform", "orthogonal"])
def test_a_rule_with_a_fan_draws_no_biases(rule):
    with pytest.raises(ValueError, match="Dense: `bias` must draw each entry alone"):
        nn.Dense(3, 4, bias=rule)


def test_a_rule_that_draws_no_biases_is_named():
    class Long(nn.initializers.Initializer):
        def __call__(self, rng, shape):
            return np.zeros((7, 7))

    with pytest.raises(ValueError, match=r"Dense: `bias` must draw .*\(4, 1\), got \(7, 7\)"):
        nn.Network([nn.Dense(3, 4, bias=Long())])


# Waves


def test_waves_start_as_their_papers_say():
    waves = nn.Periodic(200, frequencies=64, features=9, sigma=0.1)
    start = nn.Network([waves], dtype="float64").layers[0]
    assert abs(np.std(start.w) / 0.1 - 1.0) < 0.05
    for values, bound in ((start.b, math.pi), (start.W, 0.125), (start.c, 0.125)):
        assert 0.98 * bound < np.abs(values).max() <= bound
    plr = nn.Network([nn.Periodic(200, frequencies=32, kind="plr")]).layers[0]
    assert 0.12 < np.abs(plr.W).max() <= 0.125
    assert set(plr.parameters) == {"w", "W", "c"}


def test_waves_have_the_period_of_their_frequency(rng):
    """x + 1 / w is another x, but has the same wave."""
    net = nn.Network([nn.Periodic(1, frequencies=1, features=3)], dtype="float64")
    net.w = np.array([0.25, 0.7, 1.0, -2.0, 0.0, 0.5])
    X = rng.standard_normal((20, 1))
    near, far = net.scores(X), net.scores(X + 4.0)
    np.testing.assert_allclose(near[:, 1:], far[:, 1:], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(near[:, :1], X)


# Lines with bends


def test_new_lines_have_no_bends(rng):
    X = np.sort(3.0 * rng.standard_normal((50, 1)), axis=0)
    net = nn.Network([nn.PiecewiseLinear(1, [(-1.0, 0.0, 2.0)])], dtype="float64")
    slopes = np.diff(net.scores(X), axis=0) / np.diff(X, axis=0)
    np.testing.assert_allclose(slopes, slopes[:1] * np.ones_like(slopes), rtol=1e-10)
    assert 0.2 < np.abs(net.layers[0].w).max() <= 0.25


def test_lines_bend_at_their_edges_alone():
    edges = (-1.0, 0.0, 2.0, 2.5)
    net = nn.Network([nn.PiecewiseLinear(1, [edges], 1), nn.Scale(1)], dtype="float64")
    net.w = np.array([0.5, 0.25, 1.0, -3.0, 2.0, 1.0])  # w, c, V, s
    X = np.array([-9.0, -1.0, 0.0, 2.0, 2.5, 9.0])[:, None]
    slopes = np.diff(net.scores(X)[:, 0]) / np.diff(X[:, 0])
    np.testing.assert_allclose(slopes, 0.5 + np.array([1.0, 1.0, -1.5, 4.0, 4.0]), rtol=1e-13)


def test_bins_of_quantiles_hold_equally_many_rows(rng):
    X = np.column_stack([rng.exponential(size=1000), rng.integers(0, 3, 1000), np.ones(1000)])
    layer = nn.PiecewiseLinear.of_quantiles(X, columns=2, bins=10, features=4)
    counts, _ = np.histogram(X[:, 0], layer.bins[0])
    assert np.all(np.abs(counts - 100) <= 1)
    assert layer.bins[1] == (0.0, 1.0, 2.0)
    assert (layer.inputs, layer.features) == (3, 4)
    with pytest.raises(ValueError, match="column 2 of `X` must have two values at least, got 1"):
        nn.PiecewiseLinear.of_quantiles(X)


def test_edges_must_differ_in_the_dtype():
    chain = [nn.PiecewiseLinear(1, [(1.0, 1.0 + 1e-9)], 2)]
    nn.Network(chain, dtype="float64")
    with pytest.raises(ValueError, match="edges that differ in float32"):
        nn.Network(chain)


# Categories

WRONG = (2.5, -1.0, 3.0, 1e30, np.nan, np.inf)


@pytest.mark.parametrize("number", WRONG)
def test_a_number_that_is_no_category_predicts_nan(backend_variant, number):
    net = nn.Network([nn.Embedding(2, [3], 2), nn.Dense(3, 2)], **backend_variant.place)
    scores = backend_variant.host(net.scores(np.array([[0.5, 1.0], [0.5, number], [0.5, 2.0]])))
    assert np.all(np.isnan(scores[1]))
    assert np.all(np.isfinite(scores[[0, 2]]))


@pytest.mark.parametrize("number", WRONG[:4])
def test_a_number_that_is_no_category_is_refused_in_training(number, rng):
    net = nn.Network([nn.Periodic(4, 2), nn.Embedding(10, [3, 2]), nn.Dense(24, 2)], "softmax")
    X = np.column_stack([rng.standard_normal((8, 2)), rng.integers(0, [3, 2], (8, 2))])
    trainer = nn.Trainer(net)
    trainer.fit(X, np.arange(8) % 2, epochs=1)
    before = np.array(net.w)
    X[5, 2] = number
    with pytest.raises(ValueError, match=r"categories 0 to 2 in column 2, .* in row 5"):
        trainer.fit(X, np.arange(8) % 2, epochs=1)
    with pytest.raises(ValueError, match=r"Trainer.fit: `validation\[0\]` .* in row 5"):
        trainer.fit(X[:5], np.arange(5) % 2, epochs=1, validation=(X, np.arange(8) % 2))
    assert np.array_equal(net.w, before)


def test_rows_of_a_category_that_no_sample_has_stay(rng):
    net = nn.Network([nn.Embedding(1, [5], 2), nn.Dense(2, 2)], "softmax")
    before = np.array(net.layers[0].E)
    nn.Trainer(net, nn.SGD(0.5)).fit([[0.0], [3.0], [3.0]], [0, 1, 1], epochs=4)
    same = np.all(before == net.layers[0].E, axis=1)
    assert same.tolist() == [False, True, True, False, True]


def test_equal_categories_give_their_gradients_to_one_row():
    net = nn.Network([nn.Embedding(1, [2], 1), nn.Dense(1, 1)], dtype="float64")
    X, y = np.array([[1.0], [1.0], [0.0]]), np.array([[2.0], [5.0], [1.0]])
    W = net.layers[1].W[0, 0]
    f = net.scores(X)
    _, grads = net.gradients(X, y)
    want = [(f[2, 0] - 1.0) * W / 3.0, (2.0 * f[0, 0] - 7.0) * W / 3.0]
    np.testing.assert_allclose(grads.parameters[0]["E"][:, 0], want, rtol=1e-14)


def test_half_precision_takes_no_more_categories_than_it_counts():
    chain = [nn.Embedding(1, [2049], 2), nn.Dense(2, 1)]
    with pytest.raises(ValueError, match="2048"):
        nn.Network(chain, dtype="float16")
    nn.Network([nn.Embedding(1, [2048], 2), nn.Dense(2, 1)], dtype="float16")


# Arguments, text and files

ARGUMENTS = {
    "Scale: `features`": lambda: nn.Scale(0),
    "Blend: `activation` must be one of": lambda: nn.Blend(3, "fast"),
    "Periodic: `columns` must be at most `inputs`, 3": lambda: nn.Periodic(3, 4),
    "Periodic: `features` must be an integer >= 2": lambda: nn.Periodic(3, features=1),
    "Periodic: `kind` must be one of pbld, plr": lambda: nn.Periodic(3, kind="ple"),
    "Periodic: `rates` must map .*w, W, c": lambda: nn.Periodic(
        3, kind="plr", rates={"b": (1.0, 1.0)}
    ),
    "Embedding: `sizes` must be a list": lambda: nn.Embedding(3, 5),
    r"Embedding: `sizes\[1\]` must be an integer": lambda: nn.Embedding(3, [5, 0]),
    r"Embedding: `len\(sizes\)` must be at most `inputs`, 1": lambda: nn.Embedding(1, [5, 2]),
    r"Embedding: `len\(sizes\)` must be an integer >= 1": lambda: nn.Embedding(1, []),
    "PiecewiseLinear: `bins` must be a list": lambda: nn.PiecewiseLinear(3, 5),
    r"PiecewiseLinear: `bins\[0\]` must be two rising edges": lambda: nn.PiecewiseLinear(
        3, [[1.0, 1.0]]
    ),
    r"PiecewiseLinear: `len\(bins\)` must be at most": lambda: nn.PiecewiseLinear(1, BINS),
    "Dense: `factor` must be greater than 0": lambda: nn.Dense(3, 2, factor=0.0),
    "Dense: `bias` must be one of": lambda: nn.Dense(3, 2, bias="twos"),
    "takes 4 inputs, but the layer before it gives 12": lambda: nn.Network(
        [nn.Periodic(3), nn.Scale(4)]
    ),
}


@pytest.mark.parametrize("message", ARGUMENTS)
def test_arguments_are_checked(message):
    with pytest.raises(ValueError, match=message):
        ARGUMENTS[message]()


RATES = {"W": (2.0, 0.5), "b": (0.1, 0.0)}


@pytest.mark.parametrize("net", NETWORKS.values(), ids=list(NETWORKS))
def test_a_network_goes_through_a_file(net, tmp_path, rng):
    chain = [*net.chain[:-1], nn.Dense(7, 3, bias=nn.initializers.Uniform(0.1), rates=RATES)]
    net = nn.Network(chain, "softmax", seed=3)
    net.save(tmp_path / "net.safetensors")
    read = nn.load(tmp_path / "net.safetensors")
    assert read.chain == net.chain
    assert read.chain[-1].parameter_rates() == RATES
    X, _ = data(rng)
    assert np.array_equal(read(X), net(X))


def test_summary_counts_their_parameters():
    lines = NETWORKS["pbld-numbers_first"].summary().splitlines()
    cells = {line.split()[1]: line.split() for line in lines[2:-2]}
    assert cells["Periodic"][6] == str(2 * 15 + 3 * 3 * 5 + 9)
    assert cells["Embedding"][6] == str(2 * 43)
    assert cells["Scale"][6] == "17"
    assert cells["Blend"][5:7] == ["gelu", "7"]
