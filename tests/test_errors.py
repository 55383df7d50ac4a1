"""Bad input: every entry names itself, the argument, what it must be, what came and the remedy.

And nothing changes: not the parameters, moments, step or history, and not the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from refusals import NET, REFUSALS

import nnpoly as nn
from nnpoly.backends import get, registry
from nnpoly.callbacks import stopping as callbacks

host = registry.to_host
N, WIDTH, K = 5, 3, 2


def good_data() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).normal(size=(N, WIDTH)), np.arange(N) % K


def trained(output: str = "softmax", outputs: int = K, **options: Any) -> nn.Trainer:
    """Return a trainer in the middle of its work."""
    t = nn.Trainer(nn.MLP([WIDTH, 4, outputs], "tanh", output, **options))
    X, y = good_data()
    for _ in range(2):
        t.step(X, y if output == "softmax" else np.repeat(y[:, None], outputs, axis=1))
    return t


def state(t: nn.Trainer) -> list[Any]:
    w, moments, _ = t.stepper.state
    return [*(host(a).tobytes() for a in (w, *moments)), t.t, list(t.history.loss)]


def bits(value: Any) -> Any:
    """Return what must not change about an argument."""
    plain = type(value) is np.ndarray and value.dtype != object
    return (value.tobytes(), value.strides) if plain else None


def refusal(call: Callable[[], Any], error: type[Exception], where: str, *parts: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(where)}: ") as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert message.endswith((".", "]", ")", "?"))
    assert not re.search(r"\.\.( |$)", message)


def refused(t: nn.Trainer, call: Callable[[], Any], argument: Any, where: str, *parts: str) -> None:
    before = state(t), bits(argument)
    refusal(call, ValueError, where, *parts)
    assert (state(t), bits(argument)) == before


# Inputs

X_ENTRIES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "call": ("MLP", "X", lambda t, X: t.network(X)),
    "scores": ("Network.scores", "X", lambda t, X: t.network.scores(X)),
    "trace": ("Network.trace", "X", lambda t, X: t.network.trace(X)),
    "loss": ("Network.loss", "X", lambda t, X: t.network.loss(X, [0])),
    "gradients": ("Network.gradients", "X", lambda t, X: t.network.gradients(X, [0])),
    "step": ("Trainer.step", "xb", lambda t, X: t.step(X, [0])),
    "fit": ("Trainer.fit", "X", lambda t, X: t.fit(X, [0])),
    "evaluate": ("Trainer.evaluate", "X", lambda t, X: t.evaluate(X, [0])),
    "validation": (
        "Trainer.fit",
        "validation[0]",
        lambda t, X: t.fit(*good_data(), validation=(X, [0])),
    ),
}
CATEGORIES = "Encode categories first (nn.one_hot)"
X_FAULTS = {
    "one sample": (np.zeros(WIDTH), "must have shape (n, 3), got (3,). For one sample pass"),
    "vector": (np.zeros(7), "must have shape (n, 3), got (7,)."),
    "number": (1.0, "must have shape (n, 3), got ()."),
    "width": (np.zeros((N, 4)), "must have shape (n, 3), got (5, 4)."),
    "transposed": (np.zeros((WIDTH, N)), "must have shape (n, 3), got (3, 5)."),
    "images": (np.zeros((N, WIDTH, 1)), "got (5, 3, 1). Flatten each sample:", ".reshape(len("),
    "empty": (np.zeros((0, WIDTH)), "got (0, 3). A batch has at least one sample."),
    "empty list": ([], "must have shape (n, 3), got (0,)."),
    "strings": ([["a", "b", "c"]], "must hold real numbers, got dtype <U1.", CATEGORIES),
    "numbers as text": ([["1", "2", "3"]], "must hold real numbers, got dtype <U1."),
    "complex": (np.zeros((N, WIDTH), complex), "got dtype complex128.", "the parts of complex"),
    "dates": (np.zeros((N, WIDTH), "M8[D]"), "must hold real numbers, got dtype datetime64[D]."),
    "objects": (np.full((N, WIDTH), None), "must hold real numbers, got dtype object."),
    "None": (None, "must hold real numbers, got NoneType."),
    "dict": ({"a": 1}, "must hold real numbers, got dict."),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], "is no rectangular array: "),
    "masked": (
        np.ma.masked_less(np.ones((N, WIDTH)) * [-1.0, 1.0, 1.0], 0.0),
        "must have no masked values. Fill them first: ",
        ".filled(",
    ),
    "torch": (
        get("torch").from_host(np.zeros((N, WIDTH)), None),
        "is an array of torch, but the network lives on numpy.",
        "net.to('torch'), or pass a NumPy array",
    ),
    "jax": (
        get("jax").from_host(np.zeros((N, WIDTH)), None),
        "is an array of jax",
        "net.to('jax')",
    ),
    "strict": (get("strict").from_host(np.zeros((N, WIDTH)), None), "is an array of strict"),
}


@pytest.mark.parametrize("fault", X_FAULTS)
@pytest.mark.parametrize("entry", X_ENTRIES)
def test_inputs(entry, fault):
    (where, name, call), (X, *parts) = X_ENTRIES[entry], X_FAULTS[fault]
    t = trained()
    refused(t, lambda: call(t, X), X, where, f"`{name}` ", *parts)


def test_one_feature():
    net = nn.MLP([1, 2])
    part = "must have shape (n, 1), got (5,). For samples of one feature pass X[:, None]."
    refusal(lambda: net(np.zeros(N)), ValueError, "MLP", part)


def test_inputs_of_a_network_name_its_class():
    net = nn.Network([nn.Dense(3, 2)])
    refusal(lambda: net(np.zeros(3)), ValueError, "Network", "`X` must have shape (n, 3)")


# Targets

Y_ENTRIES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "loss": ("Network.loss", "y", lambda t, X, y: t.network.loss(X, y)),
    "gradients": ("Network.gradients", "y", lambda t, X, y: t.network.gradients(X, y)),
    "step": ("Trainer.step", "yb", lambda t, X, y: t.step(X, y)),
    "fit": ("Trainer.fit", "y", lambda t, X, y: t.fit(X, y)),
    "evaluate": ("Trainer.evaluate", "y", lambda t, X, y: t.evaluate(X, y)),
    "validation": (
        "Trainer.fit",
        "validation[1]",
        lambda t, X, y: t.fit(*good_data(), validation=(X, y)),
    ),
}
every_target_entry = pytest.mark.parametrize("entry", Y_ENTRIES)


def rows(*row: float) -> np.ndarray:
    """Return one-hot rows, but for the last."""
    return np.array([[1.0, 0.0]] * (N - 1) + [list(row)])


ENCODE = "encode other labels with nn.OneHot"
Y_FAULTS = {
    "too few": (np.zeros(4, int), "must have shape (5,)", "or (5, 2) rows), got (4,)."),
    "too many": (np.zeros(6, int), "must have shape (5,)", "got (6,)."),
    "fractions": (
        np.array([0.0, 1.0, 1.0, 0.5, 1.0]),
        "must hold integer class indices 0..1, or one-hot rows, got 0.5 in row 3. For targets",
        "make the network with output='identity'.",
    ),
    "NaN": (np.array([0.0, np.nan, 1.0, 1.0, 1.0]), "must be finite", "the first in row 1."),
    "strings": (list("ababa"), "must hold integer class indices", "<U1. Encode", "nn.OneHot"),
    "too large": ([0, 1, 2, 0, 0], "must hold class indices 0..1, got values from 0 to 2", ENCODE),
    "negative": (np.array([0, 1, -1, 0, 0]), "indices 0..1, got values from -1 to 1", ENCODE),
    "huge": (np.full(N, 2**32), "must hold class indices 0..1, got values from 4.29497e+09"),
    "unsigned": (np.full(N, 2**64 - 1, "uint64"), "must hold class indices 0..1, got values"),
    "wide rows": (np.eye(N)[:, :3], "must have shape (5, 2) (a row for each row of X), got (5, 3)"),
    "few rows": (np.eye(2), "must have shape (5, 2)", "got (2, 2)."),
    "short column": (np.zeros((4, 1), int), "must have shape (5,)", "got (4,)."),
    "3-D": (np.zeros((N, K, 1)), "must have shape (5, 2)", "got (5, 2, 1)."),
    "number": (1, "must have shape (5, 2)", "got ()."),
    "sums": (rows(0.5, 0.25), "rows of `", "must sum to 1", "one is off by 0.25"),
    "negative rows": (
        rows(1.5, -0.5),
        "must hold probabilities in [0, 1], got",
        "from -0.5 to 1.5",
    ),
    "NaN rows": (rows(np.nan, 0.0), "must be finite", "in 1 of 5 rows, the first in row 4."),
    "inf rows": (rows(np.inf, 0.0), "must be finite", "the first in row 4. Remove or fill"),
    "complex rows": (rows(1j, 0.0), "must hold real numbers, got dtype complex128."),
    "None": (None, "is missing. Pass the targets, one for each row of X."),
    "ragged": ([[1.0, 0.0], [1.0]], "is no rectangular array: "),
    "masked": (np.ma.masked_equal(np.arange(N) % K, 1), "must have no masked values."),
    "torch": (get("torch").from_host(np.zeros(N, int), None), "is an array of torch"),
    "jax": (get("jax").from_host(np.zeros(N, int), None), "is an array of jax"),
}


@pytest.mark.parametrize("fault", Y_FAULTS)
@every_target_entry
def test_class_targets(entry, fault):
    (where, name, call), (y, *parts) = Y_ENTRIES[entry], Y_FAULTS[fault]
    t, (X, _) = trained(), good_data()
    refused(t, lambda: call(t, X, y), y, where, f"`{name}` ", *parts)


OTHER_FAULTS = {
    ("sigmoid", "labels"): ([0, 1, 2, 1, 0], "must hold probabilities in [0, 1], got", "0 to 2."),
    ("sigmoid", "signs"): ([-1, 1, -1, 1, 1], "must hold probabilities in [0, 1], got", "-1 to 1."),
    ("sigmoid", "NaN"): ([0.0, np.nan, 0.0, 0.0, 0.0], "must be finite", "the first in row 1."),
    ("sigmoid", "wide"): (np.zeros((N, 2)), "must have shape (5, 1)", "got (5, 2)."),
    ("identity", "short"): (np.zeros(4), "must have shape (5, 1)", "got (4, 1)."),
    ("identity", "row"): (np.zeros((1, N)), "must have shape (5, 1)", "got (1, 5)."),
    ("identity", "text"): (list("abcde"), "must hold real numbers, got dtype <U1."),
    ("identity", "complex"): (
        np.zeros(N, complex),
        "must hold real numbers, got dtype complex128.",
    ),
}


@pytest.mark.parametrize(("output", "fault"), OTHER_FAULTS)
@every_target_entry
def test_other_targets(entry, output, fault):
    (where, name, call), (y, *parts) = Y_ENTRIES[entry], OTHER_FAULTS[output, fault]
    t, (X, _) = trained(output, 1), good_data()
    refused(t, lambda: call(t, X, y), y, where, f"`{name}` ", *parts)


# Data on every backend


@pytest.mark.parametrize("entry", ["fit", "evaluate", "validation"])
def test_data_that_are_not_finite(backend_variant, entry):
    where, y_name, call = Y_ENTRIES[entry]
    X_name = y_name.replace("[1]", "[0]").replace("y", "X")
    t, array = trained("identity", 1, **backend_variant.place), backend_variant.array
    for value in (np.nan, np.inf, -np.inf):
        X, y = good_data()
        bad_X, bad_y = X.copy(), y.astype("float64")
        bad_X[[2, 4], 1] = bad_y[3] = value
        for data, name, place in [
            ((array(bad_X), array(y)), X_name, "in 2 of 5 rows, the first in row 2."),
            ((array(X), array(bad_y)), y_name, "in 1 of 5 rows, the first in row 3."),
        ]:
            parts = (f"`{name}` must be finite in float32, got NaN or infinity", place)
            refused(t, lambda: call(t, *data), None, where, *parts)  # noqa: B023


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # NumPy's own, before our error
def test_data_that_the_dtype_cannot_hold():
    t, (X, y) = trained(), good_data()
    X[1, 0] = 1e39
    refused(t, lambda: t.fit(X, y), X, "Trainer.fit", "`X` must be finite in float32", "in row 1.")


def test_labels_on_every_backend(backend_variant):
    t, (X, _) = trained(**backend_variant.place), good_data()
    labels = np.array([0, 1, 2, 0, 0])
    for where, name, call in Y_ENTRIES.values():
        y = labels if name == "yb" else backend_variant.array(labels)
        part = f"`{name}` must hold class indices 0..1, got values from 0 to 2."
        refused(t, lambda: call(t, X, y), None, where, part)  # noqa: B023


BACKENDS = ["numpy", "strict", "torch", "jax"]
PAIRS = [(ours, theirs) for ours in BACKENDS for theirs in BACKENDS[1:] if ours != theirs]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_arrays_of_two_backends(ours, theirs):
    net, (X, y) = nn.MLP([WIDTH, K], backend=ours), good_data()
    kept = host(net.w).tobytes()
    foreign = get(theirs).from_host
    part = f"is an array of {theirs}, but the network lives on {ours}. Move one of them: net.to("
    for call, where, name in [
        (lambda: net(foreign(X, None)), "MLP", "X"),
        (lambda: net.loss(X, foreign(y, None)), "Network.loss", "y"),
        (lambda: setattr(net, "w", foreign(np.zeros(8), None)), "Network.w", "w"),
    ]:
        refusal(call, ValueError, where, f"`{name}` {part}{theirs!r})")
    assert host(net.w).tobytes() == kept


def test_complex_numbers_on_every_backend(backend_variant):
    net = nn.MLP([WIDTH, K], **backend_variant.place)
    X = backend_variant.array(np.zeros((N, WIDTH), "complex64"))
    refusal(lambda: net(X), ValueError, "MLP", "`X` must hold real numbers, got", "complex64")


# The vector of parameters

W_FAULTS = {
    "short": ([1.0, 2.0], "must have shape (26,), got (2,). The order is W then b"),
    "column": (np.zeros((26, 1)), "must have shape (26,), got (26, 1)."),
    "text": (["a"] * 26, "must hold real numbers, got dtype <U1."),
    "complex": (np.zeros(26, complex), "must hold real numbers, got dtype complex128."),
    "None": (None, "must hold real numbers, got NoneType."),
}


@pytest.mark.parametrize("fault", W_FAULTS)
def test_w(fault):
    w, *parts = W_FAULTS[fault]
    t = trained()
    refused(t, lambda: setattr(t.network, "w", w), w, "Network.w", "`w` ", *parts)


# What networks and trainers are made of


@pytest.mark.parametrize(("call", "where", "part"), REFUSALS)
def test_parts(call, where, part):
    refusal(call, ValueError, where, part)


@pytest.mark.parametrize("network", [None, "net", nn.MLP, [nn.Dense(3, 2)]])
def test_trainers_need_a_network(network):
    part = f"`network` must be a Network, got {network!r}."
    refusal(lambda: nn.Trainer(network), TypeError, "Trainer", part)


@pytest.mark.parametrize("optimizer", [None, 0.1, nn.Adam])
def test_trainers_need_an_optimiser(optimizer):
    part = "`optimizer` must be an optimiser such as nn.Adam(1e-3), or the name of one, got "
    refusal(lambda: trained_by(optimizer), TypeError, "Trainer", f"{part}{optimizer!r}.")


def trained_by(optimizer: Any) -> nn.Trainer:
    """Return a trainer that was given another optimiser."""
    t = nn.Trainer(NET)
    t.optimizer = optimizer
    return t


# How to fit

FIT_FAULTS = {
    "no epochs": ({"epochs": 0}, "`epochs` must be an integer >= 1, got 0."),
    "half an epoch": ({"epochs": 0.5}, "`epochs` must be an integer >= 1, got 0.5."),
    "epochs as text": ({"epochs": "3"}, "`epochs` must be an integer >= 1, got '3'."),
    "empty batches": ({"batch_size": 0}, "`batch_size` must be an integer >= 1, got 0."),
    "no batches": ({"batch_size": None}, "`batch_size` must be an integer >= 1, got None."),
    "batch sizes": (
        {"batch_size": np.array([1, 2])},
        "`batch_size` must be an integer >= 1, got ar",
    ),
    "validation inputs": (
        {"validation": np.zeros((2, 3))},
        "`validation` must be a pair (X, y), or (X, y, sample_weight), or the share",
        "got ndarray.",
    ),
    "four": ({"validation": (1, 2, 3, 4)}, "`validation` must be a pair (X, y), or (X, y, "),
    "no pair": ({"validation": "Xy"}, "`validation` must be a pair (X, y), or (X, y, "),
    "no list": (
        {"callbacks": "EarlyStopping"},
        "`callbacks` must be a list of callables",
    ),
    "callbacks": ({"callbacks": [None]}, "`callbacks` must be a list of callables", "got [None]."),
    "a class": (
        {"callbacks": [print, callbacks.EarlyStopping]},
        "`callbacks[1]` must be an object, got the class EarlyStopping. Make one of it",
    ),
    "None": ({"callbacks": None}, "`callbacks` must be a list of callables", "got None."),
}


@pytest.mark.parametrize("fault", FIT_FAULTS)
def test_how_to_fit(fault):
    options, *parts = FIT_FAULTS[fault]
    t, (X, y) = trained(), good_data()
    refused(t, lambda: t.fit(X, y, **options), None, "Trainer.fit", *parts)
