"""JAX arrays: pure functions throughout, a whole training step compiled by `jax.jit`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeGuard

from ..primitives import SMALLEST, Array, Ops, implements
from . import host
from .base import Backend
from .steps import Functions, Spec, State, Steps

try:
    import jax
    import jax.numpy as jnp
    import jax.scipy.special
except ImportError as error:
    raise ImportError("JAX is not installed: pip install nnpoly[jax]") from error


class Jax(Backend):
    """JAX arrays, which are immutable."""

    name = "jax"
    index_dtype = "int32"

    def __init__(self) -> None:
        self.xp = jnp

    def owns(self, array: Any) -> TypeGuard[Array]:
        return isinstance(array, jax.Array)

    def device(self, device: Any) -> Any:
        if device is None:
            return jnp.empty(0).device
        if isinstance(device, jax.Device | jax.sharding.Sharding):
            return device
        platform, _, number = str(device).partition(":")
        try:
            return dict(enumerate(jax.devices(platform)))[int(number or 0)]
        except (RuntimeError, KeyError, ValueError) as error:
            known = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
            raise ValueError(f"jax: `device` must be one of {known}, got {device!r}.") from error

    def from_host(self, array: host.HostArray, device: Any) -> jax.Array:
        # JAX may read the host's memory after it has returned: so a copy that is nobody else's.
        return jax.device_put(host.copy(array), device)

    def move(self, array: jax.Array, device: Any) -> jax.Array:
        if isinstance(array, jax.core.Tracer) or array.device == device:  # a tracer has no device
            return array
        return jax.device_put(array, device)

    def check_dtype(self, where: str, dtype: str) -> None:
        if dtype == "float64" and not jax.config.jax_enable_x64:
            raise ValueError(
                f"{where}: `dtype` float64 needs JAX's 64-bit mode, which is off. Pass "
                "dtype='float32', or set JAX_ENABLE_X64=1 or call "
                "jax.config.update('jax_enable_x64', True) at the start."
            )

    def scope(self, device: Any) -> AbstractContextManager[Any]:
        # float32 means float32: without this JAX may multiply in TF32 or bfloat16 on accelerators.
        precision: AbstractContextManager[Any] = jax.default_matmul_precision("highest")
        return precision

    def eager(self) -> AbstractContextManager[Any]:
        eager: AbstractContextManager[Any] = jax.ensure_compile_time_eval()
        return eager

    def widened(self, dtype: str) -> AbstractContextManager[Any]:
        return jax.enable_x64(True) if dtype == "float64" else nullcontext()

    def compile(
        self, function: Callable[..., Any], precision: str | None = None
    ) -> Callable[..., Any]:
        compiled: Callable[..., Any] = jax.jit(partial(function, self.ops_with(precision)))
        return compiled

    def steps(self, spec: Spec, functions: Functions) -> Steps:
        # w alone is donated: with the moments too, a step of a million parameters was measured to
        # take three times as long on a CPU.
        ops = self.ops_with(spec.precision)

        def apart(w: jax.Array, moments: Any, buffers: Any, *rest: Any) -> Any:
            return functions.step(ops, State(w, moments, buffers), *rest)

        compiled = jax.jit(apart, donate_argnums=(0,))
        path = "one jitted call a step, in the parameters' own memory"
        made = functions.compiled(self.compile, spec.precision)
        made = made._replace(step=lambda state, *rest: compiled(*state, *rest))
        return Steps(made, self.copy, path)

    def version(self) -> str:
        return f"{jax.__version__} ({jax.devices()[0].device_kind})"


def load() -> Backend:
    """Return the backend."""
    return Jax()


@implements("normal_cdf", "jax", guard=lambda z: str(z.dtype) in ("float32", "float64"))
def _normal_cdf(ops: Ops, z: jax.Array) -> jax.Array:
    return jax.scipy.special.ndtr(z)


@implements("flatten", "jax")
def _flatten(ops: Ops, pieces: Any, out: Any = None, views: Any = None) -> jax.Array:
    # Piece by piece into one array: a concatenation is fused with the optimiser that reads it, and
    # a step of a million parameters was measured to take twice as long.
    flat = [jnp.ravel(piece) for piece in pieces]
    g = jnp.zeros(sum(piece.size for piece in flat), flat[0].dtype)
    start = 0
    for piece in flat:
        g = jax.lax.dynamic_update_slice(g, piece, (start,))
        start += piece.size
    return g


@implements("bfloat16", "jax", guard=lambda x: str(x.dtype) == "float32")
def _bfloat16(ops: Ops, x: jax.Array) -> jax.Array:
    # No pair of casts, which XLA may leave out: it takes more precision than it was asked for.
    nearest = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    return jnp.where(jnp.abs(x) < SMALLEST, x * 0.0, nearest)


def _is_single(first: jax.Array, second: jax.Array, *rest: Any, **options: Any) -> bool:
    return str(first.dtype) == str(second.dtype) == "float32"


def _product(ops: Ops, left: jax.Array, right: jax.Array, axes: tuple[int, int]) -> jax.Array:
    """Sums, in float32, of products of rounded numbers along an axis of each."""
    factors = (ops.bfloat16(array).astype(jnp.bfloat16) for array in (left, right))
    along = (axes[:1], axes[1:]), ((), ())
    return jax.lax.dot_general(*factors, along, preferred_element_type=jnp.float32)


@implements("dense_bf16", "jax", guard=_is_single)
def _dense_bf16(
    ops: Ops, x: jax.Array, W: jax.Array, b: Any, activation: Any, keep_pre: bool = True
) -> tuple[jax.Array, jax.Array]:
    pre = _product(ops, x, W, (1, 1))
    pre = pre if b is None else pre + b
    return pre, ops.activate(pre, activation)


@implements("dense_delta_bf16", "jax", guard=_is_single)
def _dense_delta_bf16(
    ops: Ops, delta: jax.Array, W: jax.Array, pre: Any, post: jax.Array, activation: Any
) -> Any:
    return ops.activation_delta(_product(ops, delta, W, (1, 0)), pre, post, activation)


@implements("dense_gradients_bf16", "jax", guard=_is_single)
def _dense_gradients_bf16(
    ops: Ops, delta: jax.Array, x: jax.Array, out: Any = None, biased: bool = True
) -> tuple[jax.Array, jax.Array | None]:
    return _product(ops, delta, x, (0, 0)), jnp.sum(delta, axis=0) if biased else None
