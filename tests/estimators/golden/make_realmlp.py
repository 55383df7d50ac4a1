"""Write realmlp.npz: pytabkit's RealMLP, what it makes of a table's columns, and training steps.

Nothing here imports nnpoly. It needs pytabkit 1.7 with torch, pytorch-lightning and pandas, which
no test does: ``python tests/estimators/golden/make_realmlp.py`` rewrites the file.

Keys
----
``table/<column>``
    The table: numbers, and categories as texts, "" where they are missing.
``rows``, ``batches``
    The rows to train on; the rows of each step's batch, (steps, batch).
``<case>/numbers``, ``scaled``, ``places``
    Of all rows: numbers as the layer of waves takes them; the inputs of the scaling layer before
    any step; the numbers of categories that are embedded.
``<case>/targets``, ``losses``
    Of each step's batch: the targets, smoothed or standardised, and the loss before the step.
``<case>/y``
    Class indices, or numbers.
``<case>/start/<parameter>``, ``<case>/step<i>/<parameter>``
    The parameters of the network before all steps and after some, in float64, and without dropout,
    whose random numbers are the library's own.
``meta``
    JSON: versions; the cases' presets, the epochs, the widths of hidden layers.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytabkit.models.alg_interfaces.base import InterfaceResources, SplitIdxs
from pytabkit.models.data.conversion import ToDictDatasetConverter
from pytabkit.models.data.data import DictDataset, TensorInfo
from pytabkit.models.nn_models.base import ScaleLayer
from pytabkit.models.nn_models.nn import PLREmbeddingsLayerCosBias
from pytabkit.models.sklearn.default_params import DefaultParams
from pytabkit.models.training.lightning_modules import TabNNModule

N, TRAIN, BATCH, EPOCHS = 64, 48, 16, 2
KEPT = (1, 5)  # the first step that moves, since the rate of step 0 is 0, and the last
CASES = {
    "classes": (DefaultParams.RealMLP_TD_CLASS, "TD", 3),
    "two classes": (DefaultParams.RealMLP_TD_CLASS, "TD", 2),
    "numbers": (DefaultParams.RealMLP_TD_REG, "TD", 0),
    "short classes": (DefaultParams.RealMLP_TD_S_CLASS, "TD-S", 3),
    "short numbers": (DefaultParams.RealMLP_TD_S_REG, "TD-S", 0),
}


def table(rng: np.random.Generator) -> pd.DataFrame:
    """Return columns of every kind, with what is special: no spread, few values, missing cells."""
    mostly = np.zeros(N)
    mostly[::7] = np.arange(len(mostly[::7]))

    def texts(count: int, missing: int = 0) -> list[str | None]:
        cells = [f"t{i:02d}" for i in rng.integers(0, count, N)]
        cells[:count] = [f"t{i:02d}" for i in range(count)]
        return [None if missing and i % missing == missing - 1 else c for i, c in enumerate(cells)]

    columns = {
        "normal": rng.normal(3.0, 2.0, N),
        "skewed": np.exp(2.0 * rng.normal(size=N)),
        "counts": rng.integers(0, 4, N).astype(float),
        "mostly": mostly,
        "constant": np.full(N, 2.5),
        "one": texts(1, 9),
        "two": texts(2, 5),
        "three": texts(3),
        "eight": texts(8, 7),
        "nine": texts(9),
        "many": texts(20, 6),
    }
    return pd.DataFrame(columns)


def targets(frame: pd.DataFrame, K: int, rng: np.random.Generator) -> np.ndarray:
    """Return class indices (n, 1), or numbers."""
    f = frame["normal"].to_numpy() + rng.normal(size=N)
    y = f if K == 0 else np.searchsorted(np.quantile(f, np.arange(1, K) / K), f)
    return y[:, None].astype(np.float32 if K == 0 else np.int64)


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    frame = table(rng)
    rows = rng.permutation(N)[:TRAIN]
    steps = EPOCHS * (TRAIN // BATCH)
    batches = np.stack([rng.choice(rows, BATCH, replace=False) for _ in range(steps)])
    arrays = {"rows": rows, "batches": batches}
    for name, column in frame.items():
        texts = column.dtype == object or str(column.dtype) == "str"
        arrays[f"table/{name}"] = column.fillna("").to_numpy("U") if texts else column.to_numpy()
    for case, (defaults, _, K) in CASES.items():
        y = targets(frame, K, rng)
        found = run({**defaults, "hidden_sizes": [6, 5, 4]}, frame, y, K, rows, batches)
        arrays |= {f"{case}/{key}": array for key, array in found.items()}
        arrays[f"{case}/y"] = y[:, 0]
    meta = {
        "versions": {
            "pytabkit": version("pytabkit"),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "cases": {case: preset for case, (_, preset, _) in CASES.items()},
        "kept": KEPT,
        "epochs": EPOCHS,
        "hidden": [6, 5, 4],
    }
    path = Path(__file__).with_name("realmlp.npz")
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)


def run(config, frame, y, K, rows, batches):
    """Return the encoded columns, and the parameters before and after each step."""
    columns = ToDictDatasetConverter().fit_transform(frame)
    info = TensorInfo(cat_sizes=[K]) if K else TensorInfo(feat_shape=[1])
    ds = DictDataset.join(
        columns, DictDataset(tensors={"y": torch.as_tensor(y)}, tensor_infos={"y": info})
    )
    config = {**config, "n_epochs": EPOCHS, "batch_size": BATCH, "p_drop": 0.0}
    module = TabNNModule(**config)
    held_out = np.setdiff1d(np.arange(N), rows)
    train, val = (torch.as_tensor(part)[None, :] for part in (rows, held_out))
    split = SplitIdxs(train, val, None, split_seed=0, sub_split_seeds=[0], split_id=0)
    module.compile_model(ds, [split], InterfaceResources(n_threads=1, gpu_devices=[]))
    model = module.model.double()
    data = module.creator.static_model(ds).tensors
    data = {key: t.double() if t.is_floating_point() else t for key, t in data.items()}
    seen = {}
    for layer in model.modules():
        if isinstance(layer, PLREmbeddingsLayerCosBias):
            watch(layer, "numbers", seen)
        if isinstance(layer, ScaleLayer) and any(True for _ in layer.parameters()):
            watch(layer, "scaled", seen)
    model.eval()
    with torch.no_grad():
        model({key: t[None] for key, t in data.items() if key != "y"})
    found = {key: x[0].numpy().copy() for key, x in seen.items()}
    if "x_cat" in data:
        found["places"] = data["x_cat"].numpy()
    model.train()
    optimizer = module.configure_optimizers()

    def note(step: str) -> None:
        for i, parameter in enumerate(model.parameters()):
            name = f"{i:02d}{parameter.context.scope}".replace("/", "|")
            found[f"{step}/{name}"] = parameter.detach().numpy()[0].copy()

    note("start")
    losses = []
    for s, batch in enumerate(batches):
        module.progress.total_samples = s * BATCH
        module.progress.epoch_float = s * BATCH / TRAIN
        module.hp_manager.update_hypers(module)
        output = model({key: t[None, batch] for key, t in data.items()})
        loss = module.criterion(output["x_cont"], output["y"]).sum()
        found.setdefault("targets", []).append(output["y"].detach().numpy()[0])
        loss.backward()
        optimizer.step(loss=loss)
        optimizer.zero_grad()
        losses.append(loss.item())
        if s in KEPT:
            note(f"step{s}")
    found["targets"] = np.stack(found["targets"])
    found["losses"] = np.array(losses)
    return found


def watch(layer, name, seen):
    """Keep what comes to a layer."""
    forward = layer.forward_cont

    def watched(x):
        seen[name] = x.detach()
        return forward(x)

    layer.forward_cont = watched


if __name__ == "__main__":
    main()
