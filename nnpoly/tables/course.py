"""What every kind of model has in common while it is trained on a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from ..training import History
from .fitting import Prepared
from .model import Model


class Settings(NamedTuple):
    """What all kinds of models are trained with; see `fit`."""

    seed: int
    class_weight: Any
    backend: Any
    device: Any
    dtype: str
    precision: str | None


class Course(NamedTuple):
    """The course of a training.

    Attributes
    ----------
    model
        The model that it left.
    history
        The losses of its epochs; of several networks their means.
    epochs
        What is recorded of each epoch.
    report
        What there is to tell of it, of JSON's types.
    text
        The same in a sentence.
    title
        The kind of the model, in a few words.
    """

    model: Model
    history: History
    epochs: list[dict[str, Any]]
    report: dict[str, Any]
    text: str
    title: str


class Learner(ABC):
    """A model that has been made for a prepared table, and is to be trained."""

    validates: ClassVar[str]  # what rows of validation are for

    @abstractmethod
    def __init__(self, prepared: Prepared, options: dict[str, Any], settings: Settings) -> None:
        """Make the model; every mistake in the options is refused here."""

    @property
    @abstractmethod
    def inputs(self) -> str:
        """What it is given, in words."""

    @abstractmethod
    def __str__(self) -> str:
        """What is trained."""

    @abstractmethod
    def train(self, progress: bool) -> Course:
        """Train it; progress: show a line with the rate and the loss."""


def require_options(model: str, options: Any, known: Any) -> None:
    """Refuse the options that a model does not have."""
    for name in options:
        if name not in known:
            raise TypeError(
                f"fit: `{name}` (--{name.replace('_', '-')}) is no option of {model!r}, which has "
                f"{', '.join(sorted(known))}."
            )
