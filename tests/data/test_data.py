"""Labels: one-hot rows and back, and the forms in which targets may come."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnpoly as nn
from nnpoly.backends import registry

host = registry.to_host
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]

LABELS = {
    "strings": (["dog", "cat", "dog", "bird"], ["bird", "cat", "dog"]),
    "integers": ([7, 300, 7], [7, 300]),
    "negative integers": ([-1, 5, -100, 5], [-100, -1, 5]),
    "bools": ([True, False, True], [False, True]),
    "floats": ([0.5, -0.25], [-0.25, 0.5]),
    "empty strings": (["", "a"], ["", "a"]),
    "one class": (["a", "a"], ["a"]),
    "NumPy's": (np.array([3, 1, 3], dtype="uint8"), [1, 3]),
    "tuples": (("b", "a"), ["a", "b"]),
    "objects": (np.array(["b", "a"], dtype=object), ["a", "b"]),
}


# One-hot rows


@pytest.mark.parametrize("name", LABELS)
def test_fit_sorts_and_decode_inverts_encode(name):
    labels, classes = LABELS[name]
    encoder = nn.OneHot.fit(labels)
    assert list(encoder.classes) == classes
    rows = encoder.encode(labels)
    assert rows.shape == (len(labels), len(classes))
    assert rows.dtype == "float32"
    assert set(rows.ravel().tolist()) <= {0.0, 1.0}
    assert (rows.sum(axis=1) == 1.0).all()
    assert encoder.decode(rows).tolist() == list(labels)
    assert encoder.decode(encoder.indices(labels)).tolist() == list(labels)
    np.testing.assert_array_equal(rows, nn.one_hot(labels))


@given(st.lists(st.integers(), min_size=1) | st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_any_integers_come_back(labels):
    encoder = nn.OneHot.fit(labels)
    assert list(encoder.classes) == sorted(set(labels))
    assert encoder.decode(encoder.encode(labels)).tolist() == labels


BIG = 2**53  # from here on not every integer is a float64
LARGE_INTEGERS = {
    "int64": np.array([BIG + 1, BIG, -1]),
    "uint64": np.array([2**63 + 1, 2**63, 1], dtype="u8"),
    "a list": [BIG + 1, BIG, -1],
    "beyond int64": [2**63 + 1, 2**63, 1],
    "beyond int64, and negative": [2**63 + 1, 2**63, -1],
    "beyond uint64": [2**64 + 1, 2**64, -(2**70)],
    "beside a float": [BIG + 1, BIG, 0.5],
    "objects": np.array([2**63 + 1, 2**63, -1], dtype=object),
    "a tuple": (2**63 + 1, 2**63, -1),
}


@pytest.mark.parametrize("name", LARGE_INTEGERS)
def test_large_integers_stay_distinct(name):
    labels = LARGE_INTEGERS[name]
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    for encoder in (nn.OneHot.fit(labels), nn.OneHot(tuple(sorted(values)))):
        assert list(encoder.classes) == sorted(values)
        assert encoder.indices(labels).tolist() == [2, 1, 0]
        assert encoder.decode(encoder.encode(labels)).tolist() == values
        assert encoder.decode([2, 1, 0]).tolist() == values
    assert nn.one_hot(labels, sorted(values)).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert nn.one_hot(labels).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("classes", "labels", "stranger"),
    [
        ((BIG, BIG + 2), np.array([BIG + 1, BIG], dtype="u8"), BIG + 1),
        ((-1, BIG), np.array([BIG + 1], dtype="u8"), BIG + 1),
        ((2**63, 2**63 + 2), np.array([-(2**63), 5]), -(2**63)),
        ((float(BIG), 0.5), np.array([BIG, BIG + 1]), BIG + 1),
        ((BIG + 1, BIG + 3), np.array([float(BIG)]), float(BIG)),
        ((BIG + 1, -1), [BIG], BIG),
        ((2**63 + 1, -1), [2**63], 2**63),
        ((2**64, 2**64 + 2), [2**64 + 1], 2**64 + 1),
    ],
)
def test_a_neighbour_of_a_large_class_is_no_member(classes, labels, stranger):
    with pytest.raises(ValueError, match=rf"among .*, got {re.escape(repr(stranger))} \(row"):
        nn.OneHot(classes).indices(labels)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ((0, 1), np.array([1.0, 0.0])),
        ((0.0, 1.0), np.array([1, 0])),
        ((0, 1), np.array([1, 0], dtype="u8")),
        ((0.5, 1.0, 0.0), [True, False]),
        ((-1, 0, 1), np.array([1, 0], dtype=">i2")),
        ((2**63, 1, 0), np.array([1, 0])),
    ],
)
def test_equal_numbers_of_another_type_are_the_same_label(classes, labels):
    encoder = nn.OneHot(classes)
    assert encoder.indices(labels).tolist() == [classes.index(1), classes.index(0)][: len(labels)]


@pytest.mark.parametrize("classes", [("a", "b"), (3, 7), (2**64, 1), (0.5,)])
def test_no_rows_have_no_labels(classes):
    encoder = nn.OneHot(classes)
    empty = np.zeros((0, 2))
    for rows in ([], empty[:, : len(classes)], np.zeros(0, "i8"), np.zeros(0, "i4"), ()):
        found = encoder.decode(rows)
        assert found.shape == (0,)
        assert found.dtype == encoder.decode([0]).dtype
    with pytest.raises(ValueError, match=r"`rows` must have shape \(n, "):
        encoder.decode(np.zeros((0, 5)))


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1))
def test_any_strings_come_back(labels):
    encoder = nn.OneHot.fit(labels)
    assert encoder.decode(encoder.indices(labels)).tolist() == labels


def test_classes_keep_the_order_given():
    encoder = nn.OneHot(("low", "high", "middle"))
    assert encoder.indices(["high", "low"]).tolist() == [1, 0]
    assert nn.one_hot(["high", "low"], ["low", "high", "middle"]).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_a_number_of_classes_means_0_to_K():
    assert nn.one_hot([2, 0], classes=4).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert nn.one_hot([True, False], classes=2).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_dtype(dtype):
    assert nn.one_hot([0, 1], dtype=dtype).dtype == dtype


def test_decode_takes_probabilities_and_the_first_of_equals():
    encoder = nn.OneHot(("a", "b", "c"))
    rows = [[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [0.4, 0.4, 0.2]]
    assert encoder.decode(rows).tolist() == ["b", "c", "a"]


def test_arrays_of_every_backend(backend_variant):
    labels = backend_variant.array([5, -2, 5], "int32")
    rows = nn.one_hot(labels)
    assert backend_variant.backend.owns(rows)
    assert rows.device == labels.device
    assert host(rows).tolist() == [[0, 1], [1, 0], [0, 1]]
    assert nn.OneHot((-2, 5)).decode(rows).tolist() == [5, -2, 5]
    assert nn.OneHot.fit(labels).classes == (-2, 5)


def test_decodes_what_a_network_predicts(backend_variant):
    net = nn.MLP([2, 3], dtype="float64", **backend_variant.place)
    net.w = [0.0] * 6 + [0.0, 2.0, 1.0]
    prediction = net([[1.0, 2.0]])
    assert nn.OneHot(("cat", "dog", "eel")).decode(prediction).tolist() == ["dog"]


BAD_LABELS = [
    (lambda: nn.OneHot(("a", "b")).encode(["a", "c"]), "among 'a', 'b', got 'c' (row 1)"),
    (lambda: nn.OneHot(("a", "b")).encode([1]), "among 'a', 'b', got 1 (row 0)"),
    (lambda: nn.OneHot((1, 2)).encode(["a"]), "among 1, 2, got 'a' (row 0)"),
    (lambda: nn.OneHot(range(20)).encode([20]), "among 0, 1, 2, 3, 4, 5, 6, 7, ..., got 20"),
    (lambda: nn.one_hot([0, 3], classes=3), "among 0, 1, 2, got 3 (row 1)"),
    (lambda: nn.one_hot([-1], classes=3), "among 0, 1, 2, got -1 (row 0)"),
    (lambda: nn.one_hot([0.5], classes=3), "among 0, 1, 2, got 0.5 (row 0)"),
    (lambda: nn.one_hot([float("nan"), 1.0], classes=2), "among 0, 1, got nan (row 0)"),
    (lambda: nn.one_hot([]), "`labels` must be a non-empty vector of labels, got shape (0,)"),
    (lambda: nn.one_hot("cat"), "`labels` must be a non-empty vector of labels, got shape ()"),
    (lambda: nn.one_hot([[1, 2]]), "`labels` must be a non-empty vector of labels, got shape (1"),
    (lambda: nn.one_hot([None, "a"]), "`labels` must be of one kind"),
    (lambda: nn.one_hot([0], classes=0), "`classes` must be an integer >= 1, got 0"),
    (lambda: nn.OneHot(("a", "b", "a")), "`classes` must be different labels"),
    (lambda: nn.OneHot(()), "`classes` must be different labels of one kind, at least one, got ()"),
    (lambda: nn.OneHot(("a", 1)), "`classes` must be different labels of one kind"),
    (lambda: nn.OneHot((1, True)), "`classes` must be different labels of one kind"),
    (lambda: nn.OneHot(("a", "b")).decode([[1, 0, 0]]), "`rows` must have shape (n, 2)"),
    (lambda: nn.OneHot(("a", "b")).decode([2]), "or be class indices 0..1, got"),
    (lambda: nn.OneHot(("a", "b")).decode([-1]), "or be class indices 0..1, got"),
    (lambda: nn.OneHot(("a", "b")).decode([0.5]), "or be class indices 0..1, got"),
]


@pytest.mark.parametrize(("call", "part"), BAD_LABELS)
def test_bad_labels(call, part):
    with pytest.raises(ValueError, match=r"^(OneHot|one_hot): ") as caught:
        call()
    assert part in str(caught.value)


# Targets


X = np.random.default_rng(0).normal(size=(6, 2))
Y = [0, 2, 1, 1, 0, 2]


def losses(y: Any) -> list[float]:
    """Return what every entry that takes targets makes of y."""
    net = nn.MLP([2, 3, 3], "tanh", dtype="float64")
    t = nn.Trainer(net, nn.SGD(0.1))
    found = [float(net.loss(X, y)), float(net.gradients(X, y)[0]), t.evaluate(X, y)]
    found.append(float(t.step(X, y)))
    return [*found, *t.fit(X, y, epochs=2, batch_size=4, validation=(X, y)).validation_loss]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_class_indices_of_every_integer_type(dtype):
    assert losses(np.array(Y, dtype=dtype)) == losses(Y)


def test_class_indices_and_one_hot_rows_agree(backend_variant):
    net = nn.MLP([2, 3], dtype="float64", **backend_variant.place)
    labels = backend_variant.array(Y, "int32")
    loss, grads = net.gradients(X, labels)
    other_loss, other_grads = net.gradients(X, nn.one_hot(labels))
    assert float(loss) == pytest.approx(float(other_loss), rel=1e-14)
    np.testing.assert_allclose(host(grads.flat), host(other_grads.flat), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS, "float16", "float32"])
def test_one_hot_rows_of_every_type(dtype):
    assert losses(nn.one_hot(Y, dtype=dtype)) == losses(nn.one_hot(Y, dtype="float64"))


@pytest.mark.parametrize("source", ["host", "backend"])
def test_labels_of_every_type_on_every_backend(backend_variant, source):
    net = nn.MLP([2, 3], dtype="float64", **backend_variant.place)
    want = float(net.loss(X, Y))
    for dtype in ("uint8", "int8", "int32", "int64"):
        y = np.array(Y, dtype=dtype)
        y = backend_variant.array(y) if source == "backend" else y
        assert float(net.loss(X, y)) == want


def test_300_classes_with_labels_of_8_bits():
    """Class numbers may exceed what the labels' type can hold; the labels themselves do not."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)), rng.integers(0, 256, 40)
    net = nn.MLP([5, 300], dtype="float64")
    for dtype in ("uint8", "int64"):
        twin = nn.Trainer(net.copy())
        twin.fit(X, y.astype(dtype), epochs=2)
        assert twin.network.w.tobytes() == fitted(net, X, y)


def fitted(net: nn.Network, X: np.ndarray, y: np.ndarray) -> bytes:
    t = nn.Trainer(net.copy())
    t.fit(X, y, epochs=2)
    return t.network.w.tobytes()


@pytest.mark.parametrize("labels", ["bool", "uint8", "int64", "float32"])
@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_numbers_of_every_type_for_other_outputs(backend_variant, output, labels):
    net = nn.MLP([2, 1], output=output, dtype="float64", **backend_variant.place)
    y = backend_variant.array(np.array([0, 1, 1, 0, 1, 0], dtype=labels))
    want = float(net.loss(X, [[0.0], [1.0], [1.0], [0.0], [1.0], [0.0]]))
    assert float(net.loss(X, y)) == want


def test_data_may_be_lists_and_anything_that_becomes_an_array():
    class Frame:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array(X, dtype=dtype)

    net = nn.MLP([2, 3, 3])
    for same in (X.tolist(), tuple(map(tuple, X.tolist())), Frame(), X.view(np.ma.MaskedArray)):
        np.testing.assert_array_equal(net(same), net(X))
        assert type(net(same)) is np.ndarray


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrices_are_arrays_here(dtype):
    net = nn.MLP([2, 3, 3])
    result = net(np.matrix(X, dtype=dtype))
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, net(X))


def test_integers_are_numbers_too(backend_variant):
    net = nn.MLP([2, 3], **backend_variant.place)
    whole = np.array([[1, -2], [3, 4]])
    want = host(net(whole.astype("float32")))
    for dtype in ("int8", "int64"):
        np.testing.assert_array_equal(host(net(backend_variant.array(whole, dtype))), want)


def test_autograds_tensors_are_data():
    torch = pytest.importorskip("torch")
    net = nn.MLP([2, 1], output="identity", backend="torch")
    X, y = torch.ones(3, 2, requires_grad=True), torch.ones(3, 1, requires_grad=True)
    (loss, grads), trace = net.gradients(X, y), net.trace(X)
    results = [net(X), net.loss(X, y), loss, grads.flat, *trace.pre, *trace.post]
    results.append(nn.Trainer(net).step(X, y))
    assert not any(result.requires_grad for result in results)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_arrays_of_the_other_byte_order_are_numbers_too(backend_variant, dtype):
    """Wherever an array of a user's may come in: it trains to the same bits."""
    place = backend_variant.place

    def trained(order: str) -> list[bytes]:
        inputs, weights = X.astype(order + dtype), np.arange(1.0, 7.0).astype(order + dtype)
        y, w = np.array(Y, dtype=order + "i8"), np.linspace(-1, 1, 21).astype(order + dtype)
        Ws, bs = [w[:6].reshape(3, 2), w[:9].reshape(3, 3)], [w[9:12], w[12:15]]
        net = nn.MLP.from_weights(Ws, bs, dtype="float32", **place)
        same = nn.MLP.from_weights(Ws, bs, **place) if dtype != "f2" else net
        t = nn.Trainer(net)
        t.step(inputs, y, weights)
        t.fit(inputs, y, 2, 4, sample_weight=weights, validation=(inputs, y, weights))
        found = [net.w, net(inputs), net.loss(inputs, y), net.gradients(inputs, y)[1].flat, same.w]
        found.append(np.array(t.evaluate(inputs, y, weights)))
        net.w = w
        found.append(net.w)
        sweep = nn.find_learning_rate(t, inputs, y, steps=3, sample_weight=weights)
        scores = nn.metrics.score(net, inputs, y, ["accuracy", "log_loss"])
        numbers = [*sweep.losses, *scores.values()]
        return [same.dtype.encode(), *(host(a).tobytes() for a in found), repr(numbers).encode()]

    assert trained(">") == trained("<")
