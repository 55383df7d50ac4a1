"""Scoring: how good a member is on rows that it does not train on, after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from ... import metrics
from ...backends import host
from ...network import Network
from ...primitives import Array
from ...training import History, Trainer
from ...training.evaluation import predictions


class HeldOut(NamedTuple):
    """Rows to score by: the network's x, the targets y as they are measured, weights or None."""

    x: Array
    y: host.HostArray
    weights: Any

    def score(
        self,
        metric: str,
        network: Network,
        measured: Callable[[host.HostArray], host.HostArray],
        precision: str | None,
    ) -> float:
        """The metric of a network's outputs, after `measured` has made them what y is."""
        f = measured(predictions(network, self.x, precision))
        found = metrics.compute({metric: metric}, network.output, self.y, f, self.weights)
        return found[metric]


class Deadline:
    """The callback that ends the training of all members when its time is over; None: never.

    Attributes
    ----------
    over
        Whether it has been.
    """

    def __init__(self, start: float, seconds: float | None) -> None:
        self._end = math.inf if seconds is None else start + seconds
        self.over = False

    def __call__(self, trainer: Trainer, history: History) -> bool:
        """True once the time is over."""
        self.over = monotonic() >= self._end
        return self.over
