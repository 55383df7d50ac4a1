"""The base of both estimators: fitting, predicting, and the attributes of a fit."""

from __future__ import annotations

import math
import warnings
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar, Self

from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import _checks, losses
from ..backends import host, registry
from ..data.place import Place
from ..layers import Dense
from ..losses import Loss
from ..network import Network
from ..optimizers import Optimizer
from ..training import NonFiniteLossError, Trainer
from ..training.calls import listed_callbacks
from ..training.evaluation import forward
from . import arrays, files, lbfgs
from .arrays import Samples
from .monitor import Monitor, diverged
from .parameters import Parameters


class BaseMLP(Parameters):
    """The base of both; a subclass translates its targets for the network."""

    # Of a subclass

    def _checked_y(self, where: str, y: Any, name: str) -> Any:
        """Checked targets, (n,) or (n, K), of an array on the host."""
        raise NotImplementedError

    def _set_classes(self, where: str, y: Any, classes: Any) -> None:
        """Set `classes_`, which a regressor lacks, from the first y or the classes to come."""

    def _require_classes(self, where: str, classes: Any) -> None:
        """Refuse other classes to come than those of the first fit."""

    def _loss_for(self, where: str, output: str | None) -> Loss:
        """The loss for a network of that output; None: for a new network."""
        raise NotImplementedError

    def _encode(self, where: str, y: Any, name: str, loss: Loss) -> Any:
        """The network's targets: (n,) class indices or (n, K)."""
        raise NotImplementedError

    def _times_class_weights(self, where: str, y: Any, weights: Any) -> Any:
        """The samples' weights times those of their classes; None: all are 1."""
        return weights

    def _strata(self, where: str, targets: Any) -> Any:
        """The groups that are in the validation share as in all data: (n,), or None."""
        return None

    def _score_outputs(self, f: Any, targets: Any, weights: Any) -> float:
        """The score of outputs f: (n, K), on the host."""
        raise NotImplementedError

    def _require_network(self, where: str, net: Network) -> None:
        """Refuse a network whose outputs are not what this estimator predicts."""
        raise NotImplementedError

    # Attributes

    _waited = 0  # epochs in a row without a gain, where partial fits go on counting

    # Those that a file holds beside the parameters and the trainer.
    _learnt: ClassVar[type[files.Learnt]] = files.Learnt

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def network_(self) -> Network:
        """The network."""
        return self._trained.network

    @property
    def _trained(self) -> Trainer:
        """The trainer; an error that says so before any fit."""
        if "trainer_" not in self.__dict__:
            check_is_fitted(self)
        trainer: Trainer = self.trainer_
        return trainer

    @property
    def coefs_(self) -> list[host.HostArray]:
        """Each Dense layer's weights: (m_in, m), the transpose of W."""
        return [registry.to_host(layer.W).T for layer in self._dense]

    @property
    def intercepts_(self) -> list[host.HostArray]:
        """Each Dense layer's bias: (m,)."""
        return [registry.to_host(layer.b) for layer in self._dense]

    @property
    def _dense(self) -> list[Any]:
        return [layer for layer in self.network_.layers if isinstance(layer.layer, Dense)]

    @property
    def n_layers_(self) -> int:
        """The number of layers, the input counted."""
        return self.network_.depth + 1

    @property
    def n_outputs_(self) -> int:
        """The number of outputs."""
        return self.network_.outputs

    @property
    def out_activation_(self) -> str:
        """The output's activation by scikit-learn's name."""
        return {"sigmoid": "logistic"}.get(self.network_.output, self.network_.output)

    @property
    def loss_curve_(self) -> list[float]:
        """The loss of every epoch."""
        return self._trained.history.loss

    def _adopt(self, net: Network) -> None:
        """Make a network of given weights this estimator's own."""
        where = f"{type(self).__name__}.from_network"
        loss = losses.get(self._loss_for(where, net.output), net.output, where)
        net.check_precision(where, self.precision)
        self.trainer_ = Trainer(net, loss=loss, precision=self.precision)
        self.n_features_in_, self.t_ = net.inputs, 0

    # Files

    def save(self, path: Any) -> None:
        """Write the estimator to one safetensors file, which can hold no code; see `load`.

        It holds the network, the optimiser's moments, the history, the parameters (callbacks
        apart), the classes, and what a fit reports: losses, scores and counts.
        """
        check_is_fitted(self)
        files.save(self, path, self._learnt)

    @classmethod
    def load(cls, path: Any, backend: Any = None, device: Any = None) -> Self:
        """Return the estimator that `save` wrote, to predict with or to train on.

        Parameters
        ----------
        path
            A file that `save` wrote, on any backend.
        backend, device
            Where its network shall live; None for the default.
        """
        made: Self = files.load(cls, path, cls._learnt, backend, device)
        return made

    # Fitting

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
        """Train a network, anew unless `warm_start` is set and there is one.

        A fit that fails leaves the estimator, and the network it would have trained on, as they
        were; one that is interrupted (Ctrl-C) keeps its finished epochs and warns.

        Parameters
        ----------
        X
            (n, m_0): an array, a frame or a sparse matrix. An array of another library (torch, JAX,
            CuPy) stays there, unless `backend` names another one, and so do predictions.
        y
            (n,) or (n, K).
        sample_weight
            (n,) weights of the samples' losses; scaled to a mean of 1.
        X_val, y_val, sample_weight_val
            Validation data, whose score is in `validation_scores_` and whose loss callbacks find as
            "validation_loss". They take the place of the share that `early_stopping` would set
            aside. Either is measured with the weights of its samples, and without those of the
            classes. With "lbfgs" they are scored once, at the end.
        """
        given = X_val, y_val, sample_weight_val
        arrays.require_together(f"{type(self).__name__}.fit", *given)
        held_out = None if X_val is None else given
        return self._fit("fit", (X, y, sample_weight), held_out)

    def _fit(
        self,
        name: str,
        data: tuple[Any, Any, Any],
        held_out: tuple[Any, Any, Any] | None = None,
        classes: Any = None,
        *,
        part: bool = False,
    ) -> Self:
        """Fit, or leave everything as it was.

        Parameters
        ----------
        name
            The method's.
        data, held_out
            X, y and the samples' weights, to train on and to score.
        classes
            Those to come, or None.
        part
            Whether to take a single epoch.
        """
        where, before = f"{type(self).__name__}.{name}", self.__dict__.copy()
        warm = hasattr(self, "trainer_") and (part or self.warm_start)
        try:
            with self.trainer_.transaction() if warm else nullcontext():
                self._check_parameters(where, part)
                net, loss, samples, shown = self._prepared(where, warm, data, held_out, classes)
                if self._at_once:
                    self._fit_at_once(where, net, loss, samples, shown)
                else:
                    self._fit_in_epochs(where, net, loss, samples, shown, part)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _prepared(
        self, where: str, warm: bool, data: Any, held_out: Any, classes: Any
    ) -> tuple[Network, Loss, Samples, Samples | None]:
        """The network and its loss, the samples to train on, and those to score or None."""
        (X, y, weights), place = self._checked(where, data, self.network_.place if warm else None)
        if self.precision is not None:
            place.backend.check_precision(where, self.precision, place.dtype)
        if warm:
            self._require_fixed(where)
            self._require_classes(where, classes)
            net = self.network_
            loss = losses.get(self._loss_for(where, net.output), net.output, where)
            targets = self._encode(where, y, "y", loss)
        else:
            self._set_classes(where, y, classes)
            loss = self._loss_for(where, None)
            targets = self._encode(where, y, "y", loss)
            net = self._new_network(where, place, targets, loss)
        arrays.require_targets(where, "y", net, loss, targets)
        samples = Samples(X, targets, self._times_class_weights(where, y, weights))
        if held_out is not None:
            (X, y, weights), _ = self._checked(where, held_out, place, "_val")
            targets = self._encode(where, y, "y_val", loss)
            arrays.require_targets(where, "y_val", net, loss, targets)
            return net, loss, samples, Samples(X, targets, weights)
        if self.early_stopping and not self._at_once:
            kept, held = self._split(where, targets, net.seed)
            shown = samples._replace(weights=weights).rows(place, held)
            samples = samples.rows(place, kept)
            for part, of in ((samples, "to train on"), (shown, "that are set aside")):
                arrays.require_weight(where, "sample_weight", part.weights, f" of the rows {of}")
            return net, loss, samples, shown
        return net, loss, samples, None

    def _checked(
        self, where: str, data: Any, place: Place | None, suffix: str = ""
    ) -> tuple[tuple[Any, Any, Any], Place]:
        """X, y and weights after all checks, and the network's place.

        Parameters
        ----------
        place
            The network's; None for a new one.
        suffix
            Of the arguments' names.
        """
        X, y, weights = data
        X, place = arrays.features(self, where, X, place, f"X{suffix}")
        y = arrays.targets(self, where, X, y, f"y{suffix}")
        y = self._checked_y(where, y, f"y{suffix}")
        weights = arrays.sample_weights(where, f"sample_weight{suffix}", weights, len(y))
        return (X, y, weights), place

    def _split(self, where: str, targets: Any, seed: int) -> tuple[Any, Any]:
        """The rows to train on, and those to set aside."""
        n, share = len(targets), self.validation_fraction
        share = _checks.positive(where, "validation_fraction", share)
        strata = self._strata(where, targets)
        groups = 1 if strata is None else len(host.unique(strata))
        held, least = math.ceil(share * n), max(2, groups)
        if held < least or n - held < groups:
            why = "" if strata is None else f", as there are {groups} classes"
            size = "small" if held < least else "large"
            raise ValueError(
                f"{where}: `validation_fraction` must set aside at least {least} rows and leave at "
                f"least {groups}{why}, got {share:g} of {n} rows: the validation set is too {size}."
                " Take another fraction or more rows, pass X_val and y_val, or set "
                "early_stopping=False."
            )
        split: tuple[Any, Any] = train_test_split(
            host.arange(n), test_size=share, random_state=seed, stratify=strata
        )
        return split

    def _new_network(self, where: str, place: Place, targets: Any, loss: Loss) -> Network:
        """A new network; the attributes of the one before are gone."""
        learnt = (
            "trainer_",
            "best_loss_",
            "validation_scores_",
            "best_validation_score_",
            "_waited",
        )
        for name in learnt:
            self.__dict__.pop(name, None)
        self.t_, self._fixed = 0, self._architecture(where)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        outputs = int(targets.shape[1]) if targets.ndim == 2 else len(self.classes_)
        widths = [self.n_features_in_, *self._hidden(where), outputs]
        return self._network(where, widths, loss.output, seed, place)

    def _require_fixed(self, where: str) -> None:
        """Refuse changes of what a network has once and for all."""
        now = self._architecture(where)
        self._fixed = getattr(self, "_fixed", now)  # a given network has none before its first fit
        for name, was in self._fixed.items():
            if not _alike(now[name], was):
                raise ValueError(
                    f"{where}: `{name}` must stay {was!r} for a network that is trained on, got "
                    f"{now[name]!r}. Set warm_start=False, or make a new estimator."
                )

    def _trainer_of(self, net: Network, loss: Loss, optimizer: Optimizer | None = None) -> Trainer:
        """The network's trainer, made anew for a new network; its optimiser None: any."""
        if not hasattr(self, "trainer_"):
            self.trainer_ = Trainer(net, optimizer, loss, precision=self.precision)
        trainer: Trainer = self.trainer_
        optimizer = trainer.optimizer if optimizer is None else optimizer
        wanted = loss, optimizer, self.precision
        if (trainer.loss, trainer.optimizer, trainer.precision) != wanted:
            trainer.stepper.change(optimizer, loss, self.precision)
        return trainer

    def _fit_at_once(
        self, where: str, net: Network, loss: Loss, samples: Samples, shown: Samples | None
    ) -> None:
        """Train on all samples at once."""
        self._trainer_of(net, loss)
        limits = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        options = self.alpha, limits, bool(self.verbose), self.precision
        found = lbfgs.train(where, net, loss, samples, *options)
        self.loss_, self.n_iter_ = float(found.fun), int(found.nit)
        if shown is not None:
            self._report_scores([self._score_of_network(shown)])
        if not found.success:
            _warn(f"lbfgs failed to converge after {found.nit} iteration(s): {found.message}")

    def _fit_in_epochs(
        self,
        where: str,
        net: Network,
        loss: Loss,
        samples: Samples,
        shown: Samples | None,
        part: bool,
    ) -> None:
        """Train for one epoch, or until nothing is gained."""
        n, weights = len(samples.targets), samples.weights
        size = self._rows_of_a_batch(where, n)
        decay = self.alpha / (size if weights is None else size * weights.mean())
        steps = self.trainer_.t if hasattr(self, "trainer_") else 0
        optimizer = self._optimizer(where, decay, n, size, self.t_, steps)
        trainer = self._trainer_of(net, loss, optimizer)
        trainer.stepper.require_rows(where, size)
        self._reset_rate(trainer)
        monitor, before = self._monitor(shown, part), len(trainer.history)
        try:
            trainer.fit(
                samples.X,
                samples.targets,
                1 if part else self.max_iter,
                size,
                None if shown is None else tuple(a for a in shown if a is not None),
                [monitor, *listed_callbacks(where, self.callbacks)],
                progress=bool(self.verbose),
                shuffle=self.shuffle,
                sample_weight=weights,
            )
        except NonFiniteLossError as error:
            raise diverged(where, error.found, "a smaller learning_rate_init") from error
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        monitor.restore_best(net)
        self._waited = monitor.waited
        self._report(n, before, monitor.scores)
        if not part and self.n_iter_ == self.max_iter and not monitor.converged:
            _warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet."
            )

    def _reset_rate(self, trainer: Trainer) -> None:
        """Take the learning rate as it is asked for, where that differs from the fit before."""
        rate = (self.learning_rate, self.learning_rate_init)
        if getattr(self, "_rate", rate) != rate:
            trainer.rate_factor = 1.0
        self._rate = rate

    def _monitor(self, shown: Samples | None, part: bool) -> Monitor:
        """What ends the training; a part goes on counting where the epochs before it ended."""
        monitor = Monitor(
            self.tol,
            self.n_iter_no_change,
            None if shown is None else partial(self._score_of_network, shown),
            by_score=bool(self.early_stopping),
            divisor=5.0 if self._rate_rule == "adaptive" else None,
        )
        least = getattr(self, "best_loss_", None)
        if part and least is not None:
            monitor.best, monitor.waited = least, self._waited
        return monitor

    def _score_of_network(self, samples: Samples) -> float:
        """The score of the network as it is."""
        where = type(self).__name__
        f = registry.to_host(forward(self.network_, samples.X, where, self.precision))
        return self._score_outputs(f, samples.targets, samples.weights)

    def _report(self, n: int, before: int, scores: list[float]) -> None:
        """Set scikit-learn's attributes after epochs of n samples, `before` epochs having been."""
        curve = self.trainer_.history.loss[before:]
        self.n_iter_ = len(curve)
        self.t_ += n * self.n_iter_
        self.loss_ = curve[-1] if curve else math.nan
        earlier = getattr(self, "best_loss_", None)
        least = min(curve, default=math.inf) if earlier is None else min([earlier, *curve])
        self.best_loss_ = None if self.early_stopping else least
        if scores or not hasattr(self, "validation_scores_"):
            self._report_scores(scores)

    def _report_scores(self, scores: list[float]) -> None:
        """Set scikit-learn's attributes after a fit with these validation scores."""
        earlier = getattr(self, "validation_scores_", None) or []
        self.validation_scores_ = [*earlier, *scores] or None
        self.best_validation_score_ = max(scores, default=None)

    # Predicting

    def _predicted(self, where: str, X: Any) -> Any:
        """The outputs f: (n, K), where X is, if that is where the network is; else on the host."""
        check_is_fitted(self)
        where = f"{type(self).__name__}.{where}"
        X, _ = arrays.features(self, where, X, self.network_.place)
        f = forward(self.network_, X, where, self.precision)
        return registry.to_host(f) if registry.of(X).name == "numpy" else f


def _alike(a: Any, b: Any) -> bool:
    """Whether two values of a parameter are equal; arrays, which are none, are not."""
    try:
        return bool(a == b)
    except ValueError:
        return False


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=5)
