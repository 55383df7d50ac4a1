"""Evaluation: the mean loss and metrics of a network on data, after an epoch or on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, NamedTuple

from . import data, metrics
from .backends import host, registry
from .batches import Batch, blocks
from .losses import Loss
from .network import Network
from .primitives import Array

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


def predictions(net: Network, x: Array) -> host.HostArray:
    """Return f of the network's x, in blocks, on the host: (n, K)."""
    where = "predictions"
    parts = (
        registry.to_host(net(data.rows_of(where, net._place, x, rows)))
        for rows in blocks(x.shape[0], BLOCK)
    )
    return host.concatenate(parts)


def mean_loss(net: Network, loss: Loss, batch: Batch) -> float:
    """Return the mean loss of a network on its own arrays, in blocks that fit memory."""
    x, y, sample_weight = batch
    values: list[Array] = []
    sizes: list[int] = []
    for rows in blocks(x.shape[0], BLOCK):
        scores = net.scores(data.rows_of("evaluate", net._place, x, rows))
        weights = None if sample_weight is None else sample_weight[rows]
        with net._backend.scope(net._place.device):
            value, _ = loss.value_and_delta(net._ops, scores, y[rows, ...], weights)
        values.append(value)
        sizes.append(scores.shape[0])
    return mean(fetch(net, values), sizes)


def fetch(net: Network, values: Sequence[Any]) -> list[float]:
    """Return 0-d arrays as floats, waiting for the device once."""
    xp = net._backend.xp
    stacked = xp.stack([xp.asarray(value) for value in values])
    return [float(v) for v in net._backend.to_host(stacked)]


def mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the mean of batch means, weighted by the batches' sizes."""
    return math.fsum(map(mul, values, sizes)) / sum(sizes)
