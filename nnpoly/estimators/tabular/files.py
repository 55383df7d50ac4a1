"""Estimators of several networks in one file: the first network's, with the others' arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from ...data.container import Arrays, checked_extra, named, typed, write
from ...network import Network
from ...network.arrays import hosted
from ...network.files import ESTIMATOR, NetworkEntry, NetworkFile, network_of, require_finite
from ..files import ArrayEntry, entry_in, entry_of, made_of


class Learnt(TypedDict):
    """The attributes that a file holds beside the parameters and the networks."""

    n_features_in_: int
    feature_names_in_: NotRequired[ArrayEntry | None]
    encoding_: dict[str, Any]
    loss_curves_: list[list[float]]
    validation_scores_: list[list[float]]
    best_epochs_: list[int]


class LearntOfClassifier(Learnt):
    """Those of a classifier."""

    classes_: ArrayEntry


class LearntOfRegressor(Learnt):
    """Those of a regressor."""

    scaling_: dict[str, Any]


class MembersFile(NetworkFile):
    """The header of an estimator's file: the network is the first, the seeds are of the others."""

    members: list[int]


def save(estimator: Any, path: Any, learnt: type, extra: Mapping[str, Any] | None = None) -> None:
    """Write a fitted estimator; `learnt` has its attributes that are to be kept."""
    first, *others = estimator.networks_
    arrays = hosted(first.arrays())
    for i, net in enumerate(others):
        arrays |= {f"member/{i}/{name}": array for name, array in hosted(net.arrays()).items()}
    header = {
        "kind": "network",
        "network": first.header(),
        "members": [net.seed for net in others],
        "extra": {**checked_extra(extra), ESTIMATOR: entry_of(estimator, learnt)},
    }
    write(path, arrays, header)


def load(
    kind: type,
    path: Any,
    content: tuple[dict[str, Any], Arrays],
    learnt: type,
    backend: Any,
    device: Any,
) -> tuple[Any, list[Network]]:
    """The estimator of the content of a file that `save` wrote, and its networks."""
    header, arrays = content
    entry = entry_in(kind, path, header, learnt)
    file = typed(path, header, MembersFile)
    networks = [network_of(path, file["network"], arrays, backend, device)]
    for i, seed in enumerate(file["members"]):
        start = f"member/{i}/"
        own = {n[len(start) :]: array for n, array in arrays.items() if n.startswith(start)}
        described: NetworkEntry = {**file["network"], "seed": seed}
        networks.append(network_of(path, described, own, backend, device))
    for net in networks:
        require_finite(path, net)
    with named(path):
        made = made_of(kind, path, entry, learnt)
        _require_consistent(made)
    return made, networks


def _require_consistent(made: Any) -> None:
    """Refuse an encoding of other columns than the estimator's."""
    width, encoding = made.n_features_in_, made.encoding_
    used = [*encoding.numbers, *(category.column for category in encoding.categories)]
    if max(used) >= width or len(getattr(made, "feature_names_in_", range(width))) != width:
        raise ValueError(f"its columns are not the {width} of its encoding")
