"""Networks as C: each layer as calls of the functions in `c/layers.h`, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Exp,
    GELUTanh,
    Identity,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Step,
    Tanh,
)
from ..backends import host
from ..layers import (
    BatchNorm,
    Blend,
    Dense,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    MemberDense,
    MemberScale,
    Periodic,
    PiecewiseLinear,
    Residual,
    Scale,
    SharedDense,
)
from ..network import Network
from .c_tables import literal

Parameters = Mapping[str, Any]

# Of a z; {a} is the parameter.
SIGMA: dict[type[Activation], str] = {
    Step: "threshold(z)",
    Linear: "{a} * z",
    Sigmoid: "sigmoid(z)",
    Tanh: "tanh_(z)",
    ReLU: "relu(z)",
    LeakyReLU: "leaky_relu(z, set1({a}))",
    ELU: "elu(z, set1({a}))",
    SELU: "selu(z)",
    Softplus: "softplus(z)",
    SiLU: "silu(z)",
    Mish: "mish(z)",
    GELU: "gelu(z)",
    GELUTanh: "gelu_tanh(z)",
    Exp: "exp_full(z)",
}
OUTPUTS: dict[str, Activation] = {"exp": Exp(), "sigmoid": Sigmoid(), "step": Step()}
ZERO = "0"
ALIGNED = 64  # bytes, at which each array begins
TURNS_A_RADIAN = 0.15915494309189533577


class Numbers:
    """A network's numbers in one array, in which each layer's begin at a multiple of a line."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.parts: list[tuple[str, host.HostArray]] = []
        self.size = 0

    def add(self, what: str, values: Any) -> str:
        """Append the values, rounded to the dtype; returns where they are, as C has it."""
        flat = host.asarray(values, self.dtype).reshape(-1)
        line = ALIGNED // flat.itemsize
        at = self.size
        self.parts.append((what, flat))
        self.size += -(-flat.size // line) * line
        return f"w + {at}"

    def require_finite(self, where: str, network: int) -> None:
        """Refuse numbers that C has no constants for."""
        for what, values in self.parts:
            if not host.all_finite(values):
                raise ValueError(
                    f"{where}: weights must be finite, got NaN or infinity in {what} of network "
                    f"{network}. Train it anew, or from its last good parameters."
                )

    def lines(self) -> Iterator[str]:
        """The array's elements in C."""
        line = ALIGNED // host.asarray(0, self.dtype).itemsize
        for what, values in self.parts:
            yield f"/* {what} */"
            texts = [literal(value, 8 * values.itemsize) for value in values]
            texts += [ZERO] * (-values.size % line)
            yield from (", ".join(texts[i : i + 8]) + "," for i in range(0, len(texts), 8))
        yield ZERO


class Translated(NamedTuple):
    """A network in C.

    Attributes
    ----------
    body
        Statements that compute f of x, both arrays of `vec`, by the numbers in w.
    numbers
        What w holds.
    buffers
        The arrays of `vec` that the body declares, in numbers of elements.
    """

    body: str
    numbers: Numbers
    buffers: tuple[int, ...]


def translate(where: str, net: Network, sigmas: Sigmas) -> Translated:
    """The network in C; the activations that it uses go into `sigmas`.

    Raises
    ------
    ValueError
        For a layer or an activation that C has no text for.
    """
    writer = _Writer(where, net.dtype, sigmas)
    params, buffers = net.views(net.w), net.buffers
    scores = writer.chain(net.chain, params, buffers, "x", net.inputs)
    members, K = net.members, net.outputs
    if net.output in OUTPUTS:
        scores = writer.activated(OUTPUTS[net.output], scores, members * K)
    elif net.output == "softmax":
        scores = writer.own(scores, members * K)
        writer.for_members(members, f"softmax({scores} + {K} * i, {K});")
    if members > 1:
        writer.say(f"members_mean({scores}, f, {members}, {K});")
    else:
        writer.say(f"copied({scores}, f, {K});")
    return writer.finished()


class Sigmas:
    """The activations that a program uses, each as a function over arrays."""

    def __init__(self, number: Callable[[float], str]) -> None:
        self._number = number
        self.calls: dict[str, str] = {}  # by the function's name, what it makes of z

    def name(self, where: str, sigma: Activation) -> str:
        """The name of the function that applies an activation to the elements of an array."""
        if type(sigma) not in SIGMA:
            raise ValueError(
                f"{where}: no activation {sigma} in C, only those of `nn.activations`. Write the "
                "network with one of these."
            )
        a = getattr(sigma, "a", None)
        call = SIGMA[type(sigma)].format(a=None if a is None else self._number(a))
        name = f"each_{type(sigma).__name__.lower()}"
        while self.calls.setdefault(name, call) != call:
            name += "_"
        return name


class _Writer:
    """The statements of one network, in order, and the arrays between them."""

    def __init__(self, where: str, dtype: str, sigmas: Sigmas) -> None:
        self.where, self.dtype, self.sigmas = where, dtype, sigmas
        self.numbers = Numbers(dtype)
        self.lines: list[str] = []
        self.sizes: list[int] = []
        self.free: list[int] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def for_members(self, members: int, line: str) -> None:
        """A statement for each member i."""
        self.say(f"for (int i = 0; i < {members}; i++) {line}")

    def finished(self) -> Translated:
        declared = [f"vec h{i}[{size}];" for i, size in enumerate(self.sizes)]
        body = "\n".join(f"  {line}" for line in [*declared, *self.lines])
        return Translated(body, self.numbers, tuple(self.sizes))

    # Arrays

    def array(self, width: int) -> str:
        """An array that nothing else uses."""
        if not self.free:
            self.free.append(len(self.sizes))
            self.sizes.append(0)
        i = self.free.pop()
        self.sizes[i] = max(self.sizes[i], width)
        return f"h{i}"

    def release(self, name: str, held: str) -> None:
        """Say that an array is no longer needed; `held` is, and the input always."""
        if name not in ("x", held):
            self.free.append(int(name[1:]))

    def own(self, name: str, width: int) -> str:
        """The array, or a copy of it where it is the network's input."""
        if name != "x":
            return name
        copy = self.array(width)
        self.say(f"copied(x, {copy}, {width});")
        return copy

    def activated(self, sigma: Activation, name: str, width: int) -> str:
        """The array after an activation, in place."""
        if isinstance(sigma, Identity):
            return name
        name = self.own(name, width)
        self.say(f"{self.sigmas.name(self.where, sigma)}({name}, {width});")
        return name

    # Layers

    def chain(
        self,
        layers: Sequence[Layer],
        params: Sequence[Parameters],
        buffers: Sequence[Parameters],
        x: str,
        width: int,
        held: str = "x",
    ) -> str:
        """Write the layers; x is an array of `width`, and `held` must stay as it is."""
        for layer, own, kept in zip(layers, params, buffers, strict=True):
            y = self.layer(layer, own, kept, x, width, held)
            if y != x:
                self.release(x, held)
            x, width = y, layer.width(width)
        return x

    def layer(
        self, layer: Layer, p: Parameters, buffers: Parameters, x: str, width: int, held: str
    ) -> str:
        if type(layer) is Dropout:
            return x
        if type(layer) not in _WRITERS:
            raise ValueError(
                f"{self.where}: no layer {layer} in C, only those of nnpoly itself. Write the "
                "network with one of these."
            )
        self.say(f"/* {_called(layer, width)} */")
        if isinstance(layer, Residual):
            return self.residual(layer, p, buffers, x, width)
        y = self.array(layer.width(width))
        _WRITERS[type(layer)](self, layer, {**p, **buffers}, x, y)
        if isinstance(layer, Blend):
            return y
        return self.activated(layer.activation, y, layer.width(width))

    def residual(
        self, layer: Residual, p: Parameters, buffers: Parameters, x: str, width: int
    ) -> str:
        inner = self.chain(layer.layers, layer.parts(p), layer.parts(buffers), x, width, x)
        if inner == x:
            inner = self.array(width)
            self.say(f"copied({x}, {inner}, {width});")
        self.say(f"added({x}, {inner}, {width});")
        return self.activated(layer.activation, inner, width)

    def add(self, what: str, values: Any) -> str:
        return self.numbers.add(what, values)

    def dense(self, layer: Dense, p: Parameters, x: str, y: str) -> None:
        W = p["W"] if layer.factor == 1.0 else p["W"] * p["W"].dtype.type(layer.factor)
        W, b = self.add("W", W.T), self.add("b", p["b"])
        self.say(f"dense({W}, {b}, {x}, {y}, {layer.inputs}, {layer.outputs});")

    def layer_norm(self, layer: LayerNorm, p: Parameters, x: str, y: str) -> None:
        gain, shift = (self.add(name, p[name]) for name in ("gain", "shift"))
        eps = self.sigmas._number(layer.eps)
        self.say(f"row_norm({gain}, {shift}, {x}, {y}, {layer.features}, {eps});")

    def batch_norm(self, layer: BatchNorm, p: Parameters, x: str, y: str) -> None:
        real = p["variance"].dtype.type
        scale = real(1) / np.sqrt(p["variance"] + real(layer.eps))
        parts = {"mean": p["mean"], "scale": scale, "gain": p["gain"], "shift": p["shift"]}
        places = ", ".join(self.add(name, values) for name, values in parts.items())
        self.say(f"column_norm({places}, {x}, {y}, {layer.features});")

    def scale(self, layer: Scale, p: Parameters, x: str, y: str) -> None:
        self.say(f"scaled({self.add('s', p['s'])}, {x}, {y}, {layer.features});")

    def blend(self, layer: Blend, p: Parameters, x: str, y: str) -> None:
        m = layer.features
        self.say(f"copied({x}, {y}, {m});")
        self.activated(layer.activation, y, m)
        self.say(f"blended({self.add('a', p['a'])}, {x}, {y}, {m});")

    def periodic(self, layer: Periodic, p: Parameters, x: str, y: str) -> None:
        (d, features), F, plain = layer.spread, layer.frequencies, layer.kind == "plr"
        made, wave = features - (not plain), self.array(2 * F)
        w = self.add("w", p["w"])
        turns = p["w"].dtype.type(TURNS_A_RADIAN)
        phase = w if plain else self.add("phases in turns", p["b"] * turns)
        W, c = self.add("W", p["W"]), self.add("c", p["c"])
        sizes = f"{d}, {F}, {made}, {int(plain)}"
        self.say(f"waves({w}, {phase}, {W}, {c}, {x}, {y}, {wave}, {sizes});")
        self.rest(x, y, d, d * features, layer.inputs)
        self.release(wave, "x")

    def piecewise(self, layer: PiecewiseLinear, p: Parameters, x: str, y: str) -> None:
        (d, k), most = layer.spread, p["V"].shape[2]
        entries = self.array(most)
        for i, edges in enumerate(layer.bins):
            pairs = [(a, 1.0 / (b - a)) for a, b in pairwise(edges)]
            bins = self.add(f"bins of {i}", pairs)
            w, c, V = (self.add(f"{name} of {i}", p[name][i]) for name in "wcV")
            sizes = f"{k}, {len(pairs)}, {most}"
            self.say(f"lines({w}, {c}, {V}, {bins}, {x}[{i}], {y} + {i * k}, {entries}, {sizes});")
        self.rest(x, y, d, d * k, layer.inputs)
        self.release(entries, "x")

    def embedding(self, layer: Embedding, p: Parameters, x: str, y: str) -> None:
        d, k = layer.spread
        before, start = layer.inputs - d, 0
        self.rest(x, y, 0, 0, before)
        for j, size in enumerate(layer.sizes):
            E = self.add(f"E of {before + j}", p["E"][start : start + size])
            self.say(f"table_row({E}, {x}[{before + j}], {y} + {before + j * k}, {k}, {size});")
            start += size

    def rest(self, x: str, y: str, start: int, to: int, stop: int) -> None:
        """Copy the columns from `start` to `stop`, which are passed on."""
        if start < stop:
            self.say(f"copied({x} + {start}, {y} + {to}, {stop - start});")

    def member_scale(self, layer: MemberScale, p: Parameters, x: str, y: str) -> None:
        r = self.add("r", p["r"])
        self.say(f"members_scaled({r}, {x}, {y}, {layer.features}, {layer.members});")

    def shared_dense(self, layer: SharedDense, p: Parameters, x: str, y: str) -> None:
        k, m_in, m = layer.members, layer.inputs, layer.outputs
        rows = x
        if "r" in p:
            rows = self.array(k * m_in)
            self.say(f"scaled({self.add('r', p['r'])}, {x}, {rows}, {k * m_in});")
        W, b = self.add("W", p["W"].T), "NULL"
        if not layer.scaled:
            b = self.add("b", p["b"])
        place = f"{rows} + {m_in} * i, {y} + {m} * i"
        self.for_members(k, f"dense({W}, {b}, {place}, {m_in}, {m});")
        if layer.scaled:
            s, b = self.add("s", p["s"]), self.add("b", p["b"])
            self.say(f"scaled_and_shifted({s}, {b}, {y}, {y}, {k * m});")
        if rows != x:
            self.release(rows, "x")

    def member_dense(self, layer: MemberDense, p: Parameters, x: str, y: str) -> None:
        k, m_in, m = layer.members, layer.inputs, layer.outputs
        W, b = self.add("W", p["W"].transpose(0, 2, 1)), self.add("b", p["b"])
        place = f"{x} + {m_in} * i, {y} + {m} * i"
        of_member = f"{W} + {m_in * m} * i, {b} + {m} * i"
        self.for_members(k, f"dense({of_member}, {place}, {m_in}, {m});")


_WRITERS: dict[type[Layer], Callable[..., Any]] = {
    Dense: _Writer.dense,
    LayerNorm: _Writer.layer_norm,
    BatchNorm: _Writer.batch_norm,
    Scale: _Writer.scale,
    Blend: _Writer.blend,
    Periodic: _Writer.periodic,
    PiecewiseLinear: _Writer.piecewise,
    Embedding: _Writer.embedding,
    MemberScale: _Writer.member_scale,
    SharedDense: _Writer.shared_dense,
    MemberDense: _Writer.member_dense,
    Residual: _Writer.residual,
}


def _called(layer: Layer, width: int) -> str:
    """A layer in a comment."""
    kind, sigma = type(layer).__name__, layer.activation
    after = "" if isinstance(sigma, Identity) else f", {sigma}"
    return f"{kind} {width} -> {layer.width(width)}{after}"
