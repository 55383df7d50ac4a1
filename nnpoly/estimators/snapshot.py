"""A trainer as it was before a fit, for fits that fail."""

from __future__ import annotations

from ..training import Trainer


class Snapshot:
    """A copy of all that a fit changes in a trainer."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._loss, self._optimizer = trainer.loss, trainer.optimizer
        self._rate_factor, self._state = trainer.rate_factor, trainer._snapshot()
        history = trainer.history
        self._epochs = len(history.loss), len(history.validation_loss)
        self._metrics = {name: len(values) for name, values in history.metrics.items()}

    def restore(self) -> None:
        """Make the trainer, its network and its history what they were."""
        trainer, history = self._trainer, self._trainer.history
        if (trainer.loss, trainer.optimizer) != (self._loss, self._optimizer):
            trainer.loss, trainer.optimizer = self._loss, self._optimizer
        trainer.rate_factor, trainer._state = self._rate_factor, self._state
        del history.loss[self._epochs[0] :], history.validation_loss[self._epochs[1] :]
        for name in list(history.metrics):
            if name in self._metrics:
                del history.metrics[name][self._metrics[name] :]
            else:
                del history.metrics[name]
