"""scikit-learn's perceptrons predict what the networks do, and lose no bit on the way."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded import bits, rows, trained, units
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnpoly as nn
from nnpoly.exchange import check, from_sklearn, to_sklearn

pytest.importorskip("skops")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = {
    "texts": np.array(["cat", "dog", "emu"])[RNG.integers(0, 3, 60)],
    "two": np.array(["no", "yes"])[RNG.integers(0, 2, 60)],
    "numbers": RNG.integers(3, 7, 60),
    "several": RNG.integers(0, 2, (60, 3)),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations:UserWarning", "ignore:lbfgs")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", LABELS)
def test_classifiers(tmp_path: Path, kind: str, solver: str) -> None:
    y, path = LABELS[kind], tmp_path / "model.skops"
    theirs = MLPClassifier((5, 6), "tanh", solver=solver, max_iter=3, random_state=0).fit(X, y)
    ours = from_sklearn(theirs)
    back = to_sklearn(ours, path)
    assert check(path).holds
    again = from_sklearn(path)
    for other in (ours, back, again):
        assert [bits(W) for W in other.coefs_] == [bits(W) for W in theirs.coefs_]
        assert [bits(b) for b in other.intercepts_] == [bits(b) for b in theirs.intercepts_]
        assert (other.predict(X) == theirs.predict(X)).all()
    assert bits(back.predict_proba(X)) == bits(theirs.predict_proba(X))
    assert ours.hidden_layer_sizes == (5, 6)
    assert ours.solver == solver
    back.partial_fit(X, y)  # trains on


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("columns", [1, 2])
def test_regressors(tmp_path: Path, columns: int, loss: str, dtype: str) -> None:
    theirs = MLPRegressor(loss=loss, hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    theirs.fit(X.astype(dtype), np.squeeze(abs(X[:, :columns])))
    ours = from_sklearn(theirs)
    back = to_sklearn(ours, tmp_path / "model.skops")
    assert check(tmp_path / "model.skops").holds
    assert ours.network_.dtype == dtype
    assert [bits(W) for W in back.coefs_] == [bits(W) for W in theirs.coefs_]
    assert bits(back.predict(X)) == bits(theirs.predict(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", ["identity", "sigmoid", "tanh", "relu"])
def test_networks_on_ten_thousand_rows(sigma: str, dtype: str) -> None:
    net = trained(nn.MLP([4, 16, 16, 3], sigma, "softmax", dtype=dtype))
    model = to_sklearn(net, classes=["a", "b", "c"])
    assert units(net, rows(net), model.predict_proba(rows(net))) <= 1.0
    assert bits(from_sklearn(model).network_.w) == bits(net.w)
    assert model.classes_.tolist() == ["a", "b", "c"]


def test_pipelines_keep_their_other_steps(tmp_path: Path) -> None:
    data = X * [1, 10, 100, 1e3] + 1e4
    theirs = make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=3)).fit(
        data, LABELS["texts"]
    )
    ours = from_sklearn(theirs)
    np.testing.assert_allclose(ours.predict_proba(data), theirs.predict_proba(data), rtol=1e-12)
    back = to_sklearn(ours, tmp_path / "model.skops")
    assert bits(back.predict_proba(data)) == bits(theirs.predict_proba(data))
    assert (from_sklearn(tmp_path / "model.skops").predict(data) == theirs.predict(data)).all()
    assert back[0] is theirs[0]


D = nn.Dense(3, 3)
LEFT_OUT = [
    (nn.MLP([3, 4, 3], "gelu"), "cannot hold layers[0], Dense"),
    (nn.Network([nn.Dense(3, 3, "tanh"), nn.Dense(3, 3, "relu"), D], "softmax"), "one activation"),
    (nn.Network([D, nn.LayerNorm(3), D], "softmax"), "cannot hold layers[1], LayerNorm"),
    (nn.MLP([3, 2]), "has one sigmoid for two classes"),
    (nn.MLP([3, 2], output="step"), "cannot hold the output 'step'"),
    (nn.MLP([3, 3], dtype="float16"), "computes in float32 or float64"),
]


@pytest.mark.parametrize(("net", "part"), LEFT_OUT, ids=[part for _, part in LEFT_OUT])
def test_networks_that_scikit_learn_cannot_hold_are_refused(
    tmp_path: Path, net: nn.Network, part: str
) -> None:
    with pytest.raises(ValueError, match=r"^to_sklearn: ") as caught:
        to_sklearn(net, tmp_path / "model.skops")
    assert part in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="`classes` must be 3 labels in rising order"):
        to_sklearn(nn.MLP([3, 3]), classes=["b", "a", "c"])
    with pytest.raises(ValueError, match="`source` must be fitted"):
        from_sklearn(MLPClassifier())
    with pytest.raises(TypeError, match="`source` must be an MLPClassifier or MLPRegressor"):
        from_sklearn(StandardScaler())


def changed(content: bytes, edit: Any) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            member = old.read(name)
            if name == "schema.json":
                schema = json.loads(member)
                edit(schema)
                member = json.dumps(schema).encode()
            new.writestr(name, member)
    return made.getvalue()


def test_files_that_hold_anything_else_are_not_made(tmp_path: Path) -> None:
    path, ran = tmp_path / "model.skops", tmp_path / "ran"
    to_sklearn(nn.MLP([3, 3]), path)
    good = path.read_bytes()

    def attack(schema: Any) -> None:
        schema["content"]["content"]["alpha"] = {
            "__class__": "system",
            "__module__": "os",
            "__loader__": "FunctionNode",
            "__id__": 7,
            "content": {"module_path": "os", "function": "system"},
        }

    path.write_bytes(changed(good, attack))
    with pytest.raises(ValueError, match=r"it holds os\.system, .* Nothing of it was made"):
        from_sklearn(path)

    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (ran,)

    for content in (pickle.dumps(Attack()), b"", good[:200], b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"it is no \.skops file"):
            from_sklearn(path)
    assert not ran.exists()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(10**7))
    path.write_bytes(made.getvalue())
    with pytest.raises(ValueError, match=r"its schema\.json is encrypted, or grows from"):
        from_sklearn(path)
