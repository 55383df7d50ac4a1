"""The contestants of kernels.py: NumPy, torch and nnpoly.

A case is `name:shape[:activation]`, as `kernels.KERNELS` lists them; shapes are n x m_in x m for
products, a number of elements for activations. Every contestant writes into memory that it already
has wherever its library can. Products named `-bf16` are of float32 arrays, whose factors nnpoly
and torch round to bfloat16 first; NumPy, which has no such type, takes them as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
from timing import Blocks

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))


class Arrays:
    """The inputs of a kernel, equal for every contestant."""

    def __init__(self, kernel: str) -> None:
        name, shape, *rest = kernel.split(":")
        self.name, _, precision = name.partition("-")
        self.precision = precision or None
        self.sizes = [int(size) for size in shape.split("x")]
        self.activation = rest[0] if rest else "identity"
        rng = np.random.default_rng(0)

        def draw(*sizes: int) -> np.ndarray:
            return rng.standard_normal(sizes, dtype=np.float32)

        if len(self.sizes) == 3:
            n, m_in, m = self.sizes
            self.x, self.W, self.b, self.delta = draw(n, m_in), draw(m, m_in), draw(m), draw(n, m)
        else:
            self.x, self.delta = draw(*self.sizes), draw(*self.sizes)
            if self.name == "slope" and self.activation == "tanh":
                self.x = np.tanh(self.x)  # its derivative reads post


Kernel = Callable[[], Any]


def by_numpy(a: Arrays) -> Kernel:
    """Build the kernel as NumPy code with preallocated results."""
    from scipy.special import expit, ndtr

    if a.name == "dense":
        post = np.empty((a.sizes[0], a.sizes[2]), np.float32)

        def dense() -> Any:
            np.dot(a.x, a.W.T, out=post)
            np.add(post, a.b, out=post)
            return np.maximum(post, 0.0, out=post)

        return dense
    if a.name == "delta":
        d_post, passes = np.empty_like(a.x), np.empty(a.x.shape, np.bool_)

        def delta() -> Any:
            np.dot(a.delta, a.W, out=d_post)
            np.greater(a.x, 0.0, out=passes)
            return np.multiply(d_post, passes, out=d_post)

        return delta
    if a.name == "gradients":
        dW, db = np.empty_like(a.W), np.empty_like(a.b)

        def gradients() -> Any:
            np.add.reduce(a.delta, axis=0, out=db)
            return np.dot(a.delta.T, a.x, out=dW)

        return gradients
    z, out, room = a.x, np.empty_like(a.x), np.empty_like(a.x)

    def elu() -> Any:
        np.expm1(np.minimum(z, 0.0, out=out), out=out)
        return np.maximum(z, out, out=out)

    def gelu_slope() -> Any:
        np.exp(np.multiply(np.multiply(z, z, out=room), -0.5, out=room), out=room)
        np.multiply(np.multiply(room, z, out=room), 0.3989423, out=room)
        return np.multiply(np.add(ndtr(z, out=out), room, out=out), a.delta, out=out)

    def tanh_slope() -> Any:
        np.subtract(1.0, np.multiply(z, z, out=out), out=out)
        return np.multiply(out, a.delta, out=out)

    return {
        ("sigma", "relu"): lambda: np.maximum(z, 0.0, out=out),
        ("sigma", "sigmoid"): lambda: expit(z, out=out),
        ("sigma", "tanh"): lambda: np.tanh(z, out=out),
        ("sigma", "elu"): elu,
        ("sigma", "softplus"): lambda: np.logaddexp(z, 0.0, out=out),
        ("sigma", "silu"): lambda: np.multiply(z, expit(z, out=out), out=out),
        ("sigma", "gelu"): lambda: np.multiply(z, ndtr(z, out=out), out=out),
        ("slope", "tanh"): tanh_slope,
        ("slope", "gelu"): gelu_slope,
    }[a.name, a.activation]


def by_torch(a: Arrays) -> Kernel:
    """Build the kernel as eager torch without autograd."""
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    x, d = torch.from_numpy(a.x), torch.from_numpy(a.delta)
    F, aten = torch.nn.functional, torch.ops.aten
    if len(a.sizes) == 3:
        W, b = torch.from_numpy(a.W), torch.from_numpy(a.b)
        if a.precision:
            return rounded_by_torch(a.name, x, W, b, d)
        dW, db = torch.empty_like(W), torch.empty_like(b)

        def gradients() -> Any:
            torch.sum(d, 0, out=db)
            return torch.mm(d.T, x, out=dW)

        return {
            "dense": lambda: torch.relu_(F.linear(x, W, b)),
            "delta": lambda: aten.threshold_backward(d @ W, x, 0),
            "gradients": gradients,
        }[a.name]
    out = torch.empty_like(x)
    return {
        ("sigma", "relu"): lambda: torch.clamp_min(x, 0.0, out=out),
        ("sigma", "sigmoid"): lambda: torch.sigmoid(x, out=out),
        ("sigma", "tanh"): lambda: torch.tanh(x, out=out),
        ("sigma", "elu"): lambda: aten.elu.out(x, out=out),
        ("sigma", "softplus"): lambda: aten.softplus.out(x, out=out),
        ("sigma", "silu"): lambda: aten.silu.out(x, out=out),
        ("sigma", "gelu"): lambda: aten.gelu.out(x, out=out),
        ("slope", "tanh"): lambda: aten.tanh_backward.grad_input(d, x, grad_input=out),
        ("slope", "gelu"): lambda: aten.gelu_backward.grad_input(d, x, grad_input=out),
    }[a.name, a.activation]


def rounded_by_torch(name: str, x: Any, W: Any, b: Any, d: Any) -> Kernel:
    """Build a product as torch's autocast does it: factors are cast, the result is bfloat16."""
    import torch

    half = torch.bfloat16
    return {
        "dense": lambda: torch.relu_(
            torch.nn.functional.linear(x.to(half), W.to(half), b.to(half))
        ),
        "delta": lambda: torch.ops.aten.threshold_backward(d.to(half) @ W.to(half), x.to(half), 0),
        "gradients": lambda: d.to(half).T @ x.to(half),
    }[name]


def by_nnpoly(a: Arrays) -> Kernel:
    """Build the kernel as the library runs it inside a training step, dispatch included."""
    import nnpoly as nn
    from nnpoly.backends import get

    nn.set_num_threads(THREADS)
    relu = nn.activations.relu

    def compiled(function: Callable[..., Any]) -> Kernel:
        return get("numpy").compile(function, a.precision)

    if a.name == "dense":
        return compiled(lambda ops: ops.dense(a.x, a.W, a.b, relu, False)[1])
    if a.name == "delta":
        return compiled(lambda ops: ops.dense_delta(a.delta, a.W, None, a.x, relu))
    if a.name == "gradients":
        out = {"W": np.empty_like(a.W), "b": np.empty_like(a.b)}
        return compiled(lambda ops: ops.dense_gradients(a.delta, a.x, out)[0])
    sigma = nn.activations.get(a.activation)
    if a.name == "sigma":
        return compiled(lambda ops: ops.activate(a.x, sigma))

    # In place, again and again; what becomes of the numbers does not change the time.
    d = a.delta.copy()
    return compiled(lambda ops: ops.activation_delta(d, a.x, a.x, sigma))


CONTESTANTS = {"numpy": by_numpy, "torch": by_torch, "nnpoly": by_nnpoly}


class Calls:
    """Calls of a function without arguments, as steps."""

    def __init__(self, function: Kernel) -> None:
        self.function = function

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.function()

    def wait(self) -> None:
        """Do nothing: no call returns before it is done."""


def versions(contestant: str) -> dict[str, str]:
    """Return the version of the contestant's library."""
    return {contestant: metadata.version(contestant)}


def timed(kernel: Kernel) -> Blocks:
    """Return the case of a kernel, with some of its results and the sum of their sizes."""
    result = kernel()
    if not isinstance(result, np.ndarray):
        result = result.float()  # NumPy has no bfloat16
    result = np.asarray(result).reshape(-1).astype(float)
    values = [*result[:: max(1, result.size // 97)].tolist(), float(np.abs(result).sum())]
    return Blocks(Calls(kernel), values=values)


def prepare(contestant: str, kernel: str) -> Blocks:
    """Build a kernel."""
    return timed(CONTESTANTS[contestant](Arrays(kernel)))
