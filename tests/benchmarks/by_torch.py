"""torch: eager, and with forward, loss and backward compiled."""

from __future__ import annotations

import os
from itertools import chain

import torch
from problem import BETA1, BETA2, EPS, Contestant, Problem

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "gelu": torch.nn.GELU}


def versions() -> dict[str, str]:
    """Name what is measured.

    Returns
    -------
    dict of str to str
        torch's version.
    """
    return {"torch": torch.__version__}


def linear(W: torch.Tensor, b: torch.Tensor) -> torch.nn.Linear:
    """Build a layer that starts from a copy of the given parameters.

    Parameters
    ----------
    W, b : torch.Tensor
        Of shapes (outputs, inputs) and (outputs,).

    Returns
    -------
    torch.nn.Linear
        The layer.
    """
    layer = torch.nn.utils.skip_init(torch.nn.Linear, *reversed(W.shape))
    layer.load_state_dict({"weight": W, "bias": b})
    return layer


def sequential(problem: Problem) -> torch.nn.Sequential:
    """Build the network, from inputs to scores.

    Parameters
    ----------
    problem : Problem
        Its first weights are copied.

    Returns
    -------
    torch.nn.Sequential
        Linear layers with the activation between each two.
    """
    parameters = zip(problem.weights, problem.biases, strict=True)
    layers = [linear(torch.from_numpy(W), torch.from_numpy(b)) for W, b in parameters]
    activation = ACTIVATIONS[problem.activation]
    return torch.nn.Sequential(*chain.from_iterable((layer, activation()) for layer in layers))[:-1]


def cross_entropy(network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the network's loss on a batch.

    Parameters
    ----------
    network : torch.nn.Module
        From inputs to scores.
    x, y : torch.Tensor
        The batch and its class indices.

    Returns
    -------
    torch.Tensor
        The mean cross-entropy.
    """
    return torch.nn.functional.cross_entropy(network(x), y)


def adam(
    network: torch.nn.Module, learning_rate: float, capturable: bool = False
) -> torch.optim.Adam:
    """Return the fused Adam of a network; capturable: by a CUDA graph."""
    return torch.optim.Adam(
        network.parameters(),
        learning_rate,
        (BETA1, BETA2),
        EPS,
        fused=True,
        capturable=capturable,
    )


class Torch(Contestant):
    """Eager torch with the fused Adam."""

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        self.network, self.loss = sequential(problem), cross_entropy
        self.x, self.y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
        self.optimizer = adam(self.network, learning_rate)

    def step(self) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network, self.x, self.y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class TorchCompile(Torch):
    """The same with forward and loss compiled, and with them the backward pass they define."""

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        super().__init__(problem, learning_rate)
        torch.compiler.reset()  # else the networks before this one count as recompilations
        self.loss = torch.compile(cross_entropy)


class TorchBf16(Torch):
    """Eager, with forward and loss under autocast to bfloat16."""

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        super().__init__(problem, learning_rate)
        self.loss = torch.autocast("cpu", torch.bfloat16)(cross_entropy)
