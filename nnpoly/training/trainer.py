"""The trainer: a network, a loss and an optimiser, and the fits that change the network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Self

from .. import _checks, losses
from ..backends.steps import Batch
from ..data import entering, parting
from ..data.batches import ArrayData, StreamData
from ..layers import require_differentiable
from ..losses import Loss
from ..metrics import Metric, resolve
from ..network import Network
from ..optimizers import Optimizer
from ..primitives import Array
from .calls import Calls, listed_callbacks
from .epochs import Loop, Transaction
from .evaluation import Evaluation, mean_loss
from .history import Callback, History
from .progress import Progress
from .stepper import Stepper, checked_optimizer


class Trainer:
    """Trains a network, in place, with an optimiser.

    Parameters
    ----------
    network
        Any `Network`; the trainer changes its parameters.
    optimizer
        An optimiser such as `nn.Adam(1e-3)`, or the name of one with a rate of its own: "adam".
    loss
        Name or `nn.losses` object that pairs with the network's output; None for the output's own.
    seed
        Decides shuffles and dropout masks; None for the network's.
    precision
        "bf16": the two factors of every product of a Dense layer are rounded to bfloat16, which
        many processors multiply several times faster: with r the rounding, pre = r(x) r(W)^T + b,
        delta^(l) = (r(delta^(l+1)) r(W^(l+1))) * sigma', dL/dW = r(delta)^T r(x). Sums, biases,
        activations, losses, parameters and the optimiser stay float32. The trainer's predictions
        and evaluations have the same products; those of the network have its dtype's. For float32
        networks. On CuPy small products may stay float32, and there is "tf32" too. None: float32
        means float32. Files do not keep it.

    Attributes
    ----------
    network, optimizer, loss, precision
        As given.
    history
        The `History` of all epochs so far.
    t
        The number of steps so far.
    rate_factor
        The factor of the optimiser's learning rate, 1.0 at the start; callbacks such as
        `nn.callbacks.ReduceOnPlateau` change it.
    stepper
        Takes the steps: it owns the moments and all counts.

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

    calls: Calls | None = None  # the callbacks of the fit that runs

    def __init__(
        self,
        network: Network,
        optimizer: str | Optimizer | None = None,
        loss: str | Loss | None = None,
        *,
        seed: int | None = None,
        precision: str | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"Trainer: `network` must be a Network, got {network!r}.")
        optimizer = "adam" if optimizer is None else optimizer
        optimizer = checked_optimizer(optimizer, network.dtype)
        loss = losses.get(loss, network.output, "Trainer")
        require_differentiable("Trainer", network.chain)
        network.check_precision("Trainer", precision)
        seed = network.seed if seed is None else _checks.integer("Trainer", "seed", seed, 0)
        self.stepper = Stepper(network, optimizer, loss, seed, precision)
        self.history = History()

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self.stepper.network

    @property
    def loss(self) -> Loss:
        """The loss that training minimises."""
        return self.stepper.loss

    @property
    def precision(self) -> str | None:
        """The precision of matrix products, where it is not the dtype's."""
        return self.stepper.precision

    @property
    def seed(self) -> int:
        """Decides shuffles and dropout masks."""
        return self.stepper.seed

    @property
    def t(self) -> int:
        """The number of steps so far."""
        return self.stepper.t

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser.

        A new one takes over the moments that it carries by the same name and decay factor. Others
        begin at 0, and with a bias correction of their own.
        """
        return self.stepper.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: str | Optimizer) -> None:
        optimizer = checked_optimizer(optimizer, self.network.dtype)
        self.stepper.change(optimizer, self.loss, self.precision)

    @property
    def rate_factor(self) -> float:
        """The factor of the optimiser's learning rate."""
        return self.stepper.rate_factor

    @rate_factor.setter
    def rate_factor(self, factor: float) -> None:
        self.stepper.rate_factor = _checks.not_negative("Trainer", "rate_factor", factor)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the newest step, its factor included; before any, of the first.

        Assigning a rate sets `rate_factor`, so that it becomes this number: all further steps have
        it, or a schedule goes on from there, in proportion. So it is kept in files, and callbacks
        may assign it. Layers' own factors (`rates`) multiply it still.

        Examples
        --------
        >>> import nnpoly as nn
        >>> trainer = nn.Trainer(nn.MLP([2, 8, 2]), nn.Adam(1e-3))
        >>> trainer.learning_rate = 5e-4
        >>> trainer.rate_factor, trainer.learning_rate
        (0.5, 0.0005)
        """
        return float(self.stepper.coefficients(max(self.t, 1))[0])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        rate = _checks.not_negative("Trainer", "learning_rate", rate)
        own = self.optimizer.learning_rate_at(max(self.t, 1))
        if own == 0.0:
            raise ValueError(
                "Trainer: `learning_rate` cannot be assigned where the optimiser's schedule is 0, "
                f"as after step {self.t}. Assign the optimiser: trainer.optimizer = "
                f"trainer.optimizer.replace(learning_rate={rate:g})."
            )
        self.rate_factor = rate / own

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A context after which the trainer is as it was before, if its block raises."""
        with self.stepper.lock, Transaction(self.stepper, self.history) as transaction:
            yield transaction

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__ and name not in ("stepper", "history"):
            remedy = "What can be assigned is learning_rate, rate_factor and optimizer"
            _checks.assignable(self, name, remedy)
        object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """All but the callbacks of a fit that runs."""
        return {name: value for name, value in vars(self).items() if name != "calls"}

    def summary(self) -> str:
        """The network's table, the loss, the optimiser, memory, and how a step is taken.

        Examples
        --------
        >>> import nnpoly as nn
        >>> net = nn.Network([nn.Dense(2, 4), nn.Dense(4, 3)], "softmax", dtype="float16")
        >>> print(nn.Trainer(net, nn.SGD(0.1)).summary().splitlines()[-1])
        steps      op by op: ...
        """
        lines = [f"{name:<9}  {value}" for name, value in self._facts()]
        return "\n".join([self.network.summary(), *lines])

    def _facts(self) -> list[tuple[str, str]]:
        rows = {
            "loss": type(self.loss).__name__,
            "optimizer": repr(self.optimizer),
            "precision": self._precision(),
            "memory": self._memory(),
            "steps": self.stepper.steps.path,
        }
        return [(name, value) for name, value in rows.items() if value]

    def _repr_html_(self) -> str:
        from .. import notebooks  # here, since `import nnpoly` does without it

        facts = [*self._facts(), ("taken", f"{self.t} steps")]
        parts = [self.network._repr_html_(), notebooks.table("", ["trainer", ""], facts)]
        return "".join([*parts, self.history._repr_html_()] if len(self.history) else parts)

    def __repr__(self) -> str:
        kind = "" if self.precision is None else f", precision={self.precision!r}"
        return f"<Trainer of {self.network}; {self.optimizer}{kind}>"

    def _precision(self) -> str:
        """The precision of products in words, where it is not the dtype's."""
        if self.precision is None:
            return ""
        where = "" if self.network.place.backend.rounds_all else " where that is faster"
        return f"{self.precision}: the factors of Dense layers' products are rounded{where}"

    def _memory(self) -> str:
        """The memory that training takes beside the data."""
        kept = ["w", *self.optimizer.moments]
        arrays = ["gradient", *kept]
        each = self.network.layout.size * self.network.place.itemsize / 1e6
        steps, batches = len(arrays) * each, "what the library takes"
        taken = self.stepper.steps.bytes()
        if taken is not None:
            steps, batches = steps + taken / 1e6, f"{taken / 1e6:.2f} MB so far"
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
        if sample_weight is None and (loss := self.stepper.step_unchecked(xb, yb)) is not None:
            return loss
        net, where = self.network, "Trainer.step"
        x = entering.features(where, net.place, xb, net.inputs, "xb")
        n = x.shape[0]
        self.stepper.require_rows(where, n)
        y = entering.targets(where, net.place, yb, self.loss, (n, net.outputs), "yb", wait=False)
        weights = entering.sample_weights(where, net.place, sample_weight, n, "sample_weight")
        return net.place.backend.zero_dimensional(self.stepper.step(Batch(x, y, weights)))

    def averaged(self) -> Network:
        """Return a copy of the network with the moving average of its parameters.

        The optimiser keeps the average, `nn.Adam(1e-3, ema=0.999)`; before its first step it is the
        parameters themselves.
        """
        if self.optimizer.ema is None:
            raise ValueError(
                f"Trainer.averaged: `optimizer` must keep an average, got {self.optimizer!r}. Give "
                "it one: ema=0.999."
            )
        return self.stepper.averaged()

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
        self.stepper.restore_average(given)

    def fit(
        self,
        X: Any,
        y: Any = None,
        epochs: int = 10,
        batch_size: int = 32,
        validation: float | tuple[Any, ...] | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        progress: bool = False,
        shuffle: bool = True,
        *,
        sample_weight: Any = None,
        metrics: Metric | Sequence[Metric] = (),
        accumulate: int = 1,
        drop_last: bool = False,
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
            Nothing else is kept of them, so they may be larger than memory. `batch_size` and
            `shuffle` play no part then.
        epochs, batch_size
            At least 1. The last batch of an epoch may be smaller.
        validation
            (X, y) or (X, y, sample_weight), whose mean loss is computed after every epoch; with an
            optimiser that keeps an average, of the averaged network. Or a share such as 0.2: so
            many of the rows are not trained on, but held out. The seed draws which, and they are
            the same ones in every fit of as many rows.
        callbacks
            Called as `callback(trainer, history)` after every epoch; True ends the training. A
            list, or one. See `nn.callbacks`.
        progress
            Show one line with rate, remaining time and losses.
        shuffle
            Visit the rows in a new order every epoch.
        sample_weight
            None, or (n,) weights >= 0 of the samples' losses. They are scaled to a mean of 1, so
            that a batch's loss is 1/n sum_i s_i l_i, and an epoch's sum_i s_i l_i / sum_i s_i.
        metrics
            Computed after every epoch on the validation data (else on X), into `history.metrics`:
            names in `nn.metrics`, or functions of (y, f). A list, or one: "accuracy".
        accumulate
            Take a step after so many batches, by the mean of their gradients: the step of one batch
            that large, without its memory.
        drop_last
            Leave out an epoch's last batch where it would be smaller than the others: other rows
            every epoch, where they are shuffled.
        steps_per_epoch
            Without y: the batches of an epoch, for sources that go on for ever.
        resume
            The file of an `nn.callbacks.Checkpoint` of this run. Where it exists, the trainer and
            the callbacks first take up their state in it; `epochs` then counts the whole run. So a
            script that was interrupted goes on when it is run again, and gives the same bits. The
            seed is the file's. A file of another number of rows, batch_size, shuffle, drop_last,
            accumulate or steps_per_epoch is refused.

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
        if callbacks != ():
            callbacks = listed_callbacks(where, callbacks)
        epochs = _checks.integer(where, "epochs", epochs)
        accumulate = _checks.integer(where, "accumulate", accumulate)
        arrays: Batch | None
        data: ArrayData | StreamData
        settings: dict[str, Any] = {"accumulate": accumulate}
        if y is None and not hasattr(X, "shape"):  # an array lacks its y
            if sample_weight is not None:
                raise ValueError(
                    f"{where}: `sample_weight` is for arrays. Batches without `y` have their own: "
                    "(X, y, sample_weight)."
                )
            arrays, data = None, self._stream(where, X, epochs, steps_per_epoch)
            settings["steps_per_epoch"] = steps_per_epoch
        else:
            if steps_per_epoch is not None:
                raise ValueError(f"{where}: `steps_per_epoch` is for batches, without `y`.")
            batch_size = _checks.integer(where, "batch_size", batch_size)
            arrays = self.checked(where, X, y, sample_weight)
            n = int(arrays.x.shape[0])
            drop_last = _checks.flag(where, "drop_last", drop_last)
            settings |= {"rows of X": n, "batch_size": batch_size, "shuffle": bool(shuffle)}
            settings["drop_last"] = drop_last
        share, evaluation = None, None
        if validation is not None or metrics != ():
            share, evaluation = self._evaluation(where, validation, metrics, arrays)
            settings["validation"] = share
        if arrays is not None:
            left = n if share is None else n - parting.count(share, n)
            self.stepper.require_rows(where, min(batch_size, left))
        history, done, calls = History(), 0, None
        if callbacks or resume is not None:
            calls = Calls(self, callbacks, history, settings)
        if calls is not None and resume is not None:
            done = self._resume(calls, resume, epochs)
            history = calls.history
        if arrays is not None:  # `resume` may have brought another seed
            rows = None
            if share is not None:
                arrays, rows, held_out = parting.parted(
                    where, self.network.place, arrays, share, self.seed
                )
                assert evaluation is not None
                evaluation = evaluation._replace(held_out=held_out, measured=held_out)
            data = ArrayData(arrays, batch_size, self.seed, shuffle, rows=rows, drop_last=drop_last)
        bar = Progress(epochs, done) if progress else None
        histories = self.history, history
        loop = Loop(self.stepper, data, histories, evaluation, calls, bar, accumulate)
        with bar or nullcontext(), calls or nullcontext():
            loop.run(epochs - done)
        return history

    def _resume(self, calls: Calls, path: Any, epochs: int) -> int:
        """Take up the state in a file, where there is one. Returns how many epochs are done."""
        from . import files

        files.resume(calls, self.stepper, self.history, path, epochs)
        return len(self.history)

    def _stream(self, where: str, X: Any, epochs: int, steps: Any) -> StreamData:
        """The batches of a user's source."""
        if steps is not None:
            steps = _checks.integer(where, "steps_per_epoch", steps)
        return StreamData(where, X, epochs, steps, self.loss, self.network.ends)

    def _evaluation(
        self, where: str, validation: Any, metrics: Any, arrays: Batch | None
    ) -> tuple[float | None, Evaluation]:
        """The evaluation after an epoch: on the validation data, or else on the data.

        Where a share of the data is to be held out, it comes too, and they are not parted yet.
        """
        n = None if arrays is None else int(arrays.x.shape[0])
        share = parting.share_of(where, "validation", validation, n)
        held_out = None if share is not None else self.held_out(where, validation)
        named = resolve(where, metrics, self.network.output)
        measured = held_out or arrays
        if named and measured is None:
            raise ValueError(f"{where}: `metrics` of batches need validation=(X, y).")
        return share, Evaluation(self.loss, held_out, named, measured, self.precision)

    def held_out(self, where: str, validation: Any) -> Batch | None:
        """The validation data as the network's arrays, checked."""
        if validation is None:
            return None
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise ValueError(
                f"{where}: `validation` must be a pair (X, y), or (X, y, sample_weight), or the "
                f"share of rows to hold out, such as 0.2, got {type(validation).__name__}."
            )
        return self.checked(where, *validation, within="validation")

    # Evaluation

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean loss on data, a float, without dropout and in blocks that fit memory.

        With weights s_i it is sum_i s_i l_i / sum_i s_i.
        """
        data = self.checked("Trainer.evaluate", X, y, sample_weight)
        return mean_loss(self.network, self.loss, data, self.precision)

    def predict(self, X: Any) -> Array:
        """The predictions f with the precision of the steps. X: (n, m_0). Returns (n, K).

        Examples
        --------
        >>> import numpy as np, nnpoly as nn
        >>> net = nn.MLP([2, 64, 3], seed=1)
        >>> trainer, X = nn.Trainer(net, precision="bf16"), [[0.5, -1.0]]
        >>> bool(np.array_equal(trainer.predict(X), net(X, precision="bf16")))
        True
        >>> bool(0.0 < abs(trainer.predict(X) - net(X)).max() < 0.01)
        True
        """
        return self.network(X, precision=self.precision)

    def classify(self, X: Any) -> Array:
        """The class of each row with the precision of the steps: see `Network.classify`."""
        return self.network.classify(X, precision=self.precision)

    def checked(
        self, where: str, X: Any, y: Any, sample_weight: Any = None, *, within: str = ""
    ) -> Batch:
        """Data as the network's arrays after every check there is; the weights' mean is 1.

        within: the argument that holds the data, if they are not arguments themselves.
        """
        net, loss = self.stepper.network, self.stepper.loss
        names = [f"{within}[{i}]" for i in range(3)] if within else ["X", "y", "sample_weight"]
        data = entering.checked(where, net.place, loss, net.ends, X, y, sample_weight, names=names)
        if data.sample_weight is None:
            return data
        xp = net.place.backend.xp
        with net.place.scope():
            _, exponent = math.frexp(float(xp.max(data.sample_weight)))
            # By a power of two, which changes no mantissa, so that their sum is finite.
            weights = data.sample_weight * 0.5 ** min(max(exponent, 0), 64)
            return data._replace(sample_weight=weights / xp.mean(weights))

    # Files

    def save(self, path: Any, extra: Mapping[str, Any] | None = None) -> None:
        """Write network, optimiser, moments, step and history to one file; see `Trainer.load`."""
        from . import files  # here, since `import nnpoly` does without it

        with self.stepper.lock:
            files.save(self.stepper, self.history, self.calls, path, extra)

    @classmethod
    def load(
        cls, path: Any, backend: Any = None, device: Any = None, precision: str | None = None
    ) -> Self:
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
        from . import files

        return cls.of_saved(path, files.load("Trainer.load", path, backend, device), precision)

    @classmethod
    def load_with_extra(
        cls, path: Any, backend: Any = None, device: Any = None, precision: str | None = None
    ) -> tuple[Self, dict[str, Any]]:
        """Load a trainer and the `extra` that it was saved with, in one reading of the file."""
        from . import files

        saved = files.load("Trainer.load", path, backend, device)
        return cls.of_saved(path, saved, precision), saved.extra

    @classmethod
    def of_saved(cls, path: Any, saved: Any, precision: str | None = None) -> Self:
        """The trainer of what a file holds (`training.files.Saved`), which is given away."""
        from ..data.container import named

        with named(path):
            trainer = cls(
                saved.network, saved.optimizer, saved.loss, seed=saved.seed, precision=precision
            )
        saved.give(trainer.stepper)
        trainer.history = saved.history
        return trainer
