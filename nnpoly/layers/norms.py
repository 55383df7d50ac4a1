"""Normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _checks, activations
from ..backends import host
from ..primitives import Array, Ops
from .base import INPUT, Mode, OfFeatures, Out, Parameters, Stage

if TYPE_CHECKING:
    from dataclasses import KW_ONLY


class Normalised(OfFeatures):
    """LayerNorm or BatchNorm: an affine map of normalised inputs, gain * x^ + shift."""

    eps: float = 1e-5
    activation: Any = activations.identity
    _: KW_ONLY
    rates: Any = ()

    def __post_init__(self) -> None:
        where = type(self).__name__
        self._set(
            features=_checks.integer(where, "features", self.features),
            eps=_checks.positive(where, "eps", self.eps),
            activation=activations.get(self.activation, where),
        )
        self._check_rates()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"gain": (self.features,), "shift": (self.features,)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        shape = (self.features,)
        return {"gain": host.full(shape, 1.0), "shift": host.full(shape, 0.0)}

    def _stage(self, ops: Ops, params: Parameters, x: Array, mean: Array, scale: Array) -> Stage:
        pre = ops.normalise(x, mean, scale, params["gain"], params["shift"])
        return Stage(x, pre, ops.activate(pre, self.activation), self.activation, (mean, scale))

    @staticmethod
    def _gradients(ops: Ops, stage: Stage, delta: Array, out: Out) -> dict[str, Array]:
        mean, scale, *_ = stage.extra
        dgain, dshift = ops.norm_gradients(delta, stage.x, mean, scale, out)
        return {"gain": dgain, "shift": dshift}

    def row_gradients(
        self, ops: Ops, params: Parameters, buffers: Parameters, stage: Stage, delta: Array
    ) -> dict[str, Array]:
        mean, scale, *_ = stage.extra
        return {"gain": delta * ((stage.x - mean) * scale), "shift": delta}


class LayerNorm(Normalised):
    """Normalise each row to mean 0 and variance 1, then gain * x^ + shift, then the activation.

    Ba et al. 2016, arXiv:1607.06450. eps is inside the root: x^ = (x - mean) / sqrt(var + eps).
    rates: factors of the learning rate and the weight decay of "gain" and "shift": see
    `Layer.parameter_rates`.
    """

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        mean, _, scale = ops.moments(x, 1, self.eps)
        return self._stage(ops, params, x, mean, scale)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        gradients = self._gradients(ops, stage, delta, out)
        if below is INPUT:
            return gradients, None
        dx = ops.row_norm_delta(delta, stage.x, *stage.extra, params["gain"])
        return gradients, below.delta(ops, dx)


class BatchNorm(Normalised):
    """Normalise each feature over the batch, then gain * x^ + shift, then the activation.

    Ioffe and Szegedy 2015, arXiv:1502.03167. In training the batch's mean and variance are used and
    the running ones move towards them by `momentum`; outside training the running ones are used.

    A batch of one row has no variance, and its normalised features are all 0: it leaves the running
    mean and variance as they are. Such a batch may be an epoch's last one; a training all of whose
    batches are such is refused.

    rates: factors of the learning rate and the weight decay of "gain" and "shift": see
    `Layer.parameter_rates`.

    Warnings
    --------
    The running variance averages the biased variance that normalised the batch; torch averages the
    unbiased one. They differ by the factor n / (n - 1).
    """

    momentum: float = 0.1
    least_rows = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(momentum=_checks.number("BatchNorm", "momentum", self.momentum, 0.0, 1.0))

    def buffers(self) -> dict[str, host.HostArray]:
        shape = (self.features,)
        return {"mean": host.full(shape, 0.0), "variance": host.full(shape, 1.0)}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        mean, variance = buffers["mean"], buffers["variance"]
        if not mode.training:
            scale = 1.0 / ops.xp.sqrt(variance + self.eps)
            stage = self._stage(ops, params, x, mean[None, :], scale[None, :])
            return stage._replace(extra=(*stage.extra, False))
        batch_mean, batch_variance, scale = ops.moments(x, 0, self.eps)
        stage = self._stage(ops, params, x, batch_mean, scale)
        if x.shape[0] == 1:
            return stage._replace(extra=(*stage.extra, True))
        keep = 1.0 - self.momentum
        moved = {
            "mean": keep * mean + self.momentum * batch_mean[0, :],
            "variance": keep * variance + self.momentum * batch_variance[0, :],
        }
        return stage._replace(extra=(*stage.extra, True), buffers=moved)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        mean, scale, of_batch = stage.extra
        gradients, gain = self._gradients(ops, stage, delta, out), params["gain"]
        if below is INPUT:
            return gradients, None
        if of_batch:
            own = mean, scale, gain, gradients["gain"], gradients["shift"]
            dx = ops.column_norm_delta(delta, stage.x, *own)
        else:
            dx = delta * gain * scale
        return gradients, below.delta(ops, dx)
