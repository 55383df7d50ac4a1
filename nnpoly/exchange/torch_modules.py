"""Networks as torch modules: those of torch where it has them, else the ones that stand here.

The latter compute nnpoly's own definitions on torch's tensors, so that autograd differentiates
them, as it does every module.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import activations, losses
from ..activations import Activation
from ..backends import host, registry
from ..backends.base import FLOATS
from ..layers import INFERENCE, BatchNorm, Dense, Dropout, Layer, LayerNorm
from ..layers import Residual as Block
from .parts import Chain, Part, frozen_in, parts_of, rates_of, refused
from .torch_layout import has_activation, is_native, places, state_dict

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("torch is not installed: pip install nnpoly[torch]") from error

_ops = registry.get("torch").ops


class OfLayer(nn.Module):  # type: ignore[misc]
    """A layer that torch lacks, such as `nnpoly.Periodic` or those of TabM.

    Parameters
    ----------
    layer
        A layer of nnpoly's that draws no numbers in training and has no buffers. Its parameters
        have their names there: "W", "b", ....
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        for name, shape in layer.shapes().items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer. x: (n, m_in)."""
        parameters = dict(self.named_parameters(recurse=False))
        return self.layer.forward(_ops, parameters, {}, x, INFERENCE).post

    def extra_repr(self) -> str:
        return repr(self.layer)


class Elementwise(nn.Module):  # type: ignore[misc]
    """An activation that torch lacks: `nnpoly.activations.Linear`, `Exp`, `Step`, or your own."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """sigma(x)."""
        return self.activation.value(_ops, x)

    def extra_repr(self) -> str:
        return repr(self.activation)


class Residual(nn.Module):  # type: ignore[misc]
    """A block with a short cut: sigma(x + F(x)).

    Parameters
    ----------
    layers
        F.
    activation
        The module of sigma; None for none.
    """

    def __init__(self, layers: nn.Sequential, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.layers, self.activation = layers, activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the block. x: (n, m)."""
        pre = x + self.layers(x)
        return pre if self.activation is None else self.activation(pre)


class MeanOfMembers(nn.Module):  # type: ignore[misc]
    """The mean of several members' predictions, whose scores stand side by side.

    Parameters
    ----------
    output
        The function from scores to predictions, as of `nnpoly.Network`.
    members
        k: it takes (n, k K) and gives (n, K).
    """

    def __init__(self, output: str, members: int) -> None:
        super().__init__()
        self.output, self.members = output, members

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        """The prediction f. scores: (n, k K)."""
        return losses.apply_output(_ops, self.output, scores, self.members)

    def extra_repr(self) -> str:
        return f"{self.output!r}, members={self.members}"


# Out

# torch's softplus is z above its threshold: from 40 on that is so in float64 too.
_THRESHOLD = 40.0
_MODULES: dict[type[Activation], Any] = {
    activations.Sigmoid: lambda sigma: nn.Sigmoid(),
    activations.Tanh: lambda sigma: nn.Tanh(),
    activations.ReLU: lambda sigma: nn.ReLU(),
    activations.LeakyReLU: lambda sigma: nn.LeakyReLU(sigma.a),
    activations.ELU: lambda sigma: nn.ELU(sigma.a),
    activations.SELU: lambda sigma: nn.SELU(),
    activations.Softplus: lambda sigma: nn.Softplus(threshold=_THRESHOLD),
    activations.SiLU: lambda sigma: nn.SiLU(),
    activations.Mish: lambda sigma: nn.Mish(),
    activations.GELU: lambda sigma: nn.GELU(),
    activations.GELUTanh: lambda sigma: nn.GELU("tanh"),
}
_OUTPUTS: dict[str, Any] = {
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
    "exp": lambda: Elementwise(activations.Exp()),
    "step": lambda: Elementwise(activations.step),
}


def sequential(where: str, net: Any) -> nn.Sequential:
    """The modules of a network, with copies of its parameters."""
    parts = parts_of(net)
    with torch.device("meta"):  # draws no random numbers, and takes no memory
        modules = _modules(where, parts)
        if net.members > 1:
            modules.append(MeanOfMembers(net.output, net.members))
        elif net.output in _OUTPUTS:
            modules.append(_OUTPUTS[net.output]())
        model = nn.Sequential(*modules)
    backend = registry.get("torch")
    tensors = {k: backend.from_host(a, None) for k, a in state_dict(parts).items()}
    model.load_state_dict(tensors, assign=True)
    frozen = {place.key for place in places(net.chain) if place.frozen}
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key not in frozen)
    return model


def computed(where: str, net: Any, tensors: Mapping[str, Any], x: Any) -> host.HostArray:
    """What the modules of a network give for x: (n, m_0), with the arrays of a state_dict.

    Half precision is computed in float32.
    """
    backend = registry.get("torch")
    model = sequential(where, net)
    model.load_state_dict({k: backend.from_host(a, None) for k, a in tensors.items()})
    dtype = "float64" if net.dtype == "float64" else "float32"
    model = model.to(getattr(torch, dtype)).eval()
    with torch.no_grad():
        return backend.to_host(model(backend.from_host(host.asarray(x, dtype), None)))


def _modules(where: str, parts: Sequence[Part]) -> list[nn.Module]:
    found: list[nn.Module] = []
    for part in parts:
        found.append(_module(where, part))
        if has_activation(part.layer):
            found.append(_activation(part.layer.activation))
    return found


def _activation(sigma: Activation) -> nn.Module:
    make = _MODULES.get(type(sigma), Elementwise)
    module: nn.Module = make(sigma)
    return module


def _module(where: str, part: Part) -> nn.Module:
    """The module of a layer, whose parameters have yet to be given."""
    layer: Any = part.layer
    if type(layer) is Block:
        after = None
        if layer.activation != activations.identity:
            after = _activation(layer.activation)
        return Residual(nn.Sequential(*_modules(where, part.inner)), after)
    if not is_native(layer):
        if layer.random or layer.buffers():
            raise refused(where, part, "torch")
        return OfLayer(layer)
    if type(layer) is Dense:
        bias = "b" not in frozen_in(layer) or bool(part.arrays["b"].any())
        return nn.Linear(layer.inputs, layer.outputs, bias=bias)
    if type(layer) is LayerNorm:
        return nn.LayerNorm(layer.features, eps=layer.eps)
    if type(layer) is BatchNorm:
        return nn.BatchNorm1d(layer.features, eps=layer.eps, momentum=layer.momentum)
    return nn.Dropout(layer.rate)


# In

_SIGMAS: dict[type[nn.Module], Any] = {
    nn.Sigmoid: lambda module: activations.sigmoid,
    nn.Tanh: lambda module: activations.tanh,
    nn.ReLU: lambda module: activations.relu,
    nn.LeakyReLU: lambda module: activations.LeakyReLU(module.negative_slope),
    nn.ELU: lambda module: activations.ELU(module.alpha),
    nn.SELU: lambda module: activations.selu,
    nn.SiLU: lambda module: activations.silu,
    nn.Mish: lambda module: activations.mish,
    nn.GELU: lambda module: _GELUS[module.approximate],
    Elementwise: lambda module: module.activation,
}
_GELUS: dict[str, Activation] = {"none": activations.gelu, "tanh": activations.gelu_tanh}
_FLAT = ((1, -1), (1, 1), (-1, -1), (-1, 1))  # dimensions of a matrix that make it as it is
_LARGEST = 88.0  # exp of more overflows in float32


def read(where: str, module: nn.Module) -> Chain:
    """The layers of a module."""
    _require_plain(where, module)
    arrays = [*module.parameters(), *module.buffers()]
    floats = [array.dtype for array in arrays if array.is_floating_point()]
    reader = _Reader(where, floats[0] if floats else torch.float32)
    for name, leaf in _leaves("module", module):
        reader.append(name, leaf)
    return reader.chain


def _require_plain(where: str, module: nn.Module) -> None:
    """Refuse a module that does more than its modules do, or holds a parameter twice."""
    for name, inner in module.named_modules(remove_duplicate=False):
        lazy = isinstance(inner, nn.modules.lazy.LazyModuleMixin)  # has hooks of its own
        hooks = (inner.__dict__.get(kind) for kind in ("_forward_hooks", "_forward_pre_hooks"))
        if any(hooks) and not lazy:
            raise ValueError(
                f"{where}: {name or 'module'} must have no forward hooks, which would be lost. "
                "Remove them first."
            )
    seen: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if (first := seen.setdefault(id(parameter), name)) != name:
            raise ValueError(
                f"{where}: {name} is {first} too, and here each layer has parameters of its own. "
                "Copy one of the two modules first: copy.deepcopy."
            )


def _leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of nested Sequentials in order, but for those that change nothing."""
    if type(module) is nn.Sequential:
        for i, inner in enumerate(module):
            yield from _leaves(f"{name}[{i}]", inner)
    elif type(module) is nn.Flatten:
        if (module.start_dim, module.end_dim) not in _FLAT:
            yield name, module
    elif type(module) is not nn.Identity:
        yield name, module


class _Reader:
    """A chain that torch's modules are appended to."""

    def __init__(self, where: str, dtype: torch.dtype) -> None:
        self.where, self.dtype = where, dtype
        self.chain = Chain(where)

    def append(self, name: str, module: Any) -> None:
        """Append a module of torch's, or of those above."""
        with self._named(name, module):
            self._append(name, module)

    def _append(self, name: str, module: Any) -> None:
        kind = type(module)
        if kind is nn.Linear:
            sizes = module.in_features, module.out_features
            self._add(name, module, Dense, {"W": "weight", "b": "bias"}, sizes)
        elif kind is nn.LayerNorm:
            if len(module.normalized_shape) != 1:
                raise ValueError("it must normalise rows of one dimension")
            sizes = module.normalized_shape[0], module.eps
            self._add(name, module, LayerNorm, {"gain": "weight", "shift": "bias"}, sizes)
        elif kind is nn.BatchNorm1d:
            if module.running_mean is None or module.momentum is None:
                raise ValueError("it must have running statistics, which move by a momentum")
            sizes, more = (module.num_features, module.eps), {"momentum": module.momentum}
            self._add(name, module, BatchNorm, _BATCH, sizes, more)
        elif kind is nn.Dropout:
            self.chain.add(name, Dropout(module.p), {})
        elif kind is OfLayer:
            own = {key: self._array(module, key, None) for key in module.layer.shapes()}
            self.chain.add(name, module.layer, own)
        elif kind is Residual:
            inner = _Reader(self.where, self.dtype)
            for inside, leaf in _leaves(f"{name}.layers", module.layers):
                inner.append(inside, leaf)
            self.chain.block(name, inner.chain)
            if module.activation is not None:
                self.append(f"{name}.activation", module.activation)
        elif kind is MeanOfMembers:
            self.chain.end(name, module.output)
        elif kind is nn.Softmax and module.dim in (1, -1, None):
            self.chain.end(name, "softmax")
        else:
            self.chain.activate(name, self._sigma(module))

    def _add(
        self,
        name: str,
        module: nn.Module,
        kind: Any,
        names: Mapping[str, str],
        sizes: tuple[Any, ...],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Append a layer whose arrays have these names in its module.

        A parameter that the module does not have, or does not train, is kept as it is.
        """
        layer: Layer = kind(*sizes, **(more or {}))
        shapes = layer.shapes()
        given = {ours: getattr(module, theirs) for ours, theirs in names.items()}
        kept = {k: given[k] is None or not given[k].requires_grad for k in shapes}
        arrays = {k: self._array(module, names[k], shapes.get(k)) for k in given}
        self.chain.add(name, kind(*sizes, **(more or {}), rates=rates_of(kept)), arrays)

    def _array(self, module: nn.Module, name: str, shape: tuple[int, ...] | None) -> host.HostArray:
        """An array of a module; where it has none, what stands for it."""
        tensor = getattr(module, name)
        if tensor is None:
            assert shape is not None  # of parameters that may be left out
            tensor = torch.full(shape, float(name == "weight"), dtype=self.dtype)
        dtype = str(tensor.dtype).rpartition(".")[2]
        if tensor.is_meta or dtype not in FLOATS:
            raise ValueError(
                f"its {name} must be data of dtype {', '.join(FLOATS)}, got {dtype} on "
                f"{tensor.device}. Convert the module first: module.float()"
            )
        return host.copy(registry.to_host(tensor))

    def _sigma(self, module: Any) -> Activation:
        kind = type(module)
        if kind is nn.Softplus:
            floor = torch.finfo(self.dtype).eps * module.threshold
            if module.beta != 1 or module.threshold > _LARGEST:
                raise ValueError(f"it must have beta=1 and a threshold of at most {_LARGEST:g}")
            if module.threshold <= 0 or math.exp(-module.threshold) > floor:
                raise ValueError(
                    f"it is x above its threshold, which is off by exp(-{module.threshold:g}) in "
                    f"{self.dtype}. Set module.threshold = {_THRESHOLD:g} if that is what you mean"
                )
            return activations.softplus
        if kind not in _SIGMAS:
            raise ValueError(_UNKNOWN)
        sigma: Activation = _SIGMAS[kind](module)
        return sigma

    @contextlib.contextmanager
    def _named(self, name: str, module: nn.Module) -> Iterator[None]:
        """Let errors about a module name it."""
        try:
            yield
        except ValueError as error:
            if str(error).startswith(f"{self.where}: "):  # it names one
                raise
            line = repr(module).partition("\n")[0]
            raise ValueError(
                f"{self.where}: {name}, {line}, cannot be read: {str(error).rstrip('.')}."
            ) from error


_BATCH = {"gain": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
_UNKNOWN = (
    "it is none of those that are read: nn.Sequential of Linear, LayerNorm, BatchNorm1d, Dropout, "
    f"Identity, {', '.join(kind.__name__ for kind in [*_SIGMAS][:-1])} and Softplus, a last "
    "Softmax, and nnpoly's own modules. Of a module with a forward of its own pass the Sequential "
    "inside, or its state_dict() with `activation` and `output`"
)
