"""Layers: every gradient against differences, and the laws of dropout and normalisation."""

from __future__ import annotations

import dataclasses

import array_api_compat.numpy as xp
import differences
import numpy as np
import pytest

import nnpoly as nn
from nnpoly import layers
from nnpoly.backends import host
from nnpoly.layers import Mode
from nnpoly.primitives import Ops

OPS = Ops(xp)
TOLERANCE = 1e-9  # a BatchNorm of five rows bends so much that differences are off by 1e-10

BLOCK = nn.Residual([nn.Dense(4, 5, "sigmoid"), nn.Dropout(0.3), nn.Dense(5, 4, "elu")], "softplus")
NORMAL_BLOCK = nn.Residual([nn.BatchNorm(4), nn.Dense(4, 4, "tanh"), nn.LayerNorm(4, 1e-3)])

SCALED_BLOCK = nn.Residual([nn.Scale(4), nn.Dense(4, 4, factor=0.5), nn.Blend(4, "gelu")], "tanh")

CHAINS = {
    "dense": [nn.Dense(3, 5, "tanh"), nn.Dense(5, 4, "gelu"), nn.Dense(4, 2)],
    "dropout": [nn.Dense(3, 6, "silu"), nn.Dropout(0.4), nn.Dense(6, 2)],
    "dropout-first": [nn.Dropout(0.4), nn.Dropout(0.1), nn.Dense(3, 2)],
    "dropout-last": [nn.Dense(3, 2, "softplus"), nn.Dropout(0.4)],
    "layer-norm": [nn.Dense(3, 4, "tanh"), nn.LayerNorm(4, 1e-2, "gelu"), nn.Dense(4, 2)],
    "layer-norm-first": [nn.LayerNorm(3), nn.Dense(3, 2)],
    "layer-norm-last": [nn.Dense(3, 4, "tanh"), nn.LayerNorm(4)],
    "batch-norm": [nn.Dense(3, 4), nn.BatchNorm(4, 1e-2, "sigmoid"), nn.Dense(4, 2)],
    "batch-norm-first": [nn.BatchNorm(3), nn.Dense(3, 2)],
    "residual": [nn.Dense(3, 4, "tanh"), BLOCK, nn.Dense(4, 2)],
    "residual-first": [nn.Residual([nn.Dense(3, 3, "tanh")]), nn.Dense(3, 2)],
    "residual-last": [nn.Dense(3, 4, "tanh"), nn.Residual([nn.Dense(4, 4)])],
    "residual-normal": [nn.Dense(3, 4, "tanh"), NORMAL_BLOCK, nn.Dense(4, 2)],
    "residual-scaled": [nn.Dense(3, 4, "tanh"), SCALED_BLOCK, nn.Dense(4, 2, factor=3.0)],
    "residual-nested": [nn.Residual([nn.Dense(3, 4), nn.Residual([BLOCK]), nn.Dense(4, 3)])],
    "all": [nn.Dense(3, 4), nn.BatchNorm(4, 1e-2, "tanh"), BLOCK, nn.LayerNorm(4), nn.Dense(4, 2)],
}

every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=list(CHAINS))
in_both_modes = pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])


def network(chain, rng: np.random.Generator, output: str = "softmax") -> nn.Network:
    """Return a network whose parameters, gains and running statistics are all of order 1."""
    net = nn.Network(chain, output, dtype="float64", backend="numpy", seed=5)
    net.w = net.w + 0.3 * rng.standard_normal(net.w.shape)
    for layer in net.layers:
        for name, buffer in layer.buffers.items():
            positive = name.endswith("variance")
            buffer[...] = rng.uniform(0.5, 2.0, buffer.shape) if positive else rng.random()
    return net


def data(net: nn.Network, rng: np.random.Generator, n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    K = net.scores(np.zeros((1, 3))).shape[1]
    return rng.standard_normal((n, 3)), rng.dirichlet(np.ones(K), n)


def loss_above(net: nn.Network, l: int, pre: np.ndarray, y: np.ndarray, training: bool) -> float:
    """Return the loss of a network whose layer l has the pre-activations `pre`."""
    mode = Mode(training, True, host.key(net.seed, 0))
    h = net.layers[l].activation(pre)
    for i, layer in enumerate(net.layers[l + 1 :], l + 1):
        mode_here = mode.at(i) if layer.random else mode
        h = layer.layer.forward(OPS, layer.parameters, layer.buffers, h, mode_here).post
    return float(nn.losses.get(None, net.output).value_and_delta(OPS, h, y)[0])


# Gradients


@in_both_modes
@every_chain
def test_gradient_is_the_derivative_of_the_loss(chain, training, rng):
    net = network(chain, rng)
    X, y = data(net, rng)
    _, grads = net.gradients(X, y, training=training)

    def loss_at(w: np.ndarray) -> float:
        net.w = w
        return net.loss(X, y, training=training)

    expected = differences.gradient(loss_at, np.array(net.w))
    assert np.count_nonzero(np.abs(expected) > 1e-3) > expected.size / 4
    np.testing.assert_allclose(grads.flat, expected, rtol=0, atol=TOLERANCE)


@in_both_modes
@every_chain
def test_deltas_are_derivatives_with_respect_to_the_pre_activations(chain, training, rng):
    net = network(chain, rng)
    X, y = data(net, rng)
    _, grads = net.gradients(X, y, training=training)
    stages = net._forward(X, Mode(training, True, host.key(net.seed, 0)), "test")
    for l, (stage, delta) in enumerate(zip(stages, grads.delta, strict=True)):
        expected = differences.gradient(
            lambda pre, l=l: loss_above(net, l, pre, y, training), stage.pre
        )
        np.testing.assert_allclose(delta, expected, rtol=0, atol=TOLERANCE, err_msg=f"layer {l}")


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_gradient_with_the_other_outputs(output, rng):
    net = network(CHAINS["dense"], rng, output)
    X, y = rng.standard_normal((5, 3)), rng.random((5, 2))
    _, grads = net.gradients(X, y)

    def loss_at(w: np.ndarray) -> float:
        net.w = w
        return net.loss(X, y)

    expected = differences.gradient(loss_at, np.array(net.w))
    np.testing.assert_allclose(grads.flat, expected, rtol=0, atol=TOLERANCE)


@in_both_modes
def test_gradients_agree_on_every_backend(backend_variant, training, rng):
    """Sums have at most 5 terms, but there are 10 layers: 100 eps allow for a few units each."""
    net = network(CHAINS["all"], rng)
    X, y = data(net, rng)
    loss, grads = net.gradients(X, y, training=training)
    moved = net.to(**backend_variant.place)
    got_loss, got = moved.gradients(X, y, training=training)
    tolerance = 100 * np.finfo("float64").eps
    host = backend_variant.host
    np.testing.assert_allclose(host(got_loss), loss, rtol=tolerance)
    np.testing.assert_allclose(host(got.flat), grads.flat, rtol=tolerance, atol=tolerance)


# Dropout

LARGE = np.zeros((300, 500))
RATES = pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])


def mask(rate: float, seed: int = 3, t: int = 1, path: int = 0) -> np.ndarray:
    """Return which entries of a large array step t keeps."""
    return OPS.dropout_scale(LARGE, rate, host.key(seed, t), path) > 0


def assert_independent(a: np.ndarray, b: np.ndarray) -> None:
    """Check that the correlation of two masks is within 5 standard deviations of 0."""
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(a.size)


@RATES
def test_dropout_keeps_the_mean(rate):
    scale = OPS.dropout_scale(LARGE, rate, host.key(3, 1), 0)
    assert set(np.unique(scale)) == {0.0, 1 / (1 - rate)}
    deviation = np.sqrt(rate / (1 - rate) / scale.size)
    assert abs(np.mean(scale) - 1) < 5 * deviation


@RATES
def test_dropout_is_independent_of_step_seed_and_layer(rate):
    first = mask(rate)
    for other in (mask(rate, t=2), mask(rate, seed=4), mask(rate, path=1), mask(rate, path=77)):
        assert_independent(first, other)


def test_dropout_of_one_layer_is_not_that_of_another_with_rows_moved():
    first, second = mask(0.5, path=1), mask(0.5, path=3)
    for lag in range(1, 5):
        assert_independent(first[lag:], second[:-lag])
        assert_independent(second[lag:], first[:-lag])


@RATES
def test_dropout_is_independent_of_row_and_column(rate):
    kept = mask(rate)
    for lag in (1, 2, 16):
        assert_independent(kept[lag:], kept[:-lag])
        assert_independent(kept[:, lag:], kept[:, :-lag])


@RATES
@pytest.mark.parametrize("axis", [0, 1])
def test_dropout_counts_are_binomial(rate, axis):
    """The variance of k binomial counts has a relative standard deviation of about sqrt(2/k)."""
    counts = np.sum(mask(rate), axis=axis)
    expected = LARGE.shape[axis] * rate * (1 - rate)
    assert abs(np.var(counts) / expected - 1) < 5 * np.sqrt(2 / counts.size)


def test_dropout_keys_do_not_repeat():
    keys = {host.key(seed, t) for seed in range(20) for t in range(1000)}
    assert len(keys) > 20_000 - 5  # by chance 0.05 pairs of 32-bit keys would be equal
    assert all(-(2**31) <= key < 2**31 for key in keys)


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, 2**64 - 1])
def test_keys_made_ahead_are_those_of_the_steps(seed):
    steps = [*range(1, 300), 2**31, 2**32 - 1, 2**32, (5 << 32) + 3, 2**62]
    alone = [host.key(seed, t) for t in steps]
    assert host.keys(seed, steps) == alone
    net = nn.Network([nn.Dense(2, 2), nn.Dropout(0.5), nn.Dense(2, 2)], "softmax", seed=0)
    stepper = nn.Trainer(net, seed=seed).stepper
    assert [stepper.key(t) for t in steps] == alone
    assert stepper.key(3, 5) == alone[-2]


def test_dropout_masks_are_bit_equal_on_every_backend(variant):
    x, key = np.zeros((6, 7), "float32"), host.key(9, 4)
    ops = variant.backend.ops
    got = variant.run(lambda a, k: ops.dropout_scale(a, 0.3, k, 5), variant.array(x), key)
    assert np.array_equal(variant.host(got), OPS.dropout_scale(x, 0.3, key, 5))


def test_layers_of_one_network_draw_different_masks(rng):
    chain = [nn.Dropout(0.5), nn.Residual([nn.Dropout(0.5), nn.Dense(8, 8)]), nn.Dropout(0.5)]
    net = nn.Network([*chain, nn.Dense(8, 1)])
    first, block, third, _ = net._forward(rng.random((9, 8)), Mode(training=True, key=1), "test")
    masks = [first.extra, block.extra[0].extra, third.extra]
    assert len({m.tobytes() for m in masks}) == 3


def training_losses(seed: int) -> list[float]:
    """Return three steps' losses on one batch, with steps too small to change anything."""
    net = nn.Network([nn.Dropout(0.5), nn.Dense(8, 1)])
    trainer = nn.Trainer(net, nn.SGD(1e-30), seed=seed)
    X = np.linspace(-1.0, 1.0, 40).reshape(5, 8)
    return [float(trainer.step(X, X[:, :1])) for _ in range(3)]


def test_every_step_draws_anew_from_the_seed():
    losses = training_losses(0) + training_losses(1)
    assert len(set(losses)) == 6
    assert training_losses(0) == losses[:3]


def test_dropout_passes_everything_outside_training(rng):
    net = nn.Network([nn.Dropout(0.9), nn.Dense(8, 1)])
    X = rng.random((5, 8))
    plain = nn.MLP.from_weights([net.layers[1].W], [net.layers[1].b], output="identity")
    assert np.array_equal(net(X), plain(X))
    assert net.loss(X, X[:, :1]) == plain.loss(X, X[:, :1]) != net.loss(X, X[:, :1], training=True)


# Normalisation


def normalised(layer, x: np.ndarray) -> np.ndarray:
    net = nn.Network([layer], dtype="float64", backend="numpy")
    return net._forward(x, Mode(training=True), "test")[0].post


@pytest.mark.parametrize(("kind", "axis"), [(nn.LayerNorm, 1), (nn.BatchNorm, 0)])
def test_normalised_moments(kind, axis, rng):
    """The mean is 0; eps inside the root leaves a variance of v / (v + eps)."""
    x, eps = 3.0 + 2.0 * rng.standard_normal((6, 5)), 0.1
    y, variance = normalised(kind(5, eps=eps), x), np.var(x, axis=axis)
    np.testing.assert_allclose(np.mean(y, axis=axis), 0.0, atol=1e-15)
    np.testing.assert_allclose(np.var(y, axis=axis), variance / (variance + eps), rtol=1e-14)


@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.BatchNorm])
def test_gain_and_shift_follow_the_normalisation(kind, rng):
    x = rng.standard_normal((6, 5))
    net = nn.Network([kind(5)], dtype="float64", backend="numpy")
    plain, gain, shift = normalised(kind(5), x), rng.random(5), rng.random(5)
    net.w = np.concatenate([gain, shift])
    got = net._forward(x, Mode(training=True), "test")[0].pre
    np.testing.assert_allclose(got, gain * plain + shift, rtol=1e-14, atol=1e-15)


def test_constant_input_is_normalised_to_0():
    for kind in (nn.LayerNorm, nn.BatchNorm):
        assert np.array_equal(normalised(kind(3), np.full((4, 3), 7.0)), np.zeros((4, 3)))


def test_running_statistics_move_towards_the_batch(backend_variant, rng):
    """From 0 and 1, by `momentum` a step; the variance is the biased one."""
    net = nn.Network(
        [nn.BatchNorm(3, momentum=0.2), nn.Dense(3, 1)], dtype="float64", **backend_variant.place
    )
    X = 3.0 + 2.0 * rng.standard_normal((7, 3))
    trainer = nn.Trainer(net, nn.SGD(0.01))
    for _ in range(3):
        trainer.step(X, X[:, :1])
    kept = 0.8**3
    mean, variance = (backend_variant.host(net.layers[0].buffers[k]) for k in ("mean", "variance"))
    np.testing.assert_allclose(mean, (1 - kept) * np.mean(X, axis=0), rtol=1e-14)
    np.testing.assert_allclose(variance, kept + (1 - kept) * np.var(X, axis=0), rtol=1e-14)


def test_inference_uses_the_running_statistics(rng):
    net = nn.Network([nn.BatchNorm(3, eps=0.5)], dtype="float64", backend="numpy")
    buffers, X = net.layers[0].buffers, rng.standard_normal((4, 3))
    buffers["mean"][...], buffers["variance"][...] = [1.0, 2.0, 3.0], [0.5, 1.5, 3.5]
    expected = (X - np.array([1.0, 2.0, 3.0])) / np.sqrt([1.0, 2.0, 4.0])
    np.testing.assert_allclose(net(X), expected, rtol=1e-15)


@every_chain
def test_evaluating_changes_nothing(chain, rng):
    net = network(chain, rng)
    X, y = data(net, rng)
    before = [net.w.tobytes(), *(b.tobytes() for p in net.buffers for b in p.values())]
    for training in (True, False):
        net.loss(X, y, training=training)
        net.gradients(X, y, training=training)
    assert [net.w.tobytes(), *(b.tobytes() for p in net.buffers for b in p.values())] == before


# Residual blocks


def test_residual_adds_its_input(rng):
    chain = [nn.Residual([nn.Dense(3, 4, "tanh"), nn.Dense(4, 3)], "sigmoid"), nn.Dense(3, 1)]
    net = network(chain, rng, "step")
    X = rng.standard_normal((5, 3))
    p = net.layers[0].parameters
    inside = np.tanh(X @ p["0.W"].T + p["0.b"]) @ p["1.W"].T + p["1.b"]
    trace = net.trace(X)
    np.testing.assert_allclose(trace.pre[0], X + inside, rtol=1e-14)
    np.testing.assert_allclose(trace.post[0], 1 / (1 + np.exp(-X - inside)), rtol=1e-14)


def test_residual_of_other_width_is_refused():
    with pytest.raises(ValueError, match=r"`layers` must end as wide as they begin, got 4 -> 5"):
        nn.Residual([nn.Dense(4, 6), nn.Dense(6, 5)])
    with pytest.raises(ValueError, match=r"Residual.* takes 4 inputs, but .* gives 3"):
        nn.Network([nn.Dense(2, 3), nn.Residual([nn.Dense(4, 4)])])


# Descriptions

REFUSED = [
    (nn.Dense, {"inputs": 0, "outputs": 1}, "inputs"),
    (nn.Dense, {"inputs": 1, "outputs": 2.5}, "outputs"),
    (nn.Dense, {"inputs": 1, "outputs": 1, "activation": "swish"}, "activation"),
    (nn.Dense, {"inputs": 1, "outputs": 1, "init": "he"}, "init"),
    (nn.Dropout, {"rate": 1.0}, "rate"),
    (nn.Dropout, {"rate": -0.1}, "rate"),
    (nn.Dropout, {"rate": float("nan")}, "rate"),
    (nn.LayerNorm, {"features": 0}, "features"),
    (nn.LayerNorm, {"features": 1, "eps": 0.0}, "eps"),
    (nn.BatchNorm, {"features": 1, "momentum": 1.5}, "momentum"),
    (nn.Residual, {"layers": []}, "layers"),
    (nn.Residual, {"layers": ["Dense"]}, "layers"),
]


@pytest.mark.parametrize(("kind", "arguments", "name"), REFUSED)
def test_wrong_arguments_are_refused(kind, arguments, name):
    with pytest.raises(ValueError, match=f"{kind.__name__}: `{name}` must be"):
        kind(**arguments)


@pytest.mark.parametrize(
    "layer", [nn.Dense(2, 3), nn.Dropout(0.5), nn.LayerNorm(3), BLOCK], ids=str
)
def test_layers_are_frozen(layer):
    for field in dataclasses.fields(layer):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(layer, field.name, None)
    assert layer == dataclasses.replace(layer)


def test_layers_are_described_once_and_used_often(rng):
    """A layer owns no arrays, so one object in two places has two sets of parameters."""
    dense = nn.Dense(3, 3, "tanh")
    net = nn.Network([dense, dense, nn.Dense(3, 1)])
    assert not np.array_equal(net.layers[0].W, net.layers[1].W)
    assert layers.weight_layers(net.chain)[:2] == [dense, dense]


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_an_eps_that_the_dtype_rounds_to_0_is_refused(norm, dtype):
    message = f"`eps` of {norm.__name__} must not be 0 in {dtype}, got 1e-60"
    for block in ([norm(2, 1e-60)], [nn.Residual([norm(2, 1e-60)])]):
        chain = [nn.Dense(3, 2), *block]
        wide = nn.Network(chain, dtype="float64")
        with pytest.raises(ValueError, match=message):
            nn.Network(chain, dtype=dtype)
        with pytest.raises(ValueError, match=message):
            wide.to(dtype=dtype)
    nn.Network([nn.Dense(3, 2), norm(2)], dtype=dtype)
