"""How data come into the estimators: from every library, in every form, and what is refused."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import DataConversionWarning

import nnpoly as nn
from nnpoly.backends import registry
from nnpoly.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = np.tile([0, 1, 1], 20)
NUMBERS = X[:, 0] - X[:, 1]
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "numpy": np.asarray,
    "torch": torch.as_tensor,
    "jax": jnp.asarray,
    "strict": lambda a: registry.get("strict").from_host(np.asarray(a), None),
}


def w(model: Any) -> np.ndarray:
    return np.array(registry.to_host(model.network_.w))


# Refused: NaN, infinity and what overflows in the network's dtype

BAD = {"nan": np.nan, "infinity": np.inf, "overflow": 1e39}


def spoilt(value: float, rows: Any = slice(3)) -> np.ndarray:
    """X as float64, in which some rows are not finite in float32."""
    bad = X.copy()
    bad[rows, 1] = value
    return bad


ENTRIES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "fit": lambda model, good, bad, y: model.fit(bad, y),
    "X_val": lambda model, good, bad, y: model.fit(good, y, X_val=bad, y_val=y),
    "share": lambda model, good, bad, y: model.set_params(early_stopping=True).fit(bad, y),
    "lbfgs": lambda model, good, bad, y: model.set_params(solver="lbfgs").fit(bad, y),
    "partial_fit": lambda model, good, bad, y: model.partial_fit(bad, y),
    "warm start": lambda model, good, bad, y: model.set_params(warm_start=True).fit(bad, y),
    "predict": lambda model, good, bad, y: model.predict(bad),
    "score": lambda model, good, bad, y: model.score(bad, y),
    "predict_proba": lambda model, good, bad, y: model.predict_proba(bad),
    "predict_log_proba": lambda model, good, bad, y: model.predict_log_proba(bad),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of a library of its own
def test_what_is_not_finite_is_refused_at_every_entry(library, kind):
    """In whatever row it is, and of whatever dtype, as what the network would compute with."""
    array, y = LIBRARIES[library], Y if kind is MLPClassifier else NUMBERS
    good = array(X.astype("float32"))
    model = kind(dtype="float32", **OPTIONS).fit(good, y)
    before, given = w(model), model.get_params()
    for entry, value in itertools.product(ENTRIES, BAD.values()):
        if "proba" in entry and kind is MLPRegressor:
            continue
        for rows in (slice(3), slice(57, 60)) if entry == "share" else (slice(3),):
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                ENTRIES[entry](model, good, array(spoilt(value, rows)), y)
            assert np.array_equal(w(model), before), entry
            model.set_params(**given)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_targets_that_are_not_finite_are_refused(library, solver):
    array = LIBRARIES[library]
    for value in BAD.values():
        y = NUMBERS.copy()
        y[5] = value
        model = MLPRegressor(solver=solver, dtype="float32", **OPTIONS)
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            model.fit(array(X), array(y))
        assert not hasattr(model, "trainer_")


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
def test_lbfgs_that_ends_in_nan_says_what_to_do():
    model = MLPRegressor(solver="lbfgs", warm_start=True, **OPTIONS).fit(X, NUMBERS)
    before = w(model)
    with pytest.raises(ArithmeticError, match=r"MLPRegressor.fit: the loss became (nan|inf) .*Try"):
        model.fit(X * 1e200, NUMBERS * 1e200)
    assert np.array_equal(w(model), before)


# Of which library the arrays are


@pytest.mark.parametrize("own", LIBRARIES)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_every_librarys_arrays_are_taken(own, kind):
    """Predictions are where the network lives, if X is of its library, and else on the host."""
    y = Y if kind is MLPClassifier else NUMBERS
    model = kind(**OPTIONS).fit(LIBRARIES[own](X), LIBRARIES[own](y))
    for other, array in LIBRARIES.items():
        f, wanted = model.predict(array(X)), registry.to_host(model.predict(LIBRARIES[own](X)))
        assert registry.of(f).name == (own if own == other else "numpy")
        np.testing.assert_allclose(registry.to_host(f), wanted, atol=1e-12)
        assert model.score(array(X), array(y)) == pytest.approx(model.score(X, y))
        before = w(model)
        model.partial_fit(array(X), array(y))
        assert not np.array_equal(w(model), before)


def test_a_named_backend_takes_all_libraries():
    plain = MLPClassifier(**OPTIONS).fit(X, Y)
    for array in LIBRARIES.values():
        model = MLPClassifier(backend="numpy", **OPTIONS)
        assert np.array_equal(w(model.fit(array(X), array(Y))), w(plain))


@pytest.mark.parametrize("classes", [[3, 5], [0.5, 1.5], [False, True], ["a", "b"], None])
def test_jax_predicts_without_warnings(classes):
    import jax

    nets = [nn.MLP([4, 3, 2], output="sigmoid", backend=name, seed=0) for name in ("numpy", "jax")]
    if classes is not None:
        nets = [nn.MLP([4, 3, 2], backend=name, seed=0) for name in ("numpy", "jax")]
    plain, model = (MLPClassifier.from_network(net, classes) for net in nets)
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.predict(jnp.asarray(X, dtype="float32"))
    assert np.array_equal(np.asarray(found), plain.predict(X))


def test_jax_without_64_bits_names_the_remedy():
    import jax

    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="Pass dtype='float32'"):
            MLPClassifier(backend="jax", **OPTIONS).fit(X, Y)
        model = MLPClassifier(backend="jax", dtype="float32", **OPTIONS).fit(X, Y)
        assert model.predict(X).shape == (60,)


# Forms

INTEGERS = RNG.integers(0, 3, (60, 4))
NAMED = dict(zip("abcd", INTEGERS.T, strict=True))
MIXED = {**NAMED, "c": NAMED["c"] > 1, "d": X[:, 3]}
FRAMES: dict[str, Callable[[Any], Any]] = {
    "pandas": pd.DataFrame,
    "nullable": lambda data: pd.DataFrame(data).convert_dtypes(),
    "arrow": lambda data: pd.DataFrame(data).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame,
}


@pytest.mark.parametrize("data", [NAMED, MIXED], ids=["integers", "mixed"])
@pytest.mark.parametrize("frame", FRAMES)
def test_frames_train_like_arrays(frame, data):
    if frame == "arrow":
        pytest.importorskip("pyarrow")
    plain = np.stack([column.astype(float) for column in data.values()], axis=1)
    for kind, y in ((MLPClassifier, Y), (MLPRegressor, NUMBERS)):
        table, wanted = FRAMES[frame](data), kind(**OPTIONS).fit(plain, y)
        model = kind(**OPTIONS).fit(table, FRAMES[frame]({"y": y})["y"])
        assert np.array_equal(w(model), w(wanted))
        assert np.array_equal(model.predict(table), wanted.predict(plain))
        assert model.feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
def test_sparse_matrices_train_like_arrays(form):
    for kind in (scipy.sparse.csr_array, scipy.sparse.csr_matrix):
        sparse = kind(INTEGERS).asformat(form)
        for solver in ("adam", "lbfgs"):
            model, wanted = (
                MLPRegressor(solver=solver, **OPTIONS).fit(data, NUMBERS)
                for data in (sparse, INTEGERS)
            )
            np.testing.assert_allclose(w(model), w(wanted), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(model.predict(sparse), wanted.predict(INTEGERS), atol=1e-12)


def test_names_of_an_earlier_frame_are_forgotten():
    model = MLPRegressor(**OPTIONS).fit(pd.DataFrame(X, columns=list("abcd")), NUMBERS)
    model.fit(torch.as_tensor(X), NUMBERS)
    assert not hasattr(model, "feature_names_in_")


# Refused, and in which words


def fit(model: Any = None, x: Any = X, y: Any = Y, *rest: Any, **options: Any) -> Any:
    return (MLPClassifier(**OPTIONS) if model is None else model).fit(x, y, *rest, **options)


MISSING = [None, np.nan, pd.NA]
DATES = np.array(["2020-01-01"], "M8[D]") + np.arange(60)
LISTED = "squared_error, got 'squared'"
FIRST_ROW = np.where(np.arange(60) < 1, 1.0, 0.0)
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a row": (
        lambda: fit(x=torch.ones(40), y=Y[:40]),
        r"pass X\[:, None\], for one sample X\[None",
    ),
    "X_val": (lambda: fit(X_val=X * np.nan, y_val=Y), "Input X_val contains NaN"),
    "y_val": (lambda: fit(X_val=X, y_val=[*Y[:-1], np.nan]), "Input y_val contains NaN"),
    "another class": (
        lambda: fit(X_val=X, y_val=Y + 1),
        r"MLPClassifier.fit: `y_val` must be among classes_ \[0, 1\], got 2",
    ),
    "no y": (lambda: fit(y=None), "requires y to be passed"),
    "rows": (lambda: fit(y=Y[:9]), "inconsistent numbers of samples"),
    "torch rows": (lambda: fit(x=torch.ones(60, 4), y=Y[:9]), "inconsistent numbers of samples"),
    "torch y": (lambda: fit(x=torch.ones(60, 4), y=[*Y[:-1], np.nan]), "Input y contains NaN"),
    "unused weights": (
        lambda: fit(sample_weight_val=np.ones(60)),
        "`sample_weight_val` needs `X_val` and `y_val`",
    ),
    "weights set aside": (
        lambda: fit(MLPRegressor(early_stopping=True, random_state=0), X, NUMBERS, FIRST_ROW),
        "`sample_weight` must not be all 0 of the rows that are set aside",
    ),
    "the whole set aside": (
        lambda: fit(MLPClassifier(early_stopping=True, validation_fraction=1.0)),
        "`validation_fraction` must be below 1, got 1.0",
    ),
    "nothing set aside": (
        lambda: fit(MLPClassifier(early_stopping=True, validation_fraction=0.0)),
        "`validation_fraction` must be greater than 0",
    ),
    "loss": (lambda: fit(MLPRegressor("squared")), LISTED),
    "smoothing": (
        lambda: fit(MLPClassifier(loss="focal", label_smoothing=0.1)),
        "`label_smoothing` must be 0 with loss='focal'",
    ),
    "smoothing of a loss": (
        lambda: fit(MLPClassifier(loss=nn.losses.Logistic(0.1), label_smoothing=0.1)),
        "`label_smoothing` must be 0 with loss=Logistic",
    ),
    "callbacks of lbfgs": (
        lambda: fit(MLPClassifier(solver="lbfgs", callbacks=[print])),
        "`callbacks` are called after epochs, which 'lbfgs' has not",
    ),
    "max_fun": (lambda: fit(MLPClassifier(solver="lbfgs", max_fun=0)), "`max_fun` must be an int"),
    "dates": (
        lambda: fit(MLPRegressor(), y=DATES),
        "`y` must hold real numbers, got dtype datetime",
    ),
    "dates of a frame": (
        lambda: fit(MLPRegressor(), y=pd.Series(DATES)),
        "`y` must hold real numbers, got dtype datetime",
    ),
    "durations": (
        lambda: fit(MLPRegressor(), y=DATES - DATES[0]),
        "`y` must hold real numbers, got dtype timedelta.* Turn durations into numbers first",
    ),
    **{
        f"X of dates, {name}": (
            lambda made=made: fit(x=made(np.stack([DATES, DATES], axis=1))),
            r"`X.* must hold real numbers, got dtype [dD]atetime.* Turn dates into numbers first",
        )
        for name, made in {
            "numpy": np.asarray,
            "pandas": pd.DataFrame,
            "mixed": lambda dates: pd.DataFrame({"a": X[:, 0], "b": dates[:, 0]}),
            "polars": lambda dates: pl.DataFrame({"a": dates[:, 0].astype("M8[us]")}),
        }.items()
    },
    "masked X": (lambda: fit(x=np.ma.masked_array(X, X > 1)), "`X` must have no masked values"),
    "masked y": (lambda: fit(y=np.ma.masked_array(Y, Y > 0)), "`y` must have no masked values"),
    **{
        f"{value} in a {kind.__name__}": (
            lambda value=value, kind=kind: fit(y=kind([*"abc", value] * 15)),
            r"MLPClassifier.fit: `y` must have no missing values, got .* in row 3",
        )
        for value in MISSING
        for kind in (list, pd.Series)
        if value is not np.nan or kind is not list  # which makes it a text
    },
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    attempt, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        attempt()


def test_the_documented_losses_are_listed():
    with pytest.raises(ValueError, match="one of absolute_error, huber, poisson, quantile, sq"):
        MLPRegressor("mse ").fit(X, NUMBERS)
    with pytest.raises(ValueError, match="one of focal, log_loss, got"):
        MLPClassifier(loss="mse ").fit(X, Y)
    for name in ("mse", "absolute"):
        MLPRegressor(name, **OPTIONS).fit(X, NUMBERS)


# Classes to come


@pytest.mark.parametrize(
    "classes", [{2, 0, 1}, (1, 2, 0), range(3), np.arange(3), {0: 1, 1: 2, 2: 3}]
)
def test_classes_to_come_may_be_any_collection(classes):
    model = MLPClassifier(**OPTIONS).partial_fit(X, Y, classes=classes)
    assert model.classes_.tolist() == [0, 1, 2]


def test_other_classes_than_at_first_are_refused():
    model = MLPClassifier(**OPTIONS).partial_fit(X, Y, classes=[0, 1, 2])
    before = w(model)
    for other in ([0, 1], [0, 1, 2, 3], ["a", "b", "c"]):
        with pytest.raises(
            ValueError, match=r"partial_fit: `classes` must be those .* \[0, 1, 2\]"
        ):
            model.partial_fit(X, Y, classes=other)
    assert np.array_equal(w(model), before)
    model.partial_fit(X, Y, classes=[2, 1, 0, 0])
    assert not np.array_equal(w(model), before)


# Validation data


def test_callbacks_watch_the_validation_data():
    stop = nn.callbacks.EarlyStopping(2, monitor="validation_loss")
    model = MLPClassifier(**OPTIONS | {"max_iter": 300}, callbacks=[stop], learning_rate_init=0.1)
    noise = RNG.integers(0, 2, 60)
    model.fit(X[:30], noise[:30], X_val=X[30:], y_val=noise[30:])
    curve = model.trainer_.history.validation_loss
    assert len(curve) == model.n_iter_ == stop.best_epoch + 2 < 300
    assert stop.best == min(curve)
    score = model.trainer_.evaluate(X[30:], noise[30:, None].astype(float))
    assert score == pytest.approx(stop.best, rel=1e-12)


def test_the_share_that_is_set_aside_is_watched_too():
    model = MLPRegressor(early_stopping=True, **OPTIONS).fit(X, NUMBERS)
    assert len(model.trainer_.history.validation_loss) == 3


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_lbfgs_scores_validation_data_once(library):
    array = LIBRARIES[library]
    model = MLPRegressor(solver="lbfgs", **OPTIONS)
    model.fit(array(X[:40]), NUMBERS[:40], X_val=array(X[40:]), y_val=NUMBERS[40:])
    assert model.validation_scores_ == [pytest.approx(model.score(X[40:], NUMBERS[40:]))]
    assert model.best_validation_score_ == model.validation_scores_[0]


def test_lbfgs_shows_its_progress(capsys):
    MLPRegressor(solver="lbfgs", verbose=True, **OPTIONS).fit(X, NUMBERS)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "epoch 3/3  loss " in said
    MLPRegressor(solver="lbfgs", **OPTIONS).fit(X, NUMBERS)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_of_one_column_is_a_column(frame):
    """As with scikit-learn, which warns of it; of texts, too."""
    if frame == "arrow":
        pytest.importorskip("pyarrow")
    for labels in (Y, np.array(["no", "yes"])[Y]):
        y = FRAMES[frame]({"target": labels})
        with pytest.warns(DataConversionWarning, match="column-vector"):
            model = MLPClassifier(**OPTIONS).fit(X, y)
        assert np.array_equal(model.classes_, np.unique(labels))
        assert np.array_equal(w(model), w(MLPClassifier(**OPTIONS).fit(X, labels)))
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = MLPRegressor(**OPTIONS).fit(X, FRAMES[frame]({"target": NUMBERS}))
    assert np.array_equal(w(model), w(MLPRegressor(**OPTIONS).fit(X, NUMBERS)))
