"""Entering: a user's arrays are checked, once, and become the network's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard, cast

from ..backends import Backend, host, registry
from ..backends.steps import Batch
from ..losses import Loss
from ..primitives import Array, is_category
from .frames import REAL
from .place import Kind, Place, host_array, is_kind, not_finite, plain, require_real
from .rows import Rows, is_source, reads_by_rows


class Ends(NamedTuple):
    """What a network takes and gives: m_0 and K, and the categories of each of its last columns."""

    inputs: int
    outputs: int
    categories: tuple[int, ...] = ()


def features(
    where: str, place: Place, X: Any, width: int, name: str = "X", *, whole: bool = True
) -> Array:
    """X as the network's (n, width) array, n >= 1; unless it must be whole, perhaps as `Rows`.

    Raises
    ------
    ValueError
        For another shape, an empty batch, another backend's array or data that is not real.
    """
    require_whole(where, place.backend, name, X)
    fits = _is_of(place.reals, X)
    x: Array = host.in_order(X if fits else _entered(where, place, name, X, whole))
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


def _entered(where: str, place: Place, name: str, X: Any, whole: bool) -> Any:
    """X as the place's array; or as `Rows`, unless it must be whole, where it is too large."""
    if isinstance(X, Rows):
        return X
    source = is_source(where, name, X)
    given = X if source else plain(where, name, X, place.dtype)
    if (source or host.is_host(given)) and len(given.shape) == 2:
        by_rows = not whole and reads_by_rows(given, place, source)
        if by_rows or not host.is_host(given):
            rows = Rows(given, name)
            require_real(where, name, rows[:0])
            if by_rows:
                return rows
            given = read(where, place, rows, slice(None))
    return place.real(where, name, given)


def require_whole(where: str, backend: Backend, name: str, data: Any) -> None:
    """Refuse arrays of the backend's library that do not hold all their entries."""
    if host.is_array(data) or not backend.owns(data) or not (lack := backend.lack(data)):
        return
    remedy = "Pass one that has values."
    if lack == "sparse":
        remedy = (
            f"Pass {name}.to_dense(), or one of SciPy's sparse matrices, which become dense a "
            "batch at a time."
        )
    raise ValueError(
        f"{where}: `{name}` must be dense on {backend.name}, got a {lack} array. {remedy}"
    )


def _is_of(kind: Kind, data: Any) -> TypeGuard[Array]:
    """Whether data are an array of this kind, which is taken as it is."""
    return bool(type(data) is kind.type and data.dtype == kind.dtype and data.device == kind.device)


def targets(
    where: str,
    place: Place,
    y: Any,
    loss: Loss,
    shape: tuple[int, int],
    name: str = "y",
    *,
    wait: bool = True,
) -> Array:
    """Targets y for a loss: class indices (n,), or real rows (n, K).

    Class indices may come as a column (n, 1), as truth values, and, where they are looked at, as
    floating-point numbers without fractions.

    Parameters
    ----------
    shape
        The scores' (n, K).
    wait
        Look at values on a device too, which waits for it; those on the host are always looked at.

    Raises
    ------
    ValueError
        For a wrong shape, a label out of range, or rows that are no probabilities.
    """
    n, K = shape
    require_whole(where, place.backend, name, y)
    fits = _is_of(place.indices, y) or _is_of(place.reals, y)
    given = host.in_order(y if fits else _own_or_hosts(where, place, name, y))
    if loss.labels == "classes" and given.ndim == 2 and given.shape[1] == 1 < K:
        given = given[:, 0]
    if loss.labels == "classes" and given.ndim == 1:
        wanted: tuple[int, ...] = (n,)
        why = f"one class index a row of X, or ({n}, {K}) rows"
        target: Array
        if _is_of(place.indices, given):
            target = given
        else:
            given = _indices(where, place, name, given, K, wait)
            target = place.integers(where, name, given)
    else:
        if loss.labels == "probabilities" and host.is_host(given) and given.dtype.kind in "OUST":
            raise ValueError(
                f"{where}: `{name}` must hold 0 and 1, or probabilities, got dtype {given.dtype}. "
                f"{_encoding(name)}"
            )
        given = given[:, None] if given.ndim == 1 and K == 1 else given
        wanted, why = (n, K), "a row for each row of X"
        target = given if _is_of(place.reals, given) else place.real(where, name, given)
    if tuple(given.shape) != wanted:
        raise ValueError(_wrong_shape(where, name, given, wanted, why))
    on_host = host.is_host(given)
    if wait or on_host:
        looked_at = given if on_host else target
        _require_labels(where, place, looked_at, loss, K, name)
        if given.ndim == 2:
            require_finite(where, place, looked_at, name)
    return target


def _own_or_hosts(where: str, place: Place, name: str, y: Any) -> Array:
    """Array-like data as an array of the place's library, or of the host."""
    if y is None:
        raise ValueError(f"{where}: `{name}` is missing. Pass the targets, one for each row of X.")
    y = plain(where, name, y)
    if place.backend.owns(y):
        return y
    return cast("Array", host_array(where, name, y, place.backend))


def sample_weights(where: str, place: Place, weights: Any, n: int, name: str) -> Array | None:
    """Weights as the place's (n,) array of finite numbers >= 0, not all 0; None stays None.

    It reads them: it waits for the device.
    """
    if weights is None:
        return None
    given: Array = host.in_order(place.real(where, name, weights))
    if tuple(given.shape) != (n,):
        raise ValueError(_wrong_shape(where, name, given, (n,), "a weight for each row of X"))
    require_finite(where, place, given, name)
    low, high = _extremes(place, given)
    if low < 0.0 or high == 0.0:
        raise ValueError(
            f"{where}: `{name}` must be >= 0, and not all 0, got values from {low:g} to {high:g}."
        )
    return given


def _indices(where: str, place: Place, name: str, y: Array, K: int, wait: bool) -> Array:
    """Class indices of any type as integers: (n,)."""
    xp, of_host = registry.of(y).xp, host.is_host(y)
    real = not of_host or y.dtype.kind in REAL
    if real and is_kind(xp, y.dtype, "integral"):
        return y
    must = f"{where}: `{name}` must hold integer class indices 0..{K - 1}, or one-hot rows, got"
    index = xp.int64 if of_host else place.backend.dtype(place.backend.index_dtype)
    with place.scope():
        if real and is_kind(xp, y.dtype, "bool"):
            return xp.astype(y, index)
        if real and is_kind(xp, y.dtype, "real floating") and (of_host or wait):
            require_finite(where, place, y, name)
            whole: Any = xp.floor(y) == y
            if bool(xp.all(whole)):
                return xp.astype(y, index)
            row = int(xp.argmax(xp.astype(~whole, index)))
            raise ValueError(
                f"{must} {float(y[row]):g} in row {row}. For targets that are numbers make the "
                "network with output='identity'."
            )
    remedy = _encoding(name) if of_host and not real else "Pass integers."
    raise ValueError(f"{must} dtype {y.dtype}. {remedy}")


def _encoding(name: str) -> str:
    """How labels of another kind are trained on."""
    return (
        f"Encode other labels: labels = nn.OneHot.fit({name}), and train with labels.indices("
        f"{name}); labels.decode(net.classify(X)) gives them back."
    )


def _wrong_shape(where: str, name: str, array: Array, shape: tuple[int, ...], why: str) -> str:
    return f"{where}: `{name}` must have shape {shape} ({why}), got {tuple(array.shape)}."


def _require_labels(where: str, place: Place, y: Array, loss: Loss, K: int, name: str) -> None:
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
    """The lowest and the highest entry, of an array of this place or of the host."""
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
    raise ValueError(not_finite(where, name, place.dtype, good))


def checked(
    where: str,
    place: Place,
    loss: Loss,
    ends: Ends,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    names: Sequence[str] = ("X", "y", "sample_weight"),
    whole: bool = False,
) -> Batch:
    """Data as the network's arrays, after every check there is.

    Unless it must be whole, an X that is too large becomes `Rows`, which are looked at when they
    are read.
    """
    X_name, y_name, weight_name = names
    x = features(where, place, X, ends.inputs, X_name, whole=whole)
    n = int(x.shape[0])
    target = targets(where, place, y, loss, (n, ends.outputs), y_name)
    weights = None
    if sample_weight is not None:
        weights = sample_weights(where, place, sample_weight, n, weight_name)
    require_numbers(where, place, x, ends, X_name)
    return Batch(x, target, weights)


def require_numbers(where: str, place: Place, x: Array, ends: Ends, name: str) -> None:
    """Refuse NaN and infinity, and numbers that are no categories where a network takes such.

    It reads the array, so it waits for the device. `Rows` are looked at when they are read.
    """
    if isinstance(x, Rows):
        x.categories = ends.categories
        return
    require_finite(where, place, x, name)
    if ends.categories:
        _require_categories(where, place, x, ends.categories, name)


def _require_categories(
    where: str,
    place: Place,
    x: Array,
    sizes: Sequence[int],
    name: str,
    numbers: host.HostArray | None = None,
) -> None:
    """Refuse numbers that are no categories. numbers: of the rows; None for 0..n-1."""
    xp, first = registry.of(x).xp, x.shape[1] - len(sizes)
    with place.scope():
        for j, size in enumerate(sizes, first):
            known = is_category(xp, x[:, j], size)
            if not bool(xp.all(known)):
                row = int(xp.argmax(xp.astype(~known, xp.int32)))
                number = row if numbers is None else numbers[row]
                raise ValueError(
                    f"{where}: `{name}` must hold categories 0 to {size - 1} in column {j}, which "
                    f"an Embedding reads, got {float(x[row, j]):g} in row {number}. Encode unknown "
                    "values as a category of their own."
                )


def read(where: str, place: Place, x: Rows, rows: Any) -> host.HostArray:
    """Rows of x for `Backend.upload`: on the host, in the place's dtype, and looked at.

    rows: a slice, or indices.
    """
    numbers = x.numbers(rows)
    block = place.backend.staging((len(numbers), x.shape[1]), place.dtype)
    x.read(rows, block)
    if not host.all_finite(block):
        finite = host.finite_rows(block)
        raise ValueError(not_finite(where, x.name, place.dtype, finite, numbers))
    _require_categories(where, place, cast("Array", block), x.categories, x.name, numbers)
    return block
