"""The stepper: the one owner of what training steps change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import chain, islice, repeat
from threading import RLock
from typing import Any, NamedTuple

from .. import optimizers
from ..backends import host, registry
from ..backends.steps import Batch, Request, Spec, State, Steps, Taken, watched
from ..data.batches import Batches, Stream, visited
from ..losses import Loss
from ..network import Network
from ..optimizers import Coefficients, Optimizer
from ..primitives import Array
from .step import functions_of, spec_of


class Compiled(NamedTuple):
    """A loss and an optimiser, and the steps that a backend made of them."""

    loss: Loss
    optimizer: Optimizer
    spec: Spec
    steps: Steps


class Snapshot(NamedTuple):
    """A stepper's state, which `Stepper.restore` takes."""

    state: State
    births: dict[str, int]
    t: int
    rate_factor: float
    compiled: Compiled


class Stepper:
    """Takes the training steps of a network: it owns w, the moments, the buffers and their counts.

    Nothing else changes them. Its lock lets one thread at a time take steps.

    Attributes
    ----------
    network, loss, precision
        As of `Trainer`.
    seed
        Decides the random masks.
    t
        The number of steps so far.
    rate_factor
        The factor of the optimiser's learning rate.
    births
        The value of t at which a moment began, by name, where that is not 0.
    lock
        Held while steps are taken, and over a whole epoch.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        loss: Loss,
        seed: int,
        precision: str | None = None,
    ) -> None:
        self.network, self.seed = network, seed
        self.t, self.rate_factor = 0, 1.0
        self.births: dict[str, int] = {}
        self.lock = RLock()
        self._draws = any(layer.random for layer in network.chain)
        self._least_rows = max(layer.least_rows for layer in network.chain)
        moments = tuple(self._zeros() for _ in optimizer.moments)
        self._state = State(network.w, moments, network.buffers)
        self._replaced = network.replaced
        self._use(self._compiled_for(optimizer, loss, precision))

    def _zeros(self) -> Array:
        place, w = self.network.place, self.network.w
        with place.scope():
            # Not zeros_like: NumPy's writes at once, and memory lies near to who writes first.
            zeros = place.backend.xp.zeros(w.shape, dtype=w.dtype)
            return place.backend.move(zeros, place.device)

    def _compiled_for(self, optimizer: Optimizer, loss: Loss, precision: str | None) -> Compiled:
        """The steps of this network, loss and optimiser, as the backend makes them."""
        spec = spec_of(self.network, loss, optimizer, precision)
        steps = self.network.place.backend.steps(spec, functions_of(spec))
        return Compiled(loss, optimizer, spec, steps)

    def _use(self, compiled: Compiled) -> None:
        self._compiled, self.steps = compiled, compiled.steps
        self.loss, self.optimizer = compiled.loss, compiled.optimizer
        self.precision = compiled.spec.precision
        decays = compiled.spec.decay_is_scheduled
        decay = [compiled.optimizer.weight_decay_at] if decays else []
        self._schedules = [*decay, *compiled.spec.schedules]

    # What it owns

    @property
    def spec(self) -> Spec:
        """The parts of its steps."""
        return self._compiled.spec

    @property
    def state(self) -> State:
        """The network's w and buffers, and the moments."""
        net = self.network
        if net.replaced != self._replaced:  # `net.w` was assigned, say
            self._state = State(net.w, self._state.moments, net.buffers)
            self._replaced = net.replaced
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if state is not self._state:
            self.network.adopt(state.w, state.buffers)
            self._state, self._replaced = state, self.network.replaced

    @property
    def moments(self) -> dict[str, Array]:
        """The optimiser's moments by name: (P,) each."""
        return dict(zip(self.optimizer.moments, self._state.moments, strict=True))

    def change(self, optimizer: Optimizer, loss: Loss, precision: str | None) -> None:
        """Go on with another optimiser, loss or precision, which have been checked.

        The optimiser takes over the moments that it carries by the same name and decay factor.
        Others begin at 0, and count their steps from there.
        """
        with self.lock:
            before, kept, births = self.optimizer.decays, self.moments, {}
            moments = []
            for name, decay in optimizer.decays.items():
                if before.get(name) == decay:
                    moments.append(kept[name])
                    born = self.births.get(name, 0)
                else:
                    moments.append(self._zeros())
                    born = self.t
                if born:
                    births[name] = born
            state = self.state._replace(moments=tuple(moments))
            compiled = self._compiled_for(optimizer, loss, precision)
            self.births, self._state = births, state  # nothing can fail from here on
            self._use(compiled)

    def snapshot(self) -> Snapshot:
        """A copy of everything that steps change."""
        state = self.steps.copied(self.state)
        return Snapshot(state, self.births, self.t, self.rate_factor, self._compiled)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which is given away."""
        self.state, self.births, self.t, self.rate_factor, compiled = snapshot
        if compiled is not self._compiled:
            self._use(compiled)

    def resume(
        self, net: Network, moments: Sequence[host.HostArray], births: dict[str, int], t: int
    ) -> None:
        """Go on from another network's parameters, and from moments of this optimiser."""
        own = self.network
        own.restore(net.arrays())
        self._state = State(own.w, tuple(map(own.from_host, moments)), own.buffers)
        self._replaced, self.births, self.t = own.replaced, births, t

    def __getstate__(self) -> dict[str, Any]:
        """The arrays from the host; the steps are compiled anew."""
        made_anew = ("_compiled", "_schedules", "steps", "lock", "_state")
        kept = {name: value for name, value in vars(self).items() if name not in made_anew}
        return {**kept, "moments": [registry.to_host(m) for m in self._state.moments]}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        moments = kept.pop("moments")
        self.__dict__.update(kept, lock=RLock())
        net = self.network
        self._state = State(net.w, tuple(map(net.from_host, moments)), net.buffers)
        self._use(self._compiled_for(self.optimizer, self.loss, self.precision))

    # What steps depend on

    def coefficients(self, t: int) -> Coefficients:
        """The coefficients of step t: see `Spec`; the learning rate is times `rate_factor`."""
        c = self.optimizer.coefficients(t, self._ages(t) if self.births else None)
        if self.rate_factor != 1.0:
            c = (c[0] * self.rate_factor, *c[1:])
        return (*c, *(number(t) for number in self._schedules)) if self._schedules else c

    def _coefficients_of(self, steps: range) -> Sequence[Coefficients]:
        ages = self._ages(steps.start) if self.births else None
        rows = self.optimizer.coefficients_of(steps, ages)
        if self.rate_factor != 1.0:
            rows = [(c[0] * self.rate_factor, *c[1:]) for c in rows]
        if not self._schedules:
            return rows
        scheduled = zip(*(map(number, steps) for number in self._schedules), strict=True)
        return [(*c, *numbers) for c, numbers in zip(rows, scheduled, strict=True)]

    def _ages(self, t: int) -> dict[str, int]:
        """The number of steps, with step t, for which moments have been carried, by name."""
        return {name: t - born for name, born in self.births.items()}

    def age(self, name: str) -> int:
        """The number of steps for which a moment has been carried."""
        return self.t - self.births.get(name, 0)

    def key(self, t: int, part: int = 0) -> int:
        """The key of the random masks of step t, or of one part of it."""
        if not self._draws:
            return 0
        if part:
            return host.key(self.seed, t + (part << 32))
        return host.keys_ahead(self.seed, t // host.AHEAD)[t % host.AHEAD]

    # Steps

    def require_rows(self, where: str, rows: int) -> None:
        """Refuse batches of fewer rows than a layer needs to learn from them."""
        if rows < self._least_rows:
            chain = self.network.chain
            layer = next(layer for layer in chain if layer.least_rows == self._least_rows)
            raise ValueError(
                f"{where}: batches must have at least {self._least_rows} rows for "
                f"{type(layer).__name__}, got {rows}. Use larger batches, or LayerNorm, which "
                "looks at each row alone."
            )

    def step(self, batch: Batch) -> Array:
        """Take one step on checked arrays. Returns the batch's loss before it, a 0-d array."""
        with self.lock:
            t = self.t + 1
            with self.network.place.scope():
                c, key = self.coefficients(t), self.key(t)
                loss, self.state = self.steps.step(self.state, batch, c, key)
            self.t = t
        return loss

    def step_unchecked(self, x: Any, y: Any) -> Array | None:
        """Take one step on a user's batch, as `Steps.step_unchecked`: the loss, or None."""
        with self.lock:
            t = self.t + 1
            key = self.key(t) if self._draws else 0
            loss = self.steps.step_unchecked(self.state, x, y, self.coefficients(t), key)
            if loss is not None:
                self.t = t
        return loss

    def step_together(self, batches: Iterable[Batch]) -> list[Array]:
        """Take one step by the mean gradient of several batches, as of their union.

        Each is used before the next one is drawn: a source may fill the same arrays again.
        Returns each batch's loss before the step.
        """
        losses: list[Array] = []
        total: Any = None
        rows, steps, scope = 0, self.steps, self.network.place.scope
        with self.lock:
            t, state = self.t + 1, self.state
            c = self.coefficients(t)
            for part, batch in enumerate(batches):
                with scope():
                    loss, total, state = steps.add(state, total, batch, c, self.key(t, part))
                losses.append(loss)
                rows += batch.x.shape[0]
            with scope():
                self.state = steps.update(state, total, rows, c)
            self.t = t
        return losses

    def averaged(self) -> Network:
        """A copy of the network with the moving average of its parameters, a / (1 - d^t)."""
        net, decay = self.network.copy(), self.optimizer.ema
        steps = self.age("average")
        if decay is not None and steps:
            with net.place.scope():
                net.w = self.moments["average"] / (1.0 - decay**steps)
        return net

    def restore_average(self, w: Array) -> None:
        """Make w: (P,), of an earlier `averaged()`, the average of the parameters."""
        decay = self.optimizer.ema
        assert decay is not None
        with self.lock, self.network.place.scope():
            average = w * (1.0 - decay ** self.age("average"))
            moments = {**self.moments, "average": average}
            self._state = self.state._replace(moments=tuple(moments.values()))

    def evaluated(self) -> Network:
        """The network that is evaluated: the averaged one, where the optimiser keeps an average."""
        return self.network if self.optimizer.ema is None else self.averaged()

    # Epochs

    def request(self, epochs: Sequence[Batches], accumulate: int = 1) -> Request:
        """The request to a backend for the next epochs, which are of the same data."""
        first = epochs[0]
        batches = first.steps
        together = min(accumulate, batches + 1)  # C's integers hold no larger one
        each = -(-batches // together)
        steps = range(self.t + 1, self.t + 1 + each * len(epochs))
        keys = None
        if self._draws:
            places = [divmod(batch, together) for batch in range(batches)]
            numbers = [step + (part << 32) for step, part in places]
            keys = host.keys(self.seed, (t + number for t in steps[::each] for number in numbers))
        return Request(
            self.steps,
            self.state,
            first.data,
            visited(epochs),
            first.rows,
            first.size,
            together,
            self._coefficients_of(steps),
            keys,
        )

    def one_by_one(self, batches: Batches | Stream, accumulate: int = 1) -> list[Array]:
        """Take an epoch step by step. Returns its batches' losses."""
        losses: list[Array] = []
        # Closed here: after an error, its traceback would keep what is on its way to the device.
        with closing(batches.arrays(self.network.place, "Trainer.fit")) as arrays:
            if accumulate == 1:
                return [self.step(batch) for batch in arrays]
            for first in arrays:
                losses += self.step_together(chain([first], islice(arrays, accumulate - 1)))
        return losses

    def run(self, epochs: Sequence[Batches], accumulate: int = 1) -> Taken | None:
        """Take whole epochs in one call of the backend; None, having done nothing, if it cannot."""
        taken = run_together([self], [epochs], accumulate)
        return None if taken is None else taken[0]


def extremes_of(net: Network) -> list[Array]:
    """The highest and lowest entries of what must stay finite, as 0-d arrays."""
    xp = net.place.backend.xp
    with net.place.scope():
        seen = watched(net.w, net.buffers)
        return [extreme for array in seen for extreme in (xp.max(array), xp.min(array))]


def checked_optimizer(optimizer: Any, dtype: str) -> Optimizer:
    """Return an optimiser, or that of a name.

    An eps that is 0 in the network's dtype is refused: a zero gradient would divide by 0.
    """
    found = optimizers.get(optimizer, "Trainer")
    eps = getattr(found, "eps", 1.0)
    if eps and host.vanishes(eps, dtype):
        remedy = "1e-4 or more, or a float32 network" if dtype == "float16" else "1e-8"
        raise ValueError(
            f"Trainer: `optimizer` has eps={eps:g}, which is 0 in {dtype}: it would divide by 0. "
            f"Use eps={remedy}."
        )
    return found


def run_together(
    steppers: Sequence[Stepper], epochs: Sequence[Sequence[Batches]], accumulate: int = 1
) -> list[Taken] | None:
    """Take whole epochs of several networks in one call of their backend.

    Returns what each network's epochs gave; or None, having done nothing, where the backend cannot
    take them together.
    """
    requests = list(map(Stepper.request, steppers, epochs, repeat(accumulate)))
    taken = requests[0].steps.run(requests)
    if taken is not None:
        for stepper, request in zip(steppers, requests, strict=True):
            stepper.t += len(request.coefficients)
    return taken
