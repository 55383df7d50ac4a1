"""Training steps in one call of the C core, and epochs in a few.

Every result has the bits of the same step taken op by op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import is_
from typing import Any, NamedTuple, cast

import numpy as np

from ... import optimizers
from ..._core import ffi, lib
from ...losses import Loss
from ...optimizers import Coefficients, Optimizer
from ...primitives import Array
from ..codes import loss_code, loss_parameter
from ..host import HostArray
from ..steps import Batch, Functions, Request, Spec, State, Steps, Taken
from .chains import Buffers, Table, reason_against, table_of
from .core import INT64, check, dtype_code, pointer, readable, writable
from .rules import FIELDS, RULES

NULL = ffi.NULL
DROPOUT = FIELDS.index("dropout")  # the column of the first scheduled rate
COLUMNS = DROPOUT + lib.NNPOLY_SCHEDULED  # the numbers of a step
# NumPy's functions as of the arrays of any library, which a step takes and gives.
empty = cast("Callable[..., Array]", np.empty)
copy_of = cast("Callable[[Array], Array]", np.copy)
SLICE_NS = 50_000_000  # an epoch returns to Python so often, where signals are handled


def steps(spec: Spec, one_by_one: Functions, copy: Callable[[Array], Array]) -> Steps:
    """The steps of a spec as calls of the C core; else `one_by_one`, with the reason."""
    if reason := _reason_against(spec):
        return Steps(one_by_one, copy, f"op by op: {reason}")
    return PlannedSteps(spec, one_by_one, copy)


def _reason_against(spec: Spec) -> str:
    """Why no plan can take the steps; empty if one can."""
    optimizer = type(spec.optimizer)
    if loss_code(spec.loss) is None:
        return f"{type(spec.loss).__name__} is not one of the C core's losses"
    if optimizer not in RULES:
        return f"{optimizer.__name__} is not one of the C core's optimisers"
    if (schedules := len(spec.schedules)) > lib.NNPOLY_SCHEDULED:
        return f"{schedules} schedules of dropout are more than {lib.NNPOLY_SCHEDULED}"
    return reason_against(spec.chain, spec.scratch.gradient.dtype)


class Places(NamedTuple):
    """The pointers to samples for C: a target is `labels` or `y`, the other one NULL."""

    x: Any
    labels: Any
    y: Any
    weights: Any
    n: int


class PlannedSteps(Steps):
    """The steps of a network, loss and optimiser by a plan of the C core.

    Batches that C cannot read are taken op by op. One thread at a time may use it, of which the
    trainer's lock takes care.
    """

    takes_epochs = True

    def __init__(self, spec: Spec, one_by_one: Functions, copy: Callable[[Array], Array]) -> None:
        path = "one call of the C core a step, and for many steps of an epoch"
        super().__init__(one_by_one, copy, path)
        self._gradient = spec.scratch.gradient  # (P,), overwritten by every step
        self._dtype = self._gradient.dtype
        self._moments = spec.optimizer.moments
        self._classes = spec.loss.labels == "classes"
        self._draws = any(layer.random for layer in spec.chain)
        self._least_rows = max(layer.least_rows for layer in spec.chain)
        table = table_of(spec.chain, training=True, schedules=spec.schedules)
        self._inputs, self._outputs = table.inputs, table.outputs // spec.members
        self._buffers = Buffers(spec.chain)
        rule, fields = _rule(spec.optimizer)
        if spec.decay_is_scheduled:
            fields = [*fields, "weight_decay"]
        dropouts = range(DROPOUT, DROPOUT + len(spec.schedules))
        self._columns = [*(FIELDS.index(field) for field in fields), *dropouts]
        self.plan = _new_plan(table, spec, rule)
        self.arrays = ffi.new("struct nnpoly_state *")
        self._state: State | None = None  # whose arrays these are
        self._held: list[Any] = []  # its buffers
        self._total: Any = None  # (P,), of a step on several batches
        decay = 0.0 if spec.decay_is_scheduled else spec.optimizer.weight_decay
        self._constants = {"unbias_s": 1.0, "weight_decay": decay}  # where no coefficient is one
        self._rates = ffi.new("struct nnpoly_rates *", self._constants)
        self._numbers = ffi.cast("double *", self._rates)

    def step(
        self, state: State, batch: Batch, coefficients: Coefficients, key: Any
    ) -> tuple[Array, State]:
        """Take one step, in place where C can read the batch."""
        places = self.places(*batch)
        loss = None if places is None else self._step(state, places, coefficients, key)
        if loss is None:
            return super().step(state, batch, coefficients, key)
        return loss, state

    def add(
        self,
        state: State,
        total: Array | None,
        batch: Batch,
        coefficients: Coefficients,
        key: Any,
    ) -> tuple[Array, Array, State]:
        """Add up a batch's gradient where all of them are, in place."""
        self._set(coefficients)
        place, first = self._place_of_total(), total is None
        places = self.places(*batch)
        add = lib.nnpoly_plan_add
        loss = None if places is None else self._take(state, places, key, add, first)
        if loss is None:
            given = None if first else place, batch, coefficients, key
            loss, place[...], state = super().add(state, *given)
        return loss, place, state

    def update(self, state: State, total: Array, rows: int, coefficients: Coefficients) -> State:
        """End a step on several batches, in place."""
        if not self._reads(state):
            return super().update(state, total, rows, coefficients)
        self._set(coefficients)
        check(lib.nnpoly_plan_update(self.plan, self.arrays, rows, self._rates))
        return state

    def _place_of_total(self) -> Any:
        """The memory for the sum of the gradients of several batches."""
        if self._total is None:
            self._total = np.empty_like(self._gradient)
            self.arrays.total = pointer(self._total)
        return self._total

    def step_unchecked(
        self, state: State, x: Any, y: Any, coefficients: Coefficients, key: Any
    ) -> Array | None:
        """Take one step in place; C looks at the targets, and refuses wrong ones."""
        places = self.places(x, y)
        if places is None or places.n < self._least_rows:
            return None
        return self._step(state, places, coefficients, key)

    def _step(
        self, state: State, batch: Places, coefficients: Coefficients, key: Any
    ) -> Array | None:
        """Take one step; its loss, or None as `_take`."""
        self._set(coefficients)
        return self._take(state, batch, key, lib.nnpoly_plan_step)

    def _take(
        self, state: State, batch: Places, key: Any, take: Callable[..., int], *more: Any
    ) -> Array | None:
        """Have C take a batch; its loss, or None where it refuses an array or a target."""
        if not self._reads(state):
            return None
        rates = self._rates
        if self._draws:
            rates.key = key
        loss = empty((), self._dtype)
        status = take(self.plan, self.arrays, *batch, rates, pointer(loss), *more)
        if status == 0:
            return loss
        if status == lib.NNPOLY_NO_MEMORY:
            check(status)
        return None  # a wrong target or a misaligned array, of which Python has more to say

    def _reads(self, state: State) -> bool:
        """Have C read a state; False where it cannot."""
        return self._points_to(state) or self.point_to(state)

    def _set(self, coefficients: Coefficients) -> None:
        numbers = self._numbers
        for column, value in zip(self._columns, coefficients, strict=True):
            numbers[column] = value

    @staticmethod
    def run(requests: Sequence[Request]) -> list[Taken] | None:
        """Take the epochs of several networks, in slices between which signals are handled."""
        count = len(requests)
        plans = ffi.new("nnpoly_plan *[]", count)
        states = ffi.new("struct nnpoly_state[]", count)
        epochs = ffi.new("struct nnpoly_epoch[]", count)
        kept = []  # memory of which C has only the places
        for i, request in enumerate(requests):
            steps = request.steps
            assert isinstance(steps, PlannedSteps)
            arrays = steps.describe(request, epochs[i])
            if arrays is None:
                return None
            kept.append(arrays)
            plans[i], states[i] = steps.plan, steps.arrays[0]
        left = count
        while left:
            if status := lib.nnpoly_train(plans, states, epochs, count, SLICE_NS):
                check(status)
            left = 0
            for epoch, arrays in zip(epochs, kept, strict=True):
                left += epoch.done < len(arrays[0])
        taken = []
        for request, arrays in zip(requests, kept, strict=True):
            extremes: list[float] = []
            seen: list[Any] = [request.state.w, *cast("PlannedSteps", request.steps)._held]
            for array in seen:
                extremes += float(array.max()), float(array.min())
            taken.append(Taken(arrays[0].tolist(), extremes))
        return taken

    def describe(self, request: Request, epoch: Any) -> tuple[HostArray, ...] | None:
        """Fill in C's `epoch`: the losses' array, then others that must outlive the call.

        None where C cannot read the arrays.
        """
        places = self.places(*request.data)
        if places is None or (
            not self._points_to(request.state) and not self.point_to(request.state)
        ):
            return None
        arrays: Iterable[Any] = request.data
        for array in arrays:
            if array is not None and not array.flags.aligned:
                return None
        steps, fields = len(request.coefficients), len(self._columns)
        given = np.fromiter(chain.from_iterable(request.coefficients), np.float64, steps * fields)
        given = given.reshape(steps, fields)
        if request.together > 1:
            given = given[_steps_of_batches(request)]
            self._place_of_total()
        rates = np.zeros((len(given), COLUMNS))  # a batch an entry
        for field, value in self._constants.items():
            rates[:, FIELDS.index(field)] = value
        rates[:, self._columns] = given
        if request.keys is not None:
            rates[:, FIELDS.index("key")] = request.keys
        order = np.ascontiguousarray(request.order, INT64)
        losses = np.empty(len(rates), self._dtype)
        epoch.X, epoch.labels, epoch.Y, epoch.weights, epoch.N = places
        epoch.n, epoch.rows, epoch.batch = len(order), request.rows, request.size
        epoch.together = request.together
        epoch.order = pointer("int64_t[]", order)
        epoch.rates = pointer("struct nnpoly_rates[]", rates)
        epoch.losses = pointer(losses)
        return losses, order, rates

    def copied(self, state: State) -> State:
        """A copy that no step changes."""
        w, moments, buffers = state
        copies = [{name: copy_of(array) for name, array in part.items()} for part in buffers]
        return State(copy_of(w), tuple(map(copy_of, moments)), copies)

    def bytes(self) -> int:
        """The bytes that the plan has for batches."""
        return int(lib.nnpoly_plan_bytes(self.plan))

    def places(self, x: Any, y: Any, sample_weight: Array | None = None) -> Places | None:
        """The pointers to a batch for C; None if it cannot read the arrays.

        sample_weight has been checked, if there is one: C takes any numbers.
        """
        dtype = self._dtype
        if type(x) is not np.ndarray or type(y) is not np.ndarray or x.dtype != dtype:
            return None
        if len(shape := x.shape) != 2 or shape[1] != self._inputs or (n := shape[0]) == 0:
            return None
        try:  # an array that is not contiguous has no buffer; C refuses a misaligned one
            weights = NULL
            if sample_weight is not None:
                if sample_weight.dtype != dtype or sample_weight.shape != (n,):
                    return None
                weights = pointer(sample_weight)
            if self._classes and y.dtype == INT64:
                labels = pointer("int64_t[]", y)
                return Places(pointer(x), labels, NULL, weights, n) if y.shape == (n,) else None
            K = self._outputs
            shaped = y.shape == (n, K) or (K == 1 and y.shape == (n,))
            if not shaped or y.dtype != dtype:
                return None
            return Places(pointer(x), NULL, pointer(y), weights, n)
        except (ValueError, BufferError):
            return None

    def _points_to(self, state: State) -> bool:
        """Whether C's state has these arrays. Those of a network's buffers may be replaced."""
        if state is not self._state:
            return False
        return not self._held or all(map(is_, self._held, self._buffers.of(state.buffers)))

    def point_to(self, state: State) -> bool:
        """Have C's state point to the arrays; remembered while they stay the same."""
        named = dict(zip(self._moments, state.moments, strict=True))
        arrays = {"w": state.w, "g": self._gradient, **named}
        if "v" in arrays:
            arrays["m"] = arrays.pop("v")
        buffers = self._buffers.places(state.buffers, self._dtype)
        if not (readable(self._dtype, *arrays.values()) and writable(*arrays.values())):
            return False
        if buffers is None:
            return False
        self.arrays.buffers = self._running = buffers  # which must outlive the calls
        for name in ("w", "g", "m", "s", "peak", "average"):
            place = pointer(arrays[name]) if name in arrays else NULL
            setattr(self.arrays, name, place)
        self._state, self._held = state, self._buffers.of(state.buffers)
        return True


def _steps_of_batches(request: Request) -> HostArray:
    """The number of each batch's step: the last step of an epoch may have fewer batches."""
    batches, epochs = -(-request.rows // request.size), len(request.order) // request.rows
    within = np.arange(batches) // request.together
    steps: HostArray = np.arange(epochs)[:, None] * (within[-1] + 1) + within
    return steps.ravel()


def _rule(optimizer: Optimizer) -> tuple[int, list[str]]:
    """The rule's code, and the fields of nnpoly_rates that its coefficients are."""
    code, fields = RULES[type(optimizer)]
    if isinstance(optimizer, optimizers.SGD) and optimizer.momentum:
        code = lib.NNPOLY_NESTEROV if optimizer.nesterov else lib.NNPOLY_MOMENTUM
    return code, fields


def _new_plan(table: Table, spec: Spec, rule: int) -> Any:
    loss: Loss = spec.loss
    optimizer: Optimizer = spec.optimizer
    training = ffi.new("struct nnpoly_training *")
    training.dtype = dtype_code(spec.scratch.gradient.dtype, spec.precision)
    training.depth, training.layers = table.depth, table.layers
    training.members = spec.members
    training.loss, training.loss_a = loss_code(loss), loss_parameter(loss)
    training.rule = rule
    training.label_smoothing = getattr(loss, "label_smoothing", 0.0)
    training.beta1 = getattr(optimizer, "beta1", getattr(optimizer, "momentum", 0.0))
    training.beta2 = getattr(optimizer, "beta2", getattr(optimizer, "beta", 0.0))
    training.eps = getattr(optimizer, "eps", 0.0)
    training.eps_inside = getattr(optimizer, "eps_inside_sqrt", False)
    training.clip_norm = optimizer.clip_norm or 0.0
    training.decoupled, training.ema = optimizer.decoupled, optimizer.ema or 0.0
    parts = [(s.stop, s.rate, s.decay) for s in spec.layout.segments]
    segments = ffi.new("struct nnpoly_segment[]", parts)
    training.segments, training.segment_count = segments, len(parts)
    plan = lib.nnpoly_plan_new(training)
    if plan == ffi.NULL:
        raise MemoryError("C core: memory for the plan of a training step could not be allocated.")
    return ffi.gc(plan, lib.nnpoly_plan_free)
