"""The regressor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import column_or_1d

from .. import losses
from ..losses import Loss
from ..network import Network
from .arrays import hosted, numbers
from .base import BaseMLP
from .parameters import named_loss

_LOSSES = {
    "squared_error": "mse",
    "absolute_error": "absolute",
    **{name: name for name in ("huber", "quantile", "poisson")},
}


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron that predicts numbers, one or several for each row.

    Parameters
    ----------
    loss
        "squared_error", "absolute_error", "huber", "quantile" (the median), "poisson", or one of
        `nn.losses`, such as `nn.losses.Quantile(0.9)`.
    others
        As of `MLPClassifier`, without those about classes.

    Attributes
    ----------
    those of MLPClassifier
        Without `classes_`.

    Examples
    --------
    >>> from nnpoly.estimators import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = X / X.std(axis=0)
    >>> model = MLPRegressor("poisson", early_stopping=True, max_iter=500, random_state=0).fit(X, y)
    >>> bool((model.predict(X) > 0).all())
    True
    """

    loss: Any = "squared_error"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @classmethod
    def from_network(cls, net: Network, **parameters: Any) -> Self:
        """A fitted regressor of a network's weights, which it keeps and may train on.

        net: with an identity or exp output. parameters: of the regressor, for training on.
        """
        self = cls(**parameters)
        self._require_network("MLPRegressor.from_network", net)
        self._adopt(net)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on the given data, going on from where the network is."""
        return self._fit("partial_fit", (X, y, sample_weight), part=True)

    def predict(self, X: Any) -> Any:
        """The predictions: (n,), or (n, K) of several outputs."""
        f = self._predicted("predict", X)
        return f[:, 0] if f.shape[1] == 1 else f

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 of the predictions for X."""
        where = "MLPRegressor.score"
        f, y = hosted(where, "predictions", self.predict(X)), hosted(where, "y", y)
        return float(r2_score(y, f, sample_weight=hosted(where, "sample_weight", sample_weight)))

    def _require_network(self, where: str, net: Network) -> None:
        if net.output not in ("identity", "exp"):
            raise ValueError(f"{where}: `net` must have an identity or exp output, got {net}.")

    def _checked_y(self, where: str, y: Any, name: str) -> Any:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return numbers(where, name, y)

    def _encode(self, where: str, y: Any, name: str, loss: Loss) -> Any:
        return y[:, None] if y.ndim == 1 else y

    def _loss_for(self, where: str, output: str | None) -> Loss:
        loss = named_loss(where, self.loss, _LOSSES)
        loss = losses.BY_NAME[loss] if isinstance(loss, str) else loss
        output = "exp" if getattr(loss, "output", "") == "exp" else "identity"
        return losses.get(loss, output, where)

    def _score_outputs(self, f: Any, targets: Any, weights: Any) -> float:
        if not math.isfinite(float(f.sum())):
            return math.nan
        return float(r2_score(targets, f, sample_weight=weights))
