"""Evaluation: the mean loss and metrics of a network on data, after an epoch or on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import metrics
from ..backends import host, registry
from ..backends.steps import Batch
from ..data import entering
from ..data.batches import Batches
from ..losses import Loss
from ..network import Network
from ..primitives import Array
from .history import EpochRecord


class Evaluation(NamedTuple):
    """The loss and the metrics to compute after an epoch.

    Attributes
    ----------
    loss
        The loss that training minimises.
    held_out
        The validation data, or None.
    metrics
        By name.
    measured
        The data that the metrics are computed on.
    precision
        Of matrix products.
    """

    loss: Loss
    held_out: Batch | None = None
    metrics: Mapping[str, metrics.Metric] = {}
    measured: Batch | None = None
    precision: str | None = None

    def __call__(self, net: Network, loss: float) -> EpochRecord:
        """The record of an epoch of that training loss, after which the network is `net`."""
        held_out, found = None, {}
        if self.held_out is not None:
            held_out = mean_loss(net, self.loss, self.held_out, self.precision)
        if self.metrics and self.measured is not None:
            x, y, sample_weight = self.measured
            f = predictions(net, x, self.precision)
            found = metrics.compute(self.metrics, net.output, y, f, sample_weight)
        return EpochRecord(loss, held_out, found)


def forward(net: Network, X: Any, where: str, precision: str | None = None) -> Array:
    """F of a user's X, which must be finite in the network's dtype: (n, K)."""
    net.check_precision(where, precision)
    x = entering.features(where, net.place, X, net.inputs, whole=False)
    entering.require_numbers(where, net.place, x, net.ends, "X")
    return net(x, precision=precision)


def predictions(net: Network, x: Array, precision: str | None = None) -> host.HostArray:
    """F of the network's x, computed in blocks, on the host: (n, K)."""
    data = Batch(x, x)  # there are no targets, and `inputs` looks for none
    parts = Batches(data, None, net.rows_at_once).inputs(net.place, "predictions")
    return host.concatenate([registry.to_host(net(part, precision=precision)) for part in parts])


def mean_loss(net: Network, loss: Loss, data: Batch, precision: str | None = None) -> float:
    """The mean loss of a network on its own arrays, in blocks that fit memory."""
    batches = Batches(data, None, net.rows_at_once)
    values: list[Array] = []
    for x, y, sample_weight in batches.arrays(net.place, "evaluate"):
        scores = net.scores(x, precision=precision)
        with net.place.scope():
            value, _ = loss.mean_of_members(net.ops, scores, y, sample_weight, net.members)
        values.append(value)
    return batches.mean(fetch(net, values))


def fetch(net: Network, values: Sequence[Any]) -> list[float]:
    """0-d arrays as floats; the device is waited for once."""
    xp = net.place.backend.xp
    with net.place.scope():
        stacked = xp.stack([xp.asarray(value) for value in values])
        return [float(v) for v in net.place.backend.to_host(stacked)]
