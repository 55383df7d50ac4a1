"""Training steps as CUDA graphs have the bits of the same steps taken kernel by kernel."""

from __future__ import annotations

import gc
import pickle
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import GPU, STANDIN, cupy_or_skip

cupy = cupy_or_skip()

import cupyx  # noqa: E402

import nnpoly as nn  # noqa: E402
from nnpoly.backends import cupy as backend  # noqa: E402
from nnpoly.backends.cupy import CuPy, graph  # noqa: E402

pytestmark = GPU

rng = np.random.default_rng(5)
N = 53  # with batches of 5: ten full ones, eight of them in one graph, and a ragged one
X = rng.normal(size=(N, 6)).astype("f4")
CLASSES = rng.integers(0, 3, N)
ROWS = rng.random((N, 3)).astype("f4")
SHARES = ROWS / ROWS.sum(axis=1, keepdims=True)
WEIGHTS = rng.exponential(size=N).astype("f4")

OPTIMIZERS = [
    nn.SGD(0.1),
    nn.SGD(0.1, momentum=0.9, nesterov=True),
    nn.AdaGrad(0.1),
    nn.RMSProp(0.01, eps_inside_sqrt=False),
    nn.Adam(nn.schedules.Cosine(0.01, 20)),
    nn.AdamW(0.01, clip_norm=0.1, ema=0.99),
    nn.NAdam(0.01),
    nn.AMSGrad(0.01, weight_decay=0.1),
    nn.Lion(1e-3, weight_decay=0.1),
]
FALLING = nn.schedules.FlatCosine(0.3, 20)
SCHEDULED = [
    nn.SGD(0.1),
    nn.Adam(nn.schedules.CosineLog(0.1, 20), weight_decay=FALLING, clip_norm=0.5),
    nn.AdamW(nn.schedules.CosineLog(0.1, 20), weight_decay=FALLING, ema=0.9),
    nn.NAdam(0.01, weight_decay=0.2),
]
TARGETS = [
    ("softmax", None, CLASSES),
    ("softmax", None, SHARES),
    ("softmax", nn.losses.CrossEntropy(label_smoothing=0.1), CLASSES),
    ("softmax", "focal", CLASSES),
    ("sigmoid", None, ROWS),
    ("identity", None, ROWS),
    ("identity", "huber", ROWS),
    ("exp", None, ROWS),
]
SHAPES = {
    "plain": [nn.Dense(6, 17, "tanh"), nn.Dense(17, 3)],
    "deep": [nn.Dense(6, 17, "relu"), nn.Dense(17, 8, "gelu"), nn.Dense(8, 3)],
    "dropout": [nn.Dense(6, 17, "relu"), nn.Dropout(0.3), nn.Dense(17, 3)],
    "norms": [
        nn.LayerNorm(6),
        nn.Dense(6, 8),
        nn.BatchNorm(8, activation="silu"),
        nn.Residual([nn.Dense(8, 5, "tanh"), nn.Dense(5, 8)]),
        nn.Dense(8, 3),
    ],
    "rates": [
        nn.Dropout(FALLING),
        nn.Dense(6, 17, "relu", rates={"W": (6.0, 6.0), "b": (0.1, 0.0)}),
        nn.Dropout(FALLING),
        nn.Dense(17, 3, rates={"b": (0.1, 0.0)}),
    ],
}


def trainer(
    mode: str = "graph",
    layers: Any = "plain",
    optimizer: Any = None,
    output: str = "softmax",
    loss: Any = None,
    dtype: str = "float32",
    device: Any = None,
    **options: Any,
) -> nn.Trainer:
    layers = SHAPES.get(layers, layers) if isinstance(layers, str) else layers
    net = nn.Network(layers, output, dtype=dtype, seed=1, backend=CuPy(mode), device=device)
    return nn.Trainer(net, optimizer or nn.Adam(0.01), loss, **options)


def state(t: nn.Trainer) -> list[bytes]:
    """Return the bits of all that steps change, and of all losses."""
    arrays = [
        t.network.w,
        *t.stepper.state.moments,
        *(a for part in t.network.buffers for a in part.values()),
    ]
    return [a.get().tobytes() for a in arrays] + [np.array(t.history.loss).tobytes()]


def both(steps: Any, **options: Any) -> None:
    """Assert that `steps(trainer)` leaves the same bits in graphs as kernel by kernel."""
    made = [trainer(mode, **options) for mode in ("graph", "kernels")]
    seen = [np.array(steps(t)).tobytes() for t in made]
    assert seen[0] == seen[1]
    assert state(made[0]) == state(made[1])
    assert made[0].stepper.steps.bytes() > 0, "no graph was captured"
    assert made[1].stepper.steps.bytes() is None


def fit(y: Any = CLASSES, **options: Any) -> Any:
    return lambda t: t.fit(X, y, epochs=3, batch_size=5, **options).loss


def five_steps(t: nn.Trainer) -> list[float]:
    return [float(t.step(X[i : i + 9], CLASSES[i : i + 9])) for i in range(5)]


# The same bits


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimiser(optimizer):
    both(fit(), optimizer=optimizer)
    both(five_steps, optimizer=optimizer)


@pytest.mark.parametrize("optimizer", SCHEDULED, ids=repr)
def test_factors_and_schedules(optimizer):
    both(fit(), optimizer=optimizer, layers="rates")
    both(five_steps, optimizer=optimizer, layers="rates")


def test_more_numbers_of_a_step_than_a_graph_takes_go_op_by_op():
    layers = [nn.Dropout(nn.schedules.Exponential(0.1, k)) for k in range(1, 11)]
    many = trainer(layers=[*layers, nn.Dense(6, 3)])
    assert "13 numbers" in many.summary()
    assert not many.stepper.steps.takes_epochs
    fit()(many)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("output", "loss", "y"), TARGETS)
def test_every_loss(output, loss, y, dtype):
    both(fit(y), output=output, loss=loss, dtype=dtype)
    both(fit(y, sample_weight=WEIGHTS), output=output, loss=loss, dtype=dtype)


@pytest.mark.parametrize("layers", SHAPES)
def test_every_kind_of_layer(layers):
    both(fit(), layers=layers)
    both(five_steps, layers=layers)


@pytest.mark.parametrize("batch_size", [1, 5, 9, N - 1, N, 2 * N])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_size_of_a_batch(batch_size, shuffle):
    def steps(t: nn.Trainer) -> list[float]:
        return t.fit(X, CLASSES, epochs=2, batch_size=batch_size, shuffle=shuffle).loss

    both(steps)


def test_epochs_in_one_call_are_those_taken_one_by_one():
    together, apart = trainer(), trainer()
    together.fit(X, CLASSES, epochs=40, batch_size=9)
    for _ in range(40):
        apart.fit(X, CLASSES, epochs=1, batch_size=9)
    assert state(together) == state(apart)


def test_a_graph_replayed_k_times_is_k_steps():
    """Also more of them than one graph holds."""
    one, many = trainer(), trainer()
    k = 3 * graph.TOGETHER + 5
    x, y = X[:5], CLASSES[:5]
    losses = [float(one.step(x, y)) for _ in range(k)]
    taken = many.fit(np.tile(x, (k, 1)), np.tile(y, k), epochs=1, batch_size=5, shuffle=False)
    assert state(one)[:-1] == state(many)[:-1]
    assert taken.loss[0] == pytest.approx(np.mean(losses), rel=1e-6)


def test_streams_of_batches_of_many_sizes():
    """Every second batch is as long as the one before it; graphs are kept for a few sizes only."""
    sizes = [1 + i // 2 % 11 for i in range(30)]
    batches = [(X[:n], CLASSES[:n]) for n in sizes]
    both(lambda t: t.fit(batches, epochs=2).loss)
    t = trainer()
    t.fit(batches, epochs=2)
    assert len(t.stepper.steps._graphs) <= graph.FORMS


@pytest.mark.parametrize("layers", ["plain", "norms"])
def test_steps_of_a_new_size_leave_the_graphs_as_they_are(layers, monkeypatch):
    """They run kernel by kernel, in place, though AdamW and BatchNorm make new arrays."""
    t, captures = trainer(layers=layers, optimizer=nn.AdamW(0.01)), []
    captured = graph._captured
    monkeypatch.setattr(graph, "_captured", lambda *a: captures.append(1) or captured(*a))
    for n in (9, 9, 5, 9, 7, 9, 5, 9):
        t.step(X[:n], CLASSES[:n])
    assert len(captures) == 1


def test_numpy_agrees():
    """With the definition of a whole fit in float64, within its rounding."""
    for layers in SHAPES.values():
        on_device = trainer(layers=layers, dtype="float64")
        net = nn.Network(layers, "softmax", dtype="float64", seed=1, backend="numpy")
        on_host = nn.Trainer(net, nn.Adam(0.01))
        for t in (on_device, on_host):
            t.fit(X, CLASSES, epochs=3, batch_size=5)
        np.testing.assert_allclose(on_device.network.w.get(), net.w, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(on_device.history.loss, on_host.history.loss, rtol=1e-11)


# What a user does between steps


def test_a_step_waits_for_nothing():
    t, x, y = trainer(), cupy.asarray(X), cupy.asarray(CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # CuPy means to replace the switch
        with cupyx.allow_synchronize(False):
            losses = [t.step(x[:9], y[:9]) for _ in range(4)]
    assert all(later < first for first, later in pairwise(map(float, losses)))


def test_batches_that_lie_on_the_device():
    """They go to the graph as they are; wrong ones are refused as anywhere."""
    x, shares, labels = cupy.asarray(X), cupy.asarray(SHARES), cupy.asarray(CLASSES)
    for y in (labels, shares):
        both(lambda t, y=y: [float(t.step(x[i : i + 9], y[i : i + 9])) for i in range(6)])
    t = trainer()
    five_steps(t)
    before = state(t)
    for bad in (x[:9, :5], x[:8], x[:0]):
        with pytest.raises(ValueError, match=r"`xb` must have shape|`yb` must have shape"):
            t.step(bad, labels[:9])
    with pytest.raises(ValueError, match=r"`yb` must hold integer class indices"):
        t.step(x[:9], labels[:9].astype("f4"))
    assert state(t) == before


def test_weights_that_are_assigned_are_trained_on():
    made = [trainer(mode) for mode in ("graph", "kernels")]
    for t in made:
        five_steps(t)
        t.network.w = np.linspace(-1, 1, t.network.w.size)
        five_steps(t)
        t.rate_factor = 0.5
        five_steps(t)
        t.optimizer = nn.SGD(0.1, momentum=0.9)
        five_steps(t)
    assert state(made[0]) == state(made[1])


def test_an_epoch_that_fails_is_taken_back_and_training_goes_on():
    made = [trainer(mode, "deep", nn.SGD(0.1)) for mode in ("graph", "kernels")]
    bad = X.copy()
    bad[7] = 3e38
    for t in made:
        t.fit(X, CLASSES, epochs=2, batch_size=5)
        before = state(t)
        with pytest.raises(nn.NonFiniteLossError, match="epoch 3, step"):
            t.fit(bad, CLASSES, epochs=2, batch_size=5)
        assert state(t) == before
        t.fit(X, CLASSES, epochs=2, batch_size=5)
    assert state(made[0]) == state(made[1])


def test_an_interrupted_epoch_leaves_no_trace(monkeypatch):
    """Ctrl-C between two launches, where Python handles it."""
    t, plain = trainer(layers="norms"), trainer(layers="norms")
    fit()(t), fit()(plain)
    launch, launches = graph.Graph.launch, []

    def interrupt(each: graph.Graph) -> None:
        launch(each)
        launches.append(each)
        if len(launches) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(graph.Graph, "launch", interrupt)
    before = state(t)
    with pytest.raises(KeyboardInterrupt):
        fit()(t)
    assert state(t) == before
    monkeypatch.undo()
    assert fit()(t) == fit()(plain)
    assert state(t) == state(plain)


def test_a_pickled_trainer_captures_its_own_graphs():
    t = trainer()
    five_steps(t)
    again = pickle.loads(pickle.dumps(t))
    five_steps(t)
    five_steps(again)
    assert state(t)[:-1] == state(again)[:-1]


def test_checkpoints_go_from_the_cpu_to_the_device_and_back(tmp_path):
    path = tmp_path / "trainer.safetensors"
    net = nn.MLP([6, 17, 3], "tanh", dtype="float64", seed=1, backend="numpy")
    start = nn.Trainer(net, nn.Adam(0.01))
    start.fit(X, CLASSES, epochs=2, batch_size=5)
    start.save(path)
    moved = nn.Trainer.load(path, backend="cupy")
    for t in (start, moved):
        t.fit(X, CLASSES, epochs=2, batch_size=5)
    moved.save(path)
    back = nn.Trainer.load(path, backend="numpy")
    np.testing.assert_allclose(back.network.w, net.w, rtol=1e-10, atol=1e-12)
    assert back.t == start.t


def test_on_a_stream_of_the_user_and_on_another_device():
    plain = trainer()
    five_steps(plain)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        other = trainer()
        five_steps(other)
        stream.synchronize()
    assert state(plain) == state(other)
    if cupy.cuda.runtime.getDeviceCount() > 1:
        second = trainer(device=1)
        five_steps(second)
        second.fit(X, CLASSES, epochs=2, batch_size=5)
        plain.fit(X, CLASSES, epochs=2, batch_size=5)
        assert state(plain) == state(second)


@pytest.mark.skipif(not STANDIN, reason="a device is as late as it is")
@pytest.mark.parametrize("layers", ["deep", "norms"])
@pytest.mark.parametrize("others", [True, False])
def test_streams_wait_for_each_other(layers, others):
    """The current stream works as late as it may, the others too, or else at once."""
    from standin import late

    plain = trainer(layers=layers)
    five_steps(plain), fit()(plain)
    with late(others):
        t = trainer(layers=layers)
        five_steps(t), fit()(t)
        assert state(t) == state(plain)


def test_data_of_any_form():
    """Strided, misaligned, of other dtypes: they are what a contiguous float32 copy is."""
    wide = cupy.asarray(np.repeat(X[:, None, :], 2, axis=1))
    forms = [
        (cupy.asarray(X), cupy.asarray(CLASSES)),
        (wide[:, 1, :], cupy.asarray(np.repeat(CLASSES, 2))[::2]),
        (cupy.asarray(np.concatenate([[0], X.ravel()]).astype("f4"))[1:].reshape(X.shape), CLASSES),
        (X.astype("f8"), CLASSES.astype("u1")),
        (X.tolist(), CLASSES.astype("i4")),
    ]
    made = []
    for x, y in forms:
        t = trainer()
        t.step(x, y), t.step(x, y)
        t.fit(x, y, epochs=2, batch_size=5)
        made.append(state(t))
    assert all(found == made[0] for found in made)


def test_labels_out_of_range_are_refused_before_any_work():
    t = trainer()
    five_steps(t)
    before = state(t)
    for y in (np.full(N, 3), cupy.full(N, 3), np.full(N, -1)):
        with pytest.raises(ValueError, match=r"`y` must hold class indices 0..2, got"):
            t.fit(X, y, epochs=1)
    with pytest.raises(ValueError, match=r"`yb` must hold class indices 0..2, got"):
        t.step(X, np.full(N, 3))
    assert state(t) == before


def test_memory_stays_flat():
    """No pool grows from step to step, nor from fit to fit."""
    t, x, y = trainer(), cupy.asarray(X), cupy.asarray(CLASSES)
    pool = cupy.get_default_memory_pool()
    gc.collect()  # what earlier tests have left would go at some time

    def taken() -> tuple[int, int]:
        return pool.used_bytes(), t.stepper.steps.bytes()

    for _ in range(10):
        t.step(x, y)
    before = taken()
    for _ in range(1000):
        t.step(x, y)
    assert taken() == before
    t.fit(x, y, epochs=2, batch_size=5)
    before = taken()
    for _ in range(5):
        t.fit(x, y, epochs=2, batch_size=5)
    assert taken() == before


def test_where_memory_is_short_the_default_pool_gives_back_what_it_keeps(monkeypatch):
    """A graph's memory is of a pool of its own, which cannot ask another's for blocks."""
    made, t, plain = graph.Graph, trainer(), trainer()
    kept = cupy.get_default_memory_pool()
    short = cupy.cuda.memory.OutOfMemoryError
    freed = []

    def make(*args: Any) -> graph.Graph:
        if not freed:
            raise short(512, kept.total_bytes())
        return made(*args)

    class Pool:
        def free_all_blocks(self) -> None:
            freed.append(kept.free_all_blocks())

    monkeypatch.setattr(graph, "Graph", make)
    monkeypatch.setattr(cupy, "get_default_memory_pool", Pool)
    five_steps(t)
    assert len(freed) == 1
    monkeypatch.undo()
    five_steps(plain)
    assert state(t) == state(plain)


# What cannot be a graph


def test_what_cannot_be_captured_runs_op_by_op_and_says_so(monkeypatch):
    plain, t = trainer("kernels"), trainer()

    def refuse(*args: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graph, "_captured", refuse)
    with pytest.warns(RuntimeWarning, match="cannot be captured as a CUDA graph .operation not p"):
        fit()(t)
    fit()(t)
    fit()(plain), fit()(plain)
    assert state(t) == state(plain)


def test_without_nvmath_only_small_networks_are_captured(monkeypatch):
    monkeypatch.setattr(backend, "ABSENT", "nvmath-python cannot be imported (no); pip install")
    both(fit())
    large = [nn.Dense(6, 2100, "relu"), nn.Dense(2100, 3)]  # more terms than a small product has
    made = [trainer(mode, large) for mode in ("graph", "kernels")]
    for t in made:
        fit()(t)
    assert state(made[0]) == state(made[1])
    assert made[0].stepper.steps.bytes() == 0
    with pytest.raises(ValueError, match="needs cuBLASLt, but nvmath-python cannot be imported"):
        trainer(precision="tf32")


@pytest.mark.parametrize("mode", ["kernels", "definitions"])
def test_the_environment_says_how_far_to_go(mode, monkeypatch):
    monkeypatch.setenv("NNPOLY_CUPY", mode)
    chosen = backend.load()
    net = nn.MLP([6, 17, 3], backend=chosen)
    assert f"NNPOLY_CUPY is {mode}" in nn.Trainer(net).summary()
    monkeypatch.setenv("NNPOLY_CUPY", "fast")
    with pytest.raises(ValueError, match="must be one of definitions, graph, kernels, got 'fast'"):
        backend.load()


def test_the_definitions_alone_agree():
    made = [trainer(mode, "deep", dtype="float64") for mode in ("graph", "definitions")]
    for t in made:
        fit()(t)
    np.testing.assert_allclose(made[0].history.loss, made[1].history.loss, rtol=1e-12)


def test_half_precision_runs_by_the_definitions():
    t = trainer(optimizer=nn.SGD(0.1), dtype="float16")
    fit()(t)
    assert t.stepper.steps.path == "op by op: no kernels for float16"
    assert t.history.loss[-1] < t.history.loss[0]
