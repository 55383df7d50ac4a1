"""Training steps: their arrays, and the interface by which a backend takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..primitives import Array, Scalar
from . import host

Views: TypeAlias = list[dict[str, Array]]  # arrays by layer and name


class State(NamedTuple):
    """The arrays that a training step changes."""

    w: Array  # (P,)
    moments: tuple[Array, ...]  # (P,) each
    buffers: Views


def watched(w: Array, buffers: Views) -> list[Array]:
    """The arrays that must stay finite: the parameters, then each buffer."""
    return [w, *(array for part in buffers for array in part.values())]


class Batch(NamedTuple):
    """Samples as the network's arrays."""

    x: Array  # (n, m_0)
    y: Array  # (n, K) or (n,)
    sample_weight: Array | None = None  # (n,)


class Scratch(NamedTuple):
    """A gradient's memory, laid out like w, for backends that can be written into."""

    flat: Array | None = None  # (P,)
    views: Views | None = None
    pieces: list[Array] | None = None

    @property
    def gradient(self) -> Array:
        """The vector `flat`, which every backend that can be written into has."""
        assert self.flat is not None
        return self.flat


class Segment(NamedTuple):
    """Parameters side by side in the flat vector, with the same factors of the optimiser's rates.

    Those at start..stop-1 have the learning rate times `rate`, the weight decay times `decay`.
    """

    start: int
    stop: int
    rate: float
    decay: float

    @property
    def factors(self) -> tuple[float, float]:
        """The two factors."""
        return self.rate, self.decay


class Spec(NamedTuple):
    """The parts of a training step: layers, loss and optimiser, and memory for its gradient.

    The coefficients of a step are those of the optimiser's rule, then its weight decay, where that
    is a schedule, and last the value of each of `schedules`.
    """

    chain: Sequence[Any]  # layers
    layout: Any  # network.Layout
    views: Callable[[Array], Views]
    loss: Any
    optimizer: Any
    scratch: Scratch
    precision: str | None = None  # of matrix products, where it is not the dtype's
    schedules: tuple[Any, ...] = ()  # of the layers, each once
    members: int = 1  # whose scores stand side by side

    @property
    def decay_is_scheduled(self) -> bool:
        """Whether the coefficients of a step have the weight decay."""
        return not isinstance(self.optimizer.weight_decay, float)


class Functions(NamedTuple):
    """The functions of which training steps are made: see training/step.py."""

    step: Callable[..., Any]  # a step on one batch
    add: Callable[..., Any]  # the gradient of one batch of several
    update: Callable[..., Any]  # by the mean of their gradients
    numbers: Callable[..., tuple[Scalar, ...]]  # of a step, on the host: from its coefficients

    def compiled(self, compile: Callable[..., Any], precision: str | None) -> Functions:
        """Those of arrays as a backend's `compile` makes them, with products of this precision."""
        of_arrays = self.step, self.add, self.update
        step, add, update = (compile(function, precision) for function in of_arrays)
        return Functions(step, add, update, self.numbers)


class Request(NamedTuple):
    """Whole epochs of one network: steps on the batches of the rows that they visit, in order."""

    steps: Steps
    state: State  # changed in place
    data: Batch  # all N rows
    order: host.HostArray  # the rows' numbers, one epoch after the other
    rows: int  # of one epoch
    size: int  # of a batch; the last one of an epoch may be smaller
    together: int  # batches of a step; the last one of an epoch may have fewer
    coefficients: Sequence[tuple[Scalar, ...]]  # a step an entry: see `Spec`
    keys: Sequence[int] | None  # of the random masks, a batch an entry; None where none are drawn


class Taken(NamedTuple):
    """The results of whole epochs."""

    losses: list[float]  # of each batch, before its step
    extremes: list[float]  # after the last step, the highest and lowest entry of each of `watched`


class Steps:
    """The training steps of one network, loss and optimiser, as a backend takes them.

    This class takes them one by one, as a compiled call of the pure step. A backend that can do
    better returns a subclass of its own from `Backend.steps`.

    Parameters
    ----------
    functions
        Of arrays alone: `step(state, batch, numbers, key)`, which returns the loss and the new
        state, and the two parts of a step on several batches; and `numbers(coefficients)`.
    copy
        Copies an array.
    path
        A description of the way in which steps are taken, for `Trainer.summary`.

    Attributes
    ----------
    takes_epochs
        Whether `run` can take whole epochs.
    """

    takes_epochs = False

    def __init__(
        self,
        functions: Functions,
        copy: Callable[[Array], Array],
        path: str = "the library's own operations",
    ) -> None:
        self._functions, self._copy, self.path = functions, copy, path

    def step(
        self, state: State, batch: Batch, coefficients: tuple[Scalar, ...], key: Scalar
    ) -> tuple[Array, State]:
        """Take one step. `state` is given away.

        Returns the batch's loss before the step, and the new state.
        """
        numbers = self._functions.numbers(coefficients)
        loss, state = self._functions.step(state, batch, numbers, key)
        return loss, state

    def add(
        self,
        state: State,
        total: Array | None,
        batch: Batch,
        coefficients: tuple[Scalar, ...],
        key: Scalar,
    ) -> tuple[Array, Array, State]:
        """Add n times the gradient of a batch of n rows, one of several of a step, to their total.

        `total` is None before the first of them, and given away, as the buffers are. Returns the
        batch's loss, the new total, and the state with new buffers.
        """
        w, _, buffers = state
        numbers = self._functions.numbers(coefficients)
        loss, total, buffers = self._functions.add(w, buffers, total, batch, numbers, key)
        return loss, total, state._replace(buffers=buffers)

    def update(
        self, state: State, total: Array, rows: int, coefficients: tuple[Scalar, ...]
    ) -> State:
        """End a step on several batches of so many rows together. `state` is given away.

        Returns the new state.
        """
        w, moments, buffers = state
        numbers = self._functions.numbers(coefficients)
        w, moments = self._functions.update(w, moments, total, rows, numbers)
        return State(w, moments, buffers)

    def step_unchecked(
        self, state: State, x: Any, y: Any, coefficients: tuple[Scalar, ...], key: Scalar
    ) -> Array | None:
        """Take one step in place on a user's batch that nobody has checked.

        Returns its loss, a 0-d array; or None, having done nothing, for a batch that is wrong, or
        that it cannot take as it is.
        """
        return None

    @staticmethod
    def run(requests: Sequence[Request]) -> list[Taken] | None:
        """Take the epochs of several networks, each with `Steps` of this kind.

        Returns what each request gave; or None, having done nothing, where one of them cannot be
        taken.
        """
        return None

    def copied(self, state: State) -> State:
        """A copy that no step changes."""
        copy = self._copy
        buffers = [{name: copy(a) for name, a in part.items()} for part in state.buffers]
        return State(copy(state.w), tuple(map(copy, state.moments)), buffers)

    def bytes(self) -> int | None:
        """The bytes that the steps have taken for a batch's activations and deltas, if known."""
        return None
