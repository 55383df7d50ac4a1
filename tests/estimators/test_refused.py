"""What the estimators refuse, in which words, and that nothing has changed then.

Every message names the entry that was called and the argument or parameter.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import neural_network as theirs
from sklearn.exceptions import NotFittedError

import nnpoly as nn
from nnpoly import estimators
from nnpoly.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
NUMBERS = X[:, 0] - X[:, 1]
LABELS = np.tile([0, 1, 2], 20)
TARGETS = {"MLPClassifier": LABELS, "MLPRegressor": NUMBERS}
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0}


def w(model: Any) -> np.ndarray:
    return np.array(model.network_.w)


def classifier(**options: Any) -> MLPClassifier:
    return MLPClassifier(**OPTIONS | options)


def regressor(**options: Any) -> MLPRegressor:
    return MLPRegressor(**OPTIONS | options)


# Parameters, each with values of a wrong type or out of range

NO_NUMBERS = [None, "a", [1], {}, 1j, object, np.ones(2), math.nan]
NO_INTEGERS = [*NO_NUMBERS, 0.5, 1.5, math.inf]
NO_SHARES = [*NO_NUMBERS, -0.1, 1.0, 50, math.inf]
NO_FLAGS = [None, "x", "True", 2, 0.5, [], [True], np.ones(2), object, math.nan]
BELOW_ZERO = [-1, -1e-9, -math.inf]
WRONG: dict[str, list[Any]] = {
    "hidden_layer_sizes": [None, "a", b"a", 0, -1, 2.5, [3, -1], (2.5,), [[3]], np.array(0)],
    "activation": [None, "nonsense", 3, [], ["relu"], {}, np.ones(2)],
    "solver": [None, "nonsense", 3, [], ["adam"], nn.Adam, np.ones(2)],
    "alpha": [*NO_NUMBERS, *BELOW_ZERO, np.True_],
    "batch_size": [*NO_INTEGERS, 0, -1, "full"],
    "learning_rate": [None, "nonsense", 0.1, [], np.ones(2)],
    "learning_rate_init": [*NO_NUMBERS, *BELOW_ZERO, 0.0],
    "power_t": [*NO_NUMBERS, *BELOW_ZERO],
    "max_iter": [*NO_INTEGERS, 0, -1],
    "shuffle": NO_FLAGS,
    "random_state": ["a", -1, 1.5, [], 2**32],
    "tol": [*NO_NUMBERS, *BELOW_ZERO],
    "verbose": [None, "x", -1, 0.5, [], np.ones(2)],
    "warm_start": NO_FLAGS,
    "momentum": [*NO_NUMBERS, *BELOW_ZERO, 2, 1.01],
    "nesterovs_momentum": NO_FLAGS,
    "early_stopping": NO_FLAGS,
    "validation_fraction": NO_SHARES,
    "beta_1": NO_SHARES,
    "beta_2": NO_SHARES,
    "epsilon": [*NO_NUMBERS, *BELOW_ZERO, 0],
    "n_iter_no_change": [*NO_INTEGERS[:-1], 0, -1, -math.inf],
    "max_fun": [*NO_INTEGERS, 0, -1],
    "loss": ["nonsense", 3, [], nn.losses.MSE],
    "label_smoothing": NO_SHARES,
    "class_weight": ["nonsense", "", 3, [], [1, 2, 3], np.ones(3), {0: -1}, {0: math.nan}],
    "dropout": NO_SHARES,
    "layer_norm": NO_FLAGS,
    "init": ["nonsense", 3, [], np.ones(2)],
    "callbacks": [None, "a", ["a"], [None], [nn.callbacks.EarlyStopping]],
    "backend": ["nonsense", 3, [], np.ones(2)],
    "device": ["nonsense", [], 1.5],
    "dtype": ["nonsense", 3, [], "int32"],
    "precision": ["nonsense", "BF16", "tf32", 3, [], True],
}
OF_CLASSIFIERS = {"label_smoothing", "class_weight"}
CASES = [
    (kind, name)
    for kind in TARGETS
    for name in WRONG
    if kind == "MLPClassifier" or name not in OF_CLASSIFIERS
]


@pytest.mark.parametrize("kind", TARGETS)
def test_every_parameter_has_wrong_values(kind):
    assert {name for of, name in CASES if of == kind} == set(
        getattr(estimators, kind)().get_params()
    )


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_wrong_value_is_named_whether_it_is_used_or_not(kind, name):
    """By a new estimator, a warm start and a partial fit, which go on after it; by every solver."""
    made, y = getattr(estimators, kind), TARGETS[kind]
    trained = made(**OPTIONS, warm_start=True).fit(X, y)
    before, given = w(trained), trained.get_params()
    for value, solver in itertools.product(WRONG[name], ("adam", "sgd", "lbfgs")):
        changed = {"solver": solver, name: value}
        where = "numpy" if name == "device" else f"{kind}.fit"
        with pytest.raises(ValueError, match=rf"^{where}: `{name}[\[`]"):
            made(**OPTIONS | changed).fit(X, y)
        if name in ("init", "warm_start"):  # of new networks alone; what asks for a warm start
            continue
        for call in (trained.fit, trained.partial_fit):
            if solver == "lbfgs" and call == trained.partial_fit:
                continue
            trained.set_params(**changed)
            with pytest.raises(ValueError, match=rf"`{name}[\[`]"):
                call(X, y)
            trained.set_params(**given)
            assert np.array_equal(w(trained), before)
    trained.partial_fit(X, y)


THEIRS = [
    (kind, name)
    for kind, name in CASES
    if name in getattr(theirs, kind)().get_params() and name != "hidden_layer_sizes"
]


@pytest.mark.parametrize(("kind", "name"), THEIRS)
def test_scikit_learn_refuses_these_values_too(kind, name):
    """But for widths, of which it says so in other words, or crashes."""
    other = getattr(theirs, kind)
    for value in WRONG[name]:
        model = other(**{"max_iter": 1, name: value})
        with pytest.raises(ValueError, match=f"'{name}'"):
            model.fit(X, TARGETS[kind])


RIGHT: dict[str, list[Any]] = {
    "hidden_layer_sizes": [5, np.int64(5), [5], (), np.array([5, 4]), range(3, 5), np.array(5)],
    "activation": ["logistic", np.str_("tanh"), nn.activations.GELU()],
    "solver": ["sgd", np.str_("adam"), nn.AdamW()],
    "alpha": [0, np.float32(0.1), np.int64(1), np.float64(1)],
    "batch_size": ["auto", np.int32(7), 10**6],
    "learning_rate_init": [1, np.float32(0.1)],
    "max_iter": [np.int64(2)],
    "shuffle": [np.True_, False, np.int64(1), 0],
    "random_state": [None, np.int64(3), np.random.RandomState(0), 2**32 - 1],
    "tol": [0, np.float32(0.1)],
    "verbose": [np.False_, 0],
    "warm_start": [np.True_, 1],
    "momentum": [0, np.float32(0.5), 1.0],
    "early_stopping": [np.True_, 1],
    "validation_fraction": [np.float32(0.3), 0],
    "beta_1": [0, np.float32(0.5)],
    "epsilon": [np.float32(1e-6)],
    "n_iter_no_change": [math.inf, np.float32(math.inf), np.int8(3)],
    "max_fun": [np.int64(3)],
    "dropout": [0, np.float32(0.5)],
    "layer_norm": [np.True_, 1],
    "callbacks": [(), print, [], [nn.callbacks.EarlyStopping(3, monitor="loss")]],
    "dtype": ["float32", np.float32, np.dtype("float64")],
    "precision": [None, "bf16"],
}


@pytest.mark.parametrize("name", RIGHT)
def test_numpys_numbers_and_all_that_is_right_are_taken(name):
    for value in RIGHT[name]:
        model = MLPRegressor(**OPTIONS | {name: value}).fit(X, NUMBERS)
        assert np.isfinite(w(model)).all()


# Mistakes: what is done, and the message's beginning

TORCH = torch.tensor(X)
SPARSE = torch.tensor(NUMBERS).to_sparse()
META = torch.empty(60, 4, device="meta")
PAIRS = np.stack([NUMBERS, NUMBERS], axis=1)
SEVERAL = np.stack([LABELS == 0, LABELS != 2], axis=1).astype(int)
ONE_ROW = np.array([7, *np.tile([0, 1], 30)])[:60]
WARM = "Set warm_start=False, or make a new estimator"


def warm(model: Any, *data: Any) -> Any:
    """Train again a model that is trained."""
    model.fit(X, TARGETS[type(model).__name__])
    return model.set_params(warm_start=True).fit(*data)


def stopped(kind: Any, rows: int, y: Any, share: float = 0.1) -> Any:
    options = {"early_stopping": True, "validation_fraction": share}
    return kind(**OPTIONS, **options).fit(X[:rows], y[:rows])


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    # class_weight
    "no weight at all": (
        lambda: classifier(class_weight={0: 0, 1: 0, 2: 0}).fit(X, LABELS),
        "MLPClassifier.fit: `class_weight` must leave finite weights that are not all 0",
    ),
    "none but of rows without weight": (
        lambda: classifier(class_weight={0: 0}).fit(X, LABELS, (LABELS == 0) * 1.0),
        "MLPClassifier.fit: `class_weight` must leave finite weights that are not all 0",
    ),
    "a negative one in a partial fit": (
        lambda: classifier(class_weight={0: 1, 2: -1}).partial_fit(X, LABELS),
        r"MLPClassifier.partial_fit: `class_weight\[2\]` must be a number .*got -1",
    ),
    "a text for a weight": (
        lambda: classifier(class_weight={0: "a"}).fit(X, LABELS),
        r"MLPClassifier.fit: `class_weight\[0\]` must be a number .*got 'a'",
    ),
    "an unknown class": (
        lambda: classifier(class_weight={"0": 2.0}).fit(X, LABELS),
        r"MLPClassifier.fit: `class_weight` must name classes among \[0, 1, 2\], got '0'",
    ),
    "balanced parts": (
        lambda: classifier(class_weight="balanced").partial_fit(X, LABELS),
        "MLPClassifier.partial_fit: `class_weight` 'balanced' needs all data at once",
    ),
    # The share that is set aside
    "fewer rows than classes": (
        lambda: stopped(MLPClassifier, 9, LABELS),
        "MLPClassifier.fit: `validation_fraction` must set aside .*3 classes.* got 0.1 of 9 rows.*"
        "pass X_val and y_val, or set early_stopping=False",
    ),
    "all rows but too few": (
        lambda: stopped(MLPClassifier, 20, LABELS, 0.9),
        "MLPClassifier.fit: `validation_fraction` must set aside .* got 0.9 of 20 rows",
    ),
    "all rows": (
        lambda: stopped(MLPRegressor, 10, NUMBERS, 0.99),
        "MLPRegressor.fit: `validation_fraction` must set aside .* got 0.99 of 10 rows",
    ),
    "one row": (
        lambda: stopped(MLPRegressor, 5, NUMBERS),
        "MLPRegressor.fit: `validation_fraction` must set aside at least 2 rows and leave at "
        "least 1, got 0.1 of 5 rows: the validation set is too small",
    ),
    "a class of one row": (
        lambda: stopped(MLPClassifier, 60, ONE_ROW),
        "MLPClassifier.fit: `y` must have at least two rows of each class, .*of class 7.*X_val",
    ),
    "per cent": (
        lambda: stopped(MLPRegressor, 60, NUMBERS, 50),
        r"MLPRegressor.fit: `validation_fraction` .*got 50. It is a share of the rows: 0.1",
    ),
    # Classes and shapes that were not there at first
    "solver": (lambda: classifier(solver="x").fit(X, LABELS), "MLPClassifier.fit: `solver`.*lbfgs"),
    "another class, warm": (
        lambda: warm(classifier(), X, LABELS + 1),
        rf"MLPClassifier.fit: `y` must be among classes_ \[0, 1, 2\], got 3. {WARM}",
    ),
    "another class to score": (
        lambda: classifier().fit(X, LABELS, X_val=X, y_val=LABELS + 1),
        r"MLPClassifier.fit: `y_val` must be among .* got 3. Leave out their rows",
    ),
    "another class, in parts": (
        lambda: classifier().partial_fit(X, LABELS, classes=[0, 1]),
        "MLPClassifier.partial_fit: `y` must be among .* got 2. Name all classes at the first",
    ),
    "several labels, warm": (
        lambda: warm(classifier(), X, SEVERAL),
        rf"MLPClassifier.fit: `y` must have shape \(n,\), .* got \(60, 2\). {WARM}",
    ),
    "several labels to score": (
        lambda: classifier().fit(X, LABELS, X_val=X, y_val=SEVERAL),
        r"MLPClassifier.fit: `y_val` must have shape \(n,\), as the first y, got \(60, 2\)\.$",
    ),
    "several numbers, warm": (
        lambda: warm(regressor(), X, PAIRS),
        r"MLPRegressor.fit: `y` must have shape \(60, 1\) .*got \(60, 2\)",
    ),
    "several numbers to score": (
        lambda: regressor().fit(X, NUMBERS, X_val=X, y_val=PAIRS),
        r"MLPRegressor.fit: `y_val` must have shape \(60, 1\) .*got \(60, 2\)",
    ),
    "too large for float32": (
        lambda: regressor(dtype="float32").fit(X, NUMBERS * 1e39),
        "MLPRegressor.fit: `y` must be finite in float32",
    ),
    "too large to score": (
        lambda: regressor(dtype="float32").fit(X, NUMBERS, X_val=X, y_val=NUMBERS * 1e39),
        "MLPRegressor.fit: `y_val` must be finite in float32",
    ),
    "negative counts to score": (
        lambda: regressor(loss="poisson").fit(X, abs(NUMBERS), X_val=X, y_val=NUMBERS),
        "MLPRegressor.fit: `y_val` must hold counts or rates >= 0",
    ),
    "divergence": (
        lambda: regressor(solver="sgd", learning_rate_init=1e9, max_iter=50).fit(X, NUMBERS),
        "MLPRegressor.fit: .* became .* in epoch .*The estimator is as it was.* learning_rate_init",
    ),
    "a loss of another output": (
        lambda: regressor(loss=nn.losses.CrossEntropy()).fit(X, NUMBERS),
        "MLPRegressor.fit: `loss` CrossEntropy needs",
    ),
    "batches of one row": (
        lambda: MLPRegressor.from_network(
            nn.Network([nn.BatchNorm(4), nn.Dense(4, 1)], "identity"), batch_size=1
        ).partial_fit(X, NUMBERS),
        "MLPRegressor.partial_fit: batches must have at least 2 rows",
    ),
    # Arrays
    "sparse X of torch on the host": (
        lambda: classifier(backend="numpy").fit(TORCH.to_sparse(), LABELS),
        r"MLPClassifier.fit: `X` must be dense on torch, got a sparse array. Pass X.to_dense\(\)",
    ),
    "sparse X of torch to predict": (
        lambda: regressor().fit(X, NUMBERS).predict(TORCH.to_sparse_csr()),
        "MLPRegressor.predict: `X` must be dense on torch, got a sparse array",
    ),
    "sparse y of torch": (
        lambda: regressor().fit(X, SPARSE),
        "MLPRegressor.fit: `y` must be dense on torch",
    ),
    "sparse y of torch to score": (
        lambda: regressor().fit(X, NUMBERS).score(X, SPARSE),
        "MLPRegressor.score: `y` must be dense on torch",
    ),
    "sparse weights of torch": (
        lambda: regressor().fit(X, NUMBERS, SPARSE),
        "MLPRegressor.fit: `sample_weight` must be dense on torch",
    ),
    "meta X": (
        lambda: classifier().fit(META, LABELS),
        "MLPClassifier.fit: `X` must be dense on torch, got a meta array",
    ),
    "meta X to predict": (
        lambda: regressor().fit(TORCH, NUMBERS).predict(META),
        "MLPRegressor.predict: `X` must be dense on torch, got a meta array",
    ),
    "meta y": (
        lambda: regressor().fit(X, META[:, 0]),
        "MLPRegressor.fit: `y` must be dense on torch, got a meta array",
    ),
    "complex X": (
        lambda: regressor().fit(X * 1j, NUMBERS),
        r"MLPRegressor.fit: `X` must hold real numbers, got dtype complex128.* \.real, \.imag",
    ),
    "complex y": (
        lambda: regressor().fit(X, NUMBERS * 1j),
        "MLPRegressor.fit: `y` must hold real numbers, got dtype complex128",
    ),
    "texts in y": (
        lambda: regressor().fit(X, np.array(list("abc"))[LABELS]),
        "MLPRegressor.fit: `y` must hold real numbers, got dtype <U1",
    ),
    "texts in X": (
        lambda: regressor().fit(np.full((60, 4), "a"), NUMBERS),
        "MLPRegressor.fit: `X`: could not convert string to float: .*'a'",
    ),
    "another width": (
        lambda: regressor().fit(X, NUMBERS).predict(X[:, :3]),
        "MLPRegressor.predict: `X`: X has 3 features, but MLPRegressor is expecting 4",
    ),
    "no numbers in y": (
        lambda: classifier().fit(X, NUMBERS),
        "MLPClassifier.fit: `y`: Unknown label type: continuous",
    ),
    # sample_weight
    "balanced samples": (
        lambda: classifier().fit(X, LABELS, "balanced"),
        r"MLPClassifier.fit: `sample_weight` must be None or 60 numbers.*class_weight='balanced'",
    ),
    "texts for weights": (
        lambda: classifier().fit(X, LABELS, ["a"] * 60),
        "MLPClassifier.fit: `sample_weight` must hold real numbers, got dtype <U1",
    ),
    "weights by class": (
        lambda: classifier().fit(X, LABELS, {0: 1}),
        "MLPClassifier.fit: `sample_weight` must hold real numbers, got dict",
    ),
    # classes
    "one class to come": (
        lambda: classifier().partial_fit(X, LABELS, classes=[0]),
        "MLPClassifier.partial_fit: `classes` must have at least two classes, got one class: 0",
    ),
    **{
        f"classes {classes!r}": (
            lambda classes=classes: classifier().partial_fit(X, LABELS, classes=classes),
            "MLPClassifier.partial_fit: `classes` must be a list of labels, all of them texts or",
        )
        for classes in (
            [None, 0, 1],
            [0, 1, math.nan],
            np.array([0, 1, None]),
            [0, "a", 1],
            ["a", None],
            [(0, 1), (2,)],
            [],
            "abc",
            3,
        )
    },
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_mistakes_are_named(mistake):
    attempt, message = MISTAKES[mistake]
    with pytest.raises((ValueError, ArithmeticError), match=rf"^(?s:{message})"):
        attempt()


@pytest.mark.parametrize("classes", [[None, 0, 1, 2], [0, "a", 1], 3])
def test_later_classes_are_looked_at_too(classes):
    model = classifier().partial_fit(X, LABELS)
    before = w(model)
    with pytest.raises(ValueError, match=r"MLPClassifier.partial_fit: `classes` must be a list"):
        model.partial_fit(X, LABELS, classes=classes)
    assert np.array_equal(w(model), before)


# And what is taken


def test_bfloat16_is_taken_as_float32():
    """NumPy lacks it; whatever the network's library, it is the numbers that count."""
    rough = TORCH.bfloat16()
    for y in (NUMBERS, torch.tensor(NUMBERS).bfloat16()):
        exact = y if y is NUMBERS else y.float().numpy()
        model = regressor(dtype="float32").fit(rough.float().numpy(), exact)
        same = regressor(backend="numpy", dtype="float32").fit(rough, y, torch.ones(60).bfloat16())
        np.testing.assert_allclose(w(same), w(model), rtol=1e-6)
        assert np.array_equal(model.predict(rough), model.predict(rough.float().numpy()))
        assert model.score(rough, y) == pytest.approx(model.score(rough.float().numpy(), exact))


@pytest.mark.parametrize("weights", [None, RNG.uniform(0.5, 2, 60)], ids=["plain", "weighted"])
def test_balanced_weights_are_scikit_learns(weights):
    from sklearn.utils.class_weight import compute_class_weight

    y = np.where(np.arange(60) < 10, "a", np.where(np.arange(60) < 25, "b", "c"))
    found = compute_class_weight("balanced", classes=np.unique(y), y=y, sample_weight=weights)
    given = dict(zip("abc", found, strict=True))
    models = [classifier(class_weight=by).fit(X, y, weights) for by in ("balanced", given)]
    assert np.array_equal(w(models[0]), w(models[1]))


def test_balanced_weights_of_classes_that_are_absent():
    """A warm start may lack classes; those that have no weight have no say."""
    model = classifier(class_weight="balanced", warm_start=True).fit(X, LABELS)
    model.fit(X[LABELS < 2], LABELS[LABELS < 2])
    model.fit(X, LABELS, (LABELS < 2) * 1.0)
    assert np.isfinite(w(model)).all()


def test_weights_may_name_classes_that_a_fold_lacks():
    """As scikit-learn's, where every class that is there has one."""
    given = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    models = [classifier(class_weight=given).fit(X, LABELS)]
    models.append(classifier(class_weight={0: 1.0, 1: 2.0, 2: 3.0}).fit(X, LABELS))
    assert np.array_equal(w(models[0]), w(models[1]))


def test_sparse_targets_of_scipy_are_dense_ones():
    import scipy.sparse

    for made, y in ((regressor, PAIRS), (classifier, SEVERAL), (regressor, NUMBERS[:, None])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a column
            sparse, dense = (made().fit(X, form(y)) for form in (scipy.sparse.csr_array, np.array))
        assert np.array_equal(w(sparse), w(dense))


FITTED = ["network_", "coefs_", "intercepts_", "n_layers_", "n_outputs_", "out_activation_"]


@pytest.mark.parametrize("made", [classifier, regressor])
def test_attributes_of_a_fit_say_that_there_was_none(made):
    for name in (*FITTED, "loss_curve_"):
        assert not hasattr(made(), name)
        with pytest.raises(NotFittedError, match=r"instance is not fitted yet. Call 'fit'"):
            getattr(made(), name)
