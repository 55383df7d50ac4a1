"""Estimators whose products have factors rounded to bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

import nnpoly as nn
from nnpoly.backends import get, registry
from nnpoly.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
Y = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])
NUMBERS = X[:, 0] * 2 + 1
OPTIONS = {"hidden_layer_sizes": (40,), "max_iter": 5, "random_state": 0}
BF16 = {"precision": "bf16"}


def classifier(**options):
    return MLPClassifier(**OPTIONS | options)


def w(model):
    return registry.to_host(model.network_.w)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_it_trains_and_predicts_with_rounded_factors(solver, backend):
    """On a float32 network, since no other dtype has them."""
    rounded = classifier(solver=solver, backend=backend, **BF16).fit(X, Y)
    exact = classifier(solver=solver, backend=backend, dtype="float32").fit(X, Y)
    net = rounded.network_
    assert net.dtype == "float32"
    assert rounded.trainer_.precision == "bf16"
    assert 1e-6 < np.max(np.abs(w(rounded) - w(exact))) < 0.5
    f = rounded.predict_proba(X)
    x = X.astype("f4")
    assert np.array_equal(f, registry.to_host(net(x, **BF16)))
    assert not np.array_equal(f, registry.to_host(net(x)))
    assert rounded.score(X, Y) > exact.score(X, Y) - 0.05


def test_validation_scores_have_the_same_products():
    model = MLPRegressor(**OPTIONS, **BF16).fit(X, NUMBERS, X_val=X, y_val=NUMBERS)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X, NUMBERS), rel=1e-6)
    exact = clone(model).set_params(precision=None, dtype="float32")
    exact.fit(X, NUMBERS, X_val=X, y_val=NUMBERS)
    assert model.validation_scores_ != exact.validation_scores_


def test_warm_starts_take_another_one():
    both = [classifier(warm_start=True, dtype="float32").fit(X, Y) for _ in range(2)]
    rounded, exact = both
    rounded.set_params(**BF16)
    for model in both:
        model.fit(X, Y)
    assert rounded.trainer_.precision == "bf16"
    assert not np.array_equal(w(rounded), w(exact))
    rounded.set_params(precision=None).partial_fit(X, Y)
    assert rounded.trainer_.precision is None


def test_a_fit_that_fails_leaves_the_precision_as_it_was():
    model = classifier(warm_start=True, dtype="float32").fit(X, Y)
    before = w(model).copy()
    model.set_params(callbacks=[_failing], **BF16)
    with pytest.raises(RuntimeError, match="on purpose"):
        model.fit(X, Y)
    assert model.trainer_.precision is None
    assert np.array_equal(w(model), before)


def _failing(trainer, history):
    assert trainer.precision == "bf16"
    raise RuntimeError("on purpose")


def test_a_file_remembers_it(tmp_path):
    model = classifier(**BF16).fit(X, Y)
    model.save(tmp_path / "m")
    for backend in (None, "torch"):
        loaded = MLPClassifier.load(tmp_path / "m", backend)
        assert loaded.precision == loaded.trainer_.precision == "bf16"
        np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), atol=1e-4)
    assert nn.load(tmp_path / "m").dtype == "float32"


def test_a_file_of_a_precision_that_is_not_here_says_so_when_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(type(get("numpy")), "precisions", ("bf16", "tf32"))
    model = classifier(precision="tf32").fit(X, Y)
    model.save(tmp_path / "m")
    monkeypatch.undo()
    loaded = MLPClassifier.load(tmp_path / "m")
    for call in (lambda: loaded.predict(X), lambda: loaded.fit(X, Y)):
        with pytest.raises(ValueError, match="`precision` must be None or 'bf16' on numpy, got"):
            call()
    assert loaded.set_params(precision=None).predict(X).shape == (120,)


def test_a_given_network_must_have_it():
    net = nn.MLP([6, 4, 3])
    model = MLPClassifier.from_network(net, **BF16)
    assert np.array_equal(model.predict_proba(X), net(X.astype("f4"), **BF16))
    with pytest.raises(ValueError, match=r"MLPClassifier.from_network: `precision` 'bf16' rounds"):
        MLPClassifier.from_network(nn.MLP([6, 4, 3], dtype="float64"), **BF16)


def test_float64_is_refused_before_any_work(forbid):
    forbid(nn.Trainer, "fit")
    with pytest.raises(ValueError, match=r"MLPClassifier.fit: `precision` 'bf16' rounds .*64"):
        classifier(dtype="float64", **BF16).fit(X, Y)
