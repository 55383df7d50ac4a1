"""The classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from .. import _checks, losses
from ..backends import host, registry
from ..losses import Loss
from ..network import Network
from . import files, labels
from .arrays import hosted, is_missing
from .base import BaseMLP
from .parameters import CHECKS, Check, named_loss

_ANEW = "Set warm_start=False, or make a new estimator."


@dataclass(eq=False, repr=False, kw_only=True)
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron that classifies: two classes, several, or several labels at once.

    Parameters
    ----------
    hidden_layer_sizes, activation, alpha, batch_size, learning_rate_init, power_t, max_iter
        As in scikit-learn; `activation` is any of `nn.activations` too.
    solver
        "adam", "sgd", "lbfgs", another optimiser's name, or an optimiser such as
        `nn.AdamW(nn.schedules.Cosine(1e-3, 5000))`, whose own settings then count.
    learning_rate
        "constant", "invscaling" (eta / (n + 1)^power_t in an epoch, n the samples seen before),
        "adaptive" (divided by 5 instead of stopping), or one of `nn.schedules`. As in scikit-learn,
        "adam" reads the schedules alone.
    shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping
        As in scikit-learn.
    validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    loss
        "log_loss", "focal", or one of `nn.losses`.
    label_smoothing
        The share of every label that is spread over all classes, with "log_loss".
    class_weight
        None, "balanced", or a weight by class; times `sample_weight`. Scores are without it.
    dropout
        The rate after every hidden layer.
    layer_norm
        Normalise before every hidden activation.
    init
        One of `nn.initializers` for the weights, with biases of 0; None: scikit-learn's way, which
        draws weights and biases from U[-a, a], a = sqrt(6 / (m_in + m)), for sigmoids with 2 for 6.
    callbacks
        Of `Trainer.fit`; not with "lbfgs".
    backend, device
        Where to train; None: where X is, else the default.
    dtype
        None: that of X, "float64" unless it is "float32", which it is with a `precision`.
    precision
        "bf16": the factors of products are rounded to bfloat16, as of `Trainer`, where the network
        is trained and where it predicts. None: they are not.

    Attributes
    ----------
    classes_, coefs_, intercepts_, loss_, best_loss_, loss_curve_, n_iter_, t_, n_layers_
        As in scikit-learn.
    n_outputs_, out_activation_, validation_scores_, best_validation_score_
        As in scikit-learn.
    network_, trainer_
        The `Network`, and the `Trainer` that trained it.

    Examples
    --------
    >>> from nnpoly.estimators import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((32,), learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    loss: Any = "log_loss"
    label_smoothing: float = 0.0
    class_weight: Any = None

    _learnt = files.LearntOfClassifier
    _rules: ClassVar[dict[str, Check]] = {
        **CHECKS,
        "label_smoothing": _checks.below_one,
        "class_weight": labels.check_weight,
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @classmethod
    def from_network(cls, net: Network, classes: Any = None, **parameters: Any) -> Self:
        """A fitted classifier of a network's weights, which it keeps and may train on.

        Parameters
        ----------
        net
            With a softmax output, or a sigmoid (of K > 1 outputs: K labels, each yes or no).
        classes
            The labels in order; None for 0, 1, ....
        parameters
            Of the classifier, for training on.
        """
        self = cls(**parameters)
        self._multilabel = net.output == "sigmoid" and net.outputs > 1
        count = 2 if net.output == "sigmoid" and not self._multilabel else net.outputs
        self.classes_ = host.arange(count) if classes is None else host.asarray(classes)
        self._require_network("MLPClassifier.from_network", net)
        self._adopt(net)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on the given data, going on from where the network is.

        classes: all labels there will be, at the first call; None: those in y.
        """
        return self._fit("partial_fit", (X, y, sample_weight), classes=classes, part=True)

    def predict(self, X: Any) -> Any:
        """The likeliest class of each row: (n,), or the labels' 0 and 1: (n, K)."""
        f = self._predicted("predict", X)
        backend = registry.of(f)
        xp, index = backend.xp, backend.dtype(backend.index_dtype)
        if self._multilabel:
            return xp.astype(f > 0.5, index)
        indices = xp.astype(f[:, 0] > 0.5, index) if self._single else xp.argmax(f, axis=1)
        classes = self.classes_
        if backend.name == "numpy" or classes.dtype.kind not in "iufb":
            return classes[registry.to_host(indices)]
        return xp.take(backend.from_host(classes, f.device), indices, axis=0)

    def predict_proba(self, X: Any) -> Any:
        """The classes' probabilities: (n, K), a column each in the order of `classes_`."""
        f = self._predicted("predict_proba", X)
        return registry.of(f).xp.concat([1.0 - f, f], axis=1) if self._single else f

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of `predict_proba`."""
        f = self.predict_proba(X)
        return registry.of(f).xp.log(f)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy of the predictions for X."""
        where = "MLPClassifier.score"
        guesses, y = hosted(where, "predictions", self.predict(X)), hosted(where, "y", y)
        weights = hosted(where, "sample_weight", sample_weight)
        return float(accuracy_score(y, guesses, sample_weight=weights))

    @property
    def _single(self) -> bool:
        """Whether the network has one sigmoid, for the second of two classes."""
        return self.network_.output == "sigmoid" and not self._multilabel

    def _require_network(self, where: str, net: Network) -> None:
        one = net.output == "sigmoid" and not self._multilabel
        classes, count = self.classes_, 2 if one else net.outputs
        fits = net.output in ("softmax", "sigmoid") and not (one and net.outputs > 1)
        if not fits or classes.ndim != 1 or not len(host.unique(classes)) == len(classes) == count:
            raise ValueError(
                f"{where}: `classes` must be {count} labels, all different, of a softmax or "
                f"sigmoid network, got {classes.tolist()} for {net!r}."
            )

    def _checked_y(self, where: str, y: Any, name: str) -> Any:
        return labels.checked(where, y, name)

    def _check_parameters(self, where: str, part: bool) -> None:
        super()._check_parameters(where, part)
        if part and self.class_weight == "balanced":
            raise ValueError(
                f"{where}: `class_weight` 'balanced' needs all data at once. Pass a weight by "
                "class instead."
            )

    def _set_classes(self, where: str, y: Any, classes: Any) -> None:
        self._multilabel = y.ndim == 2
        if self._multilabel:
            self.classes_ = host.arange(y.shape[1])
            return
        self.classes_ = host.unique(y) if classes is None else _listed(where, classes)
        labels.require_two(where, "y" if classes is None else "classes", self.classes_)

    def _require_classes(self, where: str, classes: Any) -> None:
        given = self.classes_ if classes is None else _listed(where, classes)
        if given.tolist() != self.classes_.tolist():
            raise ValueError(
                f"{where}: `classes` must be those of the first call, {self.classes_.tolist()}, "
                f"got {given.tolist()}. Leave them out, or make a new estimator."
            )

    def _encode(self, where: str, y: Any, name: str, loss: Loss) -> Any:
        if (y.ndim == 2) != self._multilabel:
            K = len(self.classes_)
            wanted = f"(n, {K}), {K} labels of 0 and 1 a row" if self._multilabel else "(n,)"
            raise ValueError(
                f"{where}: `{name}` must have shape {wanted}, as the first y, got {y.shape}."
                + ("" if name == "y_val" else f" {_ANEW}")
            )
        if self._multilabel:
            return y.astype("float64")
        indices = labels.indices(where, name, y, self.classes_, self._remedy(where, name))
        return indices if loss.output == "softmax" else indices[:, None].astype("float64")

    def _remedy(self, where: str, name: str) -> str:
        """What to do about classes that were not there at first."""
        if name != "y":
            return "Leave out their rows."
        if where.endswith(".partial_fit"):
            return "Name all classes at the first partial_fit of a new estimator: classes=[...]."
        return _ANEW

    def _loss_for(self, where: str, output: str | None) -> Loss:
        if output is None:
            softmax = not self._multilabel and len(self.classes_) > 2
            output = "softmax" if softmax else "sigmoid"
        if isinstance(self.loss, str) and self.loss == "log_loss":
            kind = losses.CrossEntropy if output == "softmax" else losses.Logistic
            return kind(self.label_smoothing)
        if self.label_smoothing:
            raise ValueError(
                f"{where}: `label_smoothing` must be 0 with loss={self.loss!r}, got "
                f"{self.label_smoothing!r}: it is of loss='log_loss'. A loss of `nn.losses` has "
                "its own, where it has one: nn.losses.CrossEntropy(0.1)."
            )
        if isinstance(self.loss, Loss):
            return self.loss
        names = {"log_loss": "cross_entropy", "focal": "focal"}
        return losses.get(named_loss(where, self.loss, names), output, where)

    def _times_class_weights(self, where: str, y: Any, weights: Any) -> Any:
        if self.class_weight is not None and self._multilabel:
            raise ValueError(
                f"{where}: `class_weight` must be None where a sample has several labels; pass "
                "sample_weight instead."
            )
        return labels.times_weights(where, self.class_weight, self.classes_, y, weights)

    def _strata(self, where: str, targets: Any) -> Any:
        if self._multilabel:
            return None
        groups = targets if targets.ndim == 1 else targets[:, 0].astype("int64")
        for group in host.unique(groups).tolist():
            if (groups == group).sum() < 2:
                raise ValueError(
                    f"{where}: `y` must have at least two rows of each class, since "
                    f"`early_stopping` sets rows of each aside, got one of class "
                    f"{self.classes_.tolist()[group]!r}. Leave it out, pass X_val and y_val, or "
                    "set early_stopping=False."
                )
        return groups

    def _score_outputs(self, f: Any, targets: Any, weights: Any) -> float:
        if self.network_.output == "softmax":
            guesses = f.argmax(axis=1)
        else:
            guesses, targets = f > 0.5, targets > 0.5
        return float(accuracy_score(targets, guesses, sample_weight=weights))


def _listed(where: str, classes: Any) -> host.HostArray:
    """Classes to come, which may be a set, as an array of different ones, sorted."""
    try:
        labels = hosted(where, "classes", classes) if hasattr(classes, "shape") else list(classes)
        texts = {isinstance(label, str) for label in labels}
        array = registry.to_host(labels)
        fits = len(texts) == 1 and not any(map(is_missing, array.ravel().tolist()))
        fits = fits and not isinstance(classes, str)
    except (TypeError, ValueError):  # no collection, or a ragged one
        fits = False
    if not fits:
        raise ValueError(
            f"{where}: `classes` must be a list of labels, all of them texts or all numbers and "
            f"none missing, got {classes!r}."
        )
    return host.unique(array)
