"""Estimators by scikit-learn's protocol.

`RealMLPClassifier`, `RealMLPRegressor`, `TabMClassifier` and `TabMRegressor` take tables as they
are, and need no tuning.

Parameters, defaults and attributes of `sklearn.neural_network` mean the same in `MLPClassifier` and
`MLPRegressor`, so that a changed import is enough. Beyond them there are weights of classes,
validation data of one's own, callbacks, dropout, layer normalisation, more losses, optimisers and
schedules as objects, backends and devices.

What differs, most of all: `alpha` penalises the biases too; `loss_curve_` is the loss without the
penalty; a warm start goes on with the optimiser's moments and learning rate, so that two fits of 5
epochs are one of 10, unless they end early. The guide's page on estimators has the rest.

Needs scikit-learn: `pip install nnpoly[sklearn]`.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "nnpoly.estimators needs scikit-learn: pip install nnpoly[sklearn]"
    ) from error

from . import pool  # noqa: F401  registers the C core's threads
from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .tabular.realmlp import RealMLPClassifier, RealMLPRegressor
from .tabular.tabm import TabMClassifier, TabMRegressor

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "RealMLPClassifier",
    "RealMLPRegressor",
    "TabMClassifier",
    "TabMRegressor",
]
