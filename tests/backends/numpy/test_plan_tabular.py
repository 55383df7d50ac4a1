"""Layers for tables in the C core's plans: the bits of the same steps op by op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import (
    CLASSES,
    ONE_CALL,
    WEIGHTS,
    X,
    by_threads_and_isas,
    in_one_call,
    op_by_op,
    run,
    state,
    trainer,
)

import nnpoly as nn
from nnpoly import activations

core = built_core()
pytestmark = pytest.mark.usefixtures("restored_core")

SIZES = (2, 7)
X = X.copy()
X[:, 4:] = np.random.default_rng(1).integers(0, SIZES, (len(X), 2))


@pytest.fixture(autouse=True)
def categories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `run` train on rows whose last two columns are categories."""
    monkeypatch.setattr("planned.X", X)


def dense(inputs: int, outputs: int, **options: Any) -> nn.Dense:
    return nn.Dense(inputs, outputs, factor=inputs**-0.5, init=nn.initializers.Normal(), **options)


def realmlp(sigma: Any = "selu", width: int = 17, **waves: Any) -> list[nn.layers.Layer]:
    """Return RealMLP's layers, for 4 numbers and 2 categories."""
    periodic = nn.Periodic(6, columns=4, **waves)
    embedding = nn.Embedding(periodic.width(6), SIZES, 3)
    m = embedding.width(embedding.inputs)
    return [
        *(periodic, embedding, nn.Scale(m)),
        *(dense(m, width), nn.Blend(width, sigma), nn.Dropout(0.2)),
        *(dense(width, 9), nn.Blend(9, sigma), nn.Dropout(0.1)),
        dense(9, 3),
    ]


BINS = ((-1.0, -0.25, 0.5, 2.0), (-1.5, 1.0), tuple(np.linspace(-2.0, 2.0, 49).tolist()))
CHAINS = {
    "lines": [nn.PiecewiseLinear(6, BINS, 5), nn.Embedding(18, SIZES, 3), nn.Dense(22, 3)],
    "lines above": [
        *(nn.Dense(6, 9, "tanh"), nn.Dropout(0.2), nn.PiecewiseLinear(9, BINS, 16)),
        *(nn.Dropout(0.1), nn.PiecewiseLinear(54, BINS[:1] * 54, 1), nn.Dense(54, 3)),
    ],
    "realmlp": realmlp(),
    "plr": realmlp("mish", kind="plr"),
    "many waves": realmlp(frequencies=37, features=9),
    "many waves of plr": realmlp(frequencies=18, features=1, kind="plr"),
    "scale first": [nn.Scale(6), nn.Dense(6, 3)],
    "blend first": [nn.Blend(6, "gelu"), nn.Dropout(0.1), nn.Dense(6, 3)],
    "embedding first": [nn.Embedding(6, SIZES), nn.Dense(20, 3)],
    "after each other": [
        *(nn.Dense(6, 5, "tanh"), nn.Scale(5), nn.Blend(5, "sigmoid"), nn.Scale(5)),
        *(nn.Periodic(5, 2, 3, 3), nn.Dropout(0.2), nn.Periodic(9, 9, 2, 2, kind="plr")),
        *(nn.Dropout(0.3), nn.Dense(18, 3), nn.Blend(3, "relu"), nn.Scale(3)),
    ],
    "above layers": [
        *(nn.Scale(6), nn.Periodic(6, 3, kind="plr"), nn.Dropout(0.2)),
        *(nn.Scale(15), dense(15, 8, activation="relu"), nn.Residual([nn.Blend(8, "tanh")])),
        *(nn.Residual([nn.Scale(8), dense(8, 8, activation="gelu")]), dense(8, 3)),
    ],
}


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_op_by_op(layers, weights, dtype):
    planned = trainer(layers, dtype)
    assert planned.summary().endswith(ONE_CALL)
    planned = run(in_one_call(planned), weights, dtype)
    assert planned == run(op_by_op(trainer(layers, dtype)), weights, dtype)
    assert np.isfinite(planned[1]).all()


@pytest.mark.parametrize("sigma", [a for n, a in activations.BY_NAME.items() if n != "step"])
def test_every_activation_has_the_same_bits(sigma):
    layers = realmlp(sigma)
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize("width", [1, 64, 300, 600])
def test_every_width_has_the_same_bits(width):
    layers = realmlp("mish", width)
    assert run(in_one_call(trainer(layers))) == run(op_by_op(trainer(layers)))


@pytest.mark.parametrize("kind", ["pbld", "plr"])
@pytest.mark.parametrize("width", [17, 600])
def test_neither_threads_nor_isa_change_a_bit(kind, width):
    by_threads_and_isas(lambda: run(trainer(realmlp(width=width, kind=kind))))


@pytest.mark.parametrize("chain", ["lines", "lines above"])
def test_neither_threads_nor_isa_change_a_bit_of_lines(chain):
    by_threads_and_isas(lambda: run(trainer(CHAINS[chain])))


@pytest.mark.parametrize("width", [17, 600])
def test_bits_with_products_in_bfloat16(width):
    def made() -> nn.Trainer:
        net = nn.Network(realmlp(width=width), "softmax", seed=1)
        return nn.Trainer(net, nn.Adam(0.01), seed=7, precision="bf16")

    assert run(in_one_call(made())) == run(op_by_op(made()))


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.SGD(0.1, weight_decay=0.1, clip_norm=0.5),
        nn.AdamW(0.01, clip_norm=0.1, ema=0.99),
        nn.AdamW(0.01, beta2=0.95, weight_decay=0.02),
    ],
)
def test_every_update_has_the_same_bits(optimizer):
    layers = realmlp()
    planned = run(in_one_call(trainer(layers, optimizer=optimizer)))
    assert planned == run(op_by_op(trainer(layers, optimizer=optimizer)))


def test_members_have_the_bits_of_each_alone():
    alone = [trainer(realmlp(sigma)) for sigma in ("selu", "mish")]
    for one in alone:
        one.fit(X, CLASSES, 2, 16)
    members = [trainer(realmlp(sigma)) for sigma in ("selu", "mish")]
    nn.Ensemble(members).fit(X, CLASSES, 2, 16)
    assert [state(one) for one in members] == [state(one) for one in alone]


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_prediction_is_one_call_with_the_bits_of_a_trace(layers, dtype):
    net = nn.Network(layers, "softmax", dtype=dtype, seed=1)
    x = np.tile(X.astype(dtype), (12, 1))  # more rows than one block has
    one_call = net._predicted(x, "softmax", None)
    assert one_call is not None
    assert (one_call + 0).tobytes() == (net.trace(x).output + 0).tobytes()


@pytest.mark.parametrize("number", [2.0, -1.0, 0.5, np.nan, np.inf, 3e38])
def test_what_is_no_category_gives_nan(number):
    net = nn.Network(CHAINS["embedding first"], "softmax", seed=1)
    x = X.copy()
    x[3, 4] = number
    wrong = np.isnan(net(x)).any(axis=1)
    assert np.flatnonzero(wrong).tolist() == [3]
    assert np.isnan(net.trace(x).output).any(axis=1).tolist() == wrong.tolist()


def test_lines_have_the_slopes_of_their_bins():
    """The bits of the definition where nothing is rounded."""
    net = nn.Network([nn.PiecewiseLinear(1, [(-1.0, 0.0, 2.0, 2.5)], 2)], dtype="float64")
    net.w = np.array([0.5, 1.0, 0.25, 0.0, 1.0, -3.0, 2.0, 8.0, 4.0, 2.0])
    x = np.array([-9.0, -1.0, -0.5, 0.0, 1.0, 2.0, 2.25, 2.5, 9.0])[:, None]
    want = nn.primitives.TABLE["piecewise"].definition(
        net.ops, x, *net.views(net.w)[0].values(), net.chain[0].bins
    )
    assert np.array_equal(net(x), want)


def test_more_bins_than_c_takes_run_op_by_op():
    edges = tuple(range(1026))
    made = trainer([nn.PiecewiseLinear(6, [edges], 2), nn.Dense(7, 3)])
    assert "op by op: a PiecewiseLinear layer has more than 1024 bins" in made.summary()
    made.fit(X, CLASSES, 1)


def test_more_waves_than_c_takes_run_op_by_op():
    layers = [nn.Periodic(6, 1, frequencies=1025, features=2), nn.Dense(7, 3)]
    made = trainer(layers)
    assert "op by op: a Periodic layer has more than 1024 waves" in made.summary()
    made.fit(X, CLASSES, 1)


GOOD: dict[str, dict[str, Any]] = {
    "SCALE": {},
    "BLEND": {"blended": 1},
    "PERIODIC": {"columns": 2, "frequencies": 3, "features": 2, "phased": 1, "outputs": 5},
    "PIECEWISE": {
        "columns": 2,
        "features": 2,
        "sizes": (1, 2),
        "bins": (0.0, 1.0, 0.0, 2.0, 0.5, 2.0),
        "outputs": 5,
    },
    "EMBEDDING": {"columns": 2, "features": 2, "sizes": (3, 4), "outputs": 5},
}
UNSOUND: list[tuple[str, dict[str, Any]]] = [
    ("SCALE", {"outputs": 4}),
    ("BLEND", {"outputs": 4}),
    ("BLEND", {"blended": 99}),
    ("BLEND", {"blended": -1}),
    *(("PERIODIC", {"columns": d}) for d in (0, 1, 4, -1)),
    *(("PERIODIC", {"frequencies": F}) for F in (0, -3, 1025)),
    *(("PERIODIC", {"features": k}) for k in (0, 1, 3)),
    ("PERIODIC", {"phased": 2}),
    ("PERIODIC", {"outputs": 4}),
    *(("PIECEWISE", {"columns": d}) for d in (0, 1, 4, -1)),
    *(("PIECEWISE", {"features": k}) for k in (0, 1, 3)),
    *(("PIECEWISE", {"sizes": sizes}) for sizes in (None, (1, 0), (-1, 2), (1025, 1))),
    *(("PIECEWISE", {"bins": (0.0, 1.0, 0.0, rise, 0.5, 2.0)}) for rise in (0.0, -1.0, np.nan)),
    ("PIECEWISE", {"bins": None}),
    *(("EMBEDDING", {"columns": d}) for d in (0, 1, 4, -1)),
    ("EMBEDDING", {"features": 3}),
    *(("EMBEDDING", {"sizes": sizes}) for sizes in (None, (3, 0), (-1, 4), (2**31 - 1, 1))),
]


@pytest.mark.parametrize(("kind", "change"), UNSOUND)
def test_plans_refuse_layers_that_are_unsound(kind, change):
    ffi, lib = core.ffi, core.lib
    first = {"inputs": 2, "outputs": 3, "activation": 1, "factor": 1.0}
    good = {"kind": getattr(lib, f"NNPOLY_{kind}"), "inputs": 3, "outputs": 3, "activation": 1}
    for fields, sound in ((GOOD[kind], True), (GOOD[kind] | change, False)):
        row, held = good | fields, ffi.new("int64_t[]", fields.get("sizes") or [])
        row["sizes"] = held if row.get("sizes") else ffi.NULL
        bins = ffi.new("double[]", fields.get("bins") or [])
        row["bins"] = bins if row.get("bins") else ffi.NULL
        layers = ffi.new("struct nnpoly_layer[]", [first, row])
        training = {"dtype": 0, "depth": 2, "layers": layers, "loss": 0, "rule": 0}
        plan = lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training))
        assert (plan != ffi.NULL) == sound
        lib.nnpoly_plan_free(plan)


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan])
def test_plans_refuse_a_factor_that_is_not_positive(factor):
    ffi, lib = core.ffi, core.lib
    layer = {"inputs": 2, "outputs": 3, "activation": 1, "factor": factor}
    layers = ffi.new("struct nnpoly_layer[]", [layer])
    training = {"dtype": 0, "depth": 1, "layers": layers, "loss": 0, "rule": 0}
    assert lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training)) == ffi.NULL
