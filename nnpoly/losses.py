"""Outputs and losses: each pair is differentiated as one, from the scores.

============  ==============  ===================================================  ============
output        f               loss (a mean over the n samples)                     delta
============  ==============  ===================================================  ============
``identity``  scores          `MSE`: 1/(2n) sum_i ||y_i - f_i||^2                  (f - y) / n
``sigmoid``   sigmoid(score)  `Logistic`: -1/n sum_i [y log f + (1-y) log(1-f)]    (f - y) / n
``softmax``   softmax(row)    `CrossEntropy`: -1/n sum_ik y_ik log f_ik            (f - y) / n
``step``      1 if score>=0   none: the step's derivative is 0
============  ==============  ===================================================  ============

Nothing overflows and no log(0) appears: loss and delta are finite for scores of +-1e4.
"""

from __future__ import annotations

from typing import ClassVar

from . import _checks, activations
from ._config import Described, described
from .primitives import Array, Ops

OUTPUTS = ("identity", "sigmoid", "softmax", "step")


def apply_output(ops: Ops, output: str, scores: Array) -> Array:
    """Return the prediction f for the scores f~. scores: (n, K)."""
    if output == "softmax":
        return ops.softmax(scores)
    return ops.activate(scores, activations.BY_NAME[output])


class Loss(Described):
    """A loss of the scores, paired with the output that it is differentiated with."""

    output: ClassVar[str]
    labels: ClassVar[str]  # what a target may be: "classes", "probabilities" or "reals"

    def value_and_delta(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return the 0-d mean loss and delta^(L) = dloss/dscores: (n, K)."""
        raise NotImplementedError


@described
class MSE(Loss):
    """Half the mean squared error, 1/(2n) sum_i ||y_i - f_i||^2, for the identity output.

    Warnings
    --------
    Other libraries leave out the 1/2, or divide by the number of outputs too.
    """

    output = "identity"
    labels = "reals"

    def value_and_delta(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        loss, delta = ops.squared_error(scores, y)
        return loss, delta


@described
class Logistic(Loss):
    """Logistic loss of the sigmoid output; targets are 0 or 1, or probabilities between.

    With several outputs the losses of a sample's outputs are added.
    """

    output = "sigmoid"
    labels = "probabilities"

    def value_and_delta(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        loss, delta = ops.logistic(scores, y)
        return loss, delta


@described
class CrossEntropy(Loss):
    """Cross-entropy of the softmax output; targets are class indices or one-hot rows."""

    output = "softmax"
    labels = "classes"

    def value_and_delta(self, ops: Ops, scores: Array, y: Array) -> tuple[Array, Array]:
        loss, delta = ops.cross_entropy(scores, y)
        return loss, delta


BY_NAME: dict[str, Loss] = {
    "mse": MSE(),
    "logistic": Logistic(),
    "cross_entropy": CrossEntropy(),
}


def get(loss: str | Loss | None, output: str, where: str = "losses.get") -> Loss:
    """Return the loss of a name, or an output's own for None, checking that it pairs with it."""
    own = {known.output: known for known in BY_NAME.values()}
    if output not in own:
        raise ValueError(
            f"{where}: the output {output!r} has derivative 0 almost everywhere, so no loss can be "
            "differentiated through it. Train with output='sigmoid' instead."
        )
    if loss is None:
        return own[output]
    if not isinstance(loss, Loss):
        loss = BY_NAME[_checks.choice(where, "loss", loss, BY_NAME)]
    if loss.output != output:
        raise ValueError(
            f"{where}: `loss` {type(loss).__name__} needs output={loss.output!r}, but the network "
            f"has output={output!r}, whose loss is {type(own[output]).__name__}."
        )
    return loss
