"""The multi-layer perceptron: a network of Dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .. import _checks, activations, initializers
from ..backends import Backend, host
from ..data.place import on_host
from ..layers import Dense, Dropout, Layer, LayerNorm
from .network import Network


class MLP(Network):
    """A multi-layer perceptron: Dense layers of the given widths.

    Parameters
    ----------
    widths
        [m_0, ..., m_L]: input width, hidden widths, output width.
    activation
        sigma of the hidden layers, a name or an `nn.activations` object.
    output
        "identity", "sigmoid", "softmax" or "step".
    init
        Name or `nn.initializers` object for every W; every b starts at 0.
    dtype, seed, backend, device
        As for `Network`.

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.MLP([64, 100, 10], activation="relu", output="softmax", seed=0)
    >>> net.layers[0].W.shape, net.layers[0].b.shape
    ((100, 64), (100,))
    """

    is_mlp = True

    def __init__(
        self,
        widths: Sequence[int],
        activation: Any = "relu",
        output: str = "softmax",
        init: Any = "kaiming_normal",
        dtype: str = "float32",
        seed: int | None = 0,
        backend: str | Backend | None = None,
        device: Any = None,
    ) -> None:
        chain = _dense_chain(widths, activation, init)
        super().__init__(chain, output, dtype=dtype, seed=seed, backend=backend, device=device)

    @classmethod
    def from_weights(
        cls,
        Ws: Sequence[Any],
        bs: Sequence[Any],
        activation: Any = "relu",
        output: str = "softmax",
        backend: str | Backend | None = None,
        device: Any = None,
        dtype: str | None = None,
        seed: int | None = 0,
    ) -> MLP:
        """Return a network with copies of the given weights and biases.

        Parameters
        ----------
        Ws, bs
            W^(l): (m_l, m_{l-1}) and b^(l): (m_l,), as arrays of any backend or lists.
        dtype
            None: that of the first W (float64 for integers).

        Examples
        --------
        >>> import nnpoly as nn
        >>> xor = nn.MLP.from_weights(
        ...     [[[1, 1], [1, 1]], [[-1, 1]]], [[-1.5, -0.5], [-0.5]], "step", "step"
        ... )
        >>> xor([[0, 0], [0, 1], [1, 0], [1, 1]])[:, 0]
        array([0., 1., 1., 0.])
        """
        weights, biases = _hosted_list("Ws", Ws), _hosted_list("bs", bs)
        widths = _widths_of(weights, biases)
        if dtype is None:
            dtype = weights[0].dtype.name if weights[0].dtype.kind == "f" else "float64"
        net = cls(widths, activation, output, "zeros", dtype, seed, backend, device)
        pieces = [piece for pair in zip(weights, biases, strict=True) for piece in pair]
        net.w = host.vector(pieces, net.dtype)
        return net


def regularised(
    widths: Sequence[int],
    activation: Any,
    output: str,
    init: Any = "kaiming_normal",
    dropout: float = 0.0,
    layer_norm: bool = False,
    **place: Any,
) -> Network:
    """Return an `MLP`, with a LayerNorm before or a Dropout after every activation if asked for.

    Parameters
    ----------
    widths, activation, output, init
        As for `MLP`.
    dropout
        The probability of each Dropout; 0 for none.
    layer_norm
        Whether there are LayerNorms.
    **place
        `Network`'s dtype, seed, backend and device.
    """
    if not dropout and not layer_norm:
        return MLP(widths, activation, output, init, **place)
    chain: list[Layer] = []
    for m_in, m in pairwise(widths[:-1]):
        if layer_norm:
            chain += [Dense(m_in, m, init=init), LayerNorm(m, activation=activation)]
        else:
            chain.append(Dense(m_in, m, activation, init))
        if dropout:
            chain.append(Dropout(dropout))
    return Network([*chain, Dense(widths[-2], widths[-1], init=init)], output, **place)


def _dense_chain(widths: Any, activation: Any, init: Any) -> list[Dense]:
    """The Dense layers of an MLP; the last one has no activation."""
    if not hasattr(widths, "__len__") or isinstance(widths, str) or len(widths) < 2:
        raise ValueError(
            f"MLP: `widths` must be [inputs, ..., outputs], at least two integers, got {widths!r}."
        )
    sizes = [_checks.integer("MLP", f"widths[{l}]", m) for l, m in enumerate(widths)]
    sigma = activations.get(activation, "MLP")
    draw = initializers.get(init, "MLP")
    hidden = [Dense(m_in, m, sigma, draw) for m_in, m in pairwise(sizes[:-1])]
    return [*hidden, Dense(sizes[-2], sizes[-1], init=draw)]


def _hosted_list(name: str, arrays: Any) -> list[host.HostArray]:
    """The arrays of a list, of any backend, on the host."""
    if not isinstance(arrays, Sequence) or isinstance(arrays, str):
        came = type(arrays).__name__
        raise ValueError(f"MLP.from_weights: `{name}` must be a list of arrays, got {came}.")
    return [on_host("MLP.from_weights", f"{name}[{l}]", array) for l, array in enumerate(arrays)]


def _widths_of(weights: list[host.HostArray], biases: list[host.HostArray]) -> list[int]:
    """The widths [m_0, ..., m_L] of weights and biases, whose shapes are checked."""
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"MLP.from_weights: `Ws` and `bs` must have one entry a layer each, got "
            f"{len(weights)} and {len(biases)}."
        )
    widths = [weights[0].shape[-1] if weights[0].ndim else 0]
    for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
        if W.ndim != 2 or W.shape[1] != widths[-1]:
            raise ValueError(
                f"MLP.from_weights: `Ws[{l}]` must have shape (m, {widths[-1]}), got {W.shape}. "
                "A row holds one neuron's weights."
            )
        if b.shape != W.shape[:1]:
            raise ValueError(
                f"MLP.from_weights: `bs[{l}]` must have shape {W.shape[:1]}, got {b.shape}."
            )
        widths.append(W.shape[0])
    return widths
