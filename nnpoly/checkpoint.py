"""Files: a network or a trainer in one safetensors file, which can hold no code.

The arrays are the file's tensors; everything else is JSON in its header, under the key "nnpoly".
Files are portable between backends. Writing is atomic: a temporary file beside the target is
flushed to the disk and then renamed, so the target is always whole, old or new.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import _checks
from ._config import construct, describe
from .backends import host, registry
from .backends.base import FLOATS
from .mlp import MLP
from .network import Network
from .training import History, State, Trainer

FORMAT = 1


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Saving and loading needs safetensors: pip install nnpoly[save]"
        ) from error
    return safetensors


# Writing


def save_network(net: Network, path: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Write a network, and anything of JSON's types that belongs to it (see `load_extra`)."""
    header = {"kind": "network", "network": _network_header(net), "extra": dict(extra or {})}
    _write(path, _network_arrays(net), header)


def save_trainer(trainer: Trainer, path: Any) -> None:
    """Write a trainer with all that continuing needs."""
    arrays = _network_arrays(trainer.network)
    for name, moment in zip(trainer.optimizer.moments, trainer._moments, strict=True):
        arrays[f"moment/{name}"] = registry.to_host(moment)
    header = {
        "kind": "trainer",
        "network": _network_header(trainer.network),
        "optimizer": describe(trainer.optimizer),
        "loss": describe(trainer.loss),
        "seed": trainer.seed,
        "t": trainer.t,
        "history": {
            "loss": trainer.history.loss,
            "validation_loss": trainer.history.validation_loss,
        },
    }
    _write(path, arrays, header)


def _network_header(net: Network) -> dict[str, Any]:
    return {
        "mlp": isinstance(net, MLP),
        "layers": describe(net._chain),
        "output": net.output,
        "dtype": net.dtype,
        "seed": net.seed,
    }


def _network_arrays(net: Network) -> dict[str, host.HostArray]:
    arrays = {"w": registry.to_host(net._w)}
    for l, part in enumerate(net._buffers):
        for name, value in part.items():
            arrays[f"buffer/{l}/{name}"] = registry.to_host(value)
    return arrays


def _write(path: Any, arrays: dict[str, host.HostArray], header: dict[str, Any]) -> None:
    from . import __version__

    header = {"format": FORMAT, "version": __version__, **header}
    content = _safetensors().numpy.save(arrays, {"nnpoly": json.dumps(header)})
    _write_atomically(_path("save", path), content)


def _path(where: str, path: Any) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise TypeError(f"{where}: `path` must be a path, got {path!r}.") from error


def _write_atomically(path: Path, content: bytes) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"save: `path` is in {path.parent}, which is no folder. Make it first."
        )
    if path.is_dir():
        raise IsADirectoryError(f"save: `path` {path} is a folder. Name a file in it.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


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
        If the file is truncated, damaged, not nnpoly's, or from a newer version.
    """
    header, arrays = _read(path)
    return _network(path, header, arrays, backend, device)


def load_extra(path: Any) -> dict[str, Any]:
    """Return the `extra` that `save_network` was given; empty where it was given none."""
    header, _ = _read(path)
    return dict(header.get("extra", {}))


def load_trainer(path: Any, backend: Any = None, device: Any = None) -> Trainer:
    """Return the trainer that `Trainer.save` wrote."""
    header, arrays = _read(path)
    if header.get("kind") == "network":
        raise ValueError(
            f"Trainer.load: {path} holds a network without a trainer. Use nn.load, then nn.Trainer."
        )
    net = _network(path, header, arrays, backend, device)
    with _named(path):
        optimizer, loss = construct(header["optimizer"]), construct(header["loss"])
        trainer = Trainer(net, optimizer, loss, seed=header["seed"])
        kept = [_checked(arrays, f"moment/{name}", arrays["w"]) for name in optimizer.moments]
        t = _checks.integer("Trainer", "t", header["t"], 0)
        trainer.history = History(**header["history"])
    trainer._state = State(net._w, tuple(map(net._from_host, kept)), net._buffers, t)
    return trainer


def _read(path: Any) -> tuple[dict[str, Any], dict[str, host.HostArray]]:
    safetensors = _safetensors()
    if not _path("load", path).is_file():
        raise FileNotFoundError(f"load: `path` {path} is no file.")
    with _named(path), safetensors.safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get("nnpoly")
        if text is None:
            raise ValueError("it is a safetensors file, but not nnpoly's")
        header: dict[str, Any] = json.loads(text)
        if header["format"] > FORMAT:
            raise ValueError(
                f"it was written by nnpoly {header['version']}, which is newer. Upgrade nnpoly"
            )
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextlib.contextmanager
def _named(path: Any) -> Iterator[None]:
    """Turn whatever a damaged file causes into one clear error."""
    try:
        yield
    except (KeyError, TypeError, ValueError, _safetensors().SafetensorError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(f"load: {path} cannot be read: {reason}.") from error


def _network(
    path: Any, header: dict[str, Any], arrays: dict[str, Any], backend: Any, device: Any
) -> Network:
    with _named(path):
        described = header["network"]
        net = object.__new__(MLP if described["mlp"] else Network)
        net._describe(construct(described["layers"]), described["output"], described["seed"])
        dtype = _checks.choice("load", "dtype", described["dtype"], FLOATS)
        w = _checked(arrays, "w", host.vector([[0.0] * net._layout.size], dtype))
        parts = [
            {
                name: _checked(arrays, f"buffer/{l}/{name}", like.astype(dtype))
                for name, like in layer.buffers().items()
            }
            for l, layer in enumerate(net._chain)
        ]
    net._settle(backend, device, dtype)
    net._adopt(net._from_host(w), net._place_buffers(parts))
    return net


def _checked(arrays: dict[str, Any], name: str, like: host.HostArray) -> host.HostArray:
    array: host.HostArray = arrays[name]
    if (array.shape, array.dtype) != (like.shape, like.dtype):
        raise ValueError(
            f"its {name} has shape {array.shape} of {array.dtype}, not {like.shape} of {like.dtype}"
        )
    return array
