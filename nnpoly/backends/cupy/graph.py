"""The compiled step: CUDA graphs of a whole training step, and of several.

What is captured is the step itself (`training_step`), run once on arrays that stay where they
are: JAX traces it alike. A graph takes its batch, its optimiser's coefficients and its random key
from a `Source` on the device, and leaves its loss there, so that the host has nothing to do between
the steps of an epoch but to launch them.

A capture forbids what a step must not do anyway: waiting for the device, and copies from the host.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...layers import chain_widths, weight_layers
from ...optimizers import Coefficients
from ..steps import Batch, Functions, Request, Spec, State, Steps, Taken, watched
from .kernels import all_small
from .launching import NULL, Array, at, launch, recorded, rows_and_columns, targets
from .ops import CudaOps

FORMS = 8  # graphs that are kept
TOGETHER = 8  # steps of the larger graph; what a launch costs is then shared by as many
RATES = 12  # numbers of a step, at most
SOURCE = 10  # 8-byte words of kernels.cu's struct Source

PATH = "one CUDA graph a step, and one for several steps of an epoch"
SMALL_ALONE = "where all products are small; else kernel by kernel, for lack of cuBLASLt"


def rates_of(spec: Spec, functions: Functions) -> int:
    """How many numbers a step of the spec has."""
    rule = len(spec.optimizer.coefficients(1))
    coefficients = rule + spec.decay_is_scheduled + len(spec.schedules)
    return len(functions.numbers((0.0,) * coefficients))


class Form(NamedTuple):
    """The shapes that a graph was captured for."""

    rows: int
    classes: bool  # whether targets are class indices
    weighted: bool
    steps: int


def _arrays(state: State) -> list[Array]:
    """All arrays of a state."""
    return [state.w, *state.moments, *(a for part in state.buffers for a in part.values())]


def _is_same(state: State, other: State | None) -> bool:
    """Whether both states are of the same arrays."""
    return other is not None and all(
        mine is theirs for mine, theirs in zip(_arrays(state), _arrays(other), strict=True)
    )


def _assign(state: State, other: State) -> None:
    """Write another state's values into a state's arrays."""
    for mine, theirs in zip(_arrays(state), _arrays(other), strict=True):
        if mine is not theirs:
            mine[...] = theirs


class Source:
    """The batch, rates and key that a graph's steps read: `struct Source` of kernels.cu."""

    def __init__(self, dtype: Any) -> None:
        self.place = cupy.zeros(SOURCE, np.int64)
        self.rates = cupy.zeros(RATES, dtype)  # of the step that runs
        self.key = cupy.zeros((), np.int32)
        self.dtype = dtype
        self._row = cupy.zeros(RATES, dtype)  # of a single step to come
        self._row_key = cupy.zeros(1, np.int32)

    def begin(self, batch: Batch, order: Array, rates: Array, keys: Array) -> Array:
        """Point to data and a table of coefficients, from its beginning; return room for losses."""
        return self._begin(batch, order, rates, keys, len(rates), [0.0] * RATES, 0)

    def begin_one(self, batch: Batch, c: Coefficients, key: int) -> Array:
        """Point to a single batch; return room for its loss: (1,)."""
        values = [*map(float, c), *[0.0] * (RATES - len(c))]
        return self._begin(batch, NULL, NULL, NULL, 1, values, int(key))

    def _begin(
        self,
        batch: Batch,
        order: Any,
        rates: Any,
        keys: Any,
        steps: int,
        values: Sequence[float],
        key: int,
    ) -> Array:
        losses = cupy.empty(steps, self.dtype)
        x, y, weights = batch
        data = x, *targets(y), at(weights), order, losses
        row = self._row, self._row_key, *values, key
        launch("begin", self.dtype, (1,), (1,), self.place, *data, rates, keys, *row)
        return losses


class Graphs(Steps):
    """The steps of one network, loss and optimiser as CUDA graphs, one for each form of a batch.

    Graphs hold the places of arrays: where those of the state are others than before, as after an
    epoch that was taken back, new graphs are captured.

    Parameters
    ----------
    step
        The step of a spec, `step(ops, state, batch, coefficients, key)`.
    one_by_one
        Of arrays alone, op by op: for what cannot be captured.
    """

    takes_epochs = True

    def __init__(
        self,
        ops: CudaOps,
        spec: Spec,
        step: Callable[..., Any],
        one_by_one: Functions,
        copy: Callable[[Array], Array],
    ) -> None:
        path = PATH if ops.products.captures else f"{PATH}, {SMALL_ALONE}"
        super().__init__(one_by_one, copy, path)
        self._ops, self._captured_step = ops, step
        self._classes = spec.loss.labels == "classes"
        self._shapes = [
            (layer.members, layer.inputs, layer.outputs) for layer in weight_layers(spec.chain)
        ]
        self._has_buffers = any(layer.buffers() for layer in spec.chain)
        self._inputs, width = chain_widths(spec.chain)
        self._outputs = width // spec.members
        self._rates = rates_of(spec, one_by_one)
        self._state: State | None = None
        self._source: Source | None = None
        self._graphs: dict[Form, Graph] = {}  # the newest last
        self._last: Form | None = None  # of a single step
        self._refused = False

    def step_unchecked(
        self, state: State, x: Any, y: Any, coefficients: Coefficients, key: Any
    ) -> Array:
        """Take one step in place on a batch that a graph that is there already takes as it is."""
        if self._has_buffers or type(x) is not cupy.ndarray or type(y) is not cupy.ndarray:
            return None
        n = len(x) if x.ndim else 0
        graph = self._graphs.get(Form(n, y.ndim == 1, False, 1))
        if graph is None or state is not self._state:
            return None
        w = state.w
        if not (self._fits(x, (n, self._inputs), w) and self._fits_targets(y, n, w)):
            return None
        assert self._source is not None
        with w.device:
            numbers = self._functions.numbers(coefficients)
            losses = self._source.begin_one(Batch(x, y), numbers, key)
            graph.launch()
        return losses[0]

    def _fits_targets(self, y: Array, n: int, w: Array) -> bool:
        if y.ndim == 2:
            return self._fits(y, (n, self._outputs), w)
        whole = self._classes and y.dtype == np.int64 and y.shape == (n,)
        return bool(whole and y.flags.c_contiguous and y.device == w.device)

    @staticmethod
    def _fits(array: Array, shape: tuple[int, int], w: Array) -> bool:
        """Whether a kernel beside w can read the array as one of that shape."""
        same = array.shape == shape and array.dtype == w.dtype
        return bool(same and array.flags.c_contiguous and array.device == w.device)

    def step(
        self, state: State, batch: Batch, coefficients: Coefficients, key: Any
    ) -> tuple[Array, State]:
        """Take one step in place."""
        with state.w.device:
            batch = _contiguous(batch)
            form, last = _form(batch, batch.x.shape[0]), self._last
            self._last = form
            # A form that never comes again is not worth its capture.
            graph = self._graph(state, form) if form in self._graphs or form == last else None
            if graph is None:
                loss, changed = super().step(state, batch, coefficients, key)
                _assign(state, changed)  # in place, since graphs hold these arrays' places
                return loss, state
            assert self._source is not None
            numbers = self._functions.numbers(coefficients)
            losses = self._source.begin_one(batch, numbers, key)
            graph.launch()
        return losses[0], state

    @staticmethod
    def run(requests: Sequence[Request]) -> list[Taken] | None:
        """Take the epochs of several networks, one after the other, in launches alone."""
        launches = [_Launches.of(request) for request in requests]
        taken = [launch for launch in launches if launch is not None]
        if len(taken) < len(requests):
            return None
        values = [launch.take() for launch in taken]  # nothing waits before all are launched
        found = []
        for request, array in zip(requests, values, strict=True):
            part, steps = array.tolist(), len(request.coefficients)
            found.append(Taken(part[:steps], part[steps:]))
        return found

    def parts(self, request: Request, data: Batch) -> list[tuple[Graph, int]] | None:
        """The graphs of an epoch, and how often each is launched; None where there can be none."""
        parts = []
        for size, steps, count in _parts(request.rows, request.size):
            graph = self._graph(request.state, _form(data, size, steps))
            if graph is None:
                return None
            parts.append((graph, count))
        return parts

    def numbers(self, coefficients: Sequence[Coefficients]) -> Any:
        """The numbers of steps as the source's table of rates, on the host."""
        assert self._source is not None
        return np.asarray(list(map(self._functions.numbers, coefficients)), self._source.dtype)

    @property
    def source(self) -> Source:
        """The batch, rates and key that the graphs' steps read."""
        assert self._source is not None
        return self._source

    def bytes(self) -> int:
        """The bytes that the graphs have for batches."""
        return sum(graph.bytes for graph in self._graphs.values())

    def _graph(self, state: State, form: Form) -> Graph | None:
        """The graph of a form, or None where there can be none."""
        if self._refused or not self._can(form.rows):
            return None
        if not _is_same(state, self._state):
            self._source = Source(state.w.dtype)
            self._graphs.clear()
        self._state = state
        assert self._source is not None
        if form in self._graphs:
            self._graphs[form] = self._graphs.pop(form)  # the newest again
            return self._graphs[form]
        made = partial(Graph, self._launch_step, self._room, state, self._source, form, self.copied)
        try:
            graph = _with_room(made)
        except cupy.cuda.memory.OutOfMemoryError:
            raise
        except Exception as error:
            self._refused = True
            warnings.warn(
                f"CuPy: this training step cannot be captured as a CUDA graph ({error}); it runs "
                "op by op instead. Please report it.",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        if len(self._graphs) == FORMS:
            del self._graphs[next(iter(self._graphs))]
        self._graphs[form] = graph
        return graph

    def _can(self, rows: int) -> bool:
        return self._ops.products.captures or all_small(self._ops, rows, self._shapes)

    def _room(self, form: Form) -> Batch:
        """Arrays for a batch."""
        assert self._source is not None
        dtype, n, K = self._source.dtype, form.rows, self._outputs
        y = cupy.zeros(n, np.int64) if form.classes else cupy.zeros((n, K), dtype)
        weights = cupy.ones(n, dtype) if form.weighted else None
        return Batch(cupy.zeros((n, self._inputs), dtype), y, weights)

    def _launch_step(self, state: State, source: Source, batch: Batch) -> None:
        """Launch a step in place: fetch its batch, take it, and record its loss."""
        x, y, weights = batch
        sizes = x.shape[0], self._inputs, self._outputs, self._rates
        grid = rows_and_columns(sizes[0], max(sizes[1:]))
        into = x, *targets(y), at(weights), source.rates, source.key
        launch("take", x.dtype, *grid, source.place, *into, *sizes)
        rates = tuple(source.rates[i] for i in range(self._rates))
        loss, changed = self._captured_step(self._ops, state, batch, rates, source.key)
        _assign(state, changed)
        launch("record", x.dtype, (1,), (1,), source.place, loss, sizes[0])


class Graph:
    """One or several steps, captured.

    Parameters
    ----------
    one
        Launches a step: `one(state, source, batch)`.
    room
        Returns arrays for a batch of a form.
    """

    def __init__(
        self,
        one: Callable[[State, Source, Batch], None],
        room: Callable[[Form], Batch],
        state: State,
        source: Source,
        form: Form,
        copied: Callable[[State], State],
    ) -> None:
        self.steps = form.steps
        self._pool = cupy.cuda.MemoryPool()  # nobody else may use what a graph writes into
        self._kept = state, source  # whose places the graph has

        def steps() -> None:
            for _ in range(form.steps):
                one(state, source, self._batch)

        stream = cupy.cuda.Stream(non_blocking=True)
        practice, copy = Source(state.w.dtype), copied(state)
        with cupy.cuda.using_allocator(self._pool.malloc):
            self._batch = room(form)
            losses = practice.begin_one(self._batch, (0.0,) * RATES, 0)
            with _aside(stream):  # on copies: loads kernels, chooses algorithms, fills the pool
                one(copy, practice, self._batch)
            del practice, copy, losses  # the current stream has waited for them
            with _aside(stream):
                self._graph = _captured(stream, steps, self._pool)
        self.bytes = int(self._pool.total_bytes())  # of its batch, activations and deltas

    def launch(self) -> None:
        """Take the steps, on the current stream."""
        self._graph.launch()


class _Launches:
    """A request as launches of graphs.

    Parameters
    ----------
    data
        The arrays, the order of their rows, and the tables of coefficients and keys.
    parts
        The graphs of one epoch, and how often each is launched.
    """

    def __init__(
        self,
        source: Source,
        data: tuple[Any, ...],
        parts: Sequence[tuple[Graph, int]],
        state: State,
    ) -> None:
        self._source, self._data, self._parts = source, data, parts
        self._watched: list[Any] = watched(state.w, state.buffers)

    @classmethod
    def of(cls, request: Request) -> _Launches | None:
        """The request, or None where it cannot be taken in graphs."""
        steps, state = request.steps, request.state
        assert isinstance(steps, Graphs)
        if request.together > 1 or not isinstance(request.data.x, cupy.ndarray):
            return None
        with state.w.device:
            data = _contiguous(request.data)
            parts = steps.parts(request, data)
            if parts is None:
                return None
            table = cupy.asarray(steps.numbers(request.coefficients))
            keys = [0] * len(table) if request.keys is None else request.keys
            order = cupy.asarray(np.asarray(request.order, np.int64))
            tables = order, table, cupy.asarray(keys, np.int32)
        return cls(steps.source, (data, *tables), parts, state)

    def take(self) -> Array:
        """Take all steps: one launch after the other, none of them waited for.

        Returns their losses, and the extremes of what is watched, as a vector on the device.
        """
        left = len(self._data[2])
        with self._watched[0].device:
            losses = self._source.begin(*self._data)
            while left:
                for graph, count in self._parts:
                    for _ in range(count):
                        graph.launch()
                    left -= count * graph.steps
            extremes = [e[None] for a in self._watched for e in (a.max(), a.min())]
            return cupy.concatenate([losses, *extremes])


def _parts(rows: int, batch: int) -> Iterator[tuple[int, int, int]]:
    """Yield an epoch's batch sizes in order, the steps of a graph, and its launches."""
    full, ragged = divmod(rows, batch)
    many, few = divmod(full, TOGETHER)
    parts = (batch, TOGETHER, many), (batch, 1, few), (ragged, 1, 1)
    return (part for part in parts if part[0] and part[2])


def _form(batch: Batch, rows: int, steps: int = 1) -> Form:
    _, y, weights = batch
    return Form(rows, y.ndim == 1, weights is not None, steps)


def _contiguous(batch: Batch) -> Batch:
    """The arrays as kernels can read them."""
    arrays: Iterator[Any] = (None if a is None else cupy.ascontiguousarray(a) for a in batch)
    return Batch(*arrays)


@contextmanager
def _aside(stream: Any) -> Iterator[None]:
    """Work on another stream, after all work so far and before all work to come."""
    before = cupy.cuda.get_current_stream()
    stream.wait_event(recorded(before))
    with stream:
        yield
    before.wait_event(recorded(stream))


def _with_room(make: Callable[[], Graph]) -> Graph:
    """The graph; where memory is short, after the default pool has given back its reserve."""
    try:
        return make()
    except cupy.cuda.memory.OutOfMemoryError:
        cupy.get_default_memory_pool().free_all_blocks()
        return make()


def _captured(stream: Any, work: Callable[[], None], pool: Any) -> Any:
    """Return the graph of what `work` launches, none of which runs.

    No capture is trusted in which memory had to be allocated; the next one finds it in the pool.
    """
    while True:
        before = pool.total_bytes()
        stream.begin_capture()
        try:
            work()
        except BaseException:
            with suppress(Exception):  # the capture is broken: this ends it, and says so once more
                stream.end_capture()
            raise
        graph = stream.end_capture()
        if pool.total_bytes() == before:
            return graph
