"""The contestants of step.py; a case is a network, as `problem.parse_network` reads it."""

from __future__ import annotations

from importlib import import_module

from problem import LEARNING_RATE, Contestant, Problem, check_rate, checked_losses
from timing import Blocks

CONTESTANTS = {
    "numpy": ("by_numpy", "Numpy"),
    "nnpoly": ("by_nnpoly", "Nnpoly"),
    "nnpoly-fit": ("by_nnpoly", "NnpolyFit"),
    "nnpoly-bf16": ("by_nnpoly", "NnpolyBf16"),
    "nnpoly-torch": ("by_nnpoly", "NnpolyTorch"),
    "nnpoly-jax": ("by_nnpoly", "NnpolyJax"),
    "torch": ("by_torch", "Torch"),
    "torch-compile": ("by_torch", "TorchCompile"),
    "torch-bf16": ("by_torch", "TorchBf16"),
    "jax": ("by_jax", "Jax"),
}


def versions(contestant: str) -> dict[str, str]:
    """Import the contestant's libraries, and name what is measured."""
    module, _ = CONTESTANTS[contestant]
    return import_module(module).versions()


def kind(contestant: str) -> type[Contestant]:
    """Return a contestant's class."""
    module, name = CONTESTANTS[contestant]
    return getattr(import_module(module), name)


def prepare(contestant: str, network: str) -> Blocks:
    """Check a contestant's first steps on a network, and build it anew for those that are timed."""
    build, problem = kind(contestant), Problem.parse(network)
    losses = checked_losses(build(problem, check_rate(problem)))
    return Blocks(build(problem, LEARNING_RATE), losses=losses)
