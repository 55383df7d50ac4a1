"""Losses and outputs: their derivatives, signs, means, extremes and pairings."""

from __future__ import annotations

import array_api_compat.numpy as xp
import differences
import numpy as np
import pytest

import nnpoly as nn
from nnpoly import losses
from nnpoly.losses import MSE, CrossEntropy, Logistic, apply_output
from nnpoly.primitives import Ops

OPS = Ops(xp)
PAIRS = {"identity": MSE(), "sigmoid": Logistic(), "softmax": CrossEntropy()}
LOSSES = {
    **PAIRS,
    "absolute": losses.Absolute(),
    "huber": losses.Huber(0.7),
    "quantile": losses.Quantile(0.9),
    "poisson": losses.Poisson(),
    "smooth-sigmoid": Logistic(0.1),
    "smooth-softmax": CrossEntropy(0.2),
    "focal-sigmoid": losses.Focal(1.5, "sigmoid"),
    "focal-softmax": losses.Focal(2.0),
    "focal-half": losses.Focal(0.5),
}

every_pair = pytest.mark.parametrize(("output", "loss"), list(PAIRS.items()), ids=list(PAIRS))
every_loss = pytest.mark.parametrize("loss", list(LOSSES.values()), ids=list(LOSSES))


def targets(loss: losses.Loss, rng: np.random.Generator, n: int, K: int) -> np.ndarray:
    """Return rows of targets of the kind that the loss takes, not only 0 and 1."""
    made = {
        "classes": lambda: rng.dirichlet(np.ones(K), n),
        "probabilities": lambda: rng.random((n, K)),
        "counts": lambda: rng.poisson(1.5, (n, K)).astype(float),
        "reals": lambda: rng.standard_normal((n, K)),
    }
    return made[loss.labels]()


@pytest.fixture(params=[(1, 1), (1, 3), (5, 1), (7, 3)], ids=str)
def shape(request) -> tuple[int, int]:
    """The scores' n and K."""
    return request.param


# The laws


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_delta_is_the_derivative_of_the_loss(loss, weighted, shape, rng):
    scores, y = 2.0 * rng.standard_normal(shape), targets(loss, rng, *shape)
    weights = rng.exponential(size=shape[0]) if weighted else None
    expected = differences.gradient(lambda z: loss.value_and_delta(OPS, z, y, weights)[0], scores)
    _, delta = loss.value_and_delta(OPS, scores, y, weights)
    np.testing.assert_allclose(delta, expected, rtol=0, atol=differences.ACCURACY)


@every_pair
def test_delta_is_output_minus_target_over_n(output, loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    _, delta = loss.value_and_delta(OPS, scores, y)
    f = apply_output(OPS, output, scores)
    np.testing.assert_allclose(delta, (f - y) / shape[0], rtol=0, atol=1e-15)


@every_loss
def test_loss_is_a_mean_over_the_batch(loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    value, delta = loss.value_and_delta(OPS, scores, y)
    alone = [loss.value_and_delta(OPS, scores[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    np.testing.assert_allclose(value, np.mean([v for v, _ in alone]), rtol=1e-14)
    np.testing.assert_allclose(delta, np.concatenate([d for _, d in alone]) / len(y), rtol=1e-13)


@every_loss
def test_a_weight_of_k_is_a_sample_k_times(loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    counts = rng.integers(1, 4, shape[0])
    value, delta = loss.value_and_delta(OPS, scores, y, counts.astype(float))
    rows = np.repeat(np.arange(shape[0]), counts)
    repeated, parts = loss.value_and_delta(OPS, scores[rows], y[rows])
    scale = len(rows) / shape[0]
    np.testing.assert_allclose(value, scale * repeated, rtol=1e-13)
    summed = np.stack([parts[rows == i].sum(axis=0) for i in range(shape[0])])
    np.testing.assert_allclose(delta, scale * summed, rtol=1e-12, atol=1e-15)


@every_loss
def test_losses_are_least_where_the_targets_are(loss, rng):
    """Certain targets; smoothed ones are least elsewhere, so they are left out."""
    if getattr(loss, "label_smoothing", 0.0):
        pytest.skip("smoothed labels")
    y = {"classes": np.eye(3), "probabilities": np.eye(3), "counts": 1.0 + np.arange(9.0)}.get(
        loss.labels, rng.standard_normal(9)
    )
    y = y.reshape(3, 3)
    far = {"softmax": 50.0, "sigmoid": 100.0}.get(loss.output, 1.0)
    best = {"exp": np.log(np.maximum(y, 1e-9))}.get(loss.output, far * y)
    best = best - far / 2 if loss.output == "sigmoid" else best
    value, delta = loss.value_and_delta(OPS, best, y)
    assert abs(value) < 1e-14
    np.testing.assert_allclose(delta, 0.0, atol=1e-14)
    for _ in range(20):
        other, _ = loss.value_and_delta(OPS, best + far * rng.standard_normal(y.shape), y)
        assert other >= value


def test_mse_is_half_the_squared_error():
    scores, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 2.0]])
    value, delta = MSE().value_and_delta(OPS, scores, y)
    assert value == (1 + 4 + 0 + 4) / (2 * 2)
    assert delta.tolist() == [[0.5, 1.0], [0.0, 1.0]]


@every_pair
def test_loss_is_the_formula_of_the_output(output, loss, shape, rng):
    scores, y = rng.standard_normal(shape), targets(loss, rng, *shape)
    f = apply_output(OPS, output, scores)
    n = len(y)
    formula = {
        "identity": lambda: np.sum((y - f) ** 2) / (2 * n),
        "sigmoid": lambda: -np.sum(y * np.log(f) + (1 - y) * np.log(1 - f)) / n,
        "softmax": lambda: -np.sum(y * np.log(f)) / n,
    }
    value, _ = loss.value_and_delta(OPS, scores, y)
    np.testing.assert_allclose(value, formula[output](), rtol=1e-13, atol=1e-15)


# Each loss by its formula


def test_absolute_error_by_hand():
    value, delta = losses.Absolute().value_and_delta(
        OPS, np.array([[1.0, -2.0], [0.0, 4.0]]), np.array([[3.0, -2.0], [-1.0, 1.0]])
    )
    assert value == (2 + 0 + 1 + 3) / 2
    assert delta.tolist() == [[-0.5, 0.0], [0.5, 0.5]]


def test_huber_is_squared_near_and_linear_far():
    z, y = np.array([[0.5], [-3.0], [2.0]]), np.zeros((3, 1))
    value, delta = losses.Huber(2.0).value_and_delta(OPS, z, y)
    assert value == pytest.approx((0.125 + 2 * (3 - 1) + 2.0) / 3, rel=1e-15)
    assert (3 * delta).tolist() == [[0.5], [-2.0], [2.0]]
    near = losses.Huber(1e9).value_and_delta(OPS, z, y)
    assert [v.tolist() for v in near] == [v.tolist() for v in MSE().value_and_delta(OPS, z, y)]


@pytest.mark.parametrize("q", [0.1, 0.5, 0.75])
def test_the_best_constant_of_the_quantile_loss_is_the_quantile(q, rng):
    y = rng.standard_normal(1001)
    candidates = np.sort(y)
    values = [
        losses.Quantile(q).value_and_delta(OPS, np.full((1001, 1), c), y[:, None])[0]
        for c in candidates
    ]
    assert candidates[int(np.argmin(values))] == np.quantile(y, q)


def test_half_of_the_absolute_error_is_the_median_loss(rng):
    z, y = rng.standard_normal((9, 2)), rng.standard_normal((9, 2))
    half = losses.Quantile(0.5).value_and_delta(OPS, z, y)
    whole = losses.Absolute().value_and_delta(OPS, z, y)
    for a, b in zip(half, whole, strict=True):
        np.testing.assert_allclose(2 * a, b, rtol=1e-15)


def test_poisson_is_half_the_deviance(rng):
    from sklearn.metrics import mean_poisson_deviance

    z, y = rng.standard_normal((50, 1)), rng.poisson(2.0, (50, 1)).astype(float)
    value, delta = losses.Poisson().value_and_delta(OPS, z, y)
    assert 2 * value == pytest.approx(mean_poisson_deviance(y[:, 0], np.exp(z[:, 0])), rel=1e-13)
    np.testing.assert_allclose(delta, (apply_output(OPS, "exp", z) - y) / 50, rtol=0, atol=1e-15)


def test_label_smoothing_moves_the_targets(rng):
    z, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    smooth = 0.7 * np.eye(4)[labels] + 0.3 / 4
    for given in (labels, np.eye(4)[labels]):
        got = CrossEntropy(0.3).value_and_delta(OPS, z, given)
        want = CrossEntropy().value_and_delta(OPS, z, smooth)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-15, atol=1e-16)
        assert got[0] == pytest.approx(want[0], rel=1e-14)
    y = np.eye(4)[labels]
    got = Logistic(0.3).value_and_delta(OPS, z, y)
    want = Logistic().value_and_delta(OPS, z, 0.7 * y + 0.15)
    assert got[0] == want[0]


def test_focal_loss_is_its_formula(rng):
    z, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    p = np.take_along_axis(apply_output(OPS, "softmax", z), labels[:, None], axis=1)
    value, _ = losses.Focal(2.5).value_and_delta(OPS, z, labels)
    assert value == pytest.approx(np.mean(-((1 - p) ** 2.5) * np.log(p)), rel=1e-14)
    y = np.eye(4)[labels]
    f = apply_output(OPS, "sigmoid", z)
    p = np.where(y == 1, f, 1 - f)
    value, _ = losses.Focal(2.5, "sigmoid").value_and_delta(OPS, z, y)
    assert value == pytest.approx(np.sum(-((1 - p) ** 2.5) * np.log(p)) / 6, rel=1e-13)


def test_focal_loss_without_its_factor_is_the_plain_one(rng):
    z, y = 3.0 * rng.standard_normal((8, 3)), np.eye(3)[rng.integers(0, 3, 8)]
    for output, plain in (("softmax", CrossEntropy()), ("sigmoid", Logistic())):
        got = losses.Focal(0.0, output).value_and_delta(OPS, z, y)
        want = plain.value_and_delta(OPS, z, y)
        assert got[0] == pytest.approx(want[0], rel=1e-14)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_scores_give_a_finite_focal_loss(placed, output, dtype):
    array, host = placed.array, placed.host
    scores, y = array([[1e4, -1e4], [1e4, -1e4]], dtype), array([[1.0, 0.0], [0.0, 1.0]], dtype)
    loss = losses.Focal(2.0, output)
    value, delta = loss.value_and_delta(placed.backend.ops, scores, y)
    assert float(value) == 1e4  # one sample is right, one is wrong by 2e4
    assert np.all(np.isfinite(host(delta)))


@every_loss
def test_every_backend_computes_the_same(loss, placed, rng):
    scores, y = 2.0 * rng.standard_normal((9, 3)), targets(loss, rng, 9, 3)
    weights = rng.exponential(size=9)
    want = loss.value_and_delta(OPS, scores, y, weights)
    arrays = [placed.array(v, "float64") for v in (scores, y, weights)]
    got = loss.value_and_delta(placed.backend.ops, *arrays)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(placed.host(a), b, rtol=1e-12, atol=1e-15)


BAD = {
    "`threshold` must be greater than 0": lambda: losses.Huber(0.0),
    "`quantile` must be between 0 and 1": lambda: losses.Quantile(1.0),
    "`label_smoothing` must be below 1": lambda: CrossEntropy(1.0),
    "`gamma` must be a number": lambda: losses.Focal(-1.0),
    "`output` must be one of sigmoid, softmax": lambda: losses.Focal(2.0, "identity"),
}


@pytest.mark.parametrize(("message", "make"), list(BAD.items()), ids=list(BAD))
def test_parameters_are_checked(message, make):
    with pytest.raises(ValueError, match=message):
        make()


# Two classes


def test_softmax_of_two_is_a_sigmoid(rng):
    scores = 5.0 * rng.standard_normal((50, 2))
    s = nn.activations.sigmoid(scores[:, 0] - scores[:, 1])
    np.testing.assert_allclose(OPS.softmax(scores), np.stack([s, 1 - s], axis=1), atol=1e-15)


def test_cross_entropy_of_two_is_the_logistic_loss(rng):
    scores, labels = 5.0 * rng.standard_normal((50, 2)), rng.integers(0, 2, 50)
    value, delta = CrossEntropy().value_and_delta(OPS, scores, labels)
    difference, first = (scores[:, 0] - scores[:, 1])[:, None], 1.0 * (labels[:, None] == 0)
    expected, d = Logistic().value_and_delta(OPS, difference, first)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(delta, np.concatenate([d, -d], axis=1), rtol=0, atol=1e-16)


# Every backend: extremes and kinds of labels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_scores_give_exact_cross_entropy(placed, dtype):
    """One sample right and one wrong, each by 2e4: losses 0 and 2e4."""
    array, host = placed.array, placed.host
    scores = array([[1e4, -1e4], [1e4, -1e4]], dtype)
    labels = array([0, 1], placed.backend.index_dtype)
    value, delta = CrossEntropy().value_and_delta(placed.backend.ops, scores, labels)
    assert float(value) == 1e4
    assert host(delta).tolist() == [[0.0, 0.0], [0.5, -0.5]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_scores_give_exact_logistic_loss(placed, dtype):
    array, host = placed.array, placed.host
    scores, y = array([[1e4, -1e4, 1e4, -1e4]], dtype), array([[1.0, 0.0, 0.0, 1.0]], dtype)
    value, delta = Logistic().value_and_delta(placed.backend.ops, scores, y)
    assert float(value) == 2e4
    assert host(delta).tolist() == [[0.0, 0.0, 1.0, -1.0]]


def test_far_scores_give_exact_outputs(placed):
    scores, ops = placed.array([[1e4, -1e4, 0.0]], "float32"), placed.backend.ops
    expected = {"softmax": [1.0, 0.0, 0.0], "sigmoid": [1.0, 0.0, 0.5], "step": [1.0, 0.0, 1.0]}
    for output, row in expected.items():
        assert placed.host(apply_output(ops, output, scores)).tolist() == [row]


def test_indices_and_one_hot_rows_agree(backend_variant, rng):
    net = nn.MLP([4, 6, 3], dtype="float64", **backend_variant.place)
    X, labels = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
    by_index, from_indices = net.gradients(X, labels)
    by_row, from_rows = net.gradients(X, nn.one_hot(labels, 3, "float64"))
    host = backend_variant.host
    np.testing.assert_allclose(host(by_index), host(by_row), rtol=1e-15)
    np.testing.assert_allclose(host(from_indices.flat), host(from_rows.flat), rtol=0, atol=1e-15)


def test_losses_are_0_dimensional(backend_variant):
    for output in PAIRS:
        net = nn.MLP([2, 2], output=output, **backend_variant.place)
        value = net.loss([[0.5, 1.0]], [[1.0, 0.0]])
        assert value.shape == ()
        assert value.dtype == net.w.dtype


# Pairing


@every_pair
def test_each_output_has_its_own_loss(output, loss):
    assert losses.get(None, output) == loss
    assert losses.get(loss, output) is loss


WRONG = [
    (o, n)
    for o in (*PAIRS, "exp")
    for n, loss in losses.BY_NAME.items()
    if loss.output != o and (n, o) != ("focal", "sigmoid")  # which there is for both
]


def test_focal_by_name_is_that_of_the_output():
    assert losses.get("focal", "sigmoid") == losses.Focal(output="sigmoid")
    assert losses.get("focal", "softmax") == losses.Focal()


@pytest.mark.parametrize(("output", "name"), WRONG)
def test_wrong_pairs_are_refused(output, name):
    loss = losses.BY_NAME[name]
    kinds = f"{type(loss).__name__} needs output='{loss.output}'.*output='{output}'"
    for given in (name, loss):
        with pytest.raises(ValueError, match=f"Trainer: `loss` {kinds}"):
            nn.Trainer(nn.MLP([2, 2], output=output), loss=given)


def test_step_output_has_no_loss():
    net = nn.MLP([2, 1], output="step")
    for attempt in (lambda: nn.Trainer(net), lambda: net.loss([[0.0, 1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="derivative 0 almost everywhere"):
            attempt()


def test_unknown_names_are_refused():
    with pytest.raises(
        ValueError, match=r"`loss` must be one of absolute, cross_entropy, .*, quantile, got"
    ):
        losses.get("hinge", "identity")


# Half precision, whose largest number is 65504


def sizes(loss: losses.Loss, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets whose losses are about 20 each: they add up to more than 65504."""
    y = targets(loss, rng, n, 2)
    wide = 6.0 if loss.output == "identity" else 1.0 if loss.output == "exp" else 30.0
    return wide * rng.standard_normal((n, 2)), y


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [6000, 70_000])
def test_the_mean_of_many_losses_fits_half_precision(backend_variant, loss, weighted, n, rng):
    """Neither the sum nor n itself does."""
    if backend_variant.backend_name == "strict":
        pytest.skip("array_api_strict has no float16")
    given = sizes(loss, rng, n) + ((rng.exponential(size=n),) if weighted else ())
    half = [values.astype("float16") for values in given]
    want, slopes = loss.value_and_delta(OPS, *(values.astype("float64") for values in half))

    place = backend_variant
    arrays = [place.array(values) for values in half]
    with place.scope():
        value, delta = loss.value_and_delta(place.backend.ops, *arrays)
    value, delta = place.host(value), place.host(delta)
    assert value.dtype == delta.dtype == "float16"
    np.testing.assert_allclose(value, want, rtol=1e-3)
    smallest = 2.0**-24  # of the numbers below the normal ones
    np.testing.assert_allclose(delta, slopes, rtol=1e-3, atol=smallest)


@pytest.mark.parametrize("classes", [3, 40])
def test_the_mean_loss_of_many_labels_fits_half_precision(backend_variant, classes, rng):
    if backend_variant.backend_name == "strict":
        pytest.skip("array_api_strict has no float16")
    place, n = backend_variant, 70_000
    scores, labels = 20 * rng.standard_normal((n, classes)), rng.integers(0, classes, n)
    half = scores.astype("float16")
    want, slopes = CrossEntropy().value_and_delta(OPS, half.astype("float64"), labels)
    arrays = place.array(half), place.array(labels, place.backend.index_dtype)
    with place.scope():
        value, delta = CrossEntropy().value_and_delta(place.backend.ops, *arrays)
    np.testing.assert_allclose(place.host(value), want, rtol=1e-3)
    np.testing.assert_allclose(place.host(delta), slopes, rtol=1e-3, atol=2.0**-24)


def test_one_large_error_fits_half_precision(backend_variant):
    """300^2 does not, but its share of the mean does."""
    if backend_variant.backend_name == "strict":
        pytest.skip("array_api_strict has no float16")
    place, scores = backend_variant, np.zeros((64, 1), "float16")
    scores[5] = 300.0
    with place.scope():
        arrays = place.array(scores), place.array(0 * scores)
        value, delta = MSE().value_and_delta(place.backend.ops, *arrays)
    assert float(place.host(value)) == 703.0  # 300^2 / 128
    assert float(place.host(delta)[5, 0]) == 300 / 64 == 4.6875


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_loss_of_ones_own_gives_a_number_a_sample(outputs):
    """Losses (n, 1) times weights (n,) would be (n, n), whose sum is another loss."""

    class Unsummed(nn.losses.Loss):
        output = "identity"

        def each(self, ops, scores, y):
            return (scores - y) ** 2, 2.0 * (scores - y)

    trainer = nn.Trainer(nn.MLP([2, 3, outputs], output="identity"), loss=Unsummed())
    X, y = np.ones((4, 2)), np.ones((4, outputs))
    for weights in (None, [1.0, 2.0, 3.0, 4.0]):
        with pytest.raises(ValueError, match=rf"Unsummed.each: .*\(4,\).*got \(4, {outputs}\)"):
            trainer.fit(X, y, 1, sample_weight=weights)
