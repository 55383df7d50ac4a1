"""The models "realmlp" and "tabm": the estimators for tables, by their names."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np

from ..training import History
from .course import Course, Learner, Settings, require_options
from .estimated import EstimatorModel, TableColumns
from .fitting import Prepared
from .targets import Classes

OWN = {"n_epochs": "epochs", "hidden_layer_sizes": "widths"}  # names here of parameters
KEPT = {  # parameters that are told by the data or the settings
    *("backend", "device", "dtype", "precision", "random_state", "verbose"),
    *("validation_fraction", "categorical_features", "class_weight"),
}


class Members(Learner):
    """An estimator's networks, of which each keeps its best epoch."""

    model: ClassVar[str]
    stem: ClassVar[str]  # of the classes' names
    validates = "to find the best epoch with"

    def __init__(self, prepared: Prepared, options: dict[str, Any], settings: Settings) -> None:
        from .. import estimators

        is_classes = isinstance(prepared.target, Classes)
        kind = getattr(estimators, self.stem + ("Classifier" if is_classes else "Regressor"))
        known = {OWN.get(name, name): name for name in kind().get_params() if name not in KEPT}
        require_options(self.model, options, known)
        given = {known[name]: value for name, value in options.items()}
        if is_classes:
            given["class_weight"] = settings.class_weight
        if not len(prepared.parts.validation):
            given["validation_fraction"] = 0
        rows = prepared.table.take(prepared.parts.fit)
        self._prepared, self._rows = prepared, rows
        self._inputs = TableColumns.of(prepared.table, prepared.schema, rows)
        self._estimator = kind(
            **given,
            random_state=settings.seed,
            backend=settings.backend,
            device=settings.device,
            dtype=settings.dtype,
            precision=settings.precision,
        )
        self._estimator.check_parameters()

    @property
    def inputs(self) -> str:
        read = self._inputs
        return f"inputs: {len(read.numbers)} numbers and {len(read.categories)} categories"

    def __str__(self) -> str:
        return str(self._estimator)

    def train(self, progress: bool) -> Course:
        prepared, estimator, inputs = self._prepared, self._estimator, self._inputs
        fit, validation, _ = prepared.parts
        held: dict[str, Any] = {}
        if len(validation):
            X_val = inputs.encode(prepared.table.take(validation), "ignore")
            held = {"X_val": X_val, "y_val": prepared.y[validation]}
        estimator.set_params(verbose=progress)
        estimator.fit(inputs.encode(self._rows, "ignore"), prepared.y[fit], **held)
        estimator.set_params(verbose=False)  # a file does not tell what was shown
        return self._course(EstimatorModel(estimator, inputs, prepared.target))

    def _course(self, model: EstimatorModel) -> Course:
        estimator = model.estimator
        losses, scores = estimator.loss_curves_, estimator.validation_scores_
        best = estimator.best_epochs_
        epochs = []
        for k, (curve, found) in enumerate(zip(losses, scores, strict=True)):
            for i, (loss, score) in enumerate(zip_longest(curve, found), 1):
                member = {"network": k} if len(losses) > 1 else {}
                scored = {} if score is None else {"validation_score": score}
                epochs.append({**member, "epoch": i, "loss": loss, **scored})
        longest = max(map(len, losses))
        means = [np.mean([c[i] for c in losses if i < len(c)]).item() for i in range(longest)]
        several = len(best) > 1
        return Course(
            model=model,
            history=History(means),
            epochs=epochs,
            report={
                "network": repr(model.networks[0]),
                "networks": len(best),
                "estimator": " ".join(str(estimator).split()),
                "epochs": longest,
                "best_epoch": best if several else best[0],
            },
            text=self._text(longest, best, bool(scores[0])),
            title=f"{len(best)} x {self.stem}" if several else self.stem,
        )

    def _text(self, epochs: int, best: list[int], scored: bool) -> str:
        several = f"{epochs} epoch{'s' if epochs > 1 else ''}"
        if best[1:]:
            several = f"{len(best)} networks, {several} each"
        if not scored:
            return f"{several}, of which the last is kept"
        metric = self._estimator.metric
        if metric is None:
            metric = "error" if isinstance(self._prepared.target, Classes) else "RMSE"
        which = f"epoch{'s' if best[1:] else ''} {', '.join(map(str, best))}"
        return f"{several}; the {metric} on rows not trained on was best after {which}"


class RealMLP(Members):
    """RealMLP's estimators."""

    model, stem = "realmlp", "RealMLP"


class TabM(Members):
    """TabM's estimators."""

    model, stem = "tabm", "TabM"
