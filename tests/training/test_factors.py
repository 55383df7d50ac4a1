"""Factors of the rates by parameter, and numbers that follow a schedule, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.layers import Mode
from nnpoly.schedules import CosineLog, Exponential, FlatCosine, Schedule, Warmup

rng = np.random.default_rng(3)
X = rng.normal(size=(24, 4))
Y = rng.normal(size=(24, 2))
STEPS = 12

ETA, DECAY = CosineLog(0.1, STEPS), FlatCosine(0.4, STEPS)
RATES = {"W": (2.0, 0.5), "b": (0.1, 0.0), "gain": (0.0, 3.0), "shift": (6.0, 6.0)}


def part(*names: str) -> dict[str, tuple[float, float]]:
    return {name: RATES[name] for name in names}


def network(**place: Any) -> nn.Network:
    layers = [
        nn.Dense(4, 6, "tanh", rates=part("W", "b")),
        nn.Residual([nn.LayerNorm(6, rates=part("gain", "shift")), nn.Dense(6, 6, "relu")]),
        nn.Dense(6, 2, rates=part("b")),
    ]
    return nn.Network(layers, dtype="float64", seed=0, **place)


def of_torch(kind: str, eta: Schedule, decay: Schedule | float, clip: float | None) -> np.ndarray:
    """Return w after some steps of torch's optimiser, a group a parameter."""
    torch = pytest.importorskip("torch")
    net = network(backend="numpy")
    slots = net.layout.slots
    pieces = [net.w[slot.start : slot.stop].reshape(slot.shape).copy() for slot in slots]
    params = [torch.tensor(piece, requires_grad=True) for piece in pieces]
    own = [RATES["W"], RATES["b"], RATES["gain"], RATES["shift"]]
    factors = [*own, *[(1.0, 1.0)] * 3, RATES["b"]]
    kinds = {"sgd": (torch.optim.SGD, {"momentum": 0.9}), "adam": (torch.optim.Adam, {})}
    kinds |= {"adamw": (torch.optim.AdamW, {"betas": (0.9, 0.95)})}
    made, options = kinds[kind]
    rule = made([{"params": [p]} for p in params], lr=1.0, **options)
    x, y = torch.tensor(X), torch.tensor(Y)
    for t in range(1, STEPS + 1):
        for group, (rate, share) in zip(rule.param_groups, factors, strict=True):
            group["lr"] = eta(t) * rate
            group["weight_decay"] = share * (decay(t) if isinstance(decay, Schedule) else decay)
        W0, b0, gain, shift, W1, b1, W2, b2 = params
        h = torch.tanh(x @ W0.T + b0)
        inner = torch.nn.functional.layer_norm(h, (6,), gain, shift, 1e-5)
        h = h + torch.relu(inner @ W1.T + b1)
        loss = ((h @ W2.T + b2 - y) ** 2).sum() / (2 * len(X))
        rule.zero_grad()
        loss.backward()
        if clip is not None:
            norm = torch.sqrt(sum((p.grad**2).sum() for p in params))
            for p in params:
                p.grad *= min(1.0, clip / float(norm))
        rule.step()
    return np.concatenate([p.detach().numpy().ravel() for p in params])


OURS = {
    "sgd": lambda eta, **options: nn.SGD(eta, momentum=0.9, **options),
    "adam": lambda eta, **options: nn.Adam(eta, eps_inside_sqrt=False, **options),
    "adamw": lambda eta, **options: nn.AdamW(eta, beta2=0.95, eps_inside_sqrt=False, **options),
}


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("clip", [None, 0.2], ids=["", "clipped"])
@pytest.mark.parametrize("decay", [0.4, DECAY], ids=["constant", "scheduled"])
def test_every_parameter_moves_by_its_own_rates(kind, clip, decay, backend_variant):
    """torch's optimisers, with a group a parameter, are the oracle."""
    net = network(**backend_variant.place)
    rule = OURS[kind](ETA, weight_decay=decay, clip_norm=clip)
    trainer = nn.Trainer(net, rule)
    for _ in range(STEPS // 2):
        trainer.step(X, Y)
    trainer.fit(X, Y, STEPS // 2, len(X), shuffle=False)
    got = backend_variant.host(net.w)
    np.testing.assert_allclose(got, of_torch(kind, ETA, decay, clip), rtol=1e-11, atol=1e-13)


def test_a_factor_of_0_keeps_a_parameter(backend_variant):
    net = network(**backend_variant.place)
    before = np.array(backend_variant.host(net.w))
    nn.Trainer(net, nn.AdamW(0.1, weight_decay=0.5)).fit(X, Y, 3)
    moved = backend_variant.host(net.w) != before
    (gain,) = (slot for slot in net.layout.slots if slot.name == "0.gain")
    assert not moved[gain.start : gain.stop].any()
    assert moved[: gain.start].all()
    assert moved[gain.stop :].sum() > 40


@pytest.mark.parametrize("optimizer", [nn.SGD, nn.AdaGrad, nn.RMSProp, nn.NAdam, nn.Lion])
def test_one_factor_for_all_is_another_learning_rate(optimizer):
    """Also of the decoupled decay: w <- w - (r eta) weight_decay w."""
    every = {"W": (0.25, 1.0), "b": (0.25, 1.0)}
    found = []
    for rates, eta in ((every, 0.5), ((), 0.125)):
        net = nn.Network([nn.Dense(4, 2, rates=rates)], dtype="float64", seed=0)
        nn.Trainer(net, optimizer(eta, weight_decay=0.1)).fit(X, Y, 3)
        found.append(net.w.tobytes())
    assert found[0] == found[1]


def test_factors_give_pytabkits_decay():
    """It multiplies the decay by both factors twice: (r, r d^2) is its (r, d)."""
    r, d, eta, decay, w = 6.0, 0.5, 0.1, 0.2, 2.0
    net = nn.Network([nn.Dense(1, 1, rates={"W": (r, r * d * d)})], dtype="float64")
    net.w[:] = [w, 0.0]
    nn.Trainer(net, nn.AdamW(eta, weight_decay=decay)).step([[0.0]], [[0.0]])
    assert net.w[0] == pytest.approx(w * (1.0 - decay * d * eta * r * d * r), rel=1e-15)


def test_accumulated_batches_take_the_step_of_one(backend_variant):
    found = []
    for size, together in ((24, 1), (8, 3)):
        net = network(**backend_variant.place)
        rule = nn.AdamW(ETA, weight_decay=DECAY)
        nn.Trainer(net, rule).fit(X, Y, 4, size, shuffle=False, accumulate=together)
        found.append(backend_variant.host(net.w))
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_masks_of_a_scheduled_dropout_are_alike_on_every_backend(backend_variant):
    """From one step to the next another rate, whatever the step is compiled to."""

    def weights(rate: Any, **place: Any) -> np.ndarray:
        net = nn.Network([nn.Dropout(rate), nn.Dense(4, 2, init="zeros")], seed=0, **place)
        trainer = nn.Trainer(net, nn.SGD(Warmup(1.0, 1)), seed=5)
        found = []
        for _ in range(4):
            net.w = np.zeros(10, "f4")
            trainer.step(np.ones((24, 4), "f4"), np.ones((24, 2), "f4"))
            found.append(np.array(backend_variant.host(net.w)))
        return np.array(found)

    falling = FlatCosine(0.3, 4)
    got = weights(falling, **backend_variant.place)
    np.testing.assert_allclose(got, weights(falling, backend="numpy"), rtol=1e-6)
    constant = weights(0.3, **backend_variant.place)
    np.testing.assert_allclose(got[:3], constant[:3], rtol=1e-6)  # 0.3 in the first half
    assert not np.allclose(got[3], constant[3])


def test_values_of_a_scheduled_dropout_are_multiples_of_2_to_minus_24():
    (schedule,) = nn.Dropout(Exponential(0.3, 7)).schedules()
    for t in range(1, 50):
        value = schedule(t)
        assert float(np.float32(value)) == value
        assert 0 <= Exponential(0.3, 7)(t) - value < 2.0**-24


def test_dropout_outside_of_a_step_has_the_first_rate():
    net = nn.Network([nn.Dropout(FlatCosine(0.5, 9)), nn.Dense(4, 2)], dtype="float64", seed=0)
    constant = nn.Network([nn.Dropout(0.5), nn.Dense(4, 2)], dtype="float64", seed=0)
    assert net.loss(X, Y, training=True) == constant.loss(X, Y, training=True)
    assert np.array_equal(net(X), constant(X))
    assert Mode().number(0.25) == 0.25


def test_schedules_are_shared_by_layers_and_go_into_files(tmp_path):
    falling = FlatCosine(0.3, 8)
    inner = nn.Residual([nn.Dropout(falling), nn.Dense(4, 4)])
    net = nn.Network([nn.Dropout(falling), inner, nn.Dropout(0.1), nn.Dense(4, 2)], seed=0)
    trainer = nn.Trainer(net, nn.AdamW(ETA, weight_decay=DECAY))
    assert len(trainer.stepper.spec.schedules) == 1
    trainer.fit(X, Y, 2)
    trainer.save(tmp_path / "t.safetensors")
    again = nn.Trainer.load(tmp_path / "t.safetensors")
    assert again.network.chain == net.chain
    assert again.optimizer == trainer.optimizer
    for one in (trainer, again):
        one.fit(X, Y, 2)
    assert again.network.w.tobytes() == net.w.tobytes()


class Rising(Schedule):
    """A schedule that leaves what a rate may be."""

    by: float

    def __call__(self, t: int) -> float:
        return self.by * (t - 3)


@pytest.mark.parametrize(
    ("layers", "optimizer", "message"),
    [
        ([nn.Dropout(Rising(0.5))], nn.SGD(0.1), r"Dropout: `rate\(1\)` must be a number in \[0"),
        ([nn.Dropout(Rising(-0.5))], nn.SGD(0.1), r"Dropout: `rate\(1\)` must be below 1"),
        ([], nn.AdamW(0.1, weight_decay=Rising(1.0)), r"AdamW: `weight_decay\(1\)` must be"),
    ],
)
def test_values_that_no_rate_has_are_refused_before_a_step(layers, optimizer, message):
    net = nn.Network([*layers, nn.Dense(4, 2)], seed=0)
    trainer, before = nn.Trainer(net, optimizer), net.w.copy()
    for attempt in (lambda: trainer.step(X, Y), lambda: trainer.fit(X, Y, 2)):
        with pytest.raises(ValueError, match=message):
            attempt()
    assert trainer.t == 0
    assert np.array_equal(net.w, before)


def test_factors_of_unknown_parameters_are_refused():
    class Misnamed(nn.Dense):
        def parameter_rates(self) -> dict[str, tuple[float, float]]:
            return {"V": (1.0, 0.0)}

    with pytest.raises(ValueError, match=r"names V, but its parameters are W, b"):
        nn.Network([Misnamed(4, 2)])


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"V": (1.0, 1.0)}, r"Dense: `rates` must map parameters' names \(W, b\)"),
        ({"b": 0.1}, r"got \{'b': 0.1\}"),
        ({"b": (0.1, -1.0)}, r"Dense: `rates\['b'\]` must be a number in \[0, inf\)"),
        (3, r"Dense: `rates` must map"),
    ],
)
def test_wrong_rates_are_refused(rates, message):
    with pytest.raises(ValueError, match=message):
        nn.Dense(4, 2, rates=rates)
