"""scikit-learn's estimators and ours, which start with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import neural_network as theirs

import nnpoly as nn
from nnpoly.estimators import MLPClassifier, MLPRegressor

# Options with which the two take the same steps.
PLAIN: dict[str, Any] = {
    "hidden_layer_sizes": (8,),
    "activation": "tanh",
    "alpha": 0.0,
    "shuffle": False,
    "batch_size": 40,
    "solver": "sgd",
    "learning_rate_init": 0.05,
    "tol": 0.0,
}
NAMES = {"logistic": "sigmoid"}  # scikit-learn's, and the library's


def started(kind: Any, X: Any, y: Any, **options: Any) -> tuple[Any, Any]:
    """Return scikit-learn's estimator that has seen no sample, and ours with the same weights."""
    nothing = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1, "random_state": 0}
    start = kind(**options).set_params(**nothing).fit(X, y)
    del start._optimizer
    start.t_, start.loss_curve_, start._no_improvement_count = 0, [], 0
    start.best_loss_ = None if start.early_stopping else np.inf
    if start.early_stopping:
        start.validation_scores_, start.best_validation_score_ = [], -np.inf
    net = nn.MLP.from_weights(
        [W.T for W in start.coefs_],
        start.intercepts_,
        NAMES.get(start.activation, start.activation),
        NAMES.get(start.out_activation_, start.out_activation_),
    )
    if kind is theirs.MLPClassifier:
        return start, MLPClassifier.from_network(net, start.classes_)
    return start, MLPRegressor.from_network(net, loss=start.loss)


def trained_alike(kind: Any, X: Any, y: Any, **options: Any) -> tuple[Any, Any]:
    """As `started`; both have the options, and go on from where they are."""
    both = started(kind, X, y, **{k: v for k, v in options.items() if k != "solver"})
    for model in both:
        model.set_params(**{"learning_rate_init": 0.001, "max_iter": 200, **options})
        model.set_params(warm_start=True)
    return both
