"""The contestants of parts.py: nnpoly on its CPU backends, and torch.

A case is a network, as `problem.parse_network` reads it, and a part that takes its place in it:
`17-64-64-6:tanh:b64:layernorm`. Layers stand behind each hidden activation; a residual block goes
around each hidden layer that is as wide as the one before; losses are of real targets.
"""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from itertools import chain
from typing import Any

import numpy as np
from other_backends import OnJax, OnTorch
from problem import (
    BETA1,
    BETA2,
    EPS,
    LEARNING_RATE,
    Contestant,
    Problem,
    check_rate,
    checked_losses,
)
from timing import Blocks

RATE = 0.1  # of dropout
NORMS = {"layernorm": "LayerNorm", "batchnorm": "BatchNorm"}
LOSSES = {"mse": "MSE", "huber": "Huber", "absolute": "Absolute"}


class Parts(Contestant):
    """A network of a problem with one more part.

    Parameters
    ----------
    problem : Problem
        The network without it.
    part : str
        Its name, or "plain".
    learning_rate : float
        Adam's.
    """

    @abstractmethod
    def __init__(self, problem: Problem, part: str, learning_rate: float) -> None: ...


class Nnpoly(Parts):
    """`Trainer.step` on NumPy arrays; subclasses change the backend."""

    backend = "numpy"

    def __init__(self, problem: Problem, part: str, learning_rate: float) -> None:
        import nnpoly as nn

        parameters: list[np.ndarray] = []
        layers: list[Any] = []
        for l, (W, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
            m, m_in = W.shape
            last = l == len(problem.weights) - 1
            dense = nn.Dense(m_in, m, "identity" if last else problem.activation)
            around = part == "residual" and not last and m == m_in
            layers.append(nn.Residual([dense]) if around else dense)
            parameters += [W, b]
            if part in NORMS and not last:
                layers.append(getattr(nn, NORMS[part])(m))
                parameters += [np.ones(m), np.zeros(m)]
            elif part == "dropout" and not last:
                layers.append(nn.Dropout(RATE))
        output = "identity" if part in LOSSES else "softmax"
        net = nn.Network(layers, output, backend=self.backend)
        net.w = np.concatenate([np.ravel(p).astype(np.float32) for p in parameters])
        loss = getattr(nn.losses, LOSSES[part])() if part in LOSSES else None
        adam = nn.Adam(learning_rate, beta1=BETA1, beta2=BETA2, eps=EPS, eps_inside_sqrt=False)
        self.trainer = nn.Trainer(net, adam, loss)
        self.x, self.y = map(self.array, (problem.x, targets(problem, part)))

    @staticmethod
    def array(array: np.ndarray) -> Any:
        return array

    def step(self) -> Any:
        return self.trainer.step(self.x, self.y)


class NnpolyTorch(OnTorch, Nnpoly):
    """`Trainer.step` on torch tensors."""


class NnpolyJax(OnJax, Nnpoly):
    """`Trainer.step` on JAX arrays."""


class Torch(Parts):
    """Eager torch with the fused Adam."""

    def __init__(self, problem: Problem, part: str, learning_rate: float) -> None:
        import torch
        from by_torch import adam, sequential

        plain = list(sequential(problem))
        hidden = [plain[i : i + 2] for i in range(0, len(plain) - 1, 2)]
        blocks = [self._block(torch.nn, part, *pair) for pair in hidden]
        self.network = torch.nn.Sequential(*chain.from_iterable(blocks), plain[-1])
        self.loss = self._loss(torch.nn.functional, part)
        self.x, self.y = torch.from_numpy(problem.x), torch.from_numpy(targets(problem, part))
        self.optimizer = adam(self.network, learning_rate)

    @staticmethod
    def _block(nn: Any, part: str, linear: Any, activation: Any) -> list[Any]:
        """The modules of a hidden layer."""
        m = linear.out_features
        if part == "residual" and m == linear.in_features:
            return [around(nn.Sequential(linear, activation))]
        more = {"layernorm": nn.LayerNorm, "batchnorm": nn.BatchNorm1d}.get(part)
        if part == "dropout":
            return [linear, activation, nn.Dropout(RATE)]
        return [linear, activation, *([more(m)] if more else [])]

    @staticmethod
    def _loss(functional: Any, part: str) -> Any:
        """The loss of scores and targets; sums over outputs, as nnpoly's."""
        if part not in LOSSES:
            return functional.cross_entropy
        names = {"mse": "mse_loss", "huber": "huber_loss", "absolute": "l1_loss"}
        each = getattr(functional, names[part])
        half = 0.5 if part == "mse" else 1.0
        return lambda f, y: each(f, y, reduction="sum") * (half / len(y))

    def step(self) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class TorchCompile(Torch):
    """The same with the network compiled."""

    def __init__(self, problem: Problem, part: str, learning_rate: float) -> None:
        import torch

        super().__init__(problem, part, learning_rate)
        torch.compiler.reset()  # else the networks before this one count as recompilations
        self.network = torch.compile(self.network)


def around(module: Any) -> Any:
    """Return a module that adds its input to what another one makes of it."""
    import torch

    class Around(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    return Around()


def targets(problem: Problem, part: str) -> np.ndarray:
    """Return class indices; or for losses of real targets some, a row for each of the batch."""
    if part not in LOSSES:
        return problem.y
    shape = len(problem.y), len(problem.biases[-1])
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


CONTESTANTS: dict[str, type[Parts]] = {
    "nnpoly": Nnpoly,
    "nnpoly-torch": NnpolyTorch,
    "nnpoly-jax": NnpolyJax,
    "torch": Torch,
    "torch-compile": TorchCompile,
}


def versions(contestant: str) -> dict[str, str]:
    """Import the contestant's library, and name what is measured."""
    return import_module("by_torch" if contestant.startswith("torch") else "by_nnpoly").versions()


def prepare(contestant: str, case: str) -> Blocks:
    """Check a contestant's first steps, and build it anew for those that are timed."""
    network, _, part = case.rpartition(":")
    build, problem = CONTESTANTS[contestant], Problem.parse(network)
    losses = checked_losses(build(problem, part, check_rate(problem)))
    return Blocks(build(problem, part, LEARNING_RATE), losses=losses)
