"""RealMLP: a multi-layer perceptron whose defaults were tuned on many tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

from ... import _checks, initializers
from ...backends import host
from ...data.place import Place
from ...layers import Blend, Dense, Dropout, Embedding, Layer, Periodic, Scale
from ...losses import MSE, Loss
from ...network import Network
from ...optimizers import AdamW, Optimizer
from ...schedules import CosineLog, FlatCosine
from ..monitor import Monitor
from ..parameters import CHECKS, Check
from .base import BaseTabular, optional
from .classification import TabularClassifier
from .columns import Column
from .encoding import MOST_ONE_HOT, ColumnEncoding, Encoding
from .regression import TabularRegressor


class Recipe(NamedTuple):
    """What a preset says; see the estimators' parameters."""

    activation: Any
    learning_rate: float
    dropout: float
    weight_decay: float
    label_smoothing: float
    tuned: bool  # with embeddings, parametric activations, and a start that the data decide


OF_CLASSES = {
    "TD": Recipe("selu", 0.04, 0.15, 0.02, 0.1, True),
    "TD-S": Recipe("selu", 0.04, 0.0, 0.0, 0.1, False),
}
OF_NUMBERS = {
    "TD": Recipe("mish", 0.2, 0.15, 0.02, 0.0, True),
    "TD-S": Recipe("mish", 0.07, 0.0, 0.0, 0.0, False),
}
SLOW, FAST = 0.1, 6.0  # factors of learning rates
EPS = 1e-8
BIASES = {"b": (SLOW, 0.0)}
SCALES = {"s": (FAST, 1.0)}
WAVES = dict.fromkeys(("w", "b", "W", "c"), (SLOW, 1.0))
BLENDS = {"a": (SLOW, 1.0)}


def layers(
    recipe: Recipe,
    encoding: Encoding,
    hidden: list[int],
    outputs: int,
    steps: int,
    *,
    twice: bool = False,
) -> list[Layer]:
    """The layers of a RealMLP of hidden layers of these widths, trained for so many steps.

    twice: whether a parameter's decay is times the factor of its rate twice.
    """
    width, chain = encoding.width, []

    def rates(factor: float, *names: str) -> dict[str, tuple[float, float]]:
        return dict.fromkeys(names, (factor, factor if twice else 1.0))

    def add(layer: Layer) -> None:
        nonlocal width
        chain.append(layer)
        width = layer.width(width)

    def dense(outputs: int, activation: Any, init: Any, bias: Any) -> None:
        add(Dense(width, outputs, activation, init, bias, width**-0.5, BIASES))

    if recipe.tuned and encoding.numbers:
        add(Periodic(width, len(encoding.numbers), rates=rates(SLOW, "w", "b", "W", "c")))
    if encoding.sizes:
        add(Embedding(width, encoding.sizes))
    add(Scale(width, rates=rates(FAST, "s")))
    if not recipe.tuned:
        for m in hidden:
            dense(m, recipe.activation, initializers.Normal(), initializers.Normal())
        dense(outputs, "identity", initializers.zeros, initializers.zeros)
        return chain
    of_data = initializers.UnitVariance(), initializers.HullBias(5)
    for m in hidden:
        dense(m, "identity", *of_data)
        add(Blend(m, recipe.activation, rates=rates(SLOW, "a")))
        if recipe.dropout:
            add(Dropout(FlatCosine(recipe.dropout, steps)))
    dense(outputs, "identity", *of_data)
    return chain


def optimizer(recipe: Recipe, steps: int, outputs: int, loss: Loss) -> Optimizer:
    """The optimiser of so many steps.

    The reference's squared error is the mean over outputs of (f - y)^2, 2 / outputs times `MSE`: so
    is its gradient, and eps, beside the root of that gradient's square, is to Adam what
    eps outputs / 2 is here.
    """
    decay = FlatCosine(recipe.weight_decay, steps) if recipe.weight_decay else 0.0
    return AdamW(
        CosineLog(recipe.learning_rate, steps),
        beta2=0.95,
        eps=EPS * outputs / 2 if isinstance(loss, MSE) else EPS,
        eps_inside_sqrt=False,
        weight_decay=decay,
    )


@dataclass(eq=False, repr=False)
class RealMLP(BaseTabular):
    """What both estimators have in common."""

    preset: Any = "TD"
    _: KW_ONLY
    hidden_layer_sizes: Any = (256, 256, 256)
    activation: Any = None
    learning_rate: float | None = None
    dropout: float | None = None
    weight_decay: float | None = None
    twice_decayed: bool = False

    _rules: ClassVar[dict[str, Check]] = {
        "preset": partial(_checks.choice, options=("TD", "TD-S")),
        "hidden_layer_sizes": CHECKS["hidden_layer_sizes"],
        "activation": optional(CHECKS["activation"]),
        "learning_rate": optional(_checks.positive),
        "dropout": optional(_checks.below_one),
        "weight_decay": optional(_checks.not_negative),
        "twice_decayed": _checks.flag,
    }
    _presets: ClassVar[Mapping[str, Recipe]]
    _drop_last = True

    @property
    def _recipe(self) -> Recipe:
        """The recipe of the preset, with the parameters that are given in place of its own."""
        names = ("activation", "learning_rate", "dropout", "weight_decay")
        given = {name: getattr(self, name) for name in names}
        chosen = {name: value for name, value in given.items() if value is not None}
        return self._presets[self.preset]._replace(**chosen)

    def _learn_encoding(
        self,
        where: str,
        columns: list[Column],
        rows: host.HostArray,
        forced: set[int],
        warn: Callable[[str], None],
    ) -> Encoding:
        most = MOST_ONE_HOT if self._recipe.tuned else math.inf
        remedy = "Use preset='TD', which embeds them."
        return ColumnEncoding.fit(where, columns, rows, forced, most, remedy, warn)

    def _network(
        self, steps: int, seed: int, place: Place, X: Any, rows: host.HostArray
    ) -> Network:
        where, recipe = type(self).__name__, self._recipe
        hidden = CHECKS["hidden_layer_sizes"](where, "hidden_layer_sizes", self.hidden_layer_sizes)
        twice, outputs = self.twice_decayed, self._outputs
        chain = layers(recipe, self.encoding_, hidden, outputs, steps, twice=twice)
        options: dict[str, Any] = {"backend": place.backend, "device": place.device}
        net = Network(chain, self._output, dtype=place.dtype, seed=seed, **options)
        if recipe.tuned:
            indices = place.integers("Network.initialise", "rows", rows)
            net.initialise(place.backend.ops.gather(X, indices))
        return net

    def _optimizer(self, steps: int, loss: Loss) -> Optimizer:
        return optimizer(self._recipe, steps, self._outputs, loss)

    def _monitor_of(self, score: Callable[[], float]) -> Monitor:
        return Monitor(0.0, math.inf, score, by_score=True, last=True)


@dataclass(eq=False, repr=False, kw_only=True)
class RealMLPClassifier(RealMLP, TabularClassifier):
    """A multi-layer perceptron for tables that classifies, with defaults that need no tuning.

    It takes frames as they are: numbers, texts, booleans, categories, and missing cells. There is
    nothing to scale or to encode before.

    Numbers are centred by the median, divided by the distance of the quartiles, clipped smoothly,
    and embedded by waves (`nn.Periodic`); categories of up to 8 values have an input each, others
    an `nn.Embedding`. Then a learnt scale for each feature, three hidden layers of parametric
    activations (`nn.Blend`) and dropout, whose weights and biases start from the data, and AdamW
    with rates in cycles, for all epochs. Of these the best on rows held out is kept, and of equally
    good ones the last.

    Parameters
    ----------
    preset
        "TD", or "TD-S": without embeddings, parametric activations, dropout and decay, which is
        trained faster.
    hidden_layer_sizes
        The widths of the hidden layers.
    activation, learning_rate, dropout, weight_decay, label_smoothing
        None: those of the preset. The learning rate is the highest of the cycles; dropout and decay
        fall to 0 in the second half. "TD-S" has no dropout.
    twice_decayed
        Whether a parameter's weight decay is multiplied by the factor of its learning rate twice,
        as in pytabkit, so that the learnt scale decays 36 times as fast as weights do; False: once,
        as in the paper, 6 times.
    metric
        What the best epoch is found by: "error" (also where None), "log_loss", "roc_auc", or
        another of `nn.metrics`. With "log_loss" and "roc_auc" the preset smooths no labels.
    n_epochs, batch_size
        Of the training. An epoch leaves out the last batch, unless it is full.
    n_ens
        Networks of different seeds, whose probabilities are averaged; they are trained together.
    n_cv
        With 2 or more: so many folds, and `n_ens` networks for each, which is held out to find
        their best epochs; all are trained together and averaged. Columns are then encoded by all
        rows.
    validation_fraction
        The share of the rows that is held out, where n_cv is 1. 0: none is, and the last epoch is
        kept.
    class_weight
        None, "balanced", or a weight by class; times `sample_weight`, also in the metric.
    categorical_features
        Names or numbers of columns, or a flag for each, that are categories although they hold
        numbers. Columns of texts, booleans and categories are so anyway.
    time_limit
        Seconds after which the training ends; None: never. It looks after every epoch.
    random_state
        Decides the rows held out, the start, the shuffles and dropout.
    verbose
        Show a line with the rate, the remaining time and the loss.
    backend, device, dtype
        Where and in which floating type to train; None: the default backend and device. Predictions
        are NumPy's.
    precision
        "bf16": the factors of products are rounded to bfloat16, as of `Trainer`.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, n_outputs_
        As in scikit-learn.
    networks_
        The networks.
    encoding_
        What each column becomes.
    validation_scores_, loss_curves_, best_epochs_
        Of each network: the metric and the loss of every epoch, and the epoch that was kept, the
        first being 1.

    Notes
    -----
    It follows pytabkit's RealMLP-TD, but for these. Missing numbers are taken: as the median, with
    an indicator beside it. Weight decay is the paper's (`twice_decayed`). Members of `n_ens` keep a
    best epoch each, and one in common there. The share held out has each class in its proportion.
    With `n_cv` columns and targets are scaled by all rows.

    References
    ----------
    Holzmüller, Grinsztajn, Steinwart 2024, "Better by default: strong pre-tuned MLPs and boosted
    trees on tabular data", arXiv:2407.04491.

    Examples
    --------
    >>> import polars
    >>> from nnpoly.estimators import RealMLPClassifier
    >>> size = [1.0, 2.5, None, 3.0, 1.5, 2.0] * 20
    >>> kind = ["a", "b", "b", "b", "a", "a"] * 20
    >>> X = polars.DataFrame({"size": size, "kind": kind})
    >>> y = ["small", "large", "large", "large", "small", "large"] * 20
    >>> model = RealMLPClassifier(n_epochs=30, random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    _presets = OF_CLASSES

    @property
    def _default_smoothing(self) -> float:
        return self._recipe.label_smoothing


@dataclass(eq=False, repr=False, kw_only=True)
class RealMLPRegressor(RealMLP, TabularRegressor):
    """A multi-layer perceptron for tables that predicts numbers, one or several for each row.

    As `RealMLPClassifier`; targets are standardised, and with "TD" predictions are clipped to the
    range of the targets in training.

    Parameters
    ----------
    metric
        What the best epoch is found by: "rmse" (also where None), "mae", or another of
        `nn.metrics`.
    others
        As of `RealMLPClassifier`, without those about classes.

    Attributes
    ----------
    those of RealMLPClassifier
        Without `classes_`.
    scaling_
        The targets' scale and range.

    Examples
    --------
    >>> from nnpoly.estimators import RealMLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = RealMLPRegressor("TD-S", n_epochs=20, random_state=0).fit(X[:300], y[:300])
    >>> model.score(X[300:], y[300:]) > 0.3
    True
    """

    _presets = OF_NUMBERS

    @property
    def _clips(self) -> bool:
        return bool(self.preset == "TD")
