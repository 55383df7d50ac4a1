"""Files: round trips bit for bit, atomic writing, and clear errors for what is no whole file."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import nnpoly as nn
from nnpoly import activations, checkpoint, initializers, schedules
from nnpoly.backends import registry
from nnpoly.data import container
from nnpoly.layers import Layer
from nnpoly.optimizers import BY_NAME

host = registry.to_host
FLOATS = ["float16", "float32", "float64"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def everything(**options: Any) -> nn.Network:
    """Return a network with every kind of layer, activations and initialisers with parameters."""
    inner = [
        nn.Dense(4, 5, activations.ELU(0.7), initializers.Uniform(0.3)),
        nn.BatchNorm(5, eps=1e-3, activation=activations.LeakyReLU(0.2), momentum=0.3),
        nn.Dense(5, 4, activations.Linear(-1.5), "orthogonal"),
    ]
    layers = [
        nn.PiecewiseLinear(3, bins=[[-1.0, 0.0, 2.5]], features=2),
        nn.Periodic(4, columns=3, frequencies=3, features=2, rates={"w": (0.5, 1.0)}),
        nn.Embedding(7, sizes=[3], features=2),
        nn.Scale(8, rates={"s": (6.0, 1.0)}),
        nn.LayerNorm(8, eps=1e-4, activation="tanh"),
        nn.Dense(8, 4, "gelu", initializers.Normal(0.1, 0.5), initializers.Uniform(0.2), 0.5),
        nn.Blend(4, "selu"),
        nn.Dropout(0.25),
        nn.Residual(inner, activation="softplus"),
        nn.BatchNorm(4),
        nn.MemberScale(4, 2, "signs", groups=[1, 3]),
        nn.SharedDense(4, 3, 2, "tanh", "after", bias=initializers.Uniform(0.2)),
        nn.MemberDense(3, 2, 2, rates={"W": (0.5, 1.0)}),
        nn.Dense(4, 2, init=initializers.Scaled(1.5, "in+out", uniform=True)),
    ]
    return nn.Network(layers, "softmax", seed=7, **options)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(9, 3)).astype("float32"), rng.integers(0, 2, 9)
    X[:, 2] = rng.integers(0, 3, 9)  # categories
    return X, y


def fit(t: nn.Trainer, epochs: int = 1) -> nn.Trainer:
    t.fit(*data(), epochs=epochs, batch_size=4, validation=data())
    return t


def facts(net: nn.Network) -> list[Any]:
    """Return all that a network is, its backend apart."""
    layers = [bound.layer for bound in net.layers]
    arrays = [net.w, *(b for layer in net.layers for b in layer.buffers.values())]
    bits = [(host(a).tobytes(), str(host(a).dtype)) for a in arrays]
    return [type(net), layers, net.output, net.dtype, net.seed, net.widths, bits]


def state(t: nn.Trainer) -> list[Any]:
    moments = [host(m).tobytes() for m in t.stepper.state.moments]
    rest = [t.t, t.history, t.optimizer, t.loss, t.seed, t.rate_factor]
    return [facts(t.network), moments, *rest]


# Round trips


def test_every_kind_of_layer_is_covered():
    kinds = {type(bound.layer) for bound in everything().layers}
    public = {value for value in vars(nn).values() if isinstance(value, type)}
    assert kinds == {kind for kind in public if issubclass(kind, Layer)}


@pytest.mark.parametrize("dtype", FLOATS)
def test_networks_come_back_bit_for_bit(path, dtype):
    net = fit(nn.Trainer(everything(dtype="float32"))).network.to(dtype=dtype)
    net.save(path)
    loaded = nn.load(path)
    assert facts(loaded) == facts(net)
    np.testing.assert_array_equal(loaded(data()[0]), net(data()[0]))


@pytest.mark.parametrize("name", activations.BY_NAME)
def test_every_activation_comes_back(path, name):
    net = nn.MLP([2, 3, 1], name, "identity")
    net.save(path)
    assert nn.load(path).layers[0].activation == activations.BY_NAME[name]


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax", "step"])
def test_mlps_come_back(path, output):
    net = nn.MLP([2, 3, 2], output=output)
    net.save(str(path))
    assert facts(nn.load(str(path))) == facts(net)


SCHEDULED = [
    schedules.StepDecay(0.01, every=2, factor=0.5),
    schedules.Exponential(0.01, every=3, factor=0.7),
    schedules.InverseScaling(0.01, power=0.3),
    schedules.Piecewise([0.01, 0.003, 0.02], milestones=[2, 4]),
    schedules.Cosine(0.01, 9, 1e-3, 2),
    schedules.CosineLog(0.01, 9, cycles=3),
    schedules.FlatCosine(0.01, 9),
    schedules.OneCycle(0.01, 9, rise=0.4, divisor=7, final_divisor=80),
    schedules.Warmup(0.01, steps=2),
    schedules.Warmup(schedules.Exponential(0.01, 5), steps=2),
]
OPTIMIZERS = [
    *(rule(0.01) for rule in BY_NAME.values()),
    *(nn.Adam(schedule, eps_inside_sqrt=False, eps=1e-6) for schedule in SCHEDULED),
    nn.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1, clip_norm=0.5),
]


def test_every_schedule_is_covered():
    kinds = {
        value
        for value in vars(schedules).values()
        if isinstance(value, type) and issubclass(value, schedules.Schedule)
    }
    public = {kind for kind in kinds if not kind.__name__.startswith("_")}
    assert {type(schedule) for schedule in SCHEDULED} == public - {schedules.Schedule}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: f"{type(o).__name__}")
def test_resuming_is_going_on(path, optimizer):
    t = fit(nn.Trainer(everything(), optimizer, seed=3), epochs=2)
    t.rate_factor = 0.7
    t.save(path)
    loaded = nn.Trainer.load(path)
    assert state(loaded) == state(t)
    assert state(fit(loaded, 2)) == state(fit(t, 2))


@pytest.mark.parametrize("dtype", FLOATS)
def test_trainers_keep_their_dtype(path, dtype):
    net = nn.MLP([3, 4, 2], "tanh", dtype=dtype)
    t = fit(nn.Trainer(net, nn.Adam(0.01, eps=1e-4)))
    t.save(path)
    assert state(fit(nn.Trainer.load(path))) == state(fit(t))


def test_resuming_on_every_backend(path, backend_variant):
    layers = [nn.Dense(3, 4), nn.BatchNorm(4, activation="tanh"), nn.Dropout(0.5), nn.Dense(4, 2)]
    t = nn.Trainer(nn.Network(layers, "softmax", **backend_variant.place))
    t.step(*data())
    t.save(path)
    loaded = nn.Trainer.load(path, **backend_variant.place)
    assert loaded.network.device == t.network.device
    assert state(loaded) == state(t)
    for each in (t, loaded):
        each.step(*data())
    assert state(loaded) == state(t)


def test_files_go_from_any_backend_to_any(path, backend_variant):
    t = fit(nn.Trainer(everything()))
    t.save(path)
    there = nn.Trainer.load(path, **backend_variant.place)
    assert there.network.backend == backend_variant.backend_name
    there.save(path)
    assert state(nn.Trainer.load(path, backend="numpy")) == state(t)


def test_the_default_backend_is_used(path):
    nn.MLP([2, 2]).save(path)
    with nn.use_backend("torch"):
        assert nn.load(path).backend == "torch"


def test_a_trainers_file_is_a_networks_too(path):
    t = fit(nn.Trainer(everything()))
    t.save(path)
    assert facts(nn.load(path)) == facts(t.network)


# What is in a file


def header_of(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["nnpoly"].partition("\n")[0])


def test_a_file_is_safetensors_and_json(path):
    fit(nn.Trainer(everything())).save(path)
    header = header_of(path)
    assert (header["format"], header["version"]) == (2, nn.__version__)
    arrays = safetensors.numpy.load_file(path)
    assert {name.partition("/")[0] for name in arrays} == {"w", "moment", "buffer"}


def test_nothing_is_pickled(path, monkeypatch):
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    fit(nn.Trainer(everything())).save(path)
    nn.Trainer.load(path)


def test_only_nnpolys_own_objects_can_be_saved(path):
    @dataclasses.dataclass(frozen=True)
    class Odd(nn.Adam):
        extra: Any = None

    t = nn.Trainer(nn.MLP([2, 2]), Odd(extra=object()))
    with pytest.raises(TypeError, match=r"save: <object .* cannot be written to a file"):
        t.save(path)
    assert not path.exists()


# Anything else, beside a network


EXTRAS = [
    {},
    {"classes": ["cat", "dog"], "mean": [0.1, -1e-300], "nested": {"a": None, "b": True, "": 3}},
    {"nan": float("nan"), "inf": [float("inf"), -float("inf")], "text": "\ud800 \x00 é"},
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_comes_back(path, extra):
    net = nn.MLP([2, 3, 2])
    checkpoint.save_network(net, path, extra)
    assert repr(checkpoint.load_extra(path)) == repr(extra)  # NaN is not equal to itself
    assert facts(nn.load(path)) == facts(net)


def test_files_without_extra_have_an_empty_one(path):
    nn.MLP([2, 2]).save(path)
    assert checkpoint.load_extra(path) == {}
    nn.Trainer(nn.MLP([2, 2])).save(path)
    assert checkpoint.load_extra(path) == {}


def recursive() -> dict[str, Any]:
    extra: dict[str, Any] = {}
    extra["self"] = [extra]
    return extra


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([1], "`extra` must be a mapping, got list"),
        ({"a": {"b": [0, {1, 2}]}}, r"`extra\['a'\]\['b'\]\[1\]` must be JSON's own .*, got set"),
        ({"mean": np.ones(2)}, r"`extra\['mean'\]` must be JSON's own .*, got ndarray.*tolist"),
        ({"n": {1: "a"}}, r"`extra\['n'\]` has the key 1; keys must be strings"),
        ({"f": print}, "got builtin_function_or_method"),
        (recursive(), "`extra` contains itself, or is nested too deeply"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_what_json_cannot_hold_is_refused_before_anything_is_written(path, extra, message):
    with pytest.raises((TypeError, ValueError), match=f"^save: .*{message}"):
        checkpoint.save_network(nn.MLP([2, 2]), path, extra)
    assert os.listdir(path.parent) == []


# Files that are none


def assert_refused(path: Path, *parts: str) -> None:
    for load in (nn.load, nn.Trainer.load, checkpoint.load_extra):
        with pytest.raises(ValueError, match=r"^load: .* cannot be read: ") as caught:
            load(path)
        for part in (str(path), *parts):
            assert part in str(caught.value)


def rewritten(path: Path, change: Any) -> None:
    """Save a trainer and change its header; the checksum is that of the new content."""
    fit(nn.Trainer(nn.MLP([3, 4, 2]))).save(path)
    header, arrays = container.read(path)
    change(header)
    text = json.dumps(header)
    safetensors.numpy.save_file(arrays, path, container.metadata(text, arrays))


@pytest.mark.parametrize(
    ("format", "part"),
    [
        (3, "it was written by nnpoly 9.1, which is newer. Upgrade nnpoly."),
        (1, "it has format 1, from before nnpoly's first release, and no checksum. Make it anew"),
    ],
)
def test_files_of_other_formats(path, format, part):
    rewritten(path, lambda header: header.update(format=format, version="9.1"))
    assert_refused(path, part)


def layer_of(header: dict[str, Any]) -> dict[str, Any]:
    return header["network"]["layers"][0]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda header: header.pop("network"), "Object missing required field `network`"),
        (lambda header: header["network"].pop("seed"), "field `seed` - at `$.network`"),
        (lambda header: header["network"].update(dtype="float64"), "its w has shape (26,) of"),
        (lambda header: header["network"].update(dtype="int8"), "`dtype` must be one of"),
        (lambda header: layer_of(header).update(type="Conv"), "knows no 'Conv'"),
        (lambda header: layer_of(header).update(inputs=-3), "`inputs` must be an integer >= 1"),
        (lambda header: layer_of(header).update(inputs=2), "its w has shape (26,)"),
        (lambda header: layer_of(header).update(colour="red"), "colour"),
    ],
)
def test_wrong_headers(path, change, part):
    rewritten(path, change)
    for load in (nn.load, nn.Trainer.load):
        with pytest.raises(ValueError, match=r"^load: .* cannot be read: ") as caught:
            load(path)
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda header: header.pop("t"), "Object missing required field `t`"),
        (lambda header: header.update(rate_factor="x"), "got `str` - at `$.rate_factor`"),
        (lambda header: header.update(rate_factor=-1), "`rate_factor` must be a number in"),
        (lambda header: header.update(rate_factor=math.nan), "`rate_factor` must be a number in"),
        (lambda header: header.update(births={"m": 4}), "`births['m']` must be one of 0, ..., 3"),
        (lambda header: header.update(births={"x": 1}), "`births` must be one of m, s, got 'x'"),
        (lambda header: header.update(t=-1), "`t` must be one of 0, ..."),
        (
            lambda header: header.update(optimizer=header["loss"]),
            "must be an optimiser such as",
        ),
        (lambda header: header["optimizer"].update(type="AMSGrad"), "it lacks 'moment/peak'"),
        (lambda header: header.update(history={"los": []}), "field `loss` - at `$.history`"),
        (lambda header: header.update(loss={"type": "MSE"}), "needs output='identity'"),
    ],
)
def test_wrong_trainers(path, change, part):
    rewritten(path, change)
    with pytest.raises(ValueError, match=r"^load: .* cannot be read: ") as caught:
        nn.Trainer.load(path)
    assert part in str(caught.value)
    nn.load(path)  # the network in it is whole


# Paths


def test_networks_are_no_trainers(path):
    nn.MLP([2, 2]).save(path)
    with pytest.raises(ValueError, match=r"^Trainer\.load: .* Use nn\.load, then nn\.Trainer") as e:
        nn.Trainer.load(path)
    assert str(path) in str(e.value)


def test_missing_files_and_folders(tmp_path):
    for load in (nn.load, nn.Trainer.load):
        with pytest.raises(FileNotFoundError, match=f"load: `path` {tmp_path / 'none'} is no file"):
            load(tmp_path / "none")
        with pytest.raises(
            IsADirectoryError, match=f"`path` {tmp_path} is a folder. Name the file"
        ):
            load(tmp_path)
    net = nn.MLP([2, 2])
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'none'}, which is no folder. Make"):
        net.save(tmp_path / "none" / "model")
    with pytest.raises(IsADirectoryError, match=f"save: `path` {tmp_path} is a folder"):
        net.save(tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_backends_faults_are_not_the_files(path):
    nn.MLP([2, 2]).save(path)
    with pytest.raises(ValueError, match=r"^MLP: `backend` must be one of"):
        nn.load(path, backend="abacus")


def test_msgspec_is_asked_for(path, monkeypatch):
    nn.MLP([2, 2]).save(path)
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ImportError, match=r"needs msgspec: pip install nnpoly\[save\]"):
        nn.load(path)


def test_safetensors_is_asked_for(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"needs safetensors: pip install nnpoly\[save\]"):
        nn.MLP([2, 2]).save(path)
