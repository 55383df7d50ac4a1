"""Activations as kernels in C and CUDA have them: code, parameter, and the array that they read.

The order of the list is that of `enum nnpoly_activation` in cext/nnpoly.h and of `enum Activation`
in cupy/kernels.cu.
"""

from __future__ import annotations

from typing import TypeVar

from .. import activations
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
    activations.Softplus,
    activations.SiLU,
    activations.GELU,
    activations.GELUTanh,
    activations.Exp,
)
CODES = {kind: code for code, kind in enumerate(ACTIVATIONS)}


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
