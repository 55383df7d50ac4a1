"""Training on all data at once, by SciPy's L-BFGS-B."""

from __future__ import annotations

import math
from typing import Any

from ..backends import host, registry
from ..data import entering
from ..losses import Loss
from ..network import Network
from ..training import History
from ..training.progress import Progress
from .arrays import Samples
from .monitor import diverged


def train(
    where: str,
    net: Network,
    loss: Loss,
    samples: Samples,
    alpha: float,
    limits: dict[str, Any],
    verbose: bool,
    precision: str | None = None,
) -> Any:
    """Give the network the parameters of the least loss, and return SciPy's result.

    With weights s_i it is (sum_i s_i l_i + alpha/2 ||w||^2) / sum_i s_i.

    Raises
    ------
    NonFiniteLossError
        If the loss ends as NaN or infinity.
    """
    from scipy import optimize

    X, y, weights = samples
    total = float(len(y) if weights is None else weights.sum())
    weights = None if weights is None else weights * (len(y) / total)
    decay = alpha / total
    x, y, weights = entering.checked(where, net.place, loss, net.ends, X, y, weights, whole=True)
    losses, newest = History(), math.nan

    def value_and_gradient(w: host.HostArray) -> tuple[float, host.HostArray]:
        nonlocal newest
        net.w = host.asarray(w, net.dtype)
        value, grads = net.gradients(x, y, loss=loss, sample_weight=weights, precision=precision)
        g = host.asarray(registry.to_host(grads.flat), "float64")
        newest = float(value) + 0.5 * decay * float(w @ w)
        return newest, g + decay * w

    def iterated(w: host.HostArray) -> None:
        losses.loss.append(newest)
        bar.advance(losses)

    start = host.asarray(registry.to_host(net.w), "float64")
    options: dict[str, Any] = {"method": "L-BFGS-B", "jac": True, "options": limits}
    with Progress(limits["maxiter"], enabled=verbose) as bar:
        found = optimize.minimize(value_and_gradient, start, callback=iterated, **options)
    if not math.isfinite(found.fun):
        came = f"the loss became {found.fun} in iteration {found.nit} of lbfgs"
        raise diverged(where, came, "solver='adam'")
    net.w = host.asarray(found.x, net.dtype)
    return found
