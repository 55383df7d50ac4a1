"""torch's modules compute what the network does, and go back and forth without losing a bit."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from bounded import BLOCK, bits, equal, rows, trained, units

import nnpoly as nn
from nnpoly import activations
from nnpoly.exchange import from_torch, to_torch

torch = pytest.importorskip("torch")
tnn = torch.nn

SIGMAS = [sigma for sigma in activations.BY_NAME.values() if sigma.differentiable]
SIGMAS += [activations.LeakyReLU(0.3), activations.ELU(0.5), activations.Linear(-0.7)]
NATIVE = [
    nn.Dense(5, 6, "tanh"),
    nn.BatchNorm(6, momentum=0.3, activation="relu"),
    nn.Dropout(0.2),
    nn.Residual(BLOCK, "silu"),
    nn.LayerNorm(6, eps=1e-3, activation="softplus"),
    nn.Dense(6, 3),
]
OWN = [
    nn.Periodic(5, 2, frequencies=3),
    nn.Embedding(11, sizes=[4, 3], features=2),
    nn.Scale(13),
    nn.Dense(13, 6, "tanh", factor=0.5),
    nn.Blend(6, "mish"),
    nn.MemberScale(6, 2),
    nn.SharedDense(6, 4, 2, "elu"),
    nn.MemberDense(4, 3, 2),
]


def computed(model: Any, X: Any) -> Any:
    with torch.no_grad():
        return model.eval()(torch.tensor(X)).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", SIGMAS, ids=repr)
def test_activations(sigma: Any, dtype: str) -> None:
    net = trained(nn.MLP([4, 16, 16, 3], sigma, "identity", dtype=dtype))
    model = to_torch(net)
    assert units(net, rows(net, 1000), computed(model, rows(net, 1000))) <= 1.0
    back = from_torch(model)
    assert equal(back, net)
    assert [layer.activation for layer in back.chain] == [layer.activation for layer in net.chain]
    assert type(back) is nn.MLP


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["exp", "identity", "sigmoid", "softmax", "step"])
@pytest.mark.parametrize("chain", [NATIVE, OWN], ids=["native", "own"])
def test_layers_and_outputs(chain: list[nn.Residual], output: str, dtype: str) -> None:
    net = trained(nn.Network(chain, output, dtype=dtype))
    model, X = to_torch(net), rows(net, 2500)
    if chain is OWN:
        inputs = np.concatenate([X[:, :3], np.arange(len(X))[:, None] % [4, 3]], axis=1)
        X = inputs.astype(dtype)
        net_units = units(net, X, computed(model, X))
        assert net_units <= 1.0
        assert bits(from_torch(model).w) == bits(net.w)
        assert from_torch(model).chain == net.chain
    else:
        assert units(net, X, computed(model, X)) <= 1.0
        assert equal(from_torch(model), net)


def test_ten_thousand_rows() -> None:
    net = trained(nn.Network(NATIVE, "softmax"))
    assert units(net, rows(net), computed(to_torch(net), rows(net))) <= 1.0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_torch_to_nnpoly_to_torch_loses_no_bit(dtype: str) -> None:
    block = tnn.Sequential(tnn.Linear(8, 8, bias=False), tnn.Mish(), tnn.Linear(8, 8))
    model = tnn.Sequential(
        tnn.Flatten(),
        tnn.Linear(5, 8),
        tnn.Identity(),
        tnn.BatchNorm1d(8, affine=False),
        tnn.Sequential(tnn.ReLU(), tnn.Dropout(0.25)),
        tnn.LayerNorm(8, elementwise_affine=False),
        tnn.LayerNorm(8, bias=False),
        block,
        tnn.Sigmoid(),
    ).to(getattr(torch, dtype))
    model[1].weight.data = torch.randn(8, 5).T.contiguous().T.to(model[1].weight)  # strided
    model[1].weight.data[0, 0] = -0.0
    model[3].running_mean.normal_()
    net = from_torch(model)
    back = to_torch(net)
    theirs = {k: v for k, v in model.state_dict().items() if "num" not in k}
    ours = dict(back.state_dict())
    for value in theirs.values():
        key = next(k for k, v in ours.items() if v.shape == value.shape and v.equal(value))
        assert ours.pop(key).dtype == value.dtype
    kept = {k for k, p in back.named_parameters() if not p.requires_grad}
    assert len(kept) == 5  # those that were not there: of the norms
    assert not any(ours[key].any() and not ours[key].eq(1).all() for key in ours)
    assert "bias" not in dict(back[7].named_parameters()) or back[7].bias is None
    assert net.output == "sigmoid"
    if dtype != "float16":
        X = rows(net, 500)
        assert units(net, X, computed(model, X)) <= 1.0


def test_nothing_is_shared_and_no_random_number_is_drawn() -> None:
    net = nn.MLP([3, 4, 2])
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    model = to_torch(net)
    assert torch.rand(1) == first
    before = np.asarray(net.w).copy()
    model[0].weight.data.fill_(7.0)
    assert bits(net.w) == bits(before)
    back = from_torch(model)
    model[0].weight.data.fill_(8.0)
    assert back.layers[0].W[0, 0] == 7.0


def test_gradients_are_torchs_and_the_definitions() -> None:
    chain = [
        nn.Periodic(3, 2),
        nn.Dense(9, 6, "mish", factor=2.0),
        nn.Blend(6, "gelu"),
        nn.Scale(6),
        nn.Dense(6, 3),
    ]
    net = trained(nn.Network(chain, "softmax", dtype="float64"))
    X, y = rows(net, 40), np.arange(40) % 3
    model = to_torch(net)[:-1]
    loss = tnn.functional.cross_entropy(model(torch.tensor(X)), torch.tensor(y))
    loss.backward()
    flat = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    wanted, gradients = net.gradients(X, y)
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-12)
    np.testing.assert_allclose(flat, gradients.flat, rtol=1e-9, atol=1e-12)


def test_what_is_frozen_stays_so() -> None:
    model = tnn.Sequential(tnn.Linear(3, 4), tnn.Tanh(), tnn.Linear(4, 2))
    model[0].requires_grad_(False)
    net = from_torch(model, output="softmax")
    before = bits(net.layers[0].W) + bits(net.layers[0].b)
    X = rows(net, 64)
    nn.Trainer(net, nn.AdamW(0.1)).fit(X, np.arange(64) % 2, epochs=2, progress=False)
    assert bits(net.layers[0].W) + bits(net.layers[0].b) == before
    assert bits(net.layers[1].W) != bits(model[2].weight.detach())
    assert [p.requires_grad for p in to_torch(net).parameters()] == [False, False, True, True]


def test_softplus_is_that_of_the_definition_above_20() -> None:
    net = nn.MLP.from_weights([[[1.0]], [[1.0]]], [[0.0], [0.0]], "softplus", "identity")
    X = np.linspace(15.0, 60.0, 200)[:, None]
    assert units(net, X, computed(to_torch(net), X)) <= 1.0
    theirs = tnn.Sequential(tnn.Linear(1, 1), tnn.Softplus(), tnn.Linear(1, 1))
    from_torch(theirs)  # in float32 no bit tells
    with pytest.raises(
        ValueError, match=r"module\[1\], Softplus\(.*\), cannot be read: .*exp\(-20"
    ):
        from_torch(theirs.double())
    theirs[1].threshold = 40.0
    assert from_torch(theirs).chain[0].activation == activations.softplus


def test_logits_need_an_output_and_an_output_is_not_replaced() -> None:
    model = tnn.Sequential(tnn.Linear(3, 4), tnn.ReLU(), tnn.Linear(4, 2))
    assert from_torch(model).output == "identity"
    assert from_torch(model, output="softmax").output == "softmax"
    model.append(tnn.Softmax(dim=-1))
    assert from_torch(model).output == "softmax"
    with pytest.raises(
        ValueError, match=r"`output` must be None or 'softmax', which module\[3\] is"
    ):
        from_torch(model, output="sigmoid")


class Doubled(tnn.Module):
    def forward(self, x: Any) -> Any:
        return 2 * x


class MyLinear(tnn.Linear):
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


def hooked() -> Any:
    model = tnn.Sequential(tnn.Linear(3, 3))
    model[0].register_forward_hook(lambda module, given, found: 2 * found)
    return model


def tied() -> Any:
    layer = tnn.Linear(3, 3)
    return tnn.Sequential(layer, tnn.ReLU(), layer)


L = tnn.Linear(3, 3)
REFUSED = [
    (lambda: Doubled(), "module, Doubled"),
    (lambda: tnn.Sequential(L, Doubled()), "module[1], Doubled() must"),
    (lambda: tnn.Sequential(MyLinear(3, 3)), "module[0], MyLinear("),
    (
        lambda: tnn.Sequential(L, tnn.Sequential(tnn.ReLU6()), copy.deepcopy(L)),
        "module[1][0], ReLU6",
    ),
    (hooked, "0 must have no forward hooks"),
    (lambda: tnn.utils.parametrizations.weight_norm(tnn.Linear(3, 3)), "ParametrizedLinear"),
    (lambda: tnn.Sequential(tnn.utils.spectral_norm(tnn.Linear(3, 3))), "forward hooks"),
    (tied, "2.weight is 0.weight too"),
    (lambda: tnn.Sequential(tnn.LazyLinear(3)), "module[0], LazyLinear"),
    (lambda: tnn.Sequential(tnn.ReLU(), L), "module[0] is an activation and is first"),
    (lambda: tnn.Sequential(L, tnn.ReLU()), "module[1] must be followed by a layer"),
    (
        lambda: tnn.Sequential(L, tnn.Softmax(1), copy.deepcopy(L)),
        "module[1], softmax, must be the last",
    ),
    (lambda: tnn.Sequential(L, tnn.Softmax(0)), "module[1], Softmax(dim=0)"),
    (
        lambda: tnn.Sequential(L, tnn.Dropout(0.1), tnn.ReLU(), copy.deepcopy(L)),
        "after module[1], a Dropout",
    ),
    (lambda: tnn.Sequential(tnn.BatchNorm1d(3, track_running_stats=False)), "running statistics"),
    (lambda: tnn.Sequential(tnn.BatchNorm1d(3, momentum=None)), "move by a momentum"),
    (lambda: tnn.Sequential(tnn.LayerNorm((2, 3))), "rows of one dimension"),
    (lambda: tnn.Sequential(L, tnn.Dropout(1.0), copy.deepcopy(L)), "module[1], Dropout(p=1.0"),
    (lambda: tnn.Sequential(L, tnn.Linear(4, 2)), "takes 4 inputs"),
    (lambda: tnn.Sequential(L, tnn.Linear(3, 2, dtype=torch.float64)), "must have one dtype"),
    (lambda: tnn.Linear(3, 2, dtype=torch.bfloat16), "got bfloat16 on cpu"),
    (lambda: tnn.Linear(3, 2, device="meta"), "got float32 on meta"),
    (lambda: tnn.Sequential(L, tnn.Softplus(beta=2), copy.deepcopy(L)), "must have beta=1"),
    (lambda: tnn.Sequential(), "there must be a layer, got none"),
    (lambda: tnn.Embedding(3, 2), "module, Embedding(3, 2), cannot be read"),
]


@pytest.mark.parametrize(("make", "part"), REFUSED, ids=[part for _, part in REFUSED])
def test_modules_that_cannot_be_held_are_named(make: Any, part: str) -> None:
    with pytest.raises(ValueError, match=r"^from_torch: |^Network: ") as caught:
        from_torch(make())
    assert part.removesuffix(" must") in str(caught.value)
    assert str(caught.value).count("from_torch:") <= 1


class Noisy(nn.Dropout):
    pass


def test_layers_that_torch_cannot_hold_are_named() -> None:
    falling = nn.Dropout(nn.schedules.FlatCosine(0.1, steps=10))
    for layer in (falling, nn.Residual([falling, nn.Dense(3, 3)]), Noisy(0.1)):
        net = nn.Network([nn.Dense(3, 3), layer, nn.Dense(3, 1)])
        with pytest.raises(ValueError, match=r"to_torch: torch cannot hold layers\[1\]"):
            to_torch(net)
    with pytest.raises(TypeError, match=r"to_torch: `model` must be an nn\.Network"):
        to_torch([1, 2])
    nets = nn.Ensemble([nn.Trainer(nn.MLP([3, 2], seed=i), nn.SGD(0.1)) for i in range(2)])
    with pytest.raises(ValueError, match="to_torch: `model` must be one network, got Ensemble"):
        to_torch(nets)
