"""The primitives of layers for tables in C: see `primitives.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..._core import ffi, lib
from ...activations import Activation
from ...primitives import Ops, implements
from ...primitives.tabular import features_of
from ..codes import CODES, known, parameter
from ..host import HostArray as Array
from .chains import MOST_WAVES, lines_of
from .core import Out, check, dtype_code, floats, new, place, pointer, readable, results, takes


def _sigma(activation: Activation) -> tuple[int, float]:
    return CODES[type(activation)], parameter(activation)


def _pair(delta: Array, x: Array) -> bool:
    return floats(delta, x) and x.ndim == 2 and delta.shape == x.shape


# Scale and Blend


def _accepts_scale_gradient(delta: Array, x: Array, out: Out = None) -> bool:
    return _pair(delta, x) and takes({"s": x.shape[1:]}, x, out)


@implements("scale_gradient", "numpy", guard=_accepts_scale_gradient)
def _scale_gradient(ops: Ops, delta: Array, x: Array, out: Out = None) -> Array:
    ds = results({"s": x.shape[1:]}, x, out)["s"]
    places = pointer(delta), pointer(x), pointer(ds)
    check(lib.nnpoly_scale_gradient(dtype_code(x.dtype), *places, *x.shape))
    return ds


def _accepts_blend(x: Array, a: Array, activation: Activation) -> bool:
    return known(activation) and floats(x, a) and x.ndim == 2 and a.shape == x.shape[1:]


@implements("blend", "numpy", guard=_accepts_blend)
def _blend(ops: Ops, x: Array, a: Array, activation: Activation) -> Array:
    out = new(ops, x.shape, x.dtype)
    places = pointer(x), pointer(a), pointer(out)
    check(lib.nnpoly_blend(dtype_code(x.dtype), *places, *x.shape, *_sigma(activation)))
    return out


def _accepts_blend_delta(delta: Array, x: Array, a: Array, activation: Activation) -> bool:
    return _pair(delta, x) and _accepts_blend(x, a, activation)


@implements("blend_delta", "numpy", guard=_accepts_blend_delta)
def _blend_delta(ops: Ops, delta: Array, x: Array, a: Array, activation: Activation) -> Array:
    out = new(ops, x.shape, x.dtype)
    places = pointer(delta), pointer(x), pointer(a), pointer(out)
    check(lib.nnpoly_blend_delta(dtype_code(x.dtype), *places, *x.shape, *_sigma(activation)))
    return out


def _accepts_blend_gradient(
    delta: Array, x: Array, activation: Activation, out: Out = None
) -> bool:
    return known(activation) and _pair(delta, x) and takes({"a": x.shape[1:]}, x, out)


@implements("blend_gradient", "numpy", guard=_accepts_blend_gradient)
def _blend_gradient(
    ops: Ops, delta: Array, x: Array, activation: Activation, out: Out = None
) -> Array:
    da = results({"a": x.shape[1:]}, x, out)["a"]
    places = pointer(delta), pointer(x), pointer(da)
    check(lib.nnpoly_blend_gradient(dtype_code(x.dtype), *places, *x.shape, *_sigma(activation)))
    return da


# Periodic


def _sizes(inputs: int, w: Array, b: Array | None, W: Array) -> dict[str, int]:
    """The fields of nnpoly_waves."""
    d, F = w.shape
    features = W.shape[1] + (b is not None)
    return {"inputs": inputs, "columns": d, "frequencies": F, "features": features}


def _outputs(sizes: Mapping[str, int]) -> int:
    return sizes["inputs"] + sizes["columns"] * (sizes["features"] - 1)


def _waves(x: Array, w: Array, b: Array | None, W: Array) -> bool:
    """Whether C takes a Periodic layer's input and parameters."""
    given = (x, w, W) if b is None else (x, w, b, W)
    if not (floats(*given) and x.ndim == w.ndim == 2 and W.ndim == 3):
        return False
    d, F = w.shape
    waves = 2 * F if b is None else F
    if W.shape[::2] != (d, waves) or not (b is None or b.shape == w.shape):
        return False
    k = _sizes(0, w, b, W)["features"]
    return bool(0 < d <= x.shape[1] and 0 < F <= MOST_WAVES and k <= MOST_WAVES)


def _accepts_periodic(x: Array, w: Array, b: Array | None, W: Array, c: Array) -> bool:
    return _waves(x, w, b, W) and readable(x.dtype, c) and c.shape == W.shape[:2]


@implements("periodic", "numpy", guard=_accepts_periodic)
def _periodic(ops: Ops, x: Array, w: Array, b: Array | None, W: Array, c: Array) -> Array:
    sizes = _sizes(x.shape[1], w, b, W)
    out = new(ops, (len(x), _outputs(sizes)), x.dtype)
    places = pointer(x), pointer(w), place(b), pointer(W), pointer(c), pointer(out)
    waves = ffi.new("struct nnpoly_waves *", sizes)
    check(lib.nnpoly_periodic(dtype_code(x.dtype), *places, len(x), waves))
    return out


def _by_waves(delta: Array, x: Array, post: Array, w: Array, b: Array | None, W: Array) -> bool:
    if not _waves(x, w, b, W):
        return False
    shape = len(x), _outputs(_sizes(x.shape[1], w, b, W))
    return readable(x.dtype, delta, post) and delta.shape == post.shape == shape


def _shapes(w: Array, b: Array | None, W: Array) -> dict[str, tuple[int, ...]]:
    phase = {} if b is None else {"b": w.shape}
    return {"w": w.shape, **phase, "W": W.shape, "c": W.shape[:2]}


def _accepts_periodic_gradients(
    delta: Array, x: Array, post: Array, w: Array, b: Array | None, W: Array, out: Out = None
) -> bool:
    return _by_waves(delta, x, post, w, b, W) and takes(_shapes(w, b, W), x, out)


@implements("periodic_gradients", "numpy", guard=_accepts_periodic_gradients)
def _periodic_gradients(
    ops: Ops,
    delta: Array,
    x: Array,
    post: Array,
    w: Array,
    b: Array | None,
    W: Array,
    out: Out = None,
) -> tuple[Array, ...]:
    gradients = results(_shapes(w, b, W), x, out)
    given = map(place, (delta, x, post, w, b, W))
    taken = (place(gradients.get(name)) for name in ("w", "b", "W", "c"))
    waves = ffi.new("struct nnpoly_waves *", _sizes(x.shape[1], w, b, W))
    check(lib.nnpoly_periodic_gradients(dtype_code(x.dtype), *given, *taken, len(x), waves))
    return tuple(gradients.values())


@implements("periodic_delta", "numpy", guard=_by_waves)
def _periodic_delta(
    ops: Ops, delta: Array, x: Array, post: Array, w: Array, b: Array | None, W: Array
) -> Array:
    out = new(ops, x.shape, x.dtype)
    places = map(place, (delta, x, post, w, b, W, out))
    waves = ffi.new("struct nnpoly_waves *", _sizes(x.shape[1], w, b, W))
    check(lib.nnpoly_periodic_delta(dtype_code(x.dtype), *places, len(x), waves))
    return out


# Embedding


def _columns(x: Array, sizes: Sequence[int]) -> bool:
    return x.ndim == 2 and 0 < len(sizes) <= x.shape[1]


def _accepts_embed(x: Array, E: Array, sizes: Sequence[int]) -> bool:
    tables = E.ndim == 2 and len(E) == sum(sizes) and E.shape[1] > 0
    return floats(x, E) and tables and _columns(x, sizes)


@implements("embed", "numpy", guard=_accepts_embed)
def _embed(ops: Ops, x: Array, E: Array, sizes: Sequence[int]) -> Array:
    (n, inputs), d, k = x.shape, len(sizes), E.shape[1]
    out = new(ops, (n, inputs + d * (k - 1)), x.dtype)
    places = pointer(x), pointer(E), ffi.new("int64_t[]", sizes), pointer(out)
    check(lib.nnpoly_embed(dtype_code(x.dtype), *places, n, inputs, d, k))
    return out


def _accepts_embed_gradient(delta: Array, x: Array, sizes: Sequence[int], out: Out = None) -> bool:
    if not (floats(delta, x) and _columns(x, sizes) and delta.ndim == 2 and len(delta) == len(x)):
        return False
    shape = sum(sizes), features_of(delta.shape[1], x.shape[1], len(sizes))
    return shape[1] > 0 and takes({"E": shape}, x, out)


@implements("embed_gradient", "numpy", guard=_accepts_embed_gradient)
def _embed_gradient(
    ops: Ops, delta: Array, x: Array, sizes: Sequence[int], out: Out = None
) -> Array:
    (n, inputs), d, k = x.shape, len(sizes), features_of(delta.shape[1], x.shape[1], len(sizes))
    dE = results({"E": (sum(sizes), k)}, x, out)["E"]
    places = pointer(delta), pointer(x), ffi.new("int64_t[]", sizes), pointer(dE)
    check(lib.nnpoly_embed_gradient(dtype_code(x.dtype), *places, n, inputs, d, k))
    return dE


# PiecewiseLinear

Bins: TypeAlias = Sequence[Sequence[float]]


def _lines(x: Array, w: Array, V: Array, bins: Bins) -> bool:
    """Whether C takes a PiecewiseLinear layer's input and parameters."""
    if not (floats(x, w, V) and x.ndim == w.ndim == 2 and V.ndim == 3):
        return False
    d, k = w.shape
    most = max(map(len, bins)) - 1
    if V.shape != (d, k, most) or len(bins) != d:
        return False
    return bool(0 < d <= x.shape[1] and 0 < k <= MOST_WAVES and most <= MOST_WAVES)


class _Lines:
    """C's nnpoly_lines, and the arrays that it points to."""

    def __init__(self, x: Array, k: int, bins: Bins) -> None:
        self._held = lines_of(bins)
        fields = {"inputs": x.shape[1], "features": k, **self._held}
        self.place = ffi.new("struct nnpoly_lines *", fields)


def _accepts_piecewise(x: Array, w: Array, c: Array, V: Array, bins: Bins) -> bool:
    return _lines(x, w, V, bins) and readable(x.dtype, c) and c.shape == w.shape


@implements("piecewise", "numpy", guard=_accepts_piecewise)
def _piecewise(ops: Ops, x: Array, w: Array, c: Array, V: Array, bins: Bins) -> Array:
    (n, inputs), (d, k) = x.shape, w.shape
    out, lines = new(ops, (n, inputs + d * (k - 1)), x.dtype), _Lines(x, k, bins)
    places = map(pointer, (x, w, c, V, out))
    check(lib.nnpoly_piecewise(dtype_code(x.dtype), *places, n, lines.place))
    return out


def _shapes_of_lines(delta: Array, x: Array, bins: Bins) -> dict[str, tuple[int, ...]]:
    d = len(bins)
    k = features_of(delta.shape[1], x.shape[1], d)
    return {"w": (d, k), "c": (d, k), "V": (d, k, max(map(len, bins)) - 1)}


def _accepts_piecewise_gradients(delta: Array, x: Array, bins: Bins, out: Out = None) -> bool:
    if not (floats(delta, x) and delta.ndim == x.ndim == 2 and len(delta) == len(x)):
        return False
    if not 0 < len(bins) <= x.shape[1]:
        return False
    shapes = _shapes_of_lines(delta, x, bins)
    _, *sizes = shapes["V"]
    width = x.shape[1] + len(bins) * (sizes[0] - 1)
    fits = delta.shape[1] == width and min(sizes) > 0 and max(sizes) <= MOST_WAVES
    return fits and takes(shapes, x, out)


@implements("piecewise_gradients", "numpy", guard=_accepts_piecewise_gradients)
def _piecewise_gradients(
    ops: Ops, delta: Array, x: Array, bins: Bins, out: Out = None
) -> tuple[Array, ...]:
    shapes = _shapes_of_lines(delta, x, bins)
    gradients, lines = results(shapes, x, out), _Lines(x, shapes["w"][1], bins)
    places = map(pointer, (delta, x, *gradients.values()))
    check(lib.nnpoly_piecewise_gradients(dtype_code(x.dtype), *places, len(x), lines.place))
    return tuple(gradients.values())


def _accepts_piecewise_delta(delta: Array, x: Array, w: Array, V: Array, bins: Bins) -> bool:
    if not (_lines(x, w, V, bins) and readable(x.dtype, delta)):
        return False
    (n, inputs), (d, k) = x.shape, w.shape
    return bool(delta.shape == (n, inputs + d * (k - 1)))


@implements("piecewise_delta", "numpy", guard=_accepts_piecewise_delta)
def _piecewise_delta(ops: Ops, delta: Array, x: Array, w: Array, V: Array, bins: Bins) -> Array:
    out, lines = new(ops, x.shape, x.dtype), _Lines(x, w.shape[1], bins)
    places = map(pointer, (delta, x, w, V, out))
    check(lib.nnpoly_piecewise_delta(dtype_code(x.dtype), *places, len(x), lines.place))
    return out
