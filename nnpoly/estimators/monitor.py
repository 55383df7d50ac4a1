"""The monitor: the callback that decides when an estimator's training ends, and bad ends."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..network import Network
from ..training import History, NonFiniteLossError, Trainer


def diverged(where: str, found: str, remedy: str) -> NonFiniteLossError:
    """The error of a training that ends in NaN or infinity.

    found: what became so, and when.
    """
    return NonFiniteLossError(
        f"{where}: {found}. The estimator is as it was before. Try inputs and targets scaled to "
        f"mean 0 and variance 1, or {remedy}.",
        found,
    )


class Monitor:
    """Ends the training of one fit as scikit-learn does.

    It ends when, for more than `patience` epochs in a row, the loss has not fallen by `tol` below
    its least, or the score not risen by `tol` above its best; with `divisor`, the learning rate is
    divided instead until it is below 1e-6.

    Parameters
    ----------
    tol, patience, divisor
        As above; a divisor of None: the learning rate stays.
    score
        Gives the validation score of the network as it is; None without validation data.
    by_score
        Whether the score decides, and not the loss.
    last
        Whether of epochs of the same best score the last is kept, and not the first.

    Attributes
    ----------
    best, waited
        The best loss or score so far, and the epochs in a row since without such a gain.
    scores
        The validation score of every epoch.
    best_epoch
        The epoch of the best score, from 1; 0 while there is none.
    converged
        Whether the monitor ended the training.
    """

    def __init__(
        self,
        tol: float,
        patience: float,
        score: Callable[[], float] | None = None,
        *,
        by_score: bool = False,
        last: bool = False,
        divisor: float | None = None,
    ) -> None:
        self._tol, self._patience, self._divisor = tol, patience, divisor
        self._score, self._by_score, self._last = score, by_score, last
        self.best = -math.inf if by_score else math.inf
        self._best_network: Network | None = None
        self.waited = 0
        self.best_epoch = 0
        self.scores: list[float] = []
        self.converged = False

    def __call__(self, trainer: Trainer, history: History) -> bool:
        """Look at the newest epoch; True ends the training."""
        if self._score is not None:
            self.scores.append(self._score())
        gain = self._gain(trainer, history.loss[-1])
        self.waited = 0 if gain >= self._tol else self.waited + 1
        if self.waited <= self._patience:
            return False
        self.converged = not self._slows_down(trainer)
        return self.converged

    def can_wait(self) -> int:
        """The number of epochs that may pass before this must be called."""
        if self._score is not None:
            return 1
        return max(0, int(min(self._patience - self.waited, 1e6))) + 1

    def restore_best(self, network: Network) -> None:
        """Give the network the parameters of the best score, where the score decides."""
        if self._best_network is not None:
            network.adopt(self._best_network.w, self._best_network.buffers)
            self._best_network = None  # whose arrays are the network's now

    def _gain(self, trainer: Trainer, loss: float) -> float:
        """By how much the newest epoch is better than the best, which it then becomes."""
        if not self._by_score:
            gain, self.best = self.best - loss, min(self.best, loss)
            return gain
        gain = self.scores[-1] - self.best
        if gain > 0.0 or (self._last and gain == 0.0):
            self.best, self._best_network = self.scores[-1], trainer.network.copy()
            self.best_epoch = len(self.scores)
        return gain

    def _slows_down(self, trainer: Trainer) -> bool:
        """Divide the learning rate, where that is asked for and it is not yet tiny."""
        if self._divisor is None:
            return False
        rate = trainer.optimizer.learning_rate_at(trainer.t) * trainer.rate_factor
        if rate <= 1e-6:
            return False
        trainer.rate_factor /= self._divisor
        self.waited = 0
        return True
