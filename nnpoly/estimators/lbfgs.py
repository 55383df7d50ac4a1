"""Training on all data at once, by SciPy's L-BFGS-B."""

from __future__ import annotations

from typing import Any

from ..backends import host, registry
from ..data import entering
from ..losses import Loss
from ..network import Network
from .arrays import Samples


def train(where: str, net: Network, loss: Loss, samples: Samples, alpha: float, limits: Any) -> Any:
    """Give the network the parameters of the least loss, and return SciPy's result.

    With weights s_i it is (sum_i s_i l_i + alpha/2 ||w||^2) / sum_i s_i.
    """
    from scipy import optimize

    X, targets, weights = samples
    x = entering.features(where, net.place, X.toarray() if hasattr(X, "toarray") else X, net.inputs)
    total = float(len(targets) if weights is None else weights.sum())
    weights = None if weights is None else weights * (len(targets) / total)
    decay = alpha / total

    def value_and_gradient(w: host.HostArray) -> tuple[float, host.HostArray]:
        net.w = host.asarray(w, net.dtype)
        value, grads = net.gradients(x, targets, loss=loss, sample_weight=weights)
        g = host.asarray(registry.to_host(grads.flat), "float64")
        return float(value) + 0.5 * decay * float(w @ w), g + decay * w

    start = host.asarray(registry.to_host(net.w), "float64")
    found = optimize.minimize(
        value_and_gradient, start, method="L-BFGS-B", jac=True, options=limits
    )
    net.w = host.asarray(found.x, net.dtype)
    return found
