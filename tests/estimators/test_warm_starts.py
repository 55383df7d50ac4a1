"""Warm starts and partial fits: rates and parameters of each fit, and what a failed fit leaves."""

from __future__ import annotations

import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from beside import PLAIN, trained_alike
from sklearn import neural_network as theirs
from sklearn.exceptions import ConvergenceWarning

import nnpoly as nn
from nnpoly.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5))
Y = X[:, 0] * 2 + 1


def w(model: Any) -> np.ndarray:
    return np.array(model.network_.w)


def norm(model: Any) -> float:
    return float(np.linalg.norm(np.concatenate([W.ravel() for W in model.coefs_])))


def pair(**options: Any) -> tuple[Any, Any]:
    """Return scikit-learn's regressor and ours with the same weights, which go on from there."""
    return trained_alike(theirs.MLPRegressor, X, Y, **PLAIN | options)


# The learning rate "invscaling"


@pytest.mark.parametrize("power", [0.5, 0.25])
def test_invscaling_counts_samples(power):
    """With momentum the paths part: scikit-learn's velocity holds the rates of its steps."""
    other, ours = pair(learning_rate="invscaling", max_iter=8, momentum=0.0, power_t=power)
    other.fit(X, Y)
    ours.fit(X, Y)
    np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_invscaling_of_partial_fits(momentum):
    other, ours = pair(learning_rate="invscaling", momentum=momentum)
    rates = [0.05]
    for rows in (slice(0, 200), slice(0, 90), slice(40, 150), slice(0, 40), slice(0, 200)):
        other.partial_fit(X[rows], Y[rows])
        ours.partial_fit(X[rows], Y[rows])
        rate = ours.trainer_.optimizer.learning_rate_at(ours.trainer_.t)
        assert rate == pytest.approx(rates[-1], rel=1e-15)
        rates.append(other._optimizer.learning_rate)
    if not momentum:
        np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-11)


def test_invscaling_goes_on_in_a_warm_start():
    options = PLAIN | {"learning_rate": "invscaling", "random_state": 0, "warm_start": True}
    twice, once = MLPRegressor(max_iter=4, **options), MLPRegressor(max_iter=8, **options)
    assert np.array_equal(w(twice.fit(X, Y).fit(X, Y)), w(once.fit(X, Y)))
    # 10 rows, which make fewer steps, and then 200.
    mixed = twice.fit(X[:10], Y[:10]).partial_fit(X[:10], Y[:10]).fit(X, Y)
    seen = 8 * 200 + 5 * 10 + 3 * 200
    rate = mixed.trainer_.optimizer.learning_rate_at(mixed.trainer_.t)
    assert rate == pytest.approx(0.05 / (seen + 1) ** 0.5, rel=1e-14)


# Parameters are read at every fit


def test_after_early_stopping_weights_are_those_just_trained():
    model = MLPRegressor(early_stopping=True, max_iter=50, random_state=0).fit(X, Y)
    model.set_params(early_stopping=False, learning_rate_init=0.01)
    for _ in range(200):
        model.partial_fit(X, -Y)
    assert model.score(X, -Y) > 0.9
    model.set_params(warm_start=True, max_iter=300).fit(X, Y)
    assert model.score(X, Y) > 0.9
    model.set_params(early_stopping=True).fit(X, -Y)
    assert model.score(X, -Y) > 0.9
    assert len(model.validation_scores_) > model.n_iter_


def test_alpha_is_read_anew():
    model = MLPRegressor(warm_start=True, alpha=0.0, max_iter=50, random_state=0).fit(X, Y)
    before = norm(model)
    assert norm(model.set_params(alpha=1000.0).fit(X, Y)) < before


def test_when_to_stop_is_read_anew():
    options = {"warm_start": True, "n_iter_no_change": 1000, "max_iter": 20, "random_state": 0}
    model = MLPRegressor(**options).fit(X, Y)
    assert model.set_params(tol=10.0, n_iter_no_change=2, max_iter=200).fit(X, Y).n_iter_ <= 4


def test_the_loss_is_read_anew():
    for kind, y, changed in (
        (MLPClassifier, Y > 1, {"label_smoothing": 0.3}),
        (MLPClassifier, Y > 1, {"loss": "focal"}),
        (MLPRegressor, Y, {"loss": "absolute_error"}),
    ):
        model = kind(warm_start=True, max_iter=3, random_state=0).fit(X, y)
        model.set_params(**changed).fit(X, y)
        assert model.trainer_.loss == kind(max_iter=1, **changed).fit(X, y).trainer_.loss
        assert model.loss_ == pytest.approx(model.trainer_.evaluate(*encoded(model, y)), rel=0.1)


def encoded(model: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return X, (y if isinstance(model, MLPRegressor) else y.astype(float))[:, None]


def test_the_learning_rate_is_read_anew():
    options = PLAIN | {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 1.0}
    model = MLPRegressor(max_iter=200, warm_start=True, **options).fit(X, Y)
    trainer = model.trainer_
    slow = trainer.rate_factor
    assert slow < 1e-3
    model.set_params(max_iter=1).fit(X, Y)
    assert trainer.rate_factor == slow  # where nothing was asked for
    model.set_params(learning_rate="constant", learning_rate_init=0.01).fit(X, Y)
    assert trainer.optimizer.learning_rate_at(trainer.t) * trainer.rate_factor == 0.01


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_layer_sizes": (7,)},
        {"activation": "tanh"},
        {"dropout": 0.5},
        {"layer_norm": True},
        {"dtype": "float32"},
        {"backend": "torch"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_cannot_change_is_refused(changed, tmp_path):
    model = MLPRegressor(warm_start=True, hidden_layer_sizes=[6], max_iter=2).fit(X, Y)
    model.save(tmp_path / "m")
    for each in (model, MLPRegressor.load(tmp_path / "m")):
        before = w(each.set_params(hidden_layer_sizes=6).fit(X, Y))
        with pytest.raises(ValueError, match=f"`{next(iter(changed))}` must stay "):
            each.set_params(**changed).fit(X, Y)
        assert np.array_equal(w(each), before)
        each.set_params(warm_start=False).fit(X, Y)


def test_a_loss_of_another_output_is_refused():
    model = MLPRegressor(warm_start=True, max_iter=2).fit(X, abs(Y))
    with pytest.raises(ValueError, match=r"MLPRegressor.fit: `loss` Poisson needs output='exp'"):
        model.set_params(loss="poisson").fit(X, abs(Y))


def test_the_penalty_is_of_the_batch_at_hand():
    scores = []
    for first in (200, 1):
        options = {"alpha": 1.0, "solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.0}
        model = MLPRegressor(**options, random_state=0).partial_fit(X[:first], Y[:first])
        for _ in range(200):
            model.partial_fit(X, Y)
        scores.append(model.score(X, Y))
    assert min(scores) > 0.95


class Unread(list[float]):
    """A list that is only ever added to."""

    def __iter__(self) -> Any:
        raise AssertionError("all of the history was read")


def test_partial_fits_do_not_read_all_of_the_history():
    model = MLPRegressor(random_state=0).partial_fit(X, Y)
    history = model.trainer_.history
    history.loss = Unread(history.loss)
    for _ in range(3):
        model.partial_fit(X, Y)
    assert len(model.loss_curve_) == 4
    assert model.best_loss_ == model.loss_ == model.loss_curve_[-1]


def test_a_network_of_two_softmax_outputs_trains():
    net = nn.MLP([5, 4, 2], dtype="float64")
    model = MLPClassifier.from_network(net, ["no", "yes"])
    assert np.array_equal(model.predict_proba(X), net(X))
    y = np.array(["no", "yes"])[(Y > 1).astype(int)]
    model.set_params(warm_start=True, max_iter=200, learning_rate_init=0.05).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.out_activation_ == "softmax"


# A failed fit leaves everything as it was


class Breaks:
    """A callback that raises after some epochs."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, 0

    def __call__(self, trainer: nn.Trainer, history: nn.History) -> None:
        self.seen += 1
        if self.seen == self.after:
            raise RuntimeError("broken")


def state(model: Any) -> dict[str, Any]:
    """Return all that a fit changes, copied."""
    trainer, given = model.trainer_, model.get_params(deep=False)
    further = {k: v for k, v in vars(model).items() if k not in given}
    later = pickled_steps(trainer)
    return {
        **{k: list(v) if isinstance(v, list) else v for k, v in further.items()},
        "objects": (id(trainer), id(model.network_), id(trainer.history)),
        "w": w(model).tobytes(),
        "buffers": repr(model.network_.buffers),
        "steps": (trainer.t, trainer.rate_factor, trainer.optimizer, trainer.loss, trainer.seed),
        "history": repr(trainer.history),
        "curve": list(model.loss_curve_),
        "later": later,
    }


def pickled_steps(trainer: nn.Trainer) -> bytes:
    """Return the weights after two further steps of a copy, which depend on moments and t."""
    copy = pickle.loads(pickle.dumps(trainer))
    target = np.zeros((200, copy.network.outputs))
    for _ in range(2):
        copy.step(X, target)
    return np.array(copy.network.w).tobytes()


CHANGES: dict[str, dict[str, Any]] = {
    "callback": {},
    "solver": {"solver": "sgd"},
    "alpha": {"alpha": 0.5},
    "rate": {"learning_rate": "adaptive", "learning_rate_init": 0.5},
    "early stopping": {"early_stopping": True},
    "batches": {"batch_size": 17},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_warm_start_that_raises_changes_nothing(kind, change):
    y = Y > 1 if kind is MLPClassifier else Y
    options = {"warm_start": True, "early_stopping": change == "callback", "random_state": 0}
    model = kind(hidden_layer_sizes=(6,), max_iter=5, dropout=0.1, **options).fit(X, y)
    before = state(model)
    model.set_params(max_iter=30, callbacks=[Breaks(3)], **CHANGES[change])
    with pytest.raises(RuntimeError, match="broken"):
        model.fit(X, y)
    assert state(model) == before
    model.set_params(callbacks=[], max_iter=2).fit(X, y)
    assert len(model.loss_curve_) == len(before["curve"]) + 2


def test_a_partial_fit_that_raises_changes_nothing():
    model = MLPClassifier((6,), random_state=0).partial_fit(X, Y > 1)
    before = state(model)
    for changed in ({"callbacks": [Breaks(1)]}, {"loss": "focal", "callbacks": [Breaks(1)]}):
        with pytest.raises(RuntimeError, match="broken"):
            model.set_params(**changed).partial_fit(X, Y > 1)
        assert state(model) == before


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_diverging_warm_start_changes_nothing():
    model = MLPRegressor(solver="sgd", warm_start=True, max_iter=3, random_state=0).fit(X, Y)
    before = state(model)
    model.set_params(learning_rate_init=1e3, max_iter=100, n_iter_no_change=100)
    with pytest.raises(ArithmeticError, match="epoch"):
        model.fit(X, Y)
    assert state(model) == before


def test_a_warm_start_by_lbfgs_that_raises_changes_nothing(monkeypatch):
    model = MLPRegressor(warm_start=True, max_iter=3, random_state=0).fit(X, Y)
    before, counter = state(model), itertools.count()
    plain = nn.Network.gradients

    def gradients(net: nn.Network, *arguments: Any, **options: Any) -> Any:
        if next(counter) == 3:
            raise KeyboardInterrupt
        return plain(net, *arguments, **options)

    monkeypatch.setattr(nn.Network, "gradients", gradients)
    model.set_params(solver="lbfgs")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert state(model) == before


def test_a_warning_that_is_an_error_changes_nothing():
    model = MLPRegressor(warm_start=True, random_state=0).partial_fit(X, Y)
    before = state(model)
    model.set_params(max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            model.fit(X, Y)
    assert state(model) == before


def test_an_interrupted_warm_start_keeps_its_epochs():
    def interrupt(trainer: nn.Trainer, history: nn.History) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"random_state": 0, "tol": 0.0, "warm_start": True}
    model = MLPRegressor(max_iter=3, **options).fit(X, Y)
    with pytest.warns(UserWarning, match="interrupted"):
        model.set_params(callbacks=[interrupt]).fit(X, Y)
    assert (model.n_iter_, len(model.loss_curve_), model.t_) == (2, 5, 1000)
    assert np.array_equal(w(model), w(MLPRegressor(max_iter=5, **options).fit(X, Y)))


# The share that is set aside


@pytest.mark.parametrize("given", [None, RNG.integers(1, 4, 200).astype(float)])
def test_both_kinds_of_validation_data_are_scored_alike(given, monkeypatch):
    """Without the classes' weights, with those of the samples."""
    from nnpoly.estimators import base

    y, shares, split = (Y > 2.5).astype(int), [], base.train_test_split
    monkeypatch.setattr(
        base, "train_test_split", lambda *a, **b: shares.append(split(*a, **b)) or shares[0]
    )
    options: dict[str, Any] = {"class_weight": {0: 1.0, 1: 50.0}, "random_state": 0, "max_iter": 9}
    share = MLPClassifier(early_stopping=True, **options).fit(X, y, given)
    kept, held = shares[0]
    s, s_val = (None, None) if given is None else (given[kept], given[held])
    own = MLPClassifier(**options).fit(
        X[kept], y[kept], s, X_val=X[held], y_val=y[held], sample_weight_val=s_val
    )
    assert share.loss_curve_ == own.loss_curve_
    assert share.validation_scores_ == own.validation_scores_
    assert share.best_validation_score_ == share.score(X[held], y[held], s_val)


def test_lbfgs_sets_nothing_aside():
    options: dict[str, Any] = {"solver": "lbfgs", "max_iter": 20, "random_state": 0}
    plain = MLPRegressor(**options).fit(X, Y)
    assert np.array_equal(w(plain), w(MLPRegressor(early_stopping=True, **options).fit(X, Y)))
