"""Trainers with a plan of the C core, and the same ones without."""

from __future__ import annotations

import nnpoly as nn
from nnpoly.backends.steps import Steps


def op_by_op(made: nn.Trainer) -> nn.Trainer:
    """Return the same trainer without its plan."""
    planned = made.stepper.steps
    made.stepper.steps = Steps(planned._step, planned._copy)
    return made


def in_one_call(made: nn.Trainer) -> nn.Trainer:
    """Return the same trainer with nothing to fall back to."""
    made.stepper.steps._step = None
    return made


def state(made: nn.Trainer) -> list[bytes]:
    """Return the bits of what training changes; a negative zero is a zero."""
    arrays = [made.network.w, *made.stepper.state.moments]
    return [(array + 0).tobytes() for array in arrays]
