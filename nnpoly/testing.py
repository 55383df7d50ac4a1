"""Tools that show whether backends agree and gradients are right, for any network and data.

`assert_parity` walks through training in lock-step: at every step each layer of the tested backend
is given the inputs that the float64 definition saw, forward and backward, and so are the loss and
the optimiser, so an error is found where it arises and does not pile up. Beside that the backend's
own trainer runs freely, compiled step and all, and must stay as close to the float64 trajectory as
the definition itself does in the tested dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _checks
from ._compare import LIMIT, REFERENCE, Error, Subject, primitive_errors
from ._samples import networks, primitive_samples
from .backends import host, registry
from .layers import INPUT, Mode
from .losses import Loss
from .network import Network
from .optimizers import Adam, Optimizer
from .primitives import Ops
from .training import Trainer

# A free run may be this many times as far from float64 as the definition is in the same dtype,
# started one rounding error away: rounding is amplified by training, alike in every backend.
FREE_LIMIT = 16.0


@dataclass(frozen=True)
class Finding:
    """One comparison: where it was made, and the error in units of its bound (1 is the bound)."""

    backend: str
    dtype: str
    step: int
    place: str
    array: str
    units: float
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound."""
        return self.units <= 1.0

    def __str__(self) -> str:
        return (
            f"{self.backend} {self.dtype} parts from the float64 definition at step {self.step}, "
            f"{self.place}, array {self.array!r}: {self.array}{self.detail} "
            f"(error {self.units:.3g} times the bound)"
        )


def assert_parity(
    net: Network,
    X: Any,
    y: Any,
    backends: Iterable[str] | None = None,
    steps: int = 10,
    *,
    optimizer: Optimizer | None = None,
    loss: str | Loss | None = None,
) -> None:
    """Assert that a network trains alike on several backends.

    Parameters
    ----------
    net
        The network, on any backend; it is not changed. Its dtype is the one tested.
    X, y
        Data as for `Trainer.step`; each step uses all of it as one batch.
    backends
        Names; None for every backend that is available here.
    steps
        Training steps to compare.
    optimizer, loss
        As for `Trainer`; Adam(1e-3) by default.

    Raises
    ------
    AssertionError
        Naming backend, step, layer and array of the first that parts, by how much, and the element.

    Notes
    -----
    The bound of an array is 4 eps sqrt(terms) times its magnitude (see `nnpoly._compare`); a free
    run's is given with `FREE_LIMIT`.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X = np.random.default_rng(0).normal(size=(20, 4))
    >>> nn.testing.assert_parity(nn.MLP([4, 8, 3]), X, np.arange(20) % 3, backends=["numpy"])
    """
    steps = _checks.integer("assert_parity", "steps", steps)
    names = registry.available() if backends is None else list(backends)
    for name in names:
        subject = Subject(registry.get(name), net.dtype)
        for finding in _run(subject, net, X, y, steps, optimizer or Adam(1e-3), loss):
            if not finding.passed:
                raise AssertionError(f"assert_parity: {finding}.")


def _run(
    subject: Subject,
    net: Network,
    X: Any,
    y: Any,
    steps: int,
    optimizer: Optimizer,
    loss: str | Loss | None,
) -> Iterator[Finding]:
    """Yield every comparison of a training run, in the order of the computation."""
    name, dtype = subject.backend.name, subject.dtype
    with subject.backend.widened(dtype), np.errstate(all="ignore"):
        # In float64 on the definitions, its parameters rounded to the dtype.
        exact = net.to(dtype=dtype).to(REFERENCE, dtype="float64")
        trainer = Trainer(exact, optimizer, loss)
        x, target, _ = trainer._checked("assert_parity", X, y)
        x = subject.rounded(x)
        target = target if target.dtype.kind in "iu" else subject.rounded(target)
        runs = _FreeRuns(subject, trainer, x, target)
        for step in range(1, steps + 1):
            for place, error in _lock_step(subject, trainer, x, target):
                yield Finding(
                    name, dtype, step, place, error.array, error.units / LIMIT, error.detail
                )
            for place, error in runs.advance():
                yield Finding(name, dtype, step, place, error.array, error.units, error.detail)


def _lock_step(subject: Subject, trainer: Trainer, x: Any, y: Any) -> Iterator[tuple[str, Error]]:
    """Compare layer by layer along the reference trainer's next step."""
    net = trainer.network
    w, buffers = subject.rounded(net._w), subject.rounded(net._buffers)
    params = net._layout.views(REFERENCE.xp, w)
    mode = Mode(True, True, _key(trainer))
    stages: list[Any] = []
    for l, layer in enumerate(net._chain):
        place, at = _place(l, layer), mode.at(l)

        def forward(ops: Ops, p: Any, b: Any, h: Any, layer: Any = layer, at: Mode = at) -> Any:
            stage = layer.forward(ops, p, b, h, at)
            return {"pre": stage.pre, "post": stage.post, **(stage.buffers or {})}

        for error in subject.errors(forward, params[l], buffers[l], x):
            yield place, error
        stages.append(subject.rounded(layer.forward(REFERENCE.ops, params[l], buffers[l], x, at)))
        x = stages[-1].post
    yield from _lock_step_back(subject, trainer, params, stages, y)


def _lock_step_back(
    subject: Subject, trainer: Trainer, params: Any, stages: Sequence[Any], y: Any
) -> Iterator[tuple[str, Error]]:
    net, ops = trainer.network, REFERENCE.ops

    def loss(ops: Ops, scores: Any, y: Any) -> dict[str, Any]:
        value, delta = trainer.loss.value_and_delta(ops, scores, y)
        return {"loss": value, "delta": delta}

    last = len(stages) - 1
    for error in subject.errors(loss, stages[-1].post, y):
        yield _place(last, net._chain[last]), error
    delta = subject.rounded(trainer.loss.value_and_delta(ops, stages[-1].post, y)[1])
    grads: list[Any] = [{} for _ in stages]
    for l in range(last, -1, -1):
        layer, below = net._chain[l], stages[l - 1] if l else INPUT

        def back(
            ops: Ops, p: Any, stage: Any, delta: Any, below: Any, layer: Any = layer, l: int = l
        ) -> dict[str, Any]:
            found, d_below = layer.backward(ops, p, stage, delta, below if l else INPUT, None)
            named = {f"d{name}": value for name, value in found.items()}
            return named if d_below is None else {**named, "delta below": d_below}

        for error in subject.errors(back, params[l], stages[l], delta, below):
            yield _place(l, layer), error
        found, delta = layer.backward(ops, params[l], stages[l], delta, below, None)
        grads[l], delta = subject.rounded(found), subject.rounded(delta)
    yield from _lock_step_update(subject, trainer, grads)


def _lock_step_update(
    subject: Subject, trainer: Trainer, grads: Sequence[Any]
) -> Iterator[tuple[str, Error]]:
    net, optimizer = trainer.network, trainer.optimizer
    g = REFERENCE.ops.flatten(net._layout.pieces(grads))
    c = optimizer.coefficients(trainer.t + 1)

    def update(ops: Ops, w: Any, g: Any, moments: Any) -> dict[str, Any]:
        w, moved = optimizer.update(ops, w, g, moments, c)
        return {"w": w, **dict(zip(optimizer.moments, moved, strict=True))}

    terms = g.size if optimizer.clip_norm is not None else 1
    for error in subject.errors(update, net._w, g, trainer._moments, terms=terms):
        yield type(optimizer).__name__, error


def _key(trainer: Trainer) -> int:
    return host.key(trainer.seed, trainer.t + 1)


def _place(l: int, layer: Any) -> str:
    return f"layer {l} ({type(layer).__name__})"


class _FreeRuns:
    """The tested trainer, the float64 one, and the definition in the dtype, one rounding away."""

    def __init__(self, subject: Subject, exact: Trainer, x: Any, y: Any) -> None:
        self.subject, self.exact, self.x, self.y = subject, exact, x, y
        self.tested = self._trainer(exact.network.to(subject.backend, dtype=subject.dtype))
        shadow = exact.network.to(REFERENCE, dtype=subject.dtype)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], shadow._w.shape)
        shadow.w = exact.network._w * (1.0 + subject.eps * signs)
        self.shadow = self._trainer(shadow)
        self.spread = 0.0

    def _trainer(self, net: Network) -> Trainer:
        return Trainer(net, self.exact.optimizer, self.exact.loss, seed=self.exact.seed)

    def advance(self) -> Iterator[tuple[str, Error]]:
        """Take one step each and compare the loss and every parameter."""
        runs = (self.exact, self.shadow, self.tested)
        exact, shadow, tested = (float(run.step(self.x, self.y)) for run in runs)
        floor = self.subject.eps * math.sqrt(max(self.x.shape)) * (abs(exact) + 1.0)
        self.spread = max(self.spread, abs(shadow - exact))
        units = abs(tested - exact) / (FREE_LIMIT * (self.spread + floor))
        detail = f" is {tested:.9g}, should be {exact:.9g}"
        yield "free run", _free_error("loss", units, detail)
        yield from self._parameters()

    def _parameters(self) -> Iterator[tuple[str, Error]]:
        nets = [run.network for run in (self.exact, self.shadow, self.tested)]
        exact, shadow, tested = (registry.to_host(net._w).astype("float64") for net in nets)
        floor = self.subject.eps * _rms(exact)
        bound = FREE_LIMIT * (_rms(shadow - exact) + floor)
        for slot in nets[0]._layout.slots:
            part = slice(slot.start, slot.stop)
            units = _rms(tested[part] - exact[part]) / bound
            place = f"free run, {_place(slot.layer, nets[0]._chain[slot.layer])}"
            yield place, _free_error(slot.name, units, " (root mean square)")


def _free_error(array: str, units: float, detail: str) -> Error:
    """Return the error of a free run; NaN counts as infinite."""
    return Error(array, math.inf if math.isnan(units) else units, detail)


def _rms(v: Any) -> float:
    return float(np.sqrt(np.mean(v * v)))


def check_gradients(
    net: Network, X: Any, y: Any, *, training: bool = False, limit: int = 200, seed: int = 0
) -> None:
    """Assert that `net.gradients` is the derivative of `net.loss`, by central differences.

    The check runs in float64 on the network's own backend, on a copy. Parameter by parameter the
    gradient must lie within (L(w+h) - L(w-h)) / 2h, give or take rounding and the difference of the
    two one-sided slopes, so that it holds at the kinks of relu too.

    Parameters
    ----------
    net, X, y
        Any network and data; neither is changed.
    training
        Check the training pass: dropout (its mask fixed) and BatchNorm of the batch.
    limit
        How many parameters of each array to check, drawn at random.
    seed
        Decides which.

    Raises
    ------
    AssertionError
        Naming layer, array and element.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X = np.random.default_rng(0).normal(size=(5, 3))
    >>> nn.testing.check_gradients(nn.MLP([3, 4, 2], "gelu"), X, [0, 1, 1, 0, 1])
    """
    limit = _checks.integer("check_gradients", "limit", limit)
    rng = np.random.default_rng(seed)
    with net._backend.widened("float64"):
        wide = net.to(dtype="float64")
        loss, grads = wide.gradients(X, y, training=training)
        g, w = registry.to_host(grads.flat), registry.to_host(wide.w).copy()
        for slot in wide._layout.slots:
            size = slot.stop - slot.start
            for i in rng.permutation(size)[:limit] + slot.start:
                fault = _difference_fault(wide, X, y, training, w, int(i), float(loss), g[i])
                if fault:
                    index = np.unravel_index(int(i) - slot.start, slot.shape)
                    place = ", ".join(str(int(k)) for k in index)
                    layer = _place(slot.layer, wide._chain[slot.layer])
                    raise AssertionError(f"check_gradients: {layer}, {slot.name}[{place}] {fault}.")


def _difference_fault(
    net: Network, X: Any, y: Any, training: bool, w: Any, i: int, loss: float, g: float
) -> str:
    """Return what is wrong with dL/dw_i = g, or nothing."""
    h = 1e-6 * max(1.0, abs(w[i]))
    values = []
    for sign in (1.0, -1.0):
        moved = w.copy()
        moved[i] += sign * h
        net.w = moved
        values.append(float(net.loss(X, y, training=training)))
    net.w = w
    slope = (values[0] - values[1]) / (2 * h)
    kink = abs(values[0] - 2 * loss + values[1]) / h
    rounding = 64 * 2.0**-52 * (abs(loss) + 1.0) / h
    if abs(slope - g) <= kink + rounding + 1e-7 * abs(g):
        return ""
    return f"is {g:.9g}, but the loss's central difference is {slope:.9g}"


@dataclass(frozen=True)
class Row:
    """One line of a parity report: the worst error of a subject in units of its bound."""

    backend: str
    dtype: str
    subject: str
    units: float
    passed: bool
    detail: str


@dataclass(frozen=True)
class Report:
    """What `parity_report` found."""

    rows: list[Row]

    @property
    def passed(self) -> bool:
        """Whether every row is within its bound."""
        return all(row.passed for row in self.rows)


def parity_report(
    backends: Sequence[str] | None = None,
    dtypes: Sequence[str] = ("float32", "float64"),
    steps: int = 10,
) -> Report:
    """Compare every backend, dtype and primitive, and whole training runs, with the definition.

    Parameters
    ----------
    backends
        Names; None for every backend that is available here.
    dtypes
        "float32" and "float64", or one of them.
    steps
        Steps of each training run.

    Returns
    -------
    Report
        `rows`, one a backend, dtype and subject; errors in units of the bound (1 is the bound).
    """
    steps = _checks.integer("parity_report", "steps", steps)
    dtypes = [_checks.choice("parity_report", "dtypes", d, ("float32", "float64")) for d in dtypes]
    names = registry.available() if backends is None else list(backends)
    rows: list[Row] = []
    for name in names:
        for dtype in dtypes:
            subject = Subject(registry.get(name), dtype)
            with subject.backend.widened(dtype):
                rows += [_primitive_row(subject, *sample) for sample in primitive_samples()]
            rows += [_training_row(subject, *sample, steps) for sample in networks()]
    return Report(rows)


def _primitive_row(subject: Subject, primitive: str, samples: Sequence[Any]) -> Row:
    found = [error for args in samples for error in primitive_errors(subject, primitive, args)]
    worst = max(found, key=lambda error: error.units)
    units, detail = worst.units / LIMIT, f"{worst.array}{worst.detail}"
    return Row(subject.backend.name, subject.dtype, primitive, units, units <= 1.0, detail)


def _training_row(
    subject: Subject, title: str, net: Network, optimizer: Optimizer, steps: int
) -> Row:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(32, net.widths[0])), rng.integers(0, net.widths[-1], 32)
    target = rng.normal(size=(32, net.widths[-1])) if net.output == "identity" else y
    net = net.to(REFERENCE, dtype=subject.dtype)
    worst: Finding | None = None
    for finding in _run(subject, net, X, target, steps, optimizer, None):
        if worst is None or (finding.units > worst.units and worst.passed):
            worst = finding
    assert worst is not None  # steps >= 1
    return Row(
        subject.backend.name, subject.dtype, f"train {title}", worst.units, worst.passed, str(worst)
    )
