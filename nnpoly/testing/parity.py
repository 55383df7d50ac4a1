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

from .. import _checks
from ..backends import host, registry
from ..layers import INPUT, Embedding, Layer, Mode, Residual, every
from ..losses import Loss
from ..network import Network
from ..optimizers import Adam, Optimizer
from ..primitives import Ops
from ..training import Trainer, step
from .comparison import LIMIT, REFERENCE, ROUNDOFF, Error, Subject

# A free run may be this many times as far from float64 as the definition is in the same dtype,
# started one rounding error away: rounding is amplified by training, alike in every backend. With
# rounded factors each run may round other ones up: of the loss, and of how far the parameters have
# moved, the relative error of a factor is allowed beside that.
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
    precision: str | None = None,
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
    precision
        None or "bf16", as for `Trainer`: compared with the definition of such products.

    Raises
    ------
    AssertionError
        Naming backend, step, layer and array of the first that parts, by how much, and the element.

    Notes
    -----
    The bound of an array is 4 eps sqrt(terms) times its magnitude, see `nnpoly.testing.comparison`;
    a free run's is given with `FREE_LIMIT`.

    Examples
    --------
    >>> import numpy as np, nnpoly as nn
    >>> X = np.random.default_rng(0).normal(size=(20, 4))
    >>> nn.testing.assert_parity(nn.MLP([4, 8, 3]), X, np.arange(20) % 3, backends=["numpy"])
    """
    steps = _checks.integer("assert_parity", "steps", steps)
    names = registry.available() if backends is None else list(backends)
    if precision is not None:
        _checks.choice("assert_parity", "precision", precision, [p for p in ROUNDOFF if p])
    for name in names:
        backend = registry.get(name)
        if precision is not None:
            backend.check_precision("assert_parity", precision, net.dtype)
        subject = Subject(backend, net.dtype, precision)
        for finding in compare_runs(subject, net, X, y, steps, optimizer or Adam(1e-3), loss):
            if not finding.passed:
                raise AssertionError(f"assert_parity: {finding}.")


def compare_runs(
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
        trainer = Trainer(exact, optimizer, loss, precision=subject.precision)
        x, target, _ = trainer.checked("assert_parity", X, y)
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
    w, buffers = subject.rounded(net.w), subject.rounded(net.buffers)
    params = net.layout.views(REFERENCE.xp, w)
    mode = Mode(True, True, _key(trainer), scheduled=_numbers(trainer).scheduled)
    stages: list[Any] = []
    for l, layer in enumerate(net.chain):
        place, at = place_of(l, layer), mode.at(l)

        def forward(ops: Ops, p: Any, b: Any, h: Any, layer: Any = layer, at: Mode = at) -> Any:
            stage = layer.forward(ops, p, b, h, at)
            return {"pre": stage.pre, "post": stage.post, **(stage.buffers or {})}

        given = params[l], buffers[l], x
        for error in subject.errors(forward, *given, **_traits(layer)):
            yield place, error
        stages.append(subject.rounded(layer.forward(subject.reference, *given, at)))
        x = stages[-1].post
    yield from _lock_step_back(subject, trainer, params, stages, y)


def _lock_step_back(
    subject: Subject, trainer: Trainer, params: Any, stages: Sequence[Any], y: Any
) -> Iterator[tuple[str, Error]]:
    net, ops, of_members = trainer.network, subject.reference, trainer.loss.mean_of_members

    def loss(ops: Ops, scores: Any, y: Any) -> dict[str, Any]:
        value, delta = of_members(ops, scores, y, None, net.members)
        return {"loss": value, "delta": delta}

    last = len(stages) - 1
    for error in subject.errors(loss, stages[-1].post, y):
        yield place_of(last, net.chain[last]), error
    _, exact = of_members(ops, stages[-1].post, y, None, net.members)
    delta = subject.rounded(exact)
    grads: list[Any] = [{} for _ in stages]
    for l in range(last, -1, -1):
        layer, below = net.chain[l], stages[l - 1] if l else INPUT

        def back(
            ops: Ops, p: Any, stage: Any, delta: Any, below: Any, layer: Any = layer, l: int = l
        ) -> dict[str, Any]:
            found, d_below = layer.backward(ops, p, stage, delta, below if l else INPUT, None)
            named = {f"d{name}": value for name, value in found.items()}
            return named if d_below is None else {**named, "delta below": d_below}

        given = params[l], stages[l], delta, below
        for error in subject.errors(back, *given, **_traits(layer)):
            yield place_of(l, layer), error
        found, delta = layer.backward(ops, params[l], stages[l], delta, below, None)
        grads[l], delta = subject.rounded(found), subject.rounded(delta)
    yield from _lock_step_update(subject, trainer, grads)


def _lock_step_update(
    subject: Subject, trainer: Trainer, grads: Sequence[Any]
) -> Iterator[tuple[str, Error]]:
    net, optimizer = trainer.network, trainer.optimizer
    g = REFERENCE.ops.flatten(net.layout.pieces(grads))
    spec, numbers = trainer.stepper.spec, _numbers(trainer)

    def update(ops: Ops, w: Any, g: Any, moments: Any) -> dict[str, Any]:
        w, moved = step.update(spec, ops, w, g, moments, numbers)
        return {"w": w, **dict(zip(optimizer.moments, moved, strict=True))}

    terms = g.size if optimizer.clip_norm is not None else 1
    for error in subject.errors(update, net.w, g, trainer.stepper.state.moments, terms=terms):
        yield type(optimizer).__name__, error


def _numbers(trainer: Trainer) -> step.Numbers:
    """The numbers of the trainer's next step."""
    spec = trainer.stepper.spec
    return step.by_name(spec, step.numbers_of(spec, trainer.stepper.coefficients(trainer.t + 1)))


def _traits(layer: Layer) -> dict[str, bool]:
    """What `Subject.errors` must know of a layer."""
    embeds = any(isinstance(inner, Embedding) for inner in every([layer]))
    return {"makes_factors": _makes_factors(layer), "takes_categories": embeds}


def _makes_factors(layer: Layer) -> bool:
    """Whether a layer computes factors of products: in its inner layers, or by its own factor."""
    return isinstance(layer, Residual) or getattr(layer, "factor", 1.0) != 1.0


def _key(trainer: Trainer) -> int:
    return host.key(trainer.seed, trainer.t + 1)


def place_of(l: int, layer: Any) -> str:
    """Return the name of a layer and its place."""
    return f"layer {l} ({type(layer).__name__})"


class _FreeRuns:
    """The tested trainer, the float64 one, and the definition in the dtype, one rounding away."""

    def __init__(self, subject: Subject, exact: Trainer, x: Any, y: Any) -> None:
        self.subject, self.exact, self.x, self.y = subject, exact, x, y
        tested = exact.network.to(subject.backend, dtype=subject.dtype)
        self.tested = self._trainer(tested, subject.precision)
        self.start = registry.to_host(exact.network.w).copy()
        shadow = exact.network.to(REFERENCE, dtype=subject.dtype)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], shadow.w.shape)
        shadow.w = registry.to_host(exact.network.w) * (1.0 + subject.eps * signs)
        # It rounds no factors where the tested one may not.
        rounds = subject.backend.rounds_all
        self.shadow = self._trainer(shadow, subject.precision if rounds else None)
        self.spread = 0.0

    def _trainer(self, net: Network, precision: str | None) -> Trainer:
        exact = self.exact
        return Trainer(net, exact.optimizer, exact.loss, seed=exact.seed, precision=precision)

    def advance(self) -> Iterator[tuple[str, Error]]:
        """Take one step each and compare the loss and every parameter."""
        runs = (self.exact, self.shadow, self.tested)
        exact, shadow, tested = (float(run.step(self.x, self.y)) for run in runs)
        floor = self.subject.eps * math.sqrt(max(self.x.shape)) * (abs(exact) + 1.0)
        self.spread = max(self.spread, abs(shadow - exact))
        bound = FREE_LIMIT * (self.spread + floor) + self.subject.roundoff * abs(exact)
        units = abs(tested - exact) / bound
        detail = f" is {tested:.9g}, should be {exact:.9g}"
        yield "free run", _free_error("loss", units, detail)
        yield from self._parameters()

    def _parameters(self) -> Iterator[tuple[str, Error]]:
        nets = [run.network for run in (self.exact, self.shadow, self.tested)]
        exact, shadow, tested = (registry.to_host(net.w).astype("float64") for net in nets)
        floor = self.subject.eps * _rms(exact)
        bound = FREE_LIMIT * (_rms(shadow - exact) + floor)
        bound += self.subject.roundoff * _rms(exact - self.start)
        for slot in nets[0].layout.slots:
            part = slice(slot.start, slot.stop)
            units = _rms(tested[part] - exact[part]) / bound
            place = f"free run, {place_of(slot.layer, nets[0].chain[slot.layer])}"
            yield place, _free_error(slot.name, units, " (root mean square)")


def _free_error(array: str, units: float, detail: str) -> Error:
    """Return the error of a free run; NaN counts as infinite."""
    return Error(array, math.inf if math.isnan(units) else units, detail)


def _rms(v: Any) -> float:
    return float(np.sqrt(np.mean(v * v)))
