"""Arrays: how samples, their targets and their weights come in, each looked at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Number
from typing import Any, NamedTuple

from scipy.sparse import issparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from ..backends import host, registry
from ..data import entering
from ..data.frames import columns_of, is_frame, not_real
from ..data.place import Place, on_host, place_of, plain
from ..losses import Loss
from ..network import Network


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


def hosted(where: str, name: str, data: Any) -> Any:
    """An array of another backend as NumPy's; anything else as it is."""
    backend = registry.of(data)
    if backend.name == "numpy":
        return data
    entering.require_whole(where, backend, name, data)
    return backend.to_host(data)


def _plain(where: str, name: str, data: Any) -> Any:
    """The data as an array of the host, or as one of SciPy's sparse matrices where they are one."""
    data = hosted(where, name, data)
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
    entering.require_whole(where, registry.of(X), name, X)
    if place is None:
        backend, device = _home(where, X, estimator.backend, estimator.device)
        dtype = estimator.dtype
        if dtype is None and estimator.precision is not None:
            dtype = "float32"  # whose products have one
        if dtype is not None:
            place = place_of(where, backend, device, dtype)
    else:
        backend, device = place.backend, place.device
    stays = backend.name != "numpy" and registry.of(X) is backend
    if stays:
        _require_matrix(where, X, name)
    else:
        X = _plain(where, name, X)
        _require_plain_numbers(where, name, X)
        X = _checked(estimator, where, X, None if place is None else place.dtype, name)
    place = place_of(where, backend, device, _floating(X)) if place is None else place
    with named(where, name):  # the columns' names, and their number
        validate_data(estimator, given, reset=first, skip_check_array=True)
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


@contextmanager
def named(where: str, name: str) -> Iterator[None]:
    """Put the entry and the argument before what scikit-learn's checks say."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}: `{name}`: {error}") from error


def _require_plain_numbers(where: str, name: str, data: Any, kinds: str = "mMc") -> None:
    """Refuse an array of dates or durations, which NumPy would turn into numbers, or complex."""
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    if kind and kind in kinds:
        known = " Complex data not supported." if kind == "c" else ""  # what its checks look for
        raise ValueError(not_real(where, name, f"dtype {data.dtype}", kind) + known)


def _require_matrix(where: str, X: Any, name: str) -> None:
    """Refuse an array that has not rows and columns."""
    if len(X.shape) != 2:
        raise ValueError(
            f"{where}: `{name}` must have shape (n, features), got {tuple(X.shape)}. For samples "
            f"of one feature pass {name}[:, None], for one sample {name}[None, :]."
        )


def _checked(estimator: Any, where: str, X: Any, dtype: str | None, name: str) -> Any:
    """The host's X after scikit-learn's checks, which come after the conversion to a dtype."""
    dtypes = ["float64", "float32"] if dtype is None else [dtype]
    with warnings.catch_warnings(), named(where, name):
        warnings.filterwarnings("ignore", "overflow encountered in cast")  # it is refused
        return check_array(
            X, accept_sparse="csr", dtype=dtypes, order="C", input_name=name, estimator=estimator
        )


def targets(estimator: Any, where: str, X: Any, y: Any, name: str = "y") -> Any:
    """The targets of a checked X on the host, (n,) or (n, K), of any dtype."""
    if y is None:
        with named(where, name):
            validate_data(estimator, y=y)  # which says so
    if is_frame(y) and y.shape[1] == 1:  # labels may be of any type, but only in a column
        ((_, only),) = columns_of(y)
        column = plain(where, name, only)
        y = column[:, None]  # which scikit-learn warns of
    y = plain(where, name, hosted(where, name, y))
    _require_plain_numbers(where, name, y, "c")
    _require_no_gaps(where, y, name)
    with named(where, name):
        y = check_array(y, ensure_2d=False, dtype=None, input_name=name, estimator=estimator)
        check_consistent_length(X, y)
    return y


def _require_no_gaps(where: str, y: Any, name: str) -> None:
    """Refuse None, NaN and pandas' NA among labels, which cannot be sorted with them."""
    with named(where, name):
        given = host.asarray(y)
    if given.dtype.kind != "O" or given.ndim == 0:
        return
    for row, label in enumerate(given.tolist()):
        if is_missing(label):
            raise ValueError(
                f"{where}: `{name}` must have no missing values, got {label!r} in row {row}. Leave "
                "out such rows, or give them a value of their own."
            )


def is_missing(label: Any) -> bool:
    """Whether a label is None, or does not equal itself, or will not say, as pandas' NA."""
    try:
        return label is None or bool(label != label)
    except TypeError:
        return True


def sample_weights(where: str, name: str, weights: Any, n: int) -> Any:
    """The samples' weights as (n,) numbers >= 0 on the host; None stays None."""
    if weights is None:
        return None
    if isinstance(weights, str):
        raise ValueError(
            f"{where}: `{name}` must be None or {n} numbers, got {weights!r}. Weights of classes "
            "are a parameter of classifiers: class_weight='balanced'."
        )
    weights = [weights] * n if isinstance(weights, Number) else weights
    weights = on_host(where, name, hosted(where, name, weights))
    require_weight(where, name, weights)
    dtype = "float32" if weights.dtype == "float32" else "float64"
    return entering.sample_weights(where, _host_place(dtype), weights, n, name)


def require_together(where: str, X: Any, y: Any, weights: Any) -> None:
    """Refuse validation data that are not whole; weights are theirs, and may be None."""
    if (X is None) != (y is None):
        raise ValueError(f"{where}: `X_val` and `y_val` belong together, got only one.")
    if X is None and weights is not None:
        raise ValueError(f"{where}: `sample_weight_val` needs `X_val` and `y_val`, got neither.")


def _host_place(dtype: str) -> Place:
    """The host's place of a dtype."""
    numpy = registry.get("numpy")
    return Place(numpy, numpy.device(None), dtype)


def require_targets(where: str, name: str, net: Network, loss: Loss, targets: Any) -> None:
    """Refuse targets on the host that are not of the network's shape, dtype and loss."""
    shape, place = (len(targets), net.outputs), _host_place(net.dtype)
    entering.targets(where, place, targets, loss, shape, name)


def numbers(where: str, name: str, y: Any) -> Any:
    """An array of real numbers of any dtype, objects and texts of numbers too, as floats."""
    _require_plain_numbers(where, name, y)
    try:
        return y.astype("float64") if y.dtype.kind != "f" else y
    except (TypeError, ValueError) as error:
        raise ValueError(f"{not_real(where, name, f'dtype {y.dtype}')} ({error})") from error


def require_weight(where: str, name: str, weights: Any, of: str = "") -> None:
    """Refuse weights that are all 0, in the words that scikit-learn's checks look for.

    of: which of the samples they are.
    """
    if weights is not None and weights.size and not weights.any():
        raise ValueError(
            f"{where}: `{name}` must not be all 0{of}. Sample weights must contain at least one "
            "non-zero number."
        )
