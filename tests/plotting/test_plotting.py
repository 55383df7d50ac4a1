"""The pictures: what they show, not their pixels."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

import nnpoly as nn
from nnpoly import plotting
from nnpoly.backends import registry

BACKENDS = ["numpy", "torch", "jax"]
GRID = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 2))
LABELS = (GRID[:, 0] > 0).astype(int)
# Decides by x0 alone: the line is x0 = 0.25.
SPLIT = ([[[1.0, 0.0]]], [[-0.25]])


def split(output="sigmoid", backend="numpy"):
    W, b = ([np.array(part[0])] for part in SPLIT)
    return nn.MLP.from_weights(W, b, output=output, backend=backend)


def complete(ax):
    """Whether the picture has labels at both axes and a title."""
    return all((ax.get_title(), ax.get_xlabel(), ax.get_ylabel()))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def rendered(figure):
    """Lay the figure out, where a mistake in it would show, and return its size in pixels."""
    figure.draw_without_rendering()
    return figure.bbox.size


# Training


def test_history_shows_each_loss_where_it_was_taken():
    ax = plotting.history(nn.History([1.0, 0.1], [0.5, 0.2]))
    training, validation = ax.lines
    assert training.get_xydata().tolist() == [[0.5, 1.0], [1.5, 0.1]]
    assert validation.get_xydata().tolist() == [[1.0, 0.5], [2.0, 0.2]]
    assert legend(ax) == ["training, mean over the epoch", "validation, after the epoch"]
    assert to_hex(training.get_color()) != to_hex(validation.get_color())
    assert training.get_linestyle() != validation.get_linestyle()
    assert complete(ax)


@pytest.mark.parametrize(
    ("losses", "scale"), [([1.0, 1e-6], "log"), ([0.5, 0.0], "linear"), ([-1.0, -2.0], "linear")]
)
def test_history_is_logarithmic_where_losses_are_positive(losses, scale):
    assert plotting.history(nn.History(losses)).get_yscale() == scale


@pytest.mark.parametrize("losses", [[0.31], [0.31, 0.29], list(0.3 + 0.01 * np.arange(500))])
def test_history_has_ticks_within_sight_however_narrow_the_range(losses):
    ax = plotting.history(nn.History([float(loss) for loss in losses]))
    rendered(ax.figure)
    low, high = ax.get_ylim()
    assert sum(low <= tick <= high for tick in ax.get_yticks()) >= 2


def test_history_draws_metrics_against_an_axis_on_the_right():
    history = nn.History([1.0, 0.5], [1.5, 0.75])
    history.metrics = {"accuracy": [0.5, 0.75], "f1": [0.25, 0.5], "unused": [0.0, 0.0]}
    ax = plotting.history(history, metrics=["accuracy", "f1"])
    (right,) = (other for other in ax.figure.axes if other is not ax)
    assert right.get_ylabel() == "accuracy, f1"
    assert [line.get_xydata().tolist() for line in right.lines] == [
        [[1.0, 0.5], [2.0, 0.75]],
        [[1.0, 0.25], [2.0, 0.5]],
    ]
    assert legend(ax)[2:] == ["accuracy", "f1"]
    assert len({to_hex(line.get_color()) for line in [*ax.lines, *right.lines]}) == 4


# Decisions


def regions(ax):
    """Return the classes drawn, (rows, columns), and the columns' x0."""
    (image,) = ax.images
    left, right, *_ = image.get_extent()
    classes = image.get_array()
    return classes, np.linspace(left, right, classes.shape[1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", ["sigmoid", "step"])
def test_decision_boundary_shows_where_the_network_changes_its_mind(output, backend):
    ax = plotting.decision_boundary(split(output, backend), GRID, LABELS, resolution=50)
    classes, x0 = regions(ax)
    np.testing.assert_array_equal(classes, np.broadcast_to(x0 >= 0.25, (50, 50)))
    (line,) = ax.collections[:1]
    np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 0.25, atol=1e-6)
    assert complete(ax)


@pytest.mark.parametrize("backend", BACKENDS)
def test_decision_boundary_of_several_classes_is_the_largest_score(backend, rng):
    net = nn.MLP([2, 8, 3], "tanh", seed=3, backend=backend)
    y = rng.integers(3, size=40)
    ax = plotting.decision_boundary(net, GRID, y, resolution=20)
    left, right, low, high = ax.images[0].get_extent()
    points = np.stack(np.meshgrid(np.linspace(left, right, 20), np.linspace(low, high, 20)), -1)
    scores = registry.to_host(net.scores(points.reshape(-1, 2)))
    np.testing.assert_array_equal(regions(ax)[0].ravel(), scores.argmax(axis=1))


def test_a_score_of_zero_is_class_one_as_in_the_step():
    net = nn.MLP.from_weights([np.zeros((1, 2))], [np.zeros(1)], output="step")
    assert float(net(GRID)[0, 0]) == 1.0
    assert regions(plotting.decision_boundary(net, GRID))[0].min() == 1


def test_decision_boundary_draws_each_class_in_its_own_colour_and_marker():
    ax = plotting.decision_boundary(split(), GRID, LABELS, classes=["left", "right"])
    assert legend(ax) == ["left", "right"]
    points = [c for c in ax.collections if c.get_label() in ("left", "right")]
    for k, own in enumerate(points):
        np.testing.assert_array_equal(own.get_offsets(), GRID[k == LABELS])
    assert len({to_hex(own.get_facecolor()[0]) for own in points}) == 2
    assert len({own.get_paths()[0].vertices.tobytes() for own in points}) == 2


def test_classes_can_be_told_apart(rng):
    for count in (2, 8, 10):
        net = nn.MLP([2, count])
        ax = plotting.decision_boundary(net, GRID, np.arange(40) % count, resolution=5)
        points = ax.collections[-count:]
        colours = np.array([to_rgb(own.get_facecolor()[0][:3]) for own in points])
        apart = np.abs(colours[:, None] - colours[None]).max(axis=-1)
        assert apart[~np.eye(count, dtype=bool)].min() > 0.05
        assert len({own.get_paths()[0].vertices.tobytes() for own in points}) == count


def test_decision_boundary_takes_the_columns_that_are_named():
    wide = np.concatenate([np.full((40, 1), 9.0), GRID[:, ::-1]], axis=1)
    ax = plotting.decision_boundary(split(), wide, LABELS, resolution=50, features=(2, 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x2", "x1")
    classes, x0 = regions(ax)
    np.testing.assert_array_equal(classes[0], x0 >= 0.25)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("model", [LogisticRegression(), SVC()], ids=["predict_proba", "predict"])
def test_decision_boundary_of_estimators_fitted_on_tables(model, library):
    table = pytest.importorskip(library).DataFrame
    frame = table({"length (m)": GRID[:, 0], "mass (kg)": GRID[:, 1]})
    names = np.array(["no", "yes"])[LABELS]
    ax = plotting.decision_boundary(model.fit(frame, names), frame, names, resolution=20)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length (m)", "mass (kg)")
    assert legend(ax) == ["no", "yes"]
    classes, x0 = regions(ax)
    assert classes[:, x0 < -0.5].max() == 0
    assert classes[:, x0 > 0.5].min() == 1


def test_decision_boundary_without_classes_names_the_regions():
    assert legend(plotting.decision_boundary(split(), GRID, classes=["a", "b"])) == ["a", "b"]


# Errors


def test_confusion_matrix_counts():
    ax = plotting.confusion_matrix(["b", "a", "b", "c"], ["b", "b", "b", "a"])
    assert [text.get_text() for text in ax.texts] == list("010020100")  # rows: true a, b, c
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]
    assert "50.0 % of 4 right" in ax.get_title()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.texts[1].get_position() == (1, 0)


def test_confusion_matrix_normalised_has_rows_of_sum_one(rng):
    true, pred = rng.integers(3, size=(2, 60))
    ax = plotting.confusion_matrix(true, pred, normalize=True)
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=1), 1.0)
    assert all(re.fullmatch(r"\d\.\d\d", text.get_text()) for text in ax.texts)


def test_confusion_matrix_orders_labels_or_names_indices():
    ax = plotting.confusion_matrix(["b", "a"], ["b", "a"], classes=["b", "a", "c"])
    assert [text.get_text() for text in ax.texts] == list("100010000")
    ax = plotting.confusion_matrix([0, 2], [0, 1], classes=["x", "y", "z"])
    assert [text.get_text() for text in ax.texts] == list("100000010")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x", "y", "z"]


def test_confusion_matrix_s_numbers_stand_out_from_their_cells():
    ax = plotting.confusion_matrix([0] * 9 + [1], [0] * 9 + [0])
    (image,) = ax.images
    for text in ax.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))[:3]
        assert abs(np.mean(to_rgb(text.get_color())) - np.mean(cell)) > 0.35


def test_confusion_matrix_of_many_classes_has_a_scale_in_place_of_numbers():
    ax = plotting.confusion_matrix(np.arange(50), np.arange(50))
    assert not ax.texts
    assert ax.figure.axes[1].get_ylabel() == "samples"
    assert len(ax.get_xticks()) <= 30


def test_long_class_names_stay_different_and_within_the_figure():
    names = [f"a class with a very long name, number {k}" for k in range(10)]
    ax = plotting.confusion_matrix(np.arange(10), np.arange(10), classes=names)
    shown = [text.get_text() for text in ax.get_xticklabels()]
    assert len(set(shown)) == 10
    assert max(map(len, shown)) <= 20
    width, height = rendered(ax.figure)
    for label in [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label]:
        box = label.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_predicted_vs_true():
    true, pred = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    ax = plotting.predicted_vs_true(true, pred[:, None])
    r2 = 1 - np.sum((true - pred) ** 2) / np.sum((true - true.mean()) ** 2)
    rmse = np.sqrt(np.mean((true - pred) ** 2))
    assert ax.get_title() == f"R² = {r2:.3f}, RMSE = {rmse:.3g}"
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.stack([true, pred], 1))
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, y)
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1.0


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0]], ids=["one", "equal"])
def test_r2_of_values_without_spread_is_undefined(values):
    assert "R² = undefined" in plotting.predicted_vs_true(values, values).get_title()


def test_predicted_vs_true_of_many_points_shows_their_density(rng):
    true = rng.normal(size=5000)
    ax = plotting.predicted_vs_true(true, true)
    assert ax.collections[0].get_array().sum() == 5000
    assert ax.figure.axes[1].get_ylabel() == "samples"


def test_calibration_of_two_classes(rng):
    p = rng.uniform(size=400)
    y = (rng.uniform(size=400) < p**2).astype(int)
    ax = plotting.calibration(y, p, bins=4)
    bins = np.minimum((4 * p).astype(int), 3)
    curve = [(p[bins == b].mean(), y[bins == b].mean()) for b in range(4)]
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), curve)
    (below,) = (other for other in ax.figure.axes if other is not ax)
    counts = np.bincount(bins)
    assert [bar.get_height() for bar in below.patches] == counts.tolist()
    error = sum(c / 400 * abs(m - s) for c, (m, s) in zip(counts, curve, strict=True))
    assert ax.get_title() == f"Calibration: expected error {error:.3f}"
    two = plotting.calibration(y, np.stack([1 - p, p], axis=1), bins=4)
    np.testing.assert_allclose(two.lines[-1].get_xydata(), curve)


def test_calibration_of_several_classes_is_that_of_the_largest_probability():
    rows = np.array([[0.75, 0.125, 0.125], [0.125, 0.75, 0.125], [0.25, 0.25, 0.5]])
    ax = plotting.calibration([0, 2, 2], rows)
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), [[0.5, 1.0], [0.75, 0.5]])
    assert "confidence" in ax.get_xlabel()


@pytest.mark.parametrize("y", [[0, 0], [1, 1]])
def test_calibration_where_one_class_alone_occurs(y):
    assert plotting.calibration(y, [0.25, 0.75]).lines[-1].get_ydata().tolist() == y


def test_the_perfect_curve_is_the_diagonal():
    ax = plotting.calibration([0, 1], [0.0, 1.0])
    perfect, observed = ax.lines
    assert perfect.get_xydata().tolist() == observed.get_xydata().tolist() == [[0, 0], [1, 1]]


# Layers


def deep(backend):
    inner = nn.Residual([nn.Dense(5, 7, "silu"), nn.Dense(7, 5)], "relu")
    return nn.Network([nn.Dense(2, 5, "relu"), inner, nn.Dense(5, 3)], "softmax", backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weight_histograms_have_a_panel_a_dense_layer(backend):
    net = deep(backend)
    axes = plotting.weight_histograms(net)
    weights = [net.layers[0].W, net.layers[1].parameters["0.W"], net.layers[1].parameters["1.W"]]
    weights = [registry.to_host(W) for W in [*weights, net.layers[2].W]]
    titles = [ax.get_title() for ax in axes]
    assert [t.split(":")[0] for t in titles] == ["layer 0", "layer 1.0", "layer 1.1", "layer 2"]
    for ax, W, title in zip(axes, weights, titles, strict=True):
        assert sum(bar.get_height() for bar in ax.patches) == W.size
        assert f"{W.shape[0]} x {W.shape[1]}" in title
        assert f"mean {W.mean(dtype=float):.2g}, std {W.std(dtype=float):.2g}" in title
        assert complete(ax)


@pytest.mark.parametrize("backend", BACKENDS)
def test_activation_histograms_show_post_activations_and_scores(backend):
    net = nn.MLP([2, 6, 5, 3], backend=backend)
    w = np.array(registry.to_host(net.w))
    w[12:14] = -100.0  # two of the first layer's biases: units that never fire
    net.w = registry.get(backend).from_host(w, net.device)
    trace = net.trace(GRID)
    axes = plotting.activation_histograms(net, GRID)
    drawn = [registry.to_host(h) for h in [*trace.post[:-1], trace.scores]]
    for ax, values in zip(axes, drawn, strict=True):
        assert sum(bar.get_height() for bar in ax.patches) == values.size
        assert f"mean {values.mean(dtype=float):.2g}" in ax.get_title()
        assert complete(ax)
    dead = int(np.sum((drawn[0] == 0).all(axis=0)))
    assert dead >= 2
    assert f"{dead} of 6 units dead" in axes[0].get_title()
    assert "scores" in axes[2].get_title()
    assert "dead" not in axes[2].get_title()


def test_activation_histograms_reach_into_blocks():
    titles = [ax.get_title() for ax in plotting.activation_histograms(deep("numpy"), GRID)]
    assert [title.partition("\n")[0] for title in titles] == [
        "layer 0: relu",
        "layer 1.0: silu",
        "layer 1.1: identity",
        "layer 1: relu",
        "layer 2: scores",
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_norms_are_the_bars(backend):
    net = nn.MLP([2, 6, 5, 3], "tanh", backend=backend)
    y = np.arange(40) % 3
    _, gradients = net.gradients(GRID, y)
    norms = [np.linalg.norm(registry.to_host(g).astype(float)) for g in gradients.W]
    ax = plotting.gradient_norms(net, GRID, y)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], norms, rtol=1e-12)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2"]
    assert ax.get_yscale() == "linear"
    assert complete(ax)


def test_gradient_norms_that_vanish_are_drawn_logarithmically():
    net = nn.MLP([2] + 8 * [16] + [3], "sigmoid")
    ax = plotting.gradient_norms(net, GRID, np.arange(40) % 3)
    norms = [bar.get_height() for bar in ax.patches]
    assert norms[-1] > 100 * norms[0] > 0
    assert ax.get_yscale() == "log"


def test_gradient_norms_of_many_layers_name_some_of_them():
    ax = plotting.gradient_norms(nn.MLP([2] + 29 * [4] + [3], "tanh"), GRID, np.arange(40) % 3)
    assert len(ax.patches) == 30
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(l) for l in range(0, 30, 3)]


def test_gradient_norms_of_another_loss():
    class Doubled(nn.losses.CrossEntropy):
        def value_and_delta(self, *arguments):
            loss, delta = super().value_and_delta(*arguments)
            return 2.0 * loss, 2.0 * delta

    net, y = nn.MLP([2, 4, 3]), np.arange(40) % 3
    one, two = (plotting.gradient_norms(net, GRID, y, loss=loss) for loss in (None, Doubled()))
    heights = [[bar.get_height() for bar in ax.patches] for ax in (one, two)]
    np.testing.assert_allclose(heights[1], 2 * np.array(heights[0]), rtol=1e-6)


# Reports


def test_classification_report_has_losses_confusion_and_calibration(rng):
    p = rng.dirichlet([1.0] * 3, size=50)
    y = rng.integers(3, size=50)
    figure = plotting.classification_report(nn.History([1.0, 0.5]), y, p, ["a", "b", "c"], "Mine")
    assert figure.get_suptitle() == "Mine"
    left, middle, right, _ = figure.axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.5]
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (y, p.argmax(axis=1)), 1)
    np.testing.assert_array_equal(middle.images[0].get_array(), counts)
    assert right.get_title().startswith("Calibration")


@pytest.mark.parametrize("shape", ["(n,)", "(n, 1)", "(n, 2)"])
def test_classification_report_of_two_classes(shape):
    p = np.array([0.25, 0.75, 0.75])
    rows = {"(n,)": p, "(n, 1)": p[:, None], "(n, 2)": np.stack([1 - p, p], axis=1)}[shape]
    figure = plotting.classification_report(nn.History([1.0]), [0, 1, 0], rows, ["no", "yes"])
    assert figure.axes[1].images[0].get_array().tolist() == [[1, 1], [0, 1]]
    assert figure.axes[2].get_xlabel() == "predicted probability of yes"


def test_regression_report_names_the_target():
    figure = plotting.regression_report(nn.History([1.0]), [1.0, 2.0], [1.5, 2.0], "mass (kg)", "T")
    losses, pairs = figure.axes
    assert losses.get_title() == "Training"
    assert (pairs.get_xlabel(), pairs.get_ylabel()) == ("true mass (kg)", "predicted mass (kg)")
    assert figure.get_suptitle() == "T"


def test_reports_may_compare_models():
    compared = ("RMSE", {"network": 1.5, "linear": 2.0})
    figure = plotting.regression_report(
        nn.History([1.0]), [1.0, 2.0], [1.5, 2.0], compared=compared
    )
    assert len(figure.axes) == 3
    rows = [[0.9, 0.1], [0.3, 0.7]]
    other = plotting.classification_report(nn.History([1.0]), [0, 1], rows, compared=compared)
    for bars in (figure.axes[2], other.axes[3]):
        assert [bar.get_width() for bar in bars.patches] == [1.5, 2.0]
        assert [tick.get_text() for tick in bars.get_yticklabels()] == ["network", "linear"]
        assert [text.get_text() for text in bars.texts] == ["1.5", "2"]
        assert bars.get_xlabel() == "RMSE"
        low, high = bars.get_ylim()
        assert low > high  # the first is on top


# All of them

NET = nn.MLP([2, 4, 3])
CLASSES = np.arange(40) % 3
PROBABILITIES = np.full((40, 3), 1 / 3)
HISTORY = nn.History([1.0, 0.5], [1.5, 0.75])
ON_AXES = {
    "history": lambda ax: plotting.history(HISTORY, ax),
    "decision_boundary": lambda ax: plotting.decision_boundary(NET, GRID, CLASSES, ax),
    "confusion_matrix": lambda ax: plotting.confusion_matrix(CLASSES, CLASSES, ax=ax),
    "predicted_vs_true": lambda ax: plotting.predicted_vs_true(GRID[:, 0], GRID[:, 1], ax),
    "calibration": lambda ax: plotting.calibration(CLASSES, PROBABILITIES, ax),
    "comparison": lambda ax: plotting.comparison({"network": 0.9, "linear": 0.8}, "accuracy", ax),
    "gradient_norms": lambda ax: plotting.gradient_norms(NET, GRID, CLASSES, ax),
}
ON_FIGURES = {
    "weight_histograms": lambda figure: plotting.weight_histograms(NET, figure),
    "activation_histograms": lambda figure: plotting.activation_histograms(NET, GRID, figure),
}


@pytest.mark.parametrize("draw", ON_AXES.values(), ids=ON_AXES)
def test_given_axes_are_drawn_on_and_returned(draw):
    ax = Figure().add_subplot()
    assert draw(ax) is ax
    assert complete(ax)
    with pytest.raises(TypeError, match="`ax` must be a matplotlib Axes, or None, got 'here'"):
        draw("here")


@pytest.mark.parametrize("draw", ON_FIGURES.values(), ids=ON_FIGURES)
def test_given_figures_are_drawn_on(draw):
    figure = Figure()
    axes = draw(figure)
    assert figure.axes == axes.tolist()
    assert len(axes) == 2
    with pytest.raises(TypeError, match="`figure` must be a matplotlib Figure, or None, got 3"):
        draw(3)


def test_arguments_are_not_modified_and_may_be_read_only():
    arrays = GRID, CLASSES, PROBABILITIES
    before = [array.copy() for array in arrays]
    w = NET.w.copy()
    for array in arrays:
        array.flags.writeable = False
    for draw in [*ON_AXES.values(), *ON_FIGURES.values()]:
        draw(None)
    for array, copy in zip(arrays, before, strict=True):
        array.flags.writeable = True
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(NET.w, w)
    assert nn.History([1.0, 0.5], [1.5, 0.75]) == HISTORY


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_arrays_of_any_backend_are_drawn(backend):
    library = registry.get(backend)
    X, p, y = (library.from_host(a, library.device(None)) for a in (GRID, PROBABILITIES, CLASSES))
    net = NET.to(backend, dtype="float64")
    ax = plotting.decision_boundary(net, X, y, resolution=5)
    assert sum(len(own.get_offsets()) for own in ax.collections[-3:]) == 40
    assert plotting.confusion_matrix(y, y).images[0].get_array().trace() == 40
    assert plotting.calibration(y, p).lines[-1].get_ydata()[0] == pytest.approx(14 / 40)
    assert plotting.predicted_vs_true(X[:, 0], X[:, 0]).get_title().startswith("R² = 1.000")
    assert len(plotting.activation_histograms(net, X)) == 2


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_pyplot_is_left_alone():
    code = """
import io, sys, numpy as np, nnpoly as nn
net, X, y = nn.MLP([2, 4, 3]), np.eye(2).repeat(3, 0), np.arange(6) % 3
assert "matplotlib" not in sys.modules, "imported before it is used"
p, h = nn.plotting, nn.History([1.0])
p.history(h), p.decision_boundary(net, X, y), p.confusion_matrix(y, y), p.calibration(y, net(X))
p.predicted_vs_true(y, y), p.weight_histograms(net), p.activation_histograms(net, X)
p.gradient_norms(net, X, y)
p.classification_report(h, y, net(X)).savefig(io.BytesIO())
assert "matplotlib.pyplot" not in sys.modules, "pyplot was imported"
"""
    assert run(code).stderr == ""


@pytest.mark.parametrize(
    ("library", "name"), [("matplotlib", "matplotlib"), ("sklearn", "scikit-learn")]
)
def test_a_missing_library_is_named_with_the_remedy(library, name):
    code = f"import sys; sys.modules[{library!r}] = None; from nnpoly import *; "
    done = run(code + "plotting.confusion_matrix([0, 1], [0, 1])")
    wanted = f"ImportError: nnpoly.plotting: {name} is not installed: pip install nnpoly[plot]"
    assert done.stderr.splitlines()[-1] == wanted
