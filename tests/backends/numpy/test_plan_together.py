"""Steps on several batches in the C core's plans. That their bits are those op by op, `planned.run`
holds of every layer, loss and optimiser.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import built_core
from planned import CLASSES, WEIGHTS, X, in_one_call, op_by_op, state, trainer

import nnpoly as nn
from nnpoly.backends.steps import Batch

core = built_core()
ffi, lib = core.ffi, core.lib

LAYERS = [nn.Dense(6, 8, "relu"), nn.BatchNorm(8), nn.Dropout(0.2), nn.Dense(8, 3)]


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 5, 10**18])
def test_any_number_of_batches_makes_a_step(accumulate):
    """Of four batches an epoch."""
    made = [in_one_call(trainer(LAYERS)), op_by_op(trainer(LAYERS))]
    for each in made:
        each.fit(X, CLASSES, 40, 26, accumulate=accumulate)  # most epochs in one call
        assert each.t == 40 * -(-4 // min(accumulate, 4))
    assert [made[0].history.loss, *state(made[0])] == [made[1].history.loss, *state(made[1])]


def misaligned(array: np.ndarray) -> np.ndarray:
    shifted = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    assert not shifted.flags.aligned
    return shifted


@pytest.mark.parametrize("unreadable", [[0], [1], [2], [0, 1], [0, 1, 2]])
def test_batches_that_c_cannot_read_add_to_the_same_gradient(unreadable):
    batches = [Batch(X[i::3].copy(), CLASSES[i::3].copy(), WEIGHTS[i::3].copy()) for i in range(3)]
    mixed = [
        batch._replace(x=misaligned(batch.x)) if i in unreadable else batch
        for i, batch in enumerate(batches)
    ]
    made = [trainer(LAYERS, "float32", nn.SGD(0.1)) for _ in range(2)]
    for each, given in zip(made, (batches, mixed), strict=True):
        for _ in range(3):
            each.stepper.step_together(given)
    for a, b in zip(*(each.network.arrays().values() for each in made), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert made[0].t == made[1].t == 3


def test_a_failing_epoch_of_steps_on_several_leaves_everything_as_it_was():
    made = trainer(LAYERS, optimizer=nn.SGD(1e30))
    made.fit(X, CLASSES, 1, 50, accumulate=3)
    before = state(made)
    with pytest.raises(nn.NonFiniteLossError, match="epoch 2"):
        made.fit(X, CLASSES, 2, 10, accumulate=3)
    assert (made.t, state(made)) == (1, before)


def plan_of_one_layer(**arrays: Any) -> tuple[Any, Any, Any, Any]:
    """Return a plan of 2 inputs and 3 outputs, a state, rates, and what else must live on."""
    layer = {"inputs": 2, "outputs": 3, "activation": 1, "factor": 1.0}
    layers = ffi.new("struct nnpoly_layer[]", [layer])
    training = {"dtype": 0, "depth": 1, "layers": layers, "loss": 0, "rule": lib.NNPOLY_SGD}
    made = lib.nnpoly_plan_new(ffi.new("struct nnpoly_training *", training))
    places = {name: ffi.from_buffer(array) for name, array in arrays.items()}
    rates = ffi.new("struct nnpoly_rates *", {"learning_rate": 0.5, "unbias_s": 1.0})
    plan = ffi.gc(made, lib.nnpoly_plan_free)
    return plan, ffi.new("struct nnpoly_state *", places), rates, places


def test_calls_without_a_total_or_with_one_in_the_way_are_refused():
    w, g = np.ones(9, "f4"), np.ones(9, "f4")
    x, labels, loss = (np.ones((4, 2), "f4"), np.zeros(4, int), np.ones(1, "f4"))
    place = ffi.from_buffer
    batch = place(x), place("int64_t[]", labels), ffi.NULL, ffi.NULL, 4
    for total, status in ((None, lib.NNPOLY_NULL), (g, lib.NNPOLY_OVERLAP)):
        arrays = {"w": w, "g": g} if total is None else {"w": w, "g": g, "total": total}
        plan, given, rates, _ = plan_of_one_layer(**arrays)
        assert lib.nnpoly_plan_add(plan, given, *batch, rates, place(loss), 1) == status
        assert lib.nnpoly_plan_update(plan, given, 4, rates) == status
        assert w.tolist() == g.tolist() == [1.0] * 9
        assert loss == 1.0
    order, each = np.arange(4), ffi.new("struct nnpoly_rates[]", 2)
    plan, given, rates, _ = plan_of_one_layer(w=w, g=g)
    epoch = {"X": batch[0], "labels": batch[1], "N": 4, "order": place("int64_t[]", order)}
    epoch |= {"n": 4, "rows": 4, "batch": 2, "rates": each, "losses": place(np.ones(2, "f4"))}
    for number, status in ((2, lib.NNPOLY_NULL), (0, lib.NNPOLY_SHAPE), (-1, lib.NNPOLY_SHAPE)):
        epochs = ffi.new("struct nnpoly_epoch[]", [epoch | {"together": number}])
        plans = ffi.new("nnpoly_plan *[]", [plan])
        assert lib.nnpoly_train(plans, given, epochs, 1, 0) == status
    plan, given, rates, _ = plan_of_one_layer(w=w, g=g, total=np.ones(9, "f4"))
    for rows in (0, -1):
        assert lib.nnpoly_plan_update(plan, given, rows, rates) == lib.NNPOLY_SHAPE
    assert w.tolist() == [1.0] * 9
