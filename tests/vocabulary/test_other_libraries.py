"""What the documentation says of other libraries, held against those that are installed.

Where they add eps (docs/slips.md): each takes three steps of the same gradients from 0, with a
learning rate of 1, so that a step is a gradient over its root. The gradients lie around sqrt(eps)
and eps, where the forms part. And the slopes they pick at a kink (docs/guide/parity.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import nnpoly as nn

EPS, BETA, BETA1, BETA2 = 1e-4, 0.9, 0.9, 0.999
GRADIENT = np.array([1e-5, 1e-4, 1e-3])
STEPS = 3

# Slopes at 0.
OURS = {"relu": 0.0, "leaky_relu": 0.01, "elu": 1.0, "absolute": 0.0}
TORCHS = {**OURS, "maximum": 0.5, "clamp": 1.0}
JAXS = {"relu": 0.0, "leaky_relu": 1.0, "elu": 1.0, "absolute": 1.0, "maximum": 0.5}

Roots = Callable[[], Iterator[np.ndarray]]  # a method's s after each step, corrected if it does so


def adagrad() -> Iterator[np.ndarray]:
    for t in range(1, STEPS + 1):
        yield t * GRADIENT**2


def rmsprop() -> Iterator[np.ndarray]:
    for t in range(1, STEPS + 1):
        yield (1.0 - BETA**t) * GRADIENT**2


def adam() -> Iterator[np.ndarray]:
    """Of a constant gradient both corrected moments are the gradient's own."""
    for _ in range(STEPS):
        yield GRADIENT**2


def expected(roots: Roots, place: str) -> np.ndarray:
    """Each step's size, where eps is `inside`, `outside` or `before` Adam's correction."""
    floors = {
        "inside": lambda s, t: np.sqrt(s + EPS),
        "outside": lambda s, t: np.sqrt(s) + EPS,
        "before": lambda s, t: np.sqrt(s) + EPS / np.sqrt(1.0 - BETA2**t),
    }
    return np.array([GRADIENT / floors[place](s, t) for t, s in enumerate(roots(), 1)])


def of_nnpoly(optimizer: nn.optimizers.Optimizer) -> np.ndarray:
    w = np.zeros((3, 1))
    net = nn.MLP.from_weights([w.T], [[0.0]], output="identity", backend="numpy")
    trainer = nn.Trainer(net, optimizer)
    steps = []
    for _ in range(STEPS):
        before = net.layers[0].W.copy()
        # f - y = 1 and X = g: the gradient of W is g.
        trainer.step(GRADIENT[None, :], net(GRADIENT[None, :]) - 1.0)
        steps.append(before[0] - net.layers[0].W[0])
    return np.array(steps)


def of_torch(name: str, **options: object) -> np.ndarray:
    torch = pytest.importorskip("torch")
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, name)([w], lr=1.0, eps=EPS, **options)
    steps = []
    for _ in range(STEPS):
        before = w.detach().clone()
        w.grad = torch.tensor(GRADIENT)
        optimizer.step()
        steps.append((before - w.detach()).numpy())
    return np.array(steps)


def of_optax(name: str, **options: object) -> np.ndarray:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    with jax.enable_x64(True):
        w = jax.numpy.zeros(3)
        optimizer = getattr(optax, name)(1.0, **options)
        state, steps = optimizer.init(w), []
        for _ in range(STEPS):
            update, state = optimizer.update(jax.numpy.array(GRADIENT), state, w)
            w = optax.apply_updates(w, update)
            steps.append(-np.array(update))
    return np.array(steps)


def of_keras(monkeypatch: pytest.MonkeyPatch, name: str, **options: object) -> np.ndarray:
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # which has float64 without a switch
    keras = pytest.importorskip("keras")
    w = keras.Variable(np.zeros(3), dtype="float64")
    optimizer = getattr(keras.optimizers, name)(1.0, epsilon=EPS, **options)
    optimizer.build([w])
    steps = []
    for _ in range(STEPS):
        before = w.value.detach().clone()
        optimizer.apply([keras.ops.convert_to_tensor(GRADIENT)], [w])
        steps.append((before - w.value.detach()).numpy())
    return np.array(steps)


def of_scikit_learn() -> np.ndarray:
    optimizers = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    w = [np.zeros(3)]
    optimizer = optimizers.AdamOptimizer(w, 1.0, BETA1, BETA2, EPS)
    steps = []
    for _ in range(STEPS):
        before = w[0].copy()
        optimizer.update_params(w, [GRADIENT])
        steps.append(before - w[0])
    return np.array(steps)


def of_thinc() -> np.ndarray:
    api = pytest.importorskip("thinc.api")
    w, steps = np.zeros(3, "float32"), []
    optimizer = api.Adam(1.0, eps=EPS, L2=0, grad_clip=0, use_averages=False)
    for _ in range(STEPS):
        before = w.copy()
        w, _ = optimizer((0, "w"), w, GRADIENT.astype("float32"))
        steps.append(before - w)
    return np.array(steps)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("optimizer", "roots"),
    [(nn.AdaGrad, adagrad), (nn.RMSProp, rmsprop), (nn.Adam, adam)],
    ids=["AdaGrad", "RMSProp", "Adam"],
)
def test_ours(optimizer, roots, inside):
    found = of_nnpoly(optimizer(1.0, eps=EPS, eps_inside_sqrt=inside))
    np.testing.assert_allclose(found, expected(roots, "inside" if inside else "outside"), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "roots"),
    [("Adagrad", {}, adagrad), ("RMSprop", {"alpha": BETA}, rmsprop), ("Adam", {}, adam)],
)
def test_torch(name, options, roots):
    np.testing.assert_allclose(of_torch(name, **options), expected(roots, "outside"), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "roots", "place"),
    [
        ("adagrad", {"initial_accumulator_value": 0.0, "eps": EPS}, adagrad, "inside"),
        ("rmsprop", {"decay": BETA, "eps": EPS}, rmsprop, "inside"),
        ("rmsprop", {"decay": BETA, "eps": EPS, "eps_in_sqrt": False}, rmsprop, "outside"),
        ("adam", {"eps": EPS}, adam, "outside"),
        ("adam", {"eps": 0.0, "eps_root": EPS}, adam, "inside"),
    ],
)
def test_optax(name, options, roots, place):
    # It takes 1 - beta2^t in float32 even here.
    np.testing.assert_allclose(of_optax(name, **options), expected(roots, place), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "roots", "place"),
    [
        ("Adagrad", {"initial_accumulator_value": 0.0}, adagrad, "inside"),
        ("RMSprop", {"rho": BETA}, rmsprop, "inside"),
        ("Adam", {}, adam, "before"),
    ],
)
def test_keras(monkeypatch, name, options, roots, place):
    found = of_keras(monkeypatch, name, **options)
    np.testing.assert_allclose(found, expected(roots, place), rtol=1e-4)  # rates are float32


@pytest.mark.parametrize("steps", [of_scikit_learn, of_thinc], ids=["scikit-learn", "thinc"])
def test_scikit_learn_and_thinc(steps):
    np.testing.assert_allclose(steps(), expected(adam, "before"), rtol=1e-4)


def ours_at_zero(name: str) -> float:
    if name == "absolute":
        net = nn.MLP.from_weights([[[1.0]]], [[0.0]], output="identity", backend="numpy")
        return float(net.gradients([[1.0]], [[1.0]], loss="absolute")[1].b[0][0])
    return float(nn.activations.get(name).derivative(np.zeros(1))[0])


def torch_at_zero(name: str) -> float:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    functions = {
        "absolute": lambda x: functional.l1_loss(x, torch.zeros(1)),
        "maximum": lambda x: torch.maximum(x, torch.zeros(1)),
        "clamp": lambda x: torch.clamp(x, min=0.0),
    }
    x = torch.zeros(1, requires_grad=True)
    functions.get(name, getattr(functional, name, None))(x).backward()
    return float(x.grad)


def jax_at_zero(name: str) -> float:
    jax = pytest.importorskip("jax")
    functions = {"absolute": jax.numpy.abs, "maximum": lambda x: jax.numpy.maximum(x, 0.0)}
    return float(jax.grad(functions.get(name, getattr(jax.nn, name, None)))(0.0))


@pytest.mark.parametrize(
    ("slope", "name", "expected"),
    [
        *((ours_at_zero, name, slope) for name, slope in OURS.items()),
        *((torch_at_zero, name, slope) for name, slope in TORCHS.items()),
        *((jax_at_zero, name, slope) for name, slope in JAXS.items()),
    ],
)
def test_slopes_at_a_kink(slope, name, expected):
    assert slope(name) == pytest.approx(expected)
