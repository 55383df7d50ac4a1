"""Proofs: a file's own certificate, computed by the consumer that the file is for.

A format's module names its `Consumer`. A file is published after its consumer has computed it
within the bounds (`proven`), where that consumer is there; `nnpoly.exchange.check` does so for a
file that was written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..data.container import disk_errors, target_path, together
from .certificate import Certificate


class Outputs(NamedTuple):
    """What a consumer computed for a certificate's inputs.

    Attributes
    ----------
    values
        Numbers or probabilities: (n, K), or (n,) where K is 1.
    labels
        The predicted labels: (n,), or (n, K) of several; None where it gives none.
    """

    values: Any
    labels: Any = None


class Consumer(NamedTuple):
    """Who computes the files of a format.

    Attributes
    ----------
    name
        As in reports, without its version.
    remedy
        What to do where it is missing.
    version
        Its version, or None where it is missing.
    certificate
        The text of a file's certificate, or None where it has none. It runs nothing of the file.
    run
        The outputs for a certificate's inputs.
    """

    name: str
    remedy: str
    version: Callable[[], str | None]
    certificate: Callable[[Path], str | None]
    run: Callable[[Path, Certificate], Outputs]


class Report(NamedTuple):
    """What a check found.

    Attributes
    ----------
    path
        The file.
    consumer
        Who computed it, with the version.
    dtype
        What it computed in.
    rows
        Of the certificate.
    units
        The largest error, in units of its bound; at most 1 where the file holds.
    wrong_labels
        Rows, from 0, with another label than the model's.
    """

    path: str
    consumer: str
    dtype: str
    rows: int
    units: float
    wrong_labels: tuple[int, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all errors are within their bounds, and all labels the model's."""
        return self.units <= 1.0 and not self.wrong_labels

    def __str__(self) -> str:
        worst = f"largest error {self.units:.2g} of its bound ({self.dtype})"
        labels = f", wrong labels in rows {list(self.wrong_labels)}" if self.wrong_labels else ""
        end = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.path}: {self.consumer}, {self.rows} rows, {worst}{labels}: {end}"


def prove(where: str, path: Path, consumer: Consumer, shown: Any = None) -> Report:
    """Have a consumer compute a file's certificate.

    shown: what the report calls the file; None: its path.

    Raises
    ------
    ValueError
        For a file without a certificate, or with a damaged one.
    ImportError
        If the consumer is missing.
    """
    version = consumer.version()
    if version is None:
        raise ImportError(
            f"{where}: {path} is computed by {consumer.name}, which is missing. {consumer.remedy}"
        )
    text = consumer.certificate(path)
    if text is None:
        raise ValueError(
            f"{where}: {path} must have a certificate of nnpoly's, as files of nnpoly.exchange "
            "have, got none."
        )
    certificate = Certificate.from_json(path, text)
    values, labels = consumer.run(path, certificate)
    wrong = [] if labels is None else certificate.wrong_labels(labels)
    n, K = certificate.outputs.shape
    values = values.reshape(n, 1) if K == 1 and values.shape == (n,) else values
    named = f"{consumer.name} {version}".strip()
    units = certificate.units(values)
    return Report(str(shown or path), named, certificate.dtype, n, units, tuple(wrong))


@contextmanager
def proven(where: str, path: Any, consumer: Consumer, check: bool = True) -> Iterator[Path]:
    """Yield a path to write a file at, which then replaces the one at `path`, proven and whole.

    Nothing is replaced where writing fails, or where the consumer, if it is there, computes the
    file otherwise than its certificate says.

    check: whether to have it computed.

    Raises
    ------
    RuntimeError
        If the file does not hold what it says.
    """
    target = target_path(where, path)
    with disk_errors(target), together([target]) as (temporary,):
        yield temporary
        if check and consumer.version() is not None:
            report = prove(where, temporary, consumer, target)
            if not report.holds:
                raise RuntimeError(
                    f"{where}: {report}. Nothing was written. This is a fault of nnpoly or of "
                    f"{consumer.name}: please report it. check=False writes the file all the same."
                )
