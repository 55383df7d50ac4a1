"""`fit`: a table in, a trained and measured model out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

from .. import _checks
from ..backends import Backend, registry
from . import comparing
from .columns import MOST_CATEGORIES
from .course import Course, Learner, Settings
from .fitting import Prepared, prepare
from .members import RealMLP, TabM
from .perceptron import Perceptron
from .reading import as_table
from .results import Fitted
from .table import Table
from .targets import TASKS, Classes, rows_with_target, told_task

HOLDOUT = 0.2


class Recipe(NamedTuple):
    """A kind of model: what makes it, its share of rows of validation, and its categories."""

    learner: type[Learner]
    validation: float
    most_categories: float = math.inf


MODELS = {
    "realmlp": Recipe(RealMLP, 0.2),
    "tabm": Recipe(TabM, 0.2, MOST_CATEGORIES),
    "mlp": Recipe(Perceptron, 0.1, MOST_CATEGORIES),
}
DEFAULT = next(iter(MODELS))


@dataclass(frozen=True)
class Plan:
    """A model that has been made for a table, and is to be trained.

    Attributes
    ----------
    model
        The kind of the model, of `MODELS`.
    prepared
        The data.
    learner
        What is trained.
    settings
        What it is trained with.
    backend
        Where.
    text
        The rows, the task, the columns and the model, in words.
    """

    model: str
    prepared: Prepared
    learner: Learner
    settings: Settings
    backend: Backend
    text: str

    def run(self, progress: bool = False) -> Fitted:
        """Train the model, and measure it beside baselines; progress: show a line of it."""
        held_out = self.prepared.held_out
        with self.backend.widened(self.settings.dtype):
            start = perf_counter()
            course = self.learner.train(progress)
            seconds = {"network": perf_counter() - start}
            measured, predictions = {}, None
            if held_out is not None:
                precision = self.settings.precision
                predictions = course.model.predict(held_out.table, "ignore", precision=precision)
                measured["network"] = course.model.measure(predictions, held_out.y)
                for found in comparing.measured(self.prepared, held_out):
                    measured[found.name], seconds[found.name] = found.metrics, found.seconds
        return Fitted(
            model=course.model,
            metrics=measured,
            report=self._report(course, measured),
            history=course.history,
            log=course.epochs,
            seconds=seconds,
            predictions=predictions,
            prepared=self.prepared,
            text=course.text,
            title=course.title,
        )

    def _report(self, course: Course, measured: dict[str, Any]) -> dict[str, Any]:
        prepared, settings = self.prepared, self.settings
        fit, validation, _ = prepared.parts
        held_out = 0 if prepared.held_out is None else len(prepared.held_out.y)
        return {
            "target": prepared.target.name,
            "task": prepared.target.task,
            "model": self.model,
            "rows": {"fit": len(fit), "validation": len(validation), "holdout": held_out},
            "inputs": list(course.model.inputs.names),
            "left_out": prepared.schema.left_out,
            **course.report,
            "precision": settings.precision,
            "class_weight": settings.class_weight,
            "seed": settings.seed,
            "holdout": measured,
        }


def fit(
    data: Any, target: str, *, model: str = DEFAULT, progress: bool = False, **options: Any
) -> Fitted:
    """Train a model that predicts a column of a table, and measure it beside simple ones.

    The columns' types and the task are told from the cells; rows without a target are left out.
    Rows that are held out take no part in the training; on these the model, a linear one, boosted
    trees and a constant are measured.

    Parameters
    ----------
    data
        A frame of pandas, polars or Arrow, the path of a file that `read` reads, or a `Table`.
    target
        The column to predict.
    model
        "realmlp" (`nnpoly.estimators.RealMLPClassifier` and its regressor), "tabm" or "mlp".
    progress
        Whether to show a line with the rate, the remaining time and the loss.
    task
        "classification" or "regression"; None: told from the target.
    test
        Rows to measure on: data as above. None: some of those of `data`.
    test_column
        The column that says which rows to measure on: true, 1 or test; not false, 0 or train. Rows
        of validation find the best epoch.
    holdout
        The share of the rows to measure on, 0.2 where there is no `test`; 0: none.
    validation
        The share of the other rows that finds the best epoch; None: the model's own. 0, not for
        "mlp": the last epoch is kept.
    categorical, drop
        Names of columns that are categories though they hold numbers, and of columns to leave out.
    class_weight
        "balanced": rare classes count as much as frequent ones.
    seed
        Decides the parts of the rows, the first weights and the shuffles.
    backend, device, dtype, precision
        Where and in which floating type to train, as of `Network` and `Trainer`.
    options
        Of the model. All have `epochs`, `batch_size`, `widths`, `activation`, `dropout`,
        `learning_rate` and `weight_decay`; "mlp" has `patience`; others have the parameters of
        their estimators, as `n_ens`, `n_cv`, `metric` and `time_limit`.

    Raises
    ------
    TypeError, ValueError, OSError, ImportError
        For data, columns and options that cannot be used, before any work.

    Examples
    --------
    >>> import polars
    >>> from nnpoly import tables
    >>> town = ["Aton", "Beeham", "Ceeford"] * 40
    >>> rent = [900.0 + 200 * (t == "Aton") + i % 7 for i, t in enumerate(town)]
    >>> found = tables.fit(polars.DataFrame({"town": town, "rent": rent}), "rent", epochs=40)
    >>> found.metrics["network"]["R2"] > 0.9
    True
    >>> found.model.predict(polars.DataFrame({"town": ["Aton"]})).values.round(-2)
    array([1100.])
    """
    return plan(data, target, model=model, **options).run(progress)


def plan(
    data: Any,
    target: str,
    *,
    model: str = DEFAULT,
    task: str | None = None,
    test: Any = None,
    test_column: str | None = None,
    holdout: float | None = None,
    validation: float | None = None,
    categorical: Any = (),
    drop: Any = (),
    class_weight: Any = None,
    seed: int = 0,
    backend: Any = None,
    device: Any = None,
    dtype: str = "float32",
    precision: str | None = None,
    **options: Any,
) -> Plan:
    """Read, split and encode a table, and make the model that `fit` trains of it.

    Parameters and errors are those of `fit`. Nothing is trained before `Plan.run`.
    """
    _checks.choice("fit", "model", model, MODELS)
    recipe = MODELS[model]
    shares = _holdout(holdout, test, test_column), _validation(validation, recipe, options)
    if class_weight is not None:
        _checks.choice("fit", "class_weight", class_weight, ("balanced",))
    if task is not None:
        _checks.choice("fit", "task", task, TASKS)
    _checks.integer("fit", "seed", seed, 0)
    where, _ = registry.resolve(backend, device)
    table, note = rows_with_target(as_table(data, "fit"), target)
    notes, rows = [note], None
    if test is not None:
        rows, note = rows_with_target(as_table(test, "fit", "test"), target)
        notes.append(note)
    prepared = prepare(
        table,
        target,
        task or told_task(table, target),
        categorical=categorical,
        drop=drop,
        holdout=shares[0],
        validation=shares[1],
        seed=seed,
        test=rows,
        test_column=test_column,
        most_categories=recipe.most_categories,
    )
    if class_weight is not None and not isinstance(prepared.target, Classes):
        raise ValueError(
            f"fit: `class_weight` (--class-weight) is for classes, but {target!r} holds numbers."
        )
    settings = Settings(seed, class_weight, backend, device, dtype, precision)
    with where.widened(dtype):
        learner = recipe.learner(prepared, options, settings)
    text = "\n".join([*notes, _overview(prepared, learner, rows, task is None), str(learner)])
    return Plan(model, prepared, learner, settings, where, text)


def _holdout(share: float | None, test: Any, column: str | None) -> float:
    """Return the share of rows to hold out, which one argument may say alone."""
    given = {"test": test, "test_column": column, "holdout": share}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(
            f"fit: `{named[1]}` must be None with `{named[0]}`, which says which rows are held out."
        )
    return HOLDOUT if not named else _checks.below_one("fit", "holdout", share or 0.0)


def _validation(share: float | None, recipe: Recipe, options: dict[str, Any]) -> float:
    """Return the share of rows of validation; of folds there is none."""
    if share is not None:
        return _checks.below_one("fit", "validation", share)
    return 0.0 if options.get("n_cv", 1) != 1 else recipe.validation


def _overview(prepared: Prepared, learner: Learner, test: Table | None, is_guess: bool) -> str:
    """Describe the split, the task, which may be a guess, and the inputs."""
    schema, (fit, validation, _) = prepared.schema, prepared.parts
    task, held_out = prepared.target.task, prepared.held_out
    parts = [f"{len(fit)} to train on"]
    if len(validation):
        parts.append(f"{len(validation)} {learner.validates}")
    if held_out is None:
        parts.append("none held out, so nothing is measured")
    else:
        of_test = f"of {test.source} to measure on" if test is not None else "held out"
        parts.append(f"{len(held_out.y)} {of_test}")
    other_task = next(other for other in TASKS if other != task)
    hint = f" (if not: --task {other_task})" if is_guess else ""
    lines = [
        ", ".join(parts),
        f"{task}: {prepared.target}{hint}",
        learner.inputs,
        *(f"left out: column {name!r}, {why}" for name, why in schema.left_out.items()),
        *(f"categories: column {name!r}, since {why}" for name, why in schema.notes.items()),
    ]
    if prepared.unknown:
        lines.append(
            f"{prepared.unknown} rows have categories that no row to train on has: they are "
            "encoded as zeros"
        )
    return "\n".join(lines)
