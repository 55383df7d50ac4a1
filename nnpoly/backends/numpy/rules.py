"""The optimisers' rules as C has them: codes, moments, and the numbers that a step gives it.

cext/nnpoly.h says what each rule does (`nnpoly_update`). Numbers have C's names and stand in the
order of the primitive's definition.
"""

from __future__ import annotations

from typing import NamedTuple

from ... import optimizers
from ..._core import lib
from ...optimizers import Optimizer

# The fields of nnpoly_rates: what changes from step to step. Rules take the first ones; the last
# one is an array.
FIELDS = ["learning_rate", "weight_m", "weight_g", "unbias_s", "weight_decay", "key", "dropout"]


class Rule(NamedTuple):
    """A rule of C: the vectors and the numbers that it takes, beside w and the gradient."""

    code: int
    moments: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def rates(self) -> list[str]:
        """The numbers that change from step to step: what `Optimizer.coefficients` holds."""
        return [name for name in self.numbers if name in FIELDS]


ROOT = ("eps", "eps_inside")
ADAM = ("learning_rate", "beta1", "beta2", "weight_m", "unbias_s", *ROOT)
NADAM = ("learning_rate", "beta1", "beta2", "weight_m", "weight_g", "unbias_s", *ROOT)

# By the name of the primitive. `momentum` has NESTEROV's code where its number `nesterov` is true.
UPDATES = {
    "sgd": Rule(lib.NNPOLY_SGD, (), ("learning_rate",)),
    "momentum": Rule(lib.NNPOLY_MOMENTUM, ("m",), ("learning_rate", "beta1", "nesterov")),
    "adagrad": Rule(lib.NNPOLY_ADAGRAD, ("s",), ("learning_rate", *ROOT)),
    "rmsprop": Rule(lib.NNPOLY_RMSPROP, ("s",), ("learning_rate", "beta2", *ROOT)),
    "adam": Rule(lib.NNPOLY_ADAM, ("m", "s"), ADAM),
    "nadam": Rule(lib.NNPOLY_NADAM, ("m", "s"), NADAM),
    "amsgrad": Rule(lib.NNPOLY_AMSGRAD, ("m", "s", "peak"), ADAM),
    "lion": Rule(lib.NNPOLY_LION, ("m",), ("learning_rate", "beta1", "beta2")),
}

PRIMITIVES: dict[type[Optimizer], str] = {
    optimizers.SGD: "sgd",
    optimizers.AdaGrad: "adagrad",
    optimizers.RMSProp: "rmsprop",
    optimizers.Adam: "adam",
    optimizers.AdamW: "adam",
    optimizers.NAdam: "nadam",
    optimizers.AMSGrad: "amsgrad",
    optimizers.Lion: "lion",
}
# Of each optimiser's rule: its code, and the fields of nnpoly_rates that a step fills in.
RULES = {kind: (UPDATES[name].code, UPDATES[name].rates) for kind, name in PRIMITIVES.items()}
