"""Products of bfloat16 in the C core: their rounding, the order of their sums, and their bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import op_by_op

import nnpoly as nn
from nnpoly import activations

core = built_core()
lib, ffi = core.lib, core.ffi
pytestmark = pytest.mark.usefixtures("restored_core")

RNG = np.random.default_rng(7)
PAIRS = core.pairs()
IN_ORDER = [way for way in PAIRS if way != "amx"]  # whose bits are those of multiply-adds in order
every_way = pytest.mark.parametrize("way", PAIRS)
SHAPES = [(1, 1, 1), (3, 2, 5), (15, 31, 33), (33, 385, 65), (16, 32, 16), (70, 801, 40)]


def use(way: str, threads: int = 1) -> None:
    assert lib.nnpoly_set_isa(core.isas()[0].encode()) == lib.NNPOLY_OK
    assert lib.nnpoly_set_pairs(way.encode()) == lib.NNPOLY_OK
    nn.set_num_threads(threads)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("f4")


def dense(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    ops = nn.backends.get("numpy").ops
    return ops.dense_bf16(x, W, b, activations.identity)[1]


def nearest(x: np.ndarray) -> np.ndarray:
    return nn.backends.get("numpy").ops.bfloat16(x)


@every_way
def test_factors_are_rounded_as_they_are_packed(way):
    """All 2^16 numbers of bfloat16 and their midpoints, and the numbers on either side, by 1."""
    bits = np.arange(2**17)[:, None] * 0x8000 + [-1, 0, 1]
    x = bits.astype(np.uint32).view(np.float32).reshape(-1, 1)
    use(way)
    zero = np.zeros(1, "f4")
    one = np.ones((1, 1), "f4")
    with np.errstate(invalid="ignore"):
        right = nearest(x)
    for got in (dense(x, one, zero), dense(one, x, np.zeros(len(x), "f4")).T):
        assert np.array_equal(got, right, equal_nan=True)


def by_pairs(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sums in order, of each pair the odd product first: exact but for each addition."""
    pre = np.broadcast_to(b, (len(x), len(W))).copy()
    for k in range(0, x.shape[1], 2):
        for at in (k + 1, k):
            if at < x.shape[1]:
                pre += x[:, at, None] * W[None, :, at]
    return pre


def by_tiles(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of every 16 pairs the even products' sum and the odd ones', from 0 on; then all three."""
    pre = np.broadcast_to(b, (len(x), len(W))).copy()
    for start in range(0, x.shape[1], 32):
        sums = np.zeros((2, *pre.shape), "f4")
        for k in range(start, min(start + 32, x.shape[1])):
            sums[k % 2] += x[:, k, None] * W[None, :, k]
        pre += sums[0] + sums[1]
    return pre


@every_way
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_in_the_order_that_is_written_down(way, shape):
    n, m_in, m = shape
    x, W, b = numbers(n, m_in), numbers(m, m_in), numbers(m)
    use(way)
    order = by_tiles if way == "amx" else by_pairs
    assert np.array_equal(dense(x, W, b), order(nearest(x), nearest(W), b))


@pytest.mark.parametrize("shape", SHAPES)
def test_ways_and_isas_with_multiply_adds_have_the_same_bits(shape):
    found = []
    for way in IN_ORDER:
        use(way)
        found.append(products(*shape))
    for isa in core.isas():
        if isa not in ("baseline", core.isas()[0]):
            lib.nnpoly_set_isa(isa.encode())
            found.append(products(*shape))
    assert all(other == found[0] for other in found)


def products(n: int, m_in: int, m: int) -> list[bytes]:
    ops, rng = nn.backends.get("numpy").ops, np.random.default_rng(n)
    x, W, b, delta = (rng.normal(size=s).astype("f4") for s in ((n, m_in), (m, m_in), m, (n, m)))
    pre, post = ops.dense_bf16(x, W, b, activations.gelu)
    below = ops.dense_delta_bf16(delta, W, x, x, activations.gelu)
    return [a.tobytes() for a in (pre, post, below, *ops.dense_gradients_bf16(delta, x))]


CHAINS: dict[str, Any] = {
    "dense": lambda: [nn.Dense(37, 70, "gelu"), nn.Dense(70, 41, "relu"), nn.Dense(41, 3)],
    "every layer": lambda: [
        *(nn.Dropout(0.1), nn.Dense(37, 33, "tanh"), nn.LayerNorm(33)),
        nn.Residual([nn.Dense(33, 33, "silu"), nn.Dropout(0.2)]),
        *(nn.BatchNorm(33, activation="relu"), nn.Dense(33, 3)),
    ],
    "large": lambda: [nn.Dense(37, 900, "relu"), nn.Dense(900, 400, "relu"), nn.Dense(400, 3)],
}


@every_way
@pytest.mark.parametrize("chain", CHAINS)
def test_threads_and_plans_change_no_bit(way, chain):
    X, y = numbers(150, 37), RNG.integers(0, 3, 150)
    found = []
    for threads in (1, 2, 3):
        use(way, threads)
        for planned in (True, False):
            net = nn.Network(CHAINS[chain](), "softmax", seed=1)
            t = nn.Trainer(net, nn.Adam(0.01), precision="bf16", seed=2)
            if not planned:
                op_by_op(t)
            t.fit(X, y, epochs=2, batch_size=50)
            found.append((net.w.tobytes(), t.predict(X).tobytes()))
    assert all(other == found[0] for other in found)


def test_the_summary_says_that_steps_are_compiled():
    t = nn.Trainer(nn.MLP([4, 5, 2]), precision="bf16")
    assert "one call of the C core a step" in t.summary()
    assert "op by op" not in t.summary()


def test_other_ways_are_refused():
    before = lib.nnpoly_pairs()
    assert lib.nnpoly_set_pairs(b"sse9") == lib.NNPOLY_NO_ISA
    assert lib.nnpoly_pairs() == before
