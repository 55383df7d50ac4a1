"""Files for torch: whole or as they were, proven, and read without unpickling anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy as st
import safetensors.torch
from bounded import BLOCK, bits, equal, trained
from damage import damaged

import nnpoly as nn
from nnpoly.exchange import check, from_torch, to_torch

torch = pytest.importorskip("torch")

CHAIN = [
    nn.Periodic(4, 2, rates={"w": (0.0, 0.0)}),
    nn.Dense(10, 6, "tanh", "orthogonal"),
    nn.BatchNorm(6),
    nn.Residual(BLOCK),
    nn.Dense(6, 6, rates={"b": (0.0, 0.0)}),
    nn.Dense(6, 2),
]


def network(dtype: str = "float32") -> nn.Network:
    net = trained(nn.Network(CHAIN, "softmax", dtype=dtype))
    net.layers[4].b[...] = 0.0
    return net


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_file_holds_the_network_and_torchs_state_dict(tmp_path: Path, dtype: str) -> None:
    net, path = network(dtype), tmp_path / "model.safetensors"
    model = to_torch(net, path)
    report = check(path)
    assert report.holds
    assert report.consumer.startswith("torch ")
    assert report.rows >= 3
    back = from_torch(path)
    assert equal(back, net)
    assert back.chain == net.chain
    loaded = {k: torch.tensor(a) for k, a in st.load_file(path).items()}
    model.load_state_dict(loaded)
    assert list(loaded.keys() ^ model.state_dict().keys()) == []
    assert "8.bias" not in loaded  # one that is 0 and stays so
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_file_that_does_not_hold_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnpoly.exchange import torch_modules

    net, path = trained(nn.MLP([4, 8, 3])), tmp_path / "model.safetensors"
    path.write_bytes(b"earlier")
    right = torch_modules.computed
    monkeypatch.setattr(torch_modules, "computed", lambda *given: right(*given) * 1.01)
    with pytest.raises(RuntimeError, match="DOES NOT HOLD"):
        to_torch(net, path)
    assert path.read_bytes() == b"earlier"
    to_torch(net, path, check=False)
    assert not check(path).holds
    with pytest.raises(FileNotFoundError, match=r"to_torch: `path` is in"):
        to_torch(network(), tmp_path / "no" / "model.safetensors")


def state(seed: int = 0, layers: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = [("weight", (3, 3)), ("bias", (3,))]
    return {
        f"net.{2 * l}.{name}": rng.normal(size=shape).astype("float32")
        for l in range(layers)
        for name, shape in shapes
    }


def test_layers_of_a_state_dict_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    given = state()
    st.save_file(given, tmp_path / "weights.safetensors")
    said = {"activation": "tanh", "output": "sigmoid"}
    nets = [
        from_torch({k: torch.tensor(a) for k, a in given.items()}, **said),
        from_torch(dict(sorted(given.items())), **said),  # net.10 before net.2
        from_torch(tmp_path / "weights.safetensors", **said),
        from_torch(str(tmp_path / "weights.safetensors"), **said),
    ]
    for net in nets:
        assert net.is_mlp
        assert [bits(layer.W) for layer in net.layers] == [
            bits(given[f"net.{2 * l}.weight"]) for l in range(12)
        ]
    assert nets[0].chain[0].activation == nn.activations.tanh
    assert nets[0].output == "sigmoid"


def test_named_layers_have_a_dicts_order_which_a_file_has_lost(tmp_path: Path) -> None:
    names = {"enter": "net.0", "middle": "net.2", "depart": "net.4"}
    given = state(layers=3)
    named = {
        f"{name}.{kind}": given[f"{old}.{kind}"]
        for name, old in names.items()
        for kind in ("weight", "bias")
    }
    said = {"activation": "relu", "output": "identity"}
    net = from_torch(named, **said)
    assert [bits(layer.W) for layer in net.layers] == [
        bits(given[f"{old}.weight"]) for old in names.values()
    ]
    st.save_file(named, tmp_path / "named.safetensors")
    with pytest.raises(
        ValueError, match=r"must be numbered, got depart, enter, middle, whose order"
    ):
        from_torch(tmp_path / "named.safetensors", **said)


def test_transposed_tensors_keep_their_values() -> None:
    W = torch.arange(6.0).reshape(2, 3).T
    net = from_torch(
        {"0.weight": W, "0.bias": torch.zeros(3)}, activation="relu", output="identity"
    )
    assert (W.numpy() == net.layers[0].W).all()


ONE = {"0.weight": np.ones((2, 3)), "0.bias": np.ones(2)}
SAID = {"activation": "relu", "output": "identity"}
REFUSED = [
    (ONE, {}, "`activation` and `output` must be given"),
    (ONE, {**SAID, "output": "relu"}, "`output` must be one of exp"),
    (ONE, {**SAID, "activation": "rely"}, "`activation` must be one of elu"),
    ({}, SAID, "there must be a layer, got none"),
    ({"0.weight": np.ones(3), "0.bias": np.ones(3)}, SAID, "got 0.weight of shape (3,)"),
    ({**ONE, "0.weight_g": np.ones((2, 1))}, SAID, "got 0.weight_g of shape (2, 1)"),
    ({"0.bias": np.ones(2)}, SAID, "0 of `source` must have a weight (m, m_in)"),
    ({**ONE, "2.weight": np.ones((2, 3))}, SAID, "2 of `source` must have a weight (m, 2)"),
    ({**ONE, "0.bias": np.ones(3)}, SAID, "a bias (m,), got {'weight': (2, 3), 'bias': (3,)}"),
    ({"0.weight": torch.ones(2, 3).bfloat16()}, SAID, "got '0.weight' of dtype bfloat16"),
    ({"0.weight": torch.ones(2, 3, device="meta")}, SAID, "got '0.weight' of dtype float32"),
    ({"0.weight": [[1.0]]}, SAID, "got '0.weight' of dtype list"),
    ({1: np.ones((2, 3))}, SAID, "got 1 of dtype float64"),
    ({**ONE, "0.bias": np.ones(2, "f4")}, SAID, "must have one dtype"),
]


@pytest.mark.parametrize(("given", "said", "part"), REFUSED, ids=[part for *_, part in REFUSED])
def test_state_dicts_that_cannot_be_read_are_refused(given: Any, said: Any, part: str) -> None:
    with pytest.raises(ValueError, match=r"^from_torch: ") as caught:
        from_torch(given, **said)
    assert part in str(caught.value)


def test_pickles_and_other_files_are_never_opened(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (ran,)

    for name in ("model.pt", "model.safetensors"):
        torch.save({"0.weight": Attack()}, tmp_path / name)
        with pytest.raises(ValueError, match=r"cannot be read: it is a ZIP archive"):
            from_torch(tmp_path / name, **SAID)
    assert not ran.exists()
    nn.MLP([2, 3]).save(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match=r"is a file of nnpoly's own\. Load it by nn\.load"):
        from_torch(tmp_path / "own.safetensors")
    with pytest.raises(FileNotFoundError):
        from_torch(tmp_path / "none.safetensors")
    st.save_file(ONE, tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match=r"check: .* must have a certificate"):
        check(tmp_path / "plain.safetensors")
    half = {"0.weight": torch.ones(2, 3).bfloat16()}
    safetensors.torch.save_file(half, tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match=r"its 0.weight has dtype BF16. Convert it"):
        from_torch(tmp_path / "half.safetensors", **SAID)
    to_torch(network(), tmp_path / "said.safetensors")
    with pytest.raises(ValueError, match=r"must be None, since .* says them itself"):
        from_torch(tmp_path / "said.safetensors", **SAID)
    with pytest.raises(ValueError, match=r"said\.safetensors"):
        nn.load(tmp_path / "said.safetensors")


def test_a_header_that_claims_other_layers_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    from nnpoly.data import container

    path = tmp_path / "model.safetensors"
    net = trained(nn.MLP([3, 4, 2]))
    to_torch(net, path)
    header, arrays = container.read(path)
    huge = json.loads(json.dumps(header))
    huge["network"]["layers"][0]["inputs"] = 10**12
    cases = [
        ({**header, "network": {**header["network"], "layers": []}}, arrays, "non-empty list"),
        (huge, arrays, "0.weight has shape (4, 3)"),
        (header, {**arrays, "4.weight": np.ones(2)}, "it has 4.weight"),
        (header, {k: a for k, a in arrays.items() if k != "2.bias"}, "it lacks 2.bias"),
        (header, {**arrays, "2.bias": np.ones(2)}, "2.bias has shape (2,) of float64, not (2,)"),
        ({**header, "network": {**header["network"], "dtype": "int8"}}, arrays, "`dtype`"),
        ({k: v for k, v in header.items() if k != "certificate"}, arrays, "certificate"),
    ]
    for changed, given, part in cases:
        container.write(
            path, given, {k: v for k, v in changed.items() if k not in ("format", "version")}
        )
        with pytest.raises(ValueError, match=r"cannot be read: ") as caught:
            from_torch(path)
        assert part in str(caught.value)


def test_damage_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    to_torch(nn.MLP([3, 4, 2]), path)
    good = path.read_bytes()
    for seed in range(60):
        if (content := damaged(good, seed)) != good:
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"model\.safetensors"):
                from_torch(path)


def test_rewriting_a_file_changes_no_network_that_was_read_of_it(tmp_path: Path) -> None:
    path, net = tmp_path / "model.safetensors", nn.MLP([3, 4, 2])
    to_torch(net, path)
    back = from_torch(path)
    before = bits(back.w)
    path.write_bytes(bytes(path.stat().st_size))
    assert bits(back.w) == before == bits(net.w)
