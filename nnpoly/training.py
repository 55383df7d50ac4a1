"""Training: the step, and epochs of steps, that turn a network, a loss and an optimiser into one.

A step is one pure function of arrays, `_training_step`, which the backend may compile and otherwise
runs as it is. An epoch is a transaction: it either completes, or the trainer is left as
it was before it, whatever ended it (NaN, Ctrl-C, no memory left).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import mul
from typing import Any, NamedTuple

from . import _checks, data, layers, losses
from ._calls import Calls
from ._progress import Progress
from .backends import host, registry
from .layers import Mode
from .losses import Loss
from .network import Layout, Network, Views, check_differentiable
from .optimizers import Adam, Coefficients, Moments, Optimizer
from .primitives import Array, Ops, Scalar

Callback = Callable[["Trainer", "History"], bool | None]


class NonFiniteLossError(ArithmeticError):
    """A loss or parameter became NaN or infinite; the parameters are those before that epoch."""


@dataclass
class History:
    """What training recorded, an entry an epoch.

    Attributes
    ----------
    loss
        Mean of the batches' losses, each before its step, weighted by their sizes.
    validation_loss
        Loss on the validation data after the epoch; empty without such data.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)


class State(NamedTuple):
    """All that a step changes."""

    w: Array  # (P,)
    moments: Moments  # (P,) each
    buffers: Views
    t: int


class Batches(NamedTuple):
    """What an epoch goes through: batches of `size` of the rows `order` of x and y."""

    x: Array  # (N, m_0)
    y: Array  # (N, K) or (N,)
    order: host.HostArray | None  # (rows,); None for all rows in their order
    size: int

    @property
    def rows(self) -> int:
        return int(self.x.shape[0]) if self.order is None else len(self.order)

    @property
    def steps(self) -> int:
        return -(-self.rows // self.size)

    @property
    def sizes(self) -> list[int]:
        """The size of every batch; the last one may be smaller."""
        before = self.size * (self.steps - 1)
        return [self.size] * (self.steps - 1) + [self.rows - before]


class Scratch(NamedTuple):
    """A gradient buffer laid out like w, for backends that can be written into."""

    flat: Array | None = None  # (P,)
    views: Views | None = None
    pieces: list[Array] | None = None


@dataclass(frozen=True)
class _Plan:
    """What a training step is made of, arrays apart."""

    chain: Sequence[layers.Layer]
    layout: Layout
    views: Callable[[Array], Views]
    loss: Loss
    optimizer: Optimizer
    scratch: Scratch


def _training_step(
    plan: _Plan,
    ops: Ops,
    w: Array,
    moments: Moments,
    buffers: Views,
    x: Array,
    y: Array,
    c: Coefficients,
    key: Scalar,
) -> tuple[Array, Array, Moments, Views]:
    """One step, pure in its arrays (w and the moments are given away).

    Returns the batch's loss before the step, and the new w, moments and buffers.
    """
    params, scratch = plan.views(w), plan.scratch
    stages = layers.forward(ops, plan.chain, params, buffers, x, Mode(True, False, key))
    loss, delta = plan.loss.value_and_delta(ops, stages[-1].post, y)
    grads, _, _ = layers.backward(ops, plan.chain, params, stages, delta, out=scratch.views)
    g = ops.flatten(plan.layout.pieces(grads), scratch.flat, scratch.pieces)
    w, moments = plan.optimizer.update(ops, w, g, moments, c)
    moved = [
        old if stage.buffers is None else dict(stage.buffers)
        for stage, old in zip(stages, buffers, strict=True)
    ]
    return loss, w, moments, moved


class Trainer:
    """Trains a network, in place, with an optimiser.

    Parameters
    ----------
    network
        Any `Network`; the trainer changes its parameters.
    optimizer
        An optimiser such as `nn.Adam(1e-3)`.
    loss
        Name or `nn.losses` object that pairs with the network's output; None for the output's own.
    seed
        Decides shuffles and dropout masks; None for the network's.

    Attributes
    ----------
    network, optimizer, loss
        As given.
    history
        The `History` of all epochs so far.
    t
        The number of steps so far.
    rate_factor
        What the optimiser's learning rate is multiplied with, 1.0 at the start; callbacks such as
        `nn.callbacks.ReduceOnPlateau` change it.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)  # no straight line separates these
    >>> trainer = nn.Trainer(nn.MLP([2, 16, 2], activation="tanh"), nn.Adam(0.02))
    >>> history = trainer.fit(X, y, epochs=60, batch_size=32)
    >>> history.loss[-1] < 0.2 < history.loss[0]
    True
    """

    _calls: Calls | None = None  # the callbacks of the fit that runs

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer | None = None,
        loss: str | Loss | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"Trainer: `network` must be a Network, got {network!r}.")
        optimizer = Adam() if optimizer is None else optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"Trainer: `optimizer` must be an optimiser such as nn.Adam(1e-3), got "
                f"{optimizer!r}."
            )
        self.loss = losses.get(loss, network.output, "Trainer")
        check_differentiable(network._chain, "Trainer")
        _require_eps(optimizer, network.dtype)
        self.network = network
        self.optimizer = optimizer
        self.seed = network.seed if seed is None else _checks.integer("Trainer", "seed", seed, 0)
        self.history = History()
        self.t = 0
        self.rate_factor = 1.0
        self._random = any(layer.random for layer in network._chain)
        self._moments: Moments = tuple(
            network._from_host(host.vector([[0.0] * network._layout.size], network.dtype))
            for _ in optimizer.moments
        )
        self._compile()

    def _compile(self) -> None:
        net = self.network
        plan = _Plan(
            net._chain, net._layout, net._views, self.loss, self.optimizer, self._scratch()
        )
        self._training = net._backend.training(plan, partial(_training_step, plan))

    def _scratch(self) -> Scratch:
        net = self.network
        if not net._backend.in_place:
            return Scratch()
        flat = net._backend.xp.zeros_like(net._w)
        views = net._layout.views(net._backend.xp, flat)
        return Scratch(flat, views, net._layout.pieces(views))

    def __getstate__(self) -> dict[str, Any]:
        """Return a picklable state: arrays from the host; the compiled step is made anew."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("_training", "_calls")}
        return {**state, "_moments": tuple(registry.to_host(m) for m in self._moments)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._moments = tuple(self.network._from_host(m) for m in self._moments)
        self._compile()

    # State

    @property
    def _state(self) -> State:
        net = self.network
        return State(net._w, self._moments, net._buffers, self.t)

    @_state.setter
    def _state(self, state: State) -> None:
        self.network._adopt(state.w, state.buffers)
        self._moments, self.t = state.moments, state.t

    def _snapshot(self) -> State:
        """Return a copy of the state that training does not touch."""
        copy, (w, moments, buffers, t) = self.network._backend.copy, self._state
        kept = [{name: copy(value) for name, value in part.items()} for part in buffers]
        return State(copy(w), tuple(copy(m) for m in moments), kept, t)

    # Steps

    def summary(self) -> str:
        """Return the network's table, the loss, the optimiser, memory, and how a step is taken.

        Examples
        --------
        >>> import nnpoly as nn
        >>> net = nn.Network([nn.Dense(2, 4), nn.Dropout(0.1), nn.Dense(4, 3)], "softmax")
        >>> print(nn.Trainer(net).summary().splitlines()[-1])
        steps      op by op: ...
        """
        rows = {
            "loss": type(self.loss).__name__,
            "optimizer": repr(self.optimizer),
            "memory": self._memory(),
            "steps": self._training.path,
        }
        lines = [f"{name:<9}  {value}" for name, value in rows.items()]
        return "\n".join([self.network.summary(), *lines])

    def _memory(self) -> str:
        """Return what training takes beside the data."""
        kept = ["w", *self.optimizer.moments]
        arrays = ["gradient", *kept]
        each = self.network._layout.size * int(self.network.dtype[5:]) / 8e6
        steps, batches = len(arrays) * each, "what the library takes"
        if self._training.buffers is not None:
            taken = self._training.buffers() / 1e6
            steps, batches = steps + taken, f"{taken:.2f} MB so far"
        return (
            f"{steps:.2f} MB in steps ({', '.join(arrays)}: {each:.2f} MB each; batches: {batches})"
            f", {steps + len(kept) * each:.2f} MB in fit (and a copy of {', '.join(kept)})"
        )

    def step(self, xb: Any, yb: Any) -> Array:
        """Take one step on a batch and return its loss before the step, a 0-d array.

        Nothing waits for the device: the loss can be read when it is wanted. Labels that are on the
        host are checked; labels on a device are not, since reading them would stall it.

        Parameters
        ----------
        xb
            Inputs (n, m_0).
        yb
            Targets: (n, K), or (n,) class indices, or (n,) for a single output.
        """
        if (loss := self._quick_step(xb, yb)) is not None:
            return loss
        net = self.network
        xb = data.features("Trainer.step", net._place, xb, net._inputs, "xb")
        shape = (xb.shape[0], net._outputs)
        yb = data.targets("Trainer.step", net._place, yb, self.loss, shape, "yb")
        return net._backend.zero_dimensional(self._advance(xb, yb))

    def _quick_step(self, xb: Any, yb: Any) -> Array:
        """Take one step as the backend takes a batch as it came, and return its loss, or None."""
        if self._training.quick is None:
            return None
        t = self.t + 1
        c = self._coefficients(t)
        loss = self._training.quick(self.network._w, self._moments, xb, yb, c)
        if loss is not None:
            self.t = t
        return loss

    def _coefficients(self, t: int) -> Coefficients:
        """Return the optimiser's coefficients of step t, its learning rate times `rate_factor`."""
        c = self.optimizer.coefficients(t)
        return c if self.rate_factor == 1.0 else (c[0] * self.rate_factor, *c[1:])

    def _advance(self, x: Array, y: Array) -> Array:
        """Take one step on checked arrays."""
        net, t = self.network, self.t + 1
        key = host.key(self.seed, t) if self._random else 0
        c = self._coefficients(t)
        with net._backend.scope(net._place.device):
            loss, w, self._moments, buffers = self._training.step(
                net._w, self._moments, net._buffers, x, y, c, key
            )
        net._adopt(w, buffers)
        self.t = t
        return loss

    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int = 10,
        batch_size: int = 32,
        validation: tuple[Any, Any] | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
        shuffle: bool = True,
        *,
        resume: Any = None,
    ) -> History:
        """Train for a number of epochs and return what happened.

        fit(5) twice equals fit(10): shuffles depend on the seed and the epoch's number alone.

        Parameters
        ----------
        X, y
            Inputs (n, m_0) and targets, on the host or on the network's backend. They are checked
            (shapes, labels, NaN and infinity) before any work.
        epochs, batch_size
            At least 1. The last batch of an epoch may be smaller.
        validation
            A pair (X, y) whose loss is computed after every epoch.
        callbacks
            Called as `callback(trainer, history)` after every epoch; True ends the training. See
            `nn.callbacks`.
        progress
            Show one line with rate, remaining time and losses.
        shuffle
            Visit the rows in a new order every epoch.
        resume
            The file of an `nn.callbacks.Checkpoint` of this run. Where it exists, the trainer and
            the callbacks first take up their state in it; `epochs` then counts the whole run. So a
            script that was interrupted goes on when it is run again, and gives the same bits.

        Returns
        -------
        History
            Of these epochs, with `resume` of the whole run; `trainer.history` has all.

        Raises
        ------
        NonFiniteLossError
            If a loss or a parameter is NaN or infinite. As with Ctrl-C, the trainer is then as it
            was after the last complete epoch.
        """
        calls = Calls(self, _callables(callbacks, "Trainer.fit"), History())
        epochs, batch_size, x, target, held_out = self._checked_fit(
            "Trainer.fit", X, y, epochs, batch_size, validation
        )
        done = 0 if resume is None else self._resume(calls, resume, epochs)
        with Progress(epochs, done, enabled=progress) as bar, calls:
            calls.begin()
            for _ in range(done, epochs):
                if calls.stopped:
                    break
                order = self._order(x.shape[0]) if shuffle else None
                self._epoch(Batches(x, target, order, batch_size), held_out, calls.history)
                bar.advance(calls.history)
                calls.call()
        return calls.history

    def _resume(self, calls: Calls, path: Any, epochs: int) -> int:
        """Take up the state in a file, where there is one; return how many epochs are done."""
        from . import checkpoint

        checkpoint.resume(calls, path, epochs)
        return len(self.history)

    def _order(self, n: int) -> host.HostArray:
        """Return the next epoch's order of the numbers 0..n-1."""
        return host.permutation(n, self.seed, len(self.history))

    def _epoch(
        self, batches: Batches, held_out: tuple[Array, Array] | None, history: History
    ) -> None:
        before = self._snapshot()
        try:
            begun = self._begin(batches)
            if begun is not None:
                self.network._backend.complete([begun])
            losses = self._end(batches, begun, held_out)
        except BaseException:
            self._state = before
            raise
        self._record(history, *losses)

    def _begin(self, batches: Batches) -> Any:
        """Return the epoch that the backend takes as a whole, or None."""
        if self._training.begin is None:
            return None
        x, y, order, size = batches
        rows = host.arange(x.shape[0]) if order is None else order
        t = range(self.t + 1, self.t + 1 + batches.steps)
        coefficients = [self._coefficients(i) for i in t]
        net = self.network
        return self._training.begin(net._w, self._moments, x, y, rows, size, coefficients)

    def _end(
        self, batches: Batches, begun: Any, held_out: tuple[Array, Array] | None
    ) -> tuple[float, list[float]]:
        """Return the losses of an epoch, the validation's last, which this takes unless begun."""
        pending = self._steps(batches) if begun is None else []
        # The last step shows in no loss of this epoch, so the parameters are looked at too.
        xp, w = self.network._backend.xp, self.network._w
        *values, highest, lowest = self._fetch([*pending, xp.max(w), xp.min(w)])
        if begun is not None:
            self.t += batches.steps
            values = begun.losses.tolist()
        self._require_finite("the loss", values)
        for extreme in (highest, lowest):
            self._require_finite("a parameter", [extreme], len(values))
        loss = _mean(values, batches.sizes)
        return loss, [] if held_out is None else [self._mean_loss(*held_out)]

    def _record(self, history: History, loss: float, validation: list[float]) -> None:
        for record in (self.history, history):
            record.loss.append(loss)
            record.validation_loss.extend(validation)

    def _steps(self, batches: Batches) -> list[Array]:
        """Take an epoch step by step, and return its losses."""
        net, (x, y, order, size) = self.network, batches
        blocks = _blocks(batches.rows, size)
        if order is None:
            pairs = ((x[rows, ...], y[rows, ...]) for rows in blocks)
        else:
            indices = net._place.integers("Trainer.fit", "order", order)
            gather = net._ops.gather
            pairs = ((gather(x, indices[rows]), gather(y, indices[rows])) for rows in blocks)
        return [self._advance(xb, yb) for xb, yb in pairs]

    def _require_finite(self, what: str, values: Sequence[float], first: int = 1) -> None:
        """Refuse values, one a step from step `first` on, of which one is not finite."""
        if all(map(math.isfinite, values)):
            return
        step, value = next((i, v) for i, v in enumerate(values, first) if not math.isfinite(v))
        raise NonFiniteLossError(
            f"Trainer.fit: {what} became {value} in epoch {len(self.history) + 1}, step {step}. "
            "The parameters are those from before this epoch. Try a smaller learning rate, "
            "clip_norm=1.0 in the optimiser, or inputs scaled to mean 0 and variance 1."
        )

    def _fetch(self, values: list[Array]) -> list[float]:
        """Return 0-d arrays as floats, waiting for the device once."""
        xp = self.network._backend.xp
        stacked = xp.stack([xp.asarray(value) for value in values])
        return [float(v) for v in self.network._backend.to_host(stacked)]

    # Evaluation

    def evaluate(self, X: Any, y: Any) -> float:
        """Return the mean loss on data, a float, without dropout and in blocks that fit memory."""
        return self._mean_loss(*self._checked(X, y, "X", "y", "Trainer.evaluate"))

    def _mean_loss(self, x: Array, y: Array, block: int = 4096) -> float:
        net = self.network
        values: list[Array] = []
        sizes: list[int] = []
        for rows in _blocks(x.shape[0], block):
            scores = net.scores(x[rows, ...])
            with net._backend.scope(net._place.device):
                value, _ = self.loss.value_and_delta(net._ops, scores, y[rows, ...])
            values.append(value)
            sizes.append(scores.shape[0])
        return _mean(self._fetch(values), sizes)

    def _checked_fit(
        self, where: str, X: Any, y: Any, epochs: Any, batch_size: Any, validation: Any
    ) -> tuple[int, int, Array, Array, tuple[Array, Array] | None]:
        """Return what a fit is given, after every check there is; the validation data come last."""
        epochs = _checks.integer(where, "epochs", epochs)
        batch_size = _checks.integer(where, "batch_size", batch_size)
        x, target = self._checked(X, y, "X", "y", where)
        if validation is None:
            return epochs, batch_size, x, target, None
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise ValueError(
                f"{where}: `validation` must be a pair (X, y), got {type(validation).__name__}."
            )
        X, y = validation
        held_out = self._checked(X, y, "validation[0]", "validation[1]", where)
        return epochs, batch_size, x, target, held_out

    def _checked(self, X: Any, y: Any, X_name: str, y_name: str, where: str) -> tuple[Array, Array]:
        """Return data as the network's arrays after every check there is."""
        net, place = self.network, self.network._place
        x = data.features(where, place, X, net._inputs, X_name)
        target = data.targets(where, place, y, self.loss, (x.shape[0], net._outputs), y_name)
        data.require_finite(where, place, x, X_name)
        if target.ndim == 2:
            data.require_finite(where, place, target, y_name)
        data.require_labels(where, place, target, self.loss, net._outputs, y_name)
        return x, target

    # Files

    def save(self, path: Any) -> None:
        """Write network, optimiser, moments, step and history to one file; see `Trainer.load`."""
        from . import checkpoint

        checkpoint.save_trainer(self, path)

    @classmethod
    def load(cls, path: Any, backend: Any = None, device: Any = None) -> Trainer:
        """Return the trainer that `save` wrote; training goes on as if it had not stopped.

        Parameters
        ----------
        path
            A file that `Trainer.save` wrote, on any backend.
        backend, device
            Where to continue; None for the default.
        """
        from . import checkpoint

        return checkpoint.load_trainer(path, backend, device)


def _blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices that cover 0..n-1, none longer than size."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the mean of batch means, weighted by the batches' sizes."""
    return math.fsum(map(mul, values, sizes)) / sum(sizes)


def _require_eps(optimizer: Optimizer, dtype: str) -> None:
    """Refuse an eps that the network's dtype rounds to 0: a zero gradient would divide by 0."""
    eps = getattr(optimizer, "eps", 1.0)
    if eps and not float(host.asarray(eps, dtype)):
        raise ValueError(
            f"Trainer: `optimizer` has eps={eps:g}, which is 0 in {dtype}: it would divide by 0. "
            "Use eps=1e-4 or more, or a float32 network."
        )


def _callables(callbacks: Any, where: str) -> Sequence[Callback]:
    if not isinstance(callbacks, tuple | list) or not all(callable(c) for c in callbacks):
        raise ValueError(
            f"{where}: `callbacks` must be a list of callables such as "
            f"[nn.callbacks.EarlyStopping()], got {callbacks!r}."
        )
    return callbacks
