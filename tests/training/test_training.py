"""Training: steps, reproducibility, batches, history, epochs that complete or leave no trace."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import registry

host = registry.to_host
N, BATCH = 10, 4  # three steps an epoch, the last one of two rows
STEPS = 3


def data(n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, 3)).astype("float32"), rng.integers(0, 2, n)


def network(seed: int = 0, **options: Any) -> nn.Network:
    """Return a network with everything that a step changes or draws."""
    layers = [nn.Dense(3, 4, "tanh"), nn.BatchNorm(4), nn.Dropout(0.3), nn.Dense(4, 2)]
    return nn.Network(layers, "softmax", seed=seed, **options)


def trainer(optimizer: Any = None, seed: int | None = None, **options: Any) -> nn.Trainer:
    return nn.Trainer(network(**options), optimizer or nn.Adam(0.05), seed=seed)


def step_by_step(t: nn.Trainer) -> nn.Trainer:
    """Return the trainer without epochs in one call, so that a test sees every step."""
    t.stepper.steps.takes_epochs = False
    return t


def state(t: nn.Trainer) -> list[Any]:
    """Return the bits of all that training changes."""
    (w, moments, buffers), steps = t.stepper.state, t.t
    arrays = [w, *moments, *(b for part in buffers for b in part.values())]
    bits = [host(array).tobytes() for array in arrays]
    return [*bits, steps, t.history.loss, t.history.validation_loss]


def fit(t: nn.Trainer, epochs: int, **options: Any) -> nn.History:
    return t.fit(*data(), epochs=epochs, batch_size=BATCH, **options)


# Steps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_step_returns_the_loss_before_it(backend_variant, dtype):
    t = nn.Trainer(nn.MLP([3, 4, 2], dtype=dtype, **backend_variant.place), nn.SGD(0.1))
    X, y = data()
    before, w = t.network.loss(X, y), host(t.network.w).copy()
    loss = t.step(X, y)
    assert backend_variant.backend.owns(loss)
    assert loss.shape == ()
    assert loss.dtype == t.network.w.dtype
    assert loss.device == t.network.device
    assert float(loss) == pytest.approx(float(before), rel=4 * float(np.finfo(dtype).eps))
    assert t.t == 1
    assert (host(t.network.w) != w).any()
    assert float(t.network.loss(X, y)) < float(loss)


def by_hand(optimizer: Any, net: nn.Network, X: Any, y: Any, steps: int) -> np.ndarray:
    """Return w after some steps of the lecture's formulas, in float64."""
    net = net.to("numpy", dtype="float64")
    w, m, s = net.w.copy(), 0.0, 0.0
    for t in range(1, steps + 1):
        net.w = w
        g = net.gradients(X, y)[1].flat
        if isinstance(optimizer, nn.Adam):
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
            direction = m / (1 - 0.9**t) / np.sqrt(s / (1 - 0.999**t) + 1e-8)
        else:
            m = direction = optimizer.momentum * m + g
        w = w - optimizer.learning_rate * direction
    return w


@pytest.mark.parametrize(
    "optimizer", [nn.SGD(0.1, momentum=0.9), nn.Adam(0.1)], ids=["sgd", "adam"]
)
def test_step_is_gradients_and_then_the_optimiser(backend_variant, optimizer):
    net = nn.MLP([3, 4, 2], "tanh", dtype="float64", **backend_variant.place)
    X, y = data()
    want = by_hand(optimizer, net, X, y, 3)
    t = nn.Trainer(net, optimizer)
    for _ in range(3):
        t.step(X, y)
    np.testing.assert_allclose(host(net.w), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(backend_variant, dtype):
    t = trainer(dtype=dtype, **backend_variant.place)
    losses = [t.step(*data()) for _ in range(2)]
    w, moments, buffers = t.stepper.state
    arrays = [w, *moments, *buffers[1].values(), *losses]
    assert len(arrays) == 7
    assert {str(host(array).dtype) for array in arrays} == {dtype}
    assert all(array.device == t.network.device for array in arrays)


CONVERSIONS = ["__bool__", "__float__", "__int__", "__index__", "__array__", "__iter__"]
CONVERSIONS += ["item", "tolist", "numpy", "cpu", "_value"]


def refuse(*args: Any, **options: Any) -> Any:
    raise AssertionError("a step waited for the device")


@pytest.mark.parametrize("backend", ["strict", "torch", "jax"])
def test_steps_do_not_wait_for_the_device(backend, monkeypatch):
    """JAX's transfer guard lets all pass on the CPU, so whatever reads an array is patched."""
    t = trainer(backend=backend)
    X, y = (registry.get(backend).from_host(a, t.network.device) for a in data())
    t.step(X, y)
    kind = type(t.network.w)
    with monkeypatch.context() as patch:
        for name in CONVERSIONS:
            if hasattr(kind, name):
                patch.setattr(kind, name, refuse)
        with pytest.raises(AssertionError, match="waited"):
            float(t.network.w[0])
        loss = t.step(X, y)
        loss_of_host_data = t.step(*data())
    assert np.isfinite([float(loss), float(loss_of_host_data)]).all()


@pytest.mark.parametrize("backend", ["numpy", "strict", "torch", "jax"])
def test_epochs_wait_for_the_device_once(backend, monkeypatch):
    t = step_by_step(trainer(backend=backend))
    kind, fetched = type(registry.get(backend)), []
    to_host = kind.to_host
    monkeypatch.setattr(
        kind, "to_host", lambda self, a: fetched.append(a.shape) or to_host(self, a)
    )
    fit(t, 2)
    # The losses, and the highest and the lowest entry of w and of BatchNorm's mean and variance.
    assert fetched == [(STEPS + 2 * 3,)] * 2


def test_losses_outlive_later_steps():
    t = trainer()
    losses = [t.step(*data()) for _ in range(3)]
    first = float(trainer().step(*data()))
    assert float(losses[0]) == first
    assert len({float(loss) for loss in losses}) == 3


# Reproducibility


OPTIMIZERS = {
    "momentum": nn.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=1.0),
    "adam": nn.Adam(0.05),
    "adamw": nn.AdamW(nn.schedules.Cosine(0.05, steps=20, warmup=3)),
    "amsgrad": nn.AMSGrad(0.05, weight_decay=0.01),
    "lion": nn.Lion(0.01, weight_decay=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fit_5_twice_is_fit_10(name):
    once, twice = trainer(OPTIMIZERS[name]), trainer(OPTIMIZERS[name])
    fit(once, 10)
    fit(twice, 5)
    fit(twice, 5)
    assert state(once) == state(twice)
    assert once.t == 10 * STEPS


def test_fit_1_twice_is_fit_2_on_every_backend(backend_variant):
    once, twice = trainer(**backend_variant.place), trainer(**backend_variant.place)
    fit(once, 2)
    fit(twice, 1)
    fit(twice, 1)
    assert state(once) == state(twice)


def test_seeds_decide_everything():
    def after(**seeds: Any) -> list[Any]:
        t = trainer(**seeds)
        fit(t, 2)
        return state(t)

    assert after(seed=3) == after(seed=3)
    assert after(seed=3) != after(seed=4)


def test_the_seed_decides_the_order_of_the_rows(monkeypatch):
    orders = [batches(trainer(seed=seed), monkeypatch, batch_size=BATCH) for seed in (1, 2, 2)]
    assert orders[0] != orders[1] == orders[2]


def test_dropout_depends_on_seed_and_step():
    def losses(seed: int) -> list[float]:
        t = trainer(nn.SGD(1e-30), seed=seed)  # the parameters stay as they are
        return [float(t.step(*data())) for _ in range(3)]

    assert losses(1) == losses(1)
    assert len({*losses(1), *losses(2)}) == 6


def test_the_networks_seed_is_the_trainers_default():
    assert nn.Trainer(network(seed=5)).seed == 5
    assert nn.Trainer(network(seed=5), seed=6).seed == 6


def repickled(t: nn.Trainer) -> nn.Trainer:
    return pickle.loads(pickle.dumps(t))


@pytest.mark.parametrize(
    ("backend", "duplicate"),
    [("numpy", copy.deepcopy), ("numpy", repickled), ("torch", repickled), ("jax", repickled)],
)
def test_copied_trainers_go_on_alike_and_alone(backend, duplicate):
    t = trainer(backend=backend)
    fit(t, 1)
    twin, kept = duplicate(t), state(t)
    assert state(twin) == kept
    fit(twin, 1)
    assert state(t) == kept
    fit(t, 1)
    assert state(t) == state(twin)


# Batches


def batches(t: nn.Trainer, monkeypatch, **options: Any) -> list[list[int]]:
    """Return the row numbers of every batch of the next epoch, which takes no steps."""
    seen: list[list[int]] = []

    def record(batch: Any) -> float:
        x, y, _ = batch
        rows = host(x)[:, 0].astype(int).tolist()
        assert host(y).tolist() == [row % 2 for row in rows]
        seen.append(rows)
        return t.network.w[0]

    X = np.arange(N)[:, None] * np.ones(3)
    with monkeypatch.context() as patch:
        patch.setattr(step_by_step(t).stepper, "step", record)
        t.fit(X, np.arange(N) % 2, epochs=1, **options)
    return seen


def test_without_shuffle_rows_come_in_order(backend_variant, monkeypatch):
    t = step_by_step(trainer(**backend_variant.place))
    seen = batches(t, monkeypatch, batch_size=BATCH, shuffle=False)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_epoch_visits_every_row_once_in_a_new_order(backend_variant, monkeypatch):
    t = step_by_step(trainer(**backend_variant.place))
    first, second = (batches(t, monkeypatch, batch_size=BATCH) for _ in range(2))
    for epoch in (first, second):
        assert [len(rows) for rows in epoch] == [4, 4, 2]
        assert sorted(row for rows in epoch for row in rows) == list(range(N))
    assert first != second
    assert first == batches(trainer(), monkeypatch, batch_size=BATCH)  # as NumPy does it


def test_batches_may_be_larger_than_the_data(monkeypatch):
    assert batches(trainer(), monkeypatch, batch_size=99, shuffle=False) == [list(range(N))]


def test_data_are_not_modified():
    X, y = data()
    rows = nn.one_hot(y)
    for array in (X, rows):
        array.flags.writeable = False
    trainer().fit(X, rows, epochs=2, batch_size=BATCH, validation=(X, rows), shuffle=False)
    np.testing.assert_array_equal(X, data()[0])
    np.testing.assert_array_equal(rows, nn.one_hot(y))


# History, validation, evaluation


def test_history_has_the_mean_of_the_batches_losses(monkeypatch):
    t, losses = step_by_step(trainer()), []
    step = t.stepper.step
    monkeypatch.setattr(t.stepper, "step", lambda b: losses.append(step(b)) or losses[-1])
    history = fit(t, 2)
    sizes = [4, 4, 2]
    for epoch, loss in enumerate(history.loss):
        values = [float(v) for v in losses[3 * epoch : 3 * epoch + 3]]
        assert loss == pytest.approx(np.average(values, weights=sizes), rel=1e-12)
        assert type(loss) is float


def test_fit_returns_its_own_epochs_and_the_trainer_keeps_all():
    t = trainer()
    first, second = fit(t, 2), fit(t, 3, validation=data())
    assert (len(first), len(second), len(t.history)) == (2, 3, 5)
    assert t.history.loss == first.loss + second.loss
    assert first.validation_loss == []
    assert t.history.validation_loss == second.validation_loss


def test_validation_is_the_networks_loss_after_the_epoch(backend_variant):
    t, (X, y), seen = trainer(**backend_variant.place), data(7), []

    def evaluate(t: nn.Trainer, history: nn.History) -> None:
        before = state(t)
        seen.append(t.evaluate(X, y))
        assert state(t) == before
        assert seen[-1] == float(t.network.loss(X, y))

    history = fit(t, 2, validation=(X, y), callbacks=[evaluate])
    assert history.validation_loss == seen
    assert len(set(seen)) == 2
    assert {type(value) for value in seen} == {float}


def test_validation_does_not_change_training():
    with_it, without = trainer(), trainer()
    fit(with_it, 2, validation=data(7))
    fit(without, 2)
    assert state(with_it)[:-1] == state(without)[:-1]


@pytest.mark.parametrize("n", [4096, 4097, 10_000])
def test_evaluate_takes_blocks(n):
    t, (X, y) = trainer(dtype="float64"), data(n)
    assert t.evaluate(X, y) == pytest.approx(float(t.network.loss(X, y)), rel=1e-12)


# An epoch completes, or leaves no trace


def exploding(t_exploding: int) -> nn.schedules.Schedule:
    """Return learning rates whose step `t_exploding` makes the parameters huge."""
    return nn.schedules.StepDecay(0.05, every=t_exploding - 1, factor=1e37)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own, before our error
def test_a_loss_that_is_not_finite_ends_training(backend_variant):
    net = nn.Network([nn.Dense(3, 4), nn.BatchNorm(4), nn.Dense(4, 1)], **backend_variant.place)
    t = nn.Trainer(net, nn.SGD(exploding(5), momentum=0.5))
    X, y = data()
    t.fit(X, y.astype(float), epochs=1, batch_size=BATCH)
    kept = state(t)
    with pytest.raises(nn.NonFiniteLossError, match=r"the loss became .* in epoch 2, step 3\b"):
        t.fit(X, y.astype(float), epochs=5, batch_size=BATCH)
    assert state(t) == kept


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_parameters_that_overflow_in_the_last_step_are_found(backend_variant):
    t = nn.Trainer(nn.MLP([3, 2], **backend_variant.place), nn.SGD(1e300))
    kept = state(t)
    with pytest.raises(nn.NonFiniteLossError, match=r"a parameter became .* epoch 1, step 1\b"):
        t.fit(*data(), epochs=1, batch_size=N)
    assert state(t) == kept


def test_the_message_says_what_to_try():
    t = nn.Trainer(nn.MLP([3, 1], output="identity"), nn.SGD(1e4))
    with pytest.raises(nn.NonFiniteLossError) as caught, np.errstate(all="ignore"):
        t.fit(*data(), epochs=99)
    for remedy in ("smaller learning rate", "clip_norm", "mean 0 and variance 1"):
        assert remedy in str(caught.value)


def test_an_interrupted_epoch_leaves_no_trace(backend_variant, monkeypatch):
    t, whole = (step_by_step(trainer(**backend_variant.place)) for _ in range(2))
    step = t.stepper.step

    def interrupt(batch: Any) -> Any:
        loss = step(batch)
        if t.t == STEPS + 2:
            raise KeyboardInterrupt
        return loss

    monkeypatch.setattr(t.stepper, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(t, 5, validation=data())
    fit(whole, 1, validation=data())
    assert state(t) == state(whole)
    monkeypatch.undo()
    fit(t, 2, validation=data())
    fit(whole, 2, validation=data())
    assert state(t) == state(whole)


@dataclass(frozen=True)
class Failing(nn.Adam):
    """Adam that fails in step `at`, after w and the moments were overwritten."""

    at: int = 0
    error: Any = None

    def rule(self, ops: Any, w: Any, g: Any, moments: Any, c: Any) -> Any:
        result = super().rule(ops, w, g, moments, c)
        if c[1] == self.coefficients(self.at)[1]:
            raise self.error
        return result


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_half_done_step_leaves_no_trace(error):
    t, whole = trainer(Failing(0.05, at=STEPS + 2, error=error)), trainer()
    with pytest.raises(error):
        fit(t, 5)
    fit(whole, 1)
    assert state(t) == state(whole)


def test_an_interrupted_validation_leaves_no_trace(monkeypatch):
    def interrupt(*arguments: Any) -> float:
        raise KeyboardInterrupt

    t = trainer()
    monkeypatch.setattr("nnpoly.training.evaluation.mean_loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(t, 5, validation=data())
    assert state(t) == state(trainer())


def test_a_callback_that_raises_leaves_a_complete_epoch():
    def fail(t: nn.Trainer, history: nn.History) -> None:
        raise RuntimeError("callback")

    t, other = trainer(), trainer()
    with pytest.raises(RuntimeError, match="callback"):
        fit(t, 5, callbacks=[fail])
    fit(other, 1)
    assert state(t) == state(other)


def test_the_order_of_a_single_batch_plays_no_part(monkeypatch):
    assert batches(trainer(), monkeypatch, batch_size=N) == [list(range(N))]
