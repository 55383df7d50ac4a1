"""Outputs and losses: each pair is differentiated as one, from the scores z.

===========  ============  =====================================================  ==============
output       f             loss (a mean over the n samples)                       delta, times n
===========  ============  =====================================================  ==============
`identity`   z             `MSE`: 1/2 ||y - f||^2                                 f - y
..                         `Absolute`: ||y - f||_1                                sign(f - y)
..                         `Huber`: r^2/2 up to the threshold, then linear        clip(f - y)
..                         `Quantile`: q r where r = y - f > 0, else (q - 1) r    -q, or 1 - q
`exp`        exp(z)        `Poisson`: f - y - y log(f / y)                        f - y
`sigmoid`    sigmoid(z)    `Logistic`: -[y log f + (1-y) log(1-f)]                f - y
`softmax`    softmax(row)  `CrossEntropy`: -sum_k y_k log f_k                     f - y
..                         `Focal`: -sum_k y_k (1 - f_k)^gamma log f_k            see there
`step`       1 if z >= 0   none: the step's derivative is 0
===========  ============  =====================================================  ==============

Nothing overflows and no log(0) appears: loss and delta are finite for scores of +-1e4 (but for
`exp`, whose prediction is infinite there). `Focal` pairs with `sigmoid` too.

A sample's weight s_i multiplies its loss: 1/n sum_i s_i l_i.
"""

from __future__ import annotations

from typing import Any

from . import _checks, activations
from ._described import Described
from .primitives import Array, Ops, widened

OUTPUTS = ("exp", "identity", "sigmoid", "softmax", "step")


def apply_output(ops: Ops, output: str, scores: Array, members: int = 1) -> Array:
    """The prediction f of scores z: (n, K); of several members' (n, k K) the mean of theirs."""
    f: Array
    if members > 1:
        f = apply_output(ops, output, _of_one(ops, scores, members))
        f = ops.members_mean(ops.xp.reshape(f, scores.shape), members)
        return f
    if output == "softmax":
        f = ops.softmax(scores)
    else:
        sigma = activations.Exp() if output == "exp" else activations.BY_NAME[output]
        f = ops.activate(scores, sigma)
    return f


def _of_one(ops: Ops, scores: Array, members: int) -> Array:
    """The rows of single members, (n k, K), of scores (n, k K)."""
    n, width = scores.shape
    return ops.xp.reshape(scores, (n * members, width // members))


def _repeated(ops: Ops, rows: Any, members: int) -> Any:
    """Rows, of whatever shape, each for every member; None as it is."""
    if rows is None:
        return None
    xp, (n, *shape) = ops.xp, rows.shape
    wide = xp.broadcast_to(rows[:, None, ...], (n, members, *shape))
    return xp.reshape(wide, (n * members, *shape), copy=True)  # not a view of one row


class Loss(Described):
    """A loss of the scores, paired with the output that it is differentiated with.

    A loss of your own names its `output` and overrides `each`.

    Attributes
    ----------
    output
        The network's output that it belongs to.
    labels
        The targets that it takes: "classes", "probabilities", "counts" or "reals".
    """

    output = ""
    labels = "reals"

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "each" in vars(cls) and "value_and_delta" not in vars(cls):
            # Not that of a class above, which may compute its own loss without `each`.
            cls.value_and_delta = Loss.value_and_delta  # type: ignore[method-assign]

    def each(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return every sample's loss: (n,), and its derivative by the scores: (n, K)."""
        raise NotImplementedError

    def value_and_delta(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the 0-d mean loss and delta^(L) = dloss/dscores: (n, K)."""
        loss, delta = ops.row_loss(scores, y, self, sample_weight)
        return loss, delta

    def mean_of_members(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None, members: int
    ) -> tuple[Array, Array]:
        """Return the mean of the members' losses, 0-d, and its derivative by the scores: (n, k K).

        Each member's scores, side by side, meet the same targets and weights.
        """
        if members == 1:
            return self.value_and_delta(ops, scores, y, sample_weight)
        rows = _of_one(ops, scores, members)
        y, weights = (_repeated(ops, given, members) for given in (y, sample_weight))
        loss, delta = self.value_and_delta(ops, rows, y, weights)
        return loss, ops.xp.reshape(delta, scores.shape)

    def rows(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return what `each` does, and check its shapes."""
        n = scores.shape[0]
        losses, slopes = self.each(ops, scores, y)
        if tuple(losses.shape) != (n,) or slopes.shape != scores.shape:
            raise ValueError(
                f"{type(self).__name__}.each: must return losses {(n,)} and slopes "
                f"{tuple(scores.shape)}, got {tuple(losses.shape)} and {tuple(slopes.shape)}. Sum "
                "each sample's loss over the outputs: axis=1."
            )
        return losses, slopes


class _Elementwise(Loss):
    """A loss that is a sum over the outputs."""

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of every output, and its derivative by the score: both (n, K)."""
        raise NotImplementedError

    def each(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        losses, slopes = self.elements(ops, scores, y)
        return ops.xp.sum(losses, axis=1), slopes

    def value_and_delta(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        loss, delta = ops.element_loss(scores, y, self, sample_weight)
        return loss, delta


# Regression


class MSE(Loss):
    """Half the mean squared error, 1/(2n) sum_i ||y_i - f_i||^2, for the identity output.

    Warnings
    --------
    Other libraries leave out the 1/2, or divide by the number of outputs too.
    """

    output = "identity"
    labels = "reals"

    def value_and_delta(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        loss, delta = ops.squared_error(scores, y, sample_weight)
        return loss, delta


class Absolute(_Elementwise):
    """Absolute error, summed over the outputs; the best constant is the median.

    Where f = y exactly, 0 is taken as the derivative.
    """

    output = "identity"
    labels = "reals"

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        difference = scores - y
        return ops.xp.abs(difference), ops.xp.sign(difference)


class Huber(_Elementwise):
    """`r^2 / 2` for `|r| <= threshold`, else `threshold (|r| - threshold / 2)`, where r = y - f.

    Quadratic near the target and linear far away, so that outliers pull less. Huber 1964.
    """

    threshold: float = 1.0
    output = "identity"
    labels = "reals"

    def __post_init__(self) -> None:
        self._set(threshold=_checks.positive("Huber", "threshold", self.threshold))

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        xp, difference = ops.xp, scores - y
        limit = xp.full_like(difference, self.threshold)
        far = xp.abs(difference) > limit
        slope = xp.where(far, xp.sign(difference) * limit, difference)
        return slope * (difference - 0.5 * slope), slope


class Quantile(_Elementwise):
    """Pinball loss: q r where r = y - f is positive, else (q - 1) r. Its best constant is the
    q-quantile of y. Koenker and Bassett 1978.

    Where f = y exactly, 0 is taken as the derivative. Quantile(0.5) is half of `Absolute`.
    """

    quantile: float = 0.5
    output = "identity"
    labels = "reals"

    def __post_init__(self) -> None:
        quantile = _checks.number("Quantile", "quantile", self.quantile, 0.0, 1.0)
        if quantile in (0.0, 1.0):
            raise ValueError(f"Quantile: `quantile` must be between 0 and 1, got {quantile:g}.")
        self._set(quantile=quantile)

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        difference = scores - y  # f - y: its sign is the slope's
        side = ops.xp.sign(difference)
        slope = 0.5 * side + (0.5 - self.quantile) * ops.xp.abs(side)
        return slope * difference, slope


class Poisson(_Elementwise):
    """Half the Poisson deviance, f - y - y log(f / y), of counts or rates y >= 0; f = exp(scores).

    It is the negative log-likelihood of counts, less its least value.
    """

    output = "exp"
    labels = "counts"

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        xp = ops.xp
        slope = ops.activate(scores, activations.Exp()) - y
        log_y = xp.log(xp.where(y > 0, y, xp.ones_like(y)))  # y log y is 0 at 0
        return slope - y * (scores - log_y), slope


# Classification


class _Smoothed(Loss):
    """A loss whose labels may be smoothed. At 1, nothing would be left of them."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        where, given = type(self).__name__, self.label_smoothing
        self._set(label_smoothing=_checks.below_one(where, "label_smoothing", given))


class Logistic(_Smoothed):
    """Logistic loss of the sigmoid output; targets are 0 or 1, or probabilities between.

    With several outputs the losses of a sample's outputs are added. With `label_smoothing` a, the
    target (1 - a) y + a / 2 takes the place of y.
    """

    output = "sigmoid"
    labels = "probabilities"

    def value_and_delta(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if a := self.label_smoothing:
            _, y = widened(ops, scores, y)
            y = (1.0 - a) * y + 0.5 * a
        loss, delta = ops.logistic(scores, y, sample_weight)
        return loss, delta


class CrossEntropy(_Smoothed):
    """Cross-entropy of the softmax output; targets are class indices or one-hot rows.

    With `label_smoothing` a, the target (1 - a) y_k + a / K takes the place of y_k. Szegedy et al.
    2016, arXiv:1512.00567.
    """

    output = "softmax"
    labels = "classes"

    def value_and_delta(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if a := self.label_smoothing:
            z, y = widened(ops, scores, y)
            y = (1.0 - a) * ops.one_hot(y, z) + a / z.shape[1]
        loss, delta = ops.cross_entropy(scores, y, sample_weight)
        return loss, delta


class Focal(Loss):
    """Cross-entropy, or logistic loss, with the factor (1 - p)^gamma before each -log p.

    p is the predicted probability of the target, so samples that are right already count little.
    gamma = 0 is the loss without the factor. Lin et al. 2017, arXiv:1708.02002 (their alpha is a
    sample weight here).

    Parameters
    ----------
    gamma
        At least 0.
    output
        "softmax" (class indices or one-hot rows) or "sigmoid" (each output on its own, as in the
        paper).
    """

    gamma: float = 2.0
    output: str = "softmax"

    def __post_init__(self) -> None:
        output = _checks.choice("Focal", "output", self.output, ("sigmoid", "softmax"))
        self._set(
            gamma=_checks.number("Focal", "gamma", self.gamma, low=0.0),
            output=output,
            labels="classes" if output == "softmax" else "probabilities",
        )

    def value_and_delta(
        self, ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        compute = ops.row_loss if self.output == "softmax" else ops.element_loss
        loss, delta = compute(scores, y, self, sample_weight)
        return loss, delta

    def each(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        if self.output == "softmax":
            return self._softmax(ops, scores, y)
        losses, slopes = self.elements(ops, scores, y)
        return ops.xp.sum(losses, axis=1), slopes

    def _softmax(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        xp, y = ops.xp, ops.one_hot(y, scores)
        shifted = scores - xp.max(scores, axis=1, keepdims=True)
        log_f = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
        f = xp.exp(log_f)
        losses, slopes = self._term(ops, f, log_f)
        pull = y * slopes  # of log f_k, whose derivative by z_j is [j = k] - f_j
        return xp.sum(y * losses, axis=1), pull - f * xp.sum(pull, axis=1, keepdims=True)

    def elements(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of every output of the sigmoid, and its derivative: both (n, K)."""
        xp = ops.xp
        ones, zeros = xp.ones_like(scores), xp.zeros_like(scores)
        small = xp.exp(-xp.abs(scores))
        f = xp.where(scores >= 0, ones, small) / (1.0 + small)
        rest = xp.where(scores >= 0, small, ones) / (
            1.0 + small
        )  # 1 - f, exact where f is nearly 1
        log_f = xp.where(scores < 0, scores, zeros) - xp.log1p(small)
        log_rest = xp.where(scores > 0, -scores, zeros) - xp.log1p(small)
        of_1, up = self._term(ops, f, log_f)
        of_0, down = self._term(ops, rest, log_rest)
        slopes = y * up * rest - (1.0 - y) * down * f
        return y * of_1 + (1.0 - y) * of_0, slopes

    def _term(self, ops: Ops, p: Array, log_p: Array) -> tuple[Array, Array]:
        """Return -(1-p)^gamma log p and its derivative by log p."""
        xp = ops.xp
        rest = -xp.expm1(log_p)  # 1 - p, exact also where p is nearly 1
        factor = rest**self.gamma
        certain = rest == 0  # there p log p / (1 - p) has the limit -1
        ratio = p * log_p / xp.where(certain, xp.ones_like(rest), rest)
        ratio = xp.where(certain, -xp.ones_like(rest), ratio)
        return -factor * log_p, factor * (self.gamma * ratio - 1.0)


BY_NAME: dict[str, Loss] = {
    "mse": MSE(),
    "absolute": Absolute(),
    "huber": Huber(),
    "quantile": Quantile(),
    "poisson": Poisson(),
    "logistic": Logistic(),
    "cross_entropy": CrossEntropy(),
    "focal": Focal(),
}
OF_OUTPUT: dict[str, Loss] = {
    "identity": MSE(),
    "exp": Poisson(),
    "sigmoid": Logistic(),
    "softmax": CrossEntropy(),
}


def get(loss: str | Loss | None, output: str, where: str = "losses.get") -> Loss:
    """Return the loss of a name, or an output's own for None, checking that it pairs with it."""
    if output not in OF_OUTPUT:
        raise ValueError(
            f"{where}: the output {output!r} has derivative 0 almost everywhere, so no loss can be "
            "differentiated through it. Train with output='sigmoid' instead."
        )
    if loss is None:
        return OF_OUTPUT[output]
    if loss == "focal" and output == "sigmoid":
        return Focal(output=output)
    if not isinstance(loss, Loss):
        loss = BY_NAME[_checks.choice(where, "loss", loss, BY_NAME)]
    if not loss.output:
        raise ValueError(
            f"{where}: `loss` {type(loss).__name__} must name the output that it belongs to, got "
            f"none. Give its class one: output = {output!r}."
        )
    if loss.output != output:
        raise ValueError(
            f"{where}: `loss` {type(loss).__name__} needs output={loss.output!r}, but the network "
            f"has output={output!r}, whose loss is {type(OF_OUTPUT[output]).__name__}."
        )
    return loss
