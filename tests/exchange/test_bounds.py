"""Bounds hold for every layer, activation and output, and are not so wide that they say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import nnpoly as nn
from nnpoly import activations
from nnpoly.estimators import RealMLPClassifier, TabMRegressor
from nnpoly.exchange.bounds import KNOWN, outputs_and_bounds
from nnpoly.exchange.certificate import Certificate, largest_units, typical
from nnpoly.exchange.described import REFERENCE
from nnpoly.exchange.describing import describe_model

N = 600
WAVES = nn.Periodic(6, 4)
PIECES = nn.PiecewiseLinear(6, [[-1.0, 0.0, 1.0], [0.0, 0.5, 0.75, 2.0], [-3.0, 3.0]])
MEMBERS = [
    nn.MemberScale(6, 4, "normal"),
    nn.SharedDense(6, 8, 4, "relu", scaled="after"),
    nn.SharedDense(8, 8, 4, "silu"),
    nn.MemberDense(8, 3, 4),
]
CHAINS: dict[str, list[nn.layers.Layer]] = {
    **{
        name: [nn.Dense(6, 32, name), nn.Dense(32, 32, name), nn.Dense(32, 3)]
        for name in activations.BY_NAME
        if name != "step"
    },
    "elu 0.3": [nn.Dense(6, 32, activations.ELU(0.3)), nn.Dense(32, 3)],
    "leaky": [nn.Dense(6, 32, activations.LeakyReLU(0.2), factor=0.4), nn.Dense(32, 3)],
    "layer norm": [nn.Dense(6, 32, "relu"), nn.LayerNorm(32, activation="tanh"), nn.Dense(32, 3)],
    "batch norm": [nn.BatchNorm(6), nn.Dense(6, 32, "relu"), nn.BatchNorm(32), nn.Dense(32, 3)],
    "residual": [
        nn.Dense(6, 16),
        nn.Residual([nn.Dense(16, 32, "gelu"), nn.Dense(32, 16)], "silu"),
        nn.Residual([nn.LayerNorm(16), nn.Dropout(0.5), nn.Dense(16, 16, "mish")]),
        nn.Dense(16, 3),
    ],
    "waves": [WAVES, nn.Scale(18), nn.Dense(18, 8), nn.Blend(8, "selu"), nn.Dense(8, 3)],
    "plr": [nn.Periodic(6, 4, kind="plr"), nn.Dense(18, 3)],
    "pieces": [PIECES, nn.Dense(PIECES.width(6), 3)],
    "embedding": [nn.Embedding(6, [5, 7]), nn.Dense(20, 3)],
    "members": MEMBERS,
    "tabm-mini": [MEMBERS[0], nn.SharedDense(6, 8, 4, "relu", scaled=False), MEMBERS[3]],
}


def network(chain: str, output: str = "identity", dtype: str = "float32") -> nn.Network:
    """A network whose parameters are all random."""
    net = nn.Network(CHAINS[chain], output, dtype=dtype, seed=3)
    rng = np.random.default_rng(4)
    net.w = net.w + 0.2 * rng.standard_normal(net.w.shape).astype(dtype)
    net.buffers = [
        {name: np.abs(value + rng.standard_normal(value.shape)) for name, value in part.items()}
        for part in net.buffers
    ]
    return net


def units(net: nn.Network, dtype: str, backend: Any) -> float:
    """The largest error of a backend in a dtype, in units of the bound."""
    found = describe_model(net)
    given = typical(found, N)
    x = np.stack(given, axis=1).astype(dtype)
    return largest_units(net.to(backend, dtype=dtype)(x), *outputs_and_bounds(found, dtype, given))


@pytest.mark.parametrize(
    ("dtype", "backend"), [("float32", "numpy"), ("float64", "numpy"), ("float32", REFERENCE)]
)
@pytest.mark.parametrize("chain", CHAINS)
def test_bounds_hold(chain: str, dtype: str, backend: Any) -> None:
    assert 1e-4 < units(network(chain), dtype, backend) <= 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax", "exp"])
@pytest.mark.parametrize("chain", ["tanh", "members"])
def test_bounds_of_outputs_hold(chain: str, output: str, dtype: str) -> None:
    assert 1e-4 < units(network(chain, output), dtype, "numpy") <= 1.0


@pytest.mark.parametrize("chain", CHAINS)
def test_a_wrong_weight_is_out_of_bounds(chain: str) -> None:
    net = network(chain)
    certificate = Certificate.of(describe_model(net))
    x = certificate.x.astype("float32")
    assert certificate.units(net(x)) <= 1.0
    off = net.copy()
    off.w = off.w * np.where(np.arange(off.w.size) % 7, 1.0, 1.001).astype("float32")
    assert certificate.units(off(x)) > 1.0


def test_a_step_may_fall_either_way_where_it_is_near() -> None:
    net = nn.Network([nn.Dense(1, 1, "step"), nn.Dense(1, 1)])
    net.w = np.array([1.0, -0.5, 1.0, 0.0], "float32")
    _, bounds = outputs_and_bounds(describe_model(net), "float32", [np.array([0.5, 0.6])])
    assert bounds[0, 0] > 1.0
    assert bounds[1, 0] < 1e-5


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
def test_curvatures_are_bounds(kind: type[activations.Activation]) -> None:
    sigma, z, h = kind(), np.linspace(-12.0, 12.0, 240001), 1e-4
    slope = sigma.derivative(z)
    change = np.abs(np.diff(slope)) / h
    if KNOWN[kind].curvature:
        assert 0.98 * KNOWN[kind].curvature < change.max() <= 1.0001 * KNOWN[kind].curvature
    else:
        for side in (slope[z > 0], slope[z < 0]):
            assert (np.diff(side) >= 0).all() or (np.diff(side) <= 0).all()


@pytest.mark.parametrize("output", ["softmax", "identity"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_of_estimators_hold(output: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    n = 200
    x = [None if i % 9 == 0 else float(v) for i, v in enumerate(rng.exponential(size=n))]
    texts = rng.choice([*"abcdefghijkl"], n).tolist()
    frame = pl.DataFrame({"x": x, "text": texts, "pair": rng.choice(["p", "q"], n).tolist()})
    small: dict[str, Any] = {
        "n_epochs": 2,
        "hidden_layer_sizes": (16,),
        "random_state": 0,
        "dtype": dtype,
    }
    if output == "softmax":
        model: Any = RealMLPClassifier(**small, n_ens=2).fit(frame, rng.integers(0, 3, n))
        predict = model.predict_proba
    else:
        model = TabMRegressor(**small, n_members=3).fit(frame, 1e3 + rng.normal(size=(n, 2)))
        predict = model.predict
    found = describe_model(model)
    given = typical(found, 500)
    names = [name for name, _ in found.columns]
    frame = pl.DataFrame(dict(zip(names, given, strict=True)))
    frame = frame.with_columns(pl.col("text").replace("", None), pl.col("pair").replace("", None))
    error = largest_units(predict(frame), *outputs_and_bounds(found, dtype, given))
    assert 1e-4 < error <= 1.0
