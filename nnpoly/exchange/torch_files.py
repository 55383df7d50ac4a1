"""torch: networks to and from its modules, state_dicts and safetensors files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypedDict

from .. import _checks, activations
from .._described import construct
from ..backends import host, registry
from ..backends.base import FLOATS
from ..data import container
from ..layers import Dense, check_layers
from ..losses import OUTPUTS
from ..network import Network
from ..network.files import NetworkEntry
from .certificate import Certificate
from .describing import describe_model
from .parts import Chain, filled, parts_of, plain_network, rates_of
from .proof import Consumer, Outputs, proven
from .torch_layout import parts_in, state_dict


class TorchFile(TypedDict):
    """The header of a file for torch."""

    kind: Literal["torch"]
    network: NetworkEntry
    certificate: str


def to_torch(model: Any, path: Any = None, *, check: bool = True) -> Any:
    """Return a network as a `torch.nn.Sequential`, with copies of its parameters, bit for bit.

    Parameters
    ----------
    model
        A Network or Trainer, an Ensemble of one, or an estimator that is a network alone.
    path
        A .safetensors file to write as well: the modules' state_dict, which
        `safetensors.torch.load_file` reads, and what `from_torch` needs to make the network again.
    check
        Whether torch shall compute the file before it is there; see `nnpoly.exchange.check`.

    Returns
    -------
    torch.nn.Sequential
        torch's own modules where it has them, else those of `nnpoly.exchange.torch_modules`, which
        need nnpoly where they are used. The last one is the output, unless that is the identity:
        ``model[:-1]`` gives scores, as `torch.nn.CrossEntropyLoss` and `BCEWithLogitsLoss` take
        them. It is in training mode, as every new module: call ``.eval()`` before it predicts.

    Notes
    -----
    Initialisers and rates stay behind, but for rates of 0: such parameters need no gradient. Of
    float32 on a CPU torch's results depend on the number of rows in their last bits. BatchNorm
    learns the unbiased variance there, and the biased one here.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange import to_torch
    >>> to_torch(nn.MLP([4, 8, 3], activation="gelu"))
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): GELU(approximate='none')
      (2): Linear(in_features=8, out_features=3, bias=True)
      (3): Softmax(dim=1)
    )
    """
    where = "to_torch"
    net = plain_network(where, model)
    found = _modules().sequential(where, net)
    if path is not None:
        certificate = Certificate.of(describe_model(net)).to_json()
        header = {"kind": "torch", "network": net.header(), "certificate": certificate}
        with proven(where, path, CONSUMER, check) as temporary:
            container.write(temporary, state_dict(parts_of(net)), header)
    return found


def from_torch(
    source: Any,
    *,
    activation: Any = None,
    output: str | None = None,
    seed: int | None = 0,
    backend: Any = None,
    device: Any = None,
) -> Network:
    """Return a network of torch's modules, state_dict or file, with copies of its weights.

    Parameters
    ----------
    source
        A `torch.nn.Sequential` (others may be in it) or a module of its, a state_dict of Linear
        modules, or the path of a .safetensors file of one or of `to_torch`. Nothing is unpickled.
    activation
        Of a state_dict, which does not say it: the hidden layers' sigma, a name or an
        `nn.activations` object.
    output
        "exp", "identity", "sigmoid", "softmax" or "step"; a state_dict needs it. Of a module that
        ends in scores None is the identity: one trained with `torch.nn.CrossEntropyLoss` has
        "softmax". A last Softmax or Sigmoid is the output.
    seed, backend, device
        As for `Network`.

    Notes
    -----
    The order of a state_dict's layers is that of the numbers in their names, where they differ in
    nothing else, and otherwise the dict's, which a file has lost. A parameter that needs no
    gradient, or a bias that is not there, has rates of 0: training keeps it as it is.

    Examples
    --------
    >>> from torch import nn
    >>> from nnpoly.exchange import from_torch
    >>> from_torch(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    MLP 4-8-3, identity output, float32 on numpy (cpu)
    """
    where = "from_torch"
    if output is not None:
        _checks.choice(where, "output", output, OUTPUTS)
    if isinstance(source, Mapping):
        tensors = {key: _tensor(where, key, value) for key, value in source.items()}
        chain = _of_tensors(where, "`source`", tensors, activation, output)
    elif hasattr(source, "named_modules"):
        if activation is not None:
            raise ValueError(f"{where}: `activation` must be None: a module has its own.")
        chain = _modules().read(where, source)
    else:
        chain, output = _of_file(where, source, activation, output)
    return chain.network(output, seed, backend, device)


def _modules() -> Any:
    return import_module(".torch_modules", __package__)  # which needs torch; files do not


def _of_file(
    where: str, path: Any, activation: Any, output: str | None
) -> tuple[Chain, str | None]:
    metadata, tensors = container.tensors(path)
    if "nnpoly" not in metadata:
        return _of_tensors(where, str(path), tensors, activation, output, False), output
    header, tensors = container.read(path)
    if header.get("kind") != "torch":
        raise ValueError(f"{where}: {path} is a file of nnpoly's own. Load it by nn.load.")
    network = container.typed(path, header, TorchFile)["network"]
    if activation is not None or output not in (None, network["output"]):
        raise ValueError(
            f"{where}: `activation` and `output` must be None, since {path} says them itself."
        )
    chain = Chain(where)
    with container.named(path):
        dtype = _checks.choice("load", "dtype", network["dtype"], FLOATS)
        layers = check_layers("load", construct(network["layers"]))
        for part in parts_in(layers, dtype, tensors):
            chain.add(*part)
    return chain, network["output"]


# The proof of files


def _version() -> str | None:
    try:
        return str(import_module("torch").__version__)
    except ImportError:
        return None


def _certificate(path: Path) -> str | None:
    metadata, _ = container.tensors(path)
    if "nnpoly" not in metadata:
        return None
    header, _ = container.read(path)
    return container.typed(path, header, TorchFile)["certificate"]


def _run(path: Path, certificate: Certificate) -> Outputs:
    _, tensors = container.tensors(path)
    values = _modules().computed("check", from_torch(path, backend="numpy"), tensors, certificate.x)
    return Outputs(values)


CONSUMER = Consumer("torch", "Install it: pip install nnpoly[torch].", _version, _certificate, _run)

# state_dicts


def _tensor(where: str, key: Any, value: Any) -> host.HostArray:
    """A state_dict's array on the host."""
    dtype = str(getattr(value, "dtype", type(value).__name__)).rpartition(".")[2]
    lacks = getattr(value, "is_meta", False)
    if not isinstance(key, str) or not hasattr(value, "shape") or lacks or dtype not in FLOATS:
        raise ValueError(
            f"{where}: `source` must have texts as keys and arrays of dtype {', '.join(FLOATS)}, "
            f"got {key!r} of dtype {dtype}. Convert the module first: module.float()."
        )
    return registry.to_host(value)


def _of_tensors(
    where: str,
    source: str,
    tensors: Mapping[str, host.HostArray],
    activation: Any,
    output: str | None,
    ordered: bool = True,
) -> Chain:
    """The layers of the tensors of Linear modules; `source` is what errors call them.

    ordered: whether their order is the modules'.
    """
    if activation is None or output is None:
        raise ValueError(
            f"{where}: `activation` and `output` must be given, such as 'relu' and 'softmax', "
            f"since {source} has weights alone."
        )
    sigma = activations.get(activation, where)
    groups: dict[str, dict[str, host.HostArray]] = {}
    for key, array in tensors.items():
        prefix, _, name = key.rpartition(".")
        if name not in ("weight", "bias") or array.ndim != (2 if name == "weight" else 1):
            raise ValueError(
                f"{where}: {source} must be of Linear modules alone, got {key} of shape "
                f"{array.shape}. Pass the module itself."
            )
        groups.setdefault(prefix, {})[name] = array
    chain, width = Chain(where), None
    names = _in_order(where, source, list(groups), ordered)
    for name in names:
        W, b = groups[name].get("weight"), groups[name].get("bias")
        if (
            W is None
            or width not in (None, W.shape[1])
            or (b is not None and b.shape != W.shape[:1])
        ):
            shapes = {key: array.shape for key, array in groups[name].items()}
            raise ValueError(
                f"{where}: {name or 'the layer'} of {source} must have a weight (m, "
                f"{width or 'm_in'}) and a bias (m,), got {shapes}. The layers in order are "
                f"{', '.join(names)}."
            )
        width = W.shape[0]
        rates = rates_of({"b": b is None})
        last = name == names[-1]
        layer = Dense(W.shape[1], width, activations.identity if last else sigma, rates=rates)
        chain.add(name, layer, {"W": W, "b": filled(width, 0.0, W) if b is None else b})
    return chain


def _in_order(where: str, source: str, names: list[str], ordered: bool) -> list[str]:
    """The names of layers in order: 10 comes after 2."""
    if len({re.sub(r"\d+", "#", name) for name in names}) <= 1:
        return sorted(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    if not ordered:
        raise ValueError(
            f"{where}: the layers of {source} must be numbered, got {', '.join(sorted(names))}, "
            "whose order the file has lost. Read it by safetensors.torch.load_file, and pass a "
            "dict of its tensors in order."
        )
    return names
