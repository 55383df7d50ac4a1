"""Keras's models compute what the network does, and go back and forth without losing a bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded import BLOCK, bits, equal, rows, trained, units

import nnpoly as nn
from nnpoly import activations
from nnpoly.exchange import check, from_keras, to_keras

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
pytest.importorskip("torch")
kl = keras.layers
# NumPy's, of how Keras hands torch's tensors to it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__:DeprecationWarning", "ignore::UserWarning"
)

HELD = [
    *(
        activations.BY_NAME[name]
        for name in ("sigmoid", "tanh", "relu", "selu", "silu", "mish", "softplus")
    ),
    *(activations.BY_NAME[name] for name in ("gelu", "elu", "leaky_relu", "linear", "identity")),
    activations.LeakyReLU(0.3),
    activations.ELU(0.5),
    activations.Linear(-0.7),
]
PLAIN = [
    nn.Dense(5, 6, "tanh"),
    nn.BatchNorm(6, momentum=0.1, activation="relu"),
    nn.Dropout(0.2),
    nn.LayerNorm(6, eps=1e-3, activation="mish"),
    nn.Dense(6, 6, rates={"b": (0.0, 0.0)}),
    nn.Dense(6, 3),
]
DEEP = [*PLAIN[:3], nn.Residual(BLOCK, "silu"), nn.Residual([nn.Dense(6, 6, "elu")]), *PLAIN[3:]]


def computed(model: Any, X: Any) -> Any:
    return keras.ops.convert_to_numpy(model(X, training=False))


@pytest.mark.parametrize("sigma", HELD, ids=repr)
def test_activations(sigma: Any) -> None:
    net = trained(nn.MLP([4, 16, 16, 3], sigma, "identity"))
    model, X = to_keras(net), rows(net, 1000)
    assert units(net, X, computed(model, X)) <= 1.0
    back = from_keras(model)
    assert equal(back, net)
    assert [layer.activation for layer in back.chain] == [layer.activation for layer in net.chain]


@pytest.mark.parametrize("output", ["exp", "identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("chain", [PLAIN, DEEP], ids=["plain", "deep"])
def test_layers_outputs_and_files(tmp_path: Path, chain: list[Any], output: str) -> None:
    net, path = trained(nn.Network(chain, output)), tmp_path / "model.keras"
    net.layers[len(chain) - 2].b[...] = 0.0
    model, X = to_keras(net, path), rows(net, 2500)
    assert isinstance(model, keras.Sequential) == (chain is PLAIN)
    assert units(net, X, computed(model, X)) <= 1.0
    for back in (from_keras(model), from_keras(path), from_keras(keras.saving.load_model(path))):
        assert equal(back, net)
        assert [layer.activation for layer in back.chain] == [l.activation for l in net.chain]
    assert back.chain[1].momentum == 0.1
    assert check(path).holds
    assert [item.name for item in tmp_path.iterdir()] == ["model.keras"]


def test_ten_thousand_rows() -> None:
    net = trained(nn.Network(DEEP, "softmax"))
    assert units(net, rows(net), computed(to_keras(net), rows(net))) <= 1.0


def graph() -> Any:
    x = inputs = keras.Input((5,))
    inner = keras.Sequential([keras.Input((5,)), kl.Dense(6, "relu"), kl.Dropout(0.1)])
    x = inner(x)
    y = kl.Dense(6, kl.LeakyReLU(0.1))(x)
    y = kl.add([kl.Dense(6, "gelu")(y), y])  # a block in a block, its short cut last
    x = kl.ReLU(negative_slope=0.25)(x + kl.Dense(6, use_bias=False)(y))
    middle = keras.Input((6,))
    x = keras.Model(middle, kl.Dense(4, "exponential")(middle))(x)
    return keras.Model(inputs, kl.Softmax()(kl.Dense(3)(x)))


def models() -> dict[str, Any]:
    many = [kl.Dense(4, "tanh") for _ in range(12)]  # dense_10 sorts before dense_2
    norms = [
        kl.Dense(4, trainable=False),
        kl.BatchNormalization(momentum=0.9, epsilon=1e-3, scale=False),
        kl.LayerNormalization(center=False),
        kl.Activation("swish"),
        kl.Flatten(),
        kl.Identity(),
        kl.Dense(2, "sigmoid"),
    ]
    return {
        "many": keras.Sequential([keras.Input((4,)), *many, kl.Dense(2)]),
        "norms": keras.Sequential([keras.Input((4,)), *norms]),
        "graph": graph(),
    }


@pytest.mark.parametrize("name", ["many", "norms", "graph"])
def test_keras_to_nnpoly_to_keras_loses_no_bit(tmp_path: Path, name: str) -> None:
    model, path = models()[name], tmp_path / "model.keras"
    for value in model.weights:
        value.assign(np.random.default_rng(3).uniform(0.05, 0.2, value.shape))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    width = model.input_shape[1]
    model.fit(np.ones((8, width)), np.ones((8, model.output_shape[1])), verbose=0)
    model.save(path)
    nets = from_keras(model), from_keras(path)
    X = np.clip(rows(nets[0], 500), -3.0, 3.0)
    assert equal(*nets)
    assert nets[0].chain == nets[1].chain
    assert units(nets[0], X, computed(model, X)) <= 1.0
    back = to_keras(nets[0])
    theirs = sorted(bits(value) for value in model.get_weights() if np.any(value))
    ours = [bits(value) for value in back.get_weights()]
    assert [value for value in theirs if value not in ours] == []
    if name == "norms":
        assert nets[0].chain[0].parameter_rates() == {"W": (0.0, 0.0), "b": (0.0, 0.0)}
        assert nets[0].output == "sigmoid"
        assert not back.layers[0].trainable
    assert from_keras(models()["many"], output="softmax").output == "softmax"


def test_layer_norm_of_a_large_mean() -> None:
    # Keras's own form loses digits with E[x]^2 on some backends, and that is what the docs say.
    net = nn.Network([nn.Dense(4, 8, "tanh"), nn.LayerNorm(8), nn.Dense(8, 1)])
    net.layers[0].b[...] = 3.0
    X = rows(net, 500)
    assert units(net, X, computed(to_keras(net), X)) <= 1.0


def test_training_in_keras_follows_the_definition() -> None:
    net = nn.MLP([3, 8, 2], "tanh", "identity")
    model, X = to_keras(net), rows(net, 32)
    y = np.stack([X.sum(axis=1), X[:, 0]], axis=1)
    model.compile(keras.optimizers.SGD(0.1), "mse")  # the mean over both outputs: half of ours, 2/K
    trainer = nn.Trainer(net, nn.SGD(0.1))
    for _ in range(3):
        model.train_on_batch(X, y)
        trainer.step(X, y)
    found = np.concatenate([np.ravel(np.transpose(a)) for a in model.get_weights()])
    np.testing.assert_allclose(found, net.w, rtol=1e-4, atol=1e-6)


@keras.saving.register_keras_serializable("mine")
class Custom(kl.Dense):
    def call(self, x: Any) -> Any:
        return 2 * super().call(x)


def sequence(*layers: Any, width: int = 3) -> Any:
    return keras.Sequential([keras.Input((width,)), *layers])


def twice() -> Any:
    x = inputs = keras.Input((3,))
    layer = kl.Dense(3)
    return keras.Model(inputs, layer(layer(x)))


def forked(join: Any) -> Any:
    inputs = keras.Input((3,))
    return keras.Model(inputs, join([kl.Dense(3)(inputs), kl.Dense(3)(inputs)]))


def two_outputs() -> Any:
    inputs = keras.Input((3,))
    return keras.Model(inputs, [kl.Dense(3)(inputs), kl.Dense(3)(inputs)])


def always_dropping() -> Any:
    inputs = keras.Input((3,))
    return keras.Model(inputs, kl.Dense(2)(kl.Dropout(0.5)(inputs, training=True)))


REFUSED = [
    (lambda: sequence(Custom(3)), "a 'Custom' of "),
    (lambda: sequence(kl.Lambda(lambda x: x)), "a 'Lambda' of 'keras.layers', is no layer"),
    (lambda: sequence(kl.Dense(3, lambda x: x)), "has the activation "),
    (lambda: sequence(kl.Dense(3, "relu6")), "has the activation 'relu6'"),
    (lambda: sequence(kl.Dense(3), kl.ReLU(6.0)), "has max_value=6.0"),
    (lambda: sequence(kl.Dense(3), kl.PReLU()), "a 'PReLU' of"),
    (lambda: sequence(kl.Dense(3), kl.Rescaling(2.0, 1.0)), "has offset=1.0"),
    (lambda: sequence(kl.Normalization()), "a 'Normalization' of"),
    (lambda: sequence(kl.Dense(3), kl.Softmax(), kl.Dense(2)), "softmax, must be the last one"),
    (lambda: sequence(kl.Dense(3, "relu")), "must be followed by a layer"),
    (lambda: sequence(kl.LayerNormalization(rms_scaling=True)), "has rms_scaling=True"),
    (lambda: sequence(kl.Dropout(0.5, noise_shape=(1, 3)), kl.Dense(2)), "has noise_shape="),
    (lambda: sequence(kl.Dense(3, dtype="bfloat16")), "got 'bfloat16'"),
    (lambda: sequence(kl.Dense(3, dtype="mixed_float16")), "got 'mixed_float16'"),
    (lambda: keras.Sequential([kl.Dense(3)]), "Build the model first"),
    (lambda: keras.Sequential([keras.Input((2, 3)), kl.Dense(3)]), "must be of rows (n, m)"),
    (twice, "is used 2 times"),
    (lambda: forked(kl.Concatenate()), "must have one input, got 2"),
    (lambda: forked(kl.Multiply()), "must have one input, got 2"),
    (lambda: forked(kl.Add()), "residual blocks alone branch"),
    (two_outputs, "must have one input and one output"),
    (always_dropping, "is called with training=True"),
    (lambda: kl.Dense(3), "model must be a Sequential or Functional model, got 'Dense'"),
]


@pytest.mark.parametrize(("make", "part"), REFUSED, ids=[part for _, part in REFUSED])
def test_models_that_cannot_be_held_are_named(make: Any, part: str) -> None:
    with pytest.raises(ValueError, match=r"^from_keras: ") as caught:
        from_keras(make())
    assert part in str(caught.value)
    assert str(caught.value).count("from_keras:") == 1


LEFT_OUT = [
    nn.Scale(3),
    nn.Blend(3, "relu"),
    nn.Dense(3, 3, factor=2.0),
    nn.Dense(3, 3, "gelu_tanh"),
    nn.Dense(3, 3, "step"),
    nn.Residual([nn.Dense(3, 3, "gelu_tanh"), nn.Dense(3, 3)]),
    nn.Dropout(nn.schedules.FlatCosine(0.1, steps=10)),
]


@pytest.mark.parametrize("layer", LEFT_OUT, ids=repr)
def test_layers_that_keras_cannot_hold_are_named(tmp_path: Path, layer: Any) -> None:
    net = nn.Network([nn.Dense(3, 3), layer, nn.Dense(3, 1)])
    with pytest.raises(ValueError, match=r"to_keras: Keras.* cannot hold layers\[1\]"):
        to_keras(net, tmp_path / "model.keras")
    assert [*tmp_path.iterdir()] == []


def test_networks_that_keras_cannot_hold_are_refused(tmp_path: Path) -> None:
    members = nn.Network([nn.Dense(3, 4), nn.MemberDense(2, 1, 2)])
    with pytest.raises(ValueError, match=r"cannot hold layers\[1\], MemberDense"):
        to_keras(members)
    with pytest.raises(ValueError, match="cannot hold the output 'step'"):
        to_keras(nn.MLP([2, 1], output="step"))
    for dtype in ("float16", "float64"):
        with pytest.raises(ValueError, match=f"round their inputs to it, got {dtype}"):
            to_keras(nn.MLP([2, 2], dtype=dtype))
    assert equal(from_keras(to_keras(nn.MLP([2, 3, 2], "softplus"))), nn.MLP([2, 3, 2], "softplus"))
    with pytest.raises(ValueError, match=r"`path` must end in \.keras"):
        to_keras(nn.MLP([2, 3, 2]), tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"`output` must be None or 'softmax', which model\."):
        from_keras(to_keras(nn.MLP([2, 3])), output="sigmoid")
