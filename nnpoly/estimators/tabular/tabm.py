"""TabM: many networks in one, which share most of their weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar

from ... import _checks
from ...backends import host
from ...data.place import Place
from ...layers import Dropout, Layer, MemberDense, MemberScale, PiecewiseLinear, SharedDense
from ...losses import MSE, Loss
from ...network import Network
from ...optimizers import AdamW, Optimizer
from ..monitor import Monitor
from ..parameters import CHECKS, Check
from .base import BaseTabular, optional
from .classification import TabularClassifier
from .columns import Column
from .encoding import Encoding
from .quantiles import QuantileEncoding
from .regression import TabularRegressor

WIDTH, LAYERS, LAYERS_EMBEDDED = 512, 3, 2  # of the hidden layers, without and with embeddings
EPS = 1e-8
ANY_GAIN = math.ulp(0.0)
UNDECAYED = (1.0, 0.0)  # factors of the learning rate and of the decay


def layers(
    encoding: QuantileEncoding,
    hidden: list[int],
    outputs: int,
    members: int,
    *,
    mini: bool = False,
    activation: Any = "relu",
    dropout: float = 0.1,
    features: int = 16,
) -> list[Layer]:
    """The layers of a TabM of hidden layers of these widths.

    Parameters
    ----------
    mini
        Whether members share all weights but the first factors and the last layer.
    features
        Of each number that is embedded: all are, where the encoding has bins.
    """
    biases, width, chain = {"b": UNDECAYED}, encoding.width, list[Layer]()
    each, d = 1, len(encoding.numbers)
    if encoding.bins:
        lines = dict.fromkeys(("w", "c"), UNDECAYED)
        chain.append(PiecewiseLinear(width, encoding.bins, features, lines))
        width, each = chain[0].width(width), features
    indicators = (1,) * len(encoding.indicated)
    groups = (each,) * d + indicators + tuple(c.width for c in encoding.categories)
    chain.append(MemberScale(width, members, "normal" if encoding.bins else "signs", groups))
    for l, m in enumerate(hidden):
        scaled = False if mini else ("after" if l == 0 else True)
        chain.append(SharedDense(width, m, members, activation, scaled, rates=biases))
        if dropout:
            chain.append(Dropout(dropout))
        width = m
    chain.append(MemberDense(width, outputs, members, rates=biases))
    return chain


def optimizer(
    learning_rate: float, weight_decay: float, clip_norm: float | None, outputs: int, loss: Loss
) -> Optimizer:
    """The optimiser.

    The reference's squared error is the mean over outputs of (f - y)^2, 2 / outputs times `MSE`: so
    is its gradient, and eps and the norm to clip at, beside that gradient, are to Adam what
    outputs / 2 times as much is here.
    """
    unit = outputs / 2 if isinstance(loss, MSE) else 1.0
    return AdamW(
        learning_rate,
        eps=EPS * unit,
        eps_inside_sqrt=False,
        weight_decay=weight_decay,
        clip_norm=None if clip_norm is None else clip_norm * unit,
    )


@dataclass(eq=False, repr=False)
class TabM(BaseTabular):
    """What both estimators have in common."""

    arch: Any = "tabm"
    _: KW_ONLY
    num_embeddings: Any = None
    n_members: int = 32
    hidden_layer_sizes: Any = None
    activation: Any = "relu"
    learning_rate: float = 0.002
    dropout: float = 0.1
    weight_decay: float = 0.0003
    clip_norm: float | None = 1.0
    n_epochs: int = 1000
    patience: float = 16
    n_bins: int = 48
    d_embedding: int = 16

    _rules: ClassVar[dict[str, Check]] = {
        "arch": partial(_checks.choice, options=("tabm", "tabm-mini")),
        "num_embeddings": optional(partial(_checks.choice, options=("piecewise",))),
        "n_members": _checks.integer,
        "hidden_layer_sizes": optional(CHECKS["hidden_layer_sizes"]),
        "activation": CHECKS["activation"],
        "learning_rate": _checks.positive,
        "dropout": _checks.below_one,
        "weight_decay": _checks.not_negative,
        "clip_norm": optional(_checks.positive),
        "patience": CHECKS["n_iter_no_change"],
        "n_bins": _checks.integer,
        "d_embedding": _checks.integer,
    }
    _drop_last = False

    def _learn_encoding(
        self,
        where: str,
        columns: list[Column],
        rows: host.HostArray,
        forced: set[int],
        warn: Callable[[str], None],
    ) -> Encoding:
        bins = 0 if self.num_embeddings is None else self.n_bins
        kind = type(self).__name__.replace("TabM", "RealMLP")
        remedy = f"Use {kind}, which embeds them."
        return QuantileEncoding.fit(where, columns, rows, forced, bins, remedy, warn)

    def _network(
        self, steps: int, seed: int, place: Place, X: Any, rows: host.HostArray
    ) -> Network:
        encoding, sizes = self.encoding_, self.hidden_layer_sizes
        assert isinstance(encoding, QuantileEncoding)
        if sizes is None:
            sizes = (WIDTH,) * (LAYERS_EMBEDDED if encoding.bins else LAYERS)
        chain = layers(
            encoding,
            CHECKS["hidden_layer_sizes"](type(self).__name__, "hidden_layer_sizes", sizes),
            self._outputs,
            self.n_members,
            mini=self.arch == "tabm-mini",
            activation=self.activation,
            dropout=self.dropout,
            features=self.d_embedding,
        )
        options: dict[str, Any] = {"backend": place.backend, "device": place.device}
        return Network(chain, self._output, dtype=place.dtype, seed=seed, **options)

    def _optimizer(self, steps: int, loss: Loss) -> Optimizer:
        rates = self.learning_rate, self.weight_decay, self.clip_norm
        return optimizer(*rates, self._outputs, loss)

    def _monitor_of(self, score: Callable[[], float]) -> Monitor:
        return Monitor(ANY_GAIN, self.patience, score, by_score=True)


@dataclass(eq=False, repr=False, kw_only=True)
class TabMClassifier(TabM, TabularClassifier):
    """An ensemble of networks in one that classifies the rows of tables.

    It takes frames as they are, as `RealMLPClassifier` does: numbers, texts, booleans, categories,
    and missing cells.

    Numbers become normally distributed by their ranks, categories have an input each. Member i of
    each layer is s_i * (W (r_i * x)) + b_i: all share W, by far the most of the weights, and differ
    by the random signs that r begins with in the first layer. The members learn side by side, each
    by a loss of its own, and their probabilities are averaged. Training ends when the score on rows
    held out has not risen for `patience` epochs, and the best epoch is kept.

    Parameters
    ----------
    arch
        "tabm", or "tabm-mini": members share s, b and later r too, so that they differ by the first
        r and the last layer alone.
    num_embeddings
        None, or "piecewise": a number becomes `d_embedding` numbers by lines that bend between
        `n_bins` bins of equally many rows (`nn.PiecewiseLinear`): often better, and slower.
    n_members
        The number of members, k.
    hidden_layer_sizes
        The widths of the hidden layers. None: three of 512, or two with embeddings.
    activation, dropout
        Of the hidden layers.
    learning_rate, weight_decay, clip_norm
        Of AdamW; biases do not decay. The gradient is clipped where its norm is larger than
        `clip_norm`; None: never.
    label_smoothing
        None: none.
    metric
        What the best epoch is found by: "error" (also where None), "log_loss", "roc_auc", or
        another of `nn.metrics`.
    n_epochs, batch_size
        Of the training: epochs at most. Without rows held out all are trained.
    patience
        Epochs in a row without a better score, after one more of which the training ends.
    n_bins, d_embedding
        Of the embeddings.
    n_ens
        Such ensembles of different seeds, whose probabilities are averaged; they are trained
        together.
    n_cv
        With 2 or more: so many folds, and `n_ens` ensembles for each, which is held out to find
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
        The networks, of k members each.
    encoding_
        What each column becomes.
    validation_scores_, loss_curves_, best_epochs_
        Of each network: the metric and the loss of every epoch, and the epoch that was kept, the
        first being 1.

    Notes
    -----
    It follows the paper and pytabkit's TabM_D, but for these. All members see the same batches, as
    in the paper; there each has batches of its own (`share_training_batches`). Decay and clipping
    are the paper's; there they are off. Missing numbers are taken: as the median, with an indicator
    beside it. The noise by which equal numbers' ranks are found goes by the column's own scale. The
    share held out has each class in its proportion.

    References
    ----------
    Gorishniy, Kotelnikov, Babenko 2024, "TabM: advancing tabular deep learning with
    parameter-efficient ensembling", arXiv:2410.24210.

    Examples
    --------
    >>> import polars
    >>> from nnpoly.estimators import TabMClassifier
    >>> size = [1.0, 2.5, None, 3.0, 1.5, 2.0] * 20
    >>> kind = ["a", "b", "b", "b", "a", "a"] * 20
    >>> X = polars.DataFrame({"size": size, "kind": kind})
    >>> y = ["small", "large", "large", "large", "small", "large"] * 20
    >>> small = {"n_members": 4, "hidden_layer_sizes": (16,), "batch_size": 32}
    >>> model = TabMClassifier(**small, learning_rate=0.01, random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    _default_smoothing = 0.0


@dataclass(eq=False, repr=False, kw_only=True)
class TabMRegressor(TabM, TabularRegressor):
    """An ensemble of networks in one that predicts numbers, one or several for each row.

    As `TabMClassifier`; targets are standardised.

    Parameters
    ----------
    metric
        What the best epoch is found by: "rmse" (also where None), "mae", or another of
        `nn.metrics`.
    others
        As of `TabMClassifier`, without those about classes.

    Attributes
    ----------
    those of TabMClassifier
        Without `classes_`.
    scaling_
        The targets' scale and range.

    Examples
    --------
    >>> from nnpoly.estimators import TabMRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> small = {"n_members": 8, "hidden_layer_sizes": (32, 32), "batch_size": 32}
    >>> model = TabMRegressor(**small, random_state=0).fit(X[:300], y[:300])
    >>> model.score(X[300:], y[300:]) > 0.3
    True
    """

    _clips = False
