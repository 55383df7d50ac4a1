"""nnpoly, through its public surface, on each of its CPU backends."""

from __future__ import annotations

from typing import Any

import numpy as np
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
    """A Trainer over NumPy arrays; subclasses change the backend and how arrays get there."""

    backend = "numpy"

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        net = nn.MLP.from_weights(
            problem.weights,
            problem.biases,
            activation=problem.activation,
            output="softmax",
            backend=self.backend,
        )
        adam = nn.Adam(learning_rate, beta1=BETA1, beta2=BETA2, eps=EPS, eps_inside_sqrt=False)
        self.trainer = nn.Trainer(net, optimizer=adam)
        self.x, self.y = self.array(problem.x), self.array(problem.y)

    @staticmethod
    def array(array: np.ndarray) -> Any:
        return array

    def step(self) -> Any:
        return self.trainer.step(self.x, self.y)


class NnpolyFit(Nnpoly):
    """Steps as `Trainer.fit` takes them: epochs over a table of batches, each gathered by index.

    All that an epoch does is timed: the shuffle, the copy that it would return to, the checks.
    """

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        super().__init__(problem, learning_rate)
        self.batch, large = len(problem.x), problem.x.size > 100_000
        self.batches = 4 if large else 256  # an epoch
        self.X = np.tile(problem.x, (self.batches, 1))
        self.Y = np.tile(problem.y, self.batches)

    def steps(self, count: int) -> None:
        for start in range(0, count, self.batches):
            rows = self.batch * min(self.batches, count - start)
            self.trainer.fit(self.X[:rows], self.Y[:rows], epochs=1, batch_size=self.batch)


class NnpolyTorch(Nnpoly):
    """Over torch tensors."""

    backend = "torch"

    @staticmethod
    def array(array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array)


class NnpolyJax(Nnpoly):
    """Over JAX arrays."""

    backend = "jax"

    @staticmethod
    def array(array: np.ndarray) -> Any:
        import jax.numpy

        return jax.numpy.asarray(array)

    def wait(self) -> None:
        import jax

        jax.block_until_ready(self.trainer.network.w)
