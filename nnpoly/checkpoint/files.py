"""Files: a network or a trainer in one safetensors file, which can hold no code.

Arrays are tensors, all else is JSON; see `nnpoly.data.container` for the container. Files are
portable between backends.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _checks
from .._described import construct, describe
from ..backends import host, registry
from ..backends.base import FLOATS
from ..data.container import Arrays, as_path, named, read, to_json, write
from ..network import MLP, Network
from ..training import History, Trainer
from ..training.calls import Calls, Position
from ..training.step import State

# Writing


def save_network(net: Network, path: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Write a network.

    Parameters
    ----------
    net, path
        The network, and its file.
    extra
        Anything else that belongs to it (scaling, labels, ...), of JSON's types; NaN and infinities
        may be in it, tuples become lists. `load_extra` returns it.

    Raises
    ------
    TypeError
        If `extra` holds what JSON does not. Nothing has been written then.

    Examples
    --------
    >>> import os, tempfile, nnpoly as nn
    >>> from nnpoly import checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     checkpoint.save_network(nn.MLP([2, 3, 2]), path, {"classes": ["cat", "dog"]})
    ...     nn.load(path).widths, checkpoint.load_extra(path)
    ([2, 3, 2], {'classes': ['cat', 'dog']})
    """
    header = {"kind": "network", "network": _network_header(net), "extra": _extra(extra)}
    write(path, _hosted(net.arrays()), header)


def _extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    if extra is not None and not isinstance(extra, Mapping):
        raise TypeError(f"save: `extra` must be a mapping, got {type(extra).__name__}.")
    kept = dict(extra or {})
    to_json(kept, "extra")  # names what cannot be saved
    return kept


def save_trainer(trainer: Trainer, path: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Write a trainer with all that continuing needs, in a fit with the states of its callbacks.

    extra: as of `save_network`.
    """
    arrays = _hosted(trainer.network.arrays())
    for name, moment in zip(trainer.optimizer.moments, trainer._moments, strict=True):
        arrays[f"moment/{name}"] = registry.to_host(moment)
    header = {
        "kind": "trainer",
        "network": _network_header(trainer.network),
        "optimizer": describe(trainer.optimizer),
        "loss": describe(trainer.loss),
        "seed": trainer.seed,
        "t": trainer.t,
        "rate_factor": trainer.rate_factor,
        "history": dataclasses.asdict(trainer.history),
        "fit": None if trainer._calls is None else _fit_header(trainer._calls, arrays),
        "extra": _extra(extra),
    }
    write(path, arrays, header)


def _fit_header(calls: Calls, arrays: Arrays) -> dict[str, Any]:
    """Return where a fit stands, and add the arrays of its callbacks' states to `arrays`."""
    callbacks = []
    for i, (name, state) in enumerate(zip(calls.names, calls.states(), strict=True)):
        state = {key: v.item() if host.is_scalar(v) else v for key, v in state.items()}
        tensors = {key: value for key, value in state.items() if host.is_host(value)}
        arrays.update({f"callback/{i}/{key}": value for key, value in tensors.items()})
        values = {key: value for key, value in state.items() if key not in tensors}
        to_json(values, f"{name}.state()")
        callbacks.append({"class": name, "values": values})
    history = dataclasses.asdict(calls.history)
    return {"history": history, "position": calls.position, "callbacks": callbacks}


def _network_header(net: Network) -> dict[str, Any]:
    return {
        "mlp": isinstance(net, MLP),
        "layers": describe(net.chain),
        "output": net.output,
        "dtype": net.dtype,
        "seed": net.seed,
    }


def _hosted(arrays: Mapping[str, Any]) -> Arrays:
    return {name: registry.to_host(array) for name, array in arrays.items()}


# Reading


def load(path: Any, backend: Any = None, device: Any = None) -> Network:
    """Return the network that `Network.save` or `Trainer.save` wrote.

    Parameters
    ----------
    path
        The file.
    backend, device
        Where the network shall live; None for the default. It need not be where it was saved.

    Raises
    ------
    ValueError
        If the file is truncated, damaged, not nnpoly's, or from another version's format.
    """
    header, arrays = read(path)
    return _network(path, header, arrays, backend, device)


def load_extra(path: Any) -> dict[str, Any]:
    """Return the `extra` that `save_network` was given; empty where it was given none."""
    header, _ = read(path)
    return dict(header.get("extra", {}))


def load_trainer(
    path: Any, backend: Any = None, device: Any = None, precision: str | None = None
) -> Trainer:
    """Return the trainer that `Trainer.save` wrote."""
    return _trainer("Trainer.load", path, *read(path), backend, device, precision)


def _trainer(
    where: str,
    path: Any,
    header: dict[str, Any],
    arrays: Arrays,
    backend: Any,
    device: Any,
    precision: str | None = None,
) -> Trainer:
    if header.get("kind") == "network":
        raise ValueError(
            f"{where}: {path} holds a network without a trainer. Use nn.load, then nn.Trainer."
        )
    net = _network(path, header, arrays, backend, device)
    with named(path):
        optimizer, loss = construct(header["optimizer"]), construct(header["loss"])
        trainer = Trainer(net, optimizer, loss, seed=header["seed"], precision=precision)
        shape = (net.layout.size,)
        kept = [_checked(arrays, f"moment/{m}", shape, net.dtype) for m in optimizer.moments]
        t = _checks.integer("Trainer", "t", header["t"], 0)
        trainer.rate_factor = _checks.number("Trainer", "rate_factor", header["rate_factor"])
        trainer.history = History(**header["history"])
    trainer._state = State(net.w, tuple(map(net.from_host, kept)), net.buffers, t)
    return trainer


def _network(
    path: Any, header: dict[str, Any], arrays: Arrays, backend: Any, device: Any
) -> Network:
    with named(path):
        described = header["network"]
        net = object.__new__(MLP if described["mlp"] else Network)
        net._describe(construct(described["layers"]), described["output"], described["seed"])
        dtype = _checks.choice("load", "dtype", described["dtype"], FLOATS)
        _checked(arrays, "w", (net.layout.size,), dtype)
        for l, layer in enumerate(net.chain):
            for name, like in layer.buffers().items():
                _checked(arrays, f"buffer/{l}/{name}", like.shape, dtype)
    net._settle(backend, device, dtype)
    net.restore(arrays)
    return net


def _checked(arrays: Arrays, name: str, shape: tuple[int, ...], dtype: str) -> host.HostArray:
    array = arrays[name]
    if (array.shape, array.dtype.name) != (shape, dtype):
        raise ValueError(
            f"its {name} has shape {array.shape} of {array.dtype}, not {shape} of {dtype}"
        )
    return array


# Going on


def resume(calls: Calls, path: Any, epochs: int) -> None:
    """Give the trainer and the callbacks of a fit the state in a file, where there is one.

    Raises
    ------
    ValueError
        If the file is of another network, optimiser, loss or list of callbacks, or has more than
        `epochs` epochs. Nothing has changed then.
    """
    where, trainer = "Trainer.fit", calls.trainer
    if not as_path(where, path, "resume").exists():
        history = copy.deepcopy(trainer.history)
        calls.take_up(history, Position(len(history)), None)
        return
    header, arrays = read(path)
    net = trainer.network
    saved = _trainer(where, path, header, arrays, net.place.backend, net.device)
    with named(path):
        fit = header["fit"]
        history = copy.deepcopy(saved.history)
        position, names, states = Position(len(history)), calls.names, None
        if fit is not None:  # else it was saved outside a fit, and the callbacks begin anew
            history, position = History(**fit["history"]), Position(*fit["position"])
            names = [entry["class"] for entry in fit["callbacks"]]
            states = [_state(i, entry, arrays) for i, entry in enumerate(fit["callbacks"])]
    _require_same(path, _parts(trainer, calls.names), _parts(saved, names))
    if len(saved.history) > epochs:
        raise ValueError(
            f"{where}: `epochs` counts the whole run, of which `resume` {path} has "
            f"{len(saved.history)} already, got {epochs}. Ask for as many at least."
        )
    trainer._state, net.seed = saved._state, saved.network.seed
    for name in ("history", "seed", "rate_factor"):
        setattr(trainer, name, getattr(saved, name))
    calls.take_up(history, position, states)


def _state(i: int, entry: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Return the state of the callback at place i."""
    start = f"callback/{i}/"
    tensors = {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
    return {**entry["values"], **tensors}


def _parts(trainer: Trainer, callbacks: Sequence[str]) -> dict[str, Any]:
    """Return what two trainers must have in common to take up each other's state."""
    net = trainer.network
    return {
        **{f"layer {l}": layer for l, layer in enumerate(net.chain)},
        "output": net.output,
        "dtype": net.dtype,
        "optimizer": trainer.optimizer,
        "loss": trainer.loss,
        "callbacks": list(callbacks),
    }


def _require_same(path: Any, mine: dict[str, Any], saved: dict[str, Any]) -> None:
    for name in {**mine, **saved}:
        here, there = mine.get(name, "nothing"), saved.get(name, "nothing")
        if here != there:
            raise ValueError(
                f"Trainer.fit: `resume` {path} is of another run: its {name} is {there}, and not "
                f"{here}. Make the trainer as it was then, or name a new file."
            )
