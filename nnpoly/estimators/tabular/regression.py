"""Regression: standardised targets, and predictions within the range of those to train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import column_or_1d

from ... import _checks, metrics
from ..._described import Described
from ...backends import host
from ...backends.ensembles import Averaged
from ...losses import MSE, Loss
from ..arrays import hosted, numbers
from . import files
from .base import BaseTabular

LARGEST = 1e140  # of targets, whose squares, and sums of them, float64 holds


class TargetScaling(Described):
    """The scale of targets: a network predicts (y - mean) / scale, within the range.

    Attributes
    ----------
    means, scales, lows, highs
        Of each target over the rows to train on; scales of 0 are 1.
    flat
        Whether predictions have shape (n,), and not (n, K).
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    flat: bool

    def __post_init__(self) -> None:
        where, count = "TargetScaling", len(self.means)
        for name in ("means", "scales", "lows", "highs"):
            check = _checks.positive if name == "scales" else _checks.number
            given = _checks.several(where, name, getattr(self, name), count)
            self._set(**{name: tuple(check(where, name, value) for value in given)})
        self._set(flat=_checks.flag(where, "flat", self.flat))

    @classmethod
    def fit(cls, y: host.HostArray, flat: bool) -> TargetScaling:
        """Of targets (n, K)."""
        scales = tuple(scale or 1.0 for scale in y.std(axis=0).tolist())
        means, lows, highs = (tuple(a.tolist()) for a in (y.mean(0), y.min(0), y.max(0)))
        return cls(means, scales, lows, highs, flat)

    def standardised(self, y: host.HostArray) -> host.HostArray:
        """Targets (n, K) as a network's."""
        z: host.HostArray = (y - host.asarray(self.means)) / host.asarray(self.scales)
        return z

    def in_unit(self, f: host.HostArray, clips: bool) -> host.HostArray:
        """A network's outputs (n, K) in the targets' unit."""
        y: host.HostArray = f.astype("float64") * self.scales + host.asarray(self.means)
        return y.clip(self.lows, self.highs) if clips else y

    def averaged(self, output: str, clips: bool) -> Averaged:
        """What `in_unit` does, for backends."""
        found = Averaged(output, self.scales, self.means)
        return found._replace(lows=self.lows, highs=self.highs) if clips else found


@dataclass(eq=False, repr=False)
class TabularRegressor(RegressorMixin, BaseTabular):  # type: ignore[misc]
    """The base of the regressors."""

    _metrics: ClassVar[Mapping[str, str]] = {
        "rmse": "rmse",
        **{name: name for name in metrics.OF_REALS},
    }
    _learnt = files.LearntOfRegressor
    _output = "identity"

    @property
    def _clips(self) -> bool:
        """Whether predictions are clipped to the range of the targets to train on."""
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Any:
        """The predictions: (n,), or (n, K) of several targets."""
        f = self._predicted("predict", X)
        return f[:, 0] if self.scaling_.flat else f

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 of the predictions for X."""
        where = f"{type(self).__name__}.score"
        y, weights = hosted(where, "y", y), hosted(where, "sample_weight", sample_weight)
        return float(r2_score(y, self.predict(X), sample_weight=weights))

    @property
    def _outputs(self) -> int:
        return len(self.scaling_.means)

    def _loss(self) -> Loss:
        return MSE()

    def _checked_y(self, where: str, y: Any, name: str) -> Any:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return numbers(where, name, y).astype("float64")

    def _learn_scale(self, where: str, y: Any) -> None:
        if abs(y).max() > LARGEST:
            raise ValueError(
                f"{where}: `y` must hold numbers that can be squared, got {abs(y).max():g}. Write "
                "them in another unit."
            )
        self.scaling_ = TargetScaling.fit(_rows_of(y), y.ndim == 1)

    def _encoded(self, where: str, y: Any, name: str) -> Any:
        return self.scaling_.standardised(_rows_of(y))

    def _measured_targets(self, where: str, y: Any, name: str) -> Any:
        return _rows_of(y)

    def _of_member(self, f: host.HostArray) -> host.HostArray:
        return self.scaling_.in_unit(f, self._clips)

    @property
    def averaged(self) -> Averaged:
        return self.scaling_.averaged(self._output, self._clips)

    def _strata(self, y: Any) -> Any:
        return None


def _rows_of(y: host.HostArray) -> host.HostArray:
    """Targets as rows: (n, K)."""
    return y[:, None] if y.ndim == 1 else y
