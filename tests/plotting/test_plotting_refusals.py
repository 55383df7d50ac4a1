"""What the pictures refuse to show, and that nothing is drawn then."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression

import nnpoly as nn

P, NAN = nn.plotting, float("nan")
NET = nn.MLP([2, 4, 3])
GRID = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 2))
CLASSES = np.arange(40) % 3
PROBABILITIES = np.full((40, 3), 1 / 3)
HISTORY = nn.History([1.0, 0.5], [1.5, 0.75])
WRONG_CURVE = "`history.validation_loss` must have an entry for each of the 2 epochs, got 1"
REFUSED = [
    (lambda: P.history(nn.History()), "history: `history` must hold at least one epoch"),
    (lambda: P.history(nn.History([1.0, 2.0], [1.0])), WRONG_CURVE),
    (lambda: P.history(nn.History([NAN])), "`history.loss` must be finite"),
    (lambda: P.history(HISTORY, metrics=["f1"]), r"metrics of the history \(none\), got 'f1'"),
    (
        lambda: P.history(SimpleNamespace(loss=[1.0], validation_loss=[], metrics={}), None, "f1"),
        "must name metrics",
    ),
    (lambda: P.decision_boundary(nn.MLP([3, 2]), GRID), "must have 2 inputs, .* got 3"),
    (
        lambda: P.decision_boundary(nn.MLP([2, 1], output="identity"), GRID),
        "must decide between classes, .* got 'identity'",
    ),
    (lambda: P.decision_boundary(nn.Trainer(NET), GRID), "Of a trainer pass trainer.network"),
    (lambda: P.decision_boundary(NET, GRID[:, :1]), r"`X` must have shape \(n, m\), m >= 2"),
    (lambda: P.decision_boundary(NET, GRID[:0]), "`X` must hold at least one value"),
    (lambda: P.decision_boundary(NET, GRID, [0, 1]), "must be equally long, got 40 and 2"),
    (lambda: P.decision_boundary(NET, GRID, CLASSES + 1), "labels among 0, 1, 2, got 3"),
    (lambda: P.decision_boundary(NET, GRID, features=(0, 2)), "two different columns of 0..1"),
    (lambda: P.decision_boundary(NET, GRID, features=0), "two different columns of 0..1"),
    (lambda: P.decision_boundary(NET, GRID, classes=["a"]), "name each of the 3 classes, got 1"),
    (lambda: P.decision_boundary(NET, GRID, resolution=1), "`resolution` must be an integer >= 2"),
    (lambda: P.decision_boundary(NET, [[NAN, 0.0]]), r"`X` must be finite, .* first at \[0, 0\]"),
    (
        lambda: P.decision_boundary(LinearRegression().fit(GRID, GRID[:, 0]), GRID),
        "Is it a regressor?",
    ),
    (lambda: P.confusion_matrix([0, 1], [0]), "`y_true` and `y_pred` must be equally long"),
    (lambda: P.confusion_matrix([], []), r"`y_true` must have shape \(n,\), n >= 1"),
    (lambda: P.confusion_matrix([0], PROBABILITIES), r"pass y_pred.argmax\(axis=1\)"),
    (lambda: P.confusion_matrix([0], ["a"]), "must hold labels of one kind"),
    (lambda: P.confusion_matrix([0.0, NAN], [0.0, 1.0]), "`y_true` must have no missing labels"),
    (lambda: P.confusion_matrix(["a"], ["z"], ["a", "b"]), "labels among a, b, got 'z'"),
    (lambda: P.confusion_matrix([0], [0], ["a", "a"]), "`classes` must be different"),
    (lambda: P.predicted_vs_true([1.0], [1.0, 2.0]), "must be equally long, got 1 and 2"),
    (lambda: P.predicted_vs_true([], []), "`y_true` must hold at least one value"),
    (lambda: P.predicted_vs_true([1.0], [NAN]), "`y_pred` must be finite"),
    (lambda: P.predicted_vs_true(GRID, GRID), r"draw one at a time: y_true\[:, 0\]"),
    (lambda: P.predicted_vs_true(["a"], ["b"]), "`y_true` must hold real numbers"),
    (lambda: P.calibration([0, 1], [0.5]), "must be equally long"),
    (lambda: P.calibration([0], [1.5]), r"must lie in \[0, 1\], .* pass net\(X\)"),
    (lambda: P.calibration([0], [[0.5, 0.4]]), "must sum to 1, one is off by 0.1"),
    (lambda: P.calibration([2], [0.5]), "labels among 0, 1, got 2"),
    (lambda: P.calibration([0], [0.5], bins=0), "`bins` must be an integer >= 1"),
    (lambda: P.calibration([0], [NAN]), "`probabilities` must be finite"),
    (lambda: P.weight_histograms(nn.Trainer(NET)), "`net` must be an nn.Network"),
    (lambda: P.activation_histograms(NET, [[NAN, 1.0]]), "`X` must be finite"),
    (lambda: P.activation_histograms(NET, GRID[0]), r"`X` must have shape \(n, 2\)"),
    (lambda: P.gradient_norms(NET, GRID, [5] * 40), "`y` must hold class indices 0..2"),
    (lambda: P.gradient_norms(NET, GRID, CLASSES, loss="mse"), "needs output='identity'"),
    (
        lambda: P.gradient_norms(nn.MLP([2, 1], output="step"), GRID, CLASSES),
        "derivative 0 almost everywhere",
    ),
    (
        lambda: P.classification_report(HISTORY, [0], [[0.5, 0.5]], ["one"]),
        "name each of the 2 classes",
    ),
    (lambda: P.comparison({"network": "good"}), "`values` must hold real numbers"),
    (lambda: P.regression_report(HISTORY, [0.0], [0.0, 1.0]), "must be equally long"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda ax: P.history(nn.History([1.0, 2.0], [1.0]), ax),
        lambda ax: P.decision_boundary(NET, GRID, CLASSES + 1, ax),
        lambda ax: P.confusion_matrix([0, 1], [0], ax=ax),
        lambda ax: P.predicted_vs_true([1.0], [NAN], ax),
        lambda ax: P.calibration([2], [0.5], ax),
        lambda ax: P.gradient_norms(NET, GRID, [5] * 40, ax),
    ],
)
def test_a_refused_call_draws_nothing(call):
    ax = Figure().add_subplot()
    before = ax.get_children()
    with pytest.raises(ValueError, match="must"):
        call(ax)
    assert ax.get_children() == before
    assert not ax.get_title()
