"""Networks of every activation, output and layer, and their inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import nnpoly as nn
from nnpoly import activations
from nnpoly.layers import Layer

SIGMAS = {**activations.BY_NAME, "leaky": activations.LeakyReLU(0.2), "bent": activations.ELU(0.3)}
DEEP = [nn.Residual([nn.Dense(6, 9, "silu"), nn.Residual([nn.LayerNorm(9)]), nn.Dense(9, 6)])]
LAYERS: dict[str, list[Layer]] = {
    "factor": [nn.Dense(5, 300, "relu", factor=0.37), nn.Dense(300, 3)],
    "norms": [nn.LayerNorm(5), nn.Dense(5, 37), nn.LayerNorm(37, 1e-3, "gelu"), nn.Dense(37, 3)],
    "batch_norm": [nn.BatchNorm(5), nn.Dense(5, 6), nn.BatchNorm(6, 1e-3, "relu"), nn.Dense(6, 3)],
    "dropped": [nn.Dropout(0.5), nn.Dense(5, 6), nn.Dropout(0.3), nn.Dense(6, 3), nn.Dropout(0.1)],
    "residual": [nn.Dense(5, 6, "relu"), *DEEP, nn.Dense(6, 3)],
    "short_cut": [nn.Residual([nn.Dense(5, 5)], "tanh"), nn.Dense(5, 3)],
    "blend": [nn.Scale(5), nn.Dense(5, 9), nn.Blend(9, "mish"), nn.Dense(9, 3), nn.Scale(3)],
    "first_blend": [nn.Blend(5, "silu"), nn.Dense(5, 3)],
    "pbld": [nn.Periodic(5, 3), nn.Dense(14, 3)],
    "plr": [nn.Periodic(5, None, 7, 3, 2.0, "plr"), nn.Dense(15, 3)],
    "pieces": [nn.PiecewiseLinear(5, [[-1, 0, 0.5, 3], [-2, 2]], 6), nn.Dense(15, 3)],
    "members": [
        nn.MemberScale(5, 4, "signs"),
        nn.SharedDense(5, 7, 4, "relu", scaled="after"),
        nn.SharedDense(7, 6, 4, "tanh"),
        nn.SharedDense(6, 6, 4, "silu", scaled=False),
        nn.MemberDense(6, 3, 4),
    ],
}


def networks() -> Iterator[tuple[str, nn.Network]]:
    """Every activation, output and layer in both dtypes, with drawn parameters."""
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        chains = {
            name: ([nn.Dense(5, 19, sigma), nn.Dense(19, 3)], "identity")
            for name, sigma in SIGMAS.items()
        }
        chains |= {
            f"to_{output}": ([nn.Dense(5, 9, "tanh"), nn.Dense(9, 3)], output)
            for output in ("exp", "identity", "sigmoid", "softmax", "step")
        }
        chains |= {name: (layers, "softmax") for name, layers in LAYERS.items()}
        for name, (layers, output) in chains.items():
            net = nn.Network(layers, output, dtype=dtype, backend="numpy")
            net.w = rng.normal(0, 0.6, net.w.shape).astype(dtype)
            net.buffers = [
                {key: rng.uniform(0.2, 2, array.shape) for key, array in part.items()}
                for part in net.buffers
            ]
            yield f"{name}_{dtype}", net


def inputs(net: nn.Network, n: int = 77) -> np.ndarray:
    """Rows of all sizes, but none of denormal numbers."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, net.inputs)) * 10.0 ** rng.integers(-6, 3, size=(n, 1))
    X[:4] = [[0.0] * net.inputs, [-0.0] * net.inputs, [1e4] * net.inputs, [-1e4] * net.inputs]
    return X.astype(net.dtype)
