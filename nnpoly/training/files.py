"""Trainers in files, and fits that go on from them; see `nnpoly.data.container`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

from .. import _checks, losses
from .._described import construct, describe
from ..backends import host
from ..data.container import (
    Arrays,
    checked_extra,
    named,
    read,
    target_path,
    to_json,
    typed,
    write,
)
from ..losses import Loss
from ..network import Network
from ..network.arrays import checked_array, hosted
from ..network.files import ExtraFile, NetworkFile, content_of, network_of
from ..optimizers import Optimizer
from .calls import Calls, Position
from .history import History
from .stepper import Stepper, checked_optimizer


class HistoryEntry(TypedDict):
    """A history in a file's header."""

    loss: list[float]
    validation_loss: list[float]
    metrics: dict[str, list[float]]


# Of a callback: its class, and the part of its state that is no array.
CallbackEntry = TypedDict("CallbackEntry", {"class": str, "values": dict[str, Any]})


class FitEntry(TypedDict):
    """The fit that ran when a trainer was saved."""

    history: HistoryEntry
    position: Position
    callbacks: list[CallbackEntry]
    settings: NotRequired[dict[str, Any]]


class EnsembleFile(ExtraFile):
    """The header of an ensemble's file."""

    bootstrap: bool
    members: list[dict[str, Any]]  # each as of a trainer's file
    failures: list[tuple[int, str, str]]  # the member, the message, and what was found


class TrainerFile(NetworkFile):
    """The header of a trainer's file."""

    optimizer: dict[str, Any]
    loss: dict[str, Any]
    seed: int
    t: int
    births: NotRequired[dict[str, int]]
    rate_factor: float
    history: HistoryEntry
    fit: FitEntry | None


LAST = 2**63 - 1  # of steps and the like


def save(
    stepper: Stepper, history: History, calls: Calls | None, path: Any, extra: Any = None
) -> None:
    """Write a trainer with all that continuing needs, in a fit with the states of its callbacks.

    Parameters
    ----------
    stepper, history
        The trainer's.
    calls
        The callbacks of the fit that runs, or None.
    path, extra
        As of `Network.save`.
    """
    header, arrays = _described(stepper, history)
    header["fit"] = None if calls is None else _fit_header(calls, arrays)
    write(path, arrays, {"kind": "trainer", **header, "extra": checked_extra(extra)})


def _described(stepper: Stepper, history: History) -> tuple[dict[str, Any], Arrays]:
    """A trainer between fits, as JSON and arrays."""
    net = stepper.network
    moments = {f"moment/{name}": moment for name, moment in stepper.moments.items()}
    header = {
        "network": net.header(),
        "optimizer": describe(stepper.optimizer),
        "loss": describe(stepper.loss),
        "seed": stepper.seed,
        "t": stepper.t,
        "births": stepper.births,
        "rate_factor": stepper.rate_factor,
        "history": vars(history),
        "fit": None,
    }
    return header, hosted({**net.arrays(), **moments})


def _fit_header(calls: Calls, arrays: Arrays) -> dict[str, Any]:
    """The place that a fit has reached; the arrays of its callbacks' states join `arrays`."""
    callbacks = []
    for i, (name, state) in enumerate(zip(calls.names, calls.states(), strict=True)):
        tensors = {key: value for key, value in state.items() if host.is_array(value)}
        arrays.update({f"callback/{i}/{key}": value for key, value in tensors.items()})
        values = {k: host.python_value(v) for k, v in state.items() if k not in tensors}
        to_json(values, f"{name}.state()")
        callbacks.append({"class": name, "values": values})
    return {
        "history": vars(calls.history),
        "position": calls.position,
        "callbacks": callbacks,
        "settings": calls.settings,
    }


class Saved(NamedTuple):
    """A trainer in a file."""

    network: Network
    optimizer: Optimizer
    loss: Loss
    seed: int
    moments: list[host.HostArray]
    births: dict[str, int]
    t: int
    rate_factor: float
    history: History
    fit: FitEntry | None
    extra: dict[str, Any]
    arrays: Arrays  # all of the file

    def give(self, stepper: Stepper) -> None:
        """Make the stepper of an equal network and optimiser what the file has."""
        stepper.resume(self.network, self.moments, self.births, self.t)
        stepper.seed, stepper.rate_factor = self.seed, self.rate_factor


def load(where: str, path: Any, backend: Any, device: Any) -> Saved:
    """Read a trainer."""
    return saved_in(where, path, *read(path), backend, device)


def saved_in(
    where: str, path: Any, header: dict[str, Any], arrays: Arrays, backend: Any, device: Any
) -> Saved:
    """The trainer of a file's header and arrays; path names the file in errors."""
    kind = typed(path, header, ExtraFile)["kind"]
    if kind == "network":
        raise ValueError(
            f"{where}: {path} holds a network without a trainer. Use nn.load, then nn.Trainer."
        )
    if kind == "ensemble":
        raise ValueError(f"{where}: {path} holds an ensemble. Use nn.Ensemble.load.")
    file = typed(path, header, TrainerFile)
    net = network_of(path, file["network"], arrays, backend, device)
    t = file["t"]
    with named(path):
        optimizer = checked_optimizer(construct(file["optimizer"]), net.dtype)
        loss = losses.get(construct(file["loss"]), net.output, "Trainer")
        shape = (net.layout.size,)
        moments = [
            checked_array(arrays, f"moment/{name}", shape, net.dtype) for name in optimizer.moments
        ]
        within("t", t)
        births = file.get("births", {})
        for name, born in births.items():
            _checks.choice("Trainer", "births", name, optimizer.moments)
            within(f"births[{name!r}]", born, t)
        factor = _checks.not_negative("Trainer", "rate_factor", file["rate_factor"])
        seed = _checks.integer("Trainer", "seed", file["seed"], 0)
    history, extra = History(**file["history"]), file.get("extra", {})
    return Saved(
        net, optimizer, loss, seed, moments, births, t, factor, history, file["fit"], extra, arrays
    )


def save_ensemble(
    trainers: Sequence[tuple[Stepper, History]],
    bootstrap: bool,
    failures: Sequence[tuple[int, str, str]],
    path: Any,
    extra: Any = None,
) -> None:
    """Write an ensemble's trainers, as `save` writes one."""
    members, arrays = [], {}
    for i, trainer in enumerate(trainers):
        header, own = _described(*trainer)
        members.append(header)
        arrays.update({f"member/{i}/{name}": array for name, array in own.items()})
    header = {
        "kind": "ensemble",
        "bootstrap": bootstrap,
        "members": members,
        "failures": failures,
        "extra": checked_extra(extra),
    }
    write(path, arrays, header)


def load_ensemble(
    where: str, path: Any, backend: Any, device: Any
) -> tuple[EnsembleFile, list[Saved]]:
    """Read an ensemble: its header, and what each trainer is made of."""
    header, arrays = read(path)
    content, reader = content_of(typed(path, header, ExtraFile))
    if header["kind"] != "ensemble":
        raise ValueError(f"{where}: {path} holds {content}. Use {reader}.")
    file, found = typed(path, header, EnsembleFile), []
    for i, member in enumerate(file["members"]):
        start = f"member/{i}/"
        own = {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
        found.append(saved_in(where, path, {**member, "kind": "trainer"}, own, backend, device))
    with named(path):
        if not found:
            raise ValueError("it has no members")
        for i, *_ in file["failures"]:
            within("failures", i, len(found) - 1)
    return file, found


def within(name: str, value: int, most: int = LAST) -> None:
    """Refuse a count that is not in 0, ..., most."""
    if not 0 <= value <= most:
        raise ValueError(f"its `{name}` must be one of 0, ..., {most}, got {value}")


def resume(calls: Calls, stepper: Stepper, history: History, path: Any, epochs: int) -> None:
    """Give the trainer and the callbacks of a fit the state in a file, where there is one.

    Raises
    ------
    OSError
        If there is no file, and none could be written.
    ValueError
        If the file is of another network, optimiser, loss, list of callbacks or batches, or has
        more than `epochs` epochs. Nothing has changed then.
    """
    where, net = "Trainer.fit", stepper.network
    if not target_path(where, path, "resume").exists():
        calls.continue_from(history.copy(), Position(len(history)), None)
        return
    saved = load(where, path, net.place.backend, net.device)
    fit, recorded = saved.fit, saved.history.copy()
    position, names, states = Position(len(recorded)), calls.names, None
    settings: dict[str, Any] = {}
    if fit is not None:  # else it was saved outside a fit, and the callbacks begin anew
        recorded, position = History(**fit["history"]), fit["position"]
        names = [entry["class"] for entry in fit["callbacks"]]
        states = [_state(i, entry, saved.arrays) for i, entry in enumerate(fit["callbacks"])]
        settings = fit.get("settings", settings)
        with named(path):
            within("fit.position.epoch", position.epoch, len(recorded))
            within("fit.position.left", position.left, len(names))
    mine = _parts(net, stepper.optimizer, stepper.loss, calls.names)
    _require_same(path, mine, _parts(saved.network, saved.optimizer, saved.loss, names))
    _require_same(path, {name: calls.settings.get(name) for name in settings}, settings)
    if len(saved.history) > epochs:
        raise ValueError(
            f"{where}: `epochs` counts the whole run, of which `resume` {path} has "
            f"{len(saved.history)} already, got {epochs}. Ask for as many at least."
        )
    saved.give(stepper)
    net.seed = saved.network.seed
    vars(history).update(vars(saved.history))
    calls.continue_from(recorded, position, states, path)


def _state(i: int, entry: CallbackEntry, arrays: Arrays) -> dict[str, Any]:
    """The state of the callback at place i."""
    start = f"callback/{i}/"
    tensors = {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
    return {**entry["values"], **tensors}


def _parts(
    net: Network, optimizer: Optimizer, loss: Loss, callbacks: Sequence[str]
) -> dict[str, Any]:
    """The parts that two trainers must have in common to continue one another."""
    return {
        **{f"layer {l}": layer for l, layer in enumerate(net.chain)},
        "output": net.output,
        "dtype": net.dtype,
        "optimizer": optimizer,
        "loss": loss,
        "callbacks": list(callbacks),
    }


def _require_same(path: Any, mine: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    for name in {**mine, **saved}:
        here, there = mine.get(name, "nothing"), saved.get(name, "nothing")
        if here != there:
            raise ValueError(
                f"Trainer.fit: `resume` {path} is of another run: its {name} is {there}, and not "
                f"{here}. Make the trainer and call fit as it was then, name a new file, or go on "
                "with nn.Trainer.load."
            )
