"""What a training on a table left: a model, its metrics, a report, a log and a picture."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.container import as_path, together
from ..training import History
from . import metrics
from .fitting import Prepared
from .metrics import Metrics
from .model import Model, Predictions
from .targets import Classes

FILES = ("model.safetensors", "log.jsonl", "report.png", "metrics.json")
MODEL, LOG, PICTURE, METRICS = FILES
DECISIVE = {"accuracy": max, "log loss": min, "RMSE": min}  # metrics, and which of two is better


@dataclass(frozen=True)
class Fitted:
    """What `fit` left.

    Attributes
    ----------
    model
        The model; `model.predict(table)`, `model.save(path)`.
    metrics
        The metrics on the rows held out, by name: of the network, the baselines and a constant.
        Empty if no rows are held out.
    report
        What `metrics.json` holds.
    history
        The losses of the epochs; of several networks their means.
    log
        What `log.jsonl` holds: an entry an epoch.
    seconds
        Of the fits, by the names in `metrics`.
    predictions
        For the rows held out; None if there are none.
    prepared
        The data.
    text
        How the training went, in a sentence.
    title
        The kind of the model, in a few words.

    Examples
    --------
    >>> import polars
    >>> from nnpoly import tables
    >>> frame = polars.DataFrame({"x": range(50), "y": [i > 20 for i in range(50)]})
    >>> found = tables.fit(frame, "y", epochs=30)
    >>> list(found.metrics), found.metrics["network"]["accuracy"]
    (['network', 'linear', 'trees', 'majority'], 1.0)
    """

    model: Model
    metrics: dict[str, Metrics]
    report: dict[str, Any]
    history: History
    log: list[dict[str, Any]]
    seconds: dict[str, float]
    predictions: Predictions | None
    prepared: Prepared
    text: str
    title: str

    def _repr_html_(self) -> str:
        from .. import notebooks  # here, since only notebooks need it

        names = list(dict.fromkeys(name for found in self.metrics.values() for name in found))
        rows = [
            (model, *map(found.get, names), self.seconds.get(model))
            for model, found in self.metrics.items()
        ]
        measured = notebooks.table("", ["model", *names, "seconds"], rows) if rows else ""
        return notebooks.paragraph(self.text) + measured + self.history._repr_html_()

    def __str__(self) -> str:
        if not self.metrics:
            return f"{self.text}\nno rows are held out, so nothing is measured"
        seconds = ", ".join(f"{name} {value:.2f}" for name, value in self.seconds.items())
        lines = [self.text, metrics.text(self.metrics), self._best(), f"seconds of fit: {seconds}"]
        return "\n".join(lines)

    def _decisive(self) -> dict[str, dict[str, float]]:
        """Return the metrics that decide which model is the best: values by model, by metric."""
        found = {}
        for name in DECISIVE:
            values = {model: measured.get(name) for model, measured in self.metrics.items()}
            known = {model: value for model, value in values.items() if value is not None}
            if known:
                found[name] = known
        return found

    def _best(self) -> str:
        """Tell which model is the best, by the metrics that decide."""
        found = []
        for name, values in self._decisive().items():
            best = DECISIVE[name](values.values())
            models = [model for model, value in values.items() if value == best]
            found.append(f"by {name} {' and '.join(models)}")
        return f"best: {'; '.join(found)}"

    def figure(self) -> Any:
        """Draw the losses, the predictions of the rows held out against the truth, and the models.

        The models are compared by accuracy, or by RMSE.
        """
        from ..plotting import classification_report, loss_figure, regression_report

        prepared, predictions = self.prepared, self.predictions
        target, held_out, source = prepared.target, prepared.held_out, prepared.table.source
        if held_out is None or predictions is None:
            return loss_figure(self.history, _literal(f"{source}, {self.title}"))
        name, value = next(iter(self.metrics["network"].items()))
        measured = f"{name} {metrics.number(value)} on {len(held_out.y)} rows"
        title, y = _literal(f"{source}, {self.title}: {measured}"), held_out.y
        compared = next(iter(self._decisive().items()))
        if isinstance(target, Classes):
            classes = [_literal(label) for label in target.classes]
            probabilities = predictions.probabilities
            return classification_report(self.history, y, probabilities, classes, title, compared)
        name = _literal(target.name)
        return regression_report(self.history, y, predictions.values, name, title, compared)

    def save(self, folder: Any) -> None:
        """Write the model, the log, the picture and the metrics into a folder: all or none.

        The folder is made if it is missing, and the files are called model.safetensors, log.jsonl,
        report.png and metrics.json.
        """
        final = {
            "epochs": self.report["epochs"],
            "best_epoch": self.report["best_epoch"],
            "holdout": self.metrics,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }
        with published(as_path("save", folder, "folder"), FILES) as files:
            model, log, picture, report = files
            self.model.save(model)
            _write_text(report, _json(self.report, indent=1) + "\n")
            _write_text(log, "".join(_json(line) + "\n" for line in [*self.log, {"final": final}]))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph")  # a letter that matplotlib's font lacks
                self.figure().savefig(picture, format="png")


@contextmanager
def published(output: Path, names: Sequence[str]) -> Iterator[list[Path]]:
    """Yield a temporary file for each name.

    If the block succeeds, they become the files of these names in `output`, which is made if it is
    missing: all or none.
    """
    is_new = not output.is_dir()
    try:
        output.mkdir(exist_ok=True)
        with together([output / name for name in names]) as files:
            yield files
    except BaseException:
        with suppress(OSError):  # not empty
            if is_new:
                output.rmdir()
        raise


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _literal(text: Any) -> str:
    """Return text in which matplotlib reads a $ as a $, and not as the start of a formula."""
    return str(text).replace("$", r"\$")
