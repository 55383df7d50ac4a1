"""Every parameter that is changed between two fits or partial fits, beside scikit-learn.

Both start with the same weights. With plain SGD, which remembers nothing, their numbers are equal
to rounding wherever a parameter means the same.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import beside
import numpy as np
import pytest
from beside import trained_alike
from sklearn import neural_network as theirs

import nnpoly as nn
from nnpoly import estimators
from nnpoly.estimators import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5))
NUMBERS = X[:, 0] * 2 + 1
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])
KINDS = {"MLPRegressor": NUMBERS, "MLPClassifier": CLASSES}
PLAIN = {**beside.PLAIN, "momentum": 0.0, "max_iter": 4}
MOMENTUM = {"momentum": 0.9}
ADAM = {"solver": "adam", "epsilon": 1e-14, "learning_rate_init": 0.01}
HELD_OUT = {"early_stopping": True, "n_iter_no_change": 1000}
LBFGS = {"solver": "lbfgs"}
EPOCHS = ("loss_", "loss_curve_", "best_loss_", "n_iter_", "t_", "validation_scores_")
WEIGHTS = ("coefs_", "intercepts_")


def w(model: Any) -> np.ndarray:
    return np.array(model.network_.w)


def target(model: Any) -> np.ndarray:
    return KINDS[type(model).__name__]


def warm(model: Any, **options: Any) -> Any:
    return model.set_params(**options).fit(X, target(model))


def parts(model: Any, **options: Any) -> Any:
    model.set_params(**options)
    for _ in range(3):
        model.partial_fit(X, target(model))
    return model


class Change(NamedTuple):
    """A change of parameters between two calls, and what it means in either way.

    Attributes
    ----------
    changed, base
        The parameters after the first fit, and before it.
    warm, part
        What it means for a warm start and for partial fits: a function of `train`, scikit-learn's
        estimator, ours and the change.
    compared
        The attributes that `same` compares.
    """

    changed: dict[str, Any]
    warm: Callable[..., None]
    part: Callable[..., None]
    base: Mapping[str, Any] = MappingProxyType({})
    compared: tuple[str, ...] = (*EPOCHS, *WEIGHTS)


# What a change may mean


def same(train: Any, other: Any, ours: Any, change: Change) -> None:
    """The numbers are scikit-learn's."""
    for model in (other, ours):
        train(model, **change.changed)
    assert_alike(ours, other, change.compared)


def assert_alike(ours: Any, other: Any, names: tuple[str, ...]) -> None:
    for name in names:
        got, wanted = getattr(ours, name), getattr(other, name)
        if wanted is None:
            assert got is None, name
            continue
        pairs = zip(got, wanted, strict=True) if name in WEIGHTS else [(got, wanted)]
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-11, err_msg=name)


def anew(train: Any, other: Any, ours: Any, change: Change) -> None:
    """It is read anew: as by a new estimator of the same weights, and it makes a difference.

    scikit-learn's partial fits keep the optimiser of the first one, whatever is set afterwards.
    """
    new, unchanged = fresh(ours, change.changed), copy.deepcopy(ours)
    train(ours, **change.changed)
    np.testing.assert_allclose(w(ours), w(train(new)), rtol=1e-12)
    assert not np.array_equal(w(ours), w(train(unchanged)))


def fresh(ours: Any, changed: dict[str, Any]) -> Any:
    """Return a new estimator of the same weights, with the changed parameters."""
    net, further = ours.network_.copy(), {}
    if isinstance(ours, MLPClassifier):
        further["classes"] = ours.classes_
    return type(ours).from_network(net, **further, **ours.get_params() | changed)


def unread(train: Any, other: Any, ours: Any, change: Change) -> None:
    """It is of new networks alone; what else is changed is so without it."""
    name, *others = change.changed
    unchanged = copy.deepcopy(ours)
    train(unchanged, **{further: change.changed[further] for further in others})
    assert np.array_equal(w(train(ours, **change.changed)), w(unchanged)), name


def unread_without_a_share(train: Any, other: Any, ours: Any, change: Change) -> None:
    """It is of fits that set rows aside."""
    unread(train, other, ours, change._replace(changed=change.changed | {"early_stopping": False}))


def refused(train: Any, other: Any, ours: Any, change: Change) -> None:
    """It is refused, and nothing has changed."""
    before, names = w(ours), {**change.base, **change.changed}
    for _ in range(2):
        with pytest.raises((ValueError, AttributeError), match="|".join(map("`{}`".format, names))):
            train(ours, **change.changed)
        assert np.array_equal(w(ours), before)


def differs_in(law: Callable[[Any, Any], None]) -> Callable[..., None]:
    """Both train, and then a law holds that tells ours from scikit-learn's."""

    def check(train: Any, other: Any, ours: Any, change: Change) -> None:
        for model in (other, ours):
            train(model, **change.changed)
        law(other, ours)

    return check


def counts_anew(other: Any, ours: Any) -> None:
    """Every fit of ours counts anew for how long nothing was gained: n_iter_no_change + 2 epochs,
    the first of which is a gain; scikit-learn's goes on counting.
    """
    assert ours.n_iter_ == ours.n_iter_no_change + 2
    assert other.n_iter_ < ours.n_iter_


def goes_on(other: Any, ours: Any) -> None:
    """Ours goes on with the rate of all samples so far, as scikit-learn does from its 2nd epoch.

    If it is one of partial fits, scikit-learn's has kept the optimiser of the first one.
    """
    assert ours.t_ == other.t_
    rate = ours.trainer_.learning_rate
    assert rate == pytest.approx(rate_after(ours, ours.t_ - 200), rel=1e-13)
    if ours.n_iter_ > 1:
        assert other._optimizer.learning_rate == pytest.approx(rate_after(ours, ours.t_), rel=1e-13)


def rate_after(model: Any, samples: int) -> float:
    return model.learning_rate_init / (samples + 1) ** model.power_t


def forgets_nothing(train: Any, other: Any, ours: Any, change: Change) -> None:
    """Our warm start keeps the optimiser's moments: two fits of 4 epochs are one of 8."""
    whole, _ = made(type(ours).__name__, {**change.base, **change.changed, "max_iter": 8})
    train(ours, **change.changed)
    warm(whole)
    assert_alike(ours, whole, ("loss_curve_", *WEIGHTS))


def breaks_there(train: Any, other: Any, ours: Any, change: Change) -> None:
    """Ours takes it up; scikit-learn fails, in some way."""
    with pytest.raises((TypeError, AttributeError)):
        train(other, **change.changed)
    train(ours, **change.changed)
    assert len(ours.loss_curve_) == 8
    assert len(ours.validation_scores_) == 4
    assert (ours.best_loss_ is None) == ours.early_stopping


def afresh(other: Any, ours: Any) -> None:
    """A new network, and new counts."""
    for name in ("n_iter_", "t_"):
        assert getattr(ours, name) == getattr(other, name) == {"n_iter_": 4, "t_": 800}[name]
    assert len(ours.loss_curve_) == len(other.loss_curve_) == 4


def splits_alike(other: Any, ours: Any) -> None:
    """Other rows are set aside, but as many."""
    assert ours.t_ == other.t_ == 4 * 180 + 4 * 140
    assert len(ours.validation_scores_) == len(other.validation_scores_) == 8


def shuffles(train: Any, other: Any, ours: Any, change: Change) -> None:
    """The order is ours, and makes no difference to whole batches."""
    unchanged = copy.deepcopy(ours)
    train(ours, **change.changed)
    assert not np.array_equal(w(ours), w(train(unchanged)))
    same(train, *trained(type(ours).__name__, {"batch_size": 200}), change)


def steps_alike(train: Any, other: Any, ours: Any, change: Change) -> None:
    """The first step is scikit-learn's, but for the biases, which ours penalises too."""
    for model in (other, ours):
        model.set_params(max_iter=1, **change.changed)
        model.fit(X, target(model)) if train is warm else model.partial_fit(X, target(model))
    assert_alike(ours, other, ("coefs_",))
    assert not np.allclose(ours.intercepts_[0], other.intercepts_[0], rtol=1e-3)


def called(train: Any, other: Any, ours: Any, change: Change) -> None:
    """Those that are given are called."""
    counts: list[int] = []
    train(ours, callbacks=[lambda trainer, history: counts.append(len(history))])
    assert counts == ([1, 2, 3, 4] if train is warm else [1, 1, 1])


def eps_is_taken(other: Any, ours: Any) -> None:
    """It stands elsewhere, so the numbers are others."""
    assert ours.trainer_.optimizer.eps == ours.epsilon == 1e-3


# Every parameter. Where they are of one estimator alone, the key has its name.

TO_ADAM = {"solver": "adam", "epsilon": 1e-14, "learning_rate_init": 0.01}
INVSCALING = {"learning_rate": "invscaling"}
CHANGES: dict[str, Change] = {
    "hidden_layer_sizes": Change({"hidden_layer_sizes": (7,)}, refused, refused),
    "activation": Change({"activation": "relu"}, refused, refused),  # scikit-learn goes on with it
    "solver": Change(TO_ADAM, same, anew),
    "alpha": Change({"alpha": 9.0}, steps_alike, steps_alike, {"batch_size": 200}),
    "batch_size": Change({"batch_size": 25}, same, same),
    "learning_rate": Change(INVSCALING, differs_in(goes_on), differs_in(goes_on)),
    "learning_rate_init": Change({"learning_rate_init": 0.01}, same, anew),
    "power_t": Change({"power_t": 0.25}, differs_in(goes_on), differs_in(goes_on), INVSCALING),
    "max_iter": Change({"max_iter": 7}, same, same),
    "shuffle": Change({"shuffle": True}, shuffles, shuffles),
    "random_state": Change({"random_state": 5, "shuffle": True}, unread, unread),
    "tol": Change({"tol": 10.0}, differs_in(counts_anew), same, {"n_iter_no_change": 2}),
    "verbose": Change({"verbose": True}, same, same),
    "warm_start": Change({"warm_start": False}, differs_in(afresh), same),
    "momentum": Change(MOMENTUM, same, anew),
    "nesterovs_momentum": Change(MOMENTUM | {"nesterovs_momentum": False}, same, anew),
    "early_stopping": Change({"early_stopping": True}, breaks_there, refused),
    "validation_fraction": Change(
        {"validation_fraction": 0.3}, differs_in(splits_alike), unread_without_a_share, HELD_OUT
    ),
    "beta_1": Change(TO_ADAM | {"beta_1": 0.5}, same, anew),
    "beta_2": Change(TO_ADAM | {"beta_2": 0.9}, same, anew),
    "epsilon": Change({"epsilon": 1e-3}, differs_in(eps_is_taken), differs_in(eps_is_taken), ADAM),
    "n_iter_no_change": Change(
        {"n_iter_no_change": 1}, differs_in(counts_anew), same, {"tol": 10.0}
    ),
    "max_fun": Change({"max_fun": 3}, same, refused, LBFGS, ("loss_", "n_iter_", *WEIGHTS)),
    "loss of MLPRegressor": Change({"loss": "absolute_error"}, anew, anew),
    "loss of MLPClassifier": Change({"loss": "focal"}, anew, anew),
    "label_smoothing of MLPClassifier": Change({"label_smoothing": 0.3}, anew, anew),
    "class_weight of MLPClassifier": Change({"class_weight": {0: 1, 1: 5, 2: 1}}, anew, anew),
    "dropout": Change({"dropout": 0.5}, refused, refused),
    "layer_norm": Change({"layer_norm": True}, refused, refused),
    "init": Change({"init": "kaiming_normal"}, unread, unread),
    "callbacks": Change({}, called, called),
    "backend": Change({"backend": "torch"}, refused, refused),
    "device": Change({"device": "cpu"}, refused, refused),
    "dtype": Change({"dtype": "float32"}, refused, refused),
    "precision": Change({"precision": "bf16"}, refused, refused),  # of a float64 network
}
# The same, of what two fits have in common although nothing is changed.
KEPT: dict[str, Change] = {
    "momentum": Change({}, forgets_nothing, same, MOMENTUM),
    "nesterov": Change({}, forgets_nothing, same, MOMENTUM | {"nesterovs_momentum": False}),
    "adam": Change({}, forgets_nothing, same, ADAM),
    "invscaling": Change({}, differs_in(goes_on), same, INVSCALING),
    "lbfgs": Change({}, same, refused, LBFGS, ("loss_", "n_iter_")),
    "plain": Change({}, same, same),
}


def of_kind(changes: dict[str, Change], kind: str) -> dict[str, Change]:
    """Return the changes of an estimator's parameters, by their names."""
    split = {name: (*name.split(" of "), kind) for name in changes}
    return {split[key][0]: change for key, change in changes.items() if split[key][1] == kind}


def made(kind: str, base: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return ours and scikit-learn's before they have seen a sample."""
    other, ours = trained_alike(getattr(theirs, kind), X, KINDS[kind], **{**PLAIN, **base})
    return ours, other


def trained(kind: str, base: Mapping[str, Any], train: Any = warm) -> tuple[Any, Any]:
    """Return scikit-learn's and ours after a first fit."""
    ours, other = made(kind, base)
    return train(other), train(ours)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_row(kind):
    assert set(of_kind(CHANGES, kind)) == set(getattr(estimators, kind)().get_params())


CASES = [
    pytest.param(kind, name, change, train, id=f"{kind}-{name}-{way}-{train.__name__}")
    for kind in KINDS
    for way, changes in (("changed", CHANGES), ("kept", KEPT))
    for name, change in of_kind(changes, kind).items()
    for train in (warm, parts)
]


@pytest.mark.parametrize(("kind", "name", "change", "train"), CASES)
def test_a_change_means(kind, name, change, train, capsys):
    """What the table says, after a first fit that is scikit-learn's own."""
    whole = change.base in (HELD_OUT, LBFGS)  # which partial fits refuse
    other, ours = trained(kind, change.base, warm if whole else train)
    if not whole:
        assert_alike(ours, other, (*EPOCHS, *WEIGHTS))
    meaning = change.warm if train is warm else change.part
    meaning(train, other, ours, change)


# Rates over partial fits, and Adam


def test_adaptive_counts_on_over_partial_fits_and_fits():
    """As scikit-learn's, from a fit that gained nothing at its end."""
    options = {"learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2, "max_iter": 6}
    for first in (warm, parts):
        ours, other = made("MLPRegressor", options)
        rates = []
        for _ in range(12):
            for model in (first(other), first(ours)):
                parts(model)
            first = parts
            trainer = ours.trainer_
            rates.append(trainer.optimizer.learning_rate_at(trainer.t) * trainer.rate_factor)
            assert rates[-1] == pytest.approx(other._optimizer.learning_rate, rel=1e-12)
        np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-9)
        assert min(rates) < 0.01 * max(rates)


def test_a_saved_estimator_counts_on(tmp_path):
    options = {"learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2}
    ours = parts(made("MLPRegressor", options)[0])
    ours.save(tmp_path / "m")
    same_again = type(ours).load(tmp_path / "m")
    for model in (ours, same_again):
        for _ in range(3):
            parts(model)
    assert same_again.best_loss_ == ours.best_loss_
    assert same_again.trainer_.rate_factor == ours.trainer_.rate_factor < 1
    assert np.array_equal(w(same_again), w(ours))


@pytest.mark.parametrize("rate", ["invscaling", "adaptive"])
def test_adam_takes_the_constant_rate_alone(rate):
    options = ADAM | {"tol": 10.0, "n_iter_no_change": 3, "max_iter": 50}
    ours, other = made("MLPClassifier", options | {"learning_rate": rate})
    for model in (other, ours):
        warm(model)
    assert_alike(ours, other, (*EPOCHS, *WEIGHTS))
    assert ours.n_iter_ == 5
    slower = warm(made("MLPClassifier", options | {"learning_rate": rate, "solver": "rmsprop"})[0])
    assert slower.trainer_.learning_rate < 0.01


def test_poisson_regression_takes_scikit_learns_path():
    counts = RNG.poisson(np.exp(X[:, 0]))
    other, ours = trained_alike(
        theirs.MLPRegressor, X, counts, **PLAIN | {"loss": "poisson", "learning_rate_init": 0.01}
    )
    for model in (other, ours):
        model.fit(X, counts)
    assert_alike(ours, other, (*EPOCHS, *WEIGHTS))


def test_the_squared_error_of_several_targets_is_their_sum():
    """scikit-learn's loss is the mean over the targets, but its gradient is the sum's."""
    Y = np.stack([NUMBERS, X[:, 1], -X[:, 2]], axis=1)
    other, ours = trained_alike(theirs.MLPRegressor, X, Y, **PLAIN)
    for model in (other, ours):
        model.fit(X, Y)
    assert_alike(ours, other, ("n_iter_", "t_", *WEIGHTS))
    np.testing.assert_allclose(ours.loss_curve_, 3 * np.array(other.loss_curve_), rtol=1e-9)


# What else is deliberately not scikit-learn's; see "What differs" of the estimators' page


def test_a_warm_start_may_lack_classes():
    ours, other = trained_alike_of_three()
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        other.fit(X[CLASSES < 2], CLASSES[CLASSES < 2])
    assert len(ours.fit(X[CLASSES < 2], CLASSES[CLASSES < 2]).classes_) == 3


def trained_alike_of_three() -> tuple[Any, Any]:
    ours, other = made("MLPClassifier", {})
    return warm(ours), warm(other)


def test_a_first_partial_fit_needs_no_classes_but_two():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        theirs.MLPClassifier().partial_fit(X, CLASSES)
    assert MLPClassifier().partial_fit(X, CLASSES).classes_.tolist() == [0, 1, 2]
    theirs.MLPClassifier(max_iter=1).fit(X, np.zeros(200))
    with pytest.raises(ValueError, match="at least two classes, got one class: 0"):
        MLPClassifier().fit(X, np.zeros(200))


def test_a_float32_network_predicts_in_float32():
    for kind in (MLPClassifier, theirs.MLPClassifier):
        model = kind(max_iter=1).fit(X.astype("float32"), CLASSES)
        found = model.predict_proba(X).dtype
        assert found == ("float32" if kind is MLPClassifier else "float64")


def test_a_large_batch_size_is_clipped_without_a_word():
    with pytest.warns(UserWarning, match="batch_size"):
        theirs.MLPClassifier(max_iter=1, batch_size=500).fit(X, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(batch_size=500).partial_fit(X, CLASSES)


# What each solver uses: the table of the estimators' page

GIVEN: dict[str, Any] = {
    "alpha": 9.0,
    "learning_rate_init": 0.02,
    "power_t": 0.25,
    "momentum": 0.5,
    "nesterovs_momentum": False,
    "beta_1": 0.5,
    "beta_2": 0.9,
    "epsilon": 1e-2,
    "batch_size": 25,
    "shuffle": True,
    "n_iter_no_change": 1,
    "early_stopping": True,
    "max_iter": 7,
    "tol": 10.0,
    "max_fun": 3,
}
EVERY_EPOCH = {"batch_size", "shuffle", "n_iter_no_change", "early_stopping", "max_iter", "tol"}
BY_RATE = EVERY_EPOCH | {"alpha", "learning_rate_init"}
ADAMS = {"beta_1", "beta_2", "epsilon"}
USED: dict[Any, set[str]] = {
    "sgd": BY_RATE | {"momentum", "nesterovs_momentum", "power_t"},
    "adam": BY_RATE | ADAMS,
    "nadam": BY_RATE | ADAMS | {"power_t"},
    "amsgrad": BY_RATE | ADAMS | {"power_t"},
    "adamw": (BY_RATE | ADAMS | {"power_t"}) - {"alpha"},
    "lion": (BY_RATE | {"power_t"}) - {"alpha"},
    "rmsprop": BY_RATE | {"power_t"},
    "adagrad": BY_RATE | {"power_t"},
    nn.AdamW(0.01): EVERY_EPOCH,
    "lbfgs": {"alpha", "max_iter", "tol", "max_fun"},
}


@pytest.mark.parametrize("solver", USED, ids=lambda solver: str(solver).partition("(")[0])
def test_a_solver_uses_what_the_table_says(solver):
    """A parameter that is used makes another model, and one that is not makes the same."""
    base = {
        "hidden_layer_sizes": (6,),
        "activation": "tanh",
        "solver": solver,
        "random_state": 0,
        "learning_rate": "invscaling",
        "alpha": 1e-4,
        "momentum": 0.9,
        "shuffle": False,
        "batch_size": 40,
        "max_iter": 6,
        "n_iter_no_change": 3,
    }

    def weights(**changed: Any) -> np.ndarray:
        options = {**base, **changed}
        if changed.keys() & {"n_iter_no_change"}:
            options["tol"] = 10.0
        return w(estimators.MLPRegressor(**options).fit(X, NUMBERS))

    plain, impatient = weights(), weights(n_iter_no_change=3)
    used = {
        name
        for name, value in GIVEN.items()
        if not np.array_equal(
            weights(**{name: value}), impatient if name == "n_iter_no_change" else plain
        )
    }
    assert used == USED[solver]
