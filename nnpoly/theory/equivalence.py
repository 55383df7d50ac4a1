"""Equal functions: a linear chain and one affine map, a two-way softmax and a sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations
from ..activations import Identity, Linear
from ..backends import Backend, host, registry
from ..layers import Dense
from ..network import Network
from ..primitives import Array
from . import _inputs
from ._inputs import HostArray


def collapse_linear(net: Network) -> tuple[HostArray, HostArray]:
    """Multiply a network with linear activations out to one affine map, f~ = W x + b.

    With sigma(z) = a z, W = a^(L-1) W^(L) ... W^(1), and b likewise: depth adds nothing without a
    nonlinearity. The map gives the scores f~, which equal f for the output identity.

    Parameters
    ----------
    net
        A chain of Dense layers whose activations are the identity or `Linear(a)`.

    Returns
    -------
    W, b
        (K, m_0) and (K,), in float64.

    Raises
    ------
    ValueError
        For other activations and layers, which have no such map.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> net = nn.MLP([3, 8, 8, 2], nn.activations.Linear(0.5), "identity", dtype="float64")
    >>> W, b = nn.theory.collapse_linear(net)
    >>> X = np.eye(3)
    >>> W.shape, b.shape, np.allclose(net(X), X @ W.T + b, rtol=0, atol=1e-14)
    ((2, 3), (2,), True)
    """
    chain = _inputs.dense_chain("collapse_linear", net)
    for l, (sigma, _, _) in enumerate(chain):
        if not isinstance(sigma, Identity | Linear):
            raise ValueError(
                f"collapse_linear: `net` must have linear activations alone (identity or a z), got "
                f"{sigma} in layer {l}. A nonlinear network is no affine map."
            )
    inputs = net.widths[0]
    W, b = np.eye(inputs), np.zeros(inputs)
    for sigma, W_l, b_l in chain:
        a = sigma.a if isinstance(sigma, Linear) else 1.0
        W, b = a * (W_l @ W), a * (W_l @ b + b_l)
    return W, b


def softmax_as_sigmoid(scores: Any) -> Array:
    """Compute the softmax of two scores as the sigmoid of their difference.

    softmax(o_1, o_2) = (sigmoid(o_1 - o_2), 1 - sigmoid(o_1 - o_2)). The second is computed as
    sigmoid(o_2 - o_1), an equal expression that is accurate for tiny values too.

    Parameters
    ----------
    scores
        (o_1, o_2), a sample a row: (n, 2), of any backend.

    Returns
    -------
    Array
        (n, 2), on the same backend.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.theory.softmax_as_sigmoid([[0.0, 0.0], [2.0, 0.0]]).round(4)
    array([[0.5   , 0.5   ],
           [0.8808, 0.1192]])
    """
    where, backend = "softmax_as_sigmoid", registry.of(scores)
    if backend.name == "numpy":
        scores = _real(where, scores)
    if len(scores.shape) != 2 or scores.shape[1] != 2:
        raise ValueError(f"{where}: `scores` must have shape (n, 2), got {tuple(scores.shape)}.")
    difference = scores[:, 0] - scores[:, 1]
    sigmoid = activations.sigmoid
    return backend.xp.stack([sigmoid(difference), sigmoid(-difference)], axis=1)


def _real(where: str, scores: Any) -> HostArray:
    """Return scores on the host; floats keep their precision, other types become float64."""
    if host.is_host(scores) and scores.dtype.kind == "f":
        return host.asarray(scores)
    return _inputs.array(where, "scores", scores, (None, 2))


def to_sigmoid(net: Network, backend: str | Backend | None = None, device: Any = None) -> Network:
    """Convert a network with two softmax outputs to the equal one with one sigmoid output.

    The last layer's two neurons become one with the weights W_2 - W_1 and the bias b_2 - b_1: its
    output is the probability of class 1 (counted from 0), and its logistic loss equals the softmax
    network's cross-entropy for the same labels 0 and 1.

    Parameters
    ----------
    net
        A network with two softmax outputs, whose last layer is Dense. It is not changed.
    backend, device
        Where the result lives; None for where `net` does.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> net = nn.MLP([3, 4, 2], "tanh", "softmax", dtype="float64")
    >>> X, y = np.eye(3), np.array([0, 1, 1])
    >>> one = nn.theory.to_sigmoid(net)
    >>> one, bool(abs(one.loss(X, y) - net.loss(X, y)) < 1e-15)
    (Network 3-4-1, sigmoid output, float64 on numpy (cpu), True)
    """
    where = "to_sigmoid"
    chain = [bound.layer for bound in _inputs.network(where, net).layers]
    last = chain[-1]
    if net.output != "softmax" or net.widths[-1] != 2 or not isinstance(last, Dense):
        raise ValueError(
            f"{where}: `net` must end in a Dense layer with 2 softmax outputs, got {net!r}."
        )
    chain[-1] = last.replace(outputs=1)
    one = Network(chain, "sigmoid", dtype=net.dtype, seed=net.seed, backend="numpy")
    w, tail = registry.to_host(net.w), 2 * (last.inputs + 1)
    below, weights, bias = np.split(w, [w.size - tail, w.size - 2])
    W = weights.reshape(2, last.inputs)
    vector = np.concatenate([below, W[1] - W[0], bias[1:] - bias[:1]])
    one.restore({**net.arrays(), "w": vector})
    return one.to(backend or net.place.backend, device=device if backend or device else net.device)
