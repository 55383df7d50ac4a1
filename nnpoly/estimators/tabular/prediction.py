"""Prediction: the mean of an ensemble's predictions for a table, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...backends import host
from ...backends.ensembles import Averaged
from ...network import Network
from ...training.evaluation import predictions
from .columns import Column
from .encoding import Encoding

ROWS_AT_ONCE = 1 << 15  # of which there are copies


def mean_prediction(
    where: str,
    networks: Sequence[Network],
    encoding: Encoding,
    columns: Sequence[Column],
    precision: str | None,
    averaged: Averaged,
    of_member: Callable[[host.HostArray], host.HostArray],
) -> host.HostArray:
    """The mean of the networks' predictions for a table: (n, K), float64.

    averaged: what `of_member` does to a network's output (n, K), for a backend that does so itself.
    """
    place = networks[0].place
    together = place.backend.ensemble_prediction(
        [net.chain for net in networks], place.dtype, precision, encoding.inputs, averaged
    )
    members = [(net.w, net.buffers) for net in networks]
    found = []
    for part in _parts(columns):
        cells = encoding.cells(where, part)
        mean = together(members, cells) if together is not None else None
        if mean is None:
            x = place.real(where, "X", encoding.encoded(cells).astype(place.dtype))
            total: Any = sum(of_member(predictions(net, x, precision)) for net in networks)
            mean = total / len(networks)
        found.append(mean)
    return found[0] if len(found) == 1 else host.concatenate(found)


def _parts(columns: Sequence[Column]) -> Iterator[Sequence[Column]]:
    """The columns of some rows, and of the next."""
    n = len(columns[0].cells)
    if n <= ROWS_AT_ONCE:
        yield columns
        return
    for start in range(0, n, ROWS_AT_ONCE):
        yield [column.rows(start, start + ROWS_AT_ONCE) for column in columns]
