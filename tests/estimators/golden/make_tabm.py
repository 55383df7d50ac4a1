"""Write tabm.npz: training steps of pytabkit's TabM.

Nothing here imports nnpoly. It needs pytabkit 1.7 with torch, which no test does:
``python tests/estimators/golden/make_tabm.py`` rewrites the file.

Keys
----
``numbers``, ``categories``, ``batches``
    Encoded numbers (n, 3), categories' places (n, 2), and the rows of each step's batch.
``bins/<i>``
    The edges of the numbers' bins.
``<case>/y``
    Class indices, or standardised numbers, (n,) or (n, K).
``<case>/losses``
    The loss of each step's batch before the step.
``<case>/start/<parameter>``, ``<case>/step<i>/<parameter>``
    The parameters of the network before all steps and after some, in float64, and without dropout,
    whose random numbers are the library's own.
``meta``
    JSON: versions; the cases' options, the widths of hidden layers, the members.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pytabkit.models.nn_models.rtdl_num_embeddings import compute_bins
from pytabkit.models.nn_models.tabm import Model, make_parameter_groups

N, BATCH, STEPS, MEMBERS, HIDDEN, BINS, FEATURES = 60, 16, 6, 4, [7, 7], 5, 3
SIZES = [3, 2]  # of the categories
KEPT = (0, 5)
CASES = {  # architecture, whether numbers are embedded, classes (0: numbers), outputs
    "classes": ("tabm", False, 3, 3),
    "two classes, embedded": ("tabm", True, 2, 2),
    "numbers": ("tabm", False, 0, 1),
    "two numbers, embedded": ("tabm", True, 0, 2),
    "mini classes": ("tabm-mini", False, 3, 3),
    "mini numbers, embedded": ("tabm-mini", True, 0, 1),
}
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 0.002, 0.3, 0.3  # a decay and a clip that matter


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(N, 3))
    numbers[:, 1] = np.maximum(numbers[:, 1], 0.3)  # which has fewer bins
    categories = np.stack([rng.integers(0, size, N) for size in SIZES], axis=1)
    batches = np.stack([rng.choice(N, BATCH, replace=False) for _ in range(STEPS)])
    bins = compute_bins(torch.as_tensor(numbers), n_bins=BINS)
    arrays = {"numbers": numbers, "categories": categories, "batches": batches}
    arrays |= {f"bins/{i}": edges.numpy() for i, edges in enumerate(bins)}
    for number, (case, (arch, embedded, classes, K)) in enumerate(CASES.items()):
        y = rng.integers(0, classes, N) if classes else rng.normal(size=(N, K))
        torch.manual_seed(number)
        model = Model(
            n_num_features=3,
            cat_cardinalities=SIZES,
            n_classes=K,
            backbone={"type": "MLP", "n_blocks": 2, "d_block": HIDDEN[0], "dropout": 0.0},
            bins=bins if embedded else None,
            num_embeddings=embedding() if embedded else None,
            arch_type=arch,
            k=MEMBERS,
            share_training_batches=True,
        ).double()
        found = steps(model, numbers, categories, y, batches)
        arrays |= {f"{case}/{key}": array for key, array in found.items()}
        arrays[f"{case}/y"] = y
    meta = {
        "versions": {name: version(name) for name in ("pytabkit", "torch", "numpy")},
        "cases": CASES,
        "kept": KEPT,
        "hidden": HIDDEN,
        "members": MEMBERS,
        "features": FEATURES,
        "rates": [LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM],
    }
    path = Path(__file__).with_name("tabm.npz")
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)


def embedding():
    """Return the options of the embeddings."""
    kind = {"type": "PiecewiseLinearEmbeddings", "activation": False, "version": "B"}
    return {**kind, "d_embedding": FEATURES}


def steps(model, numbers, categories, y, batches):
    """Return the parameters before and after each step, as pytabkit's fit takes it."""
    x, places, targets = map(torch.as_tensor, (numbers, categories, y))
    optimizer = torch.optim.AdamW(
        make_parameter_groups(model), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    found, losses = {}, []

    def note(step):
        for name, parameter in model.named_parameters():
            found[f"{step}/{name}"] = parameter.detach().numpy().copy()

    note("start")
    for s, rows in enumerate(batches):
        optimizer.zero_grad()
        scores = model(x[rows], places[rows]).flatten(0, 1)
        repeated = targets[rows].repeat_interleave(MEMBERS, dim=0)
        whole = torch.nn.functional
        loss = (whole.mse_loss if y.ndim == 2 else whole.cross_entropy)(scores, repeated)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        losses.append(loss.item())
        if s in KEPT:
            note(f"step{s}")
    return found | {"losses": np.array(losses)}


if __name__ == "__main__":
    main()
