"""nnpoly, through its public surface, on each of its CPU backends."""

from __future__ import annotations

from typing import Any

import numpy as np
from other_backends import OnJax, OnTorch
from problem import BETA1, BETA2, EPS, Contestant, Problem

import nnpoly as nn


def versions() -> dict[str, str]:
    """Name what is measured.

    Returns
    -------
    dict of str to str
        nnpoly's version.
    """
    return {"nnpoly": nn.__version__}


class Nnpoly(Contestant):
    """`Trainer.step` on NumPy arrays; subclasses change the backend and how arrays get there."""

    backend = "numpy"

    def __init__(self, problem: Problem, learning_rate: float, **options: Any) -> None:
        net = nn.MLP.from_weights(
            problem.weights,
            problem.biases,
            activation=problem.activation,
            output="softmax",
            backend=self.backend,
        )
        adam = nn.Adam(learning_rate, beta1=BETA1, beta2=BETA2, eps=EPS, eps_inside_sqrt=False)
        self.trainer = nn.Trainer(net, optimizer=adam, **options)
        self.x, self.y = self.array(problem.x), self.array(problem.y)

    @staticmethod
    def array(array: np.ndarray) -> Any:
        return array

    def step(self) -> Any:
        return self.trainer.step(self.x, self.y)


class Epochs:
    """Steps as `Trainer.fit` takes them: epochs over a table of batches, each gathered by index.

    All that an epoch does is timed: the shuffle, the copy that it would return to, the checks.
    Mixed into an `Nnpoly`.
    """

    large, few = 100_000, 4  # an epoch has few batches where one has more numbers than that

    def __init__(self, problem: Problem, *arguments: Any) -> None:
        super().__init__(problem, *arguments)
        self.batch = len(problem.x)
        self.batches = self.few if problem.x.size > self.large else 256  # an epoch
        xp = self.trainer.network.place.backend.xp
        self.X, self.Y = xp.tile(self.x, (self.batches, 1)), xp.tile(self.y, (self.batches,))

    def fit(self, count: int, shuffle: bool) -> list[float]:
        """Train an epoch of so many batches."""
        rows, batch = self.batch * count, {"batch_size": self.batch, "shuffle": shuffle}
        return self.trainer.fit(self.X[:rows], self.Y[:rows], epochs=1, **batch).loss

    def steps(self, count: int) -> None:
        for start in range(0, count, self.batches):
            self.fit(min(self.batches, count - start), shuffle=True)


class NnpolyFit(Epochs, Nnpoly):
    """`Trainer.fit` on NumPy arrays."""


class NnpolyBf16(Nnpoly):
    """`Trainer.step` with factors rounded to bfloat16."""

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        super().__init__(problem, learning_rate, precision="bf16")


class NnpolyTorch(OnTorch, Nnpoly):
    """`Trainer.step` on torch tensors."""


class NnpolyJax(OnJax, Nnpoly):
    """`Trainer.step` on JAX arrays."""
