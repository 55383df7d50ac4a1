"""The base of the estimators for tables: fitting an ensemble of networks, and predicting by it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from time import monotonic
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ... import _checks, metrics
from ...backends import host
from ...backends.ensembles import Averaged
from ...data.container import named, read
from ...data.place import Place, place_of
from ...losses import Loss
from ...network import Network
from ...optimizers import Optimizer
from ...training import NonFiniteLossError, Trainer
from ...training.ensemble import Ensemble
from .. import arrays
from ..monitor import Monitor, diverged
from ..parameters import CHECKS, Check
from . import files
from .columns import Column, columns, positions
from .encoding import Encoding
from .folds import Fold, in_many, in_two
from .prediction import mean_prediction
from .scoring import Deadline, HeldOut


def optional(check: Check) -> Check:
    """The check of a parameter that may be None, which is the value of the kind of network."""

    def checked(where: str, name: str, value: Any) -> Any:
        return None if value is None else check(where, name, value)

    return checked


def _share(where: str, name: str, value: Any) -> None:
    if not (isinstance(value, int) and not isinstance(value, bool) and value == 0):
        CHECKS["validation_fraction"](where, name, value)


@dataclass(eq=False, repr=False)
class BaseTabular(BaseEstimator):  # type: ignore[misc]
    """The base of all; a subclass says which networks, and translates the targets for them."""

    _: KW_ONLY
    metric: Any = None
    n_epochs: int = 256
    batch_size: int = 256
    n_ens: int = 1
    n_cv: int = 1
    validation_fraction: float = 0.2
    categorical_features: Any = None
    time_limit: float | None = None
    random_state: Any = None
    verbose: bool = False
    backend: Any = None
    device: Any = None
    dtype: str = "float32"
    precision: Any = None

    _rules: ClassVar[dict[str, Check]] = {
        "n_epochs": _checks.integer,
        "batch_size": _checks.integer,
        "n_ens": _checks.integer,
        "n_cv": _checks.integer,
        "validation_fraction": _share,
        "time_limit": optional(_checks.positive),
        "random_state": CHECKS["random_state"],
        "verbose": CHECKS["verbose"],
        "precision": CHECKS["precision"],
    }
    _metrics: ClassVar[Mapping[str, str]]  # the library's by the parameter's names
    _learnt: ClassVar[type] = files.Learnt
    _output: ClassVar[str]  # of the networks
    _drop_last: ClassVar[bool]  # whether an epoch leaves out the last batch, unless it is full

    # Of a kind of network

    def _learn_encoding(
        self,
        where: str,
        columns: list[Column],
        rows: host.HostArray,
        forced: set[int],
        warn: Callable[[str], None],
    ) -> Encoding:
        """The encoding of columns; the arguments are of `Encoding.of_columns`."""
        raise NotImplementedError

    def _network(
        self, steps: int, seed: int, place: Place, X: Any, rows: host.HostArray
    ) -> Network:
        """A new network for the encoding's inputs X, which will train on some rows of them.

        steps: of the training.
        """
        raise NotImplementedError

    def _optimizer(self, steps: int, loss: Loss) -> Optimizer:
        """The optimiser of so many steps."""
        raise NotImplementedError

    def _monitor_of(self, score: Callable[[], float]) -> Monitor:
        """What keeps a member's best epoch by its score on the rows held out."""
        raise NotImplementedError

    # Of a kind of targets

    def _loss(self) -> Loss:
        """The loss."""
        raise NotImplementedError

    def _checked_y(self, where: str, y: Any, name: str) -> Any:
        """Checked targets, (n,) or (n, K), of an array on the host."""
        raise NotImplementedError

    def _learn_classes(self, where: str, y: Any) -> None:
        """Set the classes, which a regressor lacks."""

    def _learn_scale(self, where: str, y: Any) -> None:
        """Set the scale of the targets of the rows to train on, which a classifier lacks."""

    def _encoded(self, where: str, y: Any, name: str) -> Any:
        """The networks' targets."""
        raise NotImplementedError

    def _measured_targets(self, where: str, y: Any, name: str) -> Any:
        """The targets as metrics take them."""
        raise NotImplementedError

    def _of_member(self, f: host.HostArray) -> host.HostArray:
        """A member's prediction (n, K) of its outputs, which metrics measure and are averaged."""
        raise NotImplementedError

    @property
    def averaged(self) -> Averaged:
        """What `_of_member` does, for backends."""
        raise NotImplementedError

    def _times_class_weights(self, where: str, y: Any, weights: Any) -> Any:
        """The samples' weights times those of their classes; None: all are 1."""
        return weights

    def _strata(self, y: Any) -> Any:
        """The classes (n,) that have their share in every part of the rows, or None."""
        raise NotImplementedError

    @property
    def _outputs(self) -> int:
        """The number of the networks' outputs."""
        raise NotImplementedError

    # The protocol

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags

    @property
    def n_outputs_(self) -> int:
        """The number of outputs."""
        return self.networks_[0].outputs

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train new networks.

        A fit that fails leaves the estimator as it was. One that is interrupted (Ctrl-C), or whose
        `time_limit` is over, keeps the best epochs so far, and warns.

        Parameters
        ----------
        X
            (n, m): a frame, whose columns may be numbers, texts, booleans and categories, or an
            array or a list of rows. Cells may be missing: NaN, None, NA.
        y
            (n,) or (n, K).
        sample_weight
            (n,) weights of the samples' losses, and of their part in the metric.
        X_val, y_val, sample_weight_val
            Rows to find the best epoch by, in place of the share that is set aside.
        """
        where, before = f"{type(self).__name__}.fit", self.__dict__.copy()
        try:
            self._fit(where, monotonic(), (X, y, sample_weight), (X_val, y_val, sample_weight_val))
        except BaseException:
            self.__dict__ = before
            raise
        return self

    # Fitting

    def _fit(self, where: str, start: float, data: Any, given: Any) -> None:
        place = self._checked_place(where)
        arrays.require_together(where, *given)
        if self.n_cv > 1 and given[0] is not None:
            raise ValueError(
                f"{where}: `X_val` must be None with n_cv={self.n_cv}, where each member is scored "
                "by a fold. Set n_cv=1, and n_ens for more members."
            )
        columns, y, weights = self._checked(where, data, first=True)
        if len(y) < 2:
            raise ValueError(f"{where}: `X` must have at least 2 samples, got n_samples = 1.")
        self._learn_classes(where, y)
        weights = self._times_class_weights(where, y, weights)
        random = check_random_state(self.random_state)
        count = 1 + self.n_cv * self.n_ens
        seed, *seeds = random.randint(2**31 - 1, size=count).tolist()
        folds = self._folds(where, y, weights, seed, given[0] is not None)
        rows = folds[0].rows if len(folds) == 1 else host.arange(len(y))
        self._learn_scale(where, y[rows])
        self._learn_columns(where, columns, rows)
        X = self._inputs(where, columns, place)
        targets = self._encoded(where, y, "y")
        scored = self._held_out(where, (X, y, weights), folds, given, place)
        scored = [held for held in scored for _ in range(self.n_ens)]
        rows_of = [fold.rows for fold in folds for _ in range(self.n_ens)]
        trainers = [
            self._trainer(X, rows, seed, place) for rows, seed in zip(rows_of, seeds, strict=True)
        ]
        monitors = list(map(self._monitor, trainers, scored))
        self._train(where, start, trainers, monitors, (X, targets, weights), rows_of)
        self._keep(trainers, monitors)

    def check_parameters(self) -> None:
        """Raise the errors of wrong parameters that `fit` would raise, before there are data."""
        self._checked_place(f"{type(self).__name__}.fit")

    def _checked_place(self, where: str) -> Place:
        """Where to train, after all parameters have been looked at."""
        self._check_parameters(where)
        place = place_of(where, self.backend, self.device, self.dtype)
        if self.precision is not None:
            place.backend.check_precision(where, self.precision, place.dtype)
        return place

    def _check_parameters(self, where: str) -> None:
        """Refuse parameters that are out of range."""
        rules: dict[str, Check] = {}
        for kind in reversed(type(self).__mro__):
            rules |= vars(kind).get("_rules", {})
        for name, check in rules.items():
            check(where, name, getattr(self, name))
        if self.metric is not None:
            _checks.choice(where, "metric", self.metric, self._metrics)

    def _checked(
        self, where: str, data: Any, suffix: str = "", *, first: bool = False
    ) -> tuple[list[Column], Any, Any]:
        """The columns of X, y and weights, after all checks; suffix: of the arguments' names."""
        X, y, weights = data
        found = columns(self, where, X, f"X{suffix}", first=first)
        y = arrays.targets(self, where, found[0].cells, y, f"y{suffix}")
        y = self._checked_y(where, y, f"y{suffix}")
        name = f"sample_weight{suffix}"
        return found, y, arrays.sample_weights(where, name, weights, len(y))

    def _folds(self, where: str, y: Any, weights: Any, seed: int, given: bool) -> list[Fold]:
        """The members' rows. Those of weight 0 are no rows."""
        rows = host.arange(len(y)) if weights is None else host.arange(len(y))[weights > 0]
        strata = self._strata(y[rows])
        if self.n_cv > 1:
            return in_many(where, rows, strata, self.n_cv, seed)
        if given or self.validation_fraction == 0 or len(rows) < 2:
            return [Fold(rows, rows[:0])]
        return [in_two(rows, strata, self.validation_fraction, seed)]

    def _learn_columns(self, where: str, columns: list[Column], rows: host.HostArray) -> None:
        names = getattr(self, "feature_names_in_", None)
        forced = positions(where, self.categorical_features, columns, names)
        warn = partial(warnings.warn, stacklevel=7)
        self.encoding_ = self._learn_encoding(where, columns, rows, forced, warn)

    def _inputs(self, where: str, columns: Sequence[Column], place: Place) -> Any:
        """The networks' x."""
        return place.real(where, "X", self.encoding_.encode(where, columns).astype(place.dtype))

    def _held_out(
        self, where: str, data: Any, folds: Sequence[Fold], given: Any, place: Place
    ) -> list[HeldOut | None]:
        """What the members of each fold are scored by."""
        if given[0] is not None:
            columns, y, weights = self._checked(where, given, "_val")
            measured = self._measured_targets(where, y, "y_val")
            weights = self._times_class_weights(where, y, weights)
            return [HeldOut(self._inputs(where, columns, place), measured, weights)]
        X, y, weights = data
        y = self._measured_targets(where, y, "y")
        gather = place.backend.ops.gather
        found: list[HeldOut | None] = []
        for _, rows in folds:
            x = gather(X, place.integers(where, "rows", rows))
            own = None if weights is None else weights[rows]
            found.append(HeldOut(x, y[rows], own) if len(rows) else None)
        return found

    def _trainer(self, X: Any, rows: host.HostArray, seed: int, place: Place) -> Trainer:
        """The trainer of a new member for its rows."""
        steps = self.n_epochs * max(1, len(rows) // self.batch_size)
        net, loss = self._network(steps, seed, place, X, rows), self._loss()
        return Trainer(net, self._optimizer(steps, loss), loss, precision=self.precision)

    def _monitor(self, trainer: Trainer, held_out: HeldOut | None) -> Monitor:
        """What keeps a member's best epoch, the last of equals; of all epochs the last."""
        if held_out is None:
            return Monitor(0.0, math.inf)
        sign = 1.0 if metrics.direction(self._metric) == "max" else -1.0

        def score() -> float:
            options = self._of_member, self.precision
            return sign * held_out.score(self._metric, trainer.network, *options)

        return self._monitor_of(score)

    @property
    def _metric(self) -> str:
        """The library's name of the metric."""
        names = self._metrics
        return next(iter(names.values())) if self.metric is None else names[self.metric]

    def _train(
        self,
        where: str,
        start: float,
        trainers: Sequence[Trainer],
        monitors: Sequence[Monitor],
        data: tuple[Any, Any, Any],
        rows: Sequence[host.HostArray],
    ) -> None:
        """Train all members together; an early end is warned of.

        Parameters
        ----------
        start
            When the fit began.
        data, rows
            X, the targets and weights of all rows, and the rows of each member.
        """
        deadline, (X, targets, weights) = Deadline(start, self.time_limit), data
        watched = {id(trainer): m for trainer, m in zip(trainers, monitors, strict=True)}
        try:
            Ensemble(trainers).fit(
                X,
                targets,
                self.n_epochs,
                self.batch_size,
                callbacks=lambda trainer: [watched[id(trainer)], deadline],
                progress=bool(self.verbose),
                sample_weight=weights,
                rows=rows,
                drop_last=self._drop_last,
            )
        except NonFiniteLossError as error:
            raise diverged(where, error.found, "a smaller learning_rate") from error
        except KeyboardInterrupt:
            if not any(len(trainer.history) for trainer in trainers):
                raise
            why = "training was interrupted"
        else:
            why = f"the time limit of {self.time_limit} s was over" if deadline.over else ""
        done = max(len(trainer.history) for trainer in trainers)
        if why and done < self.n_epochs:
            warnings.warn(
                f"{where}: {why} after {done} of {self.n_epochs} epochs; the best so far is kept.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _keep(self, trainers: Sequence[Trainer], monitors: Sequence[Monitor]) -> None:
        """Keep the networks of the best epochs; a member that failed in its first is left out."""
        kept = [i for i, trainer in enumerate(trainers) if len(trainer.history)]
        for i in kept:
            monitors[i].restore_best(trainers[i].network)
        sign = 1.0 if metrics.direction(self._metric) == "max" else -1.0
        self.networks_ = [trainers[i].network for i in kept]
        self.loss_curves_ = [list(trainers[i].history.loss) for i in kept]
        self.validation_scores_ = [[sign * s for s in monitors[i].scores] for i in kept]
        self.best_epochs_ = [monitors[i].best_epoch or len(trainers[i].history) for i in kept]

    # Predicting

    def _predicted(self, name: str, X: Any) -> host.HostArray:
        """The mean of the members' predictions: (n, K), float64."""
        check_is_fitted(self)
        where, first = f"{type(self).__name__}.{name}", self.networks_[0]
        first.check_precision(where, self.precision)
        return mean_prediction(
            where,
            self.networks_,
            self.encoding_,
            columns(self, where, X),
            self.precision,
            self.averaged,
            self._of_member,
        )

    # Files

    def save(self, path: Any, extra: Mapping[str, Any] | None = None) -> None:
        """Write the estimator to one safetensors file, which can hold no code; see `load`.

        It holds the networks, the columns' encoding, the parameters, the classes or the targets'
        scale, and what a fit reports.

        Parameters
        ----------
        extra
            Data of JSON's types to keep beside them, which `nnpoly.checkpoint.load_extra` reads.
        """
        check_is_fitted(self)
        files.save(self, path, self._learnt, extra)

    @classmethod
    def load(cls, path: Any, backend: Any = None, device: Any = None) -> Self:
        """Return the estimator that `save` wrote, to predict with.

        Parameters
        ----------
        path
            A file that `save` wrote, on any backend.
        backend, device
            Where its networks shall live; None for the default.
        """
        return cls.of_content(path, read(path), backend, device)

    @classmethod
    def of_content(
        cls, path: Any, content: tuple[dict[str, Any], Any], backend: Any, device: Any
    ) -> Self:
        """Return the estimator of a file that has been read; path names the file in errors."""
        made, networks = files.load(cls, path, content, cls._learnt, backend, device)
        with named(path):
            made._adopt(f"{cls.__name__}.load", networks)
        estimator: Self = made
        return estimator

    def _adopt(self, where: str, networks: list[Network]) -> None:
        """Take a file's networks, which must be what is learnt beside them."""
        self._check_parameters(where)
        wanted = self.encoding_.width, self._outputs, self._output
        reports = self.loss_curves_, self.validation_scores_, self.best_epochs_
        if any((net.inputs, net.outputs, net.output) != wanted for net in networks):
            raise ValueError(f"its networks have not {wanted[0]} inputs and {wanted[1]} outputs")
        if any(len(report) != len(networks) for report in reports):
            raise ValueError(f"it has not a report for each of its {len(networks)} networks")
        self.networks_ = networks
