"""Hostile .keras files: nothing in them is run, and nothing outside of them is read."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.exchange import check, from_keras, to_keras

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("keras")
pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
KERNEL = "layers/dense/vars/0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "model.keras"
    to_keras(nn.MLP([3, 4, 2], "tanh"), found)
    return found


def rewrite(path: Path, name: str, change: Any) -> None:
    """Replace a member of an archive by what `change` makes of it; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in members.items():
            if content is not None:
                archive.writestr(key, content)


def edit_config(path: Path, edit: Any) -> None:
    def change(content: bytes) -> bytes:
        config = json.loads(content)
        edit(config["config"]["layers"])
        return json.dumps(config).encode()

    rewrite(path, "config.json", change)


def edit_weights(path: Path, edit: Any) -> None:
    def change(content: bytes) -> bytes:
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as weights:
            edit(weights)
        return file.getvalue()

    rewrite(path, "model.weights.h5", change)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"model\.keras cannot be read: ") as caught:
        from_keras(path)
    with pytest.raises(ValueError, match=r"model\.keras"):
        check(path)
    return str(caught.value)


def lambda_layer(layers: Any) -> None:
    layers[1]["class_name"] = "Lambda"


def from_elsewhere(layers: Any) -> None:
    layers[1]["module"] = "os"


def called(layers: Any) -> None:
    layers[1]["config"]["activation"] = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip


def renamed(layers: Any) -> None:
    layers[1]["registered_name"] = "mine>Dense"


def unknown(layers: Any) -> None:
    layers[1]["config"]["lora_rank"] = 4


@pytest.mark.parametrize("edit", [lambda_layer, from_elsewhere, called, renamed])
def test_what_is_not_keras_own_is_not_run(path: Path, edit: Any) -> None:
    edit_config(path, edit)
    assert "Nothing of it was run" in refusal(path)


def test_an_argument_that_changes_predictions_is_refused(path: Path) -> None:
    edit_config(path, unknown)
    assert "lora_rank=4" in refusal(path)


def linked(weights: Any) -> None:
    del weights[KERNEL]
    weights[KERNEL] = h5py.ExternalLink("/etc/hostname", "/")


def aliased(weights: Any) -> None:
    del weights[KERNEL]
    weights[KERNEL] = h5py.SoftLink("/layers/dense_1/vars/0")


def external(weights: Any) -> None:
    del weights[KERNEL]
    weights.create_dataset(KERNEL, (3, 4), "f4", external=[("/etc/hostname", 0, 48)])


def packed(weights: Any) -> None:
    del weights[KERNEL]
    weights.create_dataset(KERNEL, data=np.zeros((3, 4), "f4"), compression="gzip")


def claimed(weights: Any) -> None:
    del weights[KERNEL]
    weights.create_dataset(KERNEL, (10**6, 10**6), "f4", chunks=(10, 10))


def reshaped(weights: Any) -> None:
    del weights[KERNEL]
    weights[KERNEL] = np.zeros((3, 5), "f4")


def lacking(weights: Any) -> None:
    del weights[KERNEL]


def longer(weights: Any) -> None:
    weights["layers/dense_2/vars/0"] = np.zeros((3, 5), "f4")


def coded(weights: Any) -> None:
    del weights[KERNEL]
    weights[KERNEL] = np.zeros((3, 4), "V2")


WEIGHTS = [
    (linked, "is a link"),
    (aliased, "is a link"),
    (external, "must lie in the file as it is"),
    (packed, "must lie in the file as it is"),
    (claimed, "of which the file has less"),
    (reshaped, "must have arrays of shape"),
    (lacking, "must have arrays of shape"),
    (longer, "is of none of its layers"),
    (coded, "Convert it to float32"),
]


@pytest.mark.parametrize(("edit", "part"), WEIGHTS, ids=[edit.__name__ for edit, _ in WEIGHTS])
def test_arrays_lie_in_the_file_and_fit(path: Path, edit: Any, part: str) -> None:
    edit_weights(path, edit)
    assert part in refusal(path)


def test_other_files_are_told(path: Path) -> None:
    good = path.read_bytes()
    for content in (b"", good[:500], b"\x89HDF\r\n\x1a\n", bytes(100)):
        path.write_bytes(content)
        assert "it is no .keras file" in refusal(path)
    path.write_bytes(good)
    rewrite(path, "model.weights.h5", lambda content: None)
    assert "it lacks model.weights.h5" in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(10**7))
    assert "grows from" in refusal(path)
    with pytest.raises(FileNotFoundError, match="from_keras: `source`"):
        from_keras(path.parent / "none.keras")
