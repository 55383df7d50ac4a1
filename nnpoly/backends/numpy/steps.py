"""Training steps of dense networks in one call of the C core, epochs in a few, and predictions.

Every result has the bits of the step that the plan stands for, taken op by op. Where it cannot
stand for a step, `offer` says why, and the step runs op by op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Lock
from typing import Any, TypeAlias

import numpy as np

from ... import losses, optimizers
from ..._core import ffi, lib
from ...layers import Dense, Layer
from ...losses import Loss
from ...optimizers import Coefficients, Moments, Optimizer
from ...primitives import Array
from ..base import Training
from ..codes import CODES, parameter
from .core import FLOAT32, FLOAT64, INT64, WRITABLE, check, pointer, readable
from .rules import FIELDS, RULES

LOSSES = {
    losses.CrossEntropy: lib.NNPOLY_CROSS_ENTROPY,
    losses.Logistic: lib.NNPOLY_LOGISTIC,
    losses.MSE: lib.NNPOLY_SQUARED_ERROR,
}

NULL = ffi.NULL
Rows: TypeAlias = tuple[Any, Any, Any, Any, int]  # C's x, labels or y, weights, and their number
SLICE_NS = 50_000_000  # an epoch returns to Python so often, where signals are handled


def _declines_layers(chain: Sequence[Layer], dtype: np.dtype[Any]) -> str:
    """Return why C cannot take these layers, or nothing if it can."""
    if dtype not in (FLOAT32, FLOAT64):
        return f"{dtype} is not float32 or float64"
    for layer in chain:
        if type(layer) is not Dense:
            return f"{type(layer).__name__} layers run op by op"
        if type(layer.activation) not in CODES:
            return f"{layer.activation} is not an activation of the C core"
    return ""


def _declines(chain: Sequence[Layer], loss: Loss, optimizer: Optimizer, dtype: Any) -> str:
    """Return why no plan stands for these, or nothing if one does."""
    if type(loss) not in LOSSES or type(optimizer) not in RULES:
        return f"{type(loss).__name__} or {type(optimizer).__name__} is not one of the C core's"
    return _declines_layers(chain, dtype)


def offer(
    chain: Sequence[Layer],
    loss: Loss,
    optimizer: Optimizer,
    gradient: Array,
    one_by_one: Callable[..., Any],
) -> Training:
    """Return the training that a plan takes, or `one_by_one` with the reason.

    gradient: (P,), overwritten by every step.
    """
    if reason := _declines(chain, loss, optimizer, gradient.dtype):
        return Training(one_by_one, None, f"op by op: {reason}")
    plan = Plan(chain, loss, optimizer, gradient, one_by_one)
    path = "one call of the C core a step, and for many steps of an epoch"
    return Training(plan.step, plan.begin, path, plan.quick, plan.buffers)


class Plan:
    """A network, loss and optimiser as the C core's plan.

    Batches that C cannot read are left to `one_by_one`, the same step op by op.
    """

    def __init__(
        self,
        chain: Sequence[Layer],
        loss: Loss,
        optimizer: Optimizer,
        gradient: Array,
        one_by_one: Callable[..., Any],
    ) -> None:
        self._gradient, self._one_by_one = gradient, one_by_one
        self._dtype = dtype = gradient.dtype
        self._moments = optimizer.moments
        self._labels = loss.labels
        layers = _layers_of(chain)
        self._inputs, self._outputs = layers[0].inputs, layers[len(chain) - 1].outputs
        rule, self._fields = _rule(optimizer)
        self._plan = _new_plan(layers, loss, optimizer, dtype, rule)
        self._lock = Lock()  # a plan is used by one thread at a time
        self._state = ffi.new("struct nnpoly_state *")
        self._stateful: tuple[Array, Array] = (None, None)  # whose places it has
        self._rates = ffi.new("struct nnpoly_rates *", {"unbias_s": 1.0})

    def step(
        self,
        w: Array,
        moments: Moments,
        buffers: Any,
        x: Array,
        y: Array,
        sample_weight: Array | None,
        c: Coefficients,
        key: Any,
    ) -> tuple[Array, Array, Moments, Any]:
        """Take one step: the arguments and results of `step.training_step`."""
        loss = self.quick(w, moments, x, y, c, sample_weight)
        if loss is None:
            return self._one_by_one(w, moments, buffers, x, y, sample_weight, c, key)  # type: ignore[no-any-return]
        return loss, w, moments, buffers

    def quick(
        self,
        w: Array,
        moments: Moments,
        x: Any,
        y: Any,
        c: Coefficients,
        sample_weight: Array | None = None,
    ) -> Array:
        """Take one step in place on any batch; return its loss, or None if C cannot have it.

        sample_weight has been checked, if there is one: C takes any numbers.
        """
        if not (batch := self._batch(x, y, sample_weight)):
            return None
        loss, rates = np.empty((), self._dtype), self._rates
        with self._lock:
            if not self._adopt(w, moments):
                return None
            for field, value in zip(self._fields, c, strict=True):
                setattr(rates, field, value)
            status = lib.nnpoly_plan_step(self._plan, self._state, *batch, rates, pointer(loss))
        if status == 0:
            return loss
        if status == lib.NNPOLY_NO_MEMORY:
            check(status)
        return None  # a wrong label or a misaligned array, of which Python has more to say

    def begin(
        self,
        w: Array,
        moments: Moments,
        buffers: Any,
        x: Array,
        y: Array,
        sample_weight: Array | None,
        order: Array,
        rows: int,
        batch: int,
        coefficients: Sequence[Coefficients],
        keys: Sequence[int] | None,
    ) -> Epoch | None:
        """Return what takes a step for each batch of the rows `order`, or None.

        rows: those of one epoch, of which there may be several; coefficients: the optimiser's, a
        step an entry. Dense layers have no buffers, and no use for keys.
        """
        arrays_of_c = self._batch(x, y, sample_weight)
        arrays = [array for array in (x, y, sample_weight) if array is not None]
        if arrays_of_c is None or not all(array.flags.aligned for array in arrays):
            return None
        with self._lock:
            if not self._adopt(w, moments):
                return None
        rates = np.tile([0.0, 0.0, 0.0, 1.0], (len(coefficients), 1))
        rates[:, [FIELDS.index(field) for field in self._fields]] = coefficients
        order = np.ascontiguousarray(order, INT64)
        return Epoch(self, arrays_of_c, order, rows, batch, rates)

    def buffers(self) -> int:
        """Return the bytes that it has for batches."""
        return int(lib.nnpoly_plan_bytes(self._plan))

    def _batch(self, x: Any, y: Any, sample_weight: Array | None) -> Rows | None:
        """Return the arrays as C takes them; None if it cannot read them."""
        dtype = self._dtype
        if type(x) is not np.ndarray or type(y) is not np.ndarray or x.dtype is not dtype:
            return None
        if len(shape := x.shape) != 2 or shape[1] != self._inputs or (n := shape[0]) == 0:
            return None
        if sample_weight is not None and (
            sample_weight.dtype is not dtype or sample_weight.shape != (n,)
        ):
            return None
        try:  # what is not contiguous has no buffer; what is misaligned is refused in C
            weights = NULL if sample_weight is None else pointer(sample_weight)
            if y.dtype is INT64 and self._labels == "classes":
                labels = pointer("int64_t[]", y)
                return (pointer(x), labels, NULL, weights, n) if y.shape == (n,) else None
            K = self._outputs
            shaped = y.shape == (n, K) or (K == 1 and y.shape == (n,))
            readable = shaped and y.dtype is dtype
            return (pointer(x), NULL, pointer(y), weights, n) if readable else None
        except (ValueError, BufferError):
            return None

    def _adopt(self, w: Array, moments: Moments) -> bool:
        """Have C's state point to w and the moments; remembered while they stay the same."""
        if self._stateful[0] is w and self._stateful[1] is moments:
            return True
        named = dict(zip(self._moments, moments, strict=True))
        arrays = {"w": w, "g": self._gradient, **named}
        if "v" in arrays:
            arrays["m"] = arrays.pop("v")
        for array in arrays.values():
            if not readable(self._dtype, array) or array.flags.num & WRITABLE != WRITABLE:
                return False
        for name in ("w", "g", "m", "s", "peak", "average"):
            place = pointer(arrays[name]) if name in arrays else ffi.NULL
            setattr(self._state, name, place)
        self._stateful = w, moments
        return True


class Epoch:
    """Steps of one or more epochs of one plan. losses: (steps,), once `complete` took them."""

    def __init__(
        self, plan: Plan, arrays: Rows, order: Array, rows: int, batch: int, rates: Array
    ) -> None:
        self.losses = np.empty(len(rates), plan._dtype)
        self.place = place = ffi.new("struct nnpoly_epoch *")
        place.X, place.labels, place.Y, place.weights, place.N = arrays
        place.n, place.rows, place.batch = len(order), rows, batch
        place.order = pointer("int64_t[]", order)
        place.rates = pointer("struct nnpoly_rates[]", rates)
        place.losses = pointer(self.losses)
        self.plan = plan
        self._kept = arrays, order, rates  # C has their places alone


def complete(epochs: Sequence[Epoch]) -> None:
    """Take all steps of all epochs, each of another plan."""
    plans = ffi.new("nnpoly_plan *[]", [epoch.plan._plan for epoch in epochs])
    states = ffi.new("struct nnpoly_state[]", [epoch.plan._state[0] for epoch in epochs])
    places = ffi.new("struct nnpoly_epoch[]", [epoch.place[0] for epoch in epochs])
    with ExitStack() as locks:
        for plan in sorted((epoch.plan for epoch in epochs), key=id):  # one order: no deadlock
            locks.enter_context(plan._lock)
        while any(p.done < len(e.losses) for p, e in zip(places, epochs, strict=True)):
            check(lib.nnpoly_train(plans, states, places, len(epochs), SLICE_NS))


def _rule(optimizer: Optimizer) -> tuple[int, list[str]]:
    code, columns = RULES[type(optimizer)]
    if isinstance(optimizer, optimizers.SGD) and optimizer.momentum:
        code = lib.NNPOLY_NESTEROV if optimizer.nesterov else lib.NNPOLY_MOMENTUM
    return code, columns


def _layers_of(chain: Sequence[Layer]) -> Any:
    """Return C's table of Dense layers."""
    layers = ffi.new("struct nnpoly_layer[]", len(chain))
    for place, layer in zip(layers, chain, strict=True):
        assert isinstance(layer, Dense)
        place.inputs, place.outputs = layer.inputs, layer.outputs
        place.activation, place.a = CODES[type(layer.activation)], parameter(layer.activation)
    return layers


def _new_plan(
    layers: Any, loss: Loss, optimizer: Optimizer, dtype: np.dtype[Any], rule: int
) -> Any:
    training = ffi.new("struct nnpoly_training *")
    training.dtype, training.depth, training.layers = int(dtype is FLOAT64), len(layers), layers
    training.loss, training.rule = LOSSES[type(loss)], rule
    training.label_smoothing = getattr(loss, "label_smoothing", 0.0)
    training.beta1 = getattr(optimizer, "beta1", getattr(optimizer, "momentum", 0.0))
    training.beta2 = getattr(optimizer, "beta2", getattr(optimizer, "beta", 0.0))
    training.eps = getattr(optimizer, "eps", 0.0)
    training.eps_inside = getattr(optimizer, "eps_inside_sqrt", False)
    training.clip_norm = optimizer.clip_norm or 0.0
    training.weight_decay, training.decoupled = optimizer.weight_decay, optimizer.decoupled
    training.ema = optimizer.ema or 0.0
    plan = lib.nnpoly_plan_new(training)
    if plan == ffi.NULL:
        raise MemoryError("C core: memory for the plan of a training step could not be allocated.")
    return ffi.gc(plan, lib.nnpoly_plan_free)


OUTPUTS = {
    "exp": lib.NNPOLY_EXP,
    "identity": lib.NNPOLY_IDENTITY,
    "sigmoid": lib.NNPOLY_SIGMOID,
    "step": lib.NNPOLY_STEP,
    "softmax": lib.NNPOLY_ACTIVATIONS,
}
FEW_ROWS, LITTLE_WORK = 128, 1 << 20


def prediction(chain: Sequence[Layer], dtype: np.dtype[Any]) -> Callable[..., Array] | None:
    """Return the forward pass of these layers as one call of the C core, or None."""
    return None if _declines_layers(chain, dtype) else Prediction(chain, dtype)


class Prediction:
    """A forward pass in one call; its bits are those of the layers one by one."""

    def __init__(self, chain: Sequence[Layer], dtype: np.dtype[Any]) -> None:
        self._layers, self._dtype = _layers_of(chain), dtype
        self._inputs, self._outputs = self._layers[0].inputs, self._layers[len(chain) - 1].outputs
        self._parameters = sum((layer.inputs + 1) * layer.outputs for layer in self._layers)
        self._head = int(dtype is FLOAT64), self._layers, len(chain)

    def __call__(self, w: Array, x: Array, output: str) -> Array:
        """Return f: (n, K), or None for an x that C cannot read as it is.

        Threads take different rows, so a few rows of a large network are also left to the layers
        one by one, whose threads share the columns.
        """
        if type(x) is not np.ndarray or x.dtype is not self._dtype or len(shape := x.shape) != 2:
            return None
        n, inputs = shape
        if inputs != self._inputs or n == 0:
            return None
        if n < FEW_ROWS and n * self._parameters > LITTLE_WORK:
            return None
        f = np.empty((n, self._outputs), self._dtype)
        try:  # what is not contiguous has no buffer; what is misaligned is refused in C
            places = pointer(w), pointer(x), pointer(f)
        except (ValueError, BufferError):
            return None
        status = lib.nnpoly_predict(*self._head, *places, n, OUTPUTS[output])
        if status == lib.NNPOLY_MISALIGNED:
            return None
        if status != 0:
            check(status)
        return f
