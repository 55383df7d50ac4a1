"""Arrays: samples with their targets and weights, and where a network for them lives."""

from __future__ import annotations

from numbers import Number
from typing import Any, NamedTuple

from sklearn.utils import check_array

from ..backends import host, registry
from ..data import entering
from ..data.place import Place


class Samples(NamedTuple):
    """Rows of X, the network's targets for them, and their weights or None."""

    X: Any
    targets: Any
    weights: Any

    def rows(self, place: Place, indices: host.HostArray) -> Samples:
        """Some of the rows; an X that is not the host's is the place's."""
        X, targets, weights = self
        if registry.of(X).name == "numpy":
            X = X[indices]
        else:
            X = place.backend.ops.gather(X, place.integers("rows", "indices", indices))
        return Samples(X, targets[indices], None if weights is None else weights[indices])


def hosted(array: Any) -> Any:
    """An array of another backend as NumPy's; anything else as it is."""
    return array if registry.of(array).name == "numpy" else registry.to_host(array)


def place_of(where: str, X: Any, backend: Any, device: Any, dtype: str | None) -> Place:
    """The place of a network for X: the one that is named, else that of X."""
    found = registry.of(X)
    if backend is None and found.name != "numpy":
        device = X.device if device is None else found.device(device)
    else:
        found, device = registry.resolve(backend, device, where)
    name = str(X.dtype).rpartition(".")[2]
    return Place(found, device, dtype or (name if name == "float64" else "float32"))


def sample_weights(where: str, name: str, weights: Any, n: int) -> Any:
    """The samples' weights as (n,) numbers >= 0 on the host; None stays None."""
    if weights is None:
        return None
    if isinstance(weights, Number):
        weights = [weights] * n
    options = {"ensure_2d": False, "ensure_all_finite": False, "input_name": name}
    weights = check_array(hosted(weights), dtype=["float64", "float32"], order="C", **options)
    if weights.size and not weights.any():  # in the words that scikit-learn's checks look for
        raise ValueError(
            f"{where}: `{name}` must not be all 0. Sample weights must contain at least one "
            "non-zero number."
        )
    numpy = registry.get("numpy")
    place = Place(numpy, numpy.device(None), str(weights.dtype))
    return entering.sample_weights(where, place, weights, n, name)
