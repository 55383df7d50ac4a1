"""Arrays: how samples, their targets and their weights come in, each looked at once."""

from __future__ import annotations

import re
import warnings
from numbers import Number
from typing import Any, NamedTuple

from scipy.sparse import issparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from ..backends import host, registry
from ..data import entering
from ..data.frames import not_real
from ..data.place import Place, plain
from ..network.network import place_of

_DATES = re.compile("datetime|date|timedelta|time|duration")  # the beginnings of dtypes' names


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


def _plain(where: str, name: str, data: Any) -> Any:
    """The data as an array of the host, or as one of SciPy's sparse matrices where they are one."""
    data = hosted(data)
    return data if issparse(data) else plain(where, name, data)


def features(
    estimator: Any, where: str, X: Any, place: Place | None, name: str = "X"
) -> tuple[Any, Place]:
    """X after every check that there is, in the dtype of its network; and the network's place.

    An array of the network's own library stays there, and everything else comes to the host, where
    a sparse X stays sparse.

    Parameters
    ----------
    place
        The network's; None for a new one, which lives where it is said, or else where X is.
    name
        The argument's.
    """
    given, first = X, place is None
    if place is None:
        backend, device = _home(where, X, estimator.backend, estimator.device)
        if estimator.dtype is not None:
            place = place_of(where, backend, device, estimator.dtype)
    else:
        backend, device = place.backend, place.device
    require_no_dates(where, X, name)
    stays = backend.name != "numpy" and registry.of(X) is backend
    if stays:
        _require_matrix(where, X, name)
    else:
        X = _plain(where, name, X)
        X = _checked(estimator, X, None if place is None else place.dtype, name)
    place = place_of(where, backend, device, _floating(X)) if place is None else place
    validate_data(estimator, given, reset=first, skip_check_array=True)  # names, and their number
    if stays:
        X = entering.features(where, place, X, estimator.n_features_in_, name)
        entering.require_finite(where, place, X, name)
    return X, place


def _home(where: str, X: Any, backend: Any, device: Any) -> tuple[Any, Any]:
    """The backend and the device for X: those that are named, else its own."""
    found = registry.of(X)
    if backend is None and found.name != "numpy":
        return found, X.device if device is None else found.device(device)
    return registry.resolve(backend, device, where)


def _floating(X: Any) -> str:
    """The dtype of a network for X."""
    name = str(X.dtype).rpartition(".")[2]
    return name if name == "float64" else "float32"


def require_no_dates(where: str, data: Any, name: str) -> None:
    """Refuse dates and durations, which NumPy would turn into numbers: of arrays and of frames."""
    dtypes = data.dtypes if hasattr(data, "dtypes") else [getattr(data, "dtype", "")]
    for dtype in dtypes if hasattr(dtypes, "__iter__") else [dtypes]:
        kind = _DATES.match(str(dtype).lower())
        if kind:
            remedy = "m" if kind[0] in ("timedelta", "duration") else "M"
            raise ValueError(not_real(where, name, f"dtype {dtype}", remedy))


def _require_matrix(where: str, X: Any, name: str) -> None:
    """Refuse an array that has not rows and columns."""
    if len(X.shape) != 2:
        raise ValueError(
            f"{where}: `{name}` must have shape (n, features), got {tuple(X.shape)}. For samples "
            f"of one feature pass {name}[:, None], for one sample {name}[None, :]."
        )


def _checked(estimator: Any, X: Any, dtype: str | None, name: str) -> Any:
    """The host's X after scikit-learn's checks, which come after the conversion to a dtype."""
    dtypes = ["float64", "float32"] if dtype is None else [dtype]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow encountered in cast")  # it is refused
        return check_array(
            X, accept_sparse="csr", dtype=dtypes, order="C", input_name=name, estimator=estimator
        )


def targets(estimator: Any, where: str, X: Any, y: Any, name: str = "y") -> Any:
    """The targets of a checked X on the host, (n,) or (n, K), of any dtype."""
    if y is None:
        validate_data(estimator, y=y)  # which says so
    y = _plain(where, name, y)
    _require_no_gaps(where, y, name)
    y = check_array(
        y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name=name, estimator=estimator
    )
    check_consistent_length(X, y)
    return y


def _require_no_gaps(where: str, y: Any, name: str) -> None:
    """Refuse None, NaN and pandas' NA among labels, which cannot be sorted with them."""
    given = host.asarray(None if hasattr(y, "toarray") else y)
    if given.dtype.kind != "O" or given.ndim == 0:
        return
    for row, label in enumerate(given.tolist()):
        if _is_missing(label):
            raise ValueError(
                f"{where}: `{name}` must have no missing values, got {label!r} in row {row}. Leave "
                "out such rows, or give them a value of their own."
            )


def _is_missing(label: Any) -> bool:
    """Whether a label is None, or does not equal itself, or will not say, as pandas' NA."""
    try:
        return label is None or bool(label != label)
    except TypeError:
        return True


def sample_weights(where: str, name: str, weights: Any, n: int) -> Any:
    """The samples' weights as (n,) numbers >= 0 on the host; None stays None."""
    if weights is None:
        return None
    if isinstance(weights, Number):
        weights = [weights] * n
    options = {"ensure_2d": False, "ensure_all_finite": False, "input_name": name}
    weights = check_array(hosted(weights), dtype=["float64", "float32"], order="C", **options)
    require_weight(where, name, weights)
    numpy = registry.get("numpy")
    place = Place(numpy, numpy.device(None), str(weights.dtype))
    return entering.sample_weights(where, place, weights, n, name)


def require_weight(where: str, name: str, weights: Any, of: str = "") -> None:
    """Refuse weights that are all 0, in the words that scikit-learn's checks look for.

    of: which of the samples they are.
    """
    if weights is not None and weights.size and not weights.any():
        raise ValueError(
            f"{where}: `{name}` must not be all 0{of}. Sample weights must contain at least one "
            "non-zero number."
        )
