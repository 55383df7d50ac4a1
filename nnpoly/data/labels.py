"""Labels: class labels of any kind as one-hot rows or class indices, and back.

Labels are compared exactly: 2^53 and 2^53 + 1 are two classes, in whatever type they come.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from .. import _checks
from .._described import Described
from ..backends import host, registry
from ..primitives import Array


class OneHot(Described):
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
        classes = tuple(_array(given).tolist())
        if not classes or classes != given or len(set(classes)) != len(classes):
            raise ValueError(
                f"OneHot: `classes` must be different labels of one kind, at least one, got "
                f"{self.classes!r}."
            )
        self._set(classes=classes)

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
        found = _places(given, _array(self.classes))
        unknown = given[found < 0]
        if unknown.size:
            raise ValueError(
                f"OneHot: `labels` must be among {_short(self.classes)}, got "
                f"{unknown.tolist()[0]!r} (row {(found < 0).tolist().index(True)})."
            )
        return found

    def encode(self, labels: Any, dtype: str = "float32") -> host.HostArray:
        """Return one-hot rows: (n, K)."""
        columns = host.arange(len(self.classes))
        rows: host.HostArray = self.indices(labels)[:, None] == columns
        return rows.astype(dtype)

    def decode(self, rows: Any) -> host.HostArray:
        """Return the label of each row's largest entry, or of each class index: (n,)."""
        given, K = registry.to_host(rows), len(self.classes)
        if given.shape in ((0,), (0, K)):
            return _array(self.classes)[:0]
        fits = given.ndim == 2 and given.shape[1] == K
        if not fits and not (given.dtype.kind in "iu" and host.within(given.astype("int64"), K)):
            raise ValueError(
                f"OneHot: `rows` must have shape (n, {K}), or be class indices 0..{K - 1}, got "
                f"shape {given.shape} of dtype {given.dtype}."
            )
        indices = given.argmax(axis=1) if fits else given
        return _array(self.classes)[indices]


def _array(labels: Any) -> host.HostArray:
    """Labels as an array in which different ones stay different.

    NumPy turns integers beyond int64, and integers beside floats, into float64, which rounds them:
    they stay Python's own integers then.
    """
    array = registry.to_host(labels)
    if array.dtype.kind != "f" or array.ndim != 1 or not isinstance(labels, list | tuple):
        return array
    whole = [hasattr(label, "__index__") for label in labels]
    exact = [operator.index(x) if w else x for x, w in zip(labels, whole, strict=True)]
    rounded = any(w and x != a for x, w, a in zip(exact, whole, array.tolist(), strict=True))
    return host.asarray(exact, "object") if rounded or all(whole) else array


def _places(labels: host.HostArray, classes: host.HostArray) -> host.HostArray:
    """The place in `classes` of each label, -1 where it is not among them: (n,)."""
    kinds = {labels.dtype.kind, classes.dtype.kind}
    if "O" not in kinds and (len(kinds) == 1 or not kinds & set("iuf")):
        return host.index_of(labels, classes)
    # NumPy would compare an int64 and a uint64, or a float, as float64.
    places = {label: k for k, label in enumerate(classes.tolist())}
    return host.asarray([places.get(label, -1) for label in labels.tolist()])


def _labels(labels: Any) -> host.HostArray:
    """Labels as a vector: (n,), n >= 1."""
    array = _array(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"OneHot: `labels` must be a non-empty vector of labels, got shape {array.shape}."
        )
    return array


def _short(classes: Sequence[Any]) -> str:
    """The first classes as text, for a message."""
    first = ", ".join(repr(c) for c in classes[:8])
    return first + (", ..." if len(classes) > 8 else "")


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
        encoder = OneHot(tuple(_array(classes).tolist()))
    backend = registry.of(labels)
    device = None if backend.name == "numpy" else labels.device
    return backend.from_host(encoder.encode(labels, dtype), backend.device(device))
