"""Optimisers: element-wise rules for the flat parameter vector w, given its gradient g.

An optimiser is a frozen object without state: the trainer keeps the moments, laid out like w, and
counts the steps, t = 1, 2, .... What depends on these counts alone (learning rate, weight decay,
bias corrections) is computed on the host in Python floats, by `coefficients(t)` and
`weight_decay_at(t)`; the update itself is pure and runs on any backend.

Every adaptive rule here adds eps *inside* the root, g / sqrt(s + eps), as the lecture does. torch
adds it outside, g / (sqrt(s) + eps), which `eps_inside_sqrt=False` gives; optax and Keras do so in
Adam alone (docs/slips.md has a table). The same eps means different floors: with eps = 1e-8 the
smallest divisor is sqrt(eps) = 1e-4 inside and 1e-8 outside, so gradients far below 1e-4 take much
smaller steps inside.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from . import _checks
from ._described import Described
from .primitives import Array, Ops, Scalar
from .schedules import Schedule

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

Coefficients: TypeAlias = tuple[Scalar, ...]
Moments: TypeAlias = tuple[Array, ...]
Ages: TypeAlias = Mapping[str, int]


_OTHER_CHECKS = {
    "eps": _checks.not_negative,
    "nesterov": _checks.flag,
    "eps_inside_sqrt": _checks.flag,
}


class Optimizer(Described):
    """A rule that updates the parameters by their gradient.

    One of your own overrides `rule`, and `carried` where it carries vectors from step to step.

    Parameters
    ----------
    learning_rate
        eta: a number, or a `nn.schedules` object.
    weight_decay
        L2 penalty: g + weight_decay * w takes the place of g. In `AdamW` and `Lion` it is
        decoupled: w shrinks by the factor 1 - eta * weight_decay a step. A number, or a
        `nn.schedules` object.
    clip_norm
        Largest global norm of the gradient, before weight decay; None for no clipping.
    ema
        None, or the decay d of a moving average of the parameters, a <- d a + (1 - d) w after every
        step; `Trainer.averaged` returns the network with a / (1 - d^t). Polyak and Juditsky 1992.

    Notes
    -----
    Layers may name factors of both rates for some of their parameters, such as
    `nn.Dense(8, 8, rates={"b": (0.1, 0.0)})`: eta there becomes 0.1 eta, and weight_decay becomes
    0. A decoupled decay goes by the learning rate that its parameter has: with factors (r, d),
    w <- w (1 - r eta d weight_decay), as AdamW's paper and torch's groups of parameters have it.
    pytabkit's RealMLP multiplies the decay by both factors once more, which its own paper does not
    say; (r, r d^2) gives its w <- w (1 - r^2 eta d^2 weight_decay).
    """

    learning_rate: float | Schedule
    _: KW_ONLY
    weight_decay: float | Schedule = 0.0
    clip_norm: float | None = None
    ema: float | None = None

    decoupled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        where = type(self).__name__
        if not isinstance(self.learning_rate, Schedule):
            self._set(learning_rate=_checks.positive(where, "learning_rate", self.learning_rate))
        if self.clip_norm is not None:
            self._set(clip_norm=_checks.positive(where, "clip_norm", self.clip_norm))
        if self.ema is not None:
            self._set(ema=_checks.below_one(where, "ema", self.ema))
        if not isinstance(self.weight_decay, Schedule):
            decay = _checks.not_negative(where, "weight_decay", self.weight_decay)
            self._set(weight_decay=decay)
        self._check(where)

    def _check(self, where: str) -> None:
        """Check the fields of the rule: eps is not negative, decay factors are in [0, 1), ...."""
        for name in ("eps", "momentum", "beta", "beta1", "beta2", "nesterov", "eps_inside_sqrt"):
            if hasattr(self, name):
                check: Any = _OTHER_CHECKS.get(name, _checks.below_one)
                self._set(**{name: check(where, name, getattr(self, name))})

    @property
    def carried(self) -> dict[str, float]:
        """The vectors that the rule carries from step to step, each with its decay a step.

        A rule of your own overrides it, unless it carries none. They start at 0.
        """
        return {}

    @property
    def decays(self) -> dict[str, float]:
        """All vectors that are carried from step to step, each with its decay a step.

        They are the rule's own (1.0 stands for a sum, which does not decay), and last the "average"
        of the parameters, where there is an `ema`. A moment of another optimiser can be taken over
        where both its name and its decay are the same.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.Adam(ema=0.99).decays
        {'m': 0.9, 's': 0.999, 'average': 0.99}
        """
        return self.carried if self.ema is None else {**self.carried, "average": self.ema}

    @property
    def moments(self) -> tuple[str, ...]:
        """The names of the vectors that are carried from step to step, 0 at the start."""
        return tuple(self.decays)

    def learning_rate_at(self, t: int) -> float:
        """Return the learning rate of step t, counted from 1."""
        eta = self.learning_rate
        return eta if isinstance(eta, float) else float(eta(t))

    def weight_decay_at(self, t: int) -> float:
        """Return the weight decay of step t, counted from 1."""
        decay = self.weight_decay
        if isinstance(decay, float):
            return decay
        return _checks.not_negative(type(self).__name__, f"weight_decay({t})", decay(t))

    def coefficients(self, t: int, ages: Ages | None = None) -> Coefficients:
        """Return the learning rate of step t, then the rule's bias corrections, in Python floats.

        Parameters
        ----------
        t
            The step, counted from 1.
        ages
            By a moment's name, for how many steps it has been carried, this one included. That is t
            where nothing else is said; a moment that began later has another bias to correct.
        """
        return (self.learning_rate_at(t),)

    def coefficients_of(self, steps: range, ages: Ages | None = None) -> list[Coefficients]:
        """Return the coefficients of several steps; `ages` are those at the first of them."""
        if not ages:
            return list(map(self.coefficients, steps))
        found, ages = [], dict(ages)
        for t in steps:
            found.append(self.coefficients(t, ages))
            for name in ages:
                ages[name] += 1
        return found

    def update(
        self,
        ops: Ops,
        w: Array,
        g: Array,
        moments: Moments,
        c: Coefficients,
        weight_decay: Scalar | None = None,
    ) -> tuple[Array, Moments]:
        """Return the new w and moments. w and the moments, all (P,), are given away.

        weight_decay: that of the step, where it is a schedule.
        """
        decay: Any = self.weight_decay if weight_decay is None else weight_decay
        return self.move(ops, w, self.clipped(ops, g), moments, c, decay)

    def clipped(self, ops: Ops, g: Array) -> Array:
        """Return the gradient of all parameters, clipped where the optimiser does."""
        return g if self.clip_norm is None else ops.clip_norm(g, self.clip_norm)

    def move(
        self,
        ops: Ops,
        w: Array,
        g: Array,
        moments: Moments,
        c: Coefficients,
        weight_decay: Scalar,
    ) -> tuple[Array, Moments]:
        """Return the new w and moments of some parameters, given their clipped gradient."""
        if isinstance(weight_decay, float) and weight_decay == 0.0:
            pass
        elif self.decoupled:
            w = ops.decayed(w, c[0], weight_decay)
        else:
            g = ops.penalised(g, w, weight_decay)
        if self.ema is None:
            return self.rule(ops, w, g, moments, c)
        *own, average = moments
        w, moved = self.rule(ops, w, g, tuple(own), c)
        return w, (*moved, ops.averaged(average, w, self.ema))

    @abstractmethod
    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        """Return the new w and the rule's new moments, in the order of `carried`."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent: w <- w - eta g.

    With momentum mu: v <- mu v + g; w <- w - eta v, or, with Nesterov's look-ahead,
    w <- w - eta (g + mu v). Sutskever et al. 2013.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.SGD(0.1, momentum=0.9).moments
    ('v',)
    """

    momentum: float = 0.0
    nesterov: bool = False

    def _check(self, where: str) -> None:
        super()._check(where)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: `nesterov` needs momentum > 0, got momentum=0. Set momentum.")

    @property
    def carried(self) -> dict[str, float]:
        return {"v": self.momentum} if self.momentum else {}

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        if not self.momentum:
            return ops.sgd(w, g, c[0]), ()
        w, v = ops.momentum(w, g, moments[0], c[0], self.momentum, self.nesterov)
        return w, (v,)


class AdaGrad(Optimizer):
    """s <- s + g^2; w <- w - eta g / sqrt(s + eps). Duchi et al. 2011.

    Warnings
    --------
    eps is inside the root, as in optax and Keras; torch adds it outside (`eps_inside_sqrt=False`).
    """

    eps: float = 1e-8
    eps_inside_sqrt: bool = True

    @property
    def carried(self) -> dict[str, float]:
        return {"s": 1.0}  # a sum

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        w, s = ops.adagrad(w, g, moments[0], c[0], self.eps, self.eps_inside_sqrt)
        return w, (s,)


class RMSProp(Optimizer):
    """s <- beta s + (1-beta) g^2; w <- w - eta g / sqrt(s + eps). Hinton's lecture 6e, 2012.

    Warnings
    --------
    eps is inside the root, as in optax and Keras; torch adds it outside (`eps_inside_sqrt=False`).
    """

    beta: float = 0.9
    eps: float = 1e-8
    eps_inside_sqrt: bool = True

    @property
    def carried(self) -> dict[str, float]:
        return {"s": self.beta}

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        w, s = ops.rmsprop(w, g, moments[0], c[0], self.beta, self.eps, self.eps_inside_sqrt)
        return w, (s,)


class _AdamLike(Optimizer):
    """The fields and moments of Adam and its relatives."""

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    eps_inside_sqrt: bool = True

    @property
    def carried(self) -> dict[str, float]:
        return {"m": self.beta1, "s": self.beta2}

    def coefficients(self, t: int, ages: Ages | None = None) -> Coefficients:
        age_m = age_s = t
        if ages is not None:
            age_m, age_s = ages.get("m", t), ages.get("s", t)
        eta = self.learning_rate
        return (
            eta if isinstance(eta, float) else float(eta(t)),
            1.0 / (1.0 - self.beta1**age_m),
            1.0 / (1.0 - self.beta2**age_s),
        )

    def coefficients_of(self, steps: range, ages: Ages | None = None) -> list[Coefficients]:
        is_plain = type(self).coefficients is _AdamLike.coefficients
        if ages or not is_plain or not isinstance(eta := self.learning_rate, float):
            return super().coefficients_of(steps, ages)
        # A fit of tiny batches would spend half of its time in a call for each step.
        beta1, beta2 = self.beta1, self.beta2
        return [(eta, 1.0 / (1.0 - beta1**t), 1.0 / (1.0 - beta2**t)) for t in steps]

    @property
    def _betas(self) -> tuple[float, float]:
        return self.beta1, self.beta2

    @property
    def _root(self) -> tuple[float, bool]:
        return self.eps, self.eps_inside_sqrt


class Adam(_AdamLike):
    """m <- b1 m + (1-b1) g; s <- b2 s + (1-b2) g^2; w <- w - eta m^ / sqrt(s^ + eps).

    m^ = m / (1 - b1^t) and s^ = s / (1 - b2^t). Kingma and Ba 2015, arXiv:1412.6980.

    Warnings
    --------
    eps is inside the root; the paper, torch and optax add it outside (`eps_inside_sqrt=False`).
    Keras, scikit-learn and thinc add it outside too, but before the correction, to sqrt(s).

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.Adam(1e-2).coefficients(1)  # eta and the two bias corrections of the first step
    (0.01, 10.0..., 999.99...)
    """

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        eta, unbias_m, unbias_s = c
        w, *moved = ops.adam(w, g, *moments, eta, *self._betas, unbias_m, unbias_s, *self._root)
        return w, tuple(moved)


class AdamW(Adam):
    """Adam with decoupled weight decay: w <- w (1 - eta weight_decay), then Adam's update.

    Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    _: KW_ONLY
    weight_decay: float | Schedule = 1e-2

    decoupled = True


class NAdam(_AdamLike):
    """Adam whose m^ looks one step ahead.

    m^ = b1 m / (1 - b1^(t+1)) + (1-b1) g / (1 - b1^t). Dozat 2016.

    Warnings
    --------
    PyTorch and Keras add a schedule of b1 to this rule; here b1 is constant.
    """

    def coefficients(self, t: int, ages: Ages | None = None) -> Coefficients:
        eta, unbias_m, unbias_s = super().coefficients(t, ages)
        age = t if ages is None else ages.get("m", t)
        ahead = self.beta1 / (1.0 - self.beta1 ** (age + 1))
        return eta, ahead, (1.0 - self.beta1) * unbias_m, unbias_s

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        eta, *weights = c
        w, *moved = ops.nadam(w, g, *moments, eta, *self._betas, *weights, *self._root)
        return w, tuple(moved)


class AMSGrad(_AdamLike):
    """Adam that divides by the largest s so far: peak <- max(peak, s) takes the place of s.

    Reddi et al. 2018, arXiv:1904.09237; peak is bias-corrected like s, as in PyTorch.
    """

    @property
    def carried(self) -> dict[str, float]:
        return {**super().carried, "peak": self.beta2}

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        eta, *unbias = c
        w, *moved = ops.amsgrad(w, g, *moments, eta, *self._betas, *unbias, *self._root)
        return w, tuple(moved)


class Lion(Optimizer):
    """w <- w - eta sign(b1 m + (1-b1) g); m <- b2 m + (1-b2) g, with decoupled weight decay.

    Chen et al. 2023, arXiv:2302.06675. Its learning rate is usually 3 to 10 times below Adam's.
    """

    learning_rate: float | Schedule = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99

    decoupled = True

    @property
    def carried(self) -> dict[str, float]:
        return {"m": self.beta2}

    def rule(
        self, ops: Ops, w: Array, g: Array, moments: Moments, c: Coefficients
    ) -> tuple[Array, Moments]:
        w, m = ops.lion(w, g, moments[0], c[0], self.beta1, self.beta2)
        return w, (m,)


BY_NAME: dict[str, Any] = {
    "sgd": SGD,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "amsgrad": AMSGrad,
    "lion": Lion,
}


def get(optimizer: Any, where: str = "optimizers.get") -> Optimizer:
    """Return the optimiser of a name, with all defaults, or the optimiser itself.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.optimizers.get("adam").learning_rate
    0.001
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(
            f"{where}: `optimizer` must be an optimiser such as nn.Adam(1e-3), or the name of one, "
            f"got {optimizer!r}."
        )
    kind = BY_NAME[_checks.choice(where, "optimizer", optimizer, BY_NAME)]
    if kind.accepted["learning_rate"].required:
        raise ValueError(
            f"{where}: `optimizer` {optimizer!r} has no learning rate of its own. Give it one, "
            f"such as nn.{kind.__name__}(0.01)."
        )
    made: Optimizer = kind()
    return made
