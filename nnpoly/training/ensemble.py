"""Ensembles: many networks trained together on the same data, and what they predict on average."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from .. import _checks
from ..backends import host
from ..data.batches import Batch, Batches
from ..primitives import Array
from .calls import Calls
from .epochs import NonFiniteLossError, begin, end, record
from .evaluation import Judge
from .progress import Progress
from .trainer import Callback, History, Trainer, _callables


class Prediction(NamedTuple):
    """What the members of an ensemble predict: arrays (n, K) of their backend.

    Attributes
    ----------
    mean
        The members' mean prediction. Of class probabilities it is again a distribution.
    std
        How far they are apart: sqrt(mean over members of (f - mean)^2).
    """

    mean: Array
    std: Array


class Ensemble:
    """Networks that are trained together: a sweep of hyper-parameters, or a measure of uncertainty.

    Every member has the bits that it would have if it were trained alone; `fit` gives as many
    members as there are threads a core each, where the backend has a C core and the networks are
    small. A member whose loss becomes NaN or infinite stops, and keeps its last good epoch; the
    others go on.

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
        y: Any,
        epochs: int = 10,
        batch_size: int = 32,
        validation: tuple[Any, Any] | None = None,
        callbacks: Callable[[Trainer], Sequence[Callback]] | None = None,
        progress: bool = False,
        shuffle: bool = True,
        *,
        sample_weight: Any = None,
    ) -> list[History]:
        """Train all members and return their histories, in the order of `trainers`.

        Parameters
        ----------
        X, y, epochs, batch_size, validation, progress, shuffle, sample_weight
            As for `Trainer.fit`.
        callbacks
            Called once for each member before its first epoch; returns that member's callbacks,
            of which True ends its training alone:
            `lambda trainer: [nn.callbacks.EarlyStopping(5)]`.

        Returns
        -------
        list of History
            Of these epochs. That of a member that stopped early is shorter. `failures` has the
            errors of members that failed, by index, of the last fit.

        Raises
        ------
        NonFiniteLossError
            If every member that still trained has failed in the same epoch.
        """
        where, first = "Ensemble.fit", self.trainers[0]
        epochs = _checks.integer(where, "epochs", epochs)
        batch_size = _checks.integer(where, "batch_size", batch_size)
        arrays = first._checked(where, X, y, sample_weight)
        held_out = first._held_out(where, validation)
        if callbacks is not None and not callable(callbacks):
            raise ValueError(
                "Ensemble.fit: `callbacks` must be a function of a trainer that returns a list, "
                f"so that each member has its own, got {callbacks!r}."
            )
        runs = [_Run(i, trainer, callbacks) for i, trainer in enumerate(self.trainers)]
        self.failures = {}
        means = History()
        with Progress(epochs, enabled=progress) as bar, ExitStack() as stack:
            for run in runs:
                stack.enter_context(run.calls).begin()
            for _ in range(epochs):
                active = [run for run in runs if not run.stopped]
                if not active:
                    break
                for run in active:
                    run.plan_epoch(arrays, batch_size, shuffle, self.bootstrap)
                self._epoch(active, held_out)
                trained = [run for run in active if not run.stopped]
                _append_means(means, [run.history for run in trained])
                bar.advance(means)
                for run in trained:
                    run.calls.call()
        return [run.history for run in runs]

    def _epoch(self, runs: Sequence[_Run], held_out: Batch | None) -> None:
        """Take the next epoch of all, or leave all as they were; those that fail stop alone."""
        before = [run.trainer._snapshot() for run in runs]
        losses: list[Any] = []
        try:
            begun = [begin(run.trainer, [run.batches]) for run in runs]
            if together := [epoch for epoch in begun if epoch is not None]:
                runs[0].trainer.network.place.backend.complete(together)
            for run, epoch in zip(runs, begun, strict=True):
                try:
                    judge = Judge(run.trainer.loss, held_out)
                    losses.append(end(run.trainer, run.batches, epoch, judge))
                except NonFiniteLossError as error:
                    losses.append(error)
            if not any(isinstance(loss, tuple) for loss in losses):
                raise losses[0]
        except BaseException:
            for run, state in zip(runs, before, strict=True):
                run.trainer._state = state
            raise
        for run, state, loss in zip(runs, before, losses, strict=True):
            if isinstance(loss, tuple):
                record(run.trainer, run.history, *loss)
            else:
                run.trainer._state = state
                self._fail(run, loss)

    def _fail(self, run: _Run, error: NonFiniteLossError) -> None:
        run.calls.stop()
        self.failures[run.index] = error
        warnings.warn(
            f"Ensemble.fit: member {run.index} has stopped, the others go on. {error}",
            RuntimeWarning,
            stacklevel=4,
        )

    def predict(self, X: Any) -> Prediction:
        """Return the mean and the standard deviation of the members' predictions. X: (n, m_0).

        A member that failed takes part with its last good parameters: leave it out with
        `nn.Ensemble([t for i, t in enumerate(e) if i not in e.failures])`.
        """
        first = self.trainers[0].network
        xp = first.place.backend.xp
        mean: Array = None
        with first.place.scope():
            for count, trainer in enumerate(
                self.trainers, 1
            ):  # Welford: no (members, n, K) at once
                f = trainer.network(X)
                if mean is None:
                    mean, squares = f, xp.zeros_like(f)
                    continue
                before, mean = mean, mean + (f - mean) / count
                squares = squares + (f - before) * (f - mean)
            return Prediction(mean, xp.sqrt(squares / len(self)))

    def __call__(self, X: Any) -> Array:
        """Return the members' mean prediction. X: (n, m_0). Returns (n, K)."""
        return self.predict(X).mean

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> list[float]:
        """Return every member's mean loss on data."""
        return [trainer.evaluate(X, y, sample_weight) for trainer in self.trainers]

    def __repr__(self) -> str:
        kind = ", bootstrap=True" if self.bootstrap else ""
        return f"<Ensemble of {len(self)} trainers{kind}>"


class _Run:
    """One member's part in a fit."""

    def __init__(
        self, index: int, trainer: Trainer, callbacks: Callable[[Trainer], Any] | None
    ) -> None:
        self.index, self.trainer = index, trainer
        made = [] if callbacks is None else callbacks(trainer)
        self.history = History()
        self.calls = Calls(trainer, _callables(made, "Ensemble.fit"), self.history)

    @property
    def stopped(self) -> bool:
        return self.calls.stopped

    def plan_epoch(self, arrays: Batch, size: int, shuffle: bool, bootstrap: bool) -> None:
        """Decide what the next epoch goes through."""
        n = int(arrays[0].shape[0])
        order = self.trainer._order(n) if shuffle else host.arange(n)
        if bootstrap:
            order = host.bootstrap(n, self.trainer.seed)[order]
        self.batches = Batches(*arrays, order, size)


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
    """Return what members have in common."""
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
