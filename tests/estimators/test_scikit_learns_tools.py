"""The estimators inside scikit-learn's own, which fit and ask them in their ways."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnpoly.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
LABELS = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])]
NUMBERS = X[:, 0] - X[:, 1]
PAIRS = np.stack([NUMBERS, X[:, 2]], axis=1)
SEVERAL = (X > 0).astype(int)
OPTIONS: dict[str, Any] = {
    "hidden_layer_sizes": (8,),
    "learning_rate_init": 0.05,
    "max_iter": 30,
    "random_state": 0,
}


def classifier(**options: Any) -> MLPClassifier:
    return MLPClassifier(**OPTIONS | options)


def regressor(**options: Any) -> MLPRegressor:
    return MLPRegressor(**OPTIONS | options)


def several(kind: Any) -> list[tuple[str, Any]]:
    return [("one", kind()), ("two", kind(alpha=0.1))]


TOOLS: dict[str, tuple[Callable[[], Any], Any, float]] = {
    "pipeline": (lambda: make_pipeline(StandardScaler(), classifier()), LABELS, 0.8),
    "calibration": (lambda: CalibratedClassifierCV(classifier(), cv=2), LABELS, 0.8),
    "votes": (lambda: VotingClassifier(several(classifier), voting="soft"), LABELS, 0.8),
    "votes of numbers": (lambda: VotingRegressor(several(regressor)), NUMBERS, 0.8),
    "stacks": (lambda: StackingClassifier(several(classifier), cv=2), LABELS, 0.8),
    "bags": (lambda: BaggingRegressor(regressor(), n_estimators=2), NUMBERS, 0.8),
    "boosts": (lambda: AdaBoostClassifier(classifier(), n_estimators=2), LABELS, 0.8),
    "one against the rest": (lambda: OneVsRestClassifier(classifier()), LABELS, 0.8),
    "one against one": (lambda: OneVsOneClassifier(classifier()), LABELS, 0.8),
    "several labels": (classifier, SEVERAL, 0.8),
    "a network each": (lambda: MultiOutputClassifier(classifier()), SEVERAL, 0.8),
    "several numbers": (regressor, PAIRS, 0.8),
    "a regressor each": (lambda: MultiOutputRegressor(regressor()), PAIRS, 0.8),
    "a chain": (lambda: RegressorChain(regressor()), PAIRS, 0.8),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_learn_with_it(tool):
    make, y, least = TOOLS[tool]
    assert make().fit(X, y).score(X, y) > least


def test_scorers_read_probabilities_and_labels():
    for scoring in ("accuracy", "f1_macro", "roc_auc_ovr"):
        assert cross_val_score(classifier(), X, LABELS, scoring=scoring, cv=3).min() > 0.7
    found = cross_val_predict(classifier(), X, LABELS, method="predict_log_proba", cv=3)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    assert cross_val_score(classifier(), X, SEVERAL, scoring="f1_macro", cv=3).min() > 0.6


def test_a_search_passes_a_refusal_on():
    """By the entry's name; and goes on with the rest, where it is asked to."""
    grid = {"alpha": [-1.0, 0.0]}
    with pytest.raises(ValueError, match=r"MLPClassifier.fit: `alpha` must be a number"):
        GridSearchCV(classifier(), grid, cv=2, error_score="raise").fit(X, LABELS)
    with pytest.warns(Warning, match="MLPClassifier.fit: `alpha` must be a number|non-finite"):
        found = GridSearchCV(classifier(), grid, cv=2).fit(X, LABELS)
    assert found.best_params_ == {"alpha": 0.0}


def test_classes_of_parts_come_from_the_tool():
    model = OneVsRestClassifier(classifier())
    for _ in range(30):
        model.partial_fit(X, LABELS, classes=["a", "b", "c"])
    assert model.score(X, LABELS) > 0.7


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_train_on_alike(copied):
    model = classifier(warm_start=True).fit(X, LABELS)
    other = copied(model)
    for each in (model, other):
        each.partial_fit(X, LABELS).fit(X, LABELS)
    assert np.array_equal(model.network_.w, other.network_.w)
    assert not hasattr(clone(model), "trainer_")
