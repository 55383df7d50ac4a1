"""Classification: labels as class indices, and members' probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from ... import _checks, metrics
from ...backends import host
from ...backends.ensembles import Averaged
from ...losses import CrossEntropy, Loss
from .. import labels
from ..arrays import hosted
from ..parameters import Check
from . import files
from .base import BaseTabular, optional

_WITHOUT_SMOOTHING = ("log_loss", "roc_auc")  # which smoothed probabilities make worse


@dataclass(eq=False, repr=False, kw_only=True)
class TabularClassifier(ClassifierMixin, BaseTabular):  # type: ignore[misc]
    """The base of the classifiers."""

    label_smoothing: float | None = None
    class_weight: Any = None

    _metrics: ClassVar[Mapping[str, str]] = {
        "error": "accuracy",
        **{name: name for name in (*metrics.OF_LABELS, *metrics.OF_PROBABILITIES)},
    }
    _learnt = files.LearntOfClassifier
    _output = "softmax"
    _rules: ClassVar[dict[str, Check]] = {
        "label_smoothing": optional(_checks.below_one),
        "class_weight": labels.check_weight,
    }

    def predict(self, X: Any) -> Any:
        """The likeliest class of each row: (n,)."""
        indices = self._predicted("predict", X).argmax(axis=1)
        return self.classes_[indices]

    def predict_proba(self, X: Any) -> Any:
        """The classes' probabilities: (n, K), a column each in the order of `classes_`."""
        return self._predicted("predict_proba", X)

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of `predict_proba`."""
        return host.namespace().log(self.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy of the predictions for X."""
        where = f"{type(self).__name__}.score"
        y, weights = hosted(where, "y", y), hosted(where, "sample_weight", sample_weight)
        return float(accuracy_score(y, self.predict(X), sample_weight=weights))

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    @property
    def _default_smoothing(self) -> float:
        """The label smoothing of the kind of network."""
        raise NotImplementedError

    def _loss(self) -> Loss:
        if self.label_smoothing is not None:
            return CrossEntropy(self.label_smoothing)
        return CrossEntropy(0.0 if self._metric in _WITHOUT_SMOOTHING else self._default_smoothing)

    def _checked_y(self, where: str, y: Any, name: str) -> Any:
        y = labels.checked(where, y, name)
        if y.ndim == 2:
            raise ValueError(
                f"{where}: `{name}` must have shape (n,), a label a row, got {y.shape}. For "
                "several labels a row use sklearn.multioutput.MultiOutputClassifier."
            )
        return y

    def _learn_classes(self, where: str, y: Any) -> None:
        self.classes_ = host.unique(y)
        labels.require_two(where, "y", self.classes_)

    def _encoded(self, where: str, y: Any, name: str) -> Any:
        return labels.indices(where, name, y, self.classes_, "Leave out their rows.")

    def _measured_targets(self, where: str, y: Any, name: str) -> Any:
        return self._encoded(where, y, name)

    def _of_member(self, f: host.HostArray) -> host.HostArray:
        wide = f.astype("float64")
        exact: host.HostArray = wide / host.row_sums(wide)  # float32's is off a little
        return exact

    @property
    def averaged(self) -> Averaged:
        return Averaged(self._output)

    def _times_class_weights(self, where: str, y: Any, weights: Any) -> Any:
        return labels.times_weights(where, self.class_weight, self.classes_, y, weights)

    def _strata(self, y: Any) -> Any:
        return y
