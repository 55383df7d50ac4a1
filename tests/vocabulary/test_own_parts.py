"""Activations, schedules, losses, layers, initialisers, optimisers of a user's own."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import nnpoly as nn
from nnpoly._described import construct, describe
from nnpoly.activations import Activation
from nnpoly.backends import registry
from nnpoly.backends.reference import Reference
from nnpoly.initializers import Initializer
from nnpoly.layers import Layer, Stage
from nnpoly.losses import Huber, Loss
from nnpoly.optimizers import Optimizer
from nnpoly.schedules import Schedule

# By annotations


class Bent(Activation):
    """A user's activation: z + a z^2 / (1 + z^2)."""

    a: float = 0.5

    def value(self, ops: Any, pre: Any) -> Any:
        return pre + self.a * (pre * pre) / (1.0 + pre * pre)

    def slope(self, ops: Any, pre: Any, post: Any) -> Any:
        return 1.0 + 2.0 * self.a * pre / (1.0 + pre * pre) ** 2


class Halving(Schedule):
    """A user's schedule, without a default."""

    start: float

    def __call__(self, t: int) -> float:
        return self.start * 0.5 ** (t - 1)


class Quartic(Loss):
    """A user's loss: r^4 / 4."""

    output = "identity"

    def each(self, ops: Any, scores: Any, y: Any) -> tuple[Any, Any]:
        r = scores - y
        return ops.xp.sum(r**4, axis=1) / 4.0, r**3


class Stretch(Layer):
    """A user's layer: a factor for each feature, then an activation."""

    features: int
    activation: Activation = nn.activations.tanh
    _: KW_ONLY
    start: float = 1.0
    known: ClassVar[int] = 3

    @property
    def input_width(self) -> int:
        return self.features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"factor": (self.features,)}

    def initial(self, rng: Any) -> dict[str, Any]:
        return {"factor": np.full(self.features, self.start)}

    def forward(self, ops: Any, params: Any, buffers: Any, x: Any, mode: Any) -> Stage:
        pre = x * params["factor"]
        return Stage(x, pre, ops.activate(pre, self.activation), self.activation)

    def backward(
        self, ops: Any, params: Any, stage: Stage, delta: Any, below: Stage, out: Any
    ) -> tuple[dict[str, Any], Any]:
        gradients = {"factor": ops.xp.sum(delta * stage.x, axis=0)}
        return gradients, below.delta(ops, delta * params["factor"])


class Banded(Initializer):
    """A user's initialiser: weights only near the diagonal."""

    width: int = 1

    def __call__(self, rng: Any, shape: tuple[int, int]) -> Any:
        far = np.abs(np.subtract.outer(np.arange(shape[0]), np.arange(shape[1]))) > self.width
        return np.where(far, 0.0, rng.standard_normal(shape))


class Signed(Optimizer):
    """A user's optimiser: w - eta sign(m), m a moving average of g."""

    beta: float = 0.9

    @property
    def carried(self) -> dict[str, float]:
        return {"m": self.beta}

    def rule(self, ops: Any, w: Any, g: Any, moments: Any, c: Any) -> tuple[Any, Any]:
        (m,) = moments
        m = self.beta * m + (1.0 - self.beta) * g
        return w - c[0] * ops.xp.sign(m), (m,)


# By an `__init__`


class Shifted(Activation):
    """A user's activation with an `__init__` of its own."""

    reads = "none"

    def __init__(self, by: float, *, times: float = 1.0) -> None:
        self.by = float(by)
        self.times = times

    def value(self, ops: Any, pre: Any) -> Any:
        return self.times * (pre + self.by)

    def slope(self, ops: Any, pre: Any, post: Any) -> Any:
        return ops.xp.full_like(pre, self.times)


class Slowed(nn.Adam):
    """A user's Adam, which takes Adam's arguments too."""

    def __init__(self, slowness: float, **options: Any) -> None:
        self.slowness = slowness
        super().__init__(**options)

    def rule(self, ops: Any, w: Any, g: Any, moments: Any, c: Any) -> tuple[Any, Any]:
        return super().rule(ops, w, g, moments, (c[0] / self.slowness, *c[1:]))


class Slower(Slowed):
    """A subclass that changes no argument."""


@dataclass(frozen=True)
class Capped(nn.SGD):
    """A user's dataclass."""

    cap: float = 1.0

    def rule(self, ops: Any, w: Any, g: Any, moments: Any, c: Any) -> tuple[Any, Any]:
        xp = ops.xp
        limit = xp.full_like(g, self.cap)
        return super().rule(ops, w, xp.where(g > limit, limit, g), moments, c)


@dataclass(frozen=True)
class CappedAndCut(Capped):
    """A dataclass of a dataclass."""

    cut: float = 2.0


class Loose(Huber):
    """Another default, without annotation."""

    threshold = 3.0


OWN = {
    "Bent(a=0.25)": Bent(0.25),
    "Halving(start=0.1)": Halving(0.1),
    "Quartic()": Quartic(),
    "Stretch(features=4, activation=Tanh(), start=0.5)": Stretch(4, start=0.5),
    "Banded(width=2)": Banded(width=2),
    "Signed(learning_rate=0.01, weight_decay=0.0, clip_norm=None, ema=0.9, beta=0.5)": Signed(
        0.01, 0.5, ema=0.9
    ),
    "Shifted(by=2.0, times=3.0)": Shifted(2, times=3.0),
    "Slowed(slowness=2.0, learning_rate=0.1, weight_decay=0.0, clip_norm=None, ema=None, "
    "beta1=0.5, beta2=0.999, eps=1e-08, eps_inside_sqrt=True)": Slowed(
        2.0, learning_rate=0.1, beta1=0.5
    ),
    "Slower(slowness=2.0, learning_rate=0.001, weight_decay=0.0, clip_norm=None, ema=None, "
    "beta1=0.9, beta2=0.999, eps=1e-08, eps_inside_sqrt=True)": Slower(2.0),
    "Capped(learning_rate=0.1, momentum=0.0, nesterov=False, cap=0.5, weight_decay=0.0, "
    "clip_norm=None, ema=None)": Capped(0.1, cap=0.5),
    "CappedAndCut(learning_rate=0.1, momentum=0.0, nesterov=False, cap=0.5, cut=1.0, "
    "weight_decay=0.0, clip_norm=None, ema=None)": CappedAndCut(0.1, cap=0.5, cut=1.0),
    "Loose(threshold=3.0)": Loose(),
}

every = pytest.mark.parametrize(("text", "own"), OWN.items(), ids=lambda v: type(v).__name__)


def only_words(text: str) -> list[str]:
    return sorted(text.strip(")").partition("(")[2].split(", "))


@every
def test_it_prints_its_arguments(text, own):
    assert repr(own).partition("(")[0] == text.partition("(")[0]
    assert only_words(repr(own)) == only_words(text)


@every
def test_copies_compare_equal_and_pickle(text, own):
    for other in (
        pickle.loads(pickle.dumps(own)),
        copy.copy(own),
        copy.deepcopy(own),
        own.replace(),
        construct(describe(own)),
    ):
        assert type(other) is type(own)
        assert (other, hash(other), repr(other)) == (own, hash(own), repr(own))
        assert vars(other) == vars(own)


@every
def test_it_is_frozen(text, own):
    before = dict(vars(own))
    for name in (*before, "unheard_of"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(own, name, 1.0)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(own, name)
    assert vars(own) == before


def test_assigning_names_the_remedy():
    message = r"^Bent: `a` cannot be assigned, .* Make a new one: \.replace\(a=\.\.\.\)\.$"
    with pytest.raises(AttributeError, match=message):
        Bent().a = 2.0
    assert Bent().replace(a=2.0) == Bent(2.0) != Bent()


@pytest.mark.parametrize(
    ("kind", "signature"),
    [
        (Quartic, "() -> None"),
        (Halving, "(start: 'float') -> None"),
        (
            Stretch,
            "(features: 'int', activation: 'Activation' = Tanh(), *, start: 'float' = 1.0) -> None",
        ),
        (Shifted, "(by: 'float', *, times: 'float' = 1.0) -> 'None'"),
        (Loose, "(threshold: 'float' = 3.0) -> None"),
    ],
)
def test_its_signature_is_that_of_its_arguments(kind, signature):
    assert str(inspect.signature(kind)) == signature


def test_an_object_that_can_be_called_has_its_calls_signature():
    assert list(inspect.signature(Halving(1.0)).parameters) == ["t"]


def test_dataclasses_functions_know_the_arguments():
    assert [field.name for field in dataclasses.fields(Bent)] == ["a"]
    assert dataclasses.replace(Bent(0.1), a=0.2) == Bent(0.2)
    assert dataclasses.asdict(Stretch(3))["start"] == 1.0
    assert not dataclasses.is_dataclass(Shifted)


# Training


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, 3))
    return X, X @ [[1.0], [-0.5], [0.25]] + 0.1 * np.sin(X[:, :1])


def made(place: dict[str, Any], optimizer: Optimizer) -> nn.Trainer:
    """A trainer all of whose parts are a user's own."""
    chain = [
        nn.Dense(3, 4, Bent(0.25), Banded()),
        Stretch(4, start=0.5),
        nn.Residual([nn.Dense(4, 4, Shifted(0.0, times=0.5)), Stretch(4)]),
        nn.Dense(4, 1, init=Banded(4)),
    ]
    net = nn.Network(chain, dtype="float64", **place)
    return nn.Trainer(net, optimizer, Quartic())


OPTIMIZERS = [Signed(0.01, ema=0.9), Slowed(2.0, learning_rate=0.05), Capped(0.05, 0.5, cap=0.1)]


PLACES = [{"backend": name} for name in ("numpy", "plain", "strict", "torch", "jax")]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place["backend"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_a_network_of_own_parts_trains_alike_everywhere(place, optimizer):
    trained = made(place, optimizer)
    reference = made({"backend": Reference()}, optimizer)
    before = float(reference.evaluate(*data()))
    for trainer in (trained, reference):
        trainer.fit(*data(), epochs=20, batch_size=16)
    assert float(reference.evaluate(*data())) < 0.5 * before
    w = registry.to_host(trained.network.w)
    np.testing.assert_allclose(w, reference.network.w, rtol=1e-7, atol=1e-9)


def test_its_gradients_are_right():
    net = made({"backend": Reference()}, Signed(0.01)).network
    nn.testing.check_gradients(net, *data())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place["backend"])
def test_a_trainer_of_own_parts_pickles_and_goes_on(place):
    whole = made(place, Signed(Halving(0.02), ema=0.9))
    whole.fit(*data(), epochs=1, batch_size=16)
    again = pickle.loads(pickle.dumps(whole))
    for trainer in (whole, again):
        trainer.fit(*data(), epochs=1, batch_size=16)
    assert np.array_equal(*(registry.to_host(t.network.w) for t in (whole, again)))


def test_a_trainer_of_own_parts_goes_through_a_file(tmp_path):
    whole = made({"backend": "numpy"}, Signed(Halving(0.02), ema=0.9))
    whole.fit(*data(), epochs=1, batch_size=16)
    whole.save(tmp_path / "own.safetensors")
    again = nn.Trainer.load(tmp_path / "own.safetensors")
    assert (again.optimizer, again.loss) == (whole.optimizer, whole.loss)
    assert again.network.chain == whole.network.chain
    for trainer in (whole, again):
        trainer.fit(*data(), epochs=1, batch_size=16)
    assert np.array_equal(whole.network.w, again.network.w)


# Faults are refused where they are made


def call(kind: Any, *given: Any, **named: Any) -> Any:
    return lambda: kind(*given, **named)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (call(Halving), r"^Halving: `start` is missing\. Give it: Halving\(start=\.\.\.\)\.$"),
        (call(Bent, 1.0, 2.0), r"^Bent: got 2 arguments by position, which may be `a`\.$"),
        (call(Bent, b=1.0), r"^Bent: has no argument `b`\. Its arguments are `a`\.$"),
        (call(Quartic, b=1.0), r"^Quartic: has no argument `b`\. Its arguments are none\.$"),
        (call(Bent, 1.0, a=2.0), r"^Bent: `a` was given twice, by position and by name\.$"),
        (call(nn.SGD), r"^SGD: `learning_rate` is missing"),
        (call(nn.SGD, lr=0.1), r"^SGD: has no argument `lr`\. Its .* `learning_rate`, `momentum`"),
    ],
)
def test_wrong_arguments_are_refused(attempt, message):
    with pytest.raises(TypeError, match=message):
        attempt()


def test_an_init_that_forgets_an_argument_is_refused():
    class Forgetful(Activation):
        def __init__(self, a: float) -> None:
            self.b = a

    with pytest.raises(AttributeError, match=r"^Forgetful: `__init__` must keep .* 'a'\.$"):
        Forgetful(1.0)


def test_arguments_without_a_default_come_first():
    with pytest.raises(TypeError, match=r"^Late: `b` must have a default, since `a` before it has"):

        class Late(Bent):
            b: float


def test_an_annotation_below_an_init_is_refused():
    message = r"^Wider: `width` must be taken by an `__init__` of Wider, since Shifted has one"
    with pytest.raises(TypeError, match=message):

        class Wider(Shifted):
            width: int = 2


def test_a_loss_must_name_its_output():
    class Nameless(Loss):
        pass

    with pytest.raises(ValueError, match=r"`loss` Nameless must name the output .*= 'softmax'\.$"):
        nn.Trainer(nn.MLP([2, 2]), loss=Nameless())


def test_nothing_is_assigned_after_a_failed_init():
    class Fragile(Activation):
        def __init__(self, a: float) -> None:
            self.a = a
            if a < 0:
                raise ValueError("negative")

    with pytest.raises(ValueError, match="negative"):
        Fragile(-1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fragile(1.0).a = 2.0


# Names in files


def one_called(name: str, module: str) -> type[Activation]:
    return type(name, (Bent,), {"__module__": module})


def test_a_class_that_was_defined_anew_takes_the_olders_place():
    """As in a notebook, where a cell is run again."""
    older, newer = one_called("Twice", "notebook"), one_called("Twice", "notebook")
    for kind in (older, newer):
        assert type(construct(describe(kind()))) is newer


def test_a_users_class_does_not_shadow_nnpolys():
    mine = type("Huber", (Loss,), {"__module__": "mine", "output": "identity"})
    assert construct(describe(Huber(2.0))) == Huber(2.0)
    message = r"^save: mine\.Huber cannot be written .* nnpoly\.losses\.Huber has the same\. Rename"
    with pytest.raises(TypeError, match=message):
        describe(mine())


def test_two_classes_of_one_name_are_not_mistaken_for_each_other():
    first, second = one_called("Pair", "one"), one_called("Pair", "two")
    with pytest.raises(TypeError, match=r"^save: one\.Pair cannot be .* two\.Pair has the same"):
        describe(first())
    with pytest.raises(ValueError, match=r"^load: 'Pair' may be one\.Pair and two\.Pair\. Give"):
        construct({"type": "Pair", "a": 1.0})
    del second


def test_a_class_that_was_not_imported_is_named():
    with pytest.raises(ValueError, match=r"^load: .* knows no 'Foreign'\. If it is .* your own"):
        construct({"type": "Foreign"})


@pytest.mark.parametrize("kind", [nn.losses.MSE, nn.losses.Huber])
def test_each_of_a_subclass_is_what_is_trained_on(kind):
    """Also of a loss of the library's that has a fused primitive."""

    class Doubled(kind):
        def each(self, ops, scores, y):
            difference = scores - y
            return ops.xp.sum(difference * difference, axis=1), 2.0 * difference

    net = nn.MLP([3, 2], output="identity", dtype="float64")
    X, Y = np.eye(3), np.ones((3, 2))
    want = np.mean(np.sum((net(X) - Y) ** 2, axis=1))
    assert float(net.loss(X, Y, loss=Doubled())) == pytest.approx(want)
    assert float(nn.Trainer(net, nn.SGD(0.1), Doubled()).step(X, Y)) == pytest.approx(want)
