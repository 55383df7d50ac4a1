"""Neurons, gates and the perceptron rule: every truth table, every bound, every certificate."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnpoly as nn
from nnpoly import theory

CORNERS = list(itertools.product((0, 1), repeat=2))
SEPARABLE = [name for name in theory.GATES if name not in ("XOR", "XNOR")]
X = np.array(CORNERS, dtype=float)


def test_it_is_imported_when_it_is_used_and_without_scipy():
    code = (
        "import sys, nnpoly; assert 'nnpoly.theory' not in sys.modules; nnpoly.theory.gate('AND');"
        "assert not any(name.partition('.')[0] == 'scipy' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_has_an_executed_example():
    functions = [getattr(theory, name) for name in theory.__all__ if name.islower()]
    assert len(functions) == 22
    assert all(">>> " in function.__doc__ for function in functions)


# Gates


def test_the_sixteen_truth_tables():
    assert sorted(theory.GATES.values()) == list(itertools.product((0, 1), repeat=4))
    meaning = {
        "AND": lambda a, b: a and b,
        "OR": lambda a, b: a or b,
        "NAND": lambda a, b: not (a and b),
        "NOR": lambda a, b: not (a or b),
        "XOR": lambda a, b: a != b,
        "XNOR": lambda a, b: a == b,
        "A AND NOT B": lambda a, b: a and not b,
        "B OR NOT A": lambda a, b: b or not a,
        "NOT A": lambda a, b: not a,
        "B": lambda a, b: b,
    }
    for name, function in meaning.items():
        assert theory.GATES[name] == tuple(int(function(*row)) for row in CORNERS)


@pytest.mark.parametrize("name", SEPARABLE)
def test_a_gate_computes_its_truth_table_everywhere(name, backend_variant):
    net = theory.gate(name, **backend_variant.place)
    assert net.backend == backend_variant.backend_name
    f = backend_variant.host(net(X))
    assert f[:, 0].tolist() == list(theory.GATES[name])
    assert theory.truth_table(net) == dict(zip(CORNERS, theory.GATES[name], strict=True))
    assert net.widths == [2, 1]


@pytest.mark.parametrize(("name", "w"), [("AND", [1, 1, -1.5]), ("OR", [1, 1, -0.5])])
def test_the_lectures_weights(name, w):
    assert theory.gate(name).w.tolist() == theory.gate(name.lower()).w.tolist() == w


@pytest.mark.parametrize("name", SEPARABLE)
def test_weights_are_small_and_no_corner_is_near_the_line(name):
    net = theory.gate(name)
    assert set(net.layers[0].W[0]) <= {-1, 0, 1}
    assert np.min(np.abs(net.scores(X))) == 0.5
    assert np.array_equal(net.w, theory.gate(theory.GATES[name]).w)


@pytest.mark.parametrize("name", ["XOR", "XNOR"])
def test_xor_and_xnor_are_refused_with_the_contradiction(name):
    with pytest.raises(ValueError, match=f"^gate: {name} is not linearly separable") as caught:
        theory.gate(name)
    message = str(caught.value)
    ones = ("w2 + b", "w1 + b") if name == "XOR" else ("b", "w1 + w2 + b")
    nulls = ("b", "w1 + w2 + b") if name == "XOR" else ("w2 + b", "w1 + b")
    assert f"{ones[0]} >= 0 and {ones[1]} >= 0, together w1 + w2 + 2b >= 0" in message
    assert f"{nulls[0]} < 0 and {nulls[1]} < 0, together w1 + w2 + 2b < 0" in message


def test_no_weights_on_a_fine_grid_compute_xor():
    w1, w2, b = np.meshgrid(*[np.arange(-3, 3.25, 0.25)] * 3)
    found = [(w1 * x1 + w2 * x2 + b >= 0) for x1, x2 in CORNERS]
    tables = set(zip(*(f.ravel().astype(int).tolist() for f in found), strict=True))
    assert tables == {theory.GATES[name] for name in SEPARABLE}


def test_xor_network(backend_variant):
    net = theory.xor_network(**backend_variant.place)
    assert [backend_variant.host(layer.W).tolist() for layer in net.layers] == [
        [[1, 1], [1, 1]],
        [[-1, 1]],
    ]
    assert backend_variant.host(net.w)[4:6].tolist() == [-1.5, -0.5]
    assert backend_variant.host(net(X))[:, 0].tolist() == [0, 1, 1, 0]
    hidden = backend_variant.host(net.trace(X).post[0])
    assert hidden.tolist() == [[0, 0], [0, 1], [0, 1], [1, 1]]
    assert theory.truth_table(net) == dict(zip(CORNERS, theory.GATES["XOR"], strict=True))


def test_truth_tables_of_other_networks():
    softmax = nn.MLP.from_weights([[[0, 0], [1, 1]]], [[1.5, 0]], output="softmax")
    assert theory.truth_table(softmax) == theory.truth_table(theory.gate("AND"))
    majority = theory.truth_table(theory.single_neuron([1, 1, 1], -1.5, "sigmoid"))
    assert majority == {row: int(sum(row) >= 2) for row in itertools.product((0, 1), repeat=3)}


# Neurons

FUNCTIONS = {
    "step": lambda z: (z >= 0).astype(float),
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": lambda z: np.log1p(np.exp(z)),
}


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_a_neuron_is_sigma_of_w_x_plus_b(activation, rng, backend_variant):
    w, b, points = rng.normal(size=3), 0.3, rng.normal(size=(7, 3))
    net = theory.single_neuron(w, b, activation, **backend_variant.place)
    expected = FUNCTIONS[activation](points @ w + b)
    np.testing.assert_allclose(backend_variant.host(net(points))[:, 0], expected, rtol=1e-13)


def test_an_activation_object_is_taken_too():
    net = theory.single_neuron([2.0], -1.0, nn.activations.LeakyReLU(0.5))
    assert net([[2.0], [0.0]])[:, 0].tolist() == [3.0, -0.5]


@pytest.mark.parametrize("activation", ["step", "tanh"])
def test_the_decision_line(activation, rng):
    w, b, points = rng.normal(size=2), -0.4, rng.normal(size=(20, 2))
    line = theory.decision_line(theory.single_neuron(w, b, activation))
    assert np.array_equal(line.normal, w)
    assert line.offset == b
    distance = line.distance(points)
    on_it = points - distance[:, None] * w / np.linalg.norm(w)
    np.testing.assert_allclose(on_it @ w + b, 0, atol=1e-14)
    np.testing.assert_array_equal(distance >= 0, points @ w + b >= 0)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
@settings(deadline=None, max_examples=60)
def test_the_segment_lies_on_the_line_and_ends_at_the_squares_edges(w1, w2, b):
    if max(abs(w1), abs(w2)) < 0.01:
        return
    line = theory.decision_line(theory.single_neuron([w1, w2], b))
    ends = line.segment(-0.5, 1.5)
    corners = np.array(list(itertools.product((-0.5, 1.5), repeat=2)))
    values = corners @ [w1, w2] + b
    if len(ends) == 0:
        assert values.min() > -1e-9 or values.max() < 1e-9
        return
    np.testing.assert_allclose(ends @ [w1, w2] + b, 0, atol=1e-9)
    inside = np.abs(ends - 0.5)
    np.testing.assert_allclose(inside.max(axis=1), 1.0, atol=1e-9)


def test_lines_along_the_axes_and_lines_that_miss():
    upright = theory.decision_line(theory.gate("A"))
    assert upright.segment(0, 2).tolist() == [[0.5, 0.0], [0.5, 2.0]]
    assert upright.segment(1, 2).shape == (0, 2)


# The perceptron rule


def separable(rng, n: int = 60, m: int = 3, gap: float = 0.2):
    """Return points at least `gap` away from a hyperplane, their labels, and the hyperplane."""
    w, b = rng.normal(size=m), 0.3
    points = rng.normal(size=(4 * n, m))
    distance = (points @ w + b) / np.linalg.norm(w)
    points = points[np.abs(distance) > gap][:n]
    return points, (points @ w + b > 0).astype(int), (w, b)


@pytest.mark.parametrize("seed", range(8))
def test_it_converges_within_novikoffs_bound(seed):
    points, y, (w, b) = separable(np.random.default_rng(seed))
    run = theory.perceptron(points, y, epochs=5000, separator=(w, b))
    assert run.converged
    assert run.updates[-1] == 0
    assert np.array_equal(run.neuron()(points)[:, 0], y)
    R = max(np.sqrt(1 + points[i] @ points[i]) for i in range(len(points)))
    gamma = np.min(np.abs(points @ w + b)) / np.sqrt(w @ w + b * b)
    assert run.bound == pytest.approx((R / gamma) ** 2, rel=1e-12)
    assert 0 < sum(run.updates) <= run.bound


@pytest.mark.parametrize("name", SEPARABLE)
def test_it_learns_every_separable_gate_by_integers(name, backend_variant):
    known = theory.gate(name)
    separator = (known.layers[0].W[0], float(known.layers[0].b[0]))
    run = theory.perceptron(X, theory.GATES[name], separator=separator)
    assert run.converged
    assert sum(run.updates) <= run.bound
    assert run.w.tolist() == run.w.round().tolist()
    net = run.neuron(**backend_variant.place)
    assert backend_variant.host(net(X))[:, 0].tolist() == list(theory.GATES[name])
    assert run.common_point is None


def test_the_rule_step_by_step():
    """From w = 0: f(0, 0) = 1 is wrong, so b = -1; f(1, 1) = 0 is wrong, so w = (1, 1), b = 0."""
    run = theory.perceptron(X, theory.GATES["AND"], epochs=1)
    assert (run.w.tolist(), run.b, run.updates) == ([1.0, 1.0], 0.0, (2,))
    assert not run.converged
    assert run.common_point is None
    assert "The classes are separable: give it more epochs" in str(run)


@pytest.mark.parametrize("name", ["XOR", "XNOR"])
def test_on_xor_it_says_why_it_cannot(name):
    run = theory.perceptron(X, theory.GATES[name], epochs=50)
    assert not run.converged
    assert min(run.updates) > 0
    assert run.bound is None
    assert run.common_point.point.tolist() == [0.5, 0.5]
    assert "No neuron can separate the classes" in str(run)


def overlaps(points, y) -> bool:
    """Check a certificate by its definition."""
    found = theory.common_point(points, y)
    if found is None:
        return False
    scale = np.abs(points).max()
    for label in (0, 1):
        a = found.weights[y == label]
        assert np.all(a >= 0)
        assert abs(a.sum() - 1) < 1e-9
        np.testing.assert_allclose(a @ points[y == label], found.point, atol=1e-8 * scale)
    return True


@pytest.mark.parametrize("seed", range(20))
def test_either_it_converges_or_there_is_a_certificate(seed):
    """The separating hyperplane theorem, on small integers, where everything is exact."""
    rng = np.random.default_rng(seed)
    points = rng.integers(-4, 5, size=(6 + seed % 4, 2)).astype(float)
    y = rng.integers(0, 2, len(points))
    run = theory.perceptron(points, y, epochs=3000)
    assert run.converged != overlaps(points, y)


def test_hulls_that_touch_are_not_separable():
    points, y = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]]), np.array([0, 0, 1])
    assert overlaps(points, y)
    assert not overlaps(points + np.array([[0, 0], [0, 0], [0, 1e-3]]), y)


def test_one_class_is_always_separable():
    run = theory.perceptron(X, [1, 1, 1, 1])
    assert run.converged
    assert theory.common_point(X, [0, 0, 0, 0]) is None


# Bad input

REFUSED = [
    (lambda: theory.gate("IMPLIES"), "gate: `name` must be one of FALSE, AND, "),
    (lambda: theory.gate([0, 1, 1]), "(1,1), got [0, 1, 1]."),
    (lambda: theory.gate([0, 1, 1, 2]), "got [0, 1, 1, 2]."),
    (lambda: theory.gate(None), "gate: `name` must be one of"),
    (lambda: theory.gate("AND", backend="abacus"), "`backend` must be one of"),
    (lambda: theory.single_neuron([[1]], 0), "single_neuron: `w` must have shape (n,), got (1, 1)"),
    (lambda: theory.single_neuron([], 0), "single_neuron: `w` must have shape (n,), got (0,)."),
    (lambda: theory.single_neuron([np.nan], 0), "`w` must be finite, got NaN or infinity."),
    (lambda: theory.single_neuron([1], [0]), "single_neuron: `b` must have shape (), got (1,)."),
    (lambda: theory.single_neuron(["a"], 0), "single_neuron: `w` must hold real numbers"),
    (lambda: theory.single_neuron([1], 0, "rely"), "single_neuron: `activation` must be one of"),
    (lambda: theory.decision_line(theory.xor_network()), "`net` must be a single neuron, got wid"),
    (lambda: theory.decision_line(theory.gate("TRUE")), "a weight other than 0: it decides noth"),
    (lambda: theory.decision_line("OR"), "decision_line: `net` must be a network, got str."),
    (lambda: theory.truth_table(nn.MLP([2, 3])), "two softmax outputs, got 3 softmax outputs."),
    (
        lambda: theory.truth_table(nn.MLP([17, 1], "step", "step")),
        "must have at most 16 inputs, got 17.",
    ),
    (lambda: theory.truth_table(7), "truth_table: `net` must be a network, got int."),
    (lambda: theory.perceptron(X, [0, 1, 2, 0]), "`y` must hold the labels 0 and 1, got [0.0, 1."),
    (lambda: theory.perceptron(X, [0, 1]), "perceptron: `y` must have shape (4,), got (2,)."),
    (lambda: theory.perceptron([1, 2], [0, 1]), "`X` must have shape (n, m), got (2,)."),
    (lambda: theory.perceptron(X * np.inf, [0] * 4), "`X` must be finite"),
    (lambda: theory.perceptron(X, [0] * 4, epochs=0), "`epochs` must be an integer >= 1, got 0."),
    (lambda: theory.perceptron(X, [0] * 4, separator=3), "`separator` must be a pair (w, b)"),
    (lambda: theory.perceptron(X, [0] * 4, separator=([1], 0)), "`separator[0]` must have shape"),
    (
        lambda: theory.perceptron(X, [0, 0, 0, 1], separator=([1, 1], 1)),
        "`separator` must have w.x + b > 0 on class 1",
    ),
    (lambda: theory.common_point(X, "abcd"), "common_point: `y` must hold real numbers"),
]


@pytest.mark.parametrize(("call", "part"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bad_input(call, part):
    with pytest.raises(ValueError, match=r"^[\w.]+: ") as caught:
        call()
    assert part in str(caught.value)


def test_lines_in_three_dimensions_are_not_drawn():
    plane = theory.decision_line(theory.single_neuron([1, 2, 3], 0))
    with pytest.raises(ValueError, match="needs a neuron of 2 inputs, got 3"):
        plane.segment()
    with pytest.raises(ValueError, match="`low, high` must run from low to high"):
        theory.decision_line(theory.gate("AND")).segment(1, 0)


def test_without_scipy_the_remedy_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    run = theory.perceptron(X, [0, 1, 1, 0])
    for call in (lambda: theory.common_point(X, [0, 1, 1, 0]), lambda: run.common_point):
        with pytest.raises(ImportError, match=r"needs SciPy: pip install nnpoly\[theory\]"):
            call()
    with pytest.raises(ImportError, match=r"^approximate: needs SciPy"):
        theory.approximate(np.sin, (0, 1))
