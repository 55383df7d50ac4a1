"""Ensembles: many networks trained together on the same data, and what they predict on average."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

from .. import _checks
from ..backends import host, registry
from ..backends.steps import Taken
from ..data import entering, parting
from ..data.batches import ArrayData, Batches
from ..metrics import Metric, resolve
from ..network.results import classes_of
from ..primitives import Array
from .calls import Calls, listed_callbacks
from .epochs import NonFiniteLossError, Transaction, one_by_one, record
from .evaluation import Evaluation
from .history import Callback, History
from .progress import Progress
from .stepper import run_together
from .trainer import Trainer


class Prediction(NamedTuple):
    """Predictions of an ensemble: arrays (n, K) of its members' backend.

    Attributes
    ----------
    mean
        The members' mean prediction. Of class probabilities it is again a distribution.
    std
        Their standard deviation: sqrt(mean over members of (f - mean)^2).
    """

    mean: Array
    std: Array


class Ensemble:
    """Networks that are trained together: a sweep of hyper-parameters, or a measure of uncertainty.

    Every member has the bits that it would have if it were trained alone; `fit` gives as many
    members as there are threads a core each, where the backend has a C core and the networks are
    small or fit its cache. A member whose loss becomes NaN or infinite stops, and keeps its last
    good epoch; the others go on.

    Parameters
    ----------
    trainers
        One a member. Their networks take the same inputs, give the same outputs by the same kind of
        loss, and live on the same backend and device in the same dtype; widths in between, seeds,
        optimisers and rates are free.
    bootstrap
        Train every member on a sample of its own, n rows of n drawn with replacement by its seed,
        and not on all rows.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (200, 1)).astype("f4")
    >>> y = np.sin(3 * X)
    >>> members = [
    ...     nn.Trainer(nn.MLP([1, 16, 1], "tanh", "identity", seed=seed), nn.Adam(0.02))
    ...     for seed in range(5)
    ... ]
    >>> ensemble = nn.Ensemble(members, bootstrap=True)
    >>> histories = ensemble.fit(X, y, epochs=30)
    >>> len(histories), len(histories[0].loss)
    (5, 30)
    >>> inside, outside = (ensemble.predict([[x]]).std[0, 0] for x in (0.5, 3.0))
    >>> bool(inside < outside)  # they agree where there was data
    True

    References
    ----------
    Lakshminarayanan, Pritzel, Blundell 2017, "Simple and scalable predictive uncertainty estimation
    using deep ensembles", arXiv:1612.01474; Breiman 1996, "Bagging predictors", for `bootstrap`.
    """

    def __init__(self, trainers: Sequence[Trainer], *, bootstrap: bool = False) -> None:
        self.trainers = _members(trainers)
        self.bootstrap = bool(bootstrap)
        self.failures: dict[int, NonFiniteLossError] = {}

    def __len__(self) -> int:
        return len(self.trainers)

    def __iter__(self) -> Iterator[Trainer]:
        return iter(self.trainers)

    def __getitem__(self, index: int) -> Trainer:
        return self.trainers[index]

    def fit(
        self,
        X: Any,
        y: Any = None,
        epochs: int = 10,
        batch_size: int = 32,
        validation: float | tuple[Any, ...] | None = None,
        callbacks: Callable[[Trainer], Sequence[Callback]] | None = None,
        progress: bool = False,
        shuffle: bool = True,
        *,
        sample_weight: Any = None,
        metrics: Metric | Sequence[Metric] = (),
        rows: Sequence[Any] | None = None,
        drop_last: bool = False,
    ) -> list[History]:
        """Train all members and return their histories, in the order of `trainers`.

        Parameters
        ----------
        X, y, epochs, batch_size, validation, progress, shuffle, sample_weight, metrics, drop_last
            As for `Trainer.fit`; the metrics are of each member alone. A share of the rows is
            held out of all members by the first one's seed.
        callbacks
            Called once for each member before its first epoch; returns that member's callbacks, a
            list or one, of which True ends its training alone:
            `lambda trainer: [nn.callbacks.EarlyStopping(5)]`.
        rows
            The numbers of the rows of X that each member trains on, such as those of a fold; None:
            all train on all. Weights are scaled to a mean of 1 over all rows.

        Returns
        -------
        list of History
            Of these epochs. That of a member that stopped early is shorter. `failures` has the
            errors of members that failed, by index, of the last fit.

        Raises
        ------
        NonFiniteLossError
            If every member that still trained has failed in the same epoch; `failures` has them.
        """
        where, first = "Ensemble.fit", self.trainers[0]
        if y is None:
            raise ValueError(
                f"{where}: `y` is missing. Pass the targets, one for each row of X; sources of "
                "batches are for Trainer.fit."
            )
        epochs = _checks.integer(where, "epochs", epochs)
        batch_size = _checks.integer(where, "batch_size", batch_size)
        drop_last = _checks.flag(where, "drop_last", drop_last)
        data = first.checked(where, X, y, sample_weight)
        n = int(data.x.shape[0])
        share, held_out, others = parting.share_of(where, "validation", validation, n), None, None
        if share is None:
            held_out = first.held_out(where, validation)
        elif rows is not None:
            raise ValueError(
                f"{where}: `validation` must be (X, y) where `rows` says which rows each member "
                f"trains on, got {validation!r}."
            )
        else:
            data, others, held_out = parting.parted(
                where, first.network.place, data, share, first.seed
            )
        named = resolve(where, metrics, first.network.output)
        if callbacks is not None and not callable(callbacks):
            raise ValueError(
                "Ensemble.fit: `callbacks` must be a function of a trainer that returns a list, "
                f"so that each member has its own, got {callbacks!r}."
            )
        members = []
        chosen = [others] * len(self) if rows is None else _rows(where, rows, len(self), n)
        for i, trainer in enumerate(self.trainers):
            visited = chosen[i]
            count = n if visited is None else len(visited)
            trainer.stepper.require_rows(where, min(batch_size, count))
            options = trainer.seed, shuffle, self.bootstrap, visited, drop_last
            batches = ArrayData(data, batch_size, *options)
            evaluation = None
            if held_out is not None or named:
                measured = held_out or data
                made = trainer.loss, held_out, named, measured, trainer.precision
                evaluation = Evaluation(*made)
            called = [] if callbacks is None else callbacks(trainer)
            members.append(_Member(i, trainer, batches, evaluation, called))
        self.failures = {}
        means = History()
        with Progress(epochs, enabled=progress) as bar, ExitStack() as stack:
            for member in members:
                stack.enter_context(member.calls)
            for _ in range(epochs):
                active = [member for member in members if not member.calls.stopped]
                if not active:
                    break
                self._epoch(active)
                trained = [member for member in active if member.index not in self.failures]
                _append_means(means, [member.calls.history for member in trained])
                bar.advance(means)
                for member in trained:
                    member.calls.call()
        return [member.calls.history for member in members]

    def _epoch(self, members: Sequence[_Member]) -> None:
        """Take the next epoch of all, or leave all as they were; those that fail stop alone."""
        errors: dict[int, NonFiniteLossError] = {}
        with ExitStack() as stack:
            for stepper in sorted((member.stepper for member in members), key=id):
                stack.enter_context(stepper.lock)  # in one order, also of another ensemble's
            transactions = [stack.enter_context(member.transaction()) for member in members]
            epochs = [member.batches() for member in members]
            taken = _take(members, epochs)
            for i, member in enumerate(members):
                try:
                    member.finish(epochs[i], taken[i])
                except NonFiniteLossError as error:
                    transactions[i].undo()
                    errors[member.index] = error
            self.failures |= errors
            if len(errors) == len(members):
                first = errors[members[0].index]
                raise NonFiniteLossError(
                    "Ensemble.fit: all members that still trained have failed, the first one so: "
                    f"{first}",
                    first.found,
                )
        for member in members:
            if member.index in errors:
                member.calls.stop()
        for index, failure in errors.items():  # at the end, since a warning may be an error
            warnings.warn(
                f"Ensemble.fit: member {index} has stopped, the others go on. {failure}",
                RuntimeWarning,
                stacklevel=3,
            )

    def predict(self, X: Any) -> Prediction:
        """Return the mean and the standard deviation of the members' predictions. X: (n, m_0).

        A member that failed takes part with its last good parameters: leave it out with
        `nn.Ensemble([t for i, t in enumerate(e) if i not in e.failures])`.
        """
        first = self.trainers[0].network
        xp = first.place.backend.xp
        x = entering.features("Ensemble.predict", first.place, X, first.inputs, whole=False)
        with first.place.scope():
            mean = self.trainers[0].predict(x)
            squares = xp.zeros_like(mean)
            # Welford's: no (members, n, K) at once.
            for count, trainer in enumerate(self.trainers[1:], 2):
                f = trainer.predict(x)
                before, mean = mean, mean + (f - mean) / count
                squares = squares + (f - before) * (f - mean)
            return Prediction(mean, xp.sqrt(squares / len(self)))

    def classify(self, X: Any) -> Array:
        """Return the class of each row by the mean prediction: see `Network.classify`."""
        first = self.trainers[0].network
        return classes_of("Ensemble.classify", first.place, first.output, self(X))

    def __call__(self, X: Any) -> Array:
        """Return the members' mean prediction. X: (n, m_0). Returns (n, K)."""
        return self.predict(X).mean

    def save(self, path: Any, extra: Mapping[str, Any] | None = None) -> None:
        """Write all trainers to one file, as `Trainer.save` writes one, and the failures.

        Examples
        --------
        >>> import os, tempfile, nnpoly as nn
        >>> members = [nn.Trainer(nn.MLP([2, 8, 2], seed=seed)) for seed in range(3)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "ensemble.safetensors")
        ...     nn.Ensemble(members).save(path)
        ...     len(nn.Ensemble.load(path))
        3
        """
        from . import files  # here, since `import nnpoly` does without it

        failures = [(i, str(error), error.found) for i, error in self.failures.items()]
        with ExitStack() as stack:
            steppers = [trainer.stepper for trainer in self.trainers]
            for stepper in sorted(steppers, key=id):
                stack.enter_context(stepper.lock)
            parts = [(trainer.stepper, trainer.history) for trainer in self.trainers]
            files.save_ensemble(parts, self.bootstrap, failures, path, extra)

    @classmethod
    def load(
        cls, path: Any, backend: Any = None, device: Any = None, precision: str | None = None
    ) -> Self:
        """Return the ensemble that `save` wrote; training goes on as if it had not stopped.

        The parameters are those of `Trainer.load`.
        """
        from ..data.container import named
        from . import files

        file, saved = files.load_ensemble("Ensemble.load", path, backend, device)
        trainers = [Trainer.of_saved(path, part, precision) for part in saved]
        with named(path):
            ensemble = cls(trainers, bootstrap=file["bootstrap"])
        for i, *failure in file["failures"]:
            ensemble.failures[i] = NonFiniteLossError(*failure)
        return ensemble

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> list[float]:
        """Return every member's mean loss on data."""
        return [trainer.evaluate(X, y, sample_weight) for trainer in self.trainers]

    def __repr__(self) -> str:
        kind = ", bootstrap=True" if self.bootstrap else ""
        return f"<Ensemble of {len(self)} trainers{kind}>"


class _Member:
    """One member's part in a fit."""

    def __init__(
        self,
        index: int,
        trainer: Trainer,
        data: ArrayData,
        evaluation: Evaluation | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.index, self.trainer, self.stepper = index, trainer, trainer.stepper
        self._data, self._evaluation = data, evaluation
        listed = listed_callbacks("Ensemble.fit", callbacks)
        self.calls = Calls(trainer, listed, History())

    @property
    def _histories(self) -> tuple[History, History]:
        return self.trainer.history, self.calls.history

    def transaction(self) -> Transaction:
        """The transaction of the member's next epoch."""
        return Transaction(self.stepper, *self._histories)

    def batches(self) -> Batches:
        """The batches of the next epoch."""
        return self._data.epoch(len(self.trainer.history))

    def finish(self, batches: Batches, taken: Taken) -> None:
        """Look at an epoch's losses and parameters, evaluate, and record it."""
        record(self.stepper, self._histories, self._evaluation, batches, taken)


def _take(members: Sequence[_Member], epochs: Sequence[Batches]) -> list[Taken]:
    """Take the steps of each member's epoch, together where the backend can."""
    whole = [i for i, member in enumerate(members) if member.stepper.steps.takes_epochs]
    together: list[Taken] | None = None
    if whole:
        together = run_together([members[i].stepper for i in whole], [[epochs[i]] for i in whole])
    taken = dict(zip(whole, together or [], strict=False))
    return [
        taken[i] if i in taken else one_by_one(member.stepper, epochs[i])
        for i, member in enumerate(members)
    ]


def _rows(where: str, rows: Any, members: int, n: int) -> list[host.HostArray]:
    """Each member's rows, checked."""
    if not isinstance(rows, Sequence) or len(rows) != members:
        raise ValueError(
            f"{where}: `rows` must be a list of {members} arrays, one a member, got {rows!r}."
        )
    found = [registry.to_host(part) for part in rows]
    for i, part in enumerate(found):
        fits = part.ndim == 1 and part.dtype.kind in "iu" and part.size
        if not fits or part.min() < 0 or part.max() >= n:
            raise ValueError(
                f"{where}: `rows[{i}]` must be an array (k,) of rows' numbers 0..{n - 1}, k >= 1, "
                f"got {part!r}."
            )
    return found


def _append_means(means: History, histories: Sequence[History]) -> None:
    """Append the members' mean losses, for the line of progress."""
    for name in ("loss", "validation_loss"):
        newest = [getattr(history, name)[-1] for history in histories if getattr(history, name)]
        if newest:
            getattr(means, name).append(sum(newest) / len(newest))


def _members(trainers: Any) -> list[Trainer]:
    """Return the trainers, or say why they cannot be trained together."""
    if not isinstance(trainers, Sequence) or not trainers:
        raise ValueError(
            f"Ensemble: `trainers` must be a list of at least one nn.Trainer, got {trainers!r}."
        )
    for i, trainer in enumerate(trainers):
        if not isinstance(trainer, Trainer):
            raise TypeError(f"Ensemble: `trainers[{i}]` must be an nn.Trainer, got {trainer!r}.")
        if any(trainer.network is other.network for other in trainers[:i]):
            raise ValueError(
                f"Ensemble: `trainers[{i}]` has the network of another member. Give each its own: "
                "net.copy(), or one of another seed."
            )
        mine, first = _kind(trainer), _kind(trainers[0])
        if mine != first:
            differs = ", ".join(
                f"{k} {mine[k]!r} and not {first[k]!r}" for k in mine if mine[k] != first[k]
            )
            raise ValueError(f"Ensemble: `trainers[{i}]` differs from trainers[0]: {differs}.")
    return list(trainers)


def _kind(trainer: Trainer) -> dict[str, Any]:
    """The properties that all members must share, by name."""
    net = trainer.network
    return {
        "inputs": net.inputs,
        "outputs": net.outputs,
        "output": net.output,
        "targets": trainer.loss.labels,
        "backend": net.backend,
        "device": net.device,
        "dtype": net.dtype,
    }
