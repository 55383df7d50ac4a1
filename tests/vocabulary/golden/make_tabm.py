"""Write tabm.npz: networks of the package tabm, with their scores and gradients on a batch.

Nothing here imports nnpoly. It needs tabm 0.0.3 with torch and rtdl_num_embeddings, which no test
does: ``python tests/vocabulary/golden/make_tabm.py`` rewrites the file.

Keys
----
``X``, ``y``
    A batch: numbers (n, 5) and classes (n,).
``edges/<i>``
    The edges of column i's bins.
``<case>/w/<parameter>``, ``<case>/g/<parameter>``
    The parameters, all of order 1, and the gradient of the mean of the members' cross-entropies.
``<case>/scores``
    (n, k, K).
``<case>/loss``
    The loss.
``meta``
    JSON: versions, and the cases.

A case is TabM, or TabM-mini, on numbers as they are or on those of piecewise-linear embeddings.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
from tabm import TabM

K, MEMBERS, WIDTH, BLOCKS, FEATURES, BINS = 3, 4, 7, 2, 2, 6
CASES = [(arch, pieces) for arch in ("tabm", "tabm-mini") for pieces in (False, True)]


def network(arch: str, bins: list[torch.Tensor] | None) -> TabM:
    """A network without dropout whose parameters are of order 1."""
    embeddings = bins and PiecewiseLinearEmbeddings(bins, FEATURES, activation=False, version="B")
    net = TabM.make(
        n_num_features=5,
        d_out=K,
        num_embeddings=embeddings,
        arch_type=arch,
        k=MEMBERS,
        d_block=WIDTH,
        n_blocks=BLOCKS,
        dropout=0.0,
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return net


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)  # of the bins too
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((33, 5)), rng.integers(0, K, 33)
    x, labels = torch.tensor(X), torch.tensor(y)
    bins = compute_bins(x, n_bins=BINS)
    data = {"X": X, "y": y, **{f"edges/{i}": edges.numpy() for i, edges in enumerate(bins)}}
    names = []
    for arch, pieces in CASES:
        names.append(name := f"{arch}-pieces" if pieces else arch)
        net = network(arch, bins if pieces else None)
        scores = net(x)
        members = labels.repeat_interleave(MEMBERS)
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), members)
        loss.backward()
        for key, parameter in net.named_parameters():
            data[f"{name}/w/{key}"] = parameter.detach().numpy()
            data[f"{name}/g/{key}"] = parameter.grad.numpy()
        data |= {f"{name}/scores": scores.detach().numpy(), f"{name}/loss": loss.detach().numpy()}
    versions = {package: version(package) for package in ("tabm", "torch")}
    meta = {"versions": versions, "cases": names}
    path = Path(__file__).with_name("tabm.npz")
    np.savez_compressed(path, meta=json.dumps(meta), **data)


if __name__ == "__main__":
    main()
