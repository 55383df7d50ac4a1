"""Layers of several members against the package tabm in float64, and their laws.

golden/make_tabm.py has made the file with tabm's own code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnpoly as nn

GOLDEN = np.load(Path(__file__).parent / "golden" / "tabm.npz")
CASES = json.loads(GOLDEN["meta"].item())["cases"]
TOLERANCE = 1e-10
k, K = 4, 3


def parameters(case: str, kind: str, layer: nn.layers.Layer, block: int) -> dict[str, Any]:
    """Of their file: the parameters of one of our layers, or the gradients, in our order."""
    of = {
        name.removeprefix(f"{case}/{kind}/"): GOLDEN[name]
        for name in GOLDEN
        if name.startswith(f"{case}/{kind}/")
    }
    dense = f"backbone.blocks.{block}.0"
    match layer:
        case nn.PiecewiseLinear():
            V = of.get("num_module.linear.weight")
            lines = {"w": of["num_module.linear0.weight"], "c": of["num_module.linear0.bias"]}
            return lines | {"V": V.transpose(0, 2, 1)}
        case nn.MemberScale():
            return {"r": of.get("backbone.affine.weight", of.get("backbone.blocks.0.0.r"))}
        case nn.SharedDense():
            named = {"r": "r", "W": "weight", "s": "s", "b": "bias"}
            return {name: of[f"{dense}.{named[name]}"] for name in layer.shapes()}
        case nn.MemberDense():
            return {"W": of["output.weight"].transpose(0, 2, 1), "b": of["output.bias"]}
    raise AssertionError(layer)


def golden_network(case: str) -> nn.Network:
    """Our network of the same parts, with the same parameters."""
    mini, pieces = "mini" in case, "pieces" in case
    first = []
    if pieces:
        first = [nn.PiecewiseLinear(5, [GOLDEN[f"edges/{i}"].tolist() for i in range(5)], 2)]
    m = 10 if pieces else 5
    chain = [
        *first,
        nn.MemberScale(m, k, "signs"),
        nn.SharedDense(m, 7, k, "relu", scaled=False if mini else "after"),
        nn.SharedDense(7, 7, k, "relu", scaled=not mini),
        nn.MemberDense(7, K, k),
    ]
    net = nn.Network(chain, "softmax", dtype="float64", backend="numpy")
    given = [list(part.values()) for part in named(net, case, "w")]
    net.w = np.concatenate([array.ravel() for part in given for array in part])
    return net


def named(net: nn.Network, case: str, kind: str) -> list[dict[str, Any]]:
    blocks = [isinstance(layer, nn.SharedDense) for layer in net.chain]
    return [parameters(case, kind, layer, sum(blocks[:l])) for l, layer in enumerate(net.chain)]


@pytest.mark.parametrize("case", CASES)
def test_scores_loss_and_gradients_are_those_of_tabm(case):
    net = golden_network(case)
    X, y = GOLDEN["X"], GOLDEN["y"]
    scores = net.scores(X)
    want = GOLDEN[f"{case}/scores"]
    np.testing.assert_allclose(scores, want.reshape(33, -1), rtol=0, atol=TOLERANCE)
    loss, grads = net.gradients(X, y)
    np.testing.assert_allclose(loss, GOLDEN[f"{case}/loss"], rtol=0, atol=TOLERANCE)
    for layer, found, part in zip(net.chain, grads.parameters, named(net, case, "g"), strict=True):
        for name, value in part.items():
            np.testing.assert_allclose(
                found[name], value, rtol=0, atol=TOLERANCE, err_msg=f"{layer}: {name}"
            )
    f = np.exp(want) / np.exp(want).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(net(X), f.mean(axis=1), rtol=0, atol=TOLERANCE)


# Networks of every form, beside k networks of their own


FORMS = {
    "scaled": [
        nn.MemberScale(5, k, "normal"),
        nn.SharedDense(5, 7, k, "tanh", "after"),
        nn.SharedDense(7, 6, k, "gelu"),
        nn.MemberDense(6, K, k),
    ],
    "mini": [
        nn.Dense(5, 6, "tanh"),
        nn.MemberScale(6, k, "signs"),
        nn.SharedDense(6, 7, k, "silu", False),
        nn.MemberDense(7, K, k),
    ],
    "first": [nn.SharedDense(1, 6, 5, "tanh"), nn.SharedDense(6, K, 5)],
    "apart": [
        nn.MemberScale(5, k),
        nn.MemberDense(5, 8, k, "relu"),
        nn.LayerNorm(8 * k),
        nn.Blend(8 * k, "mish"),
        nn.Scale(8 * k),
        nn.MemberDense(8, K, k),
    ],
    "inside": [
        nn.Dense(5, 6),
        nn.MemberScale(6, 2),
        nn.Residual([nn.SharedDense(6, 9, 2, "tanh"), nn.MemberDense(9, 6, 2)], "gelu"),
        nn.MemberScale(12, 1),
    ],
}


def made(form: str, output: str = "softmax", **options: Any) -> nn.Network:
    """A network whose parameters are of order 1."""
    net = nn.Network(FORMS[form], output, **{"dtype": "float64", **options})
    net.w = net.w + 0.3 * np.random.default_rng(2).standard_normal(net.w.shape)
    return net


def data(net: nn.Network, n: int = 31) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, 5)), rng.integers(0, net.outputs, n)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_differences(form):
    net = made(form)
    nn.testing.check_gradients(net, *data(net, 7))


def in_torch(net: nn.Network, x: Any, params: list[dict[str, Any]]) -> Any:
    """The scores by torch's own functions, with the members in an axis of their own."""
    torch = pytest.importorskip("torch")
    sigmas = {
        "tanh": torch.tanh,
        "gelu": torch.nn.functional.gelu,
        "silu": torch.nn.functional.silu,
        "relu": torch.relu,
        "identity": lambda z: z,
    }
    n = len(x)
    for layer, p in zip(net.chain, params, strict=True):
        sigma = next(
            f for name, f in sigmas.items() if nn.activations.get(name) == layer.activation
        )
        match layer:
            case nn.Dense():
                x = sigma(torch.nn.functional.linear(x, p["W"], p["b"]))
            case nn.MemberScale():
                x = (x[:, None, :] * p["r"]).flatten(1)
            case nn.SharedDense():
                z = x.unflatten(1, (layer.members, layer.inputs)) * p.get("r", 1.0)
                z = z @ p["W"].T * p.get("s", 1.0) + p["b"]
                x = sigma(z).flatten(1)
            case nn.MemberDense():
                z = x.unflatten(1, (layer.members, layer.inputs))
                x = sigma(torch.einsum("nki,koi->nko", z, p["W"]) + p["b"]).flatten(1)
    return x.reshape(n * net.members, net.outputs)


@pytest.mark.parametrize("form", ["scaled", "mini", "first"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "identity"])
def test_forward_and_gradients_are_those_of_autograd(form, output):
    torch = pytest.importorskip("torch")
    net = made(form, output)
    rng = np.random.default_rng(1)
    X, s = rng.standard_normal((31, 5)), rng.uniform(0.5, 1.5, 31)
    y = rng.dirichlet(np.ones(K), 31)
    params = [
        {name: torch.tensor(np.array(value), requires_grad=True) for name, value in part.items()}
        for part in net.views(net.w)
    ]
    scores = in_torch(net, torch.tensor(X), params)
    targets, weights = (torch.tensor(a).repeat_interleave(net.members, 0) for a in (y, s))
    F = torch.nn.functional
    each = {
        "softmax": lambda: F.cross_entropy(scores, targets, reduction="none"),
        "sigmoid": lambda: F.binary_cross_entropy_with_logits(
            scores, targets, reduction="none"
        ).sum(1),
        "identity": lambda: 0.5 * ((scores - targets) ** 2).sum(1),
    }[output]()
    loss = (weights * each).mean()
    loss.backward()
    value, grads = net.gradients(X, y, sample_weight=s)
    np.testing.assert_allclose(value, loss.detach(), rtol=0, atol=TOLERANCE)
    rows = net.scores(X).reshape(-1, K)
    np.testing.assert_allclose(rows, scores.detach(), rtol=0, atol=TOLERANCE)
    for part, found in zip(params, grads.parameters, strict=True):
        for name, tensor in part.items():
            want = tensor.grad.numpy()
            assert np.count_nonzero(want) > 0
            np.testing.assert_allclose(found[name], want, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_agree_on_every_backend(backend_variant, form, dtype):
    net = made(form, dtype=dtype)
    X, y = data(net)
    runs = [nn.Trainer(net.to(**place), nn.AdamW(1e-2)) for place in ({}, backend_variant.place)]
    for _ in range(3):
        for run in runs:
            run.step(X, y)
    (want, got), atol = (run.network for run in runs), {"float64": 1e-9, "float32": 1e-3}[dtype]
    np.testing.assert_allclose(backend_variant.host(got.w), want.w, rtol=0, atol=atol)
    np.testing.assert_allclose(backend_variant.host(got(X)), want(X), rtol=0, atol=atol)


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_parity(precision, backend_variant):
    net = made("scaled", dtype="float32")
    nn.testing.assert_parity(
        net, *data(net), [backend_variant.backend_name], steps=3, precision=precision
    )


# What several members mean


def member(net: nn.Network, i: int) -> nn.Network:
    """Member i of a network of the form "scaled", as a network of its own."""
    first, second, third, head = net.layers
    W1 = first.r[i] * second.W * second.s[i][:, None]
    W2 = third.r[i] * third.W * third.s[i][:, None]
    chain = [nn.Dense(5, 7, "tanh"), nn.Dense(7, 6, "gelu"), nn.Dense(6, K)]
    own = nn.Network(chain, net.output, dtype="float64")
    pieces = W1, second.b[i], W2, third.b[i], head.W[i], head.b[i]
    own.w = np.concatenate([piece.ravel() for piece in pieces])
    return own


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "identity", "exp"])
def test_a_prediction_is_the_mean_of_the_members(output):
    net = made("scaled", output)
    X = np.random.default_rng(1).standard_normal((9, 5))
    members = [member(net, i) for i in range(k)]
    scores = np.stack([own.scores(X) for own in members], axis=1)
    np.testing.assert_allclose(net.scores(X), scores.reshape(9, -1), rtol=1e-12)
    np.testing.assert_allclose(net(X), np.mean([own(X) for own in members], axis=0), rtol=1e-12)
    trace = net.trace(X)
    assert np.array_equal(trace.scores, net.scores(X))
    assert np.array_equal(trace.output, net(X))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_a_loss_is_the_mean_of_the_members_losses(loss):
    """Never the loss of the mean prediction, which lets members lean on each other."""
    net = made("scaled")
    X, y = data(net)
    s = np.random.default_rng(3).uniform(0.0, 2.0, len(y))
    members = [member(net, i) for i in range(k)]
    want = np.mean([own.loss(X, y, loss=loss, sample_weight=s) for own in members])
    np.testing.assert_allclose(net.loss(X, y, loss=loss, sample_weight=s), want, rtol=1e-12)
    of_the_mean = -np.mean(np.log(net(X)[np.arange(len(y)), y]))
    assert of_the_mean < net.loss(X, y) - 1e-3
    trainer = nn.Trainer(net)
    np.testing.assert_allclose(trainer.evaluate(X, y), net.loss(X, y), rtol=1e-12)


def test_members_learn_as_if_they_were_alone():
    """Without shared weights, k networks trained in one are k networks trained."""
    chain = [nn.MemberScale(5, k, rates={"r": (0.0, 0.0)}), nn.MemberDense(5, 8, k, "tanh")]
    net = nn.Network([*chain, nn.MemberDense(8, K, k)], "softmax", dtype="float64", seed=3)
    X, y = data(net)
    alone = []
    _, first, last = net.layers
    for i in range(k):
        own = nn.MLP([5, 8, K], "tanh", dtype="float64")
        own.w = np.concatenate([a[i].ravel() for a in (first.W, first.b, last.W, last.b)])
        alone.append(nn.Trainer(own, nn.SGD(0.1), seed=7))
    # The mean of k losses has the k-th part of each gradient.
    nn.Trainer(net, nn.SGD(0.1 * k), seed=7).fit(X, y, epochs=3, batch_size=8)
    for trainer in alone:
        trainer.fit(X, y, epochs=3, batch_size=8)
    _, first, last = net.layers
    for i, trainer in enumerate(alone):
        got = np.concatenate([a[i].ravel() for a in (first.W, first.b, last.W, last.b)])
        np.testing.assert_allclose(got, trainer.network.w, rtol=0, atol=1e-13)


def test_metrics_and_histories_are_of_the_mean():
    net = made("scaled")
    X, y = data(net)
    trainer = nn.Trainer(net)
    history = trainer.fit(X, y, epochs=2, validation=(X, y), metrics=["accuracy"])
    f = net(X)
    assert f.shape == (31, K)
    assert history.metrics["accuracy"][-1] == np.mean(np.argmax(f, axis=1) == y)
    np.testing.assert_allclose(history.validation_loss[-1], net.loss(X, y), rtol=1e-12)


def test_a_single_output_takes_vectors():
    chain = [nn.MemberScale(5, k, "signs"), nn.MemberDense(5, 1, k)]
    X, y = np.random.default_rng(0).standard_normal((20, 5)), np.arange(20.0)
    net = nn.Network(chain)
    nn.Trainer(net).fit(X, y, epochs=2, batch_size=7)
    assert net(X).shape == (20, 1)
    assert net.scores(X).shape == (20, k)


def test_networks_of_members_train_together():
    nets = [made("scaled", seed=seed, dtype="float32") for seed in (1, 2)]
    X, y = data(nets[0])
    alone = [nn.Trainer(net.copy(), nn.Adam(1e-2)) for net in nets]
    nn.Ensemble([nn.Trainer(net, nn.Adam(1e-2)) for net in nets]).fit(X, y, 4, 8)
    for net, trainer in zip(nets, alone, strict=True):
        trainer.fit(X, y, 4, 8)
        assert np.array_equal(net.w, trainer.network.w)


def test_wrong_targets_are_told_by_the_width_of_one_member():
    net = made("scaled")
    X, _ = data(net)
    with pytest.raises(ValueError, match=rf"`y` must have shape \(31, {K}\)"):
        net.loss(X, np.zeros((31, k * K)))
    with pytest.raises(ValueError, match=rf"class indices 0..{K - 1}"):
        nn.Trainer(net).fit(X, np.full(31, K), epochs=1)


# How they start


def test_members_start_as_tabm_does():
    m_in, m = 25, 400
    chain = [
        nn.MemberScale(m_in, 32, "signs"),
        nn.SharedDense(m_in, m, 32, "relu", "after"),
        nn.SharedDense(m, m, 32, "relu"),
        nn.MemberDense(m, 2, 32),
    ]
    first, second, third, head = nn.Network(chain, dtype="float64").layers
    assert set(first.r.ravel()) == {-1.0, 1.0}
    assert abs(first.r.mean()) < 0.15
    for values, fan in ((second.W, m_in), (second.b, m_in), (third.W, m), (head.W, m)):
        bound = fan**-0.5
        assert 0.97 * bound < np.abs(values).max() <= bound
    for layer in (second, third):
        assert np.all(layer.b == layer.b[0])
        assert np.unique(layer.b[0]).size == m
        assert np.all(layer.s == 1.0)
    assert np.all(third.r == 1.0)
    assert len(np.unique(head.b)) == 64


def test_columns_of_a_group_share_a_draw():
    layer = nn.Network([nn.MemberScale(6, 3, "normal", groups=[2, 1, 3])]).layers[0]
    assert np.array_equal(layer.r, np.repeat(layer.r[:, [0, 2, 3]], [2, 1, 3], axis=1))
    assert np.unique(layer.r).size == 9


def test_one_seed_draws_one_network(backend_variant):
    nets = [nn.Network(FORMS["scaled"], seed=5, **place) for place in ({}, backend_variant.place)]
    assert np.array_equal(nets[0].w, backend_variant.host(nets[1].w))


# Arguments, text and files

ARGUMENTS = {
    "MemberScale: `features`": lambda: nn.MemberScale(0, 2),
    "MemberScale: `members` must be an integer >= 1": lambda: nn.MemberScale(2, 0),
    "MemberScale: `init` must be one of": lambda: nn.MemberScale(2, 2, "twos"),
    "MemberScale: `init` must draw each entry alone": lambda: nn.MemberScale(2, 2, "orthogonal"),
    "MemberScale: `groups` must add up to `features`, 4": lambda: nn.MemberScale(
        4, 2, groups=[1, 2]
    ),
    r"MemberScale: `groups\[1\]` must be an integer": lambda: nn.MemberScale(4, 2, groups=[4, 0]),
    "MemberScale: `groups` must be a list": lambda: nn.MemberScale(4, 2, groups=4),
    "SharedDense: `scaled` must be True, False or 'after'": lambda: nn.SharedDense(
        2, 2, 2, scaled="before"
    ),
    "SharedDense: `scaled` must be True or False": lambda: nn.SharedDense(2, 2, 2, scaled=3),
    "SharedDense: `rates` must map .*W, b": lambda: nn.SharedDense(
        2, 2, 2, scaled=False, rates={"s": (1.0, 1.0)}
    ),
    "SharedDense: `init` must not look at data": lambda: nn.SharedDense(
        2, 2, 2, init=nn.initializers.UnitVariance()
    ),
    "MemberDense: `bias` must not look at data": lambda: nn.MemberDense(
        2, 2, 2, bias=nn.initializers.HullBias()
    ),
    "MemberDense: `members`": lambda: nn.MemberDense(2, 2, 1.5),
    "takes 12 inputs, but the layer before it gives 6": lambda: nn.Network(
        [nn.Dense(2, 6), nn.SharedDense(3, 2, 4)]
    ),
}


@pytest.mark.parametrize("message", ARGUMENTS)
def test_arguments_are_checked(message):
    with pytest.raises(ValueError, match=message):
        ARGUMENTS[message]()


@pytest.mark.parametrize("form", FORMS)
def test_a_network_goes_through_a_file(form, tmp_path):
    net = made(form, dtype="float32")
    trainer = nn.Trainer(net, nn.Adam(1e-2))
    X, y = data(net)
    trainer.fit(X, y, epochs=1)
    trainer.save(tmp_path / "trainer.safetensors")
    read = nn.Trainer.load(tmp_path / "trainer.safetensors")
    assert read.network.chain == net.chain
    assert read.network.members == net.members
    assert np.array_equal(read.network(X), net(X))
    for run in (trainer, read):
        run.fit(X, y, epochs=1)
    assert np.array_equal(read.network.w, net.w)


def test_a_network_tells_of_its_members():
    net = made("scaled")
    assert (net.members, net.outputs, net.widths, net.depth) == (k, K, [5, 7, 6, K], 3)
    assert "5-7-6-3, 4 members, softmax output" in repr(net)
    lines = net.summary().splitlines()
    cells = {line.split()[0]: line.split() for line in lines[2:-2]}
    assert cells["0"][6] == str(5 * k)
    assert cells["1"][6] == str(7 * 5 + 7 * k + 7 * k)
    assert cells["2"][6] == str(7 * k + 6 * 7 + 2 * 6 * k)
    assert cells["3"][6] == str(k * (K * 6 + K))
    flop = k * sum(2 * m_in * m + m for m_in, m in ((5, 7), (7, 6), (6, K)))
    assert f"forward {flop / 1e6:.6f}".rstrip("0")[:14] in lines[-1]
    assert nn.MLP([2, 3]).members == 1


def test_no_members_but_those_of_the_last_layer_count():
    net = nn.Network([nn.MemberScale(3, 4), nn.Dense(12, 2)])
    assert (net.members, net.outputs) == (1, 2)
