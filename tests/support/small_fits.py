"""A small trainer, data for it, and fits, for tests of callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np

import nnpoly as nn

N = 10


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(N, 3)), rng.integers(0, 2, N)


def trainer() -> nn.Trainer:
    layers = [nn.Dense(3, 4, "tanh"), nn.BatchNorm(4), nn.Dense(4, 2)]
    return nn.Trainer(nn.Network(layers, "softmax"), nn.Adam(0.05))


def fit(t: nn.Trainer, epochs: int, **options: Any) -> nn.History:
    return t.fit(*data(), epochs=epochs, batch_size=4, **options)


def parameters(t: nn.Trainer) -> list[list[float]]:
    norm = t.network.layers[1]
    return [array.tolist() for array in (t.network.w, norm.mean, norm.variance)]
