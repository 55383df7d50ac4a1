"""What every contestant is given: a network's first weights, one batch, and Adam's constants."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # eps is added outside the root
LEARNING_RATE = 1e-6  # timed: so small that the network never learns, so no denormals appear
CHECK_STEPS = 4

NETWORKS = (
    "2-8-2:tanh:b4",
    "17-64-64-6:tanh:b64",
    "64-100-10:relu:b200",
    "128-256-256-128-2:relu:b1024",
    "784-512-512-10:relu:b128",
    "784-1024-1024-10:gelu:b512",
    "1024-4096-4096-1024:relu:b1024",
)


@dataclass(frozen=True)
class Problem:
    """A softmax classifier at its first weights, and the batch it is trained on.

    Parameters
    ----------
    activation : str
        Of the hidden layers: "tanh", "relu" or "gelu" (the erf form).
    weights, biases : list of np.ndarray
        W of shape (outputs, inputs) and b, a layer an entry, float32.
    x : np.ndarray
        The batch, a sample a row, float32.
    y : np.ndarray
        The class index of each sample, int64.
    """

    activation: str
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def parse(cls, network: str, seed: int = 0) -> Problem:
        """Draw the problem that a text such as "64-100-10:relu:b200" names.

        Parameters
        ----------
        network : str
            Widths, hidden activation and batch size.
        seed : int
            Of NumPy's Generator, so that every process draws the same numbers.

        Returns
        -------
        Problem
            Biases are not zero, so that a forgotten one shows in the loss.
        """
        widths, activation, n = parse_network(network)
        random = np.random.default_rng(seed)

        def normal(deviation: float, *shape: int) -> np.ndarray:
            return random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)

        layers = list(pairwise(widths))
        weights = [normal((2 / inputs) ** 0.5, outputs, inputs) for inputs, outputs in layers]
        biases = [normal(0.1, outputs) for _, outputs in layers]
        x, y = normal(1, n, widths[0]), random.integers(widths[-1], size=n)
        return cls(activation, weights, biases, x, y)


def parse_network(network: str) -> tuple[list[int], str, int]:
    """Split a text such as "64-100-10:relu:b200" into widths, activation and batch size.

    Parameters
    ----------
    network : str
        The text.

    Returns
    -------
    tuple of (list of int, str, int)
        For the text above ([64, 100, 10], "relu", 200).
    """
    match = re.fullmatch(r"(\d+(?:-\d+)+):(tanh|relu|gelu):b(\d+)", network)
    if match is None:
        raise ValueError(f"network: want '64-100-10:relu:b200' or the like, got {network!r}")
    widths, activation, n = match.groups()
    return [int(width) for width in widths.split("-")], activation, int(n)


class Contestant(ABC):
    """One way to train: built from a problem and a learning rate, then asked for steps."""

    @abstractmethod
    def __init__(self, problem: Problem, learning_rate: float) -> None: ...

    @abstractmethod
    def step(self) -> Any:
        """Take one training step.

        Returns
        -------
        0-d array
            The batch's loss before the step.
        """

    def steps(self, count: int) -> None:
        """Take `count` steps; one by one, unless a contestant has a call for many.

        Parameters
        ----------
        count : int
            How many.
        """
        for _ in range(count):
            self.step()

    def wait(self) -> None:  # noqa: B027
        """Wait until every step taken so far is done: nothing to do for eager CPU libraries."""


def check_rate(problem: Problem) -> float:
    """Choose the learning rate of the steps whose losses are compared.

    Adam's first steps move every weight by about the rate, so a pre-activation by up to rate
    times width. This is enough for a wrong step to show in the loss, and little enough for
    float32's rounding errors not to grow past the comparison's tolerance.

    Parameters
    ----------
    problem : Problem
        Whose layers are to move.

    Returns
    -------
    float
        Smaller, the wider the network.
    """
    width = max(max(W.shape) for W in problem.weights)
    return min(0.01, 0.25 / width)


def checked_losses(contestant: Contestant) -> list[float]:
    """Return the losses before the first step and after each of the checked ones."""
    return [float(contestant.step()) for _ in range(CHECK_STEPS + 1)]
