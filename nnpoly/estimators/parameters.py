"""Parameters: each stands here once, and is read anew by every fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, TypeAlias

from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from .. import _checks, initializers, losses, optimizers
from ..activations import Sigmoid
from ..activations import get as activation_of
from ..backends import host, registry
from ..backends.base import PRECISIONS
from ..data.place import Place
from ..layers import Dense
from ..losses import Loss
from ..network import Network, regularised
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..training.calls import listed_callbacks

_ACTIVATIONS = {"logistic": "sigmoid"}  # scikit-learn's name, and the library's
_LEARNING_RATES = ("constant", "invscaling", "adaptive")
# What a network has once and for all.
FIXED = (
    "hidden_layer_sizes",
    "activation",
    "dropout",
    "layer_norm",
    "backend",
    "device",
    "dtype",
)
_BIASES = 0x62696173  # keeps their random numbers apart from those of W


class SampleScaling(Schedule):
    """eta / (samples + 1)^power, constant within an epoch: scikit-learn's "invscaling".

    Parameters
    ----------
    learning_rate, power
        eta, and the exponent.
    rows, steps
        The samples and the steps of an epoch.
    samples_before, steps_before
        The samples and the steps of all training before.
    """

    learning_rate: float
    power: float
    rows: int
    steps: int
    samples_before: int = 0
    steps_before: int = 0

    def __call__(self, t: int) -> float:
        epochs = max(t - 1 - self.steps_before, 0) // self.steps
        samples = self.samples_before + epochs * self.rows
        return self.learning_rate / math.pow(samples + 1, self.power)


# Checks of parameters


def _activation(where: str, name: str, value: Any) -> Any:
    """The activation of a name, scikit-learn's too."""
    return activation_of(_ACTIVATIONS.get(value, value) if isinstance(value, str) else value, where)


def _solver(where: str, name: str, value: Any) -> None:
    if not isinstance(value, Optimizer):
        _checks.choice(where, name, value, [*optimizers.BY_NAME, "lbfgs"])


def _sizes(where: str, name: str, value: Any) -> list[int]:
    """The widths of the hidden layers, of one number or of several."""
    single = isinstance(value, str | bytes) or not getattr(value, "ndim", hasattr(value, "__len__"))
    return [_checks.integer(where, name, m) for m in ([value] if single else value)]


def _batch_size(where: str, name: str, value: Any) -> int | None:
    """The rows of a batch; None where they are to be found."""
    if isinstance(value, str) and value == "auto":
        return None
    return _checks.integer(where, name, value)


def _learning_rate(where: str, name: str, value: Any) -> None:
    if not isinstance(value, Schedule):
        _checks.choice(where, name, value, _LEARNING_RATES)


def _seed(where: str, name: str, value: Any) -> None:
    if (
        isinstance(value, Integral) and 0 <= int(value) < 2**32
    ):  # of which no generator need be made
        return
    try:
        check_random_state(value)
    except ValueError as error:
        raise ValueError(
            f"{where}: `{name}` must be None, an integer in [0, 2**32 - 1] or a "
            f"numpy.random.RandomState, got {value!r}."
        ) from error


def _verbosity(where: str, name: str, value: Any) -> None:
    """True, False, or one of scikit-learn's degrees, all of which are True here."""
    try:
        _checks.flag(where, name, value)
    except ValueError:
        _checks.integer(where, name, value, 0)


def _precision(where: str, name: str, value: Any) -> None:
    """None, or what some backend has; the network's own is asked when it is known."""
    if not (value is None or (isinstance(value, str) and value in PRECISIONS)):
        known = " or ".join(map(repr, PRECISIONS))
        raise ValueError(f"{where}: `{name}` must be None, {known}, got {value!r}.")


def _patience(where: str, name: str, value: Any) -> None:
    if not (isinstance(value, Real) and value == math.inf):  # which is scikit-learn's "never"
        _checks.integer(where, name, value)


def _share(where: str, name: str, value: Any) -> None:
    try:
        _checks.below_one(where, name, value)
    except ValueError as error:
        raise ValueError(f"{error} It is a share of the rows: 0.1 sets a tenth aside.") from error


def _callbacks(where: str, name: str, value: Any) -> None:
    listed_callbacks(where, value)


Check: TypeAlias = Callable[[str, str, Any], Any]  # of the entry, the parameter's name, its value
# Of all parameters but those that the network or the data decide. All are looked at, whether the
# solver uses them or not, as scikit-learn does.
CHECKS: dict[str, Check] = {
    "hidden_layer_sizes": _sizes,
    "activation": _activation,
    "solver": _solver,
    "alpha": _checks.not_negative,
    "batch_size": _batch_size,
    "learning_rate": _learning_rate,
    "learning_rate_init": _checks.positive,
    "power_t": _checks.not_negative,
    "max_iter": _checks.integer,
    "shuffle": _checks.flag,
    "random_state": _seed,
    "tol": _checks.not_negative,
    "verbose": _verbosity,
    "warm_start": _checks.flag,
    "momentum": partial(_checks.number, low=0.0, high=1.0),
    "nesterovs_momentum": _checks.flag,
    "early_stopping": _checks.flag,
    "validation_fraction": _share,
    "beta_1": _checks.below_one,
    "beta_2": _checks.below_one,
    "epsilon": _checks.positive,
    "n_iter_no_change": _patience,
    "max_fun": _checks.integer,
    "dropout": _checks.below_one,
    "layer_norm": _checks.flag,
    "callbacks": _callbacks,
    "precision": _precision,
}


@dataclass(eq=False, repr=False)
class Parameters(BaseEstimator):  # type: ignore[misc]
    """The parameters that both estimators have, and the network and optimiser they describe."""

    loss: Any = None
    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    solver: Any = "adam"
    alpha: float = 0.0001
    batch_size: Any = "auto"
    learning_rate: Any = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    dropout: float = 0.0
    layer_norm: bool = False
    init: Any = None
    callbacks: Any = ()
    backend: Any = None
    device: Any = None
    dtype: Any = None
    precision: Any = None

    _rules: ClassVar[dict[str, Check]] = CHECKS

    @property
    def _at_once(self) -> bool:
        """Whether the solver takes all data at once, and no steps."""
        return isinstance(self.solver, str) and self.solver == "lbfgs"

    def _check_parameters(self, where: str, part: bool) -> None:
        """Refuse parameters that are out of range or do not go together."""
        for name, check in self._rules.items():
            check(where, name, getattr(self, name))
        if part and self._at_once:
            raise AttributeError(f"{where}: `solver` 'lbfgs' takes all data at once. Use 'adam'.")
        if part and self.early_stopping:
            raise ValueError(f"{where}: `early_stopping` must be False: one epoch is all there is.")
        if self._at_once:
            self._check_at_once(where)

    def _check_at_once(self, where: str) -> None:
        """Refuse what needs steps or epochs."""
        if self.dropout:
            raise ValueError(f"{where}: `dropout` must be 0 with 'lbfgs', got {self.dropout!r}.")
        if self.callbacks:
            raise ValueError(
                f"{where}: `callbacks` are called after epochs, which 'lbfgs' has not, got "
                f"{self.callbacks!r}. Set callbacks=(), or solver='adam'."
            )

    @property
    def _rate_rule(self) -> Any:
        """The `learning_rate` that counts: scikit-learn's Adam knows none but the constant one."""
        named = isinstance(self.learning_rate, str) and self.learning_rate in _LEARNING_RATES
        return "constant" if named and self.solver == "adam" else self.learning_rate

    # The network

    def _hidden(self, where: str) -> list[int]:
        """The widths of the hidden layers."""
        return _sizes(where, "hidden_layer_sizes", self.hidden_layer_sizes)

    def _architecture(self, where: str) -> dict[str, Any]:
        """The parameters that a network has once and for all."""
        fixed = {name: getattr(self, name) for name in FIXED}
        return {**fixed, "hidden_layer_sizes": self._hidden(where)}

    def _network(
        self, where: str, widths: Sequence[int], output: str, seed: int, place: Place
    ) -> Network:
        """A new network."""
        sigma = _activation(where, "activation", self.activation)
        like_scikit_learn = self.init is None
        net = regularised(
            widths,
            sigma,
            output,
            initializers.get("xavier_uniform" if like_scikit_learn else self.init, where),
            self.dropout,
            self.layer_norm,
            dtype=place.dtype,
            seed=seed,
            backend=place.backend,
            device=place.device,
        )
        if like_scikit_learn:
            _draw_like_scikit_learn(net, shrink=isinstance(sigma, Sigmoid))
        return net

    # The optimiser

    def _rows_of_a_batch(self, where: str, n: int) -> int:
        """The number of rows of a batch, where there are n rows."""
        return min(_batch_size(where, "batch_size", self.batch_size) or 200, n)

    def _optimizer(
        self, where: str, weight_decay: float, n: int, size: int, samples: int, steps: int
    ) -> Optimizer:
        """The optimiser of a fit.

        Parameters
        ----------
        weight_decay
            alpha over the weight of a batch.
        n, size
            The rows of an epoch, and of a batch.
        samples, steps
            The samples and the steps of all training before.
        """
        if isinstance(self.solver, Optimizer):
            return self.solver
        rate, eta = self._rate_rule, float(self.learning_rate_init)
        if rate == "invscaling":
            rate = SampleScaling(eta, float(self.power_t), n, -(-n // size), samples, steps)
        elif not isinstance(rate, Schedule):
            rate = eta
        kind = optimizers.BY_NAME[self.solver]
        options: dict[str, Any] = {} if kind.decoupled else {"weight_decay": weight_decay}
        if kind is optimizers.SGD:
            options["momentum"] = _checks.below_one(where, "momentum", self.momentum)
            options["nesterov"] = bool(self.nesterovs_momentum and self.momentum)
        if hasattr(kind, "beta1") and hasattr(kind, "eps"):  # Adam and its relatives
            options["beta1"], options["beta2"] = self.beta_1, self.beta_2
            options["eps"], options["eps_inside_sqrt"] = self.epsilon, False
        made: Optimizer = kind(rate, **options)
        return made


def named_loss(where: str, name: Any, names: Mapping[str, str]) -> Any:
    """The library's name of a loss; errors list `names`, but not those of the library alone.

    names: the library's by those of the documentation. None and losses stay as they are.
    """
    if name is None or isinstance(name, Loss) or (isinstance(name, str) and name in losses.BY_NAME):
        return name
    return names[_checks.choice(where, "loss", name, names)]


def _draw_like_scikit_learn(net: Network, shrink: bool) -> None:
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
