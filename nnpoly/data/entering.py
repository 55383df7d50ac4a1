"""Data: how a user's arrays become the network's, checked once, and labels become targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from .. import _checks
from ..backends import Backend, host, registry
from ..losses import Loss
from ..primitives import Array
from .rows import Rows

REAL = "biuf"  # the kinds of NumPy dtypes that hold real numbers


@dataclass(frozen=True)
class Place:
    """Where a network's arrays live: its backend, device and floating type."""

    backend: Backend
    device: Any
    dtype: str

    @cached_property
    def _float(self) -> Any:
        return self.backend.xp.zeros(0, dtype=self.backend.dtype(self.dtype)).dtype

    @cached_property
    def _index(self) -> Any:
        return self.backend.xp.zeros(0, dtype=self.backend.dtype(self.backend.index_dtype)).dtype

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which this place's arrays are computed with."""
        return self.backend.scope(self.device)

    @property
    def itemsize(self) -> int:
        """The bytes of a number."""
        return int(self.dtype[5:]) // 8

    def takes(self, data: Any) -> bool:
        """Whether `data` is an array of the place's library and floating type."""
        return self.backend.owns(data) and bool(data.dtype == self._float)

    def real(self, where: str, name: str, data: Any) -> Array:
        """Return real data in the place's floating type: the same array where it fits already."""
        data = _plain(where, name, data)
        if self.takes(data):
            return self.backend.move(data, self.device)
        return self._enter(where, name, data, self.dtype)

    def integers(self, where: str, name: str, data: Any) -> Array:
        """Return integers in the backend's index type: the same array where it fits already."""
        if self.backend.owns(data) and data.dtype == self._index:
            return self.backend.move(data, self.device)
        return self._enter(where, name, data, self.backend.index_dtype)

    def _enter(self, where: str, name: str, data: Any, dtype: str) -> Array:
        if self.backend.owns(data) and not host.is_host(data):
            if _is(self.backend.xp, data.dtype, "complex floating"):
                raise ValueError(_not_real(where, name, data.dtype))
            return self.backend.convert(data, dtype, self.device)
        array = host_array(where, name, data, self.backend)
        _require_real(where, name, array)
        return self.backend.from_host(host.asarray(array, dtype), self.device)


def _plain(where: str, name: str, data: Any) -> Any:
    """Return NumPy's matrices and masked arrays as plain arrays; refuse masked values."""
    if host.is_masked(data):
        raise ValueError(
            f"{where}: `{name}` must have no masked values. Fill them first: {name}.filled(0.0)."
        )
    return host.asarray(data) if host.is_host(data) else data


def _not_real(where: str, name: str, came: Any) -> str:
    return (
        f"{where}: `{name}` must hold real numbers, got {came}. Encode categories first "
        "(nn.one_hot), and take the parts of complex numbers."
    )


def _require_real(where: str, name: str, array: host.HostArray) -> None:
    if array.dtype.kind not in REAL:
        came = f"dtype {array.dtype}" if array.ndim else type(array.item()).__name__
        raise ValueError(_not_real(where, name, came))


def host_array(where: str, name: str, data: Any, backend: Backend) -> host.HostArray:
    """Return array-like data of the host as a NumPy array; refuse another backend's arrays."""
    owner = registry.of(data)
    if owner.name != "numpy":
        raise ValueError(
            f"{where}: `{name}` is an array of {owner.name}, but the network lives on "
            f"{backend.name}. Move one of them: net.to({owner.name!r}), or pass a NumPy array."
        )
    return _rectangular(where, name, data)


def _rectangular(where: str, name: str, data: Any) -> host.HostArray:
    try:
        return registry.to_host(data)
    except (TypeError, ValueError) as error:  # ragged lists, types that NumPy lacks
        reason = str(error).rstrip(".")
        raise ValueError(f"{where}: `{name}` is no rectangular array: {reason}.") from error


def on_host(where: str, name: str, data: Any) -> host.HostArray:
    """Return real data of any backend as a NumPy array."""
    array = _rectangular(where, name, _plain(where, name, data))
    _require_real(where, name, array)
    return array


def features(
    where: str, place: Place, X: Any, width: int, name: str = "X", *, whole: bool = True
) -> Array:
    """Return X as the network's (n, width) array, n >= 1, or, unless it shall be whole, as `Rows`.

    Raises
    ------
    ValueError
        For another shape, an empty batch, another backend's array or data that is not real.
    """
    x = place.real(where, name, X) if whole else _perhaps_rows(where, place, name, X)
    if x.ndim != 2 or x.shape[1] != width or x.shape[0] == 0:
        hint = ""
        if x.ndim == 1:
            one = f"For one sample pass {name}[None, :]."
            hint = one if x.shape[0] == width else ""
            hint = f"For samples of one feature pass {name}[:, None]." if width == 1 else hint
        elif x.ndim == 2 and x.shape[1] == width:
            hint = "A batch has at least one sample."
        elif x.ndim > 2:
            hint = f"Flatten each sample: {name}.reshape(len({name}), -1)."
        raise ValueError(
            f"{where}: `{name}` must have shape (n, {width}), got {tuple(x.shape)}. {hint}".rstrip()
        )
    return x


def _perhaps_rows(where: str, place: Place, name: str, X: Any) -> Any:
    """Return X as the place's array, or as `Rows` where that would be too much at once."""
    room = place.backend.room(place.device)
    if not Rows.wants(X, place.takes(X), place.itemsize, room):
        return place.real(where, name, X)
    x = Rows(X if host.is_memory_map(X) else _plain(where, name, X), name)
    _require_real(where, name, x[:0])
    return x


def targets(
    where: str, place: Place, y: Any, loss: Loss, shape: tuple[int, int], name: str = "y"
) -> Array:
    """Return y as what `loss` computes with: class indices (n,), or real rows (n, K).

    Parameters
    ----------
    shape
        The scores' (n, K).

    Raises
    ------
    ValueError
        For a wrong shape, a label out of range, or rows that are no probabilities.
    """
    n, K = shape
    y = _plain(where, name, y)
    given = y if place.backend.owns(y) else host_array(where, name, y, place.backend)
    if loss.labels == "classes" and given.ndim == 1:
        if not _holds_integers(place, given):
            raise ValueError(
                f"{where}: `{name}` must hold integer class indices 0..{K - 1}, or one-hot rows, "
                f"got dtype {given.dtype}. Encode other labels with nn.OneHot."
            )
        _require_shape(where, name, given, (n,), f"one class index a row of X, or ({n}, {K}) rows")
        target = place.integers(where, name, given)
    else:
        given = given[:, None] if given.ndim == 1 and K == 1 else given
        target = place.real(where, name, given)
        _require_shape(where, name, given, (n, K), "a row for each row of X")
    if host.is_host(given):
        require_labels(where, place, given, loss, K, name)
    return target


def sample_weights(where: str, place: Place, weights: Any, n: int, name: str) -> Array:
    """Return weights as the place's (n,) array of finite numbers >= 0, not all 0; None stays None.

    It reads them: it waits for the device.
    """
    if weights is None:
        return None
    given = place.real(where, name, weights)
    _require_shape(where, name, given, (n,), "a weight for each row of X")
    require_finite(where, place, given, name)
    low, high = _extremes(place, given)
    if low < 0.0 or high == 0.0:
        raise ValueError(
            f"{where}: `{name}` must be >= 0, and not all 0, got values from {low:g} to {high:g}."
        )
    return given


def _holds_integers(place: Place, array: Array) -> bool:
    if host.is_host(array):
        return bool(array.dtype.kind in "iu")
    return _is(place.backend.xp, array.dtype, "integral")


@cache
def _is(xp: Any, dtype: Any, kind: str) -> bool:
    return bool(xp.isdtype(dtype, kind))


def _require_shape(where: str, name: str, array: Array, shape: tuple[int, ...], why: str) -> None:
    if tuple(array.shape) != shape:
        raise ValueError(
            f"{where}: `{name}` must have shape {shape} ({why}), got {tuple(array.shape)}."
        )


def require_labels(where: str, place: Place, y: Array, loss: Loss, K: int, name: str = "y") -> None:
    """Refuse targets out of range, shaped right already. It reads them: it waits for a device."""
    if loss.labels == "reals" or (host.is_host(y) and host.within(y, K)):
        return
    low, high = _extremes(place, y)
    if y.ndim == 1 and (low < 0 or high > K - 1):
        raise ValueError(
            f"{where}: `{name}` must hold class indices 0..{K - 1}, got values from {low:g} to "
            f"{high:g}. The network has {K} outputs; encode other labels with nn.OneHot."
        )
    if not (math.isfinite(low) and math.isfinite(high)):
        require_finite(where, place, y, name)
    if loss.labels == "counts":
        if low < 0.0:
            raise ValueError(
                f"{where}: `{name}` must hold counts or rates >= 0, got {low:g}. For targets of "
                "both signs use an identity output."
            )
        return
    if y.ndim == 2 and (low < 0.0 or high > 1.0):
        raise ValueError(
            f"{where}: `{name}` must hold probabilities in [0, 1], got values from {low:g} to "
            f"{high:g}."
        )
    if y.ndim == 2 and loss.labels == "classes":
        xp = registry.of(y).xp
        with place.scope():
            worst = float(xp.max(xp.abs(xp.sum(y, axis=1) - 1.0)))
        if not worst < 1e-2:
            raise ValueError(
                f"{where}: the rows of `{name}` must sum to 1 (one-hot or probabilities), one is "
                f"off by {worst:g}."
            )


def _extremes(place: Place, array: Array) -> tuple[float, float]:
    """Return the lowest and the highest entry, of this place or of the host."""
    xp = registry.of(array).xp
    with place.scope():
        return float(xp.min(array)), float(xp.max(array))


def require_finite(where: str, place: Place, array: Array, name: str) -> None:
    """Refuse NaN and infinity. It reads the array, so it waits for the device."""
    if host.is_host(array) and host.all_finite(array):
        return
    xp = registry.of(array).xp
    with place.scope():
        finite = xp.isfinite(array)
        if bool(xp.all(finite)):
            return
        good = registry.to_host(xp.all(xp.reshape(finite, (array.shape[0], -1)), axis=1))
    raise ValueError(_not_finite(where, place, name, host.arange(good.size)[~good], good.size))


def _not_finite(where: str, place: Place, name: str, bad: host.HostArray, looked_at: int) -> str:
    return (
        f"{where}: `{name}` must be finite in {place.dtype}, got NaN or infinity in {bad.size} of "
        f"{looked_at} rows, the first in row {bad.min()}. Remove or fill them first."
    )


def checked(
    where: str,
    place: Place,
    loss: Loss,
    widths: tuple[int, int],
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    names: Sequence[str] = ("X", "y", "sample_weight"),
    whole: bool = False,
) -> tuple[Array, Array, Array | None]:
    """Return data as the network's arrays after every check there is.

    Unless it shall be whole, an X that is too large becomes `Rows`, which are looked at when they
    are read. widths: the network's m_0 and K.
    """
    (inputs, K), (X_name, y_name, weight_name) = widths, names
    x = features(where, place, X, inputs, X_name, whole=whole)
    target = targets(where, place, y, loss, (x.shape[0], K), y_name)
    weights = sample_weights(where, place, sample_weight, x.shape[0], weight_name)
    if not isinstance(x, Rows):
        require_finite(where, place, x, X_name)
    if target.ndim == 2:
        require_finite(where, place, target, y_name)
    require_labels(where, place, target, loss, K, y_name)
    return x, target, weights


def read(where: str, place: Place, x: Rows, rows: Any) -> host.HostArray:
    """Return rows of x for `Backend.upload`: on the host, in the place's dtype, and looked at.

    rows: a slice, or indices.
    """
    part = x[rows]
    block = place.backend.staging(part.shape, place.dtype)
    block[...] = part
    if not host.all_finite(block):
        bad = host.arange(x.shape[0])[rows][~host.finite_rows(block)]
        raise ValueError(_not_finite(where, place, x.name, bad, len(block)))
    return block


@dataclass(frozen=True)
class OneHot:
    """Encoder and decoder between arbitrary class labels and one-hot rows or class indices.

    Parameters
    ----------
    classes
        The labels, all different; class k is the k-th. `OneHot.fit` takes them from data, sorted.

    Examples
    --------
    >>> import nnpoly as nn
    >>> encoder = nn.OneHot.fit(["dog", "cat", "dog"])
    >>> encoder.encode(["cat", "dog"])
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    >>> encoder.decode([[0.9, 0.1], [0.2, 0.8]]).tolist()
    ['cat', 'dog']
    """

    classes: tuple[Any, ...]

    def __post_init__(self) -> None:
        given = tuple(self.classes)
        classes = tuple(host.asarray(given).tolist())
        if not classes or classes != given or len(set(classes)) != len(classes):
            raise ValueError(
                f"OneHot: `classes` must be different labels of one kind, at least one, got "
                f"{self.classes!r}."
            )
        object.__setattr__(self, "classes", classes)

    @classmethod
    def fit(cls, labels: Any) -> OneHot:
        """Return the encoder of all labels in `labels`, sorted."""
        given = _labels(labels)
        try:
            return cls(tuple(host.unique(given).tolist()))
        except TypeError as error:
            raise ValueError(
                f"OneHot: `labels` must be of one kind that can be sorted: {error}. Name them in "
                "order instead: OneHot(classes)."
            ) from error

    def indices(self, labels: Any) -> host.HostArray:
        """Return each label's class index: (n,) integers."""
        given = _labels(labels)
        found = host.index_of(given, host.asarray(self.classes))
        unknown = given[found < 0]
        if unknown.size:
            raise ValueError(
                f"OneHot: `labels` must be among {_short(self.classes)}, got "
                f"{unknown.tolist()[0]!r} (row {(found < 0).tolist().index(True)})."
            )
        return found

    def encode(self, labels: Any, dtype: str = "float32") -> host.HostArray:
        """Return one-hot rows: (n, K)."""
        columns = host.asarray(range(len(self.classes)))
        rows: host.HostArray = self.indices(labels)[:, None] == columns
        return rows.astype(dtype)

    def decode(self, rows: Any) -> host.HostArray:
        """Return the label of each row's largest entry, or of each class index: (n,)."""
        given, K = registry.to_host(rows), len(self.classes)
        fits = given.ndim == 2 and given.shape[1] == K
        if not fits and not (given.dtype.kind in "iu" and host.within(given.astype("int64"), K)):
            raise ValueError(
                f"OneHot: `rows` must have shape (n, {K}), or be class indices 0..{K - 1}, got "
                f"shape {given.shape} of dtype {given.dtype}."
            )
        indices = given.argmax(axis=1) if fits else given
        return host.asarray(self.classes)[indices]


def _labels(labels: Any) -> host.HostArray:
    array = registry.to_host(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"OneHot: `labels` must be a non-empty vector of labels, got shape {array.shape}."
        )
    return array


def _short(classes: Sequence[Any]) -> str:
    shown = ", ".join(repr(c) for c in classes[:8])
    return shown + (", ..." if len(classes) > 8 else "")


def one_hot(labels: Any, classes: Any = None, dtype: str = "float32") -> Array:
    """Return one-hot rows of labels, on the labels' own backend.

    Parameters
    ----------
    labels
        (n,) labels of any kind: integers, strings, ....
    classes
        All labels in order, or their number K for the labels 0..K-1. None: those in `labels`,
        sorted.

    Returns
    -------
    Array
        (n, K) rows of `dtype` with a single 1.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.one_hot([2, 0], classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    if classes is None:
        encoder = OneHot.fit(labels)
    elif hasattr(classes, "__index__"):
        encoder = OneHot(tuple(range(_checks.integer("one_hot", "classes", classes))))
    else:
        encoder = OneHot(tuple(host.asarray(classes).tolist()))
    backend = registry.of(labels)
    device = None if backend.name == "numpy" else labels.device
    return backend.from_host(encoder.encode(labels, dtype), backend.device(device))
