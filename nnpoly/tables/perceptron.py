"""The model "mlp": one network of Dense layers, which ends early by its validation loss."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..network import regularised
from ..optimizers import AdamW
from ..training import History, Trainer
from .course import Course, Learner, Settings, require_options
from .fitting import Prepared
from .model import TableModel
from .targets import Classes

DEFAULTS: dict[str, Any] = {
    "widths": (64, 64),
    "activation": "relu",
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "epochs": 200,
    "patience": 20,
    "batch_size": 32,
}


class Perceptron(Learner):
    """A network of Dense layers, trained by AdamW until the validation loss no longer improves."""

    validates = "to stop early with"

    def __init__(self, prepared: Prepared, options: dict[str, Any], settings: Settings) -> None:
        require_options("mlp", options, DEFAULTS)
        if not len(prepared.parts.validation):
            raise ValueError(
                "fit: `validation` must be > 0 for 'mlp', whose training it ends. 'realmlp' and "
                "'tabm' can do without."
            )
        self._prepared, self._settings = prepared, settings
        self._options = options = DEFAULTS | options
        target, m = prepared.target, [len(prepared.inputs.names), *options["widths"]]
        outputs, output = (
            (len(target.classes), "softmax") if isinstance(target, Classes) else (1, "identity")
        )
        net = regularised(
            [*m, outputs],
            options["activation"],
            output,
            dropout=options["dropout"],
            dtype=settings.dtype,
            seed=settings.seed,
            backend=settings.backend,
            device=settings.device,
        )
        rule = AdamW(options["learning_rate"], weight_decay=options["weight_decay"])
        self._trainer = Trainer(net, rule, precision=settings.precision)
        self._stop = EarlyStopping(options["patience"])

    @property
    def inputs(self) -> str:
        schema, names = self._prepared.schema, self._prepared.inputs.names
        made = f"{len(schema.numbers)} numbers and {len(schema.categories)} categories"
        return f"inputs: {len(names)}, made of {made}"

    def __str__(self) -> str:
        return str(self._trainer.network)

    def train(self, progress: bool) -> Course:
        prepared, trainer, options = self._prepared, self._trainer, self._options
        stop, clock = self._stop, _Clock()
        X, y = prepared.training(prepared.parts.fit)
        X_val, y_val = prepared.training(prepared.parts.validation)
        with np.errstate(over="ignore", invalid="ignore"):  # the trainer reports them
            history = trainer.fit(
                X,
                y,
                options["epochs"],
                options["batch_size"],
                validation=(X_val, y_val, self._weights(y_val)),
                callbacks=[stop, clock],
                progress=progress,
                sample_weight=self._weights(y),
            )
        columns = zip(history.loss, history.validation_loss, clock.seconds, strict=True)
        epochs: list[dict[str, Any]] = [
            {"epoch": i, "loss": loss, "validation_loss": validation, "seconds": seconds}
            for i, (loss, validation, seconds) in enumerate(columns, 1)
        ]
        return Course(
            model=TableModel(trainer.network, prepared.inputs, prepared.target),
            history=history,
            epochs=epochs,
            report={
                "network": repr(trainer.network),
                "optimizer": repr(trainer.optimizer),
                "batch_size": options["batch_size"],
                "epochs": len(history),
                "best_epoch": stop.best_epoch,
            },
            text=f"{len(history)} epochs; the validation loss was lowest after epoch "
            f"{stop.best_epoch}",
            title="-".join(map(str, trainer.network.widths)),
        )

    def _weights(self, y: Any) -> Any:
        """Return the samples' weights by their classes', or None for equal weights."""
        from sklearn.utils.class_weight import compute_sample_weight

        weight = self._settings.class_weight
        return None if weight is None else compute_sample_weight(weight, y)


class _Clock:
    """A callback that records the seconds after which each epoch ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = perf_counter()

    def __call__(self, trainer: Trainer, history: History) -> None:
        self.seconds.append(round(perf_counter() - self._start, 4))
