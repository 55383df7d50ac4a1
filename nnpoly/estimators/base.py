"""What the estimators share: from scikit-learn's parameters to a network and its training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import _checks, initializers, optimizers
from ..activations import Sigmoid
from ..activations import get as activation_of
from ..backends import host, registry
from ..data import entering
from ..data.place import Place
from ..layers import Dense
from ..losses import Loss
from ..network import Network, regularised
from ..optimizers import Adam, Optimizer
from ..schedules import InverseScaling, Schedule
from ..training import History, Trainer
from ..training.evaluation import forward
from . import files

# Where the names of scikit-learn differ from the library's.
ACTIVATIONS = {"logistic": "sigmoid"}
_ARRAYS: dict[str, Any] = {"accept_sparse": "csr", "dtype": ["float64", "float32"], "order": "C"}
_BIASES = 0x62696173  # keeps their random numbers apart from those of W
LEARNING_RATES = ("constant", "invscaling", "adaptive")


def _network(estimator: Any, where: str, widths: Sequence[int], output: str, **of: Any) -> Network:
    """Return a new network of an estimator's parameters. of: `Network`'s dtype, seed, backend."""
    sigma = activation_of(ACTIVATIONS.get(estimator.activation, estimator.activation), where)
    own = estimator.init is None
    init = initializers.get("xavier_uniform" if own else estimator.init, where)
    dropout, layer_norm = estimator.dropout, estimator.layer_norm
    net = regularised(widths, sigma, output, init, dropout, layer_norm, **of)
    if own:
        _start_like_scikit_learn(net, shrink=isinstance(sigma, Sigmoid))
    return net


def _start_like_scikit_learn(net: Network, shrink: bool) -> None:
    """Draw biases like W, from U[-a, a] with a = sqrt(6 / (m_in + m)), sigmoids' with 2 for 6."""
    w, scale = registry.to_host(net.w).copy(), math.sqrt(1.0 / 3.0) if shrink else 1.0
    for slot in net.layout.slots:
        layer, place = net.chain[slot.layer], slice(slot.start, slot.stop)
        if isinstance(layer, Dense) and slot.name == "b":
            a = math.sqrt(6.0 / (layer.inputs + layer.outputs))
            rng = host.generator(net.seed, _BIASES, slot.layer)
            w[place] = scale * rng.uniform(-a, a, layer.outputs)
        elif isinstance(layer, Dense):
            w[place] *= scale
    net.w = w


def _optimizer(estimator: Any, where: str, weight_decay: float) -> Optimizer:
    """Return the optimiser of an estimator's parameters; weight_decay is alpha over a batch."""
    solver, rate = estimator.solver, estimator.learning_rate
    if isinstance(solver, Optimizer):
        return solver
    if not isinstance(rate, Schedule):
        name = _checks.choice(where, "learning_rate", rate, LEARNING_RATES)
        rate = _checks.positive(where, "learning_rate_init", estimator.learning_rate_init)
        if name == "invscaling":
            rate = InverseScaling(rate, estimator.power_t)
    kind = optimizers.BY_NAME[_checks.choice(where, "solver", solver, optimizers.BY_NAME)]
    options: dict[str, Any] = {} if kind.decoupled else {"weight_decay": weight_decay}
    if kind is optimizers.SGD:
        options |= {
            "momentum": estimator.momentum,
            "nesterov": bool(estimator.nesterovs_momentum and estimator.momentum),
        }
    if issubclass(kind, Adam):
        options |= {
            "beta1": estimator.beta_1,
            "beta2": estimator.beta_2,
            "eps": estimator.epsilon,
            "eps_inside_sqrt": False,
        }
    made: Optimizer = kind(rate, **options)
    return made


def hosted(array: Any) -> Any:
    """Return an array of another backend as NumPy's; anything else stays as it is."""
    return array if registry.of(array).name == "numpy" else registry.to_host(array)


class Monitor:
    """A callback that decides when an estimator's training ends, as scikit-learn's does.

    It ends when, for more than `patience` epochs in a row, the loss has not fallen by `tol` below
    its least, or the score not risen by `tol` above its best; with `divisor`, the learning rate is
    divided instead until it is below 1e-6.

    Attributes
    ----------
    best
        The least loss, or the best score.
    score
        None, or what gives the validation score of the network as it is.
    scores
        A validation score an epoch.
    converged
        Whether it ended the training.
    """

    def __init__(self, tol: float, patience: float, by_score: bool, divisor: float | None) -> None:
        self._tol, self._patience, self._divisor = tol, patience, divisor
        self._waited = 0
        self._best_network: Network | None = None
        self.by_score = by_score
        self.best = -math.inf if by_score else math.inf
        self.score: Callable[[], float] | None = None
        self.scores: list[float] = []
        self.converged = False

    def __call__(self, trainer: Trainer, history: History) -> bool:
        """Look at the newest epoch."""
        if self.score is not None:
            self.scores.append(self.score())
        gain = self._gain(trainer, history.loss[-1])
        self._waited = 0 if gain >= self._tol else self._waited + 1
        if self._waited <= self._patience:
            return False
        self.converged = not self._slows_down(trainer)
        return self.converged

    def blind(self) -> int:
        """Return how many epochs must pass before this can end the training."""
        return 1 if self.score is not None else int(min(self._patience - self._waited, 1e6)) + 1

    def _gain(self, trainer: Trainer, loss: float) -> float:
        """Return by how much the newest epoch is better than the best, and keep it if it is."""
        if not self.by_score:
            gain, self.best = self.best - loss, min(self.best, loss)
            return gain
        gain = self.scores[-1] - self.best
        if gain > 0.0:
            self.best, self._best_network = self.scores[-1], trainer.network.copy()
        return gain

    def _slows_down(self, trainer: Trainer) -> bool:
        """Divide the learning rate, where that is asked for and it is not yet tiny."""
        if self._divisor is None:
            return False
        rate = trainer.optimizer.learning_rate_at(trainer.t) * trainer.rate_factor
        if rate <= 1e-6:
            return False
        trainer.rate_factor /= self._divisor
        self._waited = 0
        return True

    def give_back(self, network: Network) -> None:
        """Give the network the parameters of its best score."""
        if self._best_network is not None:
            best = self._best_network.copy()
            network.adopt(best.w, best.buffers)


class BaseMLP(BaseEstimator):  # type: ignore[misc]
    """What both estimators do. A subclass says what its targets are to a network."""

    # Of a subclass

    def _checked_y(self, y: Any) -> Any:
        """Return y, an array on the host, as (n,) or (n, K), or refuse it."""
        raise NotImplementedError

    def _learn(self, y: Any, classes: Any) -> None:
        """Learn from the first y what there is to know of all."""
        raise NotImplementedError

    def _encode(self, y: Any) -> Any:
        """Return the network's targets: (n,) class indices or (n, K)."""
        raise NotImplementedError

    def _loss(self) -> Loss:
        """Return the loss."""
        raise NotImplementedError

    def _outputs(self, targets: Any) -> int:
        """Return the number of outputs."""
        raise NotImplementedError

    def _weights(self, y: Any, sample_weight: Any) -> Any:
        """Return the samples' weights, or None."""
        raise NotImplementedError

    def _strata(self, targets: Any) -> Any:
        """Return what the validation share is stratified by, or None."""
        raise NotImplementedError

    def _goodness(self, f: Any, targets: Any, sample_weight: Any) -> float:
        """Return the score of predictions f: (n, K), on the host."""
        raise NotImplementedError

    # Parameters

    def _keep(self, parameters: Mapping[str, Any]) -> None:
        """Keep every parameter under its own name, as scikit-learn asks."""
        for name, value in parameters.items():
            if name != "self":
                setattr(self, name, value)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # What was learnt

    @property
    def network_(self) -> Network:
        """The network."""
        net: Network = self.trainer_.network
        return net

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

    def _take(self, net: Network) -> None:
        """Take a network as what was learnt."""
        self.trainer_ = Trainer(net, loss=self._loss())
        self.n_features_in_, self._seed, self.t_ = net.inputs, net.seed, 0
        self._describe()

    def _describe(self) -> None:
        net, named = self.network_, {"sigmoid": "logistic"}
        self.n_layers_, self.n_outputs_ = net.depth + 1, net.outputs
        self.out_activation_ = named.get(net.output, net.output)

    # Files

    def save(self, path: Any) -> None:
        """Write the estimator to one safetensors file, which can hold no code; see `load`.

        It holds the network, the optimiser's moments, the history, the parameters (callbacks
        apart), and the classes.
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
        made: Self = files.load(cls, path, backend, device)
        made._describe()
        return made

    # What training tells, beside the trainer's own state
    _learnt: tuple[str, ...] = ("n_features_in_", "feature_names_in_", "_seed", "t_", "n_iter_")

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

        Parameters
        ----------
        X
            (n, m_0): an array, a frame or a sparse matrix, or an array of another backend, whose
            predictions are arrays there too.
        y
            (n,) or (n, K).
        sample_weight
            (n,) weights of the samples' losses; scaled to a mean of 1.
        X_val, y_val, sample_weight_val
            Validation data, whose score is in `validation_scores_`. They take the place of the
            share that `early_stopping` would set aside.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError(
                f"{type(self).__name__}.fit: `X_val` and `y_val` belong together, got only one."
            )
        held_out = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit("fit", X, y, sample_weight, held_out, None, part=False)

    def _fit(self, name: str, *given: Any, part: bool) -> Self:
        """Fit, or leave the estimator as it was. given, part: the arguments of `_fitted`."""
        before = dict(self.__dict__)
        try:
            return self._fitted(f"{type(self).__name__}.{name}", *given, part=part)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fitted(
        self,
        where: str,
        X: Any,
        y: Any,
        sample_weight: Any,
        held_out: Any,
        classes: Any,
        *,
        part: bool,
    ) -> Self:
        at_once = isinstance(self.solver, str) and self.solver == "lbfgs"
        self._refuse(where, at_once, part)
        first = not (hasattr(self, "trainer_") and (part or self.warm_start))
        X, y = self._checked(X, y, first)
        if first:
            self._learn(y, classes)
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        batch = self._batch(X, y, sample_weight)
        if held_out is not None:
            X_val, y_val, weights = held_out
            held_out = self._batch(*self._checked(X_val, y_val, False), weights, plain=True)
        elif self.early_stopping:
            batch, held_out = self._split(where, batch)
        if first:
            self._begin(where, batch)
        if at_once:
            self._fit_at_once(where, batch)
        else:
            self._fit_in_epochs(where, batch, held_out, first, part)
        self._describe()
        return self

    def _refuse(self, where: str, at_once: bool, part: bool) -> None:
        """Refuse parameters that do not go together."""
        if part and at_once:
            raise AttributeError(f"{where}: `solver` 'lbfgs' takes all data at once. Use 'adam'.")
        if part and self.early_stopping:
            raise ValueError(f"{where}: `early_stopping` must be False: one epoch is all there is.")
        if at_once and self.dropout:
            raise ValueError(f"{where}: `dropout` must be 0 with 'lbfgs', got {self.dropout!r}.")
        _checks.not_negative(where, "alpha", self.alpha)
        _checks.integer(where, "max_iter", self.max_iter)
        _checks.not_negative(where, "tol", self.tol)
        if self.n_iter_no_change != math.inf:  # which scikit-learn takes for "never"
            _checks.integer(where, "n_iter_no_change", self.n_iter_no_change)
        if not isinstance(self.callbacks, tuple | list):
            raise ValueError(
                f"{where}: `callbacks` must be a list of callables, got {self.callbacks!r}."
            )

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return X and y after scikit-learn's checks; of another backend's arrays, after ours."""
        if registry.of(X).name == "numpy":
            X, y = validate_data(self, X, hosted(y), reset=reset, multi_output=True, **_ARRAYS)
        else:
            self._check_width(X, reset)
            y = registry.to_host(y)
        return X, self._checked_y(y)

    def _check_width(self, X: Any, reset: bool) -> None:
        """Learn, or compare, the number of features of another backend's array."""
        if reset:
            self.n_features_in_ = int(X.shape[-1])
        entering.features(type(self).__name__, self._place(X), X, self.n_features_in_)

    def _place(self, X: Any) -> Place:
        """Return where a network for X lives: where that was asked for, else where X is."""
        found, device = registry.of(X), self.device
        if self.backend is None and found.name != "numpy":
            device = X.device if device is None else found.device(device)
        else:
            found, device = registry.resolve(self.backend, device, type(self).__name__)
        name = str(X.dtype).rpartition(".")[2]
        return Place(found, device, self.dtype or (name if name == "float64" else "float32"))

    def _batch(self, X: Any, y: Any, sample_weight: Any, plain: bool = False) -> tuple[Any, ...]:
        """Return X, the network's targets and the samples' weights; plain: without the classes'."""
        if sample_weight is not None:
            sample_weight = _check_sample_weight(hosted(sample_weight), y, ensure_non_negative=True)
        return X, self._encode(y), sample_weight if plain else self._weights(y, sample_weight)

    def _split(self, where: str, batch: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the training and the validation share."""
        X, targets, weights = batch
        kept, held = train_test_split(
            host.arange(len(targets)),
            test_size=self.validation_fraction,
            random_state=self._seed,
            stratify=self._strata(targets),
        )
        if len(held) < 2:
            raise ValueError(
                f"{where}: The validation set is too small: {len(held)} sample. Increase "
                "validation_fraction or the size of your dataset."
            )
        kept, held = (
            (self._rows(X, rows), targets[rows], None if weights is None else weights[rows])
            for rows in (kept, held)
        )
        return kept, held

    def _rows(self, X: Any, rows: host.HostArray) -> Any:
        if registry.of(X).name == "numpy":
            return X[rows]
        place, where = self._place(X), type(self).__name__
        x = place.real(where, "X", X)
        return place.backend.ops.gather(x, place.integers(where, "rows", rows))

    def _begin(self, where: str, batch: tuple[Any, ...]) -> None:
        """Make the network and its trainer anew."""
        X, targets, _ = batch
        hidden = self.hidden_layer_sizes
        several = hasattr(hidden, "__len__") and not isinstance(hidden, str)
        hidden = list(hidden) if several else [hidden]
        for m in hidden:
            _checks.integer(where, "hidden_layer_sizes", m)
        widths = [self.n_features_in_, *hidden, self._outputs(targets)]
        loss, place = self._loss(), self._place(X)
        options = {"dtype": place.dtype, "backend": place.backend, "device": place.device}
        net = _network(self, where, widths, loss.output, seed=self._seed, **options)
        self.trainer_ = Trainer(net, loss=loss)
        self.t_ = 0

    def _fit_at_once(self, where: str, batch: tuple[Any, ...]) -> None:
        """Train by L-BFGS on all data at once (SciPy's L-BFGS-B)."""
        from scipy.optimize import minimize

        net, m, (X, targets, weights) = self.network_, self.n_features_in_, batch
        x = entering.features(where, net.place, X.toarray() if hasattr(X, "toarray") else X, m)
        total = float(len(targets) if weights is None else weights.sum())
        weights = None if weights is None else weights * (len(targets) / total)
        decay, loss = self.alpha / total, self.trainer_.loss

        def value_and_gradient(w: host.HostArray) -> tuple[float, host.HostArray]:
            net.w = host.asarray(w, net.dtype)
            value, grads = net.gradients(x, targets, loss=loss, sample_weight=weights)
            g = host.asarray(registry.to_host(grads.flat), "float64")
            return float(value) + 0.5 * decay * float(w @ w), g + decay * w

        limits = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        start = host.asarray(registry.to_host(net.w), "float64")
        found = minimize(value_and_gradient, start, method="L-BFGS-B", jac=True, options=limits)
        net.w = host.asarray(found.x, net.dtype)
        self.loss_, self.n_iter_ = float(found.fun), int(found.nit)
        if not found.success:
            _warn(f"lbfgs failed to converge after {found.nit} iteration(s): {found.message}")

    def _fit_in_epochs(
        self, where: str, batch: tuple[Any, ...], held_out: Any, first: bool, part: bool
    ) -> None:
        """Train for one epoch, or until nothing is gained."""
        X, targets, weights = batch
        size = self._batch_size(where, len(targets))
        if first or not hasattr(self, "_weight_decay"):
            self._weight_decay = self.alpha / (size if weights is None else size * weights.mean())
        trainer: Trainer = self.trainer_
        optimizer = _optimizer(self, where, self._weight_decay)
        if optimizer != trainer.optimizer:
            trainer.optimizer = optimizer
        if first or not hasattr(self, "_monitor"):
            patience, by_score = self.n_iter_no_change, bool(self.early_stopping)
            divisor = 5.0 if self.learning_rate == "adaptive" else None
            self._monitor = Monitor(self.tol, patience, by_score, divisor)
        before = len(trainer.history)
        if held_out is not None:
            self._monitor.score = partial(self._score_of, *held_out)
        try:
            trainer.fit(
                X,
                targets,
                1 if part else self.max_iter,
                size,
                callbacks=[*([] if part else [self._monitor]), *self.callbacks],
                progress=bool(self.verbose),
                shuffle=self.shuffle,
                sample_weight=weights,
            )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        finally:
            self._monitor.score = None  # which holds data
        self._report(len(targets), before)
        if not part and self.n_iter_ == self.max_iter and not self._monitor.converged:
            _warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet."
            )
        self._monitor.give_back(self.network_)

    def _batch_size(self, where: str, n: int) -> int:
        if isinstance(self.batch_size, str) and self.batch_size == "auto":
            return min(200, n)
        return min(_checks.integer(where, "batch_size", self.batch_size), n)

    def _score_of(self, X: Any, targets: Any, sample_weight: Any) -> float:
        """Return the score of the network as it is."""
        return self._goodness(registry.to_host(self._forward(X)), targets, sample_weight)

    def _report(self, n: int, before: int) -> None:
        """Set scikit-learn's attributes after a fit of n samples, `before` epochs having been."""
        losses, monitor = self.trainer_.history.loss, self._monitor
        self.n_iter_ = len(losses) - before
        self.t_ += n * self.n_iter_
        self.loss_curve_, self.loss_ = list(losses), losses[-1] if losses else math.nan
        self.best_loss_ = None if monitor.by_score else min(losses, default=math.inf)
        self.validation_scores_ = list(monitor.scores) or None
        self.best_validation_score_ = max(monitor.scores) if monitor.scores else None

    # Predicting

    def _predicted(self, X: Any) -> Any:
        """Return f: (n, K), where X lives."""
        check_is_fitted(self)
        if registry.of(X).name == "numpy":
            X = validate_data(self, X, reset=False, **_ARRAYS)
            return registry.to_host(self._forward(X))
        self._check_width(X, False)
        return self._forward(X)

    def _forward(self, X: Any) -> Any:
        """Return f of checked X."""
        return forward(self.network_, X, type(self).__name__)


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=5)
