"""Evaluation: the mean loss and metrics of a network on data, after an epoch or on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, NamedTuple

from .. import metrics
from ..backends import host, registry
from ..data import entering
from ..data.batches import Batch, Batches
from ..data.rows import Rows
from ..losses import Loss
from ..network import Network
from ..primitives import Array

BLOCK = 4096  # rows that are computed at once


class Verdict(NamedTuple):
    """What an epoch's end found: the validation loss, in a list if there is one, and metrics."""

    validation_loss: Sequence[float]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Judge:
    """What is computed after an epoch.

    Attributes
    ----------
    held_out
        The validation data (x, y, sample_weight), or None.
    metrics
        By name, computed on `shown`, arrays as the network's.
    """

    loss: Loss
    held_out: Batch | None = None
    metrics: Mapping[str, metrics.Metric] | None = None
    shown: Batch | None = None

    @property
    def looks(self) -> bool:
        """Whether there is anything to compute."""
        return self.held_out is not None or bool(self.metrics)

    def __call__(self, net: Network) -> Verdict:
        """Return what the network is worth."""
        losses = [] if self.held_out is None else [mean_loss(net, self.loss, self.held_out)]
        if not self.metrics or self.shown is None:
            return Verdict(losses, {})
        x, y, sample_weight = self.shown
        f = predictions(net, x)
        return Verdict(losses, metrics.compute(self.metrics, net.output, y, f, sample_weight))


def forward(net: Network, X: Any, where: str) -> Array:
    """Return f of a user's X: (n, K); on the host, in blocks, where X is too much at once."""
    x = entering.features(where, net.place, X, net.inputs, whole=False)
    return predictions(net, x) if isinstance(x, Rows) else net(x)


def predictions(net: Network, x: Array) -> host.HostArray:
    """Return f of the network's x, in blocks, on the host: (n, K)."""
    parts = Batches(x, None, None, None, BLOCK).inputs(net, "predictions")
    return host.concatenate(registry.to_host(net(part)) for part in parts)


def mean_loss(net: Network, loss: Loss, batch: Batch) -> float:
    """Return the mean loss of a network on its own arrays, in blocks that fit memory."""
    batches = Batches(*batch, None, BLOCK)
    values: list[Array] = []
    for x, y, sample_weight in batches.arrays(net, "evaluate"):
        scores = net.scores(x)
        with net.place.scope():
            value, _ = loss.value_and_delta(net.ops, scores, y, sample_weight)
        values.append(value)
    return mean(fetch(net, values), batches.sizes)


def fetch(net: Network, values: Sequence[Any]) -> list[float]:
    """Return 0-d arrays as floats, waiting for the device once."""
    xp = net.place.backend.xp
    with net.place.scope():
        stacked = xp.stack([xp.asarray(value) for value in values])
        return [float(v) for v in net.place.backend.to_host(stacked)]


def mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the mean of batch means, weighted by the batches' sizes."""
    return math.fsum(map(mul, values, sizes)) / sum(sizes)
