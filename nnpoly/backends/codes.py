"""Activations and losses as kernels in C and CUDA have them: codes, parameters, what they read.

The orders of the lists are those of `enum nnpoly_activation` and `enum nnpoly_loss` in
cext/nnpoly.h, and of `enum Activation` and `enum Loss` in cupy/kernels.cu, which lacks the focal
losses.
"""

from __future__ import annotations

from typing import TypeVar

from .. import activations, losses
from ..activations import Activation

A = TypeVar("A")  # a library's array

ACTIVATIONS: tuple[type[Activation], ...] = (
    activations.Step,
    activations.Identity,
    activations.Linear,
    activations.Sigmoid,
    activations.Tanh,
    activations.ReLU,
    activations.LeakyReLU,
    activations.ELU,
    activations.SELU,
    activations.Softplus,
    activations.SiLU,
    activations.Mish,
    activations.GELU,
    activations.GELUTanh,
    activations.Exp,
)
CODES = {kind: code for code, kind in enumerate(ACTIVATIONS)}

_LOSSES: tuple[type, ...] = (
    losses.CrossEntropy,
    losses.Logistic,
    losses.MSE,
    losses.Absolute,
    losses.Huber,
    losses.Quantile,
    losses.Poisson,
)
LOSSES = {kind: code for code, kind in enumerate(_LOSSES)}
FOCAL = {output: len(_LOSSES) + code for code, output in enumerate(("softmax", "sigmoid"))}


def known(activation: Activation) -> bool:
    """Whether the kernels have the activation. A subclass may compute something else."""
    return type(activation) in CODES


def parameter(activation: Activation) -> float:
    """The activation's `a`; 0 where it has none."""
    return float(getattr(activation, "a", 0.0))


def read(activation: Activation, pre: A | None, post: A) -> A | None:
    """The array that the activation's derivative reads; None where it reads none."""
    return {"pre": pre, "post": post, "none": None}[activation.reads]


def read_beside(d_post: A, activation: Activation, pre: A | None, post: A) -> A:
    """The array that the activation's derivative reads; d_post itself where it reads none."""
    array = read(activation, pre, post)
    return d_post if array is None else array


def loss_code(loss: object) -> int | None:
    """C's code of a loss; None where it has none. A subclass may compute something else."""
    if type(loss) is losses.Focal:
        return FOCAL[loss.output]
    return LOSSES.get(type(loss))


def loss_parameter(loss: object) -> float:
    """The loss's parameter; 0 where it has none."""
    for name in ("threshold", "quantile", "gamma"):
        if hasattr(loss, name):
            return float(getattr(loss, name))
    return 0.0
