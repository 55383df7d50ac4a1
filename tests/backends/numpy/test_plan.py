"""Plans: training steps in one call of the C core have the bits of steps taken op by op."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import chain
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import in_one_call, op_by_op, state, together

import nnpoly as nn
from nnpoly.backends.steps import Batch
from nnpoly.data.batches import Batches
from nnpoly.training.epochs import Loop

core = built_core()
lib = core.lib

pytestmark = pytest.mark.usefixtures("restored_core")

rng = np.random.default_rng(5)
X = rng.normal(size=(101, 6)).astype("f4")
CLASSES = rng.integers(0, 3, 101)
ROWS = rng.random((101, 3)).astype("f4")
SHARES = ROWS / ROWS.sum(axis=1, keepdims=True)
WEIGHTS = rng.exponential(size=101).astype("f4")
WEIGHTS[1::5] = 0.0

OPTIMIZERS = [
    nn.SGD(0.1),
    nn.SGD(0.1, momentum=0.9),
    nn.SGD(0.1, momentum=0.9, nesterov=True),
    nn.AdaGrad(0.1),
    nn.RMSProp(0.01, eps_inside_sqrt=False),
    nn.Adam(nn.schedules.Cosine(0.01, 20)),
    nn.Adam(0.01, clip_norm=0.1),
    nn.AdamW(0.01),
    nn.NAdam(0.01),
    nn.AMSGrad(0.01),
    nn.Lion(1e-3, weight_decay=0.1),
    nn.SGD(0.1, weight_decay=0.1, clip_norm=0.5),
    nn.Adam(0.01, weight_decay=0.1),
    nn.Adam(0.01, ema=0.9),
    nn.AdamW(0.01, clip_norm=0.1, ema=0.99),
    nn.SGD(0.1, ema=0.0),
]


def trainer(
    optimizer: Any = None,
    output: str = "softmax",
    dtype: str = "float32",
    activation: Any = "tanh",
    loss: Any = None,
) -> nn.Trainer:
    net = nn.MLP([6, 17, 8, 3], activation, output, dtype=dtype, seed=1)
    return nn.Trainer(net, optimizer or nn.Adam(0.01), loss)


def run(made: nn.Trainer, y: np.ndarray, steps: int = 5, weights: Any = None) -> list[Any]:
    losses = []
    for t in range(steps):
        rows = slice([32, 1, 101, 32, 7][t % 5])
        losses.append(
            float(made.step(X[rows], y[rows], weights if weights is None else weights[rows]))
        )
    losses += together(made, X, y, weights)
    return [losses, *state(made)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda rule: repr(rule)[:60])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimiser_has_the_same_bits(optimizer, dtype):
    planned, plain = trainer(optimizer, dtype=dtype), op_by_op(trainer(optimizer, dtype=dtype))
    assert planned.stepper.steps.takes_epochs
    assert run(planned, CLASSES) == run(plain, CLASSES)


every_loss = pytest.mark.parametrize(
    ("loss", "output", "y"),
    [
        (None, "softmax", CLASSES),
        (None, "softmax", SHARES),
        (None, "sigmoid", ROWS),
        (None, "identity", ROWS),
        (nn.losses.CrossEntropy(label_smoothing=0.1), "softmax", CLASSES),
        (nn.losses.CrossEntropy(label_smoothing=0.3), "softmax", SHARES),
        (nn.losses.Logistic(label_smoothing=0.1), "sigmoid", ROWS),
        (nn.losses.Absolute(), "identity", ROWS),
        (nn.losses.Huber(0.3), "identity", ROWS),
        (nn.losses.Quantile(0.8), "identity", ROWS),
        (nn.losses.Poisson(), "exp", ROWS),
        (nn.losses.Focal(), "softmax", CLASSES),
        (nn.losses.Focal(0.5), "softmax", SHARES),
        (nn.losses.Focal(1.5, "sigmoid"), "sigmoid", ROWS),
    ],
    ids=[
        "classes",
        "rows",
        "sigmoid",
        "identity",
        "classes-smooth",
        "rows-smooth",
        "sigmoid-smooth",
        "absolute",
        "huber",
        "quantile",
        "poisson",
        "focal",
        "focal-rows",
        "focal-sigmoid",
    ],
)


@every_loss
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_loss_has_the_same_bits(loss, output, y, weights, dtype):
    planned = in_one_call(trainer(loss=loss, output=output, dtype=dtype))
    plain = op_by_op(trainer(loss=loss, output=output, dtype=dtype))
    assert run(planned, y, weights=weights) == run(plain, y, weights=weights)


@every_loss
def test_many_outputs_have_the_same_bits(loss, output, y):
    """More scores than C adds up at once: 4096 elements."""
    wide = np.resize(y, (101, 300)) / 100 if y.ndim == 2 else y
    found = []
    for form in (in_one_call, op_by_op):
        made = form(nn.Trainer(nn.MLP([6, 300], output=output, seed=0), loss=loss))
        found.append([float(made.step(X, wide, WEIGHTS)), *state(made)])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "activation",
    [sigma for name, sigma in nn.activations.BY_NAME.items() if name != "step"]
    + [nn.activations.LeakyReLU(0.3), nn.activations.ELU(0.5)],
    ids=repr,
)
def test_every_activation_has_the_same_bits(activation):
    planned, plain = trainer(activation=activation), op_by_op(trainer(activation=activation))
    assert run(planned, CLASSES) == run(plain, CLASSES)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("y", [CLASSES, SHARES], ids=["classes", "rows"])
def test_an_epoch_call_has_the_bits_of_its_steps(shuffle, y):
    made = [trainer(), op_by_op(trainer())]
    for each in made:
        each.fit(X, y, epochs=3, batch_size=16, shuffle=shuffle)
    assert state(made[0]) == state(made[1])
    assert made[0].history == made[1].history
    assert made[0].t == made[1].t == 21


@every_loss
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_epoch_call_takes_the_weights_of_its_rows(loss, output, y, shuffle, dtype):
    made = [
        in_one_call(trainer(loss=loss, output=output, dtype=dtype)),
        op_by_op(trainer(loss=loss, output=output, dtype=dtype)),
    ]
    for each in made:
        each.fit(X, y, epochs=3, batch_size=16, shuffle=shuffle, sample_weight=WEIGHTS)
    assert state(made[0]) == state(made[1])
    assert made[0].history == made[1].history


@every_loss
def test_weights_of_one_change_no_bit(loss, output, y):
    made = [trainer(loss=loss, output=output), trainer(loss=loss, output=output)]
    for each, weights in zip(made, (None, np.ones(101)), strict=True):
        run(each, y, weights=weights)
        each.fit(X, y, epochs=2, batch_size=16, sample_weight=weights)
    assert state(made[0]) == state(made[1])
    assert made[0].history == made[1].history


@every_loss
def test_isas_do_not_change_a_bit(loss, output, y):
    fused = [isa for isa in core.isas() if isa != "baseline"]
    if len(fused) < 2:
        pytest.skip("this processor runs one ISA with FMA, or none")
    found = []
    for isa in fused:
        lib.nnpoly_set_isa(isa.encode())
        made = in_one_call(trainer(loss=loss, output=output))
        made.fit(X, y, epochs=2, batch_size=16, sample_weight=WEIGHTS)
        found.append([made.history.loss, *state(made)])
    assert found == [found[0]] * len(fused)


@pytest.mark.parametrize(
    ("widths", "batch", "epochs"),
    [
        ([17, 64, 64, 6], 64, 60),  # by rows, now alone and now shared: 300 steps
        ([60, 200, 200, 10], 320, 2),  # by rows, always shared
        ([60, 300, 200, 10], 128, 2),  # by products
    ],
)
@pytest.mark.parametrize(
    ("clip", "weighted", "accumulate"),
    [(None, False, 1), (0.01, False, 1), (None, True, 1), (None, False, 2), (0.01, True, 2)],
)
def test_threads_do_not_change_a_bit(widths, batch, epochs, clip, weighted, accumulate):
    data = np.random.default_rng(0).normal(size=(320, widths[0])).astype("f4")
    labels = np.arange(320) % widths[-1]
    weights = np.resize(WEIGHTS, 320) if weighted else None
    optimizer = nn.Adam(clip_norm=clip, ema=0.9 if weighted else None)
    how: dict[str, Any] = {"batch_size": batch, "sample_weight": weights, "accumulate": accumulate}
    found = []
    for threads in (1, 2, 3, 7, 16):  # some more than there are processors
        nn.set_num_threads(threads)
        made = nn.Trainer(nn.MLP(widths, "gelu", seed=0), optimizer)
        made.fit(data, labels, epochs, **how)
        found.append([made.history.loss, *state(made)])
    assert found == [found[0]] * len(found)
    assert lib.nnpoly_workers() > 0
    alone = op_by_op(nn.Trainer(nn.MLP(widths, "gelu", seed=0), optimizer))
    alone.fit(data, labels, epochs, **how)
    assert [alone.history.loss, *state(alone)] == found[0]


@pytest.mark.parametrize(
    ("widths", "batch", "of_2", "of_16"),
    [
        ([6, 8, 3], 50, {1}, {1}),  # not worth sharing
        ([64, 100, 10], 200, {1, 2}, {1, 2, 4, 8, 16}),  # timed
        ([60, 512, 512, 10], 320, {2}, {16}),  # surely worth it
    ],
)
def test_a_step_is_shared_by_a_power_of_two_that_its_work_is_worth(widths, batch, of_2, of_16):
    data = np.random.default_rng(0).normal(size=(batch, widths[0])).astype("f4")
    for threads, possible in [(2, of_2), (16, of_16)]:
        nn.set_num_threads(threads)
        made = nn.Trainer(nn.MLP(widths, seed=0))
        for _ in range(70):
            made.step(data, np.arange(batch) % widths[-1])
            plan = made.stepper.steps.plan
            assert lib.nnpoly_plan_threads(plan, batch) in possible
        assert lib.nnpoly_plan_threads(plan, 1) == 1
        assert lib.nnpoly_plan_threads(plan, 0) == 0
    assert lib.nnpoly_plan_threads(core.ffi.NULL, 1) == 0


def test_batches_that_c_cannot_read_are_taken_op_by_op():
    """Strided inputs reach the step as they are; NumPy rounds their products differently."""
    planned, plain = trainer(), trainer()
    wide = np.repeat(X, 2, axis=1)[:, ::2]
    assert not wide.flags.c_contiguous
    for _ in range(3):
        planned.step(X, CLASSES)
        plain.step(wide, CLASSES)
    np.testing.assert_allclose(plain.network.w, planned.network.w, atol=1e-5)


def misaligned(array: np.ndarray) -> np.ndarray:
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)
    shifted = bytes_[1:].view("f4").reshape(array.shape)
    shifted[...] = array
    assert not shifted.flags.aligned
    return shifted


def test_misaligned_data_are_taken_op_by_op():
    made = [trainer(), trainer()]
    for each, data in zip(made, (X, misaligned(X)), strict=True):
        each.step(data, CLASSES)
        each.fit(data, CLASSES, epochs=1)
    np.testing.assert_allclose(made[0].network.w, made[1].network.w, atol=1e-5)


@pytest.mark.parametrize("form", [misaligned, lambda weights: np.repeat(weights, 2)[::2]])
def test_weights_that_c_cannot_read_are_taken_op_by_op(form):
    made = [trainer(), trainer()]
    for each, weights in zip(made, (WEIGHTS, form(WEIGHTS)), strict=True):
        each.step(X, CLASSES, weights)
        each.fit(X, CLASSES, epochs=1, sample_weight=weights)
    np.testing.assert_allclose(made[0].network.w, made[1].network.w, atol=1e-5)
    stepper = made[0].stepper
    for weights in (WEIGHTS.astype("f8"), WEIGHTS[:50], form(WEIGHTS)):
        epoch = Batches(Batch(X, CLASSES, weights), None, 101)
        assert stepper.steps.run([stepper.request([epoch])]) is None


@pytest.mark.parametrize("shape", [(101,), (101, 1)])
def test_a_single_output_takes_its_targets_as_a_column_or_a_vector(shape):
    y = ROWS[:, 0].copy().reshape(shape)
    made = nn.Trainer(nn.MLP([6, 5, 1], output="identity"), nn.Adam(0.01))
    assert made.stepper.step_unchecked(X, y) is not None
    wide = nn.Trainer(nn.MLP([6, 5, 3], output="identity"))
    with pytest.raises(ValueError, match="yb"):
        wide.step(X, np.ones(303, "f4"))


class Scaled(nn.Dropout):
    """A layer of one's own."""

    rate: float = 0.5


DECLINED = [
    (nn.Network([nn.Dense(6, 4), Scaled(), nn.Dense(4, 3)], "softmax"), None, "Scaled layers"),
    (
        nn.Network([nn.Residual([Scaled(), nn.Dense(6, 6)]), nn.Dense(6, 3)], "softmax"),
        None,
        "Scaled layers",
    ),
    (nn.MLP([6, 4, 3], dtype="float16"), nn.Adam(eps=1e-3), "float16"),
]


@pytest.mark.parametrize(("net", "optimizer", "reason"), DECLINED, ids=[r for *_, r in DECLINED])
def test_what_a_plan_declines_runs_op_by_op(net, optimizer, reason):
    made = nn.Trainer(net, optimizer)
    assert not made.stepper.steps.takes_epochs
    assert made.stepper.steps.path.startswith("op by op: ")
    assert reason in made.stepper.steps.path
    assert made.summary().splitlines()[-1] == f"steps      {made.stepper.steps.path}"
    assert made.fit(X, CLASSES, epochs=2).loss[1] > 0


def test_summary_says_what_runs():
    *table, loss, optimizer, memory, steps = trainer().summary().splitlines()
    assert table == trainer().network.summary().splitlines()
    assert loss == "loss       CrossEntropy"
    assert optimizer.startswith("optimizer  Adam(")
    assert "MB in steps (gradient, w, m, s: 0.00 MB each; batches: 0.00 MB so far), " in memory
    assert steps == "steps      one call of the C core a step, and for many steps of an epoch"


def test_summary_says_what_memory_training_takes():
    net = nn.MLP([300, 400, 200, 10], "gelu")
    made, n = nn.Trainer(net), 500
    made.step(np.ones((n, 300), "f4"), np.zeros(n, int))
    activations = n * (2 * 400 + 2 * 200 + 10)  # gelu reads pre as well
    deltas = n * (400 + 200 + 10)
    steps, fit = (
        float(part.split()[-1])
        for part in made.summary().partition("memory")[2].split(" MB in ")[:2]
    )
    wanted = 4 * (4 * net.w.size + activations + deltas) / 1e6
    assert wanted <= steps <= 1.01 * wanted
    assert fit == pytest.approx(steps + 3 * 4 * net.w.size / 1e6, abs=0.02)


def test_without_the_core():
    net = nn.MLP([6, 4, 3], backend="plain")
    assert nn.Trainer(net).stepper.steps.path.startswith("op by op: no C core")


def test_a_trainer_is_pickled_with_its_plan_made_anew():
    made = trainer()
    made.fit(X, CLASSES, epochs=1)
    again = pickle.loads(pickle.dumps(made))
    for each in (made, again):
        each.fit(X, CLASSES, epochs=1)
    assert state(made) == state(again)


def test_assigned_parameters_are_used():
    made = trainer()
    made.step(X, CLASSES)
    made.network.w = np.zeros_like(made.network.w)
    assert float(made.step(X, CLASSES)) == pytest.approx(np.log(3))


def test_a_failing_epoch_leaves_everything_as_it_was():
    made = trainer(nn.SGD(1e300))
    before = state(made)
    with pytest.raises(nn.NonFiniteLossError, match="epoch 1, step"):
        made.fit(X, CLASSES, epochs=2)
    assert state(made) == before
    assert made.t == 0


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_that_share_a_trainer_take_their_steps_in_turn(threads):
    """On one batch all orders are one, so the bits are those of as many steps by one thread."""
    steps, (shared, alone) = 200, (trainer(), trainer())
    losses: list[list[float]] = [[] for _ in range(threads)]
    ready = Barrier(threads)

    def work(mine: list[float]) -> None:
        ready.wait()
        mine.extend(float(shared.step(X, CLASSES)) for _ in range(steps))

    workers = [Thread(target=work, args=(mine,)) for mine in losses]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expected = [float(alone.step(X, CLASSES)) for _ in range(threads * steps)]
    assert shared.t == alone.t == threads * steps
    assert [len(mine) for mine in losses] == [steps] * threads
    assert sorted(chain.from_iterable(losses)) == sorted(expected)
    assert state(shared) == state(alone)


def test_interrupting_an_epoch_is_quick_and_leaves_the_epoch_before():
    code = (
        "import time, numpy as np, nnpoly as nn\n"
        "X = np.random.default_rng(0).normal(size=(200000, 16)).astype('f4')\n"
        "y = np.arange(200000) % 3\n"
        "made = nn.Trainer(nn.MLP([16, 64, 3], seed=0)); made.fit(X[:64], y[:64], epochs=1)\n"
        "before = made.network.w.copy()\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    made.fit(X, y, epochs=1, batch_size=1)\n"
        "except KeyboardInterrupt:\n"
        "    print(time.time(), np.array_equal(before, made.network.w), made.t, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    sent = time.time()
    os.kill(process.pid, signal.SIGINT)
    answer, _ = process.communicate(timeout=60)
    when, same, steps = answer.split()
    assert float(when) - sent < 1.0  # 0.05 s and a snapshot on an idle machine
    assert (same, steps) == ("True", "2")


def test_bad_batches_are_refused_as_ever():
    made = trainer()
    before = state(made)
    for xb, yb, message in [
        (X, CLASSES + 1, "class indices 0..2"),
        (X, CLASSES - 1, "class indices 0..2"),
        (X[:, :5].copy(), CLASSES, "must have shape"),
        (X[:0], CLASSES[:0], "at least one sample"),
        (X, CLASSES[:5], "must have shape"),
        (X.astype(complex), CLASSES, "real numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            made.step(xb, yb)
    assert state(made) == before
    assert made.t == 0
    for xb, yb in [(X.tolist(), CLASSES), (X.astype("f8"), CLASSES.astype("i4")), (X, SHARES)]:
        assert float(made.step(xb, yb)) > 0


# Prediction


def layer_by_layer(net: nn.Network, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    trace = net.trace(x)
    return trace.scores, trace.output


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax", "step"])
def test_a_prediction_has_the_bits_of_its_layers(output, dtype):
    net = nn.MLP([6, 33, 17, 5], "gelu", output, dtype=dtype)
    wide = np.random.default_rng(1).normal(size=(700, 6)).astype(dtype)
    for n in (1, 2, 63, 64, 127, 128, 129, 700):
        scores, f = layer_by_layer(net, wide[:n])
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            assert net._predicted(wide[:n], output, None) is not None
            assert np.array_equal(net.scores(wide[:n]), scores)
            assert np.array_equal(net(wide[:n]), f)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_of_a_large_network_share_its_products(dtype):
    layers = [nn.Dense(300, 900, "tanh"), nn.LayerNorm(900), nn.Dense(900, 700), nn.Dense(700, 3)]
    net = nn.Network(layers, "softmax", dtype=dtype)
    x = np.random.default_rng(1).normal(size=(127, 300)).astype(dtype)
    for n in (1, 2, 63, 65, 127):
        _, f = layer_by_layer(net, x[:n])
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            assert np.array_equal(net._predicted(x[:n], "softmax", None), f)
    assert lib.nnpoly_workers() > 0


def test_large_predictions_use_threads():
    net = nn.MLP([64, 256, 10], seed=0)
    wide = np.random.default_rng(1).normal(size=(3000, 64)).astype("f4")
    found = []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        found.append(net(wide))
    assert lib.nnpoly_workers() > 0
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_what_a_prediction_cannot_take_goes_through_the_layers():
    net = nn.MLP([6, 8, 3], seed=0)
    want = net(X)
    for same in (X.tolist(), X.astype("f8"), np.repeat(X, 2, axis=1)[:, ::2], np.asfortranarray(X)):
        assert net._predicted(same, "softmax", None) is None
        np.testing.assert_allclose(net(same), want, rtol=1e-5, atol=1e-6)
    assert nn.MLP([6, 8, 3], dtype="float16")._predicted(X, "softmax", None) is None
    with pytest.raises(ValueError, match="at least one sample"):
        net(X[:0])
    with pytest.raises(ValueError, match="must have shape"):
        net(X[:, :5].copy())


def test_predictions_follow_the_parameters():
    net = nn.MLP([6, 8, 3], seed=0)
    copied = [pickle.loads(pickle.dumps(net)), net.copy()]
    for each in [net, *copied]:
        each(X)
        each.w = np.zeros_like(each.w)
        np.testing.assert_allclose(each(X), 1 / 3, rtol=1e-6)


def test_plans_refuse_what_is_unsound():
    ffi = core.ffi
    layer = {"inputs": 2, "outputs": 3, "activation": 1, "factor": 1.0}
    layers = ffi.new("struct nnpoly_layer[]", [layer] * 2)
    good = {"dtype": 0, "depth": 1, "layers": layers, "loss": 0, "rule": 0}
    plan = lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", good))
    assert plan != ffi.NULL
    assert lib.nnpoly_plan_bytes(plan) == 0
    lib.nnpoly_plan_free(plan)
    lib.nnpoly_plan_free(ffi.NULL)
    for change in (
        *({"dtype": 3}, {"depth": 0}, {"depth": 2}, {"loss": -1}, {"rule": 9}),
        *({"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"label_smoothing": np.nan}),
        {"loss": lib.NNPOLY_LOSSES},
        {"loss": lib.NNPOLY_SQUARED_ERROR, "label_smoothing": 0.1},
        {"loss": lib.NNPOLY_HUBER, "label_smoothing": 0.1},
    ):
        assert lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", good | change)) == ffi.NULL
    assert lib.nnpoly_plan_new(ffi.NULL) == ffi.NULL


# Several epochs in one call


class Looker:
    """A callback that is called after every epoch, so that none are taken together."""

    def __call__(self, trainer: Any, history: Any) -> bool:
        return False


@pytest.mark.parametrize("n", [37, 40, 7])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_epochs_together_are_epochs_one_by_one(n, shuffle, weighted, monkeypatch):
    rng = np.random.default_rng(n)
    X, y = rng.standard_normal((n, 4), dtype="f4"), rng.integers(0, 3, n)
    s = rng.exponential(size=n).astype("f4") if weighted else None
    counts = []
    several = Loop._take_several
    monkeypatch.setattr(
        Loop, "_take_several", lambda self, n: counts.append(several(self, n)) or counts[-1]
    )
    together, alone = (
        nn.Trainer(nn.MLP([4, 6, 3], seed=2), nn.Adam(nn.schedules.Cosine(0.02, 90), ema=0.9))
        for _ in range(2)
    )
    a = together.fit(X, y, 25, 8, shuffle=shuffle, sample_weight=s)
    assert max(counts) > 1
    counts.clear()
    b = alone.fit(X, y, 25, 8, shuffle=shuffle, sample_weight=s, callbacks=[Looker()])
    assert max(counts) == 0
    assert a == b
    assert (together.t, together.history) == (alone.t, alone.history)
    for one, other in zip(together.stepper.state.moments, alone.stepper.state.moments, strict=True):
        assert one.tobytes() == other.tobytes()
    assert together.network.w.tobytes() == alone.network.w.tobytes()


def test_a_loss_that_becomes_nan_is_found_in_its_own_epoch():
    X, y = np.full((8, 2), 3.0, "f4"), np.zeros((8, 1), "f4")
    errors, states = [], []
    for callbacks in ([], [Looker()]):
        t = nn.Trainer(nn.MLP([2, 1], output="identity", seed=1), nn.SGD(0.6))
        with pytest.raises(nn.NonFiniteLossError) as caught:
            t.fit(X, y, 200, 4, callbacks=callbacks)
        errors.append(str(caught.value))
        states.append((t.network.w.tobytes(), t.t, t.history))
    assert errors[0] == errors[1]
    assert states[0] == states[1]
    assert len(states[0][2]) > 3
