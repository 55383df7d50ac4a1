"""Networks: the public surface, agreement with plain NumPy in float64, and no shared memory."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.network import summary as _summary

host = registry.to_host
BACKENDS = ["numpy", "strict", "torch", "jax"]
WRITABLE = ["numpy", "torch"]
FLOATS = ["float16", "float32", "float64"]

# How many rounding errors, of size eps * sqrt(longest sum) a layer, a result may be off.
UNITS = 2.0


# The lecture's formulas, in plain NumPy


class Plain(NamedTuple):
    pre: list[np.ndarray]
    post: list[np.ndarray]
    loss: float
    delta: list[np.ndarray]
    W: list[np.ndarray]
    b: list[np.ndarray]


PREDICTION = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
}
LOSS = {
    "identity": lambda f, y: np.sum((y - f) ** 2) / 2,
    "sigmoid": lambda f, y: -np.sum(y * np.log(f) + (1 - y) * np.log(1 - f)),
    "softmax": lambda f, y: -np.sum(y * np.log(f)),
}
every_output = pytest.mark.parametrize("output", LOSS)


def plain(Ws: list[Any], bs: list[Any], X: np.ndarray, y: np.ndarray, output: str) -> Plain:
    """Forward and backward with tanh in the hidden layers; y: (n, K)."""
    n, h, pre, post = len(X), X, [], []
    for W, b in zip(Ws, bs, strict=True):
        pre.append(h @ W.T + b)
        h = np.tanh(pre[-1])
        post.append(h)
    f = post[-1] = PREDICTION[output](pre[-1])
    delta = [(f - y) / n]
    for W, below in zip(Ws[:0:-1], post[-2::-1], strict=True):
        delta.insert(0, (delta[0] @ W) * (1 - below**2))
    dW = [d.T @ x for d, x in zip(delta, [X, *post[:-1]], strict=True)]
    return Plain(pre, post, LOSS[output](f, y) / n, delta, dW, [d.sum(axis=0) for d in delta])


def flat_of(Ws: list[Any], bs: list[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(a) for pair in zip(Ws, bs, strict=True) for a in pair])


def draw(rng, widths: list[int], n: int, output: str, dtype: str) -> tuple[Any, Any, Any, Any]:
    """Return weights, biases, inputs and targets that `dtype` can hold exactly."""
    pairs = itertools.pairwise(widths)
    Ws = [(rng.normal(size=(m, k)) / np.sqrt(k)).astype(dtype) for k, m in pairs]
    bs = [rng.normal(size=m).astype(dtype) for m in widths[1:]]
    X = rng.uniform(-1, 1, (n, widths[0])).astype(dtype)
    K = widths[-1]
    rows = {
        "identity": lambda: rng.normal(size=(n, K)),
        "sigmoid": lambda: rng.integers(0, 2, (n, K)),
        "softmax": lambda: np.eye(K)[rng.integers(0, K, n)],
    }
    return Ws, bs, X, rows[output]().astype(dtype)


def assert_close(got: Any, want: Any, dtype: str, widths: list[int]) -> None:
    got = host(got)
    assert got.dtype == dtype
    assert got.shape == np.shape(want)
    unit = float(np.finfo(dtype).eps) * np.sqrt(max(widths)) * len(widths)
    assert np.max(np.abs(got - want)) <= UNITS * unit * max(1.0, np.max(np.abs(want)))


def assert_agrees(net: nn.Network, Ws: Any, bs: Any, X: Any, y: Any) -> None:
    """Compare everything that a network computes with the formulas."""
    wide = [host(a).astype("float64") for a in (X, y)]
    want = plain([W.astype("f8") for W in Ws], [b.astype("f8") for b in bs], *wide, net.output)
    trace, (loss, grads) = net.trace(X), net.gradients(X, y)
    pairs = [
        (net(X), want.post[-1]),
        (net.scores(X), want.pre[-1]),
        (trace.output, want.post[-1]),
        (trace.scores, want.pre[-1]),
        (net.loss(X, y), want.loss),
        (loss, want.loss),
        (grads.flat, flat_of(want.W, want.b)),
        *zip(trace.pre, want.pre, strict=True),
        *zip(trace.post, want.post, strict=True),
        *zip(grads.delta, want.delta, strict=True),
        *zip(grads.W, want.W, strict=True),
        *zip(grads.b, want.b, strict=True),
    ]
    for got, value in pairs:
        assert_close(got, value, net.dtype, [X.shape[0], *net.widths])


@every_output
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_agrees_with_plain_numpy(backend_variant, output, dtype, rng):
    Ws, bs, X, y = draw(rng, [3, 5, 4, 2], 7, output, dtype)
    net = nn.MLP.from_weights(Ws, bs, "tanh", output, **backend_variant.place)
    assert_agrees(net, Ws, bs, backend_variant.array(X), backend_variant.array(y))


LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "one row repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}


@settings(max_examples=150, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    n=st.integers(1, 5),
    output=st.sampled_from(list(LOSS)),
    dtype=st.sampled_from(FLOATS),
    layout=st.sampled_from(list(LAYOUTS)),
    writable=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_dtype_and_layout(widths, n, output, dtype, layout, writable, seed):
    widths[-1] += output == "softmax"  # which takes two outputs or more
    Ws, bs, X, y = draw(np.random.default_rng(seed), widths, n, output, dtype)
    X, y = LAYOUTS[layout](X), LAYOUTS[layout](y)
    X.flags.writeable = y.flags.writeable = writable
    before = X.tobytes(), y.tobytes()
    net = nn.MLP.from_weights(Ws, bs, "tanh", output, backend="numpy")
    assert_agrees(net, Ws, bs, X, y)
    assert (X.tobytes(), y.tobytes()) == before


@pytest.mark.parametrize("a", [1.0, -0.7])
def test_linear_networks_collapse_to_one_affine_map(a, rng):
    Ws, bs, X, _ = draw(rng, [3, 6, 5, 2], 8, "identity", "float64")
    net = nn.MLP.from_weights(Ws, bs, nn.activations.Linear(a), "identity")
    W = a * a * Ws[2] @ Ws[1] @ Ws[0]
    b = a * Ws[2] @ (a * Ws[1] @ bs[0] + bs[1]) + bs[2]
    np.testing.assert_allclose(net(X), X @ W.T + b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("labels", [[1, 0, 1], [[1.0], [0.0], [1.0]], [True, False, True]])
def test_a_single_output_takes_a_vector_or_a_column(labels):
    net = nn.MLP([2, 3, 1], output="sigmoid", dtype="float64")
    X = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    want = LOSS["sigmoid"](net(X), np.array([[1.0], [0.0], [1.0]])) / 3
    assert float(net.loss(X, labels)) == pytest.approx(want, rel=1e-14)


def test_results_are_the_backends_own(backend_variant):
    net = nn.MLP([2, 3, 2], **backend_variant.place)
    X = [[0.0, 1.0]]
    trace, (loss, grads) = net.trace(X), net.gradients(X, [1])
    results = [net(X), net.scores(X), *trace.pre, *trace.post, loss, net.loss(X, [1]), grads.flat]
    for array in [*results, *grads.W, *grads.b, *grads.delta]:
        assert backend_variant.backend.owns(array)
        assert array.device == net.device
        assert array.dtype == net.w.dtype
    assert loss.shape == net.loss(X, [1]).shape == ()


# The public surface


def test_widths_and_depth():
    net = nn.MLP([64, 100, 10])
    assert net.widths == [64, 100, 10]
    assert net.depth == 2
    net.widths.append(3)
    assert net.widths == [64, 100, 10]


def test_depth_counts_weight_layers_only():
    block = nn.Residual([nn.Dense(4, 7, "relu"), nn.Dense(7, 4)])
    net = nn.Network([nn.LayerNorm(3), nn.Dense(3, 4, "relu"), nn.Dropout(0.5), block])
    assert net.widths == [3, 4, 7, 4]
    assert net.depth == 3
    assert len(net.layers) == 4


def test_w_is_W_then_b_layer_by_layer(backend_variant, rng):
    Ws, bs, *_ = draw(rng, [3, 5, 2], 1, "softmax", "float32")
    net = nn.MLP.from_weights(Ws, bs, **backend_variant.place)
    np.testing.assert_array_equal(host(net.w), flat_of(Ws, bs))
    for layer, W, b in zip(net.layers, Ws, bs, strict=True):
        np.testing.assert_array_equal(host(layer.W), W)
        np.testing.assert_array_equal(host(layer.b), b)


@pytest.mark.parametrize("backend", WRITABLE)
def test_W_and_b_are_views_of_w(backend):
    net = nn.MLP([2, 3, 2], backend=backend)
    net.layers[0].W[1, 0] = 5.0
    net.layers[1].b[1] = 6.0
    assert float(net.w[2]) == 5.0
    assert float(net.w[-1]) == 6.0
    net.w[:6] = 7.0
    assert (host(net.layers[0].W) == 7.0).all()


def test_layers_show_their_description():
    layer = nn.MLP([2, 3, 2], activation="tanh").layers[0]
    assert (layer.inputs, layer.outputs, layer.activation) == (2, 3, nn.activations.tanh)
    assert repr(layer) == repr(layer.layer)
    assert not hasattr(layer, "gain")
    norm = nn.Network([nn.BatchNorm(2)]).layers[0]
    assert norm.gain.tolist() == norm.variance.tolist() == [1.0, 1.0]
    assert norm.shift.tolist() == norm.mean.tolist() == [0.0, 0.0]


def test_assigning_to_a_layer_is_refused_since_it_would_change_nothing():
    net = nn.MLP([2, 3, 2])
    with pytest.raises(AttributeError, match=r"`W` cannot be assigned.*layers\[i\]\.W\[\.\.\.\]"):
        net.layers[0].W = np.zeros((3, 2))
    with pytest.raises(TypeError, match="does not support item assignment"):
        net.layers[0].parameters["W"] = np.zeros((3, 2))


def test_assigning_w_copies(backend_variant):
    net = nn.MLP([2, 3, 2], **backend_variant.place)
    values = np.arange(17, dtype="float32")
    net.w = values
    values[:] = -1.0
    assert host(net.w).tolist() == list(range(17))
    assert host(net.layers[1].b).tolist() == [15.0, 16.0]
    other = nn.MLP([2, 3, 2], seed=1, **backend_variant.place)
    net.w = other.w
    assert not np.shares_memory(host(net.w), host(other.w)) or backend_variant.id == "jax"


def test_biases_and_shifts_start_at_plus_0():
    net = nn.Network([nn.Dense(3, 9), nn.LayerNorm(9), nn.BatchNorm(9)])
    starts = [net.layers[0].b, net.layers[1].shift, net.layers[2].shift, net.layers[2].mean]
    assert not any(np.signbit(start).any() or start.any() for start in starts)


def test_assigned_w_is_what_the_network_computes_with():
    net = nn.MLP([2, 3, 2], output="identity")
    assert net([[1.0, 1.0]]).any()
    net.w = [0.0] * 17
    assert not net([[1.0, 1.0]]).any()


def test_seed_decides_the_weights_on_every_backend(backend_variant):
    def weights(seed: int | None, **place: Any) -> list[float]:
        return host(nn.MLP([2, 3, 2], seed=seed, **place).w).tolist()

    assert weights(3, **backend_variant.place) == weights(3, backend="numpy")
    assert weights(3) != weights(4)
    assert weights(None) != weights(None)


# from_weights


def test_from_weights_copies(backend_variant):
    Ws = [backend_variant.array(np.ones((2, 3)), "float32")]
    bs = [backend_variant.array(np.ones(2), "float32")]
    net = nn.MLP.from_weights(Ws, bs, **backend_variant.place)
    if backend_variant.backend_name in WRITABLE:
        Ws[0][...] = 9.0
    assert host(net.w).tolist() == [1.0] * 8
    assert net.dtype == "float32"


@pytest.mark.parametrize("source", BACKENDS)
def test_from_weights_takes_the_arrays_of_any_backend(source, backend_variant):
    theirs = nn.MLP([3, 2, 2], seed=5, dtype="float64", backend=source)
    Ws, bs = zip(*((layer.W, layer.b) for layer in theirs.layers), strict=True)
    net = nn.MLP.from_weights(Ws, bs, **backend_variant.place)
    assert net.dtype == "float64"
    np.testing.assert_array_equal(host(net.w), host(theirs.w))


@pytest.mark.parametrize("dtype", FLOATS)
def test_from_weights_takes_over_the_dtype(dtype):
    net = nn.MLP.from_weights([np.ones((2, 3), dtype)], [np.ones(2)])
    assert net.dtype == dtype


def test_from_weights_takes_lists_and_integers():
    net = nn.MLP.from_weights([[[1, 2, 3]], [[4]]], [[5], [6]], output="identity")
    assert net.dtype == "float64"
    assert net.w.tolist() == [1, 2, 3, 5, 4, 6]
    assert (
        nn.MLP.from_weights([[[1, 2]]], [[3]], output="identity", dtype="float16").dtype
        == "float16"
    )


# Nobody's memory is shared


LAYERS = [nn.Dropout(0.5), nn.Dense(3, 3), nn.BatchNorm(3), nn.Residual([nn.Dense(3, 3)])]


def everything(net: nn.Network, X: Any, y: Any) -> list[np.ndarray]:
    trace, (loss, grads) = net.trace(X), net.gradients(X, y)
    arrays = [net(X), net.scores(X), *trace.pre, *trace.post, loss, grads.flat, *grads.delta]
    arrays += [g for part in grads.parameters for g in part.values()]
    return [host(array) for array in arrays]


@pytest.mark.parametrize("backend", WRITABLE)
@pytest.mark.parametrize("first", range(len(LAYERS)))
def test_results_alias_neither_inputs_nor_parameters(backend, first):
    net = nn.Network([*LAYERS[first:], nn.Dense(3, 3), nn.Dropout(0.5)], backend=backend)
    X, y = net.scores(np.ones((4, 3))), net.scores(np.zeros((4, 3)))
    for array in everything(net, X, y):
        assert not any(np.shares_memory(array, host(own)) for own in (X, y, net.w))


def test_results_outlive_later_calls():
    net = nn.MLP([3, 4, 2])
    first = everything(net, np.ones((5, 3)), [0, 1, 0, 1, 0])
    kept = [array.copy() for array in first]
    everything(net, np.zeros((5, 3)), [1, 0, 1, 0, 1])
    nn.Trainer(net.copy()).fit(np.zeros((5, 3)), [1, 0, 1, 0, 1], epochs=2)
    for array, value in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, value)


def overwrite(net: nn.Network) -> None:
    """Write into every array that the network holds, where that is possible."""
    if net.backend in WRITABLE:
        net.w[...] = 9.0
        net.layers[1].mean[...] = 9.0


def arrays_of(net: nn.Network) -> list[np.ndarray]:
    return [host(net.w), *(host(a) for layer in net.layers for a in layer.buffers.values())]


def normalised(backend: str) -> nn.Network:
    layers = [nn.Dense(2, 3), nn.BatchNorm(3), nn.Dense(3, 2)]
    return nn.Network(layers, "softmax", backend=backend)


def assert_independent(one: nn.Network, other: nn.Network) -> None:
    kept = [a.copy() for a in arrays_of(other)]
    overwrite(one)
    for now, before in zip(arrays_of(other), kept, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("source", BACKENDS)
def test_to_shares_no_memory_and_comes_back_bit_for_bit(source, target):
    net = normalised(source)
    moved = net.to(target)
    back = moved.to(source)
    assert (moved.backend, back.backend) == (target, source)
    for a, b in zip(arrays_of(net), arrays_of(back), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_independent(net, moved)
    assert_independent(moved, back)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_to_converts_the_dtype(backend, dtype):
    if (backend, dtype) == ("strict", "float16"):
        pytest.skip("the array API standard has no float16")
    net = normalised(backend)
    moved = net.to(dtype=dtype)
    assert moved.dtype == dtype
    assert moved.backend == net.backend
    for a, b in zip(arrays_of(net), arrays_of(moved), strict=True):
        assert b.dtype == dtype
        np.testing.assert_array_equal(a.astype(dtype), b)


def test_to_and_copies_stay_on_their_device():
    net = nn.MLP([2, 3, 2], backend="strict", device="device1")
    for moved in (net.to(), net.copy(), net.to(dtype="float64"), copy.deepcopy(net)):
        assert moved.device == net.device
        assert moved.w.device == net.device
    assert str(net.to(device="device2").w.device) != str(net.device)


COPIES = {
    "copy": lambda net: net.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_copies_are_equal_and_independent(backend, how):
    net = normalised(backend)
    twin = COPIES[how](net)
    assert repr(twin) == repr(net)
    assert twin.layers[1].layer == net.layers[1].layer
    X = [[0.5, -1.0], [2.0, 0.0]]
    np.testing.assert_array_equal(host(twin(X)), host(net(X)))
    assert_independent(net, twin)


def test_mlps_stay_mlps():
    net = nn.MLP([2, 3, 2])
    assert {type(make(net)) for make in COPIES.values()} == {nn.MLP}


class Doubled(nn.losses.MSE):
    def value_and_delta(self, *arguments):
        loss, delta = super().value_and_delta(*arguments)
        return 2.0 * loss, 2.0 * delta


def test_loss_and_gradients_of_another_loss_than_the_output_s_own():
    net, X, y = nn.MLP([2, 3, 1], output="identity", dtype="float64"), [[0.5, -1.0]], [0.25]
    value, gradients = net.gradients(X, y, loss=Doubled())
    assert float(net.loss(X, y, loss=Doubled())) == float(value) == 2 * float(net.loss(X, y))
    np.testing.assert_array_equal(gradients.flat, 2 * net.gradients(X, y)[1].flat)
    with pytest.raises(ValueError, match=r"Network\.loss: `loss` CrossEntropy needs output="):
        net.loss(X, y, loss="cross_entropy")


# Text


def test_repr():
    assert repr(nn.MLP([64, 100, 10])) == "MLP 64-100-10, softmax output, float32 on numpy (cpu)"
    net = nn.Network([nn.Dense(2, 1)], dtype="float64", backend="torch")
    assert repr(net) == "Network 2-1, identity output, float64 on torch (cpu)"


def test_summary_has_a_line_a_layer():
    layers = [nn.Dense(64, 100, "relu"), nn.Dropout(0.2), nn.LayerNorm(100), nn.Dense(100, 10)]
    assert nn.Network(layers, "softmax").summary().splitlines() == [
        "Network 64-100-10, softmax output, float32 on numpy (cpu)",
        "layer  kind        in  ->  out  activation  parameters   memory   MFLOP",
        "0      Dense       64  ->  100  relu             6,500  26.0 kB  0.0129",
        "1      Dropout    100  ->  100  identity             0      0 B       0",
        "2      LayerNorm  100  ->  100  identity           200    800 B       0",
        "3      Dense      100  ->  10   identity         1,010   4.0 kB  0.0020",
        "total              64  ->  10                    7,710  30.8 kB  0.0149",
        # Dense: 2 m m_in + m; dW, db as much again; delta of layer 3 alone: 2 m m_in.
        "training step  0.0318 MFLOP a sample (forward 0.0149, backward 0.0169)",
    ]


def nested(first, dtype="float32"):
    inner = nn.Residual([nn.Dense(1000, 1500, "silu"), nn.Dense(1500, 1000)])
    block = nn.Residual([nn.LayerNorm(1000), inner, nn.Dense(1000, 1000)], "relu")
    return nn.Network([*first, block, nn.BatchNorm(1000), nn.Dense(1000, 10)], dtype=dtype)


def test_summary_shows_the_layers_inside_a_block_indented():
    block = [line for line in nested([]).summary().splitlines() if line.startswith("0")]
    assert [line.split("  ")[0] for line in block] == ["0", "0.0", "0.1", "0.1.0", "0.1.1", "0.2"]
    indents = [len(line[5:]) - len(line[5:].lstrip()) for line in block]
    assert [indent - indents[0] for indent in indents] == [0, 2, 2, 4, 4, 2]
    assert block[0].endswith("relu")
    assert block[2].endswith("identity")  # the costs are those of the lines below


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_summary_s_columns_add_up(dtype):
    net = nested([nn.Dense(3, 1000)], dtype)
    rows = list(_summary.lines(net.chain, 3))
    assert sum(row.parameters for row in rows) == net.w.size
    (total,) = (line for line in net.summary().splitlines() if line.startswith("total"))
    megabytes = net.w.size * net.w.itemsize / 1e6
    assert total.split()[-4:-1] == [f"{net.w.size:,}", f"{megabytes:.1f}", "MB"]


FIRST = {"dense": [nn.Dense(1000, 1000)], "norm": [nn.LayerNorm(1000)], "residual": []}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_summary_counts_the_products_that_a_training_step_takes(first, monkeypatch):
    net, counted = nested(first), []
    passed = nn.Dense.backward

    def counting(layer, *args):
        grads, below = passed(layer, *args)
        product, m = 2 * layer.inputs * layer.outputs, layer.outputs
        counted.append((product + m, product + m + (0 if below is None else product)))
        return grads, below

    monkeypatch.setattr(nn.Dense, "backward", counting)
    net.gradients(np.zeros((1, 1000)), np.zeros((1, 10)))
    rows = _summary.lines(net.chain, net.widths[0])
    dense = [row for row in rows if isinstance(row.layer, nn.Dense)]
    assert [(row.forward, row.backward) for row in dense] == counted[::-1]


def test_summary_of_a_tiny_network_shows_single_operations():
    *_, total, step = nn.MLP([2, 1], output="identity").summary().splitlines()
    assert total.endswith("12 B  0.000005")
    assert step.startswith("training step  0.000010 MFLOP")


def test_summary_names_activations_with_parameters():
    net = nn.MLP([2, 3, 1], nn.activations.LeakyReLU(0.3), "identity")
    assert "LeakyReLU" in net.summary()


@pytest.mark.parametrize("name", ["w", "buffer/1/mean"])
def test_arrays_of_another_shape_are_refused(name, backend_variant):
    place = backend_variant.place
    net = nn.Network([nn.Dense(6, 8), nn.BatchNorm(8), nn.Dense(8, 3)], "softmax", **place)
    other = nn.Network([nn.Dense(6, 2), nn.BatchNorm(2), nn.Dense(2, 3)], "softmax", **place)
    before = [host(array).tobytes() for array in net.arrays().values()]
    with pytest.raises(ValueError, match=rf"^Network\.restore: `{name}` must have shape \("):
        net.restore({**net.arrays(), name: other.arrays()[name]})
    with pytest.raises(ValueError, match=r"`buffer/1/variance` must have shape \(8,\), got none"):
        net.buffers = [{}, {"mean": np.zeros(8)}, {}]
    assert [host(array).tobytes() for array in net.arrays().values()] == before
