"""Training: a network, a loss and an optimiser, and the steps and fits that change the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from .. import _checks, losses
from ..backends import host, registry
from ..data import entering
from ..data.batches import Batch, Batches, Source, Stream
from ..losses import Loss
from ..metrics import Metric, resolve
from ..network import Network, check_differentiable
from ..optimizers import Adam, Coefficients, Moments, Optimizer
from ..primitives import Array
from .calls import Calls
from .epochs import Epochs, Following
from .evaluation import Judge, mean_loss
from .progress import Progress
from .step import Halves, State, halves, plan_of, training_step

Callback = Callable[["Trainer", "History"], bool | None]


@dataclass
class History:
    """What training recorded, an entry an epoch.

    Attributes
    ----------
    loss
        Mean of the batches' losses, each before its step, weighted by their sizes.
    validation_loss
        Loss on the validation data after the epoch; empty without such data.
    metrics
        By name: what `fit(metrics=...)` computed after the epoch, on the validation data where
        there is some.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.loss)


_NOT_KEPT = ("_plan", "_training", "_halves", "_calls")  # in a pickle: compiled anew


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
    precision
        "tf32" or "bf16": the factors of a step's matrix products may be rounded to TF32 or
        bfloat16, which a GPU multiplies several times faster; sums, small products and everything
        else stay float32. For float32 networks on CuPy. None: float32 means float32. Files do not
        keep it.

    Attributes
    ----------
    network, optimizer, loss, precision
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
        precision: str | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"Trainer: `network` must be a Network, got {network!r}.")
        optimizer = Adam() if optimizer is None else optimizer
        _require_optimizer(optimizer, network.dtype)
        self.loss = losses.get(loss, network.output, "Trainer")
        check_differentiable(network.chain, "Trainer")
        if precision is not None:
            network.place.backend.check_precision("Trainer", precision, network.dtype)
        self.network = network
        self.precision = precision
        self._optimizer = optimizer
        self.seed = network.seed if seed is None else _checks.integer("Trainer", "seed", seed, 0)
        self.history = History()
        self.t = 0
        self.rate_factor = 1.0
        self._random = any(layer.random for layer in network.chain)
        self._moments: Moments = tuple(self._zeros() for _ in optimizer.moments)
        self._compile()

    def _zeros(self) -> Array:
        net = self.network
        return net.from_host(host.vector([[0.0] * net.layout.size], net.dtype))

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser. A new one takes over the moments of its own names; others start at 0."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        _require_optimizer(optimizer, self.network.dtype)
        kept = dict(zip(self._optimizer.moments, self._moments, strict=True))
        self._moments = tuple(
            kept[name] if name in kept else self._zeros() for name in optimizer.moments
        )
        self._optimizer = optimizer
        self._compile()

    def _compile(self) -> None:
        self.__dict__.pop("_halves", None)
        self._plan = plan_of(self.network, self.loss, self.optimizer, self.precision)
        backend = self.network.place.backend
        self._training = backend.training(self._plan, partial(training_step, self._plan))

    def __getstate__(self) -> dict[str, Any]:
        """Return a picklable state: arrays from the host; the compiled step is made anew."""
        state = {k: v for k, v in self.__dict__.items() if k not in _NOT_KEPT}
        return {**state, "_moments": tuple(registry.to_host(m) for m in self._moments)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._moments = tuple(self.network.from_host(m) for m in self._moments)
        self._compile()

    # State

    @property
    def _state(self) -> State:
        net = self.network
        return State(net.w, self._moments, net.buffers, self.t)

    @_state.setter
    def _state(self, state: State) -> None:
        self.network.adopt(state.w, state.buffers)
        self._moments, self.t = state.moments, state.t

    def _snapshot(self) -> State:
        """Return a copy of the state that training does not touch."""
        copy, (w, moments, buffers, t) = self.network.place.backend.copy, self._state
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
        each = self.network.layout.size * int(self.network.dtype[5:]) / 8e6
        steps, batches = len(arrays) * each, "what the library takes"
        if self._training.buffers is not None:
            taken = self._training.buffers() / 1e6
            steps, batches = steps + taken, f"{taken:.2f} MB so far"
        return (
            f"{steps:.2f} MB in steps ({', '.join(arrays)}: {each:.2f} MB each; batches: {batches})"
            f", {steps + len(kept) * each:.2f} MB in fit (and a copy of {', '.join(kept)})"
        )

    def step(self, xb: Any, yb: Any, sample_weight: Any = None) -> Array:
        """Take one step on a batch and return its loss before the step, a 0-d array.

        Nothing waits for the device: the loss can be read when it is wanted. Labels that are on the
        host are checked; labels on a device are not, since reading them would stall it.

        Parameters
        ----------
        xb
            Inputs (n, m_0).
        yb
            Targets: (n, K), or (n,) class indices, or (n,) for a single output.
        sample_weight
            None, or (n,) factors s_i of the samples' losses: the loss is 1/n sum_i s_i l_i.
        """
        if sample_weight is None and (loss := self._quick_step(xb, yb)) is not None:
            return loss
        net, where = self.network, "Trainer.step"
        xb = entering.features(where, net.place, xb, net.inputs, "xb")
        n = xb.shape[0]
        yb = entering.targets(where, net.place, yb, self.loss, (n, net.outputs), "yb")
        weights = entering.sample_weights(where, net.place, sample_weight, n, "sample_weight")
        return net.place.backend.zero_dimensional(self._advance(xb, yb, weights))

    def _quick_step(self, xb: Any, yb: Any) -> Array:
        """Take one step as the backend takes a batch as it came, and return its loss, or None."""
        if self._training.quick is None:
            return None
        t = self.t + 1
        c = self._coefficients(t)
        loss = self._training.quick(self.network.w, self._moments, xb, yb, c)
        if loss is not None:
            self.t = t
        return loss

    def _coefficients(self, t: int) -> Coefficients:
        """Return the optimiser's coefficients of step t, its learning rate times `rate_factor`."""
        c = self._optimizer.coefficients(t)
        return c if self.rate_factor == 1.0 else (c[0] * self.rate_factor, *c[1:])

    def _coefficients_of(self, steps: range) -> list[Coefficients]:
        """Return the coefficients of several steps."""
        plain = self.rate_factor == 1.0
        return list(map(self._optimizer.coefficients if plain else self._coefficients, steps))

    def _advance(self, x: Array, y: Array, sample_weight: Array | None) -> Array:
        """Take one step on checked arrays."""
        net, t = self.network, self.t + 1
        c = self._coefficients(t)
        with net.place.scope():
            loss, w, self._moments, buffers = self._training.step(
                net.w, self._moments, net.buffers, x, y, sample_weight, c, self._key(t)
            )
        net.adopt(w, buffers)
        self.t = t
        return loss

    def _key(self, t: int, part: int = 0) -> int:
        """Return the key of the random masks of step t, or of one part of it."""
        return host.key(self.seed, t + (part << 32)) if self._random else 0

    def _advance_together(self, batches: Sequence[Batch]) -> list[Array]:
        """Take one step by the mean gradient of several batches, as of their union."""
        net, t = self.network, self.t + 1
        losses: list[Array] = []
        total: Array = None
        rows = 0
        with net.place.scope():
            for part, batch in enumerate(batches):
                n = batch[0].shape[0]
                loss, g, buffers = self._halves.gradient(
                    net.w, net.buffers, *batch, self._key(t, part)
                )
                net.adopt(net.w, buffers)
                losses.append(loss)
                total, rows = g * n if total is None else total + g * n, rows + n
            c = self._coefficients(t)
            w, self._moments = self._halves.update(net.w, total / rows, self._moments, c)
        net.adopt(w, net.buffers)
        self.t = t
        return losses

    @cached_property
    def _halves(self) -> Halves:
        return halves(self._plan, self.network.place.backend)

    def averaged(self) -> Network:
        """Return a copy of the network with the moving average of its parameters.

        The optimiser keeps the average, `nn.Adam(1e-3, ema=0.999)`; before the first step it is the
        parameters themselves.
        """
        if self.optimizer.ema is None:
            raise ValueError(
                f"Trainer.averaged: `optimizer` must keep an average, got {self.optimizer!r}. Give "
                "it one: ema=0.999."
            )
        net = self.network.copy()
        if self.t:
            average = dict(zip(self.optimizer.moments, self._moments, strict=True))["average"]
            with net.place.scope():
                net.w = average / (1.0 - self.optimizer.ema**self.t)
        return net

    def restore_average(self, w: Any) -> None:
        """Make w: (P,), the w of an earlier `averaged()`, the moving average of the parameters."""
        if self.optimizer.ema is None:
            raise ValueError(
                f"Trainer.restore_average: `optimizer` must keep an average, got {self.optimizer!r}"
                ". Give it one: ema=0.999."
            )
        place, size = self.network.place, self.network.layout.size
        given = place.real("Trainer.restore_average", "w", w)
        if tuple(given.shape) != (size,):
            raise ValueError(
                f"Trainer.restore_average: `w` must have shape ({size},), got {tuple(given.shape)}."
            )
        with place.scope():
            average = given * (1.0 - self.optimizer.ema**self.t)
        pairs = zip(self.optimizer.moments, self._moments, strict=True)
        self._moments = tuple(average if name == "average" else m for name, m in pairs)

    def fit(
        self,
        X: Any,
        y: Any = None,
        epochs: int = 10,
        batch_size: int = 32,
        validation: tuple[Any, ...] | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
        shuffle: bool = True,
        *,
        sample_weight: Any = None,
        metrics: Sequence[Metric] = (),
        accumulate: int = 1,
        steps_per_epoch: int | None = None,
        resume: Any = None,
    ) -> History:
        """Train for a number of epochs and return what happened.

        fit(5) twice equals fit(10): shuffles depend on the seed and the epoch's number alone.

        Parameters
        ----------
        X, y
            Inputs (n, m_0) and targets, on the host or on the network's backend. They are checked
            (shapes, labels, NaN and infinity) before any work. Memory maps, HDF5 and zarr arrays,
            SciPy's sparse matrices, and arrays for which the device has no room, are read a few
            batches at a time, and checked as they are read.

            Without y, X gives the batches, (X, y) or (X, y, sample_weight) each: an iterable that
            starts anew every epoch, or a function of the epoch's number (from 0) that returns one.
            Nothing else is kept of them, so they may be larger than memory. `batch_size`,
            `shuffle` and `sample_weight` play no part then.
        epochs, batch_size
            At least 1. The last batch of an epoch may be smaller.
        validation
            (X, y) or (X, y, sample_weight), whose mean loss is computed after every epoch; with an
            optimiser that keeps an average, of the averaged network.
        callbacks
            Called as `callback(trainer, history)` after every epoch; True ends the training. See
            `nn.callbacks`.
        progress
            Show one line with rate, remaining time and losses.
        shuffle
            Visit the rows in a new order every epoch.
        sample_weight
            None, or (n,) weights >= 0 of the samples' losses. They are scaled to a mean of 1, so
            that a batch's loss is 1/n sum_i s_i l_i, and an epoch's sum_i s_i l_i / sum_i s_i.
        metrics
            Computed after every epoch on the validation data (else on X), into `history.metrics`:
            names in `nn.metrics`, or functions of (y, f).
        accumulate
            Take a step after so many batches, by the mean of their gradients: the step of one batch
            that large, without its memory.
        steps_per_epoch
            Without y: the batches of an epoch, for sources that go on for ever.
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
        where = "Trainer.fit"
        calls = Calls(self, _callables(callbacks, where), History())
        epochs = _checks.integer(where, "epochs", epochs)
        accumulate = _checks.integer(where, "accumulate", accumulate)
        shown: Batch | None = None
        following: Following
        if y is None and not hasattr(X, "shape"):  # an array lacks its y
            following = self._stream(where, X, epochs, steps_per_epoch)
        else:
            if steps_per_epoch is not None:
                raise ValueError(f"{where}: `steps_per_epoch` is for batches, without `y`.")
            batch_size = _checks.integer(where, "batch_size", batch_size)
            shown = self._checked(where, X, y, sample_weight)
            following = partial(self._batches, shown, batch_size, shuffle)
        judge = self._judge(where, validation, metrics, shown)
        done = 0 if resume is None else self._resume(calls, resume, epochs)
        with Progress(epochs, done, enabled=progress) as bar, calls:
            calls.begin()
            run = Epochs(self, following, accumulate, judge, calls, bar)
            while done < epochs and not calls.stopped:
                done += run.advance(epochs - done)
        return calls.history

    def _resume(self, calls: Calls, path: Any, epochs: int) -> int:
        """Take up the state in a file, where there is one; return how many epochs are done."""
        from .. import checkpoint

        checkpoint.resume(calls, path, epochs)
        return len(self.history)

    def _batches(self, arrays: Batch, size: int, shuffle: bool, ahead: int) -> Batches:
        """Return the batches of arrays, so many epochs ahead of the next one.

        Of a single batch, the order of the rows plays no part.
        """
        n = arrays[0].shape[0]
        return Batches(*arrays, self._order(n, ahead) if shuffle and size < n else None, size)

    def _stream(self, where: str, X: Any, epochs: int, steps: Any) -> Callable[[int], Stream]:
        """Return what returns the batches of a source, so many epochs ahead."""
        if steps is not None:
            steps = _checks.integer(where, "steps_per_epoch", steps)
        source = Source(where, X, epochs, steps)
        return lambda ahead: Stream(source.epoch(len(self.history) + ahead), self.loss)

    def _judge(self, where: str, validation: Any, metrics: Any, shown: Batch | None) -> Judge:
        """Return what judges the network after an epoch, by the validation data if there is any."""
        held_out = self._held_out(where, validation)
        named = resolve(where, metrics, self.network.output)
        if named and held_out is None and shown is None:
            raise ValueError(f"{where}: `metrics` of batches need validation=(X, y).")
        return Judge(self.loss, held_out, named, held_out or shown)

    def _held_out(self, where: str, validation: Any) -> Batch | None:
        """Return the validation data, checked."""
        if validation is None:
            return None
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise ValueError(
                f"{where}: `validation` must be a pair (X, y), or (X, y, sample_weight), got "
                f"{type(validation).__name__}."
            )
        return self._checked(where, *validation, within="validation")

    def _order(self, n: int, ahead: int = 0) -> host.HostArray:
        """Return an order of the numbers 0..n-1, so many epochs ahead of the next one."""
        return host.permutation(n, self.seed, len(self.history) + ahead)

    # Evaluation

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean loss on data, a float, without dropout and in blocks that fit memory.

        With weights s_i it is sum_i s_i l_i / sum_i s_i.
        """
        batch = self._checked("Trainer.evaluate", X, y, sample_weight)
        return mean_loss(self.network, self.loss, batch)

    def _checked(
        self, where: str, X: Any, y: Any, sample_weight: Any = None, *, within: str = ""
    ) -> Batch:
        """Return data as the network's arrays after every check there is; the weights' mean is 1.

        within: the argument that holds the data, if they are not arguments themselves.
        """
        net, names = self.network, ["X", "y", "sample_weight"]
        if within:
            names = [f"{within}[{i}]" for i in range(3)]
        given, widths = (X, y, sample_weight), (net.inputs, net.outputs)
        arrays = entering.checked(where, net.place, self.loss, widths, *given, names=names)
        x, target, weights = arrays
        if weights is not None:
            with net.place.scope():
                weights = weights / net.place.backend.xp.mean(weights)
        return x, target, weights

    # Files

    def save(self, path: Any) -> None:
        """Write network, optimiser, moments, step and history to one file; see `Trainer.load`."""
        from .. import checkpoint

        checkpoint.save_trainer(self, path)

    @classmethod
    def load(
        cls, path: Any, backend: Any = None, device: Any = None, precision: str | None = None
    ) -> Trainer:
        """Return the trainer that `save` wrote; training goes on as if it had not stopped.

        Parameters
        ----------
        path
            A file that `Trainer.save` wrote, on any backend.
        backend, device
            Where to continue; None for the default.
        precision
            Of matrix products, as for a new trainer.
        """
        from .. import checkpoint

        return checkpoint.load_trainer(path, backend, device, precision)


def _require_optimizer(optimizer: Any, dtype: str) -> None:
    """Refuse an eps that the network's dtype rounds to 0: a zero gradient would divide by 0."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"Trainer: `optimizer` must be an optimiser such as nn.Adam(1e-3), got {optimizer!r}."
        )
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
