"""Derivatives of predictions: central differences, torch's autograd and every backend agree."""

from __future__ import annotations

import numpy as np
import pytest

import nnpoly as nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
STEP = 1e-6


class Square(nn.layers.Layer):
    """A layer of a user's, with a parameter, that says nothing of rows by themselves."""

    features: int

    def shapes(self):
        return {"a": (self.features,)}

    def initial(self, rng):
        return {"a": np.full(self.features, 0.5)}

    def forward(self, ops, params, buffers, x, mode):
        post = params["a"] * x * x
        return nn.layers.Stage(x, post, post, self.activation)

    def backward(self, ops, params, stage, delta, below, out):
        gradients = {"a": ops.xp.sum(delta * stage.x * stage.x, axis=0)}
        if below is nn.layers.INPUT:
            return gradients, None
        return gradients, below.delta(ops, 2.0 * delta * params["a"] * stage.x)


def residual():
    inner = [nn.Dense(6, 5, "tanh"), nn.LayerNorm(5), Square(5), nn.Dense(5, 6, "sigmoid")]
    return nn.Residual([*inner, nn.Residual([nn.Dense(6, 6)])], "tanh")


CHAINS = {
    "first-has-no-weights": [nn.Scale(4), nn.Dropout(0.5), nn.Dense(4, 3)],
    "norms": [
        nn.Dense(4, 6, "tanh"),
        nn.BatchNorm(6),
        nn.LayerNorm(6, activation="silu"),
        nn.Dense(6, 3),
    ],
    "residual": [nn.Dense(4, 6, "gelu", factor=0.5), nn.Dropout(0.3), residual(), nn.Dense(6, 3)],
    "own": [Square(4), nn.Dense(4, 3)],
    "blend": [nn.Dense(4, 6), nn.Scale(6), nn.Blend(6, "tanh"), nn.Dense(6, 3)],
    "periodic": [nn.Periodic(4, 2, sigma=1.0), nn.Dense(10, 3)],
    "plr": [nn.Periodic(4, 3, kind="plr", sigma=1.0, features=2), nn.Dense(7, 3)],
    "piecewise": [nn.PiecewiseLinear(4, [[-3.01, 0.013, 3.3]], 3), nn.Dense(6, 3)],
    "shared": [
        nn.MemberScale(4, 2, "normal"),
        nn.SharedDense(4, 5, 2, "tanh"),
        nn.MemberDense(5, 3, 2),
    ],
    "shared-after": [
        nn.MemberScale(4, 2),
        nn.SharedDense(4, 5, 2, "tanh", "after"),
        nn.MemberDense(5, 3, 2),
    ],
    "mini": [nn.MemberScale(4, 2), nn.SharedDense(4, 5, 2, "elu", False), nn.MemberDense(5, 3, 2)],
}


def by_inputs(f, X):
    """Central differences of f: (n, K) by the row's own inputs."""
    steps = STEP * np.eye(X.shape[1])
    return np.stack([(f(X + h) - f(X - h)) / (2 * STEP) for h in steps], axis=2)


def by_parameters(net, f, X):
    w, columns = net.w.copy(), []
    for j in range(len(w)):
        sides = []
        for sign in (1, -1):
            moved = w.copy()
            moved[j] += sign * STEP
            net.w = moved
            sides.append(f(X))
        columns.append((sides[0] - sides[1]) / (2 * STEP))
    net.w = w
    return np.stack(columns, axis=2)


@pytest.mark.parametrize("output", ["identity", "exp", "sigmoid", "softmax"])
@pytest.mark.parametrize("chain", CHAINS)
def test_are_those_of_central_differences(chain, output):
    net = nn.Network(CHAINS[chain], output, dtype="float64", backend="numpy")
    assert net.jacobian(X).shape == (5, 3, 4)
    np.testing.assert_allclose(net.jacobian(X), by_inputs(net, X), rtol=1e-6, atol=1e-8)
    found = net.parameter_jacobian(X)
    assert found.shape == (5, 3, net.parameter_count)
    np.testing.assert_allclose(found, by_parameters(net, net, X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("chain", CHAINS)
def test_of_scores_are_those_of_central_differences(chain):
    net = nn.Network(CHAINS[chain], "softmax", dtype="float64", backend="numpy")
    found = net.jacobian(X, scores=True)
    np.testing.assert_allclose(found, by_inputs(net.scores, X), rtol=1e-6, atol=1e-8)
    found = net.parameter_jacobian(X, scores=True)
    np.testing.assert_allclose(found, by_parameters(net, net.scores, X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", sorted(set(nn.activations.BY_NAME) - {"step"}))
def test_every_activation_is_that_of_central_differences(activation):
    net = nn.MLP([4, 7, 6, 3], activation, dtype="float64", backend="numpy")
    np.testing.assert_allclose(net.jacobian(X), by_inputs(net, X), rtol=1e-6, atol=1e-8)
    found = net.parameter_jacobian(X)
    np.testing.assert_allclose(found, by_parameters(net, net, X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "silu", "gelu", "elu"])
def test_are_those_of_torchs_jacrev(activation):
    torch = pytest.importorskip("torch")
    net = nn.MLP([4, 7, 6, 3], activation, "softmax", dtype="float64", backend="numpy")
    sigma = getattr(torch.nn.functional, activation)
    sizes = [slot.stop - slot.start for slot in net.layout.slots]

    def f(w, x):
        parts = torch.split(w, sizes)
        for l, (W, b) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
            x = W.reshape(len(b), -1) @ x + b
            x = sigma(x) if l < 2 else torch.softmax(x, 0)
        return x

    w, x = torch.tensor(net.w), torch.tensor(X)
    for name, argument in (("jacobian", 1), ("parameter_jacobian", 0)):
        wanted = torch.func.vmap(torch.func.jacrev(f, argument), (None, 0))(w, x)
        np.testing.assert_allclose(getattr(net, name)(X), wanted.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("chain", ["norms", "mini"])
def test_every_backend_has_the_same(variant, chain):
    reference = nn.Network(CHAINS[chain], "softmax", dtype="float32", backend="numpy")
    net = reference.to(variant.backend)
    wide = reference.to(dtype="float64")
    for name in ("jacobian", "parameter_jacobian"):
        found = variant.backend.to_host(getattr(net, name)(X.astype("float32")))
        wanted = getattr(wide, name)(X.astype("float32"))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)


def test_the_gradient_by_inputs_is_that_of_central_differences():
    net = nn.Network(CHAINS["residual"], "softmax", dtype="float64", backend="numpy")
    y = np.array([0, 1, 2, 0, 1])
    _, grads = net.gradients(X, y, inputs=True)
    numeric = np.zeros_like(X)
    for at in np.ndindex(X.shape):
        h = np.zeros_like(X)
        h[at] = STEP
        numeric[at] = (net.loss(X + h, y) - net.loss(X - h, y)) / (2 * STEP)
    np.testing.assert_allclose(grads.X, numeric, rtol=1e-6, atol=1e-9)
    assert net.gradients(X, y)[1].X is None


def test_a_category_has_a_derivative_of_0():
    chain = [nn.Embedding(3, [4], 2), nn.Dense(4, 3)]
    net = nn.Network(chain, dtype="float64", backend="numpy")
    x = np.array([[0.5, -1.0, 3.0], [0.1, 0.2, 0.0]])
    found = net.jacobian(x)
    assert (found[:, :, 2] == 0.0).all()
    np.testing.assert_allclose(found[0, :, :2], net.layers[1].W[:, :2], rtol=1e-12)
    found = net.parameter_jacobian(x)
    np.testing.assert_allclose(found, by_parameters(net, net, x), rtol=1e-6, atol=1e-8)


def test_rows_are_computed_in_blocks_with_the_same_bits(monkeypatch):
    net = nn.MLP([4, 6, 3], "tanh", dtype="float64", backend="numpy")
    whole = net.jacobian(X), net.parameter_jacobian(X)
    monkeypatch.setattr(nn.Network, "rows_at_once", 2)
    for now, before in zip((net.jacobian(X), net.parameter_jacobian(X)), whole, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("name", ["jacobian", "parameter_jacobian"])
def test_what_has_no_derivative_is_refused(name):
    stepped = nn.MLP([4, 3, 2], "step", "identity")
    with pytest.raises(ValueError, match="no gradient passes"):
        getattr(stepped, name)(X)
    decided = nn.MLP([4, 3], output="step")
    with pytest.raises(ValueError, match="Pass scores=True"):
        getattr(decided, name)(X)
    assert getattr(decided, name)(X, scores=True).shape[:2] == (5, 3)
    with pytest.raises(ValueError, match=r"must have shape \(n, 4\), got \(4,\)"):
        getattr(decided, name)(X[0], scores=True)
